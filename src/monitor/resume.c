/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/resume.h"
#include "monitor/files.h"
#include "monitor/monitor.h"
#include "monitor/state.h"
#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAGIC UINT64_C(0x74726f702d6f6369) /* "ico-port" */

enum mode {
    WRITE, /* the state into octets */
    KEEP,  /* nothing is written: descriptors survive exec, or do not any more */
    CHECK, /* octets into a state that is thrown away */
    READ   /* octets into the state that goes on */
};

struct walk {
    enum mode mode;
    bool keep;
    int error; /* the first one; after it nothing is done */
    char *octets;
    size_t len, cap, at;
};

static bool is_reading(const struct walk *w)
{
    return w->mode >= CHECK;
}

static void fail(struct walk *w, int error)
{
    if (!w->error)
        w->error = error;
}

/* ---- values ---- */

static void run(struct walk *w, void *p, size_t n)
{
    if (w->error || w->mode == KEEP || n == 0)
        return;
    if (is_reading(w)) {
        if (w->len - w->at < n) {
            fail(w, ERR_FORMAT);
            return;
        }
        memcpy(p, w->octets + w->at, n);
        w->at += n;
        return;
    }
    if (w->cap - w->len < n) {
        size_t cap = (w->cap + n) * 2;
        char *bigger = realloc(w->octets, cap);
        if (!bigger) {
            fail(w, ERR_NOMEM);
            return;
        }
        w->octets = bigger;
        w->cap = cap;
    }
    memcpy(w->octets + w->len, p, n);
    w->len += n;
}

static uint64_t number(struct walk *w, uint64_t v)
{
    uint64_t out = v;
    run(w, &out, sizeof out);
    return w->error ? v : out;
}

#define NUMBER(w, lvalue) ((lvalue) = (__typeof__(lvalue))number((w), (uint64_t)(lvalue)))
#define FLAG(w, lvalue)   ((lvalue) = number((w), (lvalue)) != 0)

/* A text on the heap, never NULL after reading. */
static void text(struct walk *w, char **s)
{
    uint64_t len = number(w, is_reading(w) || !*s ? 0 : strlen(*s));
    if (is_reading(w)) {
        if (len > w->len - w->at)
            fail(w, ERR_FORMAT);
        *s = w->error ? NULL : calloc(1, len + 1);
        if (!*s) {
            fail(w, ERR_NOMEM);
            return;
        }
    }
    run(w, *s, len);
}

/* A text that fills at most an array. */
static void array(struct walk *w, char *s, size_t cap)
{
    uint64_t len = number(w, is_reading(w) ? 0 : strlen(s));
    if (len >= cap) {
        fail(w, ERR_FORMAT);
        return;
    }
    run(w, s, len);
    if (is_reading(w))
        s[len] = 0;
}
#define ARRAY(w, a) array((w), (a), sizeof(a))

static void descriptor(struct walk *w, int *fd)
{
    NUMBER(w, *fd);
    if (w->error || *fd < 0 || (w->mode != KEEP && w->mode != READ))
        return;
    bool keep = w->mode == KEEP && w->keep;
    if (fcntl(*fd, F_SETFD, keep ? 0 : FD_CLOEXEC) < 0)
        fail(w, ERR_SYS);
}

static uint32_t count(struct walk *w, uint32_t n, uint32_t most)
{
    NUMBER(w, n);
    if (n > most)
        fail(w, ERR_FORMAT);
    return w->error ? 0 : n;
}

/* ---- the parts ---- */

static void listener(struct walk *w, struct listener *l)
{
    NUMBER(w, l->kind);
    ARRAY(w, l->wanted);
    ARRAY(w, l->address);
    l->count = count(w, l->count, LISTEN_MAX_LOOPS);
    for (uint32_t i = 0; i < l->count; i++)
        descriptor(w, &l->fds[i]);
}

static void certificate(struct walk *w, struct wanted_certificate *c)
{
    NUMBER(w, c->id);
    FLAG(w, c->local);
    text(w, &c->hosts);
    text(w, &c->chain);
    text(w, &c->key);
    text(w, &c->where);
}

