/* SPDX-License-Identifier: Apache-2.0 */
/* Between client.c (a connection's life and its socket), client_events.c (what its engine tells)
 * and client_send.c (what exchanges send). */
#ifndef EDGE_CLIENT_INTERNAL_H
#define EDGE_CLIENT_INTERNAL_H

#include "edge/client.h"

/* It waits for a request from now on. */
void client_arm_idle(struct client *c);

extern const struct h1_events client_h1_events;
extern const struct h2_events client_h2_events;

#endif
