/* SPDX-License-Identifier: Apache-2.0 */
/* Whether what a worker answered to its own promise may answer a client's request.  Pure.
 *
 * The two requests are not one: the worker made up the first for the page that the client was
 * getting.  It stands for the second only where nothing that could change the answer differs
 * (RFC 9111 4.1), and only for the one who got the page. */
#ifndef PUSH_PARKED_H
#define PUSH_PARKED_H

#include "push/storable.h"

/* A response that may wait: 200, without Set-Cookie, not no-store, and Vary names what it varies
 * by, at most PUSH_VARY_MAX fields. */
bool push_may_park(const struct http_head *response);
/* asked: the client's request; promised: the worker's; page: the request of the page that promised;
 * response: what push_may_park has passed.  Method, authority, path, Cookie and Authorization (of
 * the page), Origin (of the promise), each field that Vary names; not from another site, no Range,
 * no condition, no reload. */
bool push_parked_fits(const struct http_head *asked, const struct http_head *promised,
                      const struct http_head *page, const struct http_head *response);

#endif
