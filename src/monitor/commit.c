/* SPDX-License-Identifier: Apache-2.0 */
/* A commit of control's: what it wants is complete. */
#include "monitor/state.h"
#include "monitor/files.h"
#include "monitor/log_file.h"
#include "base/err.h"
#include "base/log.h"
#include "base/print.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int commit_open_access_log(const struct monitor *m, char *why_out, size_t cap)
{
    if (strcmp(m->access_log, "off") == 0)
        return -1;
    if (strcmp(m->access_log, "stdout") != 0)
        return log_file_open(m->access_log, why_out, cap);
    int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    if (fd >= 0)
        return fd;
    snprintf(why_out, cap, "%s", strerror(errno));
    return ERR_SYS;
}

void commit_restore(const struct listener *l)
{
    if (!listener_restore(l))
        log_event(LOG_ERROR, "monitor.listen", "address=%s error=\"%s\"", l->address,
                  strerror(errno));
}

static bool is_bound(const struct monitor *m, const struct wanted_listen *l)
{
    for (uint32_t i = 0; i < m->listener_count; i++)
        if (m->listeners[i].kind == l->kind && strcmp(m->listeners[i].wanted, l->address) == 0)
            return true;
    return false;
}

/* return  0, or ERR_SYS: told */
static int bind_all(struct monitor *m)
{
    char why[256];
    for (uint32_t i = 0; i < m->wanted.listen_count; i++) {
        const struct wanted_listen *from = &m->wanted.listens[i];
        struct listener *l = &m->listeners[m->listener_count];
        l->kind = from->kind;
        memcpy(l->wanted, from->address, sizeof l->wanted);
        if (listener_open(l, m->loops, why, sizeof why) < 0) {
            print_fmt(STDERR_FILENO, "portico: %s: cannot listen at %s: %s\n", from->where,
                      from->address, why);
            return ERR_SYS;
        }
        m->listener_count++;
        log_event(LOG_INFO, "monitor.listen", "kind=%s address=%s sockets=%u",
                  l->kind == IPC_LISTEN_HTTPS  ? "https"
                  : l->kind == IPC_LISTEN_HTTP ? "http"
                                               : "admin",
                  l->address, l->count);
    }
    return 0;
}

static int make_counters(struct monitor *m, const struct ipc_commit *c)
{
    int fd = ipc_shared_memfd("portico-counters", c->counters_octets);
    if (fd < 0)
        return fd;
    if (m->counters_fd >= 0)
        close(m->counters_fd);
    m->counters_fd = fd;
    m->counters_octets = c->counters_octets;
    m->site_slots = c->site_slots;
    return 0;
}

/* For `portico status` and its like: who connects is known by the kernel's word.
 * return  -1 when there is none: told, and everything else goes on */
static int open_admin_socket(const struct monitor *m)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = -1;
    bool fits = FILES_FMT(a.sun_path, "%s/admin.sock", m->data);
    if (fits) {
        unlink(a.sun_path);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        mode_t before = umask(0177);
        bool ok = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 64) == 0;
        umask(before);
        if (ok)
            return fd;
    }
    log_event(LOG_WARN, "monitor.admin", "socket=\"%s/admin.sock\" error=\"%s\"", m->data,
              fits ? strerror(errno) : "the name is too long for a socket; use a shorter --data");
    if (fd >= 0)
        close(fd);
    return -1;
}

/* What is held for life is made once.  A compromised control must not be able to have more files
 * opened or ports bound by us later, so these settings are taken from the first commit only; and
 * the root that edge has, or gets by a later one, is not taken from it again. */
static int first(struct monitor *m, const struct ipc_commit *c)
{
    char why[LOG_FILE_WHY_OCTETS];
    m->loops = c->loops;
    m->foreign_sockets = c->foreign_sockets;
    memcpy(m->access_log, c->access_log, sizeof m->access_log);
    if (bind_all(m) < 0)
        return ERR_SYS;
    listen_drop_handed();
    m->access_fd = commit_open_access_log(m, why, sizeof why);
    if (m->access_fd < -1) {
        print_fmt(STDERR_FILENO, "portico: accessLog: cannot open %s: %s\n", m->access_log, why);
        return ERR_SYS;
    }
    if (make_counters(m, c) < 0) {
        print_fmt(STDERR_FILENO, "portico: cannot make the counters: %s\n", strerror(errno));
        return ERR_SYS;
    }
    m->admin_fd = open_admin_socket(m);
    m->is_committed = true;
    return 0;
}

