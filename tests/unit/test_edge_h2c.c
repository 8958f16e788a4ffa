/* SPDX-License-Identifier: Apache-2.0 */
/* WebSockets to a worker that speaks HTTP/2: a shard, clients over socket pairs, a worker with our
 * own HTTP/2 server, all in this thread. */
#include "h2_worker.h"
#include "edge/leave.h"
#include "edge/worker.h"
#include "http/h2_internal.h"

#define WINDOW_OCTETS  16384u
#define SAID_OCTETS    100000u /* by the client: most of it does not fit into the worker's window */
#define CONTENT_OCTETS 1000000u /* of a response */

static uint32_t left;

/* What the worker knows of its tunnels. */
static struct {
    struct h2_stream *last;
    size_t came, held; /* octets; of them not consumed yet */
    bool is_eager;     /* it takes what comes at once */
    bool has_ended;    /* the client's end came */
} tunnel;

/* ---- the worker ---- */

/* In a tunnel it has nothing to say, and says so at once; else it has much. */
static void on_head(void *user, struct h2_stream *s, const struct http_head *head, bool end)
{
    static const char content[CONTENT_OCTETS];
    const struct http_head ok = {.status = 200, .content_length = -1};
    (void)user;
    if (!head->protocol.len) {
        assert_int_equal(h2_stream_respond(s, &ok, false), 0);
        assert_int_equal(h2_stream_body(s, slice_of(content, sizeof content), NULL, true), 0);
        return;
    }
    assert_true(slice_eq(head->protocol, SLICE("websocket")));
    tunnel.last = s;
    assert_int_equal(h2_stream_respond(s, &ok, true), 0);
}

static void take(struct h2_stream *s)
{
    h2_stream_consumed(s, tunnel.held);
    tunnel.held = 0;
}

static void on_body(void *user, struct h2_stream *s, struct slice octets, bool end)
{
    (void)user;
    tunnel.came += octets.len;
    tunnel.held += octets.len;
    tunnel.has_ended |= end;
    if (tunnel.is_eager)
        take(s);
}

static void on_close(void *user, struct h2_stream *s, uint32_t code)
{
    (void)user;
    (void)s;
    (void)code;
    tunnel.last = NULL;
}

static const struct h2_events events = {
    .on_head = on_head, .on_body = on_body, .on_close = on_close};

