/* SPDX-License-Identifier: Apache-2.0 */
#include "h1_play.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/panic.h"
#include "h1_strict.h"
#include "http/rules.h"
#include "input.h"

#include <stdlib.h>

#define PIECES_MAX 8

struct play {
    enum h1_role role;
    uint8_t setup, how;
    struct pool pool, own;
    struct h1_conn *conn;
    struct buf events, written;
    struct buf methods; /* of the requests, by their first letter */
    uint64_t body_octets, tunnel_octets;
    int64_t length_left;
    unsigned heads, dones;
    bool in_body, is_over, is_tunnel, to_head;
    uint8_t answer;        /* how the newest message is answered */
    struct slice protocol; /* to which it asks to switch */
    int err;
};

static struct field some_fields[] = {
    {SLICE("x-a"), SLICE("b"), TOKEN_NONE, 0},
    {SLICE("connection"), SLICE("x-a, close"), TOKEN_CONNECTION, 0},
    {SLICE("transfer-encoding"), SLICE("chunked"), TOKEN_TRANSFER_ENCODING, 0},
    {SLICE("content-length"), SLICE("7"), TOKEN_CONTENT_LENGTH, 0},
    {SLICE("cookie"), SLICE("a=b"), TOKEN_COOKIE, 0},
    {SLICE("cookie"), SLICE("c=d"), TOKEN_COOKIE, 0},
    {SLICE("x-cut"), SLICE("a\r\nb: c"), TOKEN_NONE, 0}, /* refused */
};

/* ---- answering ---- */

static void send_content(struct play *p, uint8_t how, int64_t octets)
{
    static const char filler[64];
    const struct fields trailers = {some_fields, how & 3, 3};
    if (octets < 0)
        octets = how >> 2;
    while (octets > 0) {
        size_t n = octets > 40 ? 40 : (size_t)octets;
        if (h1_conn_send_body(p->conn, slice_of(filler, n), NULL, false) < 0)
            break;
        octets -= (int64_t)n;
    }
    if (how & 1)
        h1_conn_send_trailers(p->conn, &trailers);
    else
        h1_conn_send_body(p->conn, SLICE(""), NULL, true);
}

static void respond(struct play *p, uint8_t how)
{
    static const uint16_t statuses[] = {200, 204, 304, 404, 200, 206, 500, 200};
    struct http_head head = {
        .status = statuses[how & 7], .content_length = -1, .fields = {some_fields, how >> 5, 7}};
    if (how & 8) {
        const struct http_head hints = {.status = 103, .content_length = -1};
        h1_conn_send_head(p->conn, &hints, false, false);
    }
    if (p->protocol.len && how & 4) {
        head.status = 101;
        head.protocol = p->protocol;
    }
    if (how & 16)
        head.content_length = how >> 3;
    bool end = (how & 0x41) == 0x41 && head.content_length < 0;
    int err = h1_conn_send_head(p->conn, &head, end && head.status != 101, how == 0xa5);
    if (err == 0 && h1_conn_upgrade(p->conn) == 0) {
        p->is_tunnel = true;
        h1_conn_send_body(p->conn, SLICE("tunnel"), NULL, how & 1);
        return;
    }
    if (err) {
        head.status = 500;
        head.protocol = SLICE("");
        head.fields.count = 0;
        head.content_length = -1;
        ASSERT(h1_conn_send_head(p->conn, &head, true, false) == 0);
    } else if (!end) {
        send_content(p, how, head.content_length);
    }
}

/* Once it is in order to: when the request is complete, or with its head. */
static void answer(struct play *p, bool is_complete)
{
    bool early = p->setup & 1 && p->answer & 1;
    if (p->role == H1_SERVER && early != is_complete && h1_conn_can_respond(p->conn))
        respond(p, p->answer);
}

/* ---- events ---- */

static void note_fields(struct play *p, const struct fields *f)
{
    for (uint32_t i = 0; i < f->count; i++) {
        ASSERT(rules_is_lower_token(f->at[i].name) && rules_is_value(f->at[i].value));
        ASSERT(f->at[i].token == token_find(f->at[i].name));
        buf_printf(&p->events, "%.*s: %.*s\n", SLICE_FMT(f->at[i].name), SLICE_FMT(f->at[i].value));
    }
}

