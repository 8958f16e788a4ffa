/* SPDX-License-Identifier: Apache-2.0 */
/* What exchanges do with workers: choosing an instance and a connection, joining, giving up, and
 * passing content on. */
#include "edge/worker_internal.h"
#include "edge/client.h"
#include "edge/forward.h"
#include "edge/tunnel.h"
#include "edge/waiting.h"
#include "base/err.h"
#include "base/panic.h"

/* ---- choosing ---- */

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

static struct worker *take_h1(struct backend *b, struct exchange *x, int *err_out)
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

/* A field section waits among the engine's answers, of which the worker may not leave too many: not
 * so many sections that it, and with it everybody's requests, would be taken for one that does. */
static bool takes_section(const struct worker *w)
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

/* has_content: rather on one whose window is not used up, perhaps by an upload that is stuck */
static struct worker *take_h2(struct backend *b, enum worker_class klass, bool has_content,
                              int *err_out)
{
    struct worker *blocked = NULL;
    LIST_FOR(node, &b->h2_conns[klass])
    {
        struct worker *w = LIST_ENTRY(node, struct worker, node);
        if (w->retired)
            break;
        if (h2_conn_is_used_up(w->http.h2)) {
            worker_retire(w);
            continue;
        }
        if (!takes_stream(w) || !takes_section(w))
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

static void count_in(struct exchange *x, struct worker *w)
{
    x->worker = w;
    x->reset_code = 0; /* was that of who did not take it */
    if (x->backend == w->backend)
        return; /* it has waited for this connection's SETTINGS */
    ASSERT(!x->backend);
    x->backend = x->last_backend = w->backend;
    x->backend->in_flight++;
}

void worker_give_place(struct exchange *x)
{
    struct places *p = x->place;
    x->place = NULL;
    if (p)
        waiting_hand_on(x->shard, p);
}

/* Whether the worker takes extended CONNECT is not known before its SETTINGS.  RFC 8441 3 */
static void wait_for_settings(struct exchange *x, struct worker *w)
{
    count_in(x, w);
    list_add_tail(&w->waiting, &x->worker_node);
}

/* Whether an HTTP/1.1 worker may well lose count at this request, so that nobody else's is to stand
 * behind it.  Content it may leave unread and take for its next request, where the method gives it
 * no meaning (RFC 9110 9.3), or the worker is to say first whether it wants it (10.1.1).  What it
 * answers to HEAD may have content, which comes when the next answer is due. */
static bool may_lose_count(const struct http_head *request, bool has_content)
{
    if (!has_content)
        return slice_eq(request->method, SLICE("HEAD"));
    return method_is_safe(request->method) || slice_eq(request->method, SLICE("DELETE")) ||
           request->expect_continue;
}

/* Sends the request head on w.
 * return  0, or ERR_CLOSED: a tunnel that this worker cannot take, or what the engine says */
int worker_join(struct exchange *x, struct worker *w)
{
    bool h2 = w->http.h2 != NULL;
    if (x->tunnel && h2 && !h2_conn_peer_settings_seen(w->http.h2)) {
        wait_for_settings(x, w);
        return 0;
    }
    if (x->tunnel && h2 && !h2_conn_peer_connect_enabled(w->http.h2))
        return ERR_CLOSED;
    if (h2 && !takes_section(w)) /* many have waited for its SETTINGS */
        return ERR_LIMIT;
    /* A request that asks for the switch has no content; a tunnel's end comes after it. */
    bool end =
        x->tunnel ? !h2 : x->request_ended && x->held.octets == 0 && x->held_trailers.count == 0;
    int err = forward_request(x, h2);
    if (err == 0 && x->tunnel)
        err = tunnel_forward(x, h2);
    if (err < 0)
        return err;
    if (w->http.h2) {
        x->ws = h2_conn_request(w->http.h2, &x->forward, end, x, &err);
        worker_wants_flush(w); /* also of a connection that has failed by this */
        if (!x->ws)
            return err;
    } else {
        err = h1_conn_send_head(w->http.h1, &x->forward, end, may_lose_count(x->request, !end));
        if (err < 0)
            return err;
        w->x = x;
        w->octets_before = w->stream.octets_out;
        worker_wants_flush(w);
    }
    if (end)
        x->request_sent = true;
    count_in(x, w);
    if (!w->connected)
        list_add_tail(&w->waiting, &x->worker_node);
    return 0;
}

struct backend *worker_backend(const struct exchange *x, uint32_t i)
{
    const struct site *site = x->site;
    bool grpc = site->route.proxy_flag == ROUTE_PROXY_GRPC &&
                slice_starts(fields_value(&x->request->fields, TOKEN_CONTENT_TYPE),
                             SLICE("application/grpc"));
    return grpc ? site->instances[i].backend_h2 : site->instances[i].backend;
}

/* The backends of the site that x may be sent to, as a mask of those that may not, their loads, and
 * a mask of those that had better not. */
static uint64_t survey(const struct exchange *x, struct backend **at, uint32_t *load,
                       uint32_t count, uint64_t *bad_out, bool *full_out)
{
    struct site *site = x->site;
    uint64_t skip = x->tried, now = shard_now_us(x->shard);
    *bad_out = 0;
    *full_out = false;
    for (uint32_t i = 0; i < count; i++) {
        struct backend *b = worker_backend(x, i);
        at[i] = b;
        load[i] = b ? b->in_flight : 0;
        if (b && site->route.concurrency) {
            load[i] = places_taken(b->places);
            if (x->place ? x->place != b->places : places_are_full(b->places)) {
                *full_out = true;
                b = NULL;
            }
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
    bool full, short_ = false, busy = false;
    int err = ERR_NOTFOUND;
    bool limited = site->route.concurrency > 0;
    bool has_content = !x->request_ended || x->held.octets > 0;
    if (x->place && (!limited || places_taken(x->place) > atomic_load(&x->place->limit)))
        worker_give_place(x); /* the limit has changed since it was handed over */
    uint64_t skip = survey(x, at, load, count, &bad, &full);
    enum worker_class klass = push_is_on(&site->route.push) ? WORKER_PUSH : WORKER_NO_PUSH;
    for (;;) {
        int i = route_least(load, count, site->next++, skip | bad);
        if (i < 0) /* never leave out the last one */
            i = route_least(load, count, site->next, skip);
        if (i < 0)
            break;
        if (!tunnel_fits(x, at[i]->h2))
            return ERR_CLOSED;
        if (limited && !x->place) {
            if (!places_take(at[i]->places)) { /* another shard was faster */
                full = true;
                skip |= 1ull << i;
                continue;
            }
            x->place = at[i]->places;
        }
        struct worker *w =
            at[i]->h2 ? take_h2(at[i], klass, has_content, &err) : take_h1(at[i], x, &err);
        if (w) {
            err = worker_join(x, w);
            if (err == 0)
                return 0;
            worker_give_place(x);
            if (w->http.h1 && !w->x)
                worker_kill(w); /* a head that the engine refused leaves nothing to reuse */
            return err;
        }
        worker_give_place(x);
        if (err == ERR_NOMEM)
            return err;
        skip |= 1ull << i;
        if (err == ERR_SYS) { /* our descriptors are used up: no fault of the instance's */
            short_ = true;
            continue;
        }
        busy |= err == ERR_AGAIN; /* it is there, and takes its time to accept */
        full |= err == ERR_LIMIT;
        if (err == ERR_LIMIT || err == ERR_AGAIN) {
            /* It has not failed.  But until the next retry its places are not for x: those who
             * wait would hand them around among themselves for ever. */
            if (limited)
                x->tried |= 1ull << i;
            continue;
        }
        backend_failed(at[i]);
        err = ERR_NOTFOUND;
        x->tried |= 1ull << i;
    }
    worker_give_place(x);
    return short_ ? ERR_SYS /* no place given back is a descriptor */
           : full ? ERR_LIMIT
           : busy ? ERR_AGAIN
                  : err;
}

static bool has_room_for_rest(const struct worker *w, const struct h2_stream *ws)
{
    return w->left_octets + h2_stream_queued(ws) <= WORKER_H2_REST;
}

/* ws ends by itself, or never: a connection with too many of those takes no new streams. */
static void leave_stream(struct worker *w, struct h2_stream *ws)
{
    w->left_octets += h2_stream_queued(ws);
    if (++w->draining >= WORKER_DRAINING_MAX || w->draining >= h2_conn_peer_max_streams(w->http.h2))
        worker_retire(w);
}

void worker_wait_to_reset(struct worker *w)
{
    if (w->connected && w->dropped_count && !w->timer.due_us)
        loop_timer_set(w->shard->loop, &w->timer, shard_now_us(w->shard) + WORKER_DRAIN_US);
}

void worker_reset_dropped(struct worker *w)
{
    while (w->dropped_count && ration_take(&w->ration, shard_now_us(w->shard))) {
        struct h2_stream *ws = w->dropped[--w->dropped_count];
        w->left_octets -= h2_stream_queued(ws);
        w->draining--;
        h2_stream_reset(ws, H2_CANCEL);
    }
    worker_wait_to_reset(w);
    worker_wants_flush(w);
}

void worker_forget_dropped(struct worker *w, const struct h2_stream *ws)
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
    worker_wait_to_reset(w);
    return true;
}

/* Resets ws if the ration allows, else as much of its response as a window takes is read and thrown
 * away, and it is reset later if that was not all.  return  whether it was reset */
static bool drop_stream(struct worker *w, struct h2_stream *ws)
{
    h2_stream_set_user(ws, NULL);
    worker_wants_flush(w);
    if (ration_take(&w->ration, shard_now_us(w->shard)) || !has_room_for_rest(w, ws) ||
        !reset_later(w, ws)) {
        h2_stream_reset(ws, H2_CANCEL);
        return true;
    }
    leave_stream(w, ws);
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
    worker_detach(x);
    if (w->http.h2 && !ws)
        return;
    if (w->http.h2) {
        bool reset = drop_stream(w, ws);
        if (x->pushed && x->site)
            stats_add(reset ? &x->site->stats->push.worker_resets
                            : &x->site->stats->push.worker_drained,
                      1);
        return;
    }
    w->x = NULL;
    w->paused = false;
    if (h1_conn_take_back(w->http.h1) && worker_keep_idle(w))
        return; /* or who resets all that he asks makes us connect for nothing */
    worker_kill(w);
}

void worker_abandon(struct exchange *x)
{
    struct worker *w = x->worker;
    bool taken = w && w->http.h1 && x->request_sent && !x->tunnel &&
                 w->stream.octets_out != w->octets_before;
    if (!taken || w->backend->h1_draining >= WORKER_H1_DRAIN_MAX ||
        ration_take(&w->backend->ration, shard_now_us(x->shard))) {
        worker_cancel(x);
        return;
    }
    struct places *place = x->place;
    x->place = NULL; /* the instance is as busy as before */
    worker_detach(x);
    w->x = NULL;
    worker_drain(w, place);
}

void worker_leave(struct exchange *x)
{
    struct worker *w = x->worker;
    struct h2_stream *ws = x->ws;
    if (!w || !x->request_sent || (w->http.h2 && !(ws && has_room_for_rest(w, ws)))) {
        worker_cancel(x);
        return;
    }
    worker_detach(x);
    if (w->http.h1) {
        w->x = NULL;
        worker_let_finish(w);
        return;
    }
    h2_stream_set_user(ws, NULL);
    leave_stream(w, ws);
    w->left_us = shard_now_us(w->shard);
    worker_wants_flush(w);
}

/* ---- content ---- */

int worker_send_body(struct exchange *x, struct slice octets, bool end)
{
    struct worker *w = x->worker;
    struct chunk *chunk = shard_chunk_of(x->shard, octets);
    worker_wants_flush(w);
    return w->http.h2 ? h2_stream_body(x->ws, octets, chunk, end)
                      : h1_conn_send_body(w->http.h1, octets, chunk, end);
}

int worker_send_trailers(struct exchange *x, const struct fields *trailers)
{
    struct worker *w = x->worker;
    if (w->http.h2 && !takes_section(w))
        return ERR_LIMIT;
    worker_wants_flush(w);
    return w->http.h2 ? h2_stream_trailers(x->ws, trailers)
                      : h1_conn_send_trailers(w->http.h1, trailers);
}

size_t worker_queued(const struct exchange *x)
{
    if (!x->worker || (!x->ws && !x->worker->http.h1))
        return 0;
    return x->ws ? h2_stream_queued(x->ws) : h1_conn_queued(x->worker->http.h1);
}

/* A large response that its client takes gets more room, so that its worker need not be woken for
 * each piece: but no more than http2Unsent of it for all responses on a client's connection, for a
 * client may stop whenever it likes. */
static void widen(struct exchange *x)
{
    const uint32_t more = WORKER_H2_WIDE - WORKER_H2_WINDOW;
    struct client *c = x->client;
    if (x->wide || x->ended || x->body_sent < WORKER_H2_WINDOW ||
        (c->wide + 1) * (uint64_t)more > shard_limits(x->shard)->h2_unsent ||
        (x->response_length >= 0 && (uint64_t)x->response_length < x->body_out + WORKER_H2_WINDOW))
        return;
    x->wide = true;
    c->wide++;
    h2_stream_widen(x->ws, WORKER_H2_WIDE);
}

void worker_consumed(struct exchange *x, size_t octets)
{
    struct worker *w = x->worker;
    if (!w || w->dead)
        return;
    if (w->http.h2) {
        if (octets && x->ws) {
            h2_stream_consumed(x->ws, octets);
            widen(x);
            if (h2_conn_has_output(w->http.h2))
                worker_wants_flush(w);
        }
        return;
    }
    size_t queued = client_queued(x), high = client_queue_high(x);
    if (!w->paused && queued >= high) {
        w->paused = true;
    } else if (w->paused && queued < high / 4) {
        w->paused = false;
        loop_again(w->shard->loop, &w->read);
    }
}
