/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/strays.h"
#include "monitor/files.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_NOTES      100000u
#define FILE_OCTETS    (1 << 20) /* beyond it the notes of what ended long ago are left out */
#define ENVIRON_OCTETS (1u << 17)
#define ROUNDS         50 /* of 10 ms: a process that forks is met again */

/* The leader of a session, as it was noted. */
struct note {
    pid_t pid;
    unsigned long long started; /* clock ticks since the machine's start */
    uid_t uid;
};

struct notes {
    struct note *v;
    uint32_t count;
};

struct process {
    pid_t session;
    unsigned long long started;
    uid_t uid;
    bool is_dead;
};

/* Process ids and start times mean nothing after a restart of the machine. */
static bool boot_id(char out[64])
{
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
    bool ok = f && fscanf(f, "%63s", out) == 1;
    if (f)
        fclose(f);
    return ok;
}

/* return  false: there is no such process */
static bool look(pid_t pid, struct process *out)
{
    char path[64], line[1024];
    struct stat st;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    size_t n = fread(line, 1, sizeof line - 1, f);
    bool ok = fstat(fileno(f), &st) == 0;
    fclose(f);
    line[n] = 0;
    char state = 0;
    int session = 0;
    /* The name may hold anything, so the fields are those behind its last parenthesis. */
    const char *rest = strrchr(line, ')');
    if (!ok || !rest ||
        sscanf(rest + 1,
               " %c %*d %*d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &state, &session, &out->started) != 3)
        return false;
    out->session = session;
    out->uid = st.st_uid;
    out->is_dead = state == 'Z' || state == 'X';
    return true;
}

static bool notes_path(char *out, size_t cap, const char *data)
{
    return files_fmt(out, cap, "%s/pids", data);
}

void strays_note(const char *data, pid_t pid, uid_t uid)
{
    char path[PATH_MAX], boot[64];
    struct process p;
    struct stat st;
    if (!notes_path(path, sizeof path, data) || !boot_id(boot) || !look(pid, &p))
        return;
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return;
    /* Start the file anew rather than let it grow for ever: of those that were noted before only
     * the ones that still run are lost, and those die with us unless they were forked from. */
    if (fstat(fd, &st) == 0 && st.st_size > FILE_OCTETS && ftruncate(fd, 0) < 0)
        log_event(LOG_WARN, "monitor.pids", "error=\"%s\"", strerror(errno));
    dprintf(fd, "%s %d %llu %u\n", boot, (int)pid, p.started, (unsigned)uid);
    close(fd);
}

static void read_notes(const char *data, struct notes *out)
{
    char path[PATH_MAX], boot[64], line[160], its_boot[64];
    int pid;
    unsigned uid;
    *out = (struct notes){0};
    if (!notes_path(path, sizeof path, data) || !boot_id(boot))
        return;
    FILE *f = fopen(path, "re");
    if (!f)
        return;
    out->v = calloc(MAX_NOTES, sizeof *out->v);
    while (out->v && out->count < MAX_NOTES && fgets(line, sizeof line, f)) {
        struct note *n = &out->v[out->count];
        if (sscanf(line, "%63s %d %llu %u", its_boot, &pid, &n->started, &uid) == 4 && pid > 1 &&
            strcmp(its_boot, boot) == 0) {
            n->pid = pid;
            n->uid = uid;
            out->count++;
        }
    }
    fclose(f);
}

/* Was it started with a socket of this data directory?  That tells workers, whatever session they
 * have made for themselves; but a program may write over its environment. */
static bool has_mark(pid_t pid, const char *mark)
{
    static char octets[ENVIRON_OCTETS];
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    size_t n = fread(octets, 1, sizeof octets - 1, f);
    fclose(f);
    octets[n] = 0;
    size_t len = strlen(mark);
    for (size_t at = 0; at < n; at += strlen(octets + at) + 1)
        if (strncmp(octets + at, mark, len) == 0)
            return true;
    return false;
}

/* Does it see our data directory by that name?  In a container another one may have it. */
static bool shares_data(pid_t pid, const char *data)
{
    char path[PATH_MAX];
    struct stat ours, its;
    return FILES_FMT(path, "/proc/%d/root%s", (int)pid, data) && stat(path, &its) == 0 &&
           stat(data, &ours) == 0 && its.st_dev == ours.st_dev && its.st_ino == ours.st_ino;
}

/* Of a session that was noted?  While a member lives, the kernel gives the session's id to nobody
 * else; once all were gone it may have been given away, so start times and users must fit.  An
 * ordinary user's own processes all have one user: there the mark must fit, too. */
static bool is_noted(const struct notes *notes, pid_t pid, const struct process *p,
                     const char *mark)
{
    for (uint32_t i = 0; i < notes->count; i++) {
        const struct note *n = &notes->v[i];
        struct process leader;
        if (n->pid != p->session || p->started < n->started || p->uid != n->uid)
            continue;
        if (pid == n->pid           ? p->started == n->started
            : look(n->pid, &leader) ? leader.started == n->started
                                    : (geteuid() == 0 && n->uid != 0) || has_mark(pid, mark))
            return true;
    }
    return false;
}

static unsigned kill_round(const struct notes *notes, const char *data, const char *mark)
{
    unsigned killed = 0;
    DIR *d = opendir("/proc");
    if (!d)
        return 0;
    for (const struct dirent *e; (e = readdir(d));) {
        pid_t pid = (pid_t)atol(e->d_name);
        struct process p;
        if (pid <= 1 || pid == getpid() || !look(pid, &p) || p.is_dead)
            continue;
        if (!is_noted(notes, pid, &p, mark) && !(has_mark(pid, mark) && shares_data(pid, data)))
            continue;
        if (kill(pid, SIGKILL) == 0) {
            log_event(LOG_WARN, "monitor.stray", "pid=%d uid=%u text=\"ended\"", (int)pid,
                      (unsigned)p.uid);
            killed++;
        }
    }
    closedir(d);
    return killed;
}

/* Apps' directories belong to their users: nothing is followed, nothing but sockets is removed. */
static void remove_sockets(const char *data)
{
    char path[PATH_MAX];
    DIR *run = FILES_FMT(path, "%s/run", data) ? opendir(path) : NULL;
    if (!run)
        return;
    for (const struct dirent *e; (e = readdir(run));) {
        if (e->d_name[0] == '.')
            continue;
        int fd = openat(dirfd(run), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        DIR *app = fd < 0 ? NULL : fdopendir(fd);
        if (!app)
            continue;
        struct stat st;
        for (const struct dirent *s; (s = readdir(app));)
            if (fstatat(dirfd(app), s->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                S_ISSOCK(st.st_mode))
                unlinkat(dirfd(app), s->d_name, 0);
        closedir(app);
        unlinkat(dirfd(run), e->d_name, AT_REMOVEDIR); /* stays when it is not empty */
    }
    closedir(run);
}

void strays_end(const char *data)
{
    char mark[PATH_MAX];
    struct notes notes;
    if (!FILES_FMT(mark, "PORTICO_SOCKET=%s/run/", data))
        return;
    read_notes(data, &notes);
    for (int i = 0; i < ROUNDS && kill_round(&notes, data, mark); i++)
        usleep(10000);
    free(notes.v);
    strays_forget(data);
    remove_sockets(data);
}

void strays_forget(const char *data)
{
    char path[PATH_MAX];
    if (notes_path(path, sizeof path, data))
        unlink(path);
}
