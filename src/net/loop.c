/* SPDX-License-Identifier: Apache-2.0 */
#include "net/loop.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/panic.h"
#include "net/wheel.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define LOOP_EVENTS 256
/* Flush tasks that queue each other: after so many rounds the rest waits for the next turn, so that
 * a mistake costs time but does not stop the loop. */
#define LOOP_ROUNDS      64
#define LOOP_SCRATCHES   3
#define LOOP_MAX_WAIT_MS 3600000

struct loop {
    int epoll_fd;
    int most_fd; /* from here on descriptors are spare ones */
    bool stopped;
    uint64_t now_us;
    struct pool pool;
    struct list flush, reap, again;
    char *scratch[LOOP_SCRATCHES];
    struct loop_calls calls;
    struct wheel wheel;
    int ready_at, ready_count; /* events of this turn that are still to be given out */
    struct epoll_event ready[LOOP_EVENTS];
};

void loop_task_init(struct loop_task *t, loop_task_fn run)
{
    list_init(&t->node);
    t->run = run;
}

void loop_task_cancel(struct loop_task *t)
{
    list_remove(&t->node);
}

void loop_timer_init(struct loop_timer *t, loop_timer_fn on_due)
{
    list_init(&t->node);
    t->due_us = 0;
    t->on_due = on_due;
}

static int most_fd(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) < 0 || r.rlim_cur > INT_MAX)
        return INT_MAX;
    return r.rlim_cur > LOOP_SPARE_FDS ? (int)(r.rlim_cur - LOOP_SPARE_FDS) : 0;
}

struct loop *loop_new(void)
{
    struct loop *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    pool_init(&l->pool);
    list_init(&l->flush);
    list_init(&l->reap);
    list_init(&l->again);
    l->now_us = clock_mono_us();
    wheel_init(&l->wheel, l->now_us);
    l->most_fd = most_fd();
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    bool ok = l->epoll_fd >= 0;
    for (unsigned i = 0; i < LOOP_SCRATCHES && ok; i++)
        ok = (l->scratch[i] = malloc(LOOP_SCRATCH_OCTETS)) != NULL;
    if (!ok) {
        loop_free(l);
        return NULL;
    }
    return l;
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    if (l->epoll_fd >= 0)
        close(l->epoll_fd);
    for (unsigned i = 0; i < LOOP_SCRATCHES; i++)
        free(l->scratch[i]);
    pool_fini(&l->pool);
    free(l);
}

static int control(struct loop *l, struct loop_source *s, int op, bool room)
{
    struct epoll_event e = {.events = EPOLLIN | (room ? EPOLLOUT : 0u) | EPOLLRDHUP | EPOLLET,
                            .data.ptr = s};
    l->calls.other++;
    return epoll_ctl(l->epoll_fd, op, s->fd, &e) == 0 ? 0 : ERR_SYS;
}

int loop_add(struct loop *l, struct loop_source *s)
{
    return control(l, s, EPOLL_CTL_ADD, true);
}

int loop_add_reader(struct loop *l, struct loop_source *s)
{
    return control(l, s, EPOLL_CTL_ADD, false);
}

void loop_watch_room(struct loop *l, struct loop_source *s, bool watch)
{
    ASSERT(control(l, s, EPOLL_CTL_MOD, watch) == 0);
}

void loop_forget(struct loop *l, struct loop_source *s)
{
    for (int i = l->ready_at; i < l->ready_count; i++)
        if (l->ready[i].data.ptr == s)
            l->ready[i].data.ptr = NULL;
}

void loop_remove(struct loop *l, struct loop_source *s)
{
    l->calls.other++;
    epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
    loop_forget(l, s);
}

int loop_admit(const struct loop *l, int fd)
{
    if (fd < l->most_fd)
        return fd;
    close(fd);
    errno = EMFILE;
    return -1;
}

static void queue(struct list *to, struct loop_task *t)
{
    if (list_empty(&t->node))
        list_add_tail(to, &t->node);
}

