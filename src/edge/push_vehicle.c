/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/push_vehicle.h"
#include "edge/client.h"
#include "edge/push_trace.h"
#include "edge/worker.h"
#include "base/err.h"
#include "http/rules.h"
#include "push/link.h"
#include "push/storable.h"

/* Whether an authority leads to the same app, and to nobody else. */
static bool same_app(const struct exchange *x, struct slice authority)
{
    struct slice host;
    uint16_t port;
    char lower[256];
    if (slice_ieq(authority, x->request->authority))
        return true;
    rules_split_authority(authority, &host, &port);
    if (host.len == 0 || host.len > sizeof lower)
        return false;
    for (size_t i = 0; i < host.len; i++)
        lower[i] = (char)ascii_lower((unsigned char)host.p[i]);
    const struct route *r = &x->shard->routes->route;
    const struct route_site *site = route_find(r, slice_of(lower, host.len));
    return site && slice_eq(route_text(r, site->name), x->site->name);
}

/* RFC 9113 8.4, 10.1: we must be authoritative for what is pushed on this connection. */
static bool covered(const struct exchange *x, struct slice authority)
{
    const struct client *c = x->client;
    struct slice host;
    uint16_t port;
    if (slice_ieq(authority, x->request->authority))
        return true;
    if (!c->https)
        return false;
    rules_split_authority(authority, &host, &port);
    struct tls_identity *id = tls_conn_identity(c->stream.tls);
    return id && tls_identity_covers(id, host);
}

static struct push_facts gather(const struct exchange *x, const struct push_promise *p)
{
    struct client *c = x->client;
    struct slice authority = p->request.authority, scheme = p->request.scheme;
    return (struct push_facts){
        .policy = (enum push_policy)x->site->route.push.policy,
        .client_h2 = c->http.h2 != NULL,
        .client_push_enabled = c->http.h2 && h2_conn_peer_push_enabled(c->http.h2),
        .client_max_streams = c->http.h2 ? h2_conn_peer_max_streams(c->http.h2) : 0,
        .authority_same_app = same_app(x, authority),
        .authority_covered = covered(x, authority),
        /* Go's workers write "http" into their promises: the connection is meant. */
        .scheme_same = slice_eq(scheme, x->request->scheme) ||
                       (p->source == PUSH_SOURCE_WORKER && slice_eq(scheme, SLICE("http"))),
        .parent_pushed = x->pushed,
        .parent_open = x->cs && !x->ended && !x->response_ended,
        .head_sent = true,
        .status = 200,
        .octets = 0,
        .going_away = x->shard->draining,
        .seen = c->http.h2 && push_seen_find(&c->seen, &x->shard->seen_key, authority,
                                             p->request.path) >= PUSH_SEEN_REQUESTED,
        /* No window bounds promises and heads: while the socket takes no more, those that are
         * answered already count, too. */
        .open_pushes = c->open_pushes + (stream_is_blocked(&c->stream) ? x->promises : 0),
        .max_pushes = CLIENT_PUSHES_MAX,
    };
}

/* Fields of a promised request as the client sees them.  RFC 9113 8.4.1 */
static int promised_head(struct exchange *x, const struct push_promise *p, struct arena *arena,
                         struct http_head *out)
{
    *out = (struct http_head){.method = arena_dup(arena, p->request.method),
                              .scheme = x->request->scheme,
                              .authority = arena_dup(arena, p->request.authority),
                              .path = arena_dup(arena, p->request.path),
                              .content_length = -1};
    for (uint32_t i = 0; i < p->request.fields.count; i++) {
        const struct field *f = &p->request.fields.at[i];
        if (token_flags(f->token) & (TOKEN_HOP | TOKEN_FORWARD) || f->token == TOKEN_HOST)
            continue;
        if (fields_add(&out->fields, arena, (enum token)f->token, arena_dup(arena, f->name),
                       arena_dup(arena, f->value)) < 0)
            return ERR_NOMEM;
    }
    return 0;
}

static int copy_negotiation(const struct exchange *x, struct http_head *to, struct arena *arena)
{
    for (size_t i = 0; i < PUSH_COPIED_COUNT; i++) {
        enum token t = push_copied[i];
        const struct field *f = fields_find(&x->request->fields, t);
        if (f && fields_add_token(&to->fields, arena, t, arena_dup(arena, f->value)) < 0)
            return ERR_NOMEM;
    }
    return 0;
}

