/* SPDX-License-Identifier: Apache-2.0 */
/* Roles: how they are started and what happens when they die; and what control says. */
#include "monitor/state.h"
#include "monitor/files.h"
#include "monitor/say.h"
#include "monitor/strays.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/panic.h"
#include "base/print.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

extern char **environ;

void role_environment(struct environment *out)
{
    static const char *const kept[] = {
        "PATH=",          "LANG=",         "LC_ALL=",      "TZ=",          "ASAN_OPTIONS=",
        "UBSAN_OPTIONS=", "LSAN_OPTIONS=", "PORTICO_LOG=", "TSAN_OPTIONS="};
    memset(out, 0, sizeof *out);
    environment_set(out, "PORTICO_ROLE", "1"); /* never an empty list */
    for (char **e = environ; *e; e++)
        for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
            if (strncmp(*e, kept[i], strlen(kept[i])) == 0)
                environment_set(out, *e, NULL);
}

void role_init(struct role *r, struct monitor *m, const char *name)
{
    memset(r, 0, sizeof *r);
    r->name = name;
    r->monitor = m;
}

int role_spawn(struct role *r, const char *argument, int extra_fd)
{
    struct monitor *m = r->monitor;
    struct environment env;
    char why[1400] = "no memory is left";
    int child_fd;
    r->started_us = clock_mono_us(); /* also where it comes to nothing: see role_respawn_later */
    char *const argv[] = {(char *)(uintptr_t) "portico", (char *)(uintptr_t) "role",
                          (char *)(uintptr_t)r->name, (char *)(uintptr_t)argument, NULL};
    if (channel_open(&r->channel, &child_fd) < 0) {
        log_event(LOG_ERROR, "role.start", "role=%s error=\"%s\"", r->name, strerror(errno));
        return ERR_SYS;
    }
    role_environment(&env);
    struct spawn s = {
        .path =
            "/proc/self/exe", /* the inode we run, wherever it lies and whoever may walk there */
        .argv = argv,
        .env = env.v,
        .fds = {-1, STDOUT_FILENO, STDERR_FILENO, child_fd, extra_fd},
        .own_user = m->as_root,
        .uid = r->uid,
        .gid = r->uid,
        .groups = {m->edge_uid}, /* the group of the workers' sockets */
        .group_count = 1,
        .may_chroot = r != &m->control,
        .no_new_privs = true,
        .umask = 077,
    };
    int result =
        env.is_short ? ERR_NOMEM : child_spawn(&m->children, &r->child, &s, why, sizeof why);
    close(child_fd);
    environment_fini(&env);
    if (result < 0) {
        channel_close(&r->channel);
        log_event(LOG_ERROR, "role.start", "role=%s error=\"%s\"", r->name, why);
        return result;
    }
    r->is_told = r->is_drained = false;
    strays_note(m->data, r->child.pid, r->uid);
    log_event(LOG_INFO, "role.start", "role=%s pid=%d uid=%u", r->name, (int)r->child.pid,
              (unsigned)r->uid);
    return 0;
}

static void respawn_in(struct role *r, uint32_t delay_ms)
{
    if (delay_ms)
        log_event(LOG_WARN, "role.backoff", "role=%s retry_in_ms=%u", r->name, delay_ms);
    timer_arm(&r->monitor->poller, &r->timer, clock_mono_us() + delay_ms * UINT64_C(1000));
}

/* It died, or could not be started: when shall it come back? */
void role_respawn_later(struct role *r)
{
    bool quick = clock_mono_us() - r->started_us < LIFE_SOON_MS * UINT64_C(1000);
    r->quick_deaths = quick ? r->quick_deaths + 1 : 0;
    respawn_in(r, life_role_delay_ms(r->quick_deaths));
}

#define EXIT_FIELDS "role=%s status=%d signal=%d ran_ms=%llu deaths=%u"

void role_log_exit(struct role *r, int code, int signal)
{
    bool expected = r->is_told || r->monitor->stop != STOP_NOT;
    r->deaths += !expected;
    log_event(expected ? LOG_INFO : LOG_ERROR, "role.exit",
              signal == SIGSYS ? EXIT_FIELDS " text=\"seccomp refused a system call: it was broken "
                                             "into, or this kernel's C library needs one more; the "
                                             "kernel's log tells which (type=1326)\""
                               : EXIT_FIELDS,
              r->name, code, signal, (unsigned long long)(clock_mono_us() - r->started_us) / 1000u,
              r->deaths);
}

