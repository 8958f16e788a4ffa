/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/wanted.h"
#include "base/err.h"
#include "base/panic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void wanted_init(struct wanted *w)
{
    memset(w, 0, sizeof *w);
}

void wanted_app_fini(struct wanted_app *a)
{
    for (uint32_t i = 0; i < a->env_count; i++)
        free(a->env[i]);
    free(a->env);
    free(a->directory);
    free(a->command);
    free(a->where);
    memset(a, 0, sizeof *a);
}

void wanted_certificate_fini(struct wanted_certificate *c)
{
    free(c->hosts);
    free(c->chain);
    free(c->key);
    free(c->where);
    memset(c, 0, sizeof *c);
}

void wanted_fini(struct wanted *w)
{
    for (uint32_t i = 0; i < w->app_count; i++)
        wanted_app_fini(&w->apps[i]);
    for (uint32_t i = 0; i < w->certificate_count; i++)
        wanted_certificate_fini(&w->certificates[i]);
    free(w->apps);
    free(w->certificates);
    free(w->kept);
    wanted_init(w);
}

static int refuse(char *error_out, size_t cap, const char *what)
{
    snprintf(error_out, cap, "%s", what);
    return ERR_FORMAT;
}

/* Texts reach the console and file names. */
static bool is_printable(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            return false;
    return true;
}

bool wanted_is_name(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return n > 0 && n < IPC_NAME_OCTETS && name[n] == 0 && name[0] != '-';
}

static bool is_path(const char *s)
{
    return s[0] == '/' && is_printable(s);
}

/* Room for one more element of an array. */
static bool grow(void **array, uint32_t count, uint32_t *cap, size_t size)
{
    if (count < *cap)
        return true;
    uint32_t bigger = *cap ? *cap * 2 : 16;
    void *p = realloc(*array, bigger * size);
    if (!p)
        return false;
    *array = p;
    *cap = bigger;
    return true;
}

static int add_listen(struct wanted *w, const struct ipc_listen *l, char *error_out, size_t cap)
{
    if (w->listen_count == LISTEN_MAX_ADDRESSES)
        return refuse(error_out, cap, "too many addresses to listen at");
    if (l->kind > IPC_LISTEN_ADMIN || !is_printable(l->address) || !is_printable(l->where))
        return refuse(error_out, cap, "an address to listen at that cannot be");
    struct wanted_listen *to = &w->listens[w->listen_count++];
    to->kind = l->kind;
    memcpy(to->address, l->address, sizeof to->address);
    memcpy(to->where, l->where, sizeof to->where);
    return 0;
}

static bool are_hosts(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-_.*: ");
    return n > 0 && s[n] == 0 && s[0] != ' ' && s[n - 1] != ' ' && !strstr(s, "  ");
}

static int add_certificate(struct wanted *w, const struct ipc_certificate *c, char *error_out,
                           size_t cap)
{
    if (w->certificate_count == WANTED_MAX_CERTIFICATES)
        return refuse(error_out, cap, "too many certificates");
    if (c->local > 1 || !is_printable(c->where) ||
        (c->local ? !are_hosts(c->hosts) : !is_path(c->chain) || !is_path(c->key)))
        return refuse(error_out, cap, "a certificate that cannot be");
    if (!grow((void **)&w->certificates, w->certificate_count, &w->certificate_cap,
              sizeof *w->certificates))
        return ERR_NOMEM;
    struct wanted_certificate to = {
        .id = c->id,
        .local = c->local != 0,
        .hosts = strdup(c->local ? c->hosts : ""),
        .chain = strdup(c->local ? "" : c->chain),
        .key = strdup(c->local ? "" : c->key),
        .where = strdup(c->where),
    };
    if (!to.hosts || !to.chain || !to.key || !to.where) {
        wanted_certificate_fini(&to);
        return ERR_NOMEM;
    }
    w->certificates[w->certificate_count++] = to;
    return 0;
}

static int add_kept(struct wanted *w, const struct ipc_certificates_kept *k, char *error_out,
                    size_t cap)
{
    if (k->first > k->last || (w->kept_count && k->first <= w->kept[w->kept_count - 1].last))
        return refuse(error_out, cap, "certificates to keep that cannot be");
    if (w->kept_count == WANTED_MAX_CERTIFICATES)
        return refuse(error_out, cap, "too many certificates to keep");
    if (!grow((void **)&w->kept, w->kept_count, &w->kept_cap, sizeof *w->kept))
        return ERR_NOMEM;
    w->kept[w->kept_count++] = (struct wanted_kept){k->first, k->last};
    return 0;
}

static int add_app(struct wanted *w, const struct ipc_app *a, char *error_out, size_t cap)
{
    if (w->app_count == WANTED_MAX_APPS)
        return refuse(error_out, cap, "too many apps");
    if (!wanted_is_name(a->name))
        return refuse(error_out, cap, "an app's name may hold a-z, 0-9 and '-' only");
    if (!is_path(a->directory))
        return refuse(error_out, cap, "an app's directory must be an absolute path");
    if (a->instances < 1 || a->instances > WANTED_MAX_INSTANCES)
        return refuse(error_out, cap, "an app has 1 to 64 instances");
    if (!a->command[0] || a->h2_only_port > 1 || a->drain_ms > WANTED_MAX_DRAIN_MS ||
        !is_printable(a->where))
        return refuse(error_out, cap, "an app that cannot be");
    if (!grow((void **)&w->apps, w->app_count, &w->app_cap, sizeof *w->apps))
        return ERR_NOMEM;
    struct wanted_app to = {
        .directory = strdup(a->directory),
        .command = strdup(a->command),
        .where = strdup(a->where),
        .instances = a->instances,
        .drain_ms = a->drain_ms,
        .h2_only_port = a->h2_only_port != 0,
    };
    memcpy(to.name, a->name, sizeof to.name);
    if (!to.directory || !to.command || !to.where) {
        wanted_app_fini(&to);
        return ERR_NOMEM;
    }
    w->apps[w->app_count++] = to;
    return 0;
}

