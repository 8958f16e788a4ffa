/* SPDX-License-Identifier: Apache-2.0 */
#include "ipc/outbox.h"
#include "base/err.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct letter {
    struct list node;
    enum ipc_type type;
    unsigned fd_count;
    int fds[IPC_MAX_FDS]; /* ours */
    char body[];
};

static void drop(struct ipc_outbox *o, struct letter *l)
{
    list_remove(&l->node);
    o->count--;
    for (unsigned i = 0; i < l->fd_count; i++)
        close(l->fds[i]);
    free(l);
}

void ipc_outbox_init(struct ipc_outbox *o, uint32_t most)
{
    list_init(&o->waiting);
    o->count = 0;
    o->most = most;
}

void ipc_outbox_fini(struct ipc_outbox *o)
{
    LIST_FOR(node, &o->waiting)
    {
        drop(o, LIST_ENTRY(node, struct letter, node));
    }
}

static int keep(struct ipc_outbox *o, enum ipc_type type, const void *body, const int *fds,
                unsigned fd_count)
{
    size_t octets = ipc_octets(type);
    if (o->count >= o->most)
        return ERR_LIMIT;
    struct letter *l = malloc(sizeof *l + octets);
    if (!l)
        return ERR_NOMEM;
    l->type = type;
    l->fd_count = 0;
    memcpy(l->body, body, octets);
    list_add_tail(&o->waiting, &l->node);
    o->count++;
    for (; l->fd_count < fd_count; l->fd_count++) {
        int fd = fcntl(fds[l->fd_count], F_DUPFD_CLOEXEC, 0);
        if (fd < 0) {
            drop(o, l);
            return ERR_SYS;
        }
        l->fds[l->fd_count] = fd;
    }
    return 0;
}

int ipc_outbox_flush(struct ipc_outbox *o, int channel)
{
    LIST_FOR(node, &o->waiting)
    {
        struct letter *l = LIST_ENTRY(node, struct letter, node);
        int err = ipc_send(channel, l->type, l->body, l->fds, l->fd_count);
        if (err)
            return err == ERR_AGAIN ? 0 : err;
        drop(o, l);
    }
    return 0;
}

int ipc_outbox_send(struct ipc_outbox *o, int channel, enum ipc_type type, const void *body,
                    const int *fds, unsigned fd_count)
{
    /* The other side may be reading while we have much to say: what waits is no more than it must.
     */
    int err = ipc_outbox_flush(o, channel);
    if (err)
        return err;
    err = o->count ? ERR_AGAIN : ipc_send(channel, type, body, fds, fd_count);
    return err == ERR_AGAIN ? keep(o, type, body, fds, fd_count) : err;
}
