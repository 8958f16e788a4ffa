/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates: monitor opens the files and hands the descriptors to edge, which may not read any.
 * Local ones are made by a role of its own, so that no key is ever parsed in this process. */
#include "monitor/state.h"
#include "monitor/files.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/print.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of the files that are looked at from time to time: so many certificates without a pause, and then
 * others have their turn. */
#define SWEEP_FILES    64
#define SWEEP_PAUSE_US 1000
#define SWEEP_DELAY_US 250000

static bool paths(const struct monitor *m, const struct certificate *c, char chain[IPC_PATH_OCTETS],
                  char key[IPC_PATH_OCTETS])
{
    if (!c->wanted.local)
        return files_fmt(chain, IPC_PATH_OCTETS, "%s", c->wanted.chain) &&
               files_fmt(key, IPC_PATH_OCTETS, "%s", c->wanted.key);
    return files_fmt(chain, IPC_PATH_OCTETS, "%s/tls/%u.crt", m->data, c->wanted.id) &&
           files_fmt(key, IPC_PATH_OCTETS, "%s/tls/%u.key", m->data, c->wanted.id);
}

static int64_t mtime_ns(const struct stat *st)
{
    return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

/* Whether it is the chain (0) or key (1) that edge got. */
static bool is_file(const struct certificate *c, int i, const struct stat *st)
{
    return c->ino[i] == st->st_ino && c->mtime_ns[i] == mtime_ns(st);
}

static int open_file(const char *path, struct stat *st)
{
    int fd = files_open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY); /* never wait for a FIFO */
    if (fd >= 0 && (fstat(fd, st) < 0 || !S_ISREG(st->st_mode))) {
        close(fd);
        errno = EINVAL;
        return -1;
    }
    return fd;
}

/* Each time anew: descriptors that were read once stand at the file's end.
 * return  0, or ERR_SYS: told */
static int open_pair(const struct monitor *m, struct certificate *c, int fds[2])
{
    char path[2][IPC_PATH_OCTETS];
    struct stat st[2];
    if (!paths(m, c, path[0], path[1]))
        return ERR_SYS;
    for (int i = 0; i < 2; i++) {
        fds[i] = open_file(path[i], &st[i]);
        if (fds[i] >= 0)
            continue;
        int error = errno;
        if (i)
            close(fds[0]);
        print_fmt(STDERR_FILENO, "portico: %s: cannot read the %s %s: %s\n", c->wanted.where,
                  i ? "key" : "certificate", path[i],
                  error == EINVAL ? "not a file" : files_why(error));
        return ERR_SYS;
    }
    for (int i = 0; i < 2; i++) {
        c->is_seen = c->is_seen && is_file(c, i, &st[i]);
        c->ino[i] = st[i].st_ino;
        c->mtime_ns[i] = mtime_ns(&st[i]);
    }
    return 0;
}

/* Whether other files stand where edge's were. */
static bool was_replaced(const struct monitor *m, const struct certificate *c)
{
    char path[2][IPC_PATH_OCTETS];
    struct stat st;
    bool was = false;
    if (!paths(m, c, path[0], path[1]))
        return false;
    for (int i = 0; i < 2; i++)
        was |= stat(path[i], &st) < 0 || !is_file(c, i, &st);
    return was;
}

/* return  0, or ERR_SYS: its files could not be read */
static int send_certificate(struct monitor *m, struct certificate *c, bool to_newest)
{
    int fds[2];
    if (open_pair(m, c, fds) < 0)
        return ERR_SYS;
    struct ipc_edge_certificate b = {.id = c->wanted.id, .deferred = c->wanted.local || c->is_seen};
    snprintf(b.where, sizeof b.where, "%s", c->wanted.where);
    if (to_newest) {
        channel_send(&m->edge->channel, IPC_EDGE_CERTIFICATE, &b, fds, 2);
        c->is_seen = true;
    } else if (c->is_new) {
        c->is_seen = edges_send(m, IPC_EDGE_CERTIFICATE, &b, fds, 2);
        c->is_new = false;
    }
    close(fds[0]);
    close(fds[1]);
    return 0;
}

void cert_send_all(struct monitor *m)
{
    for (uint32_t i = 0; i < m->certificate_count; i++)
        send_certificate(m, &m->certificates[i], true);
}

