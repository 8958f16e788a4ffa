/* SPDX-License-Identifier: Apache-2.0 */
/* Start, signals, stop. */
#include "monitor/state.h"
#include "monitor/files.h"
#include "monitor/log_file.h"
#include "monitor/notify.h"
#include "monitor/resume.h"
#include "monitor/share.h"
#include "monitor/strays.h"
#include "monitor/upgrade.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

/* Signals. */

static void reopen_logs(struct monitor *m)
{
    char why[LOG_FILE_WHY_OCTETS];
    log_event(LOG_INFO, "monitor.reopen", "access_log=\"%s\"", m->access_log);
    workers_reopen_logs(m);
    if (m->access_fd < 0)
        return;
    int fd = commit_open_access_log(m, why, sizeof why);
    if (fd < 0) {
        log_event(LOG_ERROR, "monitor.reopen",
                  "file=\"%s\" error=\"%s\" text=\"the one before is written to\"", m->access_log,
                  why);
        return;
    }
    close(m->access_fd);
    m->access_fd = fd;
    edge_send_access_log(m);
}

static void collect(struct monitor *m)
{
    /* The rest at a later turn: others have theirs first.  Not raise(): what is for the thread
     * comes before what is for the process, SIGTERM, say. */
    if (children_reap(&m->children))
        kill(getpid(), SIGCHLD);
}

static void on_stop_signal(struct monitor *m, int signal)
{
    if (m->stop == STOP_NOT) {
        log_event(LOG_INFO, "monitor.stop", "signal=%d", signal);
        monitor_stop(m, 0);
        return;
    }
    log_event(LOG_WARN, "monitor.stop", "signal=%d now=true", signal);
    m->stop_now = true;
    edges_kill(m);
    workers_stop(m, true);
    if (m->stop == STOP_CONTROL)
        child_signal(&m->control.child, SIGKILL);
    monitor_stop_step(m);
}

static void on_signal(struct watch *w, uint32_t events)
{
    struct monitor *m = LIST_ENTRY(w, struct monitor, signal_watch);
    struct signalfd_siginfo info;
    (void)events;
    if (read(w->fd, &info, sizeof info) != (ssize_t)sizeof info)
        return;
    switch (info.ssi_signo) {
    case SIGCHLD:
        collect(m);
        break;
    case SIGUSR1:
        reopen_logs(m);
        break;
    case SIGUSR2:
        upgrade_begin(m);
        break;
    case SIGHUP:
        log_event(LOG_INFO, "monitor.reload", "manifest=\"%s\"", m->manifest);
        control_reload(m, 0);
        break;
    default:
        on_stop_signal(m, (int)info.ssi_signo);
        break;
    }
}

static int watch_signals(struct monitor *m)
{
    struct sigaction hangup;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    /* Under nohup it is ignored; a signalfd would deliver it all the same. */
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN)
        sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL); /* inherited as ignored, no exit would ever be told */
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return ERR_SYS;
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? ERR_SYS : watch_add(&m->poller, &m->signal_watch, fd, EPOLLIN, on_signal);
}

/* Stop. */

static void stop_after(struct monitor *m, uint32_t limit_ms)
{
    timer_arm(&m->poller, &m->stop_timer, clock_mono_us() + limit_ms * UINT64_C(1000));
}

static void enter(struct monitor *m, enum stop_phase phase)
{
    m->stop = phase;
    switch (phase) {
    case STOP_EDGE:
        edges_drain(m, MONITOR_DRAIN_MS);
        stop_after(m, MONITOR_DRAIN_MS + MONITOR_DRAIN_GRACE_MS);
        break;
    case STOP_WORKERS:
        workers_stop(m, m->stop_now); /* each has a timer of its own until SIGKILL */
        child_signal(&m->authority, SIGKILL);
        break;
    case STOP_CONTROL:
        /* It ends when the channel does. */
        channel_close(&m->control.channel);
        child_signal(&m->control.child, m->stop_now ? SIGKILL : SIGTERM);
        stop_after(m, MONITOR_ROLE_TERM_MS);
        break;
    case STOP_DONE:
    case STOP_NOT:
        timer_cancel(&m->stop_timer);
        break;
    }
}

static bool is_over(const struct monitor *m)
{
    switch (m->stop) {
    case STOP_EDGE:
        return edges_are_gone(m);
    case STOP_WORKERS:
        return workers_are_gone(m) && m->authority.pid == 0 && m->upgrade_check.pid == 0;
    case STOP_CONTROL:
        return m->control.child.pid == 0;
    case STOP_NOT:
    case STOP_DONE:
        break;
    }
    return false;
}

void monitor_stop_step(struct monitor *m)
{
    while (is_over(m))
        enter(m, m->stop + 1);
}

