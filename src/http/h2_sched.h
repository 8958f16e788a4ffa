/* SPDX-License-Identifier: Apache-2.0 */
/* Which stream's DATA goes next.  RFC 9218 10
 *
 * The most urgent level that has a stream is served alone.  Within a level, streams that are not
 * incremental go one after the other in the order of their ids; incremental ones share, a frame at
 * a time.  When a level has both kinds they alternate frame by frame, so that one long download of
 * either kind cannot starve the other.
 *
 * What the client asked for comes before what it did not.  A promised stream starts one level less
 * urgent than its parent; and in a level, those that are not incremental go after all that was
 * asked for, so that they are behind a parent of the last level, too.  A Priority field of the
 * promised request gives it another level, one of the response overrides that (RFC 9218 8), and the
 * client's PRIORITY_UPDATE both: it is as good as asking.
 *
 * A promised stream may be woven into its parent at an offset of the parent's content.  It then has
 * no place of its own but goes in the parent's: until the offset is reached while the parent has
 * nothing that it may send, and from then on before the parent.  So the parent is never held up by
 * what is not there, be it late or out of window, and before the offset not by what is there
 * either. Several go by offset, then by id: that is the order in which the parent refers to them,
 * and what is met first is missed first.  Their own priorities count again when the parent has
 * ended. */
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
    uint8_t levels; /* bit u: level[u] has a place */
    uint8_t turn;   /* bit u: a shared stream of level[u] goes next, if both kinds are there */
    struct h2_sched_level level[PRIORITY_URGENCY_MAX + 1];
};

void h2_sched_init(struct h2_sched *q);
static inline bool h2_sched_is_empty(const struct h2_sched *q)
{
    return q->levels == 0;
}
/* s->scheduled tells whether it is in. */
void h2_sched_add(struct h2_sched *q, struct h2_stream *s);
void h2_sched_remove(struct h2_sched *q, struct h2_stream *s);
/* s sends no more: it is out, and neither woven nor anything into it. */
void h2_sched_leave(struct h2_sched *q, struct h2_stream *s);
/* The only one to change a priority while s, or what is woven into it, may be in.  A stream that is
 * woven itself is woven no more: its own priority is what somebody wants. */
void h2_sched_set_priority(struct h2_sched *q, struct h2_stream *s, struct priority p);
/* The stream to serve, or NULL. */
struct h2_stream *h2_sched_pick(const struct h2_sched *q);
/* A frame of s was written: the turn passes on. */
void h2_sched_served(struct h2_sched *q, struct h2_stream *s);

/* s: promised, not woven.  parent: of the same connection, not promised; it may still send. */
void h2_sched_weave(struct h2_sched *q, struct h2_stream *s, struct h2_stream *parent,
                    uint32_t parent_octets);
/* From here on neither s, if it is woven, nor what is woven into it. */
void h2_sched_unweave(struct h2_sched *q, struct h2_stream *s);
/* return  how many of the next octets of parent's content may go before something that is woven
 *         into it: at most octets */
size_t h2_sched_cut(const struct h2_stream *parent, size_t octets);

#endif
