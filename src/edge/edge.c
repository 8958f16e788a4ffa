/* SPDX-License-Identifier: Apache-2.0 */
/* The process: takes what monitor sends over the channel, runs one thread a shard, and spreads
 * snapshots to them. */
#include "edge/edge.h"
#include "edge/leave.h"
#include "edge/shard.h"
#include "base/err.h"
#include "base/log.h"
#include "base/machine.h"
#include "ipc/outbox.h"
#include "jail/jail.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define CERTIFICATE_MAX_OCTETS (1u << 20) /* a chain or key file */
#define CERTIFICATES_MAX       65536u
#define TICKET_ROTATE_US       (6ull * 3600 * 1000000)

struct pending_listener {
    int fd;
    uint32_t loop;
    bool https;
    uint16_t port;
};

struct edge {
    int channel;
    struct ipc_outbox outbox;
    struct loop_source source;
    struct shard *shards;
    pthread_t *threads;
    uint32_t loops, started, drained;
    uint32_t cut; /* exchanges that did not end while it drained */
    struct stats counters;
    struct tls_server *tls;
    struct access_log *log;
    struct addresses *addresses;
    struct tls_identity **identities;
    uint32_t identity_count;
    struct routes *routes;
    struct pending_listener *listeners;
    uint32_t listener_count;
    struct mailbox *drained_box, *routed_box, *left_box;
    struct list leaves; /* instances that are being left */
    struct loop_timer rotate;
    bool serving;
    char root[IPC_PATH_OCTETS];
    bool as_root;
    int exit_code;
};

static struct edge edge; /* one a process; only this file sees it */

static int read_file(int fd, char **out, size_t *len_out)
{
    struct stat st;
    if (fstat(fd, &st) < 0 || st.st_size <= 0 || st.st_size > CERTIFICATE_MAX_OCTETS)
        return ERR_FORMAT;
    size_t len = (size_t)st.st_size, have = 0;
    char *p = malloc(len);
    if (!p)
        return ERR_NOMEM;
    while (have < len) {
        ssize_t n = pread(fd, p + have, len - have, (off_t)have);
        if (n <= 0) {
            free(p);
            return ERR_SYS;
        }
        have += (size_t)n;
    }
    *out = p;
    *len_out = len;
    return 0;
}

static void forget(char *p, size_t len)
{
    explicit_bzero(p, len);
    free(p);
}

static void take_certificate(const struct ipc_edge_certificate *c, int chain_fd, int key_fd)
{
    uint32_t id = c->id;
    char *chain = NULL, *key = NULL;
    size_t chain_len = 0, key_len = 0;
    const char *why = "cannot be read";
    struct tls_identity *identity = NULL;
    if (id >= CERTIFICATES_MAX)
        return;
    if (id >= edge.identity_count) {
        uint32_t count = id + 64;
        struct tls_identity **grown = realloc(edge.identities, count * sizeof(*grown));
        if (!grown)
            return;
        memset(grown + edge.identity_count, 0, (count - edge.identity_count) * sizeof(*grown));
        edge.identities = grown;
        edge.identity_count = count;
    }
    if (read_file(chain_fd, &chain, &chain_len) == 0 && read_file(key_fd, &key, &key_len) == 0) {
        struct slice chain_pem = slice_of(chain, chain_len), key_pem = slice_of(key, key_len);
        why = "out of memory";
        identity = c->deferred ? tls_identity_deferred(chain_pem, key_pem)
                               : tls_identity_new(chain_pem, key_pem, &why);
    }
    if (identity) {
        if (edge.identities[id])
            tls_identity_unref(edge.identities[id]);
        edge.identities[id] = identity;
    } else {
        /* The one in force, if any, stays. */
        log_event(LOG_ERROR, "edge.certificate", "where=\"%s\" error=\"%s\"", c->where, why);
    }
    if (chain)
        free(chain);
    if (key)
        forget(key, key_len);
}

static void take_snapshot(uint64_t revision, int fd)
{
    const void *base;
    size_t len;
    int err = ipc_map_sealed(fd, sizeof(struct route_header), &base, &len);
    if (err < 0) {
        log_event(LOG_ERROR, "edge.snapshot", "revision=%llu error=\"%s\"",
                  (unsigned long long)revision, err_text(err));
        return;
    }
    struct routes *r = routes_new(base, len, revision, edge.identities, edge.identity_count);
    if (!r) {
        log_event(LOG_ERROR, "edge.snapshot", "revision=%llu error=\"not a valid snapshot\"",
                  (unsigned long long)revision);
        munmap((void *)(uintptr_t)base, len);
        return;
    }
    routes_unref(edge.routes);
    edge.routes = r;
    for (uint32_t i = 0; i < edge.loops; i++) {
        routes_ref(r);
        if (mailbox_post(edge.shards[i].mailbox, SHARD_ROUTES, r) < 0)
            routes_unref(r);
    }
}

