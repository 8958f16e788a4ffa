/* SPDX-License-Identifier: Apache-2.0 */
/* What of a worker's lines reaches a terminal. */
#include "monitor/output.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static void a_worker_does_not_steer_a_terminal(void **state)
{
    static const struct {
        const char *line, *shown;
    } cases[] = {
        {"plain\t\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xc2\xa0\n",
         "plain\t\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xc2\xa0\n"},
        {"\033[2J\x07\x7f\rx\r\n", "?[2J???x\n"},
        {"\xc2\x9b"
         "2J\xc2\x80\xc2\x9f\n",
         "??2J????\n"}, /* U+009B is ESC [ */
        {"\xc2\n\x9b\n", "\xc2\n\x9b\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct output o;
        output_init(&o, "app", 0, NULL);
        for (const char *at = cases[i].line; *at; at++) /* also when it comes octet by octet */
            output_feed(&o, at, 1);
        assert_string_equal(o.tail, cases[i].shown);
        output_fini(&o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_does_not_steer_a_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
