/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange_client.h"
#include "base/panic.h"
#include "exchange_extras.h"
#include "exchange_frames.h"
#include "exchange_tls.h"
#include "h1_strict.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static unsigned number_of(struct slice s)
{
    uint64_t n = 0;
    ASSERT(slice_u64(s, &n) && n < EXCHANGE_RESPONSES);
    return (unsigned)n;
}

/* ---- what must be true of a response ---- */

static void check_content(const struct exchange_client *c, unsigned response, struct slice octets)
{
    ASSERT(c->log->responses[response].is_foul || exchange_is_content(octets, response));
}

static void check_belongs(const struct exchange_client *c, const struct exchange_ask *a,
                          unsigned response)
{
    const struct exchange_response *r = &c->log->responses[response];
    ASSERT(response < c->log->response_count);
    if (r->request != a->request)
        PANIC("request %u got the response to %u", a->request, r->request);
    if (r->whom.conn && (r->whom.conn != c->conn || r->whom.cookie != a->cookie))
        PANIC("connection %u, cookie %u, got what was made for %u, %u", c->conn, a->cookie,
              r->whom.conn, r->whom.cookie);
}

static void check_whole(const struct exchange_client *c, const struct exchange_ask *a,
                        unsigned response, size_t octets, bool has_trailers)
{
    const struct exchange_response *r = &c->log->responses[response];
    unsigned request = a->request;
    check_belongs(c, a, response);
    if (r->is_foul)
        return;
    if (!r->is_whole)
        PANIC("request %u got a whole response %u of %zu octets, which is not whole", request,
              response, octets);
    ASSERT(octets == (c->log->requests[request].is_head ? 0 : r->content_octets));
    ASSERT(has_trailers || !r->has_trailers || r->has_length);
}

/* return  whether it is the worker's */
static bool check_trailer(const struct exchange_client *c, unsigned response, struct slice name,
                          struct slice value)
{
    if (slice_ieq(name, SLICE("portico-push")))
        return false; /* edge's own: what was decided of promises that came after the head */
    ASSERT(c->log->responses[response].has_trailers);
    ASSERT(slice_ieq(name, SLICE(EXCHANGE_TRAILER)) && number_of(value) == response);
    return true;
}

/* ---- tunnels: a worker says as much as it likes, and so does the client ---- */

static void check_said(const struct exchange_client *c, struct exchange_ask *a, struct slice octets)
{
    const struct exchange_response *r = &c->log->responses[a->response];
    if (a->is_foul)
        return;
    check_content(c, a->response, octets);
    a->content_octets += octets.len;
    ASSERT(r->is_foul || a->content_octets <= r->content_octets);
}

/* The tunnel that was opened last and still is.  return  NULL: none is */
static struct exchange_ask *tunnel_of(struct exchange_client *c)
{
    for (unsigned i = c->ask_count; i-- > 0;)
        if (c->asks[i].is_switched && (!c->h2 || c->asks[i].stream))
            return &c->asks[i];
    return NULL;
}

/* ---- requests ---- */

static const char *method_of(const struct exchange_ask *a, const char *method)
{
    return a->extra && a->extra->method ? a->extra->method : method;
}

static const char *tail_of(const struct exchange_ask *a)
{
    return a->extra && a->extra->tail ? a->extra->tail : "";
}

/* Of a WebSocket.  RFC 6455 4.4 */
static const char *version_of(const struct exchange_request *r)
{
    return r->is_bad ? "12" : "13";
}

/* ---- HTTP/1.1 ---- */

static const struct slice *field(const struct strict_message *m, const char *name)
{
    for (size_t i = 0; i < m->fields.count; i++)
        if (slice_ieq(m->fields.at[i].name, slice_str(name)))
            return &m->fields.at[i].value;
    return NULL;
}

static void switch_h1(struct exchange_client *c, struct exchange_ask *a, const struct slice *id)
{
    ASSERT(c->log->requests[a->request].is_tunnel && a == &c->asks[c->ask_count - 1]);
    a->is_switched = c->is_switched = true;
    a->is_foul = !id && c->log->has_foul;
    if (a->is_foul)
        return; /* nobody knows who speaks there */
    ASSERT(id);
    a->response = number_of(*id);
    check_belongs(c, a, a->response);
}

