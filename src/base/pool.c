/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pool.h"
#include "base/panic.h"

#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define POOL_RECYCLES 0 /* each block from libc, so that the sanitizer sees its true life */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOL_RECYCLES 0
#endif
#endif
#ifndef POOL_RECYCLES
#define POOL_RECYCLES 1
#endif

static unsigned class_of(size_t size)
{
    if (size <= (1u << POOL_MIN_SHIFT))
        return 0;
    return (unsigned)(64 - __builtin_clzl(size - 1)) - POOL_MIN_SHIFT;
}

void pool_init(struct pool *p)
{
    memset(p, 0, sizeof *p);
}

void pool_fini(struct pool *p)
{
    for (size_t i = 0; i < ARRAY_LEN(p->free); i++) {
        while (p->free[i]) {
            struct pool_block *b = p->free[i];
            p->free[i] = b->next;
            free(b);
        }
        p->kept[i] = 0;
    }
}

size_t pool_usable(size_t size)
{
    if (!POOL_RECYCLES || size > (1u << POOL_MAX_SHIFT))
        return size;
    return (size_t)1 << (class_of(size) + POOL_MIN_SHIFT);
}

void *pool_get(struct pool *p, size_t size)
{
    void *ptr;
    size_t full = pool_usable(size);
    if (p->fail_at && ++p->gets == p->fail_at)
        return NULL;
    if (POOL_RECYCLES && size <= (1u << POOL_MAX_SHIFT)) {
        unsigned c = class_of(size);
        if (p->free[c]) {
            struct pool_block *b = p->free[c];
            p->free[c] = b->next;
            p->kept[c] -= full;
            p->live++;
            p->live_octets += full;
            return b;
        }
    }
    ptr = malloc(full);
    if (ptr) {
        p->libc_allocs++;
        p->live++;
        p->live_octets += full;
    }
    return ptr;
}

void *pool_zget(struct pool *p, size_t size)
{
    void *ptr = pool_get(p, size);
    if (ptr)
        memset(ptr, 0, size);
    return ptr;
}

void pool_put(struct pool *p, void *ptr, size_t size)
{
    if (!ptr)
        return;
    size_t full = pool_usable(size);
    p->live--;
    p->live_octets -= full;
    if (POOL_RECYCLES && size <= (1u << POOL_MAX_SHIFT)) {
        unsigned c = class_of(size);
        if (p->kept[c] + full <= POOL_KEEP_OCTETS) {
            struct pool_block *b = ptr;
            b->next = p->free[c];
            p->free[c] = b;
            p->kept[c] += full;
            return;
        }
    }
    free(ptr);
}