void loop_flush(struct loop *l, struct loop_task *t)
{
    queue(&l->flush, t);
}

void loop_reap(struct loop *l, struct loop_task *t)
{
    queue(&l->reap, t);
}

void loop_again(struct loop *l, struct loop_task *t)
{
    queue(&l->again, t);
}

/* Move what waits to a list of its own, so that tasks queued meanwhile belong to the next round. */
static void take_all(struct list *to, struct list *from)
{
    list_init(to);
    while (!list_empty(from)) {
        struct list *n = from->next;
        list_remove(n);
        list_add_tail(to, n);
    }
}

static void run_all(struct list *tasks)
{
    while (!list_empty(tasks)) {
        struct loop_task *t = LIST_ENTRY(tasks->next, struct loop_task, node);
        list_remove(&t->node);
        t->run(t);
    }
}

static void run_rounds(struct list *tasks)
{
    for (int round = 0; round < LOOP_ROUNDS && !list_empty(tasks); round++) {
        struct list now;
        take_all(&now, tasks);
        run_all(&now);
    }
}

static int wait_for(struct loop *l, int wait_ms)
{
    if (!list_empty(&l->again) || !list_empty(&l->flush) || !list_empty(&l->reap))
        return 0;
    uint64_t due_us = wheel_next_us(&l->wheel);
    if (due_us == UINT64_MAX)
        return wait_ms;
    uint64_t ms = due_us <= l->now_us ? 0 : (due_us - l->now_us + 999) / 1000;
    if (ms > LOOP_MAX_WAIT_MS)
        ms = LOOP_MAX_WAIT_MS;
    return wait_ms < 0 || ms < (uint64_t)wait_ms ? (int)ms : wait_ms;
}

static unsigned events_of(uint32_t epoll_events)
{
    unsigned e = 0;
    if (epoll_events & EPOLLIN)
        e |= LOOP_IN;
    if (epoll_events & EPOLLOUT)
        e |= LOOP_OUT;
    if (epoll_events & EPOLLRDHUP)
        e |= LOOP_RDHUP;
    if (epoll_events & (EPOLLHUP | EPOLLERR))
        e |= LOOP_HUP;
    return e;
}

void loop_turn(struct loop *l, int wait_ms)
{
    struct list again;
    int timeout_ms = wait_for(l, wait_ms);
    take_all(&again, &l->again);
    l->calls.waits++;
    int n = epoll_wait(l->epoll_fd, l->ready, LOOP_EVENTS, timeout_ms);
    ASSERT(n >= 0 || errno == EINTR);
    l->now_us = clock_mono_us();
    l->ready_count = n < 0 ? 0 : n;
    for (l->ready_at = 0; l->ready_at < l->ready_count;) {
        struct epoll_event *e = &l->ready[l->ready_at++];
        struct loop_source *s = e->data.ptr;
        if (s)
            s->on_event(s, events_of(e->events));
    }
    wheel_run(&l->wheel, l->now_us);
    run_all(&again);
    run_rounds(&l->flush);
    run_rounds(&l->reap);
}

void loop_run(struct loop *l)
{
    while (!l->stopped)
        loop_turn(l, -1);
    l->stopped = false;
}

void loop_stop(struct loop *l)
{
    l->stopped = true;
}

uint64_t loop_now_us(const struct loop *l)
{
    return l->now_us;
}

struct pool *loop_pool(struct loop *l)
{
    return &l->pool;
}

void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t due_us)
{
    wheel_set(&l->wheel, t, due_us);
}

void loop_timer_clear(struct loop_timer *t)
{
    t->due_us = 0;
    list_remove(&t->node);
}

char *loop_scratch(struct loop *l, unsigned index)
{
    ASSERT(index < LOOP_SCRATCHES);
    return l->scratch[index];
}

struct loop_calls *loop_calls(struct loop *l)
{
    return &l->calls;
}