static void *shard_thread(void *arg)
{
    struct shard *s = arg;
    loop_run(s->loop);
    return NULL;
}

static void stop_all(int exit_code)
{
    edge.exit_code = exit_code;
    for (uint32_t i = 0; i < edge.loops; i++)
        mailbox_post(edge.shards[i].mailbox, SHARD_STOP, NULL);
}

static void note_channel(int err)
{
    if (!err)
        return;
    if (err != ERR_CLOSED)
        log_event(LOG_ERROR, "edge.channel", "error=\"%s\"", err_text(err));
    stop_all(err == ERR_CLOSED ? 0 : 70);
}

/* Runs on the first shard's loop.  Monitor may be busy: never wait for it here. */
static void tell(enum ipc_type type, const void *body)
{
    note_channel(ipc_outbox_send(&edge.outbox, edge.channel, type, body, NULL, 0));
}

/* Runs on a shard's loop. */
static void shard_drained(struct shard *s)
{
    mailbox_post(edge.drained_box, s->index, NULL);
}

/* Runs on a shard's loop: the last one to take the routes puts them in force. */
static void shard_routed(struct routes *r)
{
    if (atomic_fetch_add(&r->takers, 1) + 1 < edge.loops)
        return;
    routes_ref(r);
    if (mailbox_post(edge.routed_box, 0, r) < 0)
        routes_unref(r);
}

/* Runs on the first shard's loop. */
static void on_routed_mail(void *user, unsigned type, void *message)
{
    struct routes *r = message;
    struct ipc_edge_up up = {.revision = r->revision};
    (void)user;
    (void)type;
    if (edge.serving)
        tell(IPC_EDGE_UP, &up);
    routes_unref(r);
}

/* Runs on the loop of the last shard that had something under way there. */
static void shard_left(struct leave *l)
{
    mailbox_post(edge.left_box, 0, l);
}

static void drop_leave(struct leave *l)
{
    list_remove(&l->node);
    free(l);
}

/* Runs on the first shard's loop. */
static void on_left_mail(void *user, unsigned type, void *message)
{
    struct leave *l = message;
    struct ipc_edge_left b = {.ticket = l->ticket};
    (void)user;
    (void)type;
    tell(IPC_EDGE_LEFT, &b);
    drop_leave(l);
}

/* Each shard has taken the routes without the instance: they came before. */
static int start_leave(const struct ipc_edge_leave *m)
{
    if (!edge.loops)
        return ERR_FORMAT;
    struct leave *l = leave_new(m, edge.loops);
    if (!l)
        return 0; /* monitor's limit will do */
    list_add_tail(&edge.leaves, &l->node);
    for (uint32_t i = 0; i < edge.loops; i++)
        mailbox_post(edge.shards[i].mailbox, SHARD_LEAVE, l);
    return 0;
}

/* Runs on the first shard's loop. */
static void on_drained_mail(void *user, unsigned type, void *message)
{
    (void)user;
    (void)message;
    edge.cut += edge.shards[type].drain_cut;
    if (++edge.drained < edge.loops)
        return;
    const struct ipc_edge_drained done = {.open = edge.cut};
    tell(IPC_EDGE_DRAINED, &done);
    stop_all(0);
}

static void start_drain(uint32_t limit_ms, bool patient)
{
    for (uint32_t i = 0; i < edge.loops; i++) {
        struct shard_drain *d = malloc(sizeof *d);
        if (!d)
            continue;
        *d = (struct shard_drain){.limit_us = limit_ms * 1000ull, .patient = patient};
        mailbox_post(edge.shards[i].mailbox, SHARD_DRAIN, d);
    }
}

static void on_rotate(struct loop_timer *t)
{
    struct shard *s = &edge.shards[0];
    tls_server_rotate(edge.tls);
    loop_timer_set(s->loop, t, shard_now_us(s) + TICKET_ROTATE_US);
}

