/* SPDX-License-Identifier: Apache-2.0 */
/* In which order the octets of a document and of what is pushed with it leave, as libnghttp2's
 * client receives them.  "D8192 a5000" is read: 8192 octets of the document, then 5000 of a.
 * a and b are critical and may be woven into the document, x and y are not. */
#include "h2_pair.h"
#include "base/panic.h"
#include "http/h2_frame.h"

#include <nghttp2/nghttp2.h>

#define FRAME    9u  /* octets of a frame's head */
#define HEAD     10u /* octets that HEADERS with :status 200 take */
#define OFFSET   8192u
#define WIDE     (1u << 20) /* a window that does not matter */
#define DOCUMENT 60000u
#define A_OCTETS 5000u
#define B_OCTETS 30000u
#define X_OCTETS 4000u

enum { D, A, B, X, Y, NAMES };
static const char names[] = "Dabxy";
static const uint32_t octets_of[NAMES] = {DOCUMENT, A_OCTETS, B_OCTETS, X_OCTETS, X_OCTETS};

struct world {
    struct pool pool;
    struct h2_conn *conn;
    nghttp2_session *judge;
    struct h2_stream *streams[NAMES];
    int32_t ids[NAMES];
    size_t queued[NAMES], received[NAMES];
    bool ended[NAMES];
    char order[512]; /* the runs that are over */
    int now;         /* whose the last run is, -1: none yet */
    size_t run;
};

static int name_of(const struct world *w, int32_t id)
{
    for (int i = 0; i < NAMES; i++)
        if (w->ids[i] == id)
            return i;
    fail_msg("stream %d?", id);
    return -1;
}

/* ---- the judge ---- */

static void run_ends(struct world *w)
{
    size_t at = strlen(w->order);
    if (w->now >= 0)
        snprintf(w->order + at, sizeof w->order - at, "%s%c%zu", at ? " " : "", names[w->now],
                 w->run);
    w->run = 0;
    w->now = -1;
}

static int judge_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *octets,
                      size_t len, void *user)
{
    struct world *w = user;
    int i = name_of(w, id);
    pattern_check((uint32_t)i, w->received[i], octets, len);
    w->received[i] += len;
    if (w->now != i)
        run_ends(w);
    w->now = i;
    w->run += len;
    return 0;
}

static int judge_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct world *w = user;
    if (frame->hd.type == NGHTTP2_DATA && frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        w->ended[name_of(w, frame->hd.stream_id)] = true;
    return 0;
}

static int judge_invalid(nghttp2_session *session, const nghttp2_frame *frame, int code, void *user)
{
    fail_msg("frame type %d on stream %d is invalid: %s", frame->hd.type, frame->hd.stream_id,
             nghttp2_strerror(code));
    return 0;
}

static nghttp2_session *judge_new(struct world *w, uint32_t window)
{
    nghttp2_session_callbacks *cb;
    nghttp2_session *session;
    nghttp2_option *option;
    nghttp2_settings_entry row = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window};
    nghttp2_option_new(&option);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_session_callbacks_new(&cb);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, judge_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, judge_invalid);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, judge_data);
    nghttp2_session_client_new2(&session, cb, w, option);
    nghttp2_session_callbacks_del(cb);
    nghttp2_option_del(option);
    nghttp2_submit_settings(session, 0, &row, 1);
    return session;
}

static nghttp2_nv nv(const char *name, const char *value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .namelen = strlen(name),
                        .value = (uint8_t *)(uintptr_t)value,
                        .valuelen = strlen(value)};
}

static void judge_to_us(struct world *w)
{
    const uint8_t *octets;
    for (ssize_t n; (n = nghttp2_session_mem_send(w->judge, &octets)) > 0;)
        assert_int_equal(h2_conn_feed(w->conn, octets, (size_t)n, 1), 0);
}

/* As a client that raises the window of a stream, or of the connection (-1). */
static void widen(struct world *w, int name, uint32_t octets)
{
    int32_t id = name < 0 ? 0 : w->ids[name];
    assert_int_equal(nghttp2_submit_window_update(w->judge, 0, id, (int32_t)octets), 0);
    judge_to_us(w);
}

/* nghttp2's client sends none to a server that goes by RFC 7540, too. */
static void tell_priority(struct world *w, int name, const char *value)
{
    uint8_t frame[H2_FRAME_HEAD_OCTETS + 4 + 16];
    size_t len = strlen(value);
    h2_frame_head_write(frame, (uint32_t)(4 + len), H2_FRAME_PRIORITY_UPDATE, 0, 0);
    h2_put_u32(frame + H2_FRAME_HEAD_OCTETS, (uint32_t)w->ids[name]);
    memcpy(frame + H2_FRAME_HEAD_OCTETS + 4, value, len);
    assert_int_equal(h2_conn_feed(w->conn, frame, H2_FRAME_HEAD_OCTETS + 4 + len, 1), 0);
}

