/* SPDX-License-Identifier: Apache-2.0 */
/* Edge between scripted clients and two scripted workers, one a protocol, over socket pairs and
 * unix sockets, all in this thread.  Every request and every response has a number, and its content
 * is made of one octet that the number gives, so that both ends can tell:
 *  - no octet of one exchange is in another, in either direction;
 *  - what a client takes for a whole response, the worker sent whole, and the same for requests;
 *  - a request that is not idempotent is delivered once, any other to an HTTP/1.1 worker at most
 *    twice while the routes are the same, and nowhere more often than edge may try again;
 *  - what a worker promised with a page goes to nobody but who asked for the page, by whatever
 *    vehicle, and with the same Cookie;
 *  - what edge writes, the strict reader (h1_strict.h) takes for HTTP/1.1;
 *  - a line of the access log is one, whatever was asked;
 *  - connections to workers are counted as they are, and so are places at instances, which two
 *    shards share where there are limits;
 *  - what one side gives whole and the other takes does not stand still between them;
 *  - frames that say what was not agreed upon, from either side, change nothing of this;
 *  - when the clients are gone, so are the exchanges, and all memory.
 * Some clients come over TLS.  Some requests are for a WebSocket, in which both sides then say as
 * much as they like.  Meanwhile time passes, routes change, instances are left, memory gets short
 * and edge drains.
 *
 * The input is a program: an octet says what happens next, one or two say how. */
#include "base/err.h"
#include "base/log.h"
#include "base/panic.h"
#include "edge/client.h"
#include "edge/leave.h"
#include "edge/places.h"
#include "edge/shed.h"
#include "edge/suspects.h"
#include "edge/worker.h"
#include "exchange_client.h"
#include "exchange_lines.h"
#include "exchange_routes.h"
#include "exchange_tls.h"
#include "exchange_worker.h"
#include "exchange_worker_h2.h"
#include "input.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define OPS_MAX 120
#define SHARDS  2 /* the second one only where instances have limits, which they share */

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len);

static struct tls_server *tls;

/* Time passes when we say so: the program is linked with --wrap=clock_mono_us. */
uint64_t __wrap_clock_mono_us(void);
static uint64_t now_us = 1;

uint64_t __wrap_clock_mono_us(void)
{
    return now_us;
}

/* The access log is read on the spot, and never full. */
int __wrap_access_log_write(struct access_log *l, struct slice lines);
uint64_t __wrap_access_log_lost(struct access_log *l);

int __wrap_access_log_write(struct access_log *l, struct slice lines)
{
    exchange_lines_check(lines);
    return 0;
}

uint64_t __wrap_access_log_lost(struct access_log *l)
{
    return 0;
}

static void tidy(void)
{
    tls_server_free(tls);
    exchange_tls_tidy();
}

static void setup(void)
{
    log_setup("fuzz", LOG_ERROR);
    exchange_routes_init();
    tls = tls_server_new();
    ASSERT(tls);
    atexit(tidy);
}

static unsigned left, drained;

static void on_left(struct leave *l)
{
    left++;
    free(l);
}

static void on_drained(struct shard *s)
{
    drained++;
}

struct world {
    struct shard shards[SHARDS];
    uint32_t shard_count;
    void *counters;
    struct addresses *addresses;
    struct exchange_log log;
    struct exchange_client clients[EXCHANGE_CLIENTS];
    struct exchange_worker worker;
    struct exchange_worker_h2 worker_h2;
    uint64_t revision;
    unsigned leaving; /* so many instances were to be left */
    bool drains;
};

static void turn(struct world *w, unsigned turns)
{
    while (turns--) {
        now_us += 100;
        for (uint32_t i = 0; i < w->shard_count; i++)
            loop_turn(w->shards[i].loop, 0);
    }
}

static int listen_at(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
    unlink(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ASSERT(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 8) == 0);
    return fd;
}

static void put_routes(struct world *w, enum routing routing)
{
    struct routes *r = exchange_routes_new(routing, ++w->revision);
    w->log.routes++;
    for (uint32_t i = 0; i < w->shard_count; i++)
        ASSERT(mailbox_post(w->shards[i].mailbox, SHARD_ROUTES, routes_ref(r)) == 0);
    routes_unref(r);
}

