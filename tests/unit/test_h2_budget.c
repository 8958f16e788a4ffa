/* SPDX-License-Identifier: Apache-2.0 */
/* What a peer can make grow or make us do, at its cap and at one more. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include "http/h2_internal.h"

#define CAP 5u

static const uint8_t get[] = {0x82, 0x87, 0x84, 0x41, 0x01, 'a'};

static struct h2_budget budget_of(uint32_t burst, uint32_t per_second)
{
    struct h2_bucket b = {.burst = burst, .per_second = per_second};
    return (struct h2_budget){b, b, b, b, b, b};
}

static void test_bucket(void **state)
{
    struct h2_budget sizes = budget_of(3, 2);
    struct h2_budgets b;
    uint64_t now = 1000;
    h2_budgets_init(&b, &sizes, now);
    for (unsigned i = 0; i < 3; i++)
        assert_true(h2_budgets_take(&b, &sizes, H2_BUDGET_pings, 1, now));
    assert_false(h2_budgets_take(&b, &sizes, H2_BUDGET_pings, 1, now));
    assert_true(h2_budgets_take(&b, &sizes, H2_BUDGET_resets, 1, now)); /* each has its own */
    now += 499999;
    assert_false(h2_budgets_take(&b, &sizes, H2_BUDGET_pings, 1, now));
    now += 1;
    assert_true(h2_budgets_take(&b, &sizes, H2_BUDGET_pings, 1, now));
    assert_false(h2_budgets_take(&b, &sizes, H2_BUDGET_pings, 1, now));
    now = UINT64_MAX; /* no overflow, and never more than the burst */
    for (unsigned i = 0; i < 3; i++)
        assert_true(h2_budgets_take(&b, &sizes, H2_BUDGET_pings, 1, now));
    assert_false(h2_budgets_take(&b, &sizes, H2_BUDGET_pings, 1, now));
    /* A clock that goes back gives nothing. */
    assert_false(h2_budgets_take(&b, &sizes, H2_BUDGET_pings, 1, 5));
}

static void test_bucket_of_many(void **state)
{
    struct h2_budget sizes = budget_of(30, 2);
    struct h2_budgets b;
    h2_budgets_init(&b, &sizes, 1);
    assert_true(h2_budgets_take(&b, &sizes, H2_BUDGET_resets, 10, 1));
    assert_true(h2_budgets_take(&b, &sizes, H2_BUDGET_resets, 11, 1));
    assert_false(h2_budgets_take(&b, &sizes, H2_BUDGET_resets, 10, 1));
    assert_true(h2_budgets_take(&b, &sizes, H2_BUDGET_resets, 9, 1)); /* what is left, is left */
    assert_false(h2_budgets_take(&b, &sizes, H2_BUDGET_resets, 100, 1));
    /* What is dearer than the whole bucket takes the whole bucket. */
    assert_true(h2_budgets_take(&b, &sizes, H2_BUDGET_resets, 100, UINT64_MAX));
    assert_false(h2_budgets_take(&b, &sizes, H2_BUDGET_resets, 1, UINT64_MAX));
}

static void test_bucket_never_refilled(void **state)
{
    struct h2_budget sizes = budget_of(1, 0);
    struct h2_budgets b;
    h2_budgets_init(&b, &sizes, 1);
    assert_true(h2_budgets_take(&b, &sizes, H2_BUDGET_empty, 1, 1));
    assert_false(h2_budgets_take(&b, &sizes, H2_BUDGET_empty, 1, UINT64_MAX));
    assert_string_equal(h2_blame_row(h2_budget_blame(H2_BUDGET_resets))->name, "budget.resets");
    assert_string_equal(h2_blame_row(h2_budget_blame(H2_BUDGET_window))->name, "budget.window");
}

/* An engine that is fed frame by frame. */

struct world {
    struct pool pool;
    struct h2_conn *conn;
    struct h2_settings settings;
    unsigned heads, closed, refused;
    enum h2_blame blame; /* of the last refusal */
    bool reset_all;      /* the server resets what comes */
    struct h2_stream *last;
};

static void on_head(void *user, struct h2_stream *s, const struct http_head *head, bool end)
{
    struct world *w = user;
    w->heads++;
    w->last = s;
}

static void on_close(void *user, struct h2_stream *s, uint32_t code)
{
    struct world *w = user;
    w->closed++;
    w->last = NULL;
}

static void on_refuse(void *user, enum h2_blame blame, const char *why)
{
    struct world *w = user;
    w->refused++;
    w->blame = blame;
}

