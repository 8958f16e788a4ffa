/* SPDX-License-Identifier: Apache-2.0 */
#include "push/resource.h"

/* What came before goes into the key of what follows: no octets have to be joined, and it matters
 * where one part ends. */
static uint64_t follow(const struct hash_key *key, uint64_t before, struct slice part)
{
    struct hash_key k = {{key->k[0], key->k[1] ^ before}};
    return hash_octets(&k, part);
}

/* In pieces, so that no length needs memory. */
static uint64_t follow_folded(const struct hash_key *key, uint64_t before, struct slice part)
{
    char piece[128];
    while (part.len >= sizeof piece) {
        for (size_t i = 0; i < sizeof piece; i++)
            piece[i] = (char)ascii_lower((unsigned char)part.p[i]);
        before = follow(key, before, slice_of(piece, sizeof piece));
        part = slice_of(part.p + sizeof piece, part.len - sizeof piece);
    }
    for (size_t i = 0; i < part.len; i++)
        piece[i] = (char)ascii_lower((unsigned char)part.p[i]);
    return follow(key, before, slice_of(piece, part.len)); /* shorter than those before it */
}

uint64_t push_resource_hash(const struct hash_key *key, struct slice scope, struct slice authority,
                            struct slice path)
{
    uint64_t h = scope.len ? follow(key, 0, scope) : 0;
    h = follow_folded(key, h, authority);
    return follow(key, h, path);
}
