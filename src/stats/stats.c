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

struct stats stats_open(void *memory, size_t len)
{
    const struct stats none = {.memory = NULL};
    if (len < HEADER_OCTETS)
        return none;
    struct stats_header h;
    memcpy(&h, memory, sizeof h);
    if (h.magic != STATS_MAGIC || h.loops == 0 || h.site_slots == 0 || h.loops > STATS_MAX_LOOPS ||
        h.loop_octets != sizeof(struct stats_loop) || h.site_octets != sizeof(struct stats_site) ||
        len < stats_octets(h.loops, h.site_slots))
        return none;
    return (struct stats){.memory = memory, .loops = h.loops, .site_slots = h.site_slots};
}

struct stats_loop *stats_loop(struct stats s, uint32_t loop)
{
    ASSERT(loop < s.loops);
    return (struct stats_loop *)(void *)(s.memory + HEADER_OCTETS) + loop;
}

static struct stats_site *site_at(struct stats s, uint32_t loop, uint32_t slot)
{
    ASSERT(loop < s.loops && slot < s.site_slots);
    char *sites = s.memory + sites_at(s.loops);
    return (struct stats_site *)(void *)sites + (size_t)loop * s.site_slots + slot;
}

static _Atomic uint8_t *mark_at(struct stats s, uint32_t loop, uint32_t slot)
{
    ASSERT(loop < s.loops && slot < s.site_slots);
    char *marks = s.memory + marks_at(s.loops, s.site_slots);
    return (_Atomic uint8_t *)(void *)marks + (size_t)loop * s.site_slots + slot;
}

struct stats_site *stats_site(struct stats s, uint32_t loop, uint32_t slot)
{
    atomic_store_explicit(mark_at(s, loop, slot), 1, memory_order_release);
    return site_at(s, loop, slot);
}

struct stats_site *stats_site_used(struct stats s, uint32_t loop, uint32_t slot)
{
    return atomic_load_explicit(mark_at(s, loop, slot), memory_order_acquire)
               ? site_at(s, loop, slot)
               : NULL;
}

void stats_site_clear(struct stats s, uint32_t loop, uint32_t slot)
{
    if (stats_site_used(s, loop, slot))
        memset(site_at(s, loop, slot), 0, sizeof(struct stats_site));
}

static void forget(_Atomic uint64_t *c, const char *type)
{
    if (strcmp(type, "gauge") == 0)
        atomic_store(c, 0);
}

void stats_forget(struct stats s, uint32_t loop)
{
#define X(symbol, name, type, help) forget(&stats_loop(s, loop)->symbol, type);
    STATS_LOOP_TABLE(X)
#undef X
    for (uint32_t i = 0; i < s.site_slots; i++) {
        struct stats_site *site = stats_site_used(s, loop, i);
        if (!site)
            continue;
#define X(symbol, name, type, help) forget(&site->symbol, type);
        STATS_SITE_TABLE(X)
#undef X
    }
}

char *stats_name(struct stats s, uint32_t slot)
{
    ASSERT(slot < s.site_slots);
    return s.memory + names_at(s.loops, s.site_slots) + (size_t)slot * STATS_NAME_OCTETS;
}
