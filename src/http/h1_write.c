/* SPDX-License-Identifier: Apache-2.0 */
/* Heads and trailers as text.  Pure, as h1_parse.c is. */
#include "http/h1_impl.h"
#include "http/octets.h"
#include "http/rules.h"

/* The room for the text was computed before; framing and connection fields fit into this. */
#define OWN_FIELDS_OCTETS 256

/* What is written has so much room behind it, so that it may be looked at in whole words. */
#define SLACK_OCTETS 32

static inline char *put(char *to, struct slice s)
{
    return slice_put(to, s);
}

static char *put_number(char *to, uint64_t n, unsigned base)
{
    char digits[20];
    size_t at = sizeof digits;
    do
        digits[--at] = "0123456789abcdef"[n % base];
    while (n /= base);
    memcpy(to, digits + at, sizeof digits - at);
    return to + (sizeof digits - at);
}

/* Whether one of so many octets, just written, is a control octet but HTAB, or white space as well
 * if that matters. */
static inline bool has_controls(const char *p, size_t len, bool or_blank)
{
#ifdef OCTETS_AT_ONCE
    unsigned hits = 0;
    for (const char *end = p + len;; p += OCTETS_AT_ONCE) {
        unsigned here = octets_controls(p);
        if (or_blank)
            here |= octets_equal(p, ' ') | octets_equal(p, '\t');
        if (end - p < OCTETS_AT_ONCE) /* what lies behind does not count */
            return hits | (here & ((1u << (end - p)) - 1));
        hits |= here;
    }
#else
    const char *end = p + len;
    if (or_blank && memchr(p, ' ', len))
        return true;
    p = h1_find_control(p, end);
    while (!or_blank && p < end && *p == '\t')
        p = h1_find_control(p + 1, end);
    return p < end;
#endif
}

/* Whether the len octets before `end`, just written, have one through which a value could end its
 * line, or mean something to somebody else.  Engines have checked what they received; this is for
 * values that were made on the way. */
static inline bool is_bad_value(const char *end, size_t len)
{
    return has_controls(end - len, len, false);
}

/* No white space either: parts of a start line, Host. */
static inline bool is_bad_word(const char *end, size_t len)
{
    return has_controls(end - len, len, true);
}

static inline char *put_field(char *to, unsigned token, struct slice name, struct slice value)
{
    if (token) {
        memcpy(to, token_rows[token].line, TOKEN_LINE_OCTETS);
        to += token_rows[token].name.len + 2;
    } else {
        to = put(put(to, name), SLICE(": "));
    }
    return put(put(to, value), SLICE("\r\n"));
}

/* return  the end, or NULL when it would not be one field on the wire */
static inline char *put_checked(char *to, const struct field *f)
{
    if (f->token == TOKEN_NONE && !rules_is_token(f->name))
        return NULL;
    to = put_field(to, f->token, f->name, f->value);
    return is_bad_value(to - 2, f->value.len) ? NULL : to;
}

/* What the head to be sent asks us to leave out beside what is always left out. */
struct filter {
    enum h1_role role;
    const struct fields *fields;
    size_t octets;    /* of all fields, left out or not */
    uint32_t cookies; /* Cookie fields */
    bool te;          /* "TE: trailers" */
    struct connection_options named;
};

/* return  0, or ERR_USAGE: Connection has too many options */
static int filter_init(struct filter *filter, enum h1_role role, const struct http_head *head)
{
    size_t octets = 0;
    uint32_t cookies = 0;
    filter->role = role;
    filter->fields = &head->fields;
    filter->named.count = 0;
    filter->te = false;
    for (uint32_t i = 0; i < head->fields.count; i++) {
        const struct field *f = &head->fields.at[i];
        octets += f->name.len + f->value.len + 4;
        cookies += f->token == TOKEN_COOKIE;
        if (f->token == TOKEN_TE && role == H1_CLIENT)
            filter->te |= fields_list_has(&head->fields, TOKEN_TE, SLICE("trailers"));
        if (f->token == TOKEN_CONNECTION && !connection_options_add(&filter->named, f->value))
            return ERR_USAGE;
    }
    filter->octets = octets;
    filter->cookies = cookies;
    return 0;
}

