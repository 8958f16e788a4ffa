/* SPDX-License-Identifier: Apache-2.0 */
/* The process that starts, watches and stops all others.  It may be root, so it is small, reads
 * nothing from the network and no manifest: what is wanted comes from control and is checked again.
 * It holds what must outlive its children: listening sockets, the route snapshot, the counters. */
#ifndef MONITOR_MONITOR_H
#define MONITOR_MONITOR_H

#include <stdint.h>

struct monitor_options {
    const char *manifest; /* as the operator wrote it */
    const char *data;     /* the data directory; NULL: the default */
    int resume_fd;        /* what an earlier program in this process hands over; -1: nothing */
};

/* Runs until a signal or control ends it.  return  the exit code: 0; 2 when it could not start for
 * a reason that the operator was told; else 1 */
int monitor_main(const struct monitor_options *options);
/* `portico upgrade`: tell the portico that uses this data directory (NULL: the default), and wait
 * for what becomes of it.  return  the exit code: 0; 1 what ran goes on; 2 none runs there; told */
int monitor_ask_upgrade(const char *data);
/* `portico role check-resume`: could this program take over what fd describes?
 * return  the exit code: 0, or 1 and told on standard error */
int monitor_check_resume(int fd);
/* An app's directory may be its own to fill, the machine's disk is not. */
struct copy_limits {
    uint64_t octets;  /* of files, holes not counted */
    uint32_t entries; /* files, directories and links */
    /* For the directories in each other of the copy before: whoever makes one more for each that is
     * removed is left behind, until the next copy. */
    uint32_t removal_ms;
};
extern const struct copy_limits copy_limits_default;
/* `portico role copy`, as root: the copy of an app's directory that its workers run in, in the
 * place of the one before.  Only what lies in the directory itself is copied, whatever links its
 * owner puts anywhere while it is under way; what is no file, directory or link is left out.
 * from    absolute; a link in it is followed only where it is root's or of the directory's owner
 * to      in a directory that is root's
 * user    user and group that get it, as a number
 * return  the exit code: 0, or 1: told, and what was there before is still there */
int monitor_copy(const char *from, const char *to, const char *user,
                 const struct copy_limits *limits);

#endif
