/* SPDX-License-Identifier: Apache-2.0 */
/* Memory has a bound (limits.memory): beyond it what workers promised is dropped, then the clients
 * that have edge hold most are let go, and nobody new is taken.  Each bound of a connection by
 * itself is generous, and thousands of connections at their bounds would be the end of all. */
#ifndef EDGE_SHED_H
#define EDGE_SHED_H

#include "edge/shard.h"

/* Who has less held is not let go: then it is the many, not the few. */
#define SHED_LEAST_OCTETS (64u << 10)

void shed_init(struct shard *s);
void shed_fini(struct shard *s);
/* Other limits are in force. */
void shed_settle(struct shard *s);
static inline bool shed_is_full(const struct shard *s)
{
    return s->pool->live_octets > s->memory_most;
}
/* Nobody has edge hold so much that letting him go would help. */
static inline bool shed_is_packed(const struct shard *s)
{
    return s->is_packed && shed_is_full(s);
}
/* Something was read: is it too much now?  Where that was of no use, shed_tick looks again. */
static inline void shed_review(struct shard *s)
{
    if (shed_is_full(s) && !s->is_packed)
        loop_again(s->loop, &s->shed);
}
/* Once a second. */
void shed_tick(struct shard *s);

#endif
