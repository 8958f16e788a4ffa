/* SPDX-License-Identifier: Apache-2.0 */
/* What this process may use of the machine. */
#ifndef BASE_MACHINE_H
#define BASE_MACHINE_H

#include <stdint.h>

/* Of its memory, or of the control groups' that this process is in (cgroup v2), whichever is least.
 * groups  where they are mounted
 * own     the file that says which is ours, as proc(5) has it
 * return  octets; what cannot be read bounds nothing */
uint64_t machine_memory(const char *groups, const char *own);

#define MACHINE_GROUPS "/sys/fs/cgroup"
#define MACHINE_OWN    "/proc/self/cgroup"

#endif
