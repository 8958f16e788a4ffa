/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/shard.h"
#include "edge/backend.h"
#include "edge/client.h"
#include "edge/forward.h"
#include "edge/leave.h"
#include "edge/shed.h"
#include "edge/site.h"
#include "edge/waiting.h"
#include "base/err.h"
#include "base/log.h"
#include "base/panic.h"
#include "net/diag.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define TICK_US         1000000u
#define ACCEPTS_A_TURN  64
#define ACCEPT_RETRY_US 100000u /* when descriptors are out */

/* ---- accepting ---- */

/* Where room was short one looks first: who can wait in the backlog is not taken to be closed. */
static int accept_one(struct edge_listener *l, struct addr *peer)
{
    struct loop *loop = l->shard->loop;
    if (l->is_short) {
        int fd = loop_admit(loop, dup(l->source.fd));
        if (fd < 0)
            return -1;
        close(fd);
    }
    loop_calls(loop)->accepts++;
    return loop_admit(loop,
                      accept4(l->source.fd, &peer->u.sa, &peer->len, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

static void accept_some(struct edge_listener *l)
{
    struct shard *s = l->shard;
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        struct addr peer = {.len = sizeof peer.u};
        if (s->draining)
            return;
        int fd = accept_one(l, &peer);
        if (fd >= 0) {
            client_accept(s, fd, &peer, l->https);
            continue;
        }
        if (errno == EAGAIN) {
            l->is_short = false;
            return;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            /* Serving goes on; those who wait in the backlog are taken when there is room. */
            l->is_short = true;
            stats_add(&s->stats->accept_failures, 1);
            loop_timer_set(s->loop, &l->retry, shard_now_us(s) + ACCEPT_RETRY_US);
            return;
        }
        /* ECONNABORTED and the like concern one connection that is already gone. */
    }
    loop_again(s->loop, &l->again);
}

static void on_acceptable(struct loop_source *source, unsigned events)
{
    (void)events;
    accept_some(CONTAINER_OF(source, struct edge_listener, source));
}

static void accept_again(struct loop_task *t)
{
    accept_some(CONTAINER_OF(t, struct edge_listener, again));
}

static void accept_retry(struct loop_timer *t)
{
    accept_some(CONTAINER_OF(t, struct edge_listener, retry));
}

int shard_listen(struct shard *s, int fd, bool https, uint16_t port)
{
    struct edge_listener *l = pool_zget(s->pool, sizeof *l);
    if (!l)
        return ERR_NOMEM;
    l->source = (struct loop_source){on_acceptable, fd};
    l->shard = s;
    l->https = https;
    l->port = port;
    loop_task_init(&l->again, accept_again);
    loop_timer_init(&l->retry, accept_retry);
    if (loop_add_reader(s->loop, &l->source) < 0) {
        pool_put(s->pool, l, sizeof *l);
        return ERR_SYS;
    }
    stream_tune_fd(fd, SHARD_READ_OCTETS);
    if (https && !s->https_port)
        s->https_port = port;
    l->next = s->listeners;
    s->listeners = l;
    loop_again(s->loop, &l->again); /* some may wait already: edge-triggered does not tell */
    return 0;
}

static void stop_listening(struct shard *s)
{
    while (s->listeners) {
        struct edge_listener *l = s->listeners;
        s->listeners = l->next;
        loop_task_cancel(&l->again);
        loop_timer_clear(&l->retry);
        loop_remove(s->loop, &l->source);
        close(l->source.fd);
        pool_put(s->pool, l, sizeof *l);
    }
}

/* ---- routes ---- */

static void drop_sites(struct shard *s)
{
    if (!s->sites)
        return;
    for (uint32_t i = 0; i < s->routes->route.header->site_count; i++)
        site_unref(s->sites[i]);
    free(s->sites);
    s->sites = NULL;
}

static void take_routes(struct shard *s, struct routes *r)
{
    struct site **sites = calloc(r->route.header->site_count + 1, sizeof *sites);
    if (!sites) {
        log_event(LOG_ERROR, "edge.routes", "revision=%llu error=\"out of memory\"",
                  (unsigned long long)r->revision);
        routes_unref(r);
        return;
    }
    drop_sites(s);
    routes_unref(s->routes);
    s->routes = r;
    s->sites = sites;
    shed_settle(s);
    if (s->on_routes)
        s->on_routes(r);
    waiting_retry(s);
}

struct site *shard_site(struct shard *s, const struct route_site *route)
{
    size_t i = (size_t)(route - s->routes->route.sites);
    if (!s->sites[i])
        s->sites[i] = site_new(s, s->routes, route);
    return s->sites[i];
}

/* ---- refusals ---- */

void shard_note_refusal(struct shard *s, const struct addr *peer, const char *what, const char *why)
{
    s->refused.count++;
    s->refused.what = what;
    s->refused.why = why;
    s->refused.peer = *peer;
}

static void tell_refusals(struct shard *s)
{
    char peer[ADDR_TEXT_OCTETS];
    if (!s->refused.count)
        return;
    addr_format_host(&s->refused.peer, peer, sizeof peer);
    log_event(LOG_INFO, "client.refused", "count=%u last=%s why=\"%s\" peer=%s", s->refused.count,
              s->refused.what, s->refused.why, peer);
    s->refused.count = 0;
}

/* ---- time ---- */

/* What the loop and its pool have counted since the last time. */
static void count_calls(struct shard *s)
{
    struct loop_calls now = *loop_calls(s->loop), *last = &s->counted.calls;
    stats_add(&s->stats->calls_wait, now.waits - last->waits);
    stats_add(&s->stats->calls_read, now.reads - last->reads);
    stats_add(&s->stats->calls_write, now.writes - last->writes);
    stats_add(&s->stats->calls_other, now.accepts + now.connects + now.other - last->accepts -
                                          last->connects - last->other);
    stats_add(&s->stats->allocs, s->pool->libc_allocs - s->counted.allocs);
    s->counted.calls = now;
    s->counted.allocs = s->pool->libc_allocs;
}

static void on_tick(struct loop_timer *t)
{
    struct shard *s = CONTAINER_OF(t, struct shard, tick);
    uint64_t now = shard_now_us(s), wall = clock_wall_us();
    s->wall_base_us = wall - now;
    clock_http_date(wall, s->date);
    count_calls(s);
    atomic_store_explicit(&s->stats->memory, s->pool->live_octets, memory_order_relaxed);
    if (s->index == 0 && s->log)
        stats_add(&s->stats->log_dropped, access_log_lost(s->log));
    backends_tick(s);
    shed_tick(s);
    tell_refusals(s);
    if (s->draining && now > s->drain_until_us)
        LIST_FOR(node, &s->clients)
        {
            struct client *c = LIST_ENTRY(node, struct client, node);
            s->drain_cut += c->open;
            client_kill(c);
        }
    loop_timer_set(s->loop, &s->tick, now + TICK_US);
}

/* ---- draining ---- */

void shard_check_drained(struct shard *s)
{
    if (s->draining && list_empty(&s->clients) && s->on_drained) {
        void (*tell)(struct shard *) = s->on_drained;
        s->on_drained = NULL;
        tell(s);
    }
}

static void drain(struct shard *s, const struct shard_drain *d)
{
    s->drain_until_us = shard_now_us(s) + d->limit_us;
    if (!s->draining)
        stop_listening(s);
    s->draining = true;
    s->patient = d->patient;
    LIST_FOR(node, &s->clients)
    {
        client_leave(LIST_ENTRY(node, struct client, node));
    }
    shard_check_drained(s);
}

static void on_mail(void *user, unsigned type, void *message)
{
    struct shard *s = user;
    CHECK_MAGIC(s, SHARD_MAGIC);
    switch ((enum shard_mail)type) {
    case SHARD_ROUTES:
        take_routes(s, message);
        break;
    case SHARD_DRAIN:
        drain(s, message);
        free(message);
        break;
    case SHARD_LEAVE:
        leave_begin(s, message);
        break;
    case SHARD_PLACE:
        waiting_take_place(s, message);
        break;
    case SHARD_STOP:
        loop_stop(s->loop);
        break;
    }
}

/* ---- life ---- */

static void hand_over_log(struct loop_task *t)
{
    struct shard *s = CONTAINER_OF(t, struct shard, log_flush);
    struct slice lines = buf_slice(&s->log_lines);
    if (!lines.len)
        return;
    if (access_log_write(s->log, lines) < 0)
        for (size_t i = 0; i < lines.len; i++)
            if (lines.p[i] == '\n')
                stats_add(&s->stats->log_dropped, 1);
    buf_consume(&s->log_lines, lines.len);
}

static void on_handshakes(struct loop_task *t)
{
    struct shard *s = CONTAINER_OF(t, struct shard, handshake);
    if (!list_empty(&s->handshakes))
        client_shake_hands(s);
}

int shard_init(struct shard *s, uint32_t index, uint32_t row, struct tls_server *tls,
               struct stats counters, struct access_log *log)
{
    *s = (struct shard){.magic = SHARD_MAGIC,
                        .index = index,
                        .row = row,
                        .tls = tls,
                        .counters = counters,
                        .log = log};
    s->loop = loop_new();
    if (!s->loop)
        return ERR_SYS;
    s->diag = diag_open();
    s->ciphers = tls_ciphers_new();
    s->pool = loop_pool(s->loop);
    s->stats = stats_loop(counters, row);
    stats_forget(counters, row); /* what a predecessor left behind */
    map_init(&s->backends);
    list_init(&s->clients);
    list_init(&s->handshakes);
    loop_task_init(&s->handshake, on_handshakes);
    shed_init(s);
    waiting_init(s);
    leaves_init(s);
    hash_key_random(&s->seen_key);
    buf_init(&s->log_lines, s->pool);
    loop_task_init(&s->log_flush, hand_over_log);
    loop_timer_init(&s->tick, on_tick);
    if (getrandom(&s->id_high, sizeof s->id_high, 0) != sizeof s->id_high ||
        getrandom(&s->id_next, sizeof s->id_next, 0) != sizeof s->id_next)
        return ERR_SYS;
    s->mailbox = mailbox_new(s->loop, on_mail, s);
    if (!s->mailbox || !s->ciphers)
        return ERR_NOMEM;
    on_tick(&s->tick);
    return 0;
}

void shard_fini(struct shard *s)
{
    if (!s->loop)
        return;
    s->on_drained = NULL; /* whom these are for is gone */
    s->on_routes = NULL;
    s->on_left = NULL;
    loop_task_cancel(&s->leave_task);
    list_init(&s->leaves);
    stop_listening(s);
    LIST_FOR(node, &s->clients)
    {
        client_kill(LIST_ENTRY(node, struct client, node));
    }
    loop_turn(s->loop, 0); /* reap */
    drop_sites(s);
    backends_fini(s);
    map_fini(&s->backends);
    routes_unref(s->routes);
    push_answers_fini(&s->answers, s->pool);
    push_consent_kinds_fini(&s->kinds, s->pool);
    buf_fini(&s->log_lines);
    forward_fini(s);
    loop_timer_clear(&s->tick);
    loop_timer_clear(&s->waiting_timer);
    shed_fini(s);
    loop_task_cancel(&s->handshake);
    loop_task_cancel(&s->waiting_room);
    loop_task_cancel(&s->waiting_handed);
    if (s->mailbox)
        mailbox_free(s->mailbox);
    for (unsigned i = 0; i < SHARD_RX_CHUNKS; i++)
        chunk_unref(s->rx.chunks[i]);
    if (s->diag >= 0)
        close(s->diag);
    tls_ciphers_free(s->ciphers);
    loop_free(s->loop);
    s->loop = NULL;
}
