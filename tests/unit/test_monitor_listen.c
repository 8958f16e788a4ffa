/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets that a role which was broken into has made of no use: its successor's listen
 * again, at the same address. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/addr.h"
#include "monitor/listen.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct listener l;
static struct addr address;
static int elsewhere; /* it listens, too: a worker, say */

static int setup(void **state)
{
    char why[256];
    (void)state;
    l = (struct listener){.kind = IPC_LISTEN_HTTP, .wanted = "127.0.0.1:0"};
    elsewhere = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return listener_open(&l, 2, why, sizeof why) == 0 &&
                   addr_parse(slice_str(l.address), &address) == 0 && listen(elsewhere, 1) == 0
               ? 0
               : -1;
}

static int teardown(void **state)
{
    (void)state;
    listener_close(&l);
    return close(elsewhere);
}

static void shut(int fd)
{
    assert_int_equal(shutdown(fd, SHUT_RD), 0);
}

static void undo(int fd)
{
    const struct sockaddr none = {.sa_family = AF_UNSPEC};
    assert_int_equal(connect(fd, &none, sizeof none), 0);
}

static void use_as_client(int fd)
{
    struct addr a = {.len = sizeof a.u};
    assert_int_equal(getsockname(elsewhere, &a.u.sa, &a.len), 0);
    a.u.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    undo(fd);
    /* EADDRNOTAVAIL: the other one is such a client already */
    if (connect(fd, &a.u.sa, a.len) < 0 && errno != EINPROGRESS && errno != EADDRNOTAVAIL)
        fail_msg("%s", strerror(errno));
}

static void undo_and_shut(int fd)
{
    use_as_client(fd);
    assert_int_equal(shutdown(fd, SHUT_RDWR), 0);
}

static void assert_listens(int fd)
{
    struct addr a = {.len = sizeof a.u};
    char text[ADDR_TEXT_OCTETS];
    int yes = 0;
    socklen_t len = sizeof yes;
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &len), 0);
    assert_true(yes);
    assert_int_equal(getsockname(fd, &a.u.sa, &a.len), 0);
    addr_format(&a, text, sizeof text);
    assert_string_equal(text, l.address);
}

static void test_whatever_was_done_to_it_it_listens_again(void **state)
{
    static const struct {
        const char *name;
        void (*fn)(int fd);
    } cases[] = {{"shut", shut},
                 {"undo", undo},
                 {"use_as_client", use_as_client},
                 {"undo_and_shut", undo_and_shut}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (unsigned which = 1; which <= 3; which++) { /* one, the other, and both */
            for (unsigned n = 0; n < l.count; n++)
                if (which & 1u << n)
                    cases[i].fn(l.fds[n]);
            if (!listener_restore(&l))
                fail_msg("%s, %u: %s", cases[i].name, which, strerror(errno));
            for (unsigned n = 0; n < l.count; n++)
                assert_listens(l.fds[n]);
            int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
            assert_int_equal(connect(client, &address.u.sa, address.len), 0);
            close(client);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_whatever_was_done_to_it_it_listens_again, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