/* The routes again, that edges may find what they name. */
static void send_routes(struct monitor *m)
{
    struct ipc_snapshot b = {.revision = m->snapshot_revision};
    if (m->snapshot_fd >= 0)
        edges_send(m, IPC_SNAPSHOT, &b, &m->snapshot_fd, 1);
}

/* Files of others may have been replaced.  Some at a time: there may be thousands.  While the
 * authority writes, a chain may stand beside another's key; ready() begins anew. */
static void sweep(struct monitor *m)
{
    if (m->authority.pid)
        return;
    for (unsigned i = 0; i < SWEEP_FILES && m->sweep_at < m->certificate_count; i++) {
        struct certificate *c = &m->certificates[m->sweep_at++];
        if (c->is_new || !was_replaced(m, c)) /* what is new and not there was told of */
            continue;
        c->is_new = true;
        m->sweep_found |= send_certificate(m, c, false) == 0;
    }
    if (m->sweep_at < m->certificate_count) {
        timer_arm(&m->poller, &m->sweep_timer, clock_mono_us() + SWEEP_PAUSE_US);
        return;
    }
    if (m->sweep_found)
        send_routes(m);
    m->sweep_found = false;
}

static void on_sweep(struct timer *t)
{
    struct monitor *m = LIST_ENTRY(t, struct monitor, sweep_timer);
    if (m->stop == STOP_NOT)
        sweep(m);
}

/* Those that are new can be read. */
static void ready(struct monitor *m)
{
    bool first = !m->certificates_ready, is_whole = true;
    for (uint32_t i = 0; i < m->certificate_count; i++)
        if (m->certificates[i].is_new)
            is_whole &= send_certificate(m, &m->certificates[i], false) == 0;
    if (first && !is_whole) {
        monitor_stop(m, 2);
        return;
    }
    m->certificates_ready = true;
    if (first) {
        workers_start(m);
        edge_start(m);
        return;
    }
    send_routes(m); /* they were held back, or name what came anew */
    m->sweep_at = 0;
    if (m->certificate_count <= SWEEP_FILES)
        sweep(m);
    else /* what is committed comes first */
        timer_arm(&m->poller, &m->sweep_timer, clock_mono_us() + SWEEP_DELAY_US);
}

static bool is_asked_for(const struct certificate *c, bool all)
{
    return c->wanted.local && (all || c->is_new);
}

/* return  the memfd with a line for each local certificate, "ID HOST HOST", or ERR_SYS */
static int write_request(const struct monitor *m, bool all)
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    if (!f)
        return ERR_SYS;
    for (uint32_t i = 0; i < m->certificate_count; i++)
        if (is_asked_for(&m->certificates[i], all))
            fprintf(f, "%u %s\n", m->certificates[i].wanted.id, m->certificates[i].wanted.hosts);
    if (fclose(f) != 0) {
        free(text);
        return ERR_SYS;
    }
    int fd = ipc_sealed_memfd("portico-authority", text, len);
    free(text);
    if (fd >= 0)
        lseek(fd, 0, SEEK_SET);
    return fd;
}

static bool asks(const struct monitor *m, bool all)
{
    for (uint32_t i = 0; i < m->certificate_count; i++)
        if (is_asked_for(&m->certificates[i], all))
            return true;
    return false;
}

bool cert_are_awaited(const struct monitor *m)
{
    return m->authority.pid && m->certificates_ready &&
           (m->authority_again || asks(m, false)); /* or files that are sent after it */
}

/* all: those that there are may have to be issued anew, too */
static void run_authority(struct monitor *m, bool all)
{
    char directory[IPC_PATH_OCTETS], why[1400] = "no memory is left";
    struct environment env;
    if (m->authority.pid) {
        m->authority_again = true;
        m->authority_all |= all;
        return;
    }
    if (!asks(m, all)) {
        ready(m);
        return;
    }
    role_environment(&env);
    int request = write_request(m, all), r = ERR_SYS;
    if (request >= 0 && !env.is_short && FILES_FMT(directory, "%s/tls", m->data)) {
        char *const argv[] = {(char *)(uintptr_t) "portico", (char *)(uintptr_t) "role",
                              (char *)(uintptr_t) "authority", directory, NULL};
        struct spawn s = {
            .path = "/proc/self/exe",
            .argv = argv,
            .env = env.v,
            .fds = {request, STDOUT_FILENO, STDERR_FILENO, -1, -1},
            .umask = 077,
            .no_new_privs = true,
        };
        r = child_spawn(&m->children, &m->authority, &s, why, sizeof why);
    }
    if (request >= 0)
        close(request);
    environment_fini(&env);
    if (r < 0) {
        log_event(LOG_ERROR, "authority.start", "error=\"%s\"", why);
        if (!m->certificates_ready)
            monitor_stop(m, 1);
        else
            ready(m); /* those that have files of their own */
    }
}

