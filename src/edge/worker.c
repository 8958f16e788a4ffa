/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/client.h"
#include "edge/leave.h"
#include "edge/owner.h"
#include "edge/worker_h1.h"
#include "edge/worker_h2.h"
#include "base/err.h"
#include "base/log.h"
#include "base/panic.h"

static struct worker *worker_of_stream(struct stream *s)
{
    struct worker *w = CONTAINER_OF(s, struct worker, stream);
    CHECK_MAGIC(w, WORKER_MAGIC);
    return w;
}

void worker_wants_flush(struct worker *w)
{
    if (!w->dead)
        loop_flush(w->shard->loop, &w->flush);
}

/* ---- life ---- */

static void count_octets(struct worker *w)
{
    struct stats_loop *st = w->shard->stats;
    engine_count(&w->stream, &w->counted, &st->worker_octets_in, &st->worker_octets_out);
}

static void reap(struct loop_task *t)
{
    struct worker *w = CONTAINER_OF(t, struct worker, reap);
    struct shard *s = w->shard;
    CHECK_MAGIC(w, WORKER_MAGIC);
    engine_free(&w->http);
    pool_put(s->pool, w->dropped, WORKER_DROPPED_OCTETS);
    w->magic = 0;
    pool_put(s->pool, w, sizeof *w);
}

void worker_kill(struct worker *w)
{
    struct backend *b = w->backend;
    if (w->dead)
        return;
    ASSERT(!w->x);
    w->dead = true;
    count_octets(w);
    if (b->is_foul)
        stream_distrust(&w->stream);
    if (stream_is_open(&w->stream))
        stream_close(&w->stream);
    if (w->stream.has_got_files && !b->is_foul) {
        b->is_foul = true;
        log_event(LOG_ERROR, "worker.descriptors",
                  "backend=\"%.*s\" text=\"it sent descriptors beside its octets; it gets no "
                  "request any more\"",
                  SLICE_FMT(b->key));
    }
    loop_task_cancel(&w->flush);
    loop_task_cancel(&w->read);
    loop_timer_clear(&w->timer);
    if (w->http.h2)
        worker_h2_remove(w);
    else
        worker_h1_remove(w);
    stats_sub(&w->shard->stats->worker_connections_open, 1);
    leaves_review(w->shard);
    loop_reap(w->shard->loop, &w->reap);
}

/* The connection is lost: every exchange on it is told. */
static void worker_fail(struct worker *w, enum fault fault)
{
    if (w->dead)
        return;
    bool ours = fault == FAULT_MEMORY;
    if (fault == FAULT_CONNECT || (!ours && !w->reused && !w->http.h2 && w->x))
        backend_failed(w->backend);
    if (w->http.h2)
        worker_h2_fail(w, fault);
    else
        worker_h1_fail(w, fault);
}

static void on_due(struct loop_timer *t)
{
    struct worker *w = CONTAINER_OF(t, struct worker, timer);
    CHECK_MAGIC(w, WORKER_MAGIC);
    if (!w->connected)
        worker_fail(w, FAULT_CONNECT);
    else if (w->http.h2)
        worker_h2_reset_dropped(w);
    else if (w->leaving || w->draining)
        worker_kill(w);
}

/* ---- the socket ---- */

bool worker_has_rest(const struct worker *w)
{
    return w->http.h2 ? h2_conn_queued(w->http.h2) || stream_is_blocked(&w->stream) : w->leaving;
}

static void read_some(struct worker *w);

/* The worker takes no more of a request.  It may have answered before it closed: an upload that it
 * does not want, say. */
static void read_rest(struct worker *w)
{
    w->stream.in_kernel = w->stream.can_read = true;
    read_some(w);
    if (!w->dead && !w->paused && !stream_can_read(&w->stream))
        worker_fail(w, FAULT_CLOSED);
}

static void flush(struct loop_task *t)
{
    struct worker *w = CONTAINER_OF(t, struct worker, flush);
    CHECK_MAGIC(w, WORKER_MAGIC);
    if (!w->connected)
        return;
    int err = engine_flush(&w->http, w->shard, &w->stream, &w->dead, &w->flush);
    if (w->dead)
        return;
    count_octets(w);
    if (err < 0 && w->x)
        read_rest(w);
    else if (err < 0 || (w->http.h2 && worker_h2_is_finished(w)))
        worker_fail(w, FAULT_CLOSED);
    else if (w->leaving && !stream_is_blocked(&w->stream) && !engine_has_output(&w->http))
        worker_kill(w);
    else if (w->x && w->x->switched && w->x->request_sent && !engine_has_output(&w->http))
        stream_shutdown(&w->stream);
}

static void on_eof(struct worker *w)
{
    if (w->http.h2) {
        worker_fail(w, FAULT_CLOSED);
        return;
    }
    bool switched = w->x && w->x->switched;
    if (switched) /* one direction of a tunnel has ended */
        exchange_response_body(w->x, SLICE(""), true);
    if (w->dead)
        return;
    int err = h1_conn_eof(w->http.h1);
    if (switched)
        return;
    if (!w->dead)
        worker_fail(w, err == ERR_TRUNCATED ? FAULT_CUT : FAULT_CLOSED);
}

/* How much of a response may be read at once.  Over HTTP/2 windows bound it; over HTTP/1.1 one that
 * its client does not take, which pauses the connection. */
