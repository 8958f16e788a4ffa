/* SPDX-License-Identifier: Apache-2.0 */
/* The wanted state and what is known of the instances, compiled into a route snapshot. */
#include "control/state.h"
#include "base/err.h"
#include "base/log.h"
#include "net/tls.h"

#include <stdio.h>
#include <stdlib.h>

/* After one that could not be made. */
#define AGAIN_MS 1000u

static uint32_t site_flags(const struct control_app *app)
{
    const struct manifest_app *a = app->wanted;
    return (a->http20_enabled ? ROUTE_HTTP20 : 0u) |
           (a->websockets_enabled ? ROUTE_WEBSOCKETS : 0u) | (a->command.len ? ROUTE_MANAGED : 0u) |
           (app_is_failing(app) ? ROUTE_FAILING : 0u) | (a->https_only ? ROUTE_HTTPS_ONLY : 0u) |
           (a->xff_port ? ROUTE_XFF_PORT : 0u) |
           (app == app->control->apps[0] ? ROUTE_DEFAULT : 0u);
}

static enum route_instance_state state_of(const struct control_instance *in)
{
    if (in->last.state == IPC_DRAINING)
        return ROUTE_DRAINING;
    if (in->health.is_sick && instance_is_spared(in))
        return ROUTE_STARTING;
    return in->is_ready ? ROUTE_READY : ROUTE_STARTING;
}

static int add_upgrades(struct route_builder *b, const struct manifest_text_list *l)
{
    char names[MANIFEST_MAX_UPGRADES * MANIFEST_UPGRADE_OCTETS];
    size_t len = 0;
    for (uint32_t i = 0; i < l->count; i++) {
        if (i)
            names[len++] = ',';
        memcpy(names + len, l->at[i].p, l->at[i].len);
        len += l->at[i].len;
    }
    return route_builder_upgrades(b, slice_of(names, len));
}

static int add_site(struct route_builder *b, const struct control_app *app)
{
    const struct manifest_app *a = app->wanted;
    struct route_site site = {
        .slot = app->slot,
        .flags = site_flags(app),
        .proxy_flag = a->proxy_flag,
        .certificate = app->slot,
        .min_tls_version = a->min_tls_version,
        .request_timeout_ms = a->request_timeout_ms,
        .idle_timeout_ms = a->idle_timeout_ms,
        .tunnel_timeout_ms = a->tunnel_timeout_ms,
        .concurrency = a->concurrency,
        .queue = a->queue,
        .body_limit_octets = a->body_limit_octets,
        .push = a->push,
    };
    int err = route_builder_site(b, a->name, &site);
    if (err == 0)
        err = add_upgrades(b, &a->upgrades);
    if (err == 0)
        err = route_builder_push(b, &a->push_rules);
    for (uint32_t i = 0; err == 0 && i < a->hosts.count; i++)
        err = route_builder_host(b, a->hosts.at[i]);
    for (uint32_t i = 0, n = 0; err == 0 && i < app->instance_count; i++) {
        const struct control_instance *in = app->instances[i];
        char id[IPC_NAME_OCTETS + 16];
        if (in->address.len == 0)
            continue; /* it has never been found: there is nothing that could be said of it */
        if (!in->is_upstream && in->last.version != app->serving)
            continue; /* not yet, or not any more */
        if (++n > ROUTE_MAX_INSTANCES)
            break;
        snprintf(id, sizeof id, "%.*s/%u", SLICE_FMT(a->name), in->index);
        err = route_builder_instance(b, slice_str(id), in->address, in->address_h2, state_of(in),
                                     in->protocol);
        if (err == 0 && app->control->hello.as_root && !in->is_upstream)
            route_builder_owner(b, in->last.uid);
    }
    return err;
}

static int build(struct control *c, uint64_t revision, void **octets_out, size_t *len_out)
{
    struct route_builder *b = route_builder_new(revision);
    if (!b)
        return ERR_NOMEM;
    int err = 0;
    for (uint32_t i = 0; err == 0 && i < c->app_count; i++)
        err = add_site(b, c->apps[i]);
    for (uint32_t i = 0; err == 0 && i < c->manifest->trusted_proxies.count; i++)
        err = route_builder_trusted_proxy(b, &c->manifest->trusted_proxies.at[i]);
    if (err == 0)
        err = route_builder_limits(b, &c->manifest->limits);
    uint8_t digest[TLS_SHA256_OCTETS];
    tls_sha256(c->push_token, sizeof c->push_token, digest);
    route_builder_push_token(b, digest);
    *octets_out = err ? NULL : route_builder_finish(b, len_out);
    if (err == 0 && !*octets_out)
        err = ERR_NOMEM;
    route_builder_free(b);
    return err;
}

void snapshot_wanted(struct control *c)
{
    c->publish_wanted = true;
    loop_flush(c->loop, &c->publish);
}

/* Right after a restart of control the routes in force know more than we do: wait for the instances
 * that monitor calls READY to be found again. */
static bool must_hold(const struct control *c)
{
    if (c->hold.due_us == 0)
        return false;
    for (uint32_t i = 0; i < c->app_count; i++)
        if (c->apps[i]->instance_count < c->apps[i]->wanted_count)
            return true; /* monitor has not spoken of them yet */
    for (uint32_t i = 0; i < c->app_count; i++)
        for (uint32_t j = 0; j < c->apps[i]->instance_count; j++) {
            const struct control_instance *in = c->apps[i]->instances[j];
            if (in->last.state == IPC_READY && !in->is_ready && probe_is_running(&in->probe))
                return true;
        }
    return false;
}

void snapshot_again(struct loop_timer *t)
{
    snapshot_wanted(LIST_ENTRY(t, struct control, publish_again));
}

void snapshot_task(struct loop_task *t)
{
    struct control *c = LIST_ENTRY(t, struct control, publish);
    void *octets = NULL;
    size_t len;
    if (!c->publish_wanted || !c->is_committed || must_hold(c))
        return;
    c->publish_wanted = false;
    for (uint32_t i = 0; i < c->app_count; i++)
        app_choose_serving(c->apps[i]);
    struct ipc_snapshot *m = control_scratch(IPC_SNAPSHOT);
    m->revision = ++c->revision;
    m->seen = c->seen;
    int err = build(c, m->revision, &octets, &len);
    int fd = err ? err : ipc_sealed_memfd("portico-routes", octets, len);
    free(octets);
    if (fd < 0) {
        log_event(LOG_ERROR, "control.snapshot", "error=\"%s\"", err_text(fd));
        if (fd == ERR_NOMEM || fd == ERR_SYS) {
            c->publish_wanted = true;
            loop_timer_set(c->loop, &c->publish_again, loop_now_us(c->loop) + AGAIN_MS * 1000);
        }
        return;
    }
    control_send(c, IPC_SNAPSHOT, m, fd);
}