static void certificates(struct walk *w, struct monitor *m)
{
    uint32_t n = count(w, m->certificate_count, WANTED_MAX_CERTIFICATES);
    if (is_reading(w)) {
        m->certificates = calloc(n + 1, sizeof *m->certificates);
        if (!m->certificates) {
            fail(w, ERR_NOMEM);
            return;
        }
        m->certificate_count = n;
    }
    for (uint32_t i = 0; i < n; i++) {
        certificate(w, &m->certificates[i].wanted);
        for (int f = 0; f < 2; f++) {
            NUMBER(w, m->certificates[i].ino[f]);
            NUMBER(w, m->certificates[i].mtime_ns[f]);
        }
        FLAG(w, m->certificates[i].is_seen);
    }
    FLAG(w, m->certificates_ready);
    FLAG(w, m->authority_again);
    FLAG(w, m->authority_all);
}

static void wanted_app(struct walk *w, struct wanted_app *a)
{
    ARRAY(w, a->name);
    text(w, &a->directory);
    text(w, &a->command);
    text(w, &a->where);
    NUMBER(w, a->instances);
    NUMBER(w, a->drain_ms);
    FLAG(w, a->h2_only_port);
    uint32_t n = count(w, a->env_count, WANTED_MAX_ENV);
    if (is_reading(w)) {
        a->env = calloc(n + 1, sizeof *a->env);
        if (!a->env) {
            fail(w, ERR_NOMEM);
            return;
        }
        a->env_count = n;
    }
    for (uint32_t i = 0; i < n; i++)
        text(w, &a->env[i]);
}

static void life(struct walk *w, struct life *l)
{
    NUMBER(w, l->state);
    if ((unsigned)l->state >= LIFE_STATE_COUNT)
        fail(w, ERR_FORMAT);
    NUMBER(w, l->generation);
    NUMBER(w, l->restarts);
    NUMBER(w, l->failures);
    NUMBER(w, l->never_ready);
    FLAG(w, l->was_ready);
    NUMBER(w, l->started_us);
    NUMBER(w, l->ready_us);
    NUMBER(w, l->gone_us);
    NUMBER(w, l->due_us);
}

static void output(struct walk *w, struct output *o)
{
    ARRAY(w, o->tail);
    NUMBER(w, o->tail_lines);
    NUMBER(w, o->dropped);
    FLAG(w, o->in_excess);
    o->line_len = count(w, (uint32_t)o->line_len, sizeof o->line);
    run(w, o->line, o->line_len);
    if (is_reading(w))
        o->tail_len = strlen(o->tail);
}

/* What process and pipe an instance or a copy has, for the room's own functions to take up. */
struct process {
    pid_t pid;
    int fd;
};

static void process(struct walk *w, struct process *p)
{
    NUMBER(w, p->pid);
    descriptor(w, &p->fd);
}

static void instance(struct walk *w, struct app *a, uint32_t place)
{
    struct instance *i = a->instances[place];
    uint32_t index = i ? i->index : 0;
    struct process p = {.fd = -1};
    uint64_t due_us = 0;
    NUMBER(w, index);
    if (index >= MONITOR_MAX_SLOTS)
        fail(w, ERR_FORMAT);
    if (is_reading(w)) {
        i = w->error ? NULL : instance_new(a, place, index);
        if (!i) {
            fail(w, ERR_NOMEM);
            return;
        }
    } else {
        p = (struct process){i->child.pid, i->output_watch.fd};
        due_us = i->timer.due_us;
    }
    FLAG(w, i->is_wanted);
    FLAG(w, i->is_released);
    NUMBER(w, i->ticket);
    NUMBER(w, i->edges);
    life(w, &i->life);
    process(w, &p);
    NUMBER(w, due_us);
    NUMBER(w, i->next_signal);
    NUMBER(w, i->port);
    NUMBER(w, i->port_h2);
    FLAG(w, i->is_guarded);
    ARRAY(w, i->socket);
    NUMBER(w, i->exit_code);
    NUMBER(w, i->exit_signal);
    NUMBER(w, i->ran_ms);
    output(w, &i->output);
    if (w->mode == READ && !w->error && instance_resume(i, p.pid, p.fd, due_us) < 0)
        fail(w, ERR_SYS);
}

