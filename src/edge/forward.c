/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/forward.h"
#include "edge/client.h"
#include "edge/site.h"
#include "base/err.h"
#include "base/panic.h"

/* Most that add_lasting and add_passing add, and Max-Forwards. */
#define FORWARDING_FIELDS 19
/* A longer target is not repeated in X-Original-URL and its like: workers have limits of their own
 * on the head (Node's is 16 KiB in all). */
#define FORWARDING_URL_OCTETS 2048

/* What Connection lists in a head; an engine has seen to it that there are not too many. */
static void read_options(const struct fields *f, struct connection_options *out)
{
    out->count = 0;
    for (uint32_t i = 0; i < f->count; i++)
        if (f->at[i].token == TOKEN_CONNECTION)
            connection_options_add(out, f->at[i].value);
}

/* ---- names that are not for others to use ---- */

/* Longest known name, and a little. */
#define FOLDED_OCTETS 32

/* Who makes variables of names (CGI, WSGI, Rack) cannot tell "-" from "_", and some not from other
 * octets that are neither letter nor digit.  return  the name as they read it, cut at FOLDED_OCTETS
 */
static struct slice fold(struct slice name, char to[FOLDED_OCTETS])
{
    size_t len = name.len < FOLDED_OCTETS ? name.len : FOLDED_OCTETS;
    for (size_t i = 0; i < len; i++) {
        char c = name.p[i];
        to[i] = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : '-';
    }
    return slice_of(to, len);
}

/* Whether an unknown name could be taken for one that means something to Portico or on the way: a
 * client would speak with somebody else's voice.
 * trusted: the client may speak for others */
static bool is_lookalike(struct slice name, bool trusted)
{
    /* What the hosted service says of the client's login and certificate, and what proxies say. */
    static const struct slice families[] = {SLICE("x-arr-"), SLICE("x-ms-client-principal"),
                                            SLICE("x-ms-token-"), SLICE("x-forwarded-")};
    char text[FOLDED_OCTETS];
    struct slice folded = fold(name, text);
    if (slice_starts(folded, SLICE("x-"))) /* as all of them do */
        for (size_t i = 0; i < ARRAY_LEN(families) - (trusted ? 1 : 0); i++)
            if (slice_starts(folded, families[i]))
                return true;
    /* Nearly every name folds to itself: as it is, it was looked up already. */
    return folded.len == name.len && !slice_eq(folded, name) && token_find(folded) != TOKEN_NONE;
}

/* ---- requests ---- */

/* "192.0.2.1", or with the port where the app wants it so. */
static struct slice client_text(const struct exchange *x, bool with_port)
{
    const struct client *c = x->client;
    return with_port ? slice_of(c->peer_text, c->peer_text_len)
                     : slice_of(c->peer_host, c->peer_host_len);
}

static struct slice client_port(const struct exchange *x)
{
    struct slice text = client_text(x, true);
    const char *colon = memrchr(text.p, ':', text.len);
    return colon ? slice_of(colon + 1, (size_t)(text.p + text.len - colon - 1)) : SLICE("0");
}

/* The chain of addresses: ours alone, or behind that of a trusted proxy, whose own may stand in a
 * line behind what its client had sent.  return  p is NULL when memory is out */
static struct slice forwarded_for(struct exchange *x, bool trusted)
{
    const struct fields *f = &x->request->fields;
    struct slice own = client_text(x, (x->site->route.flags & ROUTE_XFF_PORT) != 0);
    size_t octets = own.len;
    for (uint32_t i = 0; trusted && i < f->count; i++)
        if (f->at[i].token == TOKEN_X_FORWARDED_FOR && f->at[i].value.len)
            octets += f->at[i].value.len + 2;
    if (octets == own.len)
        return own;
    if (x->chain.p) /* it is tried again */
        return x->chain;
    char *chain = arena_alloc(x->arena, octets), *to = chain;
    if (!chain)
        return (struct slice){NULL, 0};
    for (uint32_t i = 0; i < f->count; i++)
        if (f->at[i].token == TOKEN_X_FORWARDED_FOR && f->at[i].value.len)
            to = slice_put(slice_put(to, f->at[i].value), SLICE(", "));
    slice_put(to, own);
    return x->chain = slice_of(chain, octets);
}

