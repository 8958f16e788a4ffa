/* SPDX-License-Identifier: Apache-2.0 */
/* Requests whose workers cannot be had, or do not want them: a shard, clients over socket pairs, a
 * TCP port at which nobody listens, and a worker that speaks HTTP/2 and refuses all streams, all in
 * this thread.  Who waits for them costs little until its time is up: no processor time, no memory.
 * The timer by which those who wait look again at times is taken away. */
#include "h2_worker.h"
#include "edge/waiting.h"
#include "edge/worker.h"

static int nobody; /* a port of its own, at which it does not listen */
static int full;   /* a listener that accepts once */
static char full_path[64];

static struct {
    uint32_t refused; /* requests */
    bool takes_none;  /* it says so, and hangs up */
    bool hangs;       /* it takes two requests on a connection, and answers none */
} script;

/* ---- the worker that refuses ---- */

static void on_head(void *user, struct h2_stream *s, const struct http_head *head, bool end)
{
    (void)user;
    (void)head;
    (void)end;
    if (script.hangs)
        return;
    script.refused++;
    h2_stream_reset(s, H2_REFUSED_STREAM);
}

static const struct h2_events worker_events = {.on_head = on_head};

/* ---- edge ---- */

static void turn(int rounds)
{
    while (rounds--) {
        loop_timer_clear(&shard.waiting_timer);
        loop_turn(shard.loop, 0);
        worker.settings.max_concurrent_streams = script.takes_none ? 0 : script.hangs ? 2 : 100;
        play_worker();
        if (script.takes_none)
            worker_hang_up();
    }
}

/* other: a second instance's, or NULL */
static void add_site(struct route_builder *b, const char *name, const char *address,
                     const char *other, enum route_protocol protocol, unsigned flags)
{
    struct route_site site = {.flags = ROUTE_HTTP20 | ROUTE_WEBSOCKETS | flags,
                              .proxy_flag =
                                  protocol == ROUTE_H2C ? ROUTE_PROXY_ALL : ROUTE_PROXY_H1,
                              .request_timeout_ms = 60000,
                              .idle_timeout_ms = 60000,
                              .queue = 100,
                              .body_limit_octets = 1u << 30};
    char text[32];
    snprintf(text, sizeof text, "%s.test", name);
    assert_int_equal(route_builder_site(b, slice_str(name), &site), 0);
    assert_int_equal(route_builder_host(b, slice_str(text)), 0);
    snprintf(text, sizeof text, "%s/0", name);
    assert_int_equal(route_builder_instance(b, slice_str(text), slice_str(address), SLICE(""),
                                            ROUTE_READY, protocol),
                     0);
    snprintf(text, sizeof text, "%s/1", name);
    if (other)
        assert_int_equal(route_builder_instance(b, slice_str(text), slice_str(other), SLICE(""),
                                                ROUTE_READY, protocol),
                         0);
}

static int setup(void **state)
{
    struct sockaddr_in port = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof port;
    char full_address[80], no_socket[80], nowhere[32];
    (void)state;
    edge_setup();
    worker_setup(&worker_events);
    nobody = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(nobody, (struct sockaddr *)&port, len), 0);
    assert_int_equal(getsockname(nobody, (struct sockaddr *)&port, &len), 0);
    snprintf(nowhere, sizeof nowhere, "127.0.0.1:%u", ntohs(port.sin_port));
    snprintf(full_path, sizeof full_path, "%s/f", edge.directory);
    snprintf(full_address, sizeof full_address, "unix:%s", full_path);
    full = edge_listen(full_path, 0);
    struct route_builder *b = route_builder_new(1);
    struct addr_prefix proxy;
    assert_int_equal(addr_prefix_parse(SLICE("127.0.0.1"), &proxy), 0);
    assert_int_equal(route_builder_trusted_proxy(b, &proxy), 0);
    add_site(b, "gone", nowhere, NULL, ROUTE_H1, ROUTE_MANAGED);
    add_site(b, "half", nowhere, edge.address, ROUTE_H1, ROUTE_MANAGED);
    snprintf(no_socket, sizeof no_socket, "unix:%s/none", edge.directory);
    add_site(b, "foreign", no_socket, edge.address, ROUTE_H1, 0);
    add_site(b, "full", full_address, NULL, ROUTE_H1, ROUTE_MANAGED);
    add_site(b, "refuses", edge.address, NULL, ROUTE_H2C, ROUTE_MANAGED);
    edge_publish(b, 1);
    turn(3);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close(nobody);
    close(full);
    unlink(full_path);
    int r = edge_teardown();
    worker_teardown();
    return r;
}

