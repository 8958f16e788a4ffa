/* SPDX-License-Identifier: Apache-2.0 */
/* Where root adds to a log, while who owns a directory on the way, or may write to it, does what he
 * can to have root write elsewhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "monitor/files.h"
#include "monitor/log_file.h"

#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define USER 64009u

static char place[PATH_MAX];
static char why[1024];

/* A name in the place, good for a few calls. */
static const char *at(const char *name)
{
    static char names[8][PATH_MAX];
    static unsigned turn;
    char *path = names[turn++ % 8];
    assert_true(files_fmt(path, PATH_MAX, "%s/%s", place, name));
    return path;
}

static void make(const char *name, uid_t uid, gid_t gid, mode_t mode)
{
    assert_int_equal(mkdir(at(name), 0700), 0);
    assert_int_equal(chown(at(name), uid, gid), 0);
    assert_int_equal(chmod(at(name), mode), 0);
}

static void write_file(const char *name, uid_t uid)
{
    int fd = open(at(name), O_WRONLY | O_CREAT | O_EXCL, 0644);
    assert_true(fd >= 0);
    assert_int_equal(fchown(fd, uid, uid), 0);
    close(fd);
}

/* setfacl -m u:USER:rwx (acl(5), of an rwxr-xr-x).  return  false: this file system has no lists */
static bool give_rights(const char *name)
{
    static const struct {
        uint32_t version;
        struct {
            uint16_t tag, rights;
            uint32_t id;
        } entries[5];
    } list = {2, {{1, 7, ~0u}, {2, 7, USER}, {4, 5, ~0u}, {16, 7, ~0u}, {32, 5, ~0u}}};
    return setxattr(at(name), "system.posix_acl_access", &list, sizeof list, 0) == 0;
}

static void link_to(const char *name, const char *target, uid_t uid)
{
    assert_int_equal(symlink(target, at(name)), 0);
    assert_int_equal(lchown(at(name), uid, uid), 0);
}

static off_t octets_of(const char *name)
{
    struct stat st;
    return stat(at(name), &st) == 0 ? st.st_size : -1;
}

/* A line by way of one name stands under the other. */
static void assert_adds(const char *name, const char *to)
{
    off_t before = octets_of(to) < 0 ? 0 : octets_of(to);
    why[0] = 0;
    int fd = log_file_open(at(name), why, sizeof why);
    if (fd < 0)
        fail_msg("%s: %s", name, why);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(fcntl(fd, F_GETFL) & (O_APPEND | O_NONBLOCK), O_APPEND | O_NONBLOCK);
    assert_int_equal(write(fd, "line\n", 5), 5);
    close(fd);
    assert_int_equal(octets_of(to), before + 5);
}

static void assert_refused(const char *name, const char *because)
{
    why[0] = 0;
    int fd = log_file_open(at(name), why, sizeof why);
    if (fd >= 0)
        fail_msg("%s was opened", name);
    if (!strstr(why, because))
        fail_msg("%s: %s", name, why);
}

static int setup(void **state)
{
    char made[] = "/tmp/portico-log-XXXXXX";
    (void)state;
    if (!mkdtemp(made) || !realpath(made, place) || chmod(place, 0755) < 0)
        return -1;
    make("ours", 0, 0, 0755);
    make("user", USER, USER, 0755);
    make("group", 0, USER, 0775); /* as /var/log is in some distributions */
    make("group/ours", 0, 0, 0755);
    make("sticky", 0, 0, 01777);
    make("secret", 0, 0, 0700);
    write_file("secret/file", 0);
    return 0;
}

static int teardown(void **state)
{
    char command[PATH_MAX + 16];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", place);
    return system(command);
}

static void test_it_is_made_and_opened_again(void **state)
{
    static const char *const names[] = {"ours/log", "user/log", "group/log", "group/ours/log",
                                        "sticky/log"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct stat st;
        assert_adds(names[i], names[i]);
        assert_adds(names[i], names[i]);
        assert_int_equal(stat(at(names[i]), &st), 0);
        assert_int_equal(st.st_uid, 0);
        assert_int_equal(st.st_mode & 0137, 0);
    }
    assert_adds("ours//./../ours/log", "ours/log");
    assert_refused("none/log", "No such file");
    assert_refused("ours/log/log", "Not a directory");
}

static void test_where_root_alone_writes_its_word_counts(void **state)
{
    (void)state;
    write_file("ours/given", USER); /* as logrotate's `create 0640 USER` makes it */
    assert_adds("ours/given", "ours/given");
    link_to("ours/elsewhere", "../user", 0);
    assert_adds("ours/elsewhere/log", "user/log");
    link_to("ours/absolute", at("ours"), 0);
    assert_adds("ours/absolute/log", "ours/log");
    link_to("ours/last", "log", 0);
    assert_refused("ours/last", "symbolic link");
    link_to("ours/round", "round", 0);
    assert_refused("ours/round/log", "Too many levels");
    assert_int_equal(link(at("ours/given"), at("ours/other")), 0);
    assert_adds("ours/other", "ours/given");
    int fd = log_file_open("/dev/null", why, sizeof why);
    assert_true(fd >= 0);
    close(fd);
}

