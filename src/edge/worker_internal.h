/* SPDX-License-Identifier: Apache-2.0 */
/* Between worker.c (a connection's life) and worker_use.c (what exchanges do with it). */
#ifndef EDGE_WORKER_INTERNAL_H
#define EDGE_WORKER_INTERNAL_H

#include "edge/worker.h"

/* Starts a connection.  return  NULL with *err_out: as stream_connect, or ERR_NOMEM */
struct worker *worker_new(struct backend *b, enum worker_class klass, int *err_out);
/* Output waits in the engine: write at the end of the turn. */
void worker_wants_flush(struct worker *w);
/* Close now; no exchange is attached any more.  The memory goes at the end of the turn. */
void worker_kill(struct worker *w);
/* An HTTP/1.1 connection without an exchange waits for the next one.
 * return  false: there are enough, or its peer has closed */
bool worker_keep_idle(struct worker *w);
/* An HTTP/1.1 connection without its exchange goes on until what is queued has left, for a time. */
void worker_let_finish(struct worker *w);
/* An HTTP/1.1 connection without its exchange takes the rest of the response, within bounds, and is
 * then idle.  place: the request's at the instance, given back when it has ended; NULL: none */
void worker_drain(struct worker *w, struct places *place);
/* HTTP/2: what was dropped while the ration of resets was used up is reset, as far as it allows by
 * now, when it has had time to end by itself. */
#define WORKER_DROPPED_OCTETS (WORKER_H2_STREAMS * sizeof(struct h2_stream *))
void worker_wait_to_reset(struct worker *w);
void worker_reset_dropped(struct worker *w);
void worker_forget_dropped(struct worker *w, const struct h2_stream *ws);
/* An HTTP/2 connection takes no new streams, and is closed when those that it has have ended. */
void worker_retire(struct worker *w);
/* x and its worker part; the backend no longer counts x in flight. */
void worker_detach(struct exchange *x);
/* Send the request of x on w.
 * return  0, or ERR_CLOSED: a tunnel that this worker cannot take, or what the engine says */
int worker_join(struct exchange *x, struct worker *w);
/* The instance leaves the rotation for a while. */
void backend_failed(struct backend *b);

#endif
