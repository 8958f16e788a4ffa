/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/share.h"
#include "monitor/files.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* "max", and a file that is not there, limit nothing. */
static void lower(rlim_t *limit, const char *root, const char *name)
{
    char path[PATH_MAX];
    unsigned long long n;
    FILE *f = FILES_FMT(path, "%s%s", root, name) ? fopen(path, "re") : NULL;
    if (f && fscanf(f, "%llu", &n) == 1 && n < *limit)
        *limit = n;
    if (f)
        fclose(f);
}

/* Of a group and all that it is in. */
static void lower_by_group(rlim_t *limit, const char *root, const char *hierarchy, char *group)
{
    char name[PATH_MAX], *slash;
    group[strcspn(group, "\n")] = 0;
    do {
        if (FILES_FMT(name, "/sys/fs/cgroup%s%s/pids.max", hierarchy, group))
            lower(limit, root, name);
        slash = strrchr(group, '/');
        if (slash)
            *slash = 0;
    } while (slash);
}

rlim_t share_limit(const char *root)
{
    rlim_t limit = RLIM_INFINITY;
    char path[PATH_MAX], line[PATH_MAX];
    lower(&limit, root, "/proc/sys/kernel/pid_max");
    lower(&limit, root, "/proc/sys/kernel/threads-max");
    FILE *f = FILES_FMT(path, "%s/proc/self/cgroup", root) ? fopen(path, "re") : NULL;
    while (f && fgets(line, sizeof line, f)) { /* "0::/GROUP", or of version 1 "8:pids:/GROUP" */
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        *group++ = 0;
        if (strcmp(controllers, ":") == 0)
            lower_by_group(&limit, root, "", group);
        else if (strcmp(controllers, ":pids") == 0)
            lower_by_group(&limit, root, "/pids", group);
    }
    if (f)
        fclose(f);
    if (limit == RLIM_INFINITY)
        return limit;
    return limit / 2 > SHARE_LEAST_PROCESSES ? limit / 2 : SHARE_LEAST_PROCESSES;
}

struct rlimit share_of_processes(void)
{
    struct rlimit r = {RLIM_INFINITY, RLIM_INFINITY};
    rlim_t limit = share_limit("");
    getrlimit(RLIMIT_NPROC, &r);
    if (limit < r.rlim_cur)
        r.rlim_cur = limit;
    if (limit < r.rlim_max)
        r.rlim_max = limit;
    return r;
}
