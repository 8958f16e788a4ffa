/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "push/past.h"

static void add(struct push_past *p, struct pool *pool, uint32_t stream_id, uint64_t resource)
{
    push_past_add(p, pool, &(struct push_past_entry){.stream_id = stream_id, .resource = resource});
}

static void finds_by_stream_and_resource(void **state)
{
    struct push_past p = {0};
    struct pool pool;
    pool_init(&pool);
    assert_null(push_past_stream(&p, 2));
    assert_null(push_past_resource(&p, 7));
    assert_int_equal(pool.live, 0);
    add(&p, &pool, 2, 7);
    add(&p, &pool, 6, 9);
    add(&p, &pool, 4, 7);
    assert_int_equal(push_past_stream(&p, 2)->resource, 7);
    assert_int_equal(push_past_stream(&p, 6)->resource, 9);
    assert_int_equal(push_past_resource(&p, 7)->stream_id, 4);
    assert_null(push_past_stream(&p, 8));
    assert_null(push_past_stream(&p, 0));
    assert_null(push_past_resource(&p, 0));
    push_past_stream(&p, 6)->is_refused = true;
    assert_true(push_past_resource(&p, 9)->is_refused);
    push_past_fini(&p, &pool);
    assert_null(push_past_stream(&p, 2));
    assert_int_equal(pool.live, 0);
    pool_fini(&pool);
}

static void forgets_the_oldest(void **state)
{
    struct push_past p = {0};
    struct pool pool;
    pool_init(&pool);
    for (uint32_t i = 1; i <= 3 * PUSH_PAST_MAX + 1; i++)
        add(&p, &pool, 2 * i, i);
    uint32_t first = 2 * PUSH_PAST_MAX + 2;
    assert_null(push_past_stream(&p, 2 * (first - 1)));
    assert_null(push_past_resource(&p, first - 1));
    for (uint32_t i = first; i < first + PUSH_PAST_MAX; i++)
        assert_int_equal(push_past_stream(&p, 2 * i)->resource, i);
    push_past_fini(&p, &pool);
    pool_fini(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_by_stream_and_resource),
        cmocka_unit_test(forgets_the_oldest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
