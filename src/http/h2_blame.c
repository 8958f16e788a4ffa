/* SPDX-License-Identifier: Apache-2.0 */
#include "http/h2_blame.h"
#include "base/panic.h"
#include "http/h2.h"

const struct h2_blame_row *h2_blame_row(enum h2_blame b)
{
    static const struct h2_blame_row rows[H2_BLAME_COUNT] = {
#define X(symbol, name_, scope_, code_, section_, text_) \
    [H2_BLAME_##symbol] = {name_, H2_SCOPE_##scope_, H2_##code_, section_, text_},
        H2_BLAME_TABLE(X)
#undef X
    };
    ASSERT(b < H2_BLAME_COUNT);
    return &rows[b];
}