/* ---- our server ---- */

static void on_head(void *user, struct h2_stream *s, const struct http_head *head, bool end)
{
    struct world *w = user;
    w->streams[D] = s;
    w->ids[D] = (int32_t)h2_stream_id(s);
    h2_stream_set_user(s, &w->streams[D]);
}

static void on_close(void *user, struct h2_stream *s, uint32_t code)
{
    *(struct h2_stream **)h2_stream_user(s) = NULL;
}

static const struct h2_events events = {.on_head = on_head, .on_close = on_close};

static struct http_head response_with(struct field *priority, const char *value)
{
    struct http_head head = {.status = 200, .content_length = -1};
    if (value) {
        *priority = (struct field){.name = SLICE("priority"),
                                   .value = slice_of(value, strlen(value)),
                                   .token = TOKEN_PRIORITY};
        head.fields = (struct fields){.at = priority, .count = 1, .cap = 1};
    }
    return head;
}

static void respond(struct world *w, int name, const char *priority)
{
    struct field field;
    struct http_head head = response_with(&field, priority);
    assert_int_equal(h2_stream_respond(w->streams[name], &head, false), 0);
}

static void queue(struct world *w, int name, size_t octets, bool end)
{
    static char content[DOCUMENT];
    pattern_fill((uint32_t)name, w->queued[name], content, octets);
    w->queued[name] += octets;
    assert_int_equal(h2_stream_body(w->streams[name], slice_of(content, octets), NULL, end), 0);
}

static void promise(struct world *w, int name)
{
    struct http_head head = {.method = SLICE("GET"),
                             .scheme = SLICE("https"),
                             .authority = SLICE("a.example"),
                             .path = SLICE("/"),
                             .content_length = -1};
    int err;
    struct h2_stream *s = h2_stream_promise(w->streams[D], &head, &w->streams[name], &err);
    assert_non_null(s);
    w->streams[name] = s;
    w->ids[name] = (int32_t)h2_stream_id(s);
}

static void weave(struct world *w, int name, uint32_t at)
{
    assert_true(h2_stream_weave(w->streams[name], w->streams[D], at));
}

static void queue_all(struct world *w, int name)
{
    respond(w, name, NULL);
    queue(w, name, octets_of[name], true);
}

/* ---- the world ---- */

/* One output of at most cap octets.  return  whether there was any */
static bool draw_once(struct world *w, size_t cap)
{
    static uint8_t out[1 << 17];
    assert_true(cap <= sizeof out);
    size_t n = h2_conn_output(w->conn, out, cap, 1);
    ssize_t took = nghttp2_session_mem_recv(w->judge, out, n);
    if (took != (ssize_t)n)
        fail_msg("nghttp2: %s", nghttp2_strerror((int)took));
    judge_to_us(w);
    return n > 0;
}

static void draw(struct world *w, size_t cap)
{
    while (draw_once(w, cap))
        ;
}

/* The document is asked for on stream `id`, and all that is pushed with it is promised. */
static void open_as(struct world *w, uint32_t window, int32_t id, const char *priority)
{
    struct h2_settings settings;
    *w = (struct world){.now = -1};
    pool_init(&w->pool);
    h2_settings_default(&settings, H2_SERVER);
    w->conn = h2_conn_new(H2_SERVER, &settings, &events, w, &w->pool, 1);
    w->judge = judge_new(w, window);
    nghttp2_nv rows[] = {nv(":method", "GET"), nv(":scheme", "https"),
                         nv(":authority", "a.example"), nv(":path", "/"), nv("priority", priority)};
    assert_int_equal(nghttp2_session_set_next_stream_id(w->judge, id), 0);
    assert_int_equal(nghttp2_submit_request(w->judge, NULL, rows, 5, NULL, NULL), id);
    judge_to_us(w);
    assert_non_null(w->streams[D]);
    for (int i = A; i < NAMES; i++)
        promise(w, i);
    draw(w, 16393);
}

static void open_world(struct world *w)
{
    open_as(w, WIDE, 1, "u=3");
    widen(w, -1, WIDE);
}

static void close_world(struct world *w)
{
    nghttp2_session_del(w->judge);
    h2_conn_free(w->conn);
    assert_int_equal(w->pool.live, 0);
    pool_fini(&w->pool);
}

/* Everything that was queued has come, in this order. */
static void expect(struct world *w, const char *order)
{
    run_ends(w);
    if (strcmp(w->order, order) != 0)
        fail_msg("%s, not %s", w->order, order);
    for (int i = 0; i < NAMES; i++)
        assert_true(w->queued[i] == w->received[i] && (w->ended[i] || w->queued[i] == 0));
    close_world(w);
}

