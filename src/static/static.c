/* SPDX-License-Identifier: Apache-2.0 */
#include "static/static.h"
#include "base/err.h"
#include "base/log.h"
#include "base/panic.h"
#include "static/conn.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKLOG        1024
#define LISTENERS_MAX  2
#define ACCEPTS_A_TURN 64
#define RETRY_US       100000u   /* descriptors are out: look again so much later */
#define DRAIN_US       30000000u /* after SIGTERM, for what is under way */
#define EXIT_USAGE     2
#define MAX_AGE_MOST   31536000u /* a year; RFC 9111 knows no limit, caches do */

struct listener {
    struct loop_source source;
    struct static_server *server;
    struct loop_task again;
    struct loop_timer retry;
    struct addr address;
    struct stat bound; /* of a unix socket: remove only what is still ours */
};

struct process {
    struct static_server server;
    struct listener listeners[LISTENERS_MAX];
    unsigned listener_count;
    struct loop_source signals;
    struct loop_timer limit;
    char cache_control[40];
    int exit_code;
};

static struct process process; /* one; only this file sees it */

static int complain(const char *what, const char *which)
{
    fprintf(stderr, "portico static: %s %s: %s\n", what, which, strerror(errno));
    return ERR_SYS;
}

/* ---- listening ---- */

static void accept_some(struct listener *l)
{
    struct static_server *s = l->server;
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        loop_calls(s->loop)->accepts++;
        int fd = accept4(l->source.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            static_conn_accept(s, fd);
        } else if (errno == EAGAIN) {
            return;
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            loop_timer_set(s->loop, &l->retry, loop_now_us(s->loop) + RETRY_US);
            return;
        } /* else that one connection failed before we took it */
    }
    loop_again(s->loop, &l->again);
}

static void on_acceptable(struct loop_source *source, unsigned events)
{
    (void)events;
    accept_some(CONTAINER_OF(source, struct listener, source));
}

static void accept_again(struct loop_task *t)
{
    accept_some(CONTAINER_OF(t, struct listener, again));
}

static void accept_retry(struct loop_timer *t)
{
    accept_some(CONTAINER_OF(t, struct listener, retry));
}

