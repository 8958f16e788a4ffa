/* SPDX-License-Identifier: Apache-2.0 */
/* The data directory: where it may lie; and its lock, which one process has and which ends with
 * that process alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/panic.h"
#include "monitor/files.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct place {
    char data[64];
    int to_parent[2], to_child[2];
};

static int setup(void **state)
{
    static struct place place;
    place = (struct place){.data = "/tmp/portico-lock-XXXXXX"};
    *state = &place;
    return mkdtemp(place.data) && pipe(place.to_parent) == 0 && pipe(place.to_child) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    struct place *p = *state;
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/lock", p->data);
    unlink(path);
    for (int i = 0; i < 2; i++) {
        close(p->to_parent[i]);
        close(p->to_child[i]);
    }
    return rmdir(p->data);
}

/* Stays until the test has closed its end of the pipe, or is no more. */
static _Noreturn void stay(struct place *p)
{
    char octet;
    while (read(p->to_child[0], &octet, 1) > 0)
        ;
    _exit(0);
}

/* Another process that takes the lock and forks. */
static pid_t other_process(struct place *p)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    close(p->to_child[1]);
    pid_t forked = files_lock(p->data) >= 0 ? fork() : -1;
    if (forked != 0 && write(p->to_parent[1], forked > 0 ? "+" : "-", 1) != 1)
        _exit(1);
    stay(p);
}

static void test_lock_ends_with_its_process(void **state)
{
    struct place *p = *state;
    pid_t other = other_process(p);
    assert_true(other > 0);
    char has = 0;
    assert_int_equal(read(p->to_parent[0], &has, 1), 1);
    assert_int_equal(has, '+');
    assert_int_equal(files_lock_holder(p->data), other);
    assert_true(files_lock(p->data) < 0);
    kill(other, SIGKILL);
    assert_int_equal(waitpid(other, NULL, 0), other);
    assert_int_equal(files_lock_holder(p->data), 0);
    int fd = files_lock(p->data); /* though what it forked has the descriptor yet */
    assert_true(fd >= 0);
    assert_int_equal(files_hold_lock(fd), 0);
    close(fd);
}

static void test_nobody_has_what_was_never_locked(void **state)
{
    struct place *p = *state;
    assert_int_equal(files_lock_holder(p->data), 0);
}

/* A worker that outlives its monitor would keep the next one from starting: who may read a file may
 * lock it against who writes. */
static void test_no_other_user_takes_it(void **state)
{
    struct place *p = *state;
    char path[PATH_MAX];
    if (geteuid() != 0)
        skip();
    assert_int_equal(chmod(p->data, 0755), 0);
    snprintf(path, sizeof path, "%s/lock", p->data);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644); /* of an older version */
    assert_true(fd >= 0);
    close(fd);
    fd = files_lock(p->data);
    assert_true(fd >= 0);
    close(fd);
    pid_t other = fork();
    if (other == 0) {
        struct flock shared = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
        close(p->to_child[1]);
        bool ok = setresuid(64009, 64009, 64009) == 0;
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (!ok || write(p->to_parent[1], fcntl(fd, F_SETLK, &shared) == 0 ? "+" : "-", 1) != 1)
            _exit(1);
        stay(p);
    }
    char has = 0;
    assert_int_equal(read(p->to_parent[0], &has, 1), 1);
    fd = files_lock(p->data);
    kill(other, SIGKILL);
    assert_int_equal(waitpid(other, NULL, 0), other);
    assert_int_equal(has, '-');
    assert_true(fd >= 0);
    close(fd);
}

/* Its owner, or who may write there, could put another directory in its place while monitor writes
 * below its name. */
static void test_root_wants_what_it_lies_in_for_itself(void **state)
{
    static const struct {
        uid_t uid;
        gid_t gid;
        mode_t mode;
        int result;
    } cases[] = {
        {0, 0, 0755, 0},         {0, 0, 01777, 0},
        {0, 64009, 0755, 0},     {0, 64009, 0775, ERR_USAGE},
        {0, 0, 0777, ERR_USAGE}, {64009, 64009, 0755, ERR_USAGE},
    };
    struct place *p = *state;
    char parent[PATH_MAX], path[PATH_MAX], found[PATH_MAX];
    if (geteuid() != 0)
        skip();
    assert_true(FILES_FMT(parent, "%s/parent", p->data));
    assert_true(FILES_FMT(path, "%s/deep/data", parent));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        mkdir(parent, 0700);
        assert_int_equal(chown(parent, cases[i].uid, cases[i].gid), 0);
        assert_int_equal(chmod(parent, cases[i].mode), 0);
        if (files_data_directory(path, found, sizeof found) != cases[i].result)
            fail_msg("case %zu", i);
    }
    assert_int_equal(chown(parent, 0, 0), 0);
    assert_int_equal(chmod(parent, 0755), 0);
    assert_int_equal(chmod(path, 01777), 0); /* others would make its places before we do */
    assert_int_equal(files_data_directory(path, found, sizeof found), ERR_USAGE);
    rmdir(path);
    assert_true(FILES_FMT(path, "%s/deep", parent));
    rmdir(path);
    rmdir(parent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lock_ends_with_its_process, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nobody_has_what_was_never_locked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_other_user_takes_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_root_wants_what_it_lies_in_for_itself, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
