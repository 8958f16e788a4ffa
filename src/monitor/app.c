/* SPDX-License-Identifier: Apache-2.0 */
/* An app's directories and environment. */
#include "monitor/state.h"
#include "monitor/files.h"
#include "base/err.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

void environment_set(struct environment *e, const char *text, const char *value)
{
    size_t name = value ? strlen(text) : strcspn(text, "=");
    size_t size = name + 2 + strlen(value ? value : text + name + 1);
    char *line = malloc(size);
    if (!line) {
        e->is_short = true;
        return;
    }
    snprintf(line, size, "%.*s=%s", (int)name, text, value ? value : text + name + 1);
    for (uint32_t i = 0; i < e->count; i++)
        if (strncmp(e->v[i], line, name + 1) == 0) {
            free(e->v[i]);
            e->v[i] = line;
            return;
        }
    char **v = realloc(e->v, (e->count + 2) * sizeof *v);
    if (!v) {
        free(line);
        e->is_short = true;
        return;
    }
    e->v = v;
    e->v[e->count++] = line;
    e->v[e->count] = NULL;
}

void environment_fini(struct environment *e)
{
    for (uint32_t i = 0; i < e->count; i++)
        free(e->v[i]);
    free(e->v);
    memset(e, 0, sizeof *e);
}

