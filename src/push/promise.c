/* SPDX-License-Identifier: Apache-2.0 */
#include "push/promise.h"
#include "base/panic.h"

static const char *const source_names[PUSH_SOURCE_COUNT] = {
#define X(name, text) [PUSH_SOURCE_##name] = text,
    PUSH_SOURCE_TABLE(X)
#undef X
};

const char *push_source_name(enum push_source s)
{
    ASSERT((unsigned)s < PUSH_SOURCE_COUNT);
    return source_names[s];
}
