/* SPDX-License-Identifier: Apache-2.0 */
/* An instance is left when nothing is on its way to it any more, the rest of a tunnel included
 * whose client is done: a shard, a client over a socket pair, a worker with our own HTTP/2 server,
 * all in this thread.  (With HTTP/1.1, and with all processes: tests/e2e/66-retire.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "edge/client.h"
#include "edge/leave.h"
#include "edge/shard.h"
#include "http/h2.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define WINDOW_OCTETS 16384u
#define SAID_OCTETS   100000u /* by the client: most of it does not fit into the worker's window */

static char directory[] = "/tmp/portico-leave-XXXXXX";
static char socket_path[64];
static struct shard shard;
static uint32_t left;

static struct {
    struct pool pool;
    int listener, fd;
    struct h2_conn *h2;
    struct h2_stream *tunnel;
    size_t came, held; /* octets of the tunnel; of them not consumed yet */
    bool is_eager;     /* it takes what comes at once */
    bool has_ended;    /* the client's end came */
} worker = {.fd = -1};

static int non_blocking(int fd)
{
    assert_true(fd >= 0);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return fd;
}

/* ---- the worker ---- */

/* It has nothing to say, and says so at once. */
static void on_head(void *user, struct h2_stream *s, const struct http_head *head, bool end)
{
    const struct http_head ok = {.status = 200, .content_length = -1};
    (void)user;
    assert_false(end);
    assert_true(slice_eq(head->protocol, SLICE("websocket")));
    worker.tunnel = s;
    assert_int_equal(h2_stream_respond(s, &ok, true), 0);
}

static void take(struct h2_stream *s)
{
    h2_stream_consumed(s, worker.held);
    worker.held = 0;
}

static void on_body(void *user, struct h2_stream *s, struct slice octets, bool end)
{
    (void)user;
    worker.came += octets.len;
    worker.held += octets.len;
    worker.has_ended |= end;
    if (worker.is_eager)
        take(s);
}

static void on_close(void *user, struct h2_stream *s, uint32_t code)
{
    (void)user;
    (void)s;
    (void)code;
    worker.tunnel = NULL;
}

static const struct h2_events events = {
    .on_head = on_head, .on_body = on_body, .on_close = on_close};

static void play_worker(void)
{
    static char octets[65536];
    ssize_t n;
    if (worker.fd < 0) {
        struct h2_settings set;
        worker.fd = accept4(worker.listener, NULL, NULL, SOCK_NONBLOCK);
        if (worker.fd < 0)
            return;
        h2_settings_default(&set, H2_SERVER);
        set.enable_connect = true;
        set.stream_window = WINDOW_OCTETS;
        worker.h2 = h2_conn_new(H2_SERVER, &set, &events, NULL, &worker.pool, 1);
        assert_non_null(worker.h2);
    }
    while ((n = read(worker.fd, octets, sizeof octets)) > 0)
        h2_conn_feed(worker.h2, octets, (size_t)n, 1);
    while ((n = (ssize_t)h2_conn_output(worker.h2, octets, sizeof octets, 1)) > 0)
        if (send(worker.fd, octets, (size_t)n, MSG_NOSIGNAL) < 0)
            return; /* it was hung up on */
}

/* ---- edge ---- */

static void turn(void)
{
    for (int rounds = 0; rounds < 32; rounds++) {
        loop_turn(shard.loop, 0);
        play_worker();
    }
}

