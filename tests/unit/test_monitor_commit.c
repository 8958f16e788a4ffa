/* SPDX-License-Identifier: Apache-2.0 */
/* Commits of a control that was broken into: what the first one fixed, later ones cannot weaken. */
#include "monitor/state.h"
#include "monitor/files.h"
#include "base/err.h"
#include "control/control.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct monitor m; /* large */

static void on_control(struct channel *c, struct ipc_message *b, int error)
{
    (void)c, (void)b, (void)error;
}

/* It has no apps, no listeners and no edge. */
static int set_up(void **state)
{
    char place[] = "/tmp/portico-commit-XXXXXX";
    (void)state;
    memset(&m, 0, sizeof m);
    if (!mkdtemp(place) || poller_init(&m.poller) < 0)
        return -1;
    snprintf(m.data, sizeof m.data, "%s", place);
    if (!files_fmt(m.manifest, sizeof m.manifest, "%s/portico.yaml", m.data))
        return -1;
    m.notify_fd = m.lock_fd = m.counters_fd = m.snapshot_fd = m.access_fd = m.admin_fd = -1;
    m.fence.fd = -1;
    m.certificates_ready = true;
    list_init(&m.apps);
    list_init(&m.edges);
    map_init(&m.apps_by_name);
    wanted_init(&m.wanted);
    channel_init(&m.control.channel, &m.poller, on_control);
    m.edge = edge_new(&m);
    return m.edge ? 0 : -1;
}

static int tear_down(void **state)
{
    char path[sizeof m.data + 16];
    (void)state;
    snprintf(path, sizeof path, "%s/admin.sock", m.data);
    unlink(path);
    unlink(m.manifest);
    rmdir(m.data);
    const int fds[] = {m.counters_fd, m.admin_fd};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    cert_fini(&m);
    map_fini(&m.apps_by_name);
    edges_fini(&m);
    poller_fini(&m.poller);
    return 0;
}

static int try_commit(uint32_t foreign_sockets, uint32_t counters_octets, char why[256])
{
    const struct ipc_commit c = {.loops = 1,
                                 .site_slots = 1,
                                 .counters_octets = counters_octets,
                                 .foreign_sockets = foreign_sockets,
                                 .access_log = "off"};
    return commit_apply(&m, &c, why, 256);
}

static void commit(uint32_t foreign_sockets, uint32_t counters_octets)
{
    char why[256] = "";
    if (try_commit(foreign_sockets, counters_octets, why) != 0)
        fail_msg("%s", why);
    assert_int_equal(m.stop, STOP_NOT);
    assert_true(m.is_committed);
}

static void write_manifest(const char *apps)
{
    FILE *f = fopen(m.manifest, "w");
    assert_non_null(f);
    fprintf(f, "listen: {https: '127.0.0.1:0'}\napps:\n%s", apps);
    assert_int_equal(fclose(f), 0);
}

static void edge_keeps_its_root(void **state)
{
    (void)state;
    commit(0, 4096);
    assert_false(m.foreign_sockets);
    commit(1, 4096);
    assert_false(m.foreign_sockets);
    commit(1, 8192); /* nor together with something else, which is not done either */
    assert_false(m.foreign_sockets);
    assert_int_equal(m.counters_octets, 4096);
    commit(0, 8192);
    assert_int_equal(m.counters_octets, 8192);
}

static void what_was_given_up_is_not_had_back(void **state)
{
    (void)state;
    commit(1, 4096);
    assert_true(m.foreign_sockets);
    commit(1, 4096);
    assert_true(m.foreign_sockets);
    commit(0, 4096);
    assert_false(m.foreign_sockets);
    commit(1, 4096);
    assert_false(m.foreign_sockets);
}

/* Control can have shut it down, and each control after it would be deaf there. */
static void admin_sock_answers_the_next_control(void **state)
{
    static const int ways[] = {SHUT_RD, SHUT_WR, SHUT_RDWR};
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    (void)state;
    assert_true(FILES_FMT(a.sun_path, "%s/admin.sock", m.data));
    commit(0, 4096);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        assert_int_equal(shutdown(m.admin_fd, ways[i]), 0);
        commit(0, 4096);
        int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(client, (struct sockaddr *)&a, sizeof a) < 0)
            fail_msg("way %d: %s", ways[i], strerror(errno));
        int its = accept(m.admin_fd, NULL, NULL);
        assert_true(its >= 0);
        assert_int_equal(write(its, "x", 1), 1);
        close(its);
        close(client);
    }
}

/* ---- certificates that stay ---- */

static void tell(enum ipc_type type, const union ipc_body *body)
{
    static struct ipc_message b;
    char why[256];
    b.type = type;
    b.body = *body;
    assert_int_equal(wanted_add(&m.wanted, &b, why, sizeof why), 0);
}

