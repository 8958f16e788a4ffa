/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/push_facts.h"
#include "edge/client.h"
#include "edge/site.h"
#include "edge/worker.h"
#include "http/rules.h"
#include "push/answers.h"
#include "push/budget.h"
#include "push/kind.h"
#include "push/reference.h"

static uint16_t port_of(const struct exchange *x, struct slice authority, struct slice *host_out)
{
    uint16_t port;
    rules_split_authority(authority, host_out, &port);
    return port ? port : slice_eq(x->request->scheme, SLICE("https")) ? 443 : 80;
}

/* Whether an authority leads to the same app, and to nobody else: today, for the page's own may
 * have been given to another app since it was asked for.  Another port is another origin, and who
 * listens there we do not know. */
static bool same_app(const struct exchange *x, struct slice authority)
{
    struct slice host, own;
    if (port_of(x, authority, &host) != port_of(x, x->request->authority, &own))
        return false;
    const struct route_site *site = routes_find(x->shard->routes, authority);
    return site && slice_eq(route_text(&x->shard->routes->route, site->name), x->site->name);
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

/* ---- what was learned ---- */

uint64_t push_resource(const struct exchange *x, struct slice authority, struct slice path)
{
    uint64_t hash = push_resource_hash(&x->shard->seen_key, x->site->name, authority, path);
    return x->client->https ? hash : ~hash; /* what is served without TLS is another thing */
}

static void learn(struct exchange *x, const struct http_head *response, uint64_t octets)
{
    struct shard *s = x->shard;
    push_answers_learn(&s->answers, s->pool, &s->seen_key,
                       push_resource(x, x->request->authority, x->request->path), x->request,
                       response, x->site->route.push.copied, octets, shard_now_us(s));
}

/* What a worker answers to its own promise may be the page's visitor's own. */
static bool may_learn(const struct exchange *x)
{
    return slice_eq(x->request->method, SLICE("GET")) && !x->tunnel && !(x->pushed && x->personal);
}

void push_learn_head(struct exchange *x, const struct http_head *response)
{
    static const enum token telling[] = {TOKEN_CACHE_CONTROL, TOKEN_VARY,          TOKEN_SET_COOKIE,
                                         TOKEN_ETAG,          TOKEN_LAST_MODIFIED, TOKEN_AGE,
                                         TOKEN_PRAGMA};
    struct shard *s = x->shard;
    if (!may_learn(x))
        return;
    if (!x->pushed)
        push_answers_learn_thinking(&s->answers, s->pool,
                                    push_resource(x, x->request->authority, x->request->path),
                                    shard_now_us(s) - x->started_us, x->had_103, shard_now_us(s));
    int64_t octets = response->status == 304 ? -1 : x->response_length;
    if (octets >= 0 || response->status == 304) {
        learn(x, response, octets >= 0 ? (uint64_t)octets : PUSH_OCTETS_UNKNOWN);
        return;
    }
    /* The head is the worker's, and gone when the content has ended. */
    struct http_head *kept = arena_zalloc(x->arena, sizeof *kept);
    if (!kept)
        return;
    kept->status = response->status;
    kept->content_length = -1;
    for (uint32_t i = 0; i < response->fields.count; i++) {
        const struct field *f = &response->fields.at[i];
        for (size_t k = 0; k < sizeof telling / sizeof telling[0]; k++) {
            if (f->token != telling[k])
                continue;
            struct slice value = arena_dup(x->arena, f->value);
            if (!value.p || fields_add_token(&kept->fields, x->arena, telling[k], value) < 0)
                return;
        }
    }
    x->answer = kept;
}

void push_learn_end(struct exchange *x)
{
    if (x->answer)
        learn(x, x->answer, x->body_out);
}

/* ---- room ---- */

/* What fits while the worker thinks; what the app says instead; after the first one what is left.
 */
static uint64_t budget(struct exchange *x)
{
    struct push_page *page = x->page;
    uint32_t set = x->site->route.push.budget_octets;
    if (page->has_budget)
        return page->budget_octets;
    page->has_budget = true;
    page->budget_octets = set;
    if (set != PUSH_BUDGET_FITS)
        return page->budget_octets;
    struct shard *s = x->shard;
    struct stream_path tcp = {0};
    struct push_answer known = {.octets = PUSH_OCTETS_UNKNOWN};
    uint64_t thought = shard_now_us(s) - x->started_us;
    push_answers_find(&s->answers, push_resource(x, x->request->authority, x->request->path),
                      shard_now_us(s), &known);
    stream_path(&x->client->stream, &tcp);
    page->budget_octets = push_budget(&(struct push_path){
        .rtt_us = tcp.rtt_us,
        .cwnd_octets = tcp.cwnd_octets,
        .ssthresh_octets = tcp.ssthresh_octets,
        .octets_per_s = tcp.octets_per_s,
        .queued_octets = tcp.queued_octets,
        .credit_octets = (uint64_t)h2_conn_send_window(x->client->http.h2),
        .think_us = !x->head_us && known.think_us > thought ? known.think_us - thought : 0,
        .document_octets = x->head_us && x->response_length >= 0 ? (uint64_t)x->response_length
                           : known.octets == PUSH_OCTETS_UNKNOWN ? 0
                                                                 : known.octets,
    });
    return page->budget_octets;
}

struct push_seen *push_memory(const struct exchange *x)
{
    struct push_client *pc = x->client->push;
    return pc->shared ? &x->page->seen : &pc->seen;
}

/* No window bounds promises and heads; and a client of whom more than http2Queued waits is cut off,
 * which must not come of our own zeal. */
static bool is_behind(const struct client *c)
{
    return c->http.h2 && h2_conn_queued_control(c->http.h2) > shard_limits(c->shard)->h2_queued / 4;
}

struct push_facts push_facts(struct exchange *x, const struct push_promise *p,
                             const struct promised *pr)
{
    struct client *c = x->client;
    struct shard *s = x->shard;
    struct push_client *pc = c->push;
    struct slice authority = p->request.authority, scheme = p->request.scheme;
    const struct push_settings *set = &x->site->route.push;
    uint64_t now = shard_now_us(s);
    struct push_answer known = {.octets = PUSH_OCTETS_UNKNOWN};
    bool is_going = s->draining || (c->http.h2 && h2_conn_is_going(c->http.h2));
    struct push_facts f = {
        .policy = (enum push_policy)set->policy,
        .excluded = push_rules_exclude(&x->site->push_rules, p->request.path),
        .held_back = pc->lot < set->holdback_percent,
        .client_h2 = c->http.h2 != NULL,
        .client_push_enabled = c->http.h2 && h2_conn_peer_push_enabled(c->http.h2),
        .client_max_streams = c->http.h2 ? h2_conn_peer_max_streams(c->http.h2) : 0,
        .refused_here = !pc->shared && push_consent_verdict(&pc->consent) == PUSH_CONSENT_REFUSED,
        .refused_by_kind = push_consent_kind_refuses(&s->kinds, pc->kind, now),
        .navigation = push_navigation(x->request) == PUSH_NAVIGATION_TOP,
        .shared = pc->shared,
        .conditional = push_is_revalidation(x->request),
        .reload = push_is_reload(x->request),
        .seen = push_seen_find(push_memory(x), &s->seen_key, authority, p->request.path) >
                PUSH_SEEN_HINTED,
        .authority_same_app = same_app(x, authority),
        .authority_covered = covered(x, authority),
        /* Go's workers write "http" into their promises: the connection is meant. */
        .scheme_same = slice_eq(scheme, x->request->scheme) ||
                       (p->source == PUSH_SOURCE_WORKER && slice_eq(scheme, SLICE("http"))),
        .parent_pushed = x->pushed,
        .parent_open = x->cs && !x->ended && (is_going || h2_stream_can_promise(x->cs)),
        .head_sent = x->head_sent,
        .late = x->body_sent > 0,
        .going_away = is_going,
        .octets = -1,
        .open_pushes = pc->open + pc->kept,
        .max_pushes = CLIENT_PUSHES_MAX,
        .hints_full =
            x->page->hinted >= PUSH_HINTS_MAX ||
            x->page->hint_octets + p->request.path.len + p->parameters.len > PUSH_HINTS_OCTETS ||
            !reference_octets_valid(p->request.path), /* a ">" would end it */
        .behind = is_behind(c),
        .crowded = p->source != PUSH_SOURCE_WORKER && !worker_takes_more(x),
    };
    if (push_answers_find(&s->answers, push_resource(x, authority, p->request.path), now, &known)) {
        f.status = known.status;
        f.octets = known.octets == PUSH_OCTETS_UNKNOWN ? -1 : (int64_t)known.octets;
        f.personal =
            known.storable == PUSH_STORABLE_PRIVATE || known.storable == PUSH_STORABLE_VARIES;
        f.switched_off = known.is_wasteful;
    }
    if (pr && pr->head.status) {
        f.status = pr->head.status;
        f.octets = pr->head.content_length >= 0 ? pr->head.content_length
                   : pr->ended                  ? (int64_t)pr->octets
                                                : f.octets;
        f.open_pushes--; /* it is one of those that are kept */
    }
    /* The kernel is asked only where it matters. */
    f.budget_octets = f.policy == PUSH_POLICY_ALWAYS || f.octets < 0 || !f.client_push_enabled
                          ? UINT64_MAX
                          : budget(x);
    return f;
}
