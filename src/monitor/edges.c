/* SPDX-License-Identifier: Apache-2.0 */
/* Edge, and how one edge takes over from another: the new one serves beside the old one until it
 * says that it is up, and only then the old one is told to drain.  So there is no moment at which
 * nobody accepts, and a new one that cannot start changes nothing. */
#include "monitor/state.h"
#include "monitor/files.h"
#include "monitor/say.h"
#include "monitor/upgrade.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/panic.h"

#include <signal.h>
#include <stdlib.h>

static struct role *role_of(struct list *node)
{
    return LIST_ENTRY(node, struct role, node);
}

bool edges_serve(const struct monitor *m)
{
    LIST_FOR(node, &m->edges)
    {
        const struct role *r = role_of(node);
        if (r->child.pid && r->is_up && !r->is_told)
            return true;
    }
    return false;
}

bool edges_send(struct monitor *m, enum ipc_type type, const void *body, const int *fds,
                unsigned fd_count)
{
    bool is_sent = false;
    LIST_FOR(node, &m->edges)
    {
        struct role *r = role_of(node);
        if (!r->child.pid)
            continue;
        channel_send(&r->channel, type, body, fds, fd_count);
        is_sent = true;
    }
    return is_sent;
}

void edges_kill(struct monitor *m)
{
    LIST_FOR(node, &m->edges)
    {
        child_signal(&role_of(node)->child, SIGKILL);
    }
}

bool edges_are_gone(const struct monitor *m)
{
    LIST_FOR(node, &m->edges)
    {
        if (role_of(node)->child.pid)
            return false;
    }
    return true;
}

/* One that has hung up was told nothing, and has less time. */
void edge_must_end(struct role *r, uint32_t limit_ms)
{
    uint64_t due_us = clock_mono_us() + (limit_ms + MONITOR_DRAIN_GRACE_MS) * UINT64_C(1000);
    r->is_told = true;
    if (!timer_is_armed(&r->timer) || due_us < r->timer.due_us)
        timer_arm(&r->monitor->poller, &r->timer, due_us);
}

static void drain(struct role *r, uint32_t limit_ms, bool patient)
{
    struct ipc_edge_drain b = {.limit_ms = limit_ms, .patient = patient};
    channel_send(&r->channel, IPC_EDGE_DRAIN, &b, NULL, 0);
    edge_must_end(r, limit_ms);
}

void edges_drain(struct monitor *m, uint32_t limit_ms)
{
    LIST_FOR(node, &m->edges)
    {
        if (role_of(node)->child.pid)
            drain(role_of(node), limit_ms, false);
    }
}

static bool copy_is_taken(const struct monitor *m, uint32_t copy)
{
    LIST_FOR(node, &m->edges)
    {
        const struct role *r = role_of(node);
        if (r->child.pid && r->copy == copy)
            return true;
    }
    return false;
}

/* return  IPC_COUNTER_COPIES when each is written to by somebody */
static uint32_t free_copy(const struct monitor *m)
{
    uint32_t copy = 0;
    while (copy < IPC_COUNTER_COPIES && copy_is_taken(m, copy))
        copy++;
    return copy;
}

uint32_t edges_ask(struct monitor *m, const struct ipc_edge_leave *b)
{
    uint32_t asked = 0;
    LIST_FOR(node, &m->edges)
    {
        struct role *r = role_of(node);
        if (!r->child.pid || !r->is_up)
            continue;
        channel_send(&r->channel, IPC_EDGE_LEAVE, b, NULL, 0);
        asked |= 1u << r->copy;
    }
    return asked;
}

/* What the routes of a revision know of; 0 when it is not known. */
static uint64_t seen_by(const struct monitor *m, uint64_t revision)
{
    bool is_known = m->sent[revision % MONITOR_SENT].revision == revision;
    return is_known ? m->sent[revision % MONITOR_SENT].seen : 0;
}

/* An instance may end when no edge routes to it any more: none that drains, none that was started
 * and does not serve yet, and none that is yet to be started. */
static void review(struct monitor *m)
{
    uint64_t least = seen_by(m, m->snapshot_revision);
    LIST_FOR(node, &m->edges)
    {
        const struct role *r = role_of(node);
        if (r->child.pid && r->seen < least)
            least = r->seen;
    }
    workers_in_force(m, least);
}

