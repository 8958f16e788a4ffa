/* SPDX-License-Identifier: Apache-2.0 */
/* A resource as a number, for memories that are bounded: the hash of what its URL is made of.  Two
 * resources with the same hash are one to them, which costs a wrong guess, never a wrong answer. */
#ifndef PUSH_RESOURCE_H
#define PUSH_RESOURCE_H

#include "base/hash.h"

/* authority: of any length, without regard to ASCII case; path: with its query.
 * scope: whatever else tells them apart, such as app and scheme; may be empty. */
uint64_t push_resource_hash(const struct hash_key *key, struct slice scope, struct slice authority,
                            struct slice path);

#endif
