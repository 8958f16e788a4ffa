/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "push/consent.h"

#define SECOND UINT64_C(1000000)
#define HOUR   (3600 * SECOND)

static const struct hash_key key = {{1, 2}};

/* "." one completed, "x" was refused, "l" one that had completed was refused late. */
static struct push_consent after(const char *story)
{
    struct push_consent c = {0};
    for (; *story; story++)
        if (*story == 'l')
            push_consent_refused_late(&c);
        else
            push_consent_ended(&c, *story == 'x');
    return c;
}

static void of_a_connection(void **state)
{
    enum push_consent_verdict unknown = PUSH_CONSENT_UNKNOWN, given = PUSH_CONSENT_GIVEN,
                              refused = PUSH_CONSENT_REFUSED;
    const struct {
        const char *story;
        enum push_consent_verdict verdict;
    } rows[] = {
        {"", unknown},          {"x", unknown},
        {"xx", refused},        {"xx......", refused}, /* it is not asked again */
        {".", given},           {"x.", given},
        {".x", given},          {".xxxxxx", given}, /* a page whose parts it had already */
        {".xxxxxxx", refused},  {"....xxxx", given},
        {"....xxxxx", refused}, {".l", unknown},
        {"..l", given},         {"..ll", refused}, /* it cancels all, small ones too late */
        {"....llll", refused},  {"l", unknown},
        {"xl", unknown},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct push_consent c = after(rows[i].story);
        if (push_consent_verdict(&c) != rows[i].verdict)
            fail_msg("\"%s\": verdict is not %d", rows[i].story, rows[i].verdict);
    }
}

static void of_a_connection_is_bounded(void **state)
{
    struct push_consent c = {0};
    for (int i = 0; i < 100000; i++) {
        push_consent_ended(&c, false);
        assert_true(c.completed + c.refused <= PUSH_TRIAL_MAX);
    }
    for (int i = 0; i < 2 * PUSH_TRIAL_MAX; i++)
        push_consent_ended(&c, true);
    assert_int_equal(push_consent_verdict(&c), PUSH_CONSENT_REFUSED);
}

static uint64_t kind_of(const char *user_agent)
{
    return push_consent_kind(&key, slice_str(user_agent));
}

static void vote_as(uint32_t voter, struct push_consent_kinds *k, struct pool *pool,
                    const char *user_agent, const char *story, uint64_t now_us)
{
    struct push_consent c = after(story);
    push_consent_vote(&c, k, pool, kind_of(user_agent), voter, true, now_us);
}

/* Of somebody else than the last one. */
static void vote(struct push_consent_kinds *k, struct pool *pool, const char *user_agent,
                 const char *story, uint64_t now_us)
{
    static uint32_t voter;
    vote_as(++voter, k, pool, user_agent, story, now_us);
}

