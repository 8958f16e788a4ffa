/* SPDX-License-Identifier: Apache-2.0 */
/* What this process, with all that runs beside it, may use of the machine. */
#ifndef BASE_MACHINE_H
#define BASE_MACHINE_H

#include <stdint.h>

/* Each looks below root, which is "" but in tests.  What cannot be read limits nothing. */

/* The number in a file.  return  UINT64_MAX: it says "max", or nothing */
uint64_t machine_number(const char *root, const char *path);
/* The least that the control groups of this process say, its own and those that it is in, of either
 * version (cgroups(7)).  v1, v2: the file's name, such as "pids.max" */
uint64_t machine_group_limit(const char *root, const char *controller, const char *v1,
                             const char *v2);
/* Memory, in octets: the machine's, or the control groups' if that is less. */
uint64_t machine_memory(const char *root);

#endif
