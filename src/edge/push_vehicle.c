/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/push_vehicle.h"
#include "edge/client.h"
#include "edge/push_facts.h"
#include "edge/push_trace.h"
#include "edge/worker.h"
#include "base/err.h"
#include "base/panic.h"
#include "push/link.h"
#include "push/pattern.h"
#include "push/urgency.h"

/* Octets of a critical response that go into the page, rather than behind it. */
#define PUSH_WEAVE_MAX (64 << 10)

/* ---- state ---- */

/* return  NULL when memory is out: then nothing is pushed */
static struct push_client *client_state(struct exchange *x)
{
    struct client *c = x->client;
    struct shard *s = x->shard;
    if (c->push)
        return c->push;
    struct push_client *pc = c->push = pool_zget(s->pool, sizeof *pc);
    if (!pc)
        return NULL;
    push_seen_init(&pc->seen);
    list_init(&pc->promised);
    struct slice agent = fields_value(&x->request->fields, TOKEN_USER_AGENT);
    pc->agent = push_kind(agent);
    pc->shared = s->routes && route_trusts(&s->routes->route, &c->peer);
    if (!pc->shared)
        pc->kind = push_consent_kind(&s->seen_key, agent);
    pc->lot = (uint8_t)(push_resource(s, x->site, exchange_id(x), SLICE("lot")) % 100);
    return pc;
}

void push_client_free(struct client *c)
{
    struct push_client *pc = c->push;
    struct shard *s = c->shard;
    if (!pc)
        return;
    promised_drop_all(c);
    push_consent_vote(&pc->consent, &s->kinds, s->pool, pc->kind, true, shard_now_us(s));
    push_past_fini(&pc->past, s->pool);
    push_seen_fini(&pc->seen, s->pool);
    pool_put(s->pool, pc, sizeof *pc);
    c->push = NULL;
}

static bool page_state(struct exchange *x)
{
    if (!x->page)
        x->page = arena_zalloc(x->arena, sizeof *x->page);
    return x->page != NULL;
}

static enum push_seen_how remember(struct exchange *x, const struct http_head *request,
                                   enum push_seen_how how)
{
    return push_seen_add(push_memory(x), x->shard->pool, &x->shard->seen_key, request->authority,
                         request->path, how);
}

static void settle_before_flush(struct client *c)
{
    c->push->due = true;
    client_wants_flush(c);
}

/* ---- PUSH_PROMISE ---- */

/* Fields of a promised request as the client sees them.  RFC 9113 8.4.1 */
static int promised_request(struct exchange *x, const struct push_promise *p, struct arena *arena,
                            struct http_head *out)
{
    *out = (struct http_head){.method = arena_dup(arena, p->request.method),
                              .scheme = x->request->scheme,
                              .authority = arena_dup(arena, p->request.authority),
                              .path = arena_dup(arena, p->request.path),
                              .content_length = -1};
    if (!out->method.p || !out->authority.p || !out->path.p)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < p->request.fields.count; i++) {
        const struct field *f = &p->request.fields.at[i];
        if (token_flags(f->token) & (TOKEN_HOP | TOKEN_FORWARD) || f->token == TOKEN_HOST)
            continue;
        struct slice name = arena_dup(arena, f->name), value = arena_dup(arena, f->value);
        if (!name.p || !value.p ||
            fields_add(&out->fields, arena, (enum token)f->token, name, value) < 0)
            return ERR_NOMEM;
    }
    return 0;
}

/* What a request of our own has from the one that the page came by: what the app says, by default
 * enough to choose the same representation and nothing that names a person. */
static int copy_fields(const struct exchange *x, struct http_head *to, struct arena *arena)
{
    for (unsigned i = 0; i < PUSH_COPY_COUNT; i++) {
        enum token token = push_copy_token((enum push_copy)i);
        if (!(x->site->route.push.copied & 1u << i))
            continue;
        for (uint32_t k = 0; k < x->request->fields.count; k++) {
            const struct field *f = &x->request->fields.at[k];
            if (f->token != token)
                continue;
            struct slice value = arena_dup(arena, f->value);
            if (!value.p || fields_add_token(&to->fields, arena, token, value) < 0)
                return ERR_NOMEM;
        }
    }
    return 0;
}

