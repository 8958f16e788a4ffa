/* SPDX-License-Identifier: Apache-2.0 */
/* Leaving an instance: routes do not lead there any more, and monitor waits to end it until nothing
 * is under way there.  Each shard looks when it is asked and whenever an exchange has ended; the
 * last one to find nothing tells.  Nobody waits here for ever: monitor has a limit. */
#ifndef EDGE_LEAVE_H
#define EDGE_LEAVE_H

#include "edge/shard.h"
#include "ipc/ipc.h"

struct leave {
    struct list node; /* of the owner's */
    uint64_t ticket;
    char id[IPC_NAME_OCTETS + 16]; /* the instance's, as in the routes */
    size_t id_len;
    atomic_uint shards; /* that have something under way there, or have not looked */
    struct leave_part {
        struct list node; /* in shard->leaves */
        struct leave *leave;
    } parts[]; /* one a shard */
};

/* return  NULL when memory is out; given: free() when every shard has looked, or has ended */
struct leave *leave_new(const struct ipc_edge_leave *m, uint32_t shards);
/* On the shard's loop, after it has taken routes without the instance; kept until s->on_left. */
void leave_begin(struct shard *s, struct leave *l);
void leaves_init(struct shard *s);
/* Something has ended: look again at the end of the turn. */
static inline void leaves_review(struct shard *s)
{
    if (!list_empty(&s->leaves))
        loop_flush(s->loop, &s->leave_task);
}

#endif
