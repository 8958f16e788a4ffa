/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "push/seen.h"

#include <stdio.h>

static const struct hash_key key = {{1, 2}};

static enum push_seen_how find(const struct push_seen *s, const char *authority, const char *path)
{
    return push_seen_find(s, &key, slice_str(authority), slice_str(path));
}

static bool has(const struct push_seen *s, const char *authority, const char *path)
{
    return find(s, authority, path) != PUSH_SEEN_NOT;
}

static void add(struct push_seen *s, struct pool *pool, const char *authority, const char *path)
{
    push_seen_add(s, pool, &key, slice_str(authority), slice_str(path), PUSH_SEEN_REQUESTED);
}

static void add_numbered(struct push_seen *s, struct pool *pool, int i)
{
    char path[16];
    snprintf(path, sizeof path, "/%d", i);
    add(s, pool, "a", path);
}

static bool has_numbered(const struct push_seen *s, int i)
{
    char path[16];
    snprintf(path, sizeof path, "/%d", i);
    return has(s, "a", path);
}

static void remembers(void **state)
{
    struct push_seen s;
    struct pool pool;
    pool_init(&pool);
    push_seen_init(&s);
    assert_false(has(&s, "a", "/"));
    assert_int_equal(pool.libc_allocs, 0);
    add(&s, &pool, "a", "/");
    assert_true(has(&s, "a", "/"));
    assert_false(has(&s, "a", "/x"));
    assert_false(has(&s, "b", "/"));
    assert_false(has(&s, "", "a/"));
    assert_false(has(&s, "a/", ""));
    assert_false(has(&s, "", ""));
    add(&s, &pool, "Shop.EXAMPLE", "/Path");
    assert_true(has(&s, "shop.example", "/Path"));
    assert_false(has(&s, "shop.example", "/path"));
    push_seen_fini(&s, &pool);
    assert_false(has(&s, "a", "/"));
    push_seen_fini(&s, &pool);
    assert_int_equal(pool.live, 0);
    pool_fini(&pool);
}

#define N PUSH_SEEN_NOT
#define H PUSH_SEEN_HINTED
#define R PUSH_SEEN_REQUESTED
#define P PUSH_SEEN_PUSHED

/* From how it was seen, by what comes next, to how it is seen then. */
static void changes_how(void **state)
{
    static const struct {
        enum push_seen_how before, next, after;
    } rows[] = {
        {N, H, H}, {N, R, R}, {N, P, P}, {H, H, H}, {H, R, R}, {H, P, P},
        {R, H, R}, {R, R, R}, {R, P, P}, {P, H, P}, {P, R, R}, {P, P, P},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct push_seen s;
        struct pool pool;
        pool_init(&pool);
        push_seen_init(&s);
        add(&s, &pool, "a", "/other");
        if (rows[i].before != PUSH_SEEN_NOT)
            assert_int_equal(push_seen_add(&s, &pool, &key, SLICE("a"), SLICE("/"), rows[i].before),
                             PUSH_SEEN_NOT);
        assert_int_equal(find(&s, "a", "/"), rows[i].before);
        assert_int_equal(push_seen_add(&s, &pool, &key, SLICE("A"), SLICE("/"), rows[i].next),
                         rows[i].before);
        assert_int_equal(find(&s, "a", "/"), rows[i].after);
        assert_int_equal(find(&s, "a", "/other"), PUSH_SEEN_REQUESTED);
        assert_int_equal(s.count, 2);
        push_seen_fini(&s, &pool);
        pool_fini(&pool);
    }
}

static void grows_and_forgets_oldest(void **state)
{
    struct push_seen s;
    struct pool pool;
    pool_init(&pool);
    push_seen_init(&s);
    for (int i = 0; i < 3 * PUSH_SEEN_MAX; i++) {
        add_numbered(&s, &pool, i);
        assert_true(s.cap <= PUSH_SEEN_MAX);
        assert_true(i >= 8 || s.cap == 8);
        assert_int_equal(pool.live, 1);
        int kept = i < PUSH_SEEN_MAX ? i + 1 : PUSH_SEEN_MAX;
        assert_int_equal(s.count, kept);
        assert_true(has_numbered(&s, i));
        assert_true(has_numbered(&s, i - kept + 1));
        if (i >= PUSH_SEEN_MAX)
            assert_false(has_numbered(&s, i - PUSH_SEEN_MAX));
    }
    /* What is there already takes no second place. */
    for (int k = 0; k < PUSH_SEEN_MAX; k++)
        add_numbered(&s, &pool, 3 * PUSH_SEEN_MAX - 1);
    assert_true(has_numbered(&s, 2 * PUSH_SEEN_MAX));
    push_seen_fini(&s, &pool);
    assert_int_equal(pool.live, 0);
    pool_fini(&pool);
}

static void survives_no_memory(void **state)
{
    for (uint64_t fail_at = 1; fail_at <= 6; fail_at++) {
        struct push_seen s;
        struct pool pool;
        pool_init(&pool);
        pool.fail_at = fail_at;
        push_seen_init(&s);
        for (int i = 0; i < PUSH_SEEN_MAX; i++)
            add_numbered(&s, &pool, i);
        assert_int_equal(s.count, PUSH_SEEN_MAX - 1);
        push_seen_fini(&s, &pool);
        assert_int_equal(pool.live, 0);
        pool_fini(&pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(remembers),
        cmocka_unit_test(changes_how),
        cmocka_unit_test(grows_and_forgets_oldest),
        cmocka_unit_test(survives_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
