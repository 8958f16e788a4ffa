/* SPDX-License-Identifier: Apache-2.0 */
#include "http/h2_internal.h"

void h2_sched_init(struct h2_sched *q)
{
    *q = (struct h2_sched){0};
}

static struct h2_stream *of_node(struct list *node)
{
    return LIST_ENTRY(node, struct h2_stream, sched);
}

/* ---- rings ---- */

static struct h2_stream **ring_of(struct h2_sched *q, const struct h2_stream *s)
{
    struct h2_sched_level *level = &q->level[s->priority.urgency];
    return s->priority.incremental ? &level->shared : &level->ordered;
}

/* The client asked for it, or for its priority. */
static bool is_asked(const struct h2_stream *s)
{
    return !s->promised || s->told;
}

static bool goes_before(const struct h2_stream *a, const struct h2_stream *b)
{
    return is_asked(a) == is_asked(b) ? a->id < b->id : is_asked(a);
}

/* The stream that s goes before, itself kept in order from the end: a new stream has the highest
 * id, and nearly always goes there. */
static struct h2_stream *place_by_id(struct h2_stream *first, const struct h2_stream *s)
{
    struct h2_stream *before = first;
    while (goes_before(s, of_node(before->sched.prev))) {
        before = of_node(before->sched.prev);
        if (before == first)
            break;
    }
    return before;
}

static void ring_add(struct h2_sched *q, struct h2_stream *s)
{
    struct h2_stream **first = ring_of(q, s);
    q->levels |= (uint8_t)(1u << s->priority.urgency);
    if (!*first) {
        list_init(&s->sched);
        *first = s;
        return;
    }
    struct h2_stream *before = s->priority.incremental ? *first : place_by_id(*first, s);
    list_add_tail(&before->sched, &s->sched);
    if (!s->priority.incremental && goes_before(s, *first))
        *first = s;
}

static void ring_remove(struct h2_sched *q, struct h2_stream *s)
{
    struct h2_stream **first = ring_of(q, s);
    const struct h2_sched_level *level = &q->level[s->priority.urgency];
    if (*first == s)
        *first = list_empty(&s->sched) ? NULL : of_node(s->sched.next);
    list_remove(&s->sched);
    if (!level->ordered && !level->shared)
        q->levels &= (uint8_t) ~(1u << s->priority.urgency);
}

/* Whether one of a ring of incremental streams goes before the promised ones that are not. */
static bool ring_has_asked(struct h2_stream *first)
{
    struct h2_stream *s = first;
    while (!is_asked(s)) {
        s = of_node(s->sched.next);
        if (s == first)
            return false;
    }
    return true;
}

/* ---- weaving ---- */

static struct h2_stream *next_woven(const struct h2_stream *s)
{
    struct h2_stream *next = of_node(s->sched.next);
    return next == s->woven_into->woven ? NULL : next;
}

/* The stream whose place in a level s goes in. */
static struct h2_stream *place_of(struct h2_stream *s)
{
    return s->woven_into ? s->woven_into : s;
}

/* Whether place is in a ring, for itself or for what is woven into it. */
static bool is_taken(const struct h2_stream *place)
{
    bool taken = place->scheduled;
    for (const struct h2_stream *w = place->woven; w && !taken; w = next_woven(w))
        taken = w->scheduled;
    return taken;
}

static struct h2_stream *pick_woven(struct h2_stream *parent)
{
    for (struct h2_stream *w = parent->woven; w; w = next_woven(w))
        if (w->scheduled && (w->woven_at <= parent->content_sent || !parent->scheduled))
            return w;
    return parent;
}

static bool is_woven_before(const struct h2_stream *a, const struct h2_stream *b)
{
    return a->woven_at == b->woven_at ? a->id < b->id : a->woven_at < b->woven_at;
}

static void detach(struct h2_stream *s)
{
    struct h2_stream *parent = s->woven_into;
    if (parent->woven == s)
        parent->woven = next_woven(s);
    list_remove(&s->sched);
    s->woven_into = NULL;
}

size_t h2_sched_cut(const struct h2_stream *parent, size_t octets)
{
    for (const struct h2_stream *w = parent->woven; w; w = next_woven(w)) {
        if (w->woven_at <= parent->content_sent)
            continue;
        uint64_t left = w->woven_at - parent->content_sent;
        return left < octets ? (size_t)left : octets;
    }
    return octets;
}

void h2_sched_weave(struct h2_sched *q, struct h2_stream *s, struct h2_stream *parent,
                    uint32_t parent_octets)
{
    bool was = s->scheduled;
    if (was)
        h2_sched_remove(q, s);
    s->woven_at = parent_octets;
    list_init(&s->sched);
    struct h2_stream *before = parent->woven;
    while (before && !is_woven_before(s, before))
        before = next_woven(before);
    if (parent->woven)
        list_add_tail(before ? &before->sched : &parent->woven->sched, &s->sched);
    if (before == parent->woven)
        parent->woven = s;
    s->woven_into = parent;
    if (was)
        h2_sched_add(q, s);
}

void h2_sched_unweave(struct h2_sched *q, struct h2_stream *s)
{
    while (s->woven_into || s->woven) {
        struct h2_stream *w = s->woven_into ? s : s->woven;
        bool was = w->scheduled;
        if (was)
            h2_sched_remove(q, w);
        detach(w);
        if (was)
            h2_sched_add(q, w);
    }
}

/* ---- streams in and out ---- */

void h2_sched_add(struct h2_sched *q, struct h2_stream *s)
{
    struct h2_stream *place = place_of(s);
    ASSERT(!s->scheduled);
    bool taken = is_taken(place);
    s->scheduled = true;
    if (!taken)
        ring_add(q, place);
}

void h2_sched_remove(struct h2_sched *q, struct h2_stream *s)
{
    struct h2_stream *place = place_of(s);
    ASSERT(s->scheduled);
    s->scheduled = false;
    if (!is_taken(place))
        ring_remove(q, place);
}

void h2_sched_leave(struct h2_sched *q, struct h2_stream *s)
{
    if (s->scheduled)
        h2_sched_remove(q, s);
    if (s->woven_into || s->woven)
        h2_sched_unweave(q, s);
}

void h2_sched_set_priority(struct h2_sched *q, struct h2_stream *s, struct priority p)
{
    if (s->woven_into)
        h2_sched_unweave(q, s);
    bool taken = is_taken(s);
    if (taken)
        ring_remove(q, s);
    s->priority = p;
    if (taken)
        ring_add(q, s);
}

struct h2_stream *h2_sched_pick(const struct h2_sched *q)
{
    if (!q->levels)
        return NULL;
    unsigned u = (unsigned)__builtin_ctz(q->levels);
    const struct h2_sched_level *level = &q->level[u];
    struct h2_stream *s = level->ordered;
    if (!s ||
        (level->shared && ((q->turn >> u & 1) || (!is_asked(s) && ring_has_asked(level->shared)))))
        s = level->shared;
    return s->woven ? pick_woven(s) : s;
}

void h2_sched_served(struct h2_sched *q, struct h2_stream *s)
{
    const struct h2_stream *place = place_of(s);
    unsigned u = place->priority.urgency;
    if (place->priority.incremental) {
        q->level[u].shared = of_node(place->sched.next);
        q->turn &= (uint8_t) ~(1u << u);
    } else {
        q->turn |= (uint8_t)(1u << u);
    }
}
