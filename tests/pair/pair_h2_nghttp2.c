/* SPDX-License-Identifier: Apache-2.0 */
/* Each role of our engine against libnghttp2's session in the other role: an independent judge of
 * what we write (it complains through its callbacks) and a different writer of what we read.
 *
 * The request's path says what the exchange is to be, so both ends know what to expect. */
#include "h2_pair.h"

#include <nghttp2/nghttp2.h>

#define EXCHANGES_MAX 128

struct exchange {
    int32_t id;
    struct h2_stream *stream; /* ours; NULL: over, or not known to our side */
    uint32_t up, down, key;
    size_t sent, received; /* by nghttp2's side */
    size_t unread;         /* by nghttp2's side */
    size_t ours_sent, ours_received;
    unsigned pushes, hints;
    bool up_trailers, down_trailers, promised;
    bool responded, ended_ours, request_in, response_in, closed;
    bool reset, trailers_in;
    uint32_t close_code;
    struct world *world;
};

struct world {
    struct rng rng;
    struct pool pool;
    enum h2_role role; /* ours */
    struct h2_conn *conn;
    nghttp2_session *judge;
    struct buf to_judge, to_us;
    struct exchange at[EXCHANGES_MAX];
    unsigned count, planned, requested, complete, resets;
    unsigned pushed; /* promised ones that completed */
    uint32_t max_body;
    uint64_t now_us;
    bool priorities, shutdown;
};

static struct exchange *by_id(struct world *w, int32_t id)
{
    for (unsigned i = 0; i < w->count; i++)
        if (w->at[i].id == id)
            return &w->at[i];
    return NULL;
}

static struct exchange *exchange_new(struct world *w, int32_t id)
{
    assert_true(w->count < EXCHANGES_MAX);
    struct exchange *x = &w->at[w->count++];
    *x = (struct exchange){.id = id, .world = w};
    return x;
}

static void read_plan(struct exchange *x, struct slice path)
{
    x->key = query_number(path, "key");
    x->up = query_number(path, "up");
    x->down = query_number(path, "down");
    x->up_trailers = query_number(path, "uptrail");
    x->down_trailers = query_number(path, "trail");
    x->pushes = query_number(path, "push");
    x->hints = query_number(path, "hints");
}

static size_t draw_plan(struct world *w, char *path, size_t cap)
{
    bool post = rng_one_in(&w->rng, 2);
    return (size_t)snprintf(path, cap,
                            "/x?key=%u&up=%u&uptrail=%d&down=%u&trail=%d&push=%u&hints=%u",
                            w->requested * 1000 + 1, post ? rng_below(&w->rng, w->max_body) : 0,
                            post && rng_one_in(&w->rng, 4),
                            rng_one_in(&w->rng, 5) ? 0 : rng_below(&w->rng, w->max_body),
                            rng_one_in(&w->rng, 4), rng_below(&w->rng, 3), rng_below(&w->rng, 2));
}

/* Our side: what both roles do alike. */

static void on_body(void *user, struct h2_stream *s, struct slice octets, bool end)
{
    struct world *w = user;
    struct exchange *x = h2_stream_user(s);
    uint32_t key = w->role == H2_SERVER ? x->key : x->key + 1;
    pattern_check(key, x->ours_received, octets.p, octets.len);
    x->ours_received += octets.len;
    h2_stream_consumed(s, octets.len);
    if (end && w->role == H2_SERVER)
        x->request_in = true;
    if (end && w->role == H2_CLIENT)
        x->response_in = true;
}

static void on_trailers(void *user, struct h2_stream *s, const struct fields *trailers)
{
    struct world *w = user;
    struct exchange *x = h2_stream_user(s);
    assert_int_equal(trailers->count, 1);
    assert_true(slice_eq(trailers->at[0].value, SLICE("abc")));
    x->trailers_in = true;
    if (w->role == H2_SERVER)
        x->request_in = true;
    else
        x->response_in = true;
}

static void on_close(void *user, struct h2_stream *s, uint32_t code)
{
    struct world *w = user;
    struct exchange *x = h2_stream_user(s);
    if (!x)
        return;
    x->stream = NULL;
    if (w->role == H2_CLIENT) {
        x->closed = true;
        x->close_code = code;
    }
}

