/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a worker: every pair of state and event, the back-off, and what monitor refuses from
 * control. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/panic.h"
#include "monitor/life.h"
#include "monitor/wanted.h"

#include <stdio.h>

#define SECOND UINT64_C(1000000)

static void test_every_pair(void **state)
{
    enum {
        NO = -1,
        W = IPC_WANTED,
        S = IPC_STARTING,
        R = IPC_READY,
        D = IPC_DRAINING,
        E = IPC_EXITED,
        B = IPC_BACKOFF
    };
    static const int expected[LIFE_STATE_COUNT][LIFE_EVENT_COUNT] = {
        /*                 STARTED FAILED PROBED STOP GONE WAIT DUE */
        [IPC_WANTED] = {S, E, W, E, NO, NO, NO},  [IPC_STARTING] = {NO, NO, R, D, E, NO, NO},
        [IPC_READY] = {NO, NO, R, D, E, NO, NO},  [IPC_DRAINING] = {NO, NO, D, D, E, NO, NO},
        [IPC_EXITED] = {NO, NO, E, E, NO, B, NO}, [IPC_BACKOFF] = {NO, NO, B, E, NO, NO, W},
    };
    (void)state;
    for (int s = 0; s < LIFE_STATE_COUNT; s++)
        for (int e = 0; e < LIFE_EVENT_COUNT; e++)
            if (life_next((enum ipc_instance_state)s, (enum life_event)e) != expected[s][e])
                fail_msg("state %s, event %d", life_state_name((unsigned)s), e);
    assert_string_equal(life_state_name(LIFE_STATE_COUNT), "?");
}

static void test_delays(void **state)
{
    static const uint32_t expected[] = {0, 1000, 2000, 4000, 8000, 16000, 30000, 30000};
    (void)state;
    for (uint32_t i = 0; i < ARRAY_LEN(expected); i++)
        assert_int_equal(life_delay_ms(&(struct life){.failures = i}), expected[i]);
    assert_int_equal(life_delay_ms(&(struct life){.failures = UINT32_MAX}), 30000);
    assert_int_equal(life_delay_ms(&(struct life){.failures = 1, .was_ready = true}), 100);
    assert_int_equal(life_delay_ms(&(struct life){.failures = UINT32_MAX, .was_ready = true}),
                     30000);
    assert_int_equal(life_role_delay_ms(0), 0);
    assert_int_equal(life_role_delay_ms(1), 0);
    assert_int_equal(life_role_delay_ms(2), 100);
    assert_int_equal(life_role_delay_ms(3), 1000);
    assert_int_equal(life_role_delay_ms(UINT32_MAX), 1000);
}

static void test_healthy_run_restarts_at_once(void **state)
{
    struct life l;
    uint64_t now = 5 * SECOND;
    (void)state;
    life_init(&l);
    assert_true(life_event(&l, LIFE_STARTED, now));
    assert_int_equal(l.generation, 1);
    assert_true(life_event(&l, LIFE_PROBED, now += SECOND));
    assert_false(life_event(&l, LIFE_PROBED, now + 10)); /* a new control says so again */
    assert_int_equal(l.ready_us, now);
    assert_true(life_event(&l, LIFE_GONE, now += SECOND));
    assert_false(life_failed_to_start(&l));
    assert_int_equal(l.failures, 0);
    assert_true(life_event(&l, LIFE_WAIT, now));
    assert_int_equal(l.due_us, now);
    assert_true(life_event(&l, LIFE_DUE, now));
    assert_true(life_event(&l, LIFE_STARTED, now));
    assert_int_equal(l.generation, 2);
    assert_int_equal(l.restarts, 1);
}

