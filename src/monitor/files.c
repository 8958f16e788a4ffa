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
#include <sys/file.h>
#include <sys/stat.h>
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

int files_data_directory(const char *named, char *out, size_t cap)
{
    char path[PATH_MAX] = "";
    char real[PATH_MAX];
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

int files_lock(const char *data)
{
    char path[PATH_MAX], text[32] = "";
    if (!FILES_FMT(path, "%s/lock", data))
        return ERR_SYS;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0) {
        fprintf(stderr, "portico: cannot open %s: %s\n", path, strerror(errno));
        return ERR_SYS;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno == EWOULDBLOCK) {
            ssize_t n = pread(fd, text, sizeof text - 1, 0);
            int pid = n > 0 ? atoi(text) : 0;
            fprintf(stderr, "portico: another portico (pid %d) uses the data directory %s\n", pid,
                    data);
        } else {
            fprintf(stderr, "portico: cannot lock %s: %s\n", path, strerror(errno));
        }
        close(fd);
        return ERR_SYS;
    }
    int n = snprintf(text, sizeof text, "%d\n", (int)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n) {
        fprintf(stderr, "portico: cannot write %s: %s\n", path, strerror(errno));
        close(fd);
        return ERR_SYS;
    }
    return fd;
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
