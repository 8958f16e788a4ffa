/* SPDX-License-Identifier: Apache-2.0 */
/* Our client engine against our server engine, in memory, under random scheduling: what is written,
 * how much of it arrives, who acts next and who gives up is drawn from a seed.
 *
 * Asserted: every octet arrives once and in its place, no connection error, every exchange ends in
 * a way that its plan allows, no stream is left, and the pool gets back what it gave. */
#include "h2_pair.h"

#define EXCHANGES_MAX 256

/* One direction of one stream, as one side sees it. */
struct flow {
    uint32_t key;
    size_t total;  /* to send */
    size_t done;   /* queued, or received */
    size_t unread; /* received and not yet consumed */
    bool trailers, ended;
};

struct exchange {
    struct h2_stream *stream; /* NULL: over */
    uint32_t key;
    struct flow out, in;
    unsigned pushes, hints;
    bool responded, head_seen, promised, wait_for_request;
    bool reset_by_us, complete;
    uint32_t close_code;
};

struct side {
    struct world *world;
    struct h2_conn *conn;
    struct exchange at[EXCHANGES_MAX];
    unsigned count;
    bool goaway_seen;
    struct buf wire; /* octets on their way to the other side */
};

struct plan {
    unsigned requests;
    unsigned resets; /* one step in so many resets a stream; 0 never */
    unsigned shutdown_at;
    bool push, fine; /* fine: wire moves octet by octet */
    uint32_t max_body;
};

struct world {
    struct rng rng;
    struct plan plan;
    struct pool pool;
    struct side client, server;
    uint64_t now_us;
    unsigned requested, completed, pushed; /* pushed: promised ones that completed */
};

static struct exchange *exchange_new(struct side *side, struct h2_stream *s, uint32_t key)
{
    assert_true(side->count < EXCHANGES_MAX);
    struct exchange *x = &side->at[side->count++];
    *x = (struct exchange){.stream = s, .key = key};
    if (s)
        h2_stream_set_user(s, x);
    return x;
}

static void on_body(void *user, struct h2_stream *s, struct slice octets, bool end)
{
    struct exchange *x = h2_stream_user(s);
    assert_non_null(x);
    assert_false(x->in.ended);
    assert_true(octets.len > 0 || end);
    pattern_check(x->in.key, x->in.done, octets.p, octets.len);
    x->in.done += octets.len;
    x->in.unread += octets.len;
    x->in.ended = end;
    if (end)
        assert_false(x->in.trailers);
    struct side *side = user;
    if (rng_one_in(&side->world->rng, 2)) {
        h2_stream_consumed(s, x->in.unread);
        x->in.unread = 0;
    }
}

static void on_trailers(void *user, struct h2_stream *s, const struct fields *trailers)
{
    struct exchange *x = h2_stream_user(s);
    assert_false(x->in.ended);
    assert_true(x->in.trailers);
    assert_int_equal(trailers->count, 1);
    assert_true(slice_eq(trailers->at[0].name, SLICE("x-sum")));
    x->in.ended = true;
}

static void on_sent(void *user, struct h2_stream *s, size_t octets)
{
    assert_true(octets > 0);
}

static void on_close(void *user, struct h2_stream *s, uint32_t code)
{
    struct exchange *x = h2_stream_user(s);
    if (!x)
        return;
    assert_ptr_equal(x->stream, s);
    assert_false(x->reset_by_us);
    x->stream = NULL;
    x->close_code = code;
    x->complete = code == H2_NO_ERROR;
}

/* Server. */

static void server_on_head(void *user, struct h2_stream *s, const struct http_head *head, bool end)
{
    struct side *side = user;
    uint32_t key = query_number(head->path, "key");
    struct exchange *x = exchange_new(side, s, key);
    assert_true(slice_eq(head->scheme, SLICE("https")));
    assert_true(slice_eq(head->authority, SLICE("a.example")));
    x->in = (struct flow){.key = key,
                          .total = query_number(head->path, "up"),
                          .trailers = query_number(head->path, "uptrail"),
                          .ended = end};
    x->out = (struct flow){.key = key + 1,
                           .total = query_number(head->path, "down"),
                           .trailers = query_number(head->path, "trail")};
    x->pushes = query_number(head->path, "push");
    x->hints = query_number(head->path, "hints");
    x->wait_for_request = query_number(head->path, "wait");
    if (head->content_length >= 0)
        assert_int_equal(head->content_length, x->in.total);
}

