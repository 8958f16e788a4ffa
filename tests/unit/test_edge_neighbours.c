/* SPDX-License-Identifier: Apache-2.0 */
/* Clients that share a connection to a worker that speaks HTTP/2: what one of them does is not the
 * other's to bear.  A shard, clients over socket pairs, and a worker with our own HTTP/2 server,
 * all in this thread. */
#include "h2_worker.h"
#include "edge/worker_h2.h"
#include "edge/worker_internal.h"
#include "http/h2_internal.h"

static struct h2_stream *slow; /* that the worker was asked for /slow by, and has not answered */
static bool worker_is_patient; /* it answers when a request has ended */
static bool worker_refuses;    /* one stream, the next */

/* ---- the worker ---- */

static void answer(struct h2_stream *s)
{
    const struct http_head ok = {.status = 200, .content_length = 0};
    assert_int_equal(h2_stream_respond(s, &ok, true), 0);
}

enum { SMALL_OCTETS = 100, LARGE_OCTETS = 2 << 20 };

static void answer_with(struct h2_stream *s, size_t octets)
{
    static const char content[LARGE_OCTETS];
    const struct http_head ok = {.status = 200, .content_length = (int64_t)octets};
    assert_int_equal(h2_stream_respond(s, &ok, false), 0);
    assert_int_equal(h2_stream_body(s, slice_of(content, octets), NULL, true), 0);
}

static void on_head(void *user, struct h2_stream *s, const struct http_head *head, bool end)
{
    bool refuses = worker_refuses;
    (void)user;
    worker_refuses = false;
    if (refuses)
        h2_stream_reset(s, H2_REFUSED_STREAM);
    else if (slice_eq(head->path, SLICE("/slow")))
        slow = s;
    else if (slice_eq(head->path, SLICE("/small")))
        answer_with(s, SMALL_OCTETS);
    else if (slice_eq(head->path, SLICE("/large")))
        answer_with(s, LARGE_OCTETS);
    else if (end || !worker_is_patient)
        answer(s);
}

static void on_body(void *user, struct h2_stream *s, struct slice octets, bool end)
{
    (void)user;
    h2_stream_consumed(s, octets.len);
    if (end)
        answer(s);
}

static void on_trailers(void *user, struct h2_stream *s, const struct fields *trailers)
{
    (void)user;
    (void)trailers;
    answer(s);
}

static void on_close(void *user, struct h2_stream *s, uint32_t code)
{
    (void)user;
    (void)code;
    if (s == slow)
        slow = NULL;
}

static const struct h2_events worker_events = {
    .on_head = on_head, .on_body = on_body, .on_trailers = on_trailers, .on_close = on_close};

/* ---- a client ---- */

struct client_end {
    int fd;
    struct pool pool;
    struct h2_conn *h2;
    uint32_t answered, failed; /* 200; all else */
    uint32_t code;             /* of the last reset */
    size_t content;            /* octets of responses */
    bool is_over;
};

static void on_response(void *user, struct h2_stream *s, const struct http_head *head, bool end)
{
    struct client_end *c = user;
    (void)s;
    (void)end;
    c->answered += head->status == 200;
    c->failed += head->status != 200;
}

static void on_content(void *user, struct h2_stream *s, struct slice octets, bool end)
{
    struct client_end *c = user;
    (void)end;
    c->content += octets.len;
    h2_stream_consumed(s, octets.len);
}

static void on_end(void *user, struct h2_stream *s, uint32_t code)
{
    struct client_end *c = user;
    (void)s;
    c->failed += code != H2_NO_ERROR;
    c->code = code;
}

static const struct h2_events client_events = {
    .on_head = on_response, .on_body = on_content, .on_close = on_end};

static void client_open(struct client_end *c)
{
    struct h2_settings set;
    memset(c, 0, sizeof *c);
    pool_init(&c->pool);
    h2_settings_default(&set, H2_CLIENT);
    c->h2 = h2_conn_new(H2_CLIENT, &set, &client_events, c, &c->pool, 1);
    assert_non_null(c->h2);
    c->fd = edge_come("", 0);
}

