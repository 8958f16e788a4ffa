/* SPDX-License-Identifier: Apache-2.0 */
/* What a connection was asked for, and what was pushed or hinted on it: a bounded memory of hashes
 * of (authority, path).  The oldest is forgotten first; a forgotten one may be pushed again, which
 * only wastes. */
#ifndef PUSH_SEEN_H
#define PUSH_SEEN_H

#include "base/hash.h"
#include "base/pool.h"

#define PUSH_SEEN_MAX 256

/* The client has, or is getting, what was REQUESTED or PUSHED.  Whether it asks for what was HINTED
 * (by a Link field, in a 103 or a response) is its own affair. */
enum push_seen_how {
    PUSH_SEEN_NOT,
    PUSH_SEEN_HINTED,
    PUSH_SEEN_REQUESTED,
    PUSH_SEEN_PUSHED,
};

/* Allocated only when the first entry comes, grows up to PUSH_SEEN_MAX entries of 4 octets. */
struct push_seen {
    uint32_t *ring; /* 30 bits of the hash, then how */
    uint16_t count, cap, next;
};

void push_seen_init(struct push_seen *s);
void push_seen_fini(struct push_seen *s, struct pool *pool);

enum push_seen_how push_seen_find(const struct push_seen *s, const struct hash_key *key,
                                  struct slice authority, struct slice path);
/* A hint never replaces what is known already; of a request and a push the later one counts, so
 * that a push asked for again is wasted once.  Out of memory: it is just not remembered.
 * return  how it was seen before: HINTED, now REQUESTED, is a hint that was used; PUSHED, now
 *         REQUESTED, is a push that was not */
enum push_seen_how push_seen_add(struct push_seen *s, struct pool *pool, const struct hash_key *key,
                                 struct slice authority, struct slice path, enum push_seen_how how);

#endif
