/* SPDX-License-Identifier: Apache-2.0 */
/* The priority (RFC 9218) of what is pushed, as the browser would have given it.  Pure.
 *
 * The mapping is Chromium's, for a preload that is met before the first image: destination to
 * ResourceLoadPriority in blink/renderer/platform/loader/fetch/resource_fetcher.cc (TypeToPriority,
 * ComputeLoadPriority), fetchpriority, render-blocking and incremental in resource_request_utils.cc
 * beside it.  Its five priorities, VeryHigh to VeryLow, go out as urgency 0 to 4, by way of
 * net::RequestPriority and net/spdy/spdy_http_utils.cc. */
#ifndef PUSH_URGENCY_H
#define PUSH_URGENCY_H

#include "http/priority.h"

/* as             destination, in any case; empty or unknown: Low, the default of RFC 9218
 * fetchpriority  "high", "low"; whatever else is "auto".  In any case
 * critical       blocks rendering: at least High, as Chromium has it */
struct priority push_urgency(struct slice as, struct slice fetchpriority, bool critical);

/* For what is not critical: the same order among themselves, but after the document.  There is no
 * level below the last: nothing in it is incremental then, so as not to share with the document. */
struct priority push_urgency_after(struct priority p, struct priority document);

#endif