static void send_piece(struct exchange *x, uint32_t key, uint32_t total, bool trailers)
{
    char octets[10000];
    size_t left = total - x->ours_sent, n = left < sizeof octets ? left : sizeof octets;
    if (h2_stream_queued(x->stream) > 50000)
        return;
    pattern_fill(key, x->ours_sent, octets, n);
    x->ours_sent += n;
    bool last = x->ours_sent == total;
    x->ended_ours = last;
    assert_int_equal(h2_stream_body(x->stream, slice_of(octets, n), NULL, last && !trailers), 0);
    if (!last || !trailers)
        return;
    struct field field = {.name = SLICE("x-sum"), .value = SLICE("abc")};
    struct fields fields = {.at = &field, .count = 1, .cap = 1};
    assert_int_equal(h2_stream_trailers(x->stream, &fields), 0);
}

/* Our server. */

static void server_on_head(void *user, struct h2_stream *s, const struct http_head *head, bool end)
{
    struct world *w = user;
    struct exchange *x = by_id(w, (int32_t)h2_stream_id(s));
    assert_non_null(x);
    x->stream = s;
    h2_stream_set_user(s, x);
    read_plan(x, head->path);
    x->request_in = end;
    assert_true(slice_eq(fields_value(&head->fields, TOKEN_COOKIE), SLICE("a=b; c=d")));
}

static void server_push(struct world *w, struct exchange *x)
{
    char path[64];
    uint32_t down = rng_below(&w->rng, w->max_body), key = x->key + 10 * x->pushes;
    int err, n = snprintf(path, sizeof path, "/pushed?key=%u&down=%u", key, down);
    struct http_head head = {.method = SLICE("GET"),
                             .scheme = SLICE("https"),
                             .authority = SLICE("a.example"),
                             .path = slice_of(path, (size_t)n)};
    struct h2_stream *s = h2_stream_promise(x->stream, &head, NULL, &err);
    if (!s) {
        assert_true(err == ERR_USAGE || err == ERR_LIMIT);
        return;
    }
    struct exchange *p = exchange_new(w, (int32_t)h2_stream_id(s));
    read_plan(p, head.path);
    p->stream = s;
    p->promised = p->request_in = true;
    h2_stream_set_user(s, p);
}

static void server_act(struct world *w, struct exchange *x)
{
    if (!x->stream)
        return;
    if (x->hints) {
        struct field link = {
            .name = SLICE("link"), .value = SLICE("</a.css>; rel=preload"), .token = TOKEN_LINK};
        struct http_head head = {.status = 103, .fields = {.at = &link, .count = 1, .cap = 1}};
        x->hints--;
        assert_int_equal(h2_stream_respond(x->stream, &head, false), 0);
    } else if (x->pushes) {
        server_push(w, x);
        x->pushes--;
    } else if (!x->responded) {
        struct http_head head = {.status = 200};
        x->responded = true;
        assert_int_equal(h2_stream_respond(x->stream, &head, false), 0);
    } else if (!x->ended_ours && (x->request_in || rng_one_in(&w->rng, 50))) {
        send_piece(x, x->key + 1, x->down, x->down_trailers);
    }
}

/* The judge: what both roles do alike. */

static nghttp2_nv nv(const char *name, const char *value, size_t len)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .namelen = strlen(name),
                        .value = (uint8_t *)(uintptr_t)value,
                        .valuelen = len};
}

static nghttp2_nv nv_str(const char *name, const char *value)
{
    return nv(name, value, strlen(value));
}

static ssize_t judge_read(nghttp2_session *session, int32_t id, uint8_t *out, size_t cap,
                          uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct world *w = user;
    struct exchange *x = source->ptr;
    bool up = w->role == H2_SERVER, trailers = up ? x->up_trailers : x->down_trailers;
    size_t total = up ? x->up : x->down, left = total - x->sent;
    size_t n = left < cap ? left : cap;
    if (n > 1 && rng_one_in(&w->rng, 3))
        n = 1 + rng_below(&w->rng, (uint32_t)n);
    pattern_fill(up ? x->key : x->key + 1, x->sent, (char *)out, n);
    x->sent += n;
    if (x->sent == total) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (trailers) {
            nghttp2_nv row = nv_str("x-sum", "abc");
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            assert_int_equal(nghttp2_submit_trailer(session, id, &row, 1), 0);
        }
    }
    return (ssize_t)n;
}

