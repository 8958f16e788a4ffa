/* SPDX-License-Identifier: Apache-2.0 */
/* A recycler of memory blocks for one thread: sizes are rounded up to a class, freed blocks are
 * kept for the next taker.
 *
 * Promises: a steady load allocates nothing from libc.  Disadvantages: not thread-safe; a block up
 * to twice as large as asked; what a peak took is kept up to POOL_KEEP_OCTETS a class. */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include <stddef.h>
#include <stdint.h>

/* At most so many octets of free blocks are kept a class; the rest goes back to libc. */
#define POOL_KEEP_OCTETS (4u << 20)
#define POOL_MIN_SHIFT   6  /* 64 octets */
#define POOL_MAX_SHIFT   17 /* 128 KiB; larger blocks come from libc each time */

struct pool_block {
    struct pool_block *next;
};

struct pool {
    struct pool_block *free[POOL_MAX_SHIFT - POOL_MIN_SHIFT + 1];
    size_t kept[POOL_MAX_SHIFT - POOL_MIN_SHIFT + 1]; /* octets */
    uint64_t libc_allocs;                             /* how often libc was asked */
    uint64_t live;                                    /* blocks given out and not yet returned */
    uint64_t live_octets;                             /* of these */
    uint64_t fail_at;                                 /* tests: fail the nth get; 0 never */
    uint64_t gets;
};

void pool_init(struct pool *p);
/* Returns kept blocks to libc; blocks that are still given out stay valid and must not be put. */
void pool_fini(struct pool *p);

/* return  size octets, uninitialised, aligned to 16; NULL when memory is out */
void *pool_get(struct pool *p, size_t size);
/* Like pool_get, filled with zeroes. */
void *pool_zget(struct pool *p, size_t size);
/* size is the one asked for.  ptr may be NULL. */
void pool_put(struct pool *p, void *ptr, size_t size);
/* The usable octets of a block asked for with this size. */
size_t pool_usable(size_t size);

#endif