/* ---- tests ---- */

static void test_order(void **state)
{
    static const struct {
        const char *priority;
        int32_t id;
    } documents[] = {{"u=3", 1}, {"u=0, i", 1}, {"u=7", 101}, {"u=7, i", 101}};
    static const size_t caps[] = {40, 700, 5000, 16393, 1 << 17};
    for (size_t d = 0; d < ARRAY_LEN(documents); d++)
        for (size_t c = 0; c < ARRAY_LEN(caps); c++) {
            struct world w;
            open_as(&w, WIDE, documents[d].id, documents[d].priority);
            widen(&w, -1, WIDE);
            weave(&w, B, OFFSET);
            weave(&w, A, OFFSET);
            for (int i = Y; i >= D; i--)
                queue_all(&w, i);
            draw(&w, caps[c]);
            expect(&w, "D8192 a5000 b30000 D51808 x4000 y4000");
        }
}

/* The order of the offsets, whatever that of the promises is; one that is 0 needs no octet of the
 * document, one beyond its end is never reached. */
static void test_offsets(void **state)
{
    struct world w;
    open_world(&w);
    weave(&w, A, 20000);
    weave(&w, B, OFFSET);
    weave(&w, X, 0);
    weave(&w, Y, DOCUMENT + 1);
    weave(&w, A, 20001); /* thought better of */
    for (int i = D; i < NAMES; i++)
        queue_all(&w, i);
    draw(&w, 16393);
    expect(&w, "x4000 D8192 b30000 D11809 a5000 D39999 y4000");
}

/* What the connection's window lets through a little at a time is the same. */
static void test_small_conn_window(void **state)
{
    struct world w;
    open_as(&w, WIDE, 1, "u=3");
    weave(&w, A, OFFSET);
    weave(&w, B, OFFSET);
    for (int i = D; i < NAMES; i++)
        queue_all(&w, i);
    for (draw(&w, 16393); h2_conn_queued(w.conn); draw(&w, 16393))
        widen(&w, -1, 777);
    expect(&w, "D8192 a5000 b30000 D51808 x4000 y4000");
}

/* Streams' windows: who has none does not hold up the others, and takes its turn with the next. */
static void test_small_stream_windows(void **state)
{
    struct world w;
    open_as(&w, 3000, 1, "u=3");
    widen(&w, -1, WIDE);
    weave(&w, A, OFFSET);
    for (int i = D; i < NAMES; i++)
        if (i != B)
            queue_all(&w, i);
    draw(&w, 16393); /* the document has no window: the others fill the time */
    widen(&w, D, 6000);
    widen(&w, A, 1000);
    draw(&w, 16393);
    widen(&w, A, WIDE);
    widen(&w, D, WIDE);
    widen(&w, X, WIDE);
    widen(&w, Y, WIDE);
    draw(&w, 16393);
    expect(&w, "D3000 a3000 x3000 y3000 D5192 a1000 D808 a1000 D51000 x1000 y1000");
}

static void test_blocked_woven(void **state)
{
    struct world w;
    open_as(&w, 10000, 1, "u=3");
    widen(&w, -1, WIDE);
    widen(&w, D, WIDE);
    weave(&w, B, OFFSET);
    queue_all(&w, D);
    queue_all(&w, B);
    draw_once(&w, 2 * HEAD + FRAME + 8192 + FRAME + 10000 + FRAME + 5000);
    widen(&w, B, 12000);
    draw_once(&w, FRAME + 12000 + FRAME + 2000);
    widen(&w, B, WIDE);
    draw(&w, 16393);
    expect(&w, "D8192 b10000 D5000 b12000 D2000 b8000 D44808");
}

/* A worker that is late with what is critical does not delay the document; a piece that comes goes
 * first. */
static void test_late_worker(void **state)
{
    struct world w;
    open_world(&w);
    weave(&w, A, OFFSET);
    weave(&w, B, OFFSET);
    queue_all(&w, D);
    draw_once(&w, HEAD + FRAME + 8192 + FRAME + 10000);
    respond(&w, B, NULL);
    queue(&w, B, 2000, false);
    draw_once(&w, HEAD + FRAME + 2000 + FRAME + 2998);
    queue_all(&w, A);
    queue(&w, B, 1000, true);
    queue_all(&w, X);
    draw(&w, 16393);
    expect(&w, "D18192 b2000 D2998 a5000 b1000 D38810 x4000");
}

