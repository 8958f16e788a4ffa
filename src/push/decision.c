/* SPDX-License-Identifier: Apache-2.0 */
#include "push/decision.h"
#include "base/panic.h"

static const struct {
    const char *name, *text;
} vehicles[PUSH_VEHICLE_COUNT] = {
#define X(symbol, name_, text_) [PUSH_VEHICLE_##symbol] = {.name = name_, .text = text_},
    PUSH_VEHICLE_TABLE(X)
#undef X
};

static const struct {
    const char *code, *text;
    enum push_against against;
    enum push_weight weight;
} reasons[PUSH_REASON_COUNT] = {
#define X(name, code_, against_, weight_, text_)                \
    [PUSH_REASON_##name] = {.code = code_,                      \
                            .text = text_,                      \
                            .against = PUSH_AGAINST_##against_, \
                            .weight = PUSH_##weight_},
    PUSH_REASON_TABLE(X)
#undef X
};

const char *push_vehicle_name(enum push_vehicle v)
{
    ASSERT((unsigned)v < PUSH_VEHICLE_COUNT);
    return vehicles[v].name;
}

const char *push_vehicle_text(enum push_vehicle v)
{
    ASSERT((unsigned)v < PUSH_VEHICLE_COUNT);
    return vehicles[v].text;
}

const char *push_reason_code(enum push_reason r)
{
    ASSERT((unsigned)r < PUSH_REASON_COUNT);
    return reasons[r].code;
}

const char *push_reason_text(enum push_reason r)
{
    ASSERT((unsigned)r < PUSH_REASON_COUNT);
    return reasons[r].text;
}

enum push_against push_reason_against(enum push_reason r)
{
    ASSERT((unsigned)r < PUSH_REASON_COUNT);
    return reasons[r].against;
}

enum push_weight push_reason_weight(enum push_reason r)
{
    ASSERT((unsigned)r < PUSH_REASON_COUNT);
    return reasons[r].weight;
}

static bool speaks_against(enum push_reason r, const struct push_promise *p,
                           const struct push_facts *f)
{
    switch (r) {
    case PUSH_REASON_POLICY_OFF:
        return f->policy == PUSH_POLICY_OFF || f->policy == PUSH_POLICY_DENY;
    case PUSH_REASON_METHOD:
        /* Of the methods that are safe and cacheable only these two are in use. */
        return !slice_eq(p->request.method, SLICE("GET")) &&
               !slice_eq(p->request.method, SLICE("HEAD"));
    case PUSH_REASON_CONTENT:
        return p->has_content || p->request.content_length > 0;
    case PUSH_REASON_AUTHORITY:
        return !f->authority_same_app;
    case PUSH_REASON_SCHEME:
        return !f->scheme_same;
    case PUSH_REASON_RECURSION:
        return f->parent_pushed;
    case PUSH_REASON_PATTERN:
        return f->excluded;
    case PUSH_REASON_DUPLICATE:
        return f->seen;
    case PUSH_REASON_HOLDBACK:
        return f->held_back;
    case PUSH_REASON_POLICY_HINTS:
        return f->policy == PUSH_POLICY_HINTS;
    case PUSH_REASON_NOPUSH:
        return p->nopush;
    case PUSH_REASON_CERTIFICATE:
        return !f->authority_covered;
    case PUSH_REASON_CROSSORIGIN:
        return p->crossorigin;
    case PUSH_REASON_PROTOCOL:
        return !f->client_h2;
    case PUSH_REASON_CLIENT_DISABLED:
        return !f->client_push_enabled;
    case PUSH_REASON_STREAMS:
        return f->client_max_streams == 0;
    case PUSH_REASON_PARENT_CLOSED:
        return !f->parent_open;
    case PUSH_REASON_GOING_AWAY:
        return f->going_away;
    case PUSH_REASON_REFUSED_HERE:
        return f->refused_here;
    case PUSH_REASON_REFUSED_BY_KIND:
        return f->refused_by_kind;
    case PUSH_REASON_CONDITIONAL:
        return f->conditional;
    case PUSH_REASON_RELOAD:
        return f->reload;
    case PUSH_REASON_LATE:
        return f->late;
    case PUSH_REASON_UNKNOWN:
        return f->status == 0 || f->octets < 0;
    case PUSH_REASON_STATUS:
        return f->status != 200;
    case PUSH_REASON_CREDENTIALS:
        /* What a worker promises it answers for this very client. */
        return f->personal && p->source != PUSH_SOURCE_WORKER;
    case PUSH_REASON_SWITCHED_OFF:
        return f->switched_off;
    case PUSH_REASON_BUDGET:
        return f->octets >= 0 && (uint64_t)f->octets > f->budget_octets;
    case PUSH_REASON_LIMIT:
        return f->open_pushes >= f->max_pushes || f->behind || f->crowded;
    case PUSH_REASON_PUSH_ONLY:
        return p->push_only;
    case PUSH_REASON_HINT_PROTOCOL:
        return !f->client_h2;
    case PUSH_REASON_HINT_LATE:
        return f->head_sent;
    case PUSH_REASON_HINT_CLIENT:
        return !f->navigation;
    case PUSH_REASON_HINT_UNNEEDED:
        return p->source == PUSH_SOURCE_LINK || p->source == PUSH_SOURCE_EARLY_HINT;
    case PUSH_REASON_HINT_LIMIT:
        return f->hints_full || f->behind;
    case PUSH_REASON_OK:
    case PUSH_REASON_COUNT:
        break;
    }
    UNREACHABLE();
}

/* The first reason that speaks against one or both.  return  OK: there is none */
static enum push_reason first(enum push_against against, const struct push_promise *p,
                              const struct push_facts *f)
{
    for (unsigned r = PUSH_REASON_OK + 1; r < PUSH_REASON_COUNT; r++) {
        bool applies = reasons[r].against == against &&
                       !(reasons[r].weight == PUSH_CARE && f->policy == PUSH_POLICY_ALWAYS);
        if (applies && speaks_against((enum push_reason)r, p, f))
            return (enum push_reason)r;
    }
    return PUSH_REASON_OK;
}

/* A Link field is the app's own and stays in the response whatever is decided here; a worker's
 * promise, and what the app's configuration says, has nothing else that could carry it. */
static enum push_vehicle left_over(const struct push_promise *p)
{
    return p->source == PUSH_SOURCE_LINK         ? PUSH_VEHICLE_LINK
           : p->source == PUSH_SOURCE_EARLY_HINT ? PUSH_VEHICLE_EARLY_HINT
                                                 : PUSH_VEHICLE_NONE;
}

/* What the worker answers already can wait for the client's own request, where the connection is
 * one client's and nothing makes this the answer to nobody. */
static bool can_be_parked(const struct push_promise *p, const struct push_facts *f)
{
    return p->source == PUSH_SOURCE_WORKER && slice_eq(p->request.method, SLICE("GET")) &&
           f->policy != PUSH_POLICY_HINTS && !f->shared && !f->conditional && !f->reload;
}

struct push_decision push_decide(const struct push_promise *p, const struct push_facts *f)
{
    struct push_decision d = {.vehicle = left_over(p)};
    d.reason = d.hint = first(PUSH_AGAINST_BOTH, p, f);
    if (d.reason)
        return d;
    d.reason = first(PUSH_AGAINST_PUSH, p, f);
    if (d.reason == PUSH_REASON_OK) {
        d.vehicle = PUSH_VEHICLE_PUSH_PROMISE;
        return d;
    }
    d.hint = first(PUSH_AGAINST_HINT, p, f);
    if (d.hint == PUSH_REASON_OK)
        d.vehicle = can_be_parked(p, f) ? PUSH_VEHICLE_PARKED : PUSH_VEHICLE_EARLY_HINT;
    return d;
}
