/* SPDX-License-Identifier: Apache-2.0 */
/* Conditional requests.  RFC 9110 13 */
#ifndef STATIC_CONDITION_H
#define STATIC_CONDITION_H

#include "http/head.h"

/* What tells one state of a file from another.  Either may be missing: a file that was written this
 * moment may change again without its time or tag telling. */
struct static_validators {
    struct slice etag;  /* strong, with its quotes; or empty */
    int64_t modified_s; /* seconds since 1970; -1: none */
};

enum static_condition {
    STATIC_CONDITION_HOLDS,
    STATIC_CONDITION_NOT_MODIFIED, /* 304 */
    STATIC_CONDITION_FAILED,       /* 412 */
};

/* For GET and HEAD of something that exists, in the order of RFC 9110 13.2.2, without If-Range. */
enum static_condition static_condition_check(const struct fields *f,
                                             const struct static_validators *v);
/* Whether Range counts: If-Range is absent, or names this very state.  RFC 9110 13.1.5 */
bool static_condition_range_holds(const struct fields *f, const struct static_validators *v);
/* An HTTP-date in any of its three forms (RFC 9110 5.6.7).  return  false: none */
bool static_date_parse(struct slice text, int64_t *out);

#endif
