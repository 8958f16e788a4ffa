/* SPDX-License-Identifier: Apache-2.0 */
#include "http/h2_internal.h"

void h2_sched_init(struct h2_sched *q)
{
    q->levels = 0;
    q->turn = 0;
    for (size_t u = 0; u < ARRAY_LEN(q->level); u++) {
        list_init(&q->level[u].ordered);
        list_init(&q->level[u].shared);
    }
}

/* From the end: a new stream has the highest id, and nearly always goes there. */
static void insert_by_id(struct list *ordered, struct h2_stream *s)
{
    struct list *after = ordered->prev;
    while (after != ordered && LIST_ENTRY(after, struct h2_stream, sched)->id > s->id)
        after = after->prev;
    list_add_head(after, &s->sched);
}

void h2_sched_add(struct h2_sched *q, struct h2_stream *s)
{
    ASSERT(!s->scheduled);
    struct h2_sched_level *level = &q->level[s->priority.urgency];
    if (s->priority.incremental)
        list_add_tail(&level->shared, &s->sched);
    else
        insert_by_id(&level->ordered, s);
    q->levels |= (uint8_t)(1u << s->priority.urgency);
    s->scheduled = true;
}

void h2_sched_remove(struct h2_sched *q, struct h2_stream *s)
{
    ASSERT(s->scheduled);
    unsigned u = s->priority.urgency;
    list_remove(&s->sched);
    if (list_empty(&q->level[u].ordered) && list_empty(&q->level[u].shared))
        q->levels &= (uint8_t) ~(1u << u);
    s->scheduled = false;
}

struct h2_stream *h2_sched_pick(const struct h2_sched *q)
{
    if (!q->levels)
        return NULL;
    unsigned u = (unsigned)__builtin_ctz(q->levels);
    const struct h2_sched_level *level = &q->level[u];
    bool shared =
        list_empty(&level->ordered) || ((q->turn >> u & 1) && !list_empty(&level->shared));
    const struct list *from = shared ? &level->shared : &level->ordered;
    return LIST_ENTRY(from->next, struct h2_stream, sched);
}

void h2_sched_served(struct h2_sched *q, struct h2_stream *s)
{
    unsigned u = s->priority.urgency;
    if (s->priority.incremental) {
        struct list *shared = &q->level[u].shared;
        list_remove(&s->sched);
        list_add_tail(shared, &s->sched);
        q->turn &= (uint8_t) ~(1u << u);
    } else {
        q->turn |= (uint8_t)(1u << u);
    }
}