/* What the page cannot be shown without goes into it, if it does not keep the rest of the page away
 * for long; all else behind it, in a browser's order.  A worker's own word, in the promised
 * request, counts before (RFC 9218 8). */
static void set_order(struct exchange *x, const struct push_promise *p, int64_t octets,
                      struct h2_stream *cs)
{
    if (fields_find(&p->request.fields, TOKEN_PRIORITY))
        return;
    bool weaves = p->critical && octets >= 0 && octets <= PUSH_WEAVE_MAX;
    struct priority own = push_urgency(p->as, p->fetchpriority, p->critical);
    h2_stream_set_priority(cs, weaves ? own : push_urgency_after(own, h2_stream_priority(x->cs)));
    if (weaves)
        h2_stream_weave(cs, x->cs, x->site->route.push.weave_octets);
}

/* tmp: for what does not stay */
static struct exchange *promise_with(struct exchange *x, const struct push_promise *p,
                                     int64_t octets, bool own, struct arena *tmp,
                                     enum push_reason *why)
{
    struct http_head head;
    int err = promised_request(x, p, tmp, &head);
    *why = PUSH_REASON_LIMIT;
    if (!err && own)
        err = copy_fields(x, &head, tmp);
    if (err)
        return NULL;
    struct h2_stream *cs = h2_stream_promise(x->cs, &head, NULL, &err);
    if (!cs) {
        *why = err == ERR_USAGE ? PUSH_REASON_GOING_AWAY : PUSH_REASON_LIMIT;
        return NULL;
    }
    set_order(x, p, octets, cs);
    /* The head lives with the promised stream, which may outlive its parent. */
    struct arena *arena = h2_stream_arena(cs);
    struct http_head *kept = arena_alloc(arena, sizeof *kept);
    struct exchange *y = NULL;
    if (kept && promised_request(x, &(struct push_promise){.request = head}, arena, kept) == 0)
        y = exchange_push(x, cs, kept);
    if (!y)
        h2_stream_reset(cs, H2_INTERNAL_ERROR);
    client_wants_flush(x->client);
    return y;
}

/* Nothing stays in the page's arena: there is no end to what a worker may promise with a response
 * that has none.
 * return  what will answer the promise, which is on its way to the client; or NULL with *why */
static struct exchange *promise(struct exchange *x, const struct push_promise *p, int64_t octets,
                                bool own, enum push_reason *why)
{
    struct arena tmp;
    arena_init(&tmp, x->shard->pool);
    struct exchange *y = promise_with(x, p, octets, own, &tmp, why);
    arena_fini(&tmp);
    return y;
}

static void pushed(struct exchange *x, const struct push_promise *p, const struct push_facts *f)
{
    struct shard *s = x->shard;
    struct push_page *page = x->page;
    uint64_t octets = f->octets > 0 ? (uint64_t)f->octets : 0;
    x->promises++;
    x->client->push->open++;
    if (page->has_budget)
        page->budget_octets -= octets < page->budget_octets ? octets : page->budget_octets;
    remember(x, &p->request, PUSH_SEEN_PUSHED);
    push_consent_kind_begin(&s->kinds, x->client->push->kind, shard_now_us(s));
    push_answers_push_begin(&s->answers,
                            push_resource(s, x->site, p->request.authority, p->request.path),
                            shard_now_us(s));
}

/* ---- 103 ---- */

/* A Link field for a promise that had none: what a browser needs to act on it. */
static void hint(struct exchange *x, const struct push_promise *p)
{
    remember(x, &p->request, PUSH_SEEN_HINTED);
    if (p->source == PUSH_SOURCE_LINK || p->source == PUSH_SOURCE_EARLY_HINT)
        return; /* the app's own field tells */
    x->page->hinted++;
    x->page->hint_octets += (uint32_t)p->request.path.len;
    bool same = slice_ieq(p->request.authority, x->request->authority);
    struct slice as = p->as.len ? p->as : push_destination(p->request.path);
    const char *cors = p->crossorigin || slice_eq(as, SLICE("font")) ? "; crossorigin" : "";
    struct slice url =
        same ? arena_dup(x->arena, p->request.path)
             : arena_printf(x->arena, "%.*s://%.*s%.*s", SLICE_FMT(x->request->scheme),
                            SLICE_FMT(p->request.authority), SLICE_FMT(p->request.path));
    struct slice value =
        as.len ? arena_printf(x->arena, "<%.*s>; rel=preload; as=%.*s%s", SLICE_FMT(url),
                              SLICE_FMT(as), cors)
               : arena_printf(x->arena, "<%.*s>; rel=preload%s", SLICE_FMT(url), cors);
    if (url.p && value.p && fields_add_token(&x->page->hints, x->arena, TOKEN_LINK, value) == 0 &&
        !x->page->waits_for_103)
        settle_before_flush(x->client);
}