static void test_failures_back_off(void **state)
{
    /* The second and the fifth have been READY for an instant. */
    static const uint32_t delays_ms[] = {1000, 200, 4000, 8000, 1600, 30000, 30000};
    static const uint32_t never_ready[] = {1, 0, 1, 2, 0, 1, 2};
    struct life l;
    uint64_t now = SECOND;
    (void)state;
    life_init(&l);
    for (size_t i = 0; i < ARRAY_LEN(delays_ms); i++) {
        if (i % 3 == 2) { /* no process could be made */
            life_event(&l, LIFE_FAILED, now);
        } else {
            life_event(&l, LIFE_STARTED, now);
            if (i % 3 == 1) /* READY, but only for an instant */
                life_event(&l, LIFE_PROBED, now += SECOND);
            life_event(&l, LIFE_GONE, now += SECOND - 1);
        }
        assert_true(life_failed_to_start(&l));
        assert_int_equal(l.failures, i + 1);
        assert_int_equal(l.never_ready, never_ready[i]);
        life_event(&l, LIFE_WAIT, now);
        assert_int_equal(l.due_us - now, delays_ms[i] * (SECOND / 1000));
        life_event(&l, LIFE_DUE, now = l.due_us);
    }
    /* One that ran well ends the series. */
    life_event(&l, LIFE_STARTED, now);
    life_event(&l, LIFE_PROBED, now);
    life_event(&l, LIFE_GONE, now + SECOND);
    assert_int_equal(l.failures, 0);
    assert_int_equal(l.never_ready, 0);
}

static void test_told_to_end_is_no_failure(void **state)
{
    struct life l;
    (void)state;
    life_init(&l);
    life_event(&l, LIFE_STARTED, SECOND);
    life_event(&l, LIFE_STOP, SECOND);
    assert_false(life_event(&l, LIFE_STOP, SECOND));
    assert_false(life_event(&l, LIFE_PROBED, SECOND)); /* too late */
    life_event(&l, LIFE_GONE, SECOND + 1);
    assert_int_equal(l.state, IPC_EXITED);
    assert_int_equal(l.failures, 0);
}

/* What control may want. */

static char why[256];
static uint32_t drain_ms; /* of the next app */

static int add_app(struct wanted *w, const char *name, const char *directory, const char *command,
                   uint32_t instances)
{
    static struct ipc_message m;
    memset(&m, 0, sizeof m);
    m.type = IPC_APP;
    snprintf(m.body.APP.name, sizeof m.body.APP.name, "%s", name);
    snprintf(m.body.APP.directory, sizeof m.body.APP.directory, "%s", directory);
    snprintf(m.body.APP.command, sizeof m.body.APP.command, "%s", command);
    m.body.APP.instances = instances;
    m.body.APP.drain_ms = drain_ms;
    return wanted_add(w, &m, why, sizeof why);
}

static int add_env(struct wanted *w, const char *text)
{
    static struct ipc_message m;
    memset(&m, 0, sizeof m);
    m.type = IPC_ENV;
    snprintf(m.body.ENV.text, sizeof m.body.ENV.text, "%s", text);
    return wanted_add(w, &m, why, sizeof why);
}

static int commit(struct wanted *w, uint32_t loops, const char *log)
{
    struct ipc_commit c = {.loops = loops, .counters_octets = 1, .site_slots = 1};
    snprintf(c.access_log, sizeof c.access_log, "%s", log);
    return wanted_check_commit(w, &c, why, sizeof why);
}

