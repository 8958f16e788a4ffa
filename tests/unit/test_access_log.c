/* SPDX-License-Identifier: Apache-2.0 */
/* The writer of the access log, when nobody reads it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "edge/access_log.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void test_lines_are_written(void **state)
{
    char got[64];
    int ends[2];
    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    struct access_log *l = access_log_new(ends[1]);
    assert_non_null(l);
    assert_int_equal(access_log_write(l, SLICE("one\n")), 0);
    assert_int_equal(access_log_write(l, SLICE("two\n")), 0);
    access_log_free(l);
    assert_int_equal(read(ends[0], got, sizeof got), 8);
    assert_memory_equal(got, "one\ntwo\n", 8);
    assert_int_equal(read(ends[0], got, sizeof got), 0); /* it is closed */
    close(ends[0]);
}

/* A pipe as monitor opens it.  Longer than the thread looks whether it is to stop. */
static void test_who_reads_late_gets_all(void **state)
{
    static char filler[1 << 20], got[1 << 20];
    int ends[2];
    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    struct access_log *l = access_log_new(ends[1]);
    assert_non_null(l);
    memset(filler, '\n', sizeof filler);
    assert_int_equal(access_log_write(l, slice_of(filler, sizeof filler)), 0);
    usleep(1100000);
    size_t had = 0;
    for (ssize_t n; had < sizeof got && (n = read(ends[0], got, sizeof got)) > 0;)
        had += (size_t)n;
    assert_int_equal(had, sizeof filler);
    assert_int_equal(access_log_lost(l), 0);
    access_log_free(l);
    close(ends[0]);
}

/* Another's pipe, or a socket: it blocks. */
static void test_nobody_waits_for_who_does_not_read(void **state)
{
    static struct access_log *l; /* it stays its thread's */
    static char filler[1 << 20];
    int ends[2];
    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    l = access_log_new(ends[1]);
    assert_non_null(l);
    memset(filler, '\n', sizeof filler);
    assert_int_equal(access_log_write(l, slice_of(filler, sizeof filler)), 0);
    alarm(60); /* one that waits fails */
    access_log_free(l);
    alarm(0);
    close(ends[0]); /* it goes on, and ends */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_are_written),
        cmocka_unit_test(test_who_reads_late_gets_all),
        cmocka_unit_test(test_nobody_waits_for_who_does_not_read),
    };
    return cmocka_run_group_tests_name("access_log", tests, NULL, NULL);
}
