/* SPDX-License-Identifier: Apache-2.0 */
/* What root copies for an app while the directory's owner does what he can to have other files
 * read. */
#include "monitor/files.h"
#include "monitor/monitor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define OWNER 61001u
#define OTHER 61002u
#define APP   64009u

static char place[64];

/* A name in the place, good for a few calls. */
static const char *at(const char *name)
{
    static char names[8][PATH_MAX];
    static unsigned turn;
    char *path = names[turn++ % 8];
    assert_true(files_fmt(path, PATH_MAX, "%s/%s", place, name));
    return path;
}

static void make(const char *name, uid_t owner)
{
    assert_int_equal(mkdir(at(name), 0755), 0);
    assert_int_equal(chown(at(name), owner, owner), 0);
}

static void write_file(const char *name, const char *text, uid_t owner, mode_t mode)
{
    FILE *f = fopen(at(name), "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chown(at(name), owner, owner), 0);
    assert_int_equal(chmod(at(name), mode), 0);
}

static void link_to(const char *name, const char *target, uid_t owner)
{
    assert_int_equal(symlink(target, at(name)), 0);
    assert_int_equal(lchown(at(name), owner, owner), 0);
}

static struct stat look(const char *name)
{
    struct stat st = {0};
    if (lstat(at(name), &st) < 0)
        st.st_mode = 0;
    return st;
}

static int copy_within(const char *from, struct copy_limits limits)
{
    return monitor_copy(at(from), at("to/site"), "64009", &limits);
}

static int copy(const char *from)
{
    return copy_within(from, copy_limits_default);
}

/* An app of OWNER's, and a secret of root's. */
static int set_up(void **state)
{
    (void)state;
    if (geteuid() != 0)
        return 0;
    snprintf(place, sizeof place, "/tmp/portico-copy-XXXXXX");
    if (!mkdtemp(place) || chmod(place, 0755) < 0)
        return -1;
    make("to", 0);
    make("secret", 0);
    write_file("secret/key", "for root alone", 0, 0600);
    make("app", OWNER);
    write_file("app/main.js", "x", OWNER, 0640);
    return 0;
}

static int tear_down(void **state)
{
    char line[128];
    (void)state;
    snprintf(line, sizeof line, "rm -rf '%s'", place);
    return geteuid() == 0 ? system(line) : 0;
}

#define NEEDS_ROOT \
    (void)state;   \
    if (geteuid()) \
    skip()

static void all_that_is_there_is_copied(void **state)
{
    NEEDS_ROOT;
    const struct timespec then[2] = {{.tv_sec = 1000}, {.tv_sec = 2000, .tv_nsec = 5}};
    make("app/deep", OWNER);
    make("app/deep/er", OTHER);
    write_file("app/deep/er/run", "#!/bin/sh\n", OTHER, 06755);
    write_file("app/empty", "", OWNER, 0600);
    link_to("app/link", "../secret/key", OWNER);
    assert_int_equal(mkfifo(at("app/pipe"), 0600), 0);
    assert_int_equal(utimensat(AT_FDCWD, at("app/main.js"), then, 0), 0);
    make("to/site", APP);
    write_file("to/site/old", "", APP, 0600);
    make("to/site/was", APP);
    write_file("to/site/was/old", "", APP, 0600);
    make("to/site.new", 0); /* of one that was killed */
    write_file("to/site.new/half", "", 0, 0600);
    assert_int_equal(copy("app"), 0);
    static const struct {
        const char *name;
        mode_t mode;
    } expected[] = {
        {"to/site", S_IFDIR | 0755},
        {"to/site/main.js", S_IFREG | 0640},
        {"to/site/deep/er", S_IFDIR | 0755},
        {"to/site/deep/er/run", S_IFREG | 0755},
        {"to/site/empty", S_IFREG | 0600},
        {"to/site/link", S_IFLNK | 0777},
        {"to/site/pipe", 0},
        {"to/site/old", 0},
        {"to/site/was", 0},
        {"to/site.new", 0},
        {"to/site.old", 0},
    };
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        struct stat st = look(expected[i].name);
        if (st.st_mode != expected[i].mode)
            fail_msg("%s: %o", expected[i].name, st.st_mode);
        assert_true(!st.st_mode || (st.st_uid == APP && st.st_gid == APP));
    }
    assert_int_equal(look("to/site/main.js").st_mtim.tv_sec, 2000);
    assert_int_equal(look("to/site/main.js").st_size, 1);
    assert_int_equal(look("app/main.js").st_uid, OWNER);
}

