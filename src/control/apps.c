/* SPDX-License-Identifier: Apache-2.0 */
/* /apps and /healthz. */
#include "control/admin.h"
#include "control/state.h"
#include "base/err.h"
#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>

static json_t *texts(const struct manifest_text_list *l)
{
    json_t *a = json_array();
    for (uint32_t i = 0; i < l->count; i++)
        json_array_append_new(a, json_octets(l->at[i]));
    return a;
}

static json_t *last_exit(const struct control_instance *in)
{
    char words[128];
    if (!in->was_ended)
        return json_null();
    instance_end_text(in, words, sizeof words);
    return json_pack(
        "{s:I,s:o,s:o,s:I,s:s}", "generation", (json_int_t)in->ended.generation, "status",
        in->ended.exit_code < 0 ? json_null() : json_integer(in->ended.exit_code), "signal",
        in->ended.exit_signal ? json_integer(in->ended.exit_signal) : json_null(), "ranMs",
        (json_int_t)in->ended.ran_ms, "text", words);
}

static json_t *instance(const struct control_instance *in)
{
    const struct ipc_instance *i = &in->last;
    json_t *o =
        json_pack("{s:i,s:s,s:b,s:o,s:o}", "index", (int)in->index, "state",
                  instance_state_name(i->state), "inRoutes",
                  in->is_ready && i->state != IPC_DRAINING && in->last.version == in->app->serving,
                  "address", json_octets(in->address), "protocol",
                  in->is_ready ? json_string(route_protocol_name(in->protocol)) : json_null());
    if (o)
        json_object_set_new(o, "unhealthy", json_boolean(in->health.is_sick));
    if (!o || in->is_upstream)
        return o;
    json_object_set_new(o, "addressHttp20Only", json_octets(in->address_h2));
    json_object_set_new(o, "pid", i->pid > 0 ? json_integer(i->pid) : json_null());
    json_object_set_new(o, "uid", json_integer(i->uid));
    json_object_set_new(o, "port", json_integer(i->port));
    json_object_set_new(o, "socket", json_octets(slice_str(i->socket)));
    json_object_set_new(o, "version", json_integer((json_int_t)i->version));
    json_object_set_new(o, "generation", json_integer(i->generation));
    json_object_set_new(o, "restarts", json_integer(i->restarts));
    json_object_set_new(o, "failuresInARow", json_integer(i->failures));
    json_object_set_new(o, "retryInMs",
                        i->state == IPC_BACKOFF ? json_integer(i->retry_in_ms) : json_null());
    json_object_set_new(o, "notListening", json_boolean(in->is_late));
    json_object_set_new(o, "lastExit", last_exit(in));
    json_object_set_new(o, "lastOutput", json_octets(slice_str(in->output)));
    return o;
}

static json_t *urls(const struct control *c, const struct control_app *app)
{
    json_t *a = json_array();
    char url[384];
    for (uint32_t i = 0; i < app->wanted->hosts.count; i++)
        if (app->wanted->hosts.at[i].p[0] != '*' &&
            app_url(c, app->wanted->hosts.at[i], url, sizeof url))
            json_array_append_new(a, json_string(url));
    return a;
}

/* NULL while all is as the manifest says. */
static json_t *change(const struct control_app *app)
{
    uint64_t version = app_current_version(app);
    uint32_t ready = 0;
    if (version == app->serving)
        return json_null();
    for (uint32_t i = 0; i < app->instance_count; i++)
        ready += app->instances[i]->last.version == version && app->instances[i]->is_ready;
    return json_pack("{s:I,s:i,s:i,s:b}", "version", (json_int_t)version, "ready", (int)ready,
                     "wanted", (int)app->wanted_count, "failing", app_change_is_failing(app));
}

