/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/child.h"
#include "base/err.h"
#include "base/panic.h"
#include "jail/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/*  step, what to tell about it */
#define STEP_TABLE(X)                          \
    X(FDS, "cannot prepare its descriptors")   \
    X(USER, "cannot become its user")          \
    X(LIMITS, "cannot set its limits")         \
    X(DIRECTORY, "cannot enter its directory") \
    X(EXEC, "cannot execute")

enum step {
#define X(name, text) STEP_##name,
    STEP_TABLE(X)
#undef X
};

static const char *const step_texts[] = {
#define X(name, text) text,
    STEP_TABLE(X)
#undef X
};

/* Some 600 are killed a round; those that ended before them have to be collected first. */
#define STRAY_ROUNDS 50
#define STRAY_TURNS  256

struct failure {
    int step, error;
};

static struct child **bucket(struct children *all, pid_t pid)
{
    return &all->by_pid[(unsigned)pid % ARRAY_LEN(all->by_pid)];
}

static struct child *find(const struct children *all, pid_t pid)
{
    struct child *c = all->by_pid[(unsigned)pid % ARRAY_LEN(all->by_pid)];
    while (c && c->pid != pid)
        c = c->next;
    return c;
}

/* All below runs in the child, between fork and exec. */

/* Everything goes out of the way first, so that a source is never overwritten by a target. */
static bool place_fds(const struct spawn *s, int *report)
{
    int from[CHILD_FDS];
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return false;
    for (int i = 0; i < CHILD_FDS; i++) {
        int fd = s->fds[i] >= 0 ? s->fds[i] : i < 3 ? null : -1;
        from[i] = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 2 * CHILD_FDS);
        if (fd >= 0 && from[i] < 0)
            return false;
    }
    int high = fcntl(*report, F_DUPFD_CLOEXEC, 2 * CHILD_FDS);
    if (high < 0)
        return false;
    *report = high;
    for (int i = 0; i < CHILD_FDS; i++) {
        if (from[i] < 0)
            close(i);
        else if (dup2(from[i], i) < 0)
            return false;
    }
    return close_range(CHILD_FDS, (unsigned)high - 1, 0) == 0 &&
           close_range((unsigned)high + 1, ~0u, 0) == 0;
}

static void reset_signals(void)
{
    sigset_t none;
    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_DFL); /* what cannot be set needs no reset */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* report  -1: monitor does not listen any more */
static _Noreturn void fail(int report, enum step step, const char *name)
{
    struct failure f = {(int)step, errno};
    if (report < 0)
        dprintf(STDERR_FILENO, "portico: %s %s: %s\n", step_texts[step], name, strerror(f.error));
    else if (write(report, &f, sizeof f) != (ssize_t)sizeof f)
        _exit(126);
    _exit(CHILD_NOT_BEGUN);
}

static bool become_group(const struct spawn *s)
{
    jail_drop_bounding(s->may_chroot);
    return (!s->may_chroot || prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0) &&
           setgroups(s->group_count, s->groups) == 0 && setresgid(s->gid, s->gid, s->gid) == 0;
}

static bool become_user(const struct spawn *s)
{
    if (setresuid(s->uid, s->uid, s->uid) < 0)
        return false;
    if (s->may_chroot)
        jail_keep_chroot();
    return true;
}

static _Noreturn void run(const struct spawn *s, int report, pid_t parent)
{
    if (!place_fds(s, &report))
        fail(report, STEP_FDS, "");
    setsid();
    reset_signals();
    umask(s->umask);
    if ((s->nofile && setrlimit(RLIMIT_NOFILE, s->nofile) < 0) ||
        (s->nproc && setrlimit(RLIMIT_NPROC, s->nproc) < 0) ||
        (s->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0))
        fail(report, STEP_LIMITS, "");
    if (chdir(s->directory ? s->directory : "/") < 0)
        fail(report, STEP_DIRECTORY, s->directory);
    if (s->own_user) {
        if (!become_group(s))
            fail(report, STEP_USER, "");
        /* From here on its user's other processes can stop it, and monitor must not wait. */
        close(report);
        report = -1;
        if (!become_user(s))
            fail(report, STEP_USER, "");
    }
    /* After the change of user, which clears it.  When monitor is killed with -9, this ends the
     * roles and the first process of each worker; what that one forked is then on its own, as
     * nobody is left to kill the group.  An orderly end of monitor kills whole groups. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        fail(report, STEP_LIMITS, "");
    if (getppid() != parent)
        _exit(126); /* monitor died before the line above */
    execve(s->path, s->argv, s->env);
    fail(report, STEP_EXEC, s->path);
}

/* And this in monitor again. */

