/* SPDX-License-Identifier: Apache-2.0 */
/* In a network namespace of its own; whoever connects is a process of the user in question. */
#include "monitor/fence.h"
#include "base/panic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define TENANT   64002u
#define STRANGER 64003u
#define OWN      "192.0.2.1" /* RFC 5737: the machine's own here, and not of 127/8 */

static const char *obstacle; /* NULL: there is a namespace, and it has nftables */

/* Of the loopback device, or of its alias. */
static bool device(const char *name, unsigned long what, const char *address)
{
    struct ifreq r = {.ifr_flags = IFF_UP};
    struct sockaddr_in in = {.sin_family = AF_INET};
    strcpy(r.ifr_name, name);
    if (address) {
        inet_pton(AF_INET, address, &in.sin_addr);
        memcpy(&r.ifr_addr, &in, sizeof in);
    }
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    bool ok = ioctl(fd, what, &r) == 0;
    close(fd);
    return ok;
}

static int prepare(void **state)
{
    struct fence f;
    (void)state;
    if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0 || !device("lo", SIOCSIFFLAGS, NULL) ||
        !device("lo:1", SIOCSIFADDR, OWN)) {
        obstacle = "no network namespace can be made";
    } else if (fence_open(&f) < 0) {
        if (errno != EPERM && errno != EPROTONOSUPPORT && errno != EOPNOTSUPP)
            return -1;
        obstacle = "this kernel has no nftables";
    } else {
        fence_close(&f);
    }
    if (obstacle)
        print_message("skipped: %s\n", obstacle);
    return 0;
}

static struct fence open_fence(void)
{
    struct fence f;
    if (obstacle)
        skip();
    assert_int_equal(fence_open(&f), 0);
    return f;
}

/* Listens at every address.  return  the descriptor */
static int listen_at(uint16_t *port_out)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    *port_out = ntohs(a.sin6_port);
    return fd;
}

static int try_address(const char *address, uint16_t port, int protocol)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    bool six = strchr(address, ':');
    inet_pton(six ? AF_INET6 : AF_INET, address,
              six ? (void *)&in6.sin6_addr : (void *)&in.sin_addr);
    int fd = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM, protocol);
    int r = six ? connect(fd, (struct sockaddr *)&in6, sizeof in6)
                : connect(fd, (struct sockaddr *)&in, sizeof in);
    int error = r < 0 ? errno : 0;
    close(fd);
    return error;
}

/* return  what connect() says to a process of that user: 0 or errno */
static int connect_as(uid_t uid, const char *address, uint16_t port, int protocol)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        bool ok = setgroups(0, NULL) == 0 && setresgid(uid, uid, uid) == 0 &&
                  setresuid(uid, uid, uid) == 0;
        _exit(ok ? try_address(address, port, protocol) : 255);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int connect_to(uid_t uid, uint16_t port)
{
    static const char *const addresses[] = {"127.0.0.1", "127.9.9.9", OWN, "::1"};
    int first = connect_as(uid, addresses[0], port, IPPROTO_TCP);
    for (size_t i = 1; i < ARRAY_LEN(addresses); i++)
        assert_int_equal(connect_as(uid, addresses[i], port, IPPROTO_TCP), first);
    return first;
}

static void only_those_named_get_in(void **state)
{
    (void)state;
    struct fence f = open_fence();
    uint16_t one, two, other;
    int fds[] = {listen_at(&one), listen_at(&two), listen_at(&other)};
    const struct fence_gate g = {{one, two}, {0, TENANT}, 2};
    assert_int_equal(connect_to(STRANGER, one), 0);
    assert_int_equal(fence_guard(&f, &g), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(connect_to(0, g.ports[i]), 0);
        assert_int_equal(connect_to(TENANT, g.ports[i]), 0);
        assert_int_equal(connect_to(STRANGER, g.ports[i]), ECONNREFUSED);
    }
    assert_int_equal(connect_as(STRANGER, "127.0.0.1", one, IPPROTO_MPTCP), ECONNREFUSED);
    assert_int_equal(connect_to(STRANGER, other), 0);
    assert_int_equal(fence_release(&f, &g), 0);
    assert_int_equal(connect_to(STRANGER, one), 0);
    assert_int_equal(connect_to(STRANGER, two), 0);
    fence_close(&f);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
}

