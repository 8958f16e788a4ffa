/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/panic.h"
#include "push/answers.h"

#define SECOND UINT64_C(1000000)

static const struct hash_key key = {{1, 2}};

struct world {
    struct pool pool;
    struct push_answers m;
    uint64_t now_us;
};

static void set_up(struct world *w)
{
    *w = (struct world){.now_us = 7 * SECOND + 5};
    pool_init(&w->pool);
}

static void tear_down(struct world *w)
{
    push_answers_fini(&w->m, &w->pool);
    assert_int_equal(w->pool.live, 0);
    pool_fini(&w->pool);
}

static uint64_t resource_of(const char *path)
{
    return push_resource_hash(&key, SLICE("app https"), SLICE("a"), slice_str(path));
}

static struct push_answer find(const struct world *w, uint64_t resource)
{
    struct push_answer a;
    push_answers_find(&w->m, resource, w->now_us, &a);
    return a;
}

/* A response with at most Cache-Control and an entity tag. */
static void learn(struct world *w, uint64_t resource, unsigned status, const char *cache_control,
                  const char *etag, uint64_t octets)
{
    struct field at[2];
    struct http_head request = {.method = SLICE("GET"), .content_length = -1};
    struct http_head response = {.status = (uint16_t)status, .fields = {.at = at, .cap = 2}};
    if (cache_control)
        at[response.fields.count++] =
            (struct field){.value = slice_str(cache_control), .token = TOKEN_CACHE_CONTROL};
    if (etag)
        at[response.fields.count++] = (struct field){.value = slice_str(etag), .token = TOKEN_ETAG};
    push_answers_learn(&w->m, &w->pool, &key, resource, &request, &response, PUSH_COPY_DEFAULT,
                       octets, w->now_us);
}

static uint32_t validator(const char *value)
{
    return push_answers_validator(&key, slice_str(value));
}

static void knows_nothing_at_first(void **state)
{
    struct world w;
    struct push_answer a;
    set_up(&w);
    assert_false(push_answers_find(&w.m, resource_of("/"), w.now_us, &a));
    assert_int_equal(a.status, 0);
    assert_true(a.octets == PUSH_OCTETS_UNKNOWN);
    assert_int_equal(a.storable, PUSH_STORABLE_NOT);
    assert_false(a.is_wasteful);
    push_answers_push_begin(&w.m, resource_of("/"), w.now_us);
    push_answers_push_revise(&w.m, resource_of("/"), w.now_us);
    learn(&w, resource_of("/"), 304, NULL, "\"a\"", 0);
    assert_null(w.m.at);
    learn(&w, resource_of("/x"), 200, NULL, NULL, 1);
    assert_false(push_answers_find(&w.m, resource_of("/"), w.now_us, &a));
    tear_down(&w);
}

