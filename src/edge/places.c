/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/places.h"
#include "base/map.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* One a process, since shards find each other's places here; locked only when sites and backends
 * come and go. */
static struct {
    pthread_mutex_t lock;
    bool is_ready;
    struct map by_key;
} registry = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct places *make(struct slice key)
{
    struct places *p = malloc(sizeof *p + key.len);
    if (!p)
        return NULL;
    *p = (struct places){.key = slice_of((char *)(p + 1), key.len)};
    memcpy(p + 1, key.p, key.len);
    if (map_put(&registry.by_key, p->key, p) < 0) {
        free(p);
        return NULL;
    }
    return p;
}

struct places *places_get(struct slice key)
{
    pthread_mutex_lock(&registry.lock);
    if (!registry.is_ready)
        map_init(&registry.by_key);
    registry.is_ready = true;
    struct places *p = map_get(&registry.by_key, key);
    if (!p)
        p = make(key);
    if (p)
        places_ref(p);
    pthread_mutex_unlock(&registry.lock);
    return p;
}

struct places *places_ref(struct places *p)
{
    atomic_fetch_add(&p->refs, 1);
    return p;
}

/* The last one goes under the lock, so that nobody finds what is being freed. */
void places_unref(struct places *p)
{
    uint32_t n = p ? atomic_load(&p->refs) : 0;
    if (!p)
        return;
    while (n > 1)
        if (atomic_compare_exchange_weak(&p->refs, &n, n - 1))
            return;
    pthread_mutex_lock(&registry.lock);
    if (atomic_fetch_sub(&p->refs, 1) == 1) {
        map_del(&registry.by_key, p->key);
        free(p);
    }
    pthread_mutex_unlock(&registry.lock);
}

void places_set_limit(struct places *p, uint32_t limit, uint64_t revision)
{
    pthread_mutex_lock(&registry.lock);
    if (revision >= p->revision) {
        p->revision = revision;
        atomic_store(&p->limit, limit);
    }
    pthread_mutex_unlock(&registry.lock);
}

void places_await(struct places *p, uint32_t shard)
{
    if (!(atomic_load(&p->waiting) >> shard & 1)) /* only the shard itself takes it away */
        atomic_fetch_or(&p->waiting, UINT64_C(1) << shard);
}

void places_forgo(struct places *p, uint32_t shard)
{
    atomic_fetch_and(&p->waiting, ~(UINT64_C(1) << shard));
}

static int after(uint32_t shard, uint64_t waiting)
{
    uint64_t above = shard < 63 ? waiting & ~UINT64_C(0) << (shard + 1) : 0;
    return __builtin_ctzll(above ? above : waiting);
}

int places_give(struct places *p, uint32_t shard, uint64_t among)
{
    for (;;) {
        uint64_t waiting = atomic_load(&p->waiting) & among;
        if (waiting && atomic_load(&p->taken) <= atomic_load(&p->limit))
            return after(shard, waiting);
        atomic_fetch_sub(&p->taken, 1);
        /* Somebody may have marked itself just before that, and seen no place yet. */
        if (!(atomic_load(&p->waiting) & among) || !places_take(p))
            return -1;
    }
}
