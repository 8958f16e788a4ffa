/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/worker_internal.h"
#include "edge/client.h"
#include "edge/leave.h"
#include "edge/owner.h"
#include "edge/push_vehicle.h"
#include "edge/tunnel.h"
#include "edge/waiting.h"
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

/* Somebody may be waiting for what is free now. */
static void end_draining(struct worker *w)
{
    struct shard *s = w->shard;
    if (!w->draining)
        return;
    w->draining = 0;
    w->backend->h1_draining--;
    loop_timer_clear(&w->timer);
    if (w->place)
        waiting_hand_on(s, w->place);
    w->place = NULL;
    if (s->waiting_any)
        loop_flush(s->loop, &s->waiting_room);
}

/* No exchange is attached any more.  The memory goes at the end of the turn. */
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
    list_remove(&w->node);
    if (w->http.h2) {
        b->h2_count[w->klass]--;
        b->h2_retired[w->klass] -= w->retired;
    } else {
        b->h1_count--;
        b->h1_left -= w->left_octets;
        end_draining(w);
        b->h1_idle_count -= w->idle;
    }
    stats_sub(&w->shard->stats->worker_connections_open, 1);
    leaves_review(w->shard);
    loop_reap(w->shard->loop, &w->reap);
}

void worker_retire(struct worker *w)
{
    struct backend *b = w->backend;
    if (!w->retired)
        b->h2_retired[w->klass]++;
    w->retired = true;
    list_remove(&w->node);
    list_add_tail(&b->h2_conns[w->klass], &w->node);
    worker_wants_flush(w);
}

void backend_failed(struct backend *b)
{
    uint64_t us = (uint64_t)BACKEND_BAD_US << (b->failures < 6 ? b->failures : 6);
    b->failures++;
    b->bad_until_us = shard_now_us(b->shard) + (us < BACKEND_BAD_MAX_US ? us : BACKEND_BAD_MAX_US);
}

/* x and w part; x->backend no longer counts it. */
void worker_detach(struct exchange *x)
{
    struct shard *s = x->shard;
    x->worker = NULL;
    x->ws = NULL;
    list_remove(&x->worker_node);
    if (x->backend) {
        x->backend->in_flight--;
        x->backend = NULL;
        worker_give_place(x);
        leaves_review(s);
        if (s->waiting_any) /* somebody may be waiting for this room */
            loop_flush(s->loop, &s->waiting_room);
    }
}

/* The connection is lost: every exchange on it is told. */
static void worker_fail(struct worker *w, enum fault fault)
{
    if (w->dead)
        return;
    if (fault == FAULT_CONNECT || (!w->reused && !w->http.h2 && w->x))
        backend_failed(w->backend);
    if (w->http.h2) {
        worker_retire(w);
        h2_conn_abort(w->http.h2, H2_NO_ERROR); /* on_close of each stream */
        LIST_FOR(node, &w->waiting)             /* those that have none yet */
        {
            struct exchange *x = LIST_ENTRY(node, struct exchange, worker_node);
            worker_detach(x);
            exchange_worker_failed(x, fault, true, true);
        }
        worker_kill(w);
        return;
    }
    struct exchange *x = w->x;
    bool untouched = !w->connected || w->stream.octets_out == w->octets_before;
    bool fresh = !w->reused;
    bool begun = h1_conn_response_begun(w->http.h1);
    w->x = NULL;
    worker_kill(w);
    if (x) {
        worker_detach(x);
        /* A connection that was kept alive may have been closing just then: with no octet of a
         * response it is fair to try a safe request again. */
        exchange_worker_failed(x, begun && fault == FAULT_CLOSED ? FAULT_CUT : fault, untouched,
                               fresh);
    }
}

static void on_due(struct loop_timer *t)
{
    struct worker *w = CONTAINER_OF(t, struct worker, timer);
    CHECK_MAGIC(w, WORKER_MAGIC);
    if (!w->connected)
        worker_fail(w, FAULT_CONNECT);
    else if (w->http.h2)
        worker_reset_dropped(w);
    else if (w->leaving || w->draining)
        worker_kill(w);
}

/* ---- HTTP/1.1 events ---- */

static void h1_on_head(void *user, const struct http_head *head, bool end)
{
    struct worker *w = user;
    if (w->x)
        exchange_response_head(w->x, head, end);
}