static int ask_with(const char *host, const char *fields)
{
    char request[256];
    int len =
        snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: %s\r\n%s\r\n", host, fields);
    int client = edge_come(request, (size_t)len);
    turn(20);
    return client;
}

static int ask(const char *host)
{
    return ask_with(host, "");
}

static size_t count_waiting(void)
{
    size_t n = 0;
    LIST_FOR(node, &shard.waiting)
    {
        n++;
    }
    return n;
}

/* Nobody is to look for room in the next turn. */
static bool is_at_rest(void)
{
    return list_empty(&shard.waiting_room.node) && list_empty(&shard.waiting_handed.node);
}

static void test_where_nobody_listens_it_is_not_asked_again_at_once(void **state)
{
    (void)state;
    int a = ask("gone.test"), b = ask("gone.test");
    assert_int_equal(count_waiting(), 2);
    uint64_t before = loop_calls(shard.loop)->connects;
    turn(100);
    assert_int_equal(loop_calls(shard.loop)->connects, before);
    assert_int_equal(count_waiting(), 2);
    assert_true(is_at_rest());
    close(a);
    close(b);
    turn(3);
    assert_int_equal(count_waiting(), 0);
}

/* The other instance has as many connections as there may be: there may be room soon. */
static void test_nor_by_who_waits_for_room_elsewhere(void **state)
{
    struct backend *b = NULL;
    size_t it = 0;
    (void)state;
    int a = ask("half.test");
    while (!b || !slice_starts(b->key, SLICE("half/1")))
        assert_non_null(b = map_next(&shard.backends, &it));
    close(a);
    turn(3);
    b->h1_count += WORKER_H1_MAX;
    int c = ask("half.test"), d = ask("half.test");
    assert_int_equal(count_waiting(), 2);
    uint64_t before = loop_calls(shard.loop)->connects;
    turn(100);
    assert_int_equal(loop_calls(shard.loop)->connects, before);
    b->h1_count -= WORKER_H1_MAX;
    close(c);
    close(d);
    turn(3);
    assert_int_equal(count_waiting(), 0);
}

/* The same where nobody restarts an instance that has failed: it is no better known to be gone for
 * being asked last, and there may be room soon. */
static void test_room_is_waited_for_beside_who_is_gone(void **state)
{
    struct backend *b = NULL;
    size_t it = 0;
    (void)state;
    int a = ask("foreign.test"); /* finds out who is gone */
    while (!b || !slice_starts(b->key, SLICE("foreign/1")))
        assert_non_null(b = map_next(&shard.backends, &it));
    close(a);
    turn(3);
    b->bad_until_us = 0;
    b->h1_count += WORKER_H1_MAX;
    int c = ask("foreign.test");
    assert_int_equal(count_waiting(), 1);
    b->h1_count -= WORKER_H1_MAX;
    close(c);
    turn(3);
}

/* A worker that accepts no more has a connection free: who waits has it at once, and nobody who
 * waits makes the kernel say again in the same turn that there is no other. */
static void test_who_accepts_no_more_serves_who_waits(void **state)
{
    static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    int waiting[20];
    char got[2048];
    (void)state;
    int a = ask("full.test"), worker_end = accept4(full, NULL, NULL, SOCK_NONBLOCK);
    assert_true(worker_end >= 0 && read(worker_end, got, sizeof got) > 0);
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    memcpy(at.sun_path, full_path, sizeof full_path);
    int fill = non_blocking(socket(AF_UNIX, SOCK_STREAM, 0));
    assert_int_equal(connect(fill, (struct sockaddr *)&at, sizeof at), 0);
    for (size_t i = 0; i < 20; i++)
        waiting[i] = ask("full.test");
    assert_int_equal(count_waiting(), 20);
    for (size_t served = 1; served <= 20; served++) {
        uint64_t before = loop_calls(shard.loop)->connects;
        assert_int_equal(send(worker_end, ok, sizeof ok - 1, MSG_NOSIGNAL), sizeof ok - 1);
        turn(20);
        assert_int_equal(count_waiting(), 20 - served);
        assert_true(loop_calls(shard.loop)->connects <= before + 1);
        assert_true(read(worker_end, got, sizeof got) > 0);
    }
    for (size_t i = 0; i < 20; i++)
        close(waiting[i]);
    close(a);
    close(worker_end);
    close(fill);
    turn(3);
}

