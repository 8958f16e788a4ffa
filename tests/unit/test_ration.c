/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "push/ration.h"

#define SECOND UINT64_C(1000000)

static unsigned take_all(struct ration *r, uint64_t now_us)
{
    unsigned n = 0;
    while (n <= RATION_BURST && ration_take(r, now_us))
        n++;
    return n;
}

static void gives_burst_then_rate(void **state)
{
    struct ration r;
    uint64_t now = 5 * SECOND, token_us = SECOND / RATION_PER_SECOND;
    ration_init(&r, now);
    assert_int_equal(take_all(&r, now), RATION_BURST);
    assert_false(ration_take(&r, now + token_us - 1));
    assert_true(ration_take(&r, now + token_us));
    assert_false(ration_take(&r, now + token_us));
    assert_int_equal(take_all(&r, now + token_us + SECOND), RATION_PER_SECOND);
    assert_int_equal(take_all(&r, now + 3600 * SECOND), RATION_BURST);
}

/* Asking at odd moments neither loses nor wins time. */
static void is_exact(void **state)
{
    static const uint64_t steps[] = {1, 7, 49, 50, 51, 333, 9999, 50000};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct ration r;
        uint64_t now = 0, given = 0, end = steps[i] < 50 ? SECOND : 100 * SECOND;
        ration_init(&r, now);
        take_all(&r, now);
        for (; now < end; now += steps[i])
            given += ration_take(&r, now);
        if (ration_take(&r, end))
            given++;
        uint64_t want = end * RATION_PER_SECOND / SECOND;
        assert_int_equal(given, want);
    }
}

static void bears_a_clock_that_jumps(void **state)
{
    struct ration r;
    ration_init(&r, 100 * SECOND);
    assert_int_equal(take_all(&r, 100 * SECOND), RATION_BURST);
    assert_false(ration_take(&r, 0));
    assert_false(ration_take(&r, 0));
    assert_int_equal(take_all(&r, SECOND), RATION_PER_SECOND);
    assert_int_equal(take_all(&r, UINT64_MAX), RATION_BURST);
    assert_int_equal(take_all(&r, 0), 0);
    assert_int_equal(take_all(&r, SECOND), RATION_PER_SECOND);
}

/* After the bucket was full, time before that counts no more. */
static void keeps_no_more_than_the_burst(void **state)
{
    struct ration r;
    ration_init(&r, 0);
    assert_true(ration_take(&r, 1000 * SECOND + 25));
    assert_int_equal(take_all(&r, 1000 * SECOND + 25), RATION_BURST - 1);
    assert_int_equal(take_all(&r, 1000 * SECOND + 24 + SECOND), RATION_PER_SECOND - 1);
    assert_int_equal(take_all(&r, 1000 * SECOND + 25 + SECOND), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_burst_then_rate),
        cmocka_unit_test(is_exact),
        cmocka_unit_test(bears_a_clock_that_jumps),
        cmocka_unit_test(keeps_no_more_than_the_burst),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