static void h1_on_body(void *user, struct slice octets, bool end)
{
    struct worker *w = user;
    if (w->x)
        exchange_response_body(w->x, octets, end);
    else if (w->draining && (w->drained += (uint32_t)octets.len) > WORKER_DRAIN_OCTETS)
        worker_kill(w);
}

static void h1_on_trailers(void *user, const struct fields *trailers)
{
    struct worker *w = user;
    if (w->x)
        exchange_response_trailers(w->x, trailers);
}

static void h1_on_sent(void *user, size_t octets)
{
    struct worker *w = user;
    if (w->x)
        exchange_request_drained(w->x, octets);
}

/* Nobody but what was sent to it needs this connection any more. */
void worker_let_finish(struct worker *w)
{
    struct backend *b = w->backend;
    size_t left = h1_conn_queued(w->http.h1) + stream_waiting(&w->stream);
    b->h1_left += left - w->left_octets;
    w->left_octets = left;
    if (b->h1_left > WORKER_H1_REST) {
        worker_kill(w);
        return;
    }
    w->leaving = true;
    loop_timer_set(w->shard->loop, &w->timer, shard_now_us(w->shard) + WORKER_LEAVE_US);
    worker_wants_flush(w);
}

void worker_drain(struct worker *w, struct places *place)
{
    w->place = place;
    w->draining = 1;
    w->drained = 0;
    w->backend->h1_draining++;
    loop_timer_set(w->shard->loop, &w->timer, shard_now_us(w->shard) + WORKER_DRAIN_US);
    if (w->paused) {
        w->paused = false;
        loop_again(w->shard->loop, &w->read);
    }
}

/* Most recently used first.  One that is being made may take long: nobody is to wait for it who
 * need not. */
static void enter_idle(struct worker *w)
{
    struct list *all = &w->backend->h1_idle;
    list_remove(&w->node);
    struct list *at = w->connected ? all->next : all;
    for (; at != all; at = at->next) {
        const struct worker *other = LIST_ENTRY(at, struct worker, node);
        if (!other->connected || other->used_us <= w->used_us)
            break;
    }
    list_add_tail(at, &w->node);
}

bool worker_keep_idle(struct worker *w)
{
    struct backend *b = w->backend;
    if (w->stream.saw_hup || b->h1_idle_count >= WORKER_H1_IDLE_MAX)
        return false;
    enter_idle(w);
    b->h1_idle_count++;
    w->idle = true;
    return true;
}

static void h1_on_done(void *user, bool reusable)
{
    struct worker *w = user;
    struct exchange *x = w->x;
    if (w->dead)
        return;
    w->x = NULL;
    w->paused = false;
    w->used_us = shard_now_us(w->shard);
    end_draining(w);
    if (reusable && worker_keep_idle(w)) {
        /* for the next request */
    } else if (w->leaving || (x && x->switched)) {
        /* the engine has given its last octets, the socket may not have taken them */
        worker_let_finish(w);
    } else {
        worker_kill(w);
    }
    if (x) {
        worker_detach(x);
        exchange_worker_done(x);
    }
}

static void h1_on_tunnel(void *user, struct slice octets)
{
    struct worker *w = user;
    if (w->x)
        exchange_response_body(w->x, octets, false);
}

static const struct h1_events h1_events = {
    .on_head = h1_on_head,
    .on_body = h1_on_body,
    .on_trailers = h1_on_trailers,
    .on_sent = h1_on_sent,
    .on_done = h1_on_done,
    .on_tunnel = h1_on_tunnel,
};

/* ---- HTTP/2 events: a stream without an exchange is one whose response is thrown away ---- */

static void h2_on_head(void *user, struct h2_stream *s, const struct http_head *head, bool end)
{
    struct worker *w = user;
    struct promised *p = promised_of(s);
    if (p) {
        promised_head(p, head, end);
        return;
    }
    struct exchange *x = h2_stream_user(s);
    w->reused |= head->status >= 200;
    if (x)
        exchange_response_head(x, head, end);
}

static void h2_on_body(void *user, struct h2_stream *s, struct slice octets, bool end)
{
    struct promised *p = promised_of(s);
    if (p) {
        promised_body(p, octets, end);
        return;
    }
    struct exchange *x = h2_stream_user(s);
    if (x)
        exchange_response_body(x, octets, end);
}

