/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "push/ledger.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static struct push_decision decision(enum push_vehicle vehicle, enum push_reason reason,
                                     enum push_reason hint)
{
    return (struct push_decision){.vehicle = vehicle, .reason = reason, .hint = hint};
}

static void counts_promises(void **state)
{
    static struct push_ledger l;
    memset(&l, 0, sizeof l);
    for (int s = 0; s < PUSH_SOURCE_COUNT; s++)
        for (int r = 0; r < PUSH_REASON_COUNT; r++)
            push_ledger_promise(
                &l, (enum push_source)s,
                decision(r == PUSH_REASON_OK ? PUSH_VEHICLE_PUSH_PROMISE : PUSH_VEHICLE_LINK,
                         (enum push_reason)r, PUSH_REASON_HINT_LATE));
    for (int s = 0; s < PUSH_SOURCE_COUNT; s++)
        assert_int_equal(l.promises[s], PUSH_REASON_COUNT);
    for (int r = 0; r < PUSH_REASON_COUNT; r++)
        assert_int_equal(l.reasons[r], PUSH_SOURCE_COUNT);
    assert_int_equal(l.vehicles[PUSH_VEHICLE_PUSH_PROMISE], PUSH_SOURCE_COUNT);
    assert_int_equal(l.vehicles[PUSH_VEHICLE_LINK], PUSH_SOURCE_COUNT * (PUSH_REASON_COUNT - 1));
    assert_int_equal(l.hint_reasons[PUSH_REASON_HINT_LATE],
                     PUSH_SOURCE_COUNT * (PUSH_REASON_COUNT - 1));
    for (int f = 0; f < PUSH_FATE_COUNT; f++)
        assert_int_equal(l.fates[f], 0);
}

static void counts_fates(void **state)
{
    static struct push_ledger l;
    memset(&l, 0, sizeof l);
    const enum push_vehicle v = PUSH_VEHICLE_PUSH_PROMISE;
    push_ledger_fate(&l, PUSH_FATE_COMPLETED, 1000, PUSH_KIND_NODE, v);
    push_ledger_fate(&l, PUSH_FATE_REFUSED, 10, PUSH_KIND_OKHTTP, v);
    push_ledger_fate(&l, PUSH_FATE_REFUSED, 0, PUSH_KIND_OKHTTP, v);
    push_ledger_fate(&l, PUSH_FATE_FAILED, 1, PUSH_KIND_NODE, v);
    push_ledger_fate(&l, PUSH_FATE_NOT_PUSHED, 0, PUSH_KIND_NODE, PUSH_VEHICLE_NONE);
    push_ledger_fate(&l, PUSH_FATE_REPEATED, 500, PUSH_KIND_NODE, v);
    push_ledger_fate(&l, PUSH_FATE_REFUSED_LATE, 300, PUSH_KIND_OKHTTP, v);
    assert_int_equal(l.fates[PUSH_FATE_COMPLETED], 1);
    assert_int_equal(l.fates[PUSH_FATE_REFUSED], 2);
    assert_int_equal(l.fates[PUSH_FATE_FAILED], 1);
    assert_int_equal(l.fates[PUSH_FATE_NOT_PUSHED], 1);
    assert_int_equal(l.kind_fates[PUSH_KIND_OKHTTP][PUSH_FATE_REFUSED], 2);
    assert_int_equal(l.kind_fates[PUSH_KIND_NODE][PUSH_FATE_REFUSED], 0);
    assert_int_equal(l.vehicle_fates[v][PUSH_FATE_REFUSED], 2);
    assert_int_equal(l.vehicle_fates[PUSH_VEHICLE_NONE][PUSH_FATE_NOT_PUSHED], 1);
    assert_int_equal(l.octets_sent, 1011);
    assert_int_equal(l.octets_refused, 310);
    assert_int_equal(l.octets_wasted, 811);
    push_ledger_page(&l, PUSH_HELPED, 70);
    push_ledger_page(&l, PUSH_HELD_BACK, 10);
    push_ledger_page(&l, PUSH_HELD_BACK, 20);
    assert_int_equal(l.pages[PUSH_HELPED].sum_us, 70);
    assert_int_equal(l.pages[PUSH_HELD_BACK].count[0], 2);
}

