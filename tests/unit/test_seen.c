/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "push/seen.h"

#include <stdio.h>

static const struct hash_key key = {{1, 2}};

static bool has(const struct push_seen *s, const char *authority, const char *path)
{
    return push_seen_has(s, &key, slice_str(authority), slice_str(path));
}

static void add(struct push_seen *s, struct pool *pool, const char *authority, const char *path)
{
    push_seen_add(s, pool, &key, slice_str(authority), slice_str(path));
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
    assert_int_equal(pool.gets, 0);
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

/* Case is ignored and every octet counts, wherever the pieces of a long authority meet. */
static void hashes_long_authorities(void **state)
{
    struct push_seen s;
    struct pool pool;
    char text[300], upper[300];
    memset(text, 'x', sizeof text);
    memset(upper, 'X', sizeof upper);
    pool_init(&pool);
    push_seen_init(&s);
    for (size_t n = 0; n<sizeof text; n += n> 130 ? 2 : 1) {
        assert_false(push_seen_has(&s, &key, slice_of(text, n), SLICE("/")));
        push_seen_add(&s, &pool, &key, slice_of(text, n), SLICE("/"));
        assert_true(push_seen_has(&s, &key, slice_of(upper, n), SLICE("/")));
    }
    push_seen_fini(&s, &pool);
    pool_fini(&pool);
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
        cmocka_unit_test(hashes_long_authorities),
        cmocka_unit_test(grows_and_forgets_oldest),
        cmocka_unit_test(survives_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
