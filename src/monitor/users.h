/* SPDX-License-Identifier: Apache-2.0 */
/* As root: a user id for each app and role, remembered in a file of the data directory.  An id is
 * never given to another name, so that files an app left behind stay out of others' reach. */
#ifndef MONITOR_USERS_H
#define MONITOR_USERS_H

#include "base/map.h"

#include <sys/types.h>

#define USERS_FIRST 64000u
/* A new data directory begins at one of these: beyond those that systemd makes up for a service
 * (61184 to 65519), and with room before those that user namespaces have (100000 on). */
#define USERS_START  66000u
#define USERS_STARTS 18000u
#define USERS_MAX    100000u
#define USERS_SPAN   (2 * USERS_MAX) /* from the first: some ids are taken by others */

struct users {
    struct map by_name; /* of struct user */
    char path[1100];
    uid_t next;
    uint32_t count;
};

/* Load the file, if there is one.
 * return  0, ERR_SYS, ERR_NOMEM, or ERR_FORMAT: someone edited it, and guessing would mix up apps
 */
int users_open(struct users *u, const char *path);
void users_close(struct users *u);
/* users_get follows for this name and for others: all of them are then written down at once. */
void users_expect(struct users *u, const char *name);
/* The id of a name ("@edge", "gallery"), a new one if need be, which is then on disk already.
 * return  0 when none could be made: errno says why, and is 0 where there are too many already */
uid_t users_get(struct users *u, const char *name);

#endif