static int configure(const struct ipc_message *m)
{
    const struct ipc_edge_config *c = &m->body.EDGE_CONFIG;
    void *base;
    size_t len;
    if (edge.shards || c->loops == 0 || c->copy >= IPC_COUNTER_COPIES ||
        c->loops > STATS_MAX_LOOPS / IPC_COUNTER_COPIES)
        return ERR_FORMAT;
    int err = ipc_map_shared(m->fds[0], &base, &len);
    close(m->fds[0]);
    if (err < 0)
        return err;
    edge.counters = stats_open(base, len);
    if (!edge.counters.memory) {
        if (len < stats_octets(c->loops * IPC_COUNTER_COPIES, c->site_slots))
            return ERR_FORMAT;
        stats_init(base, c->loops * IPC_COUNTER_COPIES, c->site_slots);
        edge.counters = stats_open(base, len);
    }
    if (!edge.counters.memory || edge.counters.loops != c->loops * IPC_COUNTER_COPIES)
        return ERR_FORMAT;
    memcpy(edge.root, c->root, sizeof edge.root);
    edge.as_root = c->as_root;
    edge.tls = tls_server_new();
    edge.addresses = addresses_new();
    edge.shards = calloc(c->loops, sizeof *edge.shards);
    edge.threads = calloc(c->loops, sizeof *edge.threads);
    if (!edge.tls || !edge.addresses || !edge.shards || !edge.threads)
        return ERR_NOMEM;
    uint64_t memory = machine_memory("");
    for (uint32_t i = 0; i < c->loops; i++) {
        err = shard_init(&edge.shards[i], i, c->copy * c->loops + i, edge.tls, edge.counters, NULL);
        if (err < 0)
            return err;
        edge.shards[i].addresses = edge.addresses;
        edge.shards[i].count = c->loops;
        edge.shards[i].machine_octets = memory;
        edge.shards[i].on_drained = shard_drained;
        edge.shards[i].on_routes = shard_routed;
        edge.shards[i].on_left = shard_left;
        edge.shards[i].peers = edge.shards;
        edge.loops++;
    }
    edge.drained_box = mailbox_new(edge.shards[0].loop, on_drained_mail, NULL);
    edge.routed_box = mailbox_new(edge.shards[0].loop, on_routed_mail, NULL);
    edge.left_box = mailbox_new(edge.shards[0].loop, on_left_mail, NULL);
    return edge.drained_box && edge.routed_box && edge.left_box ? 0 : ERR_NOMEM;
}

static int keep_listener(const struct ipc_message *m)
{
    const struct ipc_edge_listener *l = &m->body.EDGE_LISTENER;
    struct addr addr;
    struct pending_listener *grown =
        realloc(edge.listeners, (edge.listener_count + 1) * sizeof(*grown));
    if (!grown)
        return ERR_NOMEM;
    edge.listeners = grown;
    if (l->loop >= edge.loops || addr_parse(slice_str(l->address), &addr) < 0)
        return ERR_FORMAT;
    edge.listeners[edge.listener_count++] = (struct pending_listener){
        m->fds[0], l->loop, l->kind == IPC_LISTEN_HTTPS, addr_port(&addr)};
    return 0;
}

static int start(void)
{
    struct ipc_edge_up up = {.revision = edge.routes ? edge.routes->revision : 0};
    if (edge.serving || !edge.shards)
        return ERR_FORMAT;
    edge.serving = true;
    for (uint32_t i = 0; i < edge.loops; i++)
        edge.shards[i].log = edge.log;
    for (uint32_t i = 0; i < edge.listener_count; i++) {
        const struct pending_listener *l = &edge.listeners[i];
        int err = shard_listen(&edge.shards[l->loop], l->fd, l->https, l->port);
        if (err < 0)
            return err;
    }
    for (edge.started = 1; edge.started < edge.loops; edge.started++)
        if (pthread_create(&edge.threads[edge.started], NULL, shard_thread,
                           &edge.shards[edge.started]) != 0)
            return ERR_SYS;
    loop_timer_set(edge.shards[0].loop, &edge.rotate,
                   shard_now_us(&edge.shards[0]) + TICKET_ROTATE_US);
    tell(IPC_EDGE_UP, &up);
    return 0;
}

static int take_log(int fd)
{
    if (edge.log) {
        access_log_reopen(edge.log, fd);
        return 0;
    }
    edge.log = access_log_new(fd);
    if (!edge.log)
        close(fd);
    return edge.log ? 0 : ERR_NOMEM;
}

static int forget_copy(uint32_t copy)
{
    if (!edge.shards || copy >= IPC_COUNTER_COPIES || copy == edge.shards[0].row / edge.loops)
        return ERR_FORMAT;
    for (uint32_t i = 0; i < edge.loops; i++)
        stats_forget(edge.counters, copy * edge.loops + i);
    return 0;
}

