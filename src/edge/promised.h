/* SPDX-License-Identifier: Apache-2.0 */
/* A response that a worker promised and already makes, and that nobody takes yet: until it is known
 * enough of it to decide, or, parked, until the client asks for it by itself.
 *
 * What comes of it waits here, at most a stream's window: what is not taken is not credited.  One
 * is the connection's that the page went to, and never seen by another (DESIGN: on the same
 * connection, one use, a short time). */
#ifndef EDGE_PROMISED_H
#define EDGE_PROMISED_H

#include "edge/exchange.h"
#include "push/promise.h"

#define PROMISED_MAGIC      0x50524f4du
#define PROMISED_KEPT_US    10000000u     /* parked for the client's own request */
#define PROMISED_MAX        32            /* of a client's connection */
#define PROMISED_WORKER_MAX 50            /* that wait for nobody on a worker's connection */
#define PROMISED_OCTETS     (64ull << 20) /* of heads and content, in a shard; half for one app */

struct push_client;

struct promised {
    uint32_t magic;
    struct shard *shard;
    struct client *client;
    struct site *site;
    struct list node;        /* in push_client->promised */
    struct exchange *page;   /* while it is undecided, else NULL */
    struct exchange *waiter; /* the client's own request, while the head has not come */
    struct worker *worker;   /* NULL: the worker's part is over */
    struct list worker_node; /* in worker->parked, until somebody asks for it */
    struct h2_stream *ws;
    struct backend *backend; /* counts it in flight */
    struct places *place;
    struct arena arena;
    struct push_promise promise;
    struct http_head page_head; /* Cookie, Authorization and User-Agent of the page's request */
    struct http_head head;      /* status 0, content_length -1: it has not come */
    struct fields trailers;
    struct chain body;
    uint64_t octets;  /* of content that came */
    uint64_t charged; /* of shard->promised_octets */
    struct loop_timer timer;
    bool parked;
    bool ended; /* whole */
};

/* ws, promised on x's stream, becomes one; p is copied.
 * return  NULL: too many, or memory is out; ws is untouched then */
struct promised *promised_new(struct exchange *x, struct worker *w, struct h2_stream *ws,
                              const struct push_promise *p);
/* What a stream of a worker belongs to, when it is not an exchange; else NULL. */
struct promised *promised_of(struct h2_stream *ws);
/* It waits for the client's own request from now on. */
void promised_park(struct promised *p);
/* The worker's stream and all that came of it become x's.  p is gone. */
void promised_hand_over(struct promised *p, struct exchange *x);
/* Nobody will take it: refused towards the worker, within the ration.  p is gone. */
void promised_drop(struct promised *p);
/* A client's request: answered from here, or waiting for a head.  return  whether it is */
bool promised_ask(struct exchange *x);
/* A client's request that is not safe: what is parked for its URL was answered before it (RFC 9111
 * 4.4). */
void promised_is_old(struct exchange *x);
/* x waits no more. */
void promised_forget_waiter(struct exchange *x);
/* Of a client that leaves, or for whom there is no memory: what no request waits for. */
void promised_drop_unasked(struct client *c);

/* From the worker's side. */
void promised_head(struct promised *p, const struct http_head *head, bool end);
void promised_body(struct promised *p, struct slice octets, bool end);
void promised_trailers(struct promised *p, const struct fields *trailers);
void promised_closed(struct promised *p, bool complete);

#endif
