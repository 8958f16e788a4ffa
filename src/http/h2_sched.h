/* SPDX-License-Identifier: Apache-2.0 */
/* Which stream's DATA goes next.  RFC 9218 10
 *
 * The most urgent level that has a stream is served alone.  Within a level, streams that are not
 * incremental go one after the other in the order of their ids; incremental ones share, a frame at
 * a time.  When a level has both kinds they alternate frame by frame, so that one long download of
 * either kind cannot starve the other.
 *
 * A promised stream starts one level less urgent than its parent: what the client asked for comes
 * before what it did not.  A Priority field of the promised request or the client's
 * PRIORITY_UPDATE overrides that. */
#ifndef HTTP_H2_SCHED_H
#define HTTP_H2_SCHED_H

#include "http/priority.h"

struct h2_stream;

/* Rings without a head: the first to serve, or NULL. */
struct h2_sched_level {
    struct h2_stream *ordered; /* by id */
    struct h2_stream *shared;
};

struct h2_sched {
    uint8_t levels; /* bit u: level[u] has a stream */
    uint8_t turn;   /* bit u: a shared stream of level[u] goes next, if both kinds are there */
    struct h2_sched_level level[PRIORITY_URGENCY_MAX + 1];
};

void h2_sched_init(struct h2_sched *q);
static inline bool h2_sched_is_empty(const struct h2_sched *q)
{
    return q->levels == 0;
}
/* s->scheduled tells whether it is in; s->priority must not change while it is. */
void h2_sched_add(struct h2_sched *q, struct h2_stream *s);
void h2_sched_remove(struct h2_sched *q, struct h2_stream *s);
/* The stream to serve, or NULL. */
struct h2_stream *h2_sched_pick(const struct h2_sched *q);
/* A frame of s was written: the turn passes on. */
void h2_sched_served(struct h2_sched *q, struct h2_stream *s);

#endif