static int judge_invalid(nghttp2_session *session, const nghttp2_frame *frame, int code, void *user)
{
    /* A new SETTINGS_MAX_CONCURRENT_STREAMS that had not reached us. */
    if (code == NGHTTP2_ERR_REFUSED_STREAM)
        return 0;
    fail_msg("frame type %d on stream %d is invalid: %s", frame->hd.type, frame->hd.stream_id,
             nghttp2_strerror(code));
    return 0;
}

static int judge_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *octets,
                      size_t len, void *user)
{
    struct world *w = user;
    struct exchange *x = by_id(w, id);
    assert_non_null(x);
    pattern_check(w->role == H2_SERVER ? x->key + 1 : x->key, x->received, octets, len);
    x->received += len;
    x->unread += len;
    return 0;
}

static void judge_consume(struct world *w, struct exchange *x)
{
    if (x->unread)
        assert_int_equal(nghttp2_session_consume(w->judge, x->id, x->unread), 0);
    x->unread = 0;
}

static int judge_closed(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct world *w = user;
    struct exchange *x = by_id(w, id);
    if (x && w->role == H2_SERVER) {
        x->closed = true;
        x->close_code = code;
    }
    return 0;
}

static int judge_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                        size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                        void *user)
{
    struct world *w = user;
    struct slice n = slice_of(name, name_len), v = slice_of(value, value_len);
    if (!slice_eq(n, SLICE(":path")))
        return 0;
    bool promise = frame->hd.type == NGHTTP2_PUSH_PROMISE;
    int32_t id = promise ? frame->push_promise.promised_stream_id : frame->hd.stream_id;
    struct exchange *x = by_id(w, id);
    if (!x)
        x = exchange_new(w, id);
    read_plan(x, v);
    return 0;
}

/* The judge as server. */

static void judge_respond(struct world *w, struct exchange *x)
{
    nghttp2_nv ok = nv_str(":status", "200"), hint = nv_str(":status", "103");
    nghttp2_data_provider body = {.source.ptr = x, .read_callback = judge_read};
    for (; x->hints; x->hints--)
        assert_int_equal(nghttp2_submit_headers(w->judge, 0, x->id, NULL, &hint, 1, NULL), 0);
    for (; x->pushes; x->pushes--) {
        char path[64];
        int n = snprintf(path, sizeof path, "/pushed?key=%u&down=%u", x->key + 10 * x->pushes,
                         rng_below(&w->rng, w->max_body));
        nghttp2_nv rows[] = {nv_str(":method", "GET"), nv_str(":scheme", "https"),
                             nv_str(":authority", "a.example"), nv(":path", path, (size_t)n)};
        int32_t id = nghttp2_submit_push_promise(w->judge, 0, x->id, rows, 4, NULL);
        if (id < 0) {
            assert_int_equal(id, NGHTTP2_ERR_PUSH_DISABLED);
            continue;
        }
        struct exchange *p = exchange_new(w, id);
        read_plan(p, slice_of(path, (size_t)n));
        p->promised = p->request_in = true;
        nghttp2_data_provider pushed = {.source.ptr = p, .read_callback = judge_read};
        assert_int_equal(nghttp2_submit_response(w->judge, id, &ok, 1, &pushed), 0);
    }
    assert_int_equal(nghttp2_submit_response(w->judge, x->id, &ok, 1, &body), 0);
}

static int judge_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct world *w = user;
    struct exchange *x = by_id(w, frame->hd.stream_id);
    bool message = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    if (!message || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    assert_non_null(x);
    if (w->role == H2_SERVER) {
        x->response_in = true;
    } else {
        x->request_in = true;
        judge_respond(w, x);
    }
    return 0;
}

/* The judge as client. */