/* Of each stream, and half of the connection's. */
static void give_window(uint32_t octets)
{
    worker.settings.stream_window = octets;
    worker.settings.conn_window = 2 * octets;
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
    struct route_builder *b = route_builder_new(revision);
    assert_int_equal(route_builder_site(b, SLICE("a"), &site), 0);
    assert_int_equal(route_builder_host(b, SLICE("a.test")), 0);
    assert_int_equal(route_builder_instance(b, SLICE("a/0"), slice_str(edge.address), SLICE(""),
                                            state, ROUTE_H2C),
                     0);
    edge_publish(b, revision);
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

static struct backend *backend(void)
{
    size_t it = 0;
    struct backend *b = map_next(&shard.backends, &it);
    assert_non_null(b);
    return b;
}

/* return  the client's end */
static int send_request(const char *request)
{
    return edge_come(request, strlen(request));
}

/* A client asks for a WebSocket.  return  its end */
static int ask(void)
{
    return send_request("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\n"
                        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
}

/* The status of what came to a client, -1: nothing yet. */
static int status(int client)
{
    char got[1024] = "";
    return read(client, got, sizeof got - 1) > 9 ? atoi(got + 9) : -1;
}

/* A client that speaks HTTP/2 asks for a WebSocket, and sends what cannot be sent there: a trailer
 * section.  RFC 9113 8.5 */
static void test_a_tunnel_has_no_trailers(void **state)
{
    struct field version = {SLICE("sec-websocket-version"), SLICE("13"),
                            TOKEN_SEC_WEBSOCKET_VERSION, 0};
    struct field trailer = {SLICE("x-checksum"), SLICE("1"), TOKEN_NONE, 0};
    const struct fields trailers = {&trailer, 1, 1};
    struct http_head head = {.method = SLICE("CONNECT"),
                             .protocol = SLICE("websocket"),
                             .scheme = SLICE("http"),
                             .authority = SLICE("a.test"),
                             .path = SLICE("/"),
                             .content_length = -1,
                             .fields = {&version, 1, 1}};
    const struct h2_events nothing = {.on_head = NULL};
    struct h2_settings set;
    char octets[4096];
    ssize_t n;
    int err;
    (void)state;
    h2_settings_default(&set, H2_CLIENT);
    struct h2_conn *h2 = h2_conn_new(H2_CLIENT, &set, &nothing, NULL, &worker.pool, 1);
    assert_non_null(h2);
    struct h2_stream *s = h2_conn_request(h2, &head, false, NULL, &err);
    assert_non_null(s);
    assert_int_equal(h2_stream_trailers(s, &trailers), 0);
    n = (ssize_t)h2_conn_output(h2, octets, sizeof octets, 1);
    int client = edge_come(octets, (size_t)n);
    turn();
    n = read(client, octets, sizeof octets);
    assert_true(n > 0 && h2_conn_feed(h2, octets, (size_t)n, 1) == 0);
    assert_int_equal(h2_conn_streams(h2), 0);
    assert_int_equal(shard.open_exchanges, 0);
    h2_conn_free(h2);
    close(client);
    turn();
}

/* What the worker takes of a head is not known before its SETTINGS, which a tunnel waits for. */
static void test_a_head_that_is_too_large(void **state)
{
    static char request[16000];
    (void)state;
    worker.settings.max_field_section_octets = 4096;
    int n = snprintf(request, sizeof request,
                     "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\n"
                     "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nCookie: ");
    memset(request + n, 'c', 8000);
    memcpy(request + n + 8000, "\r\n\r\n", 5);
    for (int i = 0; i < 2; i++) { /* the second one finds a connection that is known */
        int client = send_request(request);
        turn();
        assert_int_equal(status(client), 431);
        close(client);
        turn();
    }
}

/* More come than the worker takes on a connection, before it has said how many that is. */
static void test_each_finds_a_connection(void **state)
{
    int clients[4];
    (void)state;
    worker.settings.max_concurrent_streams = 1;
    for (size_t i = 0; i < 4; i++)
        clients[i] = ask();
    turn();
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(status(clients[i]), 101);
        close(clients[i]);
    }
    assert_int_equal(worker.conn_count, 4);
}

/* Long tunnels keep connections that take no more streams: they are not those that there may be. */
static void test_who_goes_does_not_stand_in_the_way(void **state)
{
    int clients[WORKER_H2_MAX + 2];
    (void)state;
    for (uint32_t i = 0; i < WORKER_H2_MAX + 2; i++) {
        clients[i] = ask();
        turn();
        assert_int_equal(status(clients[i]), 101);
        assert_int_equal(worker.conn_count, i + 1);
        h2_conn_shutdown(worker.conns[i].h2);
        turn();
    }
    for (size_t i = 0; i < WORKER_H2_MAX + 2; i++)
        close(clients[i]);
}

/* Nor those whose streams have all been used: there are 2^30 on a connection. */
static void test_nor_does_what_is_used_up(void **state)
{
    int clients[WORKER_H2_MAX + 2];
    (void)state;
    for (uint32_t i = 0; i < WORKER_H2_MAX + 2; i++) {
        clients[i] = ask();
        turn();
        assert_int_equal(status(clients[i]), 101);
        LIST_FOR(node, &backend()->h2_conns[WORKER_NO_PUSH])
        {
            LIST_ENTRY(node, struct worker, node)->http.h2->next_id = H2_ID_MAX + 2;
        }
    }
    assert_int_equal(backend()->h2_count[WORKER_NO_PUSH], WORKER_H2_MAX + 2);
    for (size_t i = 0; i < WORKER_H2_MAX + 2; i++)
        close(clients[i]);
    turn();
    assert_int_equal(backend()->h2_count[WORKER_NO_PUSH], 1);
}

/* A client that says more than the worker takes, and is gone when both sides have ended. */
static void leave_one_more(void)
{
    static char said[SAID_OCTETS];
    char got[16];
    int client = ask();
    turn();
    assert_int_equal(status(client), 101);
    for (size_t at = 0; at < sizeof said; turn()) {
        ssize_t n = write(client, said + at, sizeof said - at);
        at += n > 0 ? (size_t)n : 0;
    }
    shutdown(client, SHUT_WR);
    turn();
    assert_int_equal(read(client, got, sizeof got), 0); /* the worker's end */
    assert_true(list_empty(&shard.clients));            /* both have ended: nothing to linger for */
    close(client);
}

static void leave_a_rest(void)
{
    leave_one_more();
    assert_int_equal(tunnel.came, WINDOW_OCTETS);
}

static void take_the_rest(void)
{
    tunnel.is_eager = true;
    take(tunnel.last);
    turn();
    assert_int_equal(tunnel.came, SAID_OCTETS);
    assert_true(tunnel.has_ended);
}

/* The client has been gone for so long. */
static void age_rest(uint64_t us)
{
    for (int k = 0; k < WORKER_CLASSES; k++)
        LIST_FOR(node, &backend()->h2_conns[k])
        {
            LIST_ENTRY(node, struct worker, node)->left_us = shard_now_us(&shard) - us;
        }
}

/* Nor have the routes named it. */
static void age(uint64_t us)
{
    assert_int_equal(backend()->refs, 0);
    backend()->unused_us = shard_now_us(&shard) - us;
    age_rest(us);
    backends_tick(&shard);
    turn();
}

static bool is_forgotten(void)
{
    size_t it = 0;
    return map_next(&shard.backends, &it) == NULL;
}

/* An instance is left when nothing is on its way to it any more.  (The same with HTTP/1.1, and with
 * all processes: tests/e2e/66-retire.) */
static void test_the_rest_of_a_tunnel_arrives(void **state)
{
    (void)state;
    leave_a_rest();
    publish(2, ROUTE_DRAINING);
    leave();
    assert_int_equal(left, 0);
    take_the_rest();
    assert_int_equal(left, 1);
}

static size_t waiting_octets(void)
{
    size_t octets = 0;
    LIST_FOR(node, &backend()->h2_conns[WORKER_NO_PUSH])
    {
        octets += h2_conn_queued(LIST_ENTRY(node, struct worker, node)->http.h2);
    }
    return octets;
}

/* The first ones arrive; who leaves more and more of it is cut. */
static void test_all_rests_together_have_a_limit(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 3 * WORKER_H2_REST / SAID_OCTETS; i++)
        leave_one_more();
    assert_in_range(waiting_octets(), WORKER_H2_REST / 2, WORKER_H2_REST + SAID_OCTETS);
}