static struct field trailer_row = {.name = {"x-sum", 5}, .value = {"abc", 3}};

/* Queue some more of the message that x sends. */
static void flow_on(struct side *side, struct exchange *x)
{
    struct rng *rng = &side->world->rng;
    char octets[20000];
    size_t left = x->out.total - x->out.done;
    size_t n =
        left ? 1 + rng_below(rng, (uint32_t)(left < sizeof octets ? left : sizeof octets)) : 0;
    if (h2_stream_queued(x->stream) > 60000)
        return;
    pattern_fill(x->out.key, x->out.done, octets, n);
    struct chunk *chunk = NULL;
    struct slice s = slice_of(octets, n);
    if (n && rng_one_in(rng, 2)) {
        chunk = chunk_new(&side->world->pool, (uint32_t)n);
        memcpy(chunk->octets, octets, n);
        s = slice_of(chunk->octets, n);
    }
    x->out.done += n;
    bool last = x->out.done == x->out.total;
    bool end = last && !x->out.trailers && rng_one_in(rng, 2);
    x->out.ended = end;
    int err = h2_stream_body(x->stream, s, chunk, end);
    assert_int_equal(err, 0);
    chunk_unref(chunk);
    if (!last || end || !x->stream)
        return;
    x->out.ended = true;
    struct fields trailers = {.at = &trailer_row, .count = 1, .cap = 1};
    if (x->out.trailers)
        err = h2_stream_trailers(x->stream, &trailers);
    else
        err = h2_stream_body(x->stream, slice_of("", 0), NULL, true);
    assert_int_equal(err, 0);
}

static void push_one(struct side *side, struct exchange *x)
{
    struct world *w = side->world;
    char path[64];
    uint32_t key = x->key + 10 * x->pushes, down = rng_below(&w->rng, w->plan.max_body);
    int n = snprintf(path, sizeof path, "/pushed?key=%u&down=%u", key, down);
    struct http_head head = {.method = SLICE("GET"),
                             .scheme = SLICE("https"),
                             .authority = SLICE("a.example"),
                             .path = slice_of(path, (size_t)n),
                             .content_length = -1};
    int err;
    x->pushes--;
    struct h2_stream *s = h2_stream_promise(x->stream, &head, NULL, &err);
    if (!s) {
        assert_true(err == ERR_USAGE || err == ERR_LIMIT);
        return;
    }
    assert_true(h2_stream_is_promised(s));
    assert_int_equal(h2_stream_priority(s).urgency, h2_stream_priority(x->stream).urgency + 1);
    struct exchange *p = exchange_new(side, s, key);
    p->promised = true;
    p->in.ended = true;
    p->out = (struct flow){.key = key + 1, .total = down};
}

static void server_act(struct side *side, struct exchange *x)
{
    struct rng *rng = &side->world->rng;
    if (x->wait_for_request && !x->in.ended)
        return;
    if (x->hints) {
        struct http_head head = {.status = 103, .content_length = -1};
        x->hints--;
        assert_int_equal(h2_stream_respond(x->stream, &head, false), 0);
    } else if (x->pushes) {
        push_one(side, x);
    } else if (!x->responded) {
        char length[24];
        int n = snprintf(length, sizeof length, "%zu", x->out.total);
        struct field field = {.name = SLICE("content-length"),
                              .value = slice_of(length, (size_t)n),
                              .token = TOKEN_CONTENT_LENGTH};
        struct http_head head = {.status = 200, .content_length = (int64_t)x->out.total};
        if (rng_one_in(rng, 2))
            head.fields = (struct fields){.at = &field, .count = 1, .cap = 1};
        bool end = x->out.total == 0 && !x->out.trailers && rng_one_in(rng, 2);
        x->responded = true;
        x->out.ended = end;
        assert_int_equal(h2_stream_respond(x->stream, &head, end), 0);
    } else if (!x->out.ended) {
        flow_on(side, x);
    }
}

/* Client. */

static void client_on_head(void *user, struct h2_stream *s, const struct http_head *head, bool end)
{
    struct exchange *x = h2_stream_user(s);
    assert_non_null(x);
    assert_false(x->in.ended);
    if (head->status == 103) {
        assert_false(end);
        assert_true(x->hints > 0);
        x->hints--;
        return;
    }
    assert_int_equal(head->status, 200);
    assert_int_equal(x->hints, 0);
    x->head_seen = true;
    x->in.ended = end;
    if (end)
        assert_false(x->in.trailers);
}

