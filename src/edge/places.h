/* SPDX-License-Identifier: Apache-2.0 */
/* Places: how many requests may be at an instance, or wait for an app, counted over all shards of
 * the process.  Taking one is one atomic exchange; there is no lock on a request's way, and no
 * place where there is no limit.
 *
 * Who finds none marks its shard as waiting and looks once more; who gives one back looks for such
 * a mark after it has counted down, too.  So one of them sees the other, and no place lies idle
 * while somebody waits for it.  A place that is given back while somebody waits is not counted down
 * at all: it is handed to one shard, for one request, and nobody who comes later can take it. */
#ifndef EDGE_PLACES_H
#define EDGE_PLACES_H

#include "base/slice.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct places {
    atomic_uint refs;
    atomic_uint limit;        /* of the newest routes, UINT32_MAX: none */
    uint64_t revision;        /* of those, under the registry's lock */
    atomic_uint taken;        /* may be above a limit that was lowered */
    _Atomic uint64_t waiting; /* shards, as bits */
    _Atomic uint64_t turn;    /* a queue's: of the last that was served */
    struct slice key;
};

/* The places of that name, the same for every shard.  May be called by any thread.
 * return  a reference, or NULL when memory is out */
struct places *places_get(struct slice key);
struct places *places_ref(struct places *p);
/* By routes of this revision.  A shard that comes late to newer ones does not set it back. */
void places_set_limit(struct places *p, uint32_t limit, uint64_t revision);
void places_unref(struct places *p); /* NULL allowed */

static inline uint32_t places_taken(const struct places *p)
{
    return atomic_load_explicit(&p->taken, memory_order_relaxed);
}
static inline bool places_are_full(const struct places *p)
{
    return atomic_load(&p->taken) >= atomic_load(&p->limit);
}
/* return  false: none is free */
static inline bool places_take(struct places *p)
{
    uint32_t n = atomic_load(&p->taken);
    while (n < atomic_load_explicit(&p->limit, memory_order_relaxed))
        if (atomic_compare_exchange_weak(&p->taken, &n, n + 1))
            return true;
    return false;
}
/* For what begins by itself, above the limit if need be. */
static inline void places_add(struct places *p)
{
    atomic_fetch_add(&p->taken, 1);
}
/* Where nobody waits. */
static inline void places_drop(struct places *p)
{
    atomic_fetch_sub(&p->taken, 1);
}
/* The shard has requests that found none.  Look again after this. */
void places_await(struct places *p, uint32_t shard);
/* It has none any more. */
void places_forgo(struct places *p, uint32_t shard);
/* One is given back by a shard.  among: the shards that it can reach.
 * return  the shard that has it now, in turn after this one, or -1: it is free */
int places_give(struct places *p, uint32_t shard, uint64_t among);

#endif
