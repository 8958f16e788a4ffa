/* SPDX-License-Identifier: Apache-2.0 */
/* A client that is answered while it is still sending: a shard and clients over socket pairs, all
 * in this thread.  To close at once would have its kernel throw the answer away. */
#include "edge_shard.h"

static struct client *only_client(void)
{
    assert_false(list_empty(&shard.clients));
    return LIST_ENTRY(shard.clients.next, struct client, node);
}

static void say(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    edge_turns();
}

/* An upload to a host that no app has, of which some has come.  return  its end, which has read the
 * answer */
static int come_with_upload(void)
{
    static const char head[] =
        "POST / HTTP/1.1\r\nHost: b.test\r\nContent-Length: 9999999\r\n\r\nx";
    char answer[1024] = "";
    int fd = edge_come(head, sizeof head - 1);
    edge_turns();
    assert_true(read(fd, answer, sizeof answer - 1) > 0);
    assert_int_equal(strncmp(answer, "HTTP/1.1 404 ", 13), 0);
    assert_non_null(strstr(answer, "connection: close"));
    assert_true(only_client()->closing);
    return fd;
}

/* As if so much of its time were left. */
static void let_be_left(uint64_t us)
{
    loop_timer_set(shard.loop, &only_client()->timer, shard_now_us(&shard) + us);
}

static uint64_t left_us(void)
{
    return only_client()->timer.due_us - shard_now_us(&shard);
}

static void who_goes_on_sending_has_time(void **state)
{
    (void)state;
    int fd = come_with_upload();
    assert_true(left_us() <= CLIENT_LINGER_US);
    let_be_left(CLIENT_LINGER_US / 2);
    edge_turns();
    assert_true(left_us() <= CLIENT_LINGER_US / 2);
    say(fd, "more");
    assert_true(left_us() > CLIENT_LINGER_US / 2);
    close(fd);
    edge_turns();
    assert_true(list_empty(&shard.clients));
}

static void but_not_for_ever(void **state)
{
    (void)state;
    int fd = come_with_upload();
    say(fd, "more");
    only_client()->linger_until_us -= CLIENT_LINGER_MOST_US;
    let_be_left(CLIENT_LINGER_US / 2);
    say(fd, "and more");
    assert_true(left_us() <= CLIENT_LINGER_US / 2);
    close(fd);
}