struct slice forward_said_scheme(const struct exchange *x)
{
    const struct fields *f = &x->request->fields;
    struct slice said = {"", 0};
    unsigned lines = 0;
    if (!route_trusts(&x->shard->routes->route, &x->client->peer))
        return said;
    for (uint32_t i = 0; i < f->count; i++)
        if (f->at[i].token == TOKEN_X_FORWARDED_PROTO)
            said = lines++ ? SLICE("") : f->at[i].value;
    bool is_scheme = slice_eq(said, SLICE("https")) || slice_eq(said, SLICE("http"));
    return is_scheme ? said : SLICE("");
}

/* The fields that tell a worker who asked and how (the names that the hosted service uses): those
 * that are the same for all requests of a connection to one site by one authority, unless the
 * client may speak for others. */
static int add_lasting(struct exchange *x, struct fields *f, struct arena *a, bool trusted)
{
    struct client *c = x->client;
    struct slice said = forward_said_scheme(x), proto = said.len ? said : x->request->scheme;
    struct slice chain = forwarded_for(x, trusted);
    struct slice host = slice_of(c->peer_host, c->peer_host_len);
    if (!chain.p)
        return ERR_NOMEM;
    int err = fields_add_token(f, a, TOKEN_X_FORWARDED_FOR, chain);
    err |= fields_add_token(f, a, TOKEN_X_FORWARDED_PROTO, proto);
    err |= fields_add_token(f, a, TOKEN_X_FORWARDED_HOST, x->request->authority);
    err |= fields_add_token(f, a, TOKEN_X_APPSERVICE_PROTO, proto);
    err |= fields_add_token(f, a, TOKEN_X_CLIENT_IP, host);
    err |= fields_add_token(f, a, TOKEN_X_CLIENT_PORT, client_port(x));
    err |= fields_add_token(f, a, TOKEN_CLIENT_IP, client_text(x, true));
    err |= fields_add_token(f, a, TOKEN_DISGUISED_HOST, x->request->authority);
    err |=
        fields_add_token(f, a, TOKEN_WAS_DEFAULT_HOSTNAME,
                         x->site->default_host.len ? x->site->default_host : x->request->authority);
    err |= fields_add_token(f, a, TOKEN_X_SITE_DEPLOYMENT_ID, x->site->name);
    if (c->https) {
        struct slice version = tls_version(c->stream.tls) == TLS_1_3 ? SLICE("1.3") : SLICE("1.2");
        err |= fields_add_token(f, a, TOKEN_X_FORWARDED_TLSVERSION, version);
        err |= fields_add_token(f, a, TOKEN_X_ARR_SSL, tls_describe(c->stream.tls));
    }
    return err ? ERR_NOMEM : 0;
}

/* Which version it came in, and that it came through here. */
static struct slice via(const struct exchange *x)
{
    if (client_is_h2(x->client))
        return SLICE("2.0 portico");
    return x->request->version_minor ? SLICE("1.1 portico") : SLICE("1.0 portico");
}

/* And those of this request alone; Via is behind the client's own lines. */
static int add_passing(struct exchange *x, struct fields *f)
{
    struct arena *a = x->arena;
    struct slice id = exchange_id(x);
    int err = fields_add_token(f, a, TOKEN_VIA, via(x));
    if (x->request->path.len <= FORWARDING_URL_OCTETS) {
        err |= fields_add_token(f, a, TOKEN_X_ORIGINAL_URL, x->request->path);
        err |= fields_add_token(f, a, TOKEN_X_WAWS_UNENCODED_URL, x->request->path);
    }
    err |= fields_add_token(f, a, TOKEN_X_ARR_LOG_ID, id);
    err |= fields_add_token(f, a, TOKEN_X_REQUEST_ID, id);
    return err ? ERR_NOMEM : 0;
}

/* ---- lines that are kept ---- */

/* The lasting ones are most of what a worker's head holds, so for as many clients as are likely to
 * be busy at once they are kept as text.  The shard holds it, not the client: an idle connection
 * is to cost nothing for it. */