static void large_files_are_whole(void **state)
{
    NEEDS_ROOT;
    size_t len = (8u << 20) + 1;
    char *octets = malloc(len), *copied = malloc(len);
    assert_true(octets && copied);
    for (size_t i = 0; i < len; i++)
        octets[i] = (char)(i * 2654435761u >> 24);
    FILE *f = fopen(at("app/large"), "w");
    assert_int_equal(fwrite(octets, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(copy("app"), 0);
    f = fopen(at("to/site/large"), "r");
    assert_int_equal(fread(copied, 1, len, f), len);
    assert_int_equal(fgetc(f), EOF);
    fclose(f);
    assert_memory_equal(octets, copied, len);
    free(octets);
    free(copied);
}

/* The owner of a directory has a file of any size for nothing. */
static void holes_stay_holes(void **state)
{
    NEEDS_ROOT;
    const off_t len = 1 << 30, where = 640 << 20;
    char octets[4096], expected[sizeof octets];
    int fd = open(at("app/sparse"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    memset(expected, 'x', sizeof expected);
    assert_int_equal(pwrite(fd, expected, sizeof expected, where), sizeof expected);
    assert_int_equal(ftruncate(fd, len), 0);
    close(fd);
    write_file("app/hole", "", OWNER, 0600);
    assert_int_equal(truncate(at("app/hole"), len), 0);
    assert_int_equal(copy("app"), 0);
    assert_int_equal(look("to/site/hole").st_size, len);
    assert_int_equal(look("to/site/sparse").st_size, len);
    assert_true(look("to/site/hole").st_blocks + look("to/site/sparse").st_blocks < 2048);
    fd = open(at("to/site/sparse"), O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, octets, sizeof octets, where), sizeof octets);
    assert_memory_equal(octets, expected, sizeof octets);
    assert_int_equal(pread(fd, octets, sizeof octets, where - 4096), sizeof octets);
    memset(expected, 0, sizeof expected);
    assert_memory_equal(octets, expected, sizeof octets);
    close(fd);
}

/* One that fails leaves nothing behind that would keep the disk full. */
static void a_copy_has_limits(void **state)
{
    NEEDS_ROOT;
    write_file("app/more", "12345678", OWNER, 0600);
    make("app/empty", OWNER);
    static const struct {
        struct copy_limits limits;
        int code;
    } cases[] = {
        {{.octets = 9, .entries = 3, .removal_ms = 1000}, 0}, /* main.js has one */
        {{.octets = 8, .entries = 3, .removal_ms = 1000}, 1},
        {{.octets = 9, .entries = 2, .removal_ms = 1000}, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (copy_within("app", cases[i].limits) != cases[i].code)
            fail_msg("case %zu", i);
        assert_int_equal(look("to/site/more").st_size, 8);
        assert_int_equal(look("to/site.new").st_mode, 0);
    }
}

static void a_link_is_followed_to_what_its_owner_has(void **state)
{
    NEEDS_ROOT;
    make("links", OWNER);
    make("other", OTHER);
    make("other/app", OTHER);
    link_to("links/own", "../app", OWNER);
    link_to("links/absolute", at("app"), OWNER);
    link_to("links/twice", "own/../links/own/.", OWNER);
    link_to("links/roots", "../secret", OWNER);
    link_to("links/others", "../other/app", OWNER);
    link_to("links/through", at("other"), OWNER);
    link_to("links/foreign", "../other/app", OTHER);
    link_to("links/mixed", "foreign", OWNER);
    link_to("links/around", "around", OWNER);
    link_to("links/nowhere", "not-there", OWNER);
    link_to("by-root", "secret", 0);
    link_to("by-root-to-theirs", "links/own", 0);
    static const struct {
        const char *from;
        int code;
    } cases[] = {
        {"links/own", 0},   {"links/absolute", 0},    {"links/twice", 0},
        {"by-root", 0},     {"by-root-to-theirs", 0}, {"links/foreign", 0},
        {"links/roots", 1}, {"links/others", 1},      {"links/through/app", 1},
        {"links/mixed", 1}, {"links/around", 1},      {"links/nowhere", 1},
        {"app/main.js", 1}, {"app/main.js/deep", 1},  {"none", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (copy(cases[i].from) != cases[i].code)
            fail_msg("%s", cases[i].from);
}

/* As certificates and keys are. */
static void a_file_is_opened_by_the_same_rule(void **state)
{
    NEEDS_ROOT;
    make("certs", OWNER);
    write_file("certs/mine", "x", OWNER, 0600);
    link_to("certs/now", "mine", OWNER);
    link_to("certs/roots", "../secret/key", OWNER);
    link_to("certs/way", "../secret", OWNER);
    assert_int_equal(mkfifo(at("secret/pipe"), 0600), 0);
    link_to("certs/pipe", "../secret/pipe", OWNER); /* nobody waits for who would write there */
    make("theirs", OTHER);
    write_file("theirs/mine", "x", OWNER, 0600); /* reached over another's link, it is not mine */
    link_to("theirs/way", "../certs", OTHER);
    link_to("certs/through", "../theirs/way/mine", OWNER);
    link_to("live", "certs", 0);
    static const struct {
        const char *path;
        int error;
    } cases[] = {
        {"certs/mine", 0},        {"certs/now", 0},          {"live/now", 0},
        {"secret/key", 0},        {"live//./mine", 0},       {"certs/roots", ELOOP},
        {"certs/way/key", ELOOP}, {"certs/mine/x", ENOTDIR}, {"certs/none", ENOENT},
        {"certs/pipe", ELOOP},    {"theirs/mine", 0},        {"certs/through", ELOOP},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int fd = files_open(at(cases[i].path), O_RDONLY);
        int error = fd < 0 ? errno : 0;
        if (error != cases[i].error)
            fail_msg("%s: %s", cases[i].path, strerror(error));
        if (fd >= 0) {
            assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
            close(fd);
        }
    }
}

static void what_was_there_stays_when_a_copy_fails(void **state)
{
    NEEDS_ROOT;
    assert_int_equal(copy("app"), 0);
    assert_int_equal(copy("none"), 1);
    assert_int_equal(look("to/site/main.js").st_uid, APP);
}

/* What an app's workers have made of their copy does not keep the next one from being made. */
static void however_deep_it_is_the_one_before_goes(void **state)
{
    NEEDS_ROOT;
    struct rlimit before;
    assert_int_equal(copy("app"), 0);
    int here = open(".", O_PATH | O_CLOEXEC);
    assert_int_equal(chdir(at("to/site")), 0);
    for (unsigned depth = 0; depth < 200; depth++) {
        assert_int_equal(mkdir("deeper", 0700), 0);
        assert_int_equal(mkdir("beside", 0700), 0);
        assert_int_equal(chdir("deeper"), 0);
    }
    assert_int_equal(fchdir(here), 0);
    close(here);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){64, before.rlim_max}), 0);
    int code = copy("app");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(code, 0);
    assert_int_equal(look("to/site.old").st_mode, 0);
    assert_int_equal(look("to/site/deeper").st_mode, 0);
    assert_int_equal(look("to/site/main.js").st_uid, APP);
}

/* While it goes, what is in it gets names in it, which may be there already. */
static void whatever_its_names_are_the_one_before_goes(void **state)
{
    static const char *const directories[] = {"to/site",    "to/site/.1",   "to/site/.1/x",
                                              "to/site/.2", "to/site/.2/x", "to/site/.2/x/y",
                                              "to/site/a",  "to/site/a/b",  "to/site/a/b/c"};
    NEEDS_ROOT;
    for (size_t i = 0; i < sizeof directories / sizeof directories[0]; i++)
        make(directories[i], APP);
    write_file("to/site/.1/x/f", "", APP, 0600);
    write_file("to/site/.2/x/y/f", "", APP, 0600);
    write_file("to/site/.3", "", APP, 0600);
    write_file("to/site/a/b/c/f", "", APP, 0600);
    assert_int_equal(copy("app"), 0);
    assert_int_equal(look("to/site/.1").st_mode, 0);
    assert_int_equal(look("to/site.old").st_mode, 0);
}

/* One of the app's processes, which has left its session, say, makes names where it is. */
static pid_t start_maker(const char *directory)
{
    int begun[2];
    char octet, name[16];
    assert_int_equal(pipe(begun), 0);
    pid_t pid = fork();
    if (pid == 0) {
        bool ok = chdir(directory) == 0 && setresgid(APP, APP, APP) == 0 &&
                  setresuid(APP, APP, APP) == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 &&
                  write(begun[1], "", 1) == 1;
        for (unsigned i = 0; ok; i = (i + 1) % 64) {
            snprintf(name, sizeof name, "%u", i);
            ok = symlink(name, name) == 0 || errno != ENOSPC;
        }
        _exit(1);
    }
    close(begun[1]);
    assert_int_equal(read(begun[0], &octet, 1), 1);
    close(begun[0]);
    return pid;
}

static void whoever_is_in_it_the_one_before_goes(void **state)
{
    NEEDS_ROOT;
    make("app/deep", OWNER);
    make("app/deep/er", OWNER);
    assert_int_equal(copy("app"), 0);
    for (unsigned i = 0; i < 20; i++) {
        pid_t pid = start_maker(at(i % 2 ? "to/site" : "to/site/deep/er"));
        int code = copy("app");
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_int_equal(code, 0);
        assert_int_equal(look("to/site.old").st_mode, 0);
    }
}

/* One of the app's processes makes a directory in each that it has made, without end. */
static pid_t start_digger(const char *directory)
{
    int begun[2];
    char octet;
    assert_int_equal(pipe(begun), 0);
    pid_t pid = fork();
    if (pid == 0) {
        bool ok = chdir(directory) == 0 && setresgid(APP, APP, APP) == 0 &&
                  setresuid(APP, APP, APP) == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0;
        for (unsigned i = 0; ok; i++) {
            ok = mkdir("x", 0700) == 0 && chdir("x") == 0;
            if (ok && i == 100)
                ok = write(begun[1], "", 1) == 1;
        }
        _exit(1);
    }
    close(begun[1]);
    assert_int_equal(read(begun[0], &octet, 1), 1);
    close(begun[0]);
    return pid;
}

static void who_digs_on_in_it_is_left_behind(void **state)
{
    NEEDS_ROOT;
    struct copy_limits limits = copy_limits_default;
    pid_t diggers[2];
    limits.removal_ms = 10;
    assert_int_equal(copy("app"), 0);
    for (size_t i = 0; i < sizeof diggers / sizeof diggers[0]; i++) {
        diggers[i] = start_digger(at("to/site"));
        assert_int_equal(copy_within("app", limits), 0);
        assert_int_equal(look("to/site/x").st_mode, 0);
        assert_int_equal(look("to/site/main.js").st_uid, APP);
    }
    for (size_t i = 0; i < sizeof diggers / sizeof diggers[0]; i++) {
        kill(diggers[i], SIGKILL);
        assert_int_equal(waitpid(diggers[i], NULL, 0), diggers[i]);
    }
    limits.removal_ms = UINT32_MAX;
    assert_int_equal(copy_within("app", limits), 0);
    assert_int_equal(look("to/site.old").st_mode, 0);
    assert_int_equal(look("to/site.old.1").st_mode, 0);
}

static void nothing_is_copied_into_itself(void **state)
{
    NEEDS_ROOT;
    assert_int_equal(copy("to"), 1);
    assert_int_equal(look("to/site.new").st_mode, 0);
    assert_int_equal(look("to/site").st_mode, 0);
}

/* Each of the app's directories, and a file, in turn with a link to the secret. */
#define ENTRIES 20
static atomic_bool is_over;

static void *swap(void *arg)
{
    char one[PATH_MAX], two[PATH_MAX];
    for (unsigned i = 0; !atomic_load(&is_over); i++) {
        snprintf(one, sizeof one, "%s/app/%u", place, i % ENTRIES);
        snprintf(two, sizeof two, "%s/beside/%u", place, i % ENTRIES);
        if (renameat2(AT_FDCWD, one, AT_FDCWD, two, RENAME_EXCHANGE) < 0)
            return arg;
    }
    return NULL;
}

static void nothing_is_read_through_links_that_come_and_go(void **state)
{
    NEEDS_ROOT;
    pthread_t thread;
    char name[64];
    make("beside", OWNER);
    for (unsigned i = 0; i < ENTRIES; i++) {
        snprintf(name, sizeof name, "app/%u", i);
        if (i % 2)
            make(name, OWNER);
        else
            write_file(name, "x", OWNER, 0600);
        snprintf(name, sizeof name, "beside/%u", i);
        link_to(name, at(i % 2 ? "secret" : "secret/key"), OWNER);
    }
    unsigned copied = 0;
    assert_int_equal(pthread_create(&thread, NULL, swap, NULL), 0);
    for (unsigned round = 0; round < 300; round++) {
        copied += copy("app") == 0; /* it may fail: what was there is another thing now */
        for (unsigned i = 0; i < ENTRIES; i++) {
            snprintf(name, sizeof name, i % 2 ? "to/site/%u/key" : "to/site/%u", i);
            struct stat st = look(name);
            if (i % 2 && S_ISLNK(look(name).st_mode))
                continue;
            snprintf(name, sizeof name, "to/site/%u", i);
            if (S_ISLNK(look(name).st_mode))
                continue; /* copied as what it is */
            assert_true(i % 2 ? st.st_mode == 0 : st.st_size <= 1);
        }
    }
    atomic_store(&is_over, true);
    void *failed;
    pthread_join(thread, &failed);
    assert_null(failed);
    assert_true(copied > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_that_is_there_is_copied, set_up, tear_down),
        cmocka_unit_test_setup_teardown(large_files_are_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(holes_stay_holes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_copy_has_limits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_link_is_followed_to_what_its_owner_has, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_file_is_opened_by_the_same_rule, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_there_stays_when_a_copy_fails, set_up, tear_down),
        cmocka_unit_test_setup_teardown(however_deep_it_is_the_one_before_goes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(whatever_its_names_are_the_one_before_goes, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(whoever_is_in_it_the_one_before_goes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_digs_on_in_it_is_left_behind, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_copied_into_itself, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_read_through_links_that_come_and_go, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
