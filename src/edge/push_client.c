/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/push_internal.h"
#include "edge/client.h"
#include "edge/push_facts.h"
#include "edge/site.h"
#include "base/panic.h"

/* ---- what a connection knows ---- */

static struct push_client *push_client_new(struct exchange *x)
{
    struct shard *s = x->shard;
    struct push_client *pc = pool_zget(s->pool, sizeof *pc);
    if (!pc)
        return NULL;
    push_seen_init(&pc->seen);
    list_init(&pc->promised);
    struct slice agent = fields_value(&x->request->fields, TOKEN_USER_AGENT);
    pc->agent = push_kind(agent);
    pc->kind = push_consent_kind(&s->seen_key, agent);
    char network[ADDR_NETWORK_OCTETS];
    addr_network(&x->client->peer, network);
    pc->voter = (uint32_t)hash_octets(&s->seen_key, slice_of(network, sizeof network));
    pc->lot = (uint8_t)(push_resource(x, exchange_id(x), SLICE("lot")) % 100);
    return pc;
}

/* New routes may tell that it is a proxy; who was one stays one. */
static void learn_whose(struct push_client *pc, const struct client *c)
{
    const struct routes *r = c->shard->routes;
    pc->revision = r->revision;
    pc->shared |= route_trusts(&r->route, &c->peer);
    if (pc->shared)
        pc->kind = 0;
}

struct push_client *push_client_of(struct exchange *x)
{
    struct client *c = x->client;
    bool is_new = !c->push;
    if (is_new && !(c->push = push_client_new(x)))
        return NULL;
    if (is_new || c->push->revision != x->shard->routes->revision)
        learn_whose(c->push, c);
    return c->push;
}

static void vote(struct client *c, bool is_end)
{
    struct push_client *pc = c->push;
    struct shard *s = c->shard;
    push_consent_vote(&pc->consent, &s->kinds, s->pool, pc->kind, pc->voter, is_end,
                      shard_now_us(s));
}

void push_client_free(struct client *c)
{
    struct push_client *pc = c->push;
    struct shard *s = c->shard;
    if (!pc)
        return;
    promised_drop_unasked(c);
    ASSERT(list_empty(&pc->promised)); /* exchanges have ended before */
    vote(c, true);
    push_past_fini(&pc->past, s->pool);
    push_seen_fini(&pc->seen, s->pool);
    pool_put(s->pool, pc, sizeof *pc);
    c->push = NULL;
}

enum push_seen_how push_remember(struct exchange *x, const struct http_head *request,
                                 enum push_seen_how how)
{
    return push_seen_add(push_memory(x), x->shard->pool, &x->shard->seen_key, request->authority,
                         request->path, how);
}

/* ---- fates ---- */

struct push_ledger_row *push_count_fate(struct exchange *x, enum push_fate fate, uint64_t octets,
                                        enum push_vehicle vehicle, struct slice path)
{
    struct push_ledger *l = &x->site->stats->push;
    struct push_ledger_row *row = push_ledger_resource(l, path);
    push_ledger_fate(l, fate, octets, x->client->push->agent, vehicle);
    push_ledger_row_fate(row, fate, octets);
    return row;
}

void push_parked_ended(struct promised *p, bool collected)
{
    struct push_ledger *l = &p->site->stats->push;
    enum push_fate fate = collected ? PUSH_FATE_COLLECTED : PUSH_FATE_EXPIRED;
    push_ledger_fate(l, fate, 0, p->client->push->agent, PUSH_VEHICLE_PARKED);
    push_ledger_row_fate(push_ledger_resource(l, p->promise.request.path), fate, 0);
}

/* ---- requests ---- */

/* The client asks for what it was hinted, which is what a hint is for, or for what it was pushed,
 * which makes that waste. */
