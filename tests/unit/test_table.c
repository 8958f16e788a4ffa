/* SPDX-License-Identifier: Apache-2.0 */
/* Text in columns, however many rows there are. */
#include "cli/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <unistd.h>

#define ROWS 5000

/* What table_print says, as a file to be read; the caller closes it. */
static FILE *printed(struct table *t)
{
    FILE *f = tmpfile();
    assert_non_null(f);
    fflush(stdout);
    int out = dup(STDOUT_FILENO);
    assert_true(out >= 0 && dup2(fileno(f), STDOUT_FILENO) >= 0);
    table_print(t);
    fflush(stdout);
    dup2(out, STDOUT_FILENO);
    close(out);
    rewind(f);
    return f;
}

static void test_no_row_is_left_out(void **state)
{
    struct table t = {.columns = 2};
    char cell[32], line[64], wanted[64];
    for (unsigned i = 0; i < ROWS; i++) {
        snprintf(cell, sizeof cell, "row %u", i);
        table_add(&t, (const char *const[]){cell, "end"});
    }
    FILE *f = printed(&t);
    for (unsigned i = 0; i < ROWS; i++) {
        snprintf(cell, sizeof cell, "row %u", i);
        snprintf(wanted, sizeof wanted, "%-8s  end\n", cell);
        assert_non_null(fgets(line, sizeof line, f));
        assert_string_equal(line, wanted);
    }
    assert_null(fgets(line, sizeof line, f));
    fclose(f);
    assert_int_equal(t.rows, 0);
}

static void test_a_worker_does_not_steer_the_terminal(void **state)
{
    struct table t = {.columns = 1};
    char line[64];
    table_add(&t, (const char *const[]){"/\033[2J"});
    FILE *f = printed(&t);
    assert_non_null(fgets(line, sizeof line, f));
    assert_string_equal(line, "/?[2J\n");
    fclose(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_row_is_left_out),
        cmocka_unit_test(test_a_worker_does_not_steer_the_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
