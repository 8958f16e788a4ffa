/* SPDX-License-Identifier: Apache-2.0 */
/* Instances: slots with a fixed address, and the processes that come and go in them. */
#include "monitor/state.h"
#include "monitor/files.h"
#include "monitor/strays.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/panic.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define READ_OCTETS 16384

/* Telling control. */

static void announce(const struct instance *i)
{
    struct monitor *m = i->app->monitor;
    if (!m->control_synced)
        return;
    struct ipc_instance b;
    uint64_t now_us = clock_mono_us();
    memset(&b, 0, sizeof b);
    memcpy(b.app, i->app->wanted.name, sizeof b.app);
    b.index = i->index;
    b.generation = i->life.generation;
    b.state = i->life.state;
    b.pid = i->child.pid;
    b.uid = i->app->uid;
    b.port = i->port;
    b.port_h2 = i->port_h2;
    memcpy(b.socket, i->socket, sizeof i->socket);
    b.exit_code = i->exit_code;
    b.exit_signal = i->exit_signal;
    b.ran_ms = i->ran_ms;
    b.restarts = i->life.restarts;
    b.failures = i->life.failures;
    if (i->life.state == IPC_BACKOFF && i->life.due_us > now_us)
        b.retry_in_ms = (uint32_t)((i->life.due_us - now_us) / 1000u);
    channel_send(&m->control.channel, IPC_INSTANCE, &b, NULL, 0);
}

static void announce_output(const struct instance *i)
{
    struct ipc_output b;
    if (!i->app->monitor->control_synced)
        return;
    memset(&b, 0, sizeof b);
    memcpy(b.app, i->app->wanted.name, sizeof b.app);
    b.index = i->index;
    b.generation = i->life.generation;
    _Static_assert(sizeof b.text == sizeof i->output.tail, "the tail is what the message holds");
    memcpy(b.text, i->output.tail, i->output.tail_len);
    channel_send(&i->app->monitor->control.channel, IPC_OUTPUT, &b, NULL, 0);
}

static void change(struct instance *i, enum life_event event)
{
    if (life_event(&i->life, event, clock_mono_us()))
        announce(i);
}

/* Ports. */

static bool is_taken(void *arg, uint16_t port)
{
    const struct monitor *m = arg;
    return m->ports[port / 8] & (1u << port % 8);
}

static void promise_port(struct monitor *m, uint16_t port, bool taken)
{
    uint8_t bit = (uint8_t)(1u << port % 8);
    if (port == 0)
        return;
    if (taken)
        m->ports[port / 8] |= bit;
    else
        m->ports[port / 8] &= (uint8_t)~bit;
}

static uint16_t take_port(struct monitor *m)
{
    uint16_t port = listen_free_port(is_taken, m);
    promise_port(m, port, true);
    return port;
}

/* Slots. */

static void on_exit_(struct child *c, int code, int signal);
static void on_timer(struct timer *t);

struct instance *instance_new(struct app *a, uint32_t index)
{
    struct monitor *m = a->monitor;
    char path[IPC_PATH_OCTETS];
    struct instance *i = calloc(1, sizeof *i);
    char *log =
        FILES_FMT(path, "%s/logs/%s.%u.log", m->data, a->wanted.name, index) ? strdup(path) : NULL;
    if (!i || !log) {
        free(i);
        free(log);
        return NULL;
    }
    i->app = a;
    i->index = index;
    i->is_wanted = true;
    life_init(&i->life);
    i->child.on_exit = on_exit_;
    timer_init(&i->timer, on_timer);
    i->output_watch.fd = -1;
    output_init(&i->output, a->wanted.name, index, log);
    /* One too long for sockaddr_un stays empty; worker_step tells. */
    if (!FILES_FMT(i->socket, "%s/run/%s/%u.sock", m->data, a->wanted.name, index))
        memset(i->socket, 0, sizeof i->socket);
    a->instances[index] = i;
    return i;
}

