/* SPDX-License-Identifier: Apache-2.0 */
/* Commits of a control that was broken into: what the first one fixed, later ones cannot weaken. */
#include "monitor/state.h"
#include "monitor/files.h"
#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

static void commit(uint32_t foreign_sockets, uint32_t counters_octets)
{
    char why[256];
    const struct ipc_commit c = {.loops = 1,
                                 .site_slots = 1,
                                 .counters_octets = counters_octets,
                                 .foreign_sockets = foreign_sockets,
                                 .access_log = "off"};
    assert_int_equal(commit_apply(&m, &c, why, sizeof why), 0);
    assert_int_equal(m.stop, STOP_NOT);
    assert_true(m.is_committed);
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

static void certificates_stay_that_are_kept(void **state)
{
    (void)state;
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

/* How often it was said, from where `said` is on, that a file cannot be read. */
static unsigned complaints(FILE *said)
{
    char line[IPC_PATH_OCTETS * 2];
    unsigned count = 0;
    while (fgets(line, sizeof line, said))
        count += strstr(line, "cannot read") != NULL;
    clearerr(said);
    return count;
}

static void what_is_not_there_is_told_of_once(void **state)
{
    char path[IPC_PATH_OCTETS];
    FILE *said = tmpfile();
    int before = dup(STDERR_FILENO);
    (void)state;
    assert_non_null(said);
    dup2(fileno(said), STDERR_FILENO);
    name(0, "a");
    assert_true(files_fmt(path, sizeof path, "%s/a", m.data));
    unlink(path);
    commit(0, 4096);
    fflush(stderr);
    rewind(said);
    unsigned first = complaints(said);
    bool was_new = m.certificates[0].is_new;
    name(0, "a"); /* makes the file */
    commit(0, 4096);
    fflush(stderr);
    unsigned then = complaints(said);
    dup2(before, STDERR_FILENO);
    close(before);
    fclose(said);
    unlink(path);
    assert_int_equal(first, 1);
    assert_true(was_new);
    assert_int_equal(then, 0);
    assert_certificate(0, 0, "a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(edge_keeps_its_root, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_given_up_is_not_had_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(certificates_stay_that_are_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_there_is_told_of_once, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
