/* SPDX-License-Identifier: Apache-2.0 */
/* Windows, and streams that may be open, change while content is under way.  RFC 9113 5.1.2, 6.9.2,
 * 6.9.3 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/err.h"
#include "http/h2_internal.h"

static const uint8_t post[] = {0x83, 0x87, 0x84, 0x41, 0x01, 'a'};

struct world {
    struct pool pool;
    struct h2_conn *conn;
    struct h2_settings settings;
    struct h2_stream *stream;
    size_t came;
    bool ended;
    uint32_t code; /* of on_close */
    unsigned closed;
};

static void on_head(void *user, struct h2_stream *s, const struct http_head *head, bool end)
{
    struct world *w = user;
    w->stream = s;
}

static void on_body(void *user, struct h2_stream *s, struct slice octets, bool end)
{
    struct world *w = user;
    w->came += octets.len;
    w->ended |= end;
}

static void on_close(void *user, struct h2_stream *s, uint32_t code)
{
    struct world *w = user;
    w->stream = NULL;
    w->code = code;
    w->closed++;
}

static const struct h2_events events = {
    .on_head = on_head, .on_body = on_body, .on_close = on_close};

static int feed(struct world *w, enum h2_frame_type type, unsigned flags, uint32_t id,
                const void *payload, uint32_t len)
{
    static uint8_t frame[H2_FRAME_HEAD_OCTETS + 16384];
    assert_true(len <= 16384);
    h2_frame_head_write(frame, len, type, flags, id);
    if (payload)
        memcpy(frame + H2_FRAME_HEAD_OCTETS, payload, len);
    return h2_conn_feed(w->conn, frame, H2_FRAME_HEAD_OCTETS + len, 1);
}

static void world_open(struct world *w)
{
    pool_init(&w->pool);
    w->conn = h2_conn_new(H2_SERVER, &w->settings, &events, w, &w->pool, 1);
    assert_non_null(w->conn);
    assert_int_equal(h2_conn_feed(w->conn, H2_PREFACE, H2_PREFACE_OCTETS, 1), 0);
    assert_int_equal(feed(w, H2_FRAME_SETTINGS, 0, 0, NULL, 0), 0);
}

static void world_close(struct world *w)
{
    h2_conn_free(w->conn);
    assert_int_equal(w->pool.live, 0);
    pool_fini(&w->pool);
}

/* A client that has not read our SETTINGS may use 65,535 octets; when it has, its window is below
 * zero.  DATA without octets needs none.  RFC 9113 6.9.1 */
static void test_end_below_zero(void **state)
{
    struct world w = {.code = UINT32_MAX};
    h2_settings_default(&w.settings, H2_SERVER);
    w.settings.stream_window = 16384;
    world_open(&w);
    assert_int_equal(feed(&w, H2_FRAME_HEADERS, H2_FLAG_END_HEADERS, 1, post, sizeof post), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(feed(&w, H2_FRAME_DATA, 0, 1, NULL, 16384), 0);
    assert_int_equal(feed(&w, H2_FRAME_DATA, 0, 1, NULL, 16383), 0);
    assert_int_equal(feed(&w, H2_FRAME_SETTINGS, H2_FLAG_ACK, 0, NULL, 0), 0);
    assert_int_equal(w.stream->recv_window, 16384 - 65535);
    assert_int_equal(feed(&w, H2_FRAME_DATA, H2_FLAG_END_STREAM, 1, NULL, 0), 0);
    assert_true(w.ended);
    assert_int_equal(w.came, 65535);
    assert_int_equal(w.code, UINT32_MAX);
    world_close(&w);
}

/* The second promise waits for its turn, which comes with the first one's last octet; its own last
 * one leaves with that, and nothing that the client says follows. */
static void test_promise_that_waited_ends_with_its_head(void **state)
{
    static const uint8_t one_at_a_time[] = {0, H2_SETTING_MAX_CONCURRENT_STREAMS, 0, 0, 0, 1};
    static const uint8_t get[] = {0x82, 0x87, 0x84, 0x41, 0x01, 'a'};
    const struct http_head push = {.method = SLICE("GET"),
                                   .scheme = SLICE("https"),
                                   .authority = SLICE("a"),
                                   .path = SLICE("/")},
                           ok = {.status = 200, .content_length = -1};
    struct world w = {.code = UINT32_MAX};
    char out[4096];
    int err;
    h2_settings_default(&w.settings, H2_SERVER);
    world_open(&w);
    assert_int_equal(feed(&w, H2_FRAME_SETTINGS, 0, 0, one_at_a_time, sizeof one_at_a_time), 0);
    assert_int_equal(
        feed(&w, H2_FRAME_HEADERS, H2_FLAG_END_HEADERS | H2_FLAG_END_STREAM, 1, get, sizeof get),
        0);
    struct h2_stream *page = w.stream;
    struct h2_stream *first = h2_stream_promise(page, &push, NULL, &err),
                     *second = h2_stream_promise(page, &push, NULL, &err);
    assert_true(first && second);
    assert_int_equal(h2_stream_respond(first, &ok, false), 0);
    assert_int_equal(h2_stream_respond(second, &ok, true), 0);
    while (h2_conn_has_output(w.conn))
        h2_conn_output(w.conn, out, sizeof out, 1);
    assert_int_equal(w.closed, 0);
    assert_int_equal(h2_stream_body(first, SLICE(""), NULL, true), 0);
    while (h2_conn_has_output(w.conn))
        h2_conn_output(w.conn, out, sizeof out, 1);
    assert_int_equal(w.closed, 2);
    assert_int_equal(h2_conn_streams(w.conn), 1);
    world_close(&w);
}

/* All that has come of a stream is given back while the rest of a frame is on its way. */
static void test_part_of_a_frame_consumed(void **state)
{
    static uint8_t frame[H2_FRAME_HEAD_OCTETS + 1000];
    struct world w = {.code = UINT32_MAX};
    h2_settings_default(&w.settings, H2_SERVER);
    world_open(&w);
    assert_int_equal(feed(&w, H2_FRAME_HEADERS, H2_FLAG_END_HEADERS, 1, post, sizeof post), 0);
    h2_frame_head_write(frame, 1000, H2_FRAME_DATA, H2_FLAG_PADDED, 1);
    frame[H2_FRAME_HEAD_OCTETS] = 99; /* of padding */
    assert_int_equal(h2_conn_feed(w.conn, frame, H2_FRAME_HEAD_OCTETS + 101, 1), 0);
    assert_int_equal(w.came, 100);
    h2_stream_consumed_all(w.stream);
    assert_int_equal(h2_conn_feed(w.conn, frame + H2_FRAME_HEAD_OCTETS + 101, 899, 1), 0);
    assert_int_equal(w.came, 900);
    h2_stream_consumed(w.stream, 800);
    assert_int_equal(w.stream->recv_held, 0);
    assert_int_equal(w.stream->recv_unreturned, 1000);
    world_close(&w);
}

/* A client that has not read our SETTINGS has 65,535 octets, and stands still without a
 * WINDOW_UPDATE.  RFC 9113 6.9.2 */
static void test_window_before_settings_are_acknowledged(void **state)
{
    struct world w = {.code = UINT32_MAX};
    h2_settings_default(&w.settings, H2_SERVER);
    world_open(&w);
    assert_true(w.settings.stream_window > 65535);
    assert_int_equal(feed(&w, H2_FRAME_HEADERS, H2_FLAG_END_HEADERS, 1, post, sizeof post), 0);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(feed(&w, H2_FRAME_DATA, 0, 1, NULL, i < 3 ? 16384 : 16383), 0);
        h2_stream_consumed_all(w.stream);
    }
    assert_true(w.stream->recv_unreturned < 65535);
    world_close(&w);
}