/* To HTTP/1.0 the end of the connection may be the end of the content: nobody can tell a cut. */
static bool is_ten(const struct exchange_ask *a)
{
    return a->extra && a->extra->is_ten;
}

static void read_h1(struct exchange_client *c)
{
    while (c->answered < c->ask_count && buf_len(&c->in) && !c->is_switched) {
        struct strict_message m;
        unsigned request = c->asks[c->answered].request;
        enum strict_verdict v = strict_response(
            buf_slice(&c->in), c->log->requests[request].is_head ? SLICE("HEAD") : SLICE("GET"),
            c->is_over, &m);
        if (v == STRICT_BAD || m.is_empty_framed)
            PANIC("response to %u: %s\n%.*s", request, m.why ? m.why : "204 that has content",
                  SLICE_FMT(buf_slice(&c->in)));
        const struct slice *id = m.has_head ? field(&m, "x-rid") : NULL;
        struct slice content = slice_of(m.content, m.content_len);
        bool has_trailers = false;
        if (id && m.status >= 200) {
            c->asks[c->answered].has_response = true;
            c->asks[c->answered].response = number_of(*id);
            check_belongs(c, &c->asks[c->answered], number_of(*id));
            check_content(c, number_of(*id), content);
            for (size_t i = 0; i < m.trailers.count; i++)
                has_trailers |=
                    check_trailer(c, number_of(*id), m.trailers.at[i].name, m.trailers.at[i].value);
            if (v == STRICT_WHOLE && !is_ten(&c->asks[c->answered]))
                check_whole(c, &c->asks[c->answered], number_of(*id), content.len, has_trailers);
        }
        if (v == STRICT_WHOLE) {
            if (m.status >= 200)
                c->answered++;
            if (m.status == 101)
                switch_h1(c, &c->asks[c->answered], id);
            buf_consume(&c->in, m.next);
        }
        strict_free(&m);
        if (v != STRICT_WHOLE)
            return;
    }
    if (c->is_switched) {
        check_said(c, &c->asks[c->answered], buf_slice(&c->in));
        buf_consume(&c->in, buf_len(&c->in));
    }
    ASSERT(c->answered < c->ask_count || buf_len(&c->in) == 0); /* octets that nobody asked for */
}

static void ask_h1(struct exchange_client *c, const struct exchange_request *r,
                   const struct exchange_ask *a, const char *method, uint8_t how)
{
    bool chunked = how & 8;
    unsigned number = a->request;
    buf_printf(&c->out, "%s /%u%s HTTP/1.%d\r\nHost: %s\r\nX-Conn: %u\r\nCookie: %u\r\n",
               method_of(a, method), number, tail_of(a), !is_ten(a), exchange_hosts[r->host],
               c->conn, a->cookie);
    if (a->extra)
        buf_printf(&c->out, "%s: %s\r\n", a->extra->name, a->extra->value);
    if (r->is_opaque)
        buf_add_str(&c->out, "Connection: upgrade\r\nUpgrade: " EXCHANGE_UPGRADE "\r\n");
    else if (r->is_tunnel)
        buf_printf(
            &c->out,
            "Connection: upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: %s\r\n",
            r->is_bad && how & 0x40 ? "AAAAAAAA" : "AAAAAAAAAAAAAAAAAAAAAA==", version_of(r));
    else if (how & 0x10)
        buf_add_str(&c->out, "Connection: close\r\n");
    if (r->content_octets && how & 0x40 && !chunked)
        buf_add_str(&c->out, "Expect: 100-continue\r\n");
    if (r->is_bad && !r->is_tunnel)
        buf_add_str(&c->out, "Bad Field\r\n");
    if (chunked && r->content_octets)
        buf_add_str(&c->out, "Transfer-Encoding: chunked\r\n");
    else if (r->content_octets)
        buf_printf(&c->out, "Content-Length: %zu\r\n", r->content_octets);
    buf_add_str(&c->out, "\r\n");
    if (r->content_octets == 0)
        return;
    if (chunked)
        buf_printf(&c->out, "%zx\r\n", r->content_octets);
    char *to = buf_reserve(&c->out, r->content_octets);
    ASSERT(to);
    memset(to, exchange_octet(number), r->content_octets);
    buf_added(&c->out, r->content_octets);
    if (chunked)
        buf_add_str(&c->out, "\r\n0\r\n");
    if (r->has_trailers)
        buf_printf(&c->out, EXCHANGE_TRAILER ": %u\r\n", number);
    if (chunked)
        buf_add_str(&c->out, "\r\n");
}

