/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "push/decision.h"

/* A promise and facts that nothing speaks against. */
struct question {
    struct push_promise p;
    struct push_facts f;
};

static struct question fine(enum push_source source)
{
    return (struct question){
        .p = {.source = source,
              .request = {.method = SLICE("GET"), .content_length = -1},
              .priority = PRIORITY_DEFAULT},
        .f = {.policy = PUSH_POLICY_AUTO,
              .client_h2 = true,
              .client_push_enabled = true,
              .client_max_streams = 100,
              .authority_same_app = true,
              .authority_covered = true,
              .scheme_same = true,
              .parent_open = true,
              .max_pushes = 1},
    };
}

/* Makes one reason hold. */
static void spoil(struct question *q, enum push_reason r)
{
    switch (r) {
    case PUSH_REASON_POLICY_OFF:
        q->f.policy = PUSH_POLICY_OFF;
        break;
    case PUSH_REASON_NOPUSH:
        q->p.nopush = true;
        break;
    case PUSH_REASON_METHOD:
        q->p.request.method = SLICE("POST");
        break;
    case PUSH_REASON_CONTENT:
        q->p.has_content = true;
        break;
    case PUSH_REASON_AUTHORITY:
        q->f.authority_same_app = false;
        break;
    case PUSH_REASON_CERTIFICATE:
        q->f.authority_covered = false;
        break;
    case PUSH_REASON_SCHEME:
        q->f.scheme_same = false;
        break;
    case PUSH_REASON_CROSSORIGIN:
        q->p.crossorigin = true;
        break;
    case PUSH_REASON_RECURSION:
        q->f.parent_pushed = true;
        break;
    case PUSH_REASON_PROTOCOL:
        q->f.client_h2 = false;
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
    case PUSH_REASON_DUPLICATE:
        q->f.seen = true;
        break;
    case PUSH_REASON_LIMIT:
        q->f.open_pushes = q->f.max_pushes;
        break;
    case PUSH_REASON_OK:
    case PUSH_REASON_COUNT:
        break;
    }
}

static void gives_every_combination(void **state)
{
    /* Every subset of the 16 reasons: the first one in the table's order is given. */
    for (int source = 0; source < PUSH_SOURCE_COUNT; source++) {
        for (uint32_t set = 0; set < 1u << (PUSH_REASON_COUNT - 1); set++) {
            struct question q = fine((enum push_source)source);
            enum push_reason first = PUSH_REASON_OK;
            for (unsigned r = PUSH_REASON_COUNT - 1; r > 0; r--)
                if (set >> (r - 1) & 1) {
                    spoil(&q, (enum push_reason)r);
                    first = (enum push_reason)r;
                }
            enum push_vehicle vehicle = set == 0                       ? PUSH_VEHICLE_PUSH_PROMISE
                                        : source == PUSH_SOURCE_WORKER ? PUSH_VEHICLE_NONE
                                                                       : PUSH_VEHICLE_LINK;
            struct push_decision d = push_decide(&q.p, &q.f);
            if (d.reason != first || d.vehicle != vehicle)
                fail_msg("%x: %s, %s", set, push_reason_code(d.reason),
                         push_vehicle_name(d.vehicle));
        }
    }
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
        struct question q = fine(PUSH_SOURCE_WORKER);
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
        struct question q = fine(PUSH_SOURCE_LINK);
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
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_every_combination),
        cmocka_unit_test(knows_methods_and_content),
        cmocka_unit_test(limits_open_pushes),
        cmocka_unit_test(names_are_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
