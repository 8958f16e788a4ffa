/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "edge/log_text.h"

static char out[6 * LOG_VALUE_OCTETS + 2 + LOG_SLACK_OCTETS];

/* One octet at a time, as RFC 8259 7 has it. */
static size_t judge(char *to, const char *p, size_t len)
{
    char *at = to;
    *at++ = '"';
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)p[i];
        if (c == '"' || c == '\\')
            at += sprintf(at, "\\%c", c);
        else if (c < 0x20 || c > 0x7e)
            at += sprintf(at, "\\u%04x", c);
        else
            *at++ = (char)c;
    }
    *at++ = '"';
    return (size_t)(at - to);
}

static void assert_as_judged(const char *p, size_t len)
{
    static char wanted[sizeof out];
    size_t n = judge(wanted, p, len);
    memset(out, '\\', sizeof out); /* what lies behind does not count */
    assert_int_equal(log_put_string(out, slice_of(p, len)) - out, n);
    assert_memory_equal(out, wanted, n);
    assert_true(n <= log_string_bound(slice_of(p, len)));
}

static void every_octet_at_every_place(void **state)
{
    char text[40];
    for (size_t len = 0; len <= sizeof text; len++) {
        memset(text, 'a', sizeof text);
        assert_as_judged(text, len);
        for (size_t at = 0; at < len; at++)
            for (int c = 0; c < 256; c++) {
                memset(text, 'a', sizeof text);
                text[at] = (char)c;
                assert_as_judged(text, len);
            }
    }
}

static void a_long_one_is_cut(void **state)
{
    char text[LOG_VALUE_OCTETS + 1];
    memset(text, 0x80, sizeof text);
    assert_int_equal(log_string_bound(slice_of(text, sizeof text)), 6 * LOG_VALUE_OCTETS + 2);
    assert_int_equal(log_put_string(out, slice_of(text, sizeof text)) - out,
                     6 * LOG_VALUE_OCTETS + 2);
    assert_as_judged(text, LOG_VALUE_OCTETS);
}

static void numbers(void **state)
{
    static const uint64_t rows[] = {0, 9, 10, 200, 12345678, 123456789, UINT64_MAX};
    char wanted[LOG_NUMBER_OCTETS + 1];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int n = snprintf(wanted, sizeof wanted, "%llu", (unsigned long long)rows[i]);
        assert_int_equal(log_put_number(out, rows[i]) - out, n);
        assert_memory_equal(out, wanted, (size_t)n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_octet_at_every_place),
        cmocka_unit_test(a_long_one_is_cut),
        cmocka_unit_test(numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