/* ---- HTTP/2 ---- */

static void on_head(void *user, struct h2_stream *s, const struct http_head *head, bool end)
{
    struct exchange_client *c = user;
    struct exchange_ask *a = h2_stream_user(s);
    const struct field *id = fields_find_name(&head->fields, SLICE("x-rid"));
    if (head->status < 200)
        return;
    a->has_response = true;
    a->is_ours = !id;
    if (!id)
        return;
    a->response = number_of(id->value);
    a->is_switched = c->log->requests[a->request].is_tunnel && head->status < 300;
    check_belongs(c, a, a->response);
}

static void on_body(void *user, struct h2_stream *s, struct slice octets, bool end)
{
    struct exchange_ask *a = h2_stream_user(s);
    if (a->is_switched) {
        check_said(user, a, octets);
    } else {
        if (!a->is_ours)
            check_content(user, a->response, octets);
        a->content_octets += octets.len;
    }
    h2_stream_consumed(s, octets.len);
}

static void on_trailers(void *user, struct h2_stream *s, const struct fields *trailers)
{
    struct exchange_ask *a = h2_stream_user(s);
    for (uint32_t i = 0; i < trailers->count; i++)
        a->has_trailers |=
            check_trailer(user, a->response, trailers->at[i].name, trailers->at[i].value);
}

static void on_close(void *user, struct h2_stream *s, uint32_t code)
{
    struct exchange_client *c = user;
    struct exchange_ask *a = h2_stream_user(s);
    a->stream = NULL;
    if (code == H2_NO_ERROR && a->has_response && !a->is_ours && !a->is_switched)
        check_whole(c, a, a->response, a->content_octets, a->has_trailers);
}

/* Of an HTTP/2 worker: its path names the request that was made for it. */
static void on_promise(void *user, struct h2_stream *parent, struct h2_stream *promised,
                       const struct http_head *head)
{
    struct exchange_client *c = user;
    uint64_t number;
    if (c->ask_count == CLIENT_ASKS ||
        (c->log->has_foul && !exchange_number(head->path, &number))) {
        h2_stream_reset(promised, H2_REFUSED_STREAM);
        return;
    }
    struct exchange_ask *a = &c->asks[c->ask_count++];
    const struct exchange_ask *page = h2_stream_user(parent);
    *a = (struct exchange_ask){.stream = promised, .cookie = page->cookie};
    a->request = number_of(slice_of(head->path.p + 1, head->path.len - 1));
    ASSERT(exchange_is_request(c->log, a->request));
    h2_stream_set_user(promised, a);
}

static const struct h2_events events = {.on_promise = on_promise,
                                        .on_head = on_head,
                                        .on_body = on_body,
                                        .on_trailers = on_trailers,
                                        .on_close = on_close};

static void draw_h2(struct exchange_client *c)
{
    char out[4096];
    while (h2_conn_has_output(c->h2)) {
        size_t n = h2_conn_output(c->h2, out, sizeof out, 1);
        buf_add(&c->out, out, n);
    }
}

static void add_field(struct fields *f, const char *name, const char *value)
{
    ASSERT(f->count < f->cap);
    f->at[f->count++] = (struct field){.name = slice_str(name),
                                       .value = slice_str(value),
                                       .token = (uint16_t)token_find(slice_str(name))};
}

