/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange_worker.h"
#include "base/panic.h"
#include "edge/exchange.h"
#include "edge/tunnel.h"
#include "exchange_extras.h"
#include "h1_strict.h"

#include <sys/socket.h>
#include <unistd.h>

void exchange_worker_init(struct exchange_worker *w, int listener, struct exchange_log *log)
{
    *w = (struct exchange_worker){.listener = listener, .log = log};
    pool_init(&w->pool);
    for (unsigned i = 0; i < EXCHANGE_CONNS; i++)
        w->conns[i].fd = -1;
}

static void conn_close(struct exchange_worker *w, struct exchange_conn *c)
{
    if (c->sends)
        w->log->responses[c->response].is_due = false;
    /* Where the end of the connection ends the content, nobody can tell a cut. */
    if (c->sends && c->is_good && c->ends_by_close) {
        struct exchange_response *r = &w->log->responses[c->response];
        r->is_whole = c->whole_in <= r->content_octets;
        r->content_octets -= r->is_whole ? c->whole_in : 0;
    }
    close(c->fd);
    c->fd = -1;
    buf_fini(&c->in);
    buf_fini(&c->out);
}

void exchange_worker_fini(struct exchange_worker *w)
{
    for (unsigned i = 0; i < EXCHANGE_CONNS; i++)
        if (w->conns[i].fd >= 0)
            conn_close(w, &w->conns[i]);
    close(w->listener);
    ASSERT(w->pool.live == 0);
    pool_fini(&w->pool);
}

/* ---- receiving ---- */

static void note_delivery(struct exchange_worker *w, struct exchange_conn *c,
                          const struct strict_message *m)
{
    uint64_t number;
    ASSERT(exchange_number(m->path, &number) && exchange_is_request(w->log, number));
    if (c->has_request && c->request == number)
        return;
    ASSERT(!c->has_request); /* the next one comes when this one is over */
    struct exchange_request *r = &w->log->requests[number];
    ASSERT(!r->is_bad && !(r->is_opaque && r->is_h2));
    c->has_request = true;
    c->request = (unsigned)number;
    /* After a connection that was kept alive comes a new one; when that dies, the instance is left
     * out, and there is no other, but in new routes. */
    if (r->deliveries == 0)
        r->routes = w->log->routes;
    unsigned tries = 2 + w->log->routes - r->routes;
    if (tries > 1 + EXCHANGE_RETRIES)
        tries = 1 + EXCHANGE_RETRIES;
    if (++r->deliveries > exchange_deliveries_max(r, tries))
        PANIC("request %u was delivered %u times", c->request, r->deliveries);
}

static void note_key(struct exchange_conn *c, const struct strict_message *m)
{
    for (size_t i = 0; i < m->fields.count; i++)
        if (slice_ieq(m->fields.at[i].name, SLICE("sec-websocket-key"))) {
            ASSERT(m->fields.at[i].value.len == sizeof c->key);
            memcpy(c->key, m->fields.at[i].value.p, sizeof c->key);
            return;
        }
    PANIC("a tunnel without %s", "a key");
}

/* What the client says in a tunnel. */
static void hear(struct exchange_worker *w, struct exchange_conn *c)
{
    struct slice said = buf_slice(&c->in);
    ASSERT(exchange_is_content(said, c->request));
    c->heard += said.len;
    ASSERT(c->heard <= w->log->requests[c->request].content_octets);
    buf_consume(&c->in, said.len);
}

static void parse(struct exchange_worker *w, struct exchange_conn *c)
{
    struct strict_message m;
    if (c->is_switched)
        hear(w, c);
    if (c->is_complete || buf_len(&c->in) == 0)
        return;
    enum strict_verdict v = strict_request(buf_slice(&c->in), &m);
    if (v == STRICT_BAD)
        PANIC("worker was sent: %s\n%.*s", m.why, SLICE_FMT(buf_slice(&c->in)));
    if (m.has_head) {
        note_delivery(w, c, &m);
        const struct exchange_request *r = &w->log->requests[c->request];
        ASSERT(exchange_is_content(slice_of(m.content, m.content_len), c->request));
        ASSERT(m.content_len <= r->content_octets);
        if (v == STRICT_WHOLE)
            ASSERT(m.content_len == r->content_octets && r->is_sent);
        ASSERT(m.trailers.count == 0);
        if (v == STRICT_WHOLE && r->is_tunnel && !r->is_opaque)
            note_key(c, &m);
    }
    if (v == STRICT_WHOLE) {
        c->is_complete = true;
        buf_consume(&c->in, m.next);
    }
    strict_free(&m);
}