static void h2_on_trailers(void *user, struct h2_stream *s, const struct fields *trailers)
{
    struct promised *p = promised_of(s);
    if (p) {
        promised_trailers(p, trailers);
        return;
    }
    struct exchange *x = h2_stream_user(s);
    if (x)
        exchange_response_trailers(x, trailers);
}

static void h2_on_sent(void *user, struct h2_stream *s, size_t octets)
{
    struct exchange *x = h2_stream_user(s);
    struct worker *w = user;
    if (x)
        exchange_request_drained(x, octets);
    else
        w->left_octets -= octets;
}

static void h2_on_promise(void *user, struct h2_stream *parent, struct h2_stream *promised,
                          const struct http_head *head)
{
    struct worker *w = user;
    struct exchange *x = h2_stream_user(parent);
    if (x && !x->tunnel) /* a tunnel has no page, and its arena is emptied */
        push_from_worker(x, w, promised, head);
    else
        worker_refuse(w, promised, NULL);
}

static void h2_on_close(void *user, struct h2_stream *s, uint32_t code)
{
    struct worker *w = user;
    struct promised *p = promised_of(s);
    struct exchange *x = p ? NULL : h2_stream_user(s);
    if (p)
        promised_closed(p, code == H2_NO_ERROR);
    if (!x) {
        if (!p && w->draining)
            w->draining--;
        worker_forget_dropped(w, s);
        w->left_octets -= h2_stream_queued(s);
        worker_wants_flush(w); /* it may have been the last one of a retired connection */
        leaves_review(w->shard);
        return;
    }
    if (x->switched) /* the engine has given its last octets, the socket may not have taken them */
        w->left_us = shard_now_us(w->shard);
    bool untouched = h2_stream_unprocessed(s) || !w->connected;
    bool is_lost = h2_conn_is_over(w->http.h2); /* with the connection, not by itself */
    /* What says nothing against the instance: GOAWAY, the end of a connection that has served, and
     * a refused stream, as when its limit was not yet known; but not for ever. */
    bool fresh = !w->connected ||
                 (untouched ? x->refusals++ >= EXCHANGE_REFUSALS : !(w->retired && w->reused));
    worker_detach(x);
    x->reset_code = w->connected && !is_lost ? code : 0;
    if (code == H2_NO_ERROR && x->response_ended)
        exchange_worker_done(x);
    else
        exchange_worker_failed(x,
                               !w->connected ? FAULT_CONNECT
                               : is_lost     ? FAULT_CLOSED
                                             : FAULT_RESET,
                               untouched, fresh);
}

static void h2_on_settings(void *user)
{
    struct worker *w = user;
    w->backend->h2_streams = h2_conn_peer_max_streams(w->http.h2);
    LIST_FOR(node, &w->waiting)
    {
        struct exchange *x = LIST_ENTRY(node, struct exchange, worker_node);
        if (x->ws)
            continue;
        list_remove(&x->worker_node);
        int err = worker_join(x, w);
        if (err == ERR_LIMIT) { /* more came than it takes: another connection, of so many */
            bool was_last = x->refusals++ >= WORKER_H2_MAX;
            worker_detach(x);
            exchange_worker_failed(x, FAULT_OVERLOAD, true, was_last);
        } else if (err < 0) {
            exchange_fail(x, exchange_fault(x, err));
        }
    }
}

static void h2_on_goaway(void *user, uint32_t last_stream_id, uint32_t code)
{
    struct worker *w = user;
    (void)last_stream_id;
    (void)code;
    worker_retire(w);
}

static void h2_on_refuse(void *user, enum h2_blame blame)
{
    const struct worker *w = user;
    stats_add(&w->shard->stats->worker_h2_refusals[blame], 1);
}

static const struct h2_events h2_events = {
    .on_head = h2_on_head,
    .on_body = h2_on_body,
    .on_trailers = h2_on_trailers,
    .on_sent = h2_on_sent,
    .on_promise = h2_on_promise,
    .on_close = h2_on_close,
    .on_settings = h2_on_settings,
    .on_goaway = h2_on_goaway,
    .on_refuse = h2_on_refuse,
};

/* ---- the socket ---- */

bool worker_has_rest(const struct worker *w)
{
    return w->http.h2 ? h2_conn_queued(w->http.h2) || stream_is_blocked(&w->stream) : w->leaving;
}

/* Over HTTP/2: the rest of a tunnel has been on its way not for too long. */
static bool has_fresh_rest(const struct worker *w)
{
    return worker_has_rest(w) && shard_now_us(w->shard) - w->left_us <= WORKER_LEAVE_US;
}

