/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/waiting.h"
#include "edge/worker.h"
#include "base/panic.h"

static void on_retry_due(struct loop_timer *t)
{
    waiting_retry(CONTAINER_OF(t, struct shard, waiting_timer));
}

static void on_room(struct loop_task *t)
{
    waiting_retry(CONTAINER_OF(t, struct shard, waiting_room));
}

void waiting_init(struct shard *s)
{
    list_init(&s->waiting);
    loop_timer_init(&s->waiting_timer, on_retry_due);
    loop_task_init(&s->waiting_room, on_room);
}

bool waiting_enter(struct exchange *x, enum fault why)
{
    struct shard *s = x->shard;
    uint64_t now = shard_now_us(s);
    bool overload = why == FAULT_OVERLOAD;
    if (!x->wait_until_us)
        x->wait_until_us =
            now + (overload ? x->site->route.request_timeout_ms * 1000ull : WAITING_START_US);
    if (now >= x->wait_until_us ||
        stats_get(&x->site->stats->requests_waiting) >= x->site->route.queue)
        return false;
    x->waiting = true;
    x->wait_why = (uint8_t)why;
    x->tried = 0;
    list_add_tail(&s->waiting, &x->worker_node);
    stats_add(&x->site->stats->requests_waiting, 1);
    loop_timer_set(s->loop, &x->timer, x->wait_until_us);
    if (!s->waiting_timer.due_us)
        loop_timer_set(s->loop, &s->waiting_timer, now + WAITING_RETRY_US);
    return true;
}

void waiting_leave(struct exchange *x)
{
    if (!x->waiting)
        return;
    x->waiting = false;
    list_remove(&x->worker_node);
    stats_sub(&x->site->stats->requests_waiting, 1);
}

void waiting_retry(struct shard *s)
{
    struct list now;
    if (list_empty(&s->waiting))
        return;
    /* Those who wait again go to the end of the shard's list: walk a list of our own. */
    list_init(&now);
    now.next = s->waiting.next;
    now.prev = s->waiting.prev;
    now.next->prev = now.prev->next = &now;
    list_init(&s->waiting);
    while (!list_empty(&now)) {
        struct exchange *x = LIST_ENTRY(now.next, struct exchange, worker_node);
        CHECK_MAGIC(x, EXCHANGE_MAGIC);
        waiting_leave(x);
        exchange_attach_again(x);
    }
    if (!list_empty(&s->waiting))
        loop_timer_set(s->loop, &s->waiting_timer, shard_now_us(s) + WAITING_RETRY_US);
}