/* return  the pid, or ERR_SYS: error_out says why */
static pid_t begin(const struct spawn *s, char *error_out, size_t cap)
{
    int report[2];
    pid_t self = getpid();
    if (pipe2(report, O_CLOEXEC) < 0) {
        snprintf(error_out, cap, "cannot make a pipe: %s", strerror(errno));
        return ERR_SYS;
    }
    pid_t pid = fork();
    if (pid == 0)
        run(s, report[1], self);
    int error = errno;
    close(report[1]);
    if (pid < 0) {
        close(report[0]);
        snprintf(error_out, cap, "cannot fork: %s", strerror(error));
        return ERR_SYS;
    }
    /* The pipe closes at exec, or before it has another user, so this waits for no more than the
     * child's few calls. */
    struct failure f;
    ssize_t n;
    do {
        n = read(report[0], &f, sizeof f);
    } while (n < 0 && errno == EINTR);
    close(report[0]);
    if (n == (ssize_t)sizeof f) {
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        const char *what = f.step == STEP_DIRECTORY ? s->directory
                           : f.step == STEP_EXEC    ? s->path
                                                    : NULL;
        snprintf(error_out, cap, "%s%s%s: %s",
                 (unsigned)f.step < ARRAY_LEN(step_texts) ? step_texts[f.step] : "?",
                 what ? " " : "", what ? what : "", strerror(f.error));
        return ERR_SYS;
    }
    return pid;
}

int child_spawn(struct children *all, struct child *c, const struct spawn *s, char *error_out,
                size_t cap)
{
    ASSERT(c->pid == 0 && c->on_exit);
    pid_t pid = begin(s, error_out, cap);
    if (pid < 0)
        return ERR_SYS;
    children_adopt(all, c, pid);
    return 0;
}

int child_run(const struct spawn *s, int limit_ms, char *error_out, size_t cap)
{
    int status = 0;
    pid_t pid = begin(s, error_out, cap);
    if (pid < 0)
        return ERR_SYS;
    struct pollfd end = {.fd = pidfd_open(pid, 0), .events = POLLIN};
    if (end.fd < 0 || poll(&end, 1, limit_ms) != 1)
        kill(-pid, SIGKILL);
    if (end.fd >= 0)
        close(end.fd);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    snprintf(error_out, cap, "it was ended by signal %d", WTERMSIG(status));
    return ERR_SYS;
}

void children_adopt(struct children *all, struct child *c, pid_t pid)
{
    c->pid = pid;
    c->next = *bucket(all, pid);
    *bucket(all, pid) = c;
    all->count++;
}

void child_signal(const struct child *c, int signal)
{
    /* It leads its group (setsid), and is not reaped yet, so the id is still its own. */
    if (c->pid > 0)
        kill(-c->pid, signal);
}

bool children_reap(struct children *all)
{
    for (unsigned i = 0; i < CHILDREN_A_TURN; i++) {
        /* Look first: while the leader is a zombie its id, and so the group's, cannot be taken by
         * anyone else, and what is left of the group can be killed safely. */
        siginfo_t info = {0};
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
            return false;
        pid_t pid = info.si_pid;
        struct child *c = find(all, pid);
        if (c)
            kill(-pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        if (!c)
            continue; /* a stray of a worker's that became ours */
        struct child **at = bucket(all, pid);
        while (*at != c)
            at = &(*at)->next;
        *at = c->next;
        c->next = NULL;
        c->pid = 0;
        all->count--;
        if (info.si_code == CLD_EXITED)
            c->on_exit(c, info.si_status, 0);
        else
            c->on_exit(c, -1, info.si_status);
    }
    return true;
}

/* The first of them.  return  how many */
static unsigned kill_strays(const struct children *all)
{
    char path[64], line[4096];
    unsigned killed = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    /* A line of ids; one cut at the buffer's end is met again at the next call. */
    size_t n = fread(line, 1, sizeof line - 1, f);
    fclose(f);
    line[n] = 0;
    for (char *at = line, *end;; at = end) {
        long pid = strtol(at, &end, 10);
        if (end == at || *end == 0)
            break;
        if (pid > 1 && !find(all, (pid_t)pid) && kill((pid_t)pid, SIGKILL) == 0)
            killed++;
    }
    return killed;
}

void children_disown(struct children *all)
{
    for (size_t i = 0; i < ARRAY_LEN(all->by_pid); i++) {
        for (struct child *c = all->by_pid[i]; c; c = c->next) {
            child_signal(c, SIGKILL);
            c->pid = 0;
        }
        all->by_pid[i] = NULL;
    }
    all->count = 0;
}

void children_end_strays(struct children *all)
{
    /* Those whose parents ended just now are handed to us a moment later. */
    for (int i = 0; i < STRAY_ROUNDS && (kill_strays(all) || i < 2); i++) {
        usleep(5000);
        for (int turns = 0; turns < STRAY_TURNS && children_reap(all); turns++)
            ;
    }
}
