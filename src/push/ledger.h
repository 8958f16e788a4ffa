/* SPDX-License-Identifier: Apache-2.0 */
/* The fate of each promise, as counts.  The ledger lies in memory shared with control: one thread
 * of edge writes its own copy, others read; each count is atomic by itself. */
#ifndef PUSH_LEDGER_H
#define PUSH_LEDGER_H

#include "push/decision.h"

#include <stdatomic.h>

/* fate, stable code, the sentence that a person reads */
#define PUSH_FATE_TABLE(X)                                                                  \
    X(COMPLETED, "completed", "The pushed response was sent whole.")                        \
    X(REFUSED, "refused", "The client reset the pushed stream (CANCEL or REFUSED_STREAM).") \
    X(FAILED, "failed", "The worker's response failed, or the connection ended.")           \
    X(NOT_PUSHED, "not-pushed", "It was not pushed; the reason says why.")

enum push_fate {
#define X(name, code, text) PUSH_FATE_##name,
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
const char *push_fate_text(enum push_fate f);
/* Adds the counts of `from` to *to: summing over loops. */
void push_ledger_sum(struct push_ledger *to, const struct push_ledger *from);

#endif
