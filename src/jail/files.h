/* SPDX-License-Identifier: Apache-2.0 */
/* Landlock: which files may be opened.  It says nothing of descriptors that are open already, of
 * stat, and of connecting to a socket by its path. */
#ifndef JAIL_FILES_H
#define JAIL_FILES_H

/* From now on files may be read below one directory (NULL: nowhere), and nothing else be done to
 * any.
 * return  the version of the kernel's Landlock; ERR_NOTFOUND: it has none; ERR_SYS */
int files_restrict(const char *readable);

#endif
