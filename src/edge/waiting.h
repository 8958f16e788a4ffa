/* SPDX-License-Identifier: Apache-2.0 */
/* The waiting room of a shard: requests for which no instance can be had right now, because the
 * instances of their app are starting or as busy as they may be.  Connections have their turn one
 * after the other, however many requests each has waiting; those of one are first come, first
 * served.  Bounded in number, over all shards, and in time; where the room is full, the last turn
 * in a shard makes room for an earlier one. */
#ifndef EDGE_WAITING_H
#define EDGE_WAITING_H

#include "edge/exchange.h"
#include "edge/places.h"

#define WAITING_START_US 5000000u /* for an instance that is being started */
#define WAITING_RETRY_US 100000u  /* at least so often each is tried again */

/* x waits; why is what it fails with when time is up.  for_room: the end of any exchange here may
 * help it.
 * return  false: the room is full, or x has waited long enough */
bool waiting_enter(struct exchange *x, enum fault why, bool for_room);
/* x waits no longer, however it goes on. */
void waiting_leave(struct exchange *x);
/* Try those who wait, in order: after a new snapshot, at times. */
void waiting_retry(struct shard *s);
/* One place of p is given back: to who waits for it and has the turn, here or in another shard, or
 * it is free. */
void waiting_hand_on(struct shard *s, struct places *p);
/* Another shard has handed one over, with a reference to p. */
void waiting_take_place(struct shard *s, struct places *p);
void waiting_init(struct shard *s);

#endif
