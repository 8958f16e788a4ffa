/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/push_internal.h"
#include "edge/client.h"
#include "edge/push_facts.h"
#include "edge/push_trace.h"
#include "edge/site.h"
#include "edge/worker.h"
#include "base/err.h"
#include "push/link.h"
#include "push/pattern.h"
#include "push/urgency.h"

/* Octets of a critical response that go into the page, rather than behind it. */
#define PUSH_WEAVE_MAX (64 << 10)

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

static void draw_budget(struct push_page *page, const struct push_facts *f)
{
    uint64_t octets = f->octets > 0 ? (uint64_t)f->octets : 0;
    if (page->has_budget)
        page->budget_octets -= octets < page->budget_octets ? octets : page->budget_octets;
}

static void pushed(struct exchange *x, const struct push_promise *p, const struct push_facts *f)
{
    struct shard *s = x->shard;
    x->promises++;
    x->client->push->open++;
    draw_budget(x->page, f);
    push_remember(x, &p->request, PUSH_SEEN_PUSHED);
    push_consent_kind_begin(&s->kinds, x->client->push->kind, shard_now_us(s));
    push_answers_push_begin(&s->answers, push_resource(x, p->request.authority, p->request.path),
                            shard_now_us(s));
}

/* ---- 103 ---- */

/* A Link field for a promise that had none: what a browser needs to act on it. */
static void hint(struct exchange *x, const struct push_promise *p)
{
    push_remember(x, &p->request, PUSH_SEEN_HINTED);
    if (p->source == PUSH_SOURCE_LINK || p->source == PUSH_SOURCE_EARLY_HINT)
        return; /* the app's own field tells */
    x->page->hinted++;
    x->page->hint_octets += (uint32_t)(p->request.path.len + p->parameters.len);
    /* What begins with two slashes would name another host.  RFC 3986 4.2 */
    bool same = slice_ieq(p->request.authority, x->request->authority) &&
                !slice_starts(p->request.path, SLICE("//"));
    /* The operator's own words as they are, and what they lack. */
    struct slice said = p->parameters.len ? p->parameters : SLICE("; rel=preload");
    struct slice as = p->as.len ? p->as : push_destination(p->request.path);
    bool says_as = !as.len || (p->parameters.len && p->as.len);
    bool says_cors = p->parameters.len ? p->says_crossorigin || !slice_eq(as, SLICE("font"))
                                       : !p->crossorigin && !slice_eq(as, SLICE("font"));
    struct slice url =
        same ? arena_dup(x->arena, p->request.path)
             : arena_printf(x->arena, "%.*s://%.*s%.*s", SLICE_FMT(x->request->scheme),
                            SLICE_FMT(p->request.authority), SLICE_FMT(p->request.path));
    struct slice value =
        arena_printf(x->arena, "<%.*s>%.*s%s%.*s%s", SLICE_FMT(url), SLICE_FMT(said),
                     says_as ? "" : "; as=", SLICE_FMT(says_as ? SLICE("") : as),
                     says_cors ? "" : "; crossorigin");
    if (url.p && value.p && fields_add_token(&x->page->hints, x->arena, TOKEN_LINK, value) == 0 &&
        !x->page->waits_for_103)
        push_settle_soon(x->client);
}

void push_send_hints(struct exchange *x)
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

void push_record(struct exchange *x, const struct push_promise *p, const struct push_facts *f,
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

void push_carry_out(struct exchange *x, const struct push_promise *p, const struct push_facts *f,
                    struct push_decision d, struct promised *pr, struct worker *w,
                    struct h2_stream *ws)
{
    bool observed = f->policy == PUSH_POLICY_OBSERVE;
    bool keeps = d.vehicle == PUSH_VEHICLE_PUSH_PROMISE || d.vehicle == PUSH_VEHICLE_PARKED;
    struct exchange *y = NULL;
    if (keeps && ws && !pr && !observed && !(pr = promised_new(x, w, ws, p))) {
        bool may_hint = d.vehicle == PUSH_VEHICLE_PARKED; /* nothing spoke against that */
        d = may_hint
                ? (struct push_decision){PUSH_VEHICLE_EARLY_HINT, d.reason, PUSH_REASON_OK}
                : (struct push_decision){PUSH_VEHICLE_NONE, PUSH_REASON_LIMIT, PUSH_REASON_LIMIT};
    }
    if (pr)
        pr->page = NULL;
    if (d.vehicle == PUSH_VEHICLE_PUSH_PROMISE && !observed) {
        enum push_reason why;
        y = promise(x, p, f->octets, !pr, &why);
        if (!y)
            d = (struct push_decision){PUSH_VEHICLE_NONE, why, why};
    }
    push_record(x, p, f, d);
    if (y) {
        pushed(x, p, f);
        if (pr)
            promised_hand_over(pr, y);
        else
            exchange_attach_again(y);
        return;
    }
    if (observed && d.vehicle == PUSH_VEHICLE_PUSH_PROMISE) {
        draw_budget(x->page, f); /* what comes after it is judged as if it had been pushed */
        push_remember(x, &p->request, PUSH_SEEN_REQUESTED);
    }
    enum push_fate fate = fate_of(d, observed);
    push_count_fate(x, fate, 0, d.vehicle, p->request.path);
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
    if (!push_client_of(x) || !push_page_ensure(x)) {
        refuse(x, NULL, w, ws);
        return;
    }
    if (first) /* from now on requests are remembered when they come */
        push_remember(x, x->request, PUSH_SEEN_REQUESTED);
    struct push_facts f = push_facts(x, p, NULL);
    struct push_decision d = push_decide(p, &f);
    /* The answer is under way: soon more will be known of it, its own size among that. */
    if (ws && (d.reason == PUSH_REASON_UNKNOWN || d.reason == PUSH_REASON_BUDGET) &&
        promised_new(x, w, ws, p)) {
        x->page->undecided++;
        x->client->push->undecided++;
        return;
    }
    push_carry_out(x, p, &f, d, NULL, w, ws);
}

/* ---- sources ---- */

void push_from_worker(struct exchange *x, struct worker *w, struct h2_stream *ws,
                      const struct http_head *head)
{
    struct push_promise p = {.source = PUSH_SOURCE_WORKER,
                             .request = *head,
                             .as = push_destination(head->path),
                             .has_content = head->content_length > 0};
    consider(x, &p, w, ws);
}

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

void push_from_configuration(struct exchange *x)
{
    struct slice rest = x->site->push_rules.preload, pattern, value;
    struct push_answer known;
    struct shard *s = x->shard;
    while (push_rules_next(&rest, &pattern) && push_rules_next(&rest, &value)) {
        if (!push_pattern_matches(pattern, x->request->path))
            continue;
        if (!push_page_ensure(x) || x->ended)
            return;
        x->page->waits_for_103 =
            push_answers_find(&s->answers,
                              push_resource(x, x->request->authority, x->request->path),
                              shard_now_us(s), &known) &&
            known.sends_103;
        struct field one = {.name = SLICE("link"), .value = value, .token = TOKEN_LINK};
        read_links(x, &(struct fields){.at = &one, .count = 1, .cap = 1}, PUSH_SOURCE_CONFIG);
    }
}
