/* SPDX-License-Identifier: Apache-2.0 */
/* SipHash-1-3 with a key of this process, for tables whose keys come from outside: a peer who does
 * not know the key cannot choose keys that collide. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/slice.h"

struct hash_key {
    uint64_t k[2];
};

/* Fills key from the kernel's random source. */
void hash_key_random(struct hash_key *key);
uint64_t hash_octets(const struct hash_key *key, struct slice s);

#endif
