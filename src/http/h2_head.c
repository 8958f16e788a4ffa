/* SPDX-License-Identifier: Apache-2.0 */
/* Between field sections as they are on the wire and heads: pseudo-header fields, and what makes a
 * message malformed.  RFC 9113 8.1.1 to 8.3, 8.5; RFC 8441 4 */
#include "http/h2_internal.h"
#include "base/err.h"
#include "http/hpack_table.h"
#include "http/rules.h"

#define BIT(token) (1u << TOKEN_##token)

static const unsigned pseudo_allowed[] = {
    [H2_SECTION_REQUEST] = BIT(METHOD) | BIT(SCHEME) | BIT(AUTHORITY) | BIT(PATH) | BIT(PROTOCOL),
    [H2_SECTION_PROMISE] = BIT(METHOD) | BIT(SCHEME) | BIT(AUTHORITY) | BIT(PATH),
    [H2_SECTION_RESPONSE] = BIT(STATUS),
    [H2_SECTION_TRAILERS] = 0,
};

/* RFC 3986 3.1 */
static bool is_scheme(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i], l = ascii_lower(c);
        bool alpha = l >= 'a' && l <= 'z';
        if (!alpha && (i == 0 || !((c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.')))
            return false;
    }
    return s.len > 0;
}

static bool read_status(struct slice s, uint16_t *out)
{
    if (s.len != 3)
        return false;
    unsigned v = 0;
    for (size_t i = 0; i < 3; i++) {
        unsigned d = (unsigned)(unsigned char)s.p[i] - '0';
        if (d > 9)
            return false;
        v = v * 10 + d;
    }
    *out = (uint16_t)v;
    /* RFC 9110 15: three digits, 100 to 599.  RFC 9113 8.6: 101 does not exist here */
    return v >= 100 && v <= 599 && v != 101;
}

static int take_pseudo(struct h2_head_reader *r, enum token token, struct slice value, bool vetted)
{
    struct http_head *h = r->head;
    bool ok = false;
    /* RFC 9113 8.3: before the regular fields, each at most once, none that is not defined. */
    if (r->regular || token == TOKEN_NONE || !(pseudo_allowed[r->section] & 1u << token) ||
        (r->seen & 1u << token))
        return ERR_BAD_PSEUDO;
    r->seen |= 1u << token;
    switch ((unsigned)token) {
    case TOKEN_METHOD:
        h->method = value;
        ok = vetted || rules_is_token(value);
        break;
    case TOKEN_SCHEME:
        h->scheme = value;
        ok = vetted || is_scheme(value);
        break;
    case TOKEN_AUTHORITY:
        h->authority = value;
        ok = vetted || rules_is_authority(value);
        break;
    case TOKEN_PATH:
        h->path = value;
        ok = vetted || slice_eq(value, SLICE("*")) || rules_is_origin_form(value);
        break;
    case TOKEN_PROTOCOL:
        h->protocol = value;
        ok = r->connect_enabled && (vetted || rules_is_token(value));
        break;
    case TOKEN_STATUS:
        ok = read_status(value, &h->status);
        break;
    }
    return ok ? 0 : ERR_BAD_PSEUDO;
}

/* What can be said of a field by itself, in whatever section it is.  RFC 9113 8.2.1, 8.2.2 */
static int check_field(enum token token, struct slice name, struct slice value)
{
    if (token == TOKEN_NONE && !rules_is_lower_token(name))
        return ERR_BAD_NAME;
    if (token_flags(token) & TOKEN_HOP ||
        (token == TOKEN_TE && !slice_ieq(value, SLICE("trailers"))))
        return ERR_BAD_HOP;
    return rules_is_value(value) ? 0 : ERR_BAD_VALUE;
}

static int take_field(void *user, enum token token, struct slice name, struct slice value,
                      unsigned flags)
{
    struct h2_head_reader *r = user;
    bool vetted = flags & FIELD_VETTED;
    if (name.len && name.p[0] == ':')
        return take_pseudo(r, token, value, vetted);
    r->regular = true;
    int err = vetted ? 0 : check_field(token, name, value);
    if (err < 0)
        return err;
    if (r->section == H2_SECTION_TRAILERS && !rules_is_trailer(token))
        return 0;
    switch ((unsigned)token) {
    case TOKEN_HOST: /* goes into head.authority, see settle_authority */
        if (r->section == H2_SECTION_RESPONSE || r->section == H2_SECTION_TRAILERS)
            break;
        if (r->host_seen || !rules_is_authority(value)) /* vetted only as any field, by a trailer */
            return ERR_BAD_HOST;
        r->host_seen = true;
        r->host = value;
        return 0;
    case TOKEN_COOKIE:
        r->cookies++;
        break;
    case TOKEN_CONTENT_LENGTH:
        r->length_seen = true;
        break;
    case TOKEN_EXPECT:
        r->expect_seen = true;
        break;
    case TOKEN_PRIORITY:
        if (!r->priority_seen)
            r->priority = value;
        r->priority_seen = true;
        break;
    }
    return fields_add_flagged(&r->head->fields, r->arena, token, name, value,
                              flags & FIELD_NEVER_INDEX);
}

/* RFC 9113 8.2.3: crumbs of a cookie become one field, joined by "; ".  Behind them an empty crumb
 * leaves a space, with which no value may end (8.2.1). */
static int join_cookies(struct h2_head_reader *r)
{
    struct fields *f = &r->head->fields;
    struct field *first = NULL;
    size_t octets = 0;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < f->count; i++)
        if (f->at[i].token == TOKEN_COOKIE)
            octets += f->at[i].value.len + 2;
    char *to = arena_alloc(r->arena, octets);
    if (!to)
        return ERR_NOMEM;
    struct slice joined = {to, octets - 2};
    for (uint32_t i = 0; i < f->count; i++) {
        struct field *from = &f->at[i];
        if (from->token != TOKEN_COOKIE) {
            f->at[kept++] = *from;
            continue;
        }
        if (from->value.len)
            memcpy(to, from->value.p, from->value.len);
        to += from->value.len;
        if (to < joined.p + joined.len) {
            *to++ = ';';
            *to++ = ' ';
        }
        if (!first) {
            first = &f->at[kept++];
            *first = *from;
        } else {
            first->flags |= from->flags;
        }
    }
    first->value = slice_trim(joined);
    f->count = kept;
    return 0;
}

/* RFC 9113 8.3.1: one authority, whichever way it was said. */
static bool settle_authority(struct h2_head_reader *r)
{
    struct http_head *h = r->head;
    if (r->host_seen && !(r->seen & BIT(AUTHORITY)))
        h->authority = r->host;
    return !r->host_seen || slice_ieq(h->authority, r->host);
}

static bool is_complete_request(const struct h2_head_reader *r)
{
    const struct http_head *h = r->head;
    const unsigned full = BIT(METHOD) | BIT(SCHEME) | BIT(PATH);
    bool connect = slice_eq(h->method, SLICE("CONNECT")), extended = r->seen & BIT(PROTOCOL);
    if (connect && !extended) /* RFC 9113 8.5 */
        return r->seen == (BIT(METHOD) | BIT(AUTHORITY));
    if ((r->seen & full) != full)
        return false;
    if (extended && (!connect || h->authority.len == 0)) /* RFC 8441 4 */
        return false;
    return h->path.p[0] == '/' || slice_eq(h->method, SLICE("OPTIONS"));
}

static int finish(struct h2_head_reader *r, bool end)
{
    struct http_head *h = r->head;
    if (r->cookies > 1 && join_cookies(r) < 0)
        return ERR_NOMEM;
    if (r->section == H2_SECTION_TRAILERS)
        return 0;
    if (r->length_seen) {
        int err = rules_settle_content_length(&h->fields, r->arena, &h->content_length);
        if (err < 0)
            return err;
    }
    if (r->section == H2_SECTION_RESPONSE) {
        if (!(r->seen & BIT(STATUS)))
            return ERR_BAD_PSEUDO;
        return h->status < 200 && end ? ERR_BAD_INFORMATIONAL : 0;
    }
    if (!settle_authority(r))
        return ERR_BAD_HOST;
    if (!is_complete_request(r))
        return ERR_BAD_PSEUDO;
    if (end && h->content_length > 0)
        return ERR_BAD_LENGTH;
    /* RFC 9113 8.4: a promised request names an authority, is safe, cacheable, without content. */
    if (r->section == H2_SECTION_PROMISE &&
        (h->authority.len == 0 ||
         (!slice_eq(h->method, SLICE("GET")) && !slice_eq(h->method, SLICE("HEAD")))))
        return ERR_BAD_PROMISE;
    h->expect_continue =
        r->expect_seen && fields_list_has(&h->fields, TOKEN_EXPECT, SLICE("100-continue"));
    return 0;
}

/* Crumbs that were joined, and tables that have grown, are as much again as what a large request
 * needs.  It may be held for long (see h2_stream_count_sections), so they go.
 * return  0 or ERR_NOMEM */
static int compact(struct h2_head_reader *r)
{
    struct arena small;
    arena_init(&small, r->arena->pool);
    struct http_head *h = arena_alloc(&small, sizeof *h);
    if (!h)
        return ERR_NOMEM;
    *h = *r->head;
    struct slice *parts[] = {&h->method, &h->scheme,   &h->authority,
                             &h->path,   &h->protocol, &r->priority};
    int err = fields_copy(&small, &r->head->fields, &h->fields);
    for (size_t i = 0; i < ARRAY_LEN(parts) && err == 0; i++) {
        *parts[i] = arena_dup(&small, *parts[i]);
        err = parts[i]->p ? 0 : ERR_NOMEM;
    }
    if (err < 0) {
        arena_fini(&small);
        return err;
    }
    arena_fini(r->arena);
    *r->arena = small;
    r->head = h;
    return 0;
}

int h2_head_read(struct h2_conn *c, struct h2_head_reader *r, struct slice block, bool end)
{
    int err = ERR_NOMEM;
    r->head = arena_zalloc(r->arena, sizeof *r->head);
    if (r->head) {
        r->head->content_length = -1;
        err = hpack_decode(c->decoder, block.p, block.len, r->arena,
                           c->settings.max_field_section_octets, take_field, r);
    }
    if (err == 0)
        err = finish(r, end);
    if (err == 0 && r->section == H2_SECTION_REQUEST && r->arena->octets > H2_HEAD_LARGE_OCTETS)
        err = compact(r);
    if (err == ERR_HPACK)
        h2_conn_fail(c, H2_BLAME_HPACK);
    if (err == ERR_LIMIT)
        h2_conn_fail(c, H2_BLAME_BLOCK_SIZE);
    if (err == ERR_NOMEM)
        h2_conn_fail(c, H2_BLAME_MEMORY);
    return err;
}

static int put(struct h2_conn *c, struct buf *out, enum token token, struct slice value)
{
    return hpack_encode_field(c->encoder, out, token, token_rows[token].name, value, 0);
}

static int put_request(struct h2_conn *c, struct buf *out, const struct http_head *h)
{
    bool plain_connect = slice_eq(h->method, SLICE("CONNECT")) && h->protocol.len == 0;
    int err = put(c, out, TOKEN_METHOD, h->method);
    if (err == 0 && !plain_connect)
        err = put(c, out, TOKEN_SCHEME, h->scheme);
    if (err == 0 && h->authority.len)
        err = put(c, out, TOKEN_AUTHORITY, h->authority);
    if (err == 0 && !plain_connect)
        err = put(c, out, TOKEN_PATH, h->path);
    if (err == 0 && h->protocol.len)
        err = put(c, out, TOKEN_PROTOCOL, h->protocol);
    return err;
}

static int put_status(struct h2_conn *c, struct buf *out, unsigned status)
{
    ASSERT(status >= 100 && status <= 999);
    const char digits[3] = {(char)('0' + status / 100), (char)('0' + status / 10 % 10),
                            (char)('0' + status % 10)};
    return put(c, out, TOKEN_STATUS, slice_of(digits, sizeof digits));
}

bool h2_section_fits(const struct h2_conn *c, const struct http_head *head,
                     const struct fields *fields)
{
    uint64_t octets = 0;
    if (c->role == H2_SERVER || c->peer.max_section_octets == UINT32_MAX)
        return true;
    if (head) {
        const struct slice values[] = {head->method, head->scheme, head->authority, head->path,
                                       head->protocol};
        const enum token names[] = {TOKEN_METHOD, TOKEN_SCHEME, TOKEN_AUTHORITY, TOKEN_PATH,
                                    TOKEN_PROTOCOL};
        for (size_t i = 0; i < ARRAY_LEN(values); i++)
            if (values[i].len)
                octets += token_rows[names[i]].name.len + values[i].len + HPACK_ENTRY_OCTETS;
    }
    for (uint32_t i = 0; i < fields->count; i++)
        octets += fields->at[i].name.len + fields->at[i].value.len + HPACK_ENTRY_OCTETS;
    return octets <= c->peer.max_section_octets;
}

int h2_head_write(struct h2_conn *c, struct buf *out, const struct http_head *head,
                  const struct fields *fields)
{
    int err = hpack_encode_begin(c->encoder, out);
    if (err == 0 && head)
        err = head->status ? put_status(c, out, head->status) : put_request(c, out, head);
    for (uint32_t i = 0; err == 0 && i < fields->count; i++) {
        const struct field *f = &fields->at[i];
        if (token_flags(f->token) & (TOKEN_HOP | TOKEN_PSEUDO))
            continue;
        if (!head && !rules_is_trailer((enum token)f->token))
            continue;
        if (f->token == TOKEN_HOST && head && head->authority.len)
            continue;
        if (f->token == TOKEN_TE && !slice_ieq(f->value, SLICE("trailers")))
            continue;
        err = hpack_encode(c->encoder, out, f);
    }
    return err;
}
