/* SPDX-License-Identifier: Apache-2.0 */
/* HPACK: RFC 7541.  Pure: no frame, no stream, no connection. */
#ifndef HTTP_HPACK_H
#define HTTP_HPACK_H

#include "base/buf.h"
#include "http/head.h"

#include <sys/types.h>

/* The dynamic table, for either direction.  RFC 7541 2.3.2, 4 */
struct hpack_table;
struct hpack_encoder;
struct hpack_decoder;

/* pool: kept.  max_table_octets is what our SETTINGS_HEADER_TABLE_SIZE says (at most 65536 counts).
 * Below 4096 it does not bind yet, since the peer may use that much until it has seen our settings.
 * return  NULL when memory is out */
struct hpack_decoder *hpack_decoder_new(struct pool *pool, uint32_t max_table_octets);
void hpack_decoder_free(struct hpack_decoder *d);
/* The peer acknowledged SETTINGS with this SETTINGS_HEADER_TABLE_SIZE: from now on it binds, and if
 * the table is larger the next block must shrink it (RFC 9113 4.3.1).  Need not be called for a
 * size of 4096 or more that has not changed. */
void hpack_decoder_set_max(struct hpack_decoder *d, uint32_t octets);

/* Called for each field in order; name and value live in the arena given to hpack_decode (or are
 * constants).  flags: FIELD_NEVER_INDEX, FIELD_VETTED.  A negative return ends decoding with that
 * code; 0 says that the field is sound, and when it comes again from its entry of the table, to any
 * on_field of this decoder, it has FIELD_VETTED. */
typedef int (*hpack_field_fn)(void *user, enum token token, struct slice name, struct slice value,
                              unsigned flags);

/* A section so many times as large as it may be is not decoded to its end: one octet can stand for
 * a whole table's (RFC 7541 7.3).  Field lines that are spelt out do not come to half of it. */
#define HPACK_SECTION_TIMES 4
/* Names and values that a block takes from the table when it has done so before. */
#define HPACK_REPEATED_OCTETS 8192

/* Decode one whole field block (the octets of HEADERS and its CONTINUATIONs joined).
 * in         borrowed
 * max_octets cap on the sum of name + value + 32 of all fields (RFC 9113 6.5.2); beyond it, or
 *            beyond HPACK_REPEATED_OCTETS, decoding goes on to keep the table right, on_field is
 *            called no more, and the result is ERR_FIELDS_TOO_LARGE
 * return     0, ERR_HPACK (the connection is lost: RFC 7541 2.3.3), ERR_FIELDS_TOO_LARGE, ERR_LIMIT
 *            (more than HPACK_SECTION_TIMES max_octets: the connection is lost, RFC 9113 4.3),
 *            ERR_NOMEM (the connection is lost), or on_field's first negative result (the rest is
 * decoded all the same, the table stays right) */
int hpack_decode(struct hpack_decoder *d, const void *in, size_t len, struct arena *arena,
                 size_t max_octets, hpack_field_fn on_field, void *user);

/* pool: kept.  max_table_octets: the most that our table may take, whatever the peer offers; at
 * most 65536 counts.  return  NULL when memory is out */
struct hpack_encoder *hpack_encoder_new(struct pool *pool, uint32_t max_table_octets);
void hpack_encoder_free(struct hpack_encoder *e);
/* The peer's SETTINGS_HEADER_TABLE_SIZE; the smaller of it and max_table_octets is used, and the
 * next block opens with the size updates that RFC 7541 4.2 asks for. */
void hpack_encoder_set_peer_max(struct hpack_encoder *e, uint32_t octets);
/* Begin a field block: writes pending table size updates to out.  return 0 or ERR_NOMEM */
int hpack_encode_begin(struct hpack_encoder *e, struct buf *out);
/* Append one field; it is borrowed.  Secret fields
 * (TOKEN_SECRET, FIELD_NEVER_INDEX) are never indexed; fields that change with each message (:path
 * beyond "/", content-length, etag ...) are not put into the dynamic table; a name whose values
 * keep changing is put there only when a value comes twice in a row.  Strings are Huffman-coded
 * where that is shorter. return  0 or ERR_NOMEM (the connection is then lost: tables may differ) */
int hpack_encode(struct hpack_encoder *e, struct buf *out, const struct field *f);
/* The same; name is in lower case, token is its token or TOKEN_NONE. */
static inline int hpack_encode_field(struct hpack_encoder *e, struct buf *out, enum token token,
                                     struct slice name, struct slice value, unsigned flags)
{
    return hpack_encode(
        e, out,
        &(struct field){
            .name = name, .value = value, .token = (uint16_t)token, .flags = (uint16_t)flags});
}
/* Octets of memory held by the tables, for memory figures and tests. */
size_t hpack_decoder_table_octets(const struct hpack_decoder *d);
size_t hpack_encoder_table_octets(const struct hpack_encoder *e);

/* RFC 7541 5.2, Appendix B */
size_t huffman_encoded_len(struct slice s);
void huffman_encode(struct slice s, uint8_t *out); /* huffman_encoded_len octets */
/* Encode unless that is no shorter than s.  out: room for s.len + HUFFMAN_SLACK octets.
 * return  octets, or 0: not shorter */
#define HUFFMAN_SLACK 8
size_t huffman_encode_shorter(struct slice s, uint8_t *out);
/* out: room for len * 8 / 5 + 1 octets.  return octets decoded, or ERR_HPACK (EOS, bad padding) */
ssize_t huffman_decode(const uint8_t *in, size_t len, char *out);

#endif
