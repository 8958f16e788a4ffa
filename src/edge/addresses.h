/* SPDX-License-Identifier: Apache-2.0 */
/* How many connections each client address has open, in all shards of the process together, and how
 * many of them were ended for abuse of late.  It is asked at accept, at the end of a connection and
 * when one is abused, never on the path of a request, so a lock is good enough.
 *
 * Who abuses a connection is cut off, and may come back at once: what bounds each connection alone
 * bounds nobody.  So an address that does it again and again is suspect: its next connections may
 * ask for less, and are heard later.  It is not locked out, for others may be behind the same
 * address. */
#ifndef EDGE_ADDRESSES_H
#define EDGE_ADDRESSES_H

#include "base/addr.h"
#include "route/limits.h"

/* Addresses without a connection that are remembered because they are suspect; the oldest is
 * forgotten for another. */
#define ADDRESSES_REMEMBERED 4096u
#define ADDRESSES_ABUSE      1000000u /* one, in millionths */

struct addresses;

/* return  NULL when memory is out */
struct addresses *addresses_new(void);
/* Nobody is in it any more; NULL allowed. */
void addresses_free(struct addresses *a);
/* One more connection from peer (IPv6: from its /64, which one host can fill).  limit 0: none
 * return  0, ERR_LIMIT: it has limit already, or ERR_NOMEM; then leave must not be called */
int addresses_enter(struct addresses *a, const struct addr *peer, uint32_t limit);
void addresses_leave(struct addresses *a, const struct addr *peer);
/* A connection of peer, which has entered, was abused: so many millionths of an abuse. */
void addresses_blame(struct addresses *a, const struct addr *peer, uint32_t micro,
                     struct limit_rate abuses, uint64_t now_us);
/* By how many abuses peer, which has entered, is beyond what it may; 0: it is not suspect.  At most
 * the burst, so that it is forgotten when that has come back. */
uint32_t addresses_excess(struct addresses *a, const struct addr *peer, struct limit_rate abuses,
                          uint64_t now_us);

#endif
