/* SPDX-License-Identifier: Apache-2.0 */
#include "net/wheel.h"

#define NEAR_MASK (WHEEL_NEAR_SLOTS - 1)
#define FAR_MASK  (WHEEL_FAR_SLOTS - 1)

/* Ticks in one slot of a far level, as a shift. */
static unsigned far_shift(unsigned level)
{
    return WHEEL_NEAR_BITS + level * WHEEL_FAR_BITS;
}

void wheel_init(struct wheel *w, uint64_t now_us)
{
    *w = (struct wheel){.tick = now_us >> WHEEL_TICK_SHIFT};
    for (unsigned i = 0; i < WHEEL_NEAR_SLOTS; i++)
        list_init(&w->near[i]);
    for (unsigned level = 0; level < 2; level++)
        for (unsigned i = 0; i < WHEEL_FAR_SLOTS; i++)
            list_init(&w->far[level][i]);
}

/* Put t where its time is; not before the tick `first`. */
static void place(struct wheel *w, struct loop_timer *t, uint64_t first)
{
    uint64_t mask = (UINT64_C(1) << WHEEL_TICK_SHIFT) - 1;
    uint64_t tick = (t->due_us >> WHEEL_TICK_SHIFT) + ((t->due_us & mask) != 0);
    if (tick < first)
        tick = first;
    if (tick - w->tick < WHEEL_NEAR_SLOTS) {
        unsigned i = (unsigned)(tick & NEAR_MASK);
        w->near_used[i / 64] |= UINT64_C(1) << (i % 64);
        list_add_tail(&w->near[i], &t->node);
        return;
    }
    unsigned level = tick - w->tick < UINT64_C(1) << far_shift(1) ? 0 : 1;
    /* Beyond the last level: as far as it goes, and sorted anew there. */
    uint64_t last = w->tick + ((UINT64_C(1) << far_shift(2)) - 1);
    unsigned i = (unsigned)((tick < last ? tick : last) >> far_shift(level)) & FAR_MASK;
    w->far_used[level] |= UINT64_C(1) << i;
    list_add_tail(&w->far[level][i], &t->node);
}

void wheel_set(struct wheel *w, struct loop_timer *t, uint64_t due_us)
{
    if (due_us == 0)
        due_us = 1;
    bool later = t->due_us != 0 && due_us >= t->due_us && !list_empty(&t->node);
    t->due_us = due_us;
    if (later)
        return;
    list_remove(&t->node);
    place(w, t, w->tick + 1);
}

/* The first used slot at or after `from` (at most `slots` further on), as an absolute number. */
static uint64_t first_used(uint64_t *used, struct list *slots, unsigned count, uint64_t from)
{
    for (unsigned n = 0; n < count;) {
        unsigned i = (unsigned)((from + n) & (count - 1));
        uint64_t word = used[i / 64] >> (i % 64);
        if (word == 0) {
            n += 64 - i % 64;
            continue;
        }
        unsigned skip = (unsigned)__builtin_ctzll(word);
        n += skip;
        i += skip;
        if (n >= count)
            break;
        if (!list_empty(&slots[i]))
            return from + n;
        used[i / 64] &= ~(UINT64_C(1) << (i % 64));
    }
    return UINT64_MAX;
}

static uint64_t next_tick(struct wheel *w)
{
    uint64_t next = first_used(w->near_used, w->near, WHEEL_NEAR_SLOTS, w->tick + 1);
    for (unsigned level = 0; level < 2; level++) {
        unsigned shift = far_shift(level);
        uint64_t slot =
            first_used(&w->far_used[level], w->far[level], WHEEL_FAR_SLOTS, (w->tick >> shift) + 1);
        if (slot != UINT64_MAX && slot << shift < next)
            next = slot << shift;
    }
    return next;
}

uint64_t wheel_next_us(struct wheel *w)
{
    uint64_t next = next_tick(w);
    return next == UINT64_MAX ? next : next << WHEEL_TICK_SHIFT;
}

static void take_all(struct list *to, struct list *from)
{
    list_init(to);
    if (list_empty(from))
        return;
    *to = *from;
    to->next->prev = to;
    to->prev->next = to;
    list_init(from);
}

/* A far slot has come: its timers go to nearer ones. */
static void cascade(struct wheel *w, unsigned level)
{
    struct list due;
    unsigned i = (unsigned)(w->tick >> far_shift(level)) & FAR_MASK;
    take_all(&due, &w->far[level][i]);
    w->far_used[level] &= ~(UINT64_C(1) << i);
    while (!list_empty(&due)) {
        struct loop_timer *t = LIST_ENTRY(due.next, struct loop_timer, node);
        list_remove(&t->node);
        place(w, t, w->tick);
    }
}

void wheel_run(struct wheel *w, uint64_t now_us)
{
    uint64_t now = now_us >> WHEEL_TICK_SHIFT;
    while (w->tick < now) {
        struct list due;
        uint64_t next = next_tick(w);
        if (next > now) {
            w->tick = now;
            return;
        }
        w->tick = next;
        if ((next & ((UINT64_C(1) << far_shift(1)) - 1)) == 0)
            cascade(w, 1);
        if ((next & NEAR_MASK) == 0)
            cascade(w, 0);
        unsigned i = (unsigned)(next & NEAR_MASK);
        take_all(&due, &w->near[i]);
        w->near_used[i / 64] &= ~(UINT64_C(1) << (i % 64));
        while (!list_empty(&due)) {
            struct loop_timer *t = LIST_ENTRY(due.next, struct loop_timer, node);
            list_remove(&t->node);
            if (t->due_us > now_us) {
                place(w, t, w->tick + 1);
            } else {
                t->due_us = 0;
                t->on_due(t);
            }
        }
    }
}
