/* SPDX-License-Identifier: Apache-2.0 */
/* From a request's target to the name of a file beneath the root, without touching the disk.
 *
 * Promises: what comes out is relative, has no empty, "." or ".." segment and no NUL, and names no
 * hidden file.  It does not know symbolic links; tree.h does. */
#ifndef STATIC_PATH_H
#define STATIC_PATH_H

#include "base/arena.h"
#include "base/slice.h"

struct static_path {
    const char *relative; /* decoded, ends with NUL, no slash at either end; "." for the root */
    bool is_directory;    /* the target ended with a slash */
    struct slice raw;     /* the target as it came, without its query */
    struct slice query;   /* with its "?", or empty */
};

/* target: origin-form, borrowed for as long as out is used.  RFC 9112 3.2.1, RFC 3986 2.1
 * return  0; ERR_BAD_TARGET: not a path, or its percent-encoding is broken or hides a NUL;
 *         ERR_NOTFOUND: nothing can be there (%2F, "//", "..", hidden files); ERR_NOMEM */
int static_path_read(struct slice target, struct arena *a, struct static_path *out);

#endif
