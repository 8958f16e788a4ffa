/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/exchange_internal.h"
#include "edge/client.h"
#include "edge/forward.h"
#include "edge/log_line.h"
#include "edge/push_facts.h"
#include "edge/push_trace.h"
#include "edge/site.h"
#include "edge/tunnel.h"
#include "edge/waiting.h"
#include "edge/worker.h"
#include "base/err.h"
#include "base/panic.h"

#include <endian.h>

/* Most 1xx heads before a final one; an HTTP/1.1 engine allows as many. */
#define EXCHANGE_INFORMATIONAL 16
/* Octets of heads and control frames that a client has not taken: beyond it no hints are added. */
/* A client that takes as much of its responses within a time limit lets others of its streams wait
 * for their turn. */
#define EXCHANGE_TURN_OCTETS  (16u << 10)
#define EXCHANGE_HINTS_QUEUED (64u << 10)

struct slice exchange_id(struct exchange *x)
{
    return slice_of(x->id, sizeof x->id);
}

#define EACH(octet) (0x0101010101010101u * (octet))

/* 16 digits, eight at once: each nibble gets an octet of its own, and beyond 9 becomes a letter. */
static void write_hex(char *to, uint64_t v)
{
    for (int i = 0; i < 2; i++, v <<= 32) {
        uint64_t n = v >> 32;
        n = (n | n << 16) & 0x0000ffff0000ffffu;
        n = (n | n << 8) & 0x00ff00ff00ff00ffu;
        n = (n | n << 4) & EACH(0x0f);
        uint64_t is_letter = (n + EACH(6)) >> 4 & EACH(1);
        n = htobe64(n + EACH('0') + is_letter * ('a' - '0' - 10));
        memcpy(to + 8 * i, &n, 8);
    }
}

/* ---- life ---- */

/* The worker has shown life, or is about to be asked; or octets have left a tunnel, either way. */
void exchange_touch(struct exchange *x)
{
    const struct route_site *r = x->site ? &x->site->route : NULL;
    uint64_t patience_us = !r            ? x->client->idle_us
                           : x->switched ? r->tunnel_timeout_ms * 1000ull
                                         : r->request_timeout_ms * 1000ull;
    loop_timer_set(x->shard->loop, &x->timer, shard_now_us(x->shard) + patience_us);
}

/* Cut, for an end would say that all was said: RST_STREAM, or a reset as RFC 9113 8.5 pairs them;
 * and never a Close frame, which is the endpoints' to send (RFC 6455 7.1.5: the code is 1006). */
static void end_idle_tunnel(struct exchange *x)
{
    x->fault = FAULT_TUNNEL_IDLE;
    stats_add(&x->site->stats->tunnels_idle, 1);
    client_cut(x, H2_CANCEL);
}

/* What the client has taken of all its responses. */
static uint64_t taken_by(const struct client *c)
{
    size_t waiting = stream_waiting(&c->stream);
    return c->sent > waiting ? c->sent - waiting : 0;
}

/* Whether the client has given or taken something since it was asked last.  A stream may have to
 * wait for others of its connection: what these have moved counts, if it is more than a token and
 * nothing but the connection keeps this one. */
static bool has_moved(struct exchange *x)
{
    uint64_t own = x->body_in + x->body_sent, all = taken_by(x->client);
    bool waits =
        (x->response_ended || client_queued(x)) && (!x->cs || h2_stream_own_window(x->cs) > 0);
    bool has = own != x->moved_before ||
               (waits && all - x->taken_before >= (x->cs ? EXCHANGE_TURN_OCTETS : 1) &&
                all > x->taken_before);
    x->moved_before = own;
    x->taken_before = all;
    return has;
}

