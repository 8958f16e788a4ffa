/* SPDX-License-Identifier: Apache-2.0 */
/* What memory there is: the machine's, or less where a control group says so, ours or one that ours
 * is in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char top[] = "/tmp/portico-machine-XXXXXX";

static void write_file(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", top, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void groups_bound_it(void **state)
{
    uint64_t whole = machine_memory("/nonexistent");
    assert_true(whole > 1u << 20 && whole < UINT64_MAX);
    static const struct {
        const char *own, *a, *b, *v1;
        uint64_t octets; /* 0: the whole */
    } rows[] = {
        {"0::/a/b\n", "", "", "", 0},
        {"0::/a/b\n", "max\n", "max\n", "", 0},
        {"0::/a/b\n", "max\n", "65536\n", "", 65536},
        {"0::/a/b\n", "65536\n", "max\n", "", 65536},
        {"0::/a/b\n", "65536\n", "131072\n", "", 65536},
        {"0::/a\n", "65536\n", "4096\n", "", 65536},
        {"0::/\n", "65536\n", "65536\n", "65536\n", 0},
        {"0::/a/b\n", "18446744073709551615\n", "", "", 0},
        {"0::/a/b\n", "rubbish\n", "", "", 0},
        {"4:memory:/c\n1:name=systemd:/\n0::/a/b\n", "", "65536\n", "", 65536},
        {"4:memory:/c\n1:name=systemd:/\n0::/a/b\n", "", "65536\n", "4096\n", 4096},
        {"4:memory:/c\n0::/\n", "65536\n", "", "9223372036854771712\n", 0},
        {"4:pids:/c\n", "65536\n", "", "65536\n", 0},
        {"a line\n", "65536\n", "", "", 0},
        {"", "65536\n", "65536\n", "65536\n", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        write_file("proc/self/cgroup", rows[i].own);
        write_file("sys/fs/cgroup/a/memory.max", rows[i].a);
        write_file("sys/fs/cgroup/a/b/memory.max", rows[i].b);
        write_file("sys/fs/cgroup/memory/c/memory.limit_in_bytes", rows[i].v1);
        assert_int_equal(machine_memory(top), rows[i].octets ? rows[i].octets : whole);
    }
}

static const char *const directories[] = {".",
                                          "proc",
                                          "proc/self",
                                          "sys",
                                          "sys/fs",
                                          "sys/fs/cgroup",
                                          "sys/fs/cgroup/a",
                                          "sys/fs/cgroup/a/b",
                                          "sys/fs/cgroup/memory",
                                          "sys/fs/cgroup/memory/c"};
#define DIRECTORIES (sizeof directories / sizeof *directories)

static int setup(void **state)
{
    char path[256];
    if (!mkdtemp(top))
        return -1;
    for (size_t i = 1; i < DIRECTORIES; i++) {
        snprintf(path, sizeof path, "%s/%s", top, directories[i]);
        if (mkdir(path, 0700) < 0)
            return -1;
    }
    return 0;
}

static int teardown(void **state)
{
    static const char *const files[] = {"proc/self/cgroup", "sys/fs/cgroup/a/memory.max",
                                        "sys/fs/cgroup/a/b/memory.max",
                                        "sys/fs/cgroup/memory/c/memory.limit_in_bytes"};
    char path[256];
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", top, files[i]);
        unlink(path);
    }
    for (size_t i = DIRECTORIES; i-- > 1;) {
        snprintf(path, sizeof path, "%s/%s", top, directories[i]);
        rmdir(path);
    }
    return rmdir(top);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(groups_bound_it)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
