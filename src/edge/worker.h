/* SPDX-License-Identifier: Apache-2.0 */
/* Connections to workers, and what exchanges do with them: over HTTP/1.1 one at a time, and it is
 * kept for the next; over h2c many share one. */
#ifndef EDGE_WORKER_H
#define EDGE_WORKER_H

#include "edge/backend.h"
#include "edge/engine.h"
#include "edge/exchange.h"
#include "push/ration.h"

#define WORKER_MAGIC 0x574f524bu

/* An idle HTTP/1.1 connection is closed after this time: below the 5 s after which common servers
 * close theirs, so that a request seldom meets a closing connection. */
#define WORKER_IDLE_US 4000000u
/* A request that must not be sent twice takes only a connection that was used so lately. */
#define WORKER_FRESH_US    1000000u
#define WORKER_CONNECT_US  5000000u
#define WORKER_LEAVE_US    30000000u    /* for the rest of a tunnel whose client is done */
#define WORKER_H1_IDLE_MAX 4096         /* idle HTTP/1.1 connections kept a backend and shard */
#define WORKER_H1_MAX      4096         /* HTTP/1.1 connections a backend and shard */
#define WORKER_H1_REST     (16u << 20)  /* octets that clients of tunnels have left behind there */
#define WORKER_H2_MAX      16           /* h2c connections a backend, class and shard */
#define WORKER_H2_RETIRED  1024         /* beside those that take no more streams, and these */
#define WORKER_H2_STREAMS  256          /* streams on one of them, if the worker allows as many */
#define WORKER_H2_SECTIONS (512u << 10) /* octets of heads and trailers that wait on it */
#define WORKER_H2_WINDOW   (64u << 10)  /* octets a stream: with STREAMS the cap of what waits */
#define WORKER_H2_WIDE     (256u << 10) /* of a response that its client takes; see widen */
#define WORKER_H2_REST     (1u << 20)   /* octets of a connection that clients have left behind */
/* Refused responses that are thrown away on a connection before it takes no new streams. */
#define WORKER_DRAINING_MAX 64
/* An answer over HTTP/1.1 that nobody waits for is read and thrown away for so long, so much of it,
 * on so many connections a backend and shard; then its connection is closed. */
#define WORKER_DRAIN_US     1000000u
#define WORKER_DRAIN_OCTETS (64u << 10)
#define WORKER_H1_DRAIN_MAX 1024

struct worker {
    uint32_t magic;
    struct stream stream;
    struct shard *shard;
    struct backend *backend;
    struct list node;
    struct engine http;
    struct engine_counted counted;
    struct exchange *x;  /* h1: the exchange under way */
    struct list waiting; /* exchanges that hold content until the connection is there */
    struct list parked;  /* h2: struct promised, the one that waits longest first */
    uint32_t parked_count;
    struct loop_task flush, read, reap;
    struct loop_timer timer;
    struct ration ration;
    uint64_t used_us;           /* h1: when its last response ended, it was connected, or begun */
    uint64_t octets_before;     /* h1: sent on the connection when the exchange began */
    uint32_t draining;          /* h2: streams whose response is thrown away; h1: 1, it is */
    uint32_t drained;           /* h1: octets of it */
    uint32_t dropped_count;     /* h2: of those, reset as soon as the ration allows it */
    struct h2_stream **dropped; /* NULL before the first */
    uint64_t left_us;           /* h2: when a client last left the rest of a tunnel */
    size_t left_octets;         /* for who has left: h2: that are not drawn yet; h1: when it left */
    struct places *place;       /* h1: that its request still has */
    enum worker_class klass;
    bool connected, reused, paused, retired, leaving, idle, dead;
};

/* Attach x to a connection to one of its site's instances and send x->forward; the body follows by
 * worker_send_body.
 * return  0, or ERR_NOTFOUND (no instance is left), ERR_LIMIT, ERR_AGAIN (what is left does not
 *         accept just now), ERR_SYS, ERR_NOMEM, ERR_CLOSED (a tunnel that this app's workers cannot
 *         take), or what the engine says of the head */
int worker_attach(struct exchange *x);
/* Whether an instance would take one more request, of our own, beside x. */
bool worker_takes_more(const struct exchange *x);
/* The i-th instance of x's site as x would use it.  return  NULL when it cannot */
struct backend *worker_backend(const struct exchange *x, uint32_t i);
/* x gives its place at an instance back, maybe to the next one that waits. */
void worker_give_place(struct exchange *x);
/* Give up on the worker's side of x: resets within the ration, closes an HTTP/1.1 connection. */
void worker_cancel(struct exchange *x);
/* The client of x has left.  Like worker_cancel, but when that happens too often, what the worker
 * has taken is let end by itself: who leaves all that he asks is not to make us connect anew. */
void worker_abandon(struct exchange *x);
/* The client's side of a tunnel is over, both ways: what the worker has not taken yet still goes
 * there, within WORKER_H1_REST or WORKER_H2_REST. */
void worker_leave(struct exchange *x);
/* Refuse a promised stream within the ration of its connection. */
void worker_refuse(struct worker *w, struct h2_stream *ws, struct site *site);

int worker_send_body(struct exchange *x, struct slice octets, bool end);
/* Ends the request.  The trailers go to HTTP/2 workers only: some servers of HTTP/1.1 take what
 * stands behind the last chunk for the next request, and who decodes the chunks may discard them.
 * RFC 9112 7.1.2 */
int worker_send_trailers(struct exchange *x, const struct fields *trailers);
size_t worker_queued(const struct exchange *x);
/* octets of response content have left towards the client: the worker may send more. */
void worker_consumed(struct exchange *x, size_t octets);

/* Octets that clients left behind are on their way to the worker still. */
bool worker_has_rest(const struct worker *w);

#endif
