/* SPDX-License-Identifier: Apache-2.0 */
#include "static/conn.h"
#include "base/err.h"
#include "base/panic.h"

#include <unistd.h>

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
#define PREFACE_OCTETS (sizeof preface - 1)

#define READ_OCTETS (16u << 10) /* requests are heads */
/* Octets a connection may read or write in a turn before others get theirs. */
#define TURN_OCTETS (256u << 10)

static struct static_conn *conn_of(struct stream *s)
{
    struct static_conn *c = CONTAINER_OF(s, struct static_conn, stream);
    CHECK_MAGIC(c, STATIC_CONN_MAGIC);
    return c;
}

void static_conn_wants_flush(struct static_conn *c)
{
    if (!c->dead)
        loop_flush(c->server->loop, &c->flush);
}

static bool has_output(const struct static_conn *c)
{
    return c->h2 ? h2_conn_has_output(c->h2) : c->h1 && h1_conn_has_output(c->h1);
}

/* ---- time ---- */

/* Only a response that moves gives more time: a head and a client's farewell end at their time,
 * whatever else comes. */
static void arm(struct static_conn *c)
{
    static const uint32_t in_us[] = {[STATIC_SERVES] = STATIC_IDLE_US,
                                     [STATIC_AWAITS_HEAD] = STATIC_HEAD_US,
                                     [STATIC_LINGERS] = STATIC_LINGER_US};
    enum static_wait wait = STATIC_SERVES;
    if (c->closing && c->open == 0 && !has_output(c) && !stream_is_blocked(&c->stream))
        wait = STATIC_LINGERS;
    else if (c->open == 0 && (c->sniffed_len || (c->h1 && h1_conn_request_begun(c->h1))))
        wait = STATIC_AWAITS_HEAD;
    if (wait != STATIC_SERVES && wait == c->wait)
        return;
    c->wait = wait;
    loop_timer_set(c->server->loop, &c->timer, loop_now_us(c->server->loop) + in_us[wait]);
}

static void on_due(struct loop_timer *t)
{
    struct static_conn *c = CONTAINER_OF(t, struct static_conn, timer);
    CHECK_MAGIC(c, STATIC_CONN_MAGIC);
    static_conn_kill(c);
}

/* ---- life ---- */

static void reap(struct loop_task *t)
{
    struct static_conn *c = CONTAINER_OF(t, struct static_conn, reap);
    struct static_server *s = c->server;
    CHECK_MAGIC(c, STATIC_CONN_MAGIC);
    if (c->h1)
        h1_conn_free(c->h1);
    if (c->h2)
        h2_conn_free(c->h2);
    c->magic = 0;
    pool_put(loop_pool(s->loop), c, sizeof *c);
    if (s->draining && list_empty(&s->conns))
        s->on_drained(s);
}

void static_conn_kill(struct static_conn *c)
{
    if (c->dead)
        return;
    c->dead = true;
    LIST_FOR(node, &c->transfers)
    {
        static_transfer_end(LIST_ENTRY(node, struct static_transfer, node));
    }
    stream_close(&c->stream);
    loop_task_cancel(&c->flush);
    loop_task_cancel(&c->read);
    loop_timer_clear(&c->timer);
    list_remove(&c->node);
    loop_reap(c->server->loop, &c->reap);
}

void static_conn_shutdown(struct static_conn *c)
{
    if (c->dead)
        return;
    if (c->h2) {
        h2_conn_shutdown(c->h2);
        static_conn_wants_flush(c);
    } else if (c->h1 && c->open) {
        h1_conn_shutdown(c->h1);
    } else if (!c->closing) {
        static_conn_kill(c);
    }
}

/* ---- HTTP/1.1 ---- */

static void h1_on_head(void *user, const struct http_head *head, bool end)
{
    struct static_conn *c = user;
    static_transfer_begin(c, NULL, h1_conn_arena(c->h1), head, end);
}

static void h1_on_body(void *user, struct slice octets, bool end)
{
    struct static_conn *c = user;
    if (end && c->current)
        c->current->request_ended = true;
}

static void h1_on_trailers(void *user, const struct fields *trailers)
{
    h1_on_body(user, (struct slice){"", 0}, true);
}

static void h1_on_sent(void *user, size_t octets)
{
    struct static_conn *c = user;
    if (c->current)
        static_transfer_pump(c->current);
}

