/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a channel whose other end somebody has yet: a role that was broken into can give it to
 * a worker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "monitor/channel.h"

#include <fcntl.h>
#include <unistd.h>

static struct poller poller;
static struct channel channel;
static int its_end;
static unsigned heard;

static void say(void)
{
    const struct ipc_edge_left b = {.ticket = 1};
    assert_int_equal(ipc_send(its_end, IPC_EDGE_LEFT, &b, NULL, 0), 0);
}

/* Whoever has the other end is never behind. */
static void on_message(struct channel *c, struct ipc_message *m, int error)
{
    (void)c, (void)error;
    assert_non_null(m);
    if (++heard > 1000000)
        fail_msg("it is heard for ever");
    say();
}

static void test_last_words_have_an_end(void **state)
{
    int fds[2];
    (void)state;
    assert_int_equal(poller_init(&poller), 0);
    assert_int_equal(ipc_pair(fds), 0);
    assert_true(fcntl(fds[0], F_SETFL, O_NONBLOCK) == 0);
    its_end = fds[1];
    channel_init(&channel, &poller, on_message);
    assert_int_equal(channel_adopt(&channel, fds[0]), 0);
    say();
    channel_drain(&channel);
    assert_true(heard > 100);
    channel_close(&channel);
    close(its_end);
    poller_fini(&poller);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_last_words_have_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
