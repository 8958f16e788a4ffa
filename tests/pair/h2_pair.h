/* SPDX-License-Identifier: Apache-2.0 */
/* What the pair tests of HTTP/2 share: a generator of numbers that a seed repeats, octets that tell
 * where they belong, and the wire between two engines. */
#ifndef PAIR_H2_PAIR_H
#define PAIR_H2_PAIR_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/buf.h"
#include "http/h2.h"

/* xorshift64*, Vigna 2014 */
struct rng {
    uint64_t state;
};

static inline void rng_seed(struct rng *r, uint64_t seed)
{
    r->state = seed * 0x9e3779b97f4a7c15u + 1;
}

static inline uint64_t rng_next(struct rng *r)
{
    r->state ^= r->state >> 12;
    r->state ^= r->state << 25;
    r->state ^= r->state >> 27;
    return r->state * 0x2545f4914f6cdd1du;
}

/* 0 to n - 1 */
static inline uint32_t rng_below(struct rng *r, uint32_t n)
{
    return (uint32_t)((rng_next(r) >> 33) % n);
}

static inline bool rng_one_in(struct rng *r, uint32_t n)
{
    return rng_below(r, n) == 0;
}

/* The octet at a place of the body that key names. */
static inline uint8_t pattern_at(uint32_t key, size_t at)
{
    return (uint8_t)(key * 131u + at * 7u + (at >> 8) * 13u + (at >> 16));
}

static inline void pattern_fill(uint32_t key, size_t from, char *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (char)pattern_at(key, from + i);
}

static inline void pattern_check(uint32_t key, size_t from, const void *octets, size_t n)
{
    const uint8_t *p = octets;
    for (size_t i = 0; i < n; i++)
        if (p[i] != pattern_at(key, from + i))
            fail_msg("octet %zu of body %u is %02x, not %02x", from + i, key, p[i],
                     pattern_at(key, from + i));
}

/* A number out of "name=" in a query, 0 when it is not there. */
static inline uint32_t query_number(struct slice path, const char *name)
{
    char text[256], key[32];
    snprintf(text, sizeof text, "%.*s", SLICE_FMT(path));
    snprintf(key, sizeof key, "%s=", name);
    for (const char *at = text; (at = strstr(at, key)); at++)
        if (at > text && (at[-1] == '?' || at[-1] == '&'))
            return (uint32_t)strtoul(at + strlen(key), NULL, 10);
    return 0;
}

#endif
