/* SPDX-License-Identifier: Apache-2.0 */
/* The channel between roles: what is sent arrives; what is malformed is refused, and nothing of it
 * stays open. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/panic.h"
#include "ipc/outbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const struct row {
    enum ipc_type type;
    size_t octets;
    unsigned least, most;
} rows[] = {
#define X(name, type_, least_, most_) {IPC_##name, sizeof(struct type_), least_, most_},
    IPC_TABLE(X)
#undef X
};

static int count_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = 0;
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static int pair[2];

static int setup(void **state)
{
    (void)state;
    return ipc_pair(pair);
}

static int teardown(void **state)
{
    (void)state;
    close(pair[0]);
    close(pair[1]);
    return 0;
}

/* A message as a broken peer would send it. */
static void send_raw(uint32_t type, const void *body, size_t octets, unsigned fd_count)
{
    struct iovec iov[2] = {{&type, sizeof type}, {(void *)(uintptr_t)body, octets}};
    char control[CMSG_SPACE(8 * sizeof(int))] = {0};
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};
    if (fd_count) {
        m.msg_control = control;
        m.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        for (unsigned i = 0; i < fd_count; i++) {
            int fd = STDERR_FILENO;
            memcpy(CMSG_DATA(c) + i * sizeof fd, &fd, sizeof fd);
        }
    }
    assert_int_equal(sendmsg(pair[0], &m, 0), sizeof type + octets);
}

static void test_round_trip(void **state)
{
    static union ipc_body body;
    static struct ipc_message got;
    const int fds[IPC_MAX_FDS] = {STDERR_FILENO, STDERR_FILENO};
    int before = count_fds();
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(ipc_octets(rows[i].type), rows[i].octets);
        for (unsigned n = rows[i].least; n <= rows[i].most; n++) {
            memset(&body, 0, sizeof body);
            memset(&body, 'x', 3); /* a text, or part of a number */
            assert_int_equal(ipc_send(pair[0], rows[i].type, &body, fds, n), 0);
            assert_int_equal(ipc_recv(pair[1], &got), 0);
            assert_int_equal(got.type, rows[i].type);
            assert_memory_equal(&got.body, &body, rows[i].octets);
            assert_int_equal(got.fd_count, n);
            for (unsigned f = 0; f < n; f++) {
                assert_int_equal(fcntl(got.fds[f], F_GETFD), FD_CLOEXEC);
                close(got.fds[f]);
            }
        }
    }
    assert_int_equal(count_fds(), before);
}

static void test_wrong_size(void **state)
{
    static const char body[sizeof(union ipc_body) + 1];
    static struct ipc_message got;
    int before = count_fds();
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *r = &rows[i];
        send_raw(r->type, body, r->octets - 1, r->least);
        assert_int_equal(ipc_recv(pair[1], &got), ERR_FORMAT);
        send_raw(r->type, body, r->octets + 1, r->least);
        assert_int_equal(ipc_recv(pair[1], &got), ERR_FORMAT);
        send_raw(r->type, body, 0, r->least);
        assert_int_equal(ipc_recv(pair[1], &got), ERR_FORMAT);
    }
    assert_int_equal(send(pair[0], body, 1, 0), 1);
    assert_int_equal(ipc_recv(pair[1], &got), ERR_FORMAT);
    assert_int_equal(count_fds(), before);
}

static void test_wrong_type(void **state)
{
    static const char body[64];
    static struct ipc_message got;
    const uint32_t types[] = {IPC_NONE, IPC_TYPE_COUNT, UINT32_MAX};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        send_raw(types[i], body, sizeof body, 0);
        assert_int_equal(ipc_recv(pair[1], &got), ERR_FORMAT);
    }
    assert_string_equal(ipc_type_name(IPC_TYPE_COUNT), "?");
    assert_string_equal(ipc_type_name(IPC_COMMIT), "COMMIT");
}

static void test_wrong_fd_count(void **state)
{
    static const union ipc_body body;
    static struct ipc_message got;
    int before = count_fds();
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (unsigned n = 0; n <= 6; n++) {
            if (n >= rows[i].least && n <= rows[i].most)
                continue;
            send_raw(rows[i].type, &body, rows[i].octets, n);
            assert_int_equal(ipc_recv(pair[1], &got), ERR_FORMAT);
            assert_int_equal(got.fd_count, 0);
            assert_int_equal(count_fds(), before);
        }
}

