/* SPDX-License-Identifier: Apache-2.0 */
/* The worker of fuzz_exchange.c: it checks what it is asked, and answers as the input says, also
 * wrongly: too little, too much, without order, before the request is complete, or not at all. */
#ifndef FUZZ_EXCHANGE_WORKER_H
#define FUZZ_EXCHANGE_WORKER_H

#include "base/buf.h"
#include "exchange_log.h"

#define EXCHANGE_CONNS 6

struct exchange_conn {
    int fd; /* -1: free */
    struct buf in, out;
    unsigned request; /* that is being received or answered */
    bool has_request, is_complete, is_answered;
    unsigned response; /* that is being sent */
    bool sends;        /* response counts */
    bool is_good;      /* and is in order */
    bool is_switched;  /* response is what is said in a tunnel */
    char key[24];      /* Sec-WebSocket-Key */
    size_t heard;      /* octets in the tunnel */
    size_t whole_in;   /* when so many more octets of out have left */
    bool ends_by_close;
};

struct exchange_worker {
    int listener;
    struct exchange_log *log;
    struct pool pool;
    size_t in_octets; /* that have come */
    struct exchange_conn conns[EXCHANGE_CONNS];
};

/* listener: given. */
void exchange_worker_init(struct exchange_worker *w, int listener, struct exchange_log *log);
void exchange_worker_fini(struct exchange_worker *w);
/* Take what there is: connections and requests. */
void exchange_worker_read(struct exchange_worker *w);
/* Queue a response to what the connection has been asked, if it was. */
void exchange_worker_answer(struct exchange_worker *w, unsigned conn, uint8_t how, uint8_t size);
/* return  the request that the connection waits for the rest of, or -1 */
int exchange_worker_awaits(const struct exchange_worker *w, unsigned conn);
void exchange_worker_send(struct exchange_worker *w, unsigned conn, size_t n);
void exchange_worker_close(struct exchange_worker *w, unsigned conn);

#endif
