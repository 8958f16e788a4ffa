/* SPDX-License-Identifier: Apache-2.0 */
#include "push/link.h"
#include "push/reference.h"

struct cursor {
    const char *at, *end;
};

struct element {
    struct slice target;
    struct slice rel, as, crossorigin, fetchpriority, parameters;
    bool has_rel, has_as, has_crossorigin, has_fetchpriority, has_anchor;
    bool nopush, critical, push_only;
};

struct reader {
    const struct http_head *request;
    enum push_source source;
    struct arena *arena;
    link_promise_fn on_promise;
    void *user;
    unsigned given;
};

static bool more(const struct cursor *c)
{
    return c->at < c->end;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

static void skip_blank(struct cursor *c)
{
    while (more(c) && blank(*c->at))
        c->at++;
}

static bool take(struct cursor *c, char octet)
{
    if (!more(c) || *c->at != octet)
        return false;
    c->at++;
    return true;
}

/* To the comma that ends a malformed element; one inside of quotes does not. */
static void skip_element(struct cursor *c)
{
    bool quoted = false;
    for (; more(c) && (quoted || *c->at != ','); c->at++) {
        if (quoted && *c->at == '\\' && c->end - c->at > 1)
            c->at++;
        else if (*c->at == '"')
            quoted = !quoted;
    }
}

/* Between the angle brackets; blanks at its ends are ignored as browsers do. */
static bool read_target(struct cursor *c, struct slice *out)
{
    if (!take(c, '<'))
        return false;
    skip_blank(c);
    const char *start = c->at;
    while (more(c) && reference_octet(*c->at))
        c->at++;
    *out = slice_of(start, (size_t)(c->at - start));
    skip_blank(c);
    return take(c, '>');
}

static bool name_octet(char c)
{
    return (unsigned)(ascii_lower((unsigned char)c) - 'a') < 26 || (unsigned)(c - '0') < 10 ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* After the opening quote.  The text is copied only when it has escapes.  RFC 9110 5.6.4 */
static bool read_quoted(struct cursor *c, struct arena *arena, struct slice *out)
{
    const char *start = c->at;
    size_t escapes = 0;
    for (; more(c) && *c->at != '"'; c->at++)
        if (*c->at == '\\') {
            escapes++;
            if (++c->at == c->end)
                return false;
        }
    *out = slice_of(start, (size_t)(c->at - start));
    if (!take(c, '"'))
        return false;
    if (escapes) {
        char *to = arena_alloc(arena, out->len - escapes);
        if (!to)
            return false;
        size_t n = 0;
        for (size_t i = 0; i < out->len; i++) {
            if (out->p[i] == '\\')
                i++;
            to[n++] = out->p[i];
        }
        *out = slice_of(to, n);
    }
    return true;
}

/* Without quotes more than a token is taken, since many write type=text/css.  RFC 8288 B.3 */
static bool read_value(struct cursor *c, struct arena *arena, struct slice *out)
{
    if (take(c, '"'))
        return read_quoted(c, arena, out);
    const char *start = c->at;
    while (more(c) && !blank(*c->at) && *c->at != ';' && *c->at != ',') {
        if (*c->at == '"')
            return false;
        c->at++;
    }
    *out = slice_of(start, (size_t)(c->at - start));
    return true;
}

/* The first parameter of a name counts (RFC 8288 3.3 for rel). */
static void keep_first(bool *has, struct slice *to, struct slice value)
{
    if (!*has)
        *to = value;
    *has = true;
}

static void keep(struct element *e, struct slice name, struct slice value)
{
    if (slice_ieq(name, SLICE("rel")))
        keep_first(&e->has_rel, &e->rel, value);
    else if (slice_ieq(name, SLICE("as")))
        keep_first(&e->has_as, &e->as, value);
    else if (slice_ieq(name, SLICE("crossorigin")))
        keep_first(&e->has_crossorigin, &e->crossorigin, value);
    else if (slice_ieq(name, SLICE("fetchpriority")))
        keep_first(&e->has_fetchpriority, &e->fetchpriority, value);
    else if (slice_ieq(name, SLICE("nopush")))
        e->nopush = true;
    else if (slice_ieq(name, SLICE("critical")))
        e->critical = true;
    else if (slice_ieq(name, SLICE("x-http2-push-only")))
        e->push_only = true;
    else if (slice_ieq(name, SLICE("anchor")))
        e->has_anchor = true;
}

/* Up to the comma or the end.  return  false: malformed */
static bool read_parameters(struct cursor *c, struct arena *arena, struct element *e)
{
    for (;;) {
        skip_blank(c);
        if (!more(c) || *c->at == ',')
            return true;
        if (!take(c, ';'))
            return false;
        skip_blank(c);
        const char *start = c->at;
        while (more(c) && name_octet(*c->at))
            c->at++;
        struct slice name = slice_of(start, (size_t)(c->at - start)), value = {"", 0};
        if (name.len == 0)
            continue; /* an empty parameter, or what the next turn calls malformed */
        skip_blank(c);
        if (take(c, '=')) {
            skip_blank(c);
            if (!read_value(c, arena, &value))
                return false;
        }
        keep(e, name, value);
    }
}

/* rel is a list with blanks between. */
static bool is_preload(struct slice rel)
{
    for (size_t i = 0, start = 0; i <= rel.len; i++) {
        if (i < rel.len && !blank(rel.p[i]))
            continue;
        if (slice_ieq(slice_of(rel.p + start, i - start), SLICE("preload")))
            return true;
        start = i + 1;
    }
    return false;
}

/* The destination in lower case; something that is no keyword is as good as none. */
static bool copy_as(struct arena *arena, struct slice as, struct slice *out)
{
    *out = SLICE("");
    for (size_t i = 0; i < as.len; i++)
        if (!name_octet(as.p[i]))
            return true;
    if (as.len == 0)
        return true;
    char *p = arena_alloc(arena, as.len);
    if (!p)
        return false;
    for (size_t i = 0; i < as.len; i++)
        p[i] = (char)ascii_lower((unsigned char)as.p[i]);
    *out = slice_of(p, as.len);
    return true;
}

static void give(struct reader *r, const struct element *e)
{
    struct reference ref;
    /* With an anchor the link is one of another resource (RFC 8288 3.2). */
    if (e->has_anchor || !is_preload(e->rel) ||
        !reference_resolve(r->request, e->target, r->arena, &ref))
        return;
    struct push_promise *p = arena_zalloc(r->arena, sizeof *p);
    if (!p || !copy_as(r->arena, e->as, &p->as))
        return;
    p->source = r->source;
    p->request = (struct http_head){
        .method = SLICE("GET"),
        .scheme = ref.scheme,
        .authority = ref.authority,
        .path = ref.path,
        .protocol = SLICE(""),
        .content_length = -1,
    };
    p->nopush = e->nopush;
    p->critical = e->critical;
    p->push_only = e->push_only;
    p->fetchpriority = e->fetchpriority;
    p->parameters = e->parameters;
    p->says_crossorigin = e->has_crossorigin;
    /* Only with this word the fetch carries credentials to whatever origin. */
    p->crossorigin = e->has_crossorigin && !slice_ieq(e->crossorigin, SLICE("use-credentials"));
    r->given++;
    r->on_promise(r->user, p);
}

static void read_field(struct reader *r, struct slice value)
{
    bool cut = value.len > LINK_MAX_FIELD_OCTETS;
    struct cursor c = {value.p, value.p + (cut ? LINK_MAX_FIELD_OCTETS : value.len)};
    while (more(&c) && r->given < LINK_MAX_PROMISES) {
        struct element e = {.rel = SLICE("")};
        if (blank(*c.at) || *c.at == ',') {
            c.at++;
            continue;
        }
        bool is_good = read_target(&c, &e.target);
        const char *start = c.at;
        is_good = is_good && read_parameters(&c, r->arena, &e);
        e.parameters = slice_of(start, (size_t)(c.at - start));
        if (!is_good)
            skip_element(&c);
        else if (more(&c) || !cut) /* else it may have lost a "nopush" */
            give(r, &e);
    }
}

unsigned link_read(const struct fields *response_fields, const struct http_head *request,
                   enum push_source source, struct arena *arena, link_promise_fn on_promise,
                   void *user)
{
    struct reader r = {.request = request,
                       .source = source,
                       .arena = arena,
                       .on_promise = on_promise,
                       .user = user};
    for (uint32_t i = 0; i < response_fields->count; i++)
        if (response_fields->at[i].token == TOKEN_LINK && response_fields->at[i].value.len)
            read_field(&r, response_fields->at[i].value);
    return r.given;
}
