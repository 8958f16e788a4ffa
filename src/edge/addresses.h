/* SPDX-License-Identifier: Apache-2.0 */
/* How many connections each client address has open, in all shards of the process together.  It is
 * asked once at accept and once at the end of a connection, never on the path of a request, so a
 * lock is good enough. */
#ifndef EDGE_ADDRESSES_H
#define EDGE_ADDRESSES_H

#include "base/addr.h"

struct addresses;

/* return  NULL when memory is out */
struct addresses *addresses_new(void);
/* Nobody is in it any more; NULL allowed. */
void addresses_free(struct addresses *a);
/* One more connection from peer (IPv6: from its /64, which one host can fill).
 * return  0, ERR_LIMIT: it has limit already, or ERR_NOMEM; then leave must not be called */
int addresses_enter(struct addresses *a, const struct addr *peer, uint32_t limit);
void addresses_leave(struct addresses *a, const struct addr *peer);

#endif
