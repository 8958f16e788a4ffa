/* SPDX-License-Identifier: Apache-2.0 */
/* The access log's writer: a thread of its own, so that a slow disk or terminal never stops a loop.
 * Shards hand over whole lines; what finds no room is dropped and counted by the caller. */
#ifndef EDGE_ACCESS_LOG_H
#define EDGE_ACCESS_LOG_H

#include "base/slice.h"

/* Lines waiting for the writer beyond this are dropped. */
#define ACCESS_LOG_MAX_OCTETS (4u << 20)

struct access_log;
/* fd is given.  return  NULL when memory or threads are out (fd is then the caller's) */
struct access_log *access_log_new(int fd);
/* Writes what waits, and ends the thread.  One that has not ended after a second, as nobody reads
 * what it writes, keeps l: the end of the process is its own. */
void access_log_free(struct access_log *l);
/* Write to another descriptor (given) from now on; the old one is closed. */
void access_log_reopen(struct access_log *l, int fd);
/* lines: whole lines, borrowed.  return  0, or ERR_LIMIT: dropped.  Any thread may call. */
int access_log_write(struct access_log *l, struct slice lines);

/* How many lines the descriptor did not take since the last call: the disk is full, say. */
uint64_t access_log_lost(struct access_log *l);

#endif
