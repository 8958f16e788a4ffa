/* SPDX-License-Identifier: Apache-2.0 */
/* The directory that is served, and the way to a file in it that no path and no symbolic link leads
 * out of.  Every file is opened beneath one descriptor; the kernel keeps the promise (openat2(2)).
 * Where it cannot, each segment is opened by itself and no link is followed at all. */
#ifndef STATIC_TREE_H
#define STATIC_TREE_H

#include "base/slice.h"

#include <sys/stat.h>

struct static_tree {
    int fd;
    const char *directory; /* as it was named; borrowed */
    dev_t device;
    ino_t inode;
    uint64_t looked_us;
    bool without_openat2; /* this kernel, or a filter, has none; tests set it */
};

enum static_found {
    STATIC_FILE,      /* a regular file; *fd_out is the caller's */
    STATIC_DIRECTORY, /* likewise */
    STATIC_NOTHING,   /* not there, or nothing that is shown: a device, a way out */
    STATIC_FORBIDDEN, /* the file's rights */
    STATIC_BUSY,      /* descriptors or memory are out */
};

/* directory: kept until static_tree_close.  return  0 or ERR_SYS with errno */
int static_tree_open(struct static_tree *t, const char *directory);
void static_tree_close(struct static_tree *t);
/* Once a second at most: when the name leads to another directory now, as after a build that
 * replaces it whole, that one is served. */
void static_tree_refresh(struct static_tree *t, uint64_t now_us);
/* relative: as static_path_read makes it.  Outputs are set with STATIC_FILE and STATIC_DIRECTORY.
 */
enum static_found static_tree_get(struct static_tree *t, const char *relative, int *fd_out,
                                  struct stat *st_out);

#endif
