/* SPDX-License-Identifier: Apache-2.0 */
/* Body octets on their way: a queue of pieces, each inside a reference-counted chunk.
 *
 * A receiver reads into a chunk; whoever must keep a part of it appends that part to a chain by
 * reference (large) or by copy (small), so a large body is not copied between sockets.
 * Counts are plain integers: chunks and chains stay on one thread. */
#ifndef BASE_CHAIN_H
#define BASE_CHAIN_H

#include "base/pool.h"
#include "base/slice.h"

/* Pieces shorter than this are copied rather than referenced: what waits holds no more than four
 * times as much of receive buffers (64 KiB each), however few octets of each are for who is slow.
 */
#define CHAIN_COPY_BELOW 16384

struct chunk {
    struct pool *pool;
    uint32_t refs;
    uint32_t cap;
    char octets[];
};

/* return  a chunk with one reference; NULL when memory is out */
struct chunk *chunk_new(struct pool *pool, uint32_t cap);
static inline struct chunk *chunk_ref(struct chunk *c)
{
    c->refs++;
    return c;
}
void chunk_unref(struct chunk *c); /* NULL allowed */

struct chain_piece;
struct chain {
    struct pool *pool;
    struct chain_piece *head, *tail;
    size_t octets; /* queued */
};

void chain_init(struct chain *c, struct pool *pool);
void chain_fini(struct chain *c); /* drops everything; usable again */

/* Append s.  chunk is the chunk that s lies in (shared: referenced when worth it), or NULL: s is
 * borrowed and copied.
 * return  0 or ERR_NOMEM (then nothing was appended) */
int chain_add(struct chain *c, struct slice s, struct chunk *chunk);
/* Move the first n octets (at most c->octets) to out.  return  octets moved */
size_t chain_take(struct chain *c, void *out, size_t n);
/* The first contiguous run, borrowed until the chain changes; empty when the chain is. */
struct slice chain_peek(const struct chain *c);
/* Drop n octets (<= c->octets) from the front. */
void chain_drop(struct chain *c, size_t n);

#endif