static void add_shard(struct world *w)
{
    uint32_t i = w->shard_count++;
    struct shard *s = &w->shards[i];
    ASSERT(shard_init(s, i, i, tls, stats_open(w->counters, stats_octets(SHARDS, 1)),
                      (struct access_log *)w) == 0); /* nobody looks into it */
    s->peers = w->shards;
    s->addresses = w->addresses;
    s->https_port = 8443;
    s->on_left = on_left;
    s->on_drained = on_drained;
}

static void world_init(struct world *w)
{
    memset(w, 0, sizeof *w);
    w->counters = calloc(1, stats_octets(SHARDS, 1));
    w->addresses = addresses_new();
    ASSERT(w->counters && w->addresses);
    stats_init(w->counters, SHARDS, 1);
    add_shard(w);
    left = drained = 0;
    w->log.requests[EXCHANGE_PRELOADED] = (struct exchange_request){
        .is_idempotent = true, .is_sent = true, .is_h2 = true, .asked = 1000};
    put_routes(w, ROUTING_ALL);
    exchange_worker_init(&w->worker, listen_at(exchange_routes_socket(ROUTE_H1)), &w->log);
    exchange_worker_h2_init(&w->worker_h2, listen_at(exchange_routes_socket(ROUTE_H2C)), &w->log);
    turn(w, 3);
    ASSERT(w->shards[0].routes);
}

static void connect_client(struct world *w, struct exchange_client *c, bool h2, bool push,
                           bool https)
{
    int fds[2];
    struct addr peer = {.len = sizeof peer.u.in};
    peer.u.in.sin_family = AF_INET;
    peer.u.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (c == w->clients));
    ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    const int little = 4096; /* in the kernel, so that edge has to wait for this one */
    if (c == &w->clients[1])
        ASSERT(setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &little, sizeof little) == 0);
    exchange_client_init(c, fds[0], h2, push, &w->log);
    client_accept(&w->shards[c == &w->clients[2] ? w->shard_count - 1 : 0], fds[1], &peer, https);
}

/* 5: answer at once, 6: begin to, 7: go on or close */
static void step_worker(struct exchange_worker *w, uint8_t op, uint8_t how, struct input *in)
{
    unsigned conn = op >> 3 & 15;
    if ((op & 7) == 7 && how & 0x80) {
        exchange_worker_close(w, conn);
        return;
    }
    if ((op & 7) != 7)
        exchange_worker_answer(w, conn, how, input_u8(in));
    exchange_worker_send(w, conn,
                         (op & 7) == 5   ? SIZE_MAX
                         : (op & 7) == 6 ? input_u8(in) * 4u
                                         : how * 16u);
}

static void step_worker_h2(struct exchange_worker_h2 *w, uint8_t op, uint8_t how, struct input *in)
{
    unsigned conn = op >> 3 & 15;
    if ((op & 7) == 7 && how & 0x80) {
        exchange_worker_h2_close(w, conn);
        return;
    }
    if ((op & 7) != 7 && (how & 15) == 15) {
        uint8_t which = input_u8(in);
        exchange_worker_h2_misbehave(w, conn, which, input_u8(in));
    } else if ((op & 7) != 7) {
        exchange_worker_h2_answer(w, conn, how, input_u8(in));
    }
    exchange_worker_h2_send(w, conn,
                            (op & 7) == 5   ? SIZE_MAX
                            : (op & 7) == 6 ? input_u8(in) * 4u
                                            : how * 16u);
}

/* From now on edge closes no connection and resets no stream only because a client has left; but
 * time gives some back. */
static void use_up_rations(struct shard *s)
{
    size_t it = 0;
    struct backend *b;
    while ((b = map_next(&s->backends, &it)) != NULL) {
        b->ration.milli = 0;
        for (int k = 0; k < WORKER_CLASSES; k++)
            LIST_FOR(node, &b->h2_conns[k])
            {
                LIST_ENTRY(node, struct worker, node)->ration.milli = 0;
            }
    }
}