static void learns(void **state)
{
    static const struct {
        unsigned status;
        const char *cache_control, *etag;
        uint64_t octets;
        uint64_t later_s; /* when it is asked */
        uint16_t known_status;
        uint64_t known_octets;
        enum push_storable storable;
    } rows[] = {
        {200, "max-age=300", "\"a\"", 5, 0, 200, 5, PUSH_STORABLE_PUBLIC},
        {200, "max-age=300", "\"a\"", 5, 299, 200, 5, PUSH_STORABLE_PUBLIC},
        {200, "max-age=300", "\"a\"", 5, 300, 0, PUSH_OCTETS_UNKNOWN, PUSH_STORABLE_PUBLIC},
        {200, "max-age=9999", NULL, 5, 599, 200, 5, PUSH_STORABLE_PUBLIC},
        {200, "max-age=9999", NULL, 5, 600, 0, PUSH_OCTETS_UNKNOWN, PUSH_STORABLE_PUBLIC},
        {200, NULL, NULL, 5, 59, 200, 5, PUSH_STORABLE_PUBLIC},
        {200, NULL, NULL, 5, 60, 0, PUSH_OCTETS_UNKNOWN, PUSH_STORABLE_PUBLIC},
        {404, NULL, NULL, 0, 0, 404, 0, PUSH_STORABLE_PUBLIC},
        {999, "public", NULL, 0, 0, 999, 0, PUSH_STORABLE_PUBLIC},
        {200, NULL, NULL, PUSH_OCTETS_UNKNOWN, 0, 200, PUSH_OCTETS_UNKNOWN, PUSH_STORABLE_PUBLIC},
        {200, NULL, NULL, UINT32_MAX - UINT64_C(2), 0, 200, UINT32_MAX - UINT64_C(2),
         PUSH_STORABLE_PUBLIC},
        {200, NULL, NULL, UINT64_MAX - 1, 0, 200, UINT32_MAX - UINT64_C(1), PUSH_STORABLE_PUBLIC},
        {200, "private", "\"a\"", 5, 0, 0, PUSH_OCTETS_UNKNOWN, PUSH_STORABLE_PRIVATE},
        {200, "no-store", "\"a\"", 5, 0, 0, PUSH_OCTETS_UNKNOWN, PUSH_STORABLE_NOT},
        {500, NULL, NULL, 5, 0, 0, PUSH_OCTETS_UNKNOWN, PUSH_STORABLE_NOT},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;
        set_up(&w);
        learn(&w, resource_of("/"), rows[i].status, rows[i].cache_control, rows[i].etag,
              rows[i].octets);
        w.now_us += rows[i].later_s * SECOND;
        struct push_answer a = find(&w, resource_of("/"));
        assert_int_equal(a.status, rows[i].known_status);
        assert_true(a.octets == rows[i].known_octets);
        assert_int_equal(a.storable, rows[i].storable);
        assert_int_equal(a.validator, a.status && rows[i].etag ? validator(rows[i].etag) : 0);
        tear_down(&w);
    }
}

/* The last answer counts, whatever was known before. */
static void believes_the_last(void **state)
{
    struct world w;
    uint64_t r = resource_of("/");
    set_up(&w);
    learn(&w, r, 200, "max-age=600", "\"a\"", 5);
    learn(&w, r, 200, "private", NULL, 6);
    assert_int_equal(find(&w, r).status, 0);
    learn(&w, r, 404, NULL, NULL, 7);
    assert_int_equal(find(&w, r).status, 404);
    assert_int_equal(find(&w, r).octets, 7);
    assert_int_equal(find(&w, r).validator, 0);
    tear_down(&w);
}

