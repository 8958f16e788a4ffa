/* SPDX-License-Identifier: Apache-2.0 */
/* How many processes one app may have, as the kernel's files tell. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/panic.h"
#include "monitor/files.h"
#include "monitor/share.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[] = "/tmp/portico-share-XXXXXX";

static int setup(void **state)
{
    (void)state;
    return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command);
}

static void write_file(const char *name, const char *text)
{
    char path[PATH_MAX];
    assert_true(FILES_FMT(path, "%s%s", root, name));
    for (char *slash = path + strlen(root); (slash = strchr(slash + 1, '/'));) {
        *slash = 0;
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void test_half_of_the_least_limit(void **state)
{
    static const struct {
        const char *name, *text;
        rlim_t limit;
    } steps[] = {
        {"/none", "", RLIM_INFINITY},
        {"/proc/sys/kernel/pid_max", "32768\n", 16384},
        {"/proc/sys/kernel/threads-max", "20000\n", 10000},
        {"/proc/self/cgroup", "9:name=systemd:/x\n0::/a.slice/b.service\n", 10000},
        {"/sys/fs/cgroup/a.slice/b.service/pids.max", "max\n", 10000},
        {"/sys/fs/cgroup/a.slice/pids.max", "4915\n", 2457},
        {"/sys/fs/cgroup/pids.max", "4000\n", 2000}, /* of a container */
        {"/sys/fs/cgroup/a.slice/b.service/pids.max", "2000\n", 1000},
        {"/proc/self/cgroup", "8:pids:/c\n0::/\n", 2000},
        {"/sys/fs/cgroup/pids/c/pids.max", "1200\n", 600},
        {"/sys/fs/cgroup/pids/c/pids.max", "100\n", SHARE_LEAST_PROCESSES},
        {"/proc/self/cgroup", "rubbish\n8:\n:::\n", 10000},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        write_file(steps[i].name, steps[i].text);
        if (share_limit(root) != steps[i].limit)
            fail_msg("step %zu: %llu", i, (unsigned long long)share_limit(root));
    }
}

static void test_no_more_than_we_have(void **state)
{
    struct rlimit ours, share = share_of_processes();
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NPROC, &ours), 0);
    assert_true(share.rlim_cur <= ours.rlim_cur && share.rlim_max <= ours.rlim_max);
    assert_true(share.rlim_max <= share_limit(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_half_of_the_least_limit),
        cmocka_unit_test(test_no_more_than_we_have),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