/* What is counted is what there is; where no exchange is, none is in flight. */
static void check_backends(struct shard *s)
{
    size_t it = 0;
    uint64_t conns = 0;
    const struct backend *b;
    while ((b = map_next(&s->backends, &it)) != NULL) {
        uint32_t idle = 0, busy = 0, draining = 0, retired[WORKER_CLASSES] = {0};
        LIST_FOR(node, &b->h1_idle)
        {
            idle++;
        }
        LIST_FOR(node, &b->h1_busy)
        {
            const struct worker *conn = LIST_ENTRY(node, struct worker, node);
            busy++;
            draining += conn->draining;
            ASSERT(conn->x || conn->draining || conn->leaving);
        }
        for (int k = 0; k < WORKER_CLASSES; k++)
            LIST_FOR(node, &b->h2_conns[k])
            {
                const struct worker *conn = LIST_ENTRY(node, struct worker, node);
                conns++;
                retired[k] += conn->retired;
                ASSERT(conn->left_octets <= h2_conn_queued(conn->http.h2));
                ASSERT(conn->dropped_count <= conn->draining);
            }
        conns += idle + busy;
        ASSERT(b->h2_retired[0] == retired[0] && b->h2_retired[1] == retired[1]);
        ASSERT(b->h1_idle_count == idle && b->h1_draining == draining);
        ASSERT(b->h2 || b->h1_count == idle + busy);
        ASSERT(s->open_exchanges || s->promised_octets || b->in_flight == 0);
    }
    ASSERT(stats_get(&s->stats->worker_connections_open) == conns);
}

/* Nothing is open any more. */
static void check_gauges(struct shard *s)
{
    const struct stats_site *site = stats_site_used(s->counters, s->row, 0);
    ASSERT(stats_get(&s->stats->connections_open) == 0);
    ASSERT(!site ||
           (stats_get(&site->requests_open) == 0 && stats_get(&site->requests_waiting) == 0));
}

/* As monitor does it: the routes come first. */
static void leave(struct world *w, bool h2)
{
    struct ipc_edge_leave m = {.ticket = ++w->leaving, .app = {h2 ? 'b' : 'a'}};
    struct leave *l = leave_new(&m, w->shard_count);
    put_routes(w, ROUTING_NO_INSTANCES);
    ASSERT(l);
    for (uint32_t i = 0; i < w->shard_count; i++)
        ASSERT(mailbox_post(w->shards[i].mailbox, SHARD_LEAVE, l) == 0);
}

static void drain(struct world *w, bool patient)
{
    for (uint32_t i = 0; i < w->shard_count; i++) {
        struct shard_drain *d = malloc(sizeof *d);
        ASSERT(d);
        *d = (struct shard_drain){.limit_us = 30000000, .patient = patient};
        ASSERT(mailbox_post(w->shards[i].mailbox, SHARD_DRAIN, d) == 0);
    }
    w->drains = true;
}

/* What comes from neither side. */
static void happen(struct world *w, uint8_t how, struct input *in)
{
    struct shard *s = &w->shards[w->shard_count - 1];
    enum routing routing = how >> 5 & 7;
    switch (how >> 3 & 3) {
    case 0:
        now_us += 1000ull << 2 * (how >> 5); /* to 16 s */
        break;
    case 1:
        if (left != w->leaving)
            break; /* no instance comes back before it was left */
        if ((routing == ROUTING_ONE_AT_A_TIME || routing == ROUTING_TIGHT) &&
            w->shard_count < SHARDS && !w->drains)
            add_shard(w);
        put_routes(w, routing);
        break;
    case 2:
        leave(w, how & 0x20);
        break;
    case 3:
        if (how & 0x40) /* memory is short, until the routes change */
            s->memory_most = how & 0x80 ? 0 : SHED_LEAST_OCTETS;
        else if (how & 0x80) /* or out, once, soon */
            s->pool->fail_at = s->pool->gets + 1 + (how & 0x20 ? input_u8(in) : input_u8(in) & 15);
        else if (!w->drains)
            drain(w, how & 0x20);
        break;
    }
}

/* Over TLS, of any version, for any host; perhaps it was there before. */
static void connect_secure(struct world *w, struct exchange_client *c, uint8_t how,
                           struct input *in)
{
    static const char *const names[] = {"a.test", "b.test", "c.test", NULL};
    bool h2 = how & 0x10;
    if (w->drains)
        return;
    connect_client(w, c, h2, !(how & 0x20), true);
    exchange_client_secure(c,
                           (h2 ? EXCHANGE_TLS_H2 : 0) | (how & 0x40 ? EXCHANGE_TLS_RESUME : 0) |
                               (how & 0x80 ? EXCHANGE_TLS_1_2 : 0),
                           names[input_u8(in) & 3]);
    exchange_client_send(c, SIZE_MAX);
}