static const struct h2_events events = {
    .on_head = on_head, .on_close = on_close, .on_refuse = on_refuse};

static int feed(struct world *w, enum h2_frame_type type, unsigned flags, uint32_t id,
                const void *payload, uint32_t len)
{
    static uint8_t frame[H2_FRAME_HEAD_OCTETS + 16384];
    assert_true(len + H2_FRAME_HEAD_OCTETS <= sizeof frame);
    h2_frame_head_write(frame, len, type, flags, id);
    if (len)
        memcpy(frame + H2_FRAME_HEAD_OCTETS, payload, len);
    return h2_conn_feed(w->conn, frame, H2_FRAME_HEAD_OCTETS + len, 1);
}

static int feed_get(struct world *w, uint32_t id, bool end)
{
    return feed(w, H2_FRAME_HEADERS, H2_FLAG_END_HEADERS | (end ? H2_FLAG_END_STREAM : 0u), id, get,
                sizeof get);
}

static void world_open(struct world *w, enum h2_role role)
{
    pool_init(&w->pool);
    w->conn = h2_conn_new(role, &w->settings, &events, w, &w->pool, 1);
    assert_non_null(w->conn);
    if (role == H2_SERVER)
        assert_int_equal(h2_conn_feed(w->conn, H2_PREFACE, H2_PREFACE_OCTETS, 1), 0);
    assert_int_equal(feed(w, H2_FRAME_SETTINGS, 0, 0, NULL, 0), 0);
}

static void world_close(struct world *w)
{
    h2_conn_free(w->conn);
    assert_int_equal(w->pool.live, 0);
    pool_fini(&w->pool);
}

static int do_reset(struct world *w, uint32_t i)
{
    int err = feed_get(w, 2 * i + 1, false);
    const uint8_t cancel[] = {0, 0, 0, 8};
    return err < 0 ? err : feed(w, H2_FRAME_RST_STREAM, 0, 2 * i + 1, cancel, 4);
}

/* MadeYouReset (CVE-2025-8671): it is we who reset, but the peer who wants it. */
static int do_made_reset(struct world *w, uint32_t i)
{
    int err = feed_get(w, 2 * i + 1, false);
    const uint8_t zero[4] = {0};
    return err < 0 ? err : feed(w, H2_FRAME_WINDOW_UPDATE, 0, 2 * i + 1, zero, 4);
}

static int do_malformed(struct world *w, uint32_t i)
{
    return feed(w, H2_FRAME_HEADERS, H2_FLAG_END_HEADERS, 2 * i + 1, get, 1);
}

static int do_settings(struct world *w, uint32_t i)
{
    return feed(w, H2_FRAME_SETTINGS, 0, 0, NULL, 0);
}

static int do_ping(struct world *w, uint32_t i)
{
    return feed(w, H2_FRAME_PING, 0, 0, "12345678", 8);
}

static int do_empty_data(struct world *w, uint32_t i)
{
    if (i == 0)
        feed_get(w, 1, false);
    return feed(w, H2_FRAME_DATA, 0, 1, NULL, 0);
}

static int do_empty_continuation(struct world *w, uint32_t i)
{
    if (i == 0)
        feed(w, H2_FRAME_HEADERS, 0, 1, get, sizeof get);
    return feed(w, H2_FRAME_CONTINUATION, 0, 1, NULL, 0);
}

static int do_priority(struct world *w, uint32_t i)
{
    return feed(w, H2_FRAME_PRIORITY, 0, 1, "\0\0\0\0\1", 5);
}

static int do_priority_update(struct world *w, uint32_t i)
{
    return feed(w, H2_FRAME_PRIORITY_UPDATE, 0, 0, "\0\0\0\1u=1", 7);
}

static int do_unknown(struct world *w, uint32_t i)
{
    return feed(w, (enum h2_frame_type)0x55, 0, 0, "x", 1);
}

static int do_window(struct world *w, uint32_t i)
{
    return feed(w, H2_FRAME_WINDOW_UPDATE, 0, 0, "\0\0\0\1", 4);
}