/* What an HTTP/2 client sends behind a GOAWAY may be the flood that it was for. */
static void who_speaks_http2_has_none(void **state)
{
    (void)state;
    int fd = edge_come("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    assert_int_equal(write(fd, "\0\0\0\0\0\0\0\0\0", 9), 9); /* no SETTINGS */
    edge_turns();
    assert_true(only_client()->closing);
    let_be_left(CLIENT_LINGER_US / 2);
    say(fd, "more");
    assert_true(left_us() <= CLIENT_LINGER_US / 2);
    close(fd);
}

/* A client whose response was given away by the engine, with its end, and waits for the socket. */
enum { CONTENT_OCTETS = 1 << 20 };

static size_t take(int fd, size_t most)
{
    static char octets[CONTENT_OCTETS];
    size_t had = 0;
    ssize_t n;
    while (had < most && (n = read(fd, octets, most - had)) > 0)
        had += (size_t)n;
    return had;
}

static void publish(void)
{
    struct route_site site = {.flags = ROUTE_DEFAULT | ROUTE_WEBSOCKETS,
                              .request_timeout_ms = 60000,
                              .idle_timeout_ms = 60000,
                              .tunnel_timeout_ms = 60000,
                              .body_limit_octets = 1u << 30};
    struct route_builder *b = route_builder_new(1);
    assert_int_equal(route_builder_site(b, SLICE("a"), &site), 0);
    assert_int_equal(route_builder_host(b, SLICE("a.test")), 0);
    assert_int_equal(route_builder_instance(b, SLICE("a/0"), slice_str(edge.address), SLICE(""),
                                            ROUTE_READY, ROUTE_H1),
                     0);
    edge_publish(b, 1);
    edge_turns();
}

static int come_for_much(size_t *had_out)
{
    static const char head[] = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
    static char answer[CONTENT_OCTETS + 256];
    publish();
    const int little = 1;
    int fd = edge_come(head, sizeof head - 1);
    setsockopt(only_client()->stream.source.fd, SOL_SOCKET, SO_SNDBUF, &little, sizeof little);
    edge_turns();
    int worker = non_blocking(accept(edge.listener, NULL, NULL));
    assert_true(read(worker, answer, sizeof answer) > 0);
    memset(answer, 'x', sizeof answer);
    int n = snprintf(answer, 256, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", CONTENT_OCTETS);
    answer[n] = 'x';
    size_t len = (size_t)n + CONTENT_OCTETS, sent = 0;
    *had_out = 0;
    while (!only_client()->closing) {
        ssize_t w = sent < len ? write(worker, answer + sent, len - sent) : 0;
        sent += w > 0 ? (size_t)w : 0;
        edge_turns();
        if (!only_client()->closing)
            *had_out += take(fd, 4096);
        edge_turns();
    }
    close(worker);
    assert_true(stream_waiting(&only_client()->stream) > 0);
    return fd;
}

/* Its time is over. */
static void be_due(void)
{
    let_be_left(0);
    for (uint64_t due_us = only_client()->timer.due_us;
         !list_empty(&shard.clients) && only_client()->timer.due_us == due_us;)
        loop_turn(shard.loop, 10);
}

static void who_takes_the_end_slowly_gets_it(void **state)
{
    size_t had, head = 0;
    (void)state;
    int fd = come_for_much(&had);
    for (int i = 0; i < 3; i++) {
        be_due();
        assert_false(list_empty(&shard.clients)); /* not yet taken any more, or some since */
        had += take(fd, 1000);
        edge_turns();
    }
    for (size_t n; (n = take(fd, CONTENT_OCTETS)); had += n)
        edge_turns();
    head = had - CONTENT_OCTETS;
    assert_true(head > 0 && head < 512);
    assert_int_equal(read(fd, &(char){0}, 1), 0);
    close(fd);
    edge_turns();
    assert_true(list_empty(&shard.clients));
}

static void who_takes_nothing_does_not_stay(void **state)
{
    size_t had;
    (void)state;
    int fd = come_for_much(&had);
    be_due();
    assert_false(list_empty(&shard.clients));
    only_client()->taken_us -= only_client()->idle_us;
    be_due();
    assert_true(list_empty(&shard.clients));
    close(fd);
}

/* Edge leaves meanwhile, and is not patient. */
static void who_takes_the_end_is_not_left(void **state)
{
    size_t had;
    (void)state;
    int fd = come_for_much(&had);
    shard.draining = true;
    client_leave(only_client());
    for (size_t n; (n = take(fd, CONTENT_OCTETS)); had += n)
        edge_turns();
    assert_true(had > CONTENT_OCTETS);
    assert_int_equal(read(fd, &(char){0}, 1), 0);
    close(fd);
    edge_turns();
    assert_true(list_empty(&shard.clients));
    shard.draining = false;
}

/* A worker that is through with a tunnel and dies, while the client's octets wait for it. */
static void who_tunnels_to_nobody_is_heard(void **state)
{
    static const char head[] = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\n"
                               "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                      switched[] = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n"
                                   "Upgrade: websocket\r\n"
                                   "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    static char octets[65536];
    (void)state;
    publish();
    int fd = edge_come(head, sizeof head - 1);
    edge_turns();
    int worker = non_blocking(accept(edge.listener, NULL, NULL));
    assert_true(read(worker, octets, sizeof octets) > 0);
    assert_int_equal(write(worker, switched, sizeof switched - 1), sizeof switched - 1);
    edge_turns();
    assert_int_equal(read(fd, octets, 12), 12);
    assert_memory_equal(octets, "HTTP/1.1 101", 12);
    while (!only_client()->paused) {
        assert_true(write(fd, octets, sizeof octets) > 0);
        edge_turns();
    }
    shutdown(worker, SHUT_WR);
    edge_turns();
    close(worker);
    edge_turns();
    assert_int_equal(shard.stats->connections_open, 1);
    close(fd);
    for (int i = 0; i < 100 && !list_empty(&shard.clients); i++)
        edge_turns();
    assert_true(list_empty(&shard.clients));
}

/* Nor has one that reads nothing of what is answered to its flood. */
static void nor_when_it_does_not_read(void **state)
{
    static const char ping[] = "\0\0\x8\6\0\0\0\0\0"
                               "12345678";
    static char pings[(sizeof ping - 1) * 1000];
    const int little = 1;
    (void)state;
    int fd = edge_come("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);
    setsockopt(only_client()->stream.source.fd, SOL_SOCKET, SO_SNDBUF, &little, sizeof little);
    edge_turns();
    for (size_t i = 0; i < 1000; i++)
        memcpy(pings + i * (sizeof ping - 1), ping, sizeof ping - 1);
    while (!only_client()->closing) {
        assert_true(write(fd, pings, sizeof pings) > 0);
        edge_turns();
    }
    assert_true(stream_waiting(&only_client()->stream) > 0);
    be_due();
    assert_true(list_empty(&shard.clients));
    close(fd);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, edge_setup_case, edge_teardown_case)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(who_goes_on_sending_has_time),    WITH(but_not_for_ever),
        WITH(who_speaks_http2_has_none),       WITH(who_takes_the_end_slowly_gets_it),
        WITH(who_takes_nothing_does_not_stay), WITH(who_tunnels_to_nobody_is_heard),
        WITH(nor_when_it_does_not_read),       WITH(who_takes_the_end_is_not_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
