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
static char own[64];

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

/* Groups a and a/b; what they say, or NULL. */
static void given(const char *in_own, const char *a, const char *b)
{
    const char *says[] = {a, b}, *names[] = {"a", "a/b"};
    char path[128];
    write_file(own, in_own);
    for (unsigned i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", top, names[i]);
        mkdir(path, 0700);
        snprintf(path, sizeof path, "%s/%s/memory.max", top, names[i]);
        if (says[i])
            write_file(path, says[i]);
        else
            unlink(path);
    }
}

static void groups_bound_it(void **state)
{
    uint64_t whole = machine_memory(top, "/nonexistent");
    assert_true(whole > 1u << 20 && whole < UINT64_MAX);
    static const struct {
        const char *own, *a, *b;
        uint64_t octets; /* 0: the whole */
    } rows[] = {
        {"0::/a/b\n", NULL, NULL, 0},
        {"0::/a/b\n", "max\n", "max\n", 0},
        {"0::/a/b\n", "max\n", "65536\n", 65536},
        {"0::/a/b\n", "65536\n", "max\n", 65536},
        {"0::/a/b\n", "65536\n", "131072\n", 65536},
        {"0::/a\n", "65536\n", "4096\n", 65536},
        {"0::/\n", "65536\n", "65536\n", 0},
        {"0::/a/b\n", "18446744073709551615\n", NULL, 0},
        {"0::/a/b\n", "rubbish\n", "", 0},
        {"4:memory:/a\n1:name=systemd:/\n0::/a/b\n", NULL, "65536\n", 65536},
        {"4:memory:/a\n", "65536\n", NULL, 0},
        {"", "65536\n", NULL, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        given(rows[i].own, rows[i].a, rows[i].b);
        assert_int_equal(machine_memory(top, own), rows[i].octets ? rows[i].octets : whole);
    }
}

static int setup(void **state)
{
    if (!mkdtemp(top))
        return -1;
    snprintf(own, sizeof own, "%s/own", top);
    return 0;
}

static int teardown(void **state)
{
    static const char *const made[] = {"a/b/memory.max", "a/b", "a/memory.max", "a", "own", "."};
    char path[128];
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
        snprintf(path, sizeof path, "%s/%s", top, made[i]);
        remove(i + 1 < sizeof made / sizeof *made ? path : top);
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(groups_bound_it)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