/* A document that is late itself leaves the time to what is woven into it. */
static void test_late_document(void **state)
{
    struct world w;
    open_world(&w);
    weave(&w, A, OFFSET);
    weave(&w, B, OFFSET);
    queue_all(&w, A);
    draw(&w, 16393);
    respond(&w, D, NULL);
    queue(&w, D, 3000, false);
    queue_all(&w, X);
    draw(&w, 16393);
    queue_all(&w, B);
    queue(&w, D, DOCUMENT - 3000, true);
    draw(&w, 16393);
    expect(&w, "a5000 D3000 x4000 D5192 b30000 D51808");
}

/* The client's wish counts, before and after. */
static void test_priority_update(void **state)
{
    struct world w;
    open_world(&w);
    tell_priority(&w, A, "u=1");
    assert_false(h2_stream_weave(w.streams[A], w.streams[D], OFFSET));
    weave(&w, B, OFFSET);
    for (int i = D; i < NAMES; i++)
        queue_all(&w, i);
    draw_once(&w, 5 * HEAD + FRAME + 5000 + FRAME + 8192 + FRAME + 7000);
    tell_priority(&w, B, "u=6");
    tell_priority(&w, Y, "u=4"); /* now it is as good as asked for, and goes before x */
    draw(&w, 16393);
    expect(&w, "a5000 D8192 b7000 D51808 y4000 x4000 b23000");
}

static void test_set_priority(void **state)
{
    struct world w;
    open_world(&w);
    weave(&w, A, OFFSET);
    weave(&w, B, OFFSET);
    for (int i = D; i < NAMES; i++)
        queue_all(&w, i);
    h2_stream_set_priority(w.streams[A], (struct priority){.urgency = 7});
    h2_stream_set_priority(w.streams[D], (struct priority){.urgency = 5}); /* b goes with it */
    draw(&w, 16393);
    expect(&w, "x4000 y4000 D8192 b30000 D51808 a5000");
}

/* RFC 9218 8: the origin overrules what it promised, not the client; and not where it is woven. */
static void test_response_priority(void **state)
{
    struct world w;
    open_world(&w);
    weave(&w, A, OFFSET);
    tell_priority(&w, X, "u=6");
    queue_all(&w, D);
    respond(&w, A, "u=0");
    respond(&w, B, "u=2");
    respond(&w, X, "u=0");
    respond(&w, Y, "u=5, i");
    for (int i = A; i < NAMES; i++)
        queue(&w, i, octets_of[i], true);
    assert_int_equal(h2_stream_priority(w.streams[Y]).urgency, 5);
    assert_true(h2_stream_priority(w.streams[Y]).incremental);
    draw(&w, 16393);
    expect(&w, "b30000 D8192 a5000 D51808 y4000 x4000");
}

/* When the document is over early, by the client's will or its own, the rest goes by itself. */
static void test_document_ends(void **state)
{
    for (int how = 0; how < 3; how++) {
        struct world w;
        open_world(&w);
        weave(&w, B, OFFSET);
        weave(&w, A, OFFSET);
        respond(&w, D, NULL);
        queue(&w, D, 3000, how == 0);
        for (int i = A; i < NAMES; i++)
            queue_all(&w, i);
        if (how == 1) {
            nghttp2_submit_rst_stream(w.judge, 0, w.ids[D], NGHTTP2_CANCEL);
            judge_to_us(&w);
            assert_null(w.streams[D]);
        } else if (how == 2) {
            h2_stream_reset(w.streams[D], H2_INTERNAL_ERROR);
        }
        if (how) {
            w.queued[D] = 0;
            draw(&w, 16393);
            expect(&w, "a5000 b30000 x4000 y4000");
        } else {
            draw(&w, 16393);
            expect(&w, "D3000 a5000 b30000 x4000 y4000");
        }
    }
}

static void test_woven_ends(void **state)
{
    struct world w;
    open_world(&w);
    weave(&w, A, OFFSET);
    weave(&w, B, OFFSET);
    for (int i = D; i < NAMES; i++)
        queue_all(&w, i);
    nghttp2_submit_rst_stream(w.judge, 0, w.ids[A], NGHTTP2_CANCEL);
    judge_to_us(&w);
    h2_stream_reset(w.streams[B], H2_CANCEL);
    w.queued[A] = w.queued[B] = 0;
    draw(&w, 16393);
    expect(&w, "D60000 x4000 y4000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_offsets),
        cmocka_unit_test(test_small_conn_window),
        cmocka_unit_test(test_small_stream_windows),
        cmocka_unit_test(test_blocked_woven),
        cmocka_unit_test(test_late_worker),
        cmocka_unit_test(test_late_document),
        cmocka_unit_test(test_priority_update),
        cmocka_unit_test(test_set_priority),
        cmocka_unit_test(test_response_priority),
        cmocka_unit_test(test_document_ends),
        cmocka_unit_test(test_woven_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
