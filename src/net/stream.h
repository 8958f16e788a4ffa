/* SPDX-License-Identifier: Apache-2.0 */
/* A connected socket on a loop, with or without TLS, as a stream of octets.
 *
 * Reads and writes are at most one system call each, and none just to see EAGAIN: a short read
 * means drained, save after the peer's FIN, which is read to the end. */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include "base/addr.h"
#include "net/loop.h"
#include "net/tls.h"

#include <sys/uio.h>

struct stream;
struct stream_events {
    /* There may be octets to read: call stream_read until stream_can_read is false or the share of
     * this turn is used up (then loop_again). */
    void (*on_readable)(struct stream *s);
    /* What waited has left: there is room again. */
    void (*on_writable)(struct stream *s);
    /* An outgoing connect has ended: 0, ERR_TIMEOUT or ERR_CLOSED. */
    void (*on_connected)(struct stream *s, int err);
};

struct stream {
    struct loop_source source;
    struct loop *loop;
    const struct stream_events *events;
    struct tls_conn *tls;  /* NULL: plain */
    struct buf wire;       /* octets that the socket did not take yet */
    struct chunk *wire_in; /* ciphertext left from the last read, rarely any */
    uint32_t wire_in_at, wire_in_len;
    struct loop_task later; /* small TLS output that waits for company until the turn ends */
    bool can_read;          /* stream_read may give something */
    bool in_kernel;         /* the kernel may have octets for us */
    bool blocked;           /* the last write was short; wait for on_writable */
    bool saw_hup, connecting, failed, shut;
    bool watches_room;              /* the loop tells when the socket takes octets again */
    bool is_local;                  /* a unix socket: it tells that all the time */
    bool may_get_files;             /* of its peer: descriptors beside octets */
    bool has_got_files;             /* then it fails, and is never closed */
    bool ended;                     /* the peer's clean end was read */
    bool lost;                      /* the peer is gone in both directions, read or not */
    uint32_t burst_octets;          /* see stream_burst */
    uint8_t bursts_taken;           /* of this size, in a row */
    bool filled;                    /* the last read left no room */
    uint64_t ready_octets;          /* read by it and those before it that were filled, in a row */
    uint64_t octets_in, octets_out; /* on the wire */
};

/* Takes over fd (non-blocking) and registers it.  tls: given, or NULL.
 * return  0, or ERR_SYS (fd and tls then still belong to the caller) */
int stream_open(struct stream *s, struct loop *l, int fd, struct tls_conn *tls,
                const struct stream_events *events);
/* Starts a non-blocking connect; on_connected follows, never from within this call.
 * return  0, or ERR_SYS (no descriptors), ERR_CLOSED (refused at once) or ERR_AGAIN (the backlog of
 * a unix socket is full, and nothing tells when it is not): nothing to close then */
int stream_connect(struct stream *s, struct loop *l, const struct addr *to,
                   const struct stream_events *events);
/* Closes at once, dropping what was not sent.  s may be freed at the end of the turn (loop_reap)
 * or at once if the caller is not inside one of its callbacks. */
void stream_close(struct stream *s);
/* Descriptors may lie unread in it: it is not read any more, and stays open when it is closed. */
static inline void stream_distrust(struct stream *s)
{
    s->has_got_files |= s->may_get_files;
}

static inline bool stream_is_open(const struct stream *s)
{
    return s->source.fd >= 0;
}
static inline bool stream_can_read(const struct stream *s)
{
    return s->can_read;
}
/* True while earlier octets wait for the socket: produce no more output now. */
static inline bool stream_is_blocked(const struct stream *s)
{
    return s->blocked;
}

/* Octets that wait for the socket. */
static inline size_t stream_waiting(const struct stream *s)
{
    return buf_len(&s->wire);
}

/* How many octets had better be written at once.  Each write costs the kernel a walk through its
 * layers and the peer a wake-up; but what the socket does not take waits here, and nothing more
 * urgent can overtake it.  So it grows while the socket takes all, and falls when it does not. */
#define STREAM_BURST_LEAST (66u << 10)
#define STREAM_BURST_MOST  (264u << 10)
static inline size_t stream_burst(const struct stream *s)
{
    return s->burst_octets;
}

/* return  octets read; 0: the peer's clean end (FIN, after close_notify or without TLS);
 *         ERR_AGAIN: nothing now (also during a TLS handshake); ERR_CLOSED: reset, or FIN without
 *         close_notify inside TLS; ERR_TLS */
ssize_t stream_read(struct stream *s, void *buf, size_t cap);
/* The same into several runs of room by one call, each filled before the next; with TLS only into
 * the first. */
ssize_t stream_readv(struct stream *s, const struct iovec *to, unsigned count);
/* Sends all of in, or keeps what the socket does not take (the stream is then blocked).
 * return  0; ERR_CLOSED when the connection is dead; ERR_TLS; ERR_NOMEM */
int stream_write(struct stream *s, const void *in, size_t len);
/* No more output: FIN after what waits has left (with TLS close_notify first). */
void stream_shutdown(struct stream *s);
/* True when the TLS handshake is done, or there is none. */
bool stream_is_established(const struct stream *s);

/* What TCP knows of the way to the peer; what it does not is 0. */
struct stream_path {
    uint32_t rtt_us;          /* smoothed */
    uint64_t cwnd_octets;     /* congestion window */
    uint64_t ssthresh_octets; /* where it stops doubling */
    uint64_t octets_per_s;  /* delivery rate, where neither application nor slow start limits it */
    uint64_t queued_octets; /* not acknowledged yet, sent or not */
};
/* return  false: not TCP; *out is all zeroes */
bool stream_path(const struct stream *s, struct stream_path *out);

/* TCP_NODELAY and, unless 0, TCP_NOTSENT_LOWAT; silently nothing on other sockets. */
void stream_tune(struct stream *s, unsigned notsent_lowat_octets);
/* The same.  What a listening socket accepts afterwards has it from there, without a call. */
void stream_tune_fd(int fd, unsigned notsent_lowat_octets);

#endif