/* A socket's file outlives its process: remove one that nobody listens at. */
static int clear_stale(const struct addr *a)
{
    struct stat st;
    const char *path = a->u.un.sun_path;
    if (lstat(path, &st) < 0)
        return 0;
    if (!S_ISSOCK(st.st_mode)) {
        errno = EEXIST;
        return ERR_SYS;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return ERR_SYS;
    bool is_alive = connect(fd, &a->u.sa, a->len) == 0 || errno == EAGAIN;
    close(fd);
    if (is_alive) {
        errno = EADDRINUSE;
        return ERR_SYS;
    }
    return unlink(path) == 0 || errno == ENOENT ? 0 : ERR_SYS;
}

static int listen_at(struct process *p, const struct addr *a)
{
    char text[ADDR_TEXT_OCTETS];
    int on = 1;
    bool is_unix = a->u.sa.sa_family == AF_UNIX;
    struct listener *l = &p->listeners[p->listener_count];
    addr_format(a, text, sizeof text);
    if (is_unix && clear_stale(a) < 0)
        return complain("cannot listen at", text);
    int fd = socket(a->u.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return complain("cannot listen at", text);
    if (!is_unix)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    *l = (struct listener){.source = {on_acceptable, fd}, .server = &p->server, .address = *a};
    loop_task_init(&l->again, accept_again);
    loop_timer_init(&l->retry, accept_retry);
    if (bind(fd, &a->u.sa, a->len) < 0 || listen(fd, BACKLOG) < 0 ||
        loop_add(p->server.loop, &l->source) < 0) {
        complain("cannot listen at", text);
        close(fd);
        return ERR_SYS;
    }
    if (is_unix && lstat(a->u.un.sun_path, &l->bound) < 0)
        l->bound.st_ino = 0;
    p->listener_count++;
    socklen_t len = sizeof l->address.u;
    if (getsockname(fd, &l->address.u.sa, &len) == 0) { /* which port 0 has become */
        l->address.len = len;
        addr_format(&l->address, text, sizeof text);
    }
    log_event(LOG_INFO, "static.listen", "address=%s directory=\"%s\"", text,
              p->server.site.tree.directory);
    return 0;
}

static void stop_listening(struct process *p)
{
    for (unsigned i = 0; i < p->listener_count; i++) {
        struct listener *l = &p->listeners[i];
        struct stat st;
        const char *path = l->address.u.un.sun_path;
        loop_task_cancel(&l->again);
        loop_timer_clear(&l->retry);
        loop_remove(p->server.loop, &l->source);
        close(l->source.fd);
        if (l->address.u.sa.sa_family == AF_UNIX && l->bound.st_ino && lstat(path, &st) == 0 &&
            st.st_ino == l->bound.st_ino && st.st_dev == l->bound.st_dev)
            unlink(path);
    }
    p->listener_count = 0;
}

/* ---- the end ---- */

static void on_drained(struct static_server *s)
{
    loop_stop(s->loop);
}

static void on_limit(struct loop_timer *t)
{
    log_event(LOG_WARN, "static.cut", "after_ms=%u", DRAIN_US / 1000u);
    process.exit_code = 1;
    loop_stop(process.server.loop);
}

static void drain(struct process *p)
{
    struct static_server *s = &p->server;
    /* Who has connected already was told that we are here. */
    for (unsigned i = 0; i < p->listener_count; i++)
        accept_some(&p->listeners[i]);
    stop_listening(p);
    s->draining = true;
    LIST_FOR(node, &s->conns)
    {
        static_conn_shutdown(LIST_ENTRY(node, struct static_conn, node));
    }
    loop_timer_set(s->loop, &p->limit, loop_now_us(s->loop) + DRAIN_US);
    if (list_empty(&s->conns))
        loop_stop(s->loop);
}

static void on_signal(struct loop_source *source, unsigned events)
{
    struct signalfd_siginfo info;
    while (read(source->fd, &info, sizeof info) == (ssize_t)sizeof info) {
        log_event(LOG_INFO, "static.stop", "signal=%u", info.ssi_signo);
        if (process.server.draining)
            loop_stop(process.server.loop);
        else
            drain(&process);
    }
}

static int take_signals(struct process *p)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return ERR_SYS;
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        return ERR_SYS;
    p->signals = (struct loop_source){on_signal, fd};
    return loop_add(p->server.loop, &p->signals);
}

/* ---- options ---- */

/* A port alone is one on 127.0.0.1. */
static int parse_listen(const char *text, struct addr *out)
{
    char full[24];
    uint64_t port;
    if (!slice_u64(slice_str(text), &port))
        return addr_parse(slice_str(text), out);
    if (port > UINT16_MAX)
        return ERR_USAGE;
    snprintf(full, sizeof full, "127.0.0.1:%u", (unsigned)port);
    return addr_parse(slice_str(full), out);
}

static int add_socket(struct addr *out, const char *path)
{
    if (*path == '\0' || strlen(path) >= sizeof out->u.un.sun_path)
        return ERR_USAGE;
    *out = (struct addr){.len = sizeof out->u.un};
    out->u.un.sun_family = AF_UNIX;
    memcpy(out->u.un.sun_path, path, strlen(path) + 1);
    return 0;
}

/* return  how many addresses, or EXIT_USAGE's error, told */
static int read_addresses(const struct static_options *o, struct addr out[LISTENERS_MAX])
{
    bool from_environment = !o->socket && !o->listen;
    const char *path = from_environment ? getenv("PORTICO_SOCKET") : o->socket;
    const char *port = from_environment ? getenv("PORT") : o->listen;
    int n = 0;
    if (path && (*path || !from_environment)) {
        if (add_socket(&out[n++], path) < 0) {
            fprintf(stderr, "portico static: not a socket's path, or too long: %s\n", path);
            return ERR_USAGE;
        }
    }
    if (port && (*port || !from_environment)) {
        if (parse_listen(port, &out[n++]) < 0) {
            fprintf(stderr, "portico static: not an address: %s\n", port);
            return ERR_USAGE;
        }
    }
    if (n)
        return n;
    fprintf(stderr, "portico static: where to listen? Neither --socket nor --listen is given, nor "
                    "PORTICO_SOCKET or PORT set\n");
    return ERR_USAGE;
}

static int read_max_age(struct process *p, const char *text)
{
    uint64_t seconds;
    if (!text) {
        snprintf(p->cache_control, sizeof p->cache_control, "no-cache");
        return 0;
    }
    if (!slice_u64(slice_str(text), &seconds) || seconds > MAX_AGE_MOST) {
        fprintf(stderr, "portico static: --max-age is 0 to %u seconds, not %s\n", MAX_AGE_MOST,
                text);
        return ERR_USAGE;
    }
    snprintf(p->cache_control, sizeof p->cache_control, "max-age=%u", (unsigned)seconds);
    return 0;
}

static int start(struct process *p, const struct addr *addresses, int count)
{
    struct static_server *s = &p->server;
    list_init(&s->conns);
    s->on_drained = on_drained;
    loop_timer_init(&p->limit, on_limit);
    s->loop = loop_new();
    if (!s->loop || take_signals(p) < 0)
        return complain("cannot start", "a loop");
    for (int i = 0; i < count; i++)
        if (listen_at(p, &addresses[i]) < 0)
            return ERR_SYS;
    return 0;
}

static void clean_up(struct process *p)
{
    struct static_server *s = &p->server;
    stop_listening(p);
    LIST_FOR(node, &s->conns)
    {
        static_conn_kill(LIST_ENTRY(node, struct static_conn, node));
    }
    loop_timer_clear(&p->limit);
    if (s->loop) {
        loop_turn(s->loop, 0); /* reaps them */
        loop_free(s->loop);
    }
    if (p->signals.fd > 0)
        close(p->signals.fd);
    static_tree_close(&s->site.tree);
}

int static_main(const struct static_options *o)
{
    struct process *p = &process;
    struct addr addresses[LISTENERS_MAX];
    int count = read_addresses(o, addresses);
    if (count < 0 || read_max_age(p, o->max_age) < 0)
        return EXIT_USAGE;
    p->server.site.cache_control = p->cache_control;
    p->server.site.is_listed = o->is_listed;
    if (static_tree_open(&p->server.site.tree, o->directory) < 0) {
        complain("cannot serve", o->directory);
        return err_row(ERR_NOTFOUND)->exit_code;
    }
    int err = start(p, addresses, count);
    if (err == 0)
        loop_run(p->server.loop);
    clean_up(p);
    return err < 0 ? err_row(err)->exit_code : p->exit_code;
}
