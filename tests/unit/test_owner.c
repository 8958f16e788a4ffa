/* SPDX-License-Identifier: Apache-2.0 */
/* Whose a listening TCP socket is. */
#include "control/owner.h"
#include "net/diag.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_proc_net_tcp(void **state)
{
    static const char v4[] = "   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 "
                             "00000000  1000        0 12345 1 0000000000000000 100 0 0 10 0\n";
    static const char v6[] = "   2: 00000000000000000000000000000000:1F90 "
                             "00000000000000000000000000000000:0000 0A 00000000:00000000 "
                             "00:00000000 00000000     7        0 99 1 0 100 0 0 10 0\n";
    static const char open_[] =
        "   1: 0100007F:1F90 0100007F:1234 01 00000000:00000000 00:00000000 "
        "00000000  1000        0 12345 1 0000000000000000 100 0 0 10 0\n";
    struct owner_socket s;
    struct addr a;
    assert_int_equal(addr_parse(SLICE("127.0.0.1:8080"), &a), 0);
    assert_true(owner_parse_line(v4, false, &s));
    assert_int_equal(s.port, 8080);
    assert_int_equal(s.uid, 1000);
    assert_int_equal(s.inode, 12345);
    assert_int_equal(owner_fit(&s, false, &a), 4);
    assert_true(owner_parse_line(v6, true, &s));
    assert_int_equal(s.uid, 7);
    assert_int_equal(owner_fit(&s, true, &a), 1);
    assert_false(owner_parse_line(open_, false, &s));
    assert_false(owner_parse_line("  sl  local_address rem_address   st\n", false, &s));
    assert_false(owner_parse_line("", false, &s));
}

static int listen_at(const char *text, struct addr *out)
{
    int off = 0;
    assert_int_equal(addr_parse(slice_str(text), out), 0);
    int fd = socket(out->u.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (out->u.sa.sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    assert_int_equal(bind(fd, &out->u.sa, out->len), 0);
    assert_int_equal(listen(fd, 1), 0);
    out->len = sizeof out->u;
    assert_int_equal(getsockname(fd, &out->u.sa, &out->len), 0);
    return fd;
}

/* As the kernel says when it is asked, and as its tables say. */
static void test_owner_of_port(void **state)
{
    struct owner me = {.group = getpgrp(), .uid = geteuid(), .diag = diag_open()};
    struct addr own, all, all_by_4 = {.len = sizeof all_by_4.u.in};
    int fds[] = {listen_at("127.0.0.1:0", &own), listen_at("[::]:0", &all)};
    all_by_4.u.in = (struct sockaddr_in){.sin_family = AF_INET,
                                         .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                         .sin_port = all.u.in6.sin6_port};
    int diag = me.diag;
    struct stat st;
    struct diag_socket found;
    assert_int_equal(fstat(fds[0], &st), 0);
    if (diag >= 0) {
        assert_int_equal(diag_find(diag, &own, NULL, &found), 0);
        assert_int_equal(found.uid, me.uid);
        assert_int_equal(found.inode, st.st_ino);
    }
    for (int pass = 0; pass < 2; pass++, me.diag = -1) {
        struct owner other = me;
        other.uid++;
        assert_int_equal(owner_of_port(&own, &me), OWNER_YES);
        assert_int_equal(owner_of_port(&all, &me), OWNER_YES);
        assert_int_equal(owner_of_port(&all_by_4, &me), OWNER_YES);
        assert_int_equal(owner_of_port(&own, &other), OWNER_NO);
    }
    close(fds[0]);
    close(fds[1]);
    assert_int_equal(owner_of_port(&own, &me), OWNER_GONE);
    me.diag = diag;
    assert_int_equal(owner_of_port(&own, &me), OWNER_GONE);
    if (diag >= 0)
        close(diag);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_proc_net_tcp),
        cmocka_unit_test(test_owner_of_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