static void name(uint32_t id, const char *file)
{
    static union ipc_body b;
    memset(&b, 0, sizeof b);
    b.CERTIFICATE.id = id;
    assert_true(files_fmt(b.CERTIFICATE.chain, IPC_PATH_OCTETS, "%s/%s", m.data, file));
    assert_true(files_fmt(b.CERTIFICATE.key, IPC_PATH_OCTETS, "%s/%s", m.data, file));
    FILE *f = fopen(b.CERTIFICATE.chain, "w");
    assert_non_null(f);
    fclose(f);
    tell(IPC_CERTIFICATE, &b);
}

static void keep(uint32_t first, uint32_t last)
{
    static union ipc_body b;
    b.CERTIFICATES_KEPT = (struct ipc_certificates_kept){first, last};
    tell(IPC_CERTIFICATES_KEPT, &b);
}

static void assert_certificate(uint32_t at, uint32_t id, const char *file)
{
    char path[IPC_PATH_OCTETS + 16];
    snprintf(path, sizeof path, "%s/%s", m.data, file);
    assert_int_equal(m.certificates[at].wanted.id, id);
    assert_string_equal(m.certificates[at].wanted.chain, path);
    assert_false(m.certificates[at].is_new);
}

static void name_files(const char *files)
{
    char apps[1024] = "";
    for (size_t n = 0; *files; files++, n = strlen(apps))
        snprintf(apps + n, sizeof apps - n,
                 "  %c: {upstreams: ['tcp://127.0.0.1:1'], hosts: [%c.test], certificate: "
                 "{chain: %c, key: %c}}\n",
                 *files, *files, *files, *files);
    write_manifest(apps);
}

static void certificates_stay_that_are_kept(void **state)
{
    (void)state;
    name_files("ab");
    for (uint32_t id = 0; id < 6; id++)
        name(id, "a");
    commit(0, 4096);
    assert_int_equal(m.certificate_count, 6);
    keep(0, 1);
    name(2, "b");
    keep(4, 9); /* 3 goes; nobody has had 6 to 9 */
    name(12, "b");
    commit(0, 4096);
    assert_int_equal(m.certificate_count, 6);
    assert_certificate(0, 0, "a");
    assert_certificate(1, 1, "a");
    assert_certificate(2, 2, "b");
    assert_certificate(3, 4, "a");
    assert_certificate(4, 5, "a");
    assert_certificate(5, 12, "b");
    commit(0, 4096);
    assert_int_equal(m.certificate_count, 0);
    for (const char *file = "ab"; *file; file++) {
        char path[IPC_PATH_OCTETS + 16];
        snprintf(path, sizeof path, "%s/%c", m.data, *file);
        unlink(path);
    }
}

/* What is said on standard error, by children too, goes to a file meanwhile. */
static struct {
    FILE *file;
    off_t heard;
    int before;
} said;

static void listen_in(void)
{
    said.file = tmpfile();
    said.heard = 0;
    said.before = dup(STDERR_FILENO);
    assert_non_null(said.file);
    dup2(fileno(said.file), STDERR_FILENO);
}

/* How often that was said since the last time. */
static unsigned count_said(const char *what)
{
    char text[16384];
    unsigned count = 0;
    fflush(stderr);
    ssize_t n = pread(fileno(said.file), text, sizeof text - 1, said.heard);
    text[n < 0 ? 0 : n] = 0;
    said.heard += n < 0 ? 0 : n;
    for (const char *at = text; (at = strstr(at, what)); at++)
        count++;
    return count;
}

static void listen_out(void)
{
    dup2(said.before, STDERR_FILENO);
    close(said.before);
    fclose(said.file);
}

static void what_is_not_there_is_told_of_once(void **state)
{
    char path[IPC_PATH_OCTETS];
    (void)state;
    listen_in();
    name_files("a");
    name(0, "a");
    assert_true(files_fmt(path, sizeof path, "%s/a", m.data));
    unlink(path);
    commit(0, 4096);
    unsigned first = count_said("cannot read");
    bool was_new = m.certificates[0].is_new;
    name(0, "a"); /* makes the file */
    commit(0, 4096);
    unsigned then = count_said("cannot read");
    listen_out();
    unlink(path);
    assert_int_equal(first, 1);
    assert_true(was_new);
    assert_int_equal(then, 0);
    assert_certificate(0, 0, "a");
}

/* ---- what the manifest does not name ---- */

#define COMMAND "exec sleep 60"

