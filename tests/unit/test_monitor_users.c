/* SPDX-License-Identifier: Apache-2.0 */
/* Users for apps: an id is one name's for ever, and not another data directory's, too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "monitor/users.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "/tmp/portico-users-XXXXXX";

static const char *at(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static int setup(void **state)
{
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return rmdir(directory);
}

static void test_an_id_is_remembered(void **state)
{
    struct users u;
    (void)state;
    assert_int_equal(users_open(&u, at("users")), 0);
    uid_t edge = users_get(&u, "@edge"), one = users_get(&u, "one");
    assert_in_range(edge, USERS_FIRST, USERS_FIRST + USERS_SPAN - 1);
    assert_int_not_equal(edge, one);
    users_close(&u);
    assert_int_equal(users_open(&u, at("users")), 0);
    uid_t two = users_get(&u, "two");
    assert_int_equal(users_get(&u, "one"), one);
    assert_true(two > one && two > edge);
    users_close(&u);
    unlink(at("users"));
}

/* A manifest may bring thousands of names. */
static void test_what_is_expected_is_written_once(void **state)
{
    struct users u;
    struct stat before, after;
    (void)state;
    assert_int_equal(users_open(&u, at("users")), 0);
    users_expect(&u, "one");
    users_expect(&u, "two");
    assert_int_equal(stat(at("users"), &before), -1);
    uid_t two = users_get(&u, "two");
    assert_int_equal(stat(at("users"), &before), 0);
    uid_t one = users_get(&u, "one");
    assert_int_equal(stat(at("users"), &after), 0);
    assert_int_equal(after.st_ino, before.st_ino);
    assert_true(one && two && one != two);
    users_close(&u);
    assert_int_equal(users_open(&u, at("users")), 0);
    assert_int_equal(users_get(&u, "one"), one);
    assert_int_equal(users_get(&u, "two"), two);
    users_close(&u);
    unlink(at("users"));
}

/* Two that run as root on one machine, say. */
static void test_data_directories_do_not_share_them(void **state)
{
    unsigned shared = 0;
    (void)state;
    for (unsigned i = 0; i < 4; i++) { /* by chance they may, once */
        struct users u;
        uid_t first[2];
        for (unsigned n = 0; n < 2; n++) {
            assert_int_equal(users_open(&u, at(n ? "b" : "a")), 0);
            first[n] = users_get(&u, "one");
            users_close(&u);
            unlink(at(n ? "b" : "a"));
        }
        shared += first[0] == first[1];
    }
    assert_true(shared < 2);
}

/* An id that is not on disk is nobody's; and why there is none is told apart. */
static void test_why_there_is_none(void **state)
{
    struct users u;
    (void)state;
    assert_int_equal(users_open(&u, at("no-such-directory/users")), 0);
    assert_int_equal(users_get(&u, "one"), 0);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(u.count, 0);
    u.count = USERS_MAX;
    assert_int_equal(users_get(&u, "one"), 0);
    assert_int_equal(errno, 0);
    u.count = 0;
    users_close(&u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_id_is_remembered),
        cmocka_unit_test(test_what_is_expected_is_written_once),
        cmocka_unit_test(test_data_directories_do_not_share_them),
        cmocka_unit_test(test_why_there_is_none),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