/* The channel is of no use any more: end the process, and its exit does the rest. */
void role_end(struct role *r, const char *why)
{
    if (r->child.pid && r->monitor->stop == STOP_NOT)
        log_event(LOG_ERROR, "role.channel", "role=%s error=\"%s\"", r->name, why);
    channel_close(&r->channel);
    child_signal(&r->child, SIGKILL);
}

void role_hung_up(struct role *r)
{
    channel_close(&r->channel);
    if (r->child.pid)
        timer_arm(&r->monitor->poller, &r->timer,
                  clock_mono_us() + MONITOR_ROLE_TERM_MS * UINT64_C(1000));
}

void role_kill(struct role *r)
{
    log_event(LOG_WARN, "role.kill", "role=%s pid=%d text=\"it was to end and did not\"", r->name,
              (int)r->child.pid);
    child_signal(&r->child, SIGKILL);
}

void role_close_fds(const struct ipc_message *b)
{
    for (unsigned i = 0; i < b->fd_count; i++)
        close(b->fds[i]);
}

void role_out_of_place(struct role *r, const struct ipc_message *b)
{
    char why[128];
    snprintf(why, sizeof why, "%s is not for it to say, or not now", ipc_type_name(b->type));
    role_close_fds(b);
    role_end(r, why);
}

/* Control. */

static void take_snapshot(struct monitor *m, const struct ipc_message *b)
{
    if (m->snapshot_fd >= 0)
        close(m->snapshot_fd);
    m->snapshot_fd = b->fds[0];
    m->snapshot_revision = b->body.SNAPSHOT.revision;
    m->awaits_control = false;
    m->sent[m->snapshot_revision % MONITOR_SENT].revision = m->snapshot_revision;
    m->sent[m->snapshot_revision % MONITOR_SENT].seen = b->body.SNAPSHOT.seen;
    /* While certificates are being made that it may name, cert.c sends it after them; those that
     * are renewed are not waited for. */
    if (!cert_are_awaited(m))
        edges_send(m, IPC_SNAPSHOT, &b->body.SNAPSHOT, &m->snapshot_fd, 1);
    edge_start(m);
}

/* That is no death: it may be the manifest's fault, and then the next control's lot, too. */
static void refuse(struct role *r)
{
    r->is_told = true; /* named.c has told why */
    channel_close(&r->channel);
    child_signal(&r->child, SIGKILL);
}

static void on_control_message(struct channel *c, struct ipc_message *b, int error)
{
    struct role *r = LIST_ENTRY(c, struct role, channel);
    struct monitor *m = r->monitor;
    char why[256] = "";
    if (!b) {
        if (error == ERR_CLOSED)
            role_hung_up(r);
        else
            role_end(r, err_text(error));
        return;
    }
    if (m->stop != STOP_NOT) {
        role_close_fds(b);
        return;
    }
    int result = 0;
    if (!say_is_allowed(m->control_synced ? SAY_CONTROL_IN_STEP : SAY_CONTROL_BEGINS, b->type)) {
        role_out_of_place(r, b);
        return;
    }
    switch (b->type) {
    case IPC_LISTEN:
    case IPC_CERTIFICATE:
    case IPC_CERTIFICATES_KEPT:
    case IPC_APP:
    case IPC_ENV:
        result = wanted_add(&m->wanted, b, why, sizeof why);
        break;
    case IPC_COMMIT:
        result = commit_apply(m, &b->body.COMMIT, why, sizeof why);
        break;
    case IPC_SNAPSHOT:
        take_snapshot(m, b); /* keeps the descriptor */
        return;
    case IPC_INSTANCE_READY:
        worker_probed(m, &b->body.INSTANCE_READY);
        break;
    case IPC_ROLL:
        workers_roll(m, b->body.ROLL.app);
        break;
    case IPC_RETIRE:
        workers_retire(m, &b->body.RETIRE);
        break;
    case IPC_RELOAD:
        control_reload(m, b->body.RELOAD.asked);
        break;
    case IPC_STOP:
        monitor_stop(m, (int)(b->body.STOP.exit_code & 0xff));
        break;
    default:
        UNREACHABLE();
    }
    role_close_fds(b);
    if (result < 0 && m->is_refused)
        refuse(r);
    else if (result < 0)
        role_end(r, why);
}