static void send_hints(struct exchange *x)
{
    struct http_head head = {.status = 103, .content_length = -1, .fields = x->page->hints};
    if (x->head_sent || x->ended || head.fields.count == 0)
        return;
    x->page->hints = (struct fields){.count = 0};
    stats_add(&x->site->stats->early_hints, 1);
    client_send_head(x, &head, false);
}

/* ---- the decision is carried out ---- */

static void refuse(struct exchange *x, struct promised *pr, struct worker *w, struct h2_stream *ws)
{
    if (pr)
        promised_drop(pr);
    else if (ws)
        worker_refuse(w, ws, x->site);
}

/* x: whose client and path it is of: the page's for a promise, else the resource's own.
 * return  the resource's row */
static struct push_ledger_row *count_fate(struct exchange *x, enum push_fate fate, uint64_t octets,
                                          enum push_vehicle vehicle, struct slice path)
{
    struct push_ledger *l = &x->site->stats->push;
    struct push_ledger_row *row = push_ledger_resource(l, path);
    push_ledger_fate(l, fate, octets, x->client->push->agent, vehicle);
    push_ledger_row_fate(row, fate, octets);
    return row;
}

static void record(struct exchange *x, const struct push_promise *p, const struct push_facts *f,
                   struct push_decision d)
{
    struct push_ledger *l = &x->site->stats->push;
    struct push_ledger_row *row = push_ledger_resource(l, p->request.path);
    push_ledger_promise(l, p->source, d);
    push_ledger_row_promise(row, d);
    push_ledger_row_switch(row, f->switched_off);
    push_trace_add(x, p, d, f->octets);
}

/* What becomes of a promise that is not pushed. */
static enum push_fate fate_of(struct push_decision d, bool observed)
{
    return observed                                             ? PUSH_FATE_OBSERVED
           : d.vehicle == PUSH_VEHICLE_PARKED                   ? PUSH_FATE_PARKED
           : d.vehicle == PUSH_VEHICLE_NONE                     ? PUSH_FATE_NOT_PUSHED
           : push_reason_against(d.reason) == PUSH_AGAINST_BOTH ? PUSH_FATE_NOT_PUSHED
                                                                : PUSH_FATE_HINTED;
}

/* pr: what is kept of the worker's response, or NULL; ws: its stream, if nothing is. */
static void carry_out(struct exchange *x, const struct push_promise *p, const struct push_facts *f,
                      struct push_decision d, struct promised *pr, struct worker *w,
                      struct h2_stream *ws)
{
    bool observed = f->policy == PUSH_POLICY_OBSERVE;
    bool keeps = d.vehicle == PUSH_VEHICLE_PUSH_PROMISE || d.vehicle == PUSH_VEHICLE_PARKED;
    struct exchange *y = NULL;
    if (keeps && ws && !pr && !observed && !(pr = promised_new(x, w, ws, p)))
        d = (struct push_decision){PUSH_VEHICLE_NONE, PUSH_REASON_LIMIT, PUSH_REASON_LIMIT};
    if (pr)
        pr->page = NULL;
    if (d.vehicle == PUSH_VEHICLE_PUSH_PROMISE && !observed) {
        enum push_reason why;
        y = promise(x, p, f->octets, !pr, &why);
        if (!y)
            d = (struct push_decision){PUSH_VEHICLE_NONE, why, why};
    }
    record(x, p, f, d);
    if (y) {
        pushed(x, p, f);
        if (pr)
            promised_hand_over(pr, y);
        else
            exchange_attach_again(y);
        return;
    }
    enum push_fate fate = fate_of(d, observed);
    count_fate(x, fate, 0, d.vehicle, p->request.path);
    if (fate == PUSH_FATE_HINTED || fate == PUSH_FATE_PARKED)
        hint(x, p);
    if (fate == PUSH_FATE_PARKED)
        promised_park(pr);
    else
        refuse(x, pr, w, ws);
}

