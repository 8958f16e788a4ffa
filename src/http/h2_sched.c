/* SPDX-License-Identifier: Apache-2.0 */
#include "http/h2_internal.h"

void h2_sched_init(struct h2_sched *q)
{
    *q = (struct h2_sched){0};
}

static struct h2_stream **ring_of(struct h2_sched *q, const struct h2_stream *s)
{
    struct h2_sched_level *level = &q->level[s->priority.urgency];
    return s->priority.incremental ? &level->shared : &level->ordered;
}

static struct h2_stream *of_node(struct list *node)
{
    return LIST_ENTRY(node, struct h2_stream, sched);
}

/* The stream that s goes before, itself kept in order from the end: a new stream has the highest
 * id, and nearly always goes there. */
static struct h2_stream *place_by_id(struct h2_stream *first, const struct h2_stream *s)
{
    struct h2_stream *before = first;
    while (of_node(before->sched.prev)->id > s->id) {
        before = of_node(before->sched.prev);
        if (before == first)
            break;
    }
    return before;
}

void h2_sched_add(struct h2_sched *q, struct h2_stream *s)
{
    ASSERT(!s->scheduled);
    struct h2_stream **first = ring_of(q, s);
    s->scheduled = true;
    q->levels |= (uint8_t)(1u << s->priority.urgency);
    if (!*first) {
        list_init(&s->sched);
        *first = s;
        return;
    }
    struct h2_stream *before = s->priority.incremental ? *first : place_by_id(*first, s);
    list_add_tail(&before->sched, &s->sched);
    if (!s->priority.incremental && s->id < (*first)->id)
        *first = s;
}

void h2_sched_remove(struct h2_sched *q, struct h2_stream *s)
{
    ASSERT(s->scheduled);
    struct h2_stream **first = ring_of(q, s);
    const struct h2_sched_level *level = &q->level[s->priority.urgency];
    if (*first == s)
        *first = list_empty(&s->sched) ? NULL : of_node(s->sched.next);
    list_remove(&s->sched);
    if (!level->ordered && !level->shared)
        q->levels &= (uint8_t) ~(1u << s->priority.urgency);
    s->scheduled = false;
}

struct h2_stream *h2_sched_pick(const struct h2_sched *q)
{
    if (!q->levels)
        return NULL;
    unsigned u = (unsigned)__builtin_ctz(q->levels);
    const struct h2_sched_level *level = &q->level[u];
    if (!level->ordered || ((q->turn >> u & 1) && level->shared))
        return level->shared;
    return level->ordered;
}

void h2_sched_served(struct h2_sched *q, struct h2_stream *s)
{
    unsigned u = s->priority.urgency;
    if (s->priority.incremental) {
        q->level[u].shared = of_node(s->sched.next);
        q->turn &= (uint8_t) ~(1u << u);
    } else {
        q->turn |= (uint8_t)(1u << u);
    }
}
