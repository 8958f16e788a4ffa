/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/client_internal.h"
#include "edge/push_vehicle.h"
#include "edge/suspects.h"

/* ---- HTTP/1.1 events ---- */

static void h1_on_head(void *user, const struct http_head *head, bool end)
{
    struct client *c = user;
    c->asked = true;
    /* The engine does not know TLS: the scheme is the connection's. */
    ((struct http_head *)(uintptr_t)head)->scheme = c->https ? SLICE("https") : SLICE("http");
    exchange_begin(c, NULL, h1_conn_arena(c->http.h1), head, end);
}

static void h1_on_body(void *user, struct slice octets, bool end)
{
    struct client *c = user;
    if (c->current)
        exchange_request_body(c->current, octets, end);
}

static void h1_on_trailers(void *user, const struct fields *trailers)
{
    struct client *c = user;
    if (c->current)
        exchange_request_trailers(c->current, trailers);
}

static void h1_on_sent(void *user, size_t octets)
{
    struct client *c = user;
    if (c->current)
        exchange_response_sent(c->current, octets);
}

static void h1_on_done(void *user, bool reusable)
{
    struct client *c = user;
    if (c->current)
        exchange_client_closed(c->current, true, 0);
    if (c->dead)
        return;
    c->paused = false;
    if (!reusable || (c->shard->draining && !c->shard->patient))
        c->closing = true;
    else
        loop_again(c->shard->loop, &c->read); /* a pipelined request may wait inside */
    client_arm_idle(c);
}

static void h1_on_tunnel(void *user, struct slice octets)
{
    struct client *c = user;
    if (c->current)
        exchange_request_body(c->current, octets, false);
}

const struct h1_events client_h1_events = {
    .on_head = h1_on_head,
    .on_body = h1_on_body,
    .on_trailers = h1_on_trailers,
    .on_sent = h1_on_sent,
    .on_done = h1_on_done,
    .on_tunnel = h1_on_tunnel,
};

/* ---- HTTP/2 events ---- */

static void h2_on_head(void *user, struct h2_stream *s, const struct http_head *head, bool end)
{
    struct client *c = user;
    c->asked = true;
    /* The scheme is what the connection is, whatever :scheme claims: it decides redirects and what
     * the worker is told.  RFC 9113 8.3.1 */
    ((struct http_head *)(uintptr_t)head)->scheme = c->https ? SLICE("https") : SLICE("http");
    exchange_begin(c, s, h2_stream_arena(s), head, end);
}

static void h2_on_body(void *user, struct h2_stream *s, struct slice octets, bool end)
{
    struct exchange *x = h2_stream_user(s);
    if (x)
        exchange_request_body(x, octets, end);
}

static void h2_on_trailers(void *user, struct h2_stream *s, const struct fields *trailers)
{
    struct exchange *x = h2_stream_user(s);
    if (x)
        exchange_request_trailers(x, trailers);
}

static void h2_on_sent(void *user, struct h2_stream *s, size_t octets)
{
    struct exchange *x = h2_stream_user(s);
    if (x)
        exchange_response_sent(x, octets);
}

static void h2_on_close(void *user, struct h2_stream *s, uint32_t code)
{
    struct client *c = user;
    struct exchange *x = h2_stream_user(s);
    if (x)
        exchange_client_closed(x, code == H2_NO_ERROR && x->response_ended,
                               h2_stream_peer_reset(s) ? code : 0);
    if (c->open == 0)
        client_arm_idle(c);
}

static void h2_on_late_reset(void *user, uint32_t stream_id, uint32_t code)
{
    push_reset_late(user, stream_id, code);
}

static void h2_on_goaway(void *user, uint32_t last_stream_id, uint32_t code)
{
    client_wants_flush(user); /* it closes when the last stream has ended */
}

static void h2_on_refuse(void *user, enum h2_blame blame, const char *why)
{
    struct client *c = user;
    stats_add(&c->shard->stats->h2_refusals[blame], 1);
    shard_note_refusal(c->shard, &c->peer, h2_blame_row(blame)->name, why);
    if (h2_blame_row(blame)->scope == H2_SCOPE_CONN &&
        h2_blame_row(blame)->code == H2_ENHANCE_YOUR_CALM)
        suspects_blame(c);
}

const struct h2_events client_h2_events = {
    .on_head = h2_on_head,
    .on_body = h2_on_body,
    .on_trailers = h2_on_trailers,
    .on_sent = h2_on_sent,
    .on_close = h2_on_close,
    .on_late_reset = h2_on_late_reset,
    .on_goaway = h2_on_goaway,
    .on_refuse = h2_on_refuse,
};
