/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/channel.h"
#include "base/err.h"
#include "base/panic.h"

#include <fcntl.h>
#include <unistd.h>

void channel_init(struct channel *c, struct poller *p,
                  void (*on_message)(struct channel *c, struct ipc_message *m, int error))
{
    c->watch.fd = -1;
    c->poller = p;
    ipc_outbox_init(&c->outbox, CHANNEL_MAX_QUEUED);
    c->on_message = on_message;
}

void channel_close(struct channel *c)
{
    int fd = c->watch.fd;
    watch_remove(c->poller, &c->watch);
    if (fd >= 0)
        close(fd);
    ipc_outbox_fini(&c->outbox);
}

/* had: messages that waited before */
static void note_sent(struct channel *c, uint32_t had, int err)
{
    if (err) /* the other side sees the end, and so do we, at the next turn */
        shutdown(c->watch.fd, SHUT_RDWR);
    else if (!had != !c->outbox.count)
        watch_events(c->poller, &c->watch, c->outbox.count ? EPOLLIN | EPOLLOUT : EPOLLIN);
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
    uint32_t had = c->outbox.count;
    if (events & EPOLLOUT)
        note_sent(c, had, ipc_outbox_flush(&c->outbox, c->watch.fd));
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
    uint32_t had = c->outbox.count;
    if (c->watch.fd >= 0)
        note_sent(c, had, ipc_outbox_send(&c->outbox, c->watch.fd, type, body, fds, fd_count));
}

void channel_drain(struct channel *c)
{
    for (unsigned i = 0; i < CHANNEL_LAST_WORDS && c->watch.fd >= 0 && read_one(c); i++)
        ;
}
