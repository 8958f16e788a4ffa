/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/files.h"
#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

bool files_fmt(char *out, size_t cap, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(out, cap, fmt, ap);
    va_end(ap);
    return n >= 0 && (size_t)n < cap;
}

/* Like mkdir -p. */
static bool make_path(char *path)
{
    for (char *at = path + 1;; at++) {
        if (*at && *at != '/')
            continue;
        char saved = *at;
        *at = 0;
        bool ok = mkdir(path, 0755) == 0 || errno == EEXIST || errno == EISDIR;
        *at = saved;
        if (!ok)
            return false;
        if (!saved)
            return true;
    }
}

bool files_is_ours(uid_t uid)
{
    return uid == 0 || uid == geteuid();
}

/* Root's; or an ordinary user's own, who is often alone in it, and then makes what it may write to
 * (USERGROUPS_ENAB of login.defs(5)). */
static bool is_our_group(gid_t gid)
{
    return gid == 0 || (geteuid() != 0 && gid == getegid());
}

/* Whom an access list (acl(5)) lets write shows as the group's right, whatever the group is. */
static bool has_list(const char *path)
{
    return getxattr(path, "system.posix_acl_access", NULL, 0) > 0;
}

/* Where names are kept (sticky) others can still give root's files and links new ones there, but
 * not root's directories. */
bool files_is_exchangeable(const char *path, const struct stat *directory, const struct stat *entry)
{
    bool is_open =
        directory->st_mode & S_IWOTH ||
        (directory->st_mode & S_IWGRP && (!is_our_group(directory->st_gid) || has_list(path)));
    bool is_kept =
        directory->st_mode & S_ISVTX && S_ISDIR(entry->st_mode) && files_is_ours(entry->st_uid);
    return !files_is_ours(directory->st_uid) || (is_open && !is_kept);
}

/* Can others exchange it, what it lies in, or anything that lies in it?
 * return  false: obstacle_out names the directory that lets them */
static bool is_private(const char *path, char *obstacle_out, size_t cap)
{
    char at[PATH_MAX];
    struct stat entry = {.st_uid = (uid_t)-1}, directory; /* anybody's */
    bool ok = FILES_FMT(at, "%s", path);
    for (bool is_top = false; ok && !is_top; entry = directory) {
        ok = stat(at, &directory) == 0 && !files_is_exchangeable(at, &directory, &entry);
        if (!ok)
            snprintf(obstacle_out, cap, "%s", at);
        is_top = !at[1];
        char *slash = strrchr(at, '/');
        slash[slash == at] = 0;
    }
    return ok;
}

int files_data_directory(const char *named, char *out, size_t cap)
{
    char path[PATH_MAX] = "";
    char real[PATH_MAX], obstacle[PATH_MAX];
    struct stat st;
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    bool fits;
    if (named)
        fits = FILES_FMT(path, "%s", named);
    else if (geteuid() == 0)
        fits = FILES_FMT(path, "/var/lib/portico");
    else if (state && state[0] == '/')
        fits = FILES_FMT(path, "%s/portico", state);
    else if (home && home[0] == '/')
        fits = FILES_FMT(path, "%s/.local/state/portico", home);
    else {
        fprintf(stderr, "portico: HOME is not set; name a data directory with --data\n");
        return ERR_USAGE;
    }
    if (!fits || !path[0]) {
        fprintf(stderr, "portico: the name of the data directory is %s\n",
                fits ? "empty" : "too long");
        return ERR_USAGE;
    }
    if (!make_path(path) || !realpath(path, real) || stat(real, &st) < 0 || !S_ISDIR(st.st_mode)) {
        fprintf(stderr, "portico: cannot use the data directory %s: %s\n", path, strerror(errno));
        return ERR_SYS;
    }
    if (st.st_uid != geteuid()) {
        /* Its owner could put links where we write. */
        fprintf(stderr, "portico: the data directory %s belongs to another user (uid %u)\n", real,
                (unsigned)st.st_uid);
        return ERR_USAGE;
    }
    if (geteuid() == 0 && !is_private(real, obstacle, sizeof obstacle)) {
        fprintf(stderr,
                "portico: others than root can write to %s, and put something else in the place of "
                "the data directory %s; name another one with --data, or take that right away\n",
                obstacle, real);
        return ERR_USAGE;
    }
    if (access(real, W_OK | X_OK) < 0) {
        fprintf(stderr, "portico: cannot write to the data directory %s: %s\n", real,
                strerror(errno));
        return ERR_SYS;
    }
    if (!files_fmt(out, cap, "%s", real)) {
        fprintf(stderr, "portico: the name of the data directory is too long: %s\n", real);
        return ERR_USAGE;
    }
    return 0;
}

