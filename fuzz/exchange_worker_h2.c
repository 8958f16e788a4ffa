/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange_worker_h2.h"
#include "base/panic.h"
#include "exchange_extras.h"
#include "exchange_frames.h"
#include "edge/exchange.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- receiving ---- */

static struct exchange_person whom_of(const struct http_head *head)
{
    const struct field *conn = fields_find_name(&head->fields, SLICE("x-conn"));
    uint64_t number = 0, cookie = 0;
    if (conn)
        ASSERT(slice_u64(conn->value, &number) &&
               slice_u64(fields_value(&head->fields, TOKEN_COOKIE), &cookie));
    return (struct exchange_person){(unsigned)number, (unsigned)cookie};
}

static void on_head(void *user, struct h2_stream *s, const struct http_head *head, bool end)
{
    struct exchange_h2_conn *c = user;
    struct exchange_log *log = c->worker->log;
    uint64_t number;
    ASSERT(exchange_number(head->path, &number) && exchange_is_request(log, number));
    struct exchange_request *r = &log->requests[number];
    ASSERT(!r->is_bad && r->is_tunnel == slice_eq(head->method, SLICE("CONNECT")));
    ASSERT(!r->is_opaque || (r->is_h2 && slice_eq(head->protocol, SLICE(EXCHANGE_UPGRADE))));
    for (unsigned i = 0; i < EXCHANGE_H2_STREAMS; i++) {
        struct exchange_h2_stream *x = &c->streams[i];
        if (x->stream)
            continue;
        *x = (struct exchange_h2_stream){
            .stream = s, .request = (unsigned)number, .is_complete = end, .whom = whom_of(head)};
        h2_stream_set_user(s, x);
        r->disowned += c->is_foul;
        /* A connection that has served says nothing against its instance when it dies. */
        if (++r->deliveries > exchange_deliveries_max(r, 1 + EXCHANGE_RETRIES))
            PANIC("request %u was delivered %u times", x->request, r->deliveries);
        ASSERT(!end || r->content_octets == 0);
        return;
    }
    h2_stream_reset(s, H2_REFUSED_STREAM);
}

static void on_body(void *user, struct h2_stream *s, struct slice octets, bool end)
{
    struct exchange_h2_conn *c = user;
    struct exchange_h2_stream *x = h2_stream_user(s);
    const struct exchange_request *r = &c->worker->log->requests[x->request];
    ASSERT(exchange_is_content(octets, x->request));
    x->content_octets += octets.len;
    x->is_complete = end;
    ASSERT(x->content_octets <= r->content_octets);
    if (end && !r->is_tunnel)
        ASSERT(x->content_octets == r->content_octets && r->is_sent && !r->has_trailers);
    h2_stream_consumed(s, octets.len);
}

static void on_trailers(void *user, struct h2_stream *s, const struct fields *trailers)
{
    struct exchange_h2_conn *c = user;
    struct exchange_h2_stream *x = h2_stream_user(s);
    const struct exchange_request *r = &c->worker->log->requests[x->request];
    uint64_t number;
    x->is_complete = true;
    for (uint32_t i = 0; i < trailers->count; i++)
        ASSERT(r->has_trailers && slice_eq(trailers->at[i].name, SLICE(EXCHANGE_TRAILER)) &&
               slice_u64(trailers->at[i].value, &number) && number == x->request);
    ASSERT(x->content_octets == r->content_octets && r->is_sent);
}

static void on_close(void *user, struct h2_stream *s, uint32_t code)
{
    struct exchange_h2_conn *c = user;
    struct exchange_h2_stream *x = h2_stream_user(s);
    if (!x)
        return;
    x->stream = NULL;
    if (code != H2_NO_ERROR &&
        x->is_answered) /* given up, and edge may wait for the rest in vain */
        c->worker->log->responses[x->response].is_due = false;
}

static const struct h2_events events = {
    .on_head = on_head, .on_body = on_body, .on_trailers = on_trailers, .on_close = on_close};

static void draw(struct exchange_h2_conn *c)
{
    char out[4096];
    while (h2_conn_has_output(c->h2) && buf_len(&c->out) < 1u << 20) {
        size_t n = h2_conn_output(c->h2, out, sizeof out, 1);
        buf_add(&c->out, out, n);
    }
}

/* ---- life ---- */

