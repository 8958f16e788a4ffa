/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's connection over HTTP/2, which exchanges share.  It takes new streams until it is
 * retired, and is closed when those that it has then have ended.  Streams that nobody wants any
 * more are reset within its ration (push/ration.h), or end by themselves, within bounds.  How an
 * instance is chosen, and how octets come and go, it does not know. */
#ifndef EDGE_WORKER_H2_H
#define EDGE_WORKER_H2_H

#include "edge/worker_internal.h"

#define WORKER_DROPPED_OCTETS (WORKER_H2_STREAMS * sizeof(struct h2_stream *))

/* Makes its engine.  return  0 or ERR_NOMEM */
int worker_h2_init(struct worker *w);
/* One of its backend's from now on. */
void worker_h2_add(struct worker *w);
void worker_h2_remove(struct worker *w);
void worker_h2_connected(struct worker *w);
/* A connection that takes one more stream, or one that is being made.
 * has_content  rather one whose window is not used up, perhaps by an upload that is stuck
 * return  NULL with *err_out: ERR_LIMIT, or as worker_new */
struct worker *worker_h2_take(struct backend *b, enum worker_class klass, bool has_content,
                              int *err_out);
/* Whether one more field section may wait on it. */
bool worker_h2_takes_section(const struct worker *w);

/* Resets ws if the ration allows, else as much of its response as a window takes is read and thrown
 * away, and it is reset later if that was not all.  return  whether it was reset */
bool worker_h2_drop(struct worker *w, struct h2_stream *ws);
/* What was dropped while the ration was used up is reset, as far as it allows by now: its timer. */
void worker_h2_reset_dropped(struct worker *w);
/* ws goes on without its exchange, as long as there is room for the rest of its request. */
void worker_h2_leave(struct worker *w, struct h2_stream *ws);
bool worker_h2_has_room(const struct worker *w, const struct h2_stream *ws);

/* Failed, or nothing but answers that nobody reads is left on it. */
bool worker_h2_is_finished(const struct worker *w);
/* It is lost: every exchange on it is told. */
void worker_h2_fail(struct worker *w, enum fault fault);
/* Of backend_sweep, its part. */
void worker_h2_sweep(struct backend *b, enum sweep how);

#endif