void app_set_path(struct monitor *m)
{
    static const char usual[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    const char *ours = getenv("PATH");
    char entry[IPC_PATH_OCTETS], obstacle[IPC_PATH_OCTETS];
    size_t len = 0;
    /* First, so that `portico static` in a manifest is this very program; in a place of its own, so
     * that nothing else comes before what the operator has chosen. */
    if (FILES_FMT(entry, "%s/bin", m->data) && !strchr(entry, ':') &&
        files_offer_program(entry, m->as_root) == 0) {
        len = strlen(entry);
        memcpy(m->path, entry, len);
    } else {
        log_event(LOG_WARN, "monitor.program", "text=\"workers do not find portico by its name\"");
    }
    size_t ours_len = len;
    for (const char *at = ours ? ours : usual; *at;) {
        size_t n = strcspn(at, ":");
        bool keep = n > 0 && n < sizeof entry && at[0] == '/' && len + n + 2 < sizeof m->path;
        if (keep && m->as_root) {
            memcpy(entry, at, n);
            entry[n] = 0;
            keep = files_check_reachable(entry, obstacle, sizeof obstacle) == 0;
        }
        if (keep) {
            if (len)
                m->path[len++] = ':';
            memcpy(m->path + len, at, n);
            len += n;
        }
        at += n + (at[n] == ':');
    }
    m->path[len] = 0;
    if (len == ours_len)
        snprintf(m->path + len, sizeof m->path - len, "%s%s", len ? ":" : "", usual);
}

void app_environment(const struct instance *i, struct environment *out)
{
    const struct app *a = i->app;
    const char *lang = getenv("LANG");
    char text[128];
    memset(out, 0, sizeof *out);
    environment_set(out, "PATH", a->monitor->path);
    environment_set(out, "HOME", a->home);
    environment_set(out, "LANG", lang ? lang : "C.UTF-8");
    environment_set(out, "WEBSITE_SITE_NAME", a->wanted.name);
    snprintf(text, sizeof text, "%s-%u", a->wanted.name, i->index);
    environment_set(out, "WEBSITE_INSTANCE_ID", text);
    for (uint32_t n = 0; n < a->wanted.env_count; n++)
        environment_set(out, a->wanted.env[n], NULL);
    /* Last: where to listen is not the app's to choose. */
    snprintf(text, sizeof text, "%u", i->port);
    if (i->port)
        environment_set(out, "PORT", text);
    environment_set(out, "PORTICO_SOCKET", i->socket);
    if (i->port_h2) {
        snprintf(text, sizeof text, "%u", i->port_h2);
        environment_set(out, "HTTP20_ONLY_PORT", text);
    }
}

static int refuse(char *error_out, size_t cap, const char *what, const char *path)
{
    snprintf(error_out, cap, "%s %s: %s", what, path, strerror(errno));
    return ERR_SYS;
}

static int make_directories(struct app *a, char *error_out, size_t cap)
{
    struct monitor *m = a->monitor;
    const uid_t nobody = (uid_t)-1;
    char top[IPC_PATH_OCTETS], run[IPC_PATH_OCTETS];
    struct stat st;
    if (!FILES_FMT(top, "%s/apps/%s", m->data, a->wanted.name) ||
        !FILES_FMT(run, "%s/run/%s", m->data, a->wanted.name) ||
        !FILES_FMT(a->home, "%s/apps/%s/home", m->data, a->wanted.name)) {
        snprintf(error_out, cap, "the data directory's name is too long");
        return ERR_SYS;
    }
    /* As root it is the copy that looks: where others can mount something, or over the network, who
     * looks may wait for ever. */
    if (!m->as_root) {
        bool is_there = stat(a->wanted.directory, &st) == 0;
        if (is_there && !S_ISDIR(st.st_mode))
            errno = ENOTDIR;
        if (!is_there || !S_ISDIR(st.st_mode))
            return refuse(error_out, cap, "its directory", a->wanted.directory);
    }
    /* What the app is made of is nobody else's to read. */
    if (files_mkdir(top, m->as_root ? 0750 : 0755, nobody, m->as_root ? a->uid : nobody) < 0)
        return refuse(error_out, cap, "cannot make", top);
    if (files_mkdir(a->home, 0700, m->as_root ? a->uid : nobody, m->as_root ? a->uid : nobody) < 0)
        return refuse(error_out, cap, "cannot make", a->home);
    /* Sockets made in it take its group by the set-group-ID bit, and the workers' umask leaves the
     * group its rights: that is how edge and control reach them, and no other app does. */
    if (m->as_root ? files_mkdir(run, 02770, a->uid, m->edge_uid) < 0
                   : files_mkdir(run, 0700, nobody, nobody) < 0)
        return refuse(error_out, cap, "cannot make", run);
    return 0;
}

static void on_output(struct watch *w, uint32_t events)
{
    struct app *a = LIST_ENTRY(w, struct app, preparing_watch);
    char octets[4096];
    ssize_t n = read(w->fd, octets, sizeof octets);
    if (n > 0) {
        output_feed(&a->preparing_output, octets, (size_t)n);
    } else if (n == 0 || errno != EAGAIN) {
        int fd = w->fd;
        watch_remove(&a->monitor->poller, w);
        close(fd);
    }
}

static void on_prepared(struct child *c, int code, int signal)
{
    struct app *a = LIST_ENTRY(c, struct app, preparing);
    if (a->preparing_watch.fd >= 0) {
        on_output(&a->preparing_watch, EPOLLIN);
        int fd = a->preparing_watch.fd;
        watch_remove(&a->monitor->poller, &a->preparing_watch);
        if (fd >= 0)
            close(fd);
    }
    output_end(&a->preparing_output);
    a->is_prepared = code == 0;
    bool failed = code != 0;
    if (a->monitor->stop != STOP_NOT) {
        monitor_stop_step(a->monitor);
        return;
    }
    char why[OUTPUT_TAIL_OCTETS + 64];
    snprintf(why, sizeof why, "its files could not be copied (status %d, signal %d): %s", code,
             signal, a->preparing_output.tail);
    for (uint32_t n = 0; n < WANTED_MAX_INSTANCES; n++) {
        struct instance *i = a->instances[n];
        if (i && i->life.state == IPC_WANTED) {
            if (failed)
                worker_failed(i, why);
            else
                worker_step(i);
        }
    }
    app_free_if_gone(a);
}

void app_init_preparing(struct app *a)
{
    a->preparing.on_exit = on_prepared;
    a->preparing_watch.fd = -1;
    output_init(&a->preparing_output, a->wanted.name, 0, NULL);
    snprintf(a->preparing_output.tag, sizeof a->preparing_output.tag, "[%s] ", a->wanted.name);
}

int app_resume_preparing(struct app *a, pid_t pid, int fd)
{
    struct monitor *m = a->monitor;
    if (pid)
        children_adopt(&m->children, &a->preparing, pid);
    return fd < 0 ? 0 : watch_add(&m->poller, &a->preparing_watch, fd, EPOLLIN, on_output);
}

static int start_copy(struct app *a, char *error_out, size_t cap)
{
    struct monitor *m = a->monitor;
    char user[16];
    int pipe_fds[2];
    snprintf(user, sizeof user, "%u", (unsigned)a->uid);
    char *const argv[] = {(char *)(uintptr_t) "portico",
                          (char *)(uintptr_t) "role",
                          (char *)(uintptr_t) "copy",
                          a->wanted.directory,
                          a->directory,
                          user,
                          NULL};
    char *const env[] = {(char *)(uintptr_t) "LC_ALL=C.UTF-8", NULL};
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return refuse(error_out, cap, "cannot make", "a pipe");
    struct spawn s = {
        .path = "/proc/self/exe",
        .argv = argv,
        .env = env,
        .fds = {-1, pipe_fds[1], pipe_fds[1], -1, -1},
        .no_new_privs = true,
        .umask = 077,
    };
    output_begin(&a->preparing_output);
    fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK);
    int r = watch_add(&m->poller, &a->preparing_watch, pipe_fds[0], EPOLLIN, on_output);
    if (r < 0)
        refuse(error_out, cap, "cannot watch", "a pipe");
    else
        r = child_spawn(&m->children, &a->preparing, &s, error_out, cap);
    close(pipe_fds[1]);
    if (r < 0) {
        watch_remove(&m->poller, &a->preparing_watch);
        close(pipe_fds[0]);
        return ERR_SYS;
    }
    log_event(LOG_INFO, "app.copy", "app=%s from=%s to=%s uid=%s", a->wanted.name,
              a->wanted.directory, a->directory, user);
    return ERR_AGAIN;
}

int app_prepare(struct app *a, char *error_out, size_t cap)
{
    if (a->preparing.pid)
        return ERR_AGAIN;
    if (a->is_prepared)
        return 0;
    int r = make_directories(a, error_out, cap);
    if (r < 0)
        return r;
    if (a->monitor->as_root) {
        char number[16] = "";
        if (a->site)
            snprintf(number, sizeof number, ".%u", a->site);
        if (!FILES_FMT(a->directory, "%s/apps/%s/site%s", a->monitor->data, a->wanted.name,
                       number)) {
            snprintf(error_out, cap, "the data directory's name is too long");
            return ERR_SYS;
        }
        return start_copy(a, error_out, cap);
    }
    if (!FILES_FMT(a->directory, "%s", a->wanted.directory))
        return ERR_SYS;
    a->is_prepared = true;
    return 0;
}