static void judge_request(struct world *w)
{
    char path[200];
    size_t n = draw_plan(w, path, sizeof path);
    struct exchange *x = exchange_new(w, 0);
    read_plan(x, slice_of(path, n));
    nghttp2_nv rows[] = {nv_str(":method", x->up || x->up_trailers ? "POST" : "GET"),
                         nv_str(":scheme", "https"),
                         nv_str(":authority", "a.example"),
                         nv(":path", path, n),
                         nv_str("cookie", "a=b"),
                         nv_str("cookie", "c=d"),
                         nv_str("priority", rng_one_in(&w->rng, 2) ? "u=1, i" : "u=5")};
    nghttp2_data_provider body = {.source.ptr = x, .read_callback = judge_read};
    bool content = x->up || x->up_trailers;
    x->id = nghttp2_submit_request(w->judge, NULL, rows, 7, content ? &body : NULL, NULL);
    assert_true(x->id > 0);
    w->requested++;
}

/* Our client. */

static void client_on_head(void *user, struct h2_stream *s, const struct http_head *head, bool end)
{
    struct exchange *x = h2_stream_user(s);
    assert_true(head->status == 200 || head->status == 103);
    if (end)
        x->response_in = true;
}

static void client_on_promise(void *user, struct h2_stream *parent, struct h2_stream *promised,
                              const struct http_head *head)
{
    struct world *w = user;
    struct exchange *x = by_id(w, (int32_t)h2_stream_id(promised));
    assert_non_null(x);
    h2_stream_set_user(promised, x);
    if (rng_one_in(&w->rng, 6)) {
        x->reset = true;
        h2_stream_reset(promised, H2_CANCEL);
        return;
    }
    x->stream = promised;
}

static void our_request(struct world *w)
{
    char path[200];
    if (h2_conn_can_open(w->conn) == 0)
        return;
    size_t n = draw_plan(w, path, sizeof path);
    struct exchange plan = {.world = w};
    read_plan(&plan, slice_of(path, n));
    bool content = plan.up || plan.up_trailers;
    struct field field = {.name = SLICE("cookie"), .value = SLICE("a=b"), .token = TOKEN_COOKIE};
    struct http_head head = {.method = content ? SLICE("POST") : SLICE("GET"),
                             .scheme = SLICE("https"),
                             .authority = SLICE("a.example"),
                             .path = slice_of(path, n),
                             .fields = {.at = &field, .count = 1, .cap = 1}};
    int err;
    struct exchange *x = exchange_new(w, 0);
    *x = plan;
    x->stream = h2_conn_request(w->conn, &head, !content, x, &err);
    assert_non_null(x->stream);
    x->id = (int32_t)h2_stream_id(x->stream);
    x->ended_ours = !content;
    w->requested++;
}

static void client_act(struct world *w, struct exchange *x)
{
    if (x->stream && !x->ended_ours && !x->promised)
        send_piece(x, x->key, x->up, x->up_trailers);
}

/* SETTINGS in flight, PING, priorities: what may come at any time. */
static void disturb(struct world *w)
{
    static const uint32_t windows[] = {0, 1, 1000, 65535, 300000};
    nghttp2_settings_entry rows[] = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, windows[rng_below(&w->rng, 5)]},
        {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, rng_one_in(&w->rng, 2) ? 16384 : 50000},
        {NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, rng_below(&w->rng, 5000)},
        /* It counts a stream that it is about to reset even when END_STREAM came on it. */
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, w->resets ? 100 : 1 + rng_below(&w->rng, 20)},
        {NGHTTP2_SETTINGS_ENABLE_PUSH, rng_below(&w->rng, 2)},
    };
    size_t count = w->role == H2_SERVER ? 5 : 4;
    switch (rng_below(&w->rng, 4)) {
    case 0:
        nghttp2_submit_settings(w->judge, 0, rows, count);
        break;
    case 1:
        nghttp2_submit_ping(w->judge, 0, NULL);
        break;
    case 2:
        if (w->role == H2_SERVER && w->count) {
            struct exchange *x = &w->at[rng_below(&w->rng, w->count)];
            const char *value = rng_one_in(&w->rng, 2) ? "u=0" : "u=7, i";
            if (x->id > 0 && !x->promised)
                nghttp2_submit_priority_update(w->judge, 0, x->id, (const uint8_t *)value,
                                               strlen(value));
        }
        break;
    case 3:
        if (w->resets && w->count) {
            struct exchange *x = &w->at[rng_below(&w->rng, w->count)];
            bool known = nghttp2_session_get_stream_local_close(w->judge, x->id) >= 0;
            /* One that waits inside nghttp2 would be reset while it is idle to us. */
            if (x->id > 0 && known && (x->stream || (x->id & 1))) {
                x->reset = true;
                nghttp2_submit_rst_stream(w->judge, 0, x->id, NGHTTP2_CANCEL);
            }
        }
        break;
    }
}

