/* SPDX-License-Identifier: Apache-2.0 */
/* A shard is one loop's world: its listeners, clients, worker connections and counters.  Shards
 * share nothing but the immutable routes, the TLS server with its ticket keys, the log writer, the
 * count of connections by address, and where an app has limits the count of its places (places.h).
 */
#ifndef EDGE_SHARD_H
#define EDGE_SHARD_H

#include "push/answers.h"
#include "push/consent.h"
#include "base/chain.h"
#include "base/clock.h"
#include "base/map.h"
#include "edge/access_log.h"
#include "edge/addresses.h"
#include "edge/routes.h"
#include "net/loop.h"
#include "net/stream.h"
#include "stats/stats.h"

struct client;
struct site;
struct leave;
struct shard_lines;

#define SHARD_MAGIC 0x53485244u

/* Largest run of octets read from a socket at once. */
#define SHARD_READ_OCTETS (64u << 10)
/* The receive chunk, so that it fills one block of the pool. */
#define SHARD_RX_OCTETS (SHARD_READ_OCTETS - (uint32_t)sizeof(struct chunk))
/* So many of them at most are filled by one read. */
#define SHARD_RX_CHUNKS 4
/* Octets a connection may read in one turn before others get theirs; it may write one burst. */
#define SHARD_TURN_OCTETS (SHARD_RX_CHUNKS * SHARD_RX_OCTETS)
/* A response or request body waiting beyond HIGH stops its source, which goes on below LOW. */
#define QUEUE_HIGH_OCTETS (256u << 10)
#define QUEUE_LOW_OCTETS  (64u << 10)
/* The same of a response on a client's connection that has very much waiting; LOW is a quarter. */
#define QUEUE_TIGHT_OCTETS (16u << 10)

struct edge_listener {
    struct loop_source source;
    struct shard *shard;
    bool https;
    bool is_short; /* descriptors ran out, and somebody may wait in the backlog */
    uint16_t port;
    struct loop_task again; /* the share of a turn was used up, or descriptors ran out */
    struct loop_timer retry;
    struct edge_listener *next;
};

struct shard {
    uint32_t magic;
    uint32_t index;
    uint32_t row; /* of the counters: nobody else writes to it */
    struct loop *loop;
    struct pool *pool;
    struct tls_server *tls;
    struct tls_ciphers *ciphers;
    struct routes *routes;    /* in force; shared */
    struct site **sites;      /* by index in routes; made when first asked for */
    struct map backends;      /* struct backend by key */
    int diag;                 /* -1: the kernel does not tell whose a TCP socket is */
    uint64_t tell_foreign_us; /* not before */
    const char *root;         /* that directory is "/" to us; NULL: our root is the machine's */
    uint32_t count;           /* of all shards */
    uint64_t machine_octets;  /* of memory, for all processes of the machine */
    uint64_t memory_most;     /* octets that the pool may have given out: see shed.h */
    struct loop_task shed;
    bool is_packed; /* by many who hold little: nobody new is taken */
    struct list clients;
    struct list handshakes; /* clients that have sent something of theirs */
    struct loop_task handshake;
    struct list waiting;  /* exchanges without an instance, see waiting.h */
    struct list handed;   /* those of them that have got a place */
    uint32_t waiting_any; /* those that any end of an exchange here may help */
    struct loop_timer waiting_timer;
    struct loop_task waiting_room, waiting_handed;
    struct shard *peers; /* all shards, by index; NULL: no other can be reached */
    struct edge_listener *listeners;
    struct {                                   /* what was read this moment, see engine_read */
        struct chunk *chunks[SHARD_RX_CHUNKS]; /* replaced when somebody keeps a part; or NULL */
        struct chunk *now;                     /* of them, whose octets are being looked at */
        unsigned next;
        size_t left; /* octets, from the beginning of chunks[next] on */
    } rx;
    struct stats counters;
    struct stats_loop *stats;
    struct { /* what it has of the loop's and the pool's own counts */
        struct loop_calls calls;
        uint64_t allocs;
    } counted;
    struct access_log *log;
    struct addresses *addresses; /* of the process; NULL: connections are not counted */
    struct {                     /* since the last tick, for one line in the log */
        uint32_t count;
        const char *what, *why;
        struct addr peer;
    } refused;
    struct buf log_lines; /* of this turn */
    struct loop_task log_flush;
    uint64_t log_second; /* of the wall clock, that log_stamp is of; 0: none */
    char log_stamp[CLOCK_ISO_OCTETS];
    struct hash_key seen_key;
    struct push_answers answers; /* what was learned of all apps' */
    struct push_consent_kinds kinds;
    uint64_t promised_octets;  /* of content that nobody takes yet */
    uint64_t id_high, id_next; /* request ids */
    struct shard_lines *lines; /* SHARD_LINES of them; NULL before the first */
    uint32_t lines_next;       /* to be taken */
    uint64_t wall_base_us;     /* wall clock minus monotonic, refreshed each second */
    char date[CLOCK_HTTP_DATE_OCTETS];
    struct loop_timer tick;
    struct mailbox *mailbox;
    uint16_t https_port; /* of the first https listener, for redirects; 0: none */
    bool draining;
    bool patient; /* while draining: see ipc_edge_drain */
    uint64_t drain_until_us;
    uint32_t drain_cut; /* exchanges that had not ended then */
    uint32_t open_exchanges;
    void (*on_drained)(struct shard *s); /* called on the shard's loop, once */
    void (*on_routes)(struct routes *r); /* it routes by r from now on */
    struct list leaves;                  /* instances that are being left, see leave.h */
    struct loop_task leave_task;
    void (*on_left)(struct leave *l); /* called on the loop of the last shard to leave; or NULL */
};