static void client_on_promise(void *user, struct h2_stream *parent, struct h2_stream *promised,
                              const struct http_head *head)
{
    struct side *side = user;
    struct world *w = side->world;
    struct exchange *of = h2_stream_user(parent);
    assert_non_null(of);
    assert_true(h2_stream_is_promised(promised));
    if (rng_one_in(&w->rng, 8)) {
        h2_stream_reset(promised, H2_CANCEL);
        return;
    }
    uint32_t key = query_number(head->path, "key");
    struct exchange *x = exchange_new(side, promised, key);
    x->promised = true;
    x->in = (struct flow){.key = key + 1, .total = query_number(head->path, "down")};
    x->out.ended = true;
}

static void client_on_goaway(void *user, uint32_t last_stream_id, uint32_t code)
{
    ((struct side *)user)->goaway_seen = true;
    assert_int_equal(code, H2_NO_ERROR);
}

static void client_open(struct world *w)
{
    struct side *side = &w->client;
    struct rng *rng = &w->rng;
    if (h2_conn_can_open(side->conn) == 0)
        return;
    uint32_t key = w->requested * 1000 + 1;
    bool post = rng_one_in(rng, 2);
    struct exchange plan = {.key = key, .hints = rng_one_in(rng, 4) ? 1 + rng_below(rng, 2) : 0};
    if (post)
        plan.out = (struct flow){
            .key = key, .total = rng_below(rng, w->plan.max_body), .trailers = rng_one_in(rng, 4)};
    plan.in = (struct flow){
        .key = key + 1, .total = rng_below(rng, w->plan.max_body), .trailers = rng_one_in(rng, 4)};
    if (rng_one_in(rng, 4))
        plan.in.total = 0;
    char path[256], length[24];
    int n = snprintf(path, sizeof path,
                     "/x?key=%u&up=%zu&uptrail=%d&down=%zu&trail=%d&push=%u&hints=%u&wait=%d", key,
                     plan.out.total, plan.out.trailers, plan.in.total, plan.in.trailers,
                     w->plan.push ? rng_below(rng, 4) : 0, plan.hints, rng_one_in(rng, 2));
    int ln = snprintf(length, sizeof length, "%zu", plan.out.total);
    struct field fields[] = {
        {.name = SLICE("user-agent"), .value = SLICE("pair"), .token = TOKEN_USER_AGENT},
        {.name = SLICE("content-length"),
         .value = slice_of(length, (size_t)ln),
         .token = TOKEN_CONTENT_LENGTH},
    };
    struct http_head head = {.method = post ? SLICE("POST") : SLICE("GET"),
                             .scheme = SLICE("https"),
                             .authority = SLICE("a.example"),
                             .path = slice_of(path, (size_t)n),
                             .content_length = -1,
                             .fields = {.at = fields, .count = post && rng_one_in(rng, 2) ? 2 : 1}};
    int err;
    struct exchange *x = exchange_new(side, NULL, key);
    *x = plan;
    x->out.ended = !post;
    x->stream = h2_conn_request(side->conn, &head, !post, x, &err);
    assert_non_null(x->stream);
    w->requested++;
}

static const struct h2_events server_events = {
    .on_head = server_on_head,
    .on_body = on_body,
    .on_trailers = on_trailers,
    .on_sent = on_sent,
    .on_close = on_close,
};

static const struct h2_events client_events = {
    .on_head = client_on_head,
    .on_body = on_body,
    .on_trailers = on_trailers,
    .on_sent = on_sent,
    .on_promise = client_on_promise,
    .on_close = on_close,
    .on_goaway = client_on_goaway,
};

/* The wire. */

static void draw(struct world *w, struct side *side)
{
    char octets[40000];
    size_t cap = rng_one_in(&w->rng, 3) ? 1 + rng_below(&w->rng, 40)
                                        : 1 + rng_below(&w->rng, sizeof octets - 1);
    bool had = h2_conn_has_output(side->conn);
    size_t n = h2_conn_output(side->conn, octets, cap, w->now_us);
    assert_true(n <= cap);
    assert_int_equal(had, n > 0);
    assert_int_equal(buf_add(&side->wire, octets, n), 0);
}

