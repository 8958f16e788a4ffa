/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/leave.h"
#include "edge/promised.h"
#include "edge/worker.h"
#include "base/panic.h"

#include <stdio.h>
#include <stdlib.h>

struct leave *leave_new(const struct ipc_edge_leave *m, uint32_t shards)
{
    struct leave *l = calloc(1, sizeof *l + shards * sizeof l->parts[0]);
    if (!l)
        return NULL;
    list_init(&l->node);
    l->ticket = m->ticket;
    l->id_len = (size_t)snprintf(l->id, sizeof l->id, "%s/%u", m->app, m->index);
    atomic_init(&l->shards, shards);
    for (uint32_t i = 0; i < shards; i++) {
        list_init(&l->parts[i].node);
        l->parts[i].leave = l;
    }
    return l;
}

/* A backend's key is its instance's id, a mark of the protocol, and the address. */
static bool is_of(const struct backend *b, const struct leave *l)
{
    return b->key.len > l->id_len && memcmp(b->key.p, l->id, l->id_len) == 0 &&
           (b->key.p[l->id_len] == ' ' || b->key.p[l->id_len] == '>');
}

/* No exchange, and no rest of a tunnel on its way to it. */
static bool is_at_rest(const struct backend *b)
{
    if (b->in_flight)
        return false;
    LIST_FOR(node, &b->h1_busy)
    {
        if (worker_has_rest(LIST_ENTRY(node, struct worker, node)))
            return false;
    }
    for (int k = 0; k < WORKER_CLASSES; k++) {
        LIST_FOR(node, &b->h2_conns[k])
        {
            if (worker_has_rest(LIST_ENTRY(node, struct worker, node)))
                return false;
        }
    }
    return true;
}

static bool is_left(struct shard *s, const struct leave *l)
{
    size_t it = 0;
    const struct backend *b;
    while ((b = map_next(&s->backends, &it)) != NULL)
        if (is_of(b, l) && !is_at_rest(b))
            return false;
    return true;
}

/* Who was promised something there and has not asked for it yet will have it from elsewhere. */
static void drop_parked(struct backend *b)
{
    for (int k = 0; k < WORKER_CLASSES; k++) {
        LIST_FOR(node, &b->h2_conns[k])
        {
            struct worker *w = LIST_ENTRY(node, struct worker, node);
            while (!list_empty(&w->parked))
                promised_drop(LIST_ENTRY(w->parked.next, struct promised, worker_node));
        }
    }
}

/* A server that ends waits for connections that are kept alive. */
static void close_idle(struct shard *s, const struct leave *l)
{
    size_t it = 0;
    struct backend *b;
    while ((b = map_next(&s->backends, &it)) != NULL)
        if (is_of(b, l))
            backend_sweep(b, SWEEP_UNUSED);
}

static void look(struct loop_task *t)
{
    struct shard *s = CONTAINER_OF(t, struct shard, leave_task);
    LIST_FOR(node, &s->leaves)
    {
        struct leave *l = LIST_ENTRY(node, struct leave_part, node)->leave;
        if (!is_left(s, l))
            continue;
        list_remove(node);
        close_idle(s, l);
        if (atomic_fetch_sub(&l->shards, 1) == 1 && s->on_left)
            s->on_left(l);
    }
}

void leave_begin(struct shard *s, struct leave *l)
{
    size_t it = 0;
    struct backend *b;
    list_add_tail(&s->leaves, &l->parts[s->index].node);
    while ((b = map_next(&s->backends, &it)) != NULL)
        if (is_of(b, l))
            drop_parked(b);
    leaves_review(s);
}

void leaves_init(struct shard *s)
{
    list_init(&s->leaves);
    loop_task_init(&s->leave_task, look);
}
