/* SPDX-License-Identifier: Apache-2.0 */
/* When monitor is killed, the kernel kills the processes that it started, but not those that these
 * had forked (gunicorn's workers, a shell's children): nobody is left who could.  So each start is
 * noted in `pids` of the data directory, and the next `portico up` there ends what is left. */
#ifndef MONITOR_STRAYS_H
#define MONITOR_STRAYS_H

#include <sys/types.h>

/* Note a process, which leads a session of its own. */
void strays_note(const char *data, pid_t pid, uid_t uid);
/* End what an earlier monitor of this data directory has left behind, and remove its sockets.  The
 * caller holds the lock, so that monitor is gone. */
void strays_end(const char *data);
/* An orderly end: nothing is left. */
void strays_forget(const char *data);

#endif