void exchange_worker_h2_init(struct exchange_worker_h2 *w, int listener, struct exchange_log *log)
{
    *w = (struct exchange_worker_h2){.listener = listener, .log = log};
    pool_init(&w->pool);
    for (unsigned i = 0; i < EXCHANGE_H2_CONNS; i++)
        w->conns[i].fd = -1;
}

static void conn_open(struct exchange_worker_h2 *w, struct exchange_h2_conn *c, int fd)
{
    struct h2_settings settings;
    h2_settings_default(&settings, H2_SERVER);
    settings.stream_window = 10000;
    settings.max_concurrent_streams = 20;
    *c = (struct exchange_h2_conn){.fd = fd, .worker = w};
    buf_init(&c->out, &w->pool);
    c->h2 = h2_conn_new(H2_SERVER, &settings, &events, c, &w->pool, 1);
    ASSERT(c->h2);
}

static void conn_close(struct exchange_h2_conn *c)
{
    close(c->fd);
    c->fd = -1;
    h2_conn_free(c->h2);
    buf_fini(&c->out);
}

void exchange_worker_h2_fini(struct exchange_worker_h2 *w)
{
    for (unsigned i = 0; i < EXCHANGE_H2_CONNS; i++)
        if (w->conns[i].fd >= 0)
            conn_close(&w->conns[i]);
    close(w->listener);
    ASSERT(w->pool.live == 0);
    pool_fini(&w->pool);
}