/* RFC 9110 7.6.1.  Fields that name the client to the worker, and what decides where a message
 * goes, are not given up because the client lists them: that would let it hide from the worker. */
static inline bool is_left_out(const struct filter *filter, const struct field *f, unsigned flags)
{
    if (flags & (TOKEN_HOP | TOKEN_FRAMING) ||
        (f->token == TOKEN_HOST && filter->role == H1_CLIENT))
        return true;
    return filter->named.count && f->token != TOKEN_HOST && !(flags & TOKEN_FORWARD) &&
           connection_options_have(&filter->named, f->name);
}

/* Cookie fields that HTTP/2 may split become one again.  RFC 9113 8.2.3
 * return  as put_fields */
static char *put_cookies(char *to, const struct fields *fields)
{
    struct slice before = SLICE("cookie: ");
    for (uint32_t i = 0; i < fields->count; i++) {
        if (fields->at[i].token != TOKEN_COOKIE)
            continue;
        to = put(put(to, before), fields->at[i].value);
        if (is_bad_value(to, fields->at[i].value.len))
            return NULL;
        before = SLICE("; ");
    }
    return put(to, SLICE("\r\n"));
}

/* return  the end, or NULL when a field would not be one field on the wire */
static char *put_fields(char *to, const struct filter *filter)
{
    const struct fields *fields = filter->fields;
    bool cookies_put = false;
    for (uint32_t i = 0; to && i < fields->count; i++) {
        const struct field *f = &fields->at[i];
        unsigned flags = token_flags(f->token);
        if (is_left_out(filter, f, flags))
            continue;
        if (flags & TOKEN_PSEUDO)
            return NULL;
        if (f->token == TOKEN_COOKIE && filter->cookies > 1) {
            if (!cookies_put)
                to = put_cookies(to, fields);
            cookies_put = true;
            continue;
        }
        to = put_checked(to, f);
    }
    return to;
}

static size_t fields_octets(const struct fields *fields)
{
    size_t n = 0;
    for (uint32_t i = 0; i < fields->count; i++)
        n += fields->at[i].name.len + fields->at[i].value.len + 4;
    return n;
}

int h1_lines(struct buf *out, const struct fields *fields)
{
    char *from = buf_reserve(out, fields_octets(fields) + SLACK_OCTETS), *to = from;
    if (!from)
        return ERR_NOMEM;
    for (uint32_t i = 0; to && i < fields->count; i++) {
        const struct field *f = &fields->at[i];
        bool ours = token_flags(f->token) & (TOKEN_HOP | TOKEN_FRAMING | TOKEN_PSEUDO) ||
                    f->token == TOKEN_HOST;
        to = ours ? NULL : put_checked(to, f);
    }
    if (!to)
        return ERR_USAGE;
    buf_added(out, (size_t)(to - from));
    return 0;
}

static char *put_own_fields(char *to, const struct h1_plan *plan, const struct http_head *head,
                            bool te)
{
    if (plan->length) {
        to = put(to, SLICE("content-length: "));
        to = put_number(to, (uint64_t)head->content_length, 10);
        to = put(to, SLICE("\r\n"));
    }
    if (plan->coded)
        to = put(to, SLICE("transfer-encoding: chunked\r\n"));
    if (te)
        to = put(to, SLICE("te: trailers\r\n"));
    if (head->protocol.len)
        to = put_field(to, TOKEN_UPGRADE, SLICE(""), head->protocol);
    if (plan->close || plan->keep || te || head->protocol.len) {
        struct slice separator = SLICE("connection: ");
        const struct {
            bool on;
            struct slice option;
        } options[] = {
            {plan->close, SLICE("close")},
            {plan->keep, SLICE("keep-alive")},
            {te, SLICE("te")},
            {head->protocol.len != 0, SLICE("upgrade")},
        };
        for (size_t i = 0; i < ARRAY_LEN(options); i++) {
            if (!options[i].on)
                continue;
            to = put(to, separator);
            to = put(to, options[i].option);
            separator = SLICE(", ");
        }
        to = put(to, SLICE("\r\n"));
    }
    return put(to, SLICE("\r\n"));
}

