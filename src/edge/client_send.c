/* SPDX-License-Identifier: Apache-2.0 */
/* What exchanges send to their client. */
#include "edge/client_internal.h"
#include "edge/push_vehicle.h"
#include "edge/worker.h"

#include <sys/socket.h>

int client_send_head(struct exchange *x, const struct http_head *head, bool end)
{
    struct client *c = x->client;
    client_wants_flush(c);
    if (head->status >= 200 && push_holds(x, head, end))
        return 0;
    if (x->cs)
        return h2_stream_respond(x->cs, head, end);
    /* An answer of our own that does not wait for the rest of the request is the last one, and the
     * client is told so, who may have been waiting for 100 (RFC 9110 10.1.1). */
    bool is_early = x->response_ended && !x->request_ended;
    return h1_conn_send_head(c->http.h1, head, end,
                             (c->shard->draining || is_early) && head->status >= 200);
}

int client_send_body(struct exchange *x, struct slice octets, bool end)
{
    struct client *c = x->client;
    struct chunk *chunk = shard_chunk_of(x->shard, octets);
    client_wants_flush(c);
    if (push_is_held(x))
        return push_hold_body(x, octets, chunk, end);
    return x->cs ? h2_stream_body(x->cs, octets, chunk, end)
                 : h1_conn_send_body(c->http.h1, octets, chunk, end);
}

int client_send_trailers(struct exchange *x, const struct fields *trailers)
{
    struct client *c = x->client;
    client_wants_flush(c);
    if (push_is_held(x))
        return push_hold_trailers(x, trailers);
    return x->cs ? h2_stream_trailers(x->cs, trailers)
                 : h1_conn_send_trailers(c->http.h1, trailers);
}

/* SO_LINGER would do, too, but is nothing for edge to have: see src/jail/calls.c. */
void client_reset(struct client *c)
{
    const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    connect(c->stream.source.fd, &nobody, sizeof nobody);
}

void client_cut(struct exchange *x, enum h2_code code)
{
    struct client *c = x->client;
    struct h2_stream *cs = x->cs;
    if (!cs) {
        /* Without the rest of its content an HTTP/1.1 response can only end so.  To HTTP/1.0, whose
         * content may end with the connection, a FIN would say that it is complete; and so it would
         * in a tunnel that is given up. */
        if (x->request->version_minor == 0 || x->fault == FAULT_TUNNEL_IDLE) {
            client_reset(c);
            client_kill(c);
            return;
        }
        /* What there is of the response goes out first, but not from inside the engine's callback
         * that may have brought us here. */
        exchange_client_closed(x, false, 0);
        c->resets = x->opaque && x->switched;
        c->cut = c->closing = c->paused = true;
        client_wants_flush(c);
        return;
    }
    exchange_client_closed(x, false, 0);
    h2_stream_reset(cs, code);
    client_wants_flush(c);
    if (c->open == 0)
        client_arm_idle(c);
}

size_t client_queued(const struct exchange *x)
{
    if (x->ended)
        return 0;
    if (push_is_held(x))
        return x->page->body.octets;
    return x->cs ? h2_stream_queued(x->cs) : h1_conn_queued(x->client->http.h1);
}

/* A hundred streams that are not read would else have a hundred times as much wait. */
size_t client_queue_high(const struct exchange *x)
{
    const struct client *c = x->client;
    size_t high = QUEUE_HIGH_OCTETS, written = stream_waiting(&c->stream);
    if (x->cs && h2_conn_queued(c->http.h2) > shard_limits(x->shard)->h2_unsent)
        high = QUEUE_TIGHT_OCTETS;
    return high > written + QUEUE_TIGHT_OCTETS ? high - written : QUEUE_TIGHT_OCTETS;
}

size_t client_queue_room(const struct exchange *x)
{
    size_t high = client_queue_high(x), queued = client_queued(x);
    size_t room = high > queued ? high - queued : 0;
    if (!x->cs)
        return room;
    size_t all = h2_conn_queued(x->client->http.h2), unsent = shard_limits(x->shard)->h2_unsent;
    size_t left = unsent > all ? unsent - all : 0;
    return left < room ? left : room;
}

/* A stream's window is enough for a worker that is near, but an upload's comes over the client's
 * way: 128 KiB for each round trip of 100 ms are 10 Mbit/s.  One that its worker takes, and that
 * has come faster than a window a second, gets the connection's: only one, for the worker may stop.
 */
static void widen(struct exchange *x)
{
    struct client *c = x->client;
    uint64_t window = shard_limits(x->shard)->h2_stream_window;
    uint64_t seconds = (shard_now_us(x->shard) - x->started_us) / 1000000;
    if (c->wide_in || x->request_ended || !x->worker || x->body_in < (seconds + 1) * window)
        return;
    x->wide_in = c->wide_in = true;
    h2_stream_widen_most(x->cs);
}

void client_consumed_all(struct exchange *x)
{
    if (x->ended || x->client->dead)
        return;
    if (x->cs)
        h2_stream_consumed_all(x->cs);
    else
        client_consumed(x, 0);
    client_wants_flush(x->client);
}

void client_consumed(struct exchange *x, size_t octets)
{
    struct client *c = x->client;
    if (x->ended || c->dead)
        return;
    if (x->cs) {
        if (octets) {
            h2_stream_consumed(x->cs, octets);
            widen(x);
            if (h2_conn_has_output(c->http.h2))
                client_wants_flush(c);
        }
        return;
    }
    size_t waiting = x->held.octets + worker_queued(x);
    if (!c->paused && waiting >= QUEUE_HIGH_OCTETS) {
        c->paused = true;
    } else if (c->paused && waiting < QUEUE_LOW_OCTETS) {
        c->paused = false;
        loop_again(c->shard->loop, &c->read);
    }
}
