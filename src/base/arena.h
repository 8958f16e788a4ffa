/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that dies together: what belongs to a request goes into its arena and is never freed by
 * itself.  Disadvantage: an object that shrinks or is replaced keeps its octets until the end. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/pool.h"
#include "base/slice.h"

struct arena_block {
    struct arena_block *next;
    size_t size;
};

struct arena {
    struct pool *pool;
    struct arena_block *blocks; /* newest first */
    char *at, *end;
    size_t octets; /* given out so far, for caps */
};

/* No memory is taken before the first allocation.  pool: kept until arena_fini. */
void arena_init(struct arena *a, struct pool *pool);
/* Also makes it empty and usable again. */
void arena_fini(struct arena *a);
/* A block for n octets now, for an arena that is to hold so much and no more: each allocation takes
 * up to 7 octets more than it asks for.  return 0 or ERR_NOMEM */
int arena_reserve(struct arena *a, size_t n);

/* arena_alloc where the newest block has no room. */
void *arena_alloc_block(struct arena *a, size_t n);
/* return  n octets, uninitialised, aligned to 8, never the same twice; NULL when memory is out */
static inline void *arena_alloc(struct arena *a, size_t n)
{
    size_t rounded = (n + 7) & ~(size_t)7;
    if (n == 0 || n > ((size_t)(a->end - a->at) & ~(size_t)7))
        return arena_alloc_block(a, n);
    void *p = a->at;
    a->at += rounded;
    a->octets += rounded;
    return p;
}
void *arena_zalloc(struct arena *a, size_t n);
/* Give back the end of p, the newest allocation: of its n octets, used ones stay. */
void arena_shrink(struct arena *a, void *p, size_t n, size_t used);
/* A copy with a NUL after it (not counted); p is NULL when memory is out. */
struct slice arena_dup(struct arena *a, struct slice s);
/* Formats into the arena; p is NULL when memory is out. */
struct slice arena_printf(struct arena *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