static struct instance *slot_new(struct app *a, uint32_t index)
{
    struct instance *i = instance_new(a, index);
    if (!i)
        return NULL;
    i->port = take_port(a->monitor);
    if (a->wanted.h2_only_port)
        i->port_h2 = take_port(a->monitor);
    return i;
}

static void close_output(struct instance *i)
{
    int fd = i->output_watch.fd;
    watch_remove(&i->app->monitor->poller, &i->output_watch);
    if (fd >= 0)
        close(fd);
}

static void slot_free(struct instance *i)
{
    struct monitor *m = i->app->monitor;
    ASSERT(i->child.pid == 0);
    timer_cancel(&i->timer);
    close_output(i);
    output_fini(&i->output);
    promise_port(m, i->port, false);
    promise_port(m, i->port_h2, false);
    if (i->socket[0])
        unlink(i->socket);
    i->app->instances[i->index] = NULL;
    free(i);
}

struct app *app_add(struct monitor *m, struct wanted_app *w, uid_t uid)
{
    struct app *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    a->monitor = m;
    a->wanted = *w; /* taken over, once nothing can fail */
    a->uid = uid;
    if (map_put(&m->apps_by_name, slice_str(a->wanted.name), a) < 0) {
        free(a);
        return NULL;
    }
    memset(w, 0, sizeof *w);
    app_init_preparing(a);
    list_add_tail(&m->apps, &a->node);
    return a;
}

static struct app *app_new(struct monitor *m, struct wanted_app *w)
{
    uid_t uid = m->as_root ? users_get(&m->users, w->name) : getuid();
    return m->as_root && uid == 0 ? NULL : app_add(m, w, uid);
}

