/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs that talk to a Portico that runs: status, reload, restart, scale. */
#include "cli/operate.h"
#include "cli/ask.h"
#include "cli/table.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAIT_US  100000u
#define BEGIN_US 30000000u /* monitor begins at once, unless it refuses */

static const char *string(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "-";
}

/* ---- status ---- */

static const char *state_of(const json_t *app)
{
    const json_t *change = json_object_get(app, "change");
    if (json_is_true(json_object_get(app, "failing")))
        return "does not start";
    if (json_is_object(change))
        return json_is_true(json_object_get(change, "failing")) ? "change fails" : "changing";
    return json_is_true(json_object_get(app, "healthy")) ? "ready" : "starting";
}

static void print_apps(const json_t *apps)
{
    static const char *const head[] = {"APP", "STATE", "READY", "RESTARTS", "ADDRESS"};
    struct table t = {.columns = 5};
    size_t i, k;
    const json_t *app, *in;
    table_add(&t, head);
    json_array_foreach(apps, i, app)
    {
        char ready[32], restarts[32];
        json_int_t routed = 0, again = 0;
        json_array_foreach(json_object_get(app, "instances"), k, in)
        {
            routed += json_is_true(json_object_get(in, "inRoutes"));
            again += json_integer_value(json_object_get(in, "restarts"));
        }
        snprintf(ready, sizeof ready, "%lld/%lld", routed,
                 json_integer_value(json_object_get(app, "instancesWanted")));
        snprintf(restarts, sizeof restarts, "%lld", again);
        const char *url = json_string_value(json_array_get(json_object_get(app, "urls"), 0));
        table_add(&t, (const char *const[]){string(app, "name"), state_of(app), ready, restarts,
                                            url ? url : "-"});
    }
    table_print(&t);
}

static void print_app(const json_t *app)
{
    static const char *const head[] = {"INSTANCE", "STATE",    "ROUTED",   "PID",
                                       "PROTOCOL", "RESTARTS", "LAST EXIT"};
    struct table t = {.columns = 7};
    size_t i;
    const json_t *in, *url;
    printf("%s: %s\n", string(app, "name"), state_of(app));
    json_array_foreach(json_object_get(app, "urls"), i, url)
        printf("  %s\n", json_string_value(url));
    if (json_is_string(json_object_get(app, "command")))
        printf("  command    %s\n  directory  %s\n", string(app, "command"),
               string(app, "directory"));
    printf("\n");
    table_add(&t, head);
    json_array_foreach(json_object_get(app, "instances"), i, in)
    {
        char index[32], pid[32], restarts[32];
        snprintf(index, sizeof index, "%lld", json_integer_value(json_object_get(in, "index")));
        snprintf(pid, sizeof pid, "%lld", json_integer_value(json_object_get(in, "pid")));
        snprintf(restarts, sizeof restarts, "%lld",
                 json_integer_value(json_object_get(in, "restarts")));
        bool sick = json_is_true(json_object_get(in, "unhealthy"));
        table_add(
            &t, (const char *const[]){index, sick ? "UNHEALTHY" : string(in, "state"),
                                      json_is_true(json_object_get(in, "inRoutes")) ? "yes" : "no",
                                      json_is_integer(json_object_get(in, "pid")) ? pid : "-",
                                      string(in, "protocol"), restarts,
                                      string(json_object_get(in, "lastExit"), "text")});
    }
    table_print(&t);
}

int operate_status(const char *data, const char *app, bool as_json)
{
    char path[128] = "/apps";
    json_t *j;
    int code = app ? ask_app_path(path, sizeof path, app, "") : 0;
    if (code == 0)
        code = ask_json(data, "GET", path, NULL, &j);
    if (code)
        return code;
    if (as_json) {
        json_dumpf(j, stdout, JSON_INDENT(2));
        printf("\n");
    } else if (app) {
        print_app(j);
    } else {
        print_apps(json_object_get(j, "apps"));
        if (json_is_true(json_object_get(j, "tenantsSeparated")) &&
            json_is_false(json_object_get(j, "portsFenced")))
            printf("\nTCP ports of workers are open to every process of this machine (the log says "
                   "why: monitor.no_fence);\nan app that listens on PORTICO_SOCKET is not.\n");
    }
    json_decref(j);
    return 0;
}

int operate_reload(const char *data)
{
    json_t *j;
    int code = ask_json(data, "POST", "/reload", NULL, &j);
    if (code)
        return code;
    printf("reloaded: %lld apps\n", json_integer_value(json_object_get(j, "apps")));
    json_decref(j);
    return 0;
}

/* before  the newest version when it was asked for
 * return  0: what was asked for is in force; else the exit code: told */
static int wait_for_change(const char *data, const char *path, const char *app, json_int_t before)
{
    for (unsigned waited_us = 0;; waited_us += WAIT_US) {
        json_t *j;
        int code = ask_json(data, "GET", path, NULL, &j);
        if (code)
            return code;
        const json_t *change = json_object_get(j, "change"), *in;
        bool failing = json_integer_value(json_object_get(change, "version")) > before &&
                       json_is_true(json_object_get(change, "failing"));
        bool begun = false, done = true;
        size_t i;
        json_array_foreach(json_object_get(j, "instances"), i, in)
        {
            bool is_new = json_integer_value(json_object_get(in, "version")) > before;
            begun |= is_new;
            done &= is_new;
        }
        done &= !json_is_object(change);
        json_decref(j);
        if (!begun && waited_us >= BEGIN_US) {
            fprintf(stderr,
                    "portico: no new instance of %s was begun; too many earlier ones may still "
                    "have requests to end, or its log says more\n",
                    app);
            return 1;
        }
        if (failing) {
            fprintf(stderr,
                    "portico: the new instances of %s do not start; the old ones go on. "
                    "`portico logs %s` says more\n",
                    app, app);
            return 1;
        }
        if (begun && done)
            return 0;
        usleep(WAIT_US);
    }
}

int operate_restart(const char *data, const char *app)
{
    char path[128];
    json_t *j;
    int code = ask_app_path(path, sizeof path, app, "/restart");
    if (code == 0)
        code = ask_json(data, "POST", path, NULL, &j);
    if (code)
        return code;
    json_int_t before = json_integer_value(json_object_get(j, "version"));
    json_decref(j);
    ask_app_path(path, sizeof path, app, "");
    code = wait_for_change(data, path, app, before);
    if (code == 0)
        printf("%s: new instances serve, the old ones have ended\n", app);
    return code;
}

int operate_scale(const char *data, const char *app, const char *count)
{
    char path[128], body[64], *end;
    json_t *j;
    long n = strtol(count, &end, 10);
    if (*end || end == count || n < 1 || n > 64) {
        fprintf(stderr, "portico: the number of instances must be 1 to 64, not %s\n", count);
        return 2;
    }
    snprintf(body, sizeof body, "{\"instances\": %ld}", n);
    int code = ask_app_path(path, sizeof path, app, "/scale");
    if (code == 0)
        code = ask_json(data, "POST", path, body, &j);
    if (code)
        return code;
    json_decref(j);
    printf("%s: %ld instance%s until the next reload; the manifest stays as it is\n", app, n,
           n == 1 ? "" : "s");
    return 0;
}
