/* SPDX-License-Identifier: Apache-2.0 */
/* What exchanges do with workers: they join one that is chosen, send and take content, give up. */
#include "edge/client.h"
#include "edge/forward.h"
#include "edge/leave.h"
#include "edge/site.h"
#include "edge/tunnel.h"
#include "edge/waiting.h"
#include "edge/worker_h1.h"
#include "edge/worker_h2.h"
#include "base/err.h"
#include "base/panic.h"

/* ---- joining and parting ---- */

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

/* Whether the method is about its content, so that servers' libraries read it.  RFC 9110 9.3.3,
 * 9.3.4, RFC 5789 2 */
static bool method_is_about_content(struct slice m)
{
    return slice_eq(m, SLICE("POST")) || slice_eq(m, SLICE("PUT")) || slice_eq(m, SLICE("PATCH"));
}

/* Whether an HTTP/1.1 worker may well lose count at this request, so that nobody else's is to stand
 * behind it.  Content it may leave unread and take for its next request, where the method gives it
 * no meaning (RFC 9110 9.3) or is none that its library knows, such as PROPFIND, or the worker is
 * to say first whether it wants it (10.1.1).  What it answers to HEAD may have content, which comes
 * when the next answer is due. */
static bool may_lose_count(const struct http_head *request, bool has_content)
{
    if (!has_content)
        return slice_eq(request->method, SLICE("HEAD"));
    return !method_is_about_content(request->method) || request->expect_continue;
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
    if (h2 && !worker_h2_takes_section(w)) /* many have waited for its SETTINGS */
        return ERR_LIMIT;
    /* A request that asks for the switch has no content; a tunnel's end comes after it. */
    bool has_content =
        !x->tunnel && (!x->request_ended || x->held.octets > 0 || x->held_trailers.count > 0);
    bool end = x->tunnel ? !h2 : !has_content;
    int err = forward_request(x, h2, has_content);
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

/* ---- choosing an instance ---- */

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

bool worker_takes_more(const struct exchange *x)
{
    uint32_t room = 0, wanted = x->place ? 1 : 2; /* x's own place comes first */
    for (uint32_t i = 0; i < x->site->count; i++) {
        const struct backend *b = worker_backend(x, i);
        if (b && !x->site->route.concurrency)
            return true;
        if (!b)
            continue;
        uint32_t limit = atomic_load(&b->places->limit), taken = places_taken(b->places);
        room += limit > taken ? limit - taken : 0;
        if (room >= wanted)
            return true;
    }
    return false;
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
        struct worker *w = at[i]->h2 ? worker_h2_take(at[i], klass, has_content, &err)
                                     : worker_h1_take(at[i], x, &err);
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

/* ---- giving up ---- */

void worker_refuse(struct worker *w, struct h2_stream *ws, struct site *site)
{
    bool reset = worker_h2_drop(w, ws);
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
        worker_refuse(w, ws, x->pushed ? x->site : NULL);
        return;
    }
    w->x = NULL;
    w->paused = false;
    if (h1_conn_take_back(w->http.h1) && worker_h1_keep(w))
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
    worker_h1_drain(w, place);
}

void worker_leave(struct exchange *x)
{
    struct worker *w = x->worker;
    struct h2_stream *ws = x->ws;
    if (!w || !x->request_sent || (w->http.h2 && !(ws && worker_h2_has_room(w, ws)))) {
        worker_cancel(x);
        return;
    }
    worker_detach(x);
    if (w->http.h1) {
        w->x = NULL;
        worker_h1_finish(w);
        return;
    }
    worker_h2_leave(w, ws);
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
    if (w->http.h1)
        return worker_send_body(x, SLICE(""), true);
    if (!worker_h2_takes_section(w))
        return ERR_LIMIT;
    worker_wants_flush(w);
    return h2_stream_trailers(x->ws, trailers);
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
