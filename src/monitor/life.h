/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a worker, and when the dead come back.  Pure: a time comes in, a state and a due time
 * come out; it knows no processes. */
#ifndef MONITOR_LIFE_H
#define MONITOR_LIFE_H

#include "ipc/ipc.h"

#define LIFE_FIRST_DELAY_MS 1000u
/* Of one that did serve: a kill from outside must not cost its app a second. */
#define LIFE_AGAIN_DELAY_MS 100u
#define LIFE_MAX_DELAY_MS   30000u
/* An exit so soon after READY counts as a failure to start. */
#define LIFE_SOON_MS 1000u

enum life_event {
    LIFE_STARTED, /* its process exists */
    LIFE_FAILED,  /* no process could be made */
    LIFE_PROBED,  /* control says that it serves */
    LIFE_STOP,    /* it shall end */
    LIFE_GONE,    /* its process ended */
    LIFE_WAIT,    /* it is wanted again, after a delay */
    LIFE_DUE,     /* the delay is over */
    LIFE_EVENT_COUNT
};

#define LIFE_STATE_COUNT (IPC_BACKOFF + 1)

struct life {
    enum ipc_instance_state state;
    uint32_t generation;  /* counts starts, failed ones too */
    uint32_t restarts;    /* starts after the first */
    uint32_t failures;    /* in a row: exits before READY or soon after it */
    uint32_t never_ready; /* in a row: exits before READY */
    bool was_ready;       /* in this generation */
    uint64_t started_us, ready_us, gone_us, due_us;
};

void life_init(struct life *l);
/* The next state by the table; -1: that event cannot happen in that state. */
int life_next(enum ipc_instance_state state, enum life_event event);
/* The one setter.  LIFE_WAIT sets due_us.
 * return  whether the state changed; an event that cannot happen is a mistake of ours */
bool life_event(struct life *l, enum life_event event, uint64_t now_us);
/* After LIFE_GONE or LIFE_FAILED: did this generation fail to start? */
bool life_failed_to_start(const struct life *l);
/* After LIFE_GONE or LIFE_FAILED: 0 after no failure, then 1 s, doubling to 30 s; from 100 ms when
 * it had been READY. */
uint32_t life_delay_ms(const struct life *l);
const char *life_state_name(unsigned state);

/* A role of our own (edge, control) is missed by everyone: at once, 100 ms, then 1 s.
 * quick_deaths  in a row, each within a second of the start */
uint32_t life_role_delay_ms(uint32_t quick_deaths);

#endif