static int add_env(struct wanted *w, const struct ipc_env *e, char *error_out, size_t cap)
{
    static const char first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
    if (!w->app_count)
        return refuse(error_out, cap, "a variable before any app");
    struct wanted_app *a = &w->apps[w->app_count - 1];
    size_t n = strspn(e->text, first);
    if (n)
        n += strspn(e->text + n, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789");
    if (n == 0 || e->text[n] != '=')
        return refuse(error_out, cap, "a variable must be NAME=value");
    if (a->env_count == WANTED_MAX_ENV)
        return refuse(error_out, cap, "an app has at most 256 variables");
    char **env = realloc(a->env, (a->env_count + 1) * sizeof *env);
    if (!env)
        return ERR_NOMEM;
    a->env = env;
    if (!(a->env[a->env_count] = strdup(e->text)))
        return ERR_NOMEM;
    a->env_count++;
    return 0;
}

int wanted_add(struct wanted *w, const struct ipc_message *m, char *error_out, size_t cap)
{
    snprintf(error_out, cap, "out of memory");
    switch (m->type) {
    case IPC_LISTEN:
        return add_listen(w, &m->body.LISTEN, error_out, cap);
    case IPC_CERTIFICATE:
        return add_certificate(w, &m->body.CERTIFICATE, error_out, cap);
    case IPC_CERTIFICATES_KEPT:
        return add_kept(w, &m->body.CERTIFICATES_KEPT, error_out, cap);
    case IPC_APP:
        return add_app(w, &m->body.APP, error_out, cap);
    case IPC_ENV:
        return add_env(w, &m->body.ENV, error_out, cap);
    default:
        UNREACHABLE();
    }
}

static int by_name(const void *a, const void *b)
{
    const struct wanted_app *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static int by_id(const void *a, const void *b)
{
    const struct wanted_certificate *x = a, *y = b;
    return x->id < y->id ? -1 : x->id > y->id;
}

int wanted_check_commit(struct wanted *w, const struct ipc_commit *c, char *error_out, size_t cap)
{
    if (c->loops < 1 || c->loops > LISTEN_MAX_LOOPS)
        return refuse(error_out, cap, "edge has 1 to 64 loops");
    if (c->site_slots > WANTED_MAX_SITE_SLOTS || c->counters_octets < 1 ||
        c->counters_octets > WANTED_MAX_COUNTERS)
        return refuse(error_out, cap, "counters that cannot be");
    if (c->foreign_sockets > 1)
        return refuse(error_out, cap, "a commit that cannot be");
    if (strcmp(c->access_log, "off") != 0 && strcmp(c->access_log, "stdout") != 0 &&
        !is_path(c->access_log))
        return refuse(error_out, cap, "the access log must be off, stdout or an absolute path");
    if (w->app_count)
        qsort(w->apps, w->app_count, sizeof *w->apps, by_name);
    for (uint32_t i = 1; i < w->app_count; i++)
        if (strcmp(w->apps[i - 1].name, w->apps[i].name) == 0)
            return refuse(error_out, cap, "two apps of one name");
    if (w->certificate_count)
        qsort(w->certificates, w->certificate_count, sizeof *w->certificates, by_id);
    for (uint32_t i = 1; i < w->certificate_count; i++)
        if (w->certificates[i - 1].id == w->certificates[i].id)
            return refuse(error_out, cap, "two certificates of one id");
    for (uint32_t i = 0, k = 0; i < w->certificate_count && k < w->kept_count; i++) {
        while (k < w->kept_count && w->kept[k].last < w->certificates[i].id)
            k++;
        if (k < w->kept_count && w->kept[k].first <= w->certificates[i].id)
            return refuse(error_out, cap, "a certificate that is kept and replaced");
    }
    return 0;
}

int wanted_app_copy(struct wanted_app *to, const struct wanted_app *from)
{
    *to = (struct wanted_app){
        .directory = strdup(from->directory),
        .command = strdup(from->command),
        .where = strdup(from->where),
        .env = calloc(from->env_count + 1, sizeof *to->env),
        .instances = from->instances,
        .drain_ms = from->drain_ms,
        .h2_only_port = from->h2_only_port,
    };
    memcpy(to->name, from->name, sizeof to->name);
    bool is_short = !to->directory || !to->command || !to->where || !to->env;
    while (!is_short && to->env_count < from->env_count) {
        to->env[to->env_count] = strdup(from->env[to->env_count]);
        is_short = !to->env[to->env_count++];
    }
    if (is_short)
        wanted_app_fini(to);
    return is_short ? ERR_NOMEM : 0;
}

bool wanted_app_eq(const struct wanted_app *a, const struct wanted_app *b)
{
    if (strcmp(a->name, b->name) != 0 || strcmp(a->directory, b->directory) != 0 ||
        strcmp(a->command, b->command) != 0 || a->h2_only_port != b->h2_only_port ||
        a->env_count != b->env_count)
        return false;
    for (uint32_t i = 0; i < a->env_count; i++)
        if (strcmp(a->env[i], b->env[i]) != 0)
            return false;
    return true;
}

bool wanted_certificate_eq(const struct wanted_certificate *a, const struct wanted_certificate *b)
{
    return a->id == b->id && a->local == b->local && strcmp(a->hosts, b->hosts) == 0 &&
           strcmp(a->chain, b->chain) == 0 && strcmp(a->key, b->key) == 0;
}
