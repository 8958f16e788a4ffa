/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include "edge/addresses.h"

#include <arpa/inet.h>
#include <pthread.h>

static struct addr address(const char *text)
{
    struct addr a;
    assert_int_equal(addr_parse(slice_str(text), &a), 0);
    return a;
}

static void counts_at_the_limit_and_one_more(void **state)
{
    struct addresses *t = addresses_new();
    struct addr a = address("192.0.2.1:1"), same = address("192.0.2.1:2"),
                other = address("192.0.2.2:1");
    assert_int_equal(addresses_enter(t, &a, 2), 0);
    assert_int_equal(addresses_enter(t, &same, 2), 0);
    assert_int_equal(addresses_enter(t, &a, 2), ERR_LIMIT);
    assert_int_equal(addresses_enter(t, &other, 2), 0);
    addresses_leave(t, &same);
    assert_int_equal(addresses_enter(t, &a, 2), 0);
    addresses_leave(t, &a);
    addresses_leave(t, &a);
    addresses_leave(t, &other);
    addresses_free(t); /* asserts that nobody is left */
}

static void one_host_has_a_whole_64(void **state)
{
    struct addresses *t = addresses_new();
    struct addr a = address("[2001:db8:1:2::1]:1"), near = address("[2001:db8:1:2:ffff::9]:1"),
                far = address("[2001:db8:1:3::1]:1"), four = address("192.0.2.1:1"),
                mapped = address("[::ffff:192.0.2.1]:1"),
                alike = address("[c000:201::1]:1"); /* begins with the octets of 192.0.2.1 */
    assert_int_equal(addresses_enter(t, &a, 1), 0);
    assert_int_equal(addresses_enter(t, &near, 1), ERR_LIMIT);
    assert_int_equal(addresses_enter(t, &far, 1), 0);
    assert_int_equal(addresses_enter(t, &four, 1), 0);
    assert_int_equal(addresses_enter(t, &mapped, 1), ERR_LIMIT);
    assert_int_equal(addresses_enter(t, &alike, 1), 0);
    addresses_leave(t, &a);
    addresses_leave(t, &far);
    addresses_leave(t, &mapped);
    addresses_leave(t, &alike);
    addresses_free(t);
}

#define SECOND 1000000u

static const struct limit_rate abuses = {.burst = 3, .per_second = 1};

/* It comes, is abused and goes, as often as that.  return  whether it was suspect when it came last
 */
static bool abuse(struct addresses *t, const struct addr *a, unsigned times, uint64_t now_us)
{
    bool is_suspect = false;
    for (unsigned i = 0; i < times; i++) {
        assert_int_equal(addresses_enter(t, a, 0), 0);
        is_suspect = addresses_excess(t, a, abuses, now_us) > 0;
        addresses_blame(t, a, ADDRESSES_ABUSE, abuses, now_us);
        addresses_leave(t, a);
    }
    return is_suspect;
}

static bool is_suspect(struct addresses *t, const struct addr *a, uint64_t now_us)
{
    assert_int_equal(addresses_enter(t, a, 0), 0);
    bool yes = addresses_excess(t, a, abuses, now_us) > 0;
    addresses_leave(t, a);
    return yes;
}

static void who_abuses_again_and_again_is_suspect(void **state)
{
    struct addresses *t = addresses_new();
    struct addr a = address("192.0.2.1:1"), other = address("192.0.2.2:1");
    assert_false(abuse(t, &a, abuses.burst, SECOND));
    assert_true(is_suspect(t, &a, SECOND));
    assert_false(is_suspect(t, &other, SECOND));
    assert_true(is_suspect(t, &a, SECOND)); /* to go and come back does not help */
    assert_false(is_suspect(t, &a, 2 * SECOND));
    assert_true(abuse(t, &a, 2, 2 * SECOND));
    addresses_free(t);
}

static void who_goes_on_stays_suspect_for_a_while(void **state)
{
    struct addresses *t = addresses_new();
    struct addr a = address("192.0.2.1:1");
    assert_true(abuse(t, &a, 1000, SECOND));
    assert_true(is_suspect(t, &a, 4 * SECOND - 1));
    assert_false(is_suspect(t, &a, 4 * SECOND));
    assert_false(is_suspect(t, &a, UINT64_MAX)); /* no overflow */
    assert_true(abuse(t, &a, 1000, UINT64_MAX));
    assert_true(is_suspect(t, &a, 5)); /* a clock that goes back forgives nothing */
    addresses_free(t);
}

static void excess_is_counted_and_bounded(void **state)
{
    struct addresses *t = addresses_new();
    struct addr a = address("192.0.2.1:1");
    assert_int_equal(addresses_enter(t, &a, 0), 0);
    addresses_blame(t, &a, 3 * ADDRESSES_ABUSE - 1, abuses, SECOND);
    assert_int_equal(addresses_excess(t, &a, abuses, SECOND), 0);
    addresses_blame(t, &a, 1, abuses, SECOND); /* parts add up */
    assert_int_equal(addresses_excess(t, &a, abuses, SECOND), 1);
    addresses_blame(t, &a, ADDRESSES_ABUSE, abuses, SECOND);
    assert_int_equal(addresses_excess(t, &a, abuses, SECOND), 2);
    addresses_blame(t, &a, UINT32_MAX, abuses, SECOND);
    assert_int_equal(addresses_excess(t, &a, abuses, SECOND), abuses.burst);
    addresses_leave(t, &a);
    addresses_free(t);
}

static void so_many_are_remembered(void **state)
{
    struct addresses *t = addresses_new();
    struct addr first = address("10.0.0.0:1"), a = first;
    for (uint32_t i = 0; i <= ADDRESSES_REMEMBERED; i++) {
        a.u.in.sin_addr.s_addr = htonl(0x0a000000 + i);
        abuse(t, &a, abuses.burst, SECOND);
        assert_true(is_suspect(t, &a, SECOND));
    }
    assert_false(is_suspect(t, &first, SECOND)); /* the oldest was forgotten for the last */
    assert_true(is_suspect(t, &a, SECOND));
    addresses_free(t);
}

#define ROUNDS 20000

static void *come_and_go(void *user)
{
    struct addr a = address("192.0.2.1:1");
    for (unsigned i = 0; i < ROUNDS; i++)
        if (addresses_enter(user, &a, 3) == 0)
            addresses_leave(user, &a);
    return NULL;
}

static void loops_share_it(void **state)
{
    struct addresses *t = addresses_new();
    pthread_t threads[4];
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, t), 0);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    addresses_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_at_the_limit_and_one_more),
        cmocka_unit_test(one_host_has_a_whole_64),
        cmocka_unit_test(who_abuses_again_and_again_is_suspect),
        cmocka_unit_test(who_goes_on_stays_suspect_for_a_while),
        cmocka_unit_test(excess_is_counted_and_bounded),
        cmocka_unit_test(so_many_are_remembered),
        cmocka_unit_test(loops_share_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
