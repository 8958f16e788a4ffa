/* SPDX-License-Identifier: Apache-2.0 */
/* What a request tells of who made it, and of what the client has already.  Pure.  All of it is the
 * client's own word: it decides what helps this client, and guards nothing. */
#ifndef PUSH_KIND_H
#define PUSH_KIND_H

#include "http/head.h"

/* kind, name in metrics, of what User-Agent tells (RFC 9110 10.1.5).  Browsers by their engine,
 * which is what push and 103 depend on: every browser on iOS is a Safari, most others are a
 * Chromium. */
#define PUSH_KIND_TABLE(X)                                                    \
    X(NONE, "none") /* no User-Agent: Node's http2 and many that are small */ \
    X(OTHER, "other")                                                         \
    X(CHROMIUM, "chromium")                                                   \
    X(FIREFOX, "firefox")                                                     \
    X(SAFARI, "safari")                                                       \
    X(NODE, "node") /* fetch: undici */                                       \
    X(JAVA, "java") /* java.net, Apache HttpComponents, Jetty */              \
    X(GO, "go")                                                               \
    X(NGHTTP, "nghttp") /* and h2load */                                      \
    X(CURL, "curl")                                                           \
    X(OKHTTP, "okhttp")

enum push_kind {
#define X(name, text) PUSH_KIND_##name,
    PUSH_KIND_TABLE(X)
#undef X
        PUSH_KIND_COUNT
};

/* Of a longer User-Agent the rest is not looked at. */
#define PUSH_KIND_AGENT_OCTETS 512

enum push_kind push_kind(struct slice user_agent);
const char *push_kind_name(enum push_kind k);

/* By Fetch Metadata, which browsers send and scripts cannot change; without it nothing is known:
 * NOT. A browser acts on a 103 for TOP only: none for subresources, and not in frames. */
enum push_navigation {
    PUSH_NAVIGATION_NOT,
    PUSH_NAVIGATION_NESTED, /* into a frame, an embed or an object */
    PUSH_NAVIGATION_TOP,    /* a page of its own */
};

enum push_navigation push_navigation(const struct http_head *request);

/* The client has this page, so probably what belongs to it: If-None-Match or If-Modified-Since.
 * RFC 9110 13.1 */
bool push_is_revalidation(const struct http_head *request);
/* The user wants all of it anew, or checked: Cache-Control with no-cache, no-store or max-age=0, or
 * without that field Pragma with no-cache.  RFC 9111 5.2.1, 5.4 */
bool push_is_reload(const struct http_head *request);

#endif