/* Failed, or nothing but answers that nobody reads is left on it. */
static bool is_finished(const struct worker *w)
{
    return h2_conn_blame(w->http.h2) != H2_BLAME_NONE ||
           (w->retired && h2_conn_streams(w->http.h2) == w->draining && !has_fresh_rest(w));
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
    else if (err < 0 || (w->http.h2 && is_finished(w)))
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
        worker_fail(w, FAULT_MALFORMED);
        return false;
    }
    if (engine_has_output(&w->http) || (w->http.h2 && is_finished(w)))
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
    if (w->idle)
        enter_idle(w);
    stream_tune(&w->stream, 0);
    loop_timer_clear(&w->timer);
    worker_wait_to_reset(w);
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

static void enter_h2(struct worker *w)
{
    struct list *all = &w->backend->h2_conns[w->klass], *at = all->next;
    while (at != all && !LIST_ENTRY(at, struct worker, node)->retired)
        at = at->next;
    list_add_tail(at, &w->node);
}

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
    if (b->h2) {
        struct h2_settings set;
        h2_settings_default(&set, H2_CLIENT);
        set.enable_push = klass == WORKER_PUSH;
        set.stream_window = WORKER_H2_WINDOW;
        set.conn_window = 4u << 20;
        /* A worker resets streams for reasons of its own; only its own app suffers from it.  Many
         * flush by DATA that is empty, for all clients over this connection.  WINDOW_UPDATE and
         * PING are earned by what is sent. */
        set.budget.resets = (struct h2_bucket){.burst = 100000, .per_second = 100000};
        set.budget.empty = (struct h2_bucket){.burst = 2000, .per_second = 2000};
        w->http.h2 = h2_conn_new(H2_CLIENT, &set, &h2_events, w, s->pool, shard_now_us(s));
    } else {
        struct h1_limits limits;
        h1_limits_default(&limits);
        w->http.h1 = h1_conn_new(H1_CLIENT, &limits, &h1_events, w, s->pool);
    }
    if (w->http.h1 || w->http.h2)
        *err_out = stream_connect(&w->stream, s->loop, &b->address, &stream_events);
    if (*err_out < 0) {
        if (*err_out == ERR_AGAIN)
            b->full_us = shard_now_us(s);
        else if (*err_out != ERR_NOMEM)
            stats_add(&s->stats->worker_connect_failures, 1);
        if (w->http.h1)
            h1_conn_free(w->http.h1);
        if (w->http.h2)
            h2_conn_free(w->http.h2);
        pool_put(s->pool, w, sizeof *w);
        return NULL;
    }
    stats_add(&s->stats->worker_connects, 1);
    stats_add(&s->stats->worker_connections_open, 1);
    loop_timer_set(s->loop, &w->timer, shard_now_us(s) + WORKER_CONNECT_US);
    if (b->h2) {
        b->h2_count[klass]++;
        enter_h2(w);
    } else {
        b->h1_count++;
        list_add_tail(&b->h1_busy, &w->node);
    }
    return w;
}

bool worker_sweep(struct backend *b, enum sweep how)
{
    uint64_t now = shard_now_us(b->shard);
    LIST_FOR(node, &b->h1_idle)
    {
        struct worker *w = LIST_ENTRY(node, struct worker, node);
        if (how != SWEEP_OLD || now - w->used_us > WORKER_IDLE_US)
            worker_kill(w);
    }
    LIST_FOR(node, &b->h1_busy)
    {
        struct worker *w = LIST_ENTRY(node, struct worker, node);
        if (how == SWEEP_ALL && (w->leaving || w->draining)) /* they have timers of their own */
            worker_kill(w);
    }
    for (int k = 0; k < WORKER_CLASSES; k++) {
        LIST_FOR(node, &b->h2_conns[k])
        {
            struct worker *w = LIST_ENTRY(node, struct worker, node);
            if (how == SWEEP_OLD && !w->retired)
                continue;
            if (h2_conn_streams(w->http.h2) == w->draining &&
                (how == SWEEP_ALL || !has_fresh_rest(w)))
                worker_fail(w, FAULT_CLOSED);
        }
    }
    return b->h1_count == 0 && b->h2_count[WORKER_PUSH] == 0 && b->h2_count[WORKER_NO_PUSH] == 0 &&
           b->in_flight == 0;
}
