/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that monitor starts for users who may be hostile, and what these can do to it by then.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include "monitor/child.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define USER    64777u
#define GUESSES 4

#define NEEDS_ROOT \
    (void)state;   \
    if (geteuid()) \
    skip()

static struct children all;
static unsigned ended;
static int last_code;

static void on_exit_(struct child *child, int code, int signal)
{
    (void)child, (void)signal;
    last_code = code;
    ended++;
}

/* Of the user, to whose processes it may do everything, also while they are being started; ids are
 * given out one after the other.  last: the latest that is known, in memory of both */
static pid_t start_freezer(const _Atomic pid_t *last)
{
    pid_t pid = fork();
    if (pid == 0) {
        if (setresgid(USER, USER, USER) == 0 && setresuid(USER, USER, USER) == 0)
            while (*last == 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                ;
        for (;;)
            for (pid_t i = 1; i <= GUESSES; i++)
                kill(*last + i, SIGSTOP);
        _exit(1);
    }
    return pid;
}

static void reap(void)
{
    siginfo_t info;
    assert_int_equal(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT), 0);
    children_reap(&all);
}

static struct spawn program(char *const *argv, char *const *env)
{
    return (struct spawn){
        .path = argv[0],
        .argv = argv,
        .env = env,
        .fds = {-1, -1, -1, -1, -1},
        .umask = 077,
    };
}

static bool is_zombie_left(void)
{
    siginfo_t info = {0};
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0;
}

/* What workers leave behind becomes monitor's, as fast as they like. */
static void test_many_that_ended_are_not_collected_in_one_go(void **state)
{
    (void)state;
    struct child child = {.on_exit = on_exit_};
    const unsigned many = 3 * CHILDREN_A_TURN;
    for (unsigned i = 0; i < many; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        assert_true(pid > 0);
        if (i == 0)
            children_adopt(&all, &child, pid);
        siginfo_t info;
        assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    }
    ended = 0;
    for (unsigned i = 0; i < many / CHILDREN_A_TURN; i++) {
        assert_true(is_zombie_left());
        assert_true(children_reap(&all));
        assert_int_equal(ended, 1);
    }
    assert_false(is_zombie_left());
    assert_false(children_reap(&all));
}

/* At monitor's end: those that ended stand before those that are to be. */
static void test_however_many_ended_who_is_left_is_ended(void **state)
{
    (void)state;
    const unsigned many = 3000;
    for (unsigned i = 0; i < many; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        assert_true(pid > 0);
    }
    pid_t last = fork();
    if (last == 0)
        for (;;)
            pause();
    assert_true(last > 0);
    children_end_strays(&all);
    bool is_gone = kill(last, 0) < 0;
    if (!is_gone) {
        kill(last, SIGKILL);
        waitpid(last, NULL, 0);
    }
    assert_true(is_gone);
    assert_false(is_zombie_left());
}

/* A start that fails half-way has begun some. */
static void test_who_is_disowned_is_ended_and_nobody_told(void **state)
{
    (void)state;
    struct child child = {.on_exit = on_exit_};
    pid_t pid = fork();
    if (pid == 0) {
        setsid();
        for (;;)
            pause();
    }
    assert_true(pid > 0);
    setpgid(pid, pid);
    children_adopt(&all, &child, pid);
    ended = 0;
    children_disown(&all);
    children_end_strays(&all);
    bool is_gone = kill(pid, 0) < 0;
    if (!is_gone) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    assert_true(is_gone);
    assert_int_equal(child.pid, 0);
    assert_int_equal(all.count, 0);
    assert_int_equal(ended, 0);
}

static void test_who_is_stopped_before_it_runs_does_not_hold_monitor(void **state)
{
    NEEDS_ROOT;
    char *const argv[] = {(char *)(uintptr_t) "/bin/true", NULL}, *const env[] = {NULL};
    struct spawn s = program(argv, env);
    char why[256];
    s.own_user = true;
    s.uid = s.gid = USER;
    _Atomic pid_t *last =
        mmap(NULL, sizeof *last, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(last != MAP_FAILED);
    pid_t freezer = start_freezer(last);
    *last = freezer;
    assert_true(freezer > 0);
    alarm(60); /* one that is waited for in vain fails */
    for (unsigned i = 0; i < 300; i++) {
        struct child child = {.on_exit = on_exit_};
        assert_int_equal(child_spawn(&all, &child, &s, why, sizeof why), 0);
        *last = child.pid;
        child_signal(&child, SIGKILL);
        ended = 0;
        while (!ended)
            reap();
    }
    alarm(0);
    kill(freezer, SIGKILL);
    assert_int_equal(waitpid(freezer, NULL, 0), freezer);
}

static char said[256];

/* Its standard error is a pipe: what it says, until it has ended. */
static void run_and_hear(struct spawn *s)
{
    int fds[2];
    char why[256];
    struct child child = {.on_exit = on_exit_};
    assert_int_equal(pipe(fds), 0);
    s->fds[2] = fds[1];
    assert_int_equal(child_spawn(&all, &child, s, why, sizeof why), 0);
    close(fds[1]);
    ssize_t n = 0, len = 0;
    while ((n = read(fds[0], said + len, sizeof said - 1 - (size_t)len)) > 0)
        len += n;
    said[len] = 0;
    close(fds[0]);
    ended = 0;
    while (!ended)
        reap();
}

static void test_what_cannot_be_begun_is_told(void **state)
{
    (void)state;
    char *const argv[] = {(char *)(uintptr_t) "/none", NULL}, *const env[] = {NULL};
    struct spawn s = program(argv, env);
    struct child child = {.on_exit = on_exit_};
    char why[256];
    assert_int_equal(child_spawn(&all, &child, &s, why, sizeof why), ERR_SYS);
    assert_string_equal(why, "cannot execute /none: No such file or directory");
    s.directory = "/nowhere";
    assert_int_equal(child_spawn(&all, &child, &s, why, sizeof why), ERR_SYS);
    assert_string_equal(why, "cannot enter its directory /nowhere: No such file or directory");
    assert_int_equal(child.pid, 0);
    if (geteuid() != 0)
        return;
    s.own_user = true;
    s.uid = s.gid = USER;
    assert_int_equal(child_spawn(&all, &child, &s, why, sizeof why), ERR_SYS);
    assert_string_equal(why, "cannot enter its directory /nowhere: No such file or directory");
    s.directory = NULL;
    run_and_hear(&s);
    assert_string_equal(said, "portico: cannot execute /none: No such file or directory\n");
    assert_int_equal(last_code, CHILD_NOT_BEGUN); /* not the shell's "not found" */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_cannot_be_begun_is_told),
        cmocka_unit_test(test_however_many_ended_who_is_left_is_ended),
        cmocka_unit_test(test_who_is_disowned_is_ended_and_nobody_told),
        cmocka_unit_test(test_many_that_ended_are_not_collected_in_one_go),
        cmocka_unit_test(test_who_is_stopped_before_it_runs_does_not_hold_monitor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
