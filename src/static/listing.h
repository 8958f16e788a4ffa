/* SPDX-License-Identifier: Apache-2.0 */
/* A page that shows what a directory holds. */
#ifndef STATIC_LISTING_H
#define STATIC_LISTING_H

#include "base/buf.h"
#include "static/tree.h"

#define STATIC_LISTING_MAX 5000u /* entries shown; of more the page says how many there are */

/* relative: of the directory, as static_path_read makes it.  directory_fd: borrowed.  path: the
 * target's path as it came, percent-encoded, with its slash.  out: an HTML document is appended.
 * return  0, ERR_NOMEM, ERR_SYS */
int static_listing_write(struct static_tree *t, const char *relative, int directory_fd,
                         struct slice path, struct buf *out);

#endif
