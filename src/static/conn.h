/* SPDX-License-Identifier: Apache-2.0 */
/* A connection, HTTP/1.1 or HTTP/2 by prior knowledge (RFC 9113 3.3), and the responses on it. */
#ifndef STATIC_CONN_H
#define STATIC_CONN_H

#include "base/addr.h"
#include "http/h1.h"
#include "http/h2.h"
#include "net/stream.h"
#include "static/answer.h"

#define STATIC_CONN_MAGIC 0x53544346u

/* A response keeps at most two pieces in memory, of this size, or of the smaller one where many
 * share a connection: 100 streams hold 3.2 MiB at most.  Listings (listing.h) come on top. */
#define STATIC_PIECE_OCTETS       (64u << 10)
#define STATIC_SMALL_PIECE_OCTETS (16u << 10)
#define STATIC_FEW_STREAMS        8u

/* From the first octet of a request to its whole head. */
#define STATIC_HEAD_US 30000000u
/* Who connects to us closes first: a front end that sends a request just when we close would have
 * to try it again.  The same limit ends a peer that takes no octet for so long. */
#define STATIC_IDLE_US   600000000u
#define STATIC_LINGER_US 2000000u

enum static_wait { STATIC_SERVES, STATIC_AWAITS_HEAD, STATIC_LINGERS };

struct static_server {
    struct loop *loop;
    struct static_site site;
    struct list conns;
    bool draining;
    void (*on_drained)(struct static_server *s); /* the last connection is gone while draining */
};

struct static_conn {
    uint32_t magic;
    struct static_server *server;
    struct stream stream;
    struct list node;
    struct list transfers;
    struct h1_conn *h1; /* at most one of the two */
    struct h2_conn *h2;
    struct static_transfer *current; /* h1 */
    struct loop_task flush, read, reap;
    struct loop_timer timer;
    enum static_wait wait; /* what timer is set for */
    uint32_t open;         /* transfers */
    uint8_t sniffed_len;
    char sniffed[24];
    bool closing, dead;
};

/* One response on its way. */
struct static_transfer {
    struct list node;
    struct static_conn *conn;
    struct h2_stream *stream; /* NULL: h1 */
    struct static_answer answer;
    unsigned part;
    uint64_t at; /* octets of the part's text, or then of its file run, that were queued */
    bool text_sent, request_ended, response_ended;
};

/* fd is given. */
void static_conn_accept(struct static_server *s, int fd);
/* Idle ones close now, others after their last response. */
void static_conn_shutdown(struct static_conn *c);
void static_conn_kill(struct static_conn *c);
void static_conn_wants_flush(struct static_conn *c);

/* Answers a request.  stream: NULL for h1.  arena: the message's. */
void static_transfer_begin(struct static_conn *c, struct h2_stream *stream, struct arena *arena,
                           const struct http_head *request, bool request_ended);
/* There is room: queue more content. */
void static_transfer_pump(struct static_transfer *t);
void static_transfer_end(struct static_transfer *t);

#endif