/* return  false: nothing of this commit can be applied while we run */
static bool later(struct monitor *m, const struct ipc_commit *c)
{
    /* A control that goes on running names them only once. */
    bool same_listeners =
        m->wanted.listen_count == 0 || m->wanted.listen_count == m->listener_count;
    for (uint32_t i = 0; i < m->wanted.listen_count; i++)
        same_listeners = same_listeners && is_bound(m, &m->wanted.listens[i]);
    if (!same_listeners || strcmp(c->access_log, m->access_log) != 0)
        log_event(LOG_WARN, "monitor.commit",
                  "error=\"listen and accessLog cannot change while Portico runs\"");
    if (c->loops != m->loops) {
        log_event(LOG_ERROR, "monitor.commit",
                  "error=\"loops cannot change while Portico runs; nothing was changed\"");
        return false;
    }
    if (c->foreign_sockets && !m->foreign_sockets) {
        log_event(LOG_ERROR, "monitor.commit",
                  "error=\"an upstream at a unix socket would take edge's own root away, which "
                  "cannot be while Portico runs; nothing was changed\"");
        return false;
    }
    bool same_root = c->foreign_sockets == m->foreign_sockets;
    bool same_counters = c->counters_octets == m->counters_octets && c->site_slots == m->site_slots;
    if (same_root && same_counters)
        return true;
    if (!same_counters && make_counters(m, c) < 0) {
        log_event(LOG_ERROR, "monitor.commit",
                  "error=\"cannot make the counters: %s; nothing was changed\"", strerror(errno));
        return false;
    }
    m->foreign_sockets = c->foreign_sockets;
    /* Edge counts in the old ones, and has the old root, until its successor serves; without one it
     * counts there on. */
    if (m->snapshot_fd >= 0 && !m->awaits_control)
        m->edge_is_stale = edge_replace(m) < 0;
    return true;
}

/* A control that was broken into can have shut it down, for reading at least, and it does not
 * listen again. */
static bool is_shut(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};
    return poll(&p, 1, 0) == 1 && p.revents & POLLRDHUP;
}

static void tell_control(struct monitor *m, const struct ipc_commit *c, bool applied)
{
    if (m->admin_fd >= 0 && is_shut(m->admin_fd)) {
        close(m->admin_fd);
        m->admin_fd = open_admin_socket(m);
    }
    if (m->admin_fd >= 0) {
        struct ipc_listening b = {.kind = IPC_LISTEN_LOCAL, .address = "admin.sock"};
        channel_send(&m->control.channel, IPC_LISTENING, &b, &m->admin_fd, 1);
    }
    for (uint32_t i = 0; i < m->listener_count; i++) {
        const struct listener *l = &m->listeners[i];
        struct ipc_listening b = {.kind = l->kind};
        memcpy(b.address, l->address, sizeof b.address);
        if (l->kind == IPC_LISTEN_ADMIN)
            commit_restore(l);
        channel_send(&m->control.channel, IPC_LISTENING, &b, l->fds,
                     l->kind == IPC_LISTEN_ADMIN ? 1 : 0);
    }
    struct ipc_committed done = {.revision = c->revision, .refused = !applied};
    channel_send(&m->control.channel, IPC_COMMITTED, &done, &m->counters_fd, 1);
}

int commit_apply(struct monitor *m, const struct ipc_commit *c, char *error_out, size_t cap)
{
    int r = wanted_check_commit(&m->wanted, c, error_out, cap);
    if (r < 0)
        return r;
    r = named_check(m, error_out, cap);
    m->is_refused = r < 0;
    if (r < 0)
        return r;
    bool apply = true, is_whole = true;
    if (!m->is_committed) {
        if (first(m, c) < 0) {
            monitor_stop(m, 2);
            return 0;
        }
    } else {
        apply = later(m, c);
    }
    m->control_synced = false; /* what is made now is told below, once */
    if (apply) {
        r = workers_apply(m, &m->wanted);
        is_whole = r == 0;
        if (r == 0 || r == ERR_LIMIT)
            r = cert_apply(m, &m->wanted);
        if (r < 0)
            log_event(LOG_ERROR, "monitor.commit", "error=\"%s\"", err_text(r));
        apply = r == 0;
    }
    wanted_fini(&m->wanted);
    tell_control(m, c, apply && is_whole);
    m->control_synced = true;
    m->in_vain = 0;
    workers_tell(m);
    if (m->reload_wanted)
        control_reload(m, 0);
    workers_start(m);
    edge_start(m);
    return 0;
}