int files_mkdir(const char *path, mode_t mode, uid_t uid, gid_t gid)
{
    if (mkdir(path, mode & 0777) < 0 && errno != EEXIST)
        return ERR_SYS;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return ERR_SYS;
    /* chown may clear the set-group-ID bit, so the mode comes last */
    bool ok = fchown(fd, uid, gid) == 0 && fchmod(fd, mode) == 0;
    int saved = errno;
    close(fd);
    errno = saved;
    return ok ? 0 : ERR_SYS;
}

/* Whose links were followed: root's do not count, all others must be one user's. */
static bool note_owner(const struct stat *link, uid_t *owner)
{
    if (*owner == 0)
        *owner = link->st_uid;
    return link->st_uid == 0 || link->st_uid == *owner;
}

bool files_follow(int link, char rest[PATH_MAX], const char *then)
{
    char target[PATH_MAX], whole[PATH_MAX];
    ssize_t n = readlinkat(link, "", target, sizeof target - 1);
    if (n <= 0)
        return false;
    target[n] = 0;
    errno = ENAMETOOLONG;
    return FILES_FMT(whole, "%s%s%s", target, *then ? "/" : "", then) &&
           files_fmt(rest, PATH_MAX, "%s", whole);
}

int files_open(const char *path, int flags)
{
    char rest[PATH_MAX];
    struct stat st;
    uid_t owner = 0;
    if (geteuid() != 0) /* what it may read is its user's to read */
        return open(path, flags | O_CLOEXEC);
    errno = ENAMETOOLONG;
    int at = FILES_FMT(rest, "%s", path) ? open("/", O_PATH | O_CLOEXEC) : -1;
    for (unsigned links = 0; at >= 0;) {
        char *name = rest + strspn(rest, "/"), *end = name + strcspn(name, "/");
        const char *then = end + strspn(end, "/");
        *end = 0;
        int next = openat(at, *name ? name : ".", O_PATH | O_NOFOLLOW | O_CLOEXEC);
        bool ok = next >= 0 && fstat(next, &st) == 0, is_last = false;
        if (ok && S_ISLNK(st.st_mode)) {
            errno = ELOOP;
            ok = ++links <= FILES_MAX_LINKS && note_owner(&st, &owner) &&
                 files_follow(next, rest, then);
            close(next);
            next = !ok              ? -1
                   : rest[0] == '/' ? open("/", O_PATH | O_CLOEXEC)
                                    : fcntl(at, F_DUPFD_CLOEXEC, 0);
        } else if (ok && (is_last = !*then)) {
            close(next);
            errno = ELOOP; /* another's FIFO would keep us, and a device may take it for an order */
            if (owner != 0 && st.st_uid != owner)
                next = -1;
            else /* by name again, but not through a link that stands there meanwhile */
                next = openat(at, *name ? name : ".", flags | O_NOFOLLOW | O_CLOEXEC);
        } else {
            memmove(rest, then, strlen(then) + 1);
        }
        int error = errno;
        close(at);
        errno = error;
        at = next;
        if (is_last)
            break;
    }
    if (at >= 0 && owner != 0 && (fstat(at, &st) < 0 || st.st_uid != owner)) {
        close(at);
        errno = ELOOP;
        return -1;
    }
    return at;
}

const char *files_why(int error)
{
    return error == ELOOP ? "a link leads from one user's files to another's, or too far"
                          : strerror(error);
}

/* A record lock, not flock(2): what is forked does not have it, so that it ends with monitor though
 * a child has not come to its exec yet. */