static json_t *app_object(const struct control *c, const struct control_app *app)
{
    const struct manifest_app *a = app->wanted;
    json_t *list = json_array();
    for (uint32_t i = 0; i < app->instance_count; i++)
        json_array_append_new(list, instance(app->instances[i]));
    json_t *o =
        json_pack("{s:o,s:o,s:o,s:b,s:b,s:b,s:i,s:b,s:s,s:s,s:s}", "name", json_octets(a->name),
                  "hosts", texts(&a->hosts), "urls", urls(c, app), "healthy",
                  app_ready_count(app) > 0, "failing", app_is_failing(app), "http20Enabled",
                  (int)a->http20_enabled, "http20ProxyFlag", (int)a->proxy_flag, "httpsOnly",
                  (int)a->https_only, "push", push_policy_word((enum push_policy)a->push.policy),
                  "forwardedFor", a->xff_port ? "ip:port" : "ip", "minTlsVersion",
                  a->min_tls_version == 0x0304 ? "1.3" : "1.2");
    json_object_set_new(o, "webSocketsEnabled", json_boolean(a->websockets_enabled));
    json_object_set_new(o, "upgrades", texts(&a->upgrades));
    json_object_set_new(o, "timeoutsMs",
                        json_pack("{s:I,s:I,s:I,s:I}", "request", (json_int_t)a->request_timeout_ms,
                                  "idle", (json_int_t)a->idle_timeout_ms, "tunnel",
                                  (json_int_t)a->tunnel_timeout_ms, "drain",
                                  (json_int_t)a->drain_ms));
    json_object_set_new(o, "limits",
                        json_pack("{s:I}", "bodyOctets", (json_int_t)a->body_limit_octets));
    json_object_set_new(o, "command", json_octets(a->command));
    json_object_set_new(o, "directory", json_octets(a->directory));
    json_object_set_new(o, "slot", json_integer(app->slot));
    json_object_set_new(o, "instancesWanted", json_integer(app->wanted_count));
    json_object_set_new(o, "change", change(app));
    json_object_set_new(o, "instances", list);
    return o;
}

static json_t *listeners(const struct control *c)
{
    static const char *const kinds[] = {
        [IPC_LISTEN_HTTPS] = "https", [IPC_LISTEN_HTTP] = "http", [IPC_LISTEN_ADMIN] = "admin"};
    json_t *a = json_array();
    for (uint32_t i = 0; i < c->listener_count; i++)
        json_array_append_new(
            a, json_pack("{s:s,s:s}", "kind",
                         c->listeners[i].kind < 3 ? kinds[c->listeners[i].kind] : "unknown",
                         "address", c->listeners[i].address));
    return a;
}

/* json: given, may be NULL */
static int dump(json_t *json, struct buf *out)
{
    char *s = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
    int err = s ? buf_printf(out, "%s\n", s) : ERR_NOMEM;
    free(s);
    json_decref(json);
    return err;
}

int apps_write(const struct control *c, struct buf *out)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < c->app_count; i++)
        json_array_append_new(list, app_object(c, c->apps[i]));
    return dump(json_pack("{s:s,s:I,s:I,s:o,s:b,s:b,s:o,s:o}", "version", PORTICO_VERSION,
                          "revision", (json_int_t)c->revision, "revisionInForce",
                          (json_int_t)c->in_force, "loops",
                          c->manifest ? json_integer(c->manifest->loops) : json_null(),
                          "tenantsSeparated", c->hello.as_root != 0, "portsFenced",
                          c->hello.is_fenced != 0, "listeners", listeners(c), "apps", list),
                out);
}

int app_write(const struct control *c, const struct control_app *app, struct buf *out)
{
    return dump(app_object(c, app), out);
}

int reload_faults_write(const struct tree_faults *f, struct buf *out)
{
    json_t *list = json_array();
    char line[1200];
    for (unsigned i = 0; i < f->count && i < TREE_MAX_FAULTS; i++) {
        if (f->at[i].line)
            snprintf(line, sizeof line, "%.*s:%u:%u: %.*s", SLICE_FMT(f->file), f->at[i].line,
                     f->at[i].column, SLICE_FMT(f->at[i].text));
        else
            snprintf(line, sizeof line, "%.*s: %.*s", SLICE_FMT(f->file), SLICE_FMT(f->at[i].text));
        json_array_append_new(list, json_octets(slice_str(line)));
    }
    return dump(json_pack("{s:{s:i,s:s,s:o}}", "error", "status", 422, "message",
                          "the manifest is not valid; nothing was changed", "faults", list),
                out);
}

int health_write(const struct control *c, struct buf *out, bool *well_out)
{
    json_t *sick = json_array();
    for (uint32_t i = 0; i < c->app_count; i++) {
        const struct control_app *app = c->apps[i];
        if (app_ready_count(app) == 0)
            json_array_append_new(
                sick, json_pack("{s:o,s:b,s:i}", "app", json_octets(app->wanted->name), "failing",
                                app_is_failing(app), "instances", (int)app->instance_count));
    }
    *well_out = c->is_committed && json_array_size(sick) == 0;
    if (!*well_out)
        return dump(json_pack("{s:s,s:o}", "status", "not ready", "withoutReadyInstance", sick),
                    out);
    json_decref(sick);
    return buf_add_str(out, "ok\n");
}
