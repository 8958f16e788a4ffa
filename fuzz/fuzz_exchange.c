/* SPDX-License-Identifier: Apache-2.0 */
/* Edge between scripted clients and a scripted worker, over socket pairs and a unix socket, all in
 * this thread.  Every request and every response has a number, and its content is made of one octet
 * that the number gives, so that both ends can tell:
 *  - no octet of one exchange is in another, in either direction;
 *  - what a client takes for a whole response, the worker sent whole, and the same for requests;
 *  - a request that is not idempotent is delivered once, any other at most twice;
 *  - what edge writes, the strict reader (h1_strict.h) takes for HTTP/1.1;
 *  - when the clients are gone, so are the exchanges, and all memory.
 *
 * The input is a program: an octet says what happens next, one or two say how. */
#include "base/err.h"
#include "base/panic.h"
#include "edge/client.h"
#include "edge/shard.h"
#include "exchange_client.h"
#include "exchange_worker.h"
#include "input.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define OPS_MAX 120

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len);

static char directory[] = "/tmp/portico-fuzz-XXXXXX";
static char socket_path[64];
static void *snapshot;
static size_t snapshot_len;
static struct tls_server *tls;

static void tidy(void)
{
    unlink(socket_path);
    rmdir(directory);
    free(snapshot);
    tls_server_free(tls);
}

static void setup(void)
{
    struct route_site site = {.flags = ROUTE_HTTP20 | ROUTE_DEFAULT,
                              .request_timeout_ms = 60000,
                              .idle_timeout_ms = 60000,
                              .queue = 10,
                              .body_limit_octets = 1u << 30};
    char address[80];
    ASSERT(mkdtemp(directory));
    snprintf(socket_path, sizeof socket_path, "%s/w", directory);
    snprintf(address, sizeof address, "unix:%s", socket_path);
    struct route_builder *b = route_builder_new(1);
    ASSERT(b && route_builder_site(b, SLICE("a"), &site) == 0 &&
           route_builder_host(b, SLICE("a.test")) == 0 &&
           route_builder_instance(b, SLICE("a/0"), slice_str(address), SLICE(""), ROUTE_READY,
                                  ROUTE_H1) == 0);
    snapshot = route_builder_finish(b, &snapshot_len);
    route_builder_free(b);
    tls = tls_server_new();
    ASSERT(snapshot && tls);
    atexit(tidy);
}

struct world {
    struct shard shard;
    void *counters;
    struct exchange_log log;
    struct exchange_client clients[EXCHANGE_CLIENTS];
    struct exchange_worker worker;
};

static void turn(struct world *w, unsigned turns)
{
    while (turns--)
        loop_turn(w->shard.loop, 0);
}

static void world_init(struct world *w)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    memset(w, 0, sizeof *w);
    w->counters = calloc(1, stats_octets(1, 1));
    ASSERT(w->counters);
    stats_init(w->counters, 1, 1);
    ASSERT(shard_init(&w->shard, 0, 0, tls, stats_open(w->counters, stats_octets(1, 1)), NULL) ==
           0);
    void *map = /* routes_new takes it over */
        mmap(NULL, snapshot_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT(map != MAP_FAILED);
    memcpy(map, snapshot, snapshot_len);
    struct routes *r = routes_new(map, snapshot_len, 1, NULL, 0);
    ASSERT(r && mailbox_post(w->shard.mailbox, SHARD_ROUTES, r) == 0);
    memcpy(at.sun_path, socket_path, sizeof socket_path);
    unlink(socket_path);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ASSERT(listener >= 0 && bind(listener, (struct sockaddr *)&at, sizeof at) == 0 &&
           listen(listener, 8) == 0);
    exchange_worker_init(&w->worker, listener, &w->log);
    turn(w, 3);
    ASSERT(w->shard.routes);
}

static void connect_client(struct world *w, struct exchange_client *c, bool h2)
{
    int fds[2];
    struct addr peer = {.len = sizeof peer.u.in};
    peer.u.in.sin_family = AF_INET;
    ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    exchange_client_init(c, fds[0], h2, &w->log);
    client_accept(&w->shard, fds[1], &peer, false);
}

static void step(struct world *w, struct input *in)
{
    uint8_t op = input_u8(in), how = input_u8(in);
    struct exchange_client *c = &w->clients[(op >> 3) % EXCHANGE_CLIENTS];
    if (c->fd < 0 && (op & 7) < 3)
        connect_client(w, c, op & 0x40);
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
        if (c->fd >= 0)
            exchange_client_end(c, how);
        break;
    case 5:
        exchange_worker_answer(&w->worker, op >> 3, how, input_u8(in));
        exchange_worker_send(&w->worker, op >> 3, SIZE_MAX);
        break;
    case 6:
        exchange_worker_answer(&w->worker, op >> 3, how, input_u8(in));
        exchange_worker_send(&w->worker, op >> 3, input_u8(in) * 4u);
        break;
    case 7:
        if (how & 0x80)
            exchange_worker_close(&w->worker, op >> 3);
        else
            exchange_worker_send(&w->worker, op >> 3, how * 16u);
        break;
    }
    turn(w, 2);
    exchange_worker_read(&w->worker);
    turn(w, op & 0x80 ? 1 : 0);
}

/* Everything that was begun goes on to its end, or half of it is just left. */
static void finish(struct world *w)
{
    for (unsigned i = 0; i < 6; i++) {
        for (unsigned k = 0; k < EXCHANGE_CLIENTS; k++) {
            if (w->clients[k].fd < 0)
                continue;
            exchange_client_send(&w->clients[k], SIZE_MAX);
            exchange_client_read(&w->clients[k], SIZE_MAX);
        }
        turn(w, 2);
        exchange_worker_read(&w->worker);
        for (unsigned k = 0; k < EXCHANGE_CONNS; k++)
            exchange_worker_send(&w->worker, k, SIZE_MAX);
        turn(w, 2);
    }
    for (unsigned k = 0; k < EXCHANGE_CLIENTS; k++)
        if (w->clients[k].fd >= 0)
            exchange_client_end(&w->clients[k], 0);
    for (unsigned i = 0; i < 50 && (w->shard.open_exchanges || !list_empty(&w->shard.clients)); i++)
        turn(w, 1);
    if (w->shard.open_exchanges || !list_empty(&w->shard.clients))
        PANIC("%u exchanges and %s are left when nobody is there", w->shard.open_exchanges,
              list_empty(&w->shard.clients) ? "no client" : "a client");
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
    static struct world world;
    struct input in = {octets, len};
    if (!snapshot)
        setup();
    world_init(&world);
    for (unsigned k = 0; k < EXCHANGE_CLIENTS; k++)
        world.clients[k].fd = -1;
    for (unsigned ops = 0; ops < OPS_MAX && in.left; ops++)
        step(&world, &in);
    finish(&world);
    exchange_worker_fini(&world.worker);
    shard_fini(&world.shard);
    free(world.counters);
    return 0;
}
