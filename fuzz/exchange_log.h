/* SPDX-License-Identifier: Apache-2.0 */
/* What fuzz_exchange.c's clients and worker know of each other: who asked what, who said what. */
#ifndef FUZZ_EXCHANGE_LOG_H
#define FUZZ_EXCHANGE_LOG_H

#include "base/slice.h"

#define EXCHANGE_REQUESTS 255
/* The number of a request that is edge's alone, for any page of an app. */
#define EXCHANGE_PRELOADED EXCHANGE_REQUESTS
#define EXCHANGE_PRELOADS  "/*\n</255>; rel=preload; as=style\n"
#define EXCHANGE_RESPONSES 256

/* For whom a worker works: a client's connection, counted from 1, and the number in its Cookie.
 * conn 0: it cannot know; edge has asked by itself. */
struct exchange_person {
    unsigned conn, cookie;
};

struct exchange_request {
    size_t content_octets;
    bool is_idempotent, is_head;
    bool is_tunnel;      /* a WebSocket is asked for; content is what the client says in it */
    bool is_opaque;      /* not a WebSocket, but EXCHANGE_UPGRADE */
    bool is_h2;          /* it came over HTTP/2 */
    bool has_trailers;   /* one, see EXCHANGE_TRAILER */
    bool is_bad;         /* no request at all: nobody may get it */
    bool is_sent;        /* the client has given all of it to the kernel */
    unsigned deliveries; /* worker connections that it came on */
    unsigned routes;     /* the log's, at the first one */
    unsigned disowned;   /* as often may a worker have said that it did not act on it */
    /* Promised by an HTTP/2 worker with a page of this host: clients may ask for it, too. */
    bool is_promised;
    unsigned host;
    unsigned asked; /* by clients, or named in a Link field: each may be delivered */
};

struct exchange_response {
    unsigned request;
    size_t content_octets;
    bool has_trailers;
    bool has_length; /* and so it is whole with that, when the worker fails before the trailers */
    bool is_foul;    /* who has it on its connection has said what belongs to none */
    bool is_whole;   /* the worker has given all of it to the kernel, and it is in order */
    bool is_due;     /* it gives all of it, as fast as it is taken */
    struct exchange_person whom;
};

struct exchange_log {
    struct exchange_request requests[EXCHANGE_REQUESTS + 1];
    struct exchange_response responses[EXCHANGE_RESPONSES];
    unsigned request_count, response_count, conn_count;
    unsigned routes; /* how often there were new ones */
    bool has_foul; /* responses */
};

/* How often a worker may get it: an idempotent one so many times for each time it is asked for. */
static inline unsigned exchange_deliveries_max(const struct exchange_request *r, unsigned tries)
{
    return r->disowned + (r->is_idempotent ? tries * (1 + r->asked) : 1);
}

/* return  whether a path begins with the number of a request: "/7", "/7?..." */
static inline bool exchange_number(struct slice path, uint64_t *number_out)
{
    size_t len = 1;
    while (len < path.len && path.p[len] >= '0' && path.p[len] <= '9')
        len++;
    return path.len && slice_u64(slice_of(path.p + 1, len - 1), number_out);
}

/* return  whether somebody may have asked for it: a client, a worker that promised it, or edge */
static inline bool exchange_is_request(const struct exchange_log *log, uint64_t number)
{
    return number < log->request_count || number == EXCHANGE_PRELOADED;
}

/* The n-th last request that a worker has promised.  return  NULL: there is none */
static inline struct exchange_request *exchange_promised(struct exchange_log *log, unsigned n)
{
    for (unsigned i = log->request_count; i-- > 0;)
        if (log->requests[i].is_promised && n-- == 0)
            return &log->requests[i];
    return NULL;
}

/* Of what is said at once, where it is large.  The largest are more than edge has room for. */
static inline size_t exchange_octets(uint8_t size, bool is_large, unsigned each)
{
    return is_large ? size * (each + (size < 0xf0 ? 0 : 1024u)) : size;
}
#define EXCHANGE_OCTETS_MAX (255u * (700 + 1024))

/* Its value is the number of the request or response. */
#define EXCHANGE_TRAILER "x-t"

/* A protocol that all apps let through; the other one, none does. */
#define EXCHANGE_UPGRADE       "foo/1"
#define EXCHANGE_WRONG_UPGRADE "bar"

static const char *const exchange_hosts[] = {"a.test", "b.test", "c.test"};
#define EXCHANGE_HOST_H1 0 /* the others are served by HTTP/2 workers */

/* The octet that the content of a request or response of this number is made of. */
static inline char exchange_octet(unsigned number)
{
    return (char)('!' + number % 90);
}

static inline bool exchange_is_content(struct slice octets, unsigned number)
{
    return octets.len == 0 || (octets.p[0] == exchange_octet(number) &&
                               memcmp(octets.p, octets.p + 1, octets.len - 1) == 0);
}

#endif