static struct flock whole_file(void)
{
    return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
}

/* Who may open the file may lock it against us, an app's worker that outlives its monitor, say. */
int files_hold_lock(int fd)
{
    struct flock lock = whole_file();
    return fchmod(fd, 0600) < 0 || fcntl(fd, F_SETLK, &lock) < 0 ? ERR_SYS : 0;
}

int files_lock(const char *data)
{
    char path[PATH_MAX];
    if (!FILES_FMT(path, "%s/lock", data))
        return ERR_SYS;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        fprintf(stderr, "portico: cannot open %s: %s\n", path, strerror(errno));
        return ERR_SYS;
    }
    if (files_hold_lock(fd) == 0)
        return fd;
    if (errno == EAGAIN || errno == EACCES)
        fprintf(stderr, "portico: another portico (pid %d) uses the data directory %s\n",
                (int)files_lock_holder(data), data);
    else
        fprintf(stderr, "portico: cannot lock %s: %s\n", path, strerror(errno));
    close(fd);
    return ERR_SYS;
}

pid_t files_lock_holder(const char *data)
{
    char path[PATH_MAX];
    struct flock lock = whole_file();
    if (!FILES_FMT(path, "%s/lock", data))
        return 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return 0;
    bool is_held = fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    close(fd);
    return is_held ? lock.l_pid : 0;
}

int files_check_reachable(const char *path, char *obstacle_out, size_t cap)
{
    char at[PATH_MAX];
    struct stat st;
    if (!FILES_FMT(at, "%s", path))
        return ERR_USAGE;
    for (;;) {
        if (stat(at, &st) < 0 || !S_ISDIR(st.st_mode) || !(st.st_mode & S_IXOTH)) {
            snprintf(obstacle_out, cap, "%s", at);
            return ERR_USAGE;
        }
        char *slash = strrchr(at, '/');
        if (!slash || slash == at)
            return 0;
        *slash = 0;
    }
}

static bool copy_program(const char *to)
{
    struct stat st;
    int in = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0755);
    bool ok = in >= 0 && out >= 0 && fstat(in, &st) == 0;
    for (off_t at = 0; ok && at < st.st_size;)
        ok = sendfile(out, in, &at, (size_t)(st.st_size - at)) > 0;
    ok = ok && fchmod(out, 0755) == 0;
    if (in >= 0)
        close(in);
    if (out >= 0 && close(out) < 0)
        ok = false;
    return ok;
}

/* Where our program lies now: an upgrade may have put a newer one in its place.
 * return  false when nobody but us can run that */
static bool find_program(char *out, size_t cap, bool to_others)
{
    static const char gone[] = " (deleted)";
    char directory[PATH_MAX], obstacle[PATH_MAX];
    struct stat st;
    ssize_t n = readlink("/proc/self/exe", out, cap - 1);
    if (n <= 0 || (size_t)n >= cap - 1)
        return false;
    out[n] = 0;
    if ((size_t)n > sizeof gone && strcmp(out + n - (sizeof gone - 1), gone) == 0)
        out[(size_t)n - (sizeof gone - 1)] = 0;
    if (stat(out, &st) < 0 || !FILES_FMT(directory, "%s", out))
        return false;
    *strrchr(directory, '/') = 0;
    return !to_others ||
           ((st.st_mode & (S_IROTH | S_IXOTH)) == (S_IROTH | S_IXOTH) &&
            (!directory[0] || files_check_reachable(directory, obstacle, sizeof obstacle) == 0));
}

int files_offer_program(const char *directory, bool to_others)
{
    char program[PATH_MAX], path[PATH_MAX], made[PATH_MAX];
    if (!FILES_FMT(path, "%s/portico", directory) || !FILES_FMT(made, "%s/.portico", directory) ||
        files_mkdir(directory, 0755, (uid_t)-1, (gid_t)-1) < 0)
        return ERR_SYS;
    unlink(made); /* of one that was killed in between */
    bool ok = find_program(program, sizeof program, to_others) ? symlink(program, made) == 0
                                                               : copy_program(made);
    return ok && rename(made, path) == 0 ? 0 : ERR_SYS;
}
