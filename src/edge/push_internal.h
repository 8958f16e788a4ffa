/* SPDX-License-Identifier: Apache-2.0 */
/* Between push_client.c (what a connection has, asked for and did with what it got), push_page.c
 * (a response whose promises are not decided yet) and push_vehicle.c (the decision is carried
 * out). */
#ifndef EDGE_PUSH_INTERNAL_H
#define EDGE_PUSH_INTERNAL_H

#include "edge/push_vehicle.h"

/* ---- push_client.c ---- */

/* return  what is known of x's connection; NULL when memory is out: then nothing is pushed */
struct push_client *push_client_of(struct exchange *x);
/* return  how the connection knew it before */
enum push_seen_how push_remember(struct exchange *x, const struct http_head *request,
                                 enum push_seen_how how);
/* x: whose client and path it is of: the page's for a promise, else the resource's own.
 * return  the resource's row */
struct push_ledger_row *push_count_fate(struct exchange *x, enum push_fate fate, uint64_t octets,
                                        enum push_vehicle vehicle, struct slice path);

/* ---- push_page.c ---- */

/* return  whether x->page is there; false: memory is out */
bool push_page_ensure(struct exchange *x);
/* push_before_flush is called at the end of this turn. */
void push_settle_soon(struct client *c);

/* ---- push_vehicle.c ---- */

/* pr: what is kept of the worker's response, or NULL; ws: its stream, if nothing is. */
void push_carry_out(struct exchange *x, const struct push_promise *p, const struct push_facts *f,
                    struct push_decision d, struct promised *pr, struct worker *w,
                    struct h2_stream *ws);
/* The ledger and the trace are told of a decision. */
void push_record(struct exchange *x, const struct push_promise *p, const struct push_facts *f,
                 struct push_decision d);
/* Hints that wait leave as a 103, if the response's head has not. */
void push_send_hints(struct exchange *x);
/* What the app's configuration promises with x's path. */
void push_from_configuration(struct exchange *x);

#endif
