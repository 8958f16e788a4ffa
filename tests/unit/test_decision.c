/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "push/decision.h"

/* A promise and facts that nothing speaks against, and which reasons were made to hold since. */
struct question {
    struct push_promise p;
    struct push_facts f;
    bool holds[PUSH_REASON_COUNT];
};

static struct question fine(enum push_source source, enum push_policy policy)
{
    struct question q = {
        .p = {.source = source, .request = {.method = SLICE("GET"), .content_length = -1}},
        .f = {.policy = policy,
              .client_h2 = true,
              .client_push_enabled = true,
              .client_max_streams = 100,
              .navigation = true,
              .authority_same_app = true,
              .authority_covered = true,
              .scheme_same = true,
              .parent_open = true,
              .status = 200,
              .octets = 1000,
              .budget_octets = 1000,
              .max_pushes = 1},
    };
    q.holds[PUSH_REASON_POLICY_OFF] = policy == PUSH_POLICY_OFF || policy == PUSH_POLICY_DENY;
    q.holds[PUSH_REASON_POLICY_HINTS] = policy == PUSH_POLICY_HINTS;
    q.holds[PUSH_REASON_HINT_UNNEEDED] =
        source == PUSH_SOURCE_LINK || source == PUSH_SOURCE_EARLY_HINT;
    return q;
}

static void spoil(struct question *q, enum push_reason r)
{
    bool before = q->holds[r];
    q->holds[r] = true;
    switch (r) {
    case PUSH_REASON_METHOD:
        q->p.request.method = SLICE("POST");
        break;
    case PUSH_REASON_CONTENT:
        q->p.has_content = true;
        break;
    case PUSH_REASON_AUTHORITY:
        q->f.authority_same_app = false;
        break;
    case PUSH_REASON_SCHEME:
        q->f.scheme_same = false;
        break;
    case PUSH_REASON_RECURSION:
        q->f.parent_pushed = true;
        break;
    case PUSH_REASON_PATTERN:
        q->f.excluded = true;
        break;
    case PUSH_REASON_DUPLICATE:
        q->f.seen = true;
        break;
    case PUSH_REASON_HOLDBACK:
        q->f.held_back = true;
        break;
    case PUSH_REASON_NOPUSH:
        q->p.nopush = true;
        break;
    case PUSH_REASON_CERTIFICATE:
        q->f.authority_covered = false;
        break;
    case PUSH_REASON_CROSSORIGIN:
        q->p.crossorigin = true;
        break;
    case PUSH_REASON_PROTOCOL:
    case PUSH_REASON_HINT_PROTOCOL:
        q->f.client_h2 = false;
        q->holds[PUSH_REASON_PROTOCOL] = q->holds[PUSH_REASON_HINT_PROTOCOL] = true;
        break;
    case PUSH_REASON_CLIENT_DISABLED:
        q->f.client_push_enabled = false;
        break;
    case PUSH_REASON_STREAMS:
        q->f.client_max_streams = 0;
        break;
    case PUSH_REASON_PARENT_CLOSED:
        q->f.parent_open = false;
        break;
    case PUSH_REASON_GOING_AWAY:
        q->f.going_away = true;
        break;
    case PUSH_REASON_REFUSED_HERE:
        q->f.refused_here = true;
        break;
    case PUSH_REASON_REFUSED_BY_KIND:
        q->f.refused_by_kind = true;
        break;
    case PUSH_REASON_CONDITIONAL:
        q->f.conditional = true;
        break;
    case PUSH_REASON_RELOAD:
        q->f.reload = true;
        break;
    case PUSH_REASON_LATE:
        q->f.late = true;
        break;
    case PUSH_REASON_UNKNOWN:
        q->f.octets = -1;
        break;
    case PUSH_REASON_STATUS:
        q->f.status = 404;
        break;
    case PUSH_REASON_CREDENTIALS:
        q->f.personal = true;
        q->holds[r] = q->p.source != PUSH_SOURCE_WORKER;
        break;
    case PUSH_REASON_SWITCHED_OFF:
        q->f.switched_off = true;
        break;
    case PUSH_REASON_BUDGET:
        q->f.budget_octets = 0;
        q->holds[r] = q->f.octets >= 0;
        break;
    case PUSH_REASON_LIMIT:
        q->f.open_pushes = q->f.max_pushes;
        break;
    case PUSH_REASON_PUSH_ONLY:
        q->p.push_only = true;
        break;
    case PUSH_REASON_HINT_LATE:
        q->f.head_sent = true;
        break;
    case PUSH_REASON_HINT_CLIENT:
        q->f.navigation = false;
        break;
    case PUSH_REASON_HINT_LIMIT:
        q->f.hints_full = true;
        break;
    case PUSH_REASON_POLICY_OFF: /* of the policy, the source, or nothing */
    case PUSH_REASON_POLICY_HINTS:
    case PUSH_REASON_HINT_UNNEEDED:
    case PUSH_REASON_OK:
    case PUSH_REASON_COUNT:
        q->holds[r] = before;
        break;
    }
}

