/* SPDX-License-Identifier: Apache-2.0 */
/* A growable run of octets, consumed from the front.  Disadvantage: it is one block, so growing
 * copies; large bodies belong into a chain. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/pool.h"
#include "base/slice.h"

struct buf {
    struct pool *pool;
    char *block;
    size_t cap, start, end;
};

void buf_init(struct buf *b, struct pool *pool);
/* Also makes it empty and usable again. */
void buf_fini(struct buf *b);

static inline size_t buf_len(const struct buf *b)
{
    return b->end - b->start;
}

static inline char *buf_at(const struct buf *b)
{
    return b->block + b->start;
}

static inline struct slice buf_slice(const struct buf *b)
{
    return (struct slice){b->block ? b->block + b->start : "", b->end - b->start};
}

/* buf_reserve where there is no room behind the content. */
char *buf_make_room(struct buf *b, size_t n);
/* Room for n more octets.
 * return  where to write them (then buf_added); NULL when memory is out, the content is kept */
static inline char *buf_reserve(struct buf *b, size_t n)
{
    return b->block && b->cap - b->end >= n ? b->block + b->end : buf_make_room(b, n);
}
static inline void buf_added(struct buf *b, size_t n)
{
    b->end += n;
}
/* return  0 or ERR_NOMEM; on error nothing is added */
int buf_add(struct buf *b, const void *p, size_t n);
int buf_add_str(struct buf *b, const char *s);
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Takes n octets from the front; the block goes back to the pool when nothing is left. */
void buf_consume(struct buf *b, size_t n);

#endif
