/* SPDX-License-Identifier: Apache-2.0 */
/* The waiting room of a shard: requests for which no instance can be had right now, because the
 * instances of their app are starting or as busy as they may be.  First come, first served for each
 * app; bounded in number and in time. */
#ifndef EDGE_WAITING_H
#define EDGE_WAITING_H

#include "edge/exchange.h"

#define WAITING_START_US 5000000u /* for an instance that is being started */
#define WAITING_RETRY_US 100000u  /* at least so often each is tried again */

/* x waits; why is what it fails with when time is up.
 * return  false: the room is full, or x has waited long enough */
bool waiting_enter(struct exchange *x, enum fault why);
/* x leaves, however it goes on. */
void waiting_leave(struct exchange *x);
/* Try those who wait, in order: after a new snapshot, when an instance has room again, at times. */
void waiting_retry(struct shard *s);
void waiting_init(struct shard *s);

#endif
