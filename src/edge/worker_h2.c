/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/worker_h2.h"
#include "edge/leave.h"
#include "edge/promised.h"
#include "edge/push_vehicle.h"
#include "base/err.h"

/* ---- among its backend's ---- */

void worker_h2_add(struct worker *w)
{
    struct list *all = &w->backend->h2_conns[w->klass], *at = all->next;
    while (at != all && !LIST_ENTRY(at, struct worker, node)->retired)
        at = at->next;
    list_add_tail(at, &w->node);
    w->backend->h2_count[w->klass]++;
}

void worker_h2_remove(struct worker *w)
{
    struct backend *b = w->backend;
    list_remove(&w->node);
    b->h2_count[w->klass]--;
    b->h2_retired[w->klass] -= w->retired;
}

/* It takes no new streams, and is closed when those that it has have ended. */
static void retire(struct worker *w)
{
    struct backend *b = w->backend;
    if (!w->retired)
        b->h2_retired[w->klass]++;
    w->retired = true;
    list_remove(&w->node);
    list_add_tail(&b->h2_conns[w->klass], &w->node);
    worker_wants_flush(w);
}

/* A field section waits among the engine's answers, of which the worker may not leave too many: not
 * so many sections that it, and with it everybody's requests, would be taken for one that does. */
bool worker_h2_takes_section(const struct worker *w)
{
    return h2_conn_queued_control(w->http.h2) < WORKER_H2_SECTIONS;
}

/* Before it has said how many streams it takes, it is believed to take as many as others. */
static bool takes_stream(const struct worker *w)
{
    const struct h2_conn *h2 = w->http.h2;
    uint32_t most = WORKER_H2_STREAMS, others = w->backend->h2_streams;
    if (!h2_conn_peer_settings_seen(h2) && others && others < most)
        most = others;
    return h2_conn_can_open(h2) > 0 && h2_conn_streams(h2) < most;
}

struct worker *worker_h2_take(struct backend *b, enum worker_class klass, bool has_content,
                              int *err_out)
{
    struct worker *blocked = NULL;
    LIST_FOR(node, &b->h2_conns[klass])
    {
        struct worker *w = LIST_ENTRY(node, struct worker, node);
        if (w->retired)
            break;
        if (h2_conn_is_used_up(w->http.h2)) {
            retire(w);
            continue;
        }
        if (!takes_stream(w) || !worker_h2_takes_section(w))
            continue;
        if (!has_content || h2_conn_send_window(w->http.h2) > 0)
            return w;
        blocked = w;
    }
    if (b->h2_count[klass] - b->h2_retired[klass] >= WORKER_H2_MAX ||
        b->h2_retired[klass] >= WORKER_H2_RETIRED) {
        *err_out = ERR_LIMIT;
        return blocked;
    }
    struct worker *w = worker_new(b, klass, err_out);
    return w ? w : blocked;
}

/* ---- streams that nobody wants any more ---- */

bool worker_h2_has_room(const struct worker *w, const struct h2_stream *ws)
{
    return w->left_octets + h2_stream_queued(ws) <= WORKER_H2_REST;
}

/* ws ends by itself, or never: a connection with too many of those takes no new streams. */
static void leave_stream(struct worker *w, struct h2_stream *ws)
{
    w->left_octets += h2_stream_queued(ws);
    if (++w->draining >= WORKER_DRAINING_MAX || w->draining >= h2_conn_peer_max_streams(w->http.h2))
        retire(w);
}

static void wait_to_reset(struct worker *w)
{
    if (w->connected && w->dropped_count && !w->timer.due_us)
        loop_timer_set(w->shard->loop, &w->timer, shard_now_us(w->shard) + WORKER_DRAIN_US);
}

void worker_h2_reset_dropped(struct worker *w)
{
    while (w->dropped_count && ration_take(&w->ration, shard_now_us(w->shard))) {
        struct h2_stream *ws = w->dropped[--w->dropped_count];
        w->left_octets -= h2_stream_queued(ws);
        w->draining--;
        h2_stream_reset(ws, H2_CANCEL);
    }
    wait_to_reset(w);
    worker_wants_flush(w);
}

static void forget_dropped(struct worker *w, const struct h2_stream *ws)
{
    for (uint32_t i = 0; i < w->dropped_count; i++)
        if (w->dropped[i] == ws)
            w->dropped[i] = w->dropped[--w->dropped_count];
}

/* return  false: it cannot be reset later */
static bool reset_later(struct worker *w, struct h2_stream *ws)
{
    if (!w->dropped)
        w->dropped = pool_get(w->shard->pool, WORKER_DROPPED_OCTETS);
    if (!w->dropped || w->dropped_count == WORKER_H2_STREAMS)
        return false;
    w->dropped[w->dropped_count++] = ws;
    wait_to_reset(w);
    return true;
}

