/* SPDX-License-Identifier: Apache-2.0 */
#include "push/budget.h"

/* So that no product of two numbers that the kernel or a peer has chosen overflows. */
#define LARGE (UINT64_C(1) << 31)

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* What the path carries in a round trip, for all that is known. */
static uint64_t ceiling(const struct push_path *p)
{
    if (!p->octets_per_s || !p->rtt_us)
        return LARGE;
    return least(least(p->octets_per_s, LARGE) * p->rtt_us / 1000000, LARGE);
}

static uint64_t sent_while_idle(const struct push_path *p, uint64_t rounds)
{
    uint64_t sum = 0, window = least(p->cwnd_octets, LARGE), most = ceiling(p);
    for (rounds = least(rounds, PUSH_BUDGET_ROUNDS_MAX); rounds; rounds--) {
        sum += least(window, most);
        if (!p->ssthresh_octets || window < p->ssthresh_octets)
            window = p->ssthresh_octets ? least(2 * window, p->ssthresh_octets) : 2 * window;
    }
    return sum;
}

/* Three quarters of a round trip count as one: the document then meets the last of what is being
 * acknowledged, and goes out in a window that has grown by it. */
static uint64_t idle_rounds(const struct push_path *p)
{
    if (!p->rtt_us)
        return 0;
    return p->think_us / p->rtt_us + (p->think_us % p->rtt_us >= p->rtt_us - p->rtt_us / 4);
}

uint64_t push_budget(const struct push_path *p)
{
    uint64_t document = p->document_octets ? p->document_octets : PUSH_BUDGET_DOCUMENT_OCTETS;
    uint64_t rounds = idle_rounds(p), octets;
    if (rounds)
        octets = sent_while_idle(p, rounds);
    else
        octets = less(least(least(p->cwnd_octets, LARGE), ceiling(p)), document);
    octets = less(octets, p->queued_octets);
    octets = least(octets, less(p->credit_octets, document));
    return least(octets, PUSH_BUDGET_OCTETS_MAX);
}
