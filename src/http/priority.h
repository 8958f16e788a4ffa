/* SPDX-License-Identifier: Apache-2.0 */
/* Extensible priorities.  RFC 9218 */
#ifndef HTTP_PRIORITY_H
#define HTTP_PRIORITY_H

#include "base/slice.h"

#define PRIORITY_URGENCY_DEFAULT 3
#define PRIORITY_URGENCY_MAX     7

struct priority {
    uint8_t urgency; /* 0 first, 7 last */
    bool incremental;
};

#define PRIORITY_DEFAULT ((struct priority){.urgency = PRIORITY_URGENCY_DEFAULT})

/* Overlay the parameters of a Priority field value (a Structured Fields dictionary) onto *p; what
 * it does not mention, or mentions with a wrong type or range, keeps its value (RFC 9218 4).
 * return  false when the value does not parse: *p is then untouched */
bool priority_parse(struct slice value, struct priority *p);

#endif