static void misbehave(struct exchange_client *c, struct input *in)
{
    uint8_t which = input_u8(in);
    exchange_client_misbehave(c, which, input_u8(in));
    exchange_client_send(c, SIZE_MAX);
}

static void step(struct world *w, struct input *in)
{
    uint8_t op = input_u8(in), how = input_u8(in);
    struct exchange_client *c = &w->clients[(op >> 3) % EXCHANGE_CLIENTS];
    if (c->fd < 0 && (op & 7) < 3 && w->drains)
        return; /* edge does not listen any more */
    if (c->fd < 0 && (op & 7) < 3)
        connect_client(w, c, op & 0x40, !(op & 0x80), false);
    switch (op & 7) {
    case 0:
        exchange_client_ask(c, how, input_u8(in));
        exchange_client_send(c, SIZE_MAX);
        break;
    case 1:
        exchange_client_ask(c, how, input_u8(in));
        break;
    case 2:
        exchange_client_send(c, how * 4u);
        break;
    case 3:
        exchange_client_read(c, how & 0x80 ? SIZE_MAX : how * 8u);
        break;
    case 4:
        if (how & 2)
            for (uint32_t i = 0; i < w->shard_count; i++)
                use_up_rations(&w->shards[i]);
        if (how & 4)
            happen(w, how, in);
        else if (how & 8 && c->fd < 0)
            connect_secure(w, c, how, in);
        else if (how & 8)
            misbehave(c, in);
        else if (c->fd >= 0)
            exchange_client_end(c, how);
        break;
    default:
        if (op & 0x80)
            step_worker_h2(&w->worker_h2, op, how, in);
        else
            step_worker(&w->worker, op, how, in);
    }
    turn(w, 2);
    exchange_worker_read(&w->worker);
    exchange_worker_h2_read(&w->worker_h2);
    turn(w, op & 0x80 ? 1 : 0);
    for (uint32_t i = 0; i < w->shard_count; i++)
        check_backends(&w->shards[i]);
}

static bool is_busy(const struct world *w)
{
    for (uint32_t i = 0; i < w->shard_count; i++)
        if (w->shards[i].open_exchanges || !list_empty(&w->shards[i].clients))
            return true;
    return false;
}

/* Places at an instance that are taken for requests of which nobody wants the answer any more. */
static uint32_t abandoned(const struct world *w, const struct places *p)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->shard_count; i++) {
        size_t it = 0;
        const struct backend *b;
        while ((b = map_next(&w->shards[i].backends, &it)) != NULL)
            LIST_FOR(node, &b->h1_busy)
            {
                n += LIST_ENTRY(node, struct worker, node)->place == p;
            }
    }
    return n;
}

static void check_places(const struct world *w, struct shard *s)
{
    size_t it = 0;
    const struct backend *b;
    while ((b = map_next(&s->backends, &it)) != NULL)
        ASSERT(!b->places || places_taken(b->places) == abandoned(w, b->places));
    for (int host = 0; host < 3; host++) {
        struct places *queue = places_get(slice_of(&"abc"[host], 1));
        ASSERT(queue && places_taken(queue) == 0);
        places_unref(queue);
    }
}

/* Nobody is there any more. */
static void check_rest(struct shard *s)
{
    size_t it = 0;
    const struct backend *b;
    while ((b = map_next(&s->backends, &it)) != NULL)
        ASSERT(b->in_flight == 0);
    ASSERT(s->promised_octets == 0);
    if (s->open_exchanges || !list_empty(&s->clients))
        PANIC("%u exchanges and %s are left when nobody is there", s->open_exchanges,
              list_empty(&s->clients) ? "no client" : "a client");
    check_backends(s);
    check_gauges(s);
}