static const struct {
    const char *name;
    int (*act)(struct world *w, uint32_t i);
    enum h2_blame blame;
    uint32_t before; /* of the budget that the opening used up */
} rows[] = {
    {"reset", do_reset, H2_BLAME_BUDGET_RESETS, 0},
    {"made reset", do_made_reset, H2_BLAME_BUDGET_RESETS, 0},
    {"malformed", do_malformed, H2_BLAME_BUDGET_RESETS, 0},
    {"settings", do_settings, H2_BLAME_BUDGET_SETTINGS, 1},
    {"ping", do_ping, H2_BLAME_BUDGET_PINGS, 0},
    {"empty DATA", do_empty_data, H2_BLAME_BUDGET_EMPTY, 0},
    {"empty CONTINUATION", do_empty_continuation, H2_BLAME_BUDGET_EMPTY, 0},
    {"PRIORITY", do_priority, H2_BLAME_BUDGET_PRIORITY, 0},
    {"PRIORITY_UPDATE", do_priority_update, H2_BLAME_BUDGET_PRIORITY, 0},
    {"unknown frame", do_unknown, H2_BLAME_BUDGET_PRIORITY, 0},
    {"WINDOW_UPDATE", do_window, H2_BLAME_BUDGET_WINDOW, 0},
};

static void test_each_budget(void **state)
{
    for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
        struct world w = {0};
        h2_settings_default(&w.settings, H2_SERVER);
        w.settings.budget = budget_of(CAP, 0);
        world_open(&w, H2_SERVER);
        for (uint32_t i = 0; i < CAP - rows[r].before; i++)
            if (rows[r].act(&w, i) != 0)
                fail_msg("%s: %u: %s", rows[r].name, i, h2_blame_row(h2_conn_blame(w.conn))->name);
        assert_int_equal(rows[r].act(&w, CAP), ERR_H2_CONN);
        assert_int_equal(h2_conn_blame(w.conn), rows[r].blame);
        assert_int_equal(w.conn->code, H2_ENHANCE_YOUR_CALM);
        assert_true(h2_conn_is_over(w.conn));
        assert_int_equal(h2_conn_streams(w.conn), 0);
        world_close(&w);
    }
}

static void test_resets_that_are_used(void **state)
{
    struct world w = {0};
    h2_settings_default(&w.settings, H2_SERVER);
    w.settings.budget.resets = (struct h2_bucket){.burst = 10, .per_second = 2};
    world_open(&w, H2_SERVER);
    assert_int_equal(h2_conn_resets(w.conn, 1), 0);
    for (uint32_t id = 1; id < 7; id += 2) {
        feed_get(&w, id, true);
        feed(&w, H2_FRAME_RST_STREAM, 0, id, "\0\0\0\x08", 4);
    }
    assert_int_equal(h2_conn_resets(w.conn, 1), 3);
    assert_int_equal(h2_conn_resets(w.conn, 1000001), 1);
    assert_int_equal(h2_conn_resets(w.conn, 9000001), 0);
    world_close(&w);
}

/* WINDOW_UPDATE that answers DATA costs nothing. */
static void test_window_is_earned(void **state)
{
    struct world w = {0};
    char out[4096];
    h2_settings_default(&w.settings, H2_SERVER);
    w.settings.budget = budget_of(1, 0);
    world_open(&w, H2_SERVER);
    feed_get(&w, 1, true);
    const struct http_head head = {.status = 200};
    h2_stream_respond(w.last, &head, false);
    for (unsigned i = 0; i < 50; i++) {
        h2_stream_body(w.last, SLICE("0123456789"), NULL, false);
        h2_conn_output(w.conn, out, sizeof out, 1);
        assert_int_equal(do_window(&w, i), 0);
        assert_int_equal(feed(&w, H2_FRAME_WINDOW_UPDATE, 0, 1, "\0\0\0\1", 4), 0);
    }
    world_close(&w);
}

/* Who sees a response end before its request did may say that it sends no more of it (gRPC does),
 * and who cancels may be late: that is one RST_STREAM for a whole response.  A second one is not.
 */
static void test_late_reset_is_earned(void **state)
{
    struct world w = {0};
    const struct http_head head = {.status = 200};
    char out[4096];
    h2_settings_default(&w.settings, H2_SERVER);
    w.settings.budget = budget_of(1, 0);
    world_open(&w, H2_SERVER);
    for (uint32_t id = 1; id < 100; id += 2) {
        bool end = id % 4 == 1;
        feed_get(&w, id, end);
        assert_int_equal(h2_stream_respond(w.last, &head, true), 0);
        h2_conn_output(w.conn, out, sizeof out, 1);
        assert_int_equal(h2_conn_streams(w.conn), 0);
        assert_int_equal(feed(&w, H2_FRAME_RST_STREAM, 0, id, "\0\0\0\0", 4), 0);
    }
    assert_int_equal(feed(&w, H2_FRAME_RST_STREAM, 0, 1, "\0\0\0\0", 4), 0);
    assert_int_equal(feed(&w, H2_FRAME_RST_STREAM, 0, 3, "\0\0\0\0", 4), ERR_H2_CONN);
    assert_int_equal(h2_conn_blame(w.conn), H2_BLAME_BUDGET_RESETS);
    world_close(&w);
}