/* Before its rows a ledger is counts and nothing else, so the sum is checked word by word: none is
 * left out. */
static void sums_every_count(void **state)
{
    enum { WORDS = offsetof(struct push_ledger, rows) / sizeof(uint64_t) };
    static struct push_ledger to, from;
    uint64_t *t = (void *)&to, *f = (void *)&from;
    for (unsigned i = 0; i < WORDS; i++) {
        t[i] = 1000 + i;
        f[i] = (uint64_t)i * i;
    }
    push_ledger_sum(&to, &from);
    for (unsigned i = 0; i < WORDS; i++)
        assert_int_equal(t[i], 1000 + i + (uint64_t)i * i);
    assert_int_equal(to.rows[0].version, 0);
}

/* ---- rows ---- */

static struct push_ledger l;

static int fresh(void **state)
{
    memset(&l, 0, sizeof l);
    return 0;
}

static struct push_ledger_row *row(const char *path)
{
    return push_ledger_resource(&l, slice_str(path));
}

/* return  whether a row of this path was found */
static bool find(const char *path, struct push_resource_counts *out)
{
    for (unsigned i = 0; i < PUSH_LEDGER_ROWS; i++)
        if (push_ledger_read(&l, i, out) && strcmp(out->path, path) == 0)
            return true;
    return false;
}

static void counts_by_resource(void **state)
{
    struct push_resource_counts c;
    assert_false(find("/a", &c));
    push_ledger_row_promise(row("/a?token=secret"),
                            decision(PUSH_VEHICLE_PUSH_PROMISE, PUSH_REASON_OK, PUSH_REASON_OK));
    push_ledger_row_fate(row("/a"), PUSH_FATE_COMPLETED, 100);
    push_ledger_row_promise(
        row("/a?"), decision(PUSH_VEHICLE_LINK, PUSH_REASON_SWITCHED_OFF, PUSH_REASON_HINT_LATE));
    push_ledger_row_fate(row("/a"), PUSH_FATE_REPEATED, 100);
    push_ledger_row_switch(row("/a"), true);
    push_ledger_row_fate(row("/b"), PUSH_FATE_REFUSED, 7);
    assert_true(find("/a", &c));
    assert_int_equal(c.pushed, 1);
    assert_int_equal(c.fates[PUSH_FATE_COMPLETED], 1);
    assert_int_equal(c.fates[PUSH_FATE_REPEATED], 1);
    assert_int_equal(c.octets_sent, 100);
    assert_int_equal(c.octets_wasted, 100);
    assert_int_equal(c.reason, PUSH_REASON_SWITCHED_OFF);
    assert_true(c.is_switched_off);
    assert_int_equal(c.weight, 5);
    push_ledger_row_switch(row("/a"), false);
    assert_true(find("/a", &c));
    assert_false(c.is_switched_off);
    assert_true(find("/b", &c));
    assert_int_equal(c.octets_sent, 7);
    assert_int_equal(c.octets_wasted, 7);
    assert_ptr_equal(row("?x=1"), row(""));
    assert_true(find("*", &c));
}

static void versions_tell_whose_a_row_is(void **state)
{
    char path[32];
    struct push_ledger_row *a = row("/a");
    uint32_t version = push_ledger_row_version(a);
    push_ledger_row_fate(a, PUSH_FATE_COMPLETED, 100);
    row("/b");
    push_ledger_row_fate(a, PUSH_FATE_REFUSED_LATE, 100);
    assert_int_equal(push_ledger_row_version(a), version);
    assert_int_equal(a->octets_wasted, 100);
    for (unsigned i = 0; i < 3 * PUSH_LEDGER_ROWS; i++) {
        snprintf(path, sizeof path, "/others/%u", i);
        row(path);
    }
    assert_int_not_equal(push_ledger_row_version(a), version);
}