static enum push_reason first_of(const struct question *q, enum push_against against)
{
    for (unsigned r = 1; r < PUSH_REASON_COUNT; r++)
        if (q->holds[r] && push_reason_against((enum push_reason)r) == against &&
            (q->f.policy != PUSH_POLICY_ALWAYS ||
             push_reason_weight((enum push_reason)r) == PUSH_RULE))
            return (enum push_reason)r;
    return PUSH_REASON_OK;
}

static void check(const struct question *q)
{
    struct push_decision d = push_decide(&q->p, &q->f);
    enum push_reason both = first_of(q, PUSH_AGAINST_BOTH), push = first_of(q, PUSH_AGAINST_PUSH),
                     hint = first_of(q, PUSH_AGAINST_HINT);
    bool own = q->p.source == PUSH_SOURCE_WORKER || q->p.source == PUSH_SOURCE_CONFIG;
    bool pushed = !both && !push, hinted = !both && push && !hint && own;
    assert_int_equal(d.reason, both ? both : push);
    assert_int_equal(d.hint, both ? both : pushed ? PUSH_REASON_OK : hint);
    assert_true(pushed == (d.vehicle == PUSH_VEHICLE_PUSH_PROMISE));
    if (!pushed && q->p.source == PUSH_SOURCE_LINK)
        assert_int_equal(d.vehicle, PUSH_VEHICLE_LINK);
    if (!pushed && q->p.source == PUSH_SOURCE_EARLY_HINT)
        assert_int_equal(d.vehicle, PUSH_VEHICLE_EARLY_HINT);
    if (!pushed && own)
        assert_true(hinted ==
                    (d.vehicle == PUSH_VEHICLE_EARLY_HINT || d.vehicle == PUSH_VEHICLE_PARKED));
}

/* Every two reasons together, of every source and under every policy. */
static void gives_the_first_of_two_reasons(void **state)
{
    for (int source = 0; source < PUSH_SOURCE_COUNT; source++)
        for (int policy = 0; policy < PUSH_POLICY_COUNT; policy++)
            for (unsigned a = 0; a < PUSH_REASON_COUNT; a++)
                for (unsigned b = a; b < PUSH_REASON_COUNT; b++) {
                    struct question q = fine((enum push_source)source, (enum push_policy)policy);
                    spoil(&q, (enum push_reason)a);
                    spoil(&q, (enum push_reason)b);
                    check(&q);
                }
}

