/* SPDX-License-Identifier: Apache-2.0 */
#include "push/decision.h"
#include "base/panic.h"

static const char *const vehicle_names[PUSH_VEHICLE_COUNT] = {
#define X(name, text) [PUSH_VEHICLE_##name] = text,
    PUSH_VEHICLE_TABLE(X)
#undef X
};

static const struct {
    const char *code, *text;
} reasons[PUSH_REASON_COUNT] = {
#define X(name, code_, text_) [PUSH_REASON_##name] = {.code = code_, .text = text_},
    PUSH_REASON_TABLE(X)
#undef X
};

const char *push_vehicle_name(enum push_vehicle v)
{
    ASSERT((unsigned)v < PUSH_VEHICLE_COUNT);
    return vehicle_names[v];
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

static bool speaks_against(enum push_reason r, const struct push_promise *p,
                           const struct push_facts *f)
{
    switch (r) {
    case PUSH_REASON_POLICY_OFF:
        return f->policy == PUSH_POLICY_OFF;
    case PUSH_REASON_NOPUSH:
        return p->nopush;
    case PUSH_REASON_METHOD:
        /* Of the methods that are safe and cacheable only these two are in use. */
        return !slice_eq(p->request.method, SLICE("GET")) &&
               !slice_eq(p->request.method, SLICE("HEAD"));
    case PUSH_REASON_CONTENT:
        return p->has_content || p->request.content_length > 0;
    case PUSH_REASON_AUTHORITY:
        return !f->authority_same_app;
    case PUSH_REASON_CERTIFICATE:
        return !f->authority_covered;
    case PUSH_REASON_SCHEME:
        return !f->scheme_same;
    case PUSH_REASON_CROSSORIGIN:
        return p->crossorigin;
    case PUSH_REASON_RECURSION:
        return f->parent_pushed;
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
    case PUSH_REASON_DUPLICATE:
        return f->seen;
    case PUSH_REASON_LIMIT:
        return f->open_pushes >= f->max_pushes;
    case PUSH_REASON_OK:
    case PUSH_REASON_COUNT:
        break;
    }
    UNREACHABLE();
}

/* A Link field is the app's own and stays in the response whatever is decided here; a worker's
 * promise that is not passed on has nothing that could carry it. */
struct push_decision push_decide(const struct push_promise *p, const struct push_facts *f)
{
    for (unsigned r = PUSH_REASON_OK + 1; r < PUSH_REASON_COUNT; r++) {
        if (!speaks_against((enum push_reason)r, p, f))
            continue;
        return (struct push_decision){
            .vehicle = p->source == PUSH_SOURCE_WORKER ? PUSH_VEHICLE_NONE : PUSH_VEHICLE_LINK,
            .reason = (enum push_reason)r,
        };
    }
    return (struct push_decision){.vehicle = PUSH_VEHICLE_PUSH_PROMISE, .reason = PUSH_REASON_OK};
}
