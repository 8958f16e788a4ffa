/* SPDX-License-Identifier: Apache-2.0 */
#include "push/ledger.h"
#include "base/panic.h"

static const struct {
    const char *code, *text;
} fates[PUSH_FATE_COUNT] = {
#define X(name, code_, text_) [PUSH_FATE_##name] = {.code = code_, .text = text_},
    PUSH_FATE_TABLE(X)
#undef X
};

const char *push_fate_name(enum push_fate f)
{
    ASSERT((unsigned)f < PUSH_FATE_COUNT);
    return fates[f].code;
}

const char *push_fate_text(enum push_fate f)
{
    ASSERT((unsigned)f < PUSH_FATE_COUNT);
    return fates[f].text;
}

/* Counts are read one by one and order nothing else. */
static void add(_Atomic uint64_t *count, uint64_t n)
{
    atomic_fetch_add_explicit(count, n, memory_order_relaxed);
}

void push_ledger_promise(struct push_ledger *l, enum push_source source, struct push_decision d)
{
    ASSERT((unsigned)source < PUSH_SOURCE_COUNT && (unsigned)d.reason < PUSH_REASON_COUNT);
    add(&l->promises[source], 1);
    add(&l->reasons[d.reason], 1);
}

void push_ledger_fate(struct push_ledger *l, enum push_fate fate, uint64_t octets)
{
    ASSERT((unsigned)fate < PUSH_FATE_COUNT);
    add(&l->fates[fate], 1);
    add(&l->octets_sent, octets);
    if (fate == PUSH_FATE_REFUSED)
        add(&l->octets_refused, octets);
}

static void sum(_Atomic uint64_t *to, const _Atomic uint64_t *from, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        add(&to[i], atomic_load_explicit(&from[i], memory_order_relaxed));
}

void push_ledger_sum(struct push_ledger *to, const struct push_ledger *from)
{
    sum(to->promises, from->promises, PUSH_SOURCE_COUNT);
    sum(to->reasons, from->reasons, PUSH_REASON_COUNT);
    sum(to->fates, from->fates, PUSH_FATE_COUNT);
    sum(&to->octets_sent, &from->octets_sent, 1);
    sum(&to->octets_refused, &from->octets_refused, 1);
    sum(&to->worker_resets, &from->worker_resets, 1);
    sum(&to->worker_drained, &from->worker_drained, 1);
}
