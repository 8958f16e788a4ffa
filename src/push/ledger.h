/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of promises, as counts: of an app as a whole, and of the resources that it promises
 * most.  The ledger lies in memory shared with control: one thread of edge writes its own copy,
 * others read without a lock, and each count is atomic by itself.
 *
 * Rows of resources are bounded, so one is given to another resource now and then.  Which: the one
 * that is used least, and the new one inherits its weight (Metwally, Agrawal and El Abbadi, 2005:
 * what is promised more often than once in PUSH_LEDGER_ROWS has a row, whatever else comes by).
 * For readers a row has a version: odd while it changes hands, and another one afterwards.  All of
 * a row is written with release and read with acquire, so a reader that has got anything of the new
 * resource sees that the version is not the one that it began with, and reads again.  No count is
 * ever told under another resource's name. */
#ifndef PUSH_LEDGER_H
#define PUSH_LEDGER_H

#include "base/histogram.h"
#include "push/decision.h"
#include "push/kind.h"

#include <stdatomic.h>

/* What the octets of a fate are. */
enum push_octets {
    PUSH_OCTETS_NOT,    /* none were sent for it */
    PUSH_OCTETS_SENT,   /* content of a pushed response, sent */
    PUSH_OCTETS_LOST,   /* sent, and wasted */
    PUSH_OCTETS_WASTED, /* counted as sent before, now known to be wasted */
};

/* fate, stable code, octets, the sentence that a person reads */
#define PUSH_FATE_TABLE(X)                                                                     \
    X(COMPLETED, "completed", SENT, "The pushed response was sent whole.")                     \
    X(REFUSED, "refused", LOST, "The client reset the pushed stream: waste.")                  \
    X(REFUSED_LATE, "refused-late", WASTED,                                                    \
      "It completed, and the client reset the stream after all: waste.")                       \
    X(FAILED, "failed", LOST, "The worker's response failed, or the connection ended: waste.") \
    X(NOT_PUSHED, "not-pushed", NOT, "It was not pushed; the reason says why.")                \
    X(HINTED, "hinted", NOT, "The client was told by 103 Early Hints or by Link.")             \
    X(HINT_USED, "hint-used", NOT, "It was, and asked for it on the same connection.")         \
    X(PARKED, "parked", NOT,                                                                   \
      "The client was told by 103, and the worker's response was kept for its own request.")   \
    X(COLLECTED, "collected", NOT, "It asked, and got the response that was kept.")            \
    X(EXPIRED, "expired", NOT, "It did not ask in time, or not with the same request.")        \
    X(REPEATED, "repeated", WASTED,                                                            \
      "The client asked on the same connection for what had been pushed: waste.")              \
    X(OBSERVED, "observed", NOT, "It was decided and counted, and nothing was sent.")

enum push_fate {
#define X(name, code, octets, text) PUSH_FATE_##name,
    PUSH_FATE_TABLE(X)
#undef X
        PUSH_FATE_COUNT
};

const char *push_fate_name(enum push_fate f);
const char *push_fate_text(enum push_fate f);

#define PUSH_LEDGER_ROWS        32
#define PUSH_LEDGER_PATH_OCTETS 120 /* the rest of a longer path is not kept */

/* Whose row it is.  Only ledger.c looks inside. */
struct push_ledger_row {
    _Atomic uint32_t version;
    _Atomic uint32_t hash; /* of all of the path */
    _Atomic uint64_t weight;
    _Atomic uint64_t path[PUSH_LEDGER_PATH_OCTETS / 8];
    _Atomic uint64_t path_octets; /* 0: nobody's */
    _Atomic uint64_t reason;      /* enum push_reason of the last decision */
    _Atomic uint64_t is_switched_off;
    _Atomic uint64_t pushed;
    _Atomic uint64_t fates[PUSH_FATE_COUNT];
    _Atomic uint64_t octets_sent, octets_wasted;
};

enum push_group { PUSH_HELPED, PUSH_HELD_BACK, PUSH_GROUP_COUNT };

struct push_ledger {
    _Atomic uint64_t promises[PUSH_SOURCE_COUNT];
    _Atomic uint64_t vehicles[PUSH_VEHICLE_COUNT];
    _Atomic uint64_t reasons[PUSH_REASON_COUNT];      /* one a promise */
    _Atomic uint64_t hint_reasons[PUSH_REASON_COUNT]; /* one a promise that is not pushed */
    _Atomic uint64_t fates[PUSH_FATE_COUNT];
    _Atomic uint64_t kind_fates[PUSH_KIND_COUNT][PUSH_FATE_COUNT];
    _Atomic uint64_t vehicle_fates[PUSH_VEHICLE_COUNT][PUSH_FATE_COUNT];
    _Atomic uint64_t octets_sent;    /* content of pushed responses */
    _Atomic uint64_t octets_refused; /* of those, sent before the client refused */
    _Atomic uint64_t octets_wasted;
    _Atomic uint64_t worker_resets;  /* promises refused towards workers by RST_STREAM */
    _Atomic uint64_t worker_drained; /* refused promises whose response was read and thrown away,
                                        because the ration of resets was used up */
    /* From the head of a page's request to the end of its response, of pages that promise. */
    struct histogram pages[PUSH_GROUP_COUNT];

    struct push_ledger_row rows[PUSH_LEDGER_ROWS];
};

/* Counts source, vehicle and reasons.  A promise that is not pushed ends at once: the caller counts
 * its fate, too. */
void push_ledger_promise(struct push_ledger *l, enum push_source source, struct push_decision d);
/* Whether it has counted one. */
bool push_ledger_has_promises(const struct push_ledger *l);
/* How it ended, or went on.  octets: see push_octets; else 0. */
void push_ledger_fate(struct push_ledger *l, enum push_fate fate, uint64_t octets,
                      enum push_kind kind, enum push_vehicle vehicle);
void push_ledger_page(struct push_ledger *l, enum push_group group, uint64_t us);

/* The row of a promised resource, by its path; a query may hold secrets and is not kept.
 * return  never NULL; to be used before the next call of this for the same ledger */
struct push_ledger_row *push_ledger_resource(struct push_ledger *l, struct slice path);
void push_ledger_row_promise(struct push_ledger_row *r, struct push_decision d);
void push_ledger_row_fate(struct push_ledger_row *r, enum push_fate fate, uint64_t octets);
/* While it stays the same, the row is the same resource's: who comes back to it later asks. */
uint32_t push_ledger_row_version(const struct push_ledger_row *r);
/* The resource is not pushed any more for its waste, or is again. */
void push_ledger_row_switch(struct push_ledger_row *r, bool is_off);

/* Adds the counts of `from` to *to, without the rows: summing over loops. */
void push_ledger_sum(struct push_ledger *to, const struct push_ledger *from);

/* A row as a reader gets it. */
struct push_resource_counts {
    char path[PUSH_LEDGER_PATH_OCTETS + 1];
    uint32_t hash; /* of the whole path */
    bool is_cut, is_switched_off;
    enum push_reason reason;
    uint64_t weight, pushed, fates[PUSH_FATE_COUNT], octets_sent, octets_wasted;
};

/* i < PUSH_LEDGER_ROWS.  return  false: it is nobody's, or is just changing hands */
bool push_ledger_read(const struct push_ledger *l, unsigned i, struct push_resource_counts *out);

#endif
