/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/waiting.h"
#include "edge/client.h"
#include "edge/site.h"
#include "edge/worker.h"
#include "base/panic.h"

/* Whether x waits for a place at an instance, or for anything else. */
static bool awaits_place(const struct exchange *x)
{
    return x->wait_why == FAULT_OVERLOAD && x->site->route.concurrency;
}

/* The instances that have not failed it. */
static struct backend *may_use(const struct exchange *x, uint32_t i)
{
    return x->tried >> i & 1 ? NULL : worker_backend(x, i);
}

/* p  one instance's; NULL: any that there may be */
static bool can_use(const struct exchange *x, const struct places *p)
{
    for (uint32_t i = 0; awaits_place(x) && i < x->site->count; i++) {
        const struct backend *b = may_use(x, i);
        if (b && (!p || b->places == p))
            return true;
    }
    return false;
}

/* After it has marked itself everywhere, a place may be free after all.  return  whether one is */
static bool await_places(struct exchange *x)
{
    bool is_free = false;
    for (uint32_t i = 0; i < x->site->count; i++) {
        struct backend *b = may_use(x, i);
        if (!b)
            continue;
        places_await(b->places, x->shard->index);
        is_free |= !places_are_full(b->places);
    }
    return is_free;
}

/* Who asks for much at once has one request after the other in turn, and between two of them
 * everybody else has one: start-time fair queueing, a request being the unit.  Each app counts for
 * itself, and of a client only what waits: what goes on elsewhere, was served or given up is
 * nobody's turn here. */
static uint64_t next_turn(const struct exchange *x, const struct places *queue)
{
    const struct list *all = &x->client->exchanges;
    uint64_t turn = atomic_load_explicit(&queue->turn, memory_order_relaxed);
    for (const struct list *node = all->prev; node != all; node = node->prev) {
        const struct exchange *last = LIST_ENTRY(node, struct exchange, client_node);
        if (last == x || last->queue != queue)
            continue;
        turn = last->turn > turn ? last->turn : turn;
        break;
    }
    return turn + 1;
}

static void step_in(struct exchange *x)
{
    struct shard *s = x->shard;
    struct list *before = &s->waiting;
    if (!x->turn)
        x->turn = next_turn(x, x->queue);
    if (!list_empty(before) &&
        LIST_ENTRY(before->prev, struct exchange, worker_node)->turn > x->turn)
        do
            before = before->next;
        while (LIST_ENTRY(before, struct exchange, worker_node)->turn <= x->turn);
    list_add_tail(before, &x->worker_node);
    x->waiting = true;
}

/* The room is full: who has the last turn of all, and a later one than x, makes room.  So nobody
 * fills it alone.  return  whether it did */
static bool push_out_last(const struct exchange *x, const struct places *queue)
{
    struct list *all = &x->shard->waiting;
    for (struct list *node = all->prev; node != all; node = node->prev) {
        struct exchange *last = LIST_ENTRY(node, struct exchange, worker_node);
        if (last->queue != queue)
            continue;
        if (last->turn <= (x->turn ? x->turn : next_turn(x, queue)))
            return false;
        exchange_fail(last, FAULT_OVERLOAD);
        return true;
    }
    return false;
}

static bool enter_queue(struct exchange *x)
{
    struct places *queue = x->site->queue;
    if (!places_take(queue) && !(push_out_last(x, queue) && places_take(queue)))
        return false;
    x->queue = queue;
    return true;
}

bool waiting_enter(struct exchange *x, enum fault why, bool for_room)
{
    struct shard *s = x->shard;
    uint64_t now = shard_now_us(s);
    bool overload = why == FAULT_OVERLOAD;
    if (!x->wait_until_us)
        x->wait_until_us =
            now + (overload ? x->site->route.request_timeout_ms * 1000ull : WAITING_START_US);
    if (now >= x->wait_until_us || (!x->queue && !enter_queue(x)))
        return false;
    x->wait_why = (uint8_t)why;
    x->awaits_room = for_room;
    step_in(x);
    stats_add(&x->site->stats->requests_waiting, 1);
    loop_timer_set(s->loop, &x->timer, x->wait_until_us);
    if (!s->waiting_timer.due_us)
        loop_timer_set(s->loop, &s->waiting_timer, now + WAITING_RETRY_US);
    if (x->awaits_room)
        s->waiting_any++;
    else if (awaits_place(x) && await_places(x))
        loop_flush(s->loop, &s->waiting_room);
    return true;
}

