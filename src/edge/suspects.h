/* SPDX-License-Identifier: Apache-2.0 */
/* What a client's connection has to do with its address: how many it may have, and what becomes of
 * those whose earlier connections were abused (addresses.h).  Trusted proxies are not counted, for
 * all come from there. */
#ifndef EDGE_SUSPECTS_H
#define EDGE_SUSPECTS_H

#include "edge/client.h"

/* A suspect waits so long for each abuse that is too many. */
#define SUSPECTS_WAIT_US     200000u
#define SUSPECTS_WAIT_MAX_US 1000000u
/* So many TLS handshakes that do not end are as bad as one abuse: the first flight of a client,
 * which it may send again and again, costs us a signature; but who does not trust a certificate
 * ends so. */
#define SUSPECTS_HANDSHAKES 10u

/* return  0, ERR_LIMIT: the address has too many connections, or ERR_NOMEM */
int suspects_enter(struct client *c);
void suspects_leave(struct client *c);
/* return  how long it waits before it is heard, in microseconds; 0: it is no suspect */
uint64_t suspects_delay_us(struct client *c);
/* c was ended for abuse. */
void suspects_blame(struct client *c);
/* c ends, and its TLS handshake has not.  Who has said nothing, or was not heard, cost nothing. */
void suspects_no_handshake(struct client *c);
/* The client has closed c.  Requests that it leaves behind are as good as reset, and to go just
 * before the resets are too many, and to come again, does not help. */
void suspects_left(struct client *c);

#endif
