/* SPDX-License-Identifier: Apache-2.0 */
/* Versions of apps: which are wanted, which one is current, and with how many instances. */
#include "monitor/state.h"
#include "monitor/files.h"
#include "base/err.h"
#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The current version, if the app is wanted. */
static struct app *current(const struct monitor *m, const char *name)
{
    struct app *a = map_get(&m->apps_by_name, slice_str(name));
    return a && a->is_wanted ? a : NULL;
}

bool app_is_current(const struct app *a)
{
    return current(a->monitor, a->wanted.name) == a;
}

/* The versions of an app, one after the other; NULL: the first, and the end. */
static struct app *version_after(const struct monitor *m, const char *name, const struct app *after)
{
    bool found = !after;
    LIST_FOR(node, &m->apps)
    {
        struct app *a = LIST_ENTRY(node, struct app, node);
        if (found && strcmp(a->wanted.name, name) == 0)
            return a;
        found = found || a == after;
    }
    return NULL;
}

static int make_current(struct app *a)
{
    struct monitor *m = a->monitor;
    int r = map_put(&m->apps_by_name, slice_str(a->wanted.name), a);
    if (r == 0)
        a->version = ++m->versions;
    return r;
}

struct app *app_add(struct monitor *m, struct wanted_app *w, uid_t uid)
{
    struct app *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    a->monitor = m;
    a->wanted = *w; /* taken over, once nothing can fail */
    a->uid = uid;
    if (make_current(a) < 0) {
        free(a);
        return NULL;
    }
    memset(w, 0, sizeof *w);
    a->is_wanted = true;
    app_init_preparing(a);
    list_add_tail(&m->apps, &a->node);
    return a;
}

/* return  NULL: *err_out is ERR_LIMIT (so many versions still end, or so many users), ERR_NOMEM, or
 *         ERR_SYS (its user cannot be had: errno) */
static struct app *app_new(struct monitor *m, struct wanted_app *w, int *err_out)
{
    uint32_t count = 0, used = 0;
    for (struct app *v = NULL; (v = version_after(m, w->name, v)); count++)
        used |= 1u << v->site;
    uid_t uid = m->as_root ? users_get(&m->users, w->name) : getuid();
    *err_out = 0;
    if (m->as_root && !uid)
        *err_out = errno ? ERR_SYS : ERR_LIMIT;
    if (count >= MONITOR_MAX_VERSIONS)
        *err_out = ERR_LIMIT;
    if (*err_out != 0)
        return NULL;
    struct app *a = app_add(m, w, uid);
    if (!a)
        *err_out = ERR_NOMEM;
    while (a && used & 1u << a->site)
        a->site++;
    return a;
}

static void app_free(struct app *a)
{
    struct monitor *m = a->monitor;
    char run[IPC_PATH_OCTETS];
    for (uint32_t n = 0; n < WANTED_MAX_INSTANCES; n++)
        if (a->instances[n])
            slot_free(a->instances[n]);
    list_remove(&a->node);
    if (map_get(&m->apps_by_name, slice_str(a->wanted.name)) == a)
        map_del(&m->apps_by_name, slice_str(a->wanted.name));
    if (!version_after(m, a->wanted.name, NULL) &&
        FILES_FMT(run, "%s/run/%s", m->data, a->wanted.name))
        rmdir(run);
    output_fini(&a->preparing_output);
    wanted_app_fini(&a->wanted);
    free(a);
}

void app_free_if_gone(struct app *a)
{
    if (a->is_wanted || a->preparing.pid)
        return;
    for (uint32_t n = 0; n < WANTED_MAX_INSTANCES; n++)
        if (a->instances[n])
            return;
    app_free(a);
}

/* What is wanted. */

static void unwant(struct instance *i)
{
    if (!i->is_wanted)
        return;
    i->is_wanted = false;
    if (!retire(i))
        slot_free(i);
}

/* This version is not wanted any more; it may be freed. */
static void drop(struct app *a)
{
    a->is_wanted = false;
    for (uint32_t n = 0; n < WANTED_MAX_INSTANCES; n++)
        if (a->instances[n])
            unwant(a->instances[n]);
    app_free_if_gone(a);
}

/* After a was made current in place of old.  The old one goes on serving until RETIRE, unless it
 * never came to serve: then one before it does. */
static void supersede(struct app *old, struct app *a)
{
    log_event(LOG_INFO, "app.change", "app=%s version=%llu before=%llu", a->wanted.name,
              (unsigned long long)a->version, (unsigned long long)old->version);
    for (struct app *v = NULL; (v = version_after(a->monitor, a->wanted.name, v));)
        if (v != old && v != a && v->is_wanted) {
            drop(old);
            return;
        }
}

static int scale(struct app *a, uint32_t instances)
{
    a->wanted.instances = instances;
    for (uint32_t n = 0; n < WANTED_MAX_INSTANCES; n++) {
        if (a->instances[n] && n >= instances)
            unwant(a->instances[n]);
        else if (a->instances[n])
            a->instances[n]->is_wanted = true; /* even while it drains: it comes back */
        else if (n < instances && !slot_new(a, n))
            return ERR_NOMEM;
    }
    return 0;
}

