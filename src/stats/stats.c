/* SPDX-License-Identifier: Apache-2.0 */
#include "stats/stats.h"
#include "base/panic.h"

size_t stats_octets(uint32_t loops, uint32_t site_slots)
{
    return 64 + (size_t)loops * sizeof(struct stats_loop) +
           (size_t)loops * site_slots * sizeof(struct stats_site) +
           (size_t)site_slots * STATS_NAME_OCTETS;
}

void stats_init(void *memory, uint32_t loops, uint32_t site_slots)
{
    *(struct stats_header *)memory = (struct stats_header){
        .magic = STATS_MAGIC,
        .loops = loops,
        .site_slots = site_slots,
        .loop_octets = sizeof(struct stats_loop),
        .site_octets = sizeof(struct stats_site),
    };
}

struct stats_header *stats_open(void *memory, size_t len)
{
    struct stats_header *h = memory;
    if (len < 64 || h->magic != STATS_MAGIC || h->loops == 0 || h->loops > STATS_MAX_LOOPS ||
        h->loop_octets != sizeof(struct stats_loop) || h->site_octets != sizeof(struct stats_site))
        return NULL;
    return len >= stats_octets(h->loops, h->site_slots) ? h : NULL;
}

struct stats_loop *stats_loop(struct stats_header *h, uint32_t loop)
{
    ASSERT(loop < h->loops);
    return (struct stats_loop *)(void *)((char *)h + 64) + loop;
}

struct stats_site *stats_site(struct stats_header *h, uint32_t loop, uint32_t slot)
{
    ASSERT(loop < h->loops && slot < h->site_slots);
    char *sites = (char *)h + 64 + (size_t)h->loops * sizeof(struct stats_loop);
    return (struct stats_site *)(void *)sites + (size_t)loop * h->site_slots + slot;
}

void stats_forget(struct stats_header *h, uint32_t loop)
{
    struct stats_loop *l = stats_loop(h, loop);
    atomic_store(&l->connections_open, 0);
    atomic_store(&l->worker_connections_open, 0);
    for (uint32_t i = 0; i < h->site_slots; i++) {
        if (!stats_name(h, i)[0]) /* never used: its pages stay untouched */
            continue;
        atomic_store(&stats_site(h, loop, i)->requests_open, 0);
        atomic_store(&stats_site(h, loop, i)->requests_waiting, 0);
    }
}

char *stats_name(struct stats_header *h, uint32_t slot)
{
    ASSERT(slot < h->site_slots);
    return (char *)h + stats_octets(h->loops, 0) +
           (size_t)h->loops * h->site_slots * sizeof(struct stats_site) +
           (size_t)slot * STATS_NAME_OCTETS;
}