/* Cancels at bit 3: on the stream asked for last, whatever its state.  A browser's navigation at
 * bit 6. */
static void ask_h2(struct exchange_client *c, struct exchange_ask *a, const char *method,
                   uint8_t how)
{
    static char content[EXCHANGE_OCTETS_MAX];
    char path[32], conn[16], cookie[16];
    int err;
    const struct exchange_request *r = &c->log->requests[a->request];
    size_t n = r->content_octets;
    snprintf(path, sizeof path, "/%u%s", a->request, tail_of(a));
    snprintf(conn, sizeof conn, "%u", c->conn);
    snprintf(cookie, sizeof cookie, "%u", a->cookie);
    struct field at[5];
    struct fields fields = {at, 0, ARRAY_LEN(at)};
    add_field(&fields, "x-conn", conn);
    add_field(&fields, "cookie", cookie);
    if (r->is_tunnel && !r->is_opaque)
        add_field(&fields, "sec-websocket-version", version_of(r));
    if (how & 0x40 && !r->is_tunnel) {
        add_field(&fields, "sec-fetch-mode", "navigate");
        add_field(&fields, "sec-fetch-dest", "document");
    }
    if (a->extra && !a->extra->is_ten)
        add_field(&fields, a->extra->name, a->extra->value);
    const struct http_head head = {.method =
                                       slice_str(r->is_tunnel ? "CONNECT" : method_of(a, method)),
                                   .protocol = slice_str(!r->is_tunnel  ? ""
                                                         : r->is_opaque ? EXCHANGE_UPGRADE
                                                                        : "websocket"),
                                   .scheme = c->tls ? SLICE("https") : SLICE("http"),
                                   .authority = slice_str(exchange_hosts[r->host]),
                                   .path = slice_str(path),
                                   .content_length = how & 0x10 || r->is_tunnel ? -1 : (int64_t)n,
                                   .fields = fields};
    if (how & 8 && a > c->asks && a[-1].stream) {
        h2_stream_reset(a[-1].stream, H2_CANCEL);
        a[-1].stream = NULL;
    }
    a->stream = h2_conn_request(c->h2, &head, n == 0 && !r->is_tunnel, a, &err);
    if (a->stream && n) {
        memset(content, exchange_octet(a->request), n);
        h2_stream_body(a->stream, slice_of(content, n), NULL, !r->has_trailers);
    }
    if (a->stream && r->has_trailers) {
        char number[16];
        snprintf(number, sizeof number, "%u", a->request);
        struct field trailer = {SLICE(EXCHANGE_TRAILER), slice_str(number), TOKEN_NONE, 0};
        h2_stream_trailers(a->stream, &(struct fields){&trailer, 1, 1});
    }
    draw_h2(c);
}

/* ---- both ---- */

void exchange_client_init(struct exchange_client *c, int fd, bool h2, bool push,
                          struct exchange_log *log)
{
    memset(c, 0, sizeof *c);
    c->fd = fd;
    c->log = log;
    c->conn = ++log->conn_count;
    pool_init(&c->pool);
    buf_init(&c->out, &c->pool);
    buf_init(&c->in, &c->pool);
    buf_init(&c->wire, &c->pool);
    if (!h2)
        return;
    struct h2_settings settings;
    h2_settings_default(&settings, H2_CLIENT);
    settings.stream_window = 10000; /* so that content waits */
    settings.enable_push = push;
    c->h2 = h2_conn_new(H2_CLIENT, &settings, &events, c, &c->pool, 1);
    ASSERT(c->h2);
    draw_h2(c);
}

void exchange_client_secure(struct exchange_client *c, unsigned how, const char *name)
{
    c->tls = exchange_tls_new(how, name, &c->wire);
}

/* GET what a worker has promised to somebody. */
static void ask_promised(struct exchange_client *c, uint8_t how, uint8_t size)
{
    struct exchange_request *r = exchange_promised(c->log, size >> 2 & 7);
    if (!r)
        return;
    struct exchange_ask *a = &c->asks[c->ask_count++];
    *a = (struct exchange_ask){.request = (unsigned)(r - c->log->requests), .cookie = size & 3};
    r->asked++;
    if (c->h2) {
        ask_h2(c, a, "GET", how);
        return;
    }
    ask_h1(c, r, a, "GET", how);
    a->end = c->out_octets + buf_len(&c->out);
}

