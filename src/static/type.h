/* SPDX-License-Identifier: Apache-2.0 */
/* Media types by a file's ending. */
#ifndef STATIC_TYPE_H
#define STATIC_TYPE_H

#include "base/slice.h"

struct static_type {
    const char *ending; /* without its dot, in lower case */
    struct slice type;  /* with its charset, for text */
    bool is_compressible;
};

/* Never NULL: what is not known is application/octet-stream. */
const struct static_type *static_type_of(struct slice path);

#endif