static void wants(const char *app, const char *directory, const char *command, const char *env,
                  uint32_t h2_only_port)
{
    static union ipc_body b;
    memset(&b, 0, sizeof b);
    assert_true(files_fmt(b.APP.name, sizeof b.APP.name, "%s", app));
    assert_true(files_fmt(b.APP.directory, sizeof b.APP.directory, "%s", directory));
    assert_true(files_fmt(b.APP.command, sizeof b.APP.command, "%s", command));
    b.APP.instances = 1;
    b.APP.h2_only_port = h2_only_port;
    tell(IPC_APP, &b);
    memset(&b, 0, sizeof b);
    assert_true(files_fmt(b.ENV.text, sizeof b.ENV.text, "%s", env));
    tell(IPC_ENV, &b);
}

static void assert_refused(void)
{
    char why[256] = "";
    assert_int_equal(try_commit(0, 4096, why), ERR_FORMAT);
    assert_string_equal(why, "it wants what the manifest does not name");
    wanted_fini(&m.wanted); /* control is ended */
}

static const struct app *app_now(void)
{
    return map_get(&m.apps_by_name, slice_str("shop"));
}

static void only_what_the_manifest_names_is_run(void **state)
{
    (void)state;
    write_manifest("  shop: {directory: /usr, command: '" COMMAND
                   "', env: {COLOR: red}, hosts: [shop.test]}\n"
                   "  other: {upstreams: ['tcp://127.0.0.1:1'], hosts: [other.test]}\n");
    m.certificates_ready = false; /* nothing is started */
    static const struct {
        const char *app, *directory, *command, *env;
        uint32_t h2_only_port;
    } others[] = {
        {"shop", "/srv", COMMAND, "COLOR=red", 0},
        {"shop", "/usr/.", COMMAND, "COLOR=red", 0},
        {"shop", "/usr", COMMAND " more", "COLOR=red", 0},
        {"shop", "/usr", COMMAND, "COLOR=blue", 0},
        {"shop", "/usr", COMMAND, "LD_PRELOAD=x", 0},
        {"shop", "/usr", COMMAND, "COLOR=red", 1},
        {"stop", "/usr", COMMAND, "COLOR=red", 0},
        {"other", "/usr", COMMAND, "COLOR=red", 0},
    };
    for (size_t round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
            wants(others[i].app, others[i].directory, others[i].command, others[i].env,
                  others[i].h2_only_port);
            assert_refused();
            assert_true(round ? app_now() && strcmp(app_now()->wanted.command, COMMAND) == 0
                              : !app_now());
        }
        wants("shop", "/usr", COMMAND, "COLOR=red", 0);
        wants("other", "/usr", COMMAND, "COLOR=red", 0);
        assert_refused(); /* one of them is enough */
        wants("shop", "/usr", COMMAND, "COLOR=red", 0);
        commit(0, 4096);
        assert_string_equal(app_now()->wanted.directory, "/usr");
    }
    unlink(m.manifest); /* what runs with these words is asked for no more */
    wants("shop", "/usr", COMMAND, "COLOR=red", 0);
    commit(0, 4096);
    commit(0, 4096); /* the end of it */
    assert_null(app_now());
    wants("shop", "/usr", COMMAND, "COLOR=red", 0);
    assert_refused();
}

static void only_files_that_the_manifest_names_are_opened(void **state)
{
    char path[IPC_PATH_OCTETS];
    (void)state;
    name_files("a");
    name(0, "a");
    commit(0, 4096);
    name(0, "b"); /* a file that is there */
    assert_refused();
    assert_certificate(0, 0, "a");
    name(1, "b");
    assert_refused();
    assert_int_equal(m.certificate_count, 1);
    name_files("ab");
    keep(0, 0);
    name(1, "b");
    commit(0, 4096);
    assert_certificate(1, 1, "b");
    for (const char *file = "ab"; *file; file++) {
        assert_true(files_fmt(path, sizeof path, "%s/%c", m.data, *file));
        unlink(path);
    }
}

static void what_is_wrong_with_the_manifest_is_told(void **state)
{
    (void)state;
    write_manifest("  shop: {directory: /usr, command: '" COMMAND
                   "', hosts: [shop.test], hots: x}\n");
    listen_in();
    wants("shop", "/usr", COMMAND, "COLOR=red", 0);
    assert_refused();
    unsigned count = count_said("portico.yaml:3:");
    listen_out();
    assert_int_equal(count, 1);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "role") == 0 && strcmp(argv[2], "named") == 0)
        return control_named(argv[3], STDIN_FILENO);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(edge_keeps_its_root, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_given_up_is_not_had_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(admin_sock_answers_the_next_control, set_up, tear_down),
        cmocka_unit_test_setup_teardown(certificates_stay_that_are_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_there_is_told_of_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_what_the_manifest_names_is_run, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_files_that_the_manifest_names_are_opened, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_is_wrong_with_the_manifest_is_told, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
