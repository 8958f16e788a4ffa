/* SPDX-License-Identifier: Apache-2.0 */
/* Exchanges on an HTTP/1.1 connection: what is written, when one ends, what may follow. */
#include "h1_recorder.h"

#include "base/panic.h"
#include "http/h1_impl.h"

static struct recorder r;

#define assert_output(text) assert_string_equal(rec_output(&r), text)
#define assert_seen(what)                  \
    do {                                   \
        assert_string_equal(r.text, what); \
        rec_clear(&r);                     \
    } while (0)

/* ---- server ---- */

static void server_keeps_the_connection(void **state)
{
    rec_open(&r, H1_SERVER);
    for (int i = 0; i < 3; i++) {
        assert_true(h1_conn_is_idle(r.conn));
        assert_int_equal(rec_feed_str(&r, "GET"), 0);
        assert_true(h1_conn_request_begun(r.conn));
        assert_false(h1_conn_is_idle(r.conn));
        assert_int_equal(rec_feed_str(&r, " / HTTP/1.1\r\nHost: a\r\n\r\n"), 0);
        assert_false(h1_conn_request_begun(r.conn));
        assert_true(h1_conn_can_respond(r.conn));
        assert_int_equal(respond(&r, 200, 2, false), 0);
        assert_false(h1_conn_can_respond(r.conn));
        assert_int_equal(respond(&r, 200, 2, false), ERR_USAGE);
        assert_int_equal(body(&r, "ok", true), 0);
        assert_output("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        assert_seen("GET / @a end\nhost: a\ndone\n");
    }
    assert_int_equal(r.sent, 6);
    rec_close(&r);
}

static void pipelined_requests_wait(void **state)
{
    rec_open(&r, H1_SERVER);
    assert_int_equal(
        rec_feed_str(&r, REQUEST("GET", "") REQUEST("PUT", "Content-Length: 2\r\n") "hi" REQUEST(
                             "DELETE", "") "GE"),
        0);
    assert_false(h1_conn_wants_input(r.conn));
    assert_seen("GET / @a end\nhost: a\n");
    assert_int_equal(h1_conn_resume(r.conn), 0);
    assert_seen("");
    assert_int_equal(rec_feed_str(&r, "T / HTTP/1.1\r\nHost: b\r\n\r\n"), 0);
    assert_seen("");
    assert_int_equal(respond(&r, 204, -1, true), 0);
    assert_output("HTTP/1.1 204 No Content\r\n\r\n");
    assert_seen("done\n");
    assert_false(h1_conn_is_idle(r.conn));
    assert_int_equal(h1_conn_resume(r.conn), 0);
    assert_seen("PUT / @a #2\nhost: a\ncontent-length: 2\n[hi] end\n");
    assert_int_equal(respond(&r, 201, -1, true), 0);
    assert_output("HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n");
    assert_int_equal(h1_conn_resume(r.conn), 0);
    assert_seen("done\nDELETE / @a end\nhost: a\n");
    assert_int_equal(respond(&r, 204, -1, true), 0);
    rec_output(&r);
    assert_int_equal(h1_conn_resume(r.conn), 0);
    assert_seen("done\nGET / @b end\nhost: b\n");
    assert_true(h1_conn_wants_input(r.conn));
    rec_close(&r);
}

static void half_closed_client_gets_its_answers(void **state)
{
    rec_open(&r, H1_SERVER);
    assert_int_equal(rec_feed_str(&r, REQUEST("GET", "") REQUEST("GET", "")), 0);
    assert_int_equal(h1_conn_eof(r.conn), 0);
    assert_int_equal(respond(&r, 204, -1, true), 0);
    rec_output(&r);
    assert_int_equal(h1_conn_resume(r.conn), 0);
    assert_seen("GET / @a end\nhost: a\ndone\nGET / @a end\nhost: a\n");
    assert_int_equal(respond(&r, 204, -1, true), 0);
    rec_output(&r);
    assert_seen("done close\n");
    rec_close(&r);

    rec_open(&r, H1_SERVER);
    assert_int_equal(rec_feed_str(&r, REQUEST("GET", "") "GET / HT"), 0);
    assert_int_equal(h1_conn_eof(r.conn), 0);
    assert_int_equal(respond(&r, 204, -1, true), 0);
    rec_output(&r);
    assert_int_equal(h1_conn_resume(r.conn), ERR_TRUNCATED);
    rec_close(&r);
}

static void continue_is_asked_for_and_sent(void **state)
{
    rec_open(&r, H1_SERVER);
    assert_int_equal(
        rec_feed_str(&r, REQUEST("PUT", "Expect: 100-continue\r\nContent-Length: 2\r\n")), 0);
    assert_int_equal(respond(&r, 100, -1, true), ERR_USAGE);
    assert_int_equal(respond(&r, 100, -1, false), 0);
    assert_output("HTTP/1.1 100 Continue\r\n\r\n");
    assert_true(h1_conn_can_respond(r.conn));
    assert_int_equal(rec_feed_str(&r, "hi"), 0);
    assert_int_equal(respond(&r, 103, -1, false), 0);
    assert_int_equal(respond(&r, 200, 0, true), 0);
    assert_output("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    assert_true(r.reusable);
    rec_close(&r);

    /* The final response comes at once: the content may come or not, so nothing can follow. */
    rec_open(&r, H1_SERVER);
    assert_int_equal(
        rec_feed_str(&r, REQUEST("PUT", "Expect: 100-continue\r\nContent-Length: 2\r\n")), 0);
    assert_int_equal(respond(&r, 413, -1, true), 0);
    assert_output(
        "HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    assert_int_equal(r.dones, 1);
    assert_false(r.reusable);
    rec_clear(&r);
    assert_int_equal(rec_feed_str(&r, "GET / HTTP/1.1\r\n"), 0); /* dropped */
    assert_seen("");
    rec_close(&r);
}

static void request_cut_off_by_the_response(void **state)
{
    rec_open(&r, H1_SERVER);
    assert_int_equal(rec_feed_str(&r, REQUEST("PUT", "Content-Length: 9\r\n") "1234"), 0);
    assert_int_equal(respond(&r, 200, -1, false), 0);
    assert_int_equal(body(&r, "x", true), 0);
    assert_int_equal(rec_feed_str(&r, "5678"), 0);
    rec_output(&r);
    assert_int_equal(r.dones, 1);
    assert_false(r.reusable);
    rec_close(&r);

    /* It is complete in time. */
    rec_open(&r, H1_SERVER);
    assert_int_equal(rec_feed_str(&r, REQUEST("PUT", "Content-Length: 9\r\n") "1234"), 0);
    assert_int_equal(respond(&r, 200, -1, false), 0);
    rec_output(&r);
    assert_int_equal(rec_feed_str(&r, "56789"), 0);
    assert_false(h1_conn_has_output(r.conn));
    assert_int_equal(body(&r, "", true), 0);
    assert_output("0\r\n\r\n");
    assert_true(r.reusable);
    rec_close(&r);
}

static void end_without_octets_still_ends(void **state)
{
    rec_open(&r, H1_SERVER);
    assert_int_equal(rec_feed_str(&r, REQUEST("GET", "")), 0);
    assert_int_equal(respond(&r, 200, 2, false), 0);
    assert_int_equal(body(&r, "ok", false), 0);
    rec_output(&r);
    assert_int_equal(r.dones, 0);
    assert_int_equal(body(&r, "", true), 0);
    assert_true(h1_conn_has_output(r.conn));
    assert_output("");
    assert_int_equal(r.dones, 1);
    rec_close(&r);
}

static void responses_without_content(void **state)
{
    static const struct {
        const char *in;
        unsigned status;
        int64_t length;
        bool end;
        const char *out;
    } table[] = {
        {REQUEST("HEAD", ""), 200, 5, true, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"},
        {REQUEST("HEAD", ""), 200, 5, false, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"},
        {REQUEST("HEAD", ""), 200, -1, true, "HTTP/1.1 200 OK\r\n\r\n"},
        {REQUEST("GET", ""), 304, 5, true,
         "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n"},
        {REQUEST("GET", ""), 304, -1, false, "HTTP/1.1 304 Not Modified\r\n\r\n"},
        {REQUEST("GET", ""), 204, 0, true, "HTTP/1.1 204 No Content\r\n\r\n"},
        {REQUEST("GET", ""), 205, -1, true,
         "HTTP/1.1 205 Reset Content\r\ncontent-length: 0\r\n\r\n"},
        {REQUEST("GET", ""), 200, 0, false, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"},
        {REQUEST("GET", ""), 599, 0, true, "HTTP/1.1 599 Unknown\r\ncontent-length: 0\r\n\r\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        rec_open(&r, H1_SERVER);
        assert_int_equal(rec_feed_str(&r, table[i].in), 0);
        assert_int_equal(respond(&r, table[i].status, table[i].length, table[i].end), 0);
        assert_int_equal(body(&r, "x", true), ERR_USAGE);
        if (!table[i].end)
            assert_int_equal(body(&r, "", true), 0);
        assert_output(table[i].out);
        assert_int_equal(r.dones, 1);
        assert_true(r.reusable);
        rec_close(&r);
    }
}

static void old_clients(void **state)
{
    /* Without a length the close ends the content; informational responses are not for them. */
    rec_open(&r, H1_SERVER);
    assert_int_equal(rec_feed_str(&r, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), 0);
    assert_int_equal(respond(&r, 103, -1, false), 0);
    assert_int_equal(respond(&r, 200, -1, false), 0);
    assert_int_equal(body(&r, "ab", false), 0);
    assert_int_equal(h1_conn_send_trailers(r.conn, &head_of(200, NULL, -1, NULL)->fields), 0);
    assert_output("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nab");
    assert_false(r.reusable);
    rec_close(&r);

    rec_open(&r, H1_SERVER);
    assert_int_equal(rec_feed_str(&r, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), 0);
    assert_int_equal(respond(&r, 200, 1, false), 0);
    assert_int_equal(body(&r, "a", true), 0);
    assert_output("HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: keep-alive\r\n\r\na");
    assert_true(r.reusable);
    rec_close(&r);

    rec_open(&r, H1_SERVER);
    assert_int_equal(rec_feed_str(&r, "GET / HTTP/1.0\r\n\r\n"), 0);
    assert_int_equal(respond(&r, 200, -1, true), 0);
    assert_output("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    assert_false(r.reusable);
    rec_close(&r);
}

static void connection_ends_when_somebody_asks(void **state)
{
    for (int who = 0; who < 4; who++) {
        rec_open(&r, H1_SERVER);
        assert_int_equal(rec_feed_str(&r, who == 0   ? REQUEST("GET", "Connection: x, Close\r\n")
                                          : who == 3 ? REQUEST("GET", "Connection: \", Close\r\n")
                                                     : REQUEST("GET", "")),
                         0);
        if (who == 1)
            h1_conn_shutdown(r.conn);
        assert_int_equal(h1_conn_send_head(r.conn, head_of(200, NULL, 0, NULL), true, who == 2), 0);
        assert_output("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        assert_false(r.reusable);
        rec_close(&r);
    }
}

/* What answers HEAD has no content, whatever else of the request cannot be read. */
static void bad_head_request_gets_no_content(void **state)
{
    static const struct {
        const char *first, *then;
        int err;
    } rows[] = {
        {"HEAD / HTTP/1.1\r\nBad Field\r\n\r\n", "", ERR_BAD_NAME},
        {"HE", "AD / HTTP/1.1\r\nBad Field\r\n\r\n", ERR_BAD_NAME},
        {"HEAD", " /\x01 HTTP/1.1\r\n\r\n", ERR_BAD_START_LINE},
        {"HEAD / HTTP/1.1\r\nBad Field", "\r\n\r\n", ERR_BAD_NAME},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        rec_open(&r, H1_SERVER);
        int err = rec_feed_str(&r, rows[i].first);
        if (!err)
            err = rec_feed_str(&r, rows[i].then);
        assert_int_equal(err, rows[i].err);
        assert_true(h1_conn_is_head(r.conn));
        assert_int_equal(respond(&r, 400, 3, true), 0);
        assert_output("HTTP/1.1 400 Bad Request\r\ncontent-length: 3\r\nconnection: close\r\n\r\n");
        rec_close(&r);
    }
    rec_open(&r, H1_SERVER);
    assert_int_equal(rec_feed_str(&r, "HEAD / HT"), 0);
    assert_int_equal(h1_conn_eof(r.conn), ERR_TRUNCATED);
    assert_true(h1_conn_is_head(r.conn));
    assert_int_equal(respond(&r, 400, 3, true), 0);
    assert_output("HTTP/1.1 400 Bad Request\r\ncontent-length: 3\r\nconnection: close\r\n\r\n");
    rec_close(&r);
}

static void bad_request_is_answered(void **state)
{
    rec_open(&r, H1_SERVER);
    assert_int_equal(rec_feed_str(&r, "GET / HTTP/1.1\r\n\r\n"), ERR_BAD_HOST);
    assert_true(h1_conn_can_respond(r.conn) && !h1_conn_is_head(r.conn));
    assert_int_equal(respond(&r, 400, 3, false), 0);
    assert_int_equal(body(&r, "bad", true), 0);
    assert_output("HTTP/1.1 400 Bad Request\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbad");
    assert_seen("done close\n");
    assert_int_equal(h1_conn_eof(r.conn), ERR_BAD_HOST);
    rec_close(&r);

    /* In the content: only if nothing was said yet. */
    for (int begun = 0; begun < 2; begun++) {
        rec_open(&r, H1_SERVER);
        assert_int_equal(
            rec_feed_str(&r, REQUEST("PUT", "Transfer-Encoding: chunked\r\n") "1\r\na"), 0);
        if (begun)
            assert_int_equal(respond(&r, 200, -1, false), 0);
        assert_int_equal(rec_feed_str(&r, "x"), ERR_BAD_CHUNK);
        assert_int_equal(h1_conn_can_respond(r.conn), !begun);
        rec_close(&r);
    }
}

/* What one exchange was must not colour the next one. */
static void exchanges_are_apart(void **state)
{
    static const char *const heads[] = {
        REQUEST("HEAD", ""),
        "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        REQUEST("GET", "Connection: upgrade\r\nUpgrade: websocket\r\n"),
    };
    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        rec_open(&r, H1_SERVER);
        assert_int_equal(rec_feed_str(&r, heads[i]), 0);
        assert_int_equal(respond(&r, 404, 0, true), 0);
        rec_output(&r);
        assert_true(r.reusable);
        assert_int_equal(rec_feed_str(&r, "bad\r\n\r\n"), ERR_BAD_START_LINE);
        assert_int_equal(respond(&r, 101, -1, false), ERR_USAGE);
        assert_int_equal(respond(&r, 200, -1, false), 0);
        assert_int_equal(body(&r, "bad", true), 0);
        assert_output("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
                      "3\r\nbad\r\n0\r\n\r\n");
        rec_close(&r);
    }
}

static void lengths_are_kept(void **state)
{
    rec_open(&r, H1_SERVER);
    assert_int_equal(body(&r, "x", false), ERR_USAGE);
    assert_int_equal(respond(&r, 200, 1, true), ERR_USAGE);
    assert_int_equal(rec_feed_str(&r, REQUEST("GET", "")), 0);
    assert_int_equal(body(&r, "x", false), ERR_USAGE);
    assert_int_equal(respond(&r, 200, 1, true), ERR_USAGE);
    assert_int_equal(respond(&r, 99, 0, true), ERR_USAGE);
    assert_int_equal(respond(&r, 101, 0, false), ERR_USAGE);
    assert_int_equal(h1_conn_upgrade(r.conn), ERR_USAGE);
    assert_int_equal(respond(&r, 200, 3, false), 0);
    assert_int_equal(body(&r, "abcd", true), ERR_USAGE);
    assert_int_equal(body(&r, "ab", false), 0);
    assert_int_equal(h1_conn_queued(r.conn), 2);
    assert_int_equal(body(&r, "cd", true), ERR_USAGE);
    assert_int_equal(body(&r, "", true), ERR_TRUNCATED);
    assert_int_equal(body(&r, "c", true), ERR_USAGE);
    assert_output("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab");
    assert_int_equal(r.dones, 0);
    rec_close(&r);

    /* Client: whatever the answer is, the connection ends. */
    rec_open(&r, H1_CLIENT);
    assert_int_equal(request(&r, "PUT", 3, false), 0);
    assert_int_equal(body(&r, "ab", true), ERR_TRUNCATED);
    rec_output(&r);
    assert_int_equal(rec_feed_str(&r, "HTTP/1.1 204 x\r\n\r\n"), 0);
    assert_seen("204 end\ndone close\n");
    rec_close(&r);
}

static void chunked_and_trailers_are_written(void **state)
{
    static const char *const trailers[][2] = {
        {"x-sum", "1"}, {"content-length", "9"}, {"host", "x"}, {"y", "2"}, {NULL, NULL}};
    for (size_t cap = 1; cap < 64; cap++) {
        char out[256];
        size_t n = 0;
        rec_open(&r, H1_SERVER);
        assert_int_equal(rec_feed_str(&r, REQUEST("GET", "")), 0);
        assert_int_equal(respond(&r, 200, -1, false), 0);
        assert_int_equal(body(&r, "0123456789abcdefXYZ", false), 0);
        assert_int_equal(body(&r, "", false), 0);
        assert_int_equal(h1_conn_send_trailers(r.conn, &head_of(200, NULL, -1, trailers)->fields),
                         0);
        while (h1_conn_has_output(r.conn)) {
            size_t k = h1_conn_output(r.conn, out + n, cap);
            assert_true(k > 0 && k <= cap);
            n += k;
        }
        out[n] = '\0';
        assert_string_equal(out, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
                                 "13\r\n0123456789abcdefXYZ\r\n0\r\nx-sum: 1\r\ny: 2\r\n\r\n");
        assert_int_equal(r.sent, 19);
        assert_int_equal(r.dones, 1);
        rec_close(&r);
    }
}

/* ---- what is left out, what is refused ---- */

static void hop_by_hop_fields_stay_here(void **state)
{
    static const char *const fields[][2] = {
        {"accept", "*/*"},
        {"connection", "close, X-Hop, x-forwarded-for, Keep-Alive"},
        {"x-hop", "1"},
        {"x-hop2", "2"},
        {"x-forwarded-for", "1.2.3.4"},
        {"transfer-encoding", "chunked"},
        {"content-length", "77"},
        {"keep-alive", "timeout=1"},
        {"proxy-connection", "keep-alive"},
        {"upgrade", "websocket"},
        {"http2-settings", "AAA"},
        {"te", "trailers, gzip"},
        {"trailer", "x"},
        {"host", "evil"},
        {"cookie", "a=b"},
        {"x", ""},
        {"cookie", "c=d"},
        {NULL, NULL},
    };
    rec_open(&r, H1_CLIENT);
    assert_int_equal(h1_conn_send_head(r.conn, head_of(0, "GET", -1, fields), true, false), 0);
    assert_output(
        "GET / HTTP/1.1\r\nhost: a\r\naccept: */*\r\nx-hop2: 2\r\nx-forwarded-for: 1.2.3.4\r\n"
        "cookie: a=b; c=d\r\nx: \r\nte: trailers\r\nconnection: te\r\n\r\n");
    rec_close(&r);

    rec_open(&r, H1_SERVER);
    assert_int_equal(rec_feed_str(&r, REQUEST("GET", "")), 0);
    assert_int_equal(h1_conn_send_head(r.conn, head_of(200, NULL, 0, fields), true, false), 0);
    assert_output("HTTP/1.1 200 OK\r\naccept: */*\r\nx-hop2: 2\r\nx-forwarded-for: 1.2.3.4\r\n"
                  "host: evil\r\ncookie: a=b; c=d\r\nx: \r\ncontent-length: 0\r\n\r\n");
    rec_close(&r);
}

static void what_would_split_a_message_is_not_sent(void **state)
{
    static const char *const bad[][2][2] = {
        {{"x", "a\r\nb: c"}, {NULL, NULL}}, {{"x", "a\n"}, {NULL, NULL}},
        {{"x", "\r"}, {NULL, NULL}},        {{"x", "12345678\001"}, {NULL, NULL}},
        {{"x y", "a"}, {NULL, NULL}},       {{"x:", "a"}, {NULL, NULL}},
        {{"x\r\ny", "a"}, {NULL, NULL}},    {{"", "a"}, {NULL, NULL}},
        {{":path", "/"}, {NULL, NULL}},     {{"cookie", "a\r\n"}, {NULL, NULL}},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        rec_open(&r, H1_SERVER);
        assert_int_equal(rec_feed_str(&r, REQUEST("GET", "")), 0);
        assert_int_equal(h1_conn_send_head(r.conn, head_of(200, NULL, 0, bad[i]), true, false),
                         ERR_USAGE);
        assert_false(h1_conn_has_output(r.conn));
        assert_int_equal(respond(&r, 200, -1, false), 0);
        if (bad[i][0][0][0] != ':' && bad[i][0][0][0] != 'c')
            assert_int_equal(h1_conn_send_trailers(r.conn, &head_of(200, NULL, -1, bad[i])->fields),
                             ERR_USAGE);
        rec_close(&r);
    }
    rec_open(&r, H1_SERVER);
    assert_int_equal(rec_feed_str(&r, REQUEST("GET", "")), 0);
    struct http_head head = *head_of(200, NULL, 0, bad[0]);
    head.fields.at[0].value = slice_of("a\0b", 3);
    assert_int_equal(h1_conn_send_head(r.conn, &head, true, false), ERR_USAGE);
    rec_close(&r);

    rec_open(&r, H1_CLIENT);
    for (int part = 0; part < 8; part++) {
        head = *head_of(0, "GET", -1, NULL);
        switch (part) {
        case 0:
            head.method = SLICE("GET /x");
            break;
        case 1:
            head.path = SLICE("/ HTTP/1.1\r\nx: y");
            break;
        case 2:
            head.path = SLICE("/a b");
            break;
        case 3:
            head.path = SLICE("");
            break;
        case 4:
            head.authority = SLICE("a\r\nx: y");
            break;
        case 5:
            head.protocol = SLICE("a\r\nb");
            break;
        case 6:
            head.method = SLICE("");
            break;
        default:
            head.content_length = 5;
            break;
        }
        assert_int_equal(h1_conn_send_head(r.conn, &head, true, false), ERR_USAGE);
        assert_false(h1_conn_has_output(r.conn));
        assert_true(h1_conn_is_idle(r.conn));
    }
    rec_close(&r);
}

/* ---- client ---- */

static void client_requests_are_framed(void **state)
{
    static const struct {
        const char *method;
        int64_t length;
        const char *body; /* NULL: none */
        const char *out;
    } table[] = {
        {"GET", -1, NULL, "GET / HTTP/1.1\r\nhost: a\r\n\r\n"},
        {"GET", 0, NULL, "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"},
        {"POST", -1, NULL, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"},
        {"DELETE", -1, NULL, "DELETE / HTTP/1.1\r\nhost: a\r\n\r\n"},
        {"GET", 2, "hi", "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi"},
        {"POST", 0, "", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"},
        {"POST", -1, "",
         "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"},
        {"POST", -1, "hi",
         "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        rec_open(&r, H1_CLIENT);
        assert_int_equal(request(&r, table[i].method, table[i].length, !table[i].body), 0);
        assert_int_equal(request(&r, "GET", -1, true), ERR_USAGE);
        if (table[i].body)
            assert_int_equal(body(&r, table[i].body, true), 0);
        assert_output(table[i].out);
        assert_false(h1_conn_response_begun(r.conn));
        assert_int_equal(rec_feed_str(&r, "H"), 0);
        assert_true(h1_conn_response_begun(r.conn));
        assert_int_equal(rec_feed_str(&r, "TTP/1.1 204 x\r\n\r\n"), 0);
        assert_seen("204 end\ndone\n");
        assert_true(h1_conn_is_idle(r.conn));
        rec_close(&r);
    }
}

static void head_response_has_no_content(void **state)
{
    rec_open(&r, H1_CLIENT);
    assert_int_equal(request(&r, "HEAD", -1, true), 0);
    rec_output(&r);
    assert_int_equal(rec_feed_str(&r, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"), 0);
    assert_seen("200 #9 end\ncontent-length: 9\ndone\n");
    assert_int_equal(request(&r, "HEAD", -1, true), 0);
    rec_output(&r);
    assert_int_equal(rec_feed_str(&r, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), 0);
    assert_seen("200 end\ntransfer-encoding: chunked\ndone\n");
    rec_close(&r);
}

static void content_until_close(void **state)
{
    rec_open(&r, H1_CLIENT);
    assert_int_equal(request(&r, "GET", -1, true), 0);
    rec_output(&r);
    assert_int_equal(rec_feed_str(&r, "HTTP/1.1 200 OK\r\n\r\nabc"), 0);
    assert_int_equal(rec_feed_str(&r, "HTTP/1.1 200 OK\r\n\r\n"), 0);
    assert_int_equal(h1_conn_eof(r.conn), 0);
    assert_seen("200\n[abcHTTP/1.1 200 OK\r\n\r\n] end\ndone close\n");
    rec_close(&r);
}

static void client_eof(void **state)
{
    static const struct {
        const char *in;
        int err;
    } table[] = {
        {"", ERR_CLOSED},
        {"H", ERR_TRUNCATED},
        {"HTTP/1.1 100 Continue\r\n\r\n", ERR_TRUNCATED},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na", ERR_TRUNCATED},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1", ERR_TRUNCATED},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\na", ERR_TRUNCATED},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na", ERR_TRUNCATED},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r", ERR_TRUNCATED},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n", ERR_TRUNCATED},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", ERR_TRUNCATED},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n", ERR_TRUNCATED},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        rec_open(&r, H1_CLIENT);
        assert_int_equal(request(&r, "GET", -1, true), 0);
        rec_output(&r);
        assert_int_equal(rec_feed_str(&r, table[i].in), 0);
        assert_int_equal(h1_conn_eof(r.conn), table[i].err);
        assert_int_equal(h1_conn_eof(r.conn), table[i].err);
        assert_null(table[i].err ? strstr(r.text, "end") : NULL);
        assert_null(table[i].err ? strstr(r.text, "done") : NULL);
        rec_close(&r);
    }
}

static void unsent_request_is_taken_back(void **state)
{
    rec_open(&r, H1_CLIENT);
    assert_false(h1_conn_take_back(r.conn)); /* there is none */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(request(&r, "HEAD", -1, true), 0);
        assert_true(h1_conn_take_back(r.conn));
        assert_true(h1_conn_is_idle(r.conn));
        assert_int_equal(request(&r, "POST", 3, false), 0);
        assert_int_equal(body(&r, "a", false), 0);
        assert_true(h1_conn_take_back(r.conn));
        assert_int_equal(request(&r, "POST", 3, false), 0);
        assert_int_equal(body(&r, "a", true), ERR_TRUNCATED);
        assert_true(h1_conn_take_back(r.conn));
        assert_int_equal(request(&r, "POST", -1, false), 0);
        assert_int_equal(body(&r, "a", true), 0);
        assert_true(h1_conn_take_back(r.conn));
        assert_output("");
        assert_seen("");
    }
    /* Nothing of them is left in the next exchange. */
    assert_int_equal(request(&r, "GET", -1, true), 0);
    char one;
    assert_int_equal(h1_conn_output(r.conn, &one, 1), 1);
    assert_false(h1_conn_take_back(r.conn));
    rec_output(&r);
    assert_int_equal(rec_feed_str(&r, "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx"), 0);
    assert_seen("200 #1\ncontent-length: 1\n[x] end\ndone\n");
    assert_true(r.reusable);
    rec_close(&r);
    /* An answer that came before the request. */
    rec_open(&r, H1_CLIENT);
    assert_int_equal(request(&r, "GET", -1, true), 0);
    rec_feed_str(&r, "H");
    assert_false(h1_conn_take_back(r.conn));
    rec_close(&r);
    rec_open(&r, H1_SERVER);
    assert_int_equal(rec_feed_str(&r, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), 0);
    assert_false(h1_conn_take_back(r.conn));
    rec_close(&r);
}

static void server_eof(void **state)
{
    static const struct {
        const char *in;
        int err;
    } table[] = {
        {"", 0},
        {"\r\n", 0},
        {"G", ERR_TRUNCATED},
        {"GET / HTTP/1.1\r\nHost: a\r\n", ERR_TRUNCATED},
        {REQUEST("GET", ""), 0},
        {REQUEST("PUT", "Content-Length: 2\r\n") "1", ERR_TRUNCATED},
        {REQUEST("PUT", "Transfer-Encoding: chunked\r\n"), ERR_TRUNCATED},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        rec_open(&r, H1_SERVER);
        assert_int_equal(rec_feed_str(&r, table[i].in), 0);
        assert_int_equal(h1_conn_eof(r.conn), table[i].err);
        rec_close(&r);
    }
}

static void unasked_octets_are_not_an_answer(void **state)
{
    /* idle */
    rec_open(&r, H1_CLIENT);
    assert_int_equal(rec_feed_str(&r, "HTTP/1.1 200 OK\r\n\r\n"), ERR_UNASKED);
    rec_close(&r);
    /* queued, but nothing of it has left */
    rec_open(&r, H1_CLIENT);
    assert_int_equal(request(&r, "GET", -1, true), 0);
    assert_int_equal(rec_feed_str(&r, "HTTP/1.1 200 OK\r\n\r\n"), ERR_UNASKED);
    rec_close(&r);
    /* behind an answer, in the same octets and later */
    for (int later = 0; later < 2; later++) {
        rec_open(&r, H1_CLIENT);
        assert_int_equal(request(&r, "GET", -1, true), 0);
        rec_output(&r);
        assert_int_equal(
            rec_feed_str(&r, later ? "HTTP/1.1 204 x\r\n\r\n" : "HTTP/1.1 204 x\r\n\r\nH"), 0);
        assert_int_equal(r.dones, 1);
        assert_int_equal(r.reusable, later);
        if (later)
            assert_int_equal(rec_feed_str(&r, "H"), ERR_UNASKED);
        else
            assert_int_equal(request(&r, "GET", -1, true), ERR_USAGE);
        rec_close(&r);
    }
}

static void answer_before_the_request_has_left(void **state)
{
    /* The request is finished after all. */
    rec_open(&r, H1_CLIENT);
    assert_int_equal(request(&r, "PUT", 4, false), 0);
    assert_int_equal(body(&r, "ab", false), 0);
    rec_output(&r);
    assert_int_equal(rec_feed_str(&r, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), 0);
    assert_seen("200 #0 end\ncontent-length: 0\n");
    assert_int_equal(body(&r, "cd", true), 0);
    assert_output("cd");
    assert_seen("done\n");
    assert_true(h1_conn_is_idle(r.conn));
    rec_close(&r);
    /* The worker closes: the rest of the request is not wanted. */
    for (int how = 0; how < 3; how++) {
        rec_open(&r, H1_CLIENT);
        assert_int_equal(request(&r, "PUT", 4, false), 0);
        rec_output(&r);
        assert_int_equal(body(&r, "ab", false), 0);
        assert_int_equal(
            rec_feed_str(
                &r, how == 0 ? "HTTP/1.1 413 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                             : "HTTP/1.1 413 x\r\nContent-Length: 0\r\n\r\n"),
            0);
        if (how == 1)
            assert_int_equal(h1_conn_eof(r.conn), 0);
        if (how == 2)
            assert_int_equal(rec_feed_str(&r, "x"), 0);
        assert_int_equal(r.dones, 1);
        assert_false(r.reusable);
        assert_false(h1_conn_has_output(r.conn));
        assert_int_equal(body(&r, "cd", true), ERR_USAGE);
        rec_close(&r);
    }
}

static void client_asks_for_the_end(void **state)
{
    rec_open(&r, H1_CLIENT);
    assert_int_equal(h1_conn_send_head(r.conn, head_of(0, "GET", -1, NULL), true, true), 0);
    assert_output("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    assert_int_equal(rec_feed_str(&r, "HTTP/1.1 204 x\r\n\r\n"), 0);
    assert_false(r.reusable);
    rec_close(&r);
    rec_open(&r, H1_CLIENT);
    assert_int_equal(request(&r, "GET", -1, true), 0);
    rec_output(&r);
    h1_conn_shutdown(r.conn);
    assert_int_equal(rec_feed_str(&r, "HTTP/1.1 204 x\r\n\r\n"), 0);
    assert_false(r.reusable);
    rec_close(&r);
}

static void on_done_again(void *user, bool reusable)
{
    rec_done(user, reusable);
    if (reusable && r.dones < 3) {
        assert_true(h1_conn_is_idle(r.conn));
        assert_int_equal(request(&r, "GET", -1, true), 0);
        assert_non_null(arena_alloc(h1_conn_arena(r.conn), 16));
    }
}

static void next_request_from_within_on_done(void **state)
{
    struct h1_events events = recorder_events;
    events.on_done = on_done_again;
    rec_open(&r, H1_CLIENT);
    h1_conn_free(r.conn);
    r.conn = h1_conn_new(H1_CLIENT, &r.limits, &events, &r, &r.pool);
    assert_int_equal(request(&r, "GET", -1, true), 0);
    for (int i = 0; i < 3; i++) {
        assert_output("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_int_equal(rec_feed_str(&r, "HTTP/1.1 204 x\r\n\r\n"), 0);
    }
    assert_int_equal(r.dones, 3);
    rec_close(&r);
}

/* ---- switching protocols ---- */

static const char *const websocket[][2] = {{"sec-websocket-version", "13"}, {NULL, NULL}};

static struct http_head upgrade_head(unsigned status)
{
    struct http_head head = *head_of(status, status ? NULL : "GET", -1, websocket);
    head.protocol = SLICE("websocket");
    return head;
}

static void accept_upgrade(struct recorder *rec, const struct http_head *head)
{
    struct http_head switching = upgrade_head(101);
    if (head->protocol.len == 0)
        return;
    assert_int_equal(h1_conn_send_head(rec->conn, &switching, false, false), 0);
    assert_int_equal(h1_conn_upgrade(rec->conn), 0);
}

static void server_switches(void **state)
{
    for (int at_once = 0; at_once < 2; at_once++) {
        rec_open(&r, H1_SERVER);
        r.then = at_once ? accept_upgrade : NULL;
        assert_int_equal(
            rec_feed_str(&r, REQUEST("GET", "Connection: Upgrade\r\nUpgrade: websocket\r\n") "fr"),
            0);
        assert_int_equal(h1_conn_wants_input(r.conn), at_once);
        if (!at_once) {
            assert_int_equal(h1_conn_upgrade(r.conn), ERR_USAGE);
            struct http_head head = {.protocol = SLICE("websocket")};
            accept_upgrade(&r, &head);
            assert_int_equal(h1_conn_resume(r.conn), 0);
        }
        assert_int_equal(rec_feed_str(&r, "ame\r\n"), 0);
        assert_seen("GET / @a ^websocket end\nhost: a\nconnection: Upgrade\nupgrade: websocket\n"
                    "~frame\r\n");
        assert_int_equal(body(&r, "raw", false), 0);
        assert_output("HTTP/1.1 101 Switching Protocols\r\nsec-websocket-version: 13\r\n"
                      "upgrade: websocket\r\nconnection: upgrade\r\n\r\nraw");
        assert_int_equal(body(&r, "end", true), 0);
        assert_output("end");
        assert_int_equal(r.dones, 0);
        assert_int_equal(h1_conn_eof(r.conn), 0);
        assert_int_equal(r.dones, 1);
        assert_false(r.reusable);
        rec_close(&r);
    }
}

static void server_may_decline(void **state)
{
    rec_open(&r, H1_SERVER);
    assert_int_equal(
        rec_feed_str(&r, REQUEST("GET", "Connection: Upgrade\r\nUpgrade: websocket\r\n")), 0);
    assert_int_equal(respond(&r, 403, 0, true), 0);
    assert_output("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
    assert_true(r.reusable);
    rec_close(&r);
}

static void client_switches(void **state)
{
    struct http_head asking = upgrade_head(0);
    rec_open(&r, H1_CLIENT);
    assert_int_equal(h1_conn_send_head(r.conn, &asking, false, false), ERR_USAGE);
    assert_int_equal(h1_conn_send_head(r.conn, &asking, true, false), 0);
    assert_output("GET / HTTP/1.1\r\nhost: a\r\nsec-websocket-version: 13\r\nupgrade: websocket\r\n"
                  "connection: upgrade\r\n\r\n");
    assert_int_equal(h1_conn_upgrade(r.conn), ERR_USAGE);
    assert_int_equal(rec_feed_str(&r, "HTTP/1.1 101 x\r\nUpgrade: websocket\r\n"
                                      "Connection: upgrade\r\n\r\nfr"),
                     0);
    assert_seen("101 ^websocket\nupgrade: websocket\nconnection: upgrade\n");
    assert_false(h1_conn_wants_input(r.conn));
    assert_int_equal(h1_conn_upgrade(r.conn), 0);
    assert_int_equal(h1_conn_resume(r.conn), 0);
    assert_seen("~fr");
    assert_int_equal(body(&r, "raw", true), 0);
    assert_output("raw");
    assert_int_equal(h1_conn_eof(r.conn), 0);
    assert_seen("done close\n");
    rec_close(&r);
}

static void connect_makes_a_tunnel(void **state)
{
    struct http_head head = {.method = SLICE("CONNECT"), .authority = SLICE("b:443")};
    rec_open(&r, H1_CLIENT);
    assert_int_equal(h1_conn_send_head(r.conn, &head, true, false), 0);
    assert_output("CONNECT b:443 HTTP/1.1\r\nhost: b:443\r\n\r\n");
    assert_int_equal(rec_feed_str(&r, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"), 0);
    assert_seen("200\ncontent-length: 5\n");
    assert_int_equal(h1_conn_upgrade(r.conn), 0);
    assert_int_equal(rec_feed_str(&r, "cd"), 0);
    assert_seen("~abcd");
    rec_close(&r);

    rec_open(&r, H1_SERVER);
    assert_int_equal(rec_feed_str(&r, "CONNECT b:1 HTTP/1.1\r\nHost: b:1\r\n\r\nab"), 0);
    assert_int_equal(respond(&r, 200, 0, true), ERR_USAGE);
    assert_int_equal(respond(&r, 200, -1, false), 0);
    assert_int_equal(body(&r, "x", false), ERR_USAGE);
    assert_int_equal(h1_conn_upgrade(r.conn), 0);
    assert_int_equal(h1_conn_resume(r.conn), 0);
    assert_int_equal(body(&r, "x", false), 0);
    assert_output("HTTP/1.1 200 OK\r\n\r\nx");
    assert_seen("CONNECT  @b:1 end\nhost: b:1\n~ab");
    rec_close(&r);

    rec_open(&r, H1_SERVER);
    /* Refused, and what follows was meant for the tunnel. */
    assert_int_equal(
        rec_feed_str(&r, "CONNECT b:1 HTTP/1.1\r\nHost: b:1\r\n\r\n" REQUEST("GET", "")), 0);
    assert_int_equal(respond(&r, 405, 0, true), 0);
    assert_output("HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\n"
                  "connection: close\r\n\r\n");
    assert_seen("CONNECT  @b:1 end\nhost: b:1\ndone close\n");
    rec_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(server_keeps_the_connection),
        cmocka_unit_test(pipelined_requests_wait),
        cmocka_unit_test(half_closed_client_gets_its_answers),
        cmocka_unit_test(continue_is_asked_for_and_sent),
        cmocka_unit_test(request_cut_off_by_the_response),
        cmocka_unit_test(end_without_octets_still_ends),
        cmocka_unit_test(responses_without_content),
        cmocka_unit_test(old_clients),
        cmocka_unit_test(connection_ends_when_somebody_asks),
        cmocka_unit_test(bad_head_request_gets_no_content),
        cmocka_unit_test(bad_request_is_answered),
        cmocka_unit_test(exchanges_are_apart),
        cmocka_unit_test(lengths_are_kept),
        cmocka_unit_test(chunked_and_trailers_are_written),
        cmocka_unit_test(hop_by_hop_fields_stay_here),
        cmocka_unit_test(what_would_split_a_message_is_not_sent),
        cmocka_unit_test(client_requests_are_framed),
        cmocka_unit_test(head_response_has_no_content),
        cmocka_unit_test(content_until_close),
        cmocka_unit_test(client_eof),
        cmocka_unit_test(unsent_request_is_taken_back),
        cmocka_unit_test(server_eof),
        cmocka_unit_test(unasked_octets_are_not_an_answer),
        cmocka_unit_test(answer_before_the_request_has_left),
        cmocka_unit_test(client_asks_for_the_end),
        cmocka_unit_test(next_request_from_within_on_done),
        cmocka_unit_test(server_switches),
        cmocka_unit_test(server_may_decline),
        cmocka_unit_test(client_switches),
        cmocka_unit_test(connect_makes_a_tunnel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
