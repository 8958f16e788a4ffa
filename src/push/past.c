/* SPDX-License-Identifier: Apache-2.0 */
#include "push/past.h"
#include "base/panic.h"

void push_past_add(struct push_past *p, struct pool *pool, const struct push_past_entry *e)
{
    ASSERT(e->stream_id);
    if (!p->at && !(p->at = pool_zget(pool, PUSH_PAST_MAX * sizeof *p->at)))
        return;
    p->at[p->next] = *e;
    p->next = (p->next + 1) % PUSH_PAST_MAX;
}

/* The i-th, from the latest on; NULL: there are no more. */
static struct push_past_entry *latest(const struct push_past *p, unsigned i)
{
    if (!p->at || i >= PUSH_PAST_MAX)
        return NULL;
    struct push_past_entry *e = &p->at[(p->next + PUSH_PAST_MAX - 1 - i) % PUSH_PAST_MAX];
    return e->stream_id ? e : NULL;
}

struct push_past_entry *push_past_stream(const struct push_past *p, uint32_t stream_id)
{
    struct push_past_entry *e;
    for (unsigned i = 0; (e = latest(p, i)) != NULL; i++)
        if (e->stream_id == stream_id)
            return e;
    return NULL;
}

struct push_past_entry *push_past_resource(const struct push_past *p, uint64_t resource)
{
    struct push_past_entry *e;
    for (unsigned i = 0; (e = latest(p, i)) != NULL; i++)
        if (e->resource == resource)
            return e;
    return NULL;
}

void push_past_fini(struct push_past *p, struct pool *pool)
{
    pool_put(pool, p->at, PUSH_PAST_MAX * sizeof *p->at);
    *p = (struct push_past){0};
}
