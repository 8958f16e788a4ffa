/* SPDX-License-Identifier: Apache-2.0 */
/* TLS 1.3's traffic keys and record protection (RFC 8446 5.2, 7.2, 7.3) over OpenSSL's ciphers.  It
 * knows records one at a time; which may come, and what follows from them, is tls_traffic.c's. */
#ifndef NET_TLS_RECORD_H
#define NET_TLS_RECORD_H

#include "net/tls.h"
#include "net/tls_schedule.h"

#define TLS_RECORD_HEAD_OCTETS   5
#define TLS_RECORD_TAG_OCTETS    16
#define TLS_RECORD_PLAIN_OCTETS  16384
#define TLS_RECORD_SEALED_OCTETS (TLS_RECORD_PLAIN_OCTETS + 256)
/* What sealing adds: head, type of the content, tag. */
#define TLS_RECORD_EXTRA_OCTETS (TLS_RECORD_HEAD_OCTETS + 1 + TLS_RECORD_TAG_OCTETS)
/* Under one key; AES-GCM's limit is 2^24.5 records of full size.  RFC 8446 5.5 */
#define TLS_RECORDS_A_KEY (UINT64_C(1) << 24)

enum { TLS_KEY_MAX_OCTETS = 32, TLS_NONCE_OCTETS = 12 };

struct tls_schedule *tls_ciphers_schedule(struct tls_ciphers *c);

struct tls_suite;
/* protocol_id: as on the wire.  return  NULL: not one of TLS 1.3 that is known */
const struct tls_suite *tls_suite_find(unsigned protocol_id);
size_t tls_suite_secret_octets(const struct tls_suite *s);
unsigned tls_suite_bits(const struct tls_suite *s);

/* One direction of a connection. */
struct tls_traffic {
    uint64_t id;  /* of these keys, on this loop; 0: there are none, and nothing can be sealed */
    uint64_t seq; /* of the next record */
    uint8_t secret[TLS_SECRET_MAX_OCTETS];
    uint8_t key[TLS_KEY_MAX_OCTETS];
    uint8_t iv[TLS_NONCE_OCTETS];
};

/* From t->secret: key and iv; the first record comes next.  return  0 or ERR_TLS */
int tls_traffic_start(struct tls_ciphers *c, const struct tls_suite *s, struct tls_traffic *t);
/* Whether a context holds these keys. */
bool tls_ciphers_know(const struct tls_ciphers *c, const struct tls_traffic *t);
/* Keys are of no more use, wherever they lie; the secret stays. */
void tls_traffic_forget(struct tls_ciphers *c, struct tls_traffic *t);
/* The keys after a KeyUpdate.  return  0 or ERR_TLS */
int tls_traffic_update(struct tls_ciphers *c, const struct tls_suite *s, struct tls_traffic *t);

/* out: room for len + TLS_RECORD_EXTRA_OCTETS; must not overlap in.
 * return  octets written, or ERR_TLS */
ssize_t tls_record_seal(struct tls_ciphers *c, const struct tls_suite *s, struct tls_traffic *t,
                        uint8_t type, const void *in, size_t len, void *out);
/* record: whole, with its head, at least TLS_RECORD_EXTRA_OCTETS.
 * out     room for len - TLS_RECORD_HEAD_OCTETS - TLS_RECORD_TAG_OCTETS; may be where the sealed
 *         octets lie.  What it holds after an error is worth nothing
 * return  octets of content, padding and type taken off (type 0: there was no type); or ERR_TLS */
ssize_t tls_record_open(struct tls_ciphers *c, const struct tls_suite *s, struct tls_traffic *t,
                        const void *record, size_t len, void *out, uint8_t *type_out);

#endif