static void client_close(struct client_end *c)
{
    close(c->fd);
    h2_conn_free(c->h2);
    assert_int_equal(c->pool.live, 0);
    pool_fini(&c->pool);
}

/* As much as the socket takes. */
static void play_client(struct client_end *c)
{
    static char octets[65536];
    ssize_t n;
    while ((n = read(c->fd, octets, sizeof octets)) > 0)
        h2_conn_feed(c->h2, octets, (size_t)n, 1);
    c->is_over |= n == 0;
    while (h2_conn_has_output(c->h2) && !c->is_over) {
        n = (ssize_t)h2_conn_output(c->h2, octets, sizeof octets, 1);
        for (ssize_t at = 0; at < n;) {
            ssize_t sent = send(c->fd, octets + at, (size_t)(n - at), MSG_NOSIGNAL);
            if (sent > 0)
                at += sent;
            else
                loop_turn(shard.loop, 0); /* edge takes it, and the worker does not run meanwhile */
        }
    }
}

static struct h2_stream *ask_with(struct client_end *c, const char *path, struct slice cookie,
                                  bool end)
{
    int err;
    struct field field = {SLICE("cookie"), cookie, TOKEN_COOKIE, 0};
    struct http_head head = {.method = SLICE("POST"),
                             .scheme = SLICE("http"),
                             .authority = SLICE("a.test"),
                             .path = slice_str(path),
                             .content_length = end ? 0 : -1,
                             .fields = {&field, cookie.len > 0, 1}};
    struct h2_stream *s = h2_conn_request(c->h2, &head, end, NULL, &err);
    assert_non_null(s);
    return s;
}

static void ask(struct client_end *c, const char *path, struct slice cookie)
{
    ask_with(c, path, cookie, true);
}

static void turn(struct client_end *const *clients, size_t count)
{
    for (int rounds = 0; rounds < 64; rounds++) {
        for (size_t i = 0; i < count; i++)
            play_client(clients[i]);
        loop_turn(shard.loop, 0);
        play_worker();
    }
}