static void on_revision(struct role *r, uint64_t revision)
{
    struct monitor *m = r->monitor;
    struct ipc_in_force b = {.revision = revision};
    log_event(LOG_DEBUG, "edge.up", "pid=%d revision=%llu", (int)r->child.pid,
              (unsigned long long)revision);
    r->seen = seen_by(m, revision);
    review(m);
    if (r == m->edge && m->control_synced)
        channel_send(&m->control.channel, IPC_IN_FORCE, &b, NULL, 0);
}

static void on_up(struct role *r)
{
    struct monitor *m = r->monitor;
    if (r->is_up || r != m->edge)
        return;
    r->is_up = true;
    log_event(LOG_INFO, "edge.serves", "pid=%d after_ms=%llu", (int)r->child.pid,
              (unsigned long long)(clock_mono_us() - r->started_us) / 1000u);
    if (m->stop != STOP_NOT)
        return;
    LIST_FOR(node, &m->edges)
    {
        struct role *old = role_of(node);
        if (old == r || old->is_told || !old->child.pid)
            continue;
        log_event(LOG_INFO, "edge.leaves", "pid=%d limit_ms=%u", (int)old->child.pid,
                  MONITOR_UPGRADE_DRAIN_MS);
        drain(old, MONITOR_UPGRADE_DRAIN_MS, true);
    }
    upgrade_served(m);
}

static void on_message(struct channel *c, struct ipc_message *b, int error)
{
    struct role *r = LIST_ENTRY(c, struct role, channel);
    if (!b) {
        if (error == ERR_CLOSED)
            role_hung_up(r);
        else
            role_end(r, err_text(error));
        return;
    }
    if (!say_is_allowed(r->is_told ? SAY_EDGE_MUST_LEAVE : SAY_EDGE_SERVES, b->type)) {
        role_out_of_place(r, b);
        return;
    }
    switch (b->type) {
    case IPC_EDGE_UP:
        on_up(r); /* first: one that serves is asked */
        on_revision(r, b->body.EDGE_UP.revision);
        break;
    case IPC_EDGE_LEFT:
        workers_left(r->monitor, b->body.EDGE_LEFT.ticket, r->copy);
        break;
    case IPC_EDGE_DRAINED:
        if (r->is_drained) {
            role_out_of_place(r, b);
            return;
        }
        r->is_drained = true;
        log_event(LOG_INFO, "edge.drained", "pid=%d cut=%u", (int)r->child.pid,
                  b->body.EDGE_DRAINED.open);
        break;
    default:
        UNREACHABLE();
    }
    role_close_fds(b);
}

static void edge_free(struct role *r)
{
    timer_cancel(&r->timer);
    channel_close(&r->channel);
    list_remove(&r->node);
    free(r);
}

static void on_exit_(struct child *child, int code, int signal)
{
    struct role *r = LIST_ENTRY(child, struct role, child);
    struct monitor *m = r->monitor;
    channel_drain(&r->channel);
    channel_close(&r->channel);
    role_log_exit(r, code, signal);
    bool was_up = r->is_up;
    r->is_up = false;
    workers_edge_gone(m, r->copy);
    review(m);
    if (r != m->edge) {
        struct ipc_edge_copy_free b = {.copy = r->copy};
        bool was_told = r->is_told;
        edge_free(r);
        if (m->edge->child.pid)
            channel_send(&m->edge->channel, IPC_EDGE_COPY_FREE, &b, NULL, 0);
        if (m->stop != STOP_NOT)
            monitor_stop_step(m);
        else if (m->edge_is_stale)
            m->edge_is_stale = edge_replace(m) < 0;
        else if (!was_told)
            edge_start(m); /* the one that served is gone: its successor has nothing to wait for */
        return;
    }
    if (m->stop != STOP_NOT) {
        monitor_stop_step(m);
        return;
    }
    if (!was_up && edges_serve(m)) {
        log_event(LOG_ERROR, "edge.successor",
                  "error=\"it ended before it served (status %d, signal %d); the one before goes "
                  "on\"",
                  code, signal);
        upgrade_stumbled(m, code, signal);
    }
    role_respawn_later(r);
}