static void to_judge(struct world *w)
{
    size_t there = buf_len(&w->to_judge);
    if (!there)
        return;
    size_t n = 1 + rng_below(&w->rng, (uint32_t)there);
    ssize_t took = nghttp2_session_mem_recv(w->judge, (uint8_t *)buf_at(&w->to_judge), n);
    if (took != (ssize_t)n)
        fail_msg("nghttp2: %s", nghttp2_strerror((int)took));
    buf_consume(&w->to_judge, n);
}

static void to_us(struct world *w)
{
    size_t there = buf_len(&w->to_us);
    if (!there)
        return;
    size_t n = 1 + rng_below(&w->rng, (uint32_t)there);
    int err = h2_conn_feed(w->conn, buf_at(&w->to_us), n, w->now_us);
    if (err < 0)
        fail_msg("feed: %s, %s", err_text(err), h2_blame_row(h2_conn_blame(w->conn))->name);
    buf_consume(&w->to_us, n);
}

static void from_judge(struct world *w)
{
    const uint8_t *octets;
    ssize_t n = nghttp2_session_mem_send(w->judge, &octets);
    assert_true(n >= 0);
    assert_int_equal(buf_add(&w->to_us, octets, (size_t)n), 0);
}

static void from_us(struct world *w)
{
    char octets[30000];
    size_t cap = 1 + rng_below(&w->rng, rng_one_in(&w->rng, 4) ? 60 : sizeof octets);
    size_t n = h2_conn_output(w->conn, octets, cap, w->now_us);
    assert_int_equal(buf_add(&w->to_judge, octets, n), 0);
}

static bool quiet(struct world *w)
{
    return w->requested == w->planned && h2_conn_streams(w->conn) == 0 && !buf_len(&w->to_judge) &&
           !buf_len(&w->to_us) && !h2_conn_has_output(w->conn) &&
           !nghttp2_session_want_write(w->judge);
}

static nghttp2_session *judge_new(struct world *w)
{
    nghttp2_session_callbacks *cb;
    nghttp2_session *session;
    nghttp2_option *option;
    nghttp2_option_new(&option);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_session_callbacks_new(&cb);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, judge_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, judge_invalid);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, judge_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, judge_closed);
    nghttp2_session_callbacks_set_on_header_callback(cb, judge_header);
    if (w->role == H2_SERVER)
        nghttp2_session_client_new2(&session, cb, w, option);
    else
        nghttp2_session_server_new2(&session, cb, w, option);
    nghttp2_session_callbacks_del(cb);
    nghttp2_option_del(option);
    nghttp2_submit_settings(session, 0, NULL, 0);
    return session;
}

static const struct h2_events server_events = {
    .on_head = server_on_head,
    .on_body = on_body,
    .on_trailers = on_trailers,
    .on_close = on_close,
};

static const struct h2_events client_events = {
    .on_head = client_on_head,
    .on_body = on_body,
    .on_trailers = on_trailers,
    .on_promise = client_on_promise,
    .on_close = on_close,
};

static void check(struct world *w)
{
    for (unsigned i = 0; i < w->count; i++) {
        struct exchange *x = &w->at[i];
        assert_null(x->stream);
        if (x->reset || x->close_code || !x->closed) {
            if (!w->resets && !x->promised && x->close_code != H2_REFUSED_STREAM)
                fail_msg("stream %d: code %u, closed %d", x->id, x->close_code, x->closed);
            continue;
        }
        assert_true(x->response_in);
        assert_int_equal(w->role == H2_SERVER ? x->received : x->ours_received, x->down);
        if (w->role == H2_CLIENT)
            assert_int_equal(x->received, x->up);
        w->complete++;
        w->pushed += x->promised;
    }
    assert_true(w->complete > 0);
}

