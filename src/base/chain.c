/* SPDX-License-Identifier: Apache-2.0 */
#include "base/chain.h"
#include "base/err.h"
#include "base/panic.h"

struct chain_piece {
    struct chain_piece *next;
    struct chunk *chunk;
    const char *at;
    size_t len;
};

#define COPY_CHUNK_OCTETS (8192 - (uint32_t)sizeof(struct chunk)) /* fills a block of the pool */

struct chunk *chunk_new(struct pool *pool, uint32_t cap)
{
    struct chunk *c = pool_get(pool, sizeof *c + cap);
    if (!c)
        return NULL;
    c->pool = pool;
    c->refs = 1;
    c->cap = cap;
    return c;
}

void chunk_unref(struct chunk *c)
{
    if (!c)
        return;
    ASSERT(c->refs > 0);
    if (--c->refs == 0)
        pool_put(c->pool, c, sizeof *c + c->cap);
}

void chain_init(struct chain *c, struct pool *pool)
{
    *c = (struct chain){.pool = pool};
}

static void pop(struct chain *c)
{
    struct chain_piece *p = c->head;
    c->head = p->next;
    if (!c->head)
        c->tail = NULL;
    chunk_unref(p->chunk);
    pool_put(c->pool, p, sizeof *p);
}

void chain_fini(struct chain *c)
{
    while (c->head)
        pop(c);
    c->octets = 0;
}

static int add_ref(struct chain *c, struct slice s, struct chunk *chunk)
{
    struct chain_piece *p = c->tail;
    if (p && p->chunk == chunk && p->at + p->len == s.p) {
        p->len += s.len;
        c->octets += s.len;
        return 0;
    }
    p = pool_get(c->pool, sizeof *p);
    if (!p)
        return ERR_NOMEM;
    *p = (struct chain_piece){.chunk = chunk_ref(chunk), .at = s.p, .len = s.len};
    if (c->tail)
        c->tail->next = p;
    else
        c->head = p;
    c->tail = p;
    c->octets += s.len;
    return 0;
}

/* Octets free behind the last piece, when nobody else can be looking at that chunk. */
static size_t tail_room(const struct chain *c)
{
    const struct chain_piece *p = c->tail;
    if (!p || p->chunk->refs != 1 || p->chunk->cap != COPY_CHUNK_OCTETS)
        return 0;
    return (size_t)(p->chunk->octets + p->chunk->cap - (p->at + p->len));
}

int chain_add(struct chain *c, struct slice s, struct chunk *chunk)
{
    if (s.len == 0)
        return 0;
    if (chunk && s.len >= CHAIN_COPY_BELOW)
        return add_ref(c, s, chunk);
    if (s.len <= tail_room(c)) {
        struct chain_piece *p = c->tail;
        memcpy(p->chunk->octets + (p->at - p->chunk->octets) + p->len, s.p, s.len);
        p->len += s.len;
        c->octets += s.len;
        return 0;
    }
    uint32_t cap = s.len > COPY_CHUNK_OCTETS ? (uint32_t)s.len : COPY_CHUNK_OCTETS;
    ASSERT(s.len <= UINT32_MAX);
    /* A lone small piece takes a small block: most bodies are one. */
    if (!c->head && s.len <= COPY_CHUNK_OCTETS / 2)
        cap = (uint32_t)pool_usable(s.len + sizeof *chunk) - (uint32_t)sizeof *chunk;
    struct chunk *copy = chunk_new(c->pool, cap);
    if (!copy)
        return ERR_NOMEM;
    memcpy(copy->octets, s.p, s.len);
    int err = add_ref(c, slice_of(copy->octets, s.len), copy);
    chunk_unref(copy);
    return err;
}

size_t chain_take(struct chain *c, void *out, size_t n)
{
    char *to = out;
    if (n > c->octets)
        n = c->octets;
    c->octets -= n;
    for (size_t left = n; left;) {
        struct chain_piece *p = c->head;
        size_t k = p->len < left ? p->len : left;
        memcpy(to, p->at, k);
        to += k;
        left -= k;
        p->at += k;
        p->len -= k;
        if (p->len == 0)
            pop(c);
    }
    return n;
}

struct slice chain_peek(const struct chain *c)
{
    return c->head ? slice_of(c->head->at, c->head->len) : (struct slice){"", 0};
}

void chain_drop(struct chain *c, size_t n)
{
    ASSERT(n <= c->octets);
    c->octets -= n;
    while (n) {
        struct chain_piece *p = c->head;
        size_t k = p->len < n ? p->len : n;
        p->at += k;
        p->len -= k;
        n -= k;
        if (p->len == 0)
            pop(c);
    }
}