/* One that is early is not free, however many were whole before. */
static void test_reset_is_not_earned(void **state)
{
    struct world w = {0};
    const struct http_head head = {.status = 200};
    h2_settings_default(&w.settings, H2_SERVER);
    w.settings.budget = budget_of(1, 0);
    world_open(&w, H2_SERVER);
    for (uint32_t id = 1; id < 20; id += 2) {
        feed_get(&w, id, true);
        assert_int_equal(h2_stream_respond(w.last, &head, true), 0);
    }
    assert_int_equal(do_reset(&w, 20), 0);
    assert_int_equal(do_reset(&w, 21), ERR_H2_CONN);
    assert_int_equal(h2_conn_blame(w.conn), H2_BLAME_BUDGET_RESETS);
    world_close(&w);
}

/* A server in the midst of a response, whose content is taken and sent so many octets a frame. */
static void send_frame(struct world *w, size_t octets)
{
    static char content[16384], out[17000];
    assert_true(octets <= sizeof content);
    assert_int_equal(h2_stream_body(w->last, slice_of(content, octets), NULL, false), 0);
    while (h2_conn_output(w->conn, out, sizeof out, 1))
        ;
    assert_int_equal(h2_stream_queued(w->last), 0);
}

/* Go's net/http gives back what is read of content as soon as it is 4 KiB, and older servers of it
 * whatever one read took: for the stream and for the connection each. */
static void test_window_is_earned_by_octets(void **state)
{
    struct world w = {0};
    const struct http_head head = {.status = 200};
    h2_settings_default(&w.settings, H2_SERVER);
    w.settings.budget = budget_of(1, 0);
    world_open(&w, H2_SERVER);
    feed_get(&w, 1, true);
    h2_stream_respond(w.last, &head, false);
    for (unsigned i = 0; i < 20; i++) {
        send_frame(&w, 16384);
        for (unsigned octets = 0; octets < 16384; octets += 512) {
            assert_int_equal(feed(&w, H2_FRAME_WINDOW_UPDATE, 0, 0, "\0\0\2\0", 4), 0);
            assert_int_equal(feed(&w, H2_FRAME_WINDOW_UPDATE, 0, 1, "\0\0\2\0", 4), 0);
        }
    }
    world_close(&w);
}

/* gRPC measures bandwidth by a PING after DATA, and by the next one as soon as that is answered:
 * thousands in a second where the way is short. */
static void test_ping_is_earned(void **state)
{
    struct world w = {0};
    const struct http_head head = {.status = 200};
    h2_settings_default(&w.settings, H2_SERVER);
    w.settings.budget = budget_of(1, 0);
    world_open(&w, H2_SERVER);
    feed_get(&w, 1, true);
    h2_stream_respond(w.last, &head, false);
    for (unsigned i = 0; i < 50; i++) {
        send_frame(&w, 100);
        assert_int_equal(do_ping(&w, i), 0);
    }
    assert_int_equal(do_ping(&w, 50), 0);
    assert_int_equal(do_ping(&w, 51), ERR_H2_CONN);
    assert_int_equal(h2_conn_blame(w.conn), H2_BLAME_BUDGET_PINGS);
    world_close(&w);
}

/* That we end a connection is no fault of the peer's, and is not counted as one. */
static void test_abort(void **state)
{
    struct world w = {0};
    h2_settings_default(&w.settings, H2_SERVER);
    world_open(&w, H2_SERVER);
    assert_int_equal(feed_get(&w, 1, true), 0);
    h2_conn_abort(w.conn, H2_NO_ERROR);
    assert_true(h2_conn_is_over(w.conn));
    assert_int_equal(w.closed, 1);
    assert_int_equal(w.refused, 0);
    assert_int_equal(h2_conn_blame(w.conn), H2_BLAME_NONE);
    world_close(&w);
}