static void consider(struct exchange *x, const struct push_promise *p, struct worker *w,
                     struct h2_stream *ws)
{
    bool first = !x->site->has_promised;
    x->site->has_promised = true;
    if (!client_state(x) || !page_state(x)) {
        refuse(x, NULL, w, ws);
        return;
    }
    if (first) /* from now on requests are remembered when they come */
        remember(x, x->request, PUSH_SEEN_REQUESTED);
    struct push_facts f = push_facts(x, p, NULL);
    struct push_decision d = push_decide(p, &f);
    /* The answer is under way: soon more will be known of it, its own size among that. */
    if (ws && (d.reason == PUSH_REASON_UNKNOWN || d.reason == PUSH_REASON_BUDGET) &&
        promised_new(x, w, ws, p)) {
        x->page->undecided++;
        x->client->push->undecided++;
        return;
    }
    carry_out(x, p, &f, d, NULL, w, ws);
}

/* ---- worker's promises ---- */

void push_from_worker(struct exchange *x, struct worker *w, struct h2_stream *ws,
                      const struct http_head *head)
{
    struct push_promise p = {.source = PUSH_SOURCE_WORKER,
                             .request = *head,
                             .as = push_destination(head->path),
                             .has_content = head->content_length > 0};
    consider(x, &p, w, ws);
}

/* Its page waits for it no more.  return  the page */
static struct exchange *leave_page(struct promised *pr)
{
    struct exchange *x = pr->page;
    pr->page = NULL;
    x->page->undecided--;
    x->client->push->undecided--;
    return x;
}

/* Enough is known by now, or there is no more time. */
static void settle(struct promised *pr)
{
    struct push_facts f = push_facts(pr->page, &pr->promise, pr);
    struct push_decision d = push_decide(&pr->promise, &f);
    carry_out(leave_page(pr), &pr->promise, &f, d, pr, NULL, NULL);
}

void push_promised_lost(struct promised *p)
{
    const struct push_decision d = {PUSH_VEHICLE_NONE, PUSH_REASON_UNKNOWN, PUSH_REASON_UNKNOWN};
    struct push_facts f = push_facts(p->page, &p->promise, p);
    struct exchange *x = leave_page(p);
    record(x, &p->promise, &f, d);
    count_fate(x, PUSH_FATE_NOT_PUSHED, 0, d.vehicle, p->promise.request.path);
}

void push_promised_knows(struct promised *p)
{
    if (p->head.content_length >= 0 || p->ended)
        settle_before_flush(p->client);
}

void push_parked_ended(struct promised *p, bool collected)
{
    struct push_ledger *l = &p->site->stats->push;
    enum push_fate fate = collected ? PUSH_FATE_COLLECTED : PUSH_FATE_EXPIRED;
    push_ledger_fate(l, fate, 0, p->client->push->agent, PUSH_VEHICLE_PARKED);
    push_ledger_row_fate(push_ledger_resource(l, p->promise.request.path), fate, 0);
}

static void settle_all(struct exchange *x)
{
    LIST_FOR(node, &x->client->push->promised)
    {
        struct promised *pr = LIST_ENTRY(node, struct promised, node);
        if (pr->page == x)
            settle(pr);
    }
}

/* ---- a page whose promises are not decided yet ---- */

bool push_holds(struct exchange *x, const struct http_head *head, bool end)
{
    struct push_page *page = x->page;
    if (!page || !page->undecided || page->released)
        return false;
    struct http_head *kept = arena_alloc(x->arena, sizeof *kept);
    if (!kept)
        return false;
    *kept = *head;
    if (fields_copy(x->arena, &head->fields, &kept->fields) < 0)
        return false;
    page->head = kept;
    page->ended = end;
    chain_init(&page->body, x->shard->pool);
    settle_before_flush(x->client);
    return true;
}

int push_hold_body(struct exchange *x, struct slice octets, struct chunk *chunk, bool end)
{
    x->page->ended = end;
    return chain_add(&x->page->body, octets, chunk);
}