static void test_the_rest_outlives_its_routes(void **state)
{
    (void)state;
    leave_a_rest();
    publish(2, ROUTE_DRAINING);
    age(WORKER_LEAVE_US - 1000000);
    take_the_rest();
    age(BACKEND_LINGER_US + 1);
    assert_true(is_forgotten());
}

/* Though the worker takes no new streams any more. */
static void test_the_rest_arrives_at_who_goes(void **state)
{
    (void)state;
    leave_a_rest();
    h2_conn_shutdown(worker.conns[0].h2);
    turn();
    take_the_rest();
    assert_int_equal(backend()->h2_count[WORKER_NO_PUSH], 0);
}

static void test_the_rest_at_who_goes_has_a_limit(void **state)
{
    (void)state;
    leave_a_rest();
    h2_conn_shutdown(worker.conns[0].h2);
    turn();
    age_rest(WORKER_LEAVE_US - 1000000);
    backends_tick(&shard);
    turn();
    assert_int_equal(backend()->h2_count[WORKER_NO_PUSH], 1);
    age_rest(WORKER_LEAVE_US + 1);
    backends_tick(&shard);
    turn();
    assert_int_equal(backend()->h2_count[WORKER_NO_PUSH], 0);
}

/* All of it fits into the worker's window, but not into the socket. */
static void test_what_the_socket_has_not_taken_arrives_at_who_goes(void **state)
{
    static char said[260000];
    (void)state;
    give_window(sizeof said);
    tunnel.is_eager = true;
    int client = ask();
    turn();
    assert_int_equal(status(client), 101);
    h2_conn_shutdown(worker.conns[0].h2);
    turn();
    worker.is_deaf = true;
    for (size_t at = 0; at < sizeof said; turn()) {
        ssize_t n = write(client, said + at, sizeof said - at);
        at += n > 0 ? (size_t)n : 0;
    }
    shutdown(client, SHUT_WR);
    turn();
    close(client);
    turn();
    assert_int_equal(tunnel.came, 0);
    worker.is_deaf = false;
    turn();
    assert_int_equal(tunnel.came, sizeof said);
    assert_true(tunnel.has_ended);
}

static void test_the_rest_has_a_limit(void **state)
{
    (void)state;
    leave_a_rest();
    publish(2, ROUTE_DRAINING);
    age(WORKER_LEAVE_US + 1);
    assert_true(is_forgotten());
}

static struct worker *the_worker(void)
{
    assert_false(list_empty(&backend()->h2_conns[WORKER_NO_PUSH]));
    return LIST_ENTRY(backend()->h2_conns[WORKER_NO_PUSH].next, struct worker, node);
}

/* Until t, which is set, is due. */
static void let_time_pass(struct loop_timer *t)
{
    uint64_t now = shard_now_us(&shard);
    assert_int_not_equal(t->due_us, 0);
    loop_timer_set(shard.loop, t, now);
    for (int i = 0; i < 1000 && t->due_us == now; i++)
        loop_turn(shard.loop, 1);
    assert_int_not_equal(t->due_us, now);
    turn();
}

/* Clients have left so often that there is no reset for one more.  Its response, of which a window
 * full has come, is not to stay for ever, nor what of its content waits: it is reset as soon as it
 * may be. */
