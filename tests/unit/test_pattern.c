/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/panic.h"
#include "push/pattern.h"

static void matches(void **state)
{
    static const struct {
        const char *pattern, *path;
        bool matches;
    } rows[] = {
        {"/", "/", true},
        {"/", "/?q=1", true},
        {"/", "/a", false},
        {"/", "", false},
        {"/a", "/a", true},
        {"/a", "/a/", false},
        {"/a", "/A", false},
        {"/a", "/b", false},
        {"/*", "/", true},
        {"/*", "/a/b/c", true},
        {"/*", "*", false}, /* OPTIONS */
        {"/*", "", false},  /* CONNECT */
        {"/*", "/a?/b", true},
        {"/a/*", "/a/", true},
        {"/a/*", "/a", false},
        {"/a/*", "/a?/x", false},
        {"/*.html", "/index.html", true},
        {"/*.html", "/de/index.html", true},
        {"/*.html", "/.html", true},
        {"/*.html", "/index.htm", false},
        {"/*.html", "/index.html?x=.css", true},
        {"/*.html", "/index?x=.html", false},
        {"/a*a", "/a", false}, /* prefix and suffix do not share octets */
        {"/a*a", "/aa", true},
        {"/a*b*c", "/abc", true},
        {"/a*b*c", "/a-b-b-c", true},
        {"/a*b*c", "/acb", false},
        {"/a*bc*c", "/abc", false},
        {"/a*bc*c", "/abcc", true},
        {"/*/edit", "/posts/7/edit", true},
        {"/*/edit", "/edit", false},
        {"/**", "/x", true},
        {"/**x***", "/x", true},
        {"/*x*x*", "/x", false},
        {"/*x*x*", "/xx", true},
        {"/%41", "/A", false},
        {"/%41", "/%41", true},
        {"/a*b", "/a*b", true},
        {"/a*b", "/a?b", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_true(push_pattern_is_valid(slice_str(rows[i].pattern)));
        if (push_pattern_matches(slice_str(rows[i].pattern), slice_str(rows[i].path)) !=
            rows[i].matches)
            fail_msg("%s on %s is not %d", rows[i].pattern, rows[i].path, rows[i].matches);
    }
}

static void validity(void **state)
{
    static const struct {
        const char *pattern;
        bool valid;
    } rows[] = {
        {"/", true},          {"/*", true},    {"/a%2fb*", true},     {"/a;b=c,d@e:f!$&'()+", true},
        {"", false},          {"*", false},    {"a/*", false},        {"/a?b", false},
        {"/a#b", false},      {"/a b", false}, {"/a%2", false},       {"/a%zz", false},
        {"/\303\251", false}, {"/a\"", false}, {"https://a/", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (push_pattern_is_valid(slice_str(rows[i].pattern)) != rows[i].valid)
            fail_msg("validity of %s is not %d", rows[i].pattern, rows[i].valid);
    assert_false(push_pattern_is_valid(slice_of("/\0", 2)));
    assert_false(push_pattern_is_valid(slice_of(NULL, 0)));
    char longest[PUSH_PATTERN_OCTETS_MAX + 1];
    memset(longest, '/', sizeof longest);
    assert_true(push_pattern_is_valid(slice_of(longest, PUSH_PATTERN_OCTETS_MAX)));
    assert_false(push_pattern_is_valid(slice_of(longest, sizeof longest)));
}

/* What "*" means, said in the shortest way, which takes exponential time. */
static bool matches_slowly(const char *pattern, const char *path)
{
    if (*pattern == '*')
        return matches_slowly(pattern + 1, path) || (*path && matches_slowly(pattern, path + 1));
    return *pattern == *path && (!*pattern || matches_slowly(pattern + 1, path + 1));
}

static void agrees_with_the_slow_way(void **state)
{
    srand(1);
    for (int i = 0; i < 100000; i++) {
        char pattern[8] = "/", path[12] = "/";
        for (int k = 1, n = rand() % 7; k < n; k++)
            pattern[k] = "ab*"[rand() % 3];
        for (int k = 1, n = rand() % 11; k < n; k++)
            path[k] = "ab"[rand() % 2];
        if (push_pattern_matches(slice_str(pattern), slice_str(path)) !=
            matches_slowly(pattern, path))
            fail_msg("%s on %s", pattern, path);
    }
}

/* A matcher that goes back and tries again does not come to an end here. */
static void never_goes_back(void **state)
{
    static char path[65536];
    char pattern[PUSH_PATTERN_OCTETS_MAX];
    memset(path, 'a', sizeof path);
    path[0] = '/';
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = i % 2 ? '*' : 'a';
    pattern[0] = '/';
    assert_true(push_pattern_matches(slice_of(pattern, sizeof pattern), slice_of(path, 65536)));
    pattern[sizeof pattern - 1] = 'b';
    assert_false(push_pattern_matches(slice_of(pattern, sizeof pattern), slice_of(path, 65536)));
    pattern[sizeof pattern - 3] = 'b';
    pattern[sizeof pattern - 1] = '*';
    assert_false(push_pattern_matches(slice_of(pattern, sizeof pattern), slice_of(path, 65536)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches),
        cmocka_unit_test(validity),
        cmocka_unit_test(agrees_with_the_slow_way),
        cmocka_unit_test(never_goes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
