/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's connection over HTTP/1.1: one exchange at a time.  Without one it waits for the next,
 * or it is left to end by itself: while what a client left behind still goes out (`leaving`), or
 * while an answer that nobody waits for comes in (`draining`).  How an instance is chosen, and how
 * octets come and go, it does not know. */
#ifndef EDGE_WORKER_H1_H
#define EDGE_WORKER_H1_H

#include "edge/worker_internal.h"

/* Makes its engine.  return  0 or ERR_NOMEM */
int worker_h1_init(struct worker *w);
/* One of its backend's from now on, and busy. */
void worker_h1_add(struct worker *w);
void worker_h1_remove(struct worker *w);
void worker_h1_connected(struct worker *w);
/* A connection that x may use: an idle one, or one that is being made.
 * return  NULL with *err_out: ERR_LIMIT, or as worker_new */
struct worker *worker_h1_take(struct backend *b, const struct exchange *x, int *err_out);

/* Without an exchange it waits for the next one.
 * return  false: there are enough, or its peer has closed */
bool worker_h1_keep(struct worker *w);
/* Without its exchange it goes on until what is queued has left, for a time. */
void worker_h1_finish(struct worker *w);
/* Without its exchange it takes the rest of the response, within bounds, and is then idle.
 * place  the request's at the instance, given back when it has ended; NULL: none */
void worker_h1_drain(struct worker *w, struct places *place);

/* It is lost: its exchange is told. */
void worker_h1_fail(struct worker *w, enum fault fault);
/* Of backend_sweep, its part. */
void worker_h1_sweep(struct backend *b, enum sweep how);

#endif