static void settle(struct exchange_worker *w, struct exchange_conn *c);

void exchange_worker_read(struct exchange_worker *w)
{
    char in[65536];
    bool has_more = true;
    for (unsigned i = 0; i < EXCHANGE_CONNS; i++) {
        struct exchange_conn *c = &w->conns[i];
        if (c->fd < 0 && has_more) {
            *c = (struct exchange_conn){
                .fd = accept4(w->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)};
            buf_init(&c->in, &w->pool);
            buf_init(&c->out, &w->pool);
            has_more = c->fd >= 0;
        }
        if (c->fd < 0)
            continue;
        ssize_t n;
        while ((n = read(c->fd, in, sizeof in)) > 0) {
            buf_add(&c->in, in, (size_t)n);
            w->in_octets += (size_t)n;
        }
        parse(w, c);
        settle(w, c);
        if (n == 0)
            conn_close(w, c);
    }
}

/* ---- answering ---- */

/* When request and response are over, the connection waits for the next one. */
static void settle(struct exchange_worker *w, struct exchange_conn *c)
{
    if (c->sends && c->whole_in == 0 && c->is_good && !c->ends_by_close)
        w->log->responses[c->response].is_whole = true;
    if (!c->is_complete || !c->is_answered || buf_len(&c->out) || c->ends_by_close ||
        c->is_switched)
        return;
    c->has_request = c->is_complete = c->is_answered = c->sends = false;
    parse(w, c);
}

static void add_octets(struct buf *b, char octet, size_t n)
{
    char *to = buf_reserve(b, n);
    ASSERT(to);
    memset(to, octet, n);
    buf_added(b, n);
}

enum style { EXACT, CHUNKED, UNTIL_CLOSE, TOO_SHORT, CHUNKED_CUT, TOO_LONG, GARBAGE, NO_CONTENT };

/* Switch, or pretend to. */
static void open_tunnel(struct exchange_worker *w, struct exchange_conn *c, size_t octets,
                        bool is_wrong)
{
    char accept[WS_ACCEPT_OCTETS];
    unsigned number = w->log->response_count++;
    w->log->responses[number] =
        (struct exchange_response){.request = c->request, .content_octets = octets};
    buf_printf(&c->out, "HTTP/1.1 101 Switching Protocols\r\nX-Rid: %u\r\nConnection: upgrade\r\n",
               number);
    if (w->log->requests[c->request].is_opaque) {
        buf_printf(&c->out, "Upgrade: %s\r\n\r\n",
                   is_wrong ? EXCHANGE_WRONG_UPGRADE : EXCHANGE_UPGRADE);
    } else {
        ws_accept(slice_of(c->key, sizeof c->key), accept);
        accept[0] ^= is_wrong;
        buf_printf(&c->out, "Upgrade: websocket\r\nSec-WebSocket-Accept: %.*s\r\n\r\n",
                   (int)sizeof accept, accept);
    }
    c->is_answered = true;
    c->is_switched = true;
    c->response = number;
    add_octets(&c->out, is_wrong ? '?' : exchange_octet(number), octets);
}

