/* SPDX-License-Identifier: Apache-2.0 */
#include "base/machine.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>

static uint64_t least_of(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t machine_number(const char *root, const char *path)
{
    char at[3 * PATH_MAX];
    uint64_t n = UINT64_MAX;
    snprintf(at, sizeof at, "%s%s", root, path);
    FILE *f = fopen(at, "re");
    if (f && fscanf(f, "%" SCNu64, &n) != 1)
        n = UINT64_MAX;
    if (f)
        fclose(f);
    return n;
}

/* Of a group and all that it is in; group is used up. */
static uint64_t limit_of(const char *root, const char *hierarchy, char *group, const char *file)
{
    uint64_t least = UINT64_MAX;
    for (char *end = group + strcspn(group, "\n"); end; end = strrchr(group, '/')) {
        char path[2 * PATH_MAX];
        *end = 0;
        snprintf(path, sizeof path, "/sys/fs/cgroup%s%s/%s", hierarchy, group, file);
        least = least_of(least, machine_number(root, path));
    }
    return least;
}

uint64_t machine_group_limit(const char *root, const char *controller, const char *v1,
                             const char *v2)
{
    uint64_t least = UINT64_MAX;
    char line[PATH_MAX], hierarchy[64];
    snprintf(line, sizeof line, "%s/proc/self/cgroup", root);
    snprintf(hierarchy, sizeof hierarchy, "/%s", controller);
    FILE *f = fopen(line, "re");
    while (f && fgets(line, sizeof line, f)) { /* "0::/GROUP", or "8:CONTROLLER:/GROUP" */
        char *name = strchr(line, ':'), *group = name ? strchr(name + 1, ':') : NULL;
        if (!group)
            continue;
        *group++ = 0;
        if (name[1] == 0)
            least = least_of(least, limit_of(root, "", group, v2));
        else if (strcmp(name + 1, controller) == 0)
            least = least_of(least, limit_of(root, hierarchy, group, v1));
    }
    if (f)
        fclose(f);
    return least;
}

uint64_t machine_memory(const char *root)
{
    struct sysinfo info;
    uint64_t octets = sysinfo(&info) == 0 ? (uint64_t)info.totalram * info.mem_unit : UINT64_MAX;
    return least_of(octets,
                    machine_group_limit(root, "memory", "memory.limit_in_bytes", "memory.max"));
}