static void h1_on_done(void *user, bool reusable)
{
    struct static_conn *c = user;
    if (c->dead)
        return;
    if (c->current)
        static_transfer_end(c->current);
    if (!reusable || c->server->draining)
        c->closing = true;
    else
        loop_again(c->server->loop, &c->read); /* a pipelined request may wait inside */
}

static void h1_on_tunnel(void *user, struct slice octets)
{
    UNREACHABLE(); /* nothing here calls h1_conn_upgrade */
}

static const struct h1_events h1_events = {
    .on_head = h1_on_head,
    .on_body = h1_on_body,
    .on_trailers = h1_on_trailers,
    .on_sent = h1_on_sent,
    .on_done = h1_on_done,
    .on_tunnel = h1_on_tunnel,
};

/* ---- HTTP/2 ---- */

static void h2_on_head(void *user, struct h2_stream *s, const struct http_head *head, bool end)
{
    static_transfer_begin(user, s, h2_stream_arena(s), head, end);
}

static void h2_on_body(void *user, struct h2_stream *s, struct slice octets, bool end)
{
    if (!end)
        h2_stream_consumed(s, octets.len); /* read over: no method of ours has content */
    static_conn_wants_flush(user);
}

static void h2_on_sent(void *user, struct h2_stream *s, size_t octets)
{
    struct static_transfer *t = h2_stream_user(s);
    if (t)
        static_transfer_pump(t);
}

static void h2_on_close(void *user, struct h2_stream *s, uint32_t code)
{
    struct static_transfer *t = h2_stream_user(s);
    if (t)
        static_transfer_end(t);
}

static void h2_on_goaway(void *user, uint32_t last_stream_id, uint32_t code)
{
    static_conn_wants_flush(user); /* it closes when the last stream has ended */
}

static const struct h2_events h2_events = {
    .on_head = h2_on_head,
    .on_body = h2_on_body,
    .on_sent = h2_on_sent,
    .on_close = h2_on_close,
    .on_goaway = h2_on_goaway,
};

/* ---- the socket ---- */

/* Everything is said and nothing will follow. */
static bool is_finished(const struct static_conn *c)
{
    if (c->h2)
        return h2_conn_is_over(c->h2);
    return c->closing && (!c->current || c->current->response_ended);
}

static void flush(struct loop_task *task)
{
    struct static_conn *c = CONTAINER_OF(task, struct static_conn, flush);
    struct loop *l = c->server->loop;
    size_t budget = TURN_OCTETS;
    CHECK_MAGIC(c, STATIC_CONN_MAGIC);
    char *out = loop_scratch(l, 2);
    while ((c->h1 || c->h2) && !stream_is_blocked(&c->stream)) {
        if (budget == 0) {
            loop_again(l, &c->flush);
            return;
        }
        size_t n = c->h2 ? h2_conn_output(c->h2, out, STATIC_PIECE_OCTETS, loop_now_us(l))
                         : h1_conn_output(c->h1, out, STATIC_PIECE_OCTETS);
        if (c->dead)
            return;
        if (n == 0)
            break;
        if (stream_write(&c->stream, out, n) < 0) {
            static_conn_kill(c);
            return;
        }
        budget = budget > n ? budget - n : 0;
    }
    if (!stream_is_blocked(&c->stream) && !has_output(c) && is_finished(c)) {
        c->closing = true;
        if (c->current)
            static_transfer_end(c->current);
        stream_shutdown(&c->stream); /* the peer reads the rest and closes, or time ends it */
    }
    arm(c);
}

static bool start_engine(struct static_conn *c, bool is_h2)
{
    struct loop *l = c->server->loop;
    if (is_h2) {
        struct h2_settings set;
        h2_settings_default(&set, H2_SERVER);
        set.enable_connect = false;
        c->h2 = h2_conn_new(H2_SERVER, &set, &h2_events, c, loop_pool(l), loop_now_us(l));
    } else {
        struct h1_limits limits;
        h1_limits_default(&limits);
        c->h1 = h1_conn_new(H1_SERVER, &limits, &h1_events, c, loop_pool(l));
    }
    if (c->server->draining)
        static_conn_shutdown(c);
    return c->h1 || c->h2;
}

static int feed_engine(struct static_conn *c, const char *in, size_t len)
{
    return c->h2 ? h2_conn_feed(c->h2, in, len, loop_now_us(c->server->loop))
                 : h1_conn_feed(c->h1, in, len);
}