static bool make_lines(struct exchange *x, struct shard_lines *l)
{
    struct fields lasting = {.count = 0};
    struct arena tmp;
    arena_init(&tmp, x->shard->pool);
    buf_fini(&l->text);
    bool ok = add_lasting(x, &lasting, &tmp, false) == 0 && h1_lines(&l->text, &lasting) == 0;
    arena_fini(&tmp);
    return ok;
}

/* return  what add_lasting would add to a request that nobody else speaks in; empty: not kept */
static struct slice lasting_lines(struct exchange *x)
{
    struct shard *s = x->shard;
    struct client *c = x->client;
    if (x->site != c->memo_site ||
        !slice_eq(x->request->authority, slice_of(c->memo_authority, c->memo_len)))
        return SLICE("");
    if (!s->lines) {
        s->lines = pool_zget(s->pool, SHARD_LINES * sizeof *s->lines);
        if (!s->lines)
            return SLICE("");
        for (unsigned i = 0; i < SHARD_LINES; i++)
            buf_init(&s->lines[i].text, s->pool);
    }
    struct shard_lines *l = &s->lines[c->lines_at];
    if (l->of != c) {
        c->lines_at = (uint8_t)(s->lines_next++ % SHARD_LINES);
        l = &s->lines[c->lines_at];
        l->of = make_lines(x, l) ? c : NULL;
    }
    return l->of ? buf_slice(&l->text) : SLICE("");
}

void forward_forget(struct client *c)
{
    struct shard_lines *l = c->shard->lines ? &c->shard->lines[c->lines_at] : NULL;
    if (l && l->of == c)
        l->of = NULL;
}

void forward_fini(struct shard *s)
{
    for (unsigned i = 0; s->lines && i < SHARD_LINES; i++)
        buf_fini(&s->lines[i].text);
    pool_put(s->pool, s->lines, SHARD_LINES * sizeof *s->lines);
    s->lines = NULL;
}

/* RFC 9110 7.6.2: hops are counted for these two; for others the field is passed on as it is. */
static bool counts_hops(struct slice method)
{
    return slice_eq(method, SLICE("OPTIONS")) || slice_eq(method, SLICE("TRACE"));
}

bool forward_is_last_hop(const struct http_head *request)
{
    uint64_t hops = 1;
    return counts_hops(request->method) &&
           slice_u64(fields_value(&request->fields, TOKEN_MAX_FORWARDS), &hops) && hops == 0;
}

/* What goes on in Max-Forwards; the hosted service says 10 where the client says nothing.
 * said: by the client, or empty */
static struct slice hops_left(struct exchange *x, struct slice said)
{
    uint64_t hops;
    if (!slice_u64(said, &hops))
        return SLICE("10");
    if (!counts_hops(x->request->method))
        return said;
    ASSERT(hops > 0); /* forward_is_last_hop */
    return arena_printf(x->arena, "%llu", (unsigned long long)(hops - 1));
}

uint32_t forward_hops(const struct http_head *request)
{
    const struct fields *f = &request->fields;
    uint32_t hops = 0;
    for (uint32_t i = 0; i < f->count; i++) {
        struct slice rest = f->at[i].value, hop;
        if (f->at[i].token == TOKEN_VIA) /* where a quote is not to hide what is behind it */
            while (tokens_next(&rest, &hop))
                hops += slice_ends(hop, SLICE(" portico")); /* as via() writes it */
    }
    return hops;
}

