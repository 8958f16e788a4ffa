/* SPDX-License-Identifier: Apache-2.0 */
/* Monitor's end of a role's channel: it never waits for the role, and gives up one that has hung.
 */
#ifndef MONITOR_CHANNEL_H
#define MONITOR_CHANNEL_H

#include "ipc/outbox.h"
#include "monitor/poller.h"

#define CHANNEL_MAX_QUEUED 200000u
#define CHANNEL_LAST_WORDS 1024u /* more than a socket holds, by its octets (wmem_default) */

struct channel {
    struct watch watch; /* fd -1: closed */
    struct poller *poller;
    struct ipc_outbox outbox;
    /* m's descriptors are the callee's.  m NULL: the channel is of no more use, for this reason
     * (ERR_CLOSED, ERR_FORMAT, ERR_LIMIT, ERR_SYS); it is not closed yet. */
    void (*on_message)(struct channel *c, struct ipc_message *m, int error);
};

void channel_init(struct channel *c, struct poller *p,
                  void (*on_message)(struct channel *c, struct ipc_message *m, int error));
/* Make the pair.  child_fd_out: for child_spawn, to be closed by the caller.  return 0 or ERR_SYS
 */
int channel_open(struct channel *c, int *child_fd_out);
/* Ours of a pair that is there already; given.  return 0 or ERR_SYS */
int channel_adopt(struct channel *c, int fd);
void channel_close(struct channel *c);
/* Descriptors are borrowed.  Nothing happens on a closed channel; an error is told to on_message
 * later, never from inside. */
void channel_send(struct channel *c, enum ipc_type type, const void *body, const int *fds,
                  unsigned fd_count);
/* Read what is there already: the last words of a role that has ended.  It may have given its end
 * to somebody who goes on, so they are so many at most. */
void channel_drain(struct channel *c);

#endif
