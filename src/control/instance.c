/* SPDX-License-Identifier: Apache-2.0 */
/* The instances: what monitor says of them, and what the probe finds out. */
#include "control/state.h"
#include "base/err.h"
#include "base/log.h"
#include "base/panic.h"

#include <stdio.h>
#include <stdlib.h>

/* So many exits in a row before READY: the app does not start.  One that comes up and is killed at
 * once, be it ten times, may be waited for: the fault need not be its own. */
#define FAILING_AFTER 3u
/* The shell's status for a command that is not executable or not found. */
#define EXIT_NOT_EXECUTABLE 126
#define EXIT_NOT_FOUND      127

const char *instance_state_name(unsigned ipc_state)
{
    static const char *const names[] = {
        [IPC_WANTED] = "WANTED",     [IPC_STARTING] = "STARTING", [IPC_READY] = "READY",
        [IPC_DRAINING] = "DRAINING", [IPC_EXITED] = "EXITED",     [IPC_BACKOFF] = "BACKOFF",
    };
    return ipc_state < ARRAY_LEN(names) ? names[ipc_state] : "UNKNOWN";
}

const char *route_protocol_name(enum route_protocol p)
{
    return p == ROUTE_H2C ? "h2c" : "http/1.1";
}

static bool serves(const struct control_instance *in)
{
    return in->is_ready && in->last.state != IPC_DRAINING;
}

static uint32_t ready_count(const struct control_app *app, uint64_t version)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < app->instance_count; i++)
        n += serves(app->instances[i]) && app->instances[i]->last.version == version;
    return n;
}

uint32_t app_ready_count(const struct control_app *app)
{
    return ready_count(app, app->serving);
}

/* It has no use of its own and keeps ending, or cannot start at all. */
static bool is_failing(const struct control_instance *in)
{
    bool no_command = in->was_ended && (in->ended.exit_code == EXIT_NOT_EXECUTABLE ||
                                        in->ended.exit_code == EXIT_NOT_FOUND);
    return in->is_late || in->last.never_ready >= FAILING_AFTER ||
           (in->last.failures && no_command);
}

bool app_is_failing(const struct control_app *app)
{
    bool failing = false;
    if (app_ready_count(app))
        return false;
    for (uint32_t i = 0; i < app->instance_count; i++)
        failing |= is_failing(app->instances[i]);
    return failing;
}

uint64_t app_current_version(const struct control_app *app)
{
    for (uint32_t i = 0; i < app->instance_count; i++)
        if (app->instances[i]->last.is_current)
            return app->instances[i]->last.version;
    return app->serving;
}

bool app_change_is_failing(const struct control_app *app)
{
    uint64_t version = app_current_version(app);
    bool failing = false;
    for (uint32_t i = 0; version != app->serving && i < app->instance_count; i++)
        failing |= app->instances[i]->last.version == version && is_failing(app->instances[i]);
    return failing;
}

void app_choose_serving(struct control_app *app)
{
    uint64_t current = app_current_version(app), before = app->serving, other = 0;
    uint32_t others_ready = 0, ready = ready_count(app, current);
    bool others_run = false;
    for (uint32_t i = 0; i < app->instance_count; i++) {
        const struct control_instance *in = app->instances[i];
        if (in->is_upstream || in->last.version == current || in->last.state == IPC_DRAINING)
            continue;
        others_run = true;
        others_ready += serves(in);
        if (!before || other != before) /* a new control knows of none that served */
            other = in->last.version;
    }
    if (app->wanted->command.len == 0) {
        app->serving = 0;
        return;
    }
    if (!others_run || before == current || ready >= app->wanted_count || (ready && !others_ready))
        app->serving = current;
    else
        app->serving = other;
    if (app->serving == current && others_run && app->retired != current) {
        struct ipc_retire *m = control_scratch(IPC_RETIRE);
        ipc_text(m->app, sizeof m->app, app->wanted->name);
        m->version = app->retired = current;
        control_send(app->control, IPC_RETIRE, m, -1);
        log_event(LOG_INFO, "app.changed",
                  "app=%s version=%lu ready=%u text=\"the new instances "
                  "have the routes, the old ones end\"",
                  m->app, current, ready);
    }
}

