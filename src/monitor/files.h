/* SPDX-License-Identifier: Apache-2.0 */
/* The data directory: its places and its lock. */
#ifndef MONITOR_FILES_H
#define MONITOR_FILES_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

/* snprintf into an array.  return  false when it does not fit */
#define FILES_FMT(array, ...) files_fmt(array, sizeof(array), __VA_ARGS__)
bool files_fmt(char *out, size_t cap, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Root's, or this process's user's. */
bool files_is_ours(uid_t uid);
/* Can others put something else in the place of a directory's entry? */
bool files_is_exchangeable(const char *path, const struct stat *directory,
                           const struct stat *entry);
/* The data directory that the operator named, or the default of this user; absolute, created.
 * return  0, or ERR_USAGE or ERR_SYS: told on standard error */
int files_data_directory(const char *named, char *out, size_t cap);
/* Make a directory that may be there already, of this mode and owner (-1: as it is).
 * return  0 or ERR_SYS; a link or a file in its place is an error */
int files_mkdir(const char *path, mode_t mode, uid_t uid, gid_t gid);
/* Open a file or directory that the manifest names, by its absolute path.  Whoever may put links on
 * the way must not have root read another's: as root a link is followed only where it is root's, or
 * belongs to who owns what is opened.  flags: as for open(), without O_CREAT.
 * return  the descriptor, close-on-exec; -1: errno, and what files_why makes of it, says why */
int files_open(const char *path, int flags);
const char *files_why(int error);
#define FILES_MAX_LINKS 40 /* on the way to a file, as the kernel has it */
/* Puts what a symbolic link (O_PATH) leads to before what is left of a way behind it; then may lie
 * in rest.  return  false: errno says why */
bool files_follow(int link, char rest[PATH_MAX], const char *then);
/* One monitor a data directory.  The lock is the process's, through exec, until it ends or closes
 * any descriptor of that file; what it forks does not have it.
 * return  the descriptor, or ERR_SYS: told */
int files_lock(const char *data);
/* Takes the lock on an open descriptor; who has it already keeps it.
 * return  0, or ERR_SYS: errno tells why, EAGAIN or EACCES that another process has it */
int files_hold_lock(int fd);
/* return  the process that has the lock; 0: none */
pid_t files_lock_holder(const char *data);
/* May other users walk to this directory?
 * return  0, or ERR_USAGE: obstacle_out names the directory that lets nobody through */
int files_check_reachable(const char *path, char *obstacle_out, size_t cap);
/* Puts the program that we are into a directory, which is made, under its name `portico`: a link,
 * or a copy when others are to run it and cannot walk to where it lies.  return  0 or ERR_SYS */
int files_offer_program(const char *directory, bool to_others);

#endif