static void test_missing_nul(void **state)
{
    static union ipc_body body;
    static struct ipc_message got;
    /* each ends in a text, or has one only */
    const enum ipc_type types[] = {IPC_ENV,    IPC_LISTENING,      IPC_EDGE_LISTENER, IPC_OUTPUT,
                                   IPC_HELLO,  IPC_CERTIFICATE,    IPC_LISTEN,        IPC_APP,
                                   IPC_COMMIT, IPC_INSTANCE_READY, IPC_INSTANCE};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        memset(&body, 'x', sizeof body);
        send_raw(types[i], &body, ipc_octets(types[i]), types[i] == IPC_EDGE_LISTENER);
        assert_int_equal(ipc_recv(pair[1], &got), ERR_FORMAT);
    }
    memset(&body, 'x', sizeof body);
    body.ENV.text[sizeof body.ENV.text - 1] = 0; /* the last octet is enough */
    send_raw(IPC_ENV, &body, sizeof body.ENV, 0);
    assert_int_equal(ipc_recv(pair[1], &got), 0);
}

static void test_full_and_closed(void **state)
{
    static const struct ipc_env env;
    static struct ipc_message got;
    int sent = 0, r;
    (void)state;
    assert_int_equal(fcntl(pair[0], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(fcntl(pair[1], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(ipc_recv(pair[1], &got), ERR_AGAIN);
    while ((r = ipc_send(pair[0], IPC_ENV, &env, NULL, 0)) == 0)
        sent++;
    assert_int_equal(r, ERR_AGAIN);
    assert_true(sent > 4);
    assert_int_equal(ipc_recv(pair[1], &got), 0);
    assert_int_equal(ipc_send(pair[0], IPC_ENV, &env, NULL, 0), 0);
    close(pair[0]);
    for (; sent; sent--)
        assert_int_equal(ipc_recv(pair[1], &got), 0);
    assert_int_equal(ipc_recv(pair[1], &got), ERR_CLOSED);
    assert_int_equal(ipc_send(pair[1], IPC_ENV, &env, NULL, 0), ERR_CLOSED);
    assert_int_equal(ipc_pair(pair), 0);
}

/* What must wait arrives whole and in order, with descriptors, when the other side reads. */
static void test_outbox(void **state)
{
    enum { MANY = 3000 };
    static struct ipc_message got;
    struct ipc_outbox o;
    struct ipc_access_log log;
    int before = count_fds(), file = dup(pair[1]);
    (void)state;
    memset(&log, 0, sizeof log);
    assert_int_equal(fcntl(pair[0], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(fcntl(pair[1], F_SETFL, O_NONBLOCK), 0);
    ipc_outbox_init(&o, MANY);
    for (uint64_t i = 0; i < MANY; i++) {
        struct ipc_edge_left b = {.ticket = i};
        assert_int_equal(ipc_outbox_send(&o, pair[0], IPC_EDGE_LEFT, &b, NULL, 0), 0);
    }
    assert_true(o.count > 0);
    assert_int_equal(ipc_outbox_send(&o, pair[0], IPC_ACCESS_LOG, &log, &file, 1), 0);
    close(file);
    uint32_t waiting = o.count;
    o.most = waiting;
    assert_int_equal(ipc_outbox_send(&o, pair[0], IPC_ACCESS_LOG, &log, &pair[0], 1), ERR_LIMIT);
    assert_int_equal(o.count, waiting);
    o.most = MANY;
    for (uint64_t i = 0; i < MANY; i++) {
        assert_int_equal(ipc_recv(pair[1], &got), 0);
        assert_int_equal(got.type, IPC_EDGE_LEFT);
        assert_int_equal(got.body.EDGE_LEFT.ticket, i);
        assert_int_equal(ipc_outbox_flush(&o, pair[0]), 0);
    }
    assert_int_equal(o.count, 0);
    assert_int_equal(ipc_recv(pair[1], &got), 0);
    assert_int_equal(got.type, IPC_ACCESS_LOG);
    assert_int_equal(got.fd_count, 1);
    close(got.fds[0]);
    /* with what it cannot send any more it keeps nothing */
    while (!o.count)
        assert_int_equal(ipc_outbox_send(&o, pair[0], IPC_ACCESS_LOG, &log, &pair[0], 1), 0);
    close(pair[1]);
    assert_int_equal(ipc_outbox_flush(&o, pair[0]), ERR_CLOSED);
    ipc_outbox_fini(&o);
    close(pair[0]);
    assert_int_equal(count_fds(), before - 2);
    assert_int_equal(ipc_pair(pair), 0);
}

/* A role that ends without having read everything: its own last words still arrive. */
static void test_last_words(void **state)
{
    static const struct ipc_env env;
    static const struct ipc_stop stop = {.exit_code = 7};
    static struct ipc_message got;
    (void)state;
    assert_int_equal(ipc_send(pair[1], IPC_ENV, &env, NULL, 0), 0);
    assert_int_equal(ipc_send(pair[0], IPC_STOP, &stop, NULL, 0), 0);
    close(pair[0]);
    assert_int_equal(ipc_recv(pair[1], &got), 0);
    assert_int_equal(got.body.STOP.exit_code, 7);
    assert_int_equal(ipc_recv(pair[1], &got), ERR_CLOSED);
    pair[0] = dup(pair[1]);
}

static void test_text(void **state)
{
    char to[8];
    (void)state;
    memset(to, 'x', sizeof to);
    assert_true(ipc_text(to, sizeof to, SLICE("abc")));
    assert_memory_equal(to, "abc\0\0\0\0\0", 8);
    assert_true(ipc_text(to, sizeof to, SLICE("1234567")));
    assert_string_equal(to, "1234567");
    assert_false(ipc_text(to, sizeof to, SLICE("12345678")));
    assert_false(ipc_text(to, sizeof to, slice_of("a\0b", 3)));
    assert_true(ipc_text(to, sizeof to, slice_of(NULL, 0)));
    assert_string_equal(to, "");
}

static void test_sealed(void **state)
{
    const void *base;
    size_t len;
    (void)state;
    int fd = ipc_sealed_memfd("test", "octets", 6);
    assert_true(fd >= 0);
    assert_int_equal(ipc_map_sealed(fd, 6, &base, &len), 0);
    assert_int_equal(len, 6);
    assert_memory_equal(base, "octets", 6);
    munmap((void *)(uintptr_t)base, len);
    assert_int_equal(ipc_map_sealed(fd, 7, &base, &len), ERR_FORMAT);
    assert_int_equal(write(fd, "x", 1), -1);
    assert_int_equal(ftruncate(fd, 1), -1);
    close(fd);

    fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(write(fd, "octets", 6), 6);
    assert_int_equal(ipc_map_sealed(fd, 1, &base, &len), ERR_FORMAT);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW), 0);
    assert_int_equal(ipc_map_sealed(fd, 1, &base, &len), ERR_FORMAT); /* may still shrink */
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    assert_int_equal(ipc_map_sealed(fd, 1, &base, &len), 0);
    munmap((void *)(uintptr_t)base, len);
    close(fd);

    fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(ipc_map_sealed(fd, 1, &base, &len), ERR_FORMAT);
    close(fd);
    fd = ipc_sealed_memfd("test", "", 0);
    assert_int_equal(ipc_map_sealed(fd, 0, &base, &len), ERR_FORMAT);
    close(fd);
}

static void test_shared(void **state)
{
    void *a, *b;
    const void *c;
    size_t len;
    (void)state;
    int fd = ipc_shared_memfd("test", 5000);
    assert_true(fd >= 0);
    assert_int_equal(ipc_map_shared(fd, &a, &len), 0);
    assert_int_equal(len, 5000);
    assert_int_equal(ipc_map_shared(fd, &b, &len), 0);
    memcpy((char *)a + 4990, "hello", 6);
    assert_string_equal((char *)b + 4990, "hello");
    assert_int_equal(ftruncate(fd, 1), -1); /* nobody can take it away from the others */
    assert_int_equal(ipc_map_sealed(fd, 1, &c, &len), ERR_FORMAT);
    munmap(a, 5000);
    munmap(b, 5000);
    close(fd);
    fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(ftruncate(fd, 10), 0);
    assert_int_equal(ipc_map_shared(fd, &a, &len), ERR_FORMAT);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_size, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_type, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_fd_count, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missing_nul, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_and_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_outbox, setup, teardown),
        cmocka_unit_test_setup_teardown(test_last_words, setup, teardown),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_sealed),
        cmocka_unit_test(test_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