int push_hold_trailers(struct exchange *x, const struct fields *trailers)
{
    x->page->ended = x->page->has_trailers = true;
    return fields_copy(x->arena, trailers, &x->page->trailers);
}

static void release(struct exchange *x)
{
    struct push_page *page = x->page;
    struct http_head *head = page->head;
    bool ends = page->ended && !page->has_trailers;
    push_trace_take(x, &head->fields);
    page->head = NULL;
    page->released = true;
    int err = client_send_head(x, head, ends && page->body.octets == 0);
    while (err == 0 && page->body.octets) {
        struct slice part = chain_peek(&page->body);
        err = client_send_body(x, part, ends && part.len == page->body.octets);
        chain_drop(&page->body, part.len);
    }
    chain_fini(&page->body);
    if (err == 0 && page->has_trailers)
        err = client_send_trailers(x, &page->trailers);
    if (err < 0 && !x->ended)
        client_cut(x, H2_INTERNAL_ERROR);
}

void push_page_ends(struct exchange *x)
{
    struct push_page *page = x->page;
    if (!page)
        return;
    if (page->undecided)
        settle_all(x);
    push_seen_fini(&page->seen, x->shard->pool);
    if (page->head) {
        page->head = NULL;
        chain_fini(&page->body);
    }
}

/* What is about to leave may refer to what is promised: now or never.  RFC 9113 8.4.1 */
static bool is_last_moment(const struct exchange *x)
{
    const struct push_page *page = x->page;
    if (page->head)
        return page->ended || page->body.octets || fields_find(&page->head->fields, TOKEN_LINK);
    return x->head_sent && (client_queued(x) || x->response_ended);
}

void push_before_flush(struct client *c)
{
    c->push->due = false;
    LIST_FOR(node, &c->push->promised)
    {
        struct promised *pr = LIST_ENTRY(node, struct promised, node);
        if (pr->page && (pr->ended || pr->head.content_length >= 0 || is_last_moment(pr->page)))
            settle(pr);
    }
    LIST_FOR(node, &c->exchanges)
    {
        struct exchange *x = LIST_ENTRY(node, struct exchange, client_node);
        if (x->page && !x->page->waits_for_103)
            send_hints(x);
        if (push_is_held(x))
            release(x);
    }
}

/* ---- Link fields and the app's configuration ---- */

static void on_link(void *user, struct push_promise *p)
{
    struct exchange *x = user;
    if (!x->ended)
        consider(x, p, NULL, NULL);
}

static void read_links(struct exchange *x, const struct fields *fields, enum push_source source)
{
    link_read(fields, x->request, source, x->arena, on_link, x);
}

void push_from_head(struct exchange *x, const struct http_head *response, struct http_head *out)
{
    bool final = response->status >= 200;
    if (!push_is_on(&x->site->route.push) || x->tunnel)
        return;
    if (x->cs && fields_find(&response->fields, TOKEN_LINK))
        read_links(x, &response->fields, final ? PUSH_SOURCE_LINK : PUSH_SOURCE_EARLY_HINT);
    x->had_103 |= response->status == 103;
    if (x->ended || !x->site->has_promised)
        return;
    if (x->page) { /* one 103 for a browser, which reads the first only; or the response itself */
        for (uint32_t i = 0; i < x->page->hints.count; i++)
            fields_add_token(&out->fields, x->arena, TOKEN_LINK, x->page->hints.at[i].value);
        x->page->hints = (struct fields){.count = 0};
        x->page->waits_for_103 = false;
    }
}

static void from_configuration(struct exchange *x)
{
    struct slice rest = x->site->push_rules.preload, pattern, value;
    struct push_answer known;
    struct shard *s = x->shard;
    while (push_rules_next(&rest, &pattern) && push_rules_next(&rest, &value)) {
        if (!push_pattern_matches(pattern, x->request->path))
            continue;
        if (!page_state(x) || x->ended)
            return;
        x->page->waits_for_103 =
            push_answers_find(&s->answers,
                              push_resource(s, x->site, x->request->authority, x->request->path),
                              shard_now_us(s), &known) &&
            known.sends_103;
        struct field one = {.name = SLICE("link"), .value = value, .token = TOKEN_LINK};
        read_links(x, &(struct fields){.at = &one, .count = 1, .cap = 1}, PUSH_SOURCE_CONFIG);
    }
}

