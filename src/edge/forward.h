/* SPDX-License-Identifier: Apache-2.0 */
/* How heads change on their way through: hop-by-hop fields go, forged forwarding fields go, ours
 * come. */
#ifndef EDGE_FORWARD_H
#define EDGE_FORWARD_H

#include "edge/exchange.h"

/* Fill x->forward from x->request for a worker.  h2: the worker's connection is h2c.
 * has_content: content or trailers go with it, or may.
 * return  0 or ERR_NOMEM, ERR_FIELDS_TOO_LARGE */
int forward_request(struct exchange *x, bool h2, bool has_content);
/* The lines that forward_request keeps of this client, if it does, are no longer true. */
void forward_forget(struct client *c);
/* At the end of the shard. */
void forward_fini(struct shard *s);
/* How often a Portico has passed the request on, by its Via.  RFC 9110 7.6.3 */
uint32_t forward_hops(const struct http_head *request);
/* Whether the request is to go no further than here: OPTIONS or TRACE with Max-Forwards: 0.
 * RFC 9110 7.6.2 */
bool forward_is_last_hop(const struct http_head *request);
/* "https" or "http", if a trusted proxy says by which the request came to it (X-Forwarded-Proto),
 * and no two things; else "". */
struct slice forward_said_scheme(const struct exchange *x);
/* The response's head as the client gets it, from a worker's.  out's fields lie in the arena.
 * return  0 or ERR_NOMEM */
int forward_response(struct exchange *x, const struct http_head *in, struct http_head *out);
/* Fields of a trailer section that may go on.  return 0 or ERR_NOMEM */
int forward_trailers(struct arena *arena, const struct fields *in, struct fields *out);

#endif