static void on_head(void *user, const struct http_head *head, bool end)
{
    struct play *p = user;
    ASSERT(!p->is_over && !p->in_body && !p->is_tunnel);
    p->heads++;
    buf_printf(&p->events, "%.*s %.*s %.*s %u 1.%u #%lld %.*s%s%s\n", SLICE_FMT(head->method),
               SLICE_FMT(head->path), SLICE_FMT(head->authority), head->status, head->version_minor,
               (long long)head->content_length, SLICE_FMT(head->protocol),
               head->expect_continue ? " expect" : "", end ? " end" : "");
    note_fields(p, &head->fields);
    p->length_left = head->content_length;
    p->body_octets = 0;
    if (p->role == H1_SERVER) {
        ASSERT(rules_is_token(head->method));
        ASSERT(!head->authority.len || rules_is_authority(head->authority));
        p->answer = (uint8_t)(head->path.len * 37 + p->how + head->fields.count * 5);
        p->protocol = head->protocol;
        buf_add_str(&p->methods, slice_eq(head->method, SLICE("HEAD"))      ? "H"
                                 : slice_eq(head->method, SLICE("CONNECT")) ? "C"
                                                                            : "G");
    } else if (h1_conn_upgrade(p->conn) == 0) {
        p->is_tunnel = true;
        h1_conn_send_body(p->conn, SLICE("tunnel"), NULL, p->how & 1);
        return;
    } else if (head->status < 200) {
        ASSERT(!end);
        return;
    }
    p->in_body = !end;
    answer(p, false);
    if (end)
        answer(p, true);
}

static void on_body(void *user, struct slice octets, bool end)
{
    struct play *p = user;
    ASSERT(p->in_body && (octets.len || end));
    buf_add(&p->events, octets.p, octets.len);
    p->body_octets += octets.len;
    if (p->length_left >= 0)
        ASSERT(p->body_octets <= (uint64_t)p->length_left);
    if (!end)
        return;
    if (p->length_left >= 0)
        ASSERT(p->body_octets == (uint64_t)p->length_left);
    p->in_body = false;
    buf_add_str(&p->events, " end\n");
    answer(p, true);
}

static void on_trailers(void *user, const struct fields *trailers)
{
    struct play *p = user;
    ASSERT(p->in_body && p->length_left < 0 && trailers->count);
    p->in_body = false;
    buf_add_str(&p->events, " trailers\n");
    note_fields(p, trailers);
    answer(p, true);
}

static void on_sent(void *user, size_t octets)
{
    ASSERT(octets);
}

static void on_done(void *user, bool reusable)
{
    struct play *p = user;
    ASSERT(p->dones < p->heads || p->role == H1_CLIENT);
    ASSERT(!reusable || !p->in_body);
    p->dones++;
    /* A client asks once.  Octets beyond the response make it give the connection up, if they are
     * there already: this depends on the cuts. */
    p->is_over = !reusable || p->role == H1_CLIENT;
    p->in_body = false;
    buf_printf(&p->events, "done%s\n", reusable || p->role == H1_CLIENT ? "" : " close");
}

static void on_tunnel(void *user, struct slice octets)
{
    struct play *p = user;
    ASSERT(p->is_tunnel && octets.len);
    buf_add(&p->events, octets.p, octets.len);
    p->tunnel_octets += octets.len;
}

static const struct h1_events events = {
    .on_head = on_head,
    .on_body = on_body,
    .on_trailers = on_trailers,
    .on_sent = on_sent,
    .on_done = on_done,
    .on_tunnel = on_tunnel,
};

/* ---- the connection ---- */

static void draw(struct play *p)
{
    char out[300];
    size_t cap = p->setup & 2 ? sizeof out : 7;
    for (unsigned turns = 0; h1_conn_has_output(p->conn); turns++) {
        unsigned before = p->dones;
        size_t n = h1_conn_output(p->conn, out, cap);
        ASSERT(n <= cap && (n || p->dones != before)); /* what is announced comes */
        ASSERT(turns < 100000);
        buf_add(&p->written, out, n);
    }
}

static void resume_all(struct play *p)
{
    unsigned before;
    do {
        before = p->dones;
        draw(p);
        if (!p->err && p->role == H1_SERVER)
            p->err = h1_conn_resume(p->conn);
    } while (p->dones != before && !p->err && !p->is_over);
    draw(p);
}

static void feed(struct play *p, struct slice piece)
{
    char *copy = malloc(piece.len ? piece.len : 1); /* of its size, and gone afterwards */
    ASSERT(copy);
    memcpy(copy, piece.p, piece.len);
    p->err = h1_conn_feed(p->conn, copy, piece.len);
    memset(copy, '!', piece.len);
    free(copy);
    resume_all(p);
}

static void ask(struct play *p)
{
    static const struct slice methods[] = {SLICE("GET"), SLICE("HEAD"), SLICE("POST"),
                                           SLICE("CONNECT")};
    struct http_head head = {.method = methods[p->how & 3],
                             .authority = SLICE("a:1"),
                             .path = SLICE("/"),
                             .content_length = p->how & 4 ? p->how >> 3 : -1,
                             .fields = {some_fields, (p->how >> 5) % 7, 7}};
    bool end = (p->how & 3) != 2;
    if (end)
        head.content_length = -1;
    if ((p->how & 0x13) == 0x10)
        head.protocol = SLICE("websocket");
    ASSERT(h1_conn_send_head(p->conn, &head, end, p->how & 8) == 0);
    if (!end)
        send_content(p, p->how, head.content_length);
    draw(p);
}

