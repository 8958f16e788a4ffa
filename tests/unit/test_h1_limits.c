/* SPDX-License-Identifier: Apache-2.0 */
/* What bounds an HTTP/1.1 connection: each limit at its cap and one above, what happens when memory
 * is out, and where the states can lead. */
#include "h1_recorder.h"

#include "base/panic.h"
#include "http/h1_impl.h"

static struct recorder r;

/* ---- limits ---- */

static char *repeat(char *to, char c, size_t n)
{
    memset(to, c, n);
    return to + n;
}

static char *add(char *to, const char *s)
{
    memcpy(to, s, strlen(s));
    return to + strlen(s);
}

/* Feeds what lies in [in, to) whole and octet by octet. */
static void expect_both(enum h1_role role, const char *in, const char *to, int want)
{
    for (int whole = 0; whole < 2; whole++) {
        int err = 0;
        rec_open(&r, role);
        if (role == H1_CLIENT) {
            assert_int_equal(request(&r, "GET", -1, true), 0);
            rec_output(&r);
        }
        if (whole)
            err = rec_feed(&r, in, (size_t)(to - in));
        else
            for (const char *p = in; p < to && !err; p++)
                err = rec_feed(&r, p, 1);
        assert_int_equal(err, want);
        rec_close(&r);
    }
}

