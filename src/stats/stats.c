/* SPDX-License-Identifier: Apache-2.0 */
#include "stats/stats.h"
#include "base/panic.h"

#include <string.h>

#define HEADER_OCTETS 64

/* Where each part begins. */
static size_t sites_at(uint32_t loops)
{
    return HEADER_OCTETS + (size_t)loops * sizeof(struct stats_loop);
}

static size_t names_at(uint32_t loops, uint32_t site_slots)
{
    return sites_at(loops) + (size_t)loops * site_slots * sizeof(struct stats_site);
}

static size_t marks_at(uint32_t loops, uint32_t site_slots)
{
    return names_at(loops, site_slots) + (size_t)site_slots * STATS_NAME_OCTETS;
}

size_t stats_octets(uint32_t loops, uint32_t site_slots)
{
    return marks_at(loops, site_slots) + (size_t)loops * site_slots;
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
    if (len < HEADER_OCTETS || h->magic != STATS_MAGIC || h->loops == 0 ||
        h->loops > STATS_MAX_LOOPS || h->loop_octets != sizeof(struct stats_loop) ||
        h->site_octets != sizeof(struct stats_site))
        return NULL;
    return len >= stats_octets(h->loops, h->site_slots) ? h : NULL;
}

struct stats_loop *stats_loop(struct stats_header *h, uint32_t loop)
{
    ASSERT(loop < h->loops);
    return (struct stats_loop *)(void *)((char *)h + HEADER_OCTETS) + loop;
}

static struct stats_site *site_at(struct stats_header *h, uint32_t loop, uint32_t slot)
{
    ASSERT(loop < h->loops && slot < h->site_slots);
    char *sites = (char *)h + sites_at(h->loops);
    return (struct stats_site *)(void *)sites + (size_t)loop * h->site_slots + slot;
}

static _Atomic uint8_t *mark_at(struct stats_header *h, uint32_t loop, uint32_t slot)
{
    ASSERT(loop < h->loops && slot < h->site_slots);
    char *marks = (char *)h + marks_at(h->loops, h->site_slots);
    return (_Atomic uint8_t *)(void *)marks + (size_t)loop * h->site_slots + slot;
}

struct stats_site *stats_site(struct stats_header *h, uint32_t loop, uint32_t slot)
{
    atomic_store_explicit(mark_at(h, loop, slot), 1, memory_order_release);
    return site_at(h, loop, slot);
}

struct stats_site *stats_site_used(struct stats_header *h, uint32_t loop, uint32_t slot)
{
    return atomic_load_explicit(mark_at(h, loop, slot), memory_order_acquire)
               ? site_at(h, loop, slot)
               : NULL;
}

void stats_site_clear(struct stats_header *h, uint32_t loop, uint32_t slot)
{
    if (stats_site_used(h, loop, slot))
        memset(site_at(h, loop, slot), 0, sizeof(struct stats_site));
}

void stats_forget(struct stats_header *h, uint32_t loop)
{
    struct stats_loop *l = stats_loop(h, loop);
    atomic_store(&l->connections_open, 0);
    atomic_store(&l->worker_connections_open, 0);
    for (uint32_t i = 0; i < h->site_slots; i++) {
        struct stats_site *site = stats_site_used(h, loop, i);
        if (!site)
            continue;
        atomic_store(&site->requests_open, 0);
        atomic_store(&site->requests_waiting, 0);
    }
}

char *stats_name(struct stats_header *h, uint32_t slot)
{
    ASSERT(slot < h->site_slots);
    return (char *)h + names_at(h->loops, h->site_slots) + (size_t)slot * STATS_NAME_OCTETS;
}