/* A peer that asks and never reads. */
static void test_queue(void **state)
{
    struct world w = {0};
    h2_settings_default(&w.settings, H2_SERVER);
    w.settings.budget = budget_of(1000000, 0);
    w.settings.max_queued_octets = 1700;
    world_open(&w, H2_SERVER);
    uint32_t queued = (uint32_t)buf_len(&w.conn->control), i = 0;
    for (; queued + 17 <= 1700; queued += 17)
        assert_int_equal(do_ping(&w, i++), 0);
    assert_int_equal(do_ping(&w, i), ERR_H2_CONN);
    assert_int_equal(h2_conn_blame(w.conn), H2_BLAME_QUEUE);
    assert_int_equal(w.refused, 1);
    world_close(&w);
}

/* What a client says of its own accord is nothing that its server asked for, however slowly that
 * reads. */
static void test_queue_of_requests(void **state)
{
    struct world w = {0};
    char value[500] = {0}, out[4096];
    struct field cookie = {SLICE("cookie"), slice_of(value, sizeof value), TOKEN_COOKIE, 0};
    const struct http_head head = {.method = SLICE("GET"),
                                   .scheme = SLICE("http"),
                                   .authority = SLICE("a"),
                                   .path = SLICE("/"),
                                   .fields = {&cookie, 1, 1}};
    int err;
    h2_settings_default(&w.settings, H2_CLIENT);
    w.settings.budget = budget_of(1000000, 0);
    w.settings.max_queued_octets = 1700;
    world_open(&w, H2_CLIENT);
    while (h2_conn_output(w.conn, out, sizeof out, 1))
        ;
    for (unsigned i = 0; i < 20; i++)
        assert_non_null(h2_conn_request(w.conn, &head, true, NULL, &err));
    assert_true(h2_conn_queued_control(w.conn) > 5 * 1700);
    for (uint32_t queued = 0; queued + 17 <= 1700; queued += 17)
        assert_int_equal(do_ping(&w, 0), 0);
    assert_int_equal(h2_conn_output(w.conn, out, sizeof out, 1), sizeof out);
    assert_int_equal(do_ping(&w, 0), 0);
    for (uint32_t queued = 0; queued < 1700; queued += 17)
        do_ping(&w, 0);
    assert_int_equal(h2_conn_blame(w.conn), H2_BLAME_QUEUE);
    world_close(&w);
}

static void test_block_frames(void **state)
{
    struct world w = {0};
    h2_settings_default(&w.settings, H2_SERVER);
    world_open(&w, H2_SERVER);
    assert_int_equal(feed(&w, H2_FRAME_HEADERS, 0, 1, get, sizeof get), 0);
    for (unsigned i = 1; i < H2_BLOCK_FRAMES_MAX; i++)
        assert_int_equal(feed(&w, H2_FRAME_CONTINUATION, 0, 1, "\0\1x\1y", 5), 0);
    assert_int_equal(feed(&w, H2_FRAME_CONTINUATION, 0, 1, "\0\1x\1y", 5), ERR_H2_CONN);
    assert_int_equal(h2_conn_blame(w.conn), H2_BLAME_BLOCK_SIZE);
    world_close(&w);
}

/* A response with what it was asked for in two fields is twice as large as a request may be.  Who
 * asked so ends nobody else's response on that connection. */
static void test_block_of_response(void **state)
{
    struct world w = {0};
    const struct http_head head = {.method = SLICE("GET"),
                                   .scheme = SLICE("http"),
                                   .authority = SLICE("a"),
                                   .path = SLICE("/")};
    static uint8_t part[16384] = {0x88, 0x40, 1, 'x', 0x7f, 0x81, 0xff, 0x05}; /* 98304 octets */
    int err;
    h2_settings_default(&w.settings, H2_CLIENT);
    world_open(&w, H2_CLIENT);
    for (unsigned i = 0; i < 2; i++)
        assert_non_null(h2_conn_request(w.conn, &head, true, NULL, &err));
    assert_int_equal(feed(&w, H2_FRAME_HEADERS, 0, 1, part, sizeof part), 0);
    memset(part, 0, sizeof part);
    for (unsigned i = 1; i < 6; i++)
        assert_int_equal(feed(&w, H2_FRAME_CONTINUATION, 0, 1, part, sizeof part), 0);
    assert_int_equal(feed(&w, H2_FRAME_CONTINUATION, H2_FLAG_END_HEADERS, 1, part, 8), 0);
    assert_int_equal(w.closed, 1);
    assert_int_equal(h2_conn_streams(w.conn), 1);
    world_close(&w);
}

/* To a server a field section that is larger than it said may be an error of the connection, and
 * others have requests there.  RFC 9113 6.5.2 counts 32 octets a field: 42 for :method, 43 for
 * :scheme, 43 for :authority, 38 for :path. */