/* return  how many promised exchanges completed */
static unsigned run(uint64_t seed, enum h2_role role, unsigned requests, uint32_t max_body,
                    bool resets)
{
    static struct world world;
    struct world *w = &world;
    struct h2_settings settings;
    *w = (struct world){
        .role = role, .planned = requests, .max_body = max_body, .now_us = 1, .resets = resets};
    rng_seed(&w->rng, seed);
    pool_init(&w->pool);
    buf_init(&w->to_judge, &w->pool);
    buf_init(&w->to_us, &w->pool);
    h2_settings_default(&settings, role);
    settings.stream_window = rng_one_in(&w->rng, 2) ? 100000 : 700;
    settings.max_concurrent_streams = 1 + rng_below(&w->rng, 40);
    settings.decoder_table_octets = rng_one_in(&w->rng, 2) ? 4096 : rng_below(&w->rng, 10000);
    settings.budget.window = settings.budget.settings = settings.budget.resets =
        settings.budget.pings = (struct h2_bucket){.burst = 1000000};
    w->conn = h2_conn_new(role, &settings, role == H2_SERVER ? &server_events : &client_events, w,
                          &w->pool, w->now_us);
    w->judge = judge_new(w);
    uint64_t step = 0;
    for (; !quiet(w); step++) {
        if (step > 3000000)
            fail_msg("seed %lu does not end: %zu streams", (unsigned long)seed,
                     h2_conn_streams(w->conn));
        w->now_us += 10;
        uint32_t dice = rng_below(&w->rng, 40);
        struct exchange *x = w->count ? &w->at[rng_below(&w->rng, w->count)] : NULL;
        if (x)
            judge_consume(w, x);
        if (dice < 8)
            from_us(w);
        else if (dice < 16)
            from_judge(w);
        else if (dice < 22)
            to_us(w);
        else if (dice < 28)
            to_judge(w);
        else if (dice < 30 && w->requested < w->planned)
            role == H2_SERVER ? judge_request(w) : our_request(w);
        else if (dice == 30 && step < 2000)
            disturb(w);
        else if (x && role == H2_SERVER)
            server_act(w, x);
        else if (x)
            client_act(w, x);
        if (step == 2001) { /* nothing starves for ever on a window of nothing */
            nghttp2_settings_entry rows[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 65535},
                                             {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 100}};
            nghttp2_submit_settings(w->judge, 0, rows, 2);
        }
    }
    check(w);
    assert_int_equal(h2_conn_blame(w->conn), H2_BLAME_NONE);
    nghttp2_session_del(w->judge);
    h2_conn_free(w->conn);
    buf_fini(&w->to_judge);
    buf_fini(&w->to_us);
    assert_int_equal(w->pool.live, 0);
    pool_fini(&w->pool);
    return w->pushed;
}

static void test_our_server(void **state)
{
    unsigned pushed = 0;
    for (uint64_t seed = 1; seed <= 150; seed++)
        pushed += run(seed, H2_SERVER, 20, 20000, false);
    assert_true(pushed > 0);
}

static void test_our_server_resets(void **state)
{
    unsigned pushed = 0;
    for (uint64_t seed = 1000; seed < 1150; seed++)
        pushed += run(seed, H2_SERVER, 30, 5000, true);
    assert_true(pushed > 0);
}

static void test_our_client(void **state)
{
    unsigned pushed = 0;
    for (uint64_t seed = 2000; seed < 2150; seed++)
        pushed += run(seed, H2_CLIENT, 20, 20000, false);
    assert_true(pushed > 0);
}

static void test_our_client_resets(void **state)
{
    unsigned pushed = 0;
    for (uint64_t seed = 3000; seed < 3150; seed++)
        pushed += run(seed, H2_CLIENT, 30, 5000, true);
    assert_true(pushed > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_our_server),
        cmocka_unit_test(test_our_server_resets),
        cmocka_unit_test(test_our_client),
        cmocka_unit_test(test_our_client_resets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