static int setup(void **state)
{
    const struct route_site site = {.flags = ROUTE_HTTP20 | ROUTE_DEFAULT,
                                    .proxy_flag = ROUTE_PROXY_ALL,
                                    .request_timeout_ms = 60000,
                                    .idle_timeout_ms = 60000,
                                    .queue = 100,
                                    .body_limit_octets = 1u << 30};
    (void)state;
    edge_setup();
    worker_setup(&worker_events);
    worker.settings.budget.pings = (struct h2_bucket){.burst = 10000, .per_second = 10000};
    slow = NULL;
    worker_is_patient = worker_refuses = false;
    struct route_builder *b = route_builder_new(1);
    assert_int_equal(route_builder_site(b, SLICE("a"), &site), 0);
    assert_int_equal(route_builder_host(b, SLICE("a.test")), 0);
    assert_int_equal(route_builder_instance(b, SLICE("a/0"), slice_str(edge.address), SLICE(""),
                                            ROUTE_READY, ROUTE_H2C),
                     0);
    edge_publish(b, 1);
    for (int i = 0; i < 3; i++)
        loop_turn(shard.loop, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    int r = edge_teardown();
    worker_teardown();
    return r;
}

/* Over several connections, for one has a limit of its own. */
#define OTHERS   5
#define REQUESTS 18 /* of each */

struct crowd {
    struct client_end one, others[OTHERS], *all[1 + OTHERS];
};

/* One has asked, and its answer takes long. */
static void crowd_open(struct crowd *c)
{
    c->all[0] = &c->one;
    client_open(&c->one);
    for (unsigned i = 0; i < OTHERS; i++) {
        c->all[1 + i] = &c->others[i];
        client_open(&c->others[i]);
    }
    ask(&c->one, "/slow", SLICE(""));
    turn(c->all, ARRAY_LEN(c->all));
    assert_non_null(slow);
}

/* return  how many requests of the others were answered well */
static unsigned crowd_close(struct crowd *c)
{
    unsigned answered = 0;
    assert_int_equal(c->one.failed, 0);
    assert_non_null(slow);
    for (unsigned i = 0; i < OTHERS; i++) {
        assert_int_equal(c->others[i].answered + c->others[i].failed, REQUESTS);
        answered += c->others[i].answered;
    }
    answer(slow);
    turn(c->all, ARRAY_LEN(c->all));
    assert_int_equal(c->one.answered, 1);
    for (unsigned i = 0; i < ARRAY_LEN(c->all); i++)
        client_close(c->all[i]);
    turn(NULL, 0);
    return answered;
}

static void fill(char *text, size_t len, unsigned number)
{
    memset(text, 'a' + (int)(number % 26), len);
    text[number] = '*';
}

/* More of them than a socket takes wait for the worker when its answers to the first ones come. */
static void test_large_heads_of_one_client(void **state)
{
    static char cookie[40000];
    struct crowd crowd;
    (void)state;
    crowd_open(&crowd);
    for (unsigned i = 0; i < OTHERS * REQUESTS; i++) {
        fill(cookie, sizeof cookie, i);
        ask(&crowd.others[i / REQUESTS], "/", slice_of(cookie, sizeof cookie));
    }
    turn(crowd.all, ARRAY_LEN(crowd.all));
    assert_int_equal(crowd_close(&crowd), OTHERS * REQUESTS);
}

/* Of as many requests, all at once. */
static void test_large_trailers_of_one_client(void **state)
{
    static char text[40000];
    struct crowd crowd;
    struct h2_stream *streams[OTHERS * REQUESTS];
    struct field field = {SLICE("x-checksum"), {text, sizeof text}, TOKEN_NONE, 0};
    const struct fields trailers = {&field, 1, 1};
    (void)state;
    crowd_open(&crowd);
    worker_is_patient = true;
    for (unsigned i = 0; i < OTHERS * REQUESTS; i++)
        streams[i] = ask_with(&crowd.others[i / REQUESTS], "/", SLICE(""), false);
    turn(crowd.all, ARRAY_LEN(crowd.all));
    for (unsigned i = 0; i < OTHERS * REQUESTS; i++) {
        fill(text, sizeof text, i);
        assert_int_equal(h2_stream_trailers(streams[i], &trailers), 0);
    }
    turn(crowd.all, ARRAY_LEN(crowd.all));
    const struct stats_site *said = stats_site(shard.counters, 0, 0);
    assert_int_equal(said->faults[FAULT_MEMORY], 0); /* there is enough of it */
    assert_true(said->faults[FAULT_OVERLOAD] > 0);
    assert_true(crowd_close(&crowd) > 0);
}

/* Go's server says so for each 4096 octets of an upload that are read, for the stream and for the
 * connection; gRPC's has a PING for each round trip, and those are short here; others end what they
 * flush with DATA that is empty. */
static void test_a_worker_that_says_much(void **state)
{
    static const uint8_t frames[] = "\0\0\4\x8\0\0\0\0\0\0\0\0\1"          /* WINDOW_UPDATE */
                                    "\0\0\4\x8\0\0\0\0\1\0\0\0\1"          /* of the stream */
                                    "\0\0\x8\6\0\0\0\0\0\1\2\3\4\5\6\7\x8" /* PING */
                                    "\0\0\0\0\0\0\0\0\1";                  /* DATA */
    static const char content[4096];
    const struct http_head ok = {.status = 200, .content_length = -1};
    struct client_end one, *all[] = {&one};
    (void)state;
    client_open(&one);
    struct h2_stream *upload = ask_with(&one, "/slow", SLICE(""), false);
    turn(all, 1);
    assert_non_null(slow);
    assert_int_equal(h2_stream_respond(slow, &ok, false), 0);
    turn(all, 1);
    for (unsigned i = 0; i < 1500; i++) {
        assert_int_equal(h2_stream_body(upload, slice_of(content, sizeof content), NULL, false), 0);
        play_client(&one);
        loop_turn(shard.loop, 0);
        play_worker();
        assert_int_equal(send(worker.conns[0].fd, frames, sizeof frames - 1, MSG_NOSIGNAL),
                         sizeof frames - 1);
    }
    turn(all, 1);
    assert_non_null(slow); /* nothing was cut */
    assert_int_equal(h2_stream_body(slow, SLICE("ok"), NULL, true), 0);
    turn(all, 1);
    assert_int_equal(one.answered, 1);
    assert_int_equal(one.failed, 0);
    client_close(&one);
    turn(NULL, 0);
}

/* Go's server gives the connection's credit back when a handler has read, so that an upload to one
 * that does not read uses it up. */
static void test_an_upload_that_is_stuck(void **state)
{
    struct client_end one, other, *both[] = {&one, &other};
    (void)state;
    worker_is_patient = true;
    client_open(&one);
    client_open(&other);
    ask(&one, "/slow", SLICE(""));
    turn(both, 2);
    assert_int_equal(worker.conn_count, 1);
    size_t it = 0;
    struct backend *b = map_next(&shard.backends, &it);
    LIST_ENTRY(b->h2_conns[WORKER_NO_PUSH].next, struct worker, node)->http.h2->send_window = 0;
    struct h2_stream *s = ask_with(&other, "/", SLICE(""), false);
    assert_int_equal(h2_stream_body(s, SLICE("content"), NULL, true), 0);
    ask(&other, "/", SLICE("without"));
    turn(both, 2);
    assert_int_equal(other.answered, 2);
    assert_int_equal(worker.conn_count, 2); /* one for who needs it */
    client_close(&one);
    client_close(&other);
    turn(NULL, 0);
}

/* Uploads that are given up, by several and again and again.  A worker that gets too many resets
 * ends the connection (Node's does at 1000). */
static void test_uploads_that_are_given_up(void **state)
{
    struct crowd crowd;
    struct h2_stream *streams[OTHERS * REQUESTS];
    (void)state;
    crowd_open(&crowd);
    worker_is_patient = true;
    for (unsigned round = 0; round < 10; round++) {
        for (unsigned i = 0; i < OTHERS * REQUESTS; i++)
            streams[i] = ask_with(&crowd.others[i / REQUESTS], "/", SLICE(""), false);
        turn(crowd.all, ARRAY_LEN(crowd.all));
        for (unsigned i = 0; i < OTHERS * REQUESTS; i++)
            h2_stream_reset(streams[i], H2_CANCEL);
        turn(crowd.all, ARRAY_LEN(crowd.all));
    }
    assert_int_equal(crowd.one.failed, 0);
    assert_non_null(slow);
    size_t it = 0;
    struct backend *b = map_next(&shard.backends, &it);
    for (int i = 0; i < 2; i++) /* time passes, and the ration comes back */
        LIST_FOR(node, &b->h2_conns[WORKER_NO_PUSH])
        {
            struct worker *w = LIST_ENTRY(node, struct worker, node);
            ration_init(&w->ration, shard_now_us(&shard));
            worker_h2_reset_dropped(w);
        }
    turn(crowd.all, ARRAY_LEN(crowd.all));
    assert_int_equal(h2_conn_streams(worker.conns[0].h2), 1); /* the slow one */
    for (unsigned i = 0; i < OTHERS; i++)
        crowd.others[i].answered = REQUESTS;
    crowd_close(&crowd);
}

/* More ask at once than it takes on a connection, before it has said how many that is. */
static void test_a_worker_that_takes_few(void **state)
{
    struct client_end one, *all[] = {&one};
    struct h2_stream *streams[60];
    (void)state;
    worker.settings.max_concurrent_streams = 2;
    worker_is_patient = true;
    client_open(&one);
    for (unsigned i = 0; i < 60; i++)
        streams[i] = ask_with(&one, "/", SLICE(""), false);
    turn(all, 1);
    assert_int_equal(one.failed, 0);
    for (unsigned i = 0; i < 60; i++)
        assert_int_equal(h2_stream_body(streams[i], SLICE("content"), NULL, true), 0);
    turn(all, 1);
    assert_int_equal(one.failed, 0);
    assert_int_equal(one.answered, 60);
    client_close(&one);
    turn(NULL, 0);
}

/* A call of gRPC. */
static void call(struct client_end *c, bool end)
{
    int err;
    struct field grpc = {SLICE("content-type"), SLICE("application/grpc"), TOKEN_CONTENT_TYPE, 0};
    const struct http_head head = {.method = SLICE("POST"),
                                   .scheme = SLICE("http"),
                                   .authority = SLICE("a.test"),
                                   .path = SLICE("/slow"),
                                   .content_length = -1,
                                   .fields = {&grpc, 1, 1}};
    assert_non_null(h2_conn_request(c->h2, &head, end, NULL, &err));
}

/* What the worker resets it resets with its own code, though it has said GOAWAY. */
static void test_a_reset_by_who_goes(void **state)
{
    struct client_end one, *all[] = {&one};
    (void)state;
    client_open(&one);
    call(&one, false);
    turn(all, 1);
    assert_non_null(slow);
    h2_conn_shutdown(worker.conns[0].h2);
    turn(all, 1);
    h2_stream_reset(slow, H2_CANCEL);
    slow = NULL;
    turn(all, 1);
    assert_int_equal(one.failed, 1);
    assert_int_equal(one.code, H2_CANCEL);
    client_close(&one);
    turn(NULL, 0);
}

/* A stream that is refused has not been acted on: that is not said of one that was taken the second
 * time.  RFC 9113 8.7 */
static void test_a_refusal_is_forgotten_when_it_is_taken(void **state)
{
    struct client_end one, *all[] = {&one};
    (void)state;
    worker_refuses = true;
    client_open(&one);
    call(&one, true);
    turn(all, 1);
    assert_non_null(slow);
    struct client *c = LIST_ENTRY(shard.clients.next, struct client, node);
    struct exchange *x = LIST_ENTRY(c->exchanges.next, struct exchange, client_node);
    loop_timer_set(shard.loop, &x->timer, shard_now_us(&shard)); /* its time is up */
    for (int i = 0; i < 1000 && !one.failed; i++) {
        loop_turn(shard.loop, 1);
        play_client(&one);
    }
    assert_int_equal(one.failed, 1);
    assert_int_not_equal(one.code, H2_REFUSED_STREAM);
    client_close(&one);
    turn(NULL, 0);
}

/* An octet with its own end beside it. */
static void send_file(int to)
{
    union {
        struct cmsghdr align;
        char octets[CMSG_SPACE(sizeof(int))];
    } file = {.align = {.cmsg_len = CMSG_LEN(sizeof to),
                        .cmsg_level = SOL_SOCKET,
                        .cmsg_type = SCM_RIGHTS}};
    struct iovec octet = {.iov_base = (char[]){'x'}, .iov_len = 1};
    const struct msghdr m = {.msg_iov = &octet,
                             .msg_iovlen = 1,
                             .msg_control = file.octets,
                             .msg_controllen = sizeof file.octets};
    memcpy(CMSG_DATA(&file.align), &to, sizeof to);
    assert_int_equal(sendmsg(to, &m, MSG_NOSIGNAL), 1);
}

/* As where the kernel cannot refuse them.  return  its descriptor */
static int may_get_files(struct worker *w)
{
    const int on = 1;
    w->stream.may_get_files = true;
    setsockopt(w->stream.source.fd, SOL_SOCKET, 83 /* SO_PASSRIGHTS, Linux 6.16 */, &on, sizeof on);
    return w->stream.source.fd;
}

static bool is_closed(int fd)
{
    return fcntl(fd, F_GETFD) < 0;
}

/* A worker that has sent descriptors gets no more of ours to keep them in: it is not connected to,
 * and nothing that it says on other connections is read. */
static void test_a_worker_that_sends_descriptors(void **state)
{
    struct client_end one, *all[] = {&one};
    int kept[2];
    unsigned count = 0;
    size_t it = 0;
    (void)state;
    worker.settings.max_concurrent_streams = 1;
    client_open(&one);
    ask(&one, "/slow", SLICE(""));
    turn(all, 1);
    ask(&one, "/slow", SLICE(""));
    turn(all, 1);
    assert_int_equal(worker.conn_count, 2);
    struct backend *b = map_next(&shard.backends, &it);
    LIST_FOR(node, &b->h2_conns[WORKER_NO_PUSH])
    {
        kept[count++] = may_get_files(LIST_ENTRY(node, struct worker, node));
    }
    assert_int_equal(count, 2);
    int next = dup(0);
    close(next);
    for (int i = 0; i < 3; i++)
        send_file(worker.conns[0].fd);
    turn(all, 1);
    for (int i = 0; i < 3; i++)
        send_file(worker.conns[1].fd);
    turn(all, 1);
    assert_int_equal(one.failed, 2);
    uint64_t before = loop_calls(shard.loop)->connects;
    ask(&one, "/", SLICE(""));
    turn(all, 1);
    assert_int_equal(one.failed, 3);
    assert_int_equal(loop_calls(shard.loop)->connects, before);
    assert_false(is_closed(next)); /* what came with the first */
    assert_true(is_closed(next + 1));
    close(next);
    for (unsigned i = 0; i < 2; i++) {
        assert_false(is_closed(kept[i]));
        close(kept[i]);
    }
    client_close(&one);
    turn(NULL, 0);
}

/* Whatever of a request has no memory, who waits on the same connection is answered, or is told. */
static void test_memory_is_out_for_one(void **state)
{
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        struct client_end one, other, *both[] = {&one, &other};
        struct pool *pool = loop_pool(shard.loop);
        worker_is_patient = true;
        client_open(&one);
        client_open(&other);
        ask(&one, "/slow", SLICE(""));
        turn(both, 2);
        assert_non_null(slow);
        pool->fail_at = pool->gets + n;
        struct h2_stream *s = ask_with(&other, "/", SLICE("cookie"), false);
        assert_int_equal(h2_stream_body(s, SLICE("content"), NULL, true), 0);
        turn(both, 2);
        failed = pool->gets >= pool->fail_at;
        pool->fail_at = 0;
        size_t it = 0;
        struct backend *b = map_next(&shard.backends, &it);
        LIST_FOR(node, &b->h2_conns[WORKER_NO_PUSH])
        {
            /* a connection that has failed is not waited for */
            assert_int_equal(h2_conn_blame(LIST_ENTRY(node, struct worker, node)->http.h2),
                             H2_BLAME_NONE);
        }
        if (slow)
            answer(slow);
        turn(both, 2);
        if (one.answered + one.failed == 0)
            fail_msg("allocation %llu failed, and who had asked before still waits",
                     (unsigned long long)n);
        if (other.answered + other.failed + other.is_over == 0)
            fail_msg("allocation %llu failed, and who asked waits", (unsigned long long)n);
        client_close(&one);
        client_close(&other);
        turn(NULL, 0);
        assert_int_equal(teardown(state), 0);
        assert_int_equal(setup(state), 0);
    }
}