/* Something in the tunnel; bit 4 of how: and no more. */
static void say(struct exchange_client *c, struct exchange_ask *a, uint8_t how, uint8_t size)
{
    static char octets[EXCHANGE_OCTETS_MAX];
    size_t n = exchange_octets(size, how & 4, 250);
    c->log->requests[a->request].content_octets += n;
    memset(octets, exchange_octet(a->request), n);
    if (!c->h2)
        buf_add(&c->out, octets, n);
    else if (h2_stream_body(a->stream, slice_of(octets, n), NULL, how & 0x10) == 0)
        draw_h2(c);
}

/* GET: from these sizes on it says something in a tunnel, where there is one, or opens one (bit 2
 * of how: no WebSocket; bit 4: a bad one).  PUT over HTTP/1.1: from OPENS on it is malformed. */
#define SAYS  0xe0
#define OPENS 0xf0

void exchange_client_ask(struct exchange_client *c, uint8_t how, uint8_t size)
{
    static const struct {
        const char *name;
        bool is_idempotent;
    } methods[] = {{"GET", true}, {"POST", false}, {"PUT", true}, {"HEAD", true}};
    struct exchange_log *log = c->log;
    if (c->ask_count == CLIENT_ASKS || log->request_count == EXCHANGE_REQUESTS || c->is_over)
        return;
    struct exchange_ask *tunnel = tunnel_of(c);
    if (tunnel && (!c->h2 || ((how & 3) == 0 && size >= SAYS))) {
        say(c, tunnel, how, size);
        return;
    }
    const struct exchange_request *last =
        c->ask_count ? &log->requests[c->asks[c->ask_count - 1].request] : NULL;
    if (!c->h2 && last && (last->is_bad || (last->is_tunnel && c->answered < c->ask_count)))
        return; /* what follows would be said in the tunnel, or be a request: we cannot know */
    if (how & 0x80) {
        ask_promised(c, how, size);
        return;
    }
    unsigned method = how & 3, number = log->request_count++, extra = size >> 3;
    struct exchange_request *r = &log->requests[number];
    struct exchange_ask *a = &c->asks[c->ask_count++];
    *a = (struct exchange_ask){.request = number, .cookie = size & 3};
    if (how & 4 && extra < ARRAY_LEN(exchange_ask_extras) && (method == 0 || method == 3))
        a->extra = &exchange_ask_extras[extra];
    *r = (struct exchange_request){
        .is_tunnel = method == 0 && size >= OPENS,
        .is_opaque = method == 0 && size >= OPENS && how & 4,
        .is_h2 = c->h2 != NULL,
        .is_idempotent = methods[method].is_idempotent,
        .is_head = slice_eq(slice_str(method_of(a, methods[method].name)), SLICE("HEAD")),
        .host = how & 0x20 ? 1 + (size >> 2 & 1) : EXCHANGE_HOST_H1};
    if (method == 1 || method == 2)
        r->content_octets = exchange_octets(size, how & 4, 250);
    r->is_bad = r->is_tunnel ? !r->is_opaque && how & 0x10 : method == 2 && size >= OPENS && !c->h2;
    if (r->is_bad)
        r->content_octets = 0;
    r->has_trailers = r->content_octets && how & 0x40 && (c->h2 || how & 8);
    if (c->h2) {
        r->is_sent = true; /* its frames end when the stream does, see exchange_worker.c */
        ask_h2(c, a, methods[method].name, how);
        return;
    }
    ask_h1(c, r, a, methods[method].name, how);
    a->end = c->out_octets + buf_len(&c->out);
}