static struct control_instance *instance_new(struct control_app *app, uint32_t index)
{
    struct control_instance **grown =
        realloc(app->instances, (app->instance_count + 1) * sizeof(*grown));
    struct control_instance *in = grown ? calloc(1, sizeof *in) : NULL;
    if (grown)
        app->instances = grown;
    if (!in)
        return NULL;
    uint32_t at = app->instance_count++;
    for (; at && grown[at - 1]->index > index; at--)
        grown[at] = grown[at - 1];
    grown[at] = in;
    in->app = app;
    in->index = index;
    return in;
}

static void instance_free(struct control_instance *in)
{
    struct control_app *app = in->app;
    uint32_t at = 0;
    while (app->instances[at] != in)
        at++;
    app->instance_count--;
    for (; at < app->instance_count; at++)
        app->instances[at] = app->instances[at + 1];
    probe_stop(&in->probe);
    health_stop(&in->health);
    free(in->output);
    free(in);
}

static enum route_protocol upstream_protocol(const struct manifest_app *wanted)
{
    return wanted->proxy_flag == ROUTE_PROXY_ALL ? ROUTE_H2C : ROUTE_H1;
}

static int by_index(const void *a, const void *b)
{
    const struct control_instance *x = *(struct control_instance *const *)a,
                                  *y = *(struct control_instance *const *)b;
    return (x->index > y->index) - (x->index < y->index);
}

/* The one that has that address already: its health is known. */
static struct control_instance *leaving_upstream(const struct control_app *app,
                                                 struct slice address)
{
    for (uint32_t i = 0; i < app->instance_count; i++) {
        struct control_instance *in = app->instances[i];
        if (in->is_leaving && in->protocol == upstream_protocol(app->wanted) &&
            slice_eq(in->address, address))
            return in;
    }
    return NULL;
}

/* The texts of a manifest that goes are not kept. */
static int set_upstreams(struct control_app *app)
{
    const struct manifest_app *wanted = app->wanted;
    for (uint32_t i = 0; i < app->instance_count; i++)
        app->instances[i]->is_leaving = app->instances[i]->is_upstream;
    for (uint32_t i = 0; wanted->command.len == 0 && i < wanted->upstreams.count; i++) {
        struct control_instance *in = leaving_upstream(app, wanted->upstreams.at[i]);
        if (!in && !(in = instance_new(app, i)))
            return ERR_NOMEM;
        in->index = i;
        in->is_upstream = in->is_ready = true;
        in->is_leaving = false;
        in->last.state = IPC_READY;
        in->address = wanted->upstreams.at[i];
        in->protocol = upstream_protocol(wanted);
    }
    for (uint32_t i = app->instance_count; i-- > 0;)
        if (app->instances[i]->is_leaving)
            instance_free(app->instances[i]);
    if (app->instance_count)
        qsort(app->instances, app->instance_count, sizeof(*app->instances), by_index);
    return 0;
}

static void app_free(struct control_app *app)
{
    while (app->instance_count)
        instance_free(app->instances[app->instance_count - 1]);
    loop_timer_clear(&app->tell);
    free(app->instances);
    free(app);
}

struct control_app *app_find(struct control *c, struct slice name)
{
    return map_get(&c->names, name);
}

static bool is_named(void *user, struct slice name)
{
    return manifest_find(user, name) != NULL;
}

static struct control_app *app_new(struct control *c, struct manifest *m, struct slice name)
{
    bool reused;
    struct control_app *app = calloc(1, sizeof *app);
    int64_t slot = app ? slots_find(&c->slots, name, is_named, m, &reused) : ERR_NOMEM;
    if (slot < 0) {
        free(app);
        return NULL;
    }
    app->control = c;
    app->slot = (uint32_t)slot;
    if (reused)
        slot_clear(c, app->slot);
    greeting_app_init(app);
    return app;
}

/* The apps that m names, those that there are and new ones.
 * return  0, or ERR_NOMEM: there are no new ones */
