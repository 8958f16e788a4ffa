/* SPDX-License-Identifier: Apache-2.0 */
/* A backend is an instance's address as one shard sees it: its connections, how much is under way
 * there, and whether it had better be left alone for now.  It knows nothing of apps: sites name
 * backends, and one that none names any more lingers for the next snapshot. */
#ifndef EDGE_BACKEND_H
#define EDGE_BACKEND_H

#include "edge/places.h"
#include "edge/shard.h"
#include "push/ration.h"

#define BACKEND_MAGIC 0x424b4e44u

/* A backend that no site uses any more keeps its connections for so long: the next snapshot may
 * name it again. */
#define BACKEND_LINGER_US 5000000u

/* An instance that failed is left out of the rotation for this time, doubled for each further
 * failure up to MAX; never the last one. */
#define BACKEND_BAD_US     250000u
#define BACKEND_BAD_MAX_US 10000000u

/* Connections over HTTP/2 with ENABLE_PUSH 1, and with 0. */
enum worker_class { WORKER_PUSH, WORKER_NO_PUSH, WORKER_CLASSES };

struct backend {
    uint32_t magic;
    struct shard *shard;
    struct slice key;
    struct addr address;
    uint32_t owner; /* ROUTE_ANYBODY, or the one user whose listener it may be */
    bool is_foul;   /* it sent descriptors, which no worker does: it is left alone */
    bool h2;
    uint32_t refs;         /* sites */
    uint32_t in_flight;    /* exchanges */
    struct places *places; /* the instance's; NULL: it never had a limit */
    uint32_t h1_count, h1_idle_count, h1_draining;
    size_t h1_left;       /* octets of tunnels that clients have left */
    struct ration ration; /* HTTP/1.1 connections closed because a client left */
    struct list h1_idle;  /* most recently used first, those that are being made last */
    struct list h1_busy;
    struct list h2_conns[WORKER_CLASSES]; /* the retired ones last */
    uint32_t h2_count[WORKER_CLASSES], h2_retired[WORKER_CLASSES];
    uint32_t h2_streams;   /* that a connection of it said to take; 0: none has said yet, or none */
    uint64_t unused_us;    /* since when no site names it; 0: one does */
    uint32_t failures;     /* in a row */
    uint64_t bad_until_us; /* out of rotation, unless it is the last one */
    uint64_t full_us;      /* when it last took no connection, its backlog being full */
    char text[];           /* the key's */
};

/* The backend of an instance: found by id, address and protocol, so that it outlives snapshots.
 * owner          ROUTE_ANYBODY, or the one user whose listener it may be
 * no_memory_out  set when that is why there is none; otherwise the address is at fault
 * return  referenced, or NULL */
struct backend *backend_get(struct shard *s, struct slice id, struct slice address, bool h2,
                            uint32_t owner, bool *no_memory_out);
/* A site lets go; the backend stays a while for the next snapshot to find it.  NULL allowed */
void backend_put(struct backend *b);
/* At most so many requests at the instance, 0: any number.  An instance has one count, however it
 * is spoken to.  b: NULL allowed
 * return  false: memory is out */
bool backend_set_limit(struct backend *b, struct slice id, struct slice address, uint32_t limit,
                       uint64_t revision);
/* The instance leaves the rotation for a while. */
void backend_failed(struct backend *b);

enum sweep {
    SWEEP_OLD,    /* idle ones, after WORKER_IDLE_US; h2: what takes no more streams and has none */
    SWEEP_UNUSED, /* all without an exchange, but a rest has WORKER_LEAVE_US */
    SWEEP_ALL     /* all without an exchange */
};
/* Close connections of b.  return  whether none is left */
bool backend_sweep(struct backend *b, enum sweep how);

/* Once a second: idle connections and unused backends go. */
void backends_tick(struct shard *s);
/* At the end of the shard. */
void backends_fini(struct shard *s);

#endif
