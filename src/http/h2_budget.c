/* SPDX-License-Identifier: Apache-2.0 */
#include "http/h2_internal.h"

#define MICRO 1000000u

static struct h2_bucket size_of(const struct h2_budget *sizes, enum h2_budget_kind kind)
{
    switch (kind) {
#define X(name)            \
    case H2_BUDGET_##name: \
        return sizes->name;
        H2_BUDGET_TABLE(X)
#undef X
    case H2_BUDGETS:
        break;
    }
    UNREACHABLE();
}

void h2_budgets_init(struct h2_budgets *b, const struct h2_budget *sizes, uint64_t now_us)
{
    for (unsigned k = 0; k < H2_BUDGETS; k++) {
        b->micro[k] = (uint64_t)size_of(sizes, (enum h2_budget_kind)k).burst * MICRO;
        b->at_us[k] = now_us;
    }
}

bool h2_budgets_take(struct h2_budgets *b, const struct h2_budget *sizes, enum h2_budget_kind kind,
                     uint32_t tokens, uint64_t now_us)
{
    struct h2_bucket size = size_of(sizes, kind);
    uint64_t full = (uint64_t)size.burst * MICRO, lack = full - b->micro[kind];
    uint64_t elapsed = now_us > b->at_us[kind] ? now_us - b->at_us[kind] : 0;
    /* Divide rather than multiply: a long idle time must not overflow. */
    if (size.per_second && elapsed >= lack / size.per_second + 1)
        b->micro[kind] = full;
    else
        b->micro[kind] += elapsed * size.per_second;
    if (b->micro[kind] > full)
        b->micro[kind] = full;
    b->at_us[kind] = now_us;
    uint64_t cost = (uint64_t)(tokens < size.burst ? tokens : size.burst) * MICRO;
    if (b->micro[kind] < cost || size.burst == 0)
        return false;
    b->micro[kind] -= cost;
    return true;
}

enum h2_blame h2_budget_blame(enum h2_budget_kind kind)
{
    static const enum h2_blame blame[H2_BUDGETS] = {
        [H2_BUDGET_resets] = H2_BLAME_BUDGET_RESETS,
        [H2_BUDGET_settings] = H2_BLAME_BUDGET_SETTINGS,
        [H2_BUDGET_pings] = H2_BLAME_BUDGET_PINGS,
        [H2_BUDGET_empty] = H2_BLAME_BUDGET_EMPTY,
        [H2_BUDGET_priority] = H2_BLAME_BUDGET_PRIORITY,
        [H2_BUDGET_window] = H2_BLAME_BUDGET_WINDOW,
    };
    ASSERT(kind < H2_BUDGETS);
    return blame[kind];
}

int h2_conn_charge(struct h2_conn *c, enum h2_budget_kind kind, uint32_t tokens)
{
    if (h2_budgets_take(&c->budgets, &c->settings.budget, kind, tokens, c->now_us))
        return 0;
    return h2_conn_fail(c, h2_budget_blame(kind));
}

int h2_conn_charge_unearned(struct h2_conn *c, enum h2_budget_kind kind, uint32_t *earned)
{
    if (*earned == 0)
        return h2_conn_charge(c, kind, 1);
    --*earned;
    return 0;
}

uint32_t h2_conn_resets(struct h2_conn *c, uint64_t now_us)
{
    const struct h2_budget *sizes = &c->settings.budget;
    h2_budgets_take(&c->budgets, sizes, H2_BUDGET_resets, 0, now_us); /* what has come back */
    return sizes->resets.burst - (uint32_t)(c->budgets.micro[H2_BUDGET_resets] / MICRO);
}