/* sizes: of the pieces, used again and again; count 0: whole */
static void run(struct play *p, enum h1_role role, uint8_t setup, uint8_t how, struct slice in,
                const uint8_t *sizes, unsigned count)
{
    struct h1_limits limits;
    memset(p, 0, sizeof *p);
    p->role = role;
    p->setup = setup;
    p->how = how;
    pool_init(&p->pool);
    pool_init(&p->own);
    buf_init(&p->events, &p->own);
    buf_init(&p->written, &p->own);
    buf_init(&p->methods, &p->own);
    h1_limits_default(&limits);
    if (setup & 4)
        limits = (struct h1_limits){50, 150, 20, 2};
    p->conn = h1_conn_new(role, &limits, &events, p, &p->pool);
    ASSERT(p->conn);
    if (role == H1_CLIENT)
        ask(p);
    for (unsigned i = 0; in.len && !p->err && !p->is_over; i++) {
        size_t n = count && sizes[i % count] < in.len ? sizes[i % count] : in.len;
        feed(p, slice_of(in.p, n));
        in = slice_of(in.p + n, in.len - n);
    }
    if (!p->err && !p->is_over) {
        p->err = h1_conn_eof(p->conn);
        resume_all(p);
    }
    buf_printf(&p->events, "\n%s %u\n", err_text(p->err), (unsigned)p->tunnel_octets);
    h1_conn_free(p->conn);
    ASSERT(p->pool.live == 0);
    pool_fini(&p->pool);
}

static void run_fini(struct play *p)
{
    buf_fini(&p->events);
    buf_fini(&p->written);
    buf_fini(&p->methods);
    ASSERT(p->own.live == 0);
    pool_fini(&p->own);
}

/* ---- what was written ---- */

static struct slice method_of(char letter)
{
    return letter == 'H' ? SLICE("HEAD") : letter == 'C' ? SLICE("CONNECT") : SLICE("GET");
}

static void check_responses(const struct play *p)
{
    struct slice rest = buf_slice(&p->written), methods = buf_slice(&p->methods);
    for (size_t i = 0; rest.len && i < methods.len;) {
        struct strict_message m;
        bool until_close = false;
        enum strict_verdict v = strict_response(rest, method_of(methods.p[i]), true, &m);
        ASSERT(v == STRICT_WHOLE || (v == STRICT_MORE && p->is_over)); /* given up half way */
        ASSERT(!m.is_empty_framed);
        rest = slice_of(rest.p + m.next, rest.len - m.next);
        until_close = v == STRICT_WHOLE && m.status >= 200 && m.is_last;
        bool ends = v != STRICT_WHOLE || m.is_switched;
        if (m.status >= 200)
            i++;
        strict_free(&m);
        if (ends)
            return;
        ASSERT(!until_close || rest.len == 0);
    }
}

static void check_request(const struct play *p)
{
    struct strict_message m;
    struct slice written = buf_slice(&p->written);
    enum strict_verdict v = strict_request(written, &m);
    /* More than content_length was refused, so the content may be short, but never too long. */
    ASSERT(v == STRICT_WHOLE || (v == STRICT_MORE && m.has_head));
    ASSERT(v != STRICT_WHOLE || m.next == written.len || p->is_tunnel);
    strict_free(&m);
}

void h1_play(enum h1_role role, const uint8_t *octets, size_t len)
{
    static struct play whole, cut;
    struct input in = {octets, len};
    uint8_t setup = input_u8(&in), how = input_u8(&in), sizes[PIECES_MAX];
    unsigned count = 0;
    while (count < PIECES_MAX && (sizes[count] = input_u8(&in)) != 0)
        count++;
    struct slice rest = slice_of(in.at, in.left);
    run(&whole, role, setup, how, rest, NULL, 0);
    run(&cut, role, setup, how, rest, count ? sizes : (const uint8_t *)"\1", count ? count : 1);
    /* What is left of a request that was answered early is not read: how much, depends on the cuts.
     */
    bool is_early = role == H1_SERVER && setup & 1;
    if (!is_early && !slice_eq(buf_slice(&whole.events), buf_slice(&cut.events)))
        PANIC("events differ\nwhole:\n%.*s\ncut:\n%.*s", SLICE_FMT(buf_slice(&whole.events)),
              SLICE_FMT(buf_slice(&cut.events)));
    if (!is_early && !slice_eq(buf_slice(&whole.written), buf_slice(&cut.written)))
        PANIC("output differs\nwhole:\n%.*s\ncut:\n%.*s", SLICE_FMT(buf_slice(&whole.written)),
              SLICE_FMT(buf_slice(&cut.written)));
    if (role == H1_SERVER)
        check_responses(&whole);
    else
        check_request(&whole);
    run_fini(&whole);
    run_fini(&cut);
}
