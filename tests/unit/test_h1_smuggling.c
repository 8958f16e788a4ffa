/* SPDX-License-Identifier: Apache-2.0 */
/* Tricks that make two readers of one octet stream see different messages: each with the verdict
 * that we stand by.  Refused means that not one octet of the hidden request is ever read as one;
 * where a reading is allowed, what reaches the next hop is one plain message with the same reading.
 */
#include "h1_recorder.h"

#include "base/panic.h"

#define POST   "POST / HTTP/1.1\r\nHost: a\r\n"
#define HIDDEN "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"

enum verdict {
    REFUSED, /* 400 or 501, nothing after it is read */
    ONE,     /* all octets belong to one request */
    TWO,     /* HIDDEN is a second request, for everyone */
};

struct trick {
    const char *name;
    const char *in;
    enum verdict verdict;
};

static const struct trick tricks[] = {
    /* Content-Length against Transfer-Encoding */
    {"cl.te", POST "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" HIDDEN,
     REFUSED},
    {"te.cl", POST "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" HIDDEN,
     REFUSED},
    {"cl0.te", POST "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" HIDDEN,
     REFUSED},
    {"te.1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" HIDDEN, REFUSED},
    /* Transfer-Encoding that one reader misses */
    {"te.case", POST "tRANSFER-ENCODING: CHUNKED\r\n\r\n0\r\n\r\n" HIDDEN, TWO},
    {"te.tab", POST "Transfer-Encoding:\tchunked\t\r\n\r\n0\r\n\r\n" HIDDEN, TWO},
    {"te.nospace", POST "Transfer-Encoding:chunked\r\n\r\n0\r\n\r\n" HIDDEN, TWO},
    {"te.space-colon", POST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" HIDDEN, REFUSED},
    {"te.space-before", POST " Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" HIDDEN, REFUSED},
    {"te.fold", POST "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" HIDDEN, REFUSED},
    {"te.fold-name", POST "X: y\r\n\tTransfer-Encoding: chunked\r\n\r\n" HIDDEN, REFUSED},
    {"te.vt",
     POST "Transfer-Encoding: \x0b"
          "chunked\r\n\r\n0\r\n\r\n" HIDDEN,
     REFUSED},
    {"te.ff", POST "Transfer-Encoding: chunked\x0c\r\n\r\n0\r\n\r\n" HIDDEN, REFUSED},
    {"te.ff-name", POST "\x0cTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" HIDDEN, REFUSED},
    {"te.bare-lf", POST "X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" HIDDEN, REFUSED},
    {"te.bare-cr", POST "X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" HIDDEN, REFUSED},
    {"te.quoted", POST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n" HIDDEN, REFUSED},
    {"te.param", POST "Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n" HIDDEN, REFUSED},
    {"te.comma", POST "Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n" HIDDEN, REFUSED},
    {"te.comma-first", POST "Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n" HIDDEN, REFUSED},
    {"te.twice",
     POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" HIDDEN,
     REFUSED},
    {"te.list-twice", POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" HIDDEN, REFUSED},
    {"te.identity", POST "Transfer-Encoding: identity\r\n\r\n" HIDDEN, REFUSED},
    {"te.identity-last", POST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" HIDDEN,
     REFUSED},
    {"te.two-lines",
     POST "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", REFUSED},
    {"te.xchunked", POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" HIDDEN, REFUSED},
    {"te.underscore", POST "Transfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", ONE},
    {"te.empty", POST "Transfer-Encoding:\r\n\r\n0\r\n\r\n" HIDDEN, REFUSED},
    {"te.get", "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" HIDDEN,
     TWO},
    {"te.connection",
     POST "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n"
          "0\r\n\r\n" HIDDEN,
     TWO},
    /* Content-Length that is not one number */
    {"cl.differ", POST "Content-Length: 0\r\nContent-Length: 5\r\n\r\n12345", REFUSED},
    {"cl.list-differ", POST "Content-Length: 5, 0\r\n\r\n12345", REFUSED},
    {"cl.same", POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n12345" HIDDEN, TWO},
    {"cl.list-same", POST "Content-Length: 5, 5\r\n\r\n12345" HIDDEN, TWO},
    {"cl.plus", POST "Content-Length: +5\r\n\r\n12345", REFUSED},
    {"cl.minus", POST "Content-Length: -1234\r\n\r\n", REFUSED},
    {"cl.minus-big", POST "Content-Length: -123456789123456789123456789\r\n\r\n", REFUSED},
    {"cl.hex", POST "Content-Length: 0x5\r\n\r\n12345", REFUSED},
    {"cl.exponent", POST "Content-Length: 5e0\r\n\r\n12345", REFUSED},
    {"cl.dot", POST "Content-Length: 5.0\r\n\r\n12345", REFUSED},
    {"cl.letters", POST "Content-Length: abc\r\n\r\n", REFUSED},
    {"cl.space-inside", POST "Content-Length: 1 0\r\n\r\n1234567890", REFUSED},
    {"cl.quoted", POST "Content-Length: \"5\"\r\n\r\n12345", REFUSED},
    {"cl.empty", POST "Content-Length:\r\n\r\n" HIDDEN, REFUSED},
    {"cl.empty-element", POST "Content-Length: 5,,5\r\n\r\n12345", REFUSED},
    {"cl.comma-last", POST "Content-Length: 5,\r\n\r\n12345", REFUSED},
    {"cl.overflow", POST "Content-Length: 18446744073709551621\r\n\r\n12345", REFUSED},
    {"cl.above-63", POST "Content-Length: 9223372036854775808\r\n\r\n12345", REFUSED},
    {"cl.space-colon", POST "Content-Length : 5\r\n\r\n12345", REFUSED},
    {"cl.fold", POST "Content-Length:\r\n 5\r\n\r\n12345", REFUSED},
    {"cl.vt",
     POST "Content-Length:\x0b"
          "5\r\n\r\n12345",
     REFUSED},
    {"cl.get", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12345" HIDDEN, TWO},
    {"cl.head", "HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12345" HIDDEN, TWO},
    {"cl.options-content",
     "OPTIONS / HTTP/1.1\r\nHost: a\r\nContent-Length: 33\r\n\r\n" HIDDEN HIDDEN, TWO},
    {"te.get-content",
     "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n21\r\n" HIDDEN
     "\r\n0\r\n\r\n" HIDDEN,
     TWO},
    {"cl.connection", POST "Connection: Content-Length\r\nContent-Length: 5\r\n\r\n12345" HIDDEN,
     TWO},
    /* chunks */
    {"chunk.bare-lf-line", POST "Transfer-Encoding: chunked\r\n\r\n5\n12345\r\n0\r\n\r\n", REFUSED},
    {"chunk.bare-lf-after", POST "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\n0\r\n\r\n",
     REFUSED},
    {"chunk.bare-lf-end", POST "Transfer-Encoding: chunked\r\n\r\n0\r\n\n" HIDDEN, REFUSED},
    {"chunk.bare-lf-last", POST "Transfer-Encoding: chunked\r\n\r\n0\n\n" HIDDEN, REFUSED},
    {"chunk.bare-cr-line", POST "Transfer-Encoding: chunked\r\n\r\n5\r12345\r\n0\r\n\r\n", REFUSED},
    {"chunk.cr-after", POST "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\rX0\r\n\r\n", REFUSED},
    {"chunk.two-octets-after",
     POST "Transfer-Encoding: chunked\r\n\r\n5\r\n12345XX0\r\n\r\n" HIDDEN, REFUSED},
    {"chunk.hex-prefix", POST "Transfer-Encoding: chunked\r\n\r\n0x5\r\n12345\r\n0\r\n\r\n",
     REFUSED},
    {"chunk.minus", POST "Transfer-Encoding: chunked\r\n\r\n-5\r\n12345\r\n0\r\n\r\n", REFUSED},
    {"chunk.space-first", POST "Transfer-Encoding: chunked\r\n\r\n 5\r\n12345\r\n0\r\n\r\n",
     REFUSED},
    {"chunk.space-last", POST "Transfer-Encoding: chunked\r\n\r\n5 \r\n12345\r\n0\r\n\r\n",
     REFUSED},
    {"chunk.underscore", POST "Transfer-Encoding: chunked\r\n\r\n1_0\r\n12345\r\n0\r\n\r\n",
     REFUSED},
    {"chunk.wraps-64", POST "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n" HIDDEN,
     REFUSED},
    {"chunk.wraps-sign", POST "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n" HIDDEN,
     REFUSED},
    {"chunk.empty-size", POST "Transfer-Encoding: chunked\r\n\r\n\r\n\r\n" HIDDEN, REFUSED},
    {"chunk.extension",
     POST "Transfer-Encoding: chunked\r\n\r\n5;a=b\r\n12345\r\n0;c\r\n\r\n" HIDDEN, TWO},
    {"chunk.extension-lf", POST "Transfer-Encoding: chunked\r\n\r\n5;a\n12345\r\n0\r\n\r\n",
     REFUSED},
    {"chunk.extension-cr", POST "Transfer-Encoding: chunked\r\n\r\n5;a\rb\r\n12345\r\n0\r\n\r\n",
     REFUSED},
    {"chunk.extension-quote", POST "Transfer-Encoding: chunked\r\n\r\n5;a=\"\r\n12345\r\n0\r\n\r\n",
     REFUSED},
    {"chunk.extension-lf-crlf",
     POST "Transfer-Encoding: chunked\r\n\r\n5;a\n\r\n12345\r\n0\r\n\r\n", REFUSED},
    {"chunk.lf-extension", POST "Transfer-Encoding: chunked\r\n\r\n5\n;a\r\n12345\r\n0\r\n\r\n",
     REFUSED},
    {"chunk.cr-extension", POST "Transfer-Encoding: chunked\r\n\r\n5\r;a\r\n12345\r\n0\r\n\r\n",
     REFUSED},
    {"chunk.extension-crcrlf", POST "Transfer-Encoding: chunked\r\n\r\n5;a\r\r\n12345\r\n0\r\n\r\n",
     REFUSED},
    {"chunk.extension-quoted-lf",
     POST "Transfer-Encoding: chunked\r\n\r\n5;a=\"\n\"\r\n12345\r\n0\r\n\r\n", REFUSED},
    {"chunk.extension-escaped-crlf",
     POST "Transfer-Encoding: chunked\r\n\r\n5;a=\"\\\r\n12345\r\n0\r\n\r\n", REFUSED},
    {"chunk.extension-empty", POST "Transfer-Encoding: chunked\r\n\r\n5;\r\n12345\r\n0\r\n\r\n",
     REFUSED},
    {"chunk.extension-blanks",
     POST "Transfer-Encoding: chunked\r\n\r\n5 ; a = \"b\" ;c\r\n12345\r\n0 ;d\r\n\r\n" HIDDEN,
     TWO},
    {"chunk.crcrlf-line", POST "Transfer-Encoding: chunked\r\n\r\n5\r\r\n12345\r\n0\r\n\r\n",
     REFUSED},
    {"chunk.crcrlf-after", POST "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\r\n0\r\n\r\n",
     REFUSED},
    {"chunk.crcrlf-end", POST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\r\n" HIDDEN, REFUSED},
    {"chunk.zeroes", POST "Transfer-Encoding: chunked\r\n\r\n0000\r\n\r\n" HIDDEN, TWO},
    {"chunk.no-end", POST "Transfer-Encoding: chunked\r\n\r\n0\r\n" HIDDEN, REFUSED},
    {"chunk.octets-after-last", POST "Transfer-Encoding: chunked\r\n\r\n0\r\nabc\r\n\r\n", REFUSED},
    {"trailer.fold", POST "Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n c\r\n\r\n" HIDDEN,
     REFUSED},
    {"trailer.cl", POST "Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 50\r\n\r\n" HIDDEN,
     TWO},
    {"trailer.te",
     POST "Transfer-Encoding: chunked\r\n\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n" HIDDEN, TWO},
    /* heads */
    {"head.nul-host", "GET / HTTP/1.1\r\nHost: a\x01\r\n\r\n" HIDDEN, REFUSED},
    {"head.host-twice", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" HIDDEN, REFUSED},
    {"head.host-fold", "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n" HIDDEN, REFUSED},
    {"head.host-space", "GET / HTTP/1.1\r\nHost : a\r\n\r\n" HIDDEN, REFUSED},
    {"head.host-list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n" HIDDEN, REFUSED},
    {"head.host-userinfo", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n" HIDDEN, REFUSED},
    {"head.early-end", "GET / HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n", REFUSED},
    {"head.lf-end", "GET / HTTP/1.1\r\nHost: a\n\n" HIDDEN, REFUSED},
    {"head.crlf-lf", "GET / HTTP/1.1\r\nHost: a\r\n\n" HIDDEN, REFUSED},
    {"head.lf-crlf", "GET / HTTP/1.1\r\nHost: a\n\r\n" HIDDEN, REFUSED},
    {"head.crcrlf", "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n" HIDDEN, REFUSED},
    {"head.0.9", "GET /\r\n" HIDDEN, REFUSED},
    {"head.0.9-version", "GET / HTTP/0.9\r\nHost: a\r\n\r\n" HIDDEN, REFUSED},
    {"head.version-space", "GET / HTTP/1.1 HTTP/1.0\r\nHost: a\r\n\r\n" HIDDEN, REFUSED},
    {"head.version-tail", "GET / HTTP/1.1x\r\nHost: a\r\n\r\n" HIDDEN, REFUSED},
    {"head.tab-target", "GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n" HIDDEN, REFUSED},
    {"head.junk-before", "x" HIDDEN, ONE}, /* method "xGET": the router's matter */
    {"head.lf-before", "\n" HIDDEN, REFUSED},
    {"head.no-colon", "GET / HTTP/1.1\r\nHost: a\r\nGET /hidden HTTP/1.1\r\n\r\n", REFUSED},
    {"connect.content",
     "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 5\r\n\r\n12345" HIDDEN, REFUSED},
    {"upgrade.content",
     "POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: foo\r\nContent-Length: "
     "5\r\n\r\n12345" HIDDEN,
     TWO},
    {"upgrade.h2c",
     "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n"
     "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n" HIDDEN,
     TWO},
};

static struct recorder r;

static const struct http_head no_content = {.status = 204, .content_length = -1};

static unsigned count(const char *text, const char *what)
{
    unsigned n = 0;
    for (const char *p = text; (p = strstr(p, what)); p++)
        n++;
    return n;
}

static void try_trick(const struct trick *t, size_t step)
{
    size_t len = strlen(t->in);
    int err = 0;
    bool complete = false;
    rec_open(&r, H1_SERVER);
    for (size_t at = 0; at < len && !err; at += step)
        err = rec_feed(&r, t->in + at, len - at < step ? len - at : step);
    /* Answer as long as there is something to answer, so that a second request would show. */
    for (int i = 0; i < 3 && !err && h1_conn_can_respond(r.conn); i++) {
        complete = !r.in_body && strstr(r.text, "end");
        assert_int_equal(h1_conn_send_head(r.conn, &no_content, true, false), 0);
        rec_output(&r);
        err = h1_conn_resume(r.conn);
    }
    unsigned hidden = count(r.text, "GET /hidden @a end\n");
    unsigned want = t->verdict == TWO;
    int status = err_row(err)->http_status;
    if (t->verdict == REFUSED && status != 400 && status != 501 && status != 505)
        fail_msg("%s, %zu octets a step: not refused:\n%s", t->name, step, r.text);
    if (t->verdict != REFUSED && (err || !complete))
        fail_msg("%s, %zu octets a step: %s:\n%s", t->name, step, err_text(err), r.text);
    if (t->verdict != ONE && hidden != want)
        fail_msg("%s, %zu octets a step: the hidden request is seen:\n%s", t->name, step, r.text);
    rec_close(&r);
}

static void tricks_are_seen_through(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(tricks); i++) {
        try_trick(&tricks[i], 1);
        try_trick(&tricks[i], 2);
        try_trick(&tricks[i], 7);
        try_trick(&tricks[i], SIZE_MAX);
    }
}

/* ---- passed on ---- */

static struct recorder worker; /* the client side towards the worker */

static void pass_on(struct recorder *rec, const struct http_head *head)
{
    assert_int_equal(h1_conn_send_head(worker.conn, head, !strstr(rec->text, "#"), false), 0);
}

/* What is read once and written again has one framing, of our making. */
static void what_is_passed_on_is_plain(void **state)
{
    static const struct {
        const char *in, *out;
    } table[] = {
        {POST "Connection: Content-Length, Host, X\r\nContent-Length: 5, 5\r\nX: y\r\n\r\n",
         "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n"},
        {"GET http://b/x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n"
         "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
         "GET /x HTTP/1.1\r\nhost: b\r\n\r\n"},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c-14\r\n\r\n",
         "GET / HTTP/1.1\r\nhost: a\r\n\r\n"},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\n\r\n",
         "GET / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"},
        {"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive, x-forwarded-for\r\nKeep-Alive: 5\r\n"
         "X-Forwarded-For: b\r\n\r\n",
         "GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: b\r\n\r\n"},
        {"GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\nTrailer: x\r\n\r\n",
         "GET / HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: te\r\n\r\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        rec_open(&worker, H1_CLIENT);
        rec_open(&r, H1_SERVER);
        r.then = pass_on;
        assert_int_equal(rec_feed_str(&r, table[i].in), 0);
        assert_string_equal(rec_output(&worker), table[i].out);
        rec_close(&r);
        rec_close(&worker);
    }
}

/* ---- responses ---- */

static const struct {
    const char *name, *in;
    int err;
    bool reusable;
} response_tricks[] = {
    {"split", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", 0, false},
    {"cl.te", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     ERR_BAD_FRAMING, false},
    {"te.1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ERR_BAD_FRAMING,
     false},
    {"te.identity", "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", ERR_BAD_FRAMING,
     false},
    {"cl.differ", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n12345",
     ERR_BAD_LENGTH, false},
    {"cl.same", "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n12345", 0, true},
    {"cl.long", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n123456", 0, false},
    {"204.content", "HTTP/1.1 204 OK\r\nContent-Length: 5\r\n\r\n12345", 0, false},
    {"204.octets", "HTTP/1.1 204 OK\r\n\r\n12345", 0, false},
    {"304.octets", "HTTP/1.1 304 OK\r\nContent-Length: 5\r\n\r\n12345", 0, false},
    {"100.content", "HTTP/1.1 100 OK\r\nContent-Length: 5\r\n\r\n12345", ERR_BAD_CONTENT, false},
    {"101.unasked", "HTTP/1.1 101 OK\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
     ERR_BAD_INFORMATIONAL, false},
    {"fold", "HTTP/1.1 200 OK\r\nContent-Length:\r\n 5\r\n\r\n12345", ERR_BAD_NAME, false},
    {"space-colon", "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n12345", ERR_BAD_NAME, false},
    {"bare-lf", "HTTP/1.1 200 OK\nContent-Length: 5\n\n12345", ERR_BAD_LINE, false},
};

static void responses_are_seen_through(void **state)
{
    static const struct http_head get = {
        .method = {"GET", 3}, .authority = {"a", 1}, .path = {"/", 1}, .content_length = -1};
    for (size_t i = 0; i < ARRAY_LEN(response_tricks); i++) {
        for (int whole = 0; whole < 2; whole++) {
            const char *in = response_tricks[i].in;
            int err = 0;
            rec_open(&r, H1_CLIENT);
            assert_int_equal(h1_conn_send_head(r.conn, &get, true, false), 0);
            rec_output(&r);
            if (whole)
                err = rec_feed_str(&r, in);
            else
                for (size_t at = 0; in[at] && !err; at++)
                    err = rec_feed(&r, in + at, 1);
            bool good = err == response_tricks[i].err;
            /* Octets behind an answer: known in time, the connection is given up; later, they are
             * an error.  Either way nobody takes them for the next answer. */
            if (!response_tricks[i].err && !response_tricks[i].reusable)
                good = (!err && !r.reusable) || (!whole && err == ERR_UNASKED);
            if (!good ||
                (!err && (r.dones != 1 || (whole && r.reusable != response_tricks[i].reusable))))
                fail_msg("%s: %s, reusable %d", response_tricks[i].name, err_text(err), r.reusable);
            rec_close(&r);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tricks_are_seen_through),
        cmocka_unit_test(what_is_passed_on_is_plain),
        cmocka_unit_test(responses_are_seen_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