static void publish(uint64_t revision, enum route_instance_state state)
{
    struct route_site site = {.flags = ROUTE_HTTP20 | ROUTE_WEBSOCKETS | ROUTE_DEFAULT,
                              .request_timeout_ms = 60000,
                              .idle_timeout_ms = 60000,
                              .tunnel_timeout_ms = 60000,
                              .queue = 10,
                              .body_limit_octets = 1u << 30};
    char address[80];
    size_t len;
    snprintf(address, sizeof address, "unix:%s", socket_path);
    struct route_builder *b = route_builder_new(revision);
    assert_int_equal(route_builder_site(b, SLICE("a"), &site), 0);
    assert_int_equal(route_builder_host(b, SLICE("a.test")), 0);
    assert_int_equal(
        route_builder_instance(b, SLICE("a/0"), slice_str(address), SLICE(""), state, ROUTE_H2C),
        0);
    void *octets = route_builder_finish(b, &len);
    void *map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(map, octets, len);
    free(octets);
    route_builder_free(b);
    struct routes *r = routes_new(map, len, revision, NULL, 0);
    assert_non_null(r);
    assert_int_equal(mailbox_post(shard.mailbox, SHARD_ROUTES, r), 0);
    turn();
}

static void on_left(struct leave *l)
{
    left++;
    free(l);
}

static void leave(void)
{
    const struct ipc_edge_leave m = {.ticket = 1, .app = "a"};
    struct leave *l = leave_new(&m, 1);
    assert_non_null(l);
    assert_int_equal(mailbox_post(shard.mailbox, SHARD_LEAVE, l), 0);
    turn();
}

static void test_the_rest_of_a_tunnel_arrives(void **state)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\n"
                                  "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    static char said[SAID_OCTETS];
    char got[1024];
    int fds[2];
    struct addr peer = {.len = sizeof peer.u.in};
    (void)state;
    peer.u.in.sin_family = AF_INET;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    client_accept(&shard, non_blocking(fds[1]), &peer, false);
    assert_int_equal(write(fds[0], request, sizeof request - 1), (ssize_t)sizeof request - 1);
    turn();
    assert_true(read(fds[0], got, sizeof got) > 12 && memcmp(got, "HTTP/1.1 101", 12) == 0);
    for (size_t at = 0; at < sizeof said; turn()) {
        ssize_t n = write(fds[0], said + at, sizeof said - at);
        at += n > 0 ? (size_t)n : 0;
    }
    shutdown(fds[0], SHUT_WR);
    turn();
    assert_int_equal(read(fds[0], got, sizeof got), 0); /* the worker's end */
    assert_true(list_empty(&shard.clients));            /* both have ended: nothing to linger for */
    close(fds[0]);
    assert_int_equal(worker.came, WINDOW_OCTETS);
    publish(2, ROUTE_DRAINING);
    leave();
    assert_int_equal(left, 0);
    worker.is_eager = true;
    take(worker.tunnel);
    turn();
    assert_int_equal(worker.came, SAID_OCTETS);
    assert_true(worker.has_ended);
    assert_int_equal(left, 1);
}

static int setup(void **state)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    void *counters = calloc(1, stats_octets(1, 1));
    struct tls_server *tls = tls_server_new();
    pool_init(&worker.pool);
    if (!mkdtemp(directory) || !counters || !tls)
        return -1;
    *state = tls;
    snprintf(socket_path, sizeof socket_path, "%s/w", directory);
    memcpy(at.sun_path, socket_path, sizeof socket_path);
    worker.listener = non_blocking(socket(AF_UNIX, SOCK_STREAM, 0));
    if (bind(worker.listener, (struct sockaddr *)&at, sizeof at) < 0 ||
        listen(worker.listener, 8) < 0)
        return -1;
    stats_init(counters, 1, 1);
    if (shard_init(&shard, 0, 0, tls, stats_open(counters, stats_octets(1, 1)), NULL) < 0)
        return -1;
    shard.on_left = on_left;
    publish(1, ROUTE_READY);
    return 0;
}

static int teardown(void **state)
{
    void *counters = shard.counters;
    shard_fini(&shard);
    if (worker.h2)
        h2_conn_free(worker.h2);
    pool_fini(&worker.pool);
    if (worker.fd >= 0)
        close(worker.fd);
    close(worker.listener);
    tls_server_free(*state);
    free(counters);
    unlink(socket_path);
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_the_rest_of_a_tunnel_arrives)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
