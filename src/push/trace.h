/* SPDX-License-Identifier: Apache-2.0 */
/* The response field Portico-Push, which tells the operator what was decided about each promise.
 * A list of RFC 9651 with one string an item, the promised URL: its path, or absolute when it is of
 * another authority.  Parameters:
 *
 *      source, vehicle, reason   tokens: the codes of the tables in promise.h and decision.h
 *      hint                      token: the reason why it was not hinted either; absent: no word
 *      octets                    integer: of the content, when it was known
 *      t                         decimal: milliseconds from the request to the decision
 *      cut                       the URL was longer than PUSH_TRACE_URL_OCTETS
 *      more                      integer, of the last item: so many followed that found no room
 *
 *      Portico-Push: "/a.css";source=worker;vehicle=push-promise;reason=ok;octets=100;t=1.25
 *
 * Pure. */
#ifndef PUSH_TRACE_H
#define PUSH_TRACE_H

#include "base/arena.h"
#include "base/slice.h"

#define PUSH_TRACE_ITEMS      64   /* of one field */
#define PUSH_TRACE_OCTETS     8192 /* of its value */
#define PUSH_TRACE_URL_OCTETS 1024

struct push_trace_item {
    struct slice url;
    bool is_cut;
    struct slice source, vehicle, reason;
    struct slice hint; /* or empty */
    int64_t octets;    /* -1: not known */
    uint64_t t_us;
};

/* out: room for cap octets.  Octets of a URL that a string cannot have are percent-encoded.
 * more: how many items there were besides; those that find no room are added to it.
 * return  octets written; 0: not one item fits */
size_t push_trace_write(char *out, size_t cap, const struct push_trace_item *items, unsigned count,
                        uint64_t more);

/* What the items point to lies in value or in the arena.  Parameters that are not known are passed
 * over; of those given twice the last counts.
 * items: room for cap; those beyond are counted in *more_out
 * return  0, or ERR_FORMAT: not such a list; ERR_NOMEM */
int push_trace_read(struct slice value, struct arena *arena, struct push_trace_item *items,
                    unsigned cap, unsigned *count_out, uint64_t *more_out);

#endif