/* ---- two of one client ---- */

static struct exchange *exchange_of(struct slice path)
{
    struct client *c = LIST_ENTRY(shard.clients.next, struct client, node);
    LIST_FOR(node, &c->exchanges)
    {
        struct exchange *x = LIST_ENTRY(node, struct exchange, client_node);
        if (slice_eq(x->request->path, path))
            return x;
    }
    return NULL;
}

/* Its time is over. */
static void be_due(struct slice path)
{
    struct exchange *x = exchange_of(path);
    assert_non_null(x);
    struct loop_timer *t = &x->timer;
    loop_timer_set(shard.loop, t, shard_now_us(&shard));
    for (uint64_t due_us = t->due_us; exchange_of(path) && t->due_us == due_us;)
        loop_turn(shard.loop, 10);
}

/* The worker always has more of it ready. */
static void take(struct client_end *c, size_t octets)
{
    char part[65536];
    for (size_t had = 0; had < octets;) {
        ssize_t n = read(c->fd, part, sizeof part);
        if (n > 0) {
            had += (size_t)n;
            assert_int_equal(h2_conn_feed(c->h2, part, (size_t)n, 1), 0);
        }
        for (int i = 0; i < 4; i++) {
            play_worker();
            loop_turn(shard.loop, 0);
        }
    }
}

