/* SPDX-License-Identifier: Apache-2.0 */
/* The pushes of a connection that have ended, the last PUSH_PAST_MAX of them: what they were is
 * asked when the client has its say afterwards, by a reset that came late or a request.  Of one
 * that is forgotten nothing more is told. */
#ifndef PUSH_PAST_H
#define PUSH_PAST_H

#include "base/pool.h"
#include "push/ledger.h"

#define PUSH_PAST_MAX 32

struct push_past_entry {
    struct push_ledger *ledger;  /* of its app; borrowed for the connection's life */
    struct push_ledger_row *row; /* its resource's, as long as it has row_version */
    uint32_t row_version;
    uint32_t stream_id; /* never 0 */
    uint64_t resource;  /* as push/answers.h knows it */
    uint64_t octets;    /* of content, sent */
    enum push_kind kind;
    bool is_refused; /* or cut: it is counted as wasted, or lost, already */
};

/* Allocated when the first push ends.  A new one is all zeroes. */
struct push_past {
    struct push_past_entry *at;
    uint32_t next;
};

/* Copies *e; the oldest is forgotten.  Out of memory: it is just not remembered. */
void push_past_add(struct push_past *p, struct pool *pool, const struct push_past_entry *e);
/* return  NULL: not there; else to be used before the next push_past_add */
struct push_past_entry *push_past_stream(const struct push_past *p, uint32_t stream_id);
/* The latest push of this resource. */
struct push_past_entry *push_past_resource(const struct push_past *p, uint64_t resource);
void push_past_fini(struct push_past *p, struct pool *pool);

#endif
