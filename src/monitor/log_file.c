/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/log_file.h"
#include "monitor/files.h"
#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct way {
    int at;           /* the directory that was reached, O_PATH */
    struct stat here; /* that */
    unsigned links;
    char rest[PATH_MAX];   /* names that are left */
    char shared[PATH_MAX]; /* the first directory in which others can exchange what was passed */
    char *why;             /* of what is refused */
    size_t cap;
};

static void pass(struct way *w, const struct stat *entry)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", w->at);
    if (w->shared[0] || !files_is_exchangeable(link, &w->here, entry))
        return;
    ssize_t n = readlink(link, w->shared, sizeof w->shared - 1);
    w->shared[n > 0 ? n : 0] = 0;
    if (n <= 0)
        snprintf(w->shared, sizeof w->shared, "its directory");
}

/* return  false, always */
static bool fail(struct way *w)
{
    snprintf(w->why, w->cap, "%s", strerror(errno));
    return false;
}

static bool refuse(struct way *w, const char *what)
{
    snprintf(w->why, w->cap,
             "%s, and others can write to %s; remove it, or name a file on whose way only root and "
             "this user can write",
             what, w->shared);
    return false;
}

/* Goes on from there.  return  false: told */
static bool reach(struct way *w, int next)
{
    if (next < 0)
        return fail(w);
    close(w->at);
    w->at = next;
    return fstat(next, &w->here) == 0 || fail(w);
}

static bool follow(struct way *w, int link, const char *name, const char *then)
{
    char what[NAME_MAX + 64];
    snprintf(what, sizeof what, "the symbolic link %s may lead anywhere", name);
    if (w->shared[0])
        return refuse(w, what);
    errno = ELOOP;
    if (++w->links > FILES_MAX_LINKS || !files_follow(link, w->rest, then))
        return fail(w);
    return w->rest[0] != '/' || reach(w, open("/", O_PATH | O_CLOEXEC));
}

/* The first name that is left: enters it.  return  false: told */
static bool step(struct way *w, const char *name, const char *then)
{
    struct stat st;
    int next = openat(w->at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (next < 0)
        return fail(w);
    bool ok = fstat(next, &st) == 0 || fail(w);
    if (ok)
        pass(w, &st);
    if (ok && !S_ISLNK(st.st_mode)) {
        memmove(w->rest, then, strlen(then) + 1);
        return reach(w, next);
    }
    ok = ok && follow(w, next, name, then);
    close(next);
    return ok;
}

/* Into the directory of the last name, which is all that is left then.  return  false: told */
static bool approach(struct way *w)
{
    for (;;) {
        char *name = w->rest + strspn(w->rest, "/"), *end = name + strcspn(name, "/");
        const char *then = end + strspn(end, "/");
        *end = 0;
        if (!*then) {
            memmove(w->rest, name, (size_t)(end - name) + 1);
            return true;
        }
        if (!step(w, name, then))
            return false;
    }
}

/* May it be added to?  return  false: told */
static bool is_fit(struct way *w, const struct stat *st)
{
    char what[64];
    pass(w, st);
    if (S_ISLNK(st->st_mode)) {
        snprintf(w->why, w->cap, "it is a symbolic link; name the file that it leads to");
        return false;
    }
    if (!w->shared[0])
        return true;
    if (!S_ISREG(st->st_mode))
        return refuse(w, "it is not a regular file");
    if (st->st_nlink > 1)
        return refuse(w, "it has another name (a hard link)");
    snprintf(what, sizeof what, "it belongs to another user (uid %u)", (unsigned)st->st_uid);
    return files_is_ours(st->st_uid) || refuse(w, what);
}

/* Looked at first, since to open another's FIFO is to be seen; and then the file that was opened.
 * return  the descriptor, or -1: told */
static int open_last(struct way *w)
{
    const int flags = O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    struct stat st;
    int fd = openat(w->at, w->rest, flags | O_CREAT | O_EXCL, 0640);
    if (fd >= 0)
        return fd;
    if (errno == EEXIST && fstatat(w->at, w->rest, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        if (!is_fit(w, &st))
            return -1;
        fd = openat(w->at, w->rest, flags);
    }
    if (fd < 0 || fstat(fd, &st) < 0)
        fail(w);
    else if (is_fit(w, &st))
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

int log_file_open(const char *path, char *why_out, size_t cap)
{
    struct way w = {.at = open("/", O_PATH | O_CLOEXEC), .why = why_out, .cap = cap};
    int fd = -1;
    errno = ENAMETOOLONG;
    if (w.at < 0 || fstat(w.at, &w.here) < 0 || !FILES_FMT(w.rest, "%s", path))
        fail(&w);
    else if (approach(&w))
        fd = open_last(&w);
    if (w.at >= 0)
        close(w.at);
    return fd < 0 ? ERR_SYS : fd;
}
