/* SPDX-License-Identifier: Apache-2.0 */
/* The manifest is read again while everything runs. */
#include "control/admin.h"
#include "control/state.h"
#include "base/err.h"
#include "base/log.h"

#include <string.h>
#include <unistd.h>

void slot_clear(struct control *c, uint32_t slot)
{
    for (uint32_t i = 0; c->stats.memory && i < c->stats.loops; i++)
        stats_site_clear(c->stats, i, slot);
}

/* What monitor holds for life cannot change under it. */
static bool listens_eq(const struct manifest_listens *a, const struct manifest_listens *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++) {
        bool found = false;
        for (uint32_t j = 0; j < b->count; j++)
            found |= slice_eq(a->at[i].address, b->at[j].address);
        if (!found)
            return false;
    }
    return true;
}

static void check_fixed(const struct manifest *old, struct manifest *m)
{
    static const char *const keys[] = {"listen.https", "listen.http", "listen.admin"};
    const char *changed[5];
    unsigned count = 0;
    for (unsigned kind = 0; kind < 3; kind++)
        if (!listens_eq(&old->listens[kind], &m->listens[kind]))
            changed[count++] = keys[kind];
    if (m->loops_auto && old->loops_auto) /* processors may have come or gone */
        m->loops = old->loops;
    if (old->loops != m->loops)
        changed[count++] = "loops";
    if (!slice_eq(old->access_log, m->access_log))
        changed[count++] = "accessLog";
    for (unsigned i = 0; i < count; i++)
        fault_at_value(&m->faults, NULL,
                       "%s: cannot change while Portico runs: stop it and start it again, or set "
                       "it back",
                       changed[i]);
}

/* Monitor starts new instances when these differ. */
static bool words_eq(const struct manifest_app *a, const struct manifest_app *b)
{
    return slice_eq(a->command, b->command) && slice_eq(a->directory, b->directory) &&
           manifest_texts_eq(&a->env, &b->env) &&
           (a->proxy_flag == ROUTE_PROXY_GRPC) == (b->proxy_flag == ROUTE_PROXY_GRPC);
}

static void refuse(struct control *c, struct manifest *m)
{
    log_event(LOG_ERROR, "control.reload", "error=\"not valid; nothing was changed\" faults=%u",
              m->faults.count);
    faults_print(&m->faults, STDERR_FILENO);
    admin_reload_done(c->admin, &m->faults);
}

static void give_up(struct control *c, const char *why)
{
    log_event(LOG_ERROR, "control.reload", "file=\"%s\" error=\"%s\" text=\"nothing was changed\"",
              c->manifest_path, why);
    admin_reload_failed(c->admin, why);
}

/* What a worker speaks is found out when it starts: another flag needs new instances. */
static void roll_flags(struct control *c, const struct manifest *old)
{
    for (uint32_t i = 0; i < c->app_count; i++) {
        const struct manifest_app *a = c->apps[i]->wanted, *was = manifest_find(old, a->name);
        if (a->command.len && was && words_eq(was, a) && was->proxy_flag != a->proxy_flag) {
            struct ipc_roll *m = control_scratch(IPC_ROLL);
            ipc_text(m->app, sizeof m->app, a->name);
            control_send(c, IPC_ROLL, m, -1);
        }
    }
}

void reload(struct control *c, int fd, const struct ipc_reload *r)
{
    struct manifest *old = c->manifest;
    if (r->asked)
        c->reloads_begun = r->asked;
    if (fd < 0) {
        give_up(c, strerror(r->error));
        return;
    }
    struct manifest *m = manifest_load(c->manifest_path, fd, MANIFEST_FILES_NAMED);
    if (m && m->faults.count == 0)
        check_fixed(old, m);
    if (m && m->faults.count == 0)
        wanted_check_root(c, m);
    if (!m || m->faults.count) {
        if (m)
            refuse(c, m);
        else
            give_up(c, err_text(ERR_NOMEM));
        manifest_free(m);
        return;
    }
    uint32_t before = c->app_count, kept = 0;
    for (uint32_t i = 0; i < m->app_count; i++)
        kept += app_find(c, m->apps[i].name) != NULL;
    if (apps_apply(c, m) != 0) {
        give_up(c, err_text(ERR_NOMEM));
        manifest_free(m);
        return;
    }
    c->manifest = m;
    wanted_send(c, old);
    roll_flags(c, old);
    snapshot_wanted(c);
    for (uint32_t i = 0; i < c->app_count; i++)
        c->apps[i]->failure_told = false;
    manifest_free(old);
    log_event(LOG_INFO, "control.reload", "apps=%u added=%u removed=%u revision=%lu", m->app_count,
              m->app_count - kept, before - kept, c->revision);
}

void reload_committed(struct control *c, const struct ipc_committed *m)
{
    if (m->revision != c->wanted_revision) /* another one has begun, and is told of when it is applied */
        return;
    if (m->refused)
        admin_reload_failed(c->admin, "it was read, but could not be applied; the log says why");
    else
        admin_reload_done(c->admin, NULL);
}
