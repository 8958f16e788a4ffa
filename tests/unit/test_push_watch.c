/* SPDX-License-Identifier: Apache-2.0 */
/* A page is watched at a server that means no good: what it sends takes neither time nor memory
 * without end. */
#include "cli/push_watch.h"
#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

typedef void answer_fn(int fd);

/* A process that answers one connection.  url_out  where it is to be asked */
static pid_t serve(answer_fn *answer, char *url_out, size_t cap)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &len), 0);
    snprintf(url_out, cap, "http://127.0.0.1:%u/", ntohs(a.sin_port));
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char request[4096];
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int fd = accept(listener, NULL, NULL);
        if (fd >= 0 && read(fd, request, sizeof request) > 0)
            answer(fd);
        while (read(fd, request, sizeof request) > 0)
            continue;
        _exit(0);
    }
    close(listener);
    return pid;
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void say(int fd, const void *octets, size_t len)
{
    if (send(fd, octets, len, MSG_NOSIGNAL) != (ssize_t)len)
        _exit(0);
}

static void send_for_ever(int fd)
{
    static const char head[] = "HTTP/1.1 200 OK\r\n\r\n";
    static char content[1 << 20];
    say(fd, head, sizeof head - 1);
    for (unsigned others = 3; others && fork() != 0; others--)
        continue;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;)
        say(fd, content, sizeof content);
}

/* Also where octets are always there already. */
static void ends_in_time(void **state)
{
    static struct watch w;
    char url[64];
    pid_t pid = serve(send_for_ever, url, sizeof url);
    const struct watch_options o = {.url = url, .as = WATCH_HTTP1, .limit_ms = 1000};
    assert_int_equal(watch_page(&w, &o), 0);
    assert_string_equal(w.end, err_text(ERR_TIMEOUT));
    assert_true(w.at[0].last_us < 1000000);
    watch_fini(&w);
    end(pid);
}

#define PROMISES    200
#define PATH_OCTETS 8000

static void frame(int fd, unsigned type, unsigned flags, unsigned stream, const void *p, size_t len)
{
    const unsigned char head[9] = {(unsigned char)(len >> 16),
                                   (unsigned char)(len >> 8),
                                   (unsigned char)len,
                                   (unsigned char)type,
                                   (unsigned char)flags,
                                   0,
                                   0,
                                   (unsigned char)(stream >> 8),
                                   (unsigned char)stream};
    say(fd, head, sizeof head);
    say(fd, p, len);
}

/* One path, again and again, each answered at once.  RFC 9113 6.6, RFC 7541 */
static void promise_again(int fd)
{
    static unsigned char block[4 + 3 + 64 + PATH_OCTETS];
    static const unsigned char ok[] = {0x88}; /* :status 200 */
    struct sockaddr_in a;
    socklen_t len = sizeof a;
    char authority[32];
    getsockname(fd, (struct sockaddr *)&a, &len);
    int n = snprintf(authority, sizeof authority, "127.0.0.1:%u", ntohs(a.sin_port));
    unsigned char *at = block + 4; /* before it stands the promised stream */
    *at++ = 0x82;                  /* :method GET */
    *at++ = 0x86;                  /* :scheme http */
    *at++ = 0x01;                  /* :authority */
    *at++ = (unsigned char)n;
    memcpy(at, authority, (size_t)n);
    at += n;
    *at++ = 0x04; /* :path, as long as three octets say */
    *at++ = 0x7f;
    *at++ = ((PATH_OCTETS - 0x7f) & 0x7f) | 0x80;
    *at++ = (PATH_OCTETS - 0x7f) >> 7;
    memset(at, 'x', PATH_OCTETS);
    *at = '/';
    at += PATH_OCTETS;
    frame(fd, 4, 0, 0, "", 0);
    for (unsigned i = 1; i <= PROMISES; i++) {
        block[2] = (unsigned char)(2 * i >> 8);
        block[3] = (unsigned char)(2 * i);
        frame(fd, 5, 4, 1, block, (size_t)(at - block));
        frame(fd, 1, 4 | 1, 2 * i, ok, sizeof ok);
    }
    frame(fd, 1, 4 | 1, 1, ok, sizeof ok);
}

static void keeps_what_it_shows(void **state)
{
    static struct watch w;
    char url[64];
    pid_t pid = serve(promise_again, url, sizeof url);
    const struct watch_options o = {.url = url, .as = WATCH_NODE};
    assert_int_equal(watch_page(&w, &o), 0);
    assert_null(w.end);
    assert_int_equal(w.count, 2);
    assert_true(w.at[1].pushed && w.at[1].url.len == PATH_OCTETS);
    assert_true(w.pool.live_octets < 10 * PATH_OCTETS);
    watch_fini(&w);
    end(pid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends_in_time),
        cmocka_unit_test(keeps_what_it_shows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
