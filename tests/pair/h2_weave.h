/* SPDX-License-Identifier: Apache-2.0 */
/* A document and what is pushed with it, from our server to libnghttp2's client: in which order do
 * their octets leave?  "D8192 a5000" is read: 8192 octets of the document, then 5000 of a. */
#ifndef PAIR_H2_WEAVE_H
#define PAIR_H2_WEAVE_H

#include "h2_pair.h"
#include "base/panic.h"
#include "http/h2_internal.h"

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
    size_t sent[NAMES];                                      /* told by on_sent */
    void (*watch)(struct world *w, int name, size_t before); /* of each frame, or NULL */
};

static inline int name_of(const struct world *w, int32_t id)
{
    for (int i = 0; i < NAMES; i++)
        if (w->ids[i] == id)
            return i;
    fail_msg("stream %d?", id);
    return -1;
}

/* ---- the judge ---- */

static inline void run_ends(struct world *w)
{
    size_t at = strlen(w->order);
    if (w->now >= 0)
        snprintf(w->order + at, sizeof w->order - at, "%s%c%zu", at ? " " : "", names[w->now],
                 w->run);
    w->run = 0;
    w->now = -1;
}

static inline int judge_data(nghttp2_session *session, uint8_t flags, int32_t id,
                             const uint8_t *octets, size_t len, void *user)
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

static inline int judge_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct world *w = user;
    if (frame->hd.type == NGHTTP2_DATA && frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        w->ended[name_of(w, frame->hd.stream_id)] = true;
    return 0;
}

static inline int judge_invalid(nghttp2_session *session, const nghttp2_frame *frame, int code,
                                void *user)
{
    fail_msg("frame type %d on stream %d is invalid: %s", frame->hd.type, frame->hd.stream_id,
             nghttp2_strerror(code));
    return 0;
}

static inline nghttp2_session *judge_new(struct world *w, uint32_t window)
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

static inline nghttp2_nv nv(const char *name, const char *value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .namelen = strlen(name),
                        .value = (uint8_t *)(uintptr_t)value,
                        .valuelen = strlen(value)};
}

static inline void judge_to_us(struct world *w)
{
    const uint8_t *octets;
    for (ssize_t n; (n = nghttp2_session_mem_send(w->judge, &octets)) > 0;)
        assert_int_equal(h2_conn_feed(w->conn, octets, (size_t)n, 1), 0);
}

/* As a client that raises the window of a stream, or of the connection (-1). */
static inline void widen(struct world *w, int name, uint32_t octets)
{
    int32_t id = name < 0 ? 0 : w->ids[name];
    assert_int_equal(nghttp2_submit_window_update(w->judge, 0, id, (int32_t)octets), 0);
    judge_to_us(w);
}

/* nghttp2's client sends none to a server that goes by RFC 7540, too. */
static inline void tell_priority(struct world *w, int name, const char *value)
{
    uint8_t frame[H2_FRAME_HEAD_OCTETS + 4 + 16];
    size_t len = strlen(value);
    h2_frame_head_write(frame, (uint32_t)(4 + len), H2_FRAME_PRIORITY_UPDATE, 0, 0);
    h2_put_u32(frame + H2_FRAME_HEAD_OCTETS, (uint32_t)w->ids[name]);
    memcpy(frame + H2_FRAME_HEAD_OCTETS + 4, value, len);
    assert_int_equal(h2_conn_feed(w->conn, frame, H2_FRAME_HEAD_OCTETS + 4 + len, 1), 0);
}

/* ---- our server ---- */

static inline void on_head(void *user, struct h2_stream *s, const struct http_head *head, bool end)
{
    struct world *w = user;
    w->streams[D] = s;
    w->ids[D] = (int32_t)h2_stream_id(s);
    h2_stream_set_user(s, &w->streams[D]);
}

static inline void on_sent(void *user, struct h2_stream *s, size_t octets)
{
    struct world *w = user;
    int i = (int)((struct h2_stream **)h2_stream_user(s) - w->streams);
    size_t before = w->sent[i];
    w->sent[i] += octets;
    if (w->watch)
        w->watch(w, i, before);
}

static inline void on_close(void *user, struct h2_stream *s, uint32_t code)
{
    *(struct h2_stream **)h2_stream_user(s) = NULL;
}

static const struct h2_events events = {
    .on_head = on_head, .on_sent = on_sent, .on_close = on_close};

static inline struct http_head response_with(struct field *priority, const char *value)
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

static inline void respond(struct world *w, int name, const char *priority)
{
    struct field field;
    struct http_head head = response_with(&field, priority);
    assert_int_equal(h2_stream_respond(w->streams[name], &head, false), 0);
}

static inline void queue(struct world *w, int name, size_t octets, bool end)
{
    static char content[DOCUMENT];
    pattern_fill((uint32_t)name, w->queued[name], content, octets);
    w->queued[name] += octets;
    assert_int_equal(h2_stream_body(w->streams[name], slice_of(content, octets), NULL, end), 0);
}

static inline void promise(struct world *w, int name)
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

static inline void weave(struct world *w, int name, uint32_t at)
{
    assert_true(h2_stream_weave(w->streams[name], w->streams[D], at));
}

static inline void queue_all(struct world *w, int name)
{
    respond(w, name, NULL);
    queue(w, name, octets_of[name], true);
}

/* ---- the world ---- */

/* One output of at most cap octets.  return  whether there was any */
static inline bool draw_once(struct world *w, size_t cap)
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

static inline void draw(struct world *w, size_t cap)
{
    while (draw_once(w, cap))
        ;
}

/* The document is asked for on stream `id`, and all that is pushed with it is promised. */
static inline void open_as(struct world *w, uint32_t window, int32_t id, const char *priority)
{
    struct h2_settings settings;
    *w = (struct world){.now = -1};
    pool_init(&w->pool);
    h2_settings_default(&settings, H2_SERVER);
    settings.budget.window = settings.budget.priority = (struct h2_bucket){.burst = 1000000};
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

static inline void open_world(struct world *w)
{
    open_as(w, WIDE, 1, "u=3");
    widen(w, -1, WIDE);
}

static inline void close_world(struct world *w)
{
    nghttp2_session_del(w->judge);
    h2_conn_free(w->conn);
    assert_int_equal(w->pool.live, 0);
    pool_fini(&w->pool);
}

/* Everything that was queued has come, in this order. */
static inline void expect(struct world *w, const char *order)
{
    run_ends(w);
    if (strcmp(w->order, order) != 0)
        fail_msg("%s, not %s", w->order, order);
    for (int i = 0; i < NAMES; i++)
        assert_true(w->queued[i] == w->received[i] && (w->ended[i] || w->queued[i] == 0));
    close_world(w);
}

#endif
