/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include "edge/addresses.h"

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
        cmocka_unit_test(loops_share_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
