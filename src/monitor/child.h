/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that monitor starts: each leads a session and process group of its own, sees only the
 * descriptors meant for it, and is killed by the kernel when monitor dies. */
#ifndef MONITOR_CHILD_H
#define MONITOR_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#define CHILD_FDS       5 /* 0 to 2, the channel, one more */
#define CHILD_MAX_GROUP 2
#define CHILD_NOT_BEGUN 125 /* an exit code; 126 and 127 are the shell's, about its command */

struct child {
    struct child *next;
    pid_t pid; /* 0: none */
    /* Already reaped, its group already killed; code: -1 when by a signal.  It may free c. */
    void (*on_exit)(struct child *c, int code, int signal);
};

struct children {
    struct child *by_pid[1024]; /* chains */
    uint32_t count;
};

struct spawn {
    const char *path;
    char *const *argv;
    char *const *env;
    const char *directory; /* NULL: / */
    int fds[CHILD_FDS];    /* borrowed; -1: /dev/null for 0 to 2, none for the others */
    bool own_user;         /* become uid, gid, groups; never more than that again */
    uid_t uid;
    gid_t gid;
    gid_t groups[CHILD_MAX_GROUP];
    unsigned group_count;
    bool may_chroot; /* with own_user: once more, before it drops that, too */
    bool no_new_privs;
    mode_t umask;
    const struct rlimit *nofile; /* NULL: as monitor's */
    const struct rlimit *nproc;  /* the same */
};

/* Fork and exec.  c->on_exit is set by the caller; c is kept until it was called.  With own_user
 * what fails once it is that user's (it has all the processes that it may have, say) is told on its
 * standard error, and it ends with CHILD_NOT_BEGUN.
 * return  0, or ERR_SYS: error_out says which step failed and why */
int child_spawn(struct children *all, struct child *c, const struct spawn *s, char *error_out,
                size_t cap);
/* The same for one whose end is waited for: at most so long, then it is killed.
 * return  its exit code, or ERR_SYS: error_out says why there is none */
int child_run(const struct spawn *s, int limit_ms, char *error_out, size_t cap);
/* A process that an earlier program in our place has started; c->on_exit is set. */
void children_adopt(struct children *all, struct child *c, pid_t pid);
/* Collect what has ended, up to CHILDREN_A_TURN processes: whatever workers leave behind is ours,
 * and they may make and leave them faster than we collect.  return  true: there may be more */
#define CHILDREN_A_TURN 64u
bool children_reap(struct children *all);
/* To its whole group; nothing happens when there is no process. */
void child_signal(const struct child *c, int signal);
/* Kills all that there are.  Nobody is told of their ends: they are strays. */
void children_disown(struct children *all);
/* Processes that left their group and whose parent died have become ours (monitor is a
 * "subreaper"): at the end, kills and collects them, within some seconds at most. */
void children_end_strays(struct children *all);

#endif