/* return  the end, or NULL when it would not be one line, or Host's value none */
static char *put_request_line(char *to, const struct http_head *head)
{
    bool connect = slice_eq(head->method, SLICE("CONNECT"));
    struct slice target = connect ? head->authority : head->path;
    to = put(to, head->method);
    to = put(to, SLICE(" "));
    to = put(to, target);
    if (target.len == 0 || is_bad_word(to, target.len))
        return NULL;
    to = put(to, SLICE(" HTTP/1.1\r\n"));
    to = put_field(to, TOKEN_HOST, SLICE(""), head->authority);
    return is_bad_word(to - 2, head->authority.len) ? NULL : to;
}

static char *put_status_line(char *to, const struct http_head *head)
{
    const unsigned s = head->status;
    const char digits[3] = {(char)('0' + s / 100), (char)('0' + s / 10 % 10), (char)('0' + s % 10)};
    to = put(to, SLICE("HTTP/1.1 "));
    to = put(to, slice_of(digits, 3));
    to = put(to, SLICE(" "));
    to = put(to, slice_str(status_phrase(s)));
    return put(to, SLICE("\r\n"));
}

static int write_head(struct buf *out, enum h1_role role, const struct http_head *head,
                      const struct h1_plan *plan)
{
    struct filter filter;
    int err = filter_init(&filter, role, head);
    if (err)
        return err;
    size_t most = head->method.len + head->authority.len * 2 + head->path.len + head->protocol.len +
                  head->lines.len + filter.octets + OWN_FIELDS_OCTETS;
    char *from = buf_reserve(out, most + SLACK_OCTETS);
    if (!from)
        return ERR_NOMEM;
    char *to =
        filter.role == H1_CLIENT ? put_request_line(from, head) : put_status_line(from, head);
    if (to)
        to = put_fields(put(to, head->lines), &filter);
    if (to)
        to = put_own_fields(to, plan, head, filter.te);
    if (!to) {
        if (buf_len(out) == 0)
            buf_fini(out);
        return ERR_USAGE;
    }
    ASSERT((size_t)(to - from) <= most);
    buf_added(out, (size_t)(to - from));
    return 0;
}

int h1_write_request(struct buf *out, const struct http_head *head, const struct h1_plan *plan)
{
    return write_head(out, H1_CLIENT, head, plan);
}

int h1_write_response(struct buf *out, const struct http_head *head, const struct h1_plan *plan)
{
    return write_head(out, H1_SERVER, head, plan);
}

char *h1_write_chunk_line(char *to, uint64_t size)
{
    return put(put_number(to, size, 16), SLICE("\r\n"));
}

int h1_write_trailers(struct buf *out, const struct fields *trailers)
{
    size_t most = fields_octets(trailers) + 2;
    char *from = buf_reserve(out, most + SLACK_OCTETS);
    if (!from)
        return ERR_NOMEM;
    char *to = from;
    for (uint32_t i = 0; i < trailers->count; i++) {
        const struct field *f = &trailers->at[i];
        if (!rules_is_trailer((enum token)f->token))
            continue;
        to = put_checked(to, f);
        if (!to) {
            buf_fini(out);
            return ERR_USAGE;
        }
    }
    to = put(to, SLICE("\r\n"));
    buf_added(out, (size_t)(to - from));
    return 0;
}