static int gather(struct control *c, struct manifest *m, struct control_app **apps,
                  struct map *names)
{
    uint32_t count = 0;
    for (; count < m->app_count; count++) {
        struct slice name = m->apps[count].name;
        struct control_app *app = app_find(c, name);
        apps[count] = app ? app : app_new(c, m, name);
        if (!apps[count] || map_put(names, name, apps[count]) < 0)
            break;
    }
    if (count == m->app_count)
        return 0;
    for (uint32_t i = 0; i <= count; i++)
        if (apps[i] && !app_find(c, m->apps[i].name))
            free(apps[i]);
    return ERR_NOMEM;
}

int apps_apply(struct control *c, struct manifest *m)
{
    struct control_app **apps = calloc(m->app_count, sizeof(*apps));
    struct map names;
    map_init(&names);
    int err = apps ? gather(c, m, apps, &names) : ERR_NOMEM;
    if (err) {
        map_fini(&names);
        free(apps);
        return err;
    }
    for (uint32_t i = 0; i < c->app_count; i++)
        c->apps[i]->is_leaving = true;
    for (uint32_t i = 0; i < m->app_count; i++)
        apps[i]->is_leaving = false;
    for (uint32_t i = 0; i < c->app_count; i++)
        if (c->apps[i]->is_leaving)
            app_free(c->apps[i]);
    map_fini(&c->names);
    free(c->apps);
    c->apps = apps;
    c->names = names;
    c->app_count = m->app_count;
    for (uint32_t i = 0; i < m->app_count; i++) {
        apps[i]->wanted = &m->apps[i];
        apps[i]->wanted_count =
            m->apps[i].command.len ? m->apps[i].instances : m->apps[i].upstreams.count;
        if (set_upstreams(apps[i]) != 0) /* there is no way back: who comes next begins anew */
            control_leave(c, err_row(ERR_NOMEM)->exit_code);
        app_choose_serving(apps[i]);
        app_check_health(apps[i]);
    }
    return 0;
}

void apps_fini(struct control *c)
{
    for (uint32_t i = 0; i < c->app_count; i++)
        app_free(c->apps[i]);
    map_fini(&c->names);
    free(c->apps);
    c->apps = NULL;
    c->app_count = 0;
}

bool instance_is_spared(const struct control_instance *in)
{
    for (uint32_t i = 0; i < in->app->instance_count; i++) {
        const struct control_instance *other = in->app->instances[i];
        if (other != in && serves(other) && !other->health.is_sick &&
            (other->is_upstream || other->last.version == in->last.version))
            return true;
    }
    return false;
}

static struct owner owner_of(const struct control_instance *in)
{
    return (struct owner){
        .group = in->last.pid, .uid = in->last.uid, .diag = in->app->control->diag};
}

static void on_health(struct health *h)
{
    struct control_instance *in = CONTAINER_OF(h, struct control_instance, health);
    struct slice name = in->app->wanted->name;
    log_event(h->is_sick ? LOG_WARN : LOG_INFO, h->is_sick ? "worker.unhealthy" : "worker.healthy",
              "app=%.*s index=%u status=%u path=%.*s text=\"%s\"", SLICE_FMT(name), in->index,
              h->status, SLICE_FMT(h->settings.path),
              !h->is_sick              ? "it gets requests again"
              : instance_is_spared(in) ? "it gets no requests until it answers well"
                                       : "it gets requests still: there is no better one");
    snapshot_wanted(in->app->control);
}

/* is_older  it served before this control came */
static void check_health(struct control_instance *in, bool is_older)
{
    const struct manifest_app *a = in->app->wanted;
    const struct owner owner = owner_of(in);
    struct addr address;
    const struct health_settings s = {a->health_path, a->hosts.at[0], a->health_interval_ms,
                                      a->health_failures};
    bool was_sick = in->health.is_sick && slice_eq(in->health.settings.path, a->health_path);
    bool is_same = in->health.loop && in->health.settings.interval_ms == s.interval_ms &&
                   in->health.settings.failures == s.failures &&
                   slice_eq(in->health.settings.path, s.path);
    if (is_same) { /* the words of the old manifest go with it */
        in->health.settings = s;
        return;
    }
    enum health_before before = was_sick ? HEALTH_SICK : is_older ? HEALTH_UNKNOWN : HEALTH_NEW;
    if (in->health.is_sick) /* it may not be any more */
        snapshot_wanted(in->app->control);
    health_stop(&in->health);
    if (s.path.len && in->is_ready && addr_parse(in->address, &address) == 0)
        health_start(&in->health, in->app->control->loop, &address, in->is_upstream ? NULL : &owner,
                     in->protocol == ROUTE_H2C, &s, before, on_health);
}

