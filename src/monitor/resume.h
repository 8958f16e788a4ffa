/* SPDX-License-Identifier: Apache-2.0 */
/* What a monitor hands to the binary that takes its place in the same process: descriptors by their
 * numbers, processes by their ids, and the wanted state as it was committed.
 *
 * One function walks the state for writing and for reading, so the two cannot differ.  A state of
 * another RESUME_VERSION is refused: then an upgrade is not possible and a restart is needed. */
#ifndef MONITOR_RESUME_H
#define MONITOR_RESUME_H

#include <stdbool.h>

#define RESUME_VERSION 5u

struct monitor;

/* return  a sealed memfd, or ERR_NOMEM or ERR_SYS */
int resume_write(struct monitor *m);
/* Shall the descriptors that are handed over, and `fd`, survive exec? */
void resume_keep_fds(struct monitor *m, int fd, bool keep);
/* Read only, and touch nothing that is described: no process, no descriptor, no file.
 * m       all zero; resume_forget it, whatever comes out
 * return  0, or ERR_FORMAT, ERR_NOMEM or ERR_SYS */
int resume_look(struct monitor *m, int fd);
void resume_forget(struct monitor *m);
/* Take over.  m is initialised, its poller too.  return  0, or ERR_FORMAT, ERR_NOMEM or ERR_SYS */
int resume_read(struct monitor *m, int fd);

#endif
