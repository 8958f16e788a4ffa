/* SPDX-License-Identifier: Apache-2.0 */
/* Many begin a TLS handshake at once: who is served already does not wait for them, and all of them
 * are seen to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "edge/client.h"
#include "edge/shard.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define HANDSHAKES 40

static struct tls_server *tls;
static void *counters;
static struct shard shard;

static int setup(void **state)
{
    (void)state;
    tls = tls_server_new();
    counters = calloc(1, stats_octets(1, 1));
    if (!tls || !counters)
        return -1;
    stats_init(counters, 1, 1);
    return shard_init(&shard, 0, 0, tls, stats_open(counters, stats_octets(1, 1)), NULL);
}

static int teardown(void **state)
{
    (void)state;
    shard_fini(&shard);
    free(counters);
    tls_server_free(tls);
    return 0;
}

/* return  the client's end */
static int come(bool https, const char *text, size_t len)
{
    int fds[2];
    struct addr peer = {.len = sizeof peer.u.in};
    peer.u.in.sin_family = AF_INET;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(write(fds[0], text, len), (ssize_t)len);
    client_accept(&shard, fds[1], &peer, https);
    return fds[0];
}

static bool has_answer(int client)
{
    char got[1024];
    return read(client, got, sizeof got) > 0;
}

static unsigned failed(void)
{
    return (unsigned)shard.stats->refusals[REFUSAL_TLS_HANDSHAKE];
}

#define HELLO "\x16\3\1\0\4none" /* what is answered by an alert */

static void test_requests_come_first(void **state)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    int shaking[HANDSHAKES];
    (void)state;
    for (unsigned i = 0; i < HANDSHAKES; i++)
        shaking[i] = come(true, HELLO, sizeof HELLO - 1);
    int plain = come(false, request, sizeof request - 1);
    loop_turn(shard.loop, 0);
    assert_true(has_answer(plain));
    assert_int_equal(failed(), 0);

    for (unsigned turns = 1; failed() < HANDSHAKES; turns++) {
        unsigned before = failed();
        assert_int_equal(write(plain, request, sizeof request - 1), sizeof request - 1);
        loop_turn(shard.loop, 0);
        assert_true(has_answer(plain)); /* each turn */
        assert_true(failed() > before); /* and nobody waits for ever */
    }
    for (unsigned i = 0; i < HANDSHAKES; i++) {
        assert_true(has_answer(shaking[i])); /* an alert */
        close(shaking[i]);
    }
    close(plain);
    loop_turn(shard.loop, 0);
}

/* What came before the end may be read at the same time as the end. */
static void test_who_leaves_is_not_waited_for(void **state)
{
    (void)state;
    for (unsigned turns = 0; turns < 2; turns++) {
        int shaking[3];
        for (unsigned i = 0; i < 3; i++)
            shaking[i] = come(true, "\x16", 1);
        for (unsigned i = 0; i < turns; i++)
            loop_turn(shard.loop, 0); /* they are in the queue */
        for (unsigned i = 0; i < 3; i++)
            close(shaking[i]);
        for (unsigned i = 0; i < 10; i++)
            loop_turn(shard.loop, 0);
        assert_int_equal(shard.stats->connections_open, 0);
    }
}

static void test_the_end_may_come_while_they_wait(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        close(come(true, "\x16", 1));
    loop_turn(shard.loop, 0);
}

/* Nor is anything computed for who was there for a word. */
static void test_who_is_gone_gets_nothing(void **state)
{
    char octet;
    (void)state;
    int one = come(true, HELLO, sizeof HELLO - 1);
    shutdown(one, SHUT_WR);
    for (unsigned turns = 0; shard.stats->connections_open; turns++) {
        assert_true(turns < 10);
        loop_turn(shard.loop, 0);
    }
    assert_true(recv(one, &octet, 1, 0) <= 0); /* no alert */
    close(one);
}

/* So many come, say that, and go, until one is suspect.  return  whether one was */
static bool is_suspect_after(unsigned n, const char *text, size_t len)
{
    while (n-- && !shard.stats->connections_suspect) {
        int one = come(true, text, len);
        for (unsigned turns = 0; turns < 3; turns++)
            loop_turn(shard.loop, 0);
        close(one);
        for (unsigned turns = 0; turns < 3; turns++)
            loop_turn(shard.loop, 0);
    }
    while (shard.stats->connections_open) /* a suspect is heard later */
        loop_turn(shard.loop, 100);
    return shard.stats->connections_suspect;
}

/* A browser that opens one connection more than it needs, or whose other address family was faster,
 * and what looks whether the port is open, cost nothing: nobody who shares an address with many of
 * them is suspect for it. */
static void test_who_says_nothing_is_no_suspect(void **state)
{
    (void)state;
    shard.addresses = addresses_new();
    assert_non_null(shard.addresses);
    assert_false(is_suspect_after(200, "", 0));
    assert_true(is_suspect_after(200, HELLO, sizeof HELLO - 1));
    addresses_free(shard.addresses);
    shard.addresses = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_come_first),
        cmocka_unit_test(test_who_leaves_is_not_waited_for),
        cmocka_unit_test(test_the_end_may_come_while_they_wait),
        cmocka_unit_test(test_who_is_gone_gets_nothing),
        cmocka_unit_test(test_who_says_nothing_is_no_suspect),
    };
    return cmocka_run_group_tests_name("edge_handshakes", tests, setup, teardown);
}
