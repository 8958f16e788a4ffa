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

void worker_event(struct instance *i, enum life_event event)
{
    if (life_event(&i->life, event, clock_mono_us()))
        instance_tell(i);
}

/* Slots. */

static void on_exit_(struct child *c, int code, int signal);
static void on_timer(struct timer *t);

/* An instance of any version of the app; NULL: the slot is free. */
static struct instance *find_slot(const struct monitor *m, const char *name, uint32_t index)
{
    LIST_FOR(node, &m->apps)
    {
        const struct app *a = LIST_ENTRY(node, struct app, node);
        for (uint32_t n = 0; strcmp(a->wanted.name, name) == 0 && n < WANTED_MAX_INSTANCES; n++)
            if (a->instances[n] && a->instances[n]->index == index)
                return a->instances[n];
    }
    return NULL;
}

struct instance *instance_new(struct app *a, uint32_t place, uint32_t index)
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
    i->place = place;
    i->index = index;
    i->is_wanted = true;
    i->told = UINT64_MAX;
    life_init(&i->life);
    i->child.on_exit = on_exit_;
    timer_init(&i->timer, on_timer);
    i->output_watch.fd = -1;
    output_init(&i->output, a->wanted.name, index, log);
    /* One too long for sockaddr_un stays empty; worker_step tells. */
    if (!FILES_FMT(i->socket, "%s/run/%s/%u.sock", m->data, a->wanted.name, index))
        memset(i->socket, 0, sizeof i->socket);
    a->instances[place] = i;
    return i;
}

struct instance *slot_new(struct app *a, uint32_t place)
{
    uint32_t index = 0;
    while (index < MONITOR_MAX_SLOTS && find_slot(a->monitor, a->wanted.name, index))
        index++;
    struct instance *i = index < MONITOR_MAX_SLOTS ? instance_new(a, place, index) : NULL;
    if (!i)
        return NULL;
    i->port = port_take(a->monitor);
    if (a->wanted.h2_only_port)
        i->port_h2 = port_take(a->monitor);
    return i;
}

static void close_output(struct instance *i)
{
    int fd = i->output_watch.fd;
    watch_remove(&i->app->monitor->poller, &i->output_watch);
    if (fd >= 0)
        close(fd);
}

void slot_free(struct instance *i)
{
    struct monitor *m = i->app->monitor;
    ASSERT(i->child.pid == 0);
    instance_tell_gone(i);
    timer_cancel(&i->timer);
    close_output(i);
    output_fini(&i->output);
    port_promise(m, i->port, false);
    port_promise(m, i->port_h2, false);
    if (i->socket[0])
        unlink(i->socket);
    i->app->instances[i->place] = NULL;
    free(i);
}

/* Life. */

static void on_output(struct watch *w, uint32_t events)
{
    struct instance *i = LIST_ENTRY(w, struct instance, output_watch);
    char octets[READ_OCTETS];
    (void)events;
    ssize_t n = read(i->output_watch.fd, octets, sizeof octets);
    if (n > 0)
        output_feed(&i->output, octets, (size_t)n);
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        close_output(i);
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
        worker_event(i, LIFE_DUE);
        worker_step(i);
        return;
    }
    instance_tell(i);
    log_event(LOG_WARN, "worker.backoff", "app=%s instance=%u failures=%u retry_in_ms=%u",
              a->wanted.name, i->index, i->life.failures, life_delay_ms(&i->life));
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
    worker_event(i, LIFE_FAILED);
    instance_tell_output(i);
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
    ports_release(i);
    worker_event(i, LIFE_GONE);
    if (!was_told)
        instance_tell_output(i);
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
        .nproc = m->as_root ? &m->nproc : NULL,
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
    if (r == 0)
        ports_renew(i);
    if (r == 0 && a->wanted.h2_only_port && i->port_h2 == 0) {
        snprintf(why, sizeof why, "no port is free on 127.0.0.1");
        r = ERR_LIMIT;
    }
    if (r == 0 && ports_guard(i) < 0) {
        snprintf(why, sizeof why, "its port cannot be fenced: %s", strerror(errno));
        r = ERR_SYS;
    }
    if (r == 0) {
        unlink(i->socket); /* the one before left it; a bind would fail */
        output_begin(&i->output);
        r = start_process(i, why, sizeof why);
    }
    if (r < 0) {
        ports_release(i);
        worker_failed(i, why);
        return;
    }
    worker_event(i, LIFE_STARTED);
    strays_note(m->data, i->child.pid, a->uid);
    log_event(LOG_INFO, "worker.start", "app=%s instance=%u generation=%u pid=%d uid=%u port=%u",
              a->wanted.name, i->index, i->life.generation, (int)i->child.pid, (unsigned)a->uid,
              i->port);
}

static void on_timer(struct timer *t)
{
    struct instance *i = LIST_ENTRY(t, struct instance, timer);
    struct monitor *m = i->app->monitor;
    if (i->life.state == IPC_BACKOFF) {
        if (m->stop != STOP_NOT)
            return;
        worker_event(i, LIFE_DUE);
        worker_step(i);
        return;
    }
    if (i->life.state == IPC_DRAINING)
        retire_due(i);
}

void worker_probed(struct monitor *m, const struct ipc_instance_ready *r)
{
    struct instance *i = find_slot(m, r->app, r->index);
    /* One of an earlier process, or of a slot that went meanwhile, says nothing. */
    if (!i || i->life.generation != r->generation)
        return;
    bool was_ready = i->life.state == IPC_READY;
    worker_event(i, LIFE_PROBED);
    if (i->life.state == IPC_READY && !was_ready)
        log_event(LOG_INFO, "worker.ready", "app=%s instance=%u generation=%u after_ms=%llu",
                  r->app, i->index, i->life.generation,
                  (unsigned long long)(i->life.ready_us - i->life.started_us) / 1000u);
}

int instance_resume(struct instance *i, pid_t pid, int fd, uint64_t due_us)
{
    struct monitor *m = i->app->monitor;
    port_promise(m, i->port, true);
    port_promise(m, i->port_h2, true);
    if (pid)
        children_adopt(&m->children, &i->child, pid);
    bool has_timer = i->life.state == IPC_BACKOFF || i->life.state == IPC_DRAINING;
    if (has_timer)
        timer_arm(&m->poller, &i->timer, due_us);
    return fd < 0 ? 0 : watch_add(&m->poller, &i->output_watch, fd, EPOLLIN, on_output);
}

void workers_each(struct monitor *m, void (*fn)(struct instance *i))
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
    workers_each(m, worker_step);
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
    workers_each(m, reopen_one);
}
