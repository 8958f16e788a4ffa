/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/worker.h"
#include "edge/client.h"
#include "edge/push_vehicle.h"
#include "edge/tunnel.h"
#include "edge/forward.h"
#include "base/err.h"
#include "base/panic.h"

static struct worker *worker_of_stream(struct stream *s)
{
    struct worker *w = CONTAINER_OF(s, struct worker, stream);
    CHECK_MAGIC(w, WORKER_MAGIC);
    return w;
}

static void wants_flush(struct worker *w)
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
    w->magic = 0;
    pool_put(s->pool, w, sizeof *w);
}

/* No exchange is attached any more.  The memory goes at the end of the turn. */
static void kill_worker(struct worker *w)
{
    struct backend *b = w->backend;
    if (w->dead)
        return;
    ASSERT(!w->x);
    w->dead = true;
    count_octets(w);
    if (stream_is_open(&w->stream))
        stream_close(&w->stream);
    loop_task_cancel(&w->flush);
    loop_task_cancel(&w->read);
    loop_timer_clear(&w->timer);
    list_remove(&w->node);
    if (w->http.h2) {
        b->h2_count[w->klass]--;
    } else {
        b->h1_count--;
        if (w->used_us) /* it was idle */
            b->h1_idle_count--;
    }
    stats_sub(&w->shard->stats->worker_connections_open, 1);
    loop_reap(w->shard->loop, &w->reap);
}

static void backend_failed(struct backend *b)
{
    uint64_t us = (uint64_t)BACKEND_BAD_US << (b->failures < 6 ? b->failures : 6);
    b->failures++;
    b->bad_until_us = shard_now_us(b->shard) + (us < BACKEND_BAD_MAX_US ? us : BACKEND_BAD_MAX_US);
}

/* x and w part; x->backend no longer counts it. */
static void detach(struct exchange *x)
{
    struct shard *s = x->shard;
    x->worker = NULL;
    x->ws = NULL;
    list_remove(&x->worker_node);
    if (x->backend) {
        x->backend->in_flight--;
        x->backend = NULL;
        if (!list_empty(&s->waiting)) /* somebody may be waiting for this room */
            loop_flush(s->loop, &s->waiting_room);
    }
}

