/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/panic.h"
#include "push/budget.h"

#define MS     1000u
#define MSS    1460u
#define IW10   (10 * MSS) /* RFC 6928 */
#define PLENTY (16u << 20)
#define MAX    PUSH_BUDGET_OCTETS_MAX

static void fits_into_idle_time(void **state)
{
    static const struct {
        struct push_path p;
        uint64_t octets;
    } rows[] = {
        {{0}, 0},
        /* 50 ms of round trip and 200 ms of thinking are 4 idle round trips: about 200 kB (H2O) */
        {{.rtt_us = 50 * MS, .cwnd_octets = IW10, .credit_octets = PLENTY, .think_us = 200 * MS},
         IW10 * (1 + 2 + 4 + 8)},
        /* whole ones count, and three quarters */
        {{.rtt_us = 50 * MS, .cwnd_octets = IW10, .credit_octets = PLENTY, .think_us = 188 * MS},
         IW10 * (1 + 2 + 4 + 8)},
        {{.rtt_us = 50 * MS, .cwnd_octets = IW10, .credit_octets = PLENTY, .think_us = 187 * MS},
         IW10 * (1 + 2 + 4)},
        {{.rtt_us = 50 * MS, .cwnd_octets = IW10, .credit_octets = PLENTY, .think_us = 50 * MS},
         IW10},
        /* without one: what the document leaves of the first window */
        {{.rtt_us = 50 * MS,
          .cwnd_octets = IW10,
          .credit_octets = PLENTY,
          .think_us = 37 * MS,
          .document_octets = 4600},
         IW10 - 4600},
        {{.rtt_us = 50 * MS,
          .cwnd_octets = IW10,
          .credit_octets = PLENTY,
          .document_octets = IW10 + 1},
         0},
        {{.rtt_us = 50 * MS, .cwnd_octets = IW10, .credit_octets = PLENTY}, 0},
        {{.rtt_us = 50 * MS, .cwnd_octets = 10 * IW10, .credit_octets = PLENTY},
         10 * IW10 - PUSH_BUDGET_DOCUMENT_OCTETS},
        /* min(bandwidth × RTT, initial window) − document: 1 Mbit/s, then 10 Mbit/s, in 50 ms */
        {{.rtt_us = 50 * MS,
          .cwnd_octets = IW10,
          .credit_octets = PLENTY,
          .octets_per_s = 125000,
          .document_octets = 4000},
         6250 - 4000},
        {{.rtt_us = 50 * MS,
          .cwnd_octets = IW10,
          .credit_octets = PLENTY,
          .octets_per_s = 1250000,
          .document_octets = 4000},
         IW10 - 4000},
        /* of the idle rounds none carries more than the path */
        {{.rtt_us = 50 * MS,
          .cwnd_octets = IW10,
          .credit_octets = PLENTY,
          .octets_per_s = 1000000,
          .think_us = 200 * MS},
         IW10 + 2 * IW10 + 2 * 50000},
        /* what is known of the path from before */
        {{.rtt_us = 50 * MS,
          .cwnd_octets = 20 * MSS,
          .credit_octets = PLENTY,
          .ssthresh_octets = 30 * MSS,
          .think_us = 200 * MS},
         (20 + 30 + 30 + 30) * MSS},
        {{.rtt_us = 50 * MS,
          .cwnd_octets = 40 * MSS,
          .credit_octets = PLENTY,
          .ssthresh_octets = 30 * MSS,
          .think_us = 100 * MS},
         2 * 40 * MSS},
        /* a round trip of which nothing is known is no idle one */
        {{.cwnd_octets = IW10, .credit_octets = PLENTY, .think_us = 200 * MS}, 0},
        {{.cwnd_octets = IW10, .credit_octets = PLENTY, .octets_per_s = 1, .document_octets = 4600},
         IW10 - 4600},
        /* what waits goes first */
        {{.rtt_us = 50 * MS,
          .cwnd_octets = IW10,
          .credit_octets = PLENTY,
          .think_us = 100 * MS,
          .queued_octets = 10000},
         3 * IW10 - 10000},
        {{.rtt_us = 50 * MS,
          .cwnd_octets = IW10,
          .credit_octets = PLENTY,
          .think_us = 100 * MS,
          .queued_octets = PLENTY},
         0},
        {{.rtt_us = 50 * MS,
          .cwnd_octets = IW10,
          .credit_octets = PLENTY,
          .document_octets = 4600,
          .queued_octets = 5000},
         IW10 - 4600 - 5000},
        /* flow control: 65,535 octets for all, until the client gives more */
        {{.rtt_us = 50 * MS,
          .cwnd_octets = IW10,
          .credit_octets = 65535,
          .think_us = 200 * MS,
          .document_octets = 20000},
         65535 - 20000},
        {{.rtt_us = 50 * MS, .cwnd_octets = IW10, .credit_octets = 65535, .think_us = 200 * MS},
         65535 - PUSH_BUDGET_DOCUMENT_OCTETS},
        {{.rtt_us = 50 * MS,
          .cwnd_octets = IW10,
          .credit_octets = 20000,
          .think_us = 200 * MS,
          .document_octets = 20000},
         0},
        {{.rtt_us = 50 * MS, .cwnd_octets = IW10, .think_us = 200 * MS}, 0},
        /* bounds */
        {{.rtt_us = 1, .cwnd_octets = MSS, .credit_octets = PLENTY, .think_us = 200 * MS},
         MSS * ((1u << PUSH_BUDGET_ROUNDS_MAX) - 1)},
        {{.rtt_us = 1, .cwnd_octets = IW10, .credit_octets = PLENTY, .think_us = UINT64_MAX}, MAX},
        {{.rtt_us = UINT32_MAX,
          .cwnd_octets = UINT64_MAX,
          .ssthresh_octets = UINT64_MAX,
          .octets_per_s = UINT64_MAX,
          .credit_octets = UINT64_MAX,
          .think_us = UINT64_MAX,
          .document_octets = 1},
         MAX},
        {{.rtt_us = 1,
          .cwnd_octets = UINT64_MAX,
          .credit_octets = UINT64_MAX,
          .document_octets = UINT64_MAX,
          .think_us = UINT64_MAX},
         0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t octets = push_budget(&rows[i].p);
        if (octets != rows[i].octets)
            fail_msg("row %zu: %llu is not %llu", i, (unsigned long long)octets,
                     (unsigned long long)rows[i].octets);
    }
}

/* Each fact pulls in one direction only. */
static void is_monotonic(void **state)
{
    srand(1);
    for (int i = 0; i < 100000; i++) {
        struct push_path p = {
            .rtt_us = (uint32_t)(rand() % 100) * MS,
            .cwnd_octets = (uint64_t)(rand() % 100) * MSS,
            .ssthresh_octets = rand() % 2 ? 0 : (uint64_t)(rand() % 100 + 1) * MSS,
            .octets_per_s = rand() % 2 ? 0 : (uint64_t)(rand() % 10000000 + 1),
            .queued_octets = (uint64_t)(rand() % 30000),
            .credit_octets = (uint64_t)(rand() % 1000000),
            .think_us = (uint64_t)(rand() % 400) * MS,
            .document_octets = (uint64_t)(rand() % 60000 + 1),
        };
        uint64_t octets = push_budget(&p);
        assert_true(octets <= MAX);
        struct push_path q = p;
        q.cwnd_octets += MSS;
        assert_true(push_budget(&q) >= octets);
        q = p;
        q.think_us += 10 * MS;
        assert_true(push_budget(&q) >= octets);
        q = p;
        q.credit_octets += 1000;
        assert_true(push_budget(&q) >= octets);
        q = p;
        q.document_octets += 1000;
        assert_true(push_budget(&q) <= octets);
        q = p;
        q.queued_octets += 1000;
        assert_true(push_budget(&q) <= octets);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fits_into_idle_time),
        cmocka_unit_test(is_monotonic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
