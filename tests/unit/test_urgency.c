/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/panic.h"
#include "push/urgency.h"

/* What Chromium sends for a preload: urgencies with fetchpriority auto, high and low, and those of
 * what is critical. */
static const struct {
    const char *as;
    uint8_t plain[3], critical[3];
    bool incremental;
} rows[] = {
    {"style", {0, 0, 1}, {0, 0, 1}, false},  {"font", {1, 1, 3}, {1, 1, 1}, false},
    {"script", {1, 1, 3}, {1, 1, 1}, false}, {"fetch", {1, 1, 3}, {1, 1, 1}, true},
    {"image", {3, 1, 3}, {1, 1, 1}, true},   {"track", {3, 1, 3}, {1, 1, 1}, true},
    {"audio", {3, 1, 3}, {1, 1, 1}, true},   {"video", {3, 1, 3}, {1, 1, 1}, true},
    {"", {3, 1, 3}, {1, 1, 1}, false},       {"document", {3, 1, 3}, {1, 1, 1}, false},
    {"STYLE", {0, 0, 1}, {0, 0, 1}, false},
};

static struct slice text(const char *s)
{
    return slice_of(s, strlen(s));
}

static void test_destinations(void **state)
{
    static const char *const hints[][3] = {{"auto", "high", "low"}, {"", "HIGH", "Low"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (unsigned h = 0; h < 6; h++) {
            struct slice as = text(rows[i].as), hint = text(hints[h / 3][h % 3]);
            struct priority plain = push_urgency(as, hint, false);
            struct priority critical = push_urgency(as, hint, true);
            if (plain.urgency != rows[i].plain[h % 3] ||
                critical.urgency != rows[i].critical[h % 3])
                fail_msg("%s, %.*s: %u, critical %u", rows[i].as, SLICE_FMT(hint), plain.urgency,
                         critical.urgency);
            assert_true(plain.incremental == rows[i].incremental);
            assert_true(critical.incremental == rows[i].incremental);
        }
}

/* Behind the document, whatever its priority; in the same order as far as there are levels. */
static void test_after(void **state)
{
    for (uint8_t document = 0; document <= PRIORITY_URGENCY_MAX; document++) {
        uint8_t last = 0;
        for (uint8_t u = 0; u <= PRIORITY_URGENCY_MAX; u++) {
            struct priority p = push_urgency_after((struct priority){u, true},
                                                   (struct priority){.urgency = document});
            assert_in_range(p.urgency, last, PRIORITY_URGENCY_MAX);
            assert_true(p.urgency > document || (document == 7 && !p.incremental));
            assert_true(p.urgency == document + 1 + u || p.urgency == PRIORITY_URGENCY_MAX);
            last = p.urgency;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_destinations),
        cmocka_unit_test(test_after),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
