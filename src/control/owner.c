/* SPDX-License-Identifier: Apache-2.0 */
#include "control/owner.h"
#include "base/err.h"
#include "net/diag.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TCP_LISTEN_STATE 0x0a
#define MAX_ANCESTORS    64

/* 0: it cannot be told */
static pid_t parent_of(pid_t pid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = '\0';
    /* the command's name in parentheses may hold anything, parentheses too */
    const char *end = strrchr(text, ')');
    int parent;
    char state;
    return end && sscanf(end + 1, " %c %d", &state, &parent) == 2 ? (pid_t)parent : 0;
}

/* In the group, in the session, or a descendant (a worker's child may have a session of its own).
 */
static bool is_of_instance(pid_t pid, const struct owner *o)
{
    if (getpgid(pid) == o->group || getsid(pid) == o->group)
        return true;
    for (int i = 0; i < MAX_ANCESTORS && pid > 1; i++, pid = parent_of(pid))
        if (pid == o->group)
            return true;
    return false;
}

enum owner_answer owner_of_unix(int fd, const struct owner *o)
{
    struct ucred cred;
    socklen_t len = sizeof cred;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
        return OWNER_GONE;
    if (cred.uid != o->uid)
        return OWNER_NO;
    if (cred.pid <= 0 ||
        getpgid(cred.pid) < 0) /* who listened has handed the socket on and ended */
        return OWNER_YES;
    return is_of_instance(cred.pid, o) ? OWNER_YES : OWNER_NO;
}

bool owner_parse_line(const char *line, bool six, struct owner_socket *out)
{
    char local[40], remote[40];
    unsigned port, remote_port, state, uid;
    unsigned long inode;
    int n =
        sscanf(line, " %*u: %39[0-9A-Fa-f]:%x %39[0-9A-Fa-f]:%x %x %*x:%*x %*x:%*x %*x %u %*u %lu",
               local, &port, remote, &remote_port, &state, &uid, &inode);
    size_t words = six ? 4 : 1;
    if (n != 7 || state != TCP_LISTEN_STATE || port > UINT16_MAX || strlen(local) != words * 8)
        return false;
    *out = (struct owner_socket){.port = (uint16_t)port, .uid = uid, .inode = inode};
    for (size_t i = 0; i < words; i++) { /* each word is printed as the machine reads it */
        char hex[9] = {0};
        memcpy(hex, local + i * 8, 8);
        uint32_t word = (uint32_t)strtoul(hex, NULL, 16);
        memcpy(out->address + i * 4, &word, 4);
    }
    return true;
}

unsigned owner_fit(const struct owner_socket *s, bool six, const struct addr *a)
{
    static const unsigned char zero[16], mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (s->port != addr_port(a))
        return 0;
    if (a->u.sa.sa_family == AF_INET6) {
        if (!six)
            return 0;
        return memcmp(s->address, &a->u.in6.sin6_addr, 16) == 0 ? 4
               : memcmp(s->address, zero, 16) == 0              ? 1
                                                                : 0;
    }
    const unsigned char *v4 = s->address;
    if (six) {
        if (memcmp(s->address, zero, 16) == 0)
            return 1; /* perhaps IPV6_V6ONLY, but then the connection was not accepted */
        if (memcmp(s->address, mapped, 12) != 0)
            return 0;
        v4 = s->address + 12;
    }
    return memcmp(v4, &a->u.in.sin_addr, 4) == 0 ? 4 : memcmp(v4, zero, 4) == 0 ? 2 : 0;
}

static void best_of_table(const char *path, bool six, const struct addr *a, unsigned *fit,
                          struct owner_socket *best)
{
    char line[512];
    struct owner_socket s;
    FILE *f = fopen(path, "re");
    if (!f)
        return;
    while (fgets(line, sizeof line, f))
        if (owner_parse_line(line, six, &s) && owner_fit(&s, six, a) > *fit) {
            *fit = owner_fit(&s, six, a);
            *best = s;
        }
    fclose(f);
}

/* return  1: pid has this socket; 0: it has not; -1: it may not be looked at */
static int has_socket(pid_t pid, unsigned long inode)
{
    char path[64], want[64], link[64];
    int found = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    snprintf(want, sizeof want, "socket:[%lu]", inode);
    DIR *d = opendir(path);
    if (!d)
        return errno == ENOENT ? 0 : -1;
    for (struct dirent *e; found == 0 && (e = readdir(d));) {
        ssize_t n = readlinkat(dirfd(d), e->d_name, link, sizeof link - 1);
        if (n > 0) {
            link[n] = '\0';
            found = strcmp(link, want) == 0;
        } else if (n < 0 && errno == EACCES) {
            found = -1;
        }
    }
    closedir(d);
    return found;
}

/* The uid fits: is it a process of this instance, or another one of the same user?  One that may
 * not be looked at counts as one that has it.  Mostly the first process settles it, and spares a
 * look at all others: an app may have thousands, each far down from the one that control started.
 */
static enum owner_answer search_processes(unsigned long inode, const struct owner *o)
{
    enum owner_answer answer = OWNER_NO;
    if (has_socket(o->group, inode) != 0)
        return OWNER_YES;
    DIR *d = opendir("/proc");
    if (!d)
        return OWNER_YES;
    for (struct dirent *e; answer == OWNER_NO && (e = readdir(d));) {
        pid_t pid = isdigit((unsigned char)e->d_name[0]) ? (pid_t)atoi(e->d_name) : 0;
        if (pid && is_of_instance(pid, o) && has_socket(pid, inode) != 0)
            answer = OWNER_YES;
    }
    closedir(d);
    return answer;
}

/* By the tables of all sockets, which is slow where there are many.  return  as diag_find */
static int find_listener(const struct addr *a, struct diag_socket *out)
{
    unsigned fit = 0;
    struct owner_socket s = {0};
    best_of_table("/proc/net/tcp", false, a, &fit, &s);
    best_of_table("/proc/net/tcp6", true, a, &fit, &s);
    *out = (struct diag_socket){s.uid, (uint32_t)s.inode};
    return fit ? 0 : ERR_NOTFOUND;
}

enum owner_answer owner_of_port(const struct addr *a, const struct owner *o)
{
    struct diag_socket s;
    int err = o->diag < 0 ? ERR_SYS : diag_find(o->diag, a, NULL, &s);
    if (err == ERR_SYS)
        err = find_listener(a, &s);
    if (err < 0)
        return OWNER_GONE;
    return s.uid == o->uid ? search_processes(s.inode, o) : OWNER_NO;
}
