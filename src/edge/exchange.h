/* SPDX-License-Identifier: Apache-2.0 */
/* An exchange joins a client's request to a worker: both heads, both bodies with back-pressure,
 * informational responses, trailers, resets both ways.  It is the one place that knows both sides;
 * a side calls it when something came, and it calls the side to pass something on.
 *
 *      client (h1 or h2)  --request-->   exchange  --request-->   worker (h1 or h2c)
 *                         <--response--            <--response--
 *
 * An exchange lives as long as the client's message or stream, whose arena holds all that belongs
 * to it.  The worker's side comes and goes: none while it waits, another one after a retry. */
#ifndef EDGE_EXCHANGE_H
#define EDGE_EXCHANGE_H

#include "edge/shard.h"
#include "http/h2.h"

#define EXCHANGE_MAGIC 0x45584348u

/* How often a request that a worker may have acted on is tried again. */
#define EXCHANGE_RETRIES 3
/* So often an instance is asked again that did not act on a request. */
#define EXCHANGE_REFUSALS 3

struct client;
struct worker;
struct backend;
struct places;
struct promised;
struct push_page;
struct push_trace;
struct site;

struct exchange {
    uint32_t magic;
    struct shard *shard;
    struct list client_node; /* in client->exchanges */
    struct list worker_node; /* in worker->waiting, until it is connected; in the waiting room */
    struct client *client;
    struct h2_stream *cs;         /* the client's stream; NULL on HTTP/1.1 */
    struct site *site;            /* NULL until routed */
    struct worker *worker;        /* attached, or NULL */
    struct h2_stream *ws;         /* its stream; NULL on HTTP/1.1 */
    struct backend *backend;      /* that counts this exchange in flight */
    struct backend *last_backend; /* the last one tried; for comparing only */
    struct places *place;         /* taken at an instance with a limit, the backend's or handed */
    struct places *queue;         /* the site's, where a place was taken */
    struct arena *arena;          /* the client stream's */
    const struct http_head *request;
    struct http_head forward; /* the request head as the worker gets it */
    struct chain held;        /* request body waiting for a worker */
    struct fields held_trailers;
    struct loop_timer timer;
    struct loop_task drop; /* frees it when the turn ends: callers up the stack may still look */
    uint64_t started_us, head_us;
    uint64_t wait_until_us; /* 0: it has not waited */
    uint64_t turn;          /* in the waiting room; 0: it has not waited */
    char id[32];
    uint64_t body_in, body_out; /* octets from and to the client */
    int64_t response_length;    /* content that the response's head promised; -1: not told */
    uint64_t body_sent;         /* octets that left towards the client */
    uint64_t moved_before, taken_before; /* see has_moved */
    uint64_t forwarded;                  /* request body octets handed to a worker */
    uint64_t tried;                      /* instances that failed, as bits */
    uint32_t reset_code;                 /* the worker's RST_STREAM, 0: none */
    struct slice ws_key;                 /* Sec-WebSocket-Key that an HTTP/1.1 worker got */
    struct slice chain; /* X-Forwarded-For behind a proxy's; p NULL: not made yet */
    uint16_t status;
    uint8_t fault;   /* enum fault */
    const char *why; /* what was wrong with a message for which it is, in words; or NULL */
    uint8_t retries;
    uint8_t failed_by;     /* enum fault: why it was tried again */
    uint8_t refusals;      /* by workers that did not act on it */
    uint8_t informational; /* 1xx heads that came */
    bool request_ended;    /* the client's message is complete */
    bool request_sent;     /* and passed on whole */
    bool head_sent;        /* the final response head went to the client */
    bool response_ended;   /* END was passed to the client */
    bool pushed;           /* answers a promise */
    bool tunnel;           /* asks for a switch of protocols */
    bool opaque;           /* to another one than WebSocket */
    bool switched;         /* and got it: octets pass as they are */
    bool waiting;          /* in the shard's waiting room */
    bool awaits_room;      /* there: the end of any exchange here may help */
    uint8_t wait_why;      /* enum fault: what it fails with when time is up */
    bool wide;             /* its worker may send more ahead; counted in client->wide */
    bool wide_in;          /* its client may send more ahead; one a connection */
    bool ended;
    bool had_103;             /* from its worker */
    bool personal;            /* pushed: the page's request had Cookie or Authorization */
    uint32_t promises;        /* pushed with it */
    struct promised *parked;  /* whose head it waits for, instead of a worker of its own */
    struct push_page *page;   /* in the arena; NULL: its response promises nothing */
    struct http_head *answer; /* what is to be learned when its content has ended; or NULL */
    struct push_trace *trace; /* of decisions, where the operator asks; in the arena; or NULL */
};

/* A request came on the client's stream cs (NULL: HTTP/1.1).  head lives in arena.
 * Everything that can go wrong is answered on the client's side. */
void exchange_begin(struct client *c, struct h2_stream *cs, struct arena *arena,
                    const struct http_head *head, bool end);
/* A promised one: cs is the client's promised stream, parent the exchange that promised.  A
 * worker's response to it is handed over next (promised.h), or it is requested
 * (exchange_attach_again). return  NULL when memory is out */
struct exchange *exchange_push(struct exchange *parent, struct h2_stream *cs,
                               const struct http_head *head);

/* From the client's side. */
void exchange_request_body(struct exchange *x, struct slice octets, bool end);
void exchange_request_trailers(struct exchange *x, const struct fields *trailers);
void exchange_response_sent(struct exchange *x, size_t octets);
/* The client's message or stream has ended: x->ended, and x is gone at the end of the turn.
 * complete: both directions were whole; reset_code: of the client's RST_STREAM, 0: none came. */
void exchange_client_closed(struct exchange *x, bool complete, uint32_t reset_code);

/* From the worker's side. */
void exchange_response_head(struct exchange *x, const struct http_head *head, bool end);
void exchange_response_body(struct exchange *x, struct slice octets, bool end);
void exchange_response_trailers(struct exchange *x, const struct fields *trailers);
void exchange_request_drained(struct exchange *x, size_t octets);
/* The worker's connection is usable: what was held goes out. */
void exchange_worker_ready(struct exchange *x);
/* The worker's message or stream has ended well; it is detached. */
void exchange_worker_done(struct exchange *x);
/* It has failed; it is detached.  untouched: the worker did not act on the request (RFC 9110 9.2.2,
 * RFC 9113 8.7); fresh: the connection was new. */
void exchange_worker_failed(struct exchange *x, enum fault fault, bool untouched, bool fresh);

/* It has left the waiting room: look for an instance among those that are there now. */
void exchange_attach_again(struct exchange *x);
/* What it fails with when a worker could not be asked, or told the rest, by the error. */
enum fault exchange_fault(const struct exchange *x, int err);
/* Answer by ourselves, if no head was sent; else cut the response. */
void exchange_fail(struct exchange *x, enum fault fault);
/* The request id: 32 hexadecimal digits, which live as long as x. */
struct slice exchange_id(struct exchange *x);

#endif
