/* SPDX-License-Identifier: Apache-2.0 */
/* Monitor's own small loop: descriptors and timers, one event a turn.
 *
 * One event a turn, so that whatever a callback closes or frees, no other event of the same turn
 * still points to it; monitor's load is far below where batching would pay. */
#ifndef MONITOR_POLLER_H
#define MONITOR_POLLER_H

#include "base/list.h"

#include <stdint.h>
#include <sys/epoll.h>

struct watch {
    int fd; /* -1: not watched */
    void (*fn)(struct watch *w, uint32_t events);
};

struct timer {
    struct list node; /* in no list: not armed */
    uint64_t due_us;
    void (*fn)(struct timer *t);
};

struct poller {
    int epoll_fd;
    struct list timers; /* unsorted: few are armed at a time */
    uint64_t next_us;   /* no timer is due before */
};

/* return  0 or ERR_SYS */
int poller_init(struct poller *p);
void poller_fini(struct poller *p);
/* Wait for one event or due timers and call them.  return 0 or ERR_SYS */
int poller_turn(struct poller *p);

/* w  kept until watch_remove; level-triggered.  return 0 or ERR_SYS */
int watch_add(struct poller *p, struct watch *w, int fd, uint32_t events,
              void (*fn)(struct watch *w, uint32_t events));
void watch_events(struct poller *p, struct watch *w, uint32_t events);
/* Harmless when it is not watched; the descriptor stays the caller's. */
void watch_remove(struct poller *p, struct watch *w);

void timer_init(struct timer *t, void (*fn)(struct timer *t));
/* t  kept until it fires or is cancelled; arming again moves it */
void timer_arm(struct poller *p, struct timer *t, uint64_t due_us);
void timer_cancel(struct timer *t);
bool timer_is_armed(const struct timer *t);

#endif