void monitor_stop(struct monitor *m, int exit_code)
{
    if (m->stop != STOP_NOT)
        return;
    m->exit_code = exit_code;
    notify_stopping(m);
    child_signal(&m->upgrade_check, SIGKILL);
    timer_cancel(&m->edge->timer);
    timer_cancel(&m->control.timer);
    enter(m, STOP_EDGE);
    monitor_stop_step(m);
}

static void on_stop_timer(struct timer *t)
{
    struct monitor *m = LIST_ENTRY(t, struct monitor, stop_timer);
    if (m->stop == STOP_EDGE)
        edges_kill(m);
    else if (m->stop == STOP_CONTROL)
        child_signal(&m->control.child, SIGKILL);
}

/* Start. */

static int make_places(struct monitor *m)
{
    static const struct {
        const char *name;
        mode_t mode;
    } places[] = {{"tls", 0755}, {"run", 0755}, {"apps", 0755}, {"logs", 0750}};
    const uid_t same = (uid_t)-1;
    char path[IPC_PATH_OCTETS];
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        if (!FILES_FMT(path, "%s/%s", m->data, places[i].name) ||
            files_mkdir(path, places[i].mode, same, same) < 0) {
            fprintf(stderr, "portico: cannot make the directory %s: %s\n", path, strerror(errno));
            return ERR_SYS;
        }
    if (!m->as_root)
        return 0;
    if (!FILES_FMT(path, "%s/users", m->data))
        return ERR_SYS;
    int r = users_open(&m->users, path);
    if (r < 0) {
        fprintf(stderr, "portico: cannot use %s: %s\n", path,
                r == ERR_SYS ? strerror(errno) : err_text(r));
        return r;
    }
    m->edge_uid = users_get(&m->users, "@edge");
    m->control.uid = users_get(&m->users, "@control");
    if (!m->edge_uid || !m->control.uid) {
        fprintf(stderr, "portico: cannot write %s: %s\n", path, strerror(errno));
        return ERR_SYS;
    }
    return 0;
}

/* 0 to 2 are handed to the roles; were one closed, some socket would take its place. */
static void fill_standard_fds(void)
{
    for (;;) {
        int fd = open("/dev/null", O_RDWR);
        if (fd < 0 || fd > STDERR_FILENO) {
            if (fd > STDERR_FILENO)
                close(fd);
            return;
        }
    }
}

/* A terminal that nobody reads keeps who writes to it, though poll() has said that there is room;
 * so does a pipe that somebody else, edge's access log say, has filled meanwhile.  The descriptor
 * is shared with whoever started us, so ours and the roles' is another one. */
static void open_outputs_anew(void)
{
    char path[32];
    struct stat st;
    for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        bool may_block = isatty(fd) || (fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode));
        int own = may_block ? open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : -1;
        if (own < 0) /* another user's, or nobody reads: it stays as it is */
            continue;
        dup2(own, fd);
        close(own);
    }
}

/* Room for every socket and pipe of ours and of edge's; workers get what we were started with. */
static void raise_limit(struct monitor *m)
{
    struct rlimit all;
    if (getrlimit(RLIMIT_NOFILE, &m->nofile) < 0)
        return;
    all = m->nofile;
    all.rlim_cur = all.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &all) < 0)
        log_event(LOG_WARN, "monitor.limit", "error=\"%s\"", strerror(errno));
}

static void init(struct monitor *m, const struct monitor_options *options)
{
    memset(m, 0, sizeof *m);
    m->options = options;
    m->as_root = geteuid() == 0;
    m->notify_fd = m->lock_fd = m->counters_fd = m->snapshot_fd = m->access_fd = -1;
    m->admin_fd = m->fence.fd = -1;
    m->signal_watch.fd = -1;
    list_init(&m->apps);
    map_init(&m->apps_by_name);
    wanted_init(&m->wanted);
    timer_init(&m->stop_timer, on_stop_timer);
    timer_init(&m->watchdog_timer, NULL); /* armed, with its function, by notify_init */
    control_init(m);
    upgrade_init(m);
    list_init(&m->edges);
    m->control.uid = m->edge_uid = geteuid();
    m->nproc = share_of_processes();
}

