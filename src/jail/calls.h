/* SPDX-License-Identifier: Apache-2.0 */
/* Which system calls a role may make.  Everything else ends the process. */
#ifndef JAIL_CALLS_H
#define JAIL_CALLS_H

#include "jail/jail.h"

/* The filter is in force for every thread.
 * return  0; ERR_NOTFOUND: this kernel has no filters; ERR_SYS */
int calls_restrict(enum jail_role role);

#endif