/* Off the list; its place in the queue stays its own. */
static void step_out(struct exchange *x)
{
    x->waiting = false;
    list_remove(&x->worker_node);
    stats_sub(&x->site->stats->requests_waiting, 1);
    if (x->awaits_room)
        x->shard->waiting_any--;
}

void waiting_leave(struct exchange *x)
{
    if (x->waiting)
        step_out(x);
    if (!x->backend)
        worker_give_place(x); /* it was handed to x */
    else if (x->queue && x->turn > atomic_load_explicit(&x->queue->turn, memory_order_relaxed))
        atomic_store_explicit(&x->queue->turn, x->turn, memory_order_relaxed);
    if (x->queue)
        places_drop(x->queue);
    x->queue = NULL;
}

/* for_room: the others stay, and an instance that has failed x is not asked again. */
static void retry(struct shard *s, bool for_room)
{
    struct list now;
    if (list_empty(&s->waiting))
        return;
    /* Those who wait again go to the shard's list, by their turn: walk a list of our own. */
    list_init(&now);
    now.next = s->waiting.next;
    now.prev = s->waiting.prev;
    now.next->prev = now.prev->next = &now;
    list_init(&s->waiting);
    while (!list_empty(&now)) {
        struct exchange *x = LIST_ENTRY(now.next, struct exchange, worker_node);
        CHECK_MAGIC(x, EXCHANGE_MAGIC);
        if (for_room && !x->awaits_room && !can_use(x, NULL)) {
            list_remove(&x->worker_node);
            list_add_tail(&s->waiting, &x->worker_node);
            continue;
        }
        step_out(x);
        if (!for_room)
            x->tried = 0;
        exchange_attach_again(x);
    }
}

void waiting_retry(struct shard *s)
{
    retry(s, false);
    if (!list_empty(&s->waiting))
        loop_timer_set(s->loop, &s->waiting_timer, shard_now_us(s) + WAITING_RETRY_US);
}

static void on_retry_due(struct loop_timer *t)
{
    waiting_retry(CONTAINER_OF(t, struct shard, waiting_timer));
}

static void on_room(struct loop_task *t)
{
    retry(CONTAINER_OF(t, struct shard, waiting_room), true);
}

/* ---- places that are handed over ---- */

/* The first that waits for it has it, at the end of the turn.  return  false: nobody does */
static bool hand(struct shard *s, struct places *p)
{
    LIST_FOR(node, &s->waiting)
    {
        struct exchange *x = LIST_ENTRY(node, struct exchange, worker_node);
        if (!can_use(x, p))
            continue;
        x->place = p;
        list_remove(node);
        list_add_tail(&s->handed, node);
        loop_flush(s->loop, &s->waiting_handed);
        return true;
    }
    places_forgo(p, s->index);
    return false;
}

static void on_handed(struct loop_task *t)
{
    struct shard *s = CONTAINER_OF(t, struct shard, waiting_handed);
    while (!list_empty(&s->handed)) {
        struct exchange *x = LIST_ENTRY(s->handed.next, struct exchange, worker_node);
        CHECK_MAGIC(x, EXCHANGE_MAGIC);
        step_out(x);
        exchange_attach_again(x);
    }
}

void waiting_hand_on(struct shard *s, struct places *p)
{
    uint64_t among = s->peers ? ~UINT64_C(0) : UINT64_C(1) << s->index;
    for (;;) {
        int to = places_give(p, s->index, among);
        if (to < 0)
            return;
        if ((uint32_t)to == s->index) {
            if (hand(s, p))
                return;
            continue;
        }
        places_ref(p);
        if (mailbox_post(s->peers[to].mailbox, SHARD_PLACE, p) == 0)
            return;
        /* Memory is out: those who wait there look again by themselves. */
        places_unref(p);
        places_drop(p);
        return;
    }
}

void waiting_take_place(struct shard *s, struct places *p)
{
    if (!hand(s, p))
        waiting_hand_on(s, p);
    places_unref(p);
}

void waiting_init(struct shard *s)
{
    list_init(&s->waiting);
    list_init(&s->handed);
    loop_timer_init(&s->waiting_timer, on_retry_due);
    loop_task_init(&s->waiting_room, on_room);
    loop_task_init(&s->waiting_handed, on_handed);
}
