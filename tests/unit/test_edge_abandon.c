/* SPDX-License-Identifier: Apache-2.0 */
/* Clients that leave before they are answered: an HTTP/2 client that resets streams, a shard, an
 * HTTP/1.1 worker, all in this thread.  What becomes of the connections to the worker, of their
 * responses, and of the places and the room that they take.  The timer by which those who wait look
 * again at times is taken away. */
#include "edge_shard.h"
#include "edge/worker.h"

#define CONNS_MAX 8

static struct {
    struct {
        int fd;
        char got[4096]; /* since the last answer */
        size_t got_len;
        bool is_over;
    } conns[CONNS_MAX];
    uint32_t conn_count;
} worker;

struct response {
    unsigned status;
    char content[32];
    bool is_over;
};

static struct {
    int fd;
    struct pool pool;
    struct h2_conn *h2;
} client;

/* ---- the worker ---- */

static void play_worker(void)
{
    int fd;
    while (worker.conn_count < CONNS_MAX &&
           (fd = accept4(edge.listener, NULL, NULL, SOCK_NONBLOCK)) >= 0)
        worker.conns[worker.conn_count++].fd = fd;
    for (uint32_t i = 0; i < worker.conn_count; i++) {
        size_t have = worker.conns[i].got_len, room = sizeof worker.conns[i].got - 1 - have;
        ssize_t n = read(worker.conns[i].fd, worker.conns[i].got + have, room);
        worker.conns[i].got_len += n > 0 ? (size_t)n : 0;
        worker.conns[i].is_over |= n == 0;
    }
}

static bool has_got(uint32_t conn, const char *text)
{
    assert_true(conn < worker.conn_count);
    return strstr(worker.conns[conn].got, text) != NULL;
}

/* return  whether the whole answer could be given to the socket */
static bool answer(uint32_t conn, const char *head, size_t content_octets)
{
    static char filler[1u << 17];
    memset(worker.conns[conn].got, 0, sizeof worker.conns[conn].got);
    worker.conns[conn].got_len = 0;
    return send(worker.conns[conn].fd, head, strlen(head), MSG_NOSIGNAL) > 0 &&
           send(worker.conns[conn].fd, filler, content_octets, MSG_NOSIGNAL) ==
               (ssize_t)content_octets;
}

#define ANSWER(text) "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n" text

/* ---- the client ---- */

static void on_head(void *user, struct h2_stream *s, const struct http_head *head, bool end)
{
    struct response *r = h2_stream_user(s);
    (void)user;
    (void)end;
    r->status = head->status;
}

static void on_body(void *user, struct h2_stream *s, struct slice octets, bool end)
{
    struct response *r = h2_stream_user(s);
    (void)user;
    (void)end;
    size_t have = strlen(r->content), room = sizeof r->content - 1 - have;
    if (octets.len)
        memcpy(r->content + have, octets.p, octets.len < room ? octets.len : room);
}

static void on_close(void *user, struct h2_stream *s, uint32_t code)
{
    struct response *r = h2_stream_user(s);
    (void)user;
    r->is_over = code == H2_NO_ERROR;
}

static const struct h2_events client_events = {
    .on_head = on_head, .on_body = on_body, .on_close = on_close};

/* Several requests and resets may be queued; they leave together. */
static struct h2_stream *ask(const char *path, const char *method, int64_t length,
                             struct response *r)
{
    int err;
    bool tunnel = strcmp(method, "CONNECT") == 0;
    struct field version = {SLICE("sec-websocket-version"), SLICE("13"),
                            TOKEN_SEC_WEBSOCKET_VERSION, 0};
    struct http_head head = {.method = slice_str(method),
                             .scheme = SLICE("http"),
                             .authority = SLICE("a.test"),
                             .path = slice_str(path),
                             .content_length = length};
    if (tunnel) {
        head.protocol = SLICE("websocket");
        head.fields = (struct fields){&version, 1, 1};
    }
    *r = (struct response){.status = 0};
    struct h2_stream *s = h2_conn_request(client.h2, &head, length < 0 && !tunnel, r, &err);
    assert_non_null(s);
    return s;
}

static struct h2_stream *get(const char *path, struct response *r)
{
    return ask(path, "GET", -1, r);
}

static void play_client(void)
{
    char octets[65536];
    ssize_t n;
    while ((n = (ssize_t)h2_conn_output(client.h2, octets, sizeof octets, 1)) > 0)
        assert_int_equal(write(client.fd, octets, (size_t)n), n);
    while ((n = read(client.fd, octets, sizeof octets)) > 0)
        h2_conn_feed(client.h2, octets, (size_t)n, 1);
}

static void turn(void)
{
    for (int rounds = 0; rounds < 16; rounds++) {
        play_client();
        loop_timer_clear(&shard.waiting_timer);
        loop_turn(shard.loop, 0);
        play_worker();
    }
}

