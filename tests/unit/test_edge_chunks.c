/* SPDX-License-Identifier: Apache-2.0 */
/* Several receive chunks filled by one read of an HTTP/1.1 worker: a shard, clients over socket
 * pairs and a worker, all in this thread.  Content arrives as it was sent, what waits for a client
 * has the same bound as with one chunk a read, and octets behind an answer reach nobody. */
#include "edge_shard.h"

#define CONNS_MAX   8
#define CLIENTS     3
#define GOT_OCTETS  (4u << 20)
#define HEAD        "HTTP/1.1 200 OK\r\nContent-Length: %8zu\r\n\r\n"
#define HEAD_OCTETS 45u /* "HTTP/1.1 200 OK" CRLF "Content-Length: 12345678" CRLF CRLF */
#define STRAY       "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray"

static char *octets; /* GOT_OCTETS that do not repeat soon */

static struct {
    int fds[CONNS_MAX];
    uint32_t count;
} worker;

static struct {
    int fd;
    char *got;
    size_t len;
} clients[CLIENTS];

/* return  the connection on which a request has come; -1: none has */
static int accept_request(void)
{
    char in[4096];
    int fd, found = -1;
    while (worker.count < CONNS_MAX &&
           (fd = accept4(edge.listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        int room = 1 << 20;
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
        worker.fds[worker.count++] = fd;
    }
    for (uint32_t i = 0; i < worker.count; i++)
        if (read(worker.fds[i], in, sizeof in) > 0)
            found = (int)i;
    return found;
}

static void turn(void)
{
    loop_timer_clear(&shard.waiting_timer);
    loop_turn(shard.loop, 0);
}

static void turns(void)
{
    for (int i = 0; i < 16; i++)
        turn();
}

static void hear(uint32_t i)
{
    ssize_t n;
    while ((n = read(clients[i].fd, clients[i].got + clients[i].len, GOT_OCTETS - clients[i].len)) >
           0)
        clients[i].len += (size_t)n;
}

static void ask(uint32_t i)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
    clients[i].len = 0;
    assert_int_equal(write(clients[i].fd, request, sizeof request - 1), sizeof request - 1);
}

/* Head and content of an answer into out.  return  octets */
static size_t answer(char *out, size_t content)
{
    assert_int_equal(snprintf(out, HEAD_OCTETS + 1, HEAD, content), HEAD_OCTETS);
    memcpy(out + HEAD_OCTETS, octets, content);
    return HEAD_OCTETS + content;
}

/* The worker says all of it, and client i hears it as it comes. */
static void say(int conn, const char *text, size_t len, uint32_t i)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = send(worker.fds[conn], text + at, len - at, MSG_NOSIGNAL);
        at += n > 0 ? (size_t)n : 0;
        turn();
        hear(i);
    }
    size_t before;
    do {
        before = clients[i].len;
        turns();
        hear(i);
    } while (clients[i].len > before);
}

static void assert_heard(uint32_t i, size_t content)
{
    const char *body = memmem(clients[i].got, clients[i].len, "\r\n\r\n", 4);
    assert_non_null(body);
    assert_memory_equal(clients[i].got, "HTTP/1.1 200 ", 13);
    body += 4;
    assert_int_equal(clients[i].got + clients[i].len - body, content);
    assert_memory_equal(body, octets, content);
}

static void publish(void)
{
    struct route_site site = {.flags = ROUTE_HTTP20 | ROUTE_DEFAULT,
                              .request_timeout_ms = 60000,
                              .idle_timeout_ms = 60000,
                              .concurrency = 1,
                              .queue = 10,
                              .body_limit_octets = 1u << 30};
    struct route_builder *b = route_builder_new(1);
    assert_int_equal(route_builder_site(b, SLICE("a"), &site), 0);
    assert_int_equal(route_builder_host(b, SLICE("a.test")), 0);
    assert_int_equal(route_builder_instance(b, SLICE("a/0"), slice_str(edge.address), SLICE(""),
                                            ROUTE_READY, ROUTE_H1),
                     0);
    edge_publish(b, 1);
    turn();
}

static int setup(void **state)
{
    (void)state;
    edge_setup();
    memset(&worker, 0, sizeof worker);
    octets = malloc(GOT_OCTETS);
    assert_non_null(octets);
    for (uint32_t i = 0, x = 1; i < GOT_OCTETS; i++, x = x * 1664525 + 1013904223)
        octets[i] = (char)(x >> 24);
    publish();
    for (uint32_t i = 0; i < CLIENTS; i++) {
        clients[i].fd = edge_come("", 0);
        clients[i].got = malloc(GOT_OCTETS);
        assert_non_null(clients[i].got);
    }
    turns();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    int r = edge_teardown();
    for (uint32_t i = 0; i < worker.count; i++)
        close(worker.fds[i]);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        close(clients[i].fd);
        free(clients[i].got);
    }
    free(octets);
    return r;
}

