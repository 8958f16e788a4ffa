/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "push/ledger.h"

#include <string.h>

static void counts_promises(void **state)
{
    struct push_ledger l = {0};
    unsigned n = 0;
    for (int s = 0; s < PUSH_SOURCE_COUNT; s++)
        for (int r = 0; r < PUSH_REASON_COUNT; r++, n++) {
            struct push_decision d = {.vehicle = r == PUSH_REASON_OK ? PUSH_VEHICLE_PUSH_PROMISE
                                                                     : PUSH_VEHICLE_NONE,
                                      .reason = (enum push_reason)r};
            push_ledger_promise(&l, (enum push_source)s, d);
        }
    for (int s = 0; s < PUSH_SOURCE_COUNT; s++)
        assert_int_equal(l.promises[s], PUSH_REASON_COUNT);
    for (int r = 0; r < PUSH_REASON_COUNT; r++)
        assert_int_equal(l.reasons[r], PUSH_SOURCE_COUNT);
    for (int f = 0; f < PUSH_FATE_COUNT; f++)
        assert_int_equal(l.fates[f], 0);
}

static void counts_fates(void **state)
{
    struct push_ledger l = {0};
    push_ledger_fate(&l, PUSH_FATE_COMPLETED, 1000);
    push_ledger_fate(&l, PUSH_FATE_REFUSED, 10);
    push_ledger_fate(&l, PUSH_FATE_REFUSED, 0);
    push_ledger_fate(&l, PUSH_FATE_FAILED, 1);
    push_ledger_fate(&l, PUSH_FATE_NOT_PUSHED, 0);
    assert_int_equal(l.fates[PUSH_FATE_COMPLETED], 1);
    assert_int_equal(l.fates[PUSH_FATE_REFUSED], 2);
    assert_int_equal(l.fates[PUSH_FATE_FAILED], 1);
    assert_int_equal(l.fates[PUSH_FATE_NOT_PUSHED], 1);
    assert_int_equal(l.octets_sent, 1011);
    assert_int_equal(l.octets_refused, 10);
}

/* A ledger is counts and nothing else, so the sum is checked word by word: none is left out. */
static void sums_every_count(void **state)
{
    enum { WORDS = sizeof(struct push_ledger) / sizeof(uint64_t) };
    struct push_ledger to, from;
    uint64_t words[WORDS];
    for (unsigned i = 0; i < WORDS; i++)
        words[i] = 1000 + i;
    memcpy(&to, words, sizeof to);
    for (unsigned i = 0; i < WORDS; i++)
        words[i] = i * i;
    memcpy(&from, words, sizeof from);
    push_ledger_sum(&to, &from);
    memcpy(words, &to, sizeof to);
    for (unsigned i = 0; i < WORDS; i++)
        assert_int_equal(words[i], 1000 + i + i * i);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
