/* SPDX-License-Identifier: Apache-2.0 */
/* The route snapshot in force together with the certificates it names; immutable, counted, shared
 * by all shards. */
#ifndef EDGE_ROUTES_H
#define EDGE_ROUTES_H

#include "net/tls.h"
#include "route/route.h"

#include <stdatomic.h>

struct routes {
    atomic_uint refs;
    atomic_uint takers; /* shards that route by it */
    struct route route;
    const void *base; /* mapped */
    size_t len;
    uint64_t revision;
    struct tls_identity **identities; /* by certificate id; may hold NULL */
    uint32_t identity_count;
};

/* Takes over the mapping.  identities: borrowed, each is referenced.
 * return  NULL: not a valid snapshot, or memory is out (the mapping then stays the caller's) */
struct routes *routes_new(const void *base, size_t len, uint64_t revision,
                          struct tls_identity *const *identities, uint32_t identity_count);
/* Of the site that serves this authority (valid), whatever its case and port; a final dot is none.
 * return  NULL: none does */
const struct route_site *routes_find(const struct routes *r, struct slice authority);
struct routes *routes_ref(struct routes *r);
void routes_unref(struct routes *r);
/* tls_choose_fn; user is a struct shard's `struct routes **`. */
int routes_choose(void *user, struct slice server_name, struct tls_choice *out);

#endif