static void deliver(struct world *w, struct side *from, struct side *to)
{
    size_t there = buf_len(&from->wire);
    if (there == 0)
        return;
    size_t n = w->plan.fine ? 1 : 1 + rng_below(&w->rng, (uint32_t)there);
    if (!w->plan.fine && rng_one_in(&w->rng, 4))
        n = there;
    /* A block of its own, so that the sanitizer sees a read beyond its end. */
    char *piece = malloc(n);
    assert_non_null(piece);
    memcpy(piece, buf_at(&from->wire), n);
    buf_consume(&from->wire, n);
    int err = h2_conn_feed(to->conn, piece, n, w->now_us);
    if (err != 0)
        fail_msg("feed: %s, %s", err_text(err), h2_blame_row(h2_conn_blame(to->conn))->name);
    free(piece);
}

static void act(struct world *w, struct side *side)
{
    if (side->count == 0)
        return;
    /* The young ones are more likely to be alive. */
    unsigned i = side->count - 1 - rng_below(&w->rng, side->count < 24 ? side->count : 24);
    struct exchange *x = &side->at[i];
    if (rng_one_in(&w->rng, 4)) {
        i = rng_below(&w->rng, side->count);
        x = &side->at[i];
    }
    if (!x->stream)
        return;
    if (w->plan.resets && rng_one_in(&w->rng, w->plan.resets)) {
        x->reset_by_us = true;
        h2_stream_reset(x->stream, H2_CANCEL);
        x->stream = NULL;
        return;
    }
    if (x->in.unread && rng_one_in(&w->rng, 2)) {
        h2_stream_consumed(x->stream, x->in.unread);
        x->in.unread = 0;
    }
    if (rng_one_in(&w->rng, 50))
        h2_stream_widen(x->stream, 4u << 20);
    if (side == &w->server)
        server_act(side, x);
    else if (!x->out.ended)
        flow_on(side, x);
}

static bool all_quiet(const struct world *w)
{
    bool asked = w->requested == w->plan.requests || w->client.goaway_seen;
    return asked && h2_conn_streams(w->client.conn) == 0 && h2_conn_streams(w->server.conn) == 0 &&
           buf_len(&w->client.wire) == 0 && buf_len(&w->server.wire) == 0 &&
           !h2_conn_has_output(w->client.conn) && !h2_conn_has_output(w->server.conn);
}

static uint32_t some_window(struct rng *r)
{
    static const uint32_t sizes[] = {1, 100, 5000, 65535, 200000, 1u << 20};
    return sizes[rng_below(r, sizeof sizes / sizeof sizes[0])];
}

static void settings_draw(struct world *w, struct h2_settings *s, enum h2_role role)
{
    h2_settings_default(s, role);
    s->stream_window = some_window(&w->rng);
    if (w->plan.max_body > 20000 && s->stream_window < 5000)
        s->stream_window = 5000;
    s->conn_window = some_window(&w->rng);
    s->max_concurrent_streams = 1 + rng_below(&w->rng, 30);
    s->max_frame_octets = rng_one_in(&w->rng, 2) ? 16384 : 65536;
    s->decoder_table_octets = rng_one_in(&w->rng, 2) ? 4096 : rng_below(&w->rng, 8192);
    s->max_queued_octets = 16u << 20;
    /* Windows of one octet and refused streams are no abuse here. */
    s->budget.window = s->budget.resets = (struct h2_bucket){.burst = 1000000, .per_second = 1000};
}

static void check_exchanges(struct world *w)
{
    for (unsigned i = 0; i < w->client.count; i++) {
        struct exchange *x = &w->client.at[i];
        assert_null(x->stream);
        if (x->reset_by_us || !x->complete) {
            assert_true(w->plan.resets || w->plan.shutdown_at || x->reset_by_us ||
                        x->close_code == H2_REFUSED_STREAM);
            continue;
        }
        assert_true(x->in.ended);
        assert_int_equal(x->in.done, x->in.total);
        w->completed++;
        w->pushed += x->promised;
    }
    for (unsigned i = 0; i < w->server.count; i++) {
        struct exchange *x = &w->server.at[i];
        assert_null(x->stream);
        if (x->complete && x->in.ended)
            assert_int_equal(x->in.done, x->in.total);
    }
}