static int feed(struct static_conn *c, const char *in, size_t len)
{
    if (c->h1 || c->h2)
        return feed_engine(c, in, len);
    size_t had = c->sniffed_len;
    size_t n = len < PREFACE_OCTETS - had ? len : PREFACE_OCTETS - had;
    memcpy(c->sniffed + had, in, n);
    bool is_h2 = memcmp(c->sniffed, preface, had + n) == 0;
    if (is_h2 && had + n < PREFACE_OCTETS) {
        c->sniffed_len = (uint8_t)(had + n);
        return 0;
    }
    c->sniffed_len = 0;
    if (!start_engine(c, is_h2))
        return ERR_NOMEM;
    int err = had && !c->dead ? feed_engine(c, c->sniffed, had) : 0;
    return err < 0 || c->dead ? err : feed_engine(c, in, len);
}

/* A request that cannot be read: one answer, and the end. */
static void refuse(struct static_conn *c, int err)
{
    c->closing = true;
    static_conn_wants_flush(c);
    if (c->h2)
        return; /* GOAWAY waits */
    if (!c->h1 || c->current || !h1_conn_can_respond(c->h1)) {
        static_conn_kill(c);
        return;
    }
    struct http_head head = {.status = (uint16_t)err_row(err)->http_status, .content_length = 0};
    if (h1_conn_send_head(c->h1, &head, true, true) < 0)
        static_conn_kill(c);
}

/* return  false: reading is over for now */
static bool read_once(struct static_conn *c, size_t *budget)
{
    char *in = loop_scratch(c->server->loop, 0);
    ssize_t n = stream_read(&c->stream, in, READ_OCTETS);
    if (n == ERR_AGAIN)
        return false;
    if (n <= 0) {
        /* A client that has shut down its sending side still waits for its answer. */
        if (n == 0 && c->h1 && c->current && c->current->request_ended && !c->closing) {
            h1_conn_shutdown(c->h1);
            c->closing = true;
        } else {
            static_conn_kill(c);
        }
        return false;
    }
    *budget = *budget > (size_t)n ? *budget - (size_t)n : 0;
    if (c->closing)
        return true; /* dropped, so that the peer gets our last octets and not a reset */
    int err = feed(c, in, (size_t)n);
    if (err < 0 && !c->dead)
        refuse(c, err);
    return !c->dead;
}

static void read_some(struct static_conn *c)
{
    size_t budget = TURN_OCTETS;
    if (c->h1 && !c->current && !c->closing) {
        int err = h1_conn_resume(c->h1);
        if (err < 0 && !c->dead)
            refuse(c, err);
    }
    while (!c->dead && budget && stream_can_read(&c->stream) &&
           (!c->h1 || c->closing || h1_conn_wants_input(c->h1)))
        if (!read_once(c, &budget))
            break;
    if (c->dead)
        return;
    if (has_output(c) || is_finished(c))
        static_conn_wants_flush(c);
    arm(c);
    if (budget == 0 && stream_can_read(&c->stream))
        loop_again(c->server->loop, &c->read);
}

static void read_again(struct loop_task *t)
{
    struct static_conn *c = CONTAINER_OF(t, struct static_conn, read);
    CHECK_MAGIC(c, STATIC_CONN_MAGIC);
    read_some(c);
}

static void on_readable(struct stream *st)
{
    read_some(conn_of(st));
}

static void on_writable(struct stream *st)
{
    static_conn_wants_flush(conn_of(st));
}

static const struct stream_events stream_events = {
    .on_readable = on_readable,
    .on_writable = on_writable,
    .on_connected = NULL,
};

void static_conn_accept(struct static_server *s, int fd)
{
    struct pool *pool = loop_pool(s->loop);
    struct static_conn *c = pool_zget(pool, sizeof *c);
    if (!c || stream_open(&c->stream, s->loop, fd, NULL, &stream_events) < 0) {
        pool_put(pool, c, sizeof *c);
        close(fd);
        return;
    }
    c->magic = STATIC_CONN_MAGIC;
    c->server = s;
    list_init(&c->transfers);
    loop_task_init(&c->flush, flush);
    loop_task_init(&c->read, read_again);
    loop_task_init(&c->reap, reap);
    loop_timer_init(&c->timer, on_due);
    stream_tune(&c->stream, STATIC_PIECE_OCTETS);
    list_add_tail(&s->conns, &c->node);
    arm(c);
}
