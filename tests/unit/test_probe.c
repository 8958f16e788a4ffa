/* SPDX-License-Identifier: Apache-2.0 */
/* From one step of a probe to the next. */
#include "control/probe.h"
#include "net/diag.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <sys/socket.h>
#include <unistd.h>

#define TURN_MS  100
#define PATIENCE 600 /* turns */

static int listen_somewhere(struct addr *at)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof at->u.in;
    *at = (struct addr){.len = len};
    at->u.in =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, &at->u.sa, len), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, &at->u.sa, &len), 0);
    return fd;
}

static void on_finding(struct probe *p, enum probe_finding finding)
{
    (void)p;
    fail_msg("finding %d", finding);
}

/* A turn may be long.  What limits a step that has ended must not end the next one, before which
 * the loop turns once more. */
static void test_a_step_has_no_limit_before_it_begins(void **state)
{
    struct owner me = {.group = getpgrp(), .uid = geteuid(), .diag = diag_open()};
    struct loop *loop = loop_new();
    struct addr port, h2_port;
    struct probe p = {.step = PROBE_IDLE};
    int fds[] = {listen_somewhere(&port), listen_somewhere(&h2_port)};
    (void)state;
    assert_non_null(loop);
    probe_start(&p, loop, &me, PROBE_ACCEPTS, NULL, &port, &h2_port, on_finding);
    for (int i = 0; i < PATIENCE && p.step != PROBE_H2_PORT; i++)
        loop_turn(loop, TURN_MS);
    assert_int_equal(p.step, PROBE_H2_PORT);
    assert_false(p.is_streaming);
    assert_int_equal(p.timer.due_us, 0);
    for (int i = 0; i < PATIENCE && !p.is_asking; i++)
        loop_turn(loop, TURN_MS);
    assert_true(p.is_asking);
    assert_true(p.timer.due_us > 0);
    probe_stop(&p);
    loop_free(loop);
    close(fds[0]);
    close(fds[1]);
    if (me.diag >= 0)
        close(me.diag);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_step_has_no_limit_before_it_begins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