/* A connection that was kept alive ends when a WebSocket is asked for: to the worker that was a
 * GET, whatever the client's is (RFC 8441 5), and may be asked again. */
static void test_a_handshake_is_tried_again(void **state)
{
    static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    struct field version = {SLICE("sec-websocket-version"), SLICE("13"),
                            TOKEN_SEC_WEBSOCKET_VERSION, 0};
    struct http_head head = {.method = SLICE("CONNECT"),
                             .protocol = SLICE("websocket"),
                             .scheme = SLICE("http"),
                             .authority = SLICE("full.test"),
                             .path = SLICE("/"),
                             .content_length = -1,
                             .fields = {&version, 1, 1}};
    const struct h2_events nothing = {.on_head = NULL};
    struct addr peer = {.len = sizeof peer.u.in};
    struct h2_settings set;
    char octets[4096];
    int fds[2], err;
    (void)state;
    for (int fd; (fd = accept4(full, NULL, NULL, SOCK_NONBLOCK)) >= 0;)
        close(fd); /* of the test before */
    turn(3);
    int one = ask("full.test"), worker_end = accept4(full, NULL, NULL, SOCK_NONBLOCK);
    assert_true(read(worker_end, octets, sizeof octets) > 0);
    assert_int_equal(send(worker_end, ok, sizeof ok - 1, MSG_NOSIGNAL), sizeof ok - 1);
    turn(3);
    peer.u.in.sin_family = AF_INET;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    h2_settings_default(&set, H2_CLIENT);
    struct h2_conn *h2 = h2_conn_new(H2_CLIENT, &set, &nothing, NULL, &worker.pool, 1);
    assert_non_null(h2);
    assert_non_null(h2_conn_request(h2, &head, false, NULL, &err));
    ssize_t n = (ssize_t)h2_conn_output(h2, octets, sizeof octets, 1);
    assert_int_equal(write(fds[0], octets, (size_t)n), n);
    client_accept(&shard, non_blocking(fds[1]), &peer, false);
    turn(3);
    assert_true(read(worker_end, octets, sizeof octets) > 0);
    close(worker_end);
    turn(3);
    worker_end = accept4(full, NULL, NULL, SOCK_NONBLOCK);
    assert_true(worker_end >= 0);
    assert_true(read(worker_end, octets, sizeof octets) > 0);
    h2_conn_free(h2);
    close(fds[0]);
    close(one);
    close(worker_end);
    turn(3);
}

/* Who has waited and was served before is not behind all that come later. */
static void test_turns_go_on_where_there_is_no_limit(void **state)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: full.test\r\n\r\n";
    static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    char got[2048];
    (void)state;
    for (int fd; (fd = accept4(full, NULL, NULL, SOCK_NONBLOCK)) >= 0;)
        close(fd); /* of the test before */
    int one = ask("full.test"), worker_end = accept4(full, NULL, NULL, SOCK_NONBLOCK);
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    memcpy(at.sun_path, full_path, sizeof full_path);
    int fill = non_blocking(socket(AF_UNIX, SOCK_STREAM, 0));
    assert_int_equal(connect(fill, (struct sockaddr *)&at, sizeof at), 0);
    int two = ask("full.test");
    for (int i = 0; i < 3; i++) {
        for (int answers = 0; answers < 2; answers++) {
            assert_true(read(worker_end, got, sizeof got) > 0);
            assert_int_equal(send(worker_end, ok, sizeof ok - 1, MSG_NOSIGNAL), sizeof ok - 1);
            turn(20);
        }
        assert_int_equal(count_waiting(), 0);
        assert_int_equal(write(one, request, sizeof request - 1), sizeof request - 1);
        turn(20);
        assert_int_equal(write(two, request, sizeof request - 1), sizeof request - 1);
        turn(20);
        assert_int_equal(count_waiting(), 1);
    }
    const struct exchange *x = LIST_ENTRY(shard.waiting.next, struct exchange, worker_node);
    int late = ask("full.test");
    assert_int_equal(count_waiting(), 2);
    assert_ptr_equal(LIST_ENTRY(shard.waiting.next, struct exchange, worker_node), x);
    const int fds[] = {one, two, late, worker_end, fill};
    for (size_t i = 0; i < 5; i++)
        close(fds[i]);
    turn(3);
}