static void left_response_ends(const char *request, size_t rest)
{
    int client = send_request(request);
    turn();
    assert_int_equal(status(client), 200);
    struct worker *w = the_worker();
    w->ration = (struct ration){.updated_us = UINT64_MAX};
    close(client);
    turn();
    assert_int_equal(w->draining, 1);
    assert_int_equal(w->left_octets, rest);
    assert_int_equal(h2_conn_streams(worker.conns[0].h2), 1);
    w->ration = (struct ration){.updated_us = UINT64_MAX};
    let_time_pass(&w->timer);
    assert_int_equal(w->draining, 1);
    ration_init(&w->ration, shard_now_us(&shard));
    let_time_pass(&w->timer);
    assert_int_equal(w->draining, 0);
    assert_int_equal(w->left_octets, 0);
    assert_int_equal(w->timer.due_us, 0);
    assert_int_equal(h2_conn_streams(worker.conns[0].h2), 0);
}

static void test_a_left_response_ends(void **state)
{
    static char upload[80000] = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 40000\r\n\r\n";
    (void)state;
    left_response_ends("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", 0);
    size_t head = strlen(upload), sent = 40000;
    memset(upload + head, 'u', sent);
    left_response_ends(upload, sent - WINDOW_OCTETS);
}

/* Heads are not bounded by windows.  Clients who ask much and leave at once do not make more of
 * them wait for a worker that reads nothing; and who comes then gets another connection. */
static void test_heads_that_wait(void **state)
{
    static char request[60000];
    int n = snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: a.test\r\nCookie: ");
    (void)state;
    memset(request + n, 'c', sizeof request - 5 - (size_t)n);
    memcpy(request + sizeof request - 5, "\r\n\r\n", 5);
    worker.is_deaf = true;
    for (int i = 0; i < 100; i++) {
        int client = send_request(request);
        turn();
        close(client);
        turn();
    }
    assert_in_range(worker.conn_count, 2, WORKER_H2_MAX);
    LIST_FOR(node, &the_worker()->backend->h2_conns[WORKER_NO_PUSH])
    {
        struct worker *w = LIST_ENTRY(node, struct worker, node);
        assert_in_range(h2_conn_queued_control(w->http.h2), 0,
                        WORKER_H2_SECTIONS + sizeof request + 1000);
    }
}

/* One request's content can use up the window of its connection, if the worker does not read it.
 * Who comes with content then has another connection, and who has none need not. */
static void test_window_that_is_used_up(void **state)
{
    (void)state;
    close(send_request("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"));
    turn();
    the_worker()->http.h2->send_window = 0;
    close(send_request("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"));
    turn();
    assert_int_equal(worker.conn_count, 1);
    close(send_request("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nx"));
    turn();
    assert_int_equal(worker.conn_count, 2);
}

/* A connection has 2^30 requests.  One that has had them makes room for another.  RFC 9113 5.1.1 */
static void test_a_connection_is_used_up(void **state)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
    char got[65536];
    (void)state;
    close(send_request(request)); /* makes the connection */
    turn();
    the_worker()->http.h2->next_id = H2_ID_MAX;
    worker.conns[0].h2->last_peer_id = H2_ID_MAX - 2;
    int clients[2] = {send_request(request), send_request(request)};
    for (int i = 0; i < 100; i++) {
        turn();
        for (size_t k = 0; k < 2; k++)
            while (read(clients[k], got, sizeof got) > 0)
                ;
    }
    assert_int_equal(worker.conn_count, 2);
    assert_int_equal(the_worker()->backend->h2_count[WORKER_NO_PUSH], 1);
    close(clients[0]);
    close(clients[1]);
}

static int setup(void **state)
{
    (void)state;
    edge_setup();
    worker_setup(&events);
    worker.settings.enable_connect = true;
    give_window(WINDOW_OCTETS);
    memset(&tunnel, 0, sizeof tunnel);
    left = 0;
    shard.on_left = on_left;
    publish(1, ROUTE_READY);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    int r = edge_teardown();
    worker_teardown();
    return r;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_head_that_is_too_large, setup, teardown),
        cmocka_unit_test_setup_teardown(test_each_finds_a_connection, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_left_response_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_heads_that_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(test_window_that_is_used_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_connection_is_used_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_tunnel_has_no_trailers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_goes_does_not_stand_in_the_way, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nor_does_what_is_used_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_rest_of_a_tunnel_arrives, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_rests_together_have_a_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_rest_outlives_its_routes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_rest_arrives_at_who_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_the_socket_has_not_taken_arrives_at_who_goes,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_rest_at_who_goes_has_a_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_rest_has_a_limit, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
