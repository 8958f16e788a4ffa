/* SPDX-License-Identifier: Apache-2.0 */
/* What is sent over a channel by who never waits for the other side: what the socket does not take
 * is kept here, in order, until it does. */
#ifndef IPC_OUTBOX_H
#define IPC_OUTBOX_H

#include "base/list.h"
#include "ipc/ipc.h"

struct ipc_outbox {
    struct list waiting;
    uint32_t count, most;
};

/* most: with more messages waiting the other side has hung */
void ipc_outbox_init(struct ipc_outbox *o, uint32_t most);
/* What waits is thrown away. */
void ipc_outbox_fini(struct ipc_outbox *o);
/* As ipc_send, over a non-blocking channel; of what must wait body and descriptors are copied.
 * return  0, or the channel is of no more use: ERR_CLOSED, ERR_SYS, ERR_NOMEM, ERR_LIMIT */
int ipc_outbox_send(struct ipc_outbox *o, int channel, enum ipc_type type, const void *body,
                    const int *fds, unsigned fd_count);
/* The channel may take more.  return  as above; o->count then says what still waits */
int ipc_outbox_flush(struct ipc_outbox *o, int channel);

#endif
