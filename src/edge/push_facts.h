/* SPDX-License-Identifier: Apache-2.0 */
/* What the decision about a promise needs to know, gathered from the connections, the routes and
 * what was learned; and the learning. */
#ifndef EDGE_PUSH_FACTS_H
#define EDGE_PUSH_FACTS_H

#include "edge/push_vehicle.h"

/* What the client has; where several clients share the connection, what this page promised. */
struct push_seen *push_memory(const struct exchange *x);
/* pr: the worker's response to it, as far as it has come; or NULL */
struct push_facts push_facts(struct exchange *x, const struct push_promise *p,
                             const struct promised *pr);
/* As push/answers.h knows it: of x's app and of the scheme of its connection. */
uint64_t push_resource(const struct exchange *x, struct slice authority, struct slice path);
/* A final response head of x has come from a worker; the response has ended well. */
void push_learn_head(struct exchange *x, const struct http_head *response);
void push_learn_end(struct exchange *x);

#endif
