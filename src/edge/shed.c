/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/shed.h"
#include "edge/client.h"
#include "edge/push_internal.h"
#include "edge/worker.h"
#include "base/panic.h"

/* What this client has edge hold: responses that it does not take, requests that their workers do
 * not, heads.  In memory it is up to four times as much (see CHAIN_COPY_BELOW). */
static size_t held_for(struct client *c)
{
    size_t octets = stream_waiting(&c->stream);
    if (c->http.h2)
        octets += h2_conn_held(c->http.h2);
    else if (c->http.h1)
        octets += h1_conn_held(c->http.h1);
    LIST_FOR(node, &c->exchanges)
    {
        struct exchange *x = LIST_ENTRY(node, struct exchange, client_node);
        octets += x->held.octets + worker_queued(x) + (x->arena ? x->arena->octets : 0);
        if (push_is_held(x))
            octets += x->page->body.octets;
    }
    return octets;
}

/* Without what is promised and nobody has asked for yet all are served as well. */
static void drop_promised(struct shard *s)
{
    LIST_FOR(node, &s->clients)
    {
        struct client *c = LIST_ENTRY(node, struct client, node);
        if (c->push)
            promised_drop_unasked(c);
    }
}

/* To an eighth below the bound, so that it is not reached by the next octet; who has edge hold less
 * than half of the most stays. */
static void on_shed(struct loop_task *t)
{
    struct shard *s = CONTAINER_OF(t, struct shard, shed);
    uint64_t enough = s->memory_most - s->memory_most / 8, octets;
    size_t most = 0;
    s->is_packed = false;
    if (shed_is_full(s))
        drop_promised(s);
    if (!shed_is_full(s))
        return;
    octets = s->pool->live_octets;
    LIST_FOR(node, &s->clients)
    {
        size_t held = held_for(LIST_ENTRY(node, struct client, node));
        most = held > most ? held : most;
    }
    LIST_FOR(node, &s->clients)
    {
        struct client *c = LIST_ENTRY(node, struct client, node);
        size_t held = held_for(c);
        if (octets <= enough)
            break;
        if (held < SHED_LEAST_OCTETS || held < most / 2)
            continue;
        octets -= held < octets ? held : octets;
        client_shed(c);
    }
    s->is_packed = octets > s->memory_most;
}

void shed_tick(struct shard *s)
{
    if (s->is_packed)
        loop_again(s->loop, &s->shed);
}

void shed_settle(struct shard *s)
{
    uint64_t all = shard_limits(s)->memory_octets;
    s->memory_most = (all ? all : s->machine_octets / 2) / s->count;
}

void shed_init(struct shard *s)
{
    loop_task_init(&s->shed, on_shed);
    s->count = 1;
    s->machine_octets = s->memory_most = UINT64_MAX;
}

void shed_fini(struct shard *s)
{
    loop_task_cancel(&s->shed);
}
