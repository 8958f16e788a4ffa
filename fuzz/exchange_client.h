/* SPDX-License-Identifier: Apache-2.0 */
/* A client of fuzz_exchange.c: HTTP/1.1 written by hand and read by the strict reader, or HTTP/2
 * with prior knowledge by our engine, which other targets look after. */
#ifndef FUZZ_EXCHANGE_CLIENT_H
#define FUZZ_EXCHANGE_CLIENT_H

#include "base/buf.h"
#include "exchange_log.h"
#include "http/h2.h"

#define EXCHANGE_CLIENTS 3
#define CLIENT_ASKS      32

struct exchange_ask {
    unsigned request, cookie;
    const struct exchange_extra *extra; /* or NULL */
    size_t end; /* where it ends in all octets of the connection; HTTP/2: 0 */
    /* HTTP/2 alone */
    struct h2_stream *stream;
    unsigned response;
    size_t content_octets;
    bool has_response, has_trailers;
    bool is_ours;     /* of edge itself */
    bool is_switched; /* it is a tunnel now */
    bool is_foul;     /* to a worker that does not say who it is */
};

struct exchange_client {
    int fd; /* -1: not connected */
    struct exchange_log *log;
    struct exchange_tls *tls; /* NULL: plain */
    struct buf wire;          /* what TLS has sealed */
    struct h2_conn *h2;       /* NULL: HTTP/1.1 */
    struct pool pool;
    struct buf out, in;
    size_t out_octets, in_octets; /* given to the kernel, and taken from there */
    struct exchange_ask asks[CLIENT_ASKS];
    unsigned ask_count, answered;
    bool is_over;     /* the connection has ended */
    bool is_shut;     /* its sending side */
    bool is_foul;     /* HTTP/2: it has sent a frame of exchange_frames.h */
    bool is_switched; /* HTTP/1.1: to the tunnel that was asked for last */
    unsigned conn;    /* its number */
};

/* fd: given.  push: it takes what is promised */
void exchange_client_init(struct exchange_client *c, int fd, bool h2, bool push,
                          struct exchange_log *log);
/* Before anything else: over TLS, see exchange_tls_new. */
void exchange_client_secure(struct exchange_client *c, unsigned how, const char *name);
/* Queue a request. */
void exchange_client_ask(struct exchange_client *c, uint8_t how, uint8_t size);
/* At most n octets of what is queued. */
void exchange_client_send(struct exchange_client *c, size_t n);
/* At most n octets; looks at each response that has come. */
void exchange_client_read(struct exchange_client *c, size_t n);
/* Whether the rest of a response that its worker has given whole is yet to come. */
bool exchange_client_awaits(const struct exchange_client *c);
/* Whether it has asked so, has no answer yet, and gives all that belongs to it. */
bool exchange_client_asks(const struct exchange_client *c, int request);
/* Say what no engine of ours would: over HTTP/2 see exchange_frames.h; over TLS from 0xc0 on new
 * keys, or from 0xe0 on octets that are no record. */
void exchange_client_misbehave(struct exchange_client *c, uint8_t which, uint8_t value);
/* bit 0: only the sending side is shut down; else the connection is closed and c is free. */
void exchange_client_end(struct exchange_client *c, uint8_t how);

#endif
