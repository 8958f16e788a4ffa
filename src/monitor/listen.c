/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/listen.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int open_bound(const struct addr *a, bool shared_port)
{
    static const int on = 1;
    int fd = socket(a->u.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (a->u.sa.sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if ((shared_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0) ||
        bind(fd, &a->u.sa, a->len) < 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

/* SO_REUSEPORT would let us share the port with another server of the same user, silently; without
 * it, bind and listen tell. */
static bool nobody_listens(const struct addr *a)
{
    int fd = open_bound(a, false);
    if (fd < 0)
        return false;
    bool ok = listen(fd, 1) == 0;
    int saved = errno;
    close(fd);
    errno = saved;
    return ok;
}

static int sys_error(char *error_out, size_t cap)
{
    snprintf(error_out, cap, "%s", strerror(errno));
    return ERR_SYS;
}

#define HANDED_FIRST 3 /* sd_listen_fds(3) */
#define HANDED_MAX   256

static int handed[HANDED_MAX]; /* -1: taken */
static unsigned handed_count;

void listen_take_handed(void)
{
    const char *count = getenv("LISTEN_FDS"), *who = getenv("LISTEN_PID");
    if (count && who && atol(who) == (long)getpid()) {
        long n = atol(count);
        for (int fd = HANDED_FIRST; n > 0 && n <= HANDED_MAX && fd < HANDED_FIRST + n; fd++)
            if (fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 &&
                fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0)
                handed[handed_count++] = fd;
    }
    unsetenv("LISTEN_FDS"); /* they are for nobody below us */
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDNAMES");
}

static bool listens(int fd)
{
    int yes = 0;
    socklen_t len = sizeof yes;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &len) == 0 && yes;
}

/* return  a socket handed to us that listens at this address; -1: none does */
static int take_handed(const struct addr *wanted)
{
    char text[ADDR_TEXT_OCTETS], its[ADDR_TEXT_OCTETS];
    addr_format(wanted, text, sizeof text);
    for (unsigned i = 0; i < handed_count; i++) {
        struct addr a = {.len = sizeof a.u};
        if (handed[i] < 0 || getsockname(handed[i], &a.u.sa, &a.len) < 0 ||
            a.u.sa.sa_family != wanted->u.sa.sa_family || !listens(handed[i]))
            continue;
        addr_format(&a, its, sizeof its);
        if (strcmp(text, its) == 0) {
            int fd = handed[i];
            handed[i] = -1;
            return fd;
        }
    }
    return -1;
}

void listen_drop_handed(void)
{
    for (unsigned i = 0; i < handed_count; i++)
        if (handed[i] >= 0) {
            log_event(LOG_WARN, "monitor.listen",
                      "fd=%d text=\"a socket was handed over that no address of the manifest "
                      "names\"",
                      handed[i]);
            close(handed[i]);
        }
    handed_count = 0;
}

/* One socket for every loop: whoever comes first accepts. */
static int share(struct listener *l, int fd, uint32_t count, const struct addr *a)
{
    l->fds[l->count++] = fd;
    while (l->count < count) {
        int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (copy < 0) {
            listener_close(l);
            return ERR_SYS;
        }
        l->fds[l->count++] = copy;
    }
    addr_format(a, l->address, sizeof l->address);
    return 0;
}

int listener_open(struct listener *l, uint32_t loops, char *error_out, size_t cap)
{
    struct addr a;
    l->count = 0;
    if (addr_parse(slice_str(l->wanted), &a) < 0 || a.u.sa.sa_family == AF_UNIX) {
        snprintf(error_out, cap, "not an IP address with a port");
        return ERR_USAGE;
    }
    uint32_t count = l->kind == IPC_LISTEN_ADMIN ? 1 : loops;
    int given = take_handed(&a);
    if (given >= 0)
        return share(l, given, count, &a) < 0 ? sys_error(error_out, cap) : 0;
    if (addr_port(&a) != 0 && !nobody_listens(&a))
        return sys_error(error_out, cap);
    for (uint32_t i = 0; i < count; i++) {
        int fd = open_bound(&a, true);
        if (fd < 0) {
            sys_error(error_out, cap);
            listener_close(l);
            return ERR_SYS;
        }
        l->fds[l->count++] = fd;
        a.len = sizeof a.u; /* port 0: the others take the one that the first was given */
        if (getsockname(fd, &a.u.sa, &a.len) < 0 || listen(fd, LISTEN_BACKLOG) < 0) {
            sys_error(error_out, cap);
            listener_close(l);
            return ERR_SYS;
        }
    }
    addr_format(&a, l->address, sizeof l->address);
    return 0;
}

bool listener_restore(const struct listener *l)
{
    static const struct sockaddr none = {.sa_family = AF_UNSPEC};
    struct addr a;
    bool ok = addr_parse(slice_str(l->address), &a) == 0;
    for (uint32_t i = 0; ok && i < l->count; i++) {
        if (listens(l->fds[i]))
            continue;
        /* It may be a client's by now: that it is not any more.  EINVAL: it has an address, and no
         * other than it had.  It loses one that the kernel chose. */
        ok = connect(l->fds[i], &none, sizeof none) == 0 &&
             (bind(l->fds[i], &a.u.sa, a.len) == 0 || errno == EINVAL) &&
             listen(l->fds[i], LISTEN_BACKLOG) == 0;
    }
    return ok;
}

void listener_close(struct listener *l)
{
    for (uint32_t i = 0; i < l->count; i++)
        close(l->fds[i]);
    l->count = 0;
}

#define PORT_LOW 20000u

/* The first port that the kernel gives to outgoing connections. */
static unsigned port_limit(void)
{
    unsigned low = 0, high = 0;
    FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
    if (f) {
        if (fscanf(f, "%u %u", &low, &high) != 2)
            low = 0;
        fclose(f);
    }
    return low > PORT_LOW + 1000 && low <= 65535 ? low : 32768;
}

static struct addr loopback(uint16_t port)
{
    struct addr a = {.len = sizeof a.u.in};
    a.u.in.sin_family = AF_INET;
    a.u.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    a.u.in.sin_port = htons(port);
    return a;
}

bool listen_is_taken(uint16_t port)
{
    const struct addr a = loopback(port);
    return !nobody_listens(&a) && errno == EADDRINUSE;
}

uint16_t listen_free_port(bool (*is_taken)(void *arg, uint16_t port), void *arg)
{
    static unsigned at; /* ports of a worker that just ended are not taken again soon */
    unsigned limit = port_limit(), span = limit - PORT_LOW;
    if (at == 0) { /* somewhere else for every monitor on this machine */
        struct hash_key key;
        hash_key_random(&key);
        at = (unsigned)(key.k[0] % span) + 1;
    }
    for (unsigned tries = 0; tries < span; tries++) {
        uint16_t port = (uint16_t)(PORT_LOW + at++ % span);
        if (is_taken(arg, port))
            continue;
        const struct addr a = loopback(port);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
            return 0;
        bool ok = bind(fd, &a.u.sa, a.len) == 0; /* no SO_REUSEADDR: not even a lingering one */
        close(fd);
        if (ok)
            return port;
    }
    return 0;
}