/* Whoever has something to say or to take does. */
static void pump(struct world *w)
{
    for (unsigned k = 0; k < EXCHANGE_CLIENTS; k++) {
        if (w->clients[k].fd < 0)
            continue;
        exchange_client_send(&w->clients[k], SIZE_MAX);
        exchange_client_read(&w->clients[k], SIZE_MAX);
    }
    turn(w, 2);
    exchange_worker_read(&w->worker);
    exchange_worker_h2_read(&w->worker_h2);
    for (unsigned k = 0; k < EXCHANGE_CONNS; k++)
        exchange_worker_send(&w->worker, k, SIZE_MAX);
    for (unsigned k = 0; k < EXCHANGE_H2_CONNS; k++)
        exchange_worker_h2_send(&w->worker_h2, k, SIZE_MAX);
    turn(w, 2);
}

static bool is_asked(const struct world *w, int request)
{
    for (unsigned k = 0; k < EXCHANGE_CLIENTS; k++)
        if (exchange_client_asks(&w->clients[k], request))
            return true;
    return false;
}

/* Whether anybody waits for the rest of what the other side gives whole. */
static bool is_awaited(const struct world *w)
{
    for (unsigned k = 0; k < EXCHANGE_CLIENTS; k++)
        if (exchange_client_awaits(&w->clients[k]))
            return true;
    for (unsigned k = 0; k < EXCHANGE_CONNS; k++)
        if (is_asked(w, exchange_worker_awaits(&w->worker, k)))
            return true;
    for (unsigned k = 0; k < EXCHANGE_H2_CONNS; k++)
        for (unsigned i = 0; i < EXCHANGE_H2_STREAMS; i++)
            if (is_asked(w, exchange_worker_h2_awaits(&w->worker_h2, k, i)))
                return true;
    return false;
}

static size_t octets_come(const struct world *w)
{
    size_t n = w->worker.in_octets + w->worker_h2.in_octets;
    for (unsigned k = 0; k < EXCHANGE_CLIENTS; k++)
        n += w->clients[k].in_octets;
    return n;
}

/* It does not stand still on its way. */
static void check_flow(struct world *w)
{
    for (unsigned still = 0; is_awaited(w);) {
        size_t before = octets_come(w);
        pump(w);
        still = octets_come(w) == before ? still + 1 : 0;
        if (still == 10)
            PANIC("%s stands still", "what somebody waits for");
    }
}

/* Everything that was begun goes on to its end, or half of it is just left. */
static void finish(struct world *w)
{
    for (unsigned i = 0; i < 6; i++)
        pump(w);
    check_flow(w);
    for (unsigned k = 0; k < EXCHANGE_CLIENTS; k++)
        if (w->clients[k].fd >= 0)
            exchange_client_end(&w->clients[k], 0);
    for (unsigned i = 0; i < 50 && is_busy(w); i++) {
        now_us += SUSPECTS_WAIT_MAX_US / 40; /* until a suspect is heard, who has gone */
        turn(w, 1);
        exchange_worker_read(&w->worker); /* it closes what a client has closed */
        exchange_worker_h2_hang_up(&w->worker_h2);
        exchange_worker_h2_read(&w->worker_h2);
    }
    turn(w, 2 * SHARDS); /* a place may be on its way from one to the other */
    for (uint32_t i = 0; i < w->shard_count; i++) {
        check_rest(&w->shards[i]);
        check_places(w, &w->shards[i]);
    }
    for (unsigned i = 0; i < 40 && left != w->leaving; i++) { /* the rest of what was cut */
        now_us += 1000000;
        turn(w, 1);
    }
    if (left != w->leaving || drained != w->drains * w->shard_count)
        PANIC("%u of %u instances were left, %u shards are drained", left, w->leaving, drained);
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
    static struct world world;
    struct input in = {octets, len};
    if (!tls)
        setup();
    world_init(&world);
    for (unsigned k = 0; k < EXCHANGE_CLIENTS; k++)
        world.clients[k].fd = -1;
    for (unsigned ops = 0; ops < OPS_MAX && in.left; ops++)
        step(&world, &in);
    finish(&world);
    exchange_worker_fini(&world.worker);
    exchange_worker_h2_fini(&world.worker_h2);
    for (uint32_t i = 0; i < world.shard_count; i++)
        world.shards[i].peers = NULL;
    for (uint32_t i = 0; i < world.shard_count; i++)
        shard_fini(&world.shards[i]);
    addresses_free(world.addresses);
    free(world.counters);
    return 0;
}
