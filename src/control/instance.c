/* SPDX-License-Identifier: Apache-2.0 */
/* The instances: what monitor says of them, and what the probe finds out. */
#include "control/state.h"
#include "base/err.h"
#include "base/log.h"
#include "base/panic.h"

#include <stdio.h>
#include <stdlib.h>

/* So many exits in a row before READY: the app does not start. */
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

uint32_t app_ready_count(const struct control_app *app)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < app->instance_count; i++)
        n += app->instances[i].is_ready && app->instances[i].last.state != IPC_DRAINING;
    return n;
}

bool app_is_failing(const struct control_app *app)
{
    if (app_ready_count(app))
        return false;
    for (uint32_t i = 0; i < app->instance_count; i++) {
        const struct control_instance *in = &app->instances[i];
        bool no_command = in->was_ended && (in->ended.exit_code == EXIT_NOT_EXECUTABLE ||
                                            in->ended.exit_code == EXIT_NOT_FOUND);
        if (in->is_late || in->last.failures >= FAILING_AFTER || (in->last.failures && no_command))
            return true;
    }
    return false;
}

static void set_upstream(struct control_instance *in, struct slice address)
{
    in->is_upstream = in->is_ready = true;
    in->last.state = IPC_READY;
    in->address = address;
    in->protocol = in->app->wanted->proxy_flag == ROUTE_PROXY_ALL ? ROUTE_H2C : ROUTE_H1;
}

int instances_init(struct control *c)
{
    c->app_count = c->manifest->app_count;
    c->apps = calloc(c->app_count, sizeof *c->apps);
    if (!c->apps) {
        c->app_count = 0;
        return ERR_NOMEM;
    }
    for (uint32_t i = 0; i < c->app_count; i++) {
        struct control_app *app = &c->apps[i];
        const struct manifest_app *wanted = &c->manifest->apps[i];
        uint32_t count = wanted->command.len ? wanted->instances : wanted->upstreams.count;
        app->control = c;
        app->wanted = wanted;
        app->slot = i;
        app->instances = calloc(count, sizeof *app->instances);
        if (!app->instances)
            return ERR_NOMEM;
        app->instance_count = count;
        for (uint32_t j = 0; j < count; j++) {
            app->instances[j].app = app;
            app->instances[j].index = j;
            if (wanted->command.len == 0)
                set_upstream(&app->instances[j], wanted->upstreams.at[j]);
        }
    }
    return 0;
}

void instances_fini(struct control *c)
{
    for (uint32_t i = 0; i < c->app_count; i++) {
        struct control_app *app = &c->apps[i];
        for (uint32_t j = 0; j < app->instance_count; j++) {
            probe_stop(&app->instances[j].probe);
            free(app->instances[j].output);
        }
        if (app->tell.on_due)
            loop_timer_clear(&app->tell);
        free(app->instances);
    }
    free(c->apps);
    c->apps = NULL;
    c->app_count = 0;
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
    const struct owner owner = {.group = i->pid, .uid = i->uid};
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

static struct control_instance *find(struct control *c, const char *app, uint32_t index)
{
    for (uint32_t i = 0; i < c->app_count; i++)
        if (slice_eq(c->apps[i].wanted->name, slice_str(app))) {
            struct control_app *a = &c->apps[i];
            return index < a->instance_count && !a->instances[index].is_upstream
                       ? &a->instances[index]
                       : NULL;
        }
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
    struct control_instance *in = find(c, i->app, i->index);
    if (!in) /* of a manifest that was in force before */
        return;
    bool was_ready = in->is_ready;
    uint32_t old_state = in->last.state;
    if (i->generation != in->last.generation) {
        probe_stop(&in->probe);
        in->is_ready = in->is_late = false;
    }
    in->last = *i;
    in->is_told = true;
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
    if (was_ready != in->is_ready || (old_state == IPC_DRAINING) != (i->state == IPC_DRAINING) ||
        c->hold.due_us)
        snapshot_wanted(c);
    greeting_update(c, in->app);
}

void instance_output(struct control *c, const struct ipc_output *o)
{
    struct control_instance *in = find(c, o->app, o->index);
    if (!in)
        return;
    char *text = strdup(o->text);
    if (!text)
        return;
    free(in->output);
    in->output = text;
    greeting_update(c, in->app);
}