static void a_change_is_whole_or_nothing(void **state)
{
    (void)state;
    struct fence f = open_fence();
    uint16_t one, two;
    int fds[] = {listen_at(&one), listen_at(&two)};
    const struct fence_gate first = {{one, 0}, {TENANT}, 1}, both = {{one, two}, {TENANT}, 1};
    assert_int_equal(fence_guard(&f, &first), 0);
    assert_true(fence_release(&f, &both) < 0); /* the second never was */
    assert_int_equal(errno, ENOENT);
    assert_int_equal(connect_to(STRANGER, one), ECONNREFUSED);
    assert_int_equal(fence_guard(&f, &both), 0); /* the answers to what failed are not in the way */
    assert_int_equal(connect_to(STRANGER, two), ECONNREFUSED);
    assert_int_equal(fence_release(&f, &both), 0);
    fence_close(&f);
    close(fds[0]);
    close(fds[1]);
}

static void it_goes_with_its_socket_and_can_be_handed_on(void **state)
{
    (void)state;
    struct fence f = open_fence(), same;
    uint16_t port;
    int fd = listen_at(&port);
    const struct fence_gate g = {{port, 0}, {TENANT}, 1};
    assert_true(fcntl(f.fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(fence_guard(&f, &g), 0);
    assert_int_equal(fence_adopt(&same, dup(f.fd)), 0);
    assert_string_equal(same.table, f.table);
    fence_close(&f);
    assert_int_equal(connect_to(STRANGER, port), ECONNREFUSED);
    assert_int_equal(fence_release(&same, &g), 0);
    assert_int_equal(connect_to(STRANGER, port), 0);
    assert_int_equal(fence_guard(&same, &g), 0);
    assert_int_equal(connect_to(STRANGER, port), ECONNREFUSED);
    fence_close(&same);
    assert_int_equal(connect_to(STRANGER, port), 0);
    close(fd);
}

static void two_of_one_machine_do_not_meet(void **state)
{
    (void)state;
    struct fence f = open_fence(), other = open_fence();
    uint16_t one, two;
    int fds[] = {listen_at(&one), listen_at(&two)};
    const struct fence_gate g = {{one, 0}, {TENANT}, 1}, h = {{two, 0}, {STRANGER}, 1};
    assert_string_not_equal(f.table, other.table);
    assert_int_equal(fence_guard(&f, &g), 0);
    assert_int_equal(fence_guard(&other, &h), 0);
    assert_int_equal(connect_to(TENANT, one), 0);
    assert_int_equal(connect_to(STRANGER, one), ECONNREFUSED);
    assert_int_equal(connect_to(STRANGER, two), 0);
    assert_int_equal(connect_to(TENANT, two), ECONNREFUSED);
    fence_close(&f);
    assert_int_equal(connect_to(STRANGER, one), 0);
    assert_int_equal(connect_to(TENANT, two), ECONNREFUSED);
    fence_close(&other);
    close(fds[0]);
    close(fds[1]);
}

static void what_is_established_goes_on(void **state)
{
    (void)state;
    struct fence f = open_fence();
    uint16_t port, mine;
    int fd = listen_at(&port), client = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    socklen_t len = sizeof a;
    char octet = 0;
    a.sin6_addr = in6addr_loopback;
    assert_int_equal(connect(client, (struct sockaddr *)&a, len), 0);
    int server = accept(fd, NULL, NULL);
    assert_int_equal(getsockname(client, (struct sockaddr *)&a, &len), 0);
    mine = ntohs(a.sin6_port);
    /* Nobody may connect to either end's port: octets go both ways all the same. */
    const struct fence_gate g = {{port, mine}, {TENANT}, 1};
    assert_int_equal(fence_guard(&f, &g), 0);
    assert_int_equal(connect_to(0, port), ECONNREFUSED);
    assert_int_equal(send(client, "a", 1, 0), 1);
    assert_int_equal(recv(server, &octet, 1, 0), 1);
    assert_int_equal(send(server, "b", 1, 0), 1);
    assert_int_equal(recv(client, &octet, 1, 0), 1);
    assert_int_equal(octet, 'b');
    fence_close(&f);
    close(fd);
    close(client);
    close(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_those_named_get_in),
        cmocka_unit_test(a_change_is_whole_or_nothing),
        cmocka_unit_test(it_goes_with_its_socket_and_can_be_handed_on),
        cmocka_unit_test(two_of_one_machine_do_not_meet),
        cmocka_unit_test(what_is_established_goes_on),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
