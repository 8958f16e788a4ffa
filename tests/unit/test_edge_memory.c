/* SPDX-License-Identifier: Apache-2.0 */
/* Each allocation of a request's way through edge fails in turn: a client over a socket pair, a
 * shard, a worker at a unix socket, all in this thread.  Whatever fails, the client gets the whole
 * answer, an error or the end of its connection, never nothing and never a part that looks whole;
 * and the next request is served. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "edge/client.h"
#include "edge/shard.h"
#include "edge/worker.h"
#include "edge_routes.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BODY_OCTETS 200000u /* more than one read, so that it is passed on in pieces */
#define TURNS_MAX   4000

static char directory[] = "/tmp/portico-memory-XXXXXX";
static char socket_path[64];
static void *snapshot;
static size_t snapshot_len;
static struct tls_server *tls;

static int setup(void **state)
{
    struct route_site site = {.flags = ROUTE_HTTP20 | ROUTE_WEBSOCKETS | ROUTE_DEFAULT,
                              .request_timeout_ms = 60000,
                              .idle_timeout_ms = 60000,
                              .tunnel_timeout_ms = 60000,
                              .queue = 10,
                              .body_limit_octets = 1u << 30};
    char address[80];
    if (!mkdtemp(directory))
        return -1;
    snprintf(socket_path, sizeof socket_path, "%s/w", directory);
    snprintf(address, sizeof address, "unix:%s", socket_path);
    struct route_builder *b = route_builder_new(1);
    if (route_builder_site(b, SLICE("a"), &site) < 0 ||
        route_builder_host(b, SLICE("a.test")) < 0 ||
        route_builder_instance(b, SLICE("a/0"), slice_str(address), SLICE(""), ROUTE_READY,
                               ROUTE_H1) < 0)
        return -1;
    snapshot = route_builder_finish(b, &snapshot_len);
    route_builder_free(b);
    tls = tls_server_new();
    return snapshot && tls ? 0 : -1;
}

static int teardown(void **state)
{
    free(snapshot);
    tls_server_free(tls);
    unlink(socket_path);
    return rmdir(directory);
}

struct world {
    struct shard shard;
    void *counters;
    int listener, worker, client;
    char request[4096];
    size_t request_len;
    size_t answer_left; /* octets that the worker has not sent yet */
    char *got;
    size_t got_len;
    bool is_over; /* the client's connection has ended */
};

static int non_blocking(int fd)
{
    assert_true(fd >= 0);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return fd;
}

static void world_init(struct world *w)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    memset(w, 0, sizeof *w);
    w->counters = calloc(1, stats_octets(1, 1));
    w->got = malloc(2 * BODY_OCTETS);
    stats_init(w->counters, 1, 1);
    assert_int_equal(
        shard_init(&w->shard, 0, 0, tls, stats_open(w->counters, stats_octets(1, 1)), NULL), 0);
    struct routes *r = edge_routes_of(snapshot, snapshot_len, 1);
    assert_non_null(r);
    assert_int_equal(mailbox_post(w->shard.mailbox, SHARD_ROUTES, r), 0);
    memcpy(at.sun_path, socket_path, sizeof socket_path);
    unlink(socket_path);
    w->listener = non_blocking(socket(AF_UNIX, SOCK_STREAM, 0));
    assert_int_equal(bind(w->listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(w->listener, 8), 0);
    w->worker = w->client = -1;
    for (int i = 0; i < 3; i++)
        loop_turn(w->shard.loop, 0);
    assert_non_null(w->shard.routes);
}

