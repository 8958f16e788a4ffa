/* SPDX-License-Identifier: Apache-2.0 */
/* Counts of durations in buckets that grow by powers of two from 64 us to about 134 s.  One thread
 * writes, others read: each count is atomic by itself. */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#define HISTOGRAM_BUCKETS 22 /* bucket i holds durations below 64 us << i; the last one the rest \
                              */

struct histogram {
    _Atomic uint64_t count[HISTOGRAM_BUCKETS + 1];
    _Atomic uint64_t sum_us;
};

static inline unsigned histogram_bucket(uint64_t us)
{
    if (us < 64)
        return 0;
    unsigned b = (unsigned)(63 - __builtin_clzl(us)) - 5;
    return b > HISTOGRAM_BUCKETS ? HISTOGRAM_BUCKETS : b;
}

/* The only writer of h calls this. */
static inline void histogram_add(struct histogram *h, uint64_t us)
{
    _Atomic uint64_t *c = &h->count[histogram_bucket(us)];
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    atomic_store_explicit(&h->sum_us, atomic_load_explicit(&h->sum_us, memory_order_relaxed) + us,
                          memory_order_relaxed);
}

#endif