/* return  whether the promise is on its way to the client; else *d says why not */
static bool drive(struct exchange *x, const struct push_promise *p, struct push_decision *d,
                  struct worker *w, struct h2_stream *ws)
{
    struct client *c = x->client;
    struct http_head head;
    int err = promised_head(x, p, x->arena, &head);
    if (!err && !ws)
        err = copy_negotiation(x, &head, x->arena);
    if (err) {
        *d = (struct push_decision){PUSH_VEHICLE_NONE, PUSH_REASON_LIMIT, PUSH_REASON_OK};
        return false;
    }
    struct h2_stream *cs = h2_stream_promise(x->cs, &head, NULL, &err);
    if (!cs) {
        *d = (struct push_decision){PUSH_VEHICLE_NONE,
                                    err == ERR_USAGE ? PUSH_REASON_GOING_AWAY : PUSH_REASON_LIMIT,
                                    PUSH_REASON_OK};
        return false;
    }
    /* The head lives with the promised stream, which may outlive its parent. */
    struct arena *arena = h2_stream_arena(cs);
    struct http_head *kept = arena_alloc(arena, sizeof *kept);
    err = kept ? promised_head(x, &(struct push_promise){.request = head}, arena, kept) : ERR_NOMEM;
    if (err || !exchange_push(x, cs, kept, w, ws)) {
        h2_stream_reset(cs, H2_INTERNAL_ERROR);
        *d = (struct push_decision){PUSH_VEHICLE_NONE, PUSH_REASON_LIMIT, PUSH_REASON_OK};
        return false;
    }
    x->promises++;
    client_wants_flush(c);
    return true;
}

static void remember(struct exchange *x, const struct push_promise *p)
{
    struct shard *s = x->shard;
    if (!x->site->has_promised) {
        x->site->has_promised = true;
        push_seen_add(&x->client->seen, s->pool, &s->seen_key, x->request->authority,
                      x->request->path, PUSH_SEEN_REQUESTED);
    }
    push_seen_add(&x->client->seen, s->pool, &s->seen_key, p->request.authority, p->request.path,
                  PUSH_SEEN_PUSHED);
}

static void count_fate(struct exchange *x, enum push_fate fate, uint64_t octets,
                       enum push_vehicle vehicle, struct slice path)
{
    struct push_ledger *l = &x->site->stats->push;
    struct slice agent = fields_value(&x->request->fields, TOKEN_USER_AGENT);
    push_ledger_fate(l, fate, octets, push_kind(agent), vehicle);
    push_ledger_row_fate(push_ledger_resource(l, path), fate, octets);
}

static bool consider(struct exchange *x, const struct push_promise *p, struct worker *w,
                     struct h2_stream *ws)
{
    struct push_facts facts = gather(x, p);
    struct push_decision d = push_decide(p, &facts);
    bool pushed = d.vehicle == PUSH_VEHICLE_PUSH_PROMISE && drive(x, p, &d, w, ws);
    struct push_ledger *ledger = &x->site->stats->push;
    push_ledger_promise(ledger, p->source, d);
    push_trace_add(x, p, d);
    push_ledger_row_promise(push_ledger_resource(ledger, p->request.path), d);
    if (pushed)
        remember(x, p);
    else
        count_fate(x, PUSH_FATE_NOT_PUSHED, 0, d.vehicle, p->request.path);
    return pushed;
}

void push_from_worker(struct exchange *x, struct worker *w, struct h2_stream *ws,
                      const struct http_head *head)
{
    struct push_promise p = {.source = PUSH_SOURCE_WORKER,
                             .request = *head,
                             .has_content = head->content_length > 0,
                             .priority = PRIORITY_DEFAULT};
    if (!consider(x, &p, w, ws))
        worker_refuse(w, ws, x->site);
}

static void on_link(void *user, struct push_promise *p)
{
    struct exchange *x = user;
    if (!x->ended)
        consider(x, p, NULL, NULL);
}

void push_from_links(struct exchange *x, const struct http_head *response)
{
    if (!push_is_on(&x->site->route.push))
        return;
    link_read(&response->fields, x->request,
              response->status < 200 ? PUSH_SOURCE_EARLY_HINT : PUSH_SOURCE_LINK, x->arena, on_link,
              x);
}

void push_ended(struct exchange *x, bool complete, uint32_t h2_code)
{
    bool refused = h2_code == H2_CANCEL || h2_code == H2_REFUSED_STREAM;
    x->client->open_pushes--;
    count_fate(x,
               complete  ? PUSH_FATE_COMPLETED
               : refused ? PUSH_FATE_REFUSED
                         : PUSH_FATE_FAILED,
               x->body_out, PUSH_VEHICLE_PUSH_PROMISE, x->request->path);
}
