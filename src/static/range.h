/* SPDX-License-Identifier: Apache-2.0 */
/* The Range field.  RFC 9110 14.1.2, 14.2 */
#ifndef STATIC_RANGE_H
#define STATIC_RANGE_H

#include "base/slice.h"

/* A set of more is answered in whole, which a server may always do: hundreds of small ranges are
 * somebody who wants us to work.  RFC 9110 17.15 */
#define STATIC_RANGES_MAX 16u
/* Ranges with a smaller gap are sent as one: a part's head costs as much.  RFC 9110 15.3.7.2 */
#define STATIC_RANGE_GAP_OCTETS 80u

struct static_range {
    uint64_t first, last; /* both included; last < size */
};

enum static_range_result {
    STATIC_RANGE_IGNORE,        /* another unit, malformed or too many: the whole is sent */
    STATIC_RANGE_OK,            /* at least one */
    STATIC_RANGE_UNSATISFIABLE, /* 416 */
};

/* size: octets of the representation; of an empty one no range can be said, so it is ignored.
 * out   in the order asked for; those that overlap or nearly touch are merged */
enum static_range_result static_range_parse(struct slice value, uint64_t size,
                                            struct static_range out[STATIC_RANGES_MAX],
                                            unsigned *count_out);

#endif
