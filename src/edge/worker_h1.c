/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/worker_h1.h"
#include "edge/waiting.h"
#include "base/err.h"

/* ---- among its backend's ---- */

void worker_h1_add(struct worker *w)
{
    struct backend *b = w->backend;
    b->h1_count++;
    list_add_tail(&b->h1_busy, &w->node);
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

void worker_h1_remove(struct worker *w)
{
    struct backend *b = w->backend;
    list_remove(&w->node);
    b->h1_count--;
    b->h1_left -= w->left_octets;
    end_draining(w);
    b->h1_idle_count -= w->idle;
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

void worker_h1_connected(struct worker *w)
{
    if (w->idle)
        enter_idle(w);
}

bool worker_h1_keep(struct worker *w)
{
    struct backend *b = w->backend;
    if (w->stream.saw_hup || b->h1_idle_count >= WORKER_H1_IDLE_MAX)
        return false;
    enter_idle(w);
    b->h1_idle_count++;
    w->idle = true;
    return true;
}

/* return  an idle connection that x may use, or NULL */
static struct worker *find_idle(const struct backend *b, const struct exchange *x)
{
    /* After a connection that had died, the others of a dead instance are no better: a new one
     * tells at once whether somebody is there. */
    if (list_empty(&b->h1_idle) || x->retries > 0)
        return NULL;
    struct worker *first = LIST_ENTRY(b->h1_idle.next, struct worker, node);
    struct worker *last = LIST_ENTRY(b->h1_idle.prev, struct worker, node);
    if (method_is_idempotent(x->request->method) ||
        shard_now_us(b->shard) - first->used_us < WORKER_FRESH_US)
        return first;
    return last->connected ? NULL : last;
}

struct worker *worker_h1_take(struct backend *b, const struct exchange *x, int *err_out)
{
    struct worker *w = find_idle(b, x);
    if (w) {
        list_remove(&w->node);
        list_add_tail(&b->h1_busy, &w->node);
        b->h1_idle_count--;
        w->idle = false;
        w->reused = w->connected;
        return w;
    }
    if (b->h1_count >= WORKER_H1_MAX) {
        *err_out = ERR_LIMIT;
        return NULL;
    }
    return worker_new(b, WORKER_PUSH, err_out);
}

/* ---- without its exchange ---- */

void worker_h1_finish(struct worker *w)
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

void worker_h1_drain(struct worker *w, struct places *place)
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

/* ---- its end ---- */

void worker_h1_fail(struct worker *w, enum fault fault)
{
    struct exchange *x = w->x;
    bool untouched = !w->connected || w->stream.octets_out == w->octets_before;
    bool fresh = !w->reused;
    bool begun = h1_conn_response_begun(w->http.h1);
    w->x = NULL;
    if (x)
        x->why = fault == FAULT_MALFORMED ? err_text(h1_conn_error(w->http.h1)) : NULL;
    worker_kill(w);
    if (x) {
        worker_detach(x);
        /* A connection that was kept alive may have been closing just then: with no octet of a
         * response it is fair to try a safe request again. */
        exchange_worker_failed(x, begun && fault == FAULT_CLOSED ? FAULT_CUT : fault, untouched,
                               fresh);
    }
}

void worker_h1_sweep(struct backend *b, enum sweep how)
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
}

/* ---- events ---- */

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
    if (reusable && worker_h1_keep(w)) {
        /* for the next request */
    } else if (w->leaving || (x && x->switched)) {
        /* the engine has given its last octets, the socket may not have taken them */
        worker_h1_finish(w);
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

int worker_h1_init(struct worker *w)
{
    struct h1_limits limits;
    h1_limits_default(&limits);
    w->http.h1 = h1_conn_new(H1_CLIENT, &limits, &h1_events, w, w->shard->pool);
    return w->http.h1 ? 0 : ERR_NOMEM;
}
