/* SPDX-License-Identifier: Apache-2.0 */
/* What a role gives up for good once it has what it needs, so that whoever takes it over by an
 * octet from the network has little in hand: new privileges, capabilities, files, every system call
 * that its work does not need.
 *
 * A mechanism that the machine lacks is left out, and one line of the log at the start names it.
 * Builds with sanitizers are jailed too, but those read /proc and files of their own when they
 * report: such a build keeps its root and may read files. */
#ifndef JAIL_JAIL_H
#define JAIL_JAIL_H

#include <stdbool.h>

enum jail_role { JAIL_EDGE, JAIL_CONTROL };

struct jail {
    enum jail_role role;
    const char *root; /* becomes "/": a directory; NULL: the root stays */
    bool may_unshare; /* if need be in a user namespace of its own: other users then look alike */
    const char *readable; /* files may be read below this directory; NULL: none may be opened */
    bool is_open;         /* no rules about files: readable is not looked at */
    const char *why_open; /* why not, for the log */
    bool has_secrets;     /* no core, no memory that another process of the user may read */
};

/* Call it while the process has one thread; those it makes later are jailed with it.
 * root_out  whether root is "/" now
 * return  0, or ERR_SYS: told, and the role must not go on */
int jail_enter(const struct jail *j, bool *root_out);

/* For who starts a process, between fork and exec, as root, before the change of user: no program
 * that it executes can ever have a capability.  Where that may not be done, nothing happens.
 * may_chroot  but for the one that jail_enter needs for a root of its own: jail_keep_chroot must
 *             follow the change of user */
void jail_drop_bounding(bool may_chroot);
/* That one capability stays over exec, all others are gone; all are, when we do not have it.
 * PR_SET_KEEPCAPS was set before the change of user. */
void jail_keep_chroot(void);

#endif
