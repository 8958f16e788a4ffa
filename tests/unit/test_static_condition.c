/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "static/coding.h"
#include "static/condition.h"

#include <stdio.h>

#define DATE   "Sun, 06 Nov 1994 08:49:37 GMT"
#define BEFORE "Sun, 06 Nov 1994 08:49:36 GMT"
#define AFTER  "Sun, 06 Nov 1994 08:49:38 GMT"
#define DATE_S 784111777

struct world {
    struct pool pool;
    struct arena arena;
    struct fields fields;
};

static void set_up(struct world *w)
{
    pool_init(&w->pool);
    arena_init(&w->arena, &w->pool);
    w->fields = (struct fields){0};
}

static void tear_down(struct world *w)
{
    arena_fini(&w->arena);
    assert_int_equal(w->pool.live, 0);
    pool_fini(&w->pool);
}

static void add(struct world *w, enum token token, const char *value)
{
    if (value)
        assert_int_equal(fields_add_token(&w->fields, &w->arena, token, slice_str(value)), 0);
}

static void reads_dates(void **state)
{
    static const struct {
        const char *text;
        int64_t wanted; /* -1: no date */
    } rows[] = {
        {DATE, DATE_S},
        {"Sunday, 06-Nov-94 08:49:37 GMT", DATE_S},
        {"Sun Nov  6 08:49:37 1994", DATE_S},
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"Thu, 29 Feb 2024 12:00:00 GMT", 1709208000},
        {"Sat, 31 Feb 2024 12:00:00 GMT", -1},
        {"Mon, 06 Nov 1994 08:49:37 GMT", -1}, /* it was a Sunday */
        {"Sun, 6 Nov 1994 08:49:37 GMT", -1},
        {"Sun, 06 Nov 1994 08:49:37 UTC", -1},
        {"Sun, 06 Nov 1994 08:49:37", -1},
        {"Wed, 31 Dec 1969 23:59:59 GMT", -1},
        {DATE " x", -1},
        {"784111777", -1},
        {"", -1},
        {"Sun, 06 Nov 1994 08:49:37 GMT, " DATE, -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t got = -1;
        bool is_date = static_date_parse(slice_str(rows[i].text), &got);
        if (is_date != (rows[i].wanted >= 0) || (is_date && got != rows[i].wanted))
            fail_msg("%s: %d, %ld", rows[i].text, is_date, got);
    }
}

enum {
    GO = STATIC_CONDITION_HOLDS,
    SAME = STATIC_CONDITION_NOT_MODIFIED,
    NO = STATIC_CONDITION_FAILED
};

static void follows_13_2_2(void **state)
{
    static const struct {
        const char *if_match, *unmodified, *if_none_match, *modified;
        int wanted;
    } rows[] = {
        {NULL, NULL, NULL, NULL, GO},
        /* If-Match: strong comparison */
        {"\"a\"", NULL, NULL, NULL, GO},
        {"*", NULL, NULL, NULL, GO},
        {"\"b\"", NULL, NULL, NULL, NO},
        {"\"b\", \"a\"", NULL, NULL, NULL, GO},
        {"W/\"a\"", NULL, NULL, NULL, NO},
        {"\"x,\\\", \"a\"", NULL, NULL, NULL, GO},
        {"a", NULL, NULL, NULL, NO},
        {"", NULL, NULL, NULL, NO},
        {"\"a", NULL, NULL, NULL, NO},
        /* If-Unmodified-Since counts without If-Match only */
        {NULL, DATE, NULL, NULL, GO},
        {NULL, AFTER, NULL, NULL, GO},
        {NULL, BEFORE, NULL, NULL, NO},
        {NULL, "yesterday", NULL, NULL, GO},
        {"\"a\"", BEFORE, NULL, NULL, GO},
        /* If-None-Match: weak comparison */
        {NULL, NULL, "\"a\"", NULL, SAME},
        {NULL, NULL, "W/\"a\"", NULL, SAME},
        {NULL, NULL, "*", NULL, SAME},
        {NULL, NULL, "\"b\"", NULL, GO},
        {NULL, NULL, "\"b\" , W/\"a\"", NULL, SAME},
        {NULL, NULL, "w/\"a\"", NULL, GO},
        /* If-Modified-Since counts without If-None-Match only */
        {NULL, NULL, NULL, DATE, SAME},
        {NULL, NULL, NULL, AFTER, SAME},
        {NULL, NULL, NULL, BEFORE, GO},
        {NULL, NULL, NULL, "Sunday, 06-Nov-94 08:49:37 GMT", SAME},
        {NULL, NULL, NULL, "now", GO},
        {NULL, NULL, "\"b\"", DATE, GO},
        {NULL, NULL, "\"a\"", BEFORE, SAME},
        /* the first pair decides before the second */
        {"\"b\"", NULL, "\"a\"", NULL, NO},
        {"\"a\"", NULL, "\"a\"", NULL, SAME},
        {NULL, BEFORE, "\"a\"", NULL, NO},
        {NULL, AFTER, NULL, DATE, SAME},
    };
    const struct static_validators v = {SLICE("\"a\""), DATE_S};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world w;
        set_up(&w);
        add(&w, TOKEN_IF_MATCH, rows[i].if_match);
        add(&w, TOKEN_IF_UNMODIFIED_SINCE, rows[i].unmodified);
        add(&w, TOKEN_IF_NONE_MATCH, rows[i].if_none_match);
        add(&w, TOKEN_IF_MODIFIED_SINCE, rows[i].modified);
        int got = (int)static_condition_check(&w.fields, &v);
        if (got != rows[i].wanted)
            fail_msg("row %zu: %d, not %d", i, got, rows[i].wanted);
        tear_down(&w);
    }
}