static void on_due(struct loop_timer *t)
{
    struct exchange *x = CONTAINER_OF(t, struct exchange, timer);
    CHECK_MAGIC(x, EXCHANGE_MAGIC);
    if (x->waiting) {
        waiting_leave(x);
        exchange_fail(x, (enum fault)x->wait_why);
        return;
    }
    if (x->switched) {
        end_idle_tunnel(x);
        return;
    }
    if (x->parked) {
        promised_drop(x->parked); /* and x is asked of a worker by itself */
        return;
    }
    /* While the client is the slow one, the worker's time stands still; but a client that takes and
     * gives nothing at all in that time is gone. */
    bool client_slow =
        x->response_ended ||
        (!x->tunnel && (client_queued(x) || (!x->request_ended && !worker_queued(x))));
    if (client_slow && has_moved(x)) {
        exchange_touch(x);
        return;
    }
    if (!client_slow) {
        exchange_fail(x, FAULT_TIMEOUT);
        return;
    }
    if (x->response_ended) {
        if (x->fault == FAULT_NONE)
            x->fault = FAULT_STALLED;
        client_cut(x, H2_CANCEL);
        return;
    }
    exchange_fail(x, FAULT_STALLED);
}

static void drop(struct loop_task *t)
{
    struct exchange *x = CONTAINER_OF(t, struct exchange, drop);
    struct shard *s = x->shard;
    CHECK_MAGIC(x, EXCHANGE_MAGIC);
    site_unref(x->site);
    x->magic = 0;
    pool_put(s->pool, x, sizeof *x);
}

struct exchange *exchange_new(struct client *c, struct h2_stream *cs, struct arena *arena,
                              const struct http_head *head)
{
    struct shard *s = c->shard;
    struct exchange *x = pool_zget(s->pool, sizeof *x);
    if (!x)
        return NULL;
    x->magic = EXCHANGE_MAGIC;
    x->shard = s;
    x->client = c;
    x->cs = cs;
    x->arena = arena;
    x->request = head;
    x->started_us = shard_now_us(s);
    x->taken_before = taken_by(c);
    write_hex(x->id, s->id_high);
    write_hex(x->id + 16, s->id_next);
    s->id_next += 0x9e3779b97f4a7c15u; /* never repeats, and does not look like a counter */
    chain_init(&x->held, s->pool);
    list_init(&x->worker_node);
    loop_timer_init(&x->timer, on_due);
    loop_task_init(&x->drop, drop);
    list_add_tail(&c->exchanges, &x->client_node);
    c->open++;
    s->open_exchanges++;
    if (cs)
        h2_stream_set_user(cs, x);
    else
        c->current = x;
    return x;
}

static void count_response(struct exchange *x)
{
    struct stats_site *st = x->site->stats;
    _Atomic uint64_t *by_class[] = {
        NULL, NULL, &st->responses_2xx, &st->responses_3xx, &st->responses_4xx, &st->responses_5xx};
    unsigned k = x->status / 100;
    if (k >= 2 && k <= 5)
        stats_add(by_class[k], 1);
    stats_add(&st->octets_in, x->body_in);
    stats_add(&st->octets_out, x->body_out);
    if (x->fault != FAULT_NONE)
        stats_add(&st->faults[x->fault], 1);
    stats_sub(&st->requests_open, 1);
    histogram_add(&st->duration, shard_now_us(x->shard) - x->started_us);
}

void exchange_client_closed(struct exchange *x, bool complete, uint32_t reset_code)
{
    struct client *c = x->client;
    struct shard *s = x->shard;
    CHECK_MAGIC(x, EXCHANGE_MAGIC);
    x->ended = true;
    push_page_ends(x);
    waiting_leave(x);
    if (x->parked)
        promised_forget_waiter(x);
    if (complete)
        push_page_done(x);
    if (!complete && x->fault == FAULT_NONE) {
        x->fault = FAULT_CLIENT;
        if (x->site)
            stats_add(&x->site->stats->aborted, 1);
    }
    if (!complete)
        worker_abandon(x);
    else if (x->switched)
        worker_leave(x);
    else
        worker_cancel(x);
    if (x->pushed)
        push_ended(x, complete, reset_code);
    if (s->log)
        log_line_write(x);
    if (x->site)
        count_response(x);
    if (x->cs)
        h2_stream_set_user(x->cs, NULL);
    else
        c->current = NULL;
    loop_timer_clear(&x->timer);
    chain_fini(&x->held);
    list_remove(&x->client_node);
    c->wide -= x->wide;
    if (x->wide_in)
        c->wide_in = false;
    c->open--;
    s->open_exchanges--;
    loop_reap(s->loop, &x->drop);
}

