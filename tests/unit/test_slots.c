/* SPDX-License-Identifier: Apache-2.0 */
/* Which slot of the counters is whose. */
#include "control/slots.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static bool is_one_of(void *user, struct slice name)
{
    for (const char **n = user; *n; n++)
        if (slice_eq(slice_str(*n), name))
            return true;
    return false;
}

static int64_t find(struct slots *s, const char *name, const char **in_use, bool *reused_out)
{
    return slots_find(s, slice_str(name), is_one_of, in_use, reused_out);
}

/* An app keeps its slot; the slot of one that is gone is the last resort. */
static void test_slots(void **state)
{
    struct slots s;
    const char *abc[] = {"a", "b", "c", NULL}, *acd[] = {"a", "c", "d", NULL};
    bool reused;
    (void)state;
    assert_int_equal(slots_init(&s, 3), 0);
    assert_int_equal(find(&s, "a", abc, &reused), 0);
    assert_int_equal(find(&s, "b", abc, &reused), 1);
    assert_int_equal(find(&s, "a", abc, &reused), 0);
    assert_false(reused);
    assert_int_equal(find(&s, "c", acd, &reused), 2);
    assert_false(reused);
    assert_int_equal(find(&s, "d", acd, &reused), 1);
    assert_true(reused);
    assert_string_equal(s.names[1], "d");
    assert_int_equal(find(&s, "c", acd, &reused), 2);
    slots_fini(&s);
}

/* Those of an earlier life count; between them there may be room. */
static void test_slots_recalled(void **state)
{
    struct slots s;
    const char *abc[] = {"a", "b", "c", NULL};
    bool reused;
    (void)state;
    assert_int_equal(slots_init(&s, 4), 0);
    assert_int_equal(slots_recall(&s, 0, ""), 0);
    assert_int_equal(slots_recall(&s, 1, "a"), 0);
    assert_int_equal(slots_recall(&s, 2, ""), 0);
    assert_int_equal(slots_recall(&s, 3, "gone"), 0);
    assert_int_equal(find(&s, "a", abc, &reused), 1);
    assert_int_equal(find(&s, "b", abc, &reused), 0);
    assert_int_equal(find(&s, "c", abc, &reused), 2);
    assert_false(reused);
    assert_int_equal(find(&s, "b", abc, &reused), 0);
    slots_fini(&s);
}

/* Edge may write where the names are kept, and may have been broken into: with the name of an app
 * that is in use everywhere there would be no slot left for another one. */
static void test_slots_recalled_twice(void **state)
{
    struct slots s;
    const char *ab[] = {"a", "b", NULL};
    bool reused;
    (void)state;
    assert_int_equal(slots_init(&s, 3), 0);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(slots_recall(&s, i, "a"), 0);
    assert_int_equal(find(&s, "b", ab, &reused), 1);
    assert_false(reused);
    assert_int_equal(find(&s, "a", ab, &reused), 0);
    slots_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slots),
        cmocka_unit_test(test_slots_recalled),
        cmocka_unit_test(test_slots_recalled_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
