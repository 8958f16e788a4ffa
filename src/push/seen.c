/* SPDX-License-Identifier: Apache-2.0 */
#include "push/seen.h"

#define SEEN_FIRST 8

void push_seen_init(struct push_seen *s)
{
    *s = (struct push_seen){0};
}

void push_seen_fini(struct push_seen *s, struct pool *pool)
{
    pool_put(pool, s->ring, s->cap * sizeof *s->ring);
    push_seen_init(s);
}

/* The authority without regard to case, in pieces so that no length needs memory. */
static uint64_t authority_hash(const struct hash_key *key, struct slice authority)
{
    char piece[128];
    uint64_t h = 0;
    while (authority.len) {
        struct hash_key k = {{key->k[0] ^ h, key->k[1]}};
        size_t n = authority.len < sizeof piece ? authority.len : sizeof piece;
        for (size_t i = 0; i < n; i++)
            piece[i] = (char)ascii_lower((unsigned char)authority.p[i]);
        h = hash_octets(&k, slice_of(piece, n));
        authority = slice_of(authority.p + n, authority.len - n);
    }
    return h;
}

/* The first hash goes into the second one's key: no octets have to be joined. */
static uint32_t entry_hash(const struct hash_key *key, struct slice authority, struct slice path)
{
    uint64_t a = authority_hash(key, authority);
    struct hash_key k = {{key->k[0], key->k[1] ^ a}};
    return (uint32_t)hash_octets(&k, path);
}

/* 256 integers are 16 cache lines: walking them costs less than keeping an index. */
static bool has(const struct push_seen *s, uint32_t hash)
{
    unsigned found = 0;
    for (unsigned i = 0; i < s->count; i++)
        found |= s->ring[i] == hash;
    return found;
}

bool push_seen_has(const struct push_seen *s, const struct hash_key *key, struct slice authority,
                   struct slice path)
{
    return s->count && has(s, entry_hash(key, authority, path));
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

void push_seen_add(struct push_seen *s, struct pool *pool, const struct hash_key *key,
                   struct slice authority, struct slice path)
{
    uint32_t hash = entry_hash(key, authority, path);
    if (has(s, hash))
        return;
    if (s->count == s->cap && s->cap < PUSH_SEEN_MAX && !grow(s, pool))
        return;
    if (s->count < s->cap) {
        s->ring[s->count++] = hash;
        return;
    }
    s->ring[s->next] = hash;
    s->next = (uint16_t)((s->next + 1) % PUSH_SEEN_MAX);
}
