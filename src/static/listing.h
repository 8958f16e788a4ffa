/* SPDX-License-Identifier: Apache-2.0 */
/* A page that shows what a directory holds. */
#ifndef STATIC_LISTING_H
#define STATIC_LISTING_H

#include "base/buf.h"
#include "static/tree.h"

/* Entries that are looked at, and octets of their rows: a directory of a million would hold the
 * loop for seconds each time, and octets of a name can become six.  Where that ends the page says
 * that there are more. */
#define STATIC_LISTING_MAX    5000u
#define STATIC_LISTING_OCTETS (1u << 20)
/* Of pages that are held, for clients that do not take them; beyond it there is no other one. */
#define STATIC_LISTED_OCTETS (32u << 20)

/* relative: of the directory, as static_path_read makes it.  directory_fd: borrowed.  path: the
 * target's path as it came, percent-encoded, with its slash.  out: an HTML document is appended.
 * return  0, ERR_NOMEM, ERR_SYS */
int static_listing_write(struct static_tree *t, const char *relative, int directory_fd,
                         struct slice path, struct buf *out);

#endif