/* The usual cases, as a person would tell them. */
static void chooses_the_vehicle(void **state)
{
    static const struct {
        enum push_source source;
        enum push_policy policy;
        enum push_reason spoilt[3];
        enum push_vehicle vehicle;
    } rows[] = {
        /* Node's client gets what its worker promises. */
        {PUSH_SOURCE_WORKER,
         PUSH_POLICY_AUTO,
         {PUSH_REASON_HINT_CLIENT},
         PUSH_VEHICLE_PUSH_PROMISE},
        /* A browser does not, and the worker's answer waits for it. */
        {PUSH_SOURCE_WORKER, PUSH_POLICY_AUTO, {PUSH_REASON_CLIENT_DISABLED}, PUSH_VEHICLE_PARKED},
        {PUSH_SOURCE_WORKER,
         PUSH_POLICY_HINTS,
         {PUSH_REASON_CLIENT_DISABLED},
         PUSH_VEHICLE_EARLY_HINT},
        {PUSH_SOURCE_WORKER,
         PUSH_POLICY_AUTO,
         {PUSH_REASON_CLIENT_DISABLED, PUSH_REASON_RELOAD},
         PUSH_VEHICLE_EARLY_HINT},
        {PUSH_SOURCE_WORKER,
         PUSH_POLICY_AUTO,
         {PUSH_REASON_CLIENT_DISABLED, PUSH_REASON_HINT_LATE},
         PUSH_VEHICLE_NONE},
        {PUSH_SOURCE_WORKER, PUSH_POLICY_AUTO, {PUSH_REASON_PROTOCOL}, PUSH_VEHICLE_NONE},
        /* Nothing is known of it: whoever can be told is told. */
        {PUSH_SOURCE_CONFIG, PUSH_POLICY_AUTO, {PUSH_REASON_UNKNOWN}, PUSH_VEHICLE_EARLY_HINT},
        {PUSH_SOURCE_CONFIG, PUSH_POLICY_ALWAYS, {PUSH_REASON_UNKNOWN}, PUSH_VEHICLE_PUSH_PROMISE},
        {PUSH_SOURCE_CONFIG,
         PUSH_POLICY_AUTO,
         {PUSH_REASON_UNKNOWN, PUSH_REASON_HINT_CLIENT},
         PUSH_VEHICLE_NONE},
        {PUSH_SOURCE_LINK, PUSH_POLICY_AUTO, {PUSH_REASON_BUDGET}, PUSH_VEHICLE_LINK},
        {PUSH_SOURCE_LINK, PUSH_POLICY_OFF, {PUSH_REASON_OK}, PUSH_VEHICLE_LINK},
        {PUSH_SOURCE_CONFIG, PUSH_POLICY_DENY, {PUSH_REASON_OK}, PUSH_VEHICLE_NONE},
        /* Not even `always` pushes for somebody else, or what the client has asked for. */
        {PUSH_SOURCE_WORKER, PUSH_POLICY_ALWAYS, {PUSH_REASON_AUTHORITY}, PUSH_VEHICLE_NONE},
        {PUSH_SOURCE_WORKER, PUSH_POLICY_ALWAYS, {PUSH_REASON_DUPLICATE}, PUSH_VEHICLE_NONE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct question q = fine(rows[i].source, rows[i].policy);
        for (size_t k = 0; k < 3; k++)
            spoil(&q, rows[i].spoilt[k]);
        assert_int_equal(push_decide(&q.p, &q.f).vehicle, rows[i].vehicle);
    }
    struct question q = fine(PUSH_SOURCE_WORKER, PUSH_POLICY_AUTO);
    spoil(&q, PUSH_REASON_CLIENT_DISABLED);
    q.f.shared = true; /* several people's requests on one connection */
    assert_int_equal(push_decide(&q.p, &q.f).vehicle, PUSH_VEHICLE_EARLY_HINT);
}

static void knows_methods_and_content(void **state)
{
    static const struct {
        struct slice method;
        int64_t content_length;
        enum push_reason reason;
    } rows[] = {
        {{"GET", 3}, -1, PUSH_REASON_OK},         {{"HEAD", 4}, -1, PUSH_REASON_OK},
        {{"GET", 3}, 0, PUSH_REASON_OK},          {{"GET", 3}, 1, PUSH_REASON_CONTENT},
        {{"get", 3}, -1, PUSH_REASON_METHOD},     {{"", 0}, -1, PUSH_REASON_METHOD},
        {{"OPTIONS", 7}, -1, PUSH_REASON_METHOD}, {{"CONNECT", 7}, -1, PUSH_REASON_METHOD},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct question q = fine(PUSH_SOURCE_WORKER, PUSH_POLICY_AUTO);
        q.p.request.method = rows[i].method;
        q.p.request.content_length = rows[i].content_length;
        assert_int_equal(push_decide(&q.p, &q.f).reason, rows[i].reason);
    }
}

static void limits_open_pushes(void **state)
{
    static const struct {
        uint32_t open, max;
        enum push_reason reason;
    } rows[] = {
        {0, 0, PUSH_REASON_LIMIT},   {0, 1, PUSH_REASON_OK},      {9, 10, PUSH_REASON_OK},
        {10, 10, PUSH_REASON_LIMIT}, {11, 10, PUSH_REASON_LIMIT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct question q = fine(PUSH_SOURCE_LINK, PUSH_POLICY_AUTO);
        q.f.open_pushes = rows[i].open;
        q.f.max_pushes = rows[i].max;
        assert_int_equal(push_decide(&q.p, &q.f).reason, rows[i].reason);
    }
}

/* Codes are read by machines: distinct, short, in lower case. */
static void names_are_complete(void **state)
{
    for (unsigned i = 0; i < PUSH_REASON_COUNT; i++) {
        const char *code = push_reason_code((enum push_reason)i);
        assert_true(code[strspn(code, "abcdefghijklmnopqrstuvwxyz-")] == '\0' && code[0]);
        assert_true(strlen(push_reason_text((enum push_reason)i)) > 10);
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(code, push_reason_code((enum push_reason)k));
    }
    assert_string_equal(push_reason_code(PUSH_REASON_OK), "ok");
    assert_string_equal(push_reason_code(PUSH_REASON_CLIENT_DISABLED), "client-disabled");
    assert_string_equal(push_vehicle_name(PUSH_VEHICLE_NONE), "none");
    assert_string_equal(push_vehicle_name(PUSH_VEHICLE_PUSH_PROMISE), "push-promise");
    assert_string_equal(push_vehicle_name(PUSH_VEHICLE_LINK), "link");
    assert_string_equal(push_source_name(PUSH_SOURCE_WORKER), "worker");
    assert_string_equal(push_source_name(PUSH_SOURCE_EARLY_HINT), "early-hint");
    assert_string_equal(push_source_name(PUSH_SOURCE_LINK), "link");
    assert_string_equal(push_source_name(PUSH_SOURCE_CONFIG), "config");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_first_of_two_reasons),
        cmocka_unit_test(chooses_the_vehicle),
        cmocka_unit_test(knows_methods_and_content),
        cmocka_unit_test(limits_open_pushes),
        cmocka_unit_test(names_are_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