void exchange_worker_h2_read(struct exchange_worker_h2 *w)
{
    char in[65536];
    bool has_more = true;
    for (unsigned i = 0; i < EXCHANGE_H2_CONNS; i++) {
        struct exchange_h2_conn *c = &w->conns[i];
        if (c->fd < 0 && has_more) {
            int fd = accept4(w->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
            has_more = fd >= 0;
            if (has_more)
                conn_open(w, c, fd);
        }
        if (c->fd < 0)
            continue;
        ssize_t n;
        while ((n = read(c->fd, in, sizeof in)) > 0) {
            h2_conn_feed(c->h2, in, (size_t)n, 1);
            w->in_octets += (size_t)n;
        }
        ASSERT(h2_conn_blame(c->h2) == H2_BLAME_NONE || c->is_foul); /* edge makes no mistakes */
        exchange_worker_h2_send(w, i, 200); /* SETTINGS and the like, and some more */
        if (n == 0)
            conn_close(c);
    }
}

/* ---- answering ---- */

enum act { WHOLE, NO_LENGTH, HALF, REST, RESET, REFUSE, PUSH, GIVE_UP };

/* A Link field for something that was promised once: edge may ask for it by itself. */
static void name_one(struct exchange_log *log, size_t octets, char *out, size_t cap)
{
    struct exchange_request *r =
        octets % 16 < 10 ? NULL : exchange_promised(log, (unsigned)octets / 16 % 8);
    out[0] = '\0';
    if (!r)
        return;
    r->asked++;
    snprintf(out, cap, "</%u>; rel=preload; as=style", (unsigned)(r - log->requests));
}

/* In a tunnel, that opens if it is not open. */
static void say(struct exchange_h2_conn *c, struct exchange_h2_stream *x, size_t octets, bool end)
{
    static char content[EXCHANGE_OCTETS_MAX];
    struct exchange_log *log = c->worker->log;
    char id[16];
    if (!x->is_switched) {
        if (x->is_answered || log->response_count == EXCHANGE_RESPONSES)
            return;
        x->response = log->response_count++;
        log->responses[x->response] = (struct exchange_response){
            .request = x->request, .whom = x->whom, .is_foul = c->is_garbled};
        snprintf(id, sizeof id, "%u", x->response);
        struct field fields[] = {{SLICE("x-rid"), slice_str(id), TOKEN_NONE, 0}};
        const struct http_head head = {
            .status = 200, .content_length = -1, .fields = {fields, 1, 1}};
        if (h2_stream_respond(x->stream, &head, false) < 0)
            return;
        x->is_answered = x->is_switched = true;
    }
    log->responses[x->response].content_octets += octets;
    memset(content, exchange_octet(x->response), octets);
    h2_stream_body(x->stream, slice_of(content, octets), NULL, end);
}

static void respond(struct exchange_h2_conn *c, struct exchange_h2_stream *x, enum act act,
                    size_t octets)
{
    static char content[EXCHANGE_OCTETS_MAX];
    struct exchange_log *log = c->worker->log;
    if (log->requests[x->request].is_tunnel && act != WHOLE) {
        say(c, x, octets, act == NO_LENGTH);
        return;
    }
    const struct exchange_extra *extra = exchange_answer_extra((unsigned)octets / 4);
    char id[16], length[24], link[48];
    if (x->is_answered || log->response_count == EXCHANGE_RESPONSES)
        return;
    unsigned number = x->response = log->response_count++;
    struct exchange_response *r = &log->responses[number];
    bool is_head = log->requests[x->request].is_head;
    *r = (struct exchange_response){.request = x->request,
                                    .content_octets = octets,
                                    .has_length = act != NO_LENGTH,
                                    .whom = x->whom,
                                    .is_foul = c->is_garbled};
    snprintf(id, sizeof id, "%u", number);
    snprintf(length, sizeof length, "%zu", octets);
    name_one(log, octets, link, sizeof link);
    struct field fields[5] = {{SLICE("x-rid"), slice_str(id), TOKEN_NONE, 0}};
    uint32_t count = 1;
    if (act != NO_LENGTH)
        fields[count++] =
            (struct field){SLICE("content-length"), slice_str(length), TOKEN_CONTENT_LENGTH, 0};
    if (octets % 16 == 8)
        fields[count++] = (struct field){SLICE("vary"), SLICE("x-conn"), TOKEN_VARY, 0};
    if (octets % 16 == 9)
        fields[count++] = (struct field){SLICE("set-cookie"), SLICE("a=b"), TOKEN_SET_COOKIE, 0};
    if (octets / 16 % 2)
        fields[count++] = (struct field){slice_str(extra->name), slice_str(extra->value),
                                         (uint16_t)token_find(slice_str(extra->name)), 0};
    if (*link)
        fields[count++] = (struct field){SLICE("link"), slice_str(link), TOKEN_LINK, 0};
    const struct http_head head = {
        .status = octets % 16 == 7 || log->requests[x->request].is_tunnel ? 404 : 200,
        .content_length = act == NO_LENGTH ? -1 : (int64_t)octets,
        .fields = {fields, count, ARRAY_LEN(fields)}};
    bool is_whole = act != HALF || is_head || octets == 0;
    if (h2_stream_respond(x->stream, &head, is_head || octets == 0) < 0)
        return;
    x->is_answered = true;
    r->is_whole = r->is_due = is_whole;
    if (is_head || octets == 0)
        return;
    memset(content, exchange_octet(number), octets);
    r->has_trailers = is_whole && octets % 16 == 5;
    h2_stream_body(x->stream, slice_of(content, is_whole ? octets : octets / 2), NULL,
                   is_whole && !r->has_trailers);
    struct field trailer = {SLICE(EXCHANGE_TRAILER), slice_str(id), TOKEN_NONE, 0};
    if (r->has_trailers)
        h2_stream_trailers(x->stream, &(struct fields){&trailer, 1, 1});
}

/* The promised request is one of the log's, too: nobody asked for it, yet.  It is answered at once,
 * or like others, or never. */
static void push(struct exchange_h2_conn *c, struct exchange_h2_stream *parent, size_t octets)
{
    struct exchange_log *log = c->worker->log;
    char path[16];
    int err;
    if (log->request_count == EXCHANGE_REQUESTS)
        return;
    for (unsigned i = 0; i < EXCHANGE_H2_STREAMS; i++) {
        struct exchange_h2_stream *x = &c->streams[i];
        if (x->stream)
            continue;
        unsigned number = log->request_count++;
        unsigned host = log->requests[parent->request].host;
        log->requests[number] = (struct exchange_request){.is_idempotent = true,
                                                          .is_sent = true,
                                                          .deliveries = 1,
                                                          .is_promised = true,
                                                          .host = host};
        snprintf(path, sizeof path, "/%u", number);
        const struct http_head head = {.method = SLICE("GET"),
                                       .scheme = SLICE("http"),
                                       .authority = slice_str(exchange_hosts[host]),
                                       .path = slice_str(path),
                                       .content_length = -1};
        struct h2_stream *s = h2_stream_promise(parent->stream, &head, x, &err);
        if (!s)
            return;
        *x = (struct exchange_h2_stream){
            .stream = s, .request = number, .is_complete = true, .whom = parent->whom};
        if (octets & 1)
            respond(c, x, WHOLE, octets);
        return;
    }
}

static void act(struct exchange_h2_conn *c, struct exchange_h2_stream *x, enum act act,
                size_t octets)
{
    switch (act) {
    case WHOLE:
    case NO_LENGTH:
    case HALF:
        respond(c, x, act, octets);
        break;
    case REST: /* the end, with or without all that was promised */
        h2_stream_body(x->stream, SLICE(""), NULL, true);
        break;
    case RESET:
        h2_stream_reset(x->stream, H2_INTERNAL_ERROR);
        x->stream = NULL;
        break;
    case REFUSE: /* not acted upon: it may come again */
        if (!x->is_answered && !h2_stream_is_promised(x->stream)) {
            c->worker->log->requests[x->request].deliveries--;
            h2_stream_reset(x->stream, H2_REFUSED_STREAM);
            x->stream = NULL;
        }
        break;
    case PUSH:
        push(c, x, octets);
        break;
    case GIVE_UP:
        if (octets & 1)
            h2_conn_shutdown(c->h2);
        else
            h2_conn_abort(c->h2, H2_NO_ERROR);
        break;
    }
}

void exchange_worker_h2_answer(struct exchange_worker_h2 *w, unsigned conn, uint8_t how,
                               uint8_t size)
{
    struct exchange_h2_conn *c = &w->conns[conn % EXCHANGE_H2_CONNS];
    unsigned skip = how >> 4;
    if (c->fd < 0)
        return;
    for (unsigned i = 0; i < EXCHANGE_H2_STREAMS; i++) {
        if (!c->streams[i].stream || skip-- > 0)
            continue;
        act(c, &c->streams[i], (enum act)(how & 7), exchange_octets(size, how & 8, 700));
        return;
    }
}

void exchange_worker_h2_misbehave(struct exchange_worker_h2 *w, unsigned conn, uint8_t which,
                                  uint8_t value)
{
    struct exchange_h2_conn *c = &w->conns[conn % EXCHANGE_H2_CONNS];
    if (c->fd < 0)
        return;
    draw(c);
    if (h2_conn_has_output(c->h2))
        return; /* perhaps inside a frame */
    if (which & 8)
        exchange_put_message(&c->out, which, value);
    else
        exchange_put_frame(&c->out, which, value);
    c->is_foul = true;
    c->is_garbled |= (which & 8) != 0;
    w->log->has_foul |= c->is_garbled;
    for (unsigned i = 0; i < EXCHANGE_H2_STREAMS; i++) {
        const struct exchange_h2_stream *x = &c->streams[i];
        if (x->stream)
            w->log->requests[x->request].disowned++;
        if (x->is_answered) /* perhaps it has closed here, but what it said has not left */
            w->log->responses[x->response].is_foul |= c->is_garbled;
    }
}

int exchange_worker_h2_awaits(const struct exchange_worker_h2 *w, unsigned conn, unsigned stream)
{
    const struct exchange_h2_conn *c = &w->conns[conn];
    const struct exchange_h2_stream *x = &c->streams[stream];
    return c->fd >= 0 && !c->is_foul && x->stream && !x->is_complete && !x->is_answered
               ? (int)x->request
               : -1;
}

void exchange_worker_h2_send(struct exchange_worker_h2 *w, unsigned conn, size_t n)
{
    struct exchange_h2_conn *c = &w->conns[conn % EXCHANGE_H2_CONNS];
    if (c->fd < 0)
        return;
    draw(c);
    if (n > buf_len(&c->out))
        n = buf_len(&c->out);
    ssize_t sent = n ? send(c->fd, buf_at(&c->out), n, MSG_NOSIGNAL) : 0;
    if (sent > 0)
        buf_consume(&c->out, (size_t)sent);
}

void exchange_worker_h2_hang_up(struct exchange_worker_h2 *w)
{
    for (unsigned i = 0; i < EXCHANGE_H2_CONNS; i++)
        for (unsigned k = 0; w->conns[i].fd >= 0 && k < EXCHANGE_H2_STREAMS; k++) {
            struct exchange_h2_stream *x = &w->conns[i].streams[k];
            if (!x->stream)
                continue;
            if (x->is_switched)
                h2_stream_body(x->stream, SLICE(""), NULL, true);
            else if (w->conns[i].is_garbled) /* which may have opened one */
                act(&w->conns[i], x, RESET, 0);
        }
}

void exchange_worker_h2_close(struct exchange_worker_h2 *w, unsigned conn)
{
    struct exchange_h2_conn *c = &w->conns[conn % EXCHANGE_H2_CONNS];
    if (c->fd >= 0)
        conn_close(c);
}
