/* SPDX-License-Identifier: Apache-2.0 */
/* What the operator may ask for, and what it does. */
#include "control/admin.h"
#include "control/state.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/panic.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const char json_content[] = "application/json";

int admin_error(struct admin_answer *a, unsigned status, const char *fmt, ...)
{
    char message[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    json_t *j = json_pack("{s:{s:i,s:o}}", "error", "status", (int)status, "message",
                          json_octets(slice_str(message)));
    char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
    int err = text ? buf_printf(&a->body, "%s\n", text) : ERR_NOMEM;
    free(text);
    json_decref(j);
    a->status = status;
    a->type = json_content;
    return err;
}

static int no_app(struct admin_answer *a, struct slice name)
{
    return admin_error(a, 404, "No app is named \"%.*s\".", (int)(name.len < 64 ? name.len : 64),
                       name.p);
}

static int get_health(struct control *c, struct slice name, struct slice body,
                      struct admin_answer *a, enum admin_verdict *verdict_out)
{
    bool well;
    (void)name, (void)body, (void)verdict_out;
    int err = health_write(c, &a->body, &well);
    a->status = well ? 200 : 503;
    a->type = well ? "text/plain; charset=utf-8" : json_content;
    return err;
}

static int get_metrics(struct control *c, struct slice name, struct slice body,
                       struct admin_answer *a, enum admin_verdict *verdict_out)
{
    (void)name, (void)body, (void)verdict_out;
    a->type = "text/plain; version=0.0.4; charset=utf-8";
    return metrics_write(c, &a->body);
}

static int get_apps(struct control *c, struct slice name, struct slice body, struct admin_answer *a,
                    enum admin_verdict *verdict_out)
{
    (void)name, (void)body, (void)verdict_out;
    a->type = json_content;
    return apps_write(c, &a->body);
}

static int get_app(struct control *c, struct slice name, struct slice body, struct admin_answer *a,
                   enum admin_verdict *verdict_out)
{
    const struct control_app *app = app_find(c, name);
    (void)body, (void)verdict_out;
    a->type = json_content;
    return app ? app_write(c, app, &a->body) : no_app(a, name);
}

static int get_push(struct control *c, struct slice name, struct slice body, struct admin_answer *a,
                    enum admin_verdict *verdict_out)
{
    (void)name, (void)body, (void)verdict_out;
    a->type = json_content;
    return push_write(c, &a->body);
}

static int get_app_push(struct control *c, struct slice name, struct slice body,
                        struct admin_answer *a, enum admin_verdict *verdict_out)
{
    const struct control_app *app = app_find(c, name);
    (void)body, (void)verdict_out;
    a->type = json_content;
    return app ? push_app_write(c, app, &a->body) : no_app(a, name);
}

/* What lets a request see its Portico-Push; and where it may be sent, so that it goes nowhere
 * else. */
static int get_push_token(struct control *c, struct slice name, struct slice body,
                          struct admin_answer *a, enum admin_verdict *verdict_out)
{
    bool is_next = false;
    (void)name, (void)body, (void)verdict_out;
    a->type = json_content;
    int err = buf_printf(&a->body, "{\"token\":\"%.*s\",\"ports\":[", (int)sizeof c->push_token,
                         c->push_token);
    for (uint32_t i = 0; err == 0 && i < c->listener_count; i++) {
        const struct control_listener *l = &c->listeners[i];
        struct addr address;
        if ((l->kind != IPC_LISTEN_HTTPS && l->kind != IPC_LISTEN_HTTP) ||
            addr_parse(slice_str(l->address), &address) != 0)
            continue;
        err = buf_printf(&a->body, "%s%u", is_next ? "," : "", addr_port(&address));
        is_next = true;
    }
    return err ? err : buf_add_str(&a->body, "]}\n");
}

static int post_reload(struct control *c, struct slice name, struct slice body,
                       struct admin_answer *a, enum admin_verdict *verdict_out)
{
    struct ipc_reload *m = control_scratch(IPC_RELOAD);
    (void)name, (void)body, (void)a;
    *verdict_out = ADMIN_RELOAD;
    m->asked = ++c->reloads_asked;
    control_send(c, IPC_RELOAD, m, -1);
    return 0;
}

/* An app whose workers Portico runs; NULL: answered. */
static struct control_app *managed(struct control *c, struct slice name, struct admin_answer *a,
                                   int *err_out)
{
    struct control_app *app = app_find(c, name);
    *err_out = 0;
    if (!app)
        *err_out = no_app(a, name);
    else if (app->wanted->command.len == 0)
        *err_out = admin_error(a, 409, "The workers of \"%.*s\" are run by someone else.",
                               SLICE_FMT(name));
    return app && app->wanted->command.len ? app : NULL;
}

static int post_restart(struct control *c, struct slice name, struct slice body,
                        struct admin_answer *a, enum admin_verdict *verdict_out)
{
    int err;
    (void)body, (void)verdict_out;
    struct control_app *app = managed(c, name, a, &err);
    if (!app)
        return err;
    struct ipc_roll *m = control_scratch(IPC_ROLL);
    ipc_text(m->app, sizeof m->app, app->wanted->name);
    app->failure_told = false;
    control_send(c, IPC_ROLL, m, -1);
    log_event(LOG_INFO, "control.restart", "app=%s", m->app);
    a->status = 202;
    a->type = json_content;
    return buf_printf(&a->body, "{\"status\":\"restarting\",\"version\":%lu}\n",
                      app_current_version(app));
}

static int post_scale(struct control *c, struct slice name, struct slice body,
                      struct admin_answer *a, enum admin_verdict *verdict_out)
{
    int err;
    json_int_t n = 0;
    json_t *j;
    (void)verdict_out;
    struct control_app *app = managed(c, name, a, &err);
    if (!app)
        return err;
    j = json_loadb(body.p, body.len, JSON_REJECT_DUPLICATES, NULL);
    if (j)
        n = json_integer_value(json_object_get(j, "instances"));
    json_decref(j);
    if (n < 1 || n > 64)
        return admin_error(a, 400, "The content must be {\"instances\": N}, N from 1 to 64.");
    app->wanted_count = (uint32_t)n;
    log_event(LOG_INFO, "control.scale", "app=%.*s instances=%u", SLICE_FMT(app->wanted->name),
              app->wanted_count);
    wanted_send(c, c->manifest);
    snapshot_wanted(c);
    a->status = 202;
    a->type = json_content;
    return buf_printf(&a->body,
                      "{\"status\":\"scaling\",\"instances\":%u,\"until\":\"the next "
                      "reload\"}\n",
                      app->wanted_count);
}

static const struct {
    const char *path; /* "*" stands for an app's name */
    bool is_post, is_local;
    int (*run)(struct control *c, struct slice name, struct slice body, struct admin_answer *a,
               enum admin_verdict *verdict_out);
} endpoints[] = {
    {"/healthz", false, false, get_health},
    {"/metrics", false, false, get_metrics},
    {"/apps", false, false, get_apps},
    {"/apps/*", false, false, get_app},
    {"/apps/*/push", false, true, get_app_push},
    {"/apps/*/restart", true, true, post_restart},
    {"/apps/*/scale", true, true, post_scale},
    {"/push", false, true, get_push},
    {"/push/token", false, true, get_push_token},
    {"/reload", true, true, post_reload},
};

/* name_out: what stands for "*" */
static bool matches(const char *pattern, struct slice path, struct slice *name_out)
{
    const char *star = strchr(pattern, '*');
    size_t before = star ? (size_t)(star - pattern) : strlen(pattern);
    size_t after = star ? strlen(star + 1) : 0;
    *name_out = SLICE("");
    if (!star)
        return slice_eq(path, slice_str(pattern));
    if (path.len <= before + after || memcmp(path.p, pattern, before) != 0 ||
        memcmp(path.p + path.len - after, star + 1, after) != 0)
        return false;
    *name_out = slice_of(path.p + before, path.len - before - after);
    return !memchr(name_out->p, '/', name_out->len);
}

int admin_act(struct control *c, struct slice method, struct slice path, struct slice body,
              bool is_local, struct admin_answer *a, enum admin_verdict *verdict_out)
{
    *verdict_out = ADMIN_ANSWERED;
    for (size_t i = 0; i < ARRAY_LEN(endpoints); i++) {
        struct slice name;
        if (!matches(endpoints[i].path, path, &name))
            continue;
        if (endpoints[i].is_local && !is_local)
            return admin_error(a, 403, "This is only for admin.sock in the data directory.");
        bool fits = endpoints[i].is_post
                        ? slice_eq(method, SLICE("POST"))
                        : slice_eq(method, SLICE("GET")) || slice_eq(method, SLICE("HEAD"));
        if (!fits) {
            a->allow = endpoints[i].is_post ? "POST" : "GET, HEAD";
            return admin_error(a, 405, "Only %s is allowed here.",
                               endpoints[i].is_post ? "POST" : "GET and HEAD");
        }
        return endpoints[i].run(c, name, body, a, verdict_out);
    }
    return admin_error(a, 404,
                       "There are /apps, /apps/NAME, /healthz and /metrics; at admin.sock more.");
}
