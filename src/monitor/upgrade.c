/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/upgrade.h"
#include "monitor/files.h"
#include "monitor/notify.h"
#include "monitor/resume.h"
#include "monitor/state.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#define CHECK_LIMIT_MS   20000u
#define QUEUE_RETRY_MS   20u
#define QUEUE_TRIES      250u
#define STUMBLES_TO_TELL 3u

extern char **environ;

void upgrade_find_program(struct monitor *m)
{
    char here[PATH_MAX];
    /* As it was asked for: a link that is turned to another version leads to that one. */
    const char *asked = (const char *)getauxval(AT_EXECFN); // NOLINT: the kernel's own pointer
    bool ok = asked && (asked[0] == '/' ? FILES_FMT(m->program, "%s", asked)
                                        : getcwd(here, sizeof here) &&
                                              FILES_FMT(m->program, "%s/%s", here, asked));
    if (!ok)
        m->program[0] = 0;
}

/* ---- the outcome ---- */

static void __attribute__((format(printf, 2, 3))) tell(struct monitor *m, const char *fmt, ...)
{
    char path[IPC_PATH_OCTETS], next[IPC_PATH_OCTETS], text[1600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (!FILES_FMT(path, "%s/upgrade", m->data) || !FILES_FMT(next, "%s/upgrade.new", m->data))
        return;
    unlink(next);
    int fd = open(next, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return;
    bool ok = dprintf(fd, "%s\n", text) > 0;
    close(fd);
    if (!ok || rename(next, path) < 0)
        unlink(next);
}

void upgrade_forget_result(struct monitor *m)
{
    char path[IPC_PATH_OCTETS];
    if (FILES_FMT(path, "%s/upgrade", m->data))
        unlink(path);
}

static void give_up(struct monitor *m, const char *why)
{
    log_event(LOG_ERROR, "upgrade.refused", "program=\"%s\" error=\"%s\"", m->program, why);
    tell(m, "failed: %s; what ran goes on", why);
    m->is_upgrading = false;
    if (edges_serve(m))
        notify_ready(m);
}

void upgrade_served(struct monitor *m)
{
    if (m->is_upgrading) {
        log_event(LOG_INFO, "upgrade.done", "version=%s", PORTICO_VERSION);
        tell(m, "done: version %s serves", PORTICO_VERSION);
    }
    m->is_upgrading = false;
    m->upgrade_stumbles = 0;
    notify_ready(m);
}

void upgrade_stumbled(struct monitor *m, int code, int signal)
{
    if (++m->upgrade_stumbles != STUMBLES_TO_TELL)
        return;
    tell(m,
         "failed: the new edge ended %u times before it served (status %d, signal %d); the one "
         "before goes on, and the new one is tried again",
         STUMBLES_TO_TELL, code, signal);
    notify_ready(m);
}

/* ---- taking over ---- */

static bool is_quiet(const struct monitor *m)
{
    LIST_FOR(node, &m->edges)
    {
        const struct role *r = LIST_ENTRY(node, struct role, node);
        if (r->child.pid && r->channel.outbox.count)
            return false;
    }
    return true;
}

static void become(struct monitor *m)
{
    char number[16], why[1400];
    int fd = resume_write(m);
    if (fd < 0) {
        snprintf(why, sizeof why, "what to hand over cannot be written: %s", err_text(fd));
        give_up(m, why);
        return;
    }
    snprintf(number, sizeof number, "%d", fd);
    char *const argv[] = {(char *)(uintptr_t) "portico",
                          (char *)(uintptr_t) "up",
                          (char *)(uintptr_t) "--manifest",
                          m->manifest,
                          (char *)(uintptr_t) "--data",
                          m->data,
                          (char *)(uintptr_t) "--resume-fd",
                          number,
                          NULL};
    log_event(LOG_INFO, "upgrade.exec", "program=\"%s\"", m->program);
    notify_reloading(m);
    resume_keep_fds(m, fd, true);
    execve(m->program, argv, environ);
    int error = errno;
    resume_keep_fds(m, fd, false);
    close(fd);
    snprintf(why, sizeof why, "cannot execute: %s", strerror(error));
    give_up(m, why);
}

static void become_when_quiet(struct monitor *m)
{
    /* What waits in a queue of ours would be lost; edges take it within a turn of their loops. */
    if (is_quiet(m)) {
        become(m);
    } else if (++m->upgrade_tries > QUEUE_TRIES) {
        give_up(m, "edge does not take what it is told");
    } else {
        timer_arm(&m->poller, &m->upgrade_timer, clock_mono_us() + QUEUE_RETRY_MS * UINT64_C(1000));
    }
}

/* ---- the check ---- */

static void on_check_exit(struct child *c, int code, int signal)
{
    struct monitor *m = LIST_ENTRY(c, struct monitor, upgrade_check);
    char why[256];
    timer_cancel(&m->upgrade_timer);
    if (m->stop != STOP_NOT) {
        monitor_stop_step(m);
        return;
    }
    if (code != 0) {
        snprintf(why, sizeof why,
                 "the new program did not accept what it would take over (status %d, signal %d)",
                 code, signal);
        give_up(m, why);
        return;
    }
    m->upgrade_tries = 0;
    become_when_quiet(m);
}

static void on_timer(struct timer *t)
{
    struct monitor *m = LIST_ENTRY(t, struct monitor, upgrade_timer);
    if (m->upgrade_check.pid)
        child_signal(&m->upgrade_check, SIGKILL);
    else if (m->is_upgrading && m->stop == STOP_NOT)
        become_when_quiet(m);
}

void upgrade_init(struct monitor *m)
{
    m->upgrade_check.on_exit = on_check_exit;
    timer_init(&m->upgrade_timer, on_timer);
}

/* return  NULL when it can be done */
static const char *obstacle(const struct monitor *m)
{
    uint32_t running = 0;
    if (!m->is_committed || !m->certificates_ready || m->snapshot_fd < 0)
        return "it has not started yet";
    if (!m->program[0])
        return "the path by which it was started is not known";
    LIST_FOR(node, &m->edges)
    {
        running += LIST_ENTRY(node, struct role, node)->child.pid != 0;
    }
    if (running >= IPC_COUNTER_COPIES)
        return "too many edges of earlier upgrades still drain";
    return NULL;
}

void upgrade_begin(struct monitor *m)
{
    char why[1400] = "no memory is left";
    if (m->stop != STOP_NOT || m->upgrade_check.pid || timer_is_armed(&m->upgrade_timer)) {
        log_event(LOG_WARN, "upgrade.refused", "error=\"it stops or is being upgraded already\"");
        return;
    }
    const char *what = obstacle(m);
    if (what) {
        give_up(m, what);
        return;
    }
    struct environment env;
    m->is_upgrading = true;
    int state = resume_write(m);
    if (state < 0)
        snprintf(why, sizeof why, "what to hand over cannot be written: %s", err_text(state));
    role_environment(&env);
    char *const argv[] = {(char *)(uintptr_t) "portico", (char *)(uintptr_t) "role",
                          (char *)(uintptr_t) "check-resume", NULL};
    struct spawn s = {
        .path = m->program,
        .argv = argv,
        .env = env.v,
        .fds = {state, STDERR_FILENO, STDERR_FILENO, -1, -1},
        .umask = 077,
        .no_new_privs = true,
    };
    log_event(LOG_INFO, "upgrade.check", "program=\"%s\"", m->program);
    int r = state < 0 || env.is_short
                ? ERR_NOMEM
                : child_spawn(&m->children, &m->upgrade_check, &s, why, sizeof why);
    if (state >= 0)
        close(state);
    environment_fini(&env);
    if (r < 0)
        give_up(m, why);
    else
        timer_arm(&m->poller, &m->upgrade_timer, clock_mono_us() + CHECK_LIMIT_MS * UINT64_C(1000));
}
