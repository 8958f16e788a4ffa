/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "push/trial.h"

#define SECOND UINT64_C(1000000)

static const struct push_trial_rule rule = {.least = 4, .rest_s = 60};

/* A story in letters: "." one ended well, "x" failed, "r" revised, "b" begins, "|" a minute passes.
 * return  whether it is off then */
static bool after(struct push_trial *t, uint64_t *now_us, const char *story)
{
    for (; *story; story++) {
        if (*story == '|')
            *now_us += 60 * SECOND;
        else if (*story == 'b')
            push_trial_begin(t, &rule, *now_us);
        else if (*story == 'r')
            push_trial_revise(t, &rule, *now_us);
        else
            push_trial_end(t, &rule, *story == 'x', *now_us);
    }
    return push_trial_is_off(t, *now_us);
}

static void switches_off_and_probes(void **state)
{
    static const struct {
        const char *story;
        bool off;
    } rows[] = {
        {"", false},          {"bbbb", false},
        {"xxx", false}, /* too few */
        {"xxxx", true},       {".xxx", true},
        {"..xx", false}, /* half is not more than half */
        {"..xxx", true},      {"....rr", false},
        {"....rrr", true},    {"rrrrrr", false}, /* nothing to revise */
        {"xxxx....", true},                      /* those under way do not bring it back */
        {"xxxx|", false},     {"xxxx|b", true},  /* one probe is out */
        {"xxxx|bb", true},    {"xxxx|bx", true},
        {"xxxx|bx|", false},  {"xxxx|b|", false}, /* nobody told how the probe ended: another one */
        {"xxxx|b|b", true},   {"xxxx|b.", false},
        {"xxxx|b.xx", false}, /* it is new: .xx is too few */
        {"xxxx|b.xxx", true}, {"xxxx|b.r", false},
        {"xxxx|x", false}, /* was under way all the time; no probe has begun */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct push_trial t = {0};
        uint64_t now_us = 5 * SECOND + 1;
        if (after(&t, &now_us, rows[i].story) != rows[i].off)
            fail_msg("%s: off is not %d", rows[i].story, rows[i].off);
    }
}

/* A past that was good does not hide for long that it is good no more, and the other way round. */
static void forgets(void **state)
{
    struct push_trial t = {0};
    uint64_t now_us = SECOND;
    for (int i = 0; i < 100000; i++)
        push_trial_end(&t, &rule, false, now_us);
    int failures = 0;
    while (!push_trial_is_off(&t, now_us)) {
        push_trial_end(&t, &rule, true, now_us);
        failures++;
    }
    assert_in_range(failures, PUSH_TRIAL_MAX / 2, 2 * PUSH_TRIAL_MAX);
}

/* Whatever happens in whatever order: counts stay within their bounds, and of what always fails no
 * more is begun than the header says. */
static void is_bounded(void **state)
{
    struct push_trial t = {0};
    uint64_t now_us = SECOND;
    srand(1);
    for (int i = 0; i < 200000; i++) {
        static const char letters[] = ".xrb|";
        const char story[] = {letters[rand() % 5], 0};
        after(&t, &now_us, story);
        assert_true(t.tries <= PUSH_TRIAL_MAX && t.failures <= t.tries);
    }
    t = (struct push_trial){0};
    unsigned begun = 0;
    for (int minute = 0; minute < 10; minute++, now_us += 60 * SECOND)
        for (int i = 0; i < 1000; i++)
            if (!push_trial_is_off(&t, now_us)) {
                push_trial_begin(&t, &rule, now_us);
                push_trial_end(&t, &rule, true, now_us);
                begun++;
            }
    assert_int_equal(begun, rule.least + 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(switches_off_and_probes),
        cmocka_unit_test(forgets),
        cmocka_unit_test(is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