static void on_timer(struct timer *t)
{
    struct role *r = LIST_ENTRY(t, struct role, timer);
    if (r->child.pid)
        role_kill(r);
    else
        edge_start(r->monitor);
}

struct role *edge_new(struct monitor *m)
{
    struct role *r = malloc(sizeof *r);
    if (!r)
        return NULL;
    role_init(r, m, "edge");
    r->uid = m->edge_uid;
    r->child.on_exit = on_exit_;
    channel_init(&r->channel, &m->poller, on_message);
    timer_init(&r->timer, on_timer);
    list_init(&r->node);
    list_add_tail(&m->edges, &r->node);
    return r;
}

void edges_fini(struct monitor *m)
{
    LIST_FOR(node, &m->edges)
    {
        edge_free(role_of(node));
    }
    m->edge = NULL;
}

int edge_replace(struct monitor *m)
{
    struct role *old = m->edge;
    if (!old->child.pid) {
        edge_start(m);
        return 0;
    }
    if (!old->is_up && edges_serve(m)) {
        /* A successor that is not up yet has no connections: another one in its place. */
        old->is_told = true;
        child_signal(&old->child, SIGKILL);
        return 0;
    }
    if (free_copy(m) == IPC_COUNTER_COPIES)
        return ERR_LIMIT;
    struct role *r = edge_new(m);
    if (!r)
        return ERR_NOMEM;
    r->deaths = old->deaths;
    m->edge = r;
    edge_start(m);
    return 0;
}

void edge_send_access_log(struct monitor *m)
{
    struct ipc_access_log b = {0};
    if (m->access_fd >= 0)
        edges_send(m, IPC_ACCESS_LOG, &b, &m->access_fd, 1);
}

void edge_start(struct monitor *m)
{
    struct role *r = m->edge;
    if (r->child.pid || m->stop != STOP_NOT || !m->is_committed || !m->certificates_ready ||
        m->snapshot_fd < 0)
        return;
    /* After an upgrade counters and routes may have a new shape, which the new control brings. */
    if (m->awaits_control && edges_serve(m))
        return;
    timer_cancel(&r->timer);
    r->copy = free_copy(m);
    if (r->copy == IPC_COUNTER_COPIES || role_spawn(r, NULL, -1) < 0) {
        role_respawn_later(r);
        return;
    }
    r->seen = seen_by(m, m->snapshot_revision);
    struct ipc_edge_config config = {.loops = m->loops,
                                     .site_slots = m->site_slots,
                                     .access_log = m->access_fd >= 0,
                                     .copy = r->copy,
                                     .as_root = m->as_root};
    if (!m->foreign_sockets && !FILES_FMT(config.root, "%s/run", m->data))
        config.root[0] = 0;
    channel_send(&r->channel, IPC_EDGE_CONFIG, &config, &m->counters_fd, 1);
    /* A killed edge may have left gauges in a copy that its successor does not write to. */
    for (uint32_t copy = 0; copy < IPC_COUNTER_COPIES; copy++) {
        struct ipc_edge_copy_free b = {.copy = copy};
        if (!copy_is_taken(m, copy))
            channel_send(&r->channel, IPC_EDGE_COPY_FREE, &b, NULL, 0);
    }
    for (uint32_t i = 0; i < m->listener_count; i++) {
        const struct listener *l = &m->listeners[i];
        struct ipc_edge_listener b = {.kind = l->kind};
        memcpy(b.address, l->address, sizeof b.address);
        if (l->kind == IPC_LISTEN_ADMIN)
            continue;
        commit_restore(l);
        for (uint32_t n = 0; n < l->count; n++) {
            b.loop = n;
            channel_send(&r->channel, IPC_EDGE_LISTENER, &b, &l->fds[n], 1);
        }
    }
    cert_send_all(m);
    struct ipc_access_log log = {0};
    if (m->access_fd >= 0)
        channel_send(&r->channel, IPC_ACCESS_LOG, &log, &m->access_fd, 1);
    struct ipc_snapshot snapshot = {.revision = m->snapshot_revision};
    channel_send(&r->channel, IPC_SNAPSHOT, &snapshot, &m->snapshot_fd, 1);
    struct ipc_edge_start start = {0};
    channel_send(&r->channel, IPC_EDGE_START, &start, NULL, 0);
}