void exchange_worker_answer(struct exchange_worker *w, unsigned conn, uint8_t how, uint8_t size)
{
    struct exchange_conn *c = &w->conns[conn % EXCHANGE_CONNS];
    struct exchange_log *log = w->log;
    if (c->fd >= 0 && c->is_switched) {
        log->responses[c->response].content_octets += size;
        add_octets(&c->out, exchange_octet(c->response), size);
        return;
    }
    if (c->fd < 0 || !c->has_request || c->is_answered || log->response_count == EXCHANGE_RESPONSES)
        return;
    enum style style = how & 7;
    if (log->requests[c->request].is_tunnel && c->is_complete &&
        (style <= CHUNKED || style == TOO_SHORT)) {
        open_tunnel(w, c, exchange_octets(size, how & 8, 700), style == TOO_SHORT);
        return;
    }
    const struct exchange_extra *extra = exchange_answer_extra(size);
    unsigned number = log->response_count++;
    struct exchange_response *r = &log->responses[number];
    size_t octets = exchange_octets(size, how & 8, 700);
    bool is_head = log->requests[c->request].is_head;
    *r = (struct exchange_response){.request = c->request,
                                    .content_octets = style == NO_CONTENT ? 0 : octets};
    if (how & 0x20)
        buf_add_str(&c->out, "HTTP/1.1 103 Early Hints\r\nX-Hint: a\r\n\r\n");
    buf_printf(&c->out, "HTTP/1.1 %s\r\nX-Rid: %u\r\n",
               style == NO_CONTENT ? "204 No Content" : "200 OK", number);
    if (how & 0x10)
        buf_add_str(&c->out, "Connection: close\r\n");
    if (how & 0x80)
        buf_printf(&c->out, "%s: %s\r\n", extra->name, extra->value);
    if (style == EXACT || style == TOO_LONG)
        buf_printf(&c->out, "Content-Length: %zu\r\n", octets);
    else if (style == TOO_SHORT)
        buf_printf(&c->out, "Content-Length: %zu\r\n", octets + 1 + (how >> 6));
    else if (style == CHUNKED || style == CHUNKED_CUT)
        buf_add_str(&c->out, "Transfer-Encoding: chunked\r\n");
    else if (style == GARBAGE)
        buf_add_str(&c->out, "Bad Field\r\n");
    buf_add_str(&c->out, "\r\n");
    c->is_answered = c->sends = true;
    c->response = number;
    c->is_good = style != GARBAGE && (is_head || (style != TOO_SHORT && style != CHUNKED_CUT));
    c->ends_by_close = style == UNTIL_CLOSE && !is_head;
    r->is_due = c->is_good && !c->ends_by_close;
    c->whole_in = buf_len(&c->out);
    if (style == NO_CONTENT || (is_head && style != TOO_LONG))
        return;
    if ((style == CHUNKED || style == CHUNKED_CUT) && octets)
        buf_printf(&c->out, "%zx\r\n", octets);
    add_octets(&c->out, exchange_octet(number), octets);
    if ((style == CHUNKED || style == CHUNKED_CUT) && octets)
        buf_add_str(&c->out, "\r\n");
    r->has_trailers = style == CHUNKED && how & 0x40;
    if (style == CHUNKED)
        buf_add_str(&c->out, "0\r\n");
    if (r->has_trailers)
        buf_printf(&c->out, EXCHANGE_TRAILER ": %u\r\n", number);
    if (style == CHUNKED)
        buf_add_str(&c->out, "\r\n");
    if (!is_head)
        c->whole_in = buf_len(&c->out);
    if (style == TOO_LONG) /* a response that nobody asked for */
        buf_add_str(&c->out, "HTTP/1.1 200 OK\r\nX-Rid: 255\r\nContent-Length: 1\r\n\r\n?");
}

int exchange_worker_awaits(const struct exchange_worker *w, unsigned conn)
{
    const struct exchange_conn *c = &w->conns[conn];
    return c->fd >= 0 && c->has_request && !c->is_complete && !c->is_answered ? (int)c->request
                                                                              : -1;
}

void exchange_worker_send(struct exchange_worker *w, unsigned conn, size_t n)
{
    struct exchange_conn *c = &w->conns[conn % EXCHANGE_CONNS];
    if (c->fd < 0)
        return;
    /* What follows a response at once gives its worker away; what would follow the next request
     * could be the answer to that one. */
    if (n > buf_len(&c->out) || (c->whole_in && n >= c->whole_in))
        n = buf_len(&c->out);
    ssize_t sent = n ? send(c->fd, buf_at(&c->out), n, MSG_NOSIGNAL) : 0;
    if (sent > 0) {
        buf_consume(&c->out, (size_t)sent);
        c->whole_in -= (size_t)sent < c->whole_in ? (size_t)sent : c->whole_in;
    }
    settle(w, c);
}

void exchange_worker_close(struct exchange_worker *w, unsigned conn)
{
    struct exchange_conn *c = &w->conns[conn % EXCHANGE_CONNS];
    if (c->fd >= 0)
        conn_close(w, c);
}
