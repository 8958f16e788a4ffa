/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/panic.h"
#include "http/head.h"

static struct pool pool;
static struct arena arena;

static int setup(void **state)
{
    pool_init(&pool);
    arena_init(&arena, &pool);
    return 0;
}

static int teardown(void **state)
{
    pool.fail_at = 0;
    arena_fini(&arena);
    int left = (int)pool.live;
    pool_fini(&pool);
    return left;
}

static void fields_up_to_the_cap(void **state)
{
    struct fields f = {.count = 0};
    static char names[FIELDS_MAX][16];
    for (int i = 0; i < FIELDS_MAX; i++) {
        snprintf(names[i], sizeof names[i], "f%d", i);
        assert_int_equal(
            fields_add(&f, &arena, TOKEN_NONE, slice_str(names[i]), slice_str(names[i] + 1)), 0);
    }
    assert_int_equal(fields_add(&f, &arena, TOKEN_NONE, SLICE("x"), SLICE("")),
                     ERR_FIELDS_TOO_LARGE);
    assert_int_equal(f.count, FIELDS_MAX);
    for (int i = 0; i < FIELDS_MAX; i++) {
        const struct field *found = fields_find_name(&f, slice_str(names[i]));
        assert_ptr_equal(found, &f.at[i]);
        assert_true(slice_eq(found->value, slice_str(names[i] + 1)));
    }
    assert_null(fields_find_name(&f, SLICE("f")));

    /* Whoever passes them on may add some. */
    assert_int_equal(fields_reserve(&f, &arena, FIELDS_MAX + 1), 0);
    assert_int_equal(fields_add_token(&f, &arena, TOKEN_VIA, SLICE("a")), 0);
    assert_int_equal(fields_add_token(&f, &arena, TOKEN_VIA, SLICE("b")), ERR_FIELDS_TOO_LARGE);
    assert_int_equal(f.count, FIELDS_MAX + 1);
}

static void fields_without_memory(void **state)
{
    struct fields f = {.count = 0};
    pool.fail_at = 1;
    assert_int_equal(fields_add_token(&f, &arena, TOKEN_VIA, SLICE("a")), ERR_NOMEM);
    assert_int_equal(f.count, 0);
    assert_int_equal(fields_add_token(&f, &arena, TOKEN_VIA, SLICE("a")), 0);
    assert_int_equal(f.count, 1);
}

static void fields_by_token(void **state)
{
    struct fields f = {.count = 0};
    fields_add_token(&f, &arena, TOKEN_VIA, SLICE("1.1 a"));
    fields_add_token(&f, &arena, TOKEN_CONNECTION, SLICE("keep-alive, Upgrade"));
    fields_add_token(&f, &arena, TOKEN_VIA, SLICE("1.1 b"));
    fields_add_token(&f, &arena, TOKEN_CONNECTION, SLICE("\"close, x\" , te"));
    assert_true(slice_eq(f.at[0].name, SLICE("via")));
    assert_ptr_equal(fields_find(&f, TOKEN_VIA), &f.at[0]);
    assert_true(slice_eq(fields_value(&f, TOKEN_VIA), SLICE("1.1 a")));
    assert_null(fields_find(&f, TOKEN_HOST));
    assert_int_equal(fields_value(&f, TOKEN_HOST).len, 0);
    assert_non_null(fields_value(&f, TOKEN_HOST).p);
    assert_true(fields_list_has(&f, TOKEN_CONNECTION, SLICE("upgrade")));
    assert_true(fields_list_has(&f, TOKEN_CONNECTION, SLICE("TE")));
    assert_true(fields_list_has(&f, TOKEN_CONNECTION, SLICE("keep-alive")));
    assert_false(fields_list_has(&f, TOKEN_CONNECTION, SLICE("close")));
    assert_false(fields_list_has(&f, TOKEN_CONNECTION, SLICE("keep")));
    assert_false(fields_list_has(&f, TOKEN_HOST, SLICE("a")));
}

static void lists(void **state)
{
    static const struct {
        const char *in, *out; /* elements, each followed by "|" */
    } rows[] = {
        {"", ""},
        {"a", "a|"},
        {"a,b", "a|b|"},
        {" a ,\tb , c ", "a|b|c|"},
        {",,a,,b,,", "a|b|"},
        {" , ", ""},
        {"\"a,b\",c", "\"a,b\"|c|"},
        {"x=\"a\\\",b\",c", "x=\"a\\\",b\"|c|"},
        {"\"a,b", "\"a,b|"},
        {"\"a\\", "\"a\\|"},
        {"a\\,b", "a\\|b|"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char out[64] = "";
        size_t n = 0;
        struct slice rest = slice_str(rows[i].in), element;
        while (list_next(&rest, &element))
            n += (size_t)snprintf(out + n, sizeof out - n, "%.*s|", SLICE_FMT(element));
        assert_string_equal(out, rows[i].out);
    }
}

static void options_of_connection(void **state)
{
    struct connection_options o = {.count = 0};
    assert_true(connection_options_add(&o, SLICE(",, \"x, X-One ,y\",")));
    assert_true(connection_options_add(&o, SLICE("Close")));
    assert_int_equal(o.count, 4);
    assert_true(connection_options_have(&o, SLICE("x-one")));
    assert_true(connection_options_have(&o, SLICE("close")));
    assert_false(connection_options_have(&o, SLICE("x")));
    assert_false(connection_options_have(&o, SLICE("")));
    while (o.count < CONNECTION_OPTIONS)
        assert_true(connection_options_add(&o, SLICE("a")));
    assert_true(connection_options_add(&o, SLICE(" , ")));
    assert_false(connection_options_add(&o, SLICE("b")));
    assert_false(connection_options_have(&o, SLICE("b")));
}

static void methods_and_statuses(void **state)
{
    static const struct {
        const char *method;
        bool safe, idempotent;
    } rows[] = {
        {"GET", true, true},    {"HEAD", true, true},    {"OPTIONS", true, true},
        {"TRACE", true, true},  {"PUT", false, true},    {"DELETE", false, true},
        {"POST", false, false}, {"PATCH", false, false}, {"CONNECT", false, false},
        {"get", false, false},  {"", false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(method_is_safe(slice_str(rows[i].method)), rows[i].safe);
        assert_int_equal(method_is_idempotent(slice_str(rows[i].method)), rows[i].idempotent);
    }
    assert_false(response_has_content(SLICE("GET"), 103));
    assert_false(response_has_content(SLICE("GET"), 204));
    assert_false(response_has_content(SLICE("GET"), 304));
    assert_false(response_has_content(SLICE("HEAD"), 200));
    assert_true(response_has_content(SLICE("GET"), 200));
    assert_true(response_has_content(SLICE("POST"), 205));
    assert_string_equal(status_phrase(200), "OK");
    assert_string_equal(status_phrase(431), "Request Header Fields Too Large");
    assert_string_equal(status_phrase(299), "Unknown");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(fields_up_to_the_cap),  TEST(fields_without_memory),
        TEST(fields_by_token),       TEST(lists),
        TEST(options_of_connection), TEST(methods_and_statuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
