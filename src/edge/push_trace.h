/* SPDX-License-Identifier: Apache-2.0 */
/* What was decided about the promises of a response, told to the operator in its Portico-Push field
 * (push/trace.h).  A request asks for it with Portico-Push-Token, whose digest the routes have;
 * with any other token it is a request like all others. */
#ifndef EDGE_PUSH_TRACE_H
#define EDGE_PUSH_TRACE_H

#include "edge/exchange.h"
#include "push/decision.h"

/* A request was admitted: sets x->trace if its token fits. */
void push_trace_begin(struct exchange *x);
/* Something was decided about a promise of x's response. */
void push_trace_add(struct exchange *x, const struct push_promise *p, struct push_decision d,
                    int64_t octets);
/* Adds the field with what was decided since the last call; out lives in x's arena.  Out of memory:
 * it is left out.  return  whether there is one */
bool push_trace_take(struct exchange *x, struct fields *out);

#endif