static void app(struct walk *w, struct monitor *m, struct app *a)
{
    struct process p = {.fd = -1};
    struct app *before = NULL;
    uint64_t version = 0, is_current = 0;
    if (is_reading(w)) {
        struct wanted_app wanted;
        memset(&wanted, 0, sizeof wanted);
        wanted_app(w, &wanted);
        uint64_t uid = number(w, 0);
        before = map_get(&m->apps_by_name, slice_str(wanted.name));
        a = w->error ? NULL : app_add(m, &wanted, (uid_t)uid);
        wanted_app_fini(&wanted);
        if (!a) {
            fail(w, ERR_NOMEM);
            return;
        }
    } else {
        p = (struct process){a->preparing.pid, a->preparing_watch.fd};
        wanted_app(w, &a->wanted);
        number(w, a->uid);
        version = a->version;
        is_current = map_get(&m->apps_by_name, slice_str(a->wanted.name)) == a;
    }
    NUMBER(w, version);
    NUMBER(w, is_current);
    NUMBER(w, a->site);
    if (a->site >= MONITOR_MAX_VERSIONS)
        fail(w, ERR_FORMAT);
    if (is_reading(w))
        app_resume_version(a, version, is_current ? NULL : before);
    FLAG(w, a->is_wanted);
    FLAG(w, a->is_prepared);
    ARRAY(w, a->directory);
    ARRAY(w, a->home);
    process(w, &p);
    if (w->mode == READ && !w->error && app_resume_preparing(a, p.pid, p.fd) < 0)
        fail(w, ERR_SYS);
    for (uint32_t n = 0; n < WANTED_MAX_INSTANCES; n++)
        if (number(w, !is_reading(w) && a->instances[n]) && !w->error)
            instance(w, a, n);
}

static void apps(struct walk *w, struct monitor *m)
{
    uint32_t n = 0;
    LIST_FOR(node, &m->apps)
    {
        n++;
    }
    n = count(w, n, WANTED_MAX_APPS * MONITOR_MAX_VERSIONS);
    if (is_reading(w)) {
        for (uint32_t i = 0; i < n && !w->error; i++)
            app(w, m, NULL);
        return;
    }
    LIST_FOR(node, &m->apps)
    {
        app(w, m, LIST_ENTRY(node, struct app, node));
    }
}

static void edge(struct walk *w, struct monitor *m, struct role *r)
{
    struct process p = {.fd = -1};
    if (is_reading(w)) {
        r = edge_new(m);
        if (!r) {
            fail(w, ERR_NOMEM);
            return;
        }
    } else {
        p = (struct process){r->child.pid, r->channel.watch.fd};
    }
    process(w, &p);
    NUMBER(w, r->copy);
    FLAG(w, r->is_up);
    FLAG(w, r->is_told);
    NUMBER(w, r->deaths);
    NUMBER(w, r->started_us);
    if (r->copy >= IPC_COUNTER_COPIES)
        fail(w, ERR_FORMAT);
    if (w->mode != READ || w->error)
        return;
    children_adopt(&m->children, &r->child, p.pid);
    if (r->is_told)
        edge_must_end(r, MONITOR_UPGRADE_DRAIN_MS);
    if (channel_adopt(&r->channel, p.fd) < 0)
        fail(w, ERR_SYS);
}

/* Only those that run: the newest of the resumed monitor's is yet to be started. */
static void edges(struct walk *w, struct monitor *m)
{
    uint32_t n = 0;
    LIST_FOR(node, &m->edges)
    {
        n += LIST_ENTRY(node, struct role, node)->child.pid != 0;
    }
    n = count(w, n, IPC_COUNTER_COPIES);
    if (is_reading(w)) {
        for (uint32_t i = 0; i < n && !w->error; i++)
            edge(w, m, NULL);
        return;
    }
    LIST_FOR(node, &m->edges)
    {
        if (LIST_ENTRY(node, struct role, node)->child.pid)
            edge(w, m, LIST_ENTRY(node, struct role, node));
    }
}

/* A child that has no more to it than its pid. */
static void bare_child(struct walk *w, struct monitor *m, struct child *c)
{
    uint64_t pid = number(w, (uint64_t)c->pid);
    if (w->mode == READ && !w->error && pid)
        children_adopt(&m->children, c, (pid_t)pid);
}