int forward_request(struct exchange *x, bool h2, bool has_content)
{
    const struct http_head *in = x->request;
    struct http_head *out = &x->forward;
    struct connection_options for_one_hop;
    bool trusted = route_trusts(&x->shard->routes->route, &x->client->peer);
    const struct field *hops = NULL; /* the first, as in forward_is_last_hop */
    int err = 0;
    /* When it is tried again, in the room that the fields had before: the arena gives none back. */
    *out = (struct http_head){.method = in->method,
                              .scheme = in->scheme,
                              .authority = in->authority,
                              .path = in->path,
                              .expect_continue = in->expect_continue,
                              .content_length = in->content_length,
                              .fields = {out->fields.at, 0, out->fields.cap}};
    err = fields_reserve(&out->fields, x->arena, in->fields.count + FORWARDING_FIELDS);
    read_options(&in->fields, &for_one_hop);
    for (uint32_t i = 0; i < in->fields.count && !err; i++) {
        const struct field *f = &in->fields.at[i];
        switch (f->token) {
        case TOKEN_HOST: /* comes from the authority */
        case TOKEN_TE:   /* is for one hop: RFC 9110 10.1.4 */
        case TOKEN_X_REQUEST_ID:
            continue;
        case TOKEN_MAX_FORWARDS:
            if (!hops)
                hops = f;
            continue;
        case TOKEN_TRAILER: /* see worker_send_trailers */
            if (!h2)
                continue;
            break;
        case TOKEN_EXPECT:
            /* RFC 9110 10.1.1: means nothing in HTTP/1.0, and there must be none without content,
             * which some would wait for. */
            if ((!x->cs && in->version_minor == 0) || (in->expect_continue && !has_content))
                continue;
            break;
        case TOKEN_NONE:
            if (is_lookalike(f->name, trusted))
                continue;
            break;
        default:
            break;
        }
        if (token_flags(f->token) & (TOKEN_HOP | TOKEN_FORWARD) ||
            connection_options_have(&for_one_hop, f->name))
            continue;
        err = fields_add_flagged(&out->fields, x->arena, (enum token)f->token, f->name, f->value,
                                 f->flags);
    }
    if (!err && h2 && fields_list_has(&in->fields, TOKEN_TE, SLICE("trailers"))) /* so do we */
        err = fields_add_token(&out->fields, x->arena, TOKEN_TE, SLICE("trailers"));
    if (err)
        return err;
    if (!h2 && !trusted)
        out->lines = lasting_lines(x);
    if (!out->lines.len)
        err = add_lasting(x, &out->fields, x->arena, trusted);
    if (!err)
        err = add_passing(x, &out->fields);
    struct slice left = hops_left(x, hops ? hops->value : SLICE(""));
    if (!left.p)
        return ERR_NOMEM;
    if (!err)
        err = fields_add_token(&out->fields, x->arena, TOKEN_MAX_FORWARDS, left);
    return err;
}

/* ---- responses ---- */

int forward_response(struct exchange *x, const struct http_head *in, struct http_head *out)
{
    struct connection_options for_one_hop;
    bool has_date = false;
    bool bare = in->status < 200 || in->status == 204; /* RFC 9110 8.6: these have no length */
    *out =
        (struct http_head){.status = in->status, .content_length = bare ? -1 : in->content_length};
    if (fields_reserve(&out->fields, x->arena, in->fields.count + 1) < 0)
        return ERR_NOMEM;
    read_options(&in->fields, &for_one_hop);
    for (uint32_t i = 0; i < in->fields.count; i++) {
        const struct field *f = &in->fields.at[i];
        if (token_flags(f->token) & TOKEN_HOP || f->token == TOKEN_PORTICO_PUSH ||
            connection_options_have(&for_one_hop, f->name) ||
            (bare && f->token == TOKEN_CONTENT_LENGTH))
            continue;
        has_date |= f->token == TOKEN_DATE;
        if (fields_add_flagged(&out->fields, x->arena, (enum token)f->token, f->name, f->value,
                               f->flags) < 0)
            return ERR_NOMEM;
    }
    /* RFC 9110 6.6.1: a recipient with a clock adds what the origin left out. */
    if (!has_date && in->status >= 200)
        return fields_add_token(&out->fields, x->arena, TOKEN_DATE,
                                slice_of(x->shard->date, sizeof x->shard->date));
    return 0;
}

int forward_trailers(struct arena *arena, const struct fields *in, struct fields *out)
{
    for (uint32_t i = 0; i < in->count; i++) {
        const struct field *f = &in->at[i];
        if (f->token == TOKEN_X_REQUEST_ID || f->token == TOKEN_PORTICO_PUSH ||
            (f->token == TOKEN_NONE && is_lookalike(f->name, false)))
            continue;
        if (fields_add(out, arena, (enum token)f->token, arena_dup(arena, f->name),
                       arena_dup(arena, f->value)) < 0)
            return ERR_NOMEM;
    }
    return 0;
}
