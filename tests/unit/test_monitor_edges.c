/* SPDX-License-Identifier: Apache-2.0 */
/* An edge that was broken into, or hangs: what it says is believed of itself only, and it goes when
 * its time is over. */
#include "monitor/state.h"
#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_US  UINT64_C(20000)
#define PATIENCE 300 /* looks */

static struct monitor m; /* large */
static struct timer look;
static unsigned looks;
static int its_end; /* of the channel */

static void on_look(struct timer *t)
{
    looks++;
    timer_arm(&m.poller, t, clock_mono_us() + LOOK_US);
}

/* With an edge that hears nothing and never ends. */
static int set_up(void **state)
{
    int fds[2];
    (void)state;
    memset(&m, 0, sizeof m);
    if (poller_init(&m.poller) < 0 || ipc_pair(fds) < 0 || fcntl(fds[0], F_SETFL, O_NONBLOCK) < 0)
        return -1;
    list_init(&m.edges);
    list_init(&m.apps);
    m.edge = edge_new(&m);
    pid_t pid = m.edge ? fork() : -1;
    if (pid == 0) {
        setsid();
        for (;;)
            pause();
    }
    its_end = fds[1];
    if (pid < 0)
        return -1;
    setpgid(pid, pid);
    children_adopt(&m.children, &m.edge->child, pid);
    looks = 0;
    timer_init(&look, on_look);
    on_look(&look);
    return channel_adopt(&m.edge->channel, fds[0]);
}

static int tear_down(void **state)
{
    (void)state;
    edges_kill(&m);
    if (m.edge->child.pid)
        waitpid(m.edge->child.pid, NULL, 0);
    edges_fini(&m);
    close(its_end);
    poller_fini(&m.poller);
    return 0;
}

static void assert_is_ended(struct role *edge)
{
    int status = 0;
    pid_t pid = edge->child.pid;
    while (looks < PATIENCE && edge->child.pid) {
        assert_int_equal(poller_turn(&m.poller), 0);
        if (waitpid(pid, &status, WNOHANG) == pid)
            edge->child.pid = 0;
    }
    assert_int_equal(edge->child.pid, 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void one_that_does_not_leave_is_ended(void **state)
{
    (void)state;
    edges_drain(&m, 1);
    assert_is_ended(m.edge);
}

static void hang_up(void)
{
    assert_int_equal(shutdown(its_end, SHUT_RDWR), 0);
    while (m.edge->channel.watch.fd >= 0)
        assert_int_equal(poller_turn(&m.poller), 0);
}

/* It would take clients, by the routes that it has, for as long as one may that leaves. */
static void one_that_hung_up_is_not_given_the_time_to_leave(void **state)
{
    (void)state;
    hang_up();
    edges_drain(&m, 60000);
    assert_is_ended(m.edge);
}

static void one_that_hung_up_is_ended_though_its_successor_cannot_start(void **state)
{
    struct role *edge = m.edge;
    (void)state;
    edge->is_up = true;
    hang_up();
    assert_int_equal(edge_replace(&m), 0);
    assert_ptr_not_equal(m.edge, edge);
    assert_is_ended(edge);
}

/* Each is a line in the log. */
static void one_says_once_that_it_is_drained(void **state)
{
    const struct ipc_edge_drained b = {.open = 0};
    (void)state;
    edges_drain(&m, 60000);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(ipc_send(its_end, IPC_EDGE_DRAINED, &b, NULL, 0), 0);
    channel_drain(&m.edge->channel);
    assert_int_equal(m.edge->channel.watch.fd, -1);
}

/* It ran for long, and when it died there was nothing left to start it anew with. */
static void one_that_cannot_be_started_is_tried_after_a_pause(void **state)
{
    struct rlimit was, small;
    (void)state;
    control_init(&m);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    small = was;
    small.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &small), 0);
    for (unsigned i = 0; i < 3; i++) {
        bool is_started = role_spawn(&m.control, NULL, -1) == 0;
        role_respawn_later(&m.control);
        if (is_started)
            break;
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    assert_int_equal(m.control.child.pid, 0);
    assert_true(m.control.timer.due_us > clock_mono_us() + 500000);
    timer_cancel(&m.control.timer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_that_does_not_leave_is_ended, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_that_hung_up_is_not_given_the_time_to_leave, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(one_that_hung_up_is_ended_though_its_successor_cannot_start,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_says_once_that_it_is_drained, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_that_cannot_be_started_is_tried_after_a_pause, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