static void asked(struct exchange *x, enum push_seen_how before)
{
    struct shard *s = x->shard;
    struct slice path = x->request->path;
    uint64_t resource = push_resource(x, x->request->authority, path);
    struct push_answer known = {.octets = PUSH_OCTETS_UNKNOWN};
    if (before == PUSH_SEEN_HINTED) {
        push_count_fate(x, PUSH_FATE_HINT_USED, 0, PUSH_VEHICLE_EARLY_HINT, path);
    } else if (before == PUSH_SEEN_PUSHED) {
        const struct push_past_entry *past = push_past_resource(&x->client->push->past, resource);
        if (past && past->is_refused)
            return; /* it is wasted already, or lost */
        push_answers_find(&s->answers, resource, shard_now_us(s), &known);
        push_count_fate(x, PUSH_FATE_REPEATED,
                        past                                  ? past->octets
                        : known.octets == PUSH_OCTETS_UNKNOWN ? 0
                                                              : known.octets,
                        PUSH_VEHICLE_PUSH_PROMISE, path);
        if (x->client->push->consent.completed)
            push_answers_push_revise(&s->answers, resource, shard_now_us(s));
    }
}

bool push_request(struct exchange *x)
{
    struct push_client *pc = push_client_of(x);
    if (!pc)
        return false;
    if (pc->kept && !method_is_safe(x->request->method))
        promised_is_old(x);
    if (!slice_eq(x->request->method, SLICE("GET")))
        return false;
    if (!pc->shared) {
        asked(x, push_remember(x, x->request, PUSH_SEEN_REQUESTED));
        if (pc->kept && promised_ask(x))
            return true;
    }
    if (x->site->push_rules.preload.len)
        push_from_configuration(x);
    return x->ended;
}

/* ---- ends ---- */

void push_page_done(struct exchange *x)
{
    if (x->page)
        push_ledger_page(&x->site->stats->push,
                         x->client->push->lot < x->site->route.push.holdback_percent
                             ? PUSH_HELD_BACK
                             : PUSH_HELPED,
                         shard_now_us(x->shard) - x->started_us);
    push_learn_end(x);
}

void push_ended(struct exchange *x, bool complete, uint32_t reset_code)
{
    struct shard *s = x->shard;
    struct push_client *pc = x->client->push;
    bool refused = !complete && reset_code; /* whatever the client calls it */
    struct push_ledger_row *row =
        push_count_fate(x,
                        complete  ? PUSH_FATE_COMPLETED
                        : refused ? PUSH_FATE_REFUSED
                                  : PUSH_FATE_FAILED,
                        x->body_out, PUSH_VEHICLE_PUSH_PROMISE, x->request->path);
    pc->open--;
    uint64_t resource = push_resource(x, x->request->authority, x->request->path);
    push_past_add(&pc->past, s->pool,
                  &(struct push_past_entry){.ledger = &x->site->stats->push,
                                            .row = row,
                                            .row_version = push_ledger_row_version(row),
                                            .stream_id = h2_stream_id(x->cs),
                                            .resource = resource,
                                            .octets = x->body_out,
                                            .kind = pc->agent,
                                            .is_refused = !complete});
    if (!complete && !refused) /* that says nothing of the client, nor of the resource */
        return;
    push_consent_ended(&pc->consent, refused);
    vote(x->client, false);
    if (complete || pc->consent.completed)
        push_answers_push_end(&s->answers, s->pool, resource, refused, shard_now_us(s));
}

void push_reset_late(struct client *c, uint32_t stream_id, uint32_t h2_code)
{
    struct shard *s = c->shard;
    struct push_client *pc = c->push;
    struct push_past_entry *past = pc ? push_past_stream(&pc->past, stream_id) : NULL;
    if (!past || past->is_refused || h2_code == H2_NO_ERROR)
        return;
    past->is_refused = true;
    push_ledger_fate(past->ledger, PUSH_FATE_REFUSED_LATE, past->octets, past->kind,
                     PUSH_VEHICLE_PUSH_PROMISE);
    if (push_ledger_row_version(past->row) == past->row_version)
        push_ledger_row_fate(past->row, PUSH_FATE_REFUSED_LATE, past->octets);
    push_consent_refused_late(&pc->consent);
    vote(c, false);
    if (pc->consent.completed)
        push_answers_push_revise(&s->answers, past->resource, shard_now_us(s));
}