static size_t room(const struct worker *w)
{
    if (!engine_reads_much(&w->stream))
        return 1;
    return w->http.h2 ? SIZE_MAX : w->x ? client_queue_room(w->x) : 0;
}

/* return  false: the connection is no more */
static bool take(struct worker *w, struct slice in)
{
    struct shard *s = w->shard;
    int err = engine_feed(&w->http, in.p, in.len, shard_now_us(s));
    if (w->dead)
        return false;
    /* An answer that nobody asked for, or octets behind one: the connection is not to be trusted
     * with another request (RFC 9112 11.1). */
    if (err < 0 || (w->http.h1 && !w->x && !w->draining && h1_conn_response_begun(w->http.h1))) {
        if (w->http.h2) /* GOAWAY waits: it tells the worker why (RFC 9113 5.4.1) */
            engine_flush(&w->http, s, &w->stream, &w->dead, &w->flush);
        worker_fail(w, err == ERR_NOMEM ? FAULT_MEMORY
                       : w->http.h2     ? FAULT_PROTOCOL
                                        : FAULT_MALFORMED);
        return false;
    }
    if (engine_has_output(&w->http) || (w->http.h2 && worker_h2_is_finished(w)))
        worker_wants_flush(w);
    return true;
}

static void read_some(struct worker *w)
{
    struct shard *s = w->shard;
    size_t budget = SHARD_TURN_OCTETS;
    if (w->backend->is_foul) {
        worker_fail(w, FAULT_CLOSED);
        return;
    }
    while (!w->dead && !w->paused && stream_can_read(&w->stream) && budget) {
        ssize_t n = engine_read(s, &w->stream, room(w), &budget);
        if (n == ERR_AGAIN)
            break;
        if (n == 0) {
            on_eof(w);
            return;
        }
        if (n < 0) {
            worker_fail(w, FAULT_CLOSED);
            return;
        }
        for (struct slice in; (in = engine_next(s)).len;)
            if (!take(w, in))
                return;
    }
    count_octets(w);
    if (!w->dead && !w->paused && stream_can_read(&w->stream))
        loop_again(s->loop, &w->read);
}

static void read_again(struct loop_task *t)
{
    struct worker *w = CONTAINER_OF(t, struct worker, read);
    CHECK_MAGIC(w, WORKER_MAGIC);
    read_some(w);
}

static void on_readable(struct stream *st)
{
    read_some(worker_of_stream(st));
}

static void on_writable(struct stream *st)
{
    struct worker *w = worker_of_stream(st);
    worker_wants_flush(w);
    leaves_review(w->shard);
}

static void on_connected(struct stream *st, int err)
{
    struct worker *w = worker_of_stream(st);
    if (w->dead)
        return;
    if (err < 0 || !owner_fits(w->backend, st->source.fd)) {
        stats_add(&w->shard->stats->worker_connect_failures, 1);
        worker_fail(w, FAULT_CONNECT);
        return;
    }
    w->connected = true;
    w->used_us = shard_now_us(w->shard);
    stream_tune(&w->stream, 0);
    loop_timer_clear(&w->timer);
    if (w->http.h2)
        worker_h2_connected(w);
    else
        worker_h1_connected(w);
    worker_wants_flush(w);
    LIST_FOR(node, &w->waiting)
    {
        struct exchange *x = LIST_ENTRY(node, struct exchange, worker_node);
        if (w->http.h2 && !x->ws)
            continue; /* it waits for SETTINGS */
        list_remove(node);
        exchange_worker_ready(x);
    }
}

static const struct stream_events stream_events = {
    .on_readable = on_readable,
    .on_writable = on_writable,
    .on_connected = on_connected,
};

struct worker *worker_new(struct backend *b, enum worker_class klass, int *err_out)
{
    struct shard *s = b->shard;
    *err_out = ERR_CLOSED;
    if (b->is_foul)
        return NULL;
    *err_out = ERR_AGAIN;
    if (b->full_us == shard_now_us(s)) /* in this turn nobody asks again */
        return NULL;
    struct worker *w = pool_zget(s->pool, sizeof *w);
    *err_out = ERR_NOMEM;
    if (!w)
        return NULL;
    w->magic = WORKER_MAGIC;
    w->shard = s;
    w->backend = b;
    w->klass = klass;
    list_init(&w->node);
    list_init(&w->waiting);
    list_init(&w->parked);
    loop_task_init(&w->flush, flush);
    loop_task_init(&w->read, read_again);
    loop_task_init(&w->reap, reap);
    loop_timer_init(&w->timer, on_due);
    ration_init(&w->ration, shard_now_us(s));
    w->used_us = shard_now_us(s);
    if ((b->h2 ? worker_h2_init(w) : worker_h1_init(w)) == 0)
        *err_out = stream_connect(&w->stream, s->loop, &b->address, &stream_events);
    if (*err_out < 0) {
        if (*err_out == ERR_AGAIN)
            b->full_us = shard_now_us(s);
        else if (*err_out != ERR_NOMEM)
            stats_add(&s->stats->worker_connect_failures, 1);
        engine_free(&w->http);
        pool_put(s->pool, w, sizeof *w);
        return NULL;
    }
    stats_add(&s->stats->worker_connects, 1);
    stats_add(&s->stats->worker_connections_open, 1);
    loop_timer_set(s->loop, &w->timer, shard_now_us(s) + WORKER_CONNECT_US);
    if (b->h2)
        worker_h2_add(w);
    else
        worker_h1_add(w);
    return w;
}
