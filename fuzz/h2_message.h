/* SPDX-License-Identifier: Apache-2.0 */
/* What a reader of HTTP/2 has understood, stream by stream, in a form that two readers of the same
 * octets can be compared by. */
#ifndef FUZZ_H2_MESSAGE_H
#define FUZZ_H2_MESSAGE_H

#include "base/arena.h"
#include "base/buf.h"

#define H2_MESSAGES_MAX 128

struct h2_message {
    uint32_t id, parent; /* parent: of a promise */
    bool has_head, has_ended;
    unsigned status; /* of a response, 0 in a request */
    struct slice method, scheme, authority, path, protocol, host; /* in the arena */
    bool has_authority, has_host;
    /* The judge refused a Content-Length because it is a list of one number, on one line or
     * several, or stands in a response that must not have one; or that or Host, as they stand among
     * the trailers. */
    bool has_length_list, has_late_field, has_bare_length;
    bool has_trailers;
    bool has_last_begun; /* the judge has the head of padded DATA that ends the stream */
    bool has_self_dependent_trailers; /* the judge does not look there */
    bool has_early_data;              /* before the head, empty, so the judge takes it */
    unsigned hosts, crumbs, informational;
    int64_t length; /* the number that Content-Length says, -1: none */
    struct buf cookies, fields, content, trailers; /* fields as text */
};

struct h2_reader {
    struct arena arena;
    struct pool *pool;
    struct h2_message at[H2_MESSAGES_MAX];
    unsigned count;
    bool is_over;
    bool is_judge;
};

/* Of its fields and trailers. */
static inline size_t h2_message_octets(const struct h2_message *m)
{
    return buf_len(&m->cookies) + buf_len(&m->fields) + buf_len(&m->trailers);
}

void h2_reader_init(struct h2_reader *r, struct pool *pool);
void h2_reader_fini(struct h2_reader *r);
/* That of the id; a new one if there is none. */
struct h2_message *h2_message(struct h2_reader *r, uint32_t id);
/* A field of the head, or of the trailers once has_head is set.  Ours has at most one
 * Content-Length, in plain digits (RFC 9110 8.6); the judge's is made so. */
void h2_message_add(struct h2_reader *r, struct h2_message *m, struct slice name,
                    struct slice value);
/* What libnghttp2 said of a field that it refuses: some of them are a Content-Length that ours may
 * take. */
void h2_message_refused(struct h2_reader *r, const char *text);
/* Aborts when content, trailers or fields are not the same. */
void h2_message_same(const struct h2_message *ours, const struct h2_message *judge);

#endif