static void test_apps_checked(void **state)
{
    static struct wanted w;
    char long_name[IPC_NAME_OCTETS];
    (void)state;
    wanted_init(&w);
    assert_int_equal(add_env(&w, "A=b"), ERR_FORMAT); /* of no app */
    memset(long_name, 'a', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = 0;
    assert_int_equal(add_app(&w, long_name, "/d", "c", 1), 0);
    assert_int_equal(add_app(&w, "b-2", "/d", "c", 64), 0);
    assert_int_equal(add_app(&w, "", "/d", "c", 1), ERR_FORMAT);
    assert_int_equal(add_app(&w, "-x", "/d", "c", 1), ERR_FORMAT);
    assert_int_equal(add_app(&w, "..", "/d", "c", 1), ERR_FORMAT);
    assert_int_equal(add_app(&w, "a/b", "/d", "c", 1), ERR_FORMAT);
    assert_int_equal(add_app(&w, "A", "/d", "c", 1), ERR_FORMAT);
    assert_int_equal(add_app(&w, "c", "d", "c", 1), ERR_FORMAT);
    assert_int_equal(add_app(&w, "c", "", "c", 1), ERR_FORMAT);
    assert_int_equal(add_app(&w, "c", "/a\nb", "c", 1), ERR_FORMAT);
    assert_int_equal(add_app(&w, "c", "/d", "", 1), ERR_FORMAT);
    assert_int_equal(add_app(&w, "c", "/d", "c", 0), ERR_FORMAT);
    assert_int_equal(add_app(&w, "c", "/d", "c", 65), ERR_FORMAT);
    drain_ms = WANTED_MAX_DRAIN_MS + 1;
    assert_int_equal(add_app(&w, "c", "/d", "c", 1), ERR_FORMAT);
    drain_ms = WANTED_MAX_DRAIN_MS;
    assert_int_equal(w.app_count, 2);
    assert_int_equal(add_env(&w, "A_1=b=c\nd"), 0);
    assert_int_equal(add_env(&w, "A"), ERR_FORMAT);
    assert_int_equal(add_env(&w, "=b"), ERR_FORMAT);
    assert_int_equal(add_env(&w, "1A=b"), ERR_FORMAT);
    assert_int_equal(add_env(&w, "A B=c"), ERR_FORMAT);
    for (uint32_t i = 1; i < WANTED_MAX_ENV; i++)
        assert_int_equal(add_env(&w, "A="), 0);
    assert_int_equal(add_env(&w, "A="), ERR_FORMAT);
    assert_int_equal(commit(&w, 1, "off"), 0);
    assert_int_equal(add_app(&w, "b-2", "/d", "c", 1), 0);
    assert_int_equal(commit(&w, 1, "off"), ERR_FORMAT); /* two of one name */
    wanted_fini(&w);
}

static void test_app_cap(void **state)
{
    static struct wanted w;
    char name[16];
    (void)state;
    wanted_init(&w);
    for (uint32_t i = 0; i < WANTED_MAX_APPS; i++) {
        snprintf(name, sizeof name, "a%u", i);
        assert_int_equal(add_app(&w, name, "/d", "c", 1), 0);
    }
    assert_int_equal(commit(&w, 1, "off"), 0);
    assert_int_equal(add_app(&w, "more", "/d", "c", 1), ERR_FORMAT);
    wanted_fini(&w);
}

static void test_listen_and_certificates_checked(void **state)
{
    static struct wanted w;
    static struct ipc_message m;
    static const struct {
        uint32_t local;
        const char *hosts, *chain, *key;
        int expected;
    } certificates[] = {
        {1, "a.localhost *.b.localhost ::1", "", "", 0},
        {1, "", "", "", ERR_FORMAT},
        {1, "a  b", "", "", ERR_FORMAT},
        {1, " a", "", "", ERR_FORMAT},
        {1, "a\nb", "", "", ERR_FORMAT},
        {1, "A", "", "", ERR_FORMAT},
        {0, "", "/c", "/k", 0},
        {0, "", "c", "/k", ERR_FORMAT},
        {0, "", "/c", "", ERR_FORMAT},
        {2, "a", "/c", "/k", ERR_FORMAT},
    };
    (void)state;
    wanted_init(&w);
    for (uint32_t i = 0; i < ARRAY_LEN(certificates); i++) {
        memset(&m, 0, sizeof m);
        m.type = IPC_CERTIFICATE;
        m.body.CERTIFICATE.id = i;
        m.body.CERTIFICATE.local = certificates[i].local;
        snprintf(m.body.CERTIFICATE.hosts, 64, "%s", certificates[i].hosts);
        snprintf(m.body.CERTIFICATE.chain, 64, "%s", certificates[i].chain);
        snprintf(m.body.CERTIFICATE.key, 64, "%s", certificates[i].key);
        if (wanted_add(&w, &m, why, sizeof why) != certificates[i].expected)
            fail_msg("certificate %u", i);
    }
    assert_int_equal(commit(&w, 1, "off"), 0);
    m.body.CERTIFICATE = (struct ipc_certificate){.id = 0, .local = 1, .hosts = "a"};
    assert_int_equal(wanted_add(&w, &m, why, sizeof why), 0);
    assert_int_equal(commit(&w, 1, "off"), ERR_FORMAT); /* two of one id */

    memset(&m, 0, sizeof m);
    m.type = IPC_LISTEN;
    snprintf(m.body.LISTEN.address, 64, "127.0.0.1:0");
    for (uint32_t i = 0; i < LISTEN_MAX_ADDRESSES; i++)
        assert_int_equal(wanted_add(&w, &m, why, sizeof why), 0);
    assert_int_equal(wanted_add(&w, &m, why, sizeof why), ERR_FORMAT);
    wanted_fini(&w);
    m.body.LISTEN.kind = IPC_LISTEN_ADMIN + 1;
    assert_int_equal(wanted_add(&w, &m, why, sizeof why), ERR_FORMAT);
    wanted_fini(&w);
}

static int keep(struct wanted *w, uint32_t first, uint32_t last)
{
    static struct ipc_message m;
    m.type = IPC_CERTIFICATES_KEPT;
    m.body.CERTIFICATES_KEPT = (struct ipc_certificates_kept){first, last};
    return wanted_add(w, &m, why, sizeof why);
}

static void test_certificates_kept(void **state)
{
    static struct wanted w;
    static struct ipc_message m = {.type = IPC_CERTIFICATE,
                                   .body.CERTIFICATE = {.id = 5, .local = 1, .hosts = "a"}};
    (void)state;
    wanted_init(&w);
    assert_int_equal(keep(&w, 3, 2), ERR_FORMAT);
    assert_int_equal(keep(&w, 0, 4), 0);
    assert_int_equal(keep(&w, 4, 9), ERR_FORMAT);
    assert_int_equal(keep(&w, 6, UINT32_MAX), 0);
    assert_int_equal(keep(&w, UINT32_MAX, UINT32_MAX), ERR_FORMAT);
    assert_int_equal(wanted_add(&w, &m, why, sizeof why), 0);
    assert_int_equal(commit(&w, 1, "off"), 0);
    m.body.CERTIFICATE.id = 6;
    assert_int_equal(wanted_add(&w, &m, why, sizeof why), 0);
    assert_int_equal(commit(&w, 1, "off"), ERR_FORMAT); /* kept and replaced */
    wanted_fini(&w);
}

static void test_commit_checked(void **state)
{
    static struct wanted w;
    struct ipc_commit c = {.loops = 1, .counters_octets = 0, .access_log = "off"};
    (void)state;
    wanted_init(&w);
    assert_int_equal(commit(&w, 64, "/var/log/a"), 0);
    assert_int_equal(commit(&w, 0, "off"), ERR_FORMAT);
    assert_int_equal(commit(&w, 65, "off"), ERR_FORMAT);
    assert_int_equal(commit(&w, 1, ""), ERR_FORMAT);
    assert_int_equal(commit(&w, 1, "a"), ERR_FORMAT);
    assert_int_equal(wanted_check_commit(&w, &c, why, sizeof why), ERR_FORMAT);
    c.counters_octets = WANTED_MAX_COUNTERS + 1;
    assert_int_equal(wanted_check_commit(&w, &c, why, sizeof why), ERR_FORMAT);
    wanted_fini(&w);
}

static bool take_all_but(void *arg, uint16_t port)
{
    return port != *(uint16_t *)arg;
}

static void test_listeners(void **state)
{
    struct listener a = {.kind = IPC_LISTEN_HTTP, .wanted = "127.0.0.1:0"}, b = a;
    struct addr bound;
    uint16_t port = 0;
    (void)state;
    assert_int_equal(listener_open(&a, 4, why, sizeof why), 0);
    assert_int_equal(a.count, 4);
    assert_int_equal(addr_parse(slice_str(a.address), &bound), 0);
    assert_int_not_equal(addr_port(&bound), 0);
    for (uint32_t i = 0; i < a.count; i++) { /* all of one port */
        struct addr own = {.len = sizeof own.u};
        assert_int_equal(getsockname(a.fds[i], &own.u.sa, &own.len), 0);
        assert_int_equal(addr_port(&own), addr_port(&bound));
    }
    memcpy(b.wanted, a.address, sizeof b.wanted);
    assert_int_equal(listener_open(&b, 1, why, sizeof why), ERR_SYS);
    assert_string_equal(why, "Address already in use");
    assert_int_equal(b.count, 0);
    listener_close(&a);
    assert_int_equal(listener_open(&b, 1, why, sizeof why), 0);
    listener_close(&b);
    snprintf(b.wanted, sizeof b.wanted, "unix:/tmp/x");
    assert_int_equal(listener_open(&b, 1, why, sizeof why), ERR_USAGE);

    assert_int_equal(listen_free_port(take_all_but, &port), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_pair),
        cmocka_unit_test(test_delays),
        cmocka_unit_test(test_healthy_run_restarts_at_once),
        cmocka_unit_test(test_failures_back_off),
        cmocka_unit_test(test_told_to_end_is_no_failure),
        cmocka_unit_test(test_apps_checked),
        cmocka_unit_test(test_app_cap),
        cmocka_unit_test(test_listen_and_certificates_checked),
        cmocka_unit_test(test_certificates_kept),
        cmocka_unit_test(test_commit_checked),
        cmocka_unit_test(test_listeners),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
