/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/panic.h"
#include "cli/push.h"

#include <stdio.h>

/* A resource about which there is nothing to say, and its page. */
static const struct watch_resource fine = {.as = {"style", 5},
                                           .has_freshness = true,
                                           .is_whole = true,
                                           .status = 200,
                                           .octets = 20000,
                                           .promised_us = 1000,
                                           .head_us = 2000};
static const struct watch_resource page = {.status = 200, .head_us = 200000};

static void advises(void **state)
{
    const struct {
        const char *codes; /* each with a space after it */
        struct watch_resource r;
        int64_t head_us; /* of the page, if not 0 */
    } rows[] = {
        {"", {.pushed = true}, 0},
        {"", {.hinted = true}, 0},
        {"", {.linked = true, .promised_us = 49999}, 0},
        {"", {.hinted = true, .promised_us = 100000}, 0},
        {"late-hint ", {.hinted = true, .promised_us = 195000}, 0},
        {"", {.hinted = true, .promised_us = 45000}, 50000},
        {"earlier ", {.linked = true, .promised_us = 200000}, 0},
        {"earlier ", {.pushed = true, .promised_us = 60000}, 0},
        {"earlier ", {.pushed = true, .hinted = true, .promised_us = 199000}, 0},
        {"failed ", {.pushed = true, .status = 404}, 0},
        {"not-cacheable ", {.pushed = true, .no_store = true}, 0},
        {"inline ", {.pushed = true, .octets = 1024}, 0},
        {"", {.pushed = true, .octets = 1025}, 0},
        {"late-hint not-cacheable inline ",
         {.hinted = true, .promised_us = 195000, .no_store = true, .octets = 1},
         0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct watch_resource r = fine, document = page;
        struct advice advice[ADVICE_MAX];
        struct pool pool;
        struct arena arena;
        char codes[100] = "";
        pool_init(&pool);
        arena_init(&arena, &pool);
        r.pushed = rows[i].r.pushed;
        r.hinted = rows[i].r.hinted;
        r.linked = rows[i].r.linked;
        r.no_store = rows[i].r.no_store;
        if (rows[i].r.status)
            r.status = rows[i].r.status;
        if (rows[i].r.octets)
            r.octets = rows[i].r.octets;
        if (rows[i].r.promised_us)
            r.promised_us = rows[i].r.promised_us;
        if (rows[i].head_us)
            document.head_us = rows[i].head_us;
        unsigned n = push_advise(&document, &r, &arena, advice);
        assert_true(n <= ADVICE_MAX);
        for (unsigned k = 0; k < n; k++) {
            assert_true(advice[k].text.len > 10);
            strcat(strcat(codes, advice[k].code), " ");
        }
        if (strcmp(codes, rows[i].codes) != 0)
            fail_msg("row %zu: \"%s\", not \"%s\"", i, codes, rows[i].codes);
        arena_fini(&arena);
        pool_fini(&pool);
    }
}

/* Whatever was seen of it, there is room for what is said. */
static void fits_whatever_is_said(void **state)
{
    struct pool pool;
    struct arena arena;
    pool_init(&pool);
    arena_init(&arena, &pool);
    for (unsigned bits = 0; bits < 1024; bits++) {
        const struct watch_resource r = {
            .pushed = bits & 1,
            .hinted = bits & 2,
            .linked = bits & 4,
            .no_store = bits & 8,
            .is_whole = bits & 16,
            .as = bits & 32 ? SLICE("font") : SLICE(""),
            .status = bits & 64 ? 200 : 500,
            .promised_us = bits & 128 ? 195000 : WATCH_NEVER,
            .octets = bits & 256 ? 1 : 100000,
        };
        struct watch_resource document = page;
        if (bits & 512)
            document.head_us = WATCH_NEVER;
        struct advice exact[ADVICE_MAX];
        assert_true(push_advise(&document, &r, &arena, exact) <= ADVICE_MAX);
    }
    arena_fini(&arena);
    pool_fini(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(advises),
        cmocka_unit_test(fits_whatever_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
