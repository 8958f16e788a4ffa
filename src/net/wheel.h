/* SPDX-License-Identifier: Apache-2.0 */
/* Timers of one loop: a wheel of three levels, in ticks of 8.192 ms.
 *
 * Setting, pushing back and clearing are O(1) and touch no slot that is not theirs.  A timer that
 * is pushed back stays in its slot and is sorted anew when the slot comes round: an idle timeout
 * that is renewed with each octet costs one store.  Disadvantage: a slot may come round for
 * nothing. */
#ifndef NET_WHEEL_H
#define NET_WHEEL_H

#include "net/loop.h"

#define WHEEL_TICK_SHIFT 13 /* microseconds to ticks */
#define WHEEL_NEAR_BITS  8
#define WHEEL_FAR_BITS   6
#define WHEEL_NEAR_SLOTS (1u << WHEEL_NEAR_BITS)
#define WHEEL_FAR_SLOTS  (1u << WHEEL_FAR_BITS)

struct wheel {
    uint64_t tick;                             /* all slots up to here have come round */
    uint64_t near_used[WHEEL_NEAR_SLOTS / 64]; /* a bit may stay when its slot was emptied */
    uint64_t far_used[2];
    struct list near[WHEEL_NEAR_SLOTS];  /* one tick each: 2.1 s */
    struct list far[2][WHEEL_FAR_SLOTS]; /* 2.1 s each: 134 s; 134 s each: 2.4 h */
};

void wheel_init(struct wheel *w, uint64_t now_us);
void wheel_set(struct wheel *w, struct loop_timer *t, uint64_t due_us);
/* Calls on_due of each timer that is due. */
void wheel_run(struct wheel *w, uint64_t now_us);
/* return  when wheel_run has something to do next; UINT64_MAX: never */
uint64_t wheel_next_us(struct wheel *w);

#endif
