/* SPDX-License-Identifier: Apache-2.0 */
/* A connection's protocol engine, whichever version it speaks, and the socket's turn around it: the
 * part that the clients' and the workers' side share. */
#ifndef EDGE_ENGINE_H
#define EDGE_ENGINE_H

#include "edge/shard.h"
#include "http/h1.h"
#include "http/h2.h"

struct engine { /* at most one of them is there */
    struct h1_conn *h1;
    struct h2_conn *h2;
};

/* Octets of a stream that the counters have already. */
struct engine_counted {
    uint64_t in, out;
};

enum engine_peer { ENGINE_CLIENT, ENGINE_SUSPECT, ENGINE_PROXY };
/* What an engine towards a client is bounded by.  A suspect has an ENGINE_SUSPECT_SHARE-th of each
 * budget, which is still a reset for each of the hundred requests that a page may have open: else
 * those who leave one would keep their address suspect. */
#define ENGINE_SUSPECT_SHARE 4u
/* A trusted proxy has so many times as much: over one connection come many clients, each of whom
 * may give up what it has asked for, and all are cut when it ends. */
#define ENGINE_PROXY_TIMES 16u
void engine_h1_limits(struct h1_limits *out, const struct limits *l);
void engine_h2_settings(struct h2_settings *out, const struct limits *l, enum engine_peer peer);
void engine_free(struct engine *e);
int engine_feed(struct engine *e, const void *in, size_t len, uint64_t now_us);
bool engine_has_output(const struct engine *e);

/* Write what the engine has to say: as few sends as possible, until nothing is left, the socket
 * takes no more, or this connection's share of the turn is used up (then `again` is queued).
 * dead: set by callbacks when the connection was given up meanwhile.
 * return  0, or the stream's error */
int engine_flush(struct engine *e, struct shard *s, struct stream *st, const bool *dead,
                 struct loop_task *again);
/* Whether to read several receive chunks at once: more than one was ready the last time. */
static inline bool engine_reads_much(const struct stream *st)
{
    return st->ready_octets >= SHARD_RX_OCTETS;
}
/* One read into a receive chunk, and into others as long as `most` and *budget, which shrinks, are
 * not reached by those before.
 * return  octets, to be had by engine_next before the next read; 0 at the end; the stream's error,
 *         or ERR_NOMEM */
ssize_t engine_read(struct shard *s, struct stream *st, size_t most, size_t *budget);
/* The next run of what was read, which shard_chunk_of knows until the next call.  Empty: that was
 * all. */
struct slice engine_next(struct shard *s);
/* Adds what is new. */
void engine_count(const struct stream *st, struct engine_counted *counted, _Atomic uint64_t *in,
                  _Atomic uint64_t *out);

#endif