/* However often it is tried. */
static void holds_no_more(const char *fields)
{
    int a = ask_with("gone.test", fields);
    assert_int_equal(count_waiting(), 1);
    const struct exchange *x = LIST_ENTRY(shard.waiting.next, struct exchange, worker_node);
    size_t octets = x->arena->octets;
    uint64_t before = loop_calls(shard.loop)->connects;
    for (int i = 0; i < 20; i++) {
        waiting_retry(&shard); /* as the timer does */
        turn(3);
        assert_int_equal(count_waiting(), 1);
    }
    assert_int_equal(loop_calls(shard.loop)->connects, before + 20);
    assert_int_equal(x->arena->octets, octets);
    close(a);
    turn(3);
}

static void test_what_it_holds_does_not_grow(void **state)
{
    (void)state;
    holds_no_more("");
    edge.from = htonl(INADDR_LOOPBACK); /* a proxy, which speaks for others */
    holds_no_more("X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 192.0.2.2\r\n");
    edge.from = 0;
}

static void test_who_refuses_is_not_asked_again_at_once(void **state)
{
    (void)state;
    int a = ask("refuses.test"), b = ask("refuses.test");
    turn(20);
    assert_int_equal(count_waiting(), 2);
    uint32_t before = script.refused;
    turn(100);
    assert_int_equal(script.refused, before);
    assert_int_equal(count_waiting(), 2);
    assert_true(is_at_rest());
    close(a);
    close(b);
    turn(3);
    assert_int_equal(count_waiting(), 0);
}

/* A tunnel waits for SETTINGS, and these tell that there is no room on the connection: another one
 * is made, as often as there may be connections. */
static void test_who_takes_no_stream_is_not_asked_for_ever(void **state)
{
    (void)state;
    worker_hang_up();
    turn(3);
    script.takes_none = true;
    worker.accepted = 0;
    int a = ask_with("refuses.test", "Connection: upgrade\r\nUpgrade: websocket\r\n"
                                     "Sec-WebSocket-Version: 13\r\n"
                                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
    turn(200);
    assert_in_range(worker.accepted, 1, WORKER_H2_MAX + 1);
    assert_int_equal(count_waiting(), 1);
    script.takes_none = false;
    close(a);
    turn(3);
    assert_int_equal(count_waiting(), 0);
}

/* No more streams are reset because clients leave. */
static void use_up_rations(void)
{
    size_t it = 0;
    struct backend *b;
    while ((b = map_next(&shard.backends, &it)) != NULL)
        for (int k = 0; k < WORKER_CLASSES; k++)
            LIST_FOR(node, &b->h2_conns[k])
            {
                LIST_ENTRY(node, struct worker, node)->ration =
                    (struct ration){.updated_us = UINT64_MAX};
            }
}

/* What clients left behind is let end, but it never does: others are asked on other connections. */
static void test_who_hangs_is_asked_on_another_connection(void **state)
{
    (void)state;
    worker_hang_up();
    turn(3);
    script.hangs = true;
    for (int i = 0; i < 3 * WORKER_H2_MAX; i++) {
        int a = ask("refuses.test");
        assert_int_equal(count_waiting(), 0);
        use_up_rations();
        close(a);
        turn(3);
    }
    script.hangs = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_where_nobody_listens_it_is_not_asked_again_at_once),
        cmocka_unit_test(test_nor_by_who_waits_for_room_elsewhere),
        cmocka_unit_test(test_room_is_waited_for_beside_who_is_gone),
        cmocka_unit_test(test_who_accepts_no_more_serves_who_waits),
        cmocka_unit_test(test_a_handshake_is_tried_again),
        cmocka_unit_test(test_turns_go_on_where_there_is_no_limit),
        cmocka_unit_test(test_what_it_holds_does_not_grow),
        cmocka_unit_test(test_who_refuses_is_not_asked_again_at_once),
        cmocka_unit_test(test_who_takes_no_stream_is_not_asked_for_ever),
        cmocka_unit_test(test_who_hangs_is_asked_on_another_connection),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
