/* SPDX-License-Identifier: Apache-2.0 */
/* Token buckets: how much of a costly thing a peer may ask for. */
#ifndef HTTP_H2_BUDGET_H
#define HTTP_H2_BUDGET_H

#include "http/h2.h"

#define H2_BUDGET_TABLE(X) \
    X(resets)              \
    X(settings)            \
    X(pings)               \
    X(empty)               \
    X(priority)            \
    X(window)

enum h2_budget_kind {
#define X(name) H2_BUDGET_##name,
    H2_BUDGET_TABLE(X)
#undef X
        H2_BUDGETS
};

struct h2_budgets {
    uint64_t micro[H2_BUDGETS]; /* millionths of a token that are left */
    uint64_t at_us[H2_BUDGETS]; /* when that was true */
};

/* Full buckets. */
void h2_budgets_init(struct h2_budgets *b, const struct h2_budget *sizes, uint64_t now_us);
/* Takes tokens, or the whole burst where that is less.  return  false when so many are not left */
bool h2_budgets_take(struct h2_budgets *b, const struct h2_budget *sizes, enum h2_budget_kind kind,
                     uint32_t tokens, uint64_t now_us);
enum h2_blame h2_budget_blame(enum h2_budget_kind kind);

#endif
