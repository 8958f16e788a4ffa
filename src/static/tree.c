/* SPDX-License-Identifier: Apache-2.0 */
#include "static/tree.h"
#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOOK_US   1000000u
#define RACES_MAX 8 /* a rename elsewhere makes the kernel unsure whether ".." led out */

/* Without O_NONBLOCK a named pipe would hold the whole loop. */
#define OPEN_FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

int static_tree_open(struct static_tree *t, const char *directory)
{
    struct stat st;
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return ERR_SYS;
    if (fstat(fd, &st) < 0) {
        close(fd);
        return ERR_SYS;
    }
    *t = (struct static_tree){
        .fd = fd, .directory = directory, .device = st.st_dev, .inode = st.st_ino};
    return 0;
}

void static_tree_close(struct static_tree *t)
{
    close(t->fd);
    t->fd = -1;
}

void static_tree_refresh(struct static_tree *t, uint64_t now_us)
{
    struct static_tree now;
    struct stat st;
    if (now_us - t->looked_us < LOOK_US)
        return;
    t->looked_us = now_us;
    if (stat(t->directory, &st) < 0 || (st.st_dev == t->device && st.st_ino == t->inode))
        return;
    if (static_tree_open(&now, t->directory) < 0)
        return; /* what is open stays */
    now.looked_us = now_us;
    now.without_openat2 = t->without_openat2;
    static_tree_close(t);
    *t = now;
}

static int open_beneath(int root, const char *relative)
{
    struct open_how how = {.flags = OPEN_FLAGS, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    long fd = -1;
    for (int race = 0; race < RACES_MAX; race++) {
        fd = syscall(SYS_openat2, root, relative, &how, sizeof how);
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            break;
    }
    return (int)fd;
}

/* relative has no "..", so without links nothing leads out. */
static int open_by_steps(int root, const char *relative)
{
    char name[NAME_MAX + 1];
    int at = root;
    for (;;) {
        size_t n = strcspn(relative, "/");
        bool is_last = relative[n] == '\0';
        if (n > NAME_MAX) {
            if (at != root)
                close(at);
            errno = ENAMETOOLONG;
            return -1;
        }
        memcpy(name, relative, n);
        name[n] = '\0';
        int flags = OPEN_FLAGS | O_NOFOLLOW | (is_last ? 0 : O_DIRECTORY);
        int fd = openat(at, name, flags);
        int saved = errno;
        if (at != root)
            close(at);
        errno = saved;
        if (fd < 0 || is_last)
            return fd;
        at = fd;
        relative += n + 1;
    }
}

static int open_in(struct static_tree *t, const char *relative)
{
    if (!t->without_openat2) {
        int fd = open_beneath(t->fd, relative);
        /* An older kernel does not know the call; a filter may answer it with EPERM, which opening
         * for reading has no other use for. */
        if (fd >= 0 || (errno != ENOSYS && errno != EPERM))
            return fd;
        t->without_openat2 = true;
    }
    return open_by_steps(t->fd, relative);
}

enum static_found static_tree_get(struct static_tree *t, const char *relative, int *fd_out,
                                  struct stat *st_out)
{
    int fd = open_in(t, relative);
    if (fd < 0) {
        switch (errno) {
        case EMFILE:
        case ENFILE:
        case ENOMEM:
        case EAGAIN:
        case EINTR:
            return STATIC_BUSY;
        case EACCES:
        case EPERM:
            return STATIC_FORBIDDEN;
        default:
            return STATIC_NOTHING;
        }
    }
    if (fstat(fd, st_out) == 0 && (S_ISREG(st_out->st_mode) || S_ISDIR(st_out->st_mode))) {
        *fd_out = fd;
        return S_ISREG(st_out->st_mode) ? STATIC_FILE : STATIC_DIRECTORY;
    }
    close(fd);
    return STATIC_NOTHING;
}
