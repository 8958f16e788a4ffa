/* SPDX-License-Identifier: Apache-2.0 */
/* Link fields (RFC 8288) with rel=preload, read into promises.  Pure. */
#ifndef PUSH_LINK_H
#define PUSH_LINK_H

#include "push/promise.h"

#define LINK_MAX_FIELD_OCTETS 16384 /* the rest of a longer value is not read */
#define LINK_MAX_PROMISES     64    /* of one response */

/* Called for each preload; p and what it points to live in the arena. */
typedef void (*link_promise_fn)(void *user, struct push_promise *p);

/* Read all Link fields of a response to `request` (scheme, authority and path are the base of
 * relative references: RFC 3986 5.2, dot segments removed).  Elements whose target has another
 * scheme or authority are given too, with that authority: the decision refuses them.  Malformed
 * elements are skipped, the next one is read.
 * return  how many promises were given */
unsigned link_read(const struct fields *response_fields, const struct http_head *request,
                   enum push_source source, struct arena *arena, link_promise_fn on_promise,
                   void *user);

#endif