/* ---- answers of our own ---- */

void exchange_answer(struct exchange *x, unsigned status, struct slice location, struct slice text)
{
    struct http_head head = {.status = (uint16_t)status, .content_length = (int64_t)text.len};
    struct slice length = arena_printf(x->arena, "%zu", text.len);
    bool has_content = response_has_content(x->request->method, status);
    int err = fields_add_token(&head.fields, x->arena, TOKEN_CONTENT_TYPE,
                               SLICE("text/plain; charset=utf-8"));
    err |= fields_add_token(&head.fields, x->arena, TOKEN_CONTENT_LENGTH, length);
    err |= fields_add_token(&head.fields, x->arena, TOKEN_CACHE_CONTROL, SLICE("no-store"));
    err |= fields_add_token(&head.fields, x->arena, TOKEN_X_REQUEST_ID, exchange_id(x));
    err |= fields_add_token(&head.fields, x->arena, TOKEN_DATE,
                            slice_of(x->shard->date, sizeof x->shard->date));
    if (location.len)
        err |= fields_add_token(&head.fields, x->arena, TOKEN_LOCATION, location);
    if (x->fault == FAULT_WEBSOCKET_VERSION) /* RFC 6455 4.4 */
        err |= fields_add_token(&head.fields, x->arena, TOKEN_SEC_WEBSOCKET_VERSION, SLICE("13"));
    if (status == 503)
        err |= fields_add_token(&head.fields, x->arena, TOKEN_RETRY_AFTER, SLICE("1"));
    x->status = (uint16_t)status;
    x->head_sent = true;
    x->response_ended = true;
    /* What has timed out may have been the worker's part: the client's begins here, and it may be
     * one that takes nothing. */
    exchange_touch(x);
    if (err || !length.p || !text.p || client_send_head(x, &head, !has_content) < 0) {
        client_cut(x, H2_INTERNAL_ERROR);
        return;
    }
    if (!has_content)
        return;
    x->body_out += text.len;
    if (client_send_body(x, text, true) < 0)
        client_cut(x, H2_INTERNAL_ERROR);
}

void exchange_fail(struct exchange *x, enum fault fault)
{
    /* That nobody is left to try says less than what became of the last one that was. */
    if (fault == FAULT_CONNECT && x->failed_by)
        fault = (enum fault)x->failed_by;
    const struct fault_row *row = fault_row(fault);
    CHECK_MAGIC(x, EXCHANGE_MAGIC);
    if (x->fault == FAULT_NONE)
        x->fault = (uint8_t)fault;
    waiting_leave(x);
    worker_cancel(x);
    if (x->site && row->status >= 502 && row->status <= 504)
        stats_add(&x->site->stats->failures, 1);
    if (x->response_ended && !x->switched)
        return;
    /* What a worker's reset says is for the client where there is no response to say it with, and
     * where it is part of the protocol above: gRPC maps CANCEL and REFUSED_STREAM to states. */
    enum h2_code code = x->reset_code ? (enum h2_code)x->reset_code : H2_INTERNAL_ERROR;
    bool grpc = x->cs && x->reset_code &&
                slice_starts(fields_value(&x->request->fields, TOKEN_CONTENT_TYPE),
                             SLICE("application/grpc"));
    if (x->head_sent || x->pushed || grpc) {
        if (x->site && x->head_sent)
            stats_add(&x->site->stats->truncated, 1);
        client_cut(x, code);
        return;
    }
    struct slice app = x->site ? x->site->name : SLICE("-");
    struct slice id = exchange_id(x);
    /* What is wrong with an answer is for who operates the app to know, not for the client. */
    const char *text = fault == FAULT_BAD_REQUEST && x->why ? x->why : row->text;
    exchange_answer(x, row->status, SLICE(""),
                    arena_printf(x->arena, "%u %s\n\n%s\n\napp: %.*s\nrequest: %.*s\n", row->status,
                                 status_phrase(row->status), text, SLICE_FMT(app), SLICE_FMT(id)));
}

