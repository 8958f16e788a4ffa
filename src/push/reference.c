/* SPDX-License-Identifier: Apache-2.0 */
#include "push/reference.h"
#include "http/rules.h"

/* The components of RFC 3986 4.1; the fragment is dropped. */
struct parts {
    struct slice scheme, authority, path, query; /* query: with its "?" */
    bool has_scheme, has_authority;
};

static bool is_alnum(char c)
{
    return (unsigned)(ascii_lower((unsigned char)c) - 'a') < 26 || (unsigned)(c - '0') < 10;
}

/* unreserved, reserved and "%".  RFC 3986 2 */
bool reference_octet(char c)
{
    return is_alnum(c) || (c && strchr("-._~:/?#[]@!$&'()*+,;=%", c));
}

static bool is_hex(char c)
{
    return (unsigned)(c - '0') < 10 || (unsigned)(ascii_lower((unsigned char)c) - 'a') < 6;
}

bool reference_octets_valid(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!reference_octet(s.p[i]))
            return false;
        if (s.p[i] == '%' && (s.len - i < 3 || !is_hex(s.p[i + 1]) || !is_hex(s.p[i + 2])))
            return false;
    }
    return true;
}

/* Cuts s at the first of some octets; the rest keeps it. */
static struct slice cut_before(struct slice *s, const char *octets)
{
    size_t n = 0;
    while (n < s->len && !strchr(octets, s->p[n]))
        n++;
    struct slice head = slice_of(s->p, n);
    *s = slice_of(s->p + n, s->len - n);
    return head;
}

static bool is_scheme(struct slice s)
{
    if (s.len == 0 || (unsigned)(ascii_lower((unsigned char)s.p[0]) - 'a') >= 26)
        return false;
    for (size_t i = 1; i < s.len; i++)
        if (!is_alnum(s.p[i]) && !memchr("+-.", s.p[i], 3))
            return false;
    return true;
}

/* return  false: a colon in the first segment, with something before it that is no scheme */
static bool split(struct slice text, struct parts *out)
{
    *out = (struct parts){.query = {"", 0}};
    text = cut_before(&text, "#");
    struct slice rest = text, head = cut_before(&rest, ":/?");
    if (rest.len && rest.p[0] == ':') {
        if (!is_scheme(head))
            return false;
        out->scheme = head;
        out->has_scheme = true;
        text = slice_of(rest.p + 1, rest.len - 1);
    }
    if (slice_starts(text, SLICE("//"))) {
        text = slice_of(text.p + 2, text.len - 2);
        out->authority = cut_before(&text, "/?");
        out->has_authority = true;
    }
    out->path = cut_before(&text, "?");
    out->query = text;
    return true;
}

static bool is_default_port(struct slice scheme, uint16_t port)
{
    return port == (slice_eq(scheme, SLICE("https")) ? 443 : 80);
}

/* A host that every client reads the same way: no percent-encoding, nothing that IDNA would map. */
static bool host_is_plain(struct slice host)
{
    if (host.len && host.p[0] == '[')
        return true; /* rules_is_authority has looked inside */
    for (size_t i = 0; i < host.len; i++)
        if (!is_alnum(host.p[i]) && !memchr("-._", host.p[i], 3))
            return false;
    return host.len > 0;
}

struct place {
    struct slice host;
    uint16_t port; /* 0: the scheme's own */
};

static bool place_of(struct slice scheme, struct slice authority, struct place *out)
{
    if (!rules_is_authority(authority))
        return false;
    rules_split_authority(authority, &out->host, &out->port);
    if (out->port == 0 && authority.len > out->host.len + 1)
        return false; /* ":0" */
    if (is_default_port(scheme, out->port))
        out->port = 0;
    return host_is_plain(out->host);
}

static bool same_place(const struct http_head *request, struct slice scheme, struct place p)
{
    struct place own;
    return slice_ieq(request->scheme, scheme) && place_of(scheme, request->authority, &own) &&
           own.port == p.port && slice_ieq(own.host, p.host);
}

