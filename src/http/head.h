/* SPDX-License-Identifier: Apache-2.0 */
/* One form for the head of every message, whatever version it came in: control data (RFC 9110 6.2)
 * and the field section (6.3).  Both engines produce and take it.
 *
 * The head and all octets that it points to live in one arena: that of the stream or message they
 * belong to.  Field names are in lower case. */
#ifndef HTTP_HEAD_H
#define HTTP_HEAD_H

#include "base/arena.h"
#include "base/slice.h"
#include "http/token.h"

enum {
    FIELD_NEVER_INDEX = 1, /* RFC 7541 6.2.3: keep it a never-indexed literal on the next hop */
    FIELD_VETTED = 2,      /* from hpack_decode: these very octets were looked at before */
};

struct field {
    struct slice name;
    struct slice value;
    uint16_t token; /* enum token */
    uint16_t flags;
};

struct fields {
    struct field *at;
    uint32_t count, cap;
};

/* Most fields of a section that an engine accepts, beside the limit in octets. */
#define FIELDS_MAX 256

struct http_head {
    struct slice method; /* of a request; empty in a response */
    struct slice scheme; /* "https" or "http" */
    struct slice
        authority;     /* :authority or Host, without user information; lower case not promised */
    struct slice path; /* origin-form with query, or "*"; empty for CONNECT */
    struct slice protocol;  /* :protocol of an extended CONNECT (RFC 8441), or the one of Upgrade;
                               else empty */
    uint16_t status;        /* of a response; 0 in a request */
    uint8_t version_minor;  /* HTTP/1.x: x; 0 in HTTP/2 */
    bool expect_continue;   /* the request has "Expect: 100-continue" */
    int64_t content_length; /* -1: not given */
    struct fields fields;   /* without pseudo-header fields */
    struct slice lines;     /* to be sent over HTTP/1.1: what h1_lines wrote, beside fields */
};

/* Room for n fields in all (FIELDS_MAX at most), so that adding them takes no more memory.
 * return 0 or ERR_NOMEM */
int fields_reserve(struct fields *f, struct arena *a, uint32_t n);
/* Room for one more.  return  0, ERR_NOMEM, or ERR_FIELDS_TOO_LARGE above FIELDS_MAX */
int fields_grow(struct fields *f, struct arena *a);
/* Append a field; name and value are borrowed for as long as f is used.
 * flags   FIELD_NEVER_INDEX or 0
 * return  as fields_grow */
static inline int fields_add_flagged(struct fields *f, struct arena *a, enum token token,
                                     struct slice name, struct slice value, unsigned flags)
{
    int err = f->count < f->cap ? 0 : fields_grow(f, a);
    if (err == 0)
        f->at[f->count++] = (struct field){
            .name = name, .value = value, .token = (uint16_t)token, .flags = (uint16_t)flags};
    return err;
}
static inline int fields_add(struct fields *f, struct arena *a, enum token token, struct slice name,
                             struct slice value)
{
    return fields_add_flagged(f, a, token, name, value, 0);
}
/* fields_add of a known name. */
static inline int fields_add_token(struct fields *f, struct arena *a, enum token token,
                                   struct slice value)
{
    return fields_add_flagged(f, a, token, token_rows[token].name, value, 0);
}
/* *to: from's fields, names and values in the arena.  return  0 or ERR_NOMEM */
int fields_copy(struct arena *a, const struct fields *from, struct fields *to);
/* The first field of this name, or NULL. */
const struct field *fields_find(const struct fields *f, enum token token);
const struct field *fields_find_name(const struct fields *f, struct slice lower_name);
/* Its value, or an empty slice. */
struct slice fields_value(const struct fields *f, enum token token);
/* Whether a comma-separated list field (all its lines) has this element, ASCII case folded.
 * RFC 9110 5.6.1 */
bool fields_list_has(const struct fields *f, enum token token, struct slice element);
/* The same of a list of tokens: see tokens_next. */
bool fields_tokens_have(const struct fields *f, enum token token, struct slice element);
/* Cuts the next element from a comma-separated list; quoted strings are kept whole.
 * return  false at the end */
bool list_next(struct slice *rest, struct slice *element_out);
/* The same of a list of tokens, in which a quote is just an octet that no token has. */
bool tokens_next(struct slice *rest, struct slice *token_out);

/* GET, HEAD, OPTIONS, TRACE.  RFC 9110 9.2.1 */
bool method_is_safe(struct slice method);
/* Safe ones, PUT and DELETE.  RFC 9110 9.2.2 */
bool method_is_idempotent(struct slice method);
/* Whether a response with this status to this method can have content.  RFC 9110 6.4.1 */
bool response_has_content(struct slice request_method, unsigned status);
/* The phrase for HTTP/1.1's status line; "Unknown" for one that the table lacks. */
const char *status_phrase(unsigned status);

#endif