/* ---- request content ---- */

/* Request octets have left towards the worker, or were thrown away. */
void exchange_request_drained(struct exchange *x, size_t octets)
{
    exchange_touch(x);
    client_consumed(x, octets);
}

/* A tunnel's octets wait until the worker has switched. */
static bool can_send_body(const struct exchange *x)
{
    return x->worker && x->worker->connected && (!x->tunnel || x->switched);
}

static void send_request_body(struct exchange *x, struct slice octets, bool end)
{
    x->forwarded += octets.len;
    if (end)
        x->request_sent = true;
    int err = worker_send_body(x, octets, end);
    if (err < 0 && err != ERR_CLOSED)
        exchange_fail(x, exchange_fault(x, err));
}

void exchange_request_body(struct exchange *x, struct slice octets, bool end)
{
    CHECK_MAGIC(x, EXCHANGE_MAGIC);
    x->body_in += octets.len;
    x->request_ended = end;
    if ((x->response_ended && !x->switched) || (!x->worker && x->head_sent) ||
        (x->request_sent && !x->tunnel)) {
        client_consumed(x, octets.len); /* nobody wants it any more */
        return;
    }
    if (x->site && !x->tunnel && x->body_in > x->site->route.body_limit_octets) {
        exchange_fail(x, FAULT_TOO_LARGE);
        return;
    }
    if (can_send_body(x) && x->held.octets == 0) {
        send_request_body(x, octets, end);
        if (x->cs == NULL && !x->ended)
            client_consumed(x, 0); /* pauses an HTTP/1.1 client that is faster than the worker */
        return;
    }
    if (chain_add(&x->held, octets, shard_chunk_of(x->shard, octets)) < 0)
        exchange_fail(x, FAULT_MEMORY);
    else if (x->cs == NULL)
        client_consumed(x, 0);
}

/* The end of the request, with its trailer section if there is one. */
static void send_request_end(struct exchange *x)
{
    x->request_sent = true;
    int err = x->held_trailers.count ? worker_send_trailers(x, &x->held_trailers)
                                     : worker_send_body(x, SLICE(""), true);
    if (err < 0 && err != ERR_CLOSED)
        exchange_fail(x, exchange_fault(x, err));
}

void exchange_request_trailers(struct exchange *x, const struct fields *trailers)
{
    struct fields out = {.count = 0};
    x->request_ended = true;
    if (x->response_ended || (!x->worker && x->head_sent) || x->request_sent)
        return; /* nobody wants them any more */
    if (forward_trailers(x->arena, trailers, &out) < 0) {
        exchange_fail(x, FAULT_MEMORY);
        return;
    }
    x->held_trailers = out;
    if (can_send_body(x) && x->held.octets == 0)
        send_request_end(x);
}

void exchange_worker_ready(struct exchange *x)
{
    bool end = x->request_ended && x->held_trailers.count == 0;
    if (x->request_sent || (x->tunnel && !x->switched))
        return;
    while (x->held.octets && x->worker) {
        struct slice part = chain_peek(&x->held);
        send_request_body(x, part, end && part.len == x->held.octets);
        if (x->ended)
            return;
        chain_drop(&x->held, part.len);
    }
    if (x->ended || !x->worker || x->request_sent || !x->request_ended)
        return;
    send_request_end(x);
}

/* ---- response ---- */