/* What a monitor needs however it began.  return  0 or ERR_SYS: told */
static int settle(struct monitor *m)
{
    /* What workers leave behind becomes our child, so that it can be ended, too. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (watch_signals(m) < 0) {
        fprintf(stderr, "portico: cannot watch for signals: %s\n", strerror(errno));
        return ERR_SYS;
    }
    notify_init(m);
    cert_init(m);
    return 0;
}

/* Go on where the program before us, in this process, has stopped.  return  0, or 1: told */
static int resume(struct monitor *m)
{
    char path[IPC_PATH_OCTETS];
    if (settle(m) < 0)
        return 1;
    int r = resume_read(m, m->options->resume_fd);
    if (r == 0)
        r = files_hold_lock(m->lock_fd); /* an older version took it by flock(2) */
    if (r == 0 && m->as_root && FILES_FMT(path, "%s/users", m->data))
        r = users_open(&m->users, path);
    if (r < 0 || !(m->edge = edge_new(m))) {
        log_event(LOG_ERROR, "monitor.resume", "error=\"%s\"", err_text(r ? r : ERR_NOMEM));
        return 1;
    }
    app_set_path(m);
    ports_fence(m);
    m->is_upgrading = m->awaits_control = true;
    log_event(LOG_INFO, "monitor.resume", "version=%s pid=%d data=\"%s\" manifest=\"%s\"",
              PORTICO_VERSION, (int)getpid(), m->data, m->manifest);
    /* Its channel went with the old program; a new one is started when it is gone. */
    m->control.is_told = true;
    child_signal(&m->control.child, SIGKILL);
    collect(m); /* what ended meanwhile is not told again */
    control_start(m);
    edge_start(m);
    return 0;
}

/* return  0; or the exit code: told */
static int start(struct monitor *m)
{
    char manifest[PATH_MAX], obstacle[PATH_MAX];
    if (!realpath(m->options->manifest, manifest)) {
        fprintf(stderr, "portico: cannot read the manifest %s: %s\n", m->options->manifest,
                strerror(errno));
        return 2;
    }
    if (!FILES_FMT(m->manifest, "%s", manifest)) {
        fprintf(stderr, "portico: the manifest's name is too long: %s\n", manifest);
        return 2;
    }
    if (files_data_directory(m->options->data, m->data, sizeof m->data) < 0)
        return 2;
    if (m->as_root && files_check_reachable(m->data, obstacle, sizeof obstacle) < 0) {
        fprintf(stderr,
                "portico: apps have users of their own, which cannot reach the data directory %s: "
                "%s is closed to others\n",
                m->data, obstacle);
        return 2;
    }
    m->lock_fd = files_lock(m->data);
    if (m->lock_fd < 0)
        return 2;
    if (make_places(m) < 0)
        return 1;
    upgrade_forget_result(m);
    strays_end(m->data);
    raise_limit(m);
    if (!(m->edge = edge_new(m)) || settle(m) < 0)
        return 1;
    app_set_path(m);
    log_event(LOG_INFO, "monitor.start", "version=%s pid=%d data=\"%s\" manifest=\"%s\"",
              PORTICO_VERSION, (int)getpid(), m->data, m->manifest);
    if (!m->as_root)
        log_event(LOG_WARN, "monitor.no_boundary",
                  "text=\"not started as root: all apps run as this user, and nothing keeps one "
                  "from the files and processes of another\"");
    ports_fence(m);
    control_start(m);
    return 0;
}

static void fini(struct monitor *m)
{
    char run[IPC_PATH_OCTETS];
    children_disown(&m->children); /* after an orderly end there are none */
    children_end_strays(&m->children);
    workers_fini(m);
    map_fini(&m->apps_by_name);
    cert_fini(m);
    wanted_fini(&m->wanted);
    channel_close(&m->control.channel);
    edges_fini(m);
    for (uint32_t i = 0; i < m->listener_count; i++)
        listener_close(&m->listeners[i]);
    notify_fini(m);
    fence_close(&m->fence);
    if (m->lock_fd >= 0) {
        upgrade_forget_result(m);
        strays_forget(m->data);
    }
    if (m->lock_fd >= 0 && FILES_FMT(run, "%s/run", m->data))
        rmdir(run);
    if (m->users.path[0])
        users_close(&m->users);
    if (m->admin_fd >= 0 && FILES_FMT(run, "%s/admin.sock", m->data))
        unlink(run);
    const int fds[] = {m->counters_fd, m->snapshot_fd, m->access_fd, m->admin_fd,
                       m->signal_watch.fd};
    watch_remove(&m->poller, &m->signal_watch);
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    poller_fini(&m->poller);
    if (m->lock_fd >= 0)
        close(m->lock_fd);
}

int monitor_main(const struct monitor_options *options)
{
    static struct monitor monitor; /* large; the one of this process */
    struct monitor *m = &monitor;
    fill_standard_fds();
    listen_take_handed();
    open_outputs_anew();
    init(m, options);
    upgrade_find_program(m);
    if (poller_init(&m->poller) < 0) {
        fprintf(stderr, "portico: cannot make an epoll descriptor: %s\n", strerror(errno));
        return 1;
    }
    int code = options->resume_fd >= 0 ? resume(m) : start(m);
    bool started = code == 0;
    while (started && m->stop != STOP_DONE)
        if (poller_turn(&m->poller) < 0) {
            log_event(LOG_ERROR, "monitor.poll", "error=\"%s\"", strerror(errno));
            m->exit_code = 1;
            break;
        }
    fini(m);
    if (started) {
        log_event(LOG_INFO, "monitor.end", "status=%d", m->exit_code);
        code = m->exit_code;
    }
    return code;
}