static void test_section_of_request(void **state)
{
    struct world w = {0};
    char value[100] = {0};
    struct field field = {SLICE("x"), slice_of(value, 1), TOKEN_NONE, 0};
    struct http_head head = {.method = SLICE("GET"),
                             .scheme = SLICE("http"),
                             .authority = SLICE("a"),
                             .path = SLICE("/"),
                             .fields = {&field, 1, 1}};
    int err;
    h2_settings_default(&w.settings, H2_CLIENT);
    world_open(&w, H2_CLIENT);
    assert_int_equal(feed(&w, H2_FRAME_SETTINGS, 0, 0, "\0\6\0\0\0\xc8", 6), 0); /* 200 */
    field.value.len = 1;
    struct h2_stream *s = h2_conn_request(w.conn, &head, false, NULL, &err);
    assert_non_null(s);
    size_t queued = h2_conn_queued_control(w.conn);
    field.value.len = 2;
    assert_null(h2_conn_request(w.conn, &head, false, NULL, &err));
    assert_int_equal(err, ERR_FIELDS_TOO_LARGE);
    assert_int_equal(h2_conn_streams(w.conn), 1);
    head.fields.count = 0;
    assert_int_equal(h2_stream_body(s, SLICE("y"), NULL, false), 0);
    struct field large[] = {field, field, field};
    for (size_t i = 0; i < 3; i++)
        large[i].value.len = i < 2 ? 34 : 35;
    assert_int_equal(h2_stream_trailers(s, &(struct fields){large, 3, 3}), ERR_FIELDS_TOO_LARGE);
    assert_int_equal(h2_conn_queued_control(w.conn), queued);
    large[0].value.len = 32;
    assert_int_equal(h2_stream_trailers(s, &(struct fields){large, 3, 3}), 0);
    world_close(&w);
}

static void test_streams(void **state)
{
    struct world w = {0};
    h2_settings_default(&w.settings, H2_SERVER);
    w.settings.max_concurrent_streams = CAP;
    w.settings.budget = budget_of(CAP, 0);
    world_open(&w, H2_SERVER);
    for (uint32_t i = 0; i < CAP; i++)
        assert_int_equal(feed_get(&w, 2 * i + 1, false), 0);
    assert_int_equal(h2_conn_streams(w.conn), CAP);
    for (uint32_t i = CAP; i < 2 * CAP; i++)
        assert_int_equal(feed_get(&w, 2 * i + 1, false), 0);
    assert_int_equal(h2_conn_streams(w.conn), CAP);
    assert_int_equal(w.heads, CAP);
    assert_int_equal(feed_get(&w, 4 * CAP + 1, false), ERR_H2_CONN);
    assert_int_equal(w.closed, CAP);
    world_close(&w);
}

/* HPACK makes kilobytes of an octet, and each stream may hold a section of it: all together may not
 * hold so many (CVE-2026-49975). */
static void test_sections(void **state)
{
    struct world w = {0};
    h2_settings_default(&w.settings, H2_SERVER);
    w.settings.max_sections_octets = 1;
    w.settings.budget = budget_of(3, 0);
    world_open(&w, H2_SERVER);
    assert_int_equal(feed_get(&w, 1, false), 0);
    struct h2_stream *first = w.last;
    assert_int_equal(feed_get(&w, 3, true), 0);
    assert_int_equal(w.heads, 1);
    assert_int_equal(w.blame, H2_BLAME_SECTIONS);
    h2_stream_reset(first, H2_CANCEL);
    assert_int_equal(feed_get(&w, 5, false), 0);
    assert_int_equal(w.heads, 2);
    h2_stream_emptied(w.last); /* a tunnel, which needs its head no more */
    assert_int_equal(feed_get(&w, 7, false), 0);
    assert_int_equal(w.heads, 3);
    assert_int_equal(feed_get(&w, 9, false), 0);
    assert_int_equal(w.heads, 3);
    assert_int_equal(feed_get(&w, 11, false), 0);
    assert_int_equal(feed_get(&w, 13, false), ERR_H2_CONN); /* as any other refusal */
    world_close(&w);
}

/* A browser sends its cookies one by one, and a page of a hundred images all of them with each.  A
 * login that is kept in cookies, as ASP.NET Core's with tokens, comes to three of 4 KiB. */
