/* SPDX-License-Identifier: Apache-2.0 */
/* What of the machine one app may have, so that the others have theirs. */
#ifndef MONITOR_SHARE_H
#define MONITOR_SHARE_H

#include <sys/resource.h>

#define SHARE_LEAST_PROCESSES 256 /* an app may have so many in any case */

/* RLIMIT_NPROC for an app's user: half of the processes and threads that the kernel, and our
 * control group (systemd's TasksMax), let all have together; or what we were started with, if that
 * is less. */
struct rlimit share_of_processes(void);
/* The same, of files below a root. */
rlim_t share_limit(const char *root);

#endif