/* One that asks for much, and whose socket takes little at a time. */
static void come_for_much(struct client_end *c)
{
    const int little = 1;
    client_open(c);
    int fd = LIST_ENTRY(shard.clients.next, struct client, node)->stream.source.fd;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &little, sizeof little);
    ask(c, "/large", SLICE(""));
}

/* And for little behind that. */
static void ask_for_two(struct client_end *c)
{
    come_for_much(c);
    ask(c, "/small", SLICE(""));
    play_client(c);
    while (!exchange_of(SLICE("/small")) || !exchange_of(SLICE("/small"))->response_ended) {
        loop_turn(shard.loop, 10);
        play_worker();
    }
}

/* The larger response is in front of it, and the client takes of that what it can. */
static void test_who_waits_for_its_turn(void **state)
{
    struct client_end one, *all[] = {&one};
    (void)state;
    ask_for_two(&one);
    for (int i = 0; i < 2; i++) { /* of what was written at once */
        take(&one, 20000);
        be_due(SLICE("/small"));
        assert_non_null(exchange_of(SLICE("/small")));
    }
    for (int i = 0; i < 100 && one.content < SMALL_OCTETS + LARGE_OCTETS; i++)
        turn(all, 1);
    assert_int_equal(one.answered, 2);
    assert_int_equal(one.failed, 0);
    assert_int_equal(one.content, SMALL_OCTETS + LARGE_OCTETS);
    client_close(&one);
    turn(NULL, 0);
}

