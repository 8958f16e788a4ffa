/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "base/panic.h"

static const struct err_row rows[ERR_POS_COUNT] = {
    [0] = {"OK", "success", ERR_CLASS_OURS, 200, 0, 0},
#define X(name_, class__, status, h2, exit, text_)      \
    [ERR_POS_##name_] = {.name = #name_,                \
                         .text = text_,                 \
                         .class_ = ERR_CLASS_##class__, \
                         .http_status = status,         \
                         .h2_code = h2,                 \
                         .exit_code = exit},
    ERR_TABLE(X)
#undef X
};

const struct err_row *err_row(long code)
{
    ASSERT(code <= 0 && code > -(long)ERR_POS_COUNT);
    return &rows[-code];
}
