/* SPDX-License-Identifier: Apache-2.0 */
#include "route/limits.h"

#define COUNT(first, second)  (first)
#define OCTETS(first, second) (first)
#define SIZE(first, second)   (first)
#define MS(first, second)     (first)
#define RATE(first, second) \
    {                       \
        first, second       \
    }

const struct limits limits_default = {
#define X(kind, symbol, key, first, second, least, most, reason) .symbol = kind(first, second),
    LIMIT_TABLE(X)
#undef X
};

#undef COUNT
#undef OCTETS
#undef SIZE
#undef MS
#undef RATE

static bool in_range(uint64_t v, uint64_t least, uint64_t most)
{
    return v >= least && v <= most;
}

#define VALID_COUNT(v, least, most)  in_range(v, least, most)
#define VALID_OCTETS(v, least, most) in_range(v, least, most)
#define VALID_SIZE(v, least, most)   in_range(v, least, most)
#define VALID_MS(v, least, most)     in_range(v, least, most)
#define VALID_RATE(v, least, most) \
    (in_range((v).burst, least, most) && in_range((v).per_second, least, most))

bool limits_valid(const struct limits *l)
{
    return true
#define X(kind, symbol, key, first, second, least, most, reason) \
    &&VALID_##kind(l->symbol, least, most)
        LIMIT_TABLE(X)
#undef X
            ;
}
