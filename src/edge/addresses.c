/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/addresses.h"
#include "base/err.h"
#include "base/list.h"
#include "base/map.h"
#include "base/panic.h"

#include <pthread.h>
#include <stdlib.h>

struct address {
    char network[ADDR_NETWORK_OCTETS];
    uint32_t open;
    uint64_t blame_micro; /* what is not forgotten yet */
    uint64_t blamed_us;   /* when that was true */
    struct list node;     /* addresses.remembered */
};

struct addresses {
    pthread_mutex_t lock;
    struct map map;         /* struct address by network */
    struct list remembered; /* those with blame and without a connection, the oldest first */
    uint32_t remembered_count;
};

struct addresses *addresses_new(void)
{
    struct addresses *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    pthread_mutex_init(&a->lock, NULL);
    map_init(&a->map);
    list_init(&a->remembered);
    return a;
}

static void forget(struct addresses *a, struct address *e)
{
    if (!list_empty(&e->node))
        a->remembered_count--;
    list_remove(&e->node);
    map_del(&a->map, slice_of(e->network, sizeof e->network));
    free(e);
}

void addresses_free(struct addresses *a)
{
    if (!a)
        return;
    while (!list_empty(&a->remembered))
        forget(a, LIST_ENTRY(a->remembered.next, struct address, node));
    ASSERT(a->map.count == 0);
    map_fini(&a->map);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

/* return  the entry, made when there is none, or NULL when memory is out */
static struct address *find_or_add(struct addresses *a, const char *network)
{
    struct address *e = map_get(&a->map, slice_of(network, ADDR_NETWORK_OCTETS));
    if (e)
        return e;
    e = calloc(1, sizeof *e);
    if (!e)
        return NULL;
    memcpy(e->network, network, sizeof e->network);
    list_init(&e->node);
    if (map_put(&a->map, slice_of(e->network, sizeof e->network), e) == 0)
        return e;
    free(e);
    return NULL;
}

int addresses_enter(struct addresses *a, const struct addr *peer, uint32_t limit)
{
    char network[ADDR_NETWORK_OCTETS];
    int err = 0;
    addr_network(peer, network);
    pthread_mutex_lock(&a->lock);
    struct address *e = find_or_add(a, network);
    if (!e)
        err = ERR_NOMEM;
    else if (limit && e->open >= limit)
        err = ERR_LIMIT;
    else if (e->open++ == 0 && !list_empty(&e->node)) {
        list_remove(&e->node);
        a->remembered_count--;
    }
    pthread_mutex_unlock(&a->lock);
    return err;
}

/* Whose blame is less than that is forgotten with the last connection. */
#define WORTH_MICRO (ADDRESSES_ABUSE / 16)

/* The last connection has gone.  Blame outlives it, or to come back would be to be forgiven. */
static void remember(struct addresses *a, struct address *e)
{
    if (e->blame_micro < WORTH_MICRO) {
        forget(a, e);
        return;
    }
    list_add_tail(&a->remembered, &e->node);
    if (++a->remembered_count > ADDRESSES_REMEMBERED)
        forget(a, LIST_ENTRY(a->remembered.next, struct address, node));
}

void addresses_leave(struct addresses *a, const struct addr *peer)
{
    char network[ADDR_NETWORK_OCTETS];
    addr_network(peer, network);
    pthread_mutex_lock(&a->lock);
    struct address *e = map_get(&a->map, slice_of(network, sizeof network));
    ASSERT(e && e->open);
    if (--e->open == 0)
        remember(a, e);
    pthread_mutex_unlock(&a->lock);
}

static void fade(struct address *e, struct limit_rate abuses, uint64_t now_us)
{
    uint64_t elapsed = now_us > e->blamed_us ? now_us - e->blamed_us : 0;
    /* Divide rather than multiply: a long time must not overflow. */
    if (elapsed >= e->blame_micro / abuses.per_second + 1)
        e->blame_micro = 0;
    else
        e->blame_micro -= elapsed * abuses.per_second;
    e->blamed_us = now_us;
}

void addresses_blame(struct addresses *a, const struct addr *peer, uint32_t micro,
                     struct limit_rate abuses, uint64_t now_us)
{
    const uint64_t most = 2 * (uint64_t)abuses.burst * ADDRESSES_ABUSE - 1;
    char network[ADDR_NETWORK_OCTETS];
    addr_network(peer, network);
    pthread_mutex_lock(&a->lock);
    struct address *e = map_get(&a->map, slice_of(network, sizeof network));
    ASSERT(e && e->open);
    fade(e, abuses, now_us);
    e->blame_micro = e->blame_micro + micro < most ? e->blame_micro + micro : most;
    pthread_mutex_unlock(&a->lock);
}

uint32_t addresses_excess(struct addresses *a, const struct addr *peer, struct limit_rate abuses,
                          uint64_t now_us)
{
    char network[ADDR_NETWORK_OCTETS];
    uint64_t most = (uint64_t)abuses.burst * ADDRESSES_ABUSE, blame = 0;
    addr_network(peer, network);
    pthread_mutex_lock(&a->lock);
    struct address *e = map_get(&a->map, slice_of(network, sizeof network));
    ASSERT(e && e->open);
    if (e->blame_micro) {
        fade(e, abuses, now_us);
        blame = e->blame_micro;
    }
    pthread_mutex_unlock(&a->lock);
    return blame < most ? 0 : (uint32_t)((blame - most) / ADDRESSES_ABUSE) + 1;
}