static void world_fini(struct world *w)
{
    const int fds[] = {w->listener, w->worker, w->client};
    for (size_t i = 0; i < 3; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    shard_fini(&w->shard);
    free(w->counters);
    free(w->got);
}

/* A client connects and asks. */
static void ask(struct world *w, const void *octets, size_t len)
{
    int fds[2];
    struct addr peer = {.len = sizeof peer.u.in};
    peer.u.in.sin_family = AF_INET;
    if (w->client >= 0)
        close(w->client);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    w->client = non_blocking(fds[0]);
    w->got_len = 0;
    w->is_over = false;
    assert_int_equal(write(w->client, octets, len), (ssize_t)len);
    client_accept(&w->shard, non_blocking(fds[1]), &peer, false);
}

static void play_worker(struct world *w)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: "
                               "200000\r\n\r\n";
    static const char switching[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                                    "Connection: upgrade\r\nSec-WebSocket-Accept: "
                                    "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"; /* RFC 6455 1.3 */
    static char filler[65536];
    if (w->worker < 0) {
        w->worker = accept4(w->listener, NULL, NULL, SOCK_NONBLOCK);
        w->request_len = w->answer_left = 0;
        if (w->worker < 0)
            return;
    }
    ssize_t n =
        read(w->worker, w->request + w->request_len, sizeof w->request - 1 - w->request_len);
    if (n > 0)
        w->request_len += (size_t)n;
    w->request[w->request_len] = 0;
    bool is_gone = n == 0;
    if (!is_gone && w->answer_left == 0 && strstr(w->request, "\r\n\r\n")) {
        struct slice answer = slice_of(head, sizeof head - 1);
        if (strstr(w->request, "upgrade: websocket"))
            answer = slice_of(switching, sizeof switching - 1);
        w->request_len = 0;
        w->answer_left = BODY_OCTETS;
        is_gone = send(w->worker, answer.p, answer.len, MSG_NOSIGNAL) < 0;
    }
    memset(filler, 'x', sizeof filler);
    while (!is_gone && w->answer_left) {
        size_t most = w->answer_left < sizeof filler ? w->answer_left : sizeof filler;
        n = send(w->worker, filler, most, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        w->answer_left -= (size_t)n;
    }
    if (is_gone) {
        close(w->worker);
        w->worker = -1;
    }
}

static void play_client(struct world *w)
{
    while (!w->is_over && w->got_len < 2 * BODY_OCTETS) {
        ssize_t n = read(w->client, w->got + w->got_len, 2 * BODY_OCTETS - w->got_len);
        if (n < 0)
            return;
        w->got_len += (size_t)n;
        w->is_over = n == 0;
    }
}

static bool is_whole_h1(const struct world *w)
{
    const char *end = memmem(w->got, w->got_len, "\r\n\r\n", 4);
    const char *len =
        memmem(w->got, w->got_len, "ontent-", 7) ? memmem(w->got, w->got_len, "ength: ", 7) : NULL;
    return end && len && len < end &&
           w->got_len - (size_t)(end + 4 - w->got) == (size_t)atol(len + 7);
}

/* All that the worker said through the tunnel, or an answer of ours. */
static bool is_whole_tunnel(const struct world *w)
{
    const char *end = memmem(w->got, w->got_len, "\r\n\r\n", 4);
    if (!end || memcmp(w->got, "HTTP/1.1 101", 12) != 0)
        return is_whole_h1(w);
    return w->got_len - (size_t)(end + 4 - w->got) == BODY_OCTETS;
}

/* Frames, until one ends stream 1; GOAWAY is followed by the end of the connection. */
static bool is_whole_h2(const struct world *w)
{
    for (size_t at = 0; at + 9 <= w->got_len;) {
        const uint8_t *f = (const uint8_t *)w->got + at;
        size_t len = (size_t)f[0] << 16 | (size_t)f[1] << 8 | f[2];
        if (at + 9 + len > w->got_len)
            return false;
        if (f[8] == 1 && (f[3] == 3 || (f[3] <= 1 && (f[4] & 1))))
            return true;
        at += 9 + len;
    }
    return false;
}

static bool run(struct world *w, bool (*is_whole)(const struct world *w))
{
    for (int i = 0; i < TURNS_MAX; i++) {
        loop_turn(w->shard.loop, i > 100 ? 1 : 0);
        play_worker(w);
        play_client(w);
        if (w->is_over || is_whole(w))
            return true;
    }
    return false;
}

static const char h1_request[] = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
static const char tunnel_request[] =
    "GET /room?key=1 HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\n"
    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
static const char h2_request[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                                 "\0\0\6\4\0\0\0\0\0"  /* SETTINGS */
                                 "\0\4\0\x10\0\0"      /* INITIAL_WINDOW_SIZE 1 MiB */
                                 "\0\0\4\x8\0\0\0\0\0" /* WINDOW_UPDATE of the connection */
                                 "\0\x10\0\0"          /* 1 MiB */
                                 "\0\0\xb\1\5\0\0\0\1" /* HEADERS, the end of all */
                                 "\x82\x86\x84\x41\x06"
                                 "a.test"; /* GET http / a.test */

static void fail_each(const void *octets, size_t len, bool (*is_whole)(const struct world *w),
                      uint64_t least)
{
    uint64_t n = 1;
    for (;; n++) {
        struct world w;
        world_init(&w);
        struct pool *pool = loop_pool(w.shard.loop);
        pool->fail_at = pool->gets + n;
        ask(&w, octets, len);
        if (!run(&w, is_whole))
            fail_msg("allocation %llu failed, and the client waits (%zu octets came)",
                     (unsigned long long)n, w.got_len);
        assert_int_equal(w.shard.stats->requests_unrouted, 0); /* the host has an app */
        bool failed = pool->gets >= pool->fail_at;
        if (!failed)
            assert_true(is_whole(&w) && w.got_len > BODY_OCTETS);
        pool->fail_at = 0;
        ask(&w, octets, len);
        assert_true(run(&w, is_whole));
        if (!is_whole(&w) || w.got_len <= BODY_OCTETS)
            fail_msg("after allocation %llu had failed the next request was not served: %.*s",
                     (unsigned long long)n, w.got_len < 400 ? (int)w.got_len : 400, w.got);
        world_fini(&w);
        if (!failed)
            break;
    }
    assert_true(n > least);
}

static void test_h1(void **state)
{
    fail_each(h1_request, sizeof h1_request - 1, is_whole_h1, 5);
}

static void test_h2(void **state)
{
    fail_each(h2_request, sizeof h2_request - 1, is_whole_h2, 10);
}

static void test_tunnel(void **state)
{
    fail_each(tunnel_request, sizeof tunnel_request - 1, is_whole_tunnel, 5);
}

/* Of both heads only what the log line needs stays. */
static void test_tunnel_is_light(void **state)
{
    struct world w;
    world_init(&w);
    ask(&w, tunnel_request, sizeof tunnel_request - 1);
    assert_true(run(&w, is_whole_tunnel));
    const struct exchange *x = LIST_ENTRY(w.shard.clients.next, struct client, node)->current;
    assert_non_null(x);
    assert_true(x->switched);
    assert_true(x->arena->octets < 256 && pool_usable(x->arena->blocks->size) <= 512);
    assert_int_equal(h1_conn_arena(x->worker->http.h1)->octets, 0);
    assert_true(slice_eq(x->request->method, SLICE("GET")));
    assert_true(slice_eq(x->request->scheme, SLICE("http")));
    assert_true(slice_eq(x->request->authority, SLICE("a.test")));
    assert_true(slice_eq(x->request->path, SLICE("/room"))); /* a query is not logged */
    world_fini(&w);
}

/* A client of a tunnel says more than its worker takes, and both end. */
static void leave_a_rest(struct world *w)
{
    static const char switching[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                                    "Connection: upgrade\r\nSec-WebSocket-Accept: "
                                    "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    static char said[400000];
    int deaf, turns = 0;
    ask(w, tunnel_request, sizeof tunnel_request - 1);
    while ((deaf = accept(w->listener, NULL, NULL)) < 0 && turns++ < TURNS_MAX)
        loop_turn(w->shard.loop, 0);
    loop_turn(w->shard.loop, 0);
    assert_int_equal(send(deaf, switching, sizeof switching - 1, MSG_NOSIGNAL),
                     sizeof switching - 1);
    shutdown(deaf, SHUT_WR);
    for (size_t at = 0; at < sizeof said; loop_turn(w->shard.loop, 0)) {
        ssize_t n = write(w->client, said + at, sizeof said - at);
        at += n > 0 ? (size_t)n : 0;
    }
    shutdown(w->client, SHUT_WR);
    for (int i = 0; i < 20; i++)
        loop_turn(w->shard.loop, 0);
    assert_true(list_empty(&w->shard.clients));
}

/* It has WORKER_LEAVE_US to take it, but there is an end to what waits for it. */
static void test_what_tunnels_leave_behind_has_a_limit(void **state)
{
    struct world w;
    size_t it = 0, octets = 0;
    (void)state;
    world_init(&w);
    for (int i = 0; i < 150; i++)
        leave_a_rest(&w);
    const struct backend *b = map_next(&w.shard.backends, &it);
    LIST_FOR(node, &b->h1_busy)
    {
        const struct worker *conn = LIST_ENTRY(node, struct worker, node);
        octets += h1_conn_queued(conn->http.h1) + stream_waiting(&conn->stream);
    }
    assert_in_range(octets, WORKER_H1_REST / 2, WORKER_H1_REST + 400000);
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_h1), cmocka_unit_test(test_h2), cmocka_unit_test(test_tunnel),
        cmocka_unit_test(test_tunnel_is_light),
        cmocka_unit_test(test_what_tunnels_leave_behind_has_a_limit)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