static void reads_every_line(void **state)
{
    const struct static_validators v = {SLICE("\"a\""), DATE_S};
    struct world w;
    set_up(&w);
    add(&w, TOKEN_IF_NONE_MATCH, "\"b\"");
    add(&w, TOKEN_IF_NONE_MATCH, "\"a\"");
    assert_int_equal(static_condition_check(&w.fields, &v), SAME);
    tear_down(&w);
    set_up(&w);
    add(&w, TOKEN_IF_MODIFIED_SINCE, DATE); /* RFC 9110 13.1.3: more than one member is none */
    add(&w, TOKEN_IF_MODIFIED_SINCE, DATE);
    assert_int_equal(static_condition_check(&w.fields, &v), GO);
    tear_down(&w);
}

static void lives_without_validators(void **state)
{
    const struct static_validators v = {{NULL, 0}, -1};
    static const struct {
        enum token token;
        const char *value;
        int wanted;
    } rows[] = {
        {TOKEN_IF_MATCH, "*", GO},
        {TOKEN_IF_MATCH, "\"a\"", NO},
        {TOKEN_IF_MATCH, "\"\"", NO},
        {TOKEN_IF_NONE_MATCH, "\"\"", GO},
        {TOKEN_IF_NONE_MATCH, "*", SAME},
        {TOKEN_IF_MODIFIED_SINCE, AFTER, GO},
        {TOKEN_IF_UNMODIFIED_SINCE, DATE, GO},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world w;
        set_up(&w);
        add(&w, rows[i].token, rows[i].value);
        if ((int)static_condition_check(&w.fields, &v) != rows[i].wanted)
            fail_msg("row %zu", i);
        tear_down(&w);
    }
}

static void range_needs_this_state(void **state)
{
    static const char wednesday[] = "Wed, 09 Nov 1994 08:49:37 GMT";
    enum { THREE_DAYS_S = 3 * 24 * 3600 };
    static const struct {
        const char *value;
        bool wanted;
    } rows[] = {
        {NULL, true}, {"\"a\"", true}, {"\"b\"", false},    {"W/\"a\"", false},
        {DATE, true}, {AFTER, false},  {BEFORE, false},     {"\"a\", \"b\"", false},
        {"", false},  {"*", false},    {"nonsense", false},
    };
    const struct static_validators v = {SLICE("\"a\""), DATE_S}, none = {{NULL, 0}, -1};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world w;
        set_up(&w);
        add(&w, TOKEN_IF_RANGE, rows[i].value);
        if (static_condition_range_holds(&w.fields, &v) != rows[i].wanted)
            fail_msg("If-Range: %s", rows[i].value);
        assert_int_equal(static_condition_range_holds(&w.fields, &none), !rows[i].value);
        tear_down(&w);
    }
    const struct static_validators later = {SLICE("\"a\""), DATE_S + THREE_DAYS_S};
    struct world w;
    set_up(&w);
    add(&w, TOKEN_IF_RANGE, wednesday); /* W is not yet a weak tag's beginning */
    assert_true(static_condition_range_holds(&w.fields, &later));
    tear_down(&w);
}

static void chooses_codings(void **state)
{
    static const struct {
        const char *accept, *wanted;
    } rows[] = {
        {NULL, ""},
        {"", ""},
        {"gzip", "gzip"},
        {"GZIP", "gzip"},
        {"x-gzip", "gzip"},
        {"gzip, br", "br gzip"},
        {"gzip, deflate, br, zstd", "br zstd gzip"},
        {"gzip;q=1.0, br;q=0.5", "gzip br"},
        {"gzip;q=0.001, br;q=0.01, zstd;q=0.1", "zstd br gzip"},
        {"br;q=0, gzip", "gzip"},
        {"br;q=0.000, *", "zstd gzip"},
        {"*", "br zstd gzip"},
        {"*;q=0", ""},
        {"*;q=0, gzip", "gzip"},
        {"identity", ""},
        {"identity;q=0", ""},
        {"identity, gzip;q=0.5", ""},
        {"identity;q=0.5, gzip", "gzip"},
        {"identity;q=1, gzip", "gzip"},
        {"identity, *;q=0.1", ""},
        {"gzip ; Q=0.5", "gzip"},
        {"gzip;q=2", ""},
        {"gzip;q=1.1", ""},
        {"gzip;q=0.5555", ""},
        {"gzip;q=", ""},
        {"gzip;q=x", ""},
        {"gzip;level=9", ""},
        {", ,gzip,,", "gzip"},
        {"deflate, compress", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world w;
        enum static_coding out[STATIC_CODING_COUNT];
        char got[64] = "";
        size_t n = 0;
        set_up(&w);
        add(&w, TOKEN_ACCEPT_ENCODING, rows[i].accept);
        unsigned count = static_coding_wanted(&w.fields, out);
        for (unsigned k = 0; k < count; k++)
            n += (size_t)snprintf(got + n, sizeof got - n, "%s%s", k ? " " : "",
                                  static_codings[out[k]].name.p);
        if (strcmp(got, rows[i].wanted) != 0)
            fail_msg("%s: \"%s\", not \"%s\"", rows[i].accept, got, rows[i].wanted);
        tear_down(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_dates),
        cmocka_unit_test(follows_13_2_2),
        cmocka_unit_test(reads_every_line),
        cmocka_unit_test(lives_without_validators),
        cmocka_unit_test(range_needs_this_state),
        cmocka_unit_test(chooses_codings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