/* Or next to nothing. */
static void test_who_takes_nothing(void **state)
{
    struct client_end one, *all[] = {&one};
    (void)state;
    ask_for_two(&one);
    take(&one, 1);
    be_due(SLICE("/small"));
    assert_null(exchange_of(SLICE("/small")));
    turn(all, 1);
    assert_int_equal(one.code, H2_CANCEL);
    client_close(&one);
    turn(NULL, 0);
}

/* What else it takes does not speak for an upload that it has stopped. */
static void test_who_gives_nothing(void **state)
{
    struct client_end one, *all[] = {&one};
    (void)state;
    worker_is_patient = true;
    come_for_much(&one);
    ask_with(&one, "/upload", SLICE(""), false);
    play_client(&one);
    while (!exchange_of(SLICE("/upload"))) {
        loop_turn(shard.loop, 10);
        play_worker();
    }
    take(&one, 32 << 10);
    be_due(SLICE("/upload"));
    assert_true(!exchange_of(SLICE("/upload")) || exchange_of(SLICE("/upload"))->response_ended);
    turn(all, 1);
    assert_int_equal(one.failed, 1);
    client_close(&one);
    turn(NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_large_heads_of_one_client, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_trailers_of_one_client, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_worker_that_says_much, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_upload_that_is_stuck, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_reset_by_who_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_refusal_is_forgotten_when_it_is_taken, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_uploads_that_are_given_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_worker_that_takes_few, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_worker_that_sends_descriptors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_waits_for_its_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_takes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_gives_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_memory_is_out_for_one, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
