/* SPDX-License-Identifier: Apache-2.0 */
/* URI references resolved against a request.  RFC 3986 5.2.  Pure. */
#ifndef PUSH_REFERENCE_H
#define PUSH_REFERENCE_H

#include "http/head.h"

/* A target in the form that a request has it. */
struct reference {
    struct slice scheme;    /* "https" or "http" */
    struct slice authority; /* the request's own octets when it names the same one; else lower case
                               and without the scheme's default port */
    struct slice path;      /* origin-form with query, no dot segments, no fragment */
};

/* Whether a URI may have this octet; a browser would have to encode the others. */
bool reference_octet(char c);
/* Whether all of them may be there, and each "%" begins a whole percent-encoding. */
bool reference_octets_valid(struct slice s);

/* text: borrowed; what *out points to lives in the arena or is static.
 * return  false: not a reference, not http or https, an authority with user information or with
 *         octets other than a plain host name's or an IPv6 literal's, or memory is out */
bool reference_resolve(const struct http_head *request, struct slice text, struct arena *arena,
                       struct reference *out);

#endif
