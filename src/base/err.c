/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "base/panic.h"

static const struct err_row rows[ERR_POS_COUNT] = {
    [0] = {.text = "success", .http_status = 200, .exit_code = 0},
#define X(name, status, exit, text_) \
    [ERR_POS_##name] = {.text = text_, .http_status = status, .exit_code = exit},
    ERR_TABLE(X)
#undef X
};

const struct err_row *err_row(long code)
{
    ASSERT(code <= 0 && code > -(long)ERR_POS_COUNT);
    return &rows[-code];
}