/* return  how many promised exchanges completed */
static unsigned run(uint64_t seed, struct plan plan)
{
    static struct world world;
    struct world *w = &world;
    struct h2_settings settings;
    *w = (struct world){.plan = plan, .now_us = 1};
    rng_seed(&w->rng, seed);
    pool_init(&w->pool);
    w->client.world = w->server.world = w;
    buf_init(&w->client.wire, &w->pool);
    buf_init(&w->server.wire, &w->pool);
    settings_draw(w, &settings, H2_SERVER);
    w->server.conn =
        h2_conn_new(H2_SERVER, &settings, &server_events, &w->server, &w->pool, w->now_us);
    settings_draw(w, &settings, H2_CLIENT);
    settings.enable_push = plan.push;
    w->client.conn =
        h2_conn_new(H2_CLIENT, &settings, &client_events, &w->client, &w->pool, w->now_us);
    assert_non_null(w->server.conn);
    assert_non_null(w->client.conn);
    for (uint64_t step = 0; !all_quiet(w); step++) {
        if (step > 20000000)
            fail_msg("seed %lu does not end: %zu and %zu streams", (unsigned long)seed,
                     h2_conn_streams(w->client.conn), h2_conn_streams(w->server.conn));
        w->now_us += rng_below(&w->rng, 100);
        switch (rng_below(&w->rng, 8)) {
        case 0:
            draw(w, &w->client);
            break;
        case 1:
            draw(w, &w->server);
            break;
        case 2:
            deliver(w, &w->client, &w->server);
            break;
        case 3:
            deliver(w, &w->server, &w->client);
            break;
        case 4:
            if (w->requested < plan.requests && !w->client.goaway_seen)
                client_open(w);
            break;
        case 5:
            act(w, &w->client);
            break;
        case 6:
        case 7:
            act(w, &w->server);
            break;
        }
        if (plan.shutdown_at && w->requested >= plan.shutdown_at)
            h2_conn_shutdown(w->server.conn);
    }
    check_exchanges(w);
    if (plan.shutdown_at) {
        assert_true(h2_conn_is_over(w->server.conn));
        assert_true(h2_conn_is_over(w->client.conn));
    }
    assert_int_equal(h2_conn_blame(w->client.conn), H2_BLAME_NONE);
    assert_int_equal(h2_conn_blame(w->server.conn), H2_BLAME_NONE);
    if (!plan.resets && !plan.shutdown_at)
        assert_true(w->completed > 0);
    h2_conn_free(w->client.conn);
    h2_conn_free(w->server.conn);
    buf_fini(&w->client.wire);
    buf_fini(&w->server.wire);
    assert_int_equal(w->pool.live, 0);
    pool_fini(&w->pool);
    return w->pushed;
}

static void test_plain(void **state)
{
    for (uint64_t seed = 1; seed <= 60; seed++)
        run(seed, (struct plan){.requests = 20, .max_body = 30000});
}

static void test_every_octet_alone(void **state)
{
    unsigned pushed = 0;
    for (uint64_t seed = 100; seed < 110; seed++)
        pushed +=
            run(seed, (struct plan){.requests = 6, .max_body = 500, .push = true, .fine = true});
    assert_true(pushed > 0);
}

static void test_large(void **state)
{
    unsigned pushed = 0;
    for (uint64_t seed = 200; seed < 206; seed++)
        pushed += run(seed, (struct plan){.requests = 10, .max_body = 400000, .push = true});
    assert_true(pushed > 0);
}

static void test_push(void **state)
{
    unsigned pushed = 0;
    for (uint64_t seed = 300; seed < 340; seed++)
        pushed += run(seed, (struct plan){.requests = 20, .max_body = 8000, .push = true});
    assert_true(pushed > 0);
}

static void test_resets(void **state)
{
    unsigned pushed = 0;
    for (uint64_t seed = 400; seed < 460; seed++)
        pushed +=
            run(seed, (struct plan){.requests = 30, .max_body = 20000, .push = true, .resets = 20});
    assert_true(pushed > 0);
}

static void test_shutdown(void **state)
{
    unsigned pushed = 0;
    for (uint64_t seed = 500; seed < 540; seed++)
        pushed += run(
            seed, (struct plan){.requests = 30, .max_body = 8000, .push = true, .shutdown_at = 10});
    assert_true(pushed > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),  cmocka_unit_test(test_every_octet_alone),
        cmocka_unit_test(test_large),  cmocka_unit_test(test_push),
        cmocka_unit_test(test_resets), cmocka_unit_test(test_shutdown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