void exchange_response_head(struct exchange *x, const struct http_head *in, bool end)
{
    struct http_head out;
    bool h2 = x->cs != NULL;
    CHECK_MAGIC(x, EXCHANGE_MAGIC);
    exchange_touch(x);
    if (x->head_sent)
        return;
    if (x->backend)
        x->backend->failures = 0;
    if (x->tunnel && tunnel_response(x, in)) {
        if (!x->ended)
            exchange_touch(x);
        if (!x->ended && end)
            exchange_response_body(x, SLICE(""), true);
        return;
    }
    if (x->head_sent || x->ended)
        return;
    if (in->status == 101) {
        x->why = err_text(ERR_BAD_INFORMATIONAL);
        exchange_fail(x, FAULT_MALFORMED);
        return;
    }
    if (in->status < 200 && ++x->informational > EXCHANGE_INFORMATIONAL) {
        x->why = err_text(ERR_BAD_INFORMATIONAL);
        exchange_fail(x, FAULT_MALFORMED);
        return;
    }
    if (in->status < 200) {
        /* RFC 8297 3: early hints break some HTTP/1.1 clients; RFC 9110 15.2: others are for a
         * client that asked, by Expect. */
        if (!(in->status == 103 && h2) && !(in->status == 100 && x->request->expect_continue))
            return;
        if (x->pushed)
            return;
        /* No window bounds them: who does not read gets no hints. */
        if (in->status == 103 && h2_conn_queued_control(x->client->http.h2) > EXCHANGE_HINTS_QUEUED)
            return;
    }
    if (forward_response(x, in, &out) < 0) {
        exchange_fail(x, FAULT_MEMORY);
        return;
    }
    if (in->status >= 200) { /* its promises are judged by what is known now */
        x->head_us = shard_now_us(x->shard);
        x->response_length =
            response_has_content(x->request->method, in->status) ? in->content_length : 0;
    }
    if (in->status == 103 || in->status >= 200) {
        push_from_head(x, in, &out);
        if (x->ended)
            return;
    }
    if (in->status < 200) {
        if (in->status == 103)
            stats_add(&x->site->stats->early_hints, 1);
        client_send_head(x, &out, false);
        return;
    }
    x->status = in->status;
    x->head_sent = true;
    x->response_ended = end;
    if (x->site->has_promised)
        push_learn_head(x, in);
    if (!x->page || !x->page->undecided) /* else release says it */
        push_trace_take(x, &out.fields);
    int err = client_send_head(x, &out, end);
    if (err < 0) {
        x->response_ended = false;
        exchange_fail(x, err == ERR_NOMEM ? FAULT_MEMORY : FAULT_MALFORMED);
    }
}

void exchange_response_body(struct exchange *x, struct slice octets, bool end)
{
    CHECK_MAGIC(x, EXCHANGE_MAGIC);
    if (x->response_ended)
        return;
    if (!end)
        exchange_touch(x);
    else if (octets.len == 0 && client_queued(x) == 0 && !push_is_held(x))
        push_page_ends(x); /* the stream closes with that */
    struct fields trace = {.count = 0};
    bool has_trace = end && !push_is_held(x) && push_trace_take(x, &trace);
    x->body_out += octets.len;
    x->response_ended = end;
    if ((octets.len && has_trace && client_send_body(x, octets, false) < 0) ||
        (has_trace ? client_send_trailers(x, &trace) : client_send_body(x, octets, end)) < 0) {
        x->response_ended = false;
        exchange_fail(x, FAULT_MEMORY);
        return;
    }
    if (octets.len)
        worker_consumed(x, 0); /* pauses an HTTP/1.1 worker that is faster than the client */
}

void exchange_response_trailers(struct exchange *x, const struct fields *trailers)
{
    struct fields out = {.count = 0};
    if (x->response_ended)
        return;
    if (forward_trailers(x->arena, trailers, &out) < 0) {
        exchange_fail(x, FAULT_MEMORY);
        return;
    }
    push_trace_take(x, &out);
    int err = out.count ? client_send_trailers(x, &out) : client_send_body(x, SLICE(""), true);
    x->response_ended = err == 0;
    if (err < 0)
        exchange_fail(x, FAULT_MEMORY);
}

void exchange_response_sent(struct exchange *x, size_t octets)
{
    x->body_sent += octets;
    x->client->sent += octets;
    if (x->switched)
        exchange_touch(x);
    worker_consumed(x, octets);
}