void exchange_client_send(struct exchange_client *c, size_t n)
{
    struct buf *from = c->tls ? &c->wire : &c->out;
    size_t taken = c->tls ? exchange_tls_seal(c->tls, buf_slice(&c->out)) : 0;
    if (n > buf_len(from))
        n = buf_len(from);
    ssize_t sent = n ? send(c->fd, buf_at(from), n, MSG_NOSIGNAL) : 0;
    if (sent > 0 && c->tls)
        buf_consume(from, (size_t)sent);
    else if (sent > 0)
        taken = (size_t)sent;
    buf_consume(&c->out, taken);
    c->out_octets += taken;
    for (unsigned i = 0; i < c->ask_count && !c->h2; i++)
        c->log->requests[c->asks[i].request].is_sent |= c->asks[i].end <= c->out_octets;
}

static void take(struct exchange_client *c, struct slice content)
{
    if (c->h2) {
        h2_conn_feed(c->h2, content.p, content.len, 1);
        draw_h2(c);
    } else {
        buf_add(&c->in, content.p, content.len);
    }
}

static void take_sealed(struct exchange_client *c, struct slice in)
{
    char content[16384];
    ssize_t n;
    for (; (n = exchange_tls_open(c->tls, in, content, sizeof content)) > 0; in = SLICE(""))
        take(c, slice_of(content, (size_t)n));
    c->is_over |= n < 0;
    exchange_client_send(c, SIZE_MAX); /* the handshake goes on, and an alert is told */
}

void exchange_client_read(struct exchange_client *c, size_t n)
{
    char in[65536];
    if (c->fd < 0)
        return;
    while (n && !c->is_over) {
        ssize_t got = read(c->fd, in, n < sizeof in ? n : sizeof in);
        if (got < 0)
            break;
        c->is_over = got == 0;
        c->in_octets += (size_t)got;
        n -= (size_t)got;
        if (c->tls)
            take_sealed(c, slice_of(in, (size_t)got));
        else
            take(c, slice_of(in, (size_t)got));
    }
    if (c->h2) /* edge may end the connection, but never by a mistake that we would have to name */
        ASSERT(h2_conn_blame(c->h2) == H2_BLAME_NONE || c->is_foul);
    else
        read_h1(c);
}

/* return  whether it goes on as it should, and this exchange is not over */
static bool is_open(const struct exchange_client *c, const struct exchange_ask *a)
{
    if (c->fd < 0 || c->is_over || c->is_shut || c->is_foul || c->is_switched)
        return false;
    return c->h2 ? a->stream != NULL : a == &c->asks[c->answered];
}

bool exchange_client_awaits(const struct exchange_client *c)
{
    for (unsigned i = 0; i < c->ask_count; i++) {
        const struct exchange_ask *a = &c->asks[i];
        const struct exchange_response *r = &c->log->responses[a->response];
        if (is_open(c, a) && a->has_response && !a->is_ours && !a->is_switched && r->is_due &&
            !r->is_foul)
            return true;
    }
    return false;
}

bool exchange_client_asks(const struct exchange_client *c, int request)
{
    for (unsigned i = 0; i < c->ask_count; i++) {
        const struct exchange_ask *a = &c->asks[i];
        if ((int)a->request == request && is_open(c, a) && !a->has_response &&
            !c->log->requests[request].is_tunnel)
            return true;
    }
    return false;
}

void exchange_client_misbehave(struct exchange_client *c, uint8_t which, uint8_t value)
{
    if (c->tls && value >= 0xe0) {
        buf_add_str(&c->wire, "rubbish");
    } else if (c->tls && value >= 0xc0) {
        exchange_tls_update(c->tls);
    } else if (c->h2) {
        exchange_put_frame(&c->out, which, value);
        c->is_foul = true;
    }
}

void exchange_client_end(struct exchange_client *c, uint8_t how)
{
    if (how & 1) {
        shutdown(c->fd, SHUT_WR);
        c->is_shut = true;
        return;
    }
    close(c->fd);
    c->fd = -1;
    h2_conn_free(c->h2);
    exchange_tls_free(c->tls);
    buf_fini(&c->wire);
    buf_fini(&c->out);
    buf_fini(&c->in);
    ASSERT(c->pool.live == 0);
    pool_fini(&c->pool);
}
