/* SPDX-License-Identifier: Apache-2.0 */
#include "base/machine.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>

#define PATH_OCTETS 4096

/* The first line that begins so, or the first one; without its end.  return  whether there is one
 */
static bool read_line(const char *path, const char *begins, char line[PATH_OCTETS])
{
    FILE *f = fopen(path, "re");
    bool found = false;
    while (f && !found && fgets(line, PATH_OCTETS, f))
        found = strncmp(line, begins, strlen(begins)) == 0;
    if (f)
        fclose(f);
    line[found ? strcspn(line, "\n") : 0] = '\0';
    return found;
}

uint64_t machine_memory(const char *groups, const char *own)
{
    struct sysinfo info;
    char line[PATH_OCTETS], path[2 * PATH_OCTETS], most[PATH_OCTETS];
    uint64_t least = sysinfo(&info) == 0 ? (uint64_t)info.totalram * info.mem_unit : UINT64_MAX;
    if (!read_line(own, "0::/", line))
        return least;
    for (char *group = line + 3, *end = group + strlen(group); end; end = strrchr(group, '/')) {
        uint64_t octets;
        *end = '\0'; /* the group, then each that it is in */
        snprintf(path, sizeof path, "%s%s/memory.max", groups, group);
        if (read_line(path, "", most) && sscanf(most, "%" SCNu64, &octets) == 1 && octets < least)
            least = octets;
    }
    return least;
}
