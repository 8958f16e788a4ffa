/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/panic.h"
#include "push/resource.h"

static const struct hash_key key = {{1, 2}};

static uint64_t hash(const char *scope, const char *authority, const char *path)
{
    return push_resource_hash(&key, slice_str(scope), slice_str(authority), slice_str(path));
}

/* Case of the authority is nothing; each other octet, and where a part ends, makes another one. */
static void tells_apart(void **state)
{
    static const char *const all[][3] = {
        {"", "", ""},     {"", "a", "/"},   {"", "a", "/x"}, {"", "b", "/"},  {"", "a/", ""},
        {"", "", "a/"},   {"a", "", "/"},   {"a", "a", "/"}, {"a", "/", "a"}, {"aa", "", "/"},
        {"", "aa", "/"},  {"", "a:8", "/"}, {"", "a", "/X"}, {"A", "a", "/"}, {"x", "a", "/"},
        {"", "a", "/?x"}, {"", "a", "/?"},
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        for (size_t k = 0; k < ARRAY_LEN(all); k++)
            assert_int_equal(hash(all[i][0], all[i][1], all[i][2]) ==
                                 hash(all[k][0], all[k][1], all[k][2]),
                             i == k);
    assert_true(hash("s", "Shop.EXAMPLE", "/Path") == hash("s", "shop.example", "/Path"));
    static const struct hash_key other = {{1, 3}};
    assert_true(push_resource_hash(&other, SLICE(""), SLICE("a"), SLICE("/")) !=
                hash("", "a", "/"));
}

/* Case is ignored and every octet counts, wherever the pieces of a long authority meet. */
static void hashes_long_authorities(void **state)
{
    char text[300], upper[300];
    uint64_t seen[300];
    memset(text, 'x', sizeof text);
    memset(upper, 'X', sizeof upper);
    for (size_t n = 0; n < sizeof text; n++) {
        seen[n] = push_resource_hash(&key, SLICE(""), slice_of(text, n), SLICE("/"));
        assert_true(seen[n] == push_resource_hash(&key, SLICE(""), slice_of(upper, n), SLICE("/")));
        for (size_t k = 0; k < n; k++)
            assert_true(seen[k] != seen[n]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_apart),
        cmocka_unit_test(hashes_long_authorities),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
