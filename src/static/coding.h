/* SPDX-License-Identifier: Apache-2.0 */
/* Which precompressed form a client takes.  RFC 9110 12.5.3 */
#ifndef STATIC_CODING_H
#define STATIC_CODING_H

#include "http/head.h"

/*  symbol, content coding, what a file's name ends with; the best first */
#define STATIC_CODING_TABLE(X) \
    X(BR, "br", ".br")         \
    X(ZSTD, "zstd", ".zst")    \
    X(GZIP, "gzip", ".gz")

enum static_coding {
#define X(symbol, name, suffix) STATIC_##symbol,
    STATIC_CODING_TABLE(X)
#undef X
        STATIC_CODING_COUNT
};

struct static_coding_row {
    struct slice name, suffix;
};
extern const struct static_coding_row static_codings[STATIC_CODING_COUNT];

/* The codings that this client would rather have than none, the most wanted first.
 * return  how many */
unsigned static_coding_wanted(const struct fields *f, enum static_coding out[STATIC_CODING_COUNT]);

#endif
