/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/poller.h"
#include "base/clock.h"
#include "base/err.h"

#include <errno.h>
#include <unistd.h>

int poller_init(struct poller *p)
{
    list_init(&p->timers);
    p->next_us = UINT64_MAX;
    p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return p->epoll_fd < 0 ? ERR_SYS : 0;
}

void poller_fini(struct poller *p)
{
    if (p->epoll_fd >= 0)
        close(p->epoll_fd);
    p->epoll_fd = -1;
}

int watch_add(struct poller *p, struct watch *w, int fd, uint32_t events,
              void (*fn)(struct watch *w, uint32_t events))
{
    struct epoll_event e = {.events = events, .data.ptr = w};
    w->fd = fd;
    w->fn = fn;
    if (epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, fd, &e) == 0)
        return 0;
    w->fd = -1;
    return ERR_SYS;
}

void watch_events(struct poller *p, struct watch *w, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = w};
    epoll_ctl(p->epoll_fd, EPOLL_CTL_MOD, w->fd, &e);
}

void watch_remove(struct poller *p, struct watch *w)
{
    if (w->fd >= 0)
        epoll_ctl(p->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
    w->fd = -1;
}

void timer_init(struct timer *t, void (*fn)(struct timer *t))
{
    list_init(&t->node);
    t->fn = fn;
    t->due_us = 0;
}

void timer_arm(struct poller *p, struct timer *t, uint64_t due_us)
{
    list_remove(&t->node);
    t->due_us = due_us;
    list_add_tail(&p->timers, &t->node);
    if (due_us < p->next_us)
        p->next_us = due_us;
}

void timer_cancel(struct timer *t)
{
    list_remove(&t->node);
}

bool timer_is_armed(const struct timer *t)
{
    return !list_empty(&t->node);
}

static void fire(struct poller *p, uint64_t now_us)
{
    /* A callback may arm, cancel and free any timer, so the search starts anew after each. */
    for (;;) {
        struct timer *due = NULL;
        p->next_us = UINT64_MAX;
        LIST_FOR(node, &p->timers)
        {
            struct timer *t = LIST_ENTRY(node, struct timer, node);
            if (t->due_us <= now_us && (!due || t->due_us < due->due_us))
                due = t;
            if (t->due_us < p->next_us)
                p->next_us = t->due_us;
        }
        if (!due)
            return;
        list_remove(&due->node);
        due->fn(due);
    }
}

int poller_turn(struct poller *p)
{
    uint64_t now_us = clock_mono_us();
    if (p->next_us <= now_us)
        fire(p, now_us);
    int wait_ms = -1;
    if (p->next_us != UINT64_MAX) {
        uint64_t left_us = p->next_us > now_us ? p->next_us - now_us : 0;
        wait_ms = left_us > 3600000000u ? 3600000 : (int)((left_us + 999) / 1000);
    }
    struct epoll_event e;
    int n = epoll_wait(p->epoll_fd, &e, 1, wait_ms);
    if (n < 0)
        return errno == EINTR ? 0 : ERR_SYS;
    if (n == 1) {
        struct watch *w = e.data.ptr;
        w->fn(w, e.events);
    }
    return 0;
}
