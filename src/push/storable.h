/* SPDX-License-Identifier: Apache-2.0 */
/* Whether what an answer to one client tells may be believed of an answer to another: the rules of
 * a shared cache (RFC 9111), though nothing is stored and nothing served by them.  Where the RFC
 * leaves a choice, the stricter is taken: a wrong "public" would tell one person's page by
 * another's.  Pure. */
#ifndef PUSH_STORABLE_H
#define PUSH_STORABLE_H

#include "push/settings.h"
#include "http/head.h"

enum push_storable {
    /* RFC 9111 3: no GET, no-store, or a status that says nothing of later ones: 206, 304, 5xx
     * without explicit freshness, … */
    PUSH_STORABLE_NOT,
    /* 5.2.2.7, 3.5: for whom it was made; with Set-Cookie, too.  Whether it may be stored or not.
     */
    PUSH_STORABLE_PRIVATE,
    PUSH_STORABLE_VARIES, /* 4.1: by what a request of our own does not copy */
    PUSH_STORABLE_PUBLIC, /* whoever asks without credentials gets the same */
    PUSH_STORABLE_COUNT
};

/* So many names of fields in all of Vary; who has more varies by everything.  Each is looked for in
 * requests, and a worker may list thirty thousand. */
#define PUSH_VARY_MAX 32

/* Of a final response and the request that it answers.  copied: bits of enum push_copy, what
 * requests of our own have from the page's; of fields that name a person the answer varies all the
 * same.
 *
 * Beside RFC 9111 3 and 5.2: `private` and `no-cache` with field names are read as without them;
 * `must-understand` does not weaken `no-store`; a request with Cookie makes an answer private
 * unless this is public by its own words (`public`, `s-maxage`, or `max-age` that is not 0); Vary:
 * Origin is no variation when the request had no Origin, as a request of our own never has. */
enum push_storable push_storable(const struct http_head *request, const struct http_head *response,
                                 uint32_t copied);

#define PUSH_BELIEVED_MIN_S 60
#define PUSH_BELIEVED_MAX_S 600

/* For how many seconds one may expect that the next answer is like this one: the freshness lifetime
 * for shared caches less Age (RFC 9111 4.2.1; Expires is not read), but at least
 * PUSH_BELIEVED_MIN_S, also without any or with `no-cache`, since what is expected is never served,
 * and at most PUSH_BELIEVED_MAX_S. */
uint32_t push_believed_s(const struct http_head *response);

#endif