/* What requests of one client have in common on their way to HTTP/1.1 workers: see forward.c. */
#define SHARD_LINES 128
struct shard_lines {
    const struct client *of; /* or NULL */
    struct buf text;
};

struct shard_drain {
    uint64_t limit_us;
    bool patient;
};

/* Messages to a shard's mailbox. */
enum shard_mail {
    SHARD_ROUTES, /* struct routes *, a reference is given */
    SHARD_DRAIN,  /* struct shard_drain *, given */
    SHARD_LEAVE,  /* struct leave *, kept until on_left */
    SHARD_PLACE,  /* struct places *, one place of it and a reference are given */
    SHARD_STOP,   /* NULL: leave the loop */
};

/* return  0, ERR_NOMEM or ERR_SYS */
int shard_init(struct shard *s, uint32_t index, uint32_t row, struct tls_server *tls,
               struct stats counters, struct access_log *log);
/* Frees what is left; clients are closed, and nobody is told of that. */
void shard_fini(struct shard *s);
/* fd is given. */
int shard_listen(struct shard *s, int fd, bool https, uint16_t port);
/* The runtime of a site of the routes in force.  return  NULL when memory is out */
struct site *shard_site(struct shard *s, const struct route_site *route);
/* The limits in force. */
static inline const struct limits *shard_limits(const struct shard *s)
{
    return s->routes ? &s->routes->route.header->limits : &limits_default;
}
/* A client was refused something; what, why: constant texts. */
void shard_note_refusal(struct shard *s, const struct addr *peer, const char *what,
                        const char *why);
/* The chunk that octets lie in, when they lie in s->rx.now; else NULL. */
static inline struct chunk *shard_chunk_of(const struct shard *s, struct slice octets)
{
    const struct chunk *c = s->rx.now;
    return c && octets.p >= c->octets && octets.p < c->octets + c->cap ? s->rx.now : NULL;
}
static inline uint64_t shard_now_us(const struct shard *s)
{
    return loop_now_us(s->loop);
}
/* The last client is gone while draining? */
void shard_check_drained(struct shard *s);

#endif
