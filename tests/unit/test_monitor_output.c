/* SPDX-License-Identifier: Apache-2.0 */
/* What of a worker's lines reaches a terminal. */
#include "monitor/output.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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
        {"\xc2\n\x9b\n", "?\n\x9b\n"},
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

/* The console, in whose place a socket keeps apart what is written at a time. */
static int console[2], stdout_before;

static int replace_console(void **state)
{
    (void)state;
    fflush(stdout);
    stdout_before = dup(STDOUT_FILENO);
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, console) < 0 ||
           dup2(console[1], STDOUT_FILENO) < 0;
}

static int restore_console(void **state)
{
    (void)state;
    dup2(stdout_before, STDOUT_FILENO);
    close(stdout_before);
    close(console[0]);
    close(console[1]);
    return 0;
}

/* Of short lines a worker can write thousands at a time, and nobody else has monitor meanwhile. */
static void short_lines_are_written_together(void **state)
{
    static char feed[1024], octets[PIPE_BUF + 1];
    struct output o;
    size_t all = 0, count = 0;
    (void)state;
    output_init(&o, "app", 0, NULL);
    memset(feed, '\n', sizeof feed);
    output_feed(&o, feed, sizeof feed);
    for (ssize_t n; (n = read(console[0], octets, sizeof octets)) > 0; count++) {
        assert_true(n <= PIPE_BUF); /* more, and it might wait for who reads */
        assert_int_equal(octets[n - 1], '\n');
        all += (size_t)n;
    }
    assert_int_equal(all, sizeof feed * strlen("[app/0] \n"));
    assert_true(count <= all / (PIPE_BUF / 2) + 1);
    output_fini(&o);
}

static void lines_without_room_are_counted(void **state)
{
    static char octets[PIPE_BUF + 1];
    struct output o;
    (void)state;
    output_init(&o, "app", 0, NULL);
    close(console[0]);
    close(console[1]);
    output_feed(&o, "one\ntwo\nth", 10);
    output_feed(&o, "ree\n", 4);
    assert_int_equal(o.dropped, 3);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, console), 0);
    assert_true(dup2(console[1], STDOUT_FILENO) >= 0);
    output_feed(&o, "four\n", 5);
    assert_int_equal(o.dropped, 0);
    size_t len = 0;
    for (ssize_t n; (n = read(console[0], octets + len, sizeof octets - 1 - len)) > 0;)
        len += (size_t)n;
    octets[len] = 0;
    assert_string_equal(octets, "[app/0] (3 lines left out)\n[app/0] four\n");
    output_fini(&o);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_does_not_steer_a_terminal),
        cmocka_unit_test_setup_teardown(short_lines_are_written_together, replace_console,
                                        restore_console),
        cmocka_unit_test_setup_teardown(lines_without_room_are_counted, replace_console,
                                        restore_console),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
