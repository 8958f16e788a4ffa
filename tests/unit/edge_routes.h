/* SPDX-License-Identifier: Apache-2.0 */
/* Routes for a shard under test, from a builder or its octets. */
#ifndef TESTS_EDGE_ROUTES_H
#define TESTS_EDGE_ROUTES_H

#include "base/panic.h"
#include "edge/routes.h"
#include "route/route.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* A mapping of its own, which routes_new takes over.  return  NULL: memory is out */
static inline struct routes *edge_routes_of(const void *snapshot, size_t len, uint64_t revision)
{
    void *map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT(map != MAP_FAILED);
    memcpy(map, snapshot, len);
    return routes_new(map, len, revision, NULL, 0);
}

/* Takes b over. */
static inline struct routes *edge_routes_build(struct route_builder *b, uint64_t revision)
{
    size_t len;
    void *snapshot = route_builder_finish(b, &len);
    ASSERT(snapshot);
    route_builder_free(b);
    struct routes *r = edge_routes_of(snapshot, len, revision);
    free(snapshot);
    ASSERT(r);
    return r;
}

#endif
