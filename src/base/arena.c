/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"
#include "base/err.h"
#include "base/panic.h"

#include <stdarg.h>
#include <stdio.h>

#define ARENA_FIRST_OCTETS 2048
#define ARENA_NEXT_OCTETS  8192

void arena_init(struct arena *a, struct pool *pool)
{
    *a = (struct arena){.pool = pool};
}

void arena_fini(struct arena *a)
{
    while (a->blocks) {
        struct arena_block *b = a->blocks;
        a->blocks = b->next;
        pool_put(a->pool, b, b->size);
    }
    a->at = a->end = NULL;
    a->octets = 0;
}

/* Never 0, so that a result of NULL always means that memory is out. */
static size_t rounded(size_t n)
{
    return n ? (n + 7) & ~(size_t)7 : 8;
}

static int add_block(struct arena *a, size_t size)
{
    size = pool_usable(size);
    struct arena_block *b = pool_get(a->pool, size);
    if (!b)
        return ERR_NOMEM;
    b->next = a->blocks;
    b->size = size;
    a->blocks = b;
    a->at = (char *)(b + 1);
    a->end = (char *)b + size;
    return 0;
}

int arena_reserve(struct arena *a, size_t n)
{
    if (n > SIZE_MAX / 2)
        return ERR_NOMEM;
    return (size_t)(a->end - a->at) < n ? add_block(a, n + sizeof(struct arena_block)) : 0;
}

void *arena_alloc_block(struct arena *a, size_t n)
{
    if (n > SIZE_MAX / 2)
        return NULL;
    n = rounded(n);
    if ((size_t)(a->end - a->at) < n) {
        size_t size = a->blocks ? ARENA_NEXT_OCTETS : ARENA_FIRST_OCTETS;
        if (size < n + sizeof(struct arena_block))
            size = n + sizeof(struct arena_block);
        if (add_block(a, size) < 0)
            return NULL;
    }
    void *p = a->at;
    a->at += n;
    a->octets += n;
    return p;
}

void arena_shrink(struct arena *a, void *p, size_t n, size_t used)
{
    size_t full = rounded(n), kept = used ? rounded(used) : 0;
    ASSERT(used <= n && (char *)p + full == a->at);
    a->at -= full - kept;
    a->octets -= full - kept;
}

void *arena_zalloc(struct arena *a, size_t n)
{
    void *p = arena_alloc(a, n);
    if (p)
        memset(p, 0, n);
    return p;
}

struct slice arena_dup(struct arena *a, struct slice s)
{
    char *p = arena_alloc(a, s.len + 1);
    if (!p)
        return (struct slice){NULL, 0};
    if (s.len)
        memcpy(p, s.p, s.len);
    p[s.len] = '\0';
    return (struct slice){p, s.len};
}

struct slice arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *p = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
    if (!p)
        return (struct slice){NULL, 0};
    va_start(ap, fmt);
    vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return (struct slice){p, (size_t)n};
}