static struct slice copy_place(struct arena *arena, struct place p)
{
    char *out = arena_alloc(arena, p.host.len + sizeof ":65535");
    if (!out)
        return (struct slice){NULL, 0};
    size_t n = 0;
    for (; n < p.host.len; n++)
        out[n] = (char)ascii_lower((unsigned char)p.host.p[n]);
    if (p.port) {
        char digits[5];
        unsigned count = 0;
        for (unsigned rest = p.port; rest; rest /= 10)
            digits[count++] = (char)('0' + rest % 10);
        out[n++] = ':';
        while (count)
            out[n++] = digits[--count];
    }
    return slice_of(out, n);
}

/* 1 for "." and 2 for "..", also percent-encoded as clients read them; else 0. */
static unsigned dots_of(struct slice segment)
{
    unsigned dots = 0;
    for (size_t i = 0; i < segment.len; dots++) {
        if (dots == 2)
            return 0;
        if (segment.p[i] == '.')
            i += 1;
        else if (slice_ieq(slice_of(segment.p + i, segment.len - i < 3 ? 0 : 3), SLICE("%2e")))
            i += 3;
        else
            return 0;
    }
    return dots;
}

/* In place; path starts with "/" and still does afterwards.  return  the new length.
 * RFC 3986 5.2.4 */
static size_t remove_dot_segments(char *path, size_t len)
{
    size_t in = 0, out = 0;
    while (in < len) {
        size_t end = in + 1; /* path[in] is "/" */
        while (end < len && path[end] != '/')
            end++;
        unsigned dots = dots_of(slice_of(path + in + 1, end - in - 1));
        if (dots == 2)
            while (out > 0 && path[--out] != '/')
                ;
        if (dots == 0) {
            memmove(path + out, path + in, end - in);
            out += end - in;
        } else if (end == len) {
            path[out++] = '/'; /* what was in the last place is a directory */
        }
        in = end;
    }
    return out;
}

/* RFC 3986 5.2.2, 5.2.3.  return  p NULL: memory is out */
static struct slice resolve_path(const struct http_head *request, const struct parts *ref,
                                 struct arena *arena)
{
    struct slice base_query = request->path.len ? request->path : SLICE("/");
    struct slice base = cut_before(&base_query, "?"), query = ref->query;
    struct slice dir = {"", 0}, path = ref->path;
    base_query = cut_before(&base_query, "#");
    if (base.len == 0 || base.p[0] != '/') /* "*" */
        base = SLICE("/");
    if (ref->has_authority) {
        if (path.len == 0)
            path = SLICE("/");
    } else if (path.len == 0) {
        path = base;
        if (query.len == 0)
            query = base_query;
    } else if (path.p[0] != '/') {
        const char *slash = memrchr(base.p, '/', base.len);
        dir = slice_of(base.p, (size_t)(slash - base.p) + 1);
    }
    char *out = arena_alloc(arena, dir.len + path.len + query.len);
    if (!out)
        return (struct slice){NULL, 0};
    if (dir.len)
        memcpy(out, dir.p, dir.len);
    memcpy(out + dir.len, path.p, path.len);
    size_t n = remove_dot_segments(out, dir.len + path.len);
    if (query.len)
        memcpy(out + n, query.p, query.len);
    return slice_of(out, n + query.len);
}

bool reference_resolve(const struct http_head *request, struct slice text, struct arena *arena,
                       struct reference *out)
{
    struct parts ref;
    struct slice scheme = request->scheme;
    if (request->authority.len == 0 || !reference_octets_valid(text) || !split(text, &ref))
        return false;
    if (ref.has_scheme) {
        if (!ref.has_authority)
            return false;
        scheme = ref.scheme;
    }
    if (slice_ieq(scheme, SLICE("https")))
        out->scheme = SLICE("https");
    else if (slice_ieq(scheme, SLICE("http")))
        out->scheme = SLICE("http");
    else
        return false;
    out->authority = request->authority;
    if (ref.has_authority) {
        struct place p;
        if (!place_of(out->scheme, ref.authority, &p))
            return false;
        if (!same_place(request, out->scheme, p))
            out->authority = copy_place(arena, p);
    }
    if (out->authority.p == request->authority.p)
        out->authority = arena_dup(arena, request->authority);
    out->path = resolve_path(request, &ref, arena);
    return out->authority.p && out->path.p;
}
