/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP/2 worker of fuzz_exchange.c, on our engine: it checks what it is asked and answers in
 * order or not, pushes, refuses, resets, gives connections up, or says nothing. */
#ifndef FUZZ_EXCHANGE_WORKER_H2_H
#define FUZZ_EXCHANGE_WORKER_H2_H

#include "base/buf.h"
#include "exchange_log.h"
#include "http/h2.h"

#define EXCHANGE_H2_CONNS   4
#define EXCHANGE_H2_STREAMS 32

struct exchange_h2_stream {
    struct h2_stream *stream; /* NULL: free */
    unsigned request;
    size_t content_octets;
    bool is_complete;
    struct exchange_person whom;
    bool is_answered;
    unsigned response; /* once it is answered */
    bool is_switched;
};

struct exchange_h2_conn {
    int fd; /* -1: free */
    struct exchange_worker_h2 *worker;
    struct h2_conn *h2;
    struct buf out;
    bool is_foul;    /* it has sent a frame of exchange_frames.h */
    bool is_garbled; /* one that carries fields or content */
    struct exchange_h2_stream streams[EXCHANGE_H2_STREAMS];
};

struct exchange_worker_h2 {
    int listener;
    struct exchange_log *log;
    struct pool pool;
    size_t in_octets; /* that have come */
    struct exchange_h2_conn conns[EXCHANGE_H2_CONNS];
};

/* listener: given. */
void exchange_worker_h2_init(struct exchange_worker_h2 *w, int listener, struct exchange_log *log);
void exchange_worker_h2_fini(struct exchange_worker_h2 *w);
/* Take what there is: connections and requests. */
void exchange_worker_h2_read(struct exchange_worker_h2 *w);
/* Do something with a stream of the connection: bits 0 to 2 of how say what. */
void exchange_worker_h2_answer(struct exchange_worker_h2 *w, unsigned conn, uint8_t how,
                               uint8_t size);
/* Say what no engine of ours would, see exchange_frames.h. */
void exchange_worker_h2_misbehave(struct exchange_worker_h2 *w, unsigned conn, uint8_t which,
                                  uint8_t value);
/* return  the request that the stream waits for the rest of, or -1 */
int exchange_worker_h2_awaits(const struct exchange_worker_h2 *w, unsigned conn, unsigned stream);
void exchange_worker_h2_send(struct exchange_worker_h2 *w, unsigned conn, size_t n);
/* It has no more to say in any tunnel. */
void exchange_worker_h2_hang_up(struct exchange_worker_h2 *w);
void exchange_worker_h2_close(struct exchange_worker_h2 *w, unsigned conn);

#endif