static void one_vote_a_connection(void **state)
{
    static const struct {
        const char *before; /* told while it is open */
        const char *at_end;
        bool votes_before, votes;
    } rows[] = {
        {"", "", false, false},  {"x", "x", false, false},   {"xx", "xx", true, true},
        {".", ".", false, true}, {".", "..ll", false, true}, {"..ll", "..ll", true, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct pool pool;
        struct push_consent_kinds k = {0};
        pool_init(&pool);
        struct push_consent c = after(rows[i].before);
        for (int n = 0; n < 3; n++)
            push_consent_vote(&c, &k, &pool, kind_of("a"), 1, false, SECOND);
        assert_int_equal(k.count, rows[i].votes_before);
        bool has_voted = c.has_voted;
        c = after(rows[i].at_end);
        c.has_voted = has_voted;
        for (int n = 0; n < 3; n++)
            push_consent_vote(&c, &k, &pool, kind_of("a"), 1, true, SECOND);
        assert_int_equal(k.count, rows[i].votes);
        push_consent_kinds_fini(&k, &pool);
        assert_int_equal(pool.live, 0);
        pool_fini(&pool);
    }
}

static void of_a_kind(void **state)
{
    struct pool pool;
    struct push_consent_kinds k = {0};
    uint64_t now_us = SECOND;
    const char *okhttp = "okhttp/4.12.0", *java = "Java-http-client/17.0.2";
    pool_init(&pool);
    for (int i = 0; i < PUSH_CONSENT_KIND_LEAST; i++) {
        assert_false(push_consent_kind_refuses(&k, kind_of(okhttp), now_us));
        vote(&k, &pool, okhttp, "xx", now_us);
        vote(&k, &pool, java, "....x", now_us);
    }
    assert_true(push_consent_kind_refuses(&k, kind_of(okhttp), now_us));
    assert_false(push_consent_kind_refuses(&k, kind_of(java), now_us));
    assert_false(push_consent_kind_refuses(&k, kind_of("okhttp/5"), now_us));

    /* After an hour one connection is tried; it refuses, so for another hour none is. */
    now_us += HOUR;
    assert_false(push_consent_kind_refuses(&k, kind_of(okhttp), now_us));
    push_consent_kind_begin(&k, kind_of(okhttp), now_us);
    assert_true(push_consent_kind_refuses(&k, kind_of(okhttp), now_us));
    vote(&k, &pool, okhttp, "xx", now_us + SECOND);
    assert_true(push_consent_kind_refuses(&k, kind_of(okhttp), now_us + HOUR));

    /* One that takes what it is pushed brings the kind back. */
    now_us += HOUR + SECOND;
    push_consent_kind_begin(&k, kind_of(okhttp), now_us);
    vote(&k, &pool, okhttp, ".", now_us);
    assert_false(push_consent_kind_refuses(&k, kind_of(okhttp), now_us));
    push_consent_kinds_fini(&k, &pool);
    assert_int_equal(pool.live, 0);
    pool_fini(&pool);
}

/* Who names himself like others does not speak for them, however often he comes. */
static void of_one_voter(void **state)
{
    struct pool pool;
    struct push_consent_kinds k = {0};
    pool_init(&pool);
    for (int i = 0; i < 100; i++)
        vote_as(7, &k, &pool, "a", "xx", SECOND);
    assert_false(push_consent_kind_refuses(&k, kind_of("a"), SECOND));
    for (int i = 0; i < 100; i++) { /* between others who take it, or have not refused yet */
        vote_as(i % 2 ? 7 : 8, &k, &pool, "a", ".", SECOND);
        vote_as(7, &k, &pool, "a", "xx", SECOND);
    }
    assert_false(push_consent_kind_refuses(&k, kind_of("a"), SECOND));
    for (int i = 0; i < 200; i++) /* two of them do */
        vote_as(8 + (i & 1), &k, &pool, "a", "xx", SECOND);
    assert_true(push_consent_kind_refuses(&k, kind_of("a"), SECOND));
    push_consent_kinds_fini(&k, &pool);
    pool_fini(&pool);
}

static void none_is_no_kind(void **state)
{
    struct pool pool;
    struct push_consent_kinds k = {0};
    pool_init(&pool);
    assert_int_equal(kind_of(""), 0);
    for (int i = 0; i < 10; i++)
        vote(&k, &pool, "", "xx", SECOND);
    push_consent_kind_begin(&k, 0, SECOND);
    assert_false(push_consent_kind_refuses(&k, 0, SECOND));
    assert_int_equal(pool.libc_allocs, 0);
    for (int i = 0; i < PUSH_CONSENT_KIND_LEAST; i++)
        vote(&k, &pool, "a", "xx", SECOND);
    assert_false(push_consent_kind_refuses(&k, 0, SECOND));
    push_consent_kinds_fini(&k, &pool);
    pool_fini(&pool);
}

/* Who comes with ever new names takes places, of which there are PUSH_CONSENT_KINDS. */
static void kinds_are_bounded(void **state)
{
    struct pool pool;
    struct push_consent_kinds k = {0};
    char name[24];
    pool_init(&pool);
    for (int i = 0; i < 4 * PUSH_CONSENT_KINDS; i++) {
        snprintf(name, sizeof name, "agent/%d", i);
        for (int n = 0; n < PUSH_CONSENT_KIND_LEAST; n++)
            vote(&k, &pool, name, "xx", SECOND);
        vote(&k, &pool, "busy", "xx", SECOND);
        assert_int_equal(pool.live, 1);
        assert_int_equal(pool.libc_allocs, 1);
    }
    unsigned kept = 0;
    for (int i = 0; i < 4 * PUSH_CONSENT_KINDS; i++) {
        snprintf(name, sizeof name, "agent/%d", i);
        bool is_kept = push_consent_kind_refuses(&k, kind_of(name), SECOND);
        assert_int_equal(is_kept, i > 3 * PUSH_CONSENT_KINDS);
        kept += is_kept;
    }
    assert_int_equal(kept, PUSH_CONSENT_KINDS - 1);
    assert_true(push_consent_kind_refuses(&k, kind_of("busy"), SECOND));
    push_consent_kinds_fini(&k, &pool);
    pool_fini(&pool);
}

static void survives_no_memory(void **state)
{
    struct pool pool;
    struct push_consent_kinds k = {0};
    pool_init(&pool);
    pool.fail_at = 1;
    vote(&k, &pool, "a", "xx", SECOND);
    assert_false(push_consent_kind_refuses(&k, kind_of("a"), SECOND));
    push_consent_kinds_fini(&k, &pool);
    pool_fini(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_a_connection),       cmocka_unit_test(of_a_connection_is_bounded),
        cmocka_unit_test(one_vote_a_connection), cmocka_unit_test(of_a_kind),
        cmocka_unit_test(of_one_voter),          cmocka_unit_test(none_is_no_kind),
        cmocka_unit_test(kinds_are_bounded),     cmocka_unit_test(survives_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
