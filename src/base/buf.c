/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/err.h"
#include "base/panic.h"

#include <stdarg.h>
#include <stdio.h>

#define BUF_FIRST_OCTETS 1024

void buf_init(struct buf *b, struct pool *pool)
{
    *b = (struct buf){.pool = pool};
}

void buf_fini(struct buf *b)
{
    pool_put(b->pool, b->block, b->cap);
    buf_init(b, b->pool);
}

char *buf_make_room(struct buf *b, size_t n)
{
    size_t len = buf_len(b);
    if (b->start && b->cap - len >= n && b->start >= len) {
        memmove(b->block, b->block + b->start, len);
        b->start = 0;
        b->end = len;
        return b->block + len;
    }
    size_t cap = b->cap ? 2 * b->cap : BUF_FIRST_OCTETS;
    if (n > SIZE_MAX / 4 - len)
        return NULL;
    cap = pool_usable(cap < len + n ? len + n : cap);
    char *block = pool_get(b->pool, cap);
    if (!block)
        return NULL;
    if (len)
        memcpy(block, b->block + b->start, len);
    pool_put(b->pool, b->block, b->cap);
    b->block = block;
    b->cap = cap;
    b->start = 0;
    b->end = len;
    return block + len;
}

int buf_add(struct buf *b, const void *p, size_t n)
{
    if (n == 0)
        return 0;
    char *to = buf_reserve(b, n);
    if (!to)
        return ERR_NOMEM;
    memcpy(to, p, n);
    b->end += n;
    return 0;
}

int buf_add_str(struct buf *b, const char *s)
{
    return buf_add(b, s, strlen(s));
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *to = n < 0 ? NULL : buf_reserve(b, (size_t)n + 1);
    if (!to)
        return ERR_NOMEM;
    va_start(ap, fmt);
    vsnprintf(to, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->end += (size_t)n;
    return 0;
}

void buf_consume(struct buf *b, size_t n)
{
    ASSERT(n <= buf_len(b));
    b->start += n;
    if (b->start == b->end)
        buf_fini(b);
}
