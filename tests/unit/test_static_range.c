/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "static/range.h"

#include <stdio.h>

/* What a Range says of a file of so many octets: "-" ignored, "x" unsatisfiable, else the ranges.
 */
static void check(const char *value, uint64_t size, const char *wanted)
{
    struct static_range r[STATIC_RANGES_MAX];
    char got[512] = "";
    unsigned count = 99;
    size_t n = 0;
    enum static_range_result result = static_range_parse(slice_str(value), size, r, &count);
    switch (result) {
    case STATIC_RANGE_IGNORE:
        n += (size_t)snprintf(got, sizeof got, "-");
        break;
    case STATIC_RANGE_UNSATISFIABLE:
        n += (size_t)snprintf(got, sizeof got, "x");
        break;
    case STATIC_RANGE_OK:
        assert_true(count > 0 && count <= STATIC_RANGES_MAX);
        for (unsigned i = 0; i < count; i++) {
            assert_true(r[i].first <= r[i].last && r[i].last < size);
            n += (size_t)snprintf(got + n, sizeof got - n, "%s%lu-%lu", i ? " " : "", r[i].first,
                                  r[i].last);
        }
    }
    if (result != STATIC_RANGE_OK)
        assert_int_equal(count, 0);
    if (strcmp(got, wanted) != 0)
        fail_msg("%s of %lu: %s, not %s", value, size, got, wanted);
}

static void reads_one(void **state)
{
    check("bytes=0-0", 10, "0-0");
    check("bytes=0-", 10, "0-9");
    check("bytes=3-5", 10, "3-5");
    check("bytes=3-99999", 10, "3-9");
    check("bytes=9-9", 10, "9-9");
    check("bytes=10-10", 10, "x");
    check("bytes=10-", 10, "x");
    check("bytes=-1", 10, "9-9");
    check("bytes=-10", 10, "0-9");
    check("bytes=-11", 10, "0-9");
    check("bytes=-0", 10, "x");
    check("Bytes=0-1", 10, "0-1");
    check(" bytes= 0-1 ", 10, "0-1");
    check("bytes=00000000000000000000000000000001-2", 10, "1-2");
}

static void reads_huge_numbers(void **state)
{
    check("bytes=0-18446744073709551615", 10, "0-9");
    check("bytes=0-18446744073709551616", 10, "0-9");
    check("bytes=99999999999999999999999-", 10, "x");
    check("bytes=-99999999999999999999999", 10, "0-9");
    check("bytes=9223372036854775807-", UINT64_MAX, "9223372036854775807-18446744073709551614");
}

static void ignores_what_it_cannot_read(void **state)
{
    static const char *const bad[] = {"",           "bytes",       "bytes=",       "bytes=-",
                                      "bytes=a-b",  "bytes=5-3",   "bytes=1",      "bytes=1-2-",
                                      "bytes=--1",  "bytes=1 - 2", "lines=0-1",    "bytes:0-1",
                                      "bytes=,",    "bytes=+1-2",  "bytes=0-1;2",  "bytes=0-1,x",
                                      "bytes =0-1", "bytes=0x1-2", "bytes=0-1 ,-", "=0-1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        check(bad[i], 10, "-");
    check("bytes=0-", 0, "-");
    check("bytes=-5", 0, "-");
}

static void reads_sets(void **state)
{
    check("bytes=0-9,500-509", 1000, "0-9 500-509");
    check("bytes=500-509,0-9", 1000, "500-509 0-9");
    check("bytes=0-9 , 500-509", 1000, "0-9 500-509");
    check("bytes=,0-9,,500-509,", 1000, "0-9 500-509");
    check("bytes=0-9,2000-", 1000, "0-9");
    check("bytes=2000-,3000-", 1000, "x");
    check("bytes=0-0,-1", 1000, "0-0 999-999");
}

static void merges(void **state)
{
    check("bytes=0-9,5-20", 1000, "0-20");
    check("bytes=0-9,10-20", 1000, "0-20");
    check("bytes=0-9,89-95", 1000, "0-95");
    check("bytes=0-9,90-95", 1000, "0-9 90-95");
    check("bytes=90-95,0-9", 1000, "90-95 0-9");
    check("bytes=200-300,0-9,100-150", 1000, "100-300 0-9");
    check("bytes=0-9,200-210,100-110,15-195", 1000, "0-210");
    check("bytes=0-,0-,0-,0-,-5", 1000, "0-999");
}

static void caps_sets(void **state)
{
    char value[512];
    for (unsigned asked = STATIC_RANGES_MAX - 1; asked <= STATIC_RANGES_MAX + 1; asked++) {
        struct static_range r[STATIC_RANGES_MAX];
        unsigned count;
        size_t n = (size_t)snprintf(value, sizeof value, "bytes=");
        for (unsigned i = 0; i < asked; i++)
            n += (size_t)snprintf(value + n, sizeof value - n, "%u-%u,", i * 1000, i * 1000 + 1);
        enum static_range_result result =
            static_range_parse(slice_of(value, n - 1), 1000000, r, &count);
        assert_int_equal(result, asked > STATIC_RANGES_MAX ? STATIC_RANGE_IGNORE : STATIC_RANGE_OK);
        assert_int_equal(count, asked > STATIC_RANGES_MAX ? 0 : asked);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_one),
        cmocka_unit_test(reads_huge_numbers),
        cmocka_unit_test(ignores_what_it_cannot_read),
        cmocka_unit_test(reads_sets),
        cmocka_unit_test(merges),
        cmocka_unit_test(caps_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
