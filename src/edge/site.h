/* SPDX-License-Identifier: Apache-2.0 */
/* A site is an app as one shard sees it, made from the snapshot: its rules, and the backends of its
 * instances. */
#ifndef EDGE_SITE_H
#define EDGE_SITE_H

#include "edge/backend.h"

/* Retries of requests that a worker may have acted on: one for each five requests, up to a thousand
 * at once, since a worker that dies takes all that were under way with it. */
#define SITE_RETRY_SHARE_MILLI 200u
#define SITE_RETRY_MAX_MILLI   1000000u

/* Exchanges keep the one they began with. */
struct site {
    struct shard *shard;
    uint32_t refs;
    struct slice name;
    struct route_site route; /* a copy of the numbers; texts are not valid */
    struct slice default_host;
    struct slice upgrades; /* protocols that pass opaque, joined by "," */
    struct push_rules push_rules;
    struct stats_site *stats;
    struct places *queue;     /* of the app: for those that wait */
    uint32_t next;            /* where to begin among equally loaded instances */
    uint32_t retry_milli;     /* retries that may be made, in thousandths */
    uint64_t promised_octets; /* of the shard's, this site's */
    bool has_promised;        /* a promise was seen: from then on requests are remembered */
    uint32_t count;
    struct site_instance {
        struct slice id;
        struct backend *backend;    /* NULL: not ready */
        struct backend *backend_h2; /* flag 2: HTTP20_ONLY_PORT's */
    } instances[];
};

struct site *site_new(struct shard *s, const struct routes *r, const struct route_site *route);
static inline struct site *site_ref(struct site *s)
{
    s->refs++;
    return s;
}
void site_unref(struct site *s); /* NULL allowed */

#endif