static const char *in(const char *directory, const char *name)
{
    static char names[2][PATH_MAX];
    static unsigned turn;
    char *path = names[turn++ % 2];
    assert_true(files_fmt(path, PATH_MAX, "%s/%s", directory, name));
    return path;
}

static void refuses_in(const char *directory)
{
    link_to(in(directory, "last"), "../secret/new", USER);
    assert_refused(in(directory, "last"), "symbolic link");
    link_to(in(directory, "away"), "../secret", USER);
    assert_refused(in(directory, "away/new"), "the symbolic link away may lead anywhere");
    assert_non_null(strstr(why, directory));
    write_file(in(directory, "his"), USER);
    assert_refused(in(directory, "his"), "uid 64009");
    assert_int_equal(mkfifo(at(in(directory, "fifo")), 0666), 0);
    assert_int_equal(chown(at(in(directory, "fifo")), USER, USER), 0);
    assert_refused(in(directory, "fifo"), "not a regular file");
    link_to(in(directory, "moved"), "../secret", 0);
    assert_refused(in(directory, "moved/new"), "the symbolic link moved");
    assert_int_equal(link(at("secret/file"), at(in(directory, "hard"))), 0);
    assert_refused(in(directory, "hard"), "another name");
}

static void test_where_others_write_nothing_of_theirs_counts(void **state)
{
    (void)state;
    refuses_in("user");
    refuses_in("group");
    refuses_in("sticky");
    make("user/below", 0, 0, 0755); /* which he can give another name */
    write_file("user/below/his", USER);
    assert_refused("user/below/his", "uid 64009");
    make("sticky/below", 0, 0, 0755); /* which he cannot */
    write_file("sticky/below/given", USER);
    assert_adds("sticky/below/given", "sticky/below/given");
    assert_int_equal(octets_of("secret/file"), 0);
    assert_int_equal(octets_of("secret/new"), -1);
}

static void test_whom_a_list_lets_write_counts(void **state)
{
    (void)state;
    make("list", 0, 0, 0755);
    if (!give_rights("list"))
        skip();
    assert_adds("list/log", "list/log");
    refuses_in("list");
}

/* An ordinary user's directories are often writable to a group in which nobody else is. */
static void test_the_own_group_counts_as_the_user(void **state)
{
    (void)state;
    make("own", USER, USER, 0775);
    make("own/now", USER, USER, 0775);
    make("own/else", USER, USER + 1, 0775);
    link_to("own/current", "now", USER);
    link_to("own/else/current", "../now", USER);
    pid_t pid = fork();
    if (pid == 0) {
        bool ok = setgroups(0, NULL) == 0 && setresgid(USER, USER, USER) == 0 &&
                  setresuid(USER, USER, USER) == 0 &&
                  log_file_open(at("own/current/log"), why, sizeof why) >= 0 &&
                  log_file_open(at("own/else/current/log"), why, sizeof why) < 0 &&
                  strstr(why, "may lead anywhere");
        _exit(!ok);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(octets_of("own/now/log"), 0);
    assert_refused("own/current/log", "the symbolic link current");
}

static void test_who_may_exchange_what(void **state)
{
    static const struct {
        uid_t uid;
        gid_t gid;
        mode_t mode;
        uid_t entry;
        mode_t kind;
        bool is;
    } cases[] = {
        {0, 0, 0755, 0, S_IFREG, false},
        {0, 0, 0755, USER, S_IFLNK, false},
        {0, 0, 0775, USER, S_IFREG, false},
        {0, USER, 0755, USER, S_IFREG, false},
        {0, USER, 0775, 0, S_IFDIR, true},
        {0, 0, 0757, 0, S_IFDIR, true},
        {USER, 0, 0700, 0, S_IFDIR, true},
        {USER, 0, 01700, 0, S_IFDIR, true},
        {0, 0, 01777, 0, S_IFDIR, false},
        {0, USER, 01775, 0, S_IFDIR, false},
        {0, 0, 01777, USER, S_IFDIR, true},
        {0, 0, 01777, 0, S_IFREG, true}, /* it may be another name of root's file: a hard link */
        {0, 0, 01777, 0, S_IFLNK, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct stat directory = {.st_uid = cases[i].uid,
                                       .st_gid = cases[i].gid,
                                       .st_mode = S_IFDIR | cases[i].mode},
                          entry = {.st_uid = cases[i].entry, .st_mode = cases[i].kind};
        if (files_is_exchangeable("/", &directory, &entry) != cases[i].is)
            fail_msg("case %zu", i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_is_made_and_opened_again),
        cmocka_unit_test(test_where_root_alone_writes_its_word_counts),
        cmocka_unit_test(test_where_others_write_nothing_of_theirs_counts),
        cmocka_unit_test(test_whom_a_list_lets_write_counts),
        cmocka_unit_test(test_the_own_group_counts_as_the_user),
        cmocka_unit_test(test_who_may_exchange_what),
    };
    if (geteuid() != 0) { /* nobody else can make files of others */
        puts("1..0 # SKIP needs root");
        return 0;
    }
    return cmocka_run_group_tests(tests, setup, teardown);
}