static void monitor(struct walk *w, struct monitor *m)
{
    uint64_t magic = MAGIC, version = RESUME_VERSION;
    NUMBER(w, magic);
    NUMBER(w, version);
    if (magic != MAGIC || version != RESUME_VERSION)
        fail(w, ERR_FORMAT);
    if (w->error)
        return;
    ARRAY(w, m->data);
    ARRAY(w, m->manifest);
    NUMBER(w, m->nofile.rlim_cur);
    NUMBER(w, m->nofile.rlim_max);
    descriptor(w, &m->lock_fd);
    NUMBER(w, m->edge_uid);
    NUMBER(w, m->control.uid);
    NUMBER(w, m->control.deaths);
    FLAG(w, m->is_committed);
    NUMBER(w, m->loops);
    FLAG(w, m->foreign_sockets);
    NUMBER(w, m->site_slots);
    NUMBER(w, m->counters_octets);
    descriptor(w, &m->counters_fd);
    descriptor(w, &m->snapshot_fd);
    descriptor(w, &m->access_fd);
    descriptor(w, &m->admin_fd);
    descriptor(w, &m->fence.fd); /* its table lives on with it */
    NUMBER(w, m->versions);
    NUMBER(w, m->told);
    NUMBER(w, m->tickets);
    NUMBER(w, m->snapshot_revision);
    ARRAY(w, m->access_log);
    m->listener_count = count(w, m->listener_count, LISTEN_MAX_ADDRESSES);
    for (uint32_t i = 0; i < m->listener_count; i++)
        listener(w, &m->listeners[i]);
    certificates(w, m);
    bare_child(w, m, &m->authority);
    bare_child(w, m, &m->control.child);
    if (w->error)
        return;
    edges(w, m);
    apps(w, m);
    magic = MAGIC; /* whole */
    if (NUMBER(w, magic) != MAGIC)
        fail(w, ERR_FORMAT);
}

/* ---- the four ways ---- */

int resume_write(struct monitor *m)
{
    struct walk w = {.mode = WRITE};
    monitor(&w, m);
    int fd = w.error ? w.error : ipc_sealed_memfd("portico-resume", w.octets, w.len);
    free(w.octets);
    return fd;
}

void resume_keep_fds(struct monitor *m, int fd, bool keep)
{
    struct walk w = {.mode = KEEP, .keep = keep};
    monitor(&w, m);
    fcntl(fd, F_SETFD, keep ? 0 : FD_CLOEXEC);
}

static int walk_fd(struct monitor *m, int fd, enum mode mode)
{
    const void *base;
    struct walk w = {.mode = mode};
    int r = ipc_map_sealed(fd, 1, &base, &w.len);
    if (r < 0)
        return r;
    w.octets = (char *)(uintptr_t)base; /* a reading walk does not write there */
    monitor(&w, m);
    munmap(w.octets, w.len);
    return w.error;
}

int resume_read(struct monitor *m, int fd)
{
    int r = walk_fd(m, fd, READ);
    close(fd);
    return r;
}

int resume_look(struct monitor *m, int fd)
{
    list_init(&m->apps);
    list_init(&m->edges);
    map_init(&m->apps_by_name);
    return walk_fd(m, fd, CHECK);
}

/* Not workers_fini and edges_fini: those remove sockets and end what runs. */
void resume_forget(struct monitor *m)
{
    LIST_FOR(node, &m->apps)
    {
        struct app *a = LIST_ENTRY(node, struct app, node);
        for (uint32_t n = 0; n < WANTED_MAX_INSTANCES; n++) {
            if (a->instances[n])
                output_fini(&a->instances[n]->output);
            free(a->instances[n]);
        }
        output_fini(&a->preparing_output);
        wanted_app_fini(&a->wanted);
        free(a);
    }
    LIST_FOR(node, &m->edges)
    {
        free(LIST_ENTRY(node, struct role, node));
    }
    map_fini(&m->apps_by_name);
    cert_fini(m);
}

/* What else the new program will read, and without which it would end. */
static int check_users(const struct monitor *m)
{
    char path[IPC_PATH_OCTETS];
    static struct users u;
    if (geteuid() != 0 || !FILES_FMT(path, "%s/users", m->data))
        return 0;
    int r = users_open(&u, path);
    if (r == 0)
        users_close(&u);
    else
        fprintf(stderr, "portico: %s: %s\n", path, r == ERR_SYS ? strerror(errno) : err_text(r));
    return r;
}

int monitor_check_resume(int fd)
{
    static struct monitor m; /* large */
    int r = resume_look(&m, fd), users = r < 0 ? 0 : check_users(&m);
    resume_forget(&m);
    if (users < 0)
        return 1;
    if (r < 0)
        fprintf(stderr,
                "portico: version %s (state %u) cannot take over what runs: %s; it needs a "
                "restart\n",
                PORTICO_VERSION, RESUME_VERSION, err_text(r));
    return r < 0;
}
