/* SPDX-License-Identifier: Apache-2.0 */
/* A file that root adds to, wherever the operator wants it.  Who else can write to a directory on
 * the way could put a link there, and have root write to any file of the machine. */
#ifndef MONITOR_LOG_FILE_H
#define MONITOR_LOG_FILE_H

#include <stddef.h>

#define LOG_FILE_WHY_OCTETS 1024

/* Opens or makes (0640) the file at an absolute path, to add to it.  Directories and links that
 * only root and we can exchange are as good as the operator's word.  From the first that others can
 * exchange on no link is followed, and a file that is there already must be a regular one, with one
 * name, and ours: more they cannot have.  The last name is never a link.
 * return  the descriptor, close-on-exec and non-blocking; or ERR_SYS: why_out says why */
int log_file_open(const char *path, char *why_out, size_t cap);

#endif