static void leave(struct h2_stream *s)
{
    h2_stream_reset(s, H2_CANCEL);
    turn();
}

/* ---- edge ---- */

static void publish(uint32_t concurrency)
{
    struct route_site site = {.flags = ROUTE_HTTP20 | ROUTE_WEBSOCKETS | ROUTE_DEFAULT,
                              .request_timeout_ms = 60000,
                              .idle_timeout_ms = 60000,
                              .tunnel_timeout_ms = 60000,
                              .concurrency = concurrency,
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

static struct backend *backend(void)
{
    size_t it = 0;
    struct backend *b = map_next(&shard.backends, &it);
    assert_non_null(b);
    return b;
}

/* The next client that leaves is one too many: no connection is closed for it. */
static void use_up_ration(void)
{
    backend()->ration = (struct ration){.updated_us = UINT64_MAX};
}

static size_t length(const struct list *l)
{
    size_t n = 0;
    LIST_FOR(node, l)
    {
        n++;
    }
    return n;
}

/* What is counted is what there is. */
static void assert_conns(size_t idle, size_t busy, uint32_t draining)
{
    const struct backend *b = backend();
    assert_int_equal(length(&b->h1_idle), idle);
    assert_int_equal(b->h1_idle_count, idle);
    assert_int_equal(length(&b->h1_busy), busy);
    assert_int_equal(b->h1_count, idle + busy);
    assert_int_equal(b->h1_draining, draining);
    assert_int_equal(b->in_flight, busy - draining);
}

static int setup_with(uint32_t concurrency)
{
    struct h2_settings settings;
    edge_setup();
    memset(&worker, 0, sizeof worker);
    pool_init(&client.pool);
    h2_settings_default(&settings, H2_CLIENT);
    client.h2 = h2_conn_new(H2_CLIENT, &settings, &client_events, NULL, &client.pool, 1);
    assert_non_null(client.h2);
    client.fd = edge_come("", 0);
    publish(concurrency);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    return setup_with(0);
}

static int setup_with_one_place(void **state)
{
    (void)state;
    return setup_with(1);
}

static int teardown(void **state)
{
    (void)state;
    int r = edge_teardown();
    for (uint32_t i = 0; i < worker.conn_count; i++)
        close(worker.conns[i].fd);
    close(client.fd);
    h2_conn_free(client.h2);
    pool_fini(&client.pool);
    return r;
}

/* ---- tests ---- */

static void test_nothing_had_left(void **state)
{
    struct response one, two, three;
    (void)state;
    h2_stream_reset(get("/one", &one), H2_CANCEL); /* no connection yet */
    turn();
    assert_conns(1, 0, 0);
    h2_stream_reset(ask("/two", "POST", 5, &two), H2_CANCEL);
    get("/three", &three);
    turn();
    assert_conns(0, 1, 0);
    assert_int_equal(worker.conn_count, 1);
    assert_true(has_got(0, "GET /three "));
    assert_false(has_got(0, "/one"));
    assert_false(has_got(0, "/two"));
    assert_true(answer(0, ANSWER("abc"), 0));
    turn();
    assert_string_equal(three.content, "abc");
    assert_true(three.is_over);
    assert_conns(1, 0, 0);
}

/* A connection that is being made is no better than one that is there. */
static void test_who_comes_next_gets_what_is_connected(void **state)
{
    struct response one, two, three;
    (void)state;
    get("/one", &one);
    turn();
    assert_true(answer(0, ANSWER("one"), 0));
    turn();
    struct h2_stream *there = get("/two", &two), *new = get("/three", &three);
    h2_stream_reset(there, H2_CANCEL);
    h2_stream_reset(new, H2_CANCEL);
    get("/one", &one);
    turn();
    assert_true(has_got(0, "GET /one "));
    assert_conns(1, 1, 0);
}

/* Its worker may be about to close it: what must not be sent twice does not go there. */
static void test_what_is_taken_back_is_no_use(void **state)
{
    struct response one, two, three;
    (void)state;
    get("/one", &one);
    turn();
    assert_true(answer(0, ANSWER("one"), 0));
    turn();
    LIST_ENTRY(backend()->h1_idle.next, struct worker, node)->used_us -= WORKER_FRESH_US + 1;
    h2_stream_reset(get("/two", &two), H2_CANCEL);
    turn();
    assert_conns(1, 0, 0);
    ask("/three", "POST", 3, &three);
    turn();
    assert_false(has_got(0, "POST /three "));
    assert_true(has_got(1, "POST /three "));
}

/* But a connection that was made for it is kept for the next one, also behind an old one. */
static void test_one_connection_is_made_for_all_that_is_taken_back(void **state)
{
    struct response r;
    (void)state;
    get("/one", &r);
    turn();
    assert_true(answer(0, ANSWER("one"), 0));
    turn();
    LIST_ENTRY(backend()->h1_idle.next, struct worker, node)->used_us -= WORKER_FRESH_US + 1;
    for (int i = 0; i < 3; i++) {
        h2_stream_reset(ask("/", "POST", 3, &r), H2_CANCEL);
        h2_stream_reset(ask("/", "POST", 3, &r), H2_CANCEL);
        turn();
        assert_int_equal(worker.conn_count, 2);
    }
    struct h2_stream *first = get("/", &r), *second = get("/", &r);
    h2_stream_reset(first, H2_CANCEL);
    h2_stream_reset(second, H2_CANCEL); /* the old one comes back last */
    ask("/four", "POST", 3, &r);
    turn();
    assert_int_equal(worker.conn_count, 2);
    assert_true(has_got(1, "POST /four "));
}

static void test_within_the_ration_it_is_closed(void **state)
{
    struct response one;
    (void)state;
    struct h2_stream *s = get("/one", &one);
    turn();
    leave(s);
    assert_true(worker.conns[0].is_over);
    assert_conns(0, 0, 0);
}

static void test_the_rest_goes_nowhere(void **state)
{
    struct response one, two, three;
    (void)state;
    struct h2_stream *s = get("/one", &one);
    turn();
    use_up_ration();
    leave(s);
    assert_false(worker.conns[0].is_over);
    assert_conns(0, 1, 1);
    get("/two", &two);
    turn();
    assert_true(has_got(1, "GET /two ")); /* not behind it */
    assert_conns(0, 2, 1);
    assert_true(answer(0, ANSWER("one"), 0));
    turn();
    assert_conns(1, 1, 0);
    get("/three", &three);
    turn();
    assert_true(has_got(0, "GET /three "));
    assert_true(answer(0, ANSWER("3 3"), 0));
    assert_true(answer(1, ANSWER("2 2"), 0));
    turn();
    assert_string_equal(two.content, "2 2");
    assert_string_equal(three.content, "3 3");
    assert_conns(2, 0, 0);
}

static void test_only_a_whole_request_is_let_end(void **state)
{
    static const struct {
        const char *method;
        int64_t length;
        const char *content;
        bool end, is_drained;
    } cases[] = {
        {"POST", 3, "abc", true, true},
        {"POST", 3, "ab", false, false},
        {"CONNECT", -1, "", false, false},
    };
    (void)state;
    for (uint32_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct response r;
        struct h2_stream *s = ask("/", cases[i].method, cases[i].length, &r);
        h2_stream_body(s, slice_str(cases[i].content), NULL, cases[i].end);
        turn();
        assert_int_equal(worker.conn_count, i + 1);
        use_up_ration();
        leave(s);
        assert_true(worker.conns[i].is_over != cases[i].is_drained);
        if (cases[i].is_drained) {
            assert_true(answer(i, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", 0));
            shutdown(worker.conns[i].fd, SHUT_RDWR);
            turn();
        }
        assert_conns(0, 0, 0);
    }
}

static void test_responses_that_end_the_connection(void **state)
{
    static const struct {
        const char *head;
        size_t content_octets;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n", WORKER_DRAIN_OCTETS + 1},
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\n\r\n", 0},
        {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc", 0},
        {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", 0},
        {"HTTP\r\n\r\n", 0},
    };
    (void)state;
    for (uint32_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct response r;
        struct h2_stream *s = get("/", &r);
        turn();
        use_up_ration();
        leave(s);
        assert_conns(0, 1, 1);
        answer(i, cases[i].head, cases[i].content_octets);
        turn();
        assert_true(worker.conns[i].is_over);
        assert_conns(0, 0, 0);
    }
}

static struct worker *first_busy(void)
{
    return LIST_ENTRY(backend()->h1_busy.next, struct worker, node);
}

/* Until edge closes the worker's connection, the only one. */
static void let_time_pass(uint32_t conn)
{
    loop_timer_set(shard.loop, &first_busy()->timer, shard_now_us(&shard));
    for (int i = 0; i < 1000 && !worker.conns[conn].is_over; i++) {
        loop_turn(shard.loop, 1);
        play_worker();
    }
    assert_true(worker.conns[conn].is_over);
    turn();
}

static void test_time_is_bounded(void **state)
{
    struct response r;
    (void)state;
    struct h2_stream *s = get("/", &r);
    turn();
    use_up_ration();
    leave(s);
    assert_int_not_equal(first_busy()->timer.due_us, 0);
    let_time_pass(0);
    assert_conns(0, 0, 0);
    /* A connection that has been drained is as good as another one: time says nothing of it. */
    s = get("/", &r);
    turn();
    use_up_ration();
    leave(s);
    assert_true(answer(1, ANSWER("abc"), 0));
    turn();
    get("/", &r);
    turn();
    assert_true(has_got(1, "GET / "));
    assert_int_equal(first_busy()->timer.due_us, 0);
}

/* The instance is as busy as it may be until it has ended, whoever waits for that. */
static void test_its_place_is_taken_until_then(void **state)
{
    struct response one, two, three;
    (void)state;
    struct h2_stream *s = get("/one", &one);
    turn();
    use_up_ration();
    leave(s);
    struct h2_stream *next = get("/two", &two);
    get("/three", &three);
    turn();
    assert_int_equal(worker.conn_count, 1);
    assert_true(answer(0, ANSWER("one"), 0));
    turn();
    assert_int_equal(worker.conn_count, 1);
    assert_true(has_got(0, "GET /two "));
    use_up_ration();
    leave(next);
    assert_false(has_got(0, "GET /three "));
    let_time_pass(0);
    assert_true(has_got(1, "GET /three "));
    assert_conns(0, 1, 0);
}

/* As many connections as there may be; the one that is let end is the next one's. */
static void test_who_waits_for_room_gets_it(void **state)
{
    struct response one, two;
    (void)state;
    struct h2_stream *s = get("/one", &one);
    turn();
    use_up_ration();
    leave(s);
    backend()->h1_count += WORKER_H1_MAX;
    get("/two", &two);
    turn();
    assert_int_equal(worker.conn_count, 1);
    assert_int_equal(length(&shard.waiting), 1);
    assert_true(answer(0, ANSWER("one"), 0));
    turn();
    backend()->h1_count -= WORKER_H1_MAX;
    assert_int_equal(length(&shard.waiting), 0);
    assert_true(has_got(0, "GET /two "));
}

/* Its second request waits inside when it is gone, so that nothing is read that would tell. */
static void test_a_client_that_is_gone_waits_for_nothing(void **state)
{
    static const char requests[] = "GET /one HTTP/1.1\r\nHost: a.test\r\n\r\n"
                                   "GET /two HTTP/1.1\r\nHost: a.test\r\n\r\n";
    (void)state;
    close(edge_come(requests, sizeof requests - 1));
    turn();
    assert_int_equal(shard.open_exchanges, 0);
    assert_int_equal(length(&shard.clients), 1); /* the one over HTTP/2 */
}

/* It has sent ahead what was for the tunnel, and ends its request by a trailer section while the
 * refusal comes: that is the response to a message like others, and nobody's request is in it. */
static void test_a_refused_websocket_is_answered_whole(void **state)
{
    struct field trailer = {SLICE("x-checksum"), SLICE("1"), TOKEN_NONE, 0};
    const struct fields trailers = {&trailer, 1, 1};
    struct response r, next;
    (void)state;
    struct h2_stream *s = ask("/ws", "CONNECT", -1, &r);
    h2_stream_body(s, SLICE("early"), NULL, false);
    turn();
    assert_true(has_got(0, "GET /ws "));
    assert_true(answer(0, "HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\nabc", 0));
    turn();
    assert_int_equal(h2_stream_body(s, SLICE("late"), NULL, false), 0);
    assert_int_equal(h2_stream_trailers(s, &trailers), 0);
    turn();
    assert_true(answer(0, "def", 0));
    turn();
    assert_int_equal(r.status, 403);
    assert_string_equal(r.content, "abcdef");
    assert_true(r.is_over);
    get("/next", &next);
    turn();
    assert_int_equal(worker.conn_count, 1);
    assert_int_equal(strncmp(worker.conns[0].got, "GET /next ", 10), 0);
}

static void test_the_shard_ends(void **state)
{
    struct response one;
    (void)state;
    struct h2_stream *s = get("/one", &one);
    turn();
    use_up_ration();
    leave(s);
    assert_conns(0, 1, 1);
}

#define WITH(test, setup) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(test_nothing_had_left, setup),
        WITH(test_who_comes_next_gets_what_is_connected, setup),
        WITH(test_what_is_taken_back_is_no_use, setup),
        WITH(test_one_connection_is_made_for_all_that_is_taken_back, setup),
        WITH(test_within_the_ration_it_is_closed, setup),
        WITH(test_the_rest_goes_nowhere, setup),
        WITH(test_only_a_whole_request_is_let_end, setup),
        WITH(test_responses_that_end_the_connection, setup),
        WITH(test_time_is_bounded, setup),
        WITH(test_its_place_is_taken_until_then, setup_with_one_place),
        WITH(test_who_waits_for_room_gets_it, setup),
        WITH(test_a_client_that_is_gone_waits_for_nothing, setup),
        WITH(test_a_refused_websocket_is_answered_whole, setup),
        WITH(test_the_shard_ends, setup_with_one_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
