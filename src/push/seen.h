/* SPDX-License-Identifier: Apache-2.0 */
/* What a connection has promised or been asked for: a bounded memory of hashes of (authority,
 * path).  The oldest is forgotten first; a forgotten one may be pushed again, which only wastes. */
#ifndef PUSH_SEEN_H
#define PUSH_SEEN_H

#include "base/hash.h"
#include "base/pool.h"

#define PUSH_SEEN_MAX 256

/* Allocated only when the first entry comes, grows up to PUSH_SEEN_MAX entries. */
struct push_seen {
    uint32_t *ring;
    uint16_t count, cap, next;
};

void push_seen_init(struct push_seen *s);
void push_seen_fini(struct push_seen *s, struct pool *pool);
bool push_seen_has(const struct push_seen *s, const struct hash_key *key, struct slice authority,
                   struct slice path);
/* Out of memory: it is just not remembered. */
void push_seen_add(struct push_seen *s, struct pool *pool, const struct hash_key *key,
                   struct slice authority, struct slice path);

#endif
