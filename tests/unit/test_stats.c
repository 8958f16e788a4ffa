/* SPDX-License-Identifier: Apache-2.0 */
/* The layout of the shared counters, and that nobody looks at what was never used. */
#include "stats/stats.h"
#include "base/panic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LOOPS = 3, SLOTS = 64 };

/* Octets of the region that are real. */
static size_t resident(void *base, size_t octets)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = (octets + page - 1) / page, count = 0;
    unsigned char *in = malloc(pages);
    assert_non_null(in);
    assert_int_equal(mincore(base, octets, in), 0);
    for (size_t i = 0; i < pages; i++)
        count += in[i] & 1;
    free(in);
    return count * page;
}

static void test_parts(void **state)
{
    size_t octets = stats_octets(LOOPS, SLOTS);
    char *memory = aligned_alloc(64, (octets + 63) / 64 * 64);
    (void)state;
    assert_non_null(memory);
    memset(memory, 0, octets);
    stats_init(memory, LOOPS, SLOTS);
    struct stats h = stats_open(memory, octets);
    assert_non_null(h.memory);
    assert_null(stats_open(memory, octets - 1).memory);
    for (uint32_t i = 0; i < SLOTS; i++) /* all of all parts is written, and none is another's */
        memset(stats_name(h, i), 'n', STATS_NAME_OCTETS);
    for (uint32_t loop = 0; loop < LOOPS; loop++) {
        memset((void *)stats_loop(h, loop), 1, sizeof(struct stats_loop));
        for (uint32_t i = 0; i < SLOTS; i++) {
            assert_null(stats_site_used(h, loop, i));
            memset((void *)stats_site(h, loop, i), 2, sizeof(struct stats_site));
            assert_ptr_equal(stats_site_used(h, loop, i), stats_site(h, loop, i));
        }
    }
    for (uint32_t i = 0; i < SLOTS; i++)
        assert_int_equal(stats_name(h, i)[STATS_NAME_OCTETS - 1], 'n');
    stats_site_clear(h, 1, 7);
    assert_int_equal(stats_get(&stats_site(h, 1, 7)->requests), 0);
    assert_int_not_equal(stats_get(&stats_site(h, 1, 6)->requests), 0);
    stats_forget(h, 1);
    assert_int_equal(stats_get(&stats_site(h, 1, 6)->requests_open), 0);
    assert_int_not_equal(stats_get(&stats_site(h, 2, 6)->requests_open), 0);
    assert_non_null(stats_open(memory, octets).memory);
    free(memory);
}

/* Edge and control both write there, and one of them may have been broken into. */
static void test_nobody_moves_where_another_looks(void **state)
{
    size_t octets = stats_octets(LOOPS, SLOTS);
    char *memory = aligned_alloc(64, (octets + 63) / 64 * 64);
    (void)state;
    assert_non_null(memory);
    memset(memory, 0, octets);
    stats_init(memory, LOOPS, SLOTS);
    struct stats h = stats_open(memory, octets);
    const void *loop = stats_loop(h, 2), *site = stats_site(h, 2, 5), *name = stats_name(h, 5);
    struct stats_header *shared = (void *)memory;
    shared->loops = STATS_MAX_LOOPS;
    shared->site_slots = UINT32_MAX;
    assert_ptr_equal(stats_loop(h, 2), loop);
    assert_ptr_equal(stats_site(h, 2, 5), site);
    assert_ptr_equal(stats_name(h, 5), name);
    free(memory);
}

/* What a loop that has died had open is open no more; what it counted was so. */
static void test_gauges_of_the_dead(void **state)
{
    size_t octets = stats_octets(1, 1);
    char *memory = aligned_alloc(64, (octets + 63) / 64 * 64);
    (void)state;
    assert_non_null(memory);
    memset(memory, 0, octets);
    stats_init(memory, 1, 1);
    struct stats h = stats_open(memory, octets);
    struct stats_loop *loop = stats_loop(h, 0);
    struct stats_site *site = stats_site(h, 0, 0);
    memset((void *)loop, 1, sizeof *loop);
    memset((void *)site, 1, sizeof *site);
    stats_forget(h, 0);
#define X(symbol, name, type, help) \
    assert_int_equal(stats_get(&loop->symbol) == 0, strcmp(type, "gauge") == 0);
    STATS_LOOP_TABLE(X)
#undef X
#define X(symbol, name, type, help) \
    assert_int_equal(stats_get(&site->symbol) == 0, strcmp(type, "gauge") == 0);
    STATS_SITE_TABLE(X)
#undef X
    free(memory);
}

static void test_unused_stays_a_hole(void **state)
{
    const uint32_t slots = 4096;
    size_t octets = stats_octets(LOOPS, slots);
    void *memory = mmap(NULL, octets, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    (void)state;
    assert_ptr_not_equal(memory, MAP_FAILED);
    stats_init(memory, LOOPS, slots);
    struct stats h = stats_open(memory, octets);
    for (uint32_t i = 0; i < slots; i++)
        stats_name(h, i)[0] = 'a';
    stats_add(&stats_site(h, 0, 9)->requests, 1);
    for (uint32_t loop = 0; loop < LOOPS; loop++) {
        stats_forget(h, loop);
        for (uint32_t i = 10; i < slots; i++) {
            assert_null(stats_site_used(h, loop, i));
            stats_site_clear(h, loop, i);
        }
    }
    assert_true(resident(memory, octets) < octets / 8);
    munmap(memory, octets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_nobody_moves_where_another_looks),
        cmocka_unit_test(test_gauges_of_the_dead),
        cmocka_unit_test(test_unused_stays_a_hole),
    };
    return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
