/* SPDX-License-Identifier: Apache-2.0 */
#include "control/state.h"
#include "base/panic.h"

#include <stdio.h>
#include <string.h>

/* The manifest's reader has bounded every text; what is only for messages may be cut. */
#define TEXT(member, slice) ASSERT(ipc_text((member), sizeof(member), (slice)))
static void cut(char *to, size_t cap, struct slice s)
{
    ipc_text(to, cap, s.len < cap ? s : slice_of(s.p, cap - 1));
}

static void send_listens(struct control *c)
{
    for (unsigned kind = 0; kind < 3; kind++)
        for (uint32_t i = 0; i < c->manifest->listens[kind].count; i++) {
            const struct manifest_listen *l = &c->manifest->listens[kind].at[i];
            struct ipc_listen *m = control_scratch(IPC_LISTEN);
            m->kind = l->kind;
            TEXT(m->address, l->address);
            cut(m->where, sizeof m->where, l->where);
            control_send(c, IPC_LISTEN, m, -1);
        }
}

static void send_certificate(struct control *c, const struct control_app *app)
{
    const struct manifest_app *a = app->wanted;
    struct ipc_certificate *m = control_scratch(IPC_CERTIFICATE);
    m->id = app->slot;
    m->local = a->chain.len == 0;
    size_t len = 0;
    for (uint32_t i = 0; i < a->hosts.count; i++) {
        int n = snprintf(m->hosts + len, sizeof m->hosts - len, "%s%.*s", len ? " " : "",
                         SLICE_FMT(a->hosts.at[i]));
        ASSERT(n > 0 && len + (size_t)n < sizeof m->hosts);
        len += (size_t)n;
    }
    if (a->chain.len) {
        TEXT(m->chain, a->chain);
        TEXT(m->key, a->key);
    }
    cut(m->where, sizeof m->where, a->chain.len ? a->certificate_where : a->where);
    control_send(c, IPC_CERTIFICATE, m, -1);
}

static void send_app(struct control *c, const struct control_app *app)
{
    const struct manifest_app *a = app->wanted;
    if (a->command.len == 0)
        return;
    struct ipc_app *m = control_scratch(IPC_APP);
    TEXT(m->name, a->name);
    TEXT(m->directory, a->directory);
    TEXT(m->command, a->command);
    m->instances = app->wanted_count;
    m->drain_ms = a->drain_ms;
    m->h2_only_port = a->proxy_flag == ROUTE_PROXY_GRPC;
    cut(m->where, sizeof m->where, a->where);
    control_send(c, IPC_APP, m, -1);
    for (uint32_t i = 0; i < a->env.count; i++) {
        struct ipc_env *e = control_scratch(IPC_ENV);
        TEXT(e->text, a->env.at[i]);
        control_send(c, IPC_ENV, e, -1);
    }
}

/* The first app that has an upstream at a unix socket; NULL: none has. */
static const struct manifest_app *foreign_socket(const struct manifest *m)
{
    for (uint32_t i = 0; i < m->app_count; i++)
        for (uint32_t j = 0; j < m->apps[i].upstreams.count; j++)
            if (slice_starts(m->apps[i].upstreams.at[j], SLICE("unix:")))
                return &m->apps[i];
    return NULL;
}

void wanted_check_root(const struct control *c, struct manifest *m)
{
    const struct manifest_app *a = c->is_rooted ? foreign_socket(m) : NULL;
    if (a)
        fault_at_value(&m->faults, NULL,
                       "apps.%.*s.upstreams: a unix socket would take edge's own root away, which "
                       "cannot be while Portico runs: stop it and start it again, or use tcp://",
                       SLICE_FMT(a->name));
}

/* Where in the file it is named does not count: an app that is added would move all that follow. */
static bool same_certificate(const struct manifest_app *a, const struct manifest_app *b)
{
    return slice_eq(a->chain, b->chain) && slice_eq(a->key, b->key) &&
           (a->chain.len || manifest_texts_eq(&a->hosts, &b->hosts));
}

/* Thousands of apps, and one of them has changed: runs of slots whose certificates stay are one
 * message each. */
static void send_certificates(struct control *c, const struct manifest *old)
{
    static const struct control_app *by_slot[CONTROL_SITE_SLOTS + 1];
    static const struct ipc_certificates_kept none = {.first = UINT32_MAX};
    struct ipc_certificates_kept run = none;
    memset(by_slot, 0, sizeof by_slot);
    for (uint32_t i = 0; i < c->app_count; i++)
        by_slot[c->apps[i]->slot] = c->apps[i];
    for (uint32_t i = 0; i <= CONTROL_SITE_SLOTS; i++) {
        const struct control_app *app = by_slot[i];
        const struct manifest_app *was = app && old ? manifest_find(old, app->wanted->name) : NULL;
        bool is_kept = was && same_certificate(was, app->wanted);
        if (is_kept && run.first == UINT32_MAX)
            run.first = i;
        if (is_kept)
            run.last = i;
        if (!is_kept && run.first != UINT32_MAX) {
            control_send(c, IPC_CERTIFICATES_KEPT, &run, -1);
            run = none;
        }
        if (app && !is_kept)
            send_certificate(c, app);
    }
}

void wanted_send(struct control *c, const struct manifest *old)
{
    send_listens(c);
    /* Without a TLS listener nobody would see a certificate. */
    if (c->manifest->listens[IPC_LISTEN_HTTPS].count)
        send_certificates(c, c->is_taken ? old : NULL);
    for (uint32_t i = 0; i < c->app_count; i++)
        send_app(c, c->apps[i]);
    struct ipc_commit *m = control_scratch(IPC_COMMIT);
    m->revision = c->wanted_revision = ++c->revision;
    m->loops = c->manifest->loops;
    m->site_slots = CONTROL_SITE_SLOTS;
    _Static_assert((sizeof(struct stats_site) + STATS_NAME_OCTETS) * CONTROL_SITE_SLOTS *
                           STATS_MAX_LOOPS <
                       64ull << 30,
                   "more than monitor allows: WANTED_MAX_COUNTERS");
    m->counters_octets = stats_octets(m->loops * IPC_COUNTER_COPIES, m->site_slots);
    m->foreign_sockets = foreign_socket(c->manifest) != NULL;
    c->is_rooted |= !m->foreign_sockets;
    TEXT(m->access_log, c->manifest->access_log);
    control_send(c, IPC_COMMIT, m, -1);
}
