/* SPDX-License-Identifier: Apache-2.0 */
/* An app's files, copied for its user by root.  The directory may belong to somebody who would like
 * to read what only root may: nothing here walks by a name whose meaning others can change.
 * Directories are entered by descriptor and never through a link; of the path that the manifest
 * names a link is followed only where it is root's, or belongs to who owns what it leads to. */
#include "monitor/files.h"
#include "monitor/monitor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_DEPTH 200 /* directories in each other: three descriptors each */

#define ENTER (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* return  false, always */
static bool tell(const char *what, const char *name)
{
    fprintf(stderr, "portico: cannot %s %s: %s\n", what, name, files_why(errno));
    return false;
}

static bool is_self(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* ---- copying ---- */

struct copy {
    uid_t user;
    unsigned depth;
    struct stat made; /* what the copy goes to */
};

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

static bool copy_octets(int in, int out)
{
    for (;;) {
        ssize_t n = copy_file_range(in, NULL, out, NULL, SSIZE_MAX, 0);
        if (n < 0) /* between these file systems, or not of this kernel */
            n = sendfile(out, in, NULL, 1 << 30);
        if (n == 0)
            return true;
        if (n < 0 && errno != EINTR)
            return false;
    }
}

/* The owner comes last: until then nobody else may open it. */
static bool finish(const struct copy *c, int fd, const struct stat *from)
{
    const struct timespec times[2] = {from->st_atim, from->st_mtim};
    return futimens(fd, times) == 0 && fchmod(fd, from->st_mode & 0777) == 0 &&
           fchown(fd, c->user, c->user) == 0;
}

static bool copy_file(const struct copy *c, int from, int to, const char *name)
{
    struct stat st;
    int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    int out = -1;
    bool ok = in >= 0 && fstat(in, &st) == 0;
    if (ok && S_ISREG(st.st_mode)) {
        out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        ok = out >= 0 && copy_octets(in, out) && finish(c, out, &st);
    }
    if (out >= 0 && close(out) < 0)
        ok = false;
    if (in >= 0)
        close(in);
    return ok || tell("copy", name);
}

static bool copy_link(const struct copy *c, int from, int to, const char *name,
                      const struct stat *st)
{
    char target[PATH_MAX];
    const struct timespec times[2] = {st->st_atim, st->st_mtim};
    ssize_t n = readlinkat(from, name, target, sizeof target - 1);
    if (n > 0)
        target[n] = 0;
    return (n > 0 && symlinkat(target, to, name) == 0 &&
            utimensat(to, name, times, AT_SYMLINK_NOFOLLOW) == 0 &&
            fchownat(to, name, c->user, c->user, AT_SYMLINK_NOFOLLOW) == 0) ||
           tell("copy the link", name);
}

static bool copy_directory(struct copy *c, int from, int to);

/* What is no file, directory or link is left out. */
static bool copy_entry(struct copy *c, int from, int to, const char *name)
{
    struct stat st;
    if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return tell("copy", name);
    if (S_ISLNK(st.st_mode))
        return copy_link(c, from, to, name, &st);
    if (S_ISREG(st.st_mode))
        return copy_file(c, from, to, name);
    if (!S_ISDIR(st.st_mode))
        return true;
    int in = openat(from, name, ENTER), out = -1;
    bool ok = in >= 0 && mkdirat(to, name, 0700) == 0 && (out = openat(to, name, ENTER)) >= 0;
    if (!ok)
        tell("copy", name);
    ok = ok && copy_directory(c, in, out);
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    return ok;
}

static bool copy_directory(struct copy *c, int from, int to)
{
    struct stat st;
    if (fstat(from, &st) == 0 && is_same(&st, &c->made)) {
        fprintf(stderr, "portico: the app's directory holds the data directory: it would be copied "
                        "into itself\n");
        return false;
    }
    int listed = fcntl(from, F_DUPFD_CLOEXEC, 0);
    DIR *d = c->depth < MAX_DEPTH && listed >= 0 ? fdopendir(listed) : NULL;
    if (!d) {
        if (c->depth >= MAX_DEPTH)
            errno = ELOOP;
        tell("read", "a directory");
        if (listed >= 0)
            close(listed);
        return false;
    }
    bool ok = true;
    c->depth++;
    for (const struct dirent *e; ok && (errno = 0, e = readdir(d));)
        ok = is_self(e->d_name) || copy_entry(c, from, to, e->d_name);
    c->depth--;
    if (ok && errno)
        ok = tell("read", "a directory");
    closedir(d);
    return ok && ((fstat(from, &st) == 0 && finish(c, to, &st)) || tell("finish", "a directory"));
}

/* ---- what was there before ---- */

/* Also what is not there at all. */
static bool remove_entry(int at, const char *name)
{
    if (unlinkat(at, name, 0) == 0 || errno == ENOENT)
        return true;
    int fd = openat(at, name, ENTER);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    bool ok = d != NULL;
    for (const struct dirent *e; ok && (e = readdir(d));)
        ok = is_self(e->d_name) || remove_entry(dirfd(d), e->d_name);
    if (d)
        closedir(d);
    else if (fd >= 0)
        close(fd);
    return ok && unlinkat(at, name, AT_REMOVEDIR) == 0;
}

/* The copy is made beside the one before, which workers may still run in, and takes its place. */
static bool replace(int at, const char *made, const char *name, const char *before)
{
    return (renameat(at, name, at, before) == 0 || errno == ENOENT) &&
           renameat(at, made, at, name) == 0 && remove_entry(at, before);
}

int monitor_copy(const char *from, const char *to, const char *user)
{
    char parent[PATH_MAX], made[NAME_MAX + 8], before[NAME_MAX + 8];
    struct copy c = {.user = (uid_t)strtoul(user, NULL, 10)};
    const char *name = strrchr(to, '/');
    if (!name || !FILES_FMT(parent, "%.*s", (int)(name - to), to) ||
        !FILES_FMT(made, "%s.new", ++name) || !FILES_FMT(before, "%s.old", name))
        return 1;
    int in = files_open(from, ENTER), at = -1, out = -1;
    bool ok = in >= 0 || tell("copy", from);
    ok = ok && (((at = open(parent, ENTER)) >= 0 && remove_entry(at, made) &&
                 remove_entry(at, before) && mkdirat(at, made, 0700) == 0 &&
                 (out = openat(at, made, ENTER)) >= 0 && fstat(out, &c.made) == 0) ||
                tell("make", to));
    ok = ok && copy_directory(&c, in, out) &&
         (replace(at, made, name, before) || tell("replace", to));
    const int fds[] = {in, at, out};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    return ok ? 0 : 1;
}
