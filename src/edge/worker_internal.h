/* SPDX-License-Identifier: Apache-2.0 */
/* Between worker.c (a connection's life and its socket), worker_h1.c and worker_h2.c (what one
 * protocol makes of it), and worker_use.c (what exchanges do with it). */
#ifndef EDGE_WORKER_INTERNAL_H
#define EDGE_WORKER_INTERNAL_H

#include "edge/worker.h"

/* Starts a connection.  return  NULL with *err_out: as stream_connect, or ERR_NOMEM */
struct worker *worker_new(struct backend *b, enum worker_class klass, int *err_out);
/* Output waits in the engine: write at the end of the turn. */
void worker_wants_flush(struct worker *w);
/* Close now; no exchange is attached any more.  The memory goes at the end of the turn. */
void worker_kill(struct worker *w);

/* Send the request of x on w.
 * return  0, or ERR_CLOSED: a tunnel that this worker cannot take, or what the engine says */
int worker_join(struct exchange *x, struct worker *w);
/* x and its worker part; the backend no longer counts x in flight. */
void worker_detach(struct exchange *x);

#endif
