/* SPDX-License-Identifier: Apache-2.0 */
/* The hash of host names, taken from the last octet to the first: one walk over a name gives the
 * hashes of all its suffixes, which is what wildcards are looked up by.
 *
 * FNV-1a with a seed.  Whoever asks cannot add names, so collisions are only as many as the
 * operator's own names have. */
#ifndef ROUTE_HOST_HASH_H
#define ROUTE_HOST_HASH_H

#include "base/slice.h"

#define HOST_HASH_BASIS 2166136261u

static inline uint32_t host_hash_step(uint32_t state, char c)
{
    return (state ^ (unsigned char)c) * 16777619u;
}

/* The low bits choose the place in the table; FNV alone mixes them poorly. */
static inline uint32_t host_hash_end(uint32_t state)
{
    state ^= state >> 16;
    state *= 0x85ebca6bu;
    state ^= state >> 13;
    return state;
}

static inline uint32_t host_hash(uint32_t seed, struct slice name)
{
    uint32_t state = HOST_HASH_BASIS ^ seed;
    for (size_t i = name.len; i-- > 0;)
        state = host_hash_step(state, name.p[i]);
    return host_hash_end(state);
}

#endif