/* A version that still serves and has these words: a change was taken back. */
static struct app *find_words(const struct monitor *m, const struct wanted_app *w)
{
    for (struct app *v = NULL; (v = version_after(m, w->name, v));)
        if (v->is_wanted && wanted_app_eq(&v->wanted, w))
            return v;
    return NULL;
}

bool workers_has_words(const struct monitor *m, const struct wanted_app *w)
{
    const struct app *a = current(m, w->name); /* most have not changed */
    return (a && wanted_app_eq(&a->wanted, w)) || find_words(m, w);
}

static int apply_one(struct monitor *m, struct wanted_app *w)
{
    char name[IPC_NAME_OCTETS];
    uint32_t instances = w->instances, drain_ms = w->drain_ms;
    memcpy(name, w->name, sizeof name);
    struct app *old = current(m, name), *a = old;
    int err = 0;
    for (struct app *v = NULL; (v = version_after(m, name, v));)
        v->is_named = true;
    if (!old) {
        a = app_new(m, w, &err);
    } else if (!wanted_app_eq(&old->wanted, w)) {
        a = find_words(m, w);
        if (a) {
            if (make_current(a) < 0)
                return ERR_NOMEM;
            log_event(LOG_INFO, "app.change", "app=%s version=%llu back=true", name,
                      (unsigned long long)a->version);
            drop(old);
        } else if ((a = app_new(m, w, &err))) {
            supersede(old, a);
        }
    }
    if (!a)
        return err;
    a->is_named = true;
    for (struct app *v = NULL; (v = version_after(m, name, v));)
        v->wanted.drain_ms = drain_ms;
    return scale(a, instances);
}

/* err of app_new, or ERR_NOMEM */
static void tell_refused(const char *name, int err)
{
    const char *why = err == ERR_SYS ? strerror(errno) : "";
    log_event(LOG_ERROR, "app.refused", "app=%s error=\"%s%s\"", name,
              err == ERR_SYS ? "its user cannot be had: " : err_text(err), why);
}

int workers_apply(struct monitor *m, struct wanted *w)
{
    int result = 0;
    LIST_FOR(node, &m->apps)
    {
        LIST_ENTRY(node, struct app, node)->is_named = false;
    }
    for (uint32_t n = 0; m->as_root && n < w->app_count; n++)
        users_expect(&m->users, w->apps[n].name);
    for (uint32_t n = 0; n < w->app_count; n++) {
        /* wanted_app_fini() of what was taken over finds nothing */
        char name[IPC_NAME_OCTETS];
        memcpy(name, w->apps[n].name, sizeof name);
        int r = apply_one(m, &w->apps[n]);
        if (r < 0) {
            tell_refused(name, r);
            result = ERR_LIMIT;
            if (r == ERR_NOMEM)
                return r;
        }
    }
    LIST_FOR(node, &m->apps)
    {
        struct app *a = LIST_ENTRY(node, struct app, node);
        if (!a->is_named && a->is_wanted)
            drop(a);
    }
    return result;
}

static void tell_versions(struct monitor *m, const char *name)
{
    for (struct app *v = NULL; (v = version_after(m, name, v));)
        for (uint32_t n = 0; n < WANTED_MAX_INSTANCES; n++)
            if (v->instances[n])
                instance_tell(v->instances[n]);
}

void workers_roll(struct monitor *m, const char *name)
{
    struct app *old = current(m, name), *a = NULL;
    struct wanted_app words;
    int err = 0;
    if (!old)
        return;
    if (wanted_app_copy(&words, &old->wanted) == 0) {
        a = app_new(m, &words, &err);
        wanted_app_fini(&words);
    }
    if (!a || scale(a, old->wanted.instances) < 0) {
        tell_refused(name, err ? err : ERR_NOMEM);
        if (!a)
            return;
    }
    supersede(old, a);
    tell_versions(m, name);
    for (uint32_t n = 0; n < WANTED_MAX_INSTANCES; n++)
        if (a->instances[n])
            worker_step(a->instances[n]);
}

void workers_retire(struct monitor *m, const struct ipc_retire *r)
{
    const struct app *a = current(m, r->app);
    if (!a || a->version != r->version)
        return;
    for (struct app *v = version_after(m, r->app, NULL), *next; v; v = next) {
        next = version_after(m, r->app, v);
        if (v != a && v->is_wanted)
            drop(v);
    }
}

void app_resume_version(struct app *a, uint64_t version, struct app *was_current)
{
    a->version = version;
    a->monitor->versions--; /* app_add gave out one that nobody has heard of */
    if (was_current)
        map_put(&a->monitor->apps_by_name, slice_str(was_current->wanted.name), was_current);
}

void workers_fini(struct monitor *m)
{
    LIST_FOR(node, &m->apps)
    {
        app_free(LIST_ENTRY(node, struct app, node));
    }
}
