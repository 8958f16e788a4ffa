/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/panic.h"
#include "push/trace.h"

#include <stdio.h>
#include <stdlib.h>

static struct pool pool;
static struct arena arena;

static int begin(void **state)
{
    pool_init(&pool);
    arena_init(&arena, &pool);
    return 0;
}

static int end(void **state)
{
    arena_fini(&arena);
    pool_fini(&pool);
    return 0;
}

static struct push_trace_item item(const char *url, const char *reason)
{
    return (struct push_trace_item){.url = slice_str(url),
                                    .source = SLICE("worker"),
                                    .vehicle = SLICE("none"),
                                    .reason = slice_str(reason),
                                    .octets = -1};
}

static void writes_one(void **state)
{
    char out[200];
    struct push_trace_item i = item("/a \"b\"\\\xc3\n.css", "ok");
    i.t_us = 1250;
    size_t n = push_trace_write(out, sizeof out, &i, 1, 0);
    out[n] = 0;
    assert_string_equal(
        out, "\"/a \\\"b\\\"\\\\%C3%0A.css\";source=worker;vehicle=none;reason=ok;t=1.250");
    i = item("/b", "recursion");
    i.hint = SLICE("nopush");
    i.octets = 100;
    i.is_cut = true;
    n = push_trace_write(out, sizeof out, &i, 1, 7);
    out[n] = 0;
    assert_string_equal(out, "\"/b\";cut;source=worker;vehicle=none;reason=recursion;hint=nopush;"
                             "octets=100;t=0.000;more=7");
    assert_int_equal(push_trace_write(out, sizeof out, &i, 0, 7), 0);
}

static void assert_item(const struct push_trace_item *a, const struct push_trace_item *b)
{
    assert_true(slice_eq(a->url, b->url));
    assert_true(slice_eq(a->source, b->source));
    assert_true(slice_eq(a->vehicle, b->vehicle));
    assert_true(slice_eq(a->reason, b->reason));
    assert_true(slice_eq(a->hint, b->hint));
    assert_int_equal(a->is_cut, b->is_cut);
    assert_int_equal(a->octets, b->octets);
    assert_int_equal(a->t_us, b->t_us);
}

/* Whatever room there is: what was written is read back, and nothing is lost without a word. */
static void round_trip(void **state)
{
    struct push_trace_item in[PUSH_TRACE_ITEMS + 3], got[PUSH_TRACE_ITEMS];
    char urls[PUSH_TRACE_ITEMS + 3][40], out[PUSH_TRACE_OCTETS];
    unsigned written, all = ARRAY_LEN(in);
    uint64_t more;
    for (unsigned i = 0; i < all; i++) {
        snprintf(urls[i], sizeof urls[i], "/%u?q=\"%%41\\\"", i);
        in[i] = item(urls[i], i % 2 ? "ok" : "client-disabled");
        in[i].t_us = i * 1001u;
        in[i].octets = (int64_t)i * 1000 - 1;
        in[i].hint = i % 3 ? SLICE("") : SLICE("duplicate");
        in[i].is_cut = i % 5 == 0;
        if (in[i].octets < -1)
            in[i].octets = -1;
    }
    for (size_t cap = 0; cap <= sizeof out; cap += 7) {
        char *exact = malloc(cap ? cap : 1); /* the sanitizer sees an octet too many */
        size_t n = push_trace_write(exact, cap, in, all, 5);
        assert_true(n <= cap);
        assert_int_equal(
            push_trace_read(slice_of(exact, n), &arena, got, ARRAY_LEN(got), &written, &more), 0);
        if (n)
            assert_int_equal(written + more, all + 5);
        for (unsigned i = 0; i < written; i++)
            assert_item(&got[i], &in[i]);
        free(exact);
    }
    assert_int_equal(written, PUSH_TRACE_ITEMS);
}

static void counts_what_it_cannot_keep(void **state)
{
    struct push_trace_item got[2];
    unsigned count;
    uint64_t more;
    assert_int_equal(push_trace_read(SLICE("\"/1\", \"/2\" ,\t\"/3\",\"/4\";more=3"), &arena, got,
                                     2, &count, &more),
                     0);
    assert_int_equal(count, 2);
    assert_int_equal(more, 5);
}

static void passes_over_what_it_does_not_know(void **state)
{
    struct push_trace_item got[2];
    unsigned count;
    uint64_t more;
    struct slice text =
        SLICE(" \"/a\";new=\"\\\"\"; other;x=-1.5;y=?0;z=a/b:c;reason=first;reason=ok;octets=-7 ");
    assert_int_equal(push_trace_read(text, &arena, got, 2, &count, &more), 0);
    assert_int_equal(count, 1);
    struct push_trace_item want = {.url = SLICE("/a"), .reason = SLICE("ok"), .octets = -1};
    assert_item(&got[0], &want);
    assert_int_equal(push_trace_read(SLICE("  "), &arena, got, 2, &count, &more), 0);
    assert_int_equal(count, 0);
}

static void refuses_what_is_no_such_list(void **state)
{
    static const char *const bad[] = {
        "a",
        "\"",
        "\"a",
        "\"a\\",
        "\"a\\b\"",
        "\"a\tb\"",
        "\"\x7f\"",
        "\"\xc3\xa9\"",
        "1",
        "?1",
        "(\"a\")",
        "\"a\" \"b\"",
        "\"a\",",
        ",\"a\"",
        "\"a\",,\"b\"",
        "\"a\";",
        "\"a\";A=1",
        "\"a\";1=1",
        "\"a\";t=",
        "\"a\";t=1.",
        "\"a\";t=.5",
        "\"a\";t=-",
        "\"a\";t=--1",
        "\"a\";t=1.2345",
        "\"a\";t=?2",
        "\"a\";t=?",
        "\"a\";t=:AA==:",
        "\"a\";t=@1",
        "\"a\";t=(",
        "\"a\";t=\"",
        "\"a\"; ;t=1",
        "\"a\";t =1",
        "\"a\";t= 1",
        "\"a\" ;t=1",
        "\"a\";t=1234567890123456",
        "\"a\";t=1234567890123.1",
    };
    struct push_trace_item got[2];
    unsigned count;
    uint64_t more;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (push_trace_read(slice_str(bad[i]), &arena, got, 2, &count, &more) != ERR_FORMAT)
            fail_msg("%s was taken", bad[i]);
}

/* Cut anywhere, and with any octet changed: an answer, and no octet outside is touched. */
static void survives_damage(void **state)
{
    static const char text[] =
        "\"/a\\\"b\";source=worker;octets=12;t=1.5, \"\";cut;x=\"y\";z=?1;more=2";
    struct push_trace_item got[4];
    unsigned count;
    uint64_t more;
    for (size_t len = 0; len < sizeof text; len++)
        for (size_t at = 0; at < len; at++)
            for (unsigned c = 0; c < 256; c += 3) {
                char *exact = malloc(len);
                memcpy(exact, text, len);
                exact[at] = (char)c;
                int err = push_trace_read(slice_of(exact, len), &arena, got, 4, &count, &more);
                assert_true(err == 0 || err == ERR_FORMAT);
                assert_true(count <= 4);
                free(exact);
                arena_fini(&arena);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(writes_one, begin, end),
        cmocka_unit_test_setup_teardown(round_trip, begin, end),
        cmocka_unit_test_setup_teardown(counts_what_it_cannot_keep, begin, end),
        cmocka_unit_test_setup_teardown(passes_over_what_it_does_not_know, begin, end),
        cmocka_unit_test_setup_teardown(refuses_what_is_no_such_list, begin, end),
        cmocka_unit_test_setup_teardown(survives_damage, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