static void on_authority_exit(struct child *c, int code, int signal)
{
    struct monitor *m = LIST_ENTRY(c, struct monitor, authority);
    if (m->stop != STOP_NOT) {
        monitor_stop_step(m);
        return;
    }
    if (m->authority_again) {
        bool all = m->authority_all;
        m->authority_again = m->authority_all = false;
        run_authority(m, all);
        return;
    }
    if (code != 0) {
        log_event(LOG_ERROR, "authority.exit", "status=%d signal=%d", code, signal);
        if (!m->certificates_ready) {
            monitor_stop(m, 1);
            return;
        }
    }
    ready(m);
}

static void on_timer(struct timer *t)
{
    struct monitor *m = LIST_ENTRY(t, struct monitor, certificate_timer);
    /* The authority issues anew what will end soon; files of others may have been replaced. */
    if (m->stop != STOP_NOT)
        return;
    if (m->certificates_ready)
        run_authority(m, true);
    timer_arm(&m->poller, t, clock_mono_us() + MONITOR_CERT_CHECK_MS * UINT64_C(1000));
}

static int by_id(const void *id, const void *c)
{
    uint32_t a = *(const uint32_t *)id, b = ((const struct certificate *)c)->wanted.id;
    return a < b ? -1 : a > b;
}

bool cert_is_known(const struct monitor *m, const struct wanted_certificate *c)
{
    const struct certificate *known =
        m->certificate_count
            ? bsearch(&c->id, m->certificates, m->certificate_count, sizeof *known, by_id)
            : NULL;
    return known && wanted_certificate_eq(&known->wanted, c);
}

static bool is_kept(const struct wanted *w, uint32_t *at, uint32_t id)
{
    while (*at < w->kept_count && w->kept[*at].last < id)
        ++*at;
    return *at < w->kept_count && w->kept[*at].first <= id;
}

int cert_apply(struct monitor *m, struct wanted *w)
{
    /* All are sorted by id. */
    struct certificate *to = calloc(w->certificate_count + m->certificate_count + 1, sizeof *to);
    uint32_t count = 0, old = 0, kept = 0;
    if (!to)
        return ERR_NOMEM;
    for (uint32_t i = 0; i <= w->certificate_count; i++) {
        const struct wanted_certificate *c = i < w->certificate_count ? &w->certificates[i] : NULL;
        for (; old < m->certificate_count && (!c || m->certificates[old].wanted.id < c->id); old++)
            if (is_kept(w, &kept, m->certificates[old].wanted.id)) {
                to[count++] = m->certificates[old];
                m->certificates[old].wanted = (struct wanted_certificate){.id = 0}; /* taken over */
            }
        if (!c)
            break;
        if (old < m->certificate_count && wanted_certificate_eq(&m->certificates[old].wanted, c))
            to[count] = m->certificates[old];
        else
            to[count].is_new = true;
        to[count++].wanted = *c;
    }
    w->certificate_count = 0; /* taken over */
    cert_fini(m);
    m->certificates = to;
    m->certificate_count = count;
    run_authority(m, false);
    return 0;
}

void cert_init(struct monitor *m)
{
    m->authority.on_exit = on_authority_exit;
    timer_init(&m->certificate_timer, on_timer);
    timer_init(&m->sweep_timer, on_sweep);
    timer_arm(&m->poller, &m->certificate_timer,
              clock_mono_us() + MONITOR_CERT_CHECK_MS * UINT64_C(1000));
}

void cert_fini(struct monitor *m)
{
    for (uint32_t i = 0; i < m->certificate_count; i++)
        wanted_certificate_fini(&m->certificates[i].wanted);
    free(m->certificates);
    m->certificates = NULL;
    m->certificate_count = 0;
}
