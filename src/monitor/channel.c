/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/channel.h"
#include "base/err.h"
#include "base/panic.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct queued {
    struct list node;
    enum ipc_type type;
    unsigned fd_count;
    int fds[IPC_MAX_FDS]; /* ours */
    char body[];
};

static void drop(struct channel *c, struct queued *q)
{
    list_remove(&q->node);
    for (unsigned i = 0; i < q->fd_count; i++)
        close(q->fds[i]);
    free(q);
    c->queued--;
}

void channel_init(struct channel *c, struct poller *p,
                  void (*on_message)(struct channel *c, struct ipc_message *m, int error))
{
    c->watch.fd = -1;
    c->poller = p;
    list_init(&c->queue);
    c->queued = 0;
    c->on_message = on_message;
}

void channel_close(struct channel *c)
{
    int fd = c->watch.fd;
    watch_remove(c->poller, &c->watch);
    if (fd >= 0)
        close(fd);
    LIST_FOR(node, &c->queue)
    {
        drop(c, LIST_ENTRY(node, struct queued, node));
    }
}

/* The other side sees the end, and so do we, at the next turn. */
static void give_up(struct channel *c)
{
    shutdown(c->watch.fd, SHUT_RDWR);
}

static void flush(struct channel *c)
{
    LIST_FOR(node, &c->queue)
    {
        struct queued *q = LIST_ENTRY(node, struct queued, node);
        int r = ipc_send(c->watch.fd, q->type, q->body, q->fds, q->fd_count);
        if (r == ERR_AGAIN)
            return;
        if (r < 0) {
            give_up(c);
            return;
        }
        drop(c, q);
    }
    watch_events(c->poller, &c->watch, EPOLLIN);
}

/* return  false: stop reading */
static bool read_one(struct channel *c)
{
    struct ipc_message m;
    int r = ipc_recv(c->watch.fd, &m);
    if (r == ERR_AGAIN)
        return false;
    c->on_message(c, r == 0 ? &m : NULL, r);
    return r == 0 && c->watch.fd >= 0;
}

static void on_event(struct watch *w, uint32_t events)
{
    struct channel *c = LIST_ENTRY(w, struct channel, watch);
    if (events & EPOLLOUT)
        flush(c);
    if (c->watch.fd >= 0 && (events & ~(uint32_t)EPOLLOUT))
        read_one(c);
}

int channel_adopt(struct channel *c, int fd)
{
    return fd < 0 ? 0 : watch_add(c->poller, &c->watch, fd, EPOLLIN, on_event);
}

int channel_open(struct channel *c, int *child_fd_out)
{
    int fds[2];
    ASSERT(c->watch.fd < 0);
    if (ipc_pair(fds) < 0)
        return ERR_SYS;
    if (fcntl(fds[0], F_SETFL, O_NONBLOCK) < 0 ||
        watch_add(c->poller, &c->watch, fds[0], EPOLLIN, on_event) < 0) {
        close(fds[0]);
        close(fds[1]);
        return ERR_SYS;
    }
    *child_fd_out = fds[1];
    return 0;
}

void channel_send(struct channel *c, enum ipc_type type, const void *body, const int *fds,
                  unsigned fd_count)
{
    if (c->watch.fd < 0)
        return;
    if (list_empty(&c->queue)) {
        int r = ipc_send(c->watch.fd, type, body, fds, fd_count);
        if (r == 0)
            return;
        if (r != ERR_AGAIN) {
            give_up(c);
            return;
        }
    }
    size_t octets = ipc_octets(type);
    struct queued *q = c->queued < CHANNEL_MAX_QUEUED ? malloc(sizeof *q + octets) : NULL;
    if (!q) {
        give_up(c);
        return;
    }
    q->type = type;
    q->fd_count = 0;
    memcpy(q->body, body, octets);
    list_add_tail(&c->queue, &q->node);
    c->queued++;
    for (unsigned i = 0; i < fd_count; i++) {
        int fd = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
        if (fd < 0) {
            drop(c, q);
            give_up(c);
            return;
        }
        q->fds[q->fd_count++] = fd;
    }
    watch_events(c->poller, &c->watch, EPOLLIN | EPOLLOUT);
}

void channel_drain(struct channel *c)
{
    for (unsigned i = 0; i < CHANNEL_LAST_WORDS && c->watch.fd >= 0 && read_one(c); i++)
        ;
}
