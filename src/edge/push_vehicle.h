/* SPDX-License-Identifier: Apache-2.0 */
/* Where push meets the connections: gathers the facts of a promise, asks for the decision, and
 * drives the vehicle. */
#ifndef EDGE_PUSH_VEHICLE_H
#define EDGE_PUSH_VEHICLE_H

#include "edge/exchange.h"

/* A worker promised `ws` on x's stream: relay it, or refuse it within the ration. */
void push_from_worker(struct exchange *x, struct worker *w, struct h2_stream *ws,
                      const struct http_head *head);
/* A 103 or final response of x with Link fields is about to be passed on: promises go first
 * (RFC 9113 8.4: before anything that references them). */
void push_from_links(struct exchange *x, const struct http_head *response);
/* A pushed exchange has ended. */
void push_ended(struct exchange *x, bool complete, uint32_t h2_code);

#endif