static void on_control_exit(struct child *child, int code, int signal)
{
    struct role *r = LIST_ENTRY(child, struct role, child);
    struct monitor *m = r->monitor;
    channel_drain(&r->channel); /* it may have said STOP */
    channel_close(&r->channel);
    bool synced = m->control_synced;
    m->control_synced = false;
    wanted_fini(&m->wanted);
    if (m->stop != STOP_NOT) {
        monitor_stop_step(m);
        return;
    }
    if (!m->is_committed && code == 2) { /* it has said why */
        monitor_stop(m, 2);
        return;
    }
    role_log_exit(r, code, signal);
    if (!m->is_committed && ++m->early_deaths >= MONITOR_EARLY_DEATHS) {
        print_fmt(STDERR_FILENO,
                  "portico: control ended %u times before it had read the manifest\n",
                  m->early_deaths);
        monitor_stop(m, 1);
        return;
    }
    bool is_broken = !synced && m->is_committed && code == 2; /* the manifest, meanwhile */
    if (is_broken)
        log_event(LOG_ERROR, "control.manifest",
                  "error=\"not valid any more; what was wanted before stays\"");
    m->in_vain = m->is_committed && (m->is_refused || is_broken) ? m->in_vain + 1 : 0;
    if (m->in_vain)
        respawn_in(r, life_delay_ms(&(struct life){.failures = m->in_vain}));
    else
        role_respawn_later(r);
}

void control_reload(struct monitor *m, uint32_t asked)
{
    struct ipc_reload b = {0};
    if (m->stop != STOP_NOT)
        return;
    if (asked)
        m->reload_asked = asked;
    m->reload_wanted = !m->control_synced;
    if (m->reload_wanted && !m->control.child.pid && timer_is_armed(&m->control.timer)) {
        timer_cancel(&m->control.timer); /* who asks for it has changed something */
        control_start(m);
    }
    if (m->reload_wanted)
        return;
    /* By path: an editor puts a new file in the place of the old one. */
    int fd = open(m->manifest, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    b.error = fd < 0 ? errno : 0;
    b.asked = m->reload_asked;
    channel_send(&m->control.channel, IPC_RELOAD, &b, &fd, fd >= 0);
    if (fd >= 0)
        close(fd);
}

static void on_control_timer(struct timer *t)
{
    struct role *r = LIST_ENTRY(t, struct role, timer);
    if (r->child.pid)
        role_kill(r);
    else
        control_start(r->monitor);
}

void control_init(struct monitor *m)
{
    role_init(&m->control, m, "control");
    m->control.child.on_exit = on_control_exit;
    channel_init(&m->control.channel, &m->poller, on_control_message);
    timer_init(&m->control.timer, on_control_timer);
}

void control_start(struct monitor *m)
{
    struct role *r = &m->control;
    if (r->child.pid || m->stop != STOP_NOT)
        return;
    timer_cancel(&r->timer);
    m->is_refused = false;
    m->reload_asked = 0;
    /* Opened here, because control's own user may not be able to walk to it. */
    int manifest = open(m->manifest, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    int result = role_spawn(r, m->manifest, manifest);
    if (manifest >= 0)
        close(manifest);
    if (result < 0) {
        if (!m->is_committed)
            monitor_stop(m, 1);
        else
            role_respawn_later(r);
        return;
    }
    struct ipc_hello hello;
    memset(&hello, 0, sizeof hello);
    hello.restarted = r->deaths > 0 || m->is_committed;
    hello.as_root = m->as_root;
    hello.loops = m->is_committed ? m->loops : 0;
    hello.is_fenced = m->fence.fd >= 0;
    hello.is_rooted = m->is_committed && !m->foreign_sockets;
    hello.owner = geteuid();
    hello.uids_first = USERS_FIRST;
    hello.uids = m->as_root ? USERS_SPAN : 0;
    memcpy(hello.data, m->data, sizeof hello.data);
    if (!FILES_FMT(hello.ca_file, "%s/tls/ca.crt", m->data))
        hello.ca_file[0] = 0;
    channel_send(&r->channel, IPC_HELLO, &hello, &m->counters_fd, m->counters_fd >= 0);
}
