/* SPDX-License-Identifier: Apache-2.0 */
/* A client's connection: TLS or plain, HTTP/1.1 or HTTP/2. */
#ifndef EDGE_CLIENT_H
#define EDGE_CLIENT_H

#include "edge/engine.h"
#include "edge/exchange.h"

#define CLIENT_MAGIC 0x434c4e54u

#define CLIENT_IDLE_US 60000000u /* until a request has named an app with a setting of its own */
/* Of a draining edge that is patient: how long a request may be on its way. */
#define CLIENT_PATIENCE_US 5000000u
/* After the last octet of ours, so long for the peer to take it and close. */
#define CLIENT_LINGER_US 2000000u
/* An HTTP/1.1 client that is still sending, an upload that was refused, say, so long in all: many
 * read the answer when they have sent everything, and where octets have met a closed socket the
 * answer is thrown away before it is read; longer only while octets of ours are on their way. */
#define CLIENT_LINGER_MOST_US 30000000u
#define CLIENT_PUSHES_MAX     100 /* promised responses open at once on a connection */

struct client {
    uint32_t magic;
    struct stream stream;
    struct shard *shard;
    struct list node;
    struct list exchanges;
    struct list handshake; /* in shard->handshakes, when there is something to read */
    struct engine http;
    struct engine_counted counted;
    struct exchange *current; /* h1 */
    struct loop_task flush, read, reap;
    struct loop_timer timer;
    struct addr peer;
    struct routes *tls_routes; /* what the handshake was decided by; NULL when plain */
    struct push_client *push;  /* see push_vehicle.h; NULL until an app promises */
    /* The last authority asked for and the site it led to: most requests ask for the same. */
    struct site *memo_site;
    uint64_t memo_revision;
    uint8_t memo_len;
    bool memo_fits; /* and that TLS here may serve it */
    char memo_authority[63];
    uint8_t lines_at; /* in shard->lines, where they may be its own */
    uint64_t idle_us;
    uint64_t linger_until_us; /* 0: nothing has come since it is closing */
    uint64_t taken, taken_us; /* when the timer was due: octets_out, and since when it is that */
    uint64_t sent;            /* octets of content, of all exchanges, that the engine gave away */
    uint32_t open;            /* exchanges */
    uint32_t wide;            /* those whose h2c worker may send WORKER_H2_WIDE ahead */
    bool wide_in;             /* one that may send http2ConnectionWindow ahead */
    uint8_t sniffed_len;
    char sniffed[24];
    char peer_text[ADDR_TEXT_OCTETS / 2]; /* "192.0.2.1:4711", "[2001:db8::1]:4711" */
    uint8_t peer_text_len;
    char peer_host[46];
    uint8_t peer_host_len;
    bool https, established, paused, dead;
    bool in_addresses; /* among its address's connections */
    bool suspect;      /* see suspects.h */
    bool unheard;      /* it waits before anything is read */
    bool asked;        /* a request has come */
    bool leaving;      /* HTTP/2: GOAWAY was queued, what comes is still served */
    bool closing;      /* what comes is dropped */
    bool cut;          /* after what there is of a response it ends in the middle of it */
    bool resets;       /* and where a FIN would say that all is there */
};

/* fd is given. */
void client_accept(struct shard *s, int fd, const struct addr *peer, bool https);
/* Go on with TLS handshakes of clients that have sent something of theirs, the first ones first.
 * They get as much of a turn as what came before them in it; one is always done. */
void client_shake_hands(struct shard *s);
/* Close now: exchanges end, the memory goes at the end of the turn. */
void client_kill(struct client *c);
/* client_kill, for it has edge hold too much. */
void client_shed(struct client *c);
/* The edge drains.  An HTTP/1.1 connection cannot say in advance that it will close: while the edge
 * is patient, one that waits for a request may bring it, and its answer says so. */
void client_leave(struct client *c);
/* No new requests; closes when the last exchange has ended. */
void client_shutdown(struct client *c);
/* Output waits in the engine: write at the end of the turn. */
void client_wants_flush(struct client *c);

/* What exchanges send. */
int client_send_head(struct exchange *x, const struct http_head *head, bool end);
int client_send_body(struct exchange *x, struct slice octets, bool end);
int client_send_trailers(struct exchange *x, const struct fields *trailers);
/* RST, and what was not sent is dropped: before client_kill. */
void client_reset(struct client *c);
/* End the response so that the client sees that it was cut. */
void client_cut(struct exchange *x, enum h2_code code);
size_t client_queued(const struct exchange *x);
/* How much of its response may wait before its worker is told to pause: the less, the more of what
 * was written waits for the socket. */
size_t client_queue_high(const struct exchange *x);
/* How much more, as things are. */
size_t client_queue_room(const struct exchange *x);
/* Request octets went on to the worker: the client may send more. */
void client_consumed(struct exchange *x, size_t octets);
/* Nobody is there any more for what waited for the worker. */
void client_consumed_all(struct exchange *x);
static inline bool client_is_h2(const struct client *c)
{
    return c->http.h2 != NULL;
}

#endif