bool worker_h2_drop(struct worker *w, struct h2_stream *ws)
{
    h2_stream_set_user(ws, NULL);
    worker_wants_flush(w);
    if (ration_take(&w->ration, shard_now_us(w->shard)) || !worker_h2_has_room(w, ws) ||
        !reset_later(w, ws)) {
        h2_stream_reset(ws, H2_CANCEL);
        return true;
    }
    leave_stream(w, ws);
    return false;
}

void worker_h2_leave(struct worker *w, struct h2_stream *ws)
{
    h2_stream_set_user(ws, NULL);
    leave_stream(w, ws);
    w->left_us = shard_now_us(w->shard);
    worker_wants_flush(w);
}

void worker_h2_connected(struct worker *w)
{
    wait_to_reset(w);
}

/* ---- its end ---- */

/* The rest of a tunnel has been on its way not for too long. */
static bool has_fresh_rest(const struct worker *w)
{
    return worker_has_rest(w) && shard_now_us(w->shard) - w->left_us <= WORKER_LEAVE_US;
}

bool worker_h2_is_finished(const struct worker *w)
{
    return h2_conn_blame(w->http.h2) != H2_BLAME_NONE ||
           (w->retired && h2_conn_streams(w->http.h2) == w->draining && !has_fresh_rest(w));
}

void worker_h2_fail(struct worker *w, enum fault fault)
{
    retire(w);
    h2_conn_abort(w->http.h2, H2_NO_ERROR); /* on_close of each stream */
    LIST_FOR(node, &w->waiting)             /* those that have none yet */
    {
        struct exchange *x = LIST_ENTRY(node, struct exchange, worker_node);
        worker_detach(x);
        exchange_worker_failed(x, fault, true, true);
    }
    worker_kill(w);
}

void worker_h2_sweep(struct backend *b, enum sweep how)
{
    for (int k = 0; k < WORKER_CLASSES; k++) {
        LIST_FOR(node, &b->h2_conns[k])
        {
            struct worker *w = LIST_ENTRY(node, struct worker, node);
            if (how == SWEEP_OLD && !w->retired)
                continue;
            if (h2_conn_streams(w->http.h2) == w->draining &&
                (how == SWEEP_ALL || !has_fresh_rest(w)))
                worker_h2_fail(w, FAULT_CLOSED);
        }
    }
}

/* ---- events: a stream without an exchange is one whose response is thrown away ---- */

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

/* untouched: the worker did not act on it; is_lost: it ended with the connection */
static enum fault fault_of_close(const struct worker *w, const struct h2_stream *s, bool untouched,
                                 bool is_lost)
{
    if (!w->connected)
        return FAULT_CONNECT;
    if (is_lost) {
        enum h2_blame blame = h2_conn_blame(w->http.h2);
        return blame == H2_BLAME_NONE     ? FAULT_CLOSED
               : blame == H2_BLAME_MEMORY ? FAULT_MEMORY
                                          : FAULT_PROTOCOL;
    }
    /* Who did not reset it said something for which our engine did. */
    return untouched || h2_stream_peer_reset(s) ? FAULT_RESET : FAULT_MALFORMED;
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
        forget_dropped(w, s);
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
    enum fault fault = fault_of_close(w, s, untouched, is_lost);
    bool ours = fault == FAULT_MALFORMED || fault == FAULT_PROTOCOL;
    x->why = ours ? h2_conn_why(w->http.h2) : NULL;
    if (code == H2_NO_ERROR && x->response_ended)
        exchange_worker_done(x);
    else
        exchange_worker_failed(x, fault, untouched, fresh);
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
    retire(w);
}

static void h2_on_refuse(void *user, enum h2_blame blame, const char *why)
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

int worker_h2_init(struct worker *w)
{
    struct h2_settings set;
    h2_settings_default(&set, H2_CLIENT);
    set.enable_push = w->klass == WORKER_PUSH;
    set.stream_window = WORKER_H2_WINDOW;
    set.conn_window = 4u << 20;
    /* A worker resets streams for reasons of its own; only its own app suffers from it.  Many
     * flush by DATA that is empty, for all clients over this connection.  WINDOW_UPDATE and
     * PING are earned by what is sent. */
    set.budget.resets = (struct h2_bucket){.burst = 100000, .per_second = 100000};
    set.budget.empty = (struct h2_bucket){.burst = 2000, .per_second = 2000};
    w->http.h2 =
        h2_conn_new(H2_CLIENT, &set, &h2_events, w, w->shard->pool, shard_now_us(w->shard));
    return w->http.h2 ? 0 : ERR_NOMEM;
}
