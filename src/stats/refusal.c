/* SPDX-License-Identifier: Apache-2.0 */
#include "stats/refusal.h"
#include "base/panic.h"

const struct refusal_row *refusal_row(enum refusal r)
{
    static const struct refusal_row rows[REFUSAL_COUNT] = {
#define X(symbol, name_, answer_, standard_, limit_, text_) \
    [REFUSAL_##symbol] = {name_, answer_, standard_, limit_, text_},
        REFUSAL_TABLE(X)
#undef X
    };
    ASSERT(r < REFUSAL_COUNT);
    return &rows[r];
}

const struct fault_row *fault_row(enum fault f)
{
    static const struct fault_row rows[FAULT_COUNT] = {
#define X(symbol, status_, name_, limit_, text_) [FAULT_##symbol] = {status_, name_, limit_, text_},
        FAULT_TABLE(X)
#undef X
    };
    ASSERT(f < FAULT_COUNT);
    return &rows[f];
}
