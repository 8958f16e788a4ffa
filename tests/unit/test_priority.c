/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/panic.h"
#include "http/priority.h"

/* Start from urgency 5, incremental: a value that is not mentioned shows. */
static const struct {
    const char *in;
    bool parses;
    uint8_t urgency;
    bool incremental;
} rows[] = {
    {"", true, 5, true},
    {"   ", true, 5, true},
    {"u=0", true, 0, true},
    {"u=7", true, 7, true},
    {"  u=1  ", true, 1, true},
    {"u=1, i=?0", true, 1, false},
    {"u=1 \t,\t i=?0", true, 1, false},
    {"u=1,i=?0", true, 1, false},
    {"i", true, 5, true},
    {"i=?0", true, 5, false},
    {"i=?0, i", true, 5, true},
    /* RFC 9218 4: a wrong range or type is as good as absent */
    {"u=8", true, 5, true},
    {"u=-1", true, 5, true},
    {"u=-0", true, 0, true},
    {"u=1.0", true, 5, true},
    {"u=?1", true, 5, true},
    {"u", true, 5, true},
    {"u=\"1\"", true, 5, true},
    {"u=one", true, 5, true},
    {"u=(1 2)", true, 5, true},
    {"u=999999999999999", true, 5, true},
    {"i=0, u=2", true, 2, true},
    {"i=(), u=2", true, 2, true},
    {"i=off, u=2", true, 2, true},
    {"u=3, u=1", true, 1, true}, /* the last one counts ... */
    {"u=1, u=9", true, 5, true}, /* ... even when it is no use */
    {"U=1", false, 5, true},
    /* what we do not know is parsed and skipped, with its parameters */
    {"u=1;a=2;b;c=\"x;,\", i=?0;x", true, 1, false},
    {"u=1; a", true, 1, true},
    {"u=1 ;a", false, 5, true},
    {"a=(1 \"x\" tok;p=1 :YQ==:);q, u=2", true, 2, true},
    {"a=( ), u=2", true, 2, true},
    {"a=(1  2 ), u=2", true, 2, true},
    {"*k-1_.z=*tok/en:x, u=2", true, 2, true},
    {"a=\"\\\"\\\\, u=7\", u=2", true, 2, true},
    {"a=:YWI:, b=:YWJj:, c=::, u=2", true, 2, true},
    {"a=@1659578233, u=2", true, 2, true},
    {"a=@-5;x, u=2", true, 2, true},
    {"a=%\"f%c3%bc\", u=2", true, 2, true},
    {"a=%\"%f0%9f%98%80 x\", u=2", true, 2, true},
    {"a=-123456789012.123, u=2", true, 2, true},
    /* what does not parse changes nothing */
    {",", false, 5, true},
    {"u=1,", false, 5, true},
    {"u=1, ", false, 5, true},
    {",u=1", false, 5, true},
    {"u=1,,i", false, 5, true},
    {"u=1 i", false, 5, true},
    {"u=1;", false, 5, true},
    {"u=1;A", false, 5, true},
    {"u=", false, 5, true},
    {"u= 1", false, 5, true},
    {"u =1", false, 5, true},
    {"\tu=1", false, 5, true},
    {"=1", false, 5, true},
    {"1=1", false, 5, true},
    {"u=1, i=?2", false, 5, true},
    {"u=1, i=?", false, 5, true},
    {"u=1, a=-", false, 5, true},
    {"u=1, a=1.", false, 5, true},
    {"u=1, a=.5", false, 5, true},
    {"u=1, a=1.1234", false, 5, true},
    {"u=1, a=1234567890123.1", false, 5, true},
    {"u=1, a=1234567890123456", false, 5, true},
    {"u=1, a=1 .2", false, 5, true},
    {"u=1, a=@1.5", false, 5, true},
    {"u=1, a=@x", false, 5, true},
    {"u=1, a=\"x", false, 5, true},
    {"u=1, a=\"\\x\"", false, 5, true},
    {"u=1, a=\"\\", false, 5, true},
    {"u=1, a=\"\x7f\"", false, 5, true},
    {"u=1, a=\"\xc3\xa4\"", false, 5, true},
    {"u=1, a=(1", false, 5, true},
    {"u=1, a=(1,2)", false, 5, true},
    {"u=1, a=(1\t2)", false, 5, true},
    {"u=1, a=(\"x\"\"y\")", false, 5, true},
    {"u=1, a=(1;)", false, 5, true},
    {"u=1, a=((1))", false, 5, true},
    {"u=1, a=:YQ=", false, 5, true},
    {"u=1, a=:Y:", false, 5, true},
    {"u=1, a=:YQ=:", false, 5, true},
    {"u=1, a=:Y===:", false, 5, true},
    {"u=1, a=:YQ==YQ==:", false, 5, true},
    {"u=1, a=:Y*:", false, 5, true},
    {"u=1, a=%x", false, 5, true},
    {"u=1, a=%\"%C3%BC\"", false, 5, true},
    {"u=1, a=%\"%c3\"", false, 5, true},
    {"u=1, a=%\"%c3x\"", false, 5, true},
    {"u=1, a=%\"%c0%80\"", false, 5, true},
    {"u=1, a=%\"%ed%a0%80\"", false, 5, true},
    {"u=1, a=%\"%f4%90%80%80\"", false, 5, true},
    {"u=1, a=%\"%8\"", false, 5, true},
    {"u=1, a=%\"x", false, 5, true},
    {"u=1, a=$", false, 5, true},
    {"u=1\xff", false, 5, true},
};

static void table(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct priority p = {.urgency = 5, .incremental = true};
        /* on the heap and without a NUL, so that the sanitizer sees one octet too many */
        size_t len = strlen(rows[i].in);
        char *copy = malloc(len ? len : 1);
        assert_non_null(copy);
        memcpy(copy, rows[i].in, len);
        bool parses = priority_parse(slice_of(copy, len), &p);
        free(copy);
        if (parses != rows[i].parses || p.urgency != rows[i].urgency ||
            p.incremental != rows[i].incremental)
            print_error("row %zu: %s\n", i, rows[i].in);
        assert_int_equal(parses, rows[i].parses);
        assert_int_equal(p.urgency, rows[i].urgency);
        assert_int_equal(p.incremental, rows[i].incremental);
    }
}

/* Each prefix of each row, and a NUL in each place: no octet beyond the end is read. */
static void cut_and_torn(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t len = strlen(rows[i].in);
        for (size_t n = 0; n < len; n++) {
            struct priority p = PRIORITY_DEFAULT;
            char *copy = malloc(n + 1);
            assert_non_null(copy);
            memcpy(copy, rows[i].in, n + 1);
            priority_parse(slice_of(copy, n), &p);
            assert_true(p.urgency <= PRIORITY_URGENCY_MAX);
            copy[n] = '\0';
            priority_parse(slice_of(copy, n + 1), &p);
            assert_true(p.urgency <= PRIORITY_URGENCY_MAX);
            free(copy);
        }
    }
    struct priority p = PRIORITY_DEFAULT;
    assert_false(priority_parse(slice_of("u=1\0", 4), &p));
    assert_false(priority_parse(slice_of("a\0", 2), &p));
    assert_false(priority_parse(slice_of("u=1, a=b\0", 9), &p));
    assert_int_equal(p.urgency, PRIORITY_URGENCY_DEFAULT);
    assert_false(p.incremental);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),
        cmocka_unit_test(cut_and_torn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
