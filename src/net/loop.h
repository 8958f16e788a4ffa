/* SPDX-License-Identifier: Apache-2.0 */
/* One event loop a thread: edge-triggered epoll, registered once a descriptor; timers; work for the
 * end of the turn.  Nothing here is shared between threads except mailbox_post.
 *
 * A turn: wait; on_event of each ready source; due timers; then the flush tasks until none is left
 * (they may queue more), so that each connection writes once a turn; then the reap tasks, which may
 * free what callbacks higher up were still using. */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include "base/list.h"
#include "base/pool.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    LOOP_IN = 1,    /* readable */
    LOOP_OUT = 2,   /* writable */
    LOOP_RDHUP = 4, /* the peer has shut down its sending side: read to the end */
    LOOP_HUP = 8,   /* both sides, or an error is pending */
};

struct loop;
struct loop_source;
typedef void (*loop_event_fn)(struct loop_source *s, unsigned events);
struct loop_source {
    loop_event_fn on_event;
    int fd;
};

/* Work queued at most once: adding it again while it waits does nothing. */
struct loop_task;
typedef void (*loop_task_fn)(struct loop_task *t);
struct loop_task {
    struct list node;
    loop_task_fn run;
};
void loop_task_init(struct loop_task *t, loop_task_fn run);
void loop_task_cancel(struct loop_task *t);

struct loop_timer;
typedef void (*loop_timer_fn)(struct loop_timer *t);
struct loop_timer {
    struct list node;
    uint64_t due_us; /* 0: not armed */
    loop_timer_fn on_due;
};
void loop_timer_init(struct loop_timer *t, loop_timer_fn on_due);

/* return  NULL when descriptors or memory are out */
struct loop *loop_new(void);
void loop_free(struct loop *l);

/* Register s->fd for reading and writing, edge-triggered, for its life; closing the descriptor
 * unregisters it.  return 0 or ERR_SYS */
int loop_add(struct loop *l, struct loop_source *s);
/* The same, for reading alone.  A unix socket tells whenever its peer has read something that there
 * is room again, and each new socket tells it once: few want to know. */
int loop_add_reader(struct loop *l, struct loop_source *s);
/* Whether s is told of room for writing from now on; if there is some already, at once. */
void loop_watch_room(struct loop *l, struct loop_source *s, bool watch);
/* For a descriptor that is kept open; also drops events of s that wait in this turn.  Call it (or
 * loop_forget) before s is freed. */
void loop_remove(struct loop *l, struct loop_source *s);
/* The descriptor is about to be closed: only drop events of s that wait in this turn. */
void loop_forget(struct loop *l, struct loop_source *s);

/* The last few descriptors that the process may have are not for peers, who can take all there are,
 * but for what comes beside a message of another role: without them that is no message (ipc.h).
 * fd      from accept() or socket(), or -1: then errno stays
 * return  fd; or -1 and EMFILE: it was one of them, as the lowest is given out first, and is closed
 */
#define LOOP_SPARE_FDS 8
int loop_admit(const struct loop *l, int fd);

/* Runs until loop_stop, which may also have been called before. */
void loop_run(struct loop *l);
/* One turn; waits at most wait_ms (-1: until something happens). */
void loop_turn(struct loop *l, int wait_ms);
void loop_stop(struct loop *l);

/* Monotonic microseconds, read once a turn. */
uint64_t loop_now_us(const struct loop *l);
struct pool *loop_pool(struct loop *l);

void loop_flush(struct loop *l, struct loop_task *t); /* at the end of this turn */
void loop_reap(struct loop *l, struct loop_task *t);  /* after all flush tasks of this turn */
void loop_again(struct loop *l,
                struct loop_task *t); /* in the next turn, which then does not wait */

/* (Re)arm; precision about 8 ms, never early.  Arming far ahead and often is cheap: a timer that is
 * pushed back only notes its new time. */
void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t due_us);
void loop_timer_clear(struct loop_timer *t);

/* Scratch octets shared by everything on this loop, valid until the next callback.  index 0 to 2 */
#define LOOP_SCRATCH_OCTETS (300u << 10)
char *loop_scratch(struct loop *l, unsigned index);

/* Counts of system calls made through this loop and its streams, for measuring. */
struct loop_calls {
    uint64_t waits, reads, writes, accepts, connects, other;
};
struct loop_calls *loop_calls(struct loop *l);

/* Messages from other threads.  post may be called by any thread; on_message runs on the loop. */
struct mailbox;
typedef void (*mailbox_fn)(void *user, unsigned type, void *message);
struct mailbox *mailbox_new(struct loop *l, mailbox_fn on_message, void *user);
/* No thread may post any more.  Messages that still wait are dropped; allowed inside on_message. */
void mailbox_free(struct mailbox *m);
/* message is given.  return 0 or ERR_NOMEM */
int mailbox_post(struct mailbox *m, unsigned type, void *message);

#endif