/* ---- tests ---- */

/* A connection that has had more than a chunk ready, so that its next read is of several. */
static int warmed_up(void)
{
    char *text = malloc(HEAD_OCTETS + 3 * SHARD_RX_OCTETS);
    ask(0);
    turns();
    int conn = accept_request();
    assert_int_equal(conn, 0);
    say(conn, text, answer(text, 3 * SHARD_RX_OCTETS), 0);
    assert_heard(0, 3 * SHARD_RX_OCTETS);
    free(text);
    return conn;
}

static void test_large_answer(void **state)
{
    const size_t content = 1u << 20;
    char *text = malloc(HEAD_OCTETS + content);
    (void)state;
    int conn = warmed_up();
    ask(0);
    turns();
    assert_int_equal(accept_request(), conn);
    uint64_t before = loop_calls(shard.loop)->reads;
    say(conn, text, answer(text, content), 0);
    assert_heard(0, content);
    assert_in_range(loop_calls(shard.loop)->reads - before, 1, content / SHARD_RX_OCTETS / 2);
    free(text);
}

/* What comes behind an answer in the same read, be it in a chunk of its own, is not the answer to
 * the request that already waits for this connection, nor to the one behind that. */
static void stray_behind(size_t whole, size_t stray)
{
    static const char evil[] = STRAY;
    char *text = malloc(whole + stray);
    int conn = warmed_up();
    ask(0);
    turns();
    assert_int_equal(accept_request(), conn);
    ask(1); /* it waits: one at a time */
    turns();
    size_t len = answer(text, whole - HEAD_OCTETS);
    for (size_t i = 0; i < stray; i++)
        text[len + i] = evil[i % (sizeof evil - 1)];
    assert_int_equal(send(worker.fds[conn], text, len + stray, MSG_NOSIGNAL), len + stray);
    ask(0); /* pipelined */
    clients[0].len = 0;
    turns();
    hear(0);
    assert_heard(0, whole - HEAD_OCTETS);
    hear(1);
    assert_int_equal(clients[1].len, 0);
    int next = accept_request();
    assert_int_equal(next, conn + 1); /* a new connection */
    assert_int_equal(send(worker.fds[conn], "x", 1, MSG_NOSIGNAL), -1);
    len = answer(text, 10);
    say(next, text, len, 1);
    assert_heard(1, 10);
    clients[0].len = 0;
    assert_int_equal(accept_request(), next);
    say(next, text, len, 0);
    assert_heard(0, 10);
    free(text);
}

static void test_stray_octets(void **state)
{
    const size_t rx = SHARD_RX_OCTETS, one = sizeof STRAY - 1;
    const size_t wholes[] = {rx - 1, rx, rx + 1, 2 * rx - 1, 2 * rx, 2 * rx + 1, 3 * rx};
    for (size_t i = 0; i < ARRAY_LEN(wholes); i++)
        for (size_t stray = 1; stray <= rx && wholes[i] + stray <= 4 * rx;
             stray = stray == 1     ? one
                     : stray == one ? 2 * one
                                    : stray * 64) {
            if (i || stray > 1) {
                teardown(state);
                assert_int_equal(setup(state), 0);
            }
            stray_behind(wholes[i], stray);
        }
}

/* However much is read at once, and however much waits already: what waits for a client that does
 * not read is what may wait, and a chunk. */
static void slow_client(size_t first)
{
    char *text = malloc(HEAD_OCTETS + GOT_OCTETS / 2);
    int conn = warmed_up();
    struct client *c = LIST_ENTRY(shard.clients.next, struct client, node);
    ask(0);
    turns();
    assert_int_equal(accept_request(), conn);
    size_t len = answer(text, GOT_OCTETS / 2), at = 0;
    uint64_t before = c->stream.octets_out, in_before = shard.stats->worker_octets_in;
    for (int idle = 0; idle < 4; idle++) {
        size_t some = at < first ? first - at : len - at;
        ssize_t n = send(worker.fds[conn], text + at, some, MSG_NOSIGNAL);
        if (n > 0) {
            at += (size_t)n;
            idle = 0;
        }
        turn();
    }
    size_t taken = shard.stats->worker_octets_in - in_before;
    size_t left = c->stream.octets_out - before;
    assert_in_range(taken - left, QUEUE_HIGH_OCTETS, QUEUE_HIGH_OCTETS + SHARD_RX_OCTETS);
    say(conn, text + at, len - at, 0);
    assert_heard(0, GOT_OCTETS / 2);
    free(text);
}

static void test_slow_client(void **state)
{
    for (size_t first = 0; first <= 2 * QUEUE_HIGH_OCTETS; first += SHARD_RX_OCTETS / 2 + 1) {
        if (first) {
            teardown(state);
            assert_int_equal(setup(state), 0);
        }
        slow_client(first);
    }
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_large_answer),
        CASE(test_stray_octets),
        CASE(test_slow_client),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
