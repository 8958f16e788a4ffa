/* SPDX-License-Identifier: Apache-2.0 */
#include "push/seen.h"
#include "base/panic.h"
#include "push/resource.h"

#define SEEN_FIRST 8
#define HOW        UINT32_C(3)

void push_seen_init(struct push_seen *s)
{
    *s = (struct push_seen){0};
}

void push_seen_fini(struct push_seen *s, struct pool *pool)
{
    pool_put(pool, s->ring, s->cap * sizeof *s->ring);
    push_seen_init(s);
}

/* An entry of which only how is missing. */
static uint32_t entry_of(const struct hash_key *key, struct slice authority, struct slice path)
{
    return (uint32_t)push_resource_hash(key, (struct slice){"", 0}, authority, path) & ~HOW;
}

/* 256 integers are 16 cache lines: walking them costs less than keeping an index. */
static uint32_t *find(const struct push_seen *s, uint32_t entry)
{
    for (unsigned i = 0; i < s->count; i++)
        if ((s->ring[i] & ~HOW) == entry)
            return &s->ring[i];
    return NULL;
}

enum push_seen_how push_seen_find(const struct push_seen *s, const struct hash_key *key,
                                  struct slice authority, struct slice path)
{
    const uint32_t *found = s->count ? find(s, entry_of(key, authority, path)) : NULL;
    return found ? (enum push_seen_how)(*found & HOW) : PUSH_SEEN_NOT;
}

static bool grow(struct push_seen *s, struct pool *pool)
{
    uint16_t cap = s->cap ? (uint16_t)(s->cap * 2) : SEEN_FIRST;
    uint32_t *ring = pool_get(pool, cap * sizeof *ring);
    if (!ring)
        return false;
    if (s->count)
        memcpy(ring, s->ring, s->count * sizeof *ring);
    pool_put(pool, s->ring, s->cap * sizeof *s->ring);
    s->ring = ring;
    s->cap = cap;
    return true;
}

/* return  where the next entry goes: a new place, or that of the oldest one; NULL: no memory */
static uint32_t *place(struct push_seen *s, struct pool *pool)
{
    if (s->count == s->cap && s->cap < PUSH_SEEN_MAX && !grow(s, pool))
        return NULL;
    if (s->count < s->cap)
        return &s->ring[s->count++];
    uint32_t *oldest = &s->ring[s->next];
    s->next = (uint16_t)((s->next + 1) % PUSH_SEEN_MAX);
    return oldest;
}

enum push_seen_how push_seen_add(struct push_seen *s, struct pool *pool, const struct hash_key *key,
                                 struct slice authority, struct slice path, enum push_seen_how how)
{
    ASSERT(how != PUSH_SEEN_NOT);
    uint32_t entry = entry_of(key, authority, path);
    uint32_t *at = find(s, entry);
    enum push_seen_how before = at ? (enum push_seen_how)(*at & HOW) : PUSH_SEEN_NOT;
    if (!at)
        at = place(s, pool);
    else if (how == PUSH_SEEN_HINTED)
        return before;
    if (at)
        *at = entry | (uint32_t)how;
    return before;
}