/* A stream that was reset is remembered for a while; trailers of it that come later still leave the
 * connection and HPACK's state as they should be.  RFC 9113 5.1, 4.3 */
static void test_trailers_of_a_stream_reset_long_ago(void **state)
{
    static const uint8_t trailers[] = {0x40, 1, 'x', 1, 'y'},
                         get[] = {0x82, 0x87, 0x84, 0x41, 0x01, 'a', 0xbf};
    const struct http_head ok = {.status = 200, .content_length = -1};
    struct world w = {.code = UINT32_MAX};
    char out[4096];
    h2_settings_default(&w.settings, H2_SERVER);
    world_open(&w);
    uint32_t id = 1;
    assert_int_equal(feed(&w, H2_FRAME_HEADERS, H2_FLAG_END_HEADERS, id, post, sizeof post), 0);
    h2_stream_reset(w.stream, H2_NO_ERROR);
    for (unsigned i = 0; i < 2 * H2_CLOSED_KEPT; i++) {
        id += 2;
        assert_int_equal(feed(&w, H2_FRAME_HEADERS, H2_FLAG_END_HEADERS | H2_FLAG_END_STREAM, id,
                              get, sizeof get - 1),
                         0);
        assert_int_equal(h2_stream_respond(w.stream, &ok, true), 0);
        while (h2_conn_has_output(w.conn))
            h2_conn_output(w.conn, out, sizeof out, 1);
    }
    assert_int_equal(feed(&w, H2_FRAME_HEADERS, H2_FLAG_END_HEADERS | H2_FLAG_END_STREAM, 1,
                          trailers, sizeof trailers),
                     0);
    assert_int_equal(feed(&w, H2_FRAME_HEADERS, H2_FLAG_END_HEADERS | H2_FLAG_END_STREAM, id + 2,
                          get, sizeof get),
                     0);
    assert_int_equal(h2_conn_blame(w.conn), H2_BLAME_NONE);
    assert_non_null(w.stream);
    /* Others that are lower were never there, or have ended. */
    assert_int_equal(
        feed(&w, H2_FRAME_HEADERS, H2_FLAG_END_HEADERS | H2_FLAG_END_STREAM, 3, get, sizeof get),
        ERR_H2_CONN);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_end_below_zero),
        cmocka_unit_test(test_trailers_of_a_stream_reset_long_ago),
        cmocka_unit_test(test_part_of_a_frame_consumed),
        cmocka_unit_test(test_window_before_settings_are_acknowledged),
        cmocka_unit_test(test_promise_that_waited_ends_with_its_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