static void test_sections_of_a_browser(void **state)
{
    enum { CRUMBS = 14, CRUMB = 13000 / CRUMBS, FIELDS = 13 };
    static const struct h2_events nothing = {.on_head = NULL};
    static char crumbs[CRUMBS][CRUMB];
    static uint8_t octets[65536];
    struct world w = {0};
    struct h2_settings set;
    struct field fields[FIELDS + CRUMBS];
    int err;
    h2_settings_default(&w.settings, H2_SERVER);
    world_open(&w, H2_SERVER);
    h2_settings_default(&set, H2_CLIENT);
    struct h2_conn *browser = h2_conn_new(H2_CLIENT, &set, &nothing, NULL, &w.pool, 1);
    assert_non_null(browser);
    for (uint32_t i = 0; i < FIELDS; i++)
        fields[i] = (struct field){SLICE("x-some-name"), SLICE("some value that is not short"),
                                   TOKEN_NONE, 0};
    for (uint32_t i = 0; i < CRUMBS; i++) {
        memset(crumbs[i], 'a' + (int)i, CRUMB);
        fields[FIELDS + i] =
            (struct field){SLICE("cookie"), slice_of(crumbs[i], CRUMB), TOKEN_COOKIE, 0};
    }
    const struct http_head head = {.method = SLICE("GET"),
                                   .scheme = SLICE("https"),
                                   .authority = SLICE("www.example.org"),
                                   .path = SLICE("/images/a.webp"),
                                   .content_length = -1,
                                   .fields = {fields, ARRAY_LEN(fields), ARRAY_LEN(fields)}};
    assert_int_not_equal(h2_conn_output(browser, octets, sizeof octets, 1), 0); /* the preface */
    for (uint32_t i = 0; i < w.settings.max_concurrent_streams; i++) {
        assert_non_null(h2_conn_request(browser, &head, true, NULL, &err));
        size_t n = h2_conn_output(browser, octets, sizeof octets, 1);
        assert_int_equal(h2_conn_feed(w.conn, octets, n, 1), 0);
    }
    assert_int_equal(w.heads, w.settings.max_concurrent_streams);
    assert_int_equal(w.refused, 0);
    h2_conn_free(browser);
    world_close(&w);
}

static void test_sections_of_trailers(void **state)
{
    struct world w = {0};
    static const char trailers[] = "\0\1x\1y";
    h2_settings_default(&w.settings, H2_SERVER);
    w.settings.max_sections_octets = 1;
    world_open(&w, H2_SERVER);
    assert_int_equal(feed_get(&w, 1, false), 0);
    assert_int_equal(feed(&w, H2_FRAME_HEADERS, H2_FLAG_END_HEADERS | H2_FLAG_END_STREAM, 1,
                          trailers, sizeof trailers - 1),
                     0);
    assert_int_equal(w.closed, 1);
    assert_int_equal(w.blame, H2_BLAME_FIELDS_LARGE);
    assert_int_equal(feed_get(&w, 3, true), 0);
    assert_int_equal(w.heads, 2);
    world_close(&w);
}

/* What the owner has allocated for the request meanwhile is none of its sections. */
static void test_sections_are_what_came(void **state)
{
    struct world w = {0};
    static const char trailers[] = "\0\1x\1y";
    h2_settings_default(&w.settings, H2_SERVER);
    w.settings.max_sections_octets = 4096;
    world_open(&w, H2_SERVER);
    assert_int_equal(feed_get(&w, 1, false), 0);
    assert_non_null(arena_alloc(h2_stream_arena(w.last), 8192));
    assert_int_equal(feed(&w, H2_FRAME_HEADERS, H2_FLAG_END_HEADERS | H2_FLAG_END_STREAM, 1,
                          trailers, sizeof trailers - 1),
                     0);
    assert_int_equal(w.refused, 0);
    assert_int_equal(feed_get(&w, 3, true), 0);
    assert_int_equal(w.heads, 2);
    world_close(&w);
}

static void test_promises(void **state)
{
    struct world w = {0};
    struct http_head push = {.method = SLICE("GET"),
                             .scheme = SLICE("https"),
                             .authority = SLICE("a"),
                             .path = SLICE("/")};
    int err;
    h2_settings_default(&w.settings, H2_SERVER);
    world_open(&w, H2_SERVER);
    feed_get(&w, 1, true);
    for (unsigned i = 0; i < H2_RESERVED_MAX; i++)
        assert_non_null(h2_stream_promise(w.last, &push, NULL, &err));
    assert_null(h2_stream_promise(w.last, &push, NULL, &err));
    assert_int_equal(err, ERR_LIMIT);
    world_close(&w);
}