static void not_modified_confirms(void **state)
{
    static const struct {
        const char *known, *told;
        bool confirms;
    } rows[] = {
        {"\"a\"", "\"a\"", true}, {"\"a\"", "W/\"a\"", true}, {"\"a\"", "\"b\"", false},
        {"\"a\"", NULL, false},   {NULL, NULL, false},        {NULL, "\"a\"", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;
        uint64_t r = resource_of("/");
        set_up(&w);
        learn(&w, r, 200, NULL, rows[i].known, 5);
        w.now_us += 30 * SECOND;
        learn(&w, r, 304, "max-age=120", rows[i].told, PUSH_OCTETS_UNKNOWN);
        assert_int_equal(find(&w, r).status, 200);
        w.now_us += 119 * SECOND;
        assert_int_equal(find(&w, r).status, rows[i].confirms ? 200 : 0);
        assert_true(find(&w, r).octets == (rows[i].confirms ? 5 : PUSH_OCTETS_UNKNOWN));
        w.now_us += SECOND;
        assert_int_equal(find(&w, r).status, 0);
        tear_down(&w);
    }
}

/* Nobody makes what is known of a resource be forgotten, or that it is private, by how he asks. */
static void what_only_one_asked_for_tells_nothing(void **state)
{
    static const struct {
        unsigned status;
        const char *asked; /* Cache-Control */
    } rows[] = {
        {206, NULL}, {412, NULL}, {416, NULL}, {200, "no-store"}, {200, "max-age=0, No-Store"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;
        uint64_t r = resource_of("/"), own = resource_of("/me");
        struct field field = {.value = slice_str(rows[i].asked ? rows[i].asked : ""),
                              .token = TOKEN_CACHE_CONTROL};
        const struct http_head request = {.method = SLICE("GET"),
                                          .fields = {&field, rows[i].asked != NULL, 1}};
        const struct http_head response = {.status = (uint16_t)rows[i].status};
        set_up(&w);
        learn(&w, r, 200, NULL, "\"a\"", 5);
        learn(&w, own, 200, "private", NULL, 5);
        push_answers_learn(&w.m, &w.pool, &key, r, &request, &response, 0, 1, w.now_us);
        push_answers_learn(&w.m, &w.pool, &key, own, &request, &response, 0, 1, w.now_us);
        assert_int_equal(find(&w, r).status, 200);
        assert_int_equal(find(&w, r).octets, 5);
        assert_int_equal(find(&w, r).validator, validator("\"a\""));
        assert_int_equal(find(&w, own).storable, PUSH_STORABLE_PRIVATE);
        tear_down(&w);
    }
}

static void validators(void **state)
{
    assert_int_equal(validator(""), 0);
    assert_int_not_equal(validator("\"\""), 0);
    assert_int_equal(validator("\"a\""), validator("W/\"a\""));
    assert_int_not_equal(validator("\"a\""), validator("\"b\""));
}

static void learns_thinking(void **state)
{
    struct world w;
    uint64_t r = resource_of("/");
    set_up(&w);
    push_answers_learn_thinking(&w.m, &w.pool, r, 0, false, w.now_us);
    assert_int_equal(find(&w, r).think_us, 100); /* known, and next to nothing */
    for (int i = 0; i < 30; i++)
        push_answers_learn_thinking(&w.m, &w.pool, r, 200000, true, w.now_us);
    assert_in_range(find(&w, r).think_us, 199000, 201000);
    assert_true(find(&w, r).sends_103);
    push_answers_learn_thinking(&w.m, &w.pool, r, 0, false, w.now_us);
    assert_in_range(find(&w, r).think_us, 149000, 151000); /* one weighs a quarter */
    assert_false(find(&w, r).sends_103);
    for (int i = 0; i < 60; i++)
        push_answers_learn_thinking(&w.m, &w.pool, r, UINT64_MAX, false, w.now_us);
    assert_in_range(find(&w, r).think_us, 6500000, 6553500);
    /* It is private what the page is, not how long it takes. */
    learn(&w, r, 200, "private", NULL, 5);
    assert_in_range(find(&w, r).think_us, 6500000, 6553500);
    assert_int_equal(find(&w, r).status, 0);
    tear_down(&w);
}

static void switches_off_what_is_wasted(void **state)
{
    struct world w;
    uint64_t r = resource_of("/"), other = resource_of("/other");
    set_up(&w);
    for (int i = 0; i < PUSH_WASTE_LEAST; i++) {
        assert_false(find(&w, r).is_wasteful);
        push_answers_push_begin(&w.m, r, w.now_us);
        push_answers_push_end(&w.m, &w.pool, r, true, w.now_us);
        push_answers_push_end(&w.m, &w.pool, other, i % 2, w.now_us);
    }
    assert_true(find(&w, r).is_wasteful);
    assert_false(find(&w, other).is_wasteful);
    push_answers_push_revise(&w.m, other, w.now_us); /* it was asked for again */
    assert_true(find(&w, other).is_wasteful);

    /* It is learned of as before, and comes back when a probe was used. */
    learn(&w, r, 200, NULL, NULL, 5);
    assert_int_equal(find(&w, r).status, 200);
    assert_true(find(&w, r).is_wasteful);
    w.now_us += PUSH_WASTE_REST_S * SECOND;
    assert_false(find(&w, r).is_wasteful);
    push_answers_push_begin(&w.m, r, w.now_us);
    assert_true(find(&w, r).is_wasteful);
    push_answers_push_end(&w.m, &w.pool, r, false, w.now_us);
    assert_false(find(&w, r).is_wasteful);
    tear_down(&w);
}

/* The nth resource of one set. */
static uint64_t rival(unsigned n)
{
    return (uint64_t)(n + 1) << 40 | 7;
}

static void is_known(const struct world *w, uint64_t resource, bool expected)
{
    struct push_answer a;
    assert_int_equal(push_answers_find(&w->m, resource, w->now_us, &a), expected);
}

/* What is asked for more than once stays, whoever comes with new URLs. */
static void a_scan_forgets_little(void **state)
{
    struct world w;
    set_up(&w);
    for (unsigned n = 0; n < PUSH_ANSWERS_WAYS; n++)
        learn(&w, rival(n), 200, NULL, NULL, n);
    for (unsigned n = PUSH_ANSWERS_WAYS; n < 1000; n++) {
        learn(&w, rival(n), 404, NULL, NULL, n);
        is_known(&w, rival(n), true);
        is_known(&w, rival(n - 1), false);
        for (unsigned k = 0; k < PUSH_ANSWERS_WAYS - 1; k++)
            assert_int_equal(find(&w, rival(k)).octets, k);
    }
    /* One that is asked for again moves away from the last place, in time to the first. */
    for (unsigned k = 0; k < PUSH_ANSWERS_WAYS; k++)
        learn(&w, rival(999), 200, NULL, NULL, 9);
    for (unsigned n = 1000; n < 1010; n++)
        learn(&w, rival(n), 404, NULL, NULL, n);
    is_known(&w, rival(999), true);
    is_known(&w, rival(PUSH_ANSWERS_WAYS - 2), false);
    tear_down(&w);
}

static void what_is_old_makes_room(void **state)
{
    struct world w;
    set_up(&w);
    for (unsigned n = 0; n < PUSH_ANSWERS_WAYS; n++)
        learn(&w, rival(n), 200, NULL, NULL, n);
    w.now_us += (PUSH_ANSWERS_FORGET_S + 1) * SECOND;
    learn(&w, rival(3), 200, NULL, NULL, 3); /* moves one place forward */
    for (unsigned n = 4; n < 7; n++)
        learn(&w, rival(n), 200, NULL, NULL, n);
    for (unsigned n = 0; n < 3; n++)
        is_known(&w, rival(n), false);
    for (unsigned n = 3; n < 7; n++)
        is_known(&w, rival(n), true);
    tear_down(&w);
}

static void is_bounded(void **state)
{
    struct world w;
    unsigned known = 0;
    set_up(&w);
    for (uint64_t n = 0; n < 20 * PUSH_ANSWERS_MAX; n++)
        learn(&w, n * UINT64_C(0x9e3779b97f4a7c15), 200, NULL, NULL, 1);
    assert_int_equal(w.pool.libc_allocs, 1);
    for (uint64_t n = 0; n < 20 * PUSH_ANSWERS_MAX; n++)
        known += find(&w, n * UINT64_C(0x9e3779b97f4a7c15)).status == 200;
    assert_int_equal(known, PUSH_ANSWERS_MAX);
    tear_down(&w);
}

static void survives_no_memory(void **state)
{
    struct world w;
    set_up(&w);
    for (uint64_t fail_at = 1; fail_at <= 3; fail_at++) {
        w.pool.gets = 0;
        w.pool.fail_at = 1;
        if (fail_at == 1)
            learn(&w, 1, 200, NULL, NULL, 1);
        else if (fail_at == 2)
            push_answers_learn_thinking(&w.m, &w.pool, 1, 1, false, w.now_us);
        else
            push_answers_push_end(&w.m, &w.pool, 1, true, w.now_us);
        is_known(&w, 1, false);
    }
    tear_down(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_nothing_at_first),
        cmocka_unit_test(learns),
        cmocka_unit_test(believes_the_last),
        cmocka_unit_test(not_modified_confirms),
        cmocka_unit_test(what_only_one_asked_for_tells_nothing),
        cmocka_unit_test(validators),
        cmocka_unit_test(learns_thinking),
        cmocka_unit_test(switches_off_what_is_wasted),
        cmocka_unit_test(a_scan_forgets_little),
        cmocka_unit_test(what_is_old_makes_room),
        cmocka_unit_test(is_bounded),
        cmocka_unit_test(survives_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