static void cuts_long_paths(void **state)
{
    struct push_resource_counts c;
    char a[301], b[301], exact[PUSH_LEDGER_PATH_OCTETS + 1];
    memset(a, 'x', sizeof a - 1);
    a[0] = '/';
    a[300] = 0;
    memcpy(b, a, sizeof b);
    b[299] = 'y';
    memcpy(exact, a, PUSH_LEDGER_PATH_OCTETS);
    exact[PUSH_LEDGER_PATH_OCTETS] = 0;
    assert_ptr_not_equal(row(a), row(b));
    assert_true(find(exact, &c));
    assert_true(c.is_cut);
    fresh(NULL);
    row(exact);
    assert_true(find(exact, &c));
    assert_false(c.is_cut);
}

/* Whatever else comes by once, what is promised often keeps its row and its counts. */
static void keeps_what_is_promised_often(void **state)
{
    struct push_resource_counts c;
    char path[32];
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(path, sizeof path, "/once/%u", i);
        row(path);
        for (unsigned k = 0; k < 3; k++)
            push_ledger_row_fate(row(k == 0 ? "/a" : k == 1 ? "/b" : "/c"), PUSH_FATE_COMPLETED, 1);
    }
    for (const char *often = "abc"; *often; often++) {
        snprintf(path, sizeof path, "/%c", *often);
        assert_true(find(path, &c));
        assert_int_equal(c.fates[PUSH_FATE_COMPLETED], 10000);
    }
    assert_true(find("/once/9999", &c));
    assert_int_equal(c.octets_sent, 0);
}

static void takes_over_from_the_dead(void **state)
{
    struct push_resource_counts c;
    push_ledger_row_fate(row("/a"), PUSH_FATE_COMPLETED, 1);
    row("/a")->version = 3; /* its writer was killed as it gave it to another */
    assert_false(find("/a", &c));
    push_ledger_row_fate(row("/b"), PUSH_FATE_COMPLETED, 2);
    assert_true(find("/b", &c));
    assert_int_equal(c.octets_sent, 2);
    assert_int_equal(l.rows[0].version, 4);
}

/* The writer gives rows away all the time; all that a reader gets of one belongs together. */
static atomic_bool over;

static void *write_all_the_time(void *user)
{
    char path[64];
    for (unsigned i = 1; !atomic_load(&over); i++) {
        snprintf(path, sizeof path, "/%u/%u/%u", i % 1000, i % 1000, i % 1000);
        struct push_ledger_row *r = row(path);
        push_ledger_row_fate(r, PUSH_FATE_COMPLETED, i % 1000);
    }
    return user;
}

static void readers_see_one_resource(void **state)
{
    pthread_t writer;
    unsigned seen = 0;
    atomic_store(&over, false);
    assert_int_equal(pthread_create(&writer, NULL, write_all_the_time, NULL), 0);
    for (unsigned i = 0; i < 300000 || seen < 1000; i++) {
        struct push_resource_counts c;
        unsigned a, b, d;
        if (!push_ledger_read(&l, i % PUSH_LEDGER_ROWS, &c))
            continue;
        seen++;
        assert_int_equal(sscanf(c.path, "/%u/%u/%u", &a, &b, &d), 3);
        assert_true(a == b && b == d);
        assert_int_equal(c.octets_sent % (a ? a : 1), 0);
    }
    atomic_store(&over, true);
    pthread_join(writer, NULL);
}

static void names_fates(void **state)
{
    assert_string_equal(push_fate_name(PUSH_FATE_COMPLETED), "completed");
    assert_string_equal(push_fate_name(PUSH_FATE_REFUSED), "refused");
    assert_string_equal(push_fate_name(PUSH_FATE_FAILED), "failed");
    assert_string_equal(push_fate_name(PUSH_FATE_NOT_PUSHED), "not-pushed");
    for (int f = 0; f < PUSH_FATE_COUNT; f++)
        assert_true(strlen(push_fate_text((enum push_fate)f)) > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_promises),
        cmocka_unit_test(counts_fates),
        cmocka_unit_test(sums_every_count),
        cmocka_unit_test(names_fates),
        cmocka_unit_test_setup(counts_by_resource, fresh),
        cmocka_unit_test_setup(versions_tell_whose_a_row_is, fresh),
        cmocka_unit_test_setup(cuts_long_paths, fresh),
        cmocka_unit_test_setup(keeps_what_is_promised_often, fresh),
        cmocka_unit_test_setup(takes_over_from_the_dead, fresh),
        cmocka_unit_test_setup(readers_see_one_resource, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