static void limits_hold_at_the_cap_and_one_above(void **state)
{
    static char in[1 << 18];
    struct h1_limits l;
    h1_limits_default(&l);
    assert_int_equal(l.start_line_octets, 16384);
    assert_int_equal(l.field_section_octets, 65536);
    for (size_t over = 0; over < 2; over++) {
        /* start line: "GET /xxx HTTP/1.1" */
        char *to = add(in, "GET /");
        to = repeat(to, 'x', l.start_line_octets - strlen("GET / HTTP/1.1") + over);
        to = add(to, " HTTP/1.1\r\nHost: a\r\n\r\n");
        expect_both(H1_SERVER, in, to, over ? ERR_URI_TOO_LONG : 0);

        to = add(in, "HTTP/1.1 200 ");
        to = repeat(to, 'x', l.start_line_octets - strlen("HTTP/1.1 200 ") + over);
        to = add(to, "\r\nContent-Length: 0\r\n\r\n");
        expect_both(H1_CLIENT, in, to, over ? ERR_BAD_START_LINE : 0);

        /* field section, its last line's CRLF included */
        to = add(in, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
        to = repeat(to, 'x', l.field_section_octets - strlen("Host: a\r\nX: \r\n") + over);
        to = add(to, "\r\n\r\n");
        expect_both(H1_SERVER, in, to, over ? ERR_FIELDS_TOO_LARGE : 0);

        to = add(in, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ");
        to = repeat(to, 'x', l.field_section_octets - strlen("X: \r\n") + over);
        to = add(to, "\r\n\r\n");
        expect_both(H1_SERVER, in, to, over ? ERR_FIELDS_TOO_LARGE : 0);

        /* fields */
        to = add(in, "GET / HTTP/1.1\r\nHost: a\r\n");
        for (size_t i = 1; i < FIELDS_MAX + over; i++)
            to = add(to, "a:\r\n");
        to = add(to, "\r\n");
        expect_both(H1_SERVER, in, to, over ? ERR_FIELDS_TOO_LARGE : 0);

        /* a chunk's line */
        to = add(in, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;");
        to = repeat(to, 'x', l.chunk_line_octets - 2 + over);
        to = add(to, "\r\na\r\n0\r\n\r\n");
        expect_both(H1_SERVER, in, to, over ? ERR_BAD_CHUNK : 0);

        /* extensions of a message: 64 octets a chunk, ";" and CRLF included */
        to = add(in, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        for (size_t i = 0; i < H1_CHUNK_EXTENSION_OCTETS / 64; i++) {
            to = add(to, "1;");
            to = repeat(to, 'x', 61 + (i == 0 ? over : 0));
            to = add(to, "\r\na\r\n");
        }
        to = add(to, "0\r\n\r\n");
        expect_both(H1_SERVER, in, to, over ? ERR_BAD_CHUNK : 0);

        /* informational responses */
        to = in;
        for (size_t i = 0; i < l.informational + over; i++)
            to = add(to, "HTTP/1.1 103 x\r\n\r\n");
        to = add(to, "HTTP/1.1 204 x\r\n\r\n");
        expect_both(H1_CLIENT, in, to, over ? ERR_BAD_INFORMATIONAL : 0);

        /* what they come to together */
        to = in;
        for (size_t i = 0; i < 2; i++) {
            to = add(to, "HTTP/1.1 103 x\r\nX: ");
            to = repeat(to, 'x',
                        l.field_section_octets / 2 - strlen("HTTP/1.1 103 x\r\nX: \r\n\r\n") +
                            (i == 0 ? over : 0));
            to = add(to, "\r\n\r\n");
        }
        to = add(to, "HTTP/1.1 204 x\r\n\r\n");
        expect_both(H1_CLIENT, in, to, over ? ERR_BAD_INFORMATIONAL : 0);

        /* Connection's options */
        to = add(in, "GET / HTTP/1.1\r\nHost: a\r\nConnection: ");
        for (size_t i = 0; i < CONNECTION_OPTIONS + over; i++)
            to = add(to, "x,");
        to = add(to, "\r\n\r\n");
        expect_both(H1_SERVER, in, to, over ? ERR_BAD_OPTIONS : 0);

        /* empty lines before a request */
        to = in;
        for (size_t i = 0; i < H1_EMPTY_LINES + over; i++)
            to = add(to, "\r\n");
        to = add(to, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        expect_both(H1_SERVER, in, to, over ? ERR_BAD_START_LINE : 0);
    }
}

/* Empty lines and extensions are counted anew for each message. */
static void limits_are_of_one_message(void **state)
{
    static char in[1 << 16];
    char *to = in;
    for (size_t i = 0; i < H1_EMPTY_LINES; i++)
        to = add(to, "\r\n");
    to = add(to, REQUEST("POST", "Transfer-Encoding: chunked\r\n"));
    for (size_t i = 0; i < H1_CHUNK_EXTENSION_OCTETS / 64; i++) {
        to = add(to, "1;");
        to = repeat(to, 'x', 61);
        to = add(to, "\r\na\r\n");
    }
    to = add(to, "0\r\n\r\n");
    rec_open(&r, H1_SERVER);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(rec_feed(&r, in, (size_t)(to - in)), 0);
        assert_int_equal(respond(&r, 200, 0, true), 0);
        rec_output(&r);
        assert_true(r.reusable);
    }
    rec_close(&r);
}

/* A line without an end is refused when it is too long, not when it ends. */
static void limits_hold_before_the_end_comes(void **state)
{
    static char in[1 << 18];
    memset(in, 'x', sizeof in);
    memcpy(in, "GET /", 5);
    rec_open(&r, H1_SERVER);
    assert_int_equal(rec_feed(&r, in, r.limits.start_line_octets), 0);
    assert_int_equal(rec_feed(&r, in + r.limits.start_line_octets, 3), ERR_URI_TOO_LONG);
    rec_close(&r);
    rec_open(&r, H1_SERVER);
    assert_int_equal(rec_feed_str(&r, "GET / HTTP/1.1\r\n"), 0);
    assert_int_equal(rec_feed(&r, in, r.limits.field_section_octets), 0);
    assert_int_equal(rec_feed(&r, in, 3), ERR_FIELDS_TOO_LARGE);
    rec_close(&r);
}

/* ---- memory ---- */

static const char *const answer_fields[][2] = {{"x", "y"}, {"cookie", "a"}, {NULL, NULL}};

/* An exchange that visits every allocation; the octets come in pieces so that gathering is seen.
 * return  the first error */
static int whole_exchange(void)
{
    static const char in[] = REQUEST(
        "POST",
        "Transfer-Encoding: chunked\r\nContent-Type: a\r\n") "3\r\nabc\r\n1;x=y\r\nd\r\n0\r\nA: "
                                                             "b\r\n\r\n" REQUEST("GET", "")
                                                                 REQUEST("GET", "");
    int err = 0;
    for (size_t at = 0; at < sizeof in - 1 && !err; at += 7)
        err = rec_feed(&r, in + at, sizeof in - 1 - at < 7 ? sizeof in - 1 - at : 7);
    for (int i = 0; i < 3 && !err; i++) {
        static char large[9000];
        err = h1_conn_send_head(r.conn, head_of(103, NULL, -1, answer_fields), false, false);
        if (!err)
            err = h1_conn_send_head(r.conn, head_of(200, NULL, -1, answer_fields), false, false);
        if (!err)
            err = body(&r, "small", false);
        if (!err)
            err = h1_conn_send_body(r.conn, slice_of(large, sizeof large), NULL, false);
        if (!err)
            err = h1_conn_send_trailers(r.conn, &head_of(200, NULL, -1, answer_fields)->fields);
        if (!err)
            rec_output(&r);
        if (!err)
            err = h1_conn_resume(r.conn);
    }
    return err;
}

static void each_allocation_may_fail(void **state)
{
    unsigned failed = 0;
    for (uint64_t at = 1;; at++) {
        rec_open(&r, H1_SERVER);
        r.pool.fail_at = at;
        int err = whole_exchange();
        bool reached = r.pool.gets >= at;
        if (reached)
            assert_int_equal(err, ERR_NOMEM);
        else
            assert_int_equal(err, 0);
        failed += reached;
        rec_close(&r);
        if (!reached)
            break;
    }
    assert_true(failed > 10);

    struct pool pool;
    pool_init(&pool);
    pool.fail_at = 1;
    struct h1_limits l;
    h1_limits_default(&l);
    assert_null(h1_conn_new(H1_SERVER, &l, &recorder_events, NULL, &pool));
    pool_fini(&pool);
}

static void idle_connection_holds_nothing(void **state)
{
    rec_open(&r, H1_SERVER);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(r.pool.live, 1);
        assert_int_equal(whole_exchange(), 0);
    }
    assert_int_equal(r.pool.live, 1);
    assert_true(sizeof(struct h1_conn) <= 512);
    rec_close(&r);
}

/* ---- states ---- */

#define REACH(name, type, count, may_become)                  \
    static uint32_t name(type from)                           \
    {                                                         \
        uint32_t reached = 1u << from, before = 0;            \
        while (reached != before) {                           \
            before = reached;                                 \
            for (type a = 0; a < count; a++)                  \
                for (type b = 0; b < count; b++)              \
                    if (reached >> a & 1 && may_become(a, b)) \
                        reached |= 1u << b;                   \
        }                                                     \
        return reached;                                       \
    }
REACH(in_reach, enum h1_in, IN_COUNT, h1_in_may_become)
REACH(out_reach, enum h1_out, OUT_COUNT, h1_out_may_become)

/* Every state can be come to, none is a dead end but the last, none can be entered twice in a row.
 */
static void states_lead_to_the_end(void **state)
{
    assert_int_equal(in_reach(IN_START), (1u << IN_COUNT) - 1);
    assert_int_equal(out_reach(OUT_IDLE), (1u << OUT_COUNT) - 1);
    for (enum h1_in a = 0; a < IN_COUNT; a++) {
        assert_int_equal(h1_in_may_become(a, IN_OVER), a != IN_OVER);
        assert_false(h1_in_may_become(a, a));
        assert_false(h1_in_may_become(IN_OVER, a));
    }
    for (enum h1_out a = 0; a < OUT_COUNT; a++) {
        assert_true(out_reach(a) >> OUT_OVER & 1);
        assert_false(h1_out_may_become(a, a));
        assert_false(h1_out_may_become(OUT_OVER, a));
    }
    /* Content never follows content, and a tunnel never becomes a message again. */
    assert_int_equal(in_reach(IN_TUNNEL), 1u << IN_TUNNEL | 1u << IN_OVER);
    assert_int_equal(out_reach(OUT_TUNNEL),
                     1u << OUT_TUNNEL | 1u << OUT_TUNNEL_ENDED | 1u << OUT_OVER);
    assert_false(h1_in_may_become(IN_HELD, IN_HEAD));
    assert_false(h1_out_may_become(OUT_FIXED, OUT_CHUNKED));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states_lead_to_the_end),
        cmocka_unit_test(limits_hold_at_the_cap_and_one_above),
        cmocka_unit_test(limits_are_of_one_message),
        cmocka_unit_test(limits_hold_before_the_end_comes),
        cmocka_unit_test(each_allocation_may_fail),
        cmocka_unit_test(idle_connection_holds_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