void app_check_health(struct control_app *app)
{
    const struct control *c = app->control;
    for (uint32_t i = 0; i < app->instance_count; i++)
        check_health(app->instances[i], c->is_resumed && !c->is_committed);
}

static void on_found(struct control_instance *in)
{
    struct control_app *app = in->app;
    struct control *c = app->control;
    const struct probe *p = &in->probe;
    addr_format(&p->address, in->address_text, sizeof in->address_text);
    in->address = slice_str(in->address_text);
    in->address_h2 = slice_str(NULL);
    if (p->has_h2_port) {
        addr_format(&p->h2_address, in->address_h2_text, sizeof in->address_h2_text);
        in->address_h2 = slice_str(in->address_h2_text);
    }
    in->protocol = p->is_h2c ? ROUTE_H2C : ROUTE_H1;
    in->is_ready = true;
    in->is_late = false;
    log_event(LOG_INFO, "worker.ready", "app=%s index=%u pid=%d address=%s protocol=%s took_ms=%lu",
              in->last.app, in->index, in->last.pid, in->address_text,
              route_protocol_name(in->protocol), (loop_now_us(c->loop) - p->started_us) / 1000);
    if (p->goal == PROBE_H2C && !p->is_h2c)
        log_event(LOG_WARN, "worker.no-http2",
                  "app=%s index=%u setting=apps.%s.http20ProxyFlag value=1 used=http/1.1 "
                  "text=\"the worker does not speak HTTP/2 without TLS; it is used as HTTP/1.1 and "
                  "cannot push; set http20ProxyFlag: 0 to say so\"",
                  in->last.app, in->index, in->last.app);
    if (p->h2_address.len && !p->has_h2_port)
        log_event(LOG_WARN, "worker.no-http2",
                  "app=%s index=%u setting=apps.%s.http20ProxyFlag value=2 port=%u text=\"nothing "
                  "speaks HTTP/2 at HTTP20_ONLY_PORT; gRPC will not work\"",
                  in->last.app, in->index, in->last.app, in->last.port_h2);
    if (in->last.state != IPC_READY) {
        struct ipc_instance_ready *m = control_scratch(IPC_INSTANCE_READY);
        memcpy(m->app, in->last.app, sizeof m->app);
        m->index = in->index;
        m->generation = in->last.generation;
        control_send(c, IPC_INSTANCE_READY, m, -1);
    }
    health_stop(&in->health);
    check_health(in, c->is_resumed && in->last.state == IPC_READY);
    snapshot_wanted(c);
}

static void on_finding(struct probe *p, enum probe_finding finding)
{
    struct control_instance *in = CONTAINER_OF(p, struct control_instance, probe);
    switch (finding) {
    case PROBE_FOUND:
        on_found(in);
        break;
    case PROBE_LATE:
        in->is_late = true;
        snapshot_wanted(in->app->control); /* nobody waits for it any more */
        log_event(
            LOG_WARN, "worker.not-listening",
            "app=%s index=%u pid=%d after_s=%u text=\"it listens neither at PORTICO_SOCKET nor "
            "at PORT (%u) of 127.0.0.1\"",
            in->last.app, in->index, in->last.pid, PROBE_LIMIT_MS / 1000, in->last.port);
        break;
    case PROBE_FOREIGN:
        log_event(LOG_WARN, "worker.foreign-listener",
                  "app=%s index=%u pid=%d port=%u text=\"a process that does not belong to the "
                  "instance listens at its address; it gets no requests\"",
                  in->last.app, in->index, in->last.pid, in->last.port);
        break;
    }
    greeting_update(in->app->control, in->app);
}