static void test_informational(void **state)
{
    struct world w = {0};
    struct http_head request = {.method = SLICE("GET"),
                                .scheme = SLICE("https"),
                                .authority = SLICE("a"),
                                .path = SLICE("/")};
    int err;
    static const char hint[] = "\x08\x03"
                               "103";
    h2_settings_default(&w.settings, H2_CLIENT);
    world_open(&w, H2_CLIENT);
    assert_non_null(h2_conn_request(w.conn, &request, true, NULL, &err));
    for (unsigned i = 0; i < H2_INFORMATIONAL_MAX; i++)
        feed(&w, H2_FRAME_HEADERS, H2_FLAG_END_HEADERS, 1, hint, 5);
    assert_int_equal(w.closed, 0);
    assert_int_equal(w.heads, H2_INFORMATIONAL_MAX);
    assert_int_equal(feed(&w, H2_FRAME_HEADERS, H2_FLAG_END_HEADERS, 1, hint, 5), 0);
    assert_int_equal(w.closed, 1);
    assert_int_equal(w.blame, H2_BLAME_INFORMATIONAL);
    world_close(&w);
}

/* They stay as long as their stream, so all together may be as large as one section. */
static void test_informational_octets(void **state)
{
    struct world w = {0};
    struct http_head request = {.method = SLICE("GET"),
                                .scheme = SLICE("https"),
                                .authority = SLICE("a"),
                                .path = SLICE("/")};
    /* :status: 103, x: yyy..., of 300 octets: 127 + 45 + 128 */
    uint8_t hint[11 + 300] = {0x08, 0x03, '1', '0', '3', 0x00, 0x01, 'x', 0x7f, 0x80 | 45, 0x01};
    int err;
    memset(hint + 11, 'y', 300);
    h2_settings_default(&w.settings, H2_CLIENT);
    w.settings.max_field_section_octets = 16384;
    world_open(&w, H2_CLIENT);
    assert_non_null(h2_conn_request(w.conn, &request, true, NULL, &err));
    unsigned heads = 0;
    while (!w.closed && heads++ < H2_INFORMATIONAL_MAX)
        feed(&w, H2_FRAME_HEADERS, H2_FLAG_END_HEADERS, 1, hint, sizeof hint);
    assert_int_equal(w.closed, 1);
    assert_in_range(w.heads, 4, 16384 / 300);
    world_close(&w);
}

/* Priorities of streams to come: the oldest gives way. */
static void test_early_priorities(void **state)
{
    struct world w = {0};
    h2_settings_default(&w.settings, H2_SERVER);
    world_open(&w, H2_SERVER);
    for (uint8_t i = 0; i <= H2_EARLY_PRIORITIES; i++) {
        const uint8_t update[] = {0, 0, 0, (uint8_t)(2 * i + 1), 'u', '=', '1'};
        assert_int_equal(feed(&w, H2_FRAME_PRIORITY_UPDATE, 0, 0, update, sizeof update), 0);
    }
    for (uint32_t i = 0; i <= H2_EARLY_PRIORITIES; i++) {
        feed_get(&w, 2 * i + 1, true);
        assert_int_equal(h2_stream_priority(w.last).urgency, i == 0 ? 3 : 1);
    }
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bucket),
        cmocka_unit_test(test_bucket_of_many),
        cmocka_unit_test(test_bucket_never_refilled),
        cmocka_unit_test(test_each_budget),
        cmocka_unit_test(test_resets_that_are_used),
        cmocka_unit_test(test_late_reset_is_earned),
        cmocka_unit_test(test_reset_is_not_earned),
        cmocka_unit_test(test_window_is_earned),
        cmocka_unit_test(test_window_is_earned_by_octets),
        cmocka_unit_test(test_ping_is_earned),
        cmocka_unit_test(test_abort),
        cmocka_unit_test(test_queue),
        cmocka_unit_test(test_queue_of_requests),
        cmocka_unit_test(test_block_frames),
        cmocka_unit_test(test_block_of_response),
        cmocka_unit_test(test_section_of_request),
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_sections),
        cmocka_unit_test(test_sections_of_a_browser),
        cmocka_unit_test(test_sections_of_trailers),
        cmocka_unit_test(test_sections_are_what_came),
        cmocka_unit_test(test_promises),
        cmocka_unit_test(test_informational),
        cmocka_unit_test(test_informational_octets),
        cmocka_unit_test(test_early_priorities),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
