/* SPDX-License-Identifier: Apache-2.0 */
/* An app's files, copied for its user by root.  The directory may belong to somebody who would like
 * to read what only root may: nothing here walks by a name whose meaning others can change.
 * Directories are entered by descriptor and never through a link; of the path that the manifest
 * names a link is followed only where it is root's, or belongs to who owns what it leads to. */
#include "monitor/files.h"
#include "monitor/monitor.h"
#include "base/clock.h"

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

#define MAX_DEPTH  200 /* directories in each other: three descriptors each */
#define MAX_BEFORE 100 /* that could not be removed */

const struct copy_limits copy_limits_default = {
    .octets = UINT64_C(16) << 30,
    .entries = 1000000,
    .removal_ms = 10000,
};

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
    struct stat made;         /* what the copy goes to */
    struct copy_limits left;  /* of what may be copied */
    struct copy_limits limit; /* of that, at the beginning */
};

/* return  false: told */
static bool take(struct copy *c, uint64_t octets, uint32_t entries)
{
    if (octets > c->left.octets || entries > c->left.entries) {
        fprintf(stderr,
                "portico: the app's directory is too large to be copied: more than %llu octets or "
                "%u entries\n",
                (unsigned long long)c->limit.octets, c->limit.entries);
        return false;
    }
    c->left.octets -= octets;
    c->left.entries -= entries;
    return true;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

static bool copy_range(int in, int out, off_t at, off_t end)
{
    off_t to = at;
    while (at < end) {
        ssize_t n = copy_file_range(in, &at, out, &to, (size_t)(end - at), 0);
        if (n < 0) { /* between these file systems, or not of this kernel */
            size_t most = end - at < 1 << 30 ? (size_t)(end - at) : 1 << 30;
            n = lseek(out, to, SEEK_SET) < 0 ? -1 : sendfile(out, in, &at, most);
            to = at;
        }
        if (n == 0) /* it is shorter now */
            return true;
        if (n < 0 && errno != EINTR)
            return false;
    }
    return true;
}

/* As much as it was when it was opened, however it grows.  A hole stays one: its owner has it for
 * nothing.  return  false: told */
static bool copy_octets(struct copy *c, int in, int out, off_t size, const char *name)
{
    for (off_t hole = 0; hole < size;) {
        off_t data = lseek(in, hole, SEEK_DATA);
        if ((data < 0 && errno == ENXIO) || data >= size) /* the rest is one */
            break;
        if (data < 0) /* this file system cannot tell */
            data = hole;
        hole = lseek(in, data, SEEK_HOLE);
        if (hole <= data || hole > size) /* nor this one, or it changes just now */
            hole = size;
        if (!take(c, (uint64_t)(hole - data), 0))
            return false;
        if (!copy_range(in, out, data, hole))
            return tell("copy", name);
    }
    return ftruncate(out, size) == 0 || tell("copy", name);
}

/* The owner comes last: until then nobody else may open it. */
static bool finish(const struct copy *c, int fd, const struct stat *from)
{
    const struct timespec times[2] = {from->st_atim, from->st_mtim};
    return futimens(fd, times) == 0 && fchmod(fd, from->st_mode & 0777) == 0 &&
           fchown(fd, c->user, c->user) == 0;
}

static bool copy_file(struct copy *c, int from, int to, const char *name)
{
    struct stat st;
    int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    int out = -1;
    bool ok = (in >= 0 && fstat(in, &st) == 0) || tell("copy", name);
    if (ok && S_ISREG(st.st_mode)) {
        out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        ok = (out >= 0 || tell("copy", name)) && copy_octets(c, in, out, st.st_size, name) &&
             (finish(c, out, &st) || tell("copy", name));
    }
    if (out >= 0 && close(out) < 0)
        ok = tell("copy", name);
    if (in >= 0)
        close(in);
    return ok;
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
    if (!take(c, 0, 1))
        return false;
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

/* But for a directory that is not empty.  Also what is not there at all. */
static bool remove_one(int at, const char *name)
{
    return unlinkat(at, name, 0) == 0 || errno == ENOENT || unlinkat(at, name, AT_REMOVEDIR) == 0;
}

/* From then on nobody else makes anything in it, though he be in it already: who may is asked at
 * each name that is made. */
static int enter_alone(int at, const char *name)
{
    int fd = openat(at, name, ENTER);
    if (fd < 0 || (fchown(fd, 0, 0) == 0 && fchmod(fd, 0700) == 0))
        return fd;
    close(fd);
    return -1;
}

struct removal {
    uint64_t until_us;
    unsigned lifted;
};

/* Under a name that is free there, whatever the directory's owner has made. */
static bool move_up(int from, const char *name, int top, struct removal *r)
{
    char up[16];
    while (clock_mono_us() < r->until_us) {
        snprintf(up, sizeof up, ".%u", ++r->lifted);
        if (renameat(from, name, top, up) == 0)
            return true;
        if (errno != ENOTEMPTY && errno != EEXIST && errno != ENOTDIR)
            return false;
    }
    return false;
}

/* Of a directory in top: what is in it and can be, is removed, and all else goes up into top.
 * return  false: not all */
static bool lift(int top, const char *name, struct removal *r)
{
    int fd = enter_alone(top, name);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    bool ok = d != NULL;
    for (const struct dirent *e; ok && (e = readdir(d));) {
        ok = is_self(e->d_name) || remove_one(fd, e->d_name) || move_up(fd, e->d_name, top, r);
    }
    if (d)
        closedir(d);
    else if (fd >= 0)
        close(fd);
    return ok;
}

/* Directories in each other cost their owner nothing: no descriptor is held for each. */
static bool remove_entry(int at, const char *name, uint64_t until_us)
{
    if (remove_one(at, name))
        return true;
    int fd = enter_alone(at, name);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    struct removal r = {.until_us = until_us};
    bool ok = d != NULL;
    for (bool found = true; ok && found; rewinddir(d)) {
        found = false;
        for (const struct dirent *e; ok && (e = readdir(d));) {
            if (is_self(e->d_name) || remove_one(fd, e->d_name))
                continue;
            found = true;
            ok = lift(fd, e->d_name, &r) && remove_one(fd, e->d_name);
        }
    }
    if (d)
        closedir(d);
    else if (fd >= 0)
        close(fd);
    return ok && unlinkat(at, name, AT_REMOVEDIR) == 0;
}

/* The number'th name for what was there before.  return  false: it is too long */
static bool before_name(char out[NAME_MAX], const char *name, unsigned number)
{
    return number ? files_fmt(out, NAME_MAX, "%s.old.%u", name, number)
                  : files_fmt(out, NAME_MAX, "%s.old", name);
}

/* return  false: not all */
static bool remove_before(int at, const char *name, uint64_t until_us)
{
    char before[NAME_MAX];
    bool ok = true;
    for (unsigned i = 0; i < MAX_BEFORE && before_name(before, name, i); i++)
        ok = remove_entry(at, before, until_us) && ok;
    return ok;
}

static bool set_aside(int at, const char *name)
{
    char before[NAME_MAX];
    for (unsigned i = 0; i < MAX_BEFORE && before_name(before, name, i); i++) {
        if (renameat(at, name, at, before) == 0 || errno == ENOENT)
            return true;
        if (errno != ENOTEMPTY && errno != EEXIST)
            return false;
    }
    return false;
}

static uint64_t removal_end(const struct copy_limits *limits)
{
    return clock_mono_us() + limits->removal_ms * UINT64_C(1000);
}

/* The copy is made beside the one before, which workers may still run in, and takes its place. */
int monitor_copy(const char *from, const char *to, const char *user,
                 const struct copy_limits *limits)
{
    char parent[PATH_MAX], made[NAME_MAX];
    struct copy c = {.user = (uid_t)strtoul(user, NULL, 10), .left = *limits, .limit = *limits};
    const char *name = strrchr(to, '/');
    if (!name || !FILES_FMT(parent, "%.*s", (int)(name - to), to) ||
        !FILES_FMT(made, "%s.new", ++name))
        return 1;
    int in = files_open(from, ENTER), at = -1, out = -1;
    bool ok = in >= 0 || tell("copy", from);
    ok = ok && ((at = open(parent, ENTER)) >= 0 || tell("make", to));
    if (ok)
        remove_before(at, name, removal_end(limits)); /* it may have filled the disk */
    ok = ok && ((remove_entry(at, made, removal_end(limits)) && mkdirat(at, made, 0700) == 0 &&
                 (out = openat(at, made, ENTER)) >= 0 && fstat(out, &c.made) == 0) ||
                tell("make", to));
    ok = ok && copy_directory(&c, in, out) &&
         ((set_aside(at, name) && renameat(at, made, at, name) == 0) || tell("replace", to));
    if (ok && !remove_before(at, name, removal_end(limits)))
        fprintf(stderr, "portico: not all of what was in %s before could be removed\n", to);
    if (!ok && out >= 0)
        remove_entry(at, made, removal_end(limits)); /* the same */
    const int fds[] = {in, at, out};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    return ok ? 0 : 1;
}