static void app_free(struct app *a)
{
    char run[IPC_PATH_OCTETS];
    for (uint32_t n = 0; n < WANTED_MAX_INSTANCES; n++)
        if (a->instances[n])
            slot_free(a->instances[n]);
    if (FILES_FMT(run, "%s/run/%s", a->monitor->data, a->wanted.name))
        rmdir(run);
    map_del(&a->monitor->apps_by_name, slice_str(a->wanted.name));
    list_remove(&a->node);
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

/* Life. */

static void read_output(struct instance *i)
{
    char octets[READ_OCTETS];
    ssize_t n = read(i->output_watch.fd, octets, sizeof octets);
    if (n > 0)
        output_feed(&i->output, octets, (size_t)n);
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        close_output(i);
}

static void on_output(struct watch *w, uint32_t events)
{
    (void)events;
    read_output(LIST_ENTRY(w, struct instance, output_watch));
}

/* Its process is gone, or could not be made: what next? */
static void after_exit(struct instance *i)
{
    struct app *a = i->app;
    struct monitor *m = a->monitor;
    if (m->stop != STOP_NOT) {
        monitor_stop_step(m);
        return;
    }
    if (!i->is_wanted) {
        slot_free(i);
        app_free_if_gone(a);
        return;
    }
    uint64_t now_us = clock_mono_us();
    bool changed = life_event(&i->life, LIFE_WAIT, now_us);
    ASSERT(changed);
    if (i->life.due_us <= now_us) {
        change(i, LIFE_DUE);
        worker_step(i);
        return;
    }
    announce(i);
    log_event(LOG_WARN, "worker.backoff", "app=%s instance=%u failures=%u retry_in_ms=%u",
              a->wanted.name, i->index, i->life.failures, life_delay_ms(i->life.failures));
    timer_arm(&m->poller, &i->timer, i->life.due_us);
}

void worker_failed(struct instance *i, const char *why)
{
    struct app *a = i->app;
    i->exit_code = -1;
    i->exit_signal = 0;
    i->ran_ms = 0;
    log_event(LOG_ERROR, "worker.fail", "app=%s instance=%u where=\"%s\" error=\"%s\"",
              a->wanted.name, i->index, a->wanted.where, why);
    output_begin(&i->output);
    output_feed(&i->output, "portico: ", 9);
    output_feed(&i->output, why, strlen(why));
    output_end(&i->output);
    change(i, LIFE_FAILED);
    announce_output(i);
    after_exit(i);
}

static void on_exit_(struct child *c, int code, int signal)
{
    struct instance *i = LIST_ENTRY(c, struct instance, child);
    struct app *a = i->app;
    /* What is still in the pipe; a stray that holds the other end must not keep us here. */
    for (int turns = 0; turns < 64 && i->output_watch.fd >= 0; turns++) {
        char octets[READ_OCTETS];
        ssize_t n = read(i->output_watch.fd, octets, sizeof octets);
        if (n <= 0)
            break;
        output_feed(&i->output, octets, (size_t)n);
    }
    output_end(&i->output);
    close_output(i);
    timer_cancel(&i->timer);
    bool was_told = i->life.state == IPC_DRAINING;
    i->exit_code = code;
    i->exit_signal = signal;
    i->ran_ms = (clock_mono_us() - i->life.started_us) / 1000u;
    log_event(was_told ? LOG_INFO : LOG_WARN, "worker.exit",
              "app=%s instance=%u generation=%u status=%d signal=%d ran_ms=%llu", a->wanted.name,
              i->index, i->life.generation, code, signal, (unsigned long long)i->ran_ms);
    if (!was_told && (code == 127 || code == 126))
        log_event(LOG_ERROR, "worker.command",
                  "app=%s where=\"%s\" command=\"%s\" error=\"the command %s (status %d)\"",
                  a->wanted.name, a->wanted.where, a->wanted.command,
                  code == 127 ? "was not found" : "cannot be executed", code);
    change(i, LIFE_GONE);
    if (!was_told)
        announce_output(i);
    after_exit(i);
}

static int start_process(struct instance *i, char *error_out, size_t cap)
{
    struct app *a = i->app;
    struct monitor *m = a->monitor;
    struct environment env;
    int pipe_fds[2];
    size_t size = strlen(a->wanted.command) + sizeof "exec ";
    char *line = malloc(size);
    app_environment(i, &env);
    if (!line || env.is_short || pipe2(pipe_fds, O_CLOEXEC) < 0) {
        snprintf(error_out, cap, "no memory or no descriptor is left");
        free(line);
        environment_fini(&env);
        return ERR_SYS;
    }
    snprintf(line, size, "exec %s", a->wanted.command);
    char *const argv[] = {(char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", line, NULL};
    struct spawn s = {
        .path = "/bin/sh",
        .argv = argv,
        .env = env.v,
        .directory = a->directory,
        .fds = {-1, pipe_fds[1], pipe_fds[1], -1, -1},
        .own_user = m->as_root,
        .uid = a->uid,
        .gid = a->uid,
        .no_new_privs = m->as_root, /* a tenant's set-user-ID program is nobody's way up */
        .umask = m->as_root ? 007 : 022,
        .nofile = &m->nofile,
    };
    fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK);
    int r = watch_add(&m->poller, &i->output_watch, pipe_fds[0], EPOLLIN, on_output);
    if (r < 0) {
        snprintf(error_out, cap, "cannot watch a pipe: %s", strerror(errno));
        close(pipe_fds[0]);
    } else {
        r = child_spawn(&m->children, &i->child, &s, error_out, cap);
        if (r < 0)
            close_output(i);
    }
    close(pipe_fds[1]);
    free(line);
    environment_fini(&env);
    return r;
}

void worker_step(struct instance *i)
{
    struct app *a = i->app;
    struct monitor *m = a->monitor;
    char why[1400] = "";
    if (i->life.state != IPC_WANTED || !m->certificates_ready || m->stop != STOP_NOT)
        return;
    int r = app_prepare(a, why, sizeof why);
    if (r == ERR_AGAIN)
        return;
    if (r == 0 && !i->socket[0]) {
        snprintf(why, sizeof why,
                 "its socket %s/run/%s/%u.sock would be longer than the %zu octets that a socket's "
                 "name may have; use a shorter --data",
                 m->data, a->wanted.name, i->index, sizeof i->socket - 1);
        r = ERR_USAGE;
    }
    if (r == 0 && (i->port == 0 || (a->wanted.h2_only_port && i->port_h2 == 0))) {
        snprintf(why, sizeof why, "no port is free on 127.0.0.1");
        r = ERR_LIMIT;
    }
    if (r == 0) {
        unlink(i->socket); /* the one before left it; a bind would fail */
        output_begin(&i->output);
        r = start_process(i, why, sizeof why);
    }
    if (r < 0) {
        worker_failed(i, why);
        return;
    }
    change(i, LIFE_STARTED);
    strays_note(m->data, i->child.pid, a->uid);
    log_event(LOG_INFO, "worker.start", "app=%s instance=%u generation=%u pid=%d uid=%u port=%u",
              a->wanted.name, i->index, i->life.generation, (int)i->child.pid, (unsigned)a->uid,
              i->port);
}

/* return  false: it has no process, and is in EXITED now */
static bool drain(struct instance *i, uint32_t grace_ms)
{
    struct monitor *m = i->app->monitor;
    bool ends = i->life.state == IPC_DRAINING;
    if (i->life.state != IPC_EXITED)
        change(i, LIFE_STOP);
    if (i->life.state == IPC_EXITED) {
        timer_cancel(&i->timer);
        return false;
    }
    if (!ends || grace_ms == 0) {
        i->next_signal = SIGTERM;
        timer_arm(&m->poller, &i->timer, clock_mono_us() + grace_ms * UINT64_C(1000));
    }
    return true;
}

static void on_timer(struct timer *t)
{
    struct instance *i = LIST_ENTRY(t, struct instance, timer);
    struct monitor *m = i->app->monitor;
    if (i->life.state == IPC_BACKOFF) {
        if (m->stop != STOP_NOT)
            return;
        change(i, LIFE_DUE);
        worker_step(i);
        return;
    }
    if (i->life.state != IPC_DRAINING)
        return;
    if (i->next_signal == SIGKILL)
        log_event(LOG_WARN, "worker.kill", "app=%s instance=%u pid=%d", i->app->wanted.name,
                  i->index, (int)i->child.pid);
    child_signal(&i->child, i->next_signal);
    i->next_signal = SIGKILL;
    timer_arm(&m->poller, &i->timer, clock_mono_us() + MONITOR_TERM_MS * UINT64_C(1000));
}

void worker_probed(struct monitor *m, const struct ipc_instance_ready *r)
{
    const struct app *a = map_get(&m->apps_by_name, slice_str(r->app));
    struct instance *i = a && r->index < WANTED_MAX_INSTANCES ? a->instances[r->index] : NULL;
    /* One of an earlier process, or of a slot that went meanwhile, says nothing. */
    if (!i || i->life.generation != r->generation)
        return;
    bool was_ready = i->life.state == IPC_READY;
    change(i, LIFE_PROBED);
    if (i->life.state == IPC_READY && !was_ready)
        log_event(LOG_INFO, "worker.ready", "app=%s instance=%u generation=%u after_ms=%llu",
                  a->wanted.name, i->index, i->life.generation,
                  (unsigned long long)(i->life.ready_us - i->life.started_us) / 1000u);
}

int instance_resume(struct instance *i, pid_t pid, int fd, uint64_t due_us)
{
    struct monitor *m = i->app->monitor;
    promise_port(m, i->port, true);
    promise_port(m, i->port_h2, true);
    if (pid)
        children_adopt(&m->children, &i->child, pid);
    bool has_timer = i->life.state == IPC_BACKOFF || i->life.state == IPC_DRAINING;
    if (has_timer)
        timer_arm(&m->poller, &i->timer, due_us);
    return fd < 0 ? 0 : watch_add(&m->poller, &i->output_watch, fd, EPOLLIN, on_output);
}

/* What is wanted. */

static void unwant(struct instance *i)
{
    if (!i->is_wanted)
        return;
    i->is_wanted = false;
    if (!drain(i, MONITOR_GRACE_MS))
        slot_free(i);
}

/* The app's words changed: every instance ends, and comes back with the new ones. */
static void replace_words(struct app *a, struct wanted_app *w)
{
    struct wanted_app old = a->wanted;
    a->wanted = *w;
    memset(w, 0, sizeof *w);
    wanted_app_fini(&old);
    a->is_prepared = false;
    a->discard_copy = a->preparing.pid != 0;
    for (uint32_t n = 0; n < WANTED_MAX_INSTANCES; n++) {
        struct instance *i = a->instances[n];
        if (!i)
            continue;
        if (a->wanted.h2_only_port && !i->port_h2)
            i->port_h2 = take_port(a->monitor);
        if (i->child.pid)
            drain(i, MONITOR_GRACE_MS);
    }
}

static int apply_one(struct monitor *m, struct wanted_app *w)
{
    struct app *a = map_get(&m->apps_by_name, slice_str(w->name));
    uint32_t instances = w->instances;
    if (!a && !(a = app_new(m, w)))
        return ERR_SYS;
    if (w->name[0] && !wanted_app_eq(&a->wanted, w))
        replace_words(a, w);
    a->wanted.instances = instances;
    a->is_wanted = true;
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

int workers_apply(struct monitor *m, struct wanted *w)
{
    LIST_FOR(node, &m->apps)
    {
        LIST_ENTRY(node, struct app, node)->is_wanted = false;
    }
    for (uint32_t n = 0; n < w->app_count; n++) {
        /* wanted_app_fini() of what was taken over finds nothing */
        char name[IPC_NAME_OCTETS];
        memcpy(name, w->apps[n].name, sizeof name);
        int r = apply_one(m, &w->apps[n]);
        if (r < 0) {
            log_event(LOG_ERROR, "app.refused", "app=%s error=\"%s\"", name, err_text(r));
            if (r == ERR_NOMEM)
                return r;
        }
    }
    LIST_FOR(node, &m->apps)
    {
        struct app *a = LIST_ENTRY(node, struct app, node);
        if (a->is_wanted)
            continue;
        for (uint32_t n = 0; n < WANTED_MAX_INSTANCES; n++)
            if (a->instances[n])
                unwant(a->instances[n]);
        app_free_if_gone(a);
    }
    return 0;
}

/* The body may free the app's instance, not another app. */
static void for_each(struct monitor *m, void (*fn)(struct instance *i))
{
    LIST_FOR(node, &m->apps)
    {
        struct app *a = LIST_ENTRY(node, struct app, node);
        for (uint32_t n = 0; n < WANTED_MAX_INSTANCES; n++)
            if (a->instances[n])
                fn(a->instances[n]);
    }
}

void workers_start(struct monitor *m)
{
    for_each(m, worker_step);
}

static void announce_one(struct instance *i)
{
    announce(i);
}

void workers_announce(struct monitor *m)
{
    for_each(m, announce_one);
}

static void stop_one(struct instance *i)
{
    drain(i, 0);
}

static void kill_one(struct instance *i)
{
    child_signal(&i->child, SIGKILL);
}

void workers_stop(struct monitor *m, bool now)
{
    for_each(m, now ? kill_one : stop_one);
    LIST_FOR(node, &m->apps)
    {
        child_signal(&LIST_ENTRY(node, struct app, node)->preparing, SIGKILL);
    }
}

bool workers_are_gone(const struct monitor *m)
{
    LIST_FOR(node, &m->apps)
    {
        const struct app *a = LIST_ENTRY(node, struct app, node);
        if (a->preparing.pid)
            return false;
        for (uint32_t n = 0; n < WANTED_MAX_INSTANCES; n++)
            if (a->instances[n] && a->instances[n]->child.pid)
                return false;
    }
    return true;
}

static void reopen_one(struct instance *i)
{
    output_reopen(&i->output);
}

void workers_reopen_logs(struct monitor *m)
{
    for_each(m, reopen_one);
}

void workers_fini(struct monitor *m)
{
    LIST_FOR(node, &m->apps)
    {
        app_free(LIST_ENTRY(node, struct app, node));
    }
}