static void start_probe(struct control_instance *in)
{
    struct control *c = in->app->control;
    const struct ipc_instance *i = &in->last;
    const struct owner owner = owner_of(in);
    struct addr socket = {0}, port = {0}, h2_port = {0};
    char text[IPC_PATH_OCTETS + 8];
    snprintf(text, sizeof text, "unix:%s", i->socket);
    if (i->socket[0] == '\0' || addr_parse(slice_str(text), &socket) != 0)
        socket.len = 0;
    snprintf(text, sizeof text, "127.0.0.1:%u", i->port);
    if (i->port == 0 || addr_parse(slice_str(text), &port) != 0)
        port.len = 0;
    snprintf(text, sizeof text, "127.0.0.1:%u", i->port_h2);
    if (in->app->wanted->proxy_flag != ROUTE_PROXY_GRPC || i->port_h2 == 0 ||
        addr_parse(slice_str(text), &h2_port) != 0)
        h2_port.len = 0;
    probe_start(&in->probe, c->loop, &owner,
                in->app->wanted->proxy_flag == ROUTE_PROXY_ALL ? PROBE_H2C : PROBE_ACCEPTS, &socket,
                &port, &h2_port, on_finding);
}

static struct control_instance *find(const struct control_app *app, uint32_t index)
{
    for (uint32_t i = 0; i < app->instance_count; i++)
        if (app->instances[i]->index == index && !app->instances[i]->is_upstream)
            return app->instances[i];
    return NULL;
}

static void note_end(struct control_instance *in)
{
    const struct ipc_instance *i = &in->last;
    if (i->generation == 0)
        return;
    in->was_ended = true;
    in->ended.generation = i->generation;
    in->ended.exit_code = i->exit_code;
    in->ended.exit_signal = i->exit_signal;
    in->ended.ran_ms = i->ran_ms;
}

void instance_told(struct control *c, const struct ipc_instance *i)
{
    struct control_app *app = app_find(c, slice_str(i->app));
    struct control_instance *in = app ? find(app, i->index) : NULL;
    c->seen = i->sequence;
    if (i->is_gone) {
        if (in)
            instance_free(in);
        snapshot_wanted(c);
        return;
    }
    if (!in && app)
        in = instance_new(app, i->index);
    if (!in) { /* of a manifest that was in force before: it ends when routes know that */
        snapshot_wanted(c);
        return;
    }
    bool was_ready = in->is_ready, is_moved = in->last.version && in->last.version != i->version;
    bool was_failing = app_is_failing(app);
    uint32_t old_state = in->last.state;
    if (i->generation != in->last.generation) {
        probe_stop(&in->probe);
        in->is_ready = in->is_late = false;
    }
    in->last = *i;
    if (app->serving == 0)
        app_choose_serving(app);
    switch ((enum ipc_instance_state)i->state) {
    case IPC_STARTING:
    case IPC_READY:
        if (!in->is_ready && !probe_is_running(&in->probe) && i->pid > 0)
            start_probe(in);
        break;
    case IPC_EXITED:
    case IPC_BACKOFF:
        note_end(in);
        probe_stop(&in->probe);
        in->is_ready = in->is_late = false;
        break;
    case IPC_WANTED:
        probe_stop(&in->probe);
        in->is_ready = in->is_late = false;
        break;
    case IPC_DRAINING:
        probe_stop(&in->probe);
        break;
    }
    if (!serves(in))
        health_stop(&in->health);
    if (was_ready != in->is_ready || (old_state == IPC_DRAINING) != (i->state == IPC_DRAINING) ||
        i->state == IPC_DRAINING || is_moved || c->hold.due_us ||
        was_failing != app_is_failing(app)) /* nobody waits for one that fails */
        snapshot_wanted(c);
    greeting_update(c, in->app);
}

void instance_output(struct control *c, const struct ipc_output *o)
{
    const struct control_app *app = app_find(c, slice_str(o->app));
    struct control_instance *in = app ? find(app, o->index) : NULL;
    if (!in)
        return;
    char *text = strdup(o->text);
    if (!text)
        return;
    free(in->output);
    in->output = text;
    greeting_update(c, in->app);
}