static int take_message(struct ipc_message *m)
{
    int err = 0;
    switch (m->type) {
    case IPC_EDGE_CONFIG:
        return configure(m);
    case IPC_EDGE_LISTENER:
        return keep_listener(m);
    case IPC_EDGE_CERTIFICATE:
        take_certificate(&m->body.EDGE_CERTIFICATE, m->fds[0], m->fds[1]);
        break;
    case IPC_ACCESS_LOG:
        return take_log(m->fds[0]);
    case IPC_SNAPSHOT:
        if (!edge.shards)
            err = ERR_FORMAT;
        else
            take_snapshot(m->body.SNAPSHOT.revision, m->fds[0]);
        break;
    case IPC_EDGE_COPY_FREE:
        err = forget_copy(m->body.EDGE_COPY_FREE.copy);
        break;
    case IPC_EDGE_START:
        err = start();
        break;
    case IPC_EDGE_DRAIN:
        start_drain(m->body.EDGE_DRAIN.limit_ms, m->body.EDGE_DRAIN.patient);
        break;
    case IPC_EDGE_LEAVE:
        err = start_leave(&m->body.EDGE_LEAVE);
        break;
    default:
        err = ERR_FORMAT;
        break;
    }
    for (uint32_t i = 0; i < m->fd_count; i++)
        close(m->fds[i]);
    return err;
}

/* Messages that wait on the channel.  An error ends the role: monitor starts a fresh one. */
static void read_channel(void)
{
    static struct ipc_message m;
    for (;;) {
        int err = ipc_recv(edge.channel, &m);
        if (err == ERR_AGAIN)
            return;
        if (err == 0)
            err = take_message(&m);
        if (err < 0) {
            note_channel(err);
            return;
        }
    }
}

static void on_channel(struct loop_source *source, unsigned events)
{
    (void)source;
    (void)events;
    note_channel(ipc_outbox_flush(&edge.outbox, edge.channel));
    read_channel();
}

static int configure_first(int channel)
{
    static struct ipc_message m;
    int err = ipc_recv(channel, &m);
    if (err < 0)
        return err;
    return m.type == IPC_EDGE_CONFIG ? configure(&m) : ERR_FORMAT;
}

/* Everything that it opens itself is open now; the keys are still to come. */
static int enter_jail(void)
{
    const struct jail j = {.role = JAIL_EDGE,
                           .root = edge.root[0] ? edge.root : NULL,
                           .may_unshare = !edge.as_root,
                           .has_secrets = true};
    bool has_root;
    if (!edge.root[0])
        log_event(LOG_WARN, "edge.root",
                  "text=\"edge keeps the machine's root: there are upstreams at unix sockets\"");
    if (edge.as_root && edge.shards[0].diag < 0)
        log_event(LOG_WARN, "edge.owner",
                  "text=\"this kernel does not tell whose a TCP socket is: a worker's port that "
                  "another user took is seen when it is next probed\"");
    if (jail_enter(&j, &has_root) < 0)
        return ERR_SYS;
    for (uint32_t i = 0; has_root && i < edge.loops; i++)
        edge.shards[i].root = edge.root;
    return 0;
}

int edge_main(int channel)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN); /* a terminal's Ctrl-C goes to everyone; monitor tells when to drain */
    edge.channel = channel;
    ipc_outbox_init(&edge.outbox, UINT32_MAX);
    list_init(&edge.leaves);
    loop_timer_init(&edge.rotate, on_rotate);
    int err = configure_first(channel); /* the channel is still blocking */
    if (err < 0) {
        log_event(LOG_ERROR, "edge.start", "error=\"%s\"", err_text(err));
        return 70;
    }
    fcntl(channel, F_SETFL, fcntl(channel, F_GETFL) | O_NONBLOCK);
    if (enter_jail() < 0)
        return 71;
    edge.source = (struct loop_source){on_channel, channel};
    if (loop_add(edge.shards[0].loop, &edge.source) < 0)
        return 70;
    read_channel();
    loop_run(edge.shards[0].loop);
    for (uint32_t i = 1; i < edge.started; i++)
        pthread_join(edge.threads[i], NULL);
    mailbox_free(edge.drained_box);
    mailbox_free(edge.routed_box);
    mailbox_free(edge.left_box);
    loop_timer_clear(&edge.rotate);
    for (uint32_t i = 0; i < edge.loops; i++)
        edge.shards[i].peers = NULL; /* no mail to one that has ended */
    for (uint32_t i = 0; i < edge.loops; i++)
        shard_fini(&edge.shards[i]);
    addresses_free(edge.addresses);
    ipc_outbox_fini(&edge.outbox);
    LIST_FOR(node, &edge.leaves)
    {
        drop_leave(LIST_ENTRY(node, struct leave, node));
    }
    access_log_free(edge.log);
    routes_unref(edge.routes);
    for (uint32_t i = 0; i < edge.identity_count; i++)
        if (edge.identities[i])
            tls_identity_unref(edge.identities[i]);
    free(edge.identities);
    free(edge.listeners);
    free(edge.threads);
    free(edge.shards);
    tls_server_free(edge.tls);
    munmap(edge.counters.memory, stats_octets(edge.counters.loops, edge.counters.site_slots));
    return edge.exit_code;
}