/* ---- requests, and ends ---- */

/* The client asks for what it was hinted, which is what a hint is for, or for what it was pushed,
 * which makes that waste. */
static void asked(struct exchange *x, enum push_seen_how before)
{
    struct shard *s = x->shard;
    struct slice path = x->request->path;
    uint64_t resource = push_resource(s, x->site, x->request->authority, path);
    struct push_answer known = {.octets = PUSH_OCTETS_UNKNOWN};
    if (before == PUSH_SEEN_HINTED) {
        count_fate(x, PUSH_FATE_HINT_USED, 0, PUSH_VEHICLE_EARLY_HINT, path);
    } else if (before == PUSH_SEEN_PUSHED) {
        const struct push_past_entry *past = push_past_resource(&x->client->push->past, resource);
        if (past && past->is_refused)
            return; /* it is wasted already */
        push_answers_find(&s->answers, resource, shard_now_us(s), &known);
        count_fate(x, PUSH_FATE_REPEATED, known.octets == PUSH_OCTETS_UNKNOWN ? 0 : known.octets,
                   PUSH_VEHICLE_PUSH_PROMISE, path);
        if (x->client->push->consent.completed)
            push_answers_push_revise(&s->answers, resource, shard_now_us(s));
    }
}

bool push_request(struct exchange *x)
{
    struct push_client *pc = client_state(x);
    if (!pc || !slice_eq(x->request->method, SLICE("GET")))
        return false;
    if (!pc->shared) {
        asked(x, remember(x, x->request, PUSH_SEEN_REQUESTED));
        if (pc->kept && promised_ask(x))
            return true;
    }
    if (x->site->push_rules.preload.len)
        from_configuration(x);
    return x->ended;
}

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

static bool is_refusal(uint32_t h2_code)
{
    return h2_code == H2_CANCEL || h2_code == H2_REFUSED_STREAM;
}

void push_ended(struct exchange *x, bool complete, uint32_t reset_code)
{
    struct shard *s = x->shard;
    struct push_client *pc = x->client->push;
    bool refused = !complete && is_refusal(reset_code);
    struct push_ledger_row *row =
        count_fate(x,
                   complete  ? PUSH_FATE_COMPLETED
                   : refused ? PUSH_FATE_REFUSED
                             : PUSH_FATE_FAILED,
                   x->body_out, PUSH_VEHICLE_PUSH_PROMISE, x->request->path);
    pc->open--;
    if (!complete && !refused)
        return;
    uint64_t resource = push_resource(s, x->site, x->request->authority, x->request->path);
    push_past_add(&pc->past, s->pool,
                  &(struct push_past_entry){.ledger = &x->site->stats->push,
                                            .row = row,
                                            .row_version = push_ledger_row_version(row),
                                            .stream_id = h2_stream_id(x->cs),
                                            .resource = resource,
                                            .octets = x->body_out,
                                            .kind = pc->agent,
                                            .is_refused = refused});
    push_consent_ended(&pc->consent, refused);
    push_consent_vote(&pc->consent, &s->kinds, s->pool, pc->kind, false, shard_now_us(s));
    if (complete || pc->consent.completed)
        push_answers_push_end(&s->answers, s->pool, resource, refused, shard_now_us(s));
}

void push_reset_late(struct client *c, uint32_t stream_id, uint32_t h2_code)
{
    struct shard *s = c->shard;
    struct push_client *pc = c->push;
    struct push_past_entry *past = pc ? push_past_stream(&pc->past, stream_id) : NULL;
    if (!past || past->is_refused || !is_refusal(h2_code))
        return;
    past->is_refused = true;
    push_ledger_fate(past->ledger, PUSH_FATE_REFUSED_LATE, past->octets, past->kind,
                     PUSH_VEHICLE_PUSH_PROMISE);
    if (push_ledger_row_version(past->row) == past->row_version)
        push_ledger_row_fate(past->row, PUSH_FATE_REFUSED_LATE, past->octets);
    push_consent_refused_late(&pc->consent);
    push_consent_vote(&pc->consent, &s->kinds, s->pool, pc->kind, false, shard_now_us(s));
    if (pc->consent.completed)
        push_answers_push_revise(&s->answers, past->resource, shard_now_us(s));
}