/* The connection is lost: every exchange on it is told. */
static void worker_fail(struct worker *w, enum exchange_fault fault)
{
    if (w->dead)
        return;
    if (fault == FAULT_CONNECT || (!w->reused && !w->http.h2 && w->x))
        backend_failed(w->backend);
    if (w->http.h2) {
        w->retired = true;
        h2_conn_abort(w->http.h2, H2_NO_ERROR); /* on_close of each stream */
        LIST_FOR(node, &w->waiting)             /* those that have none yet */
        {
            struct exchange *x = LIST_ENTRY(node, struct exchange, worker_node);
            detach(x);
            exchange_worker_failed(x, fault, true, true);
        }
        kill_worker(w);
        return;
    }
    struct exchange *x = w->x;
    bool untouched = !w->connected || w->stream.octets_out == w->octets_before;
    bool fresh = !w->reused;
    bool begun = h1_conn_response_begun(w->http.h1);
    w->x = NULL;
    kill_worker(w);
    if (x) {
        detach(x);
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
    else if (w->leaving)
        kill_worker(w);
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
static void leave(struct worker *w)
{
    w->leaving = true;
    loop_timer_set(w->shard->loop, &w->timer, shard_now_us(w->shard) + WORKER_LEAVE_US);
    wants_flush(w);
}

static void h1_on_done(void *user, bool reusable)
{
    struct worker *w = user;
    struct exchange *x = w->x;
    struct backend *b = w->backend;
    if (w->dead)
        return;
    w->x = NULL;
    w->paused = false;
    if (reusable && !w->stream.saw_hup && b->h1_idle_count < WORKER_H1_IDLE_MAX) {
        list_remove(&w->node);
        list_add_head(&b->h1_idle, &w->node);
        b->h1_idle_count++;
        w->used_us = shard_now_us(w->shard);
    } else if (w->leaving || (x && x->switched)) {
        leave(w); /* the engine has given its last octets, the socket may not have taken them */
    } else {
        kill_worker(w);
    }
    if (x) {
        detach(x);
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
    struct exchange *x = h2_stream_user(s);
    w->reused |= head->status >= 200;
    if (x)
        exchange_response_head(x, head, end);
}

static void h2_on_body(void *user, struct h2_stream *s, struct slice octets, bool end)
{
    struct exchange *x = h2_stream_user(s);
    if (x)
        exchange_response_body(x, octets, end);
}

static void h2_on_trailers(void *user, struct h2_stream *s, const struct fields *trailers)
{
    struct exchange *x = h2_stream_user(s);
    if (x)
        exchange_response_trailers(x, trailers);
}

static void h2_on_sent(void *user, struct h2_stream *s, size_t octets)
{
    struct exchange *x = h2_stream_user(s);
    if (x)
        exchange_request_drained(x, octets);
}

static void h2_on_promise(void *user, struct h2_stream *parent, struct h2_stream *promised,
                          const struct http_head *head)
{
    struct worker *w = user;
    struct exchange *x = h2_stream_user(parent);
    if (x)
        push_from_worker(x, w, promised, head);
    else
        worker_refuse(w, promised, NULL);
}

static void h2_on_close(void *user, struct h2_stream *s, uint32_t code)
{
    struct worker *w = user;
    struct exchange *x = h2_stream_user(s);
    if (!x) {
        if (w->draining)
            w->draining--;
        wants_flush(w); /* it may have been the last one of a retired connection */
        return;
    }
    bool untouched = h2_stream_unprocessed(s) || !w->connected;
    /* What says nothing against the instance: GOAWAY, the end of a connection that has served, and
     * a refused stream, as when its limit was not yet known; but not for ever. */
    bool fresh = !w->connected ||
                 (untouched ? x->refusals++ >= EXCHANGE_REFUSALS : !(w->retired && w->reused));
    detach(x);
    x->reset_code = w->connected && !w->retired ? code : 0;
    if (code == H2_NO_ERROR && x->response_ended)
        exchange_worker_done(x);
    else
        exchange_worker_failed(x,
                               !w->connected ? FAULT_CONNECT
                               : w->retired  ? FAULT_CLOSED
                                             : FAULT_RESET,
                               untouched, fresh);
}

static int join(struct exchange *x, struct worker *w);

static void h2_on_settings(void *user)
{
    struct worker *w = user;
    LIST_FOR(node, &w->waiting)
    {
        struct exchange *x = LIST_ENTRY(node, struct exchange, worker_node);
        if (x->ws)
            continue;
        detach(x);
        if (join(x, w) < 0)
            exchange_fail(x, FAULT_NO_EXTENDED_CONNECT);
    }
}

static void h2_on_goaway(void *user, uint32_t last_stream_id, uint32_t code)
{
    struct worker *w = user;
    (void)last_stream_id;
    (void)code;
    w->retired = true;
    wants_flush(w);
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
};

/* ---- the socket ---- */

/* Over, or nothing but answers that nobody reads is left on it. */
static bool is_finished(const struct worker *w)
{
    return h2_conn_is_over(w->http.h2) ||
           (w->retired && h2_conn_streams(w->http.h2) == w->draining);
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
        kill_worker(w);
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

static void read_some(struct worker *w)
{
    struct shard *s = w->shard;
    size_t budget = SHARD_TURN_OCTETS;
    while (!w->dead && !w->paused && stream_can_read(&w->stream) && budget) {
        ssize_t n = engine_read(s, &w->stream, &budget);
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
        int err = engine_feed(&w->http, s->rx->octets, (size_t)n, shard_now_us(s));
        if (shard_refresh_rx(s) < 0)
            err = ERR_NOMEM;
        if (w->dead)
            return;
        /* An answer that nobody asked for, or octets behind one: the connection is not to be
         * trusted with another request (RFC 9112 11.1). */
        if (err < 0 || (w->http.h1 && !w->x && h1_conn_response_begun(w->http.h1))) {
            if (w->http.h2) /* GOAWAY waits: it tells the worker why (RFC 9113 5.4.1) */
                engine_flush(&w->http, s, &w->stream, &w->dead, &w->flush);
            worker_fail(w, FAULT_MALFORMED);
            return;
        }
        if (engine_has_output(&w->http) || w->retired)
            wants_flush(w);
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
    wants_flush(worker_of_stream(st));
}

static void on_connected(struct stream *st, int err)
{
    struct worker *w = worker_of_stream(st);
    if (w->dead)
        return;
    if (err < 0) {
        stats_add(&w->shard->stats->worker_connect_failures, 1);
        worker_fail(w, FAULT_CONNECT);
        return;
    }
    w->connected = true;
    stream_tune(&w->stream, 0);
    loop_timer_clear(&w->timer);
    wants_flush(w);
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

static struct worker *worker_new(struct backend *b, enum worker_class klass, int *err_out)
{
    struct shard *s = b->shard;
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
    loop_task_init(&w->flush, flush);
    loop_task_init(&w->read, read_again);
    loop_task_init(&w->reap, reap);
    loop_timer_init(&w->timer, on_due);
    ration_init(&w->ration, shard_now_us(s));
    if (b->h2) {
        struct h2_settings set;
        h2_settings_default(&set, H2_CLIENT);
        set.enable_push = klass == WORKER_PUSH;
        set.stream_window = WORKER_H2_WINDOW;
        set.conn_window = 4u << 20;
        /* A worker resets streams for reasons of its own; only its own app suffers from it. */
        set.budget.resets = (struct h2_bucket){.burst = 100000, .per_second = 100000};
        w->http.h2 = h2_conn_new(H2_CLIENT, &set, &h2_events, w, s->pool, shard_now_us(s));
    } else {
        struct h1_limits limits;
        h1_limits_default(&limits);
        w->http.h1 = h1_conn_new(H1_CLIENT, &limits, &h1_events, w, s->pool);
    }
    if (w->http.h1 || w->http.h2)
        *err_out = stream_connect(&w->stream, s->loop, &b->address, &stream_events);
    if (*err_out < 0) {
        if (*err_out != ERR_NOMEM)
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
        list_add_tail(&b->h2_conns[klass], &w->node);
    } else {
        b->h1_count++;
        list_add_tail(&b->h1_busy, &w->node);
    }
    return w;
}

bool worker_sweep(struct backend *b, bool all)
{
    uint64_t now = shard_now_us(b->shard);
    LIST_FOR(node, &b->h1_idle)
    {
        struct worker *w = LIST_ENTRY(node, struct worker, node);
        if (all || now - w->used_us > WORKER_IDLE_US)
            kill_worker(w);
    }
    LIST_FOR(node, &b->h1_busy)
    {
        struct worker *w = LIST_ENTRY(node, struct worker, node);
        if (all && w->leaving)
            kill_worker(w);
    }
    for (int k = 0; k < WORKER_CLASSES; k++) {
        LIST_FOR(node, &b->h2_conns[k])
        {
            struct worker *w = LIST_ENTRY(node, struct worker, node);
            if (all && h2_conn_streams(w->http.h2) == w->draining)
                worker_fail(w, FAULT_CLOSED);
        }
    }
    return b->h1_count == 0 && b->h2_count[WORKER_PUSH] == 0 && b->h2_count[WORKER_NO_PUSH] == 0 &&
           b->in_flight == 0;
}

/* ---- choosing ---- */

static struct worker *take_h1(struct backend *b, struct exchange *x, int *err_out)
{
    /* After a connection that had died, the others of a dead instance are no better: a new one
     * tells at once whether somebody is there. */
    if (!list_empty(&b->h1_idle) && x->retries == 0) {
        struct worker *w = LIST_ENTRY(b->h1_idle.next, struct worker, node);
        bool again_ok = method_is_idempotent(x->request->method);
        if (again_ok || shard_now_us(b->shard) - w->used_us < WORKER_FRESH_US) {
            list_remove(&w->node);
            list_add_tail(&b->h1_busy, &w->node);
            b->h1_idle_count--;
            w->used_us = 0;
            w->reused = true;
            return w;
        }
    }
    if (b->h1_count >= WORKER_H1_MAX) {
        *err_out = ERR_LIMIT;
        return NULL;
    }
    return worker_new(b, WORKER_PUSH, err_out);
}

static struct worker *take_h2(struct backend *b, enum worker_class klass, int *err_out)
{
    LIST_FOR(node, &b->h2_conns[klass])
    {
        struct worker *w = LIST_ENTRY(node, struct worker, node);
        if (!w->retired && h2_conn_can_open(w->http.h2) > 0 &&
            h2_conn_streams(w->http.h2) < WORKER_H2_STREAMS)
            return w;
    }
    if (b->h2_count[klass] >= WORKER_H2_MAX) {
        *err_out = ERR_LIMIT;
        return NULL;
    }
    return worker_new(b, klass, err_out);
}

static void count_in(struct exchange *x, struct worker *w)
{
    x->worker = w;
    x->backend = x->last_backend = w->backend;
    x->backend->in_flight++;
}

/* Whether the worker takes extended CONNECT is not known before its SETTINGS.  RFC 8441 3 */
static void wait_for_settings(struct exchange *x, struct worker *w)
{
    count_in(x, w);
    list_add_tail(&w->waiting, &x->worker_node);
}

/* Sends the request head on w.
 * return  0, or ERR_CLOSED: a WebSocket that this worker cannot take, or what the engine says */
static int join(struct exchange *x, struct worker *w)
{
    bool h2 = w->http.h2 != NULL;
    if (x->tunnel && h2 && !h2_conn_peer_settings_seen(w->http.h2)) {
        wait_for_settings(x, w);
        return 0;
    }
    if (x->tunnel && h2 && !h2_conn_peer_connect_enabled(w->http.h2))
        return ERR_CLOSED;
    bool end = x->request_ended && x->held.octets == 0 && x->held_trailers.count == 0;
    int err = forward_request(x, h2);
    if (err == 0 && x->tunnel)
        err = tunnel_forward(x, h2);
    if (err < 0)
        return err;
    end |= x->tunnel && !h2; /* the request that asks for the switch has no content */
    if (w->http.h2) {
        x->ws = h2_conn_request(w->http.h2, &x->forward, end, x, &err);
        if (!x->ws)
            return err;
    } else {
        err = h1_conn_send_head(w->http.h1, &x->forward, end, false);
        if (err < 0)
            return err;
        w->x = x;
        w->octets_before = w->stream.octets_out;
    }
    if (end)
        x->request_sent = true;
    count_in(x, w);
    if (!w->connected)
        list_add_tail(&w->waiting, &x->worker_node);
    wants_flush(w);
    return 0;
}

/* The backends of the site that x may be sent to, as a mask of those that may not, their loads, and
 * a mask of those that had better not. */
static uint64_t survey(const struct exchange *x, struct backend **at, uint32_t *load,
                       uint32_t count, uint64_t *bad_out, bool *full_out)
{
    struct site *site = x->site;
    uint64_t skip = x->tried, now = shard_now_us(x->shard);
    bool grpc = site->route.proxy_flag == ROUTE_PROXY_GRPC &&
                slice_starts(fields_value(&x->request->fields, TOKEN_CONTENT_TYPE),
                             SLICE("application/grpc"));
    *bad_out = 0;
    *full_out = false;
    for (uint32_t i = 0; i < count; i++) {
        struct backend *b = grpc ? site->instances[i].backend_h2 : site->instances[i].backend;
        at[i] = b;
        load[i] = b ? b->in_flight : 0;
        if (b && site->route.concurrency && b->in_flight >= site->route.concurrency) {
            *full_out = true;
            b = NULL;
        }
        if (!b)
            skip |= 1ull << i;
        else if (b->bad_until_us > now)
            *bad_out |= 1ull << i;
    }
    return skip;
}

int worker_attach(struct exchange *x)
{
    struct site *site = x->site;
    struct backend *at[ROUTE_MAX_INSTANCES];
    uint32_t load[ROUTE_MAX_INSTANCES];
    uint32_t count = site->count;
    uint64_t bad;
    bool full;
    int err = ERR_NOTFOUND;
    uint64_t skip = survey(x, at, load, count, &bad, &full);
    enum worker_class klass = site->route.flags & ROUTE_PUSH_OFF ? WORKER_NO_PUSH : WORKER_PUSH;
    for (;;) {
        int i = route_least(load, count, site->next++, skip | bad);
        if (i < 0) /* never leave out the last one */
            i = route_least(load, count, site->next, skip);
        if (i < 0)
            return full ? ERR_LIMIT : err;
        struct worker *w = at[i]->h2 ? take_h2(at[i], klass, &err) : take_h1(at[i], x, &err);
        if (w) {
            err = join(x, w);
            if (err == 0)
                return 0;
            if (w->http.h1 && !w->x)
                kill_worker(w); /* a head that the engine refused leaves nothing to reuse */
            return err;
        }
        if (err == ERR_NOMEM)
            return err;
        if (err != ERR_LIMIT) {
            backend_failed(at[i]);
            err = ERR_NOTFOUND;
        }
        skip |= 1ull << i;
        x->tried |= 1ull << i;
    }
}

void worker_attach_promised(struct exchange *x, struct worker *w, struct h2_stream *ws)
{
    h2_stream_set_user(ws, x);
    x->worker = w;
    x->ws = ws;
    x->backend = w->backend;
    x->backend->in_flight++;
}

/* Resets ws if the ration allows, else its response is read and thrown away; a connection with too
 * many of those takes no new streams.  return  whether it was reset */
static bool drop_stream(struct worker *w, struct h2_stream *ws)
{
    h2_stream_set_user(ws, NULL);
    wants_flush(w);
    if (ration_take(&w->ration, shard_now_us(w->shard))) {
        h2_stream_reset(ws, H2_CANCEL);
        return true;
    }
    if (++w->draining >= WORKER_DRAINING_MAX)
        w->retired = true;
    return false;
}

void worker_refuse(struct worker *w, struct h2_stream *ws, struct site *site)
{
    bool reset = drop_stream(w, ws);
    if (site)
        stats_add(reset ? &site->stats->push.worker_resets : &site->stats->push.worker_drained, 1);
}

void worker_cancel(struct exchange *x)
{
    struct worker *w = x->worker;
    struct h2_stream *ws = x->ws;
    if (!w)
        return;
    detach(x);
    if (w->http.h2 && !ws)
        return;
    if (w->http.h2) {
        /* A request whose end was not sent cannot be left to drain: the worker waits for it. */
        if (!x->request_sent && !x->pushed) {
            h2_stream_set_user(ws, NULL);
            h2_stream_reset(ws, H2_CANCEL);
            ration_take(&w->ration, shard_now_us(w->shard));
            wants_flush(w);
            return;
        }
        bool reset = drop_stream(w, ws);
        if (x->pushed && x->site)
            stats_add(reset ? &x->site->stats->push.worker_resets
                            : &x->site->stats->push.worker_drained,
                      1);
        return;
    }
    w->x = NULL;
    kill_worker(w);
}

void worker_leave(struct exchange *x)
{
    struct worker *w = x->worker;
    struct h2_stream *ws = x->ws;
    if (!w || !x->request_sent || (w->http.h2 && !ws)) {
        worker_cancel(x);
        return;
    }
    detach(x);
    if (w->http.h1) {
        w->x = NULL;
        leave(w);
        return;
    }
    h2_stream_set_user(ws, NULL); /* it ends by itself */
    w->draining++;
    wants_flush(w);
}

/* ---- content ---- */

int worker_send_body(struct exchange *x, struct slice octets, bool end)
{
    struct worker *w = x->worker;
    struct chunk *chunk = shard_chunk_of(x->shard, octets);
    wants_flush(w);
    return w->http.h2 ? h2_stream_body(x->ws, octets, chunk, end)
                      : h1_conn_send_body(w->http.h1, octets, chunk, end);
}

int worker_send_trailers(struct exchange *x, const struct fields *trailers)
{
    struct worker *w = x->worker;
    wants_flush(w);
    return w->http.h2 ? h2_stream_trailers(x->ws, trailers)
                      : h1_conn_send_trailers(w->http.h1, trailers);
}

size_t worker_queued(const struct exchange *x)
{
    if (!x->worker || (!x->ws && !x->worker->http.h1))
        return 0;
    return x->ws ? h2_stream_queued(x->ws) : h1_conn_queued(x->worker->http.h1);
}

void worker_consumed(struct exchange *x, size_t octets)
{
    struct worker *w = x->worker;
    if (!w || w->dead)
        return;
    if (w->http.h2) {
        if (octets && x->ws) {
            h2_stream_consumed(x->ws, octets);
            if (h2_conn_has_output(w->http.h2))
                wants_flush(w);
        }
        return;
    }
    size_t queued = client_queued(x);
    if (!w->paused && queued >= QUEUE_HIGH_OCTETS) {
        w->paused = true;
    } else if (w->paused && queued < QUEUE_LOW_OCTETS) {
        w->paused = false;
        loop_again(w->shard->loop, &w->read);
    }
}
