/* SPDX-License-Identifier: Apache-2.0 */
/* The fate of each promise, as counts.  The ledger lies in memory shared with control: one thread
 * of edge writes its own copy, others read; each count is atomic by itself. */
#ifndef PUSH_LEDGER_H
#define PUSH_LEDGER_H

#include "push/decision.h"

#include <stdatomic.h>

/* fate, name */
#define PUSH_FATE_TABLE(X)                                                                \
    X(COMPLETED, "completed") /* the pushed response left whole */                        \
    X(REFUSED, "refused")     /* the client reset it: CANCEL or REFUSED_STREAM */         \
    X(FAILED, "failed")       /* the worker's response failed, or the connection ended */ \
    X(NOT_PUSHED, "not-pushed")                                                           \
    X(HINTED, "hinted")       /* the client was told */                                   \
    X(HINT_USED, "hint-used") /* and asked for it on the same connection */               \
    X(PARKED, "parked")       /* told, and the worker's response is kept for it */        \
    X(COLLECTED, "collected") /* it asked, and got that */                                \
    X(EXPIRED, "expired")     /* it did not, in time or with the same request */          \
    X(REPEATED, "repeated")   /* what was pushed was asked for again: waste */            \
    X(OBSERVED, "observed")   /* decided, and nothing sent */

enum push_fate {
#define X(name, text) PUSH_FATE_##name,
    PUSH_FATE_TABLE(X)
#undef X
        PUSH_FATE_COUNT
};

struct push_ledger {
    _Atomic uint64_t promises[PUSH_SOURCE_COUNT];
    _Atomic uint64_t reasons[PUSH_REASON_COUNT]; /* one a promise */
    _Atomic uint64_t fates[PUSH_FATE_COUNT];     /* one a promise, when it has ended */
    _Atomic uint64_t octets_sent;                /* body octets of pushed responses */
    _Atomic uint64_t octets_refused;             /* those sent before the client refused */
    _Atomic uint64_t worker_resets;  /* promises refused towards workers by RST_STREAM */
    _Atomic uint64_t worker_drained; /* refused promises whose response was read and thrown away,
                                        because the ration of resets was used up */
};

/* Counts source and reason.  A promise that is not pushed ends at once: the caller counts its fate
 * NOT_PUSHED too. */
void push_ledger_promise(struct push_ledger *l, enum push_source source, struct push_decision d);
/* How a pushed response ended, with the octets of its body that left. */
void push_ledger_fate(struct push_ledger *l, enum push_fate fate, uint64_t octets);
const char *push_fate_name(enum push_fate f);
/* Adds the counts of `from` to *to: summing over loops. */
void push_ledger_sum(struct push_ledger *to, const struct push_ledger *from);

#endif
