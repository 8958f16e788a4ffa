/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/share.h"
#include "base/machine.h"

static rlim_t least_of(rlim_t a, rlim_t b)
{
    return a < b ? a : b;
}

rlim_t share_limit(const char *root)
{
    rlim_t limit = least_of(machine_number(root, "/proc/sys/kernel/pid_max"),
                            machine_number(root, "/proc/sys/kernel/threads-max"));
    limit = least_of(limit, machine_group_limit(root, "pids", "pids.max", "pids.max"));
    if (limit == RLIM_INFINITY)
        return limit;
    return limit / 2 > SHARE_LEAST_PROCESSES ? limit / 2 : SHARE_LEAST_PROCESSES;
}

struct rlimit share_of_processes(void)
{
    struct rlimit r = {RLIM_INFINITY, RLIM_INFINITY};
    rlim_t limit = share_limit("");
    getrlimit(RLIMIT_NPROC, &r);
    return (struct rlimit){least_of(limit, r.rlim_cur), least_of(limit, r.rlim_max)};
}
