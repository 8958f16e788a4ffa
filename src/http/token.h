/* SPDX-License-Identifier: Apache-2.0 */
/* Field names that the front end knows, as small numbers: a name is looked up once, when it comes
 * in, and compared as an integer from then on. */
#ifndef HTTP_TOKEN_H
#define HTTP_TOKEN_H

#include "base/slice.h"

/* What a field name means on its way through a proxy. */
enum {
    TOKEN_HOP = 1,     /* RFC 9110 7.6.1: for one hop only; malformed in HTTP/2 (RFC 9113 8.2.2) */
    TOKEN_FORWARD = 2, /* names the client to the worker, or (Proxy, HTTP_PROXY to CGI) a proxy: a
                        * copy from outside is stripped */
    TOKEN_SECRET = 4,  /* never indexed by HPACK (RFC 7541 7.1.3), never logged */
    TOKEN_PSEUDO = 8,  /* RFC 9113 8.3 */
    TOKEN_FRAMING = 16 /* an HTTP/1.1 engine writes it from what it knows (RFC 9112 6, 7.4) */
};

/*  symbol, name, first index in HPACK's static table (0: not there), flags */
#define TOKEN_TABLE(X)                                                                             \
    X(AUTHORITY, ":authority", 1, TOKEN_PSEUDO)                                                    \
    X(METHOD, ":method", 2, TOKEN_PSEUDO)                                                          \
    X(PATH, ":path", 4, TOKEN_PSEUDO)                                                              \
    X(SCHEME, ":scheme", 6, TOKEN_PSEUDO)                                                          \
    X(STATUS, ":status", 8, TOKEN_PSEUDO)                                                          \
    X(PROTOCOL, ":protocol", 0, TOKEN_PSEUDO)                                                      \
    X(ACCEPT_CHARSET, "accept-charset", 15, 0)                                                     \
    X(ACCEPT_ENCODING, "accept-encoding", 16, 0)                                                   \
    X(ACCEPT_LANGUAGE, "accept-language", 17, 0)                                                   \
    X(ACCEPT_RANGES, "accept-ranges", 18, 0)                                                       \
    X(ACCEPT, "accept", 19, 0)                                                                     \
    X(ACCESS_CONTROL_ALLOW_ORIGIN, "access-control-allow-origin", 20, 0)                           \
    X(AGE, "age", 21, 0)                                                                           \
    X(ALLOW, "allow", 22, 0)                                                                       \
    X(AUTHORIZATION, "authorization", 23, TOKEN_SECRET)                                            \
    X(CACHE_CONTROL, "cache-control", 24, 0)                                                       \
    X(CONTENT_DISPOSITION, "content-disposition", 25, 0)                                           \
    X(CONTENT_ENCODING, "content-encoding", 26, 0)                                                 \
    X(CONTENT_LANGUAGE, "content-language", 27, 0)                                                 \
    X(CONTENT_LENGTH, "content-length", 28, TOKEN_FRAMING)                                         \
    X(CONTENT_LOCATION, "content-location", 29, 0)                                                 \
    X(CONTENT_RANGE, "content-range", 30, 0)                                                       \
    X(CONTENT_TYPE, "content-type", 31, 0)                                                         \
    X(COOKIE, "cookie", 32, TOKEN_SECRET)                                                          \
    X(DATE, "date", 33, 0)                                                                         \
    X(ETAG, "etag", 34, 0)                                                                         \
    X(EXPECT, "expect", 35, 0)                                                                     \
    X(EXPIRES, "expires", 36, 0)                                                                   \
    X(FROM, "from", 37, 0)                                                                         \
    X(HOST, "host", 38, 0)                                                                         \
    X(IF_MATCH, "if-match", 39, 0)                                                                 \
    X(IF_MODIFIED_SINCE, "if-modified-since", 40, 0)                                               \
    X(IF_NONE_MATCH, "if-none-match", 41, 0)                                                       \
    X(IF_RANGE, "if-range", 42, 0)                                                                 \
    X(IF_UNMODIFIED_SINCE, "if-unmodified-since", 43, 0)                                           \
    X(LAST_MODIFIED, "last-modified", 44, 0)                                                       \
    X(LINK, "link", 45, 0)                                                                         \
    X(LOCATION, "location", 46, 0)                                                                 \
    X(MAX_FORWARDS, "max-forwards", 47, 0)                                                         \
    X(PROXY_AUTHENTICATE, "proxy-authenticate", 48, 0)                                             \
    X(PROXY_AUTHORIZATION, "proxy-authorization", 49, TOKEN_SECRET)                                \
    X(RANGE, "range", 50, 0)                                                                       \
    X(REFERER, "referer", 51, 0)                                                                   \
    X(REFRESH, "refresh", 52, 0)                                                                   \
    X(RETRY_AFTER, "retry-after", 53, 0)                                                           \
    X(SERVER, "server", 54, 0)                                                                     \
    X(SET_COOKIE, "set-cookie", 55, TOKEN_SECRET)                                                  \
    X(STRICT_TRANSPORT_SECURITY, "strict-transport-security", 56, 0)                               \
    X(TRANSFER_ENCODING, "transfer-encoding", 57, TOKEN_HOP)                                       \
    X(USER_AGENT, "user-agent", 58, 0)                                                             \
    X(VARY, "vary", 59, 0)                                                                         \
    X(VIA, "via", 60, 0)                                                                           \
    X(WWW_AUTHENTICATE, "www-authenticate", 61, 0)                                                 \
    X(CONNECTION, "connection", 0, TOKEN_HOP)                                                      \
    X(KEEP_ALIVE, "keep-alive", 0, TOKEN_HOP)                                                      \
    X(PROXY_CONNECTION, "proxy-connection", 0, TOKEN_HOP)                                          \
    X(UPGRADE, "upgrade", 0, TOKEN_HOP)                                                            \
    X(HTTP2_SETTINGS, "http2-settings", 0, TOKEN_HOP)                                              \
    X(TE, "te", 0, TOKEN_FRAMING)                                                                  \
    X(TRAILER, "trailer", 0, TOKEN_FRAMING)                                                        \
    X(PRIORITY, "priority", 0, 0)                                                                  \
    X(ORIGIN, "origin", 0, 0)                                                                      \
    X(PRAGMA, "pragma", 0, 0)                                                                      \
    X(EARLY_DATA, "early-data", 0, TOKEN_FORWARD)                                                  \
    X(SEC_FETCH_DEST, "sec-fetch-dest", 0, 0)                                                      \
    X(SEC_FETCH_MODE, "sec-fetch-mode", 0, 0)                                                      \
    X(SEC_FETCH_SITE, "sec-fetch-site", 0, 0)                                                      \
    X(SEC_FETCH_USER, "sec-fetch-user", 0, 0)                                                      \
    X(SEC_CH_UA, "sec-ch-ua", 0, 0)                                                                \
    X(SEC_CH_UA_MOBILE, "sec-ch-ua-mobile", 0, 0)                                                  \
    X(SEC_CH_UA_PLATFORM, "sec-ch-ua-platform", 0, 0)                                              \
    X(UPGRADE_INSECURE_REQUESTS, "upgrade-insecure-requests", 0, 0)                                \
    X(X_FRAME_OPTIONS, "x-frame-options", 0, 0)                                                    \
    X(X_CONTENT_TYPE_OPTIONS, "x-content-type-options", 0, 0)                                      \
    X(X_XSS_PROTECTION, "x-xss-protection", 0, 0)                                                  \
    X(X_POWERED_BY, "x-powered-by", 0, 0)                                                          \
    X(X_REQUESTED_WITH, "x-requested-with", 0, 0)                                                  \
    X(CONTENT_SECURITY_POLICY, "content-security-policy", 0, 0)                                    \
    X(REFERRER_POLICY, "referrer-policy", 0, 0)                                                    \
    X(PERMISSIONS_POLICY, "permissions-policy", 0, 0)                                              \
    X(ACCESS_CONTROL_ALLOW_HEADERS, "access-control-allow-headers", 0, 0)                          \
    X(ACCESS_CONTROL_ALLOW_METHODS, "access-control-allow-methods", 0, 0)                          \
    X(ACCESS_CONTROL_EXPOSE_HEADERS, "access-control-expose-headers", 0, 0)                        \
    X(ACCESS_CONTROL_MAX_AGE, "access-control-max-age", 0, 0)                                      \
    X(ALT_SVC, "alt-svc", 0, 0)                                                                    \
    X(SERVER_TIMING, "server-timing", 0, 0)                                                        \
    X(CROSS_ORIGIN_OPENER_POLICY, "cross-origin-opener-policy", 0, 0)                              \
    X(CROSS_ORIGIN_RESOURCE_POLICY, "cross-origin-resource-policy", 0, 0)                          \
    X(SEC_PURPOSE, "sec-purpose", 0, 0)                                                            \
    X(DNT, "dnt", 0, 0)                                                                            \
    X(SEC_WEBSOCKET_KEY, "sec-websocket-key", 0, 0)                                                \
    X(SEC_WEBSOCKET_ACCEPT, "sec-websocket-accept", 0, 0)                                          \
    X(SEC_WEBSOCKET_VERSION, "sec-websocket-version", 0, 0)                                        \
    X(FORWARDED, "forwarded", 0, TOKEN_FORWARD)                                                    \
    X(X_FORWARDED_FOR, "x-forwarded-for", 0, TOKEN_FORWARD)                                        \
    X(X_FORWARDED_PROTO, "x-forwarded-proto", 0, TOKEN_FORWARD)                                    \
    X(X_FORWARDED_HOST, "x-forwarded-host", 0, TOKEN_FORWARD)                                      \
    X(X_FORWARDED_PORT, "x-forwarded-port", 0, TOKEN_FORWARD)                                      \
    X(X_FORWARDED_TLSVERSION, "x-forwarded-tlsversion", 0, TOKEN_FORWARD)                          \
    X(X_APPSERVICE_PROTO, "x-appservice-proto", 0, TOKEN_FORWARD)                                  \
    X(X_ARR_LOG_ID, "x-arr-log-id", 0, TOKEN_FORWARD)                                              \
    X(X_ARR_SSL, "x-arr-ssl", 0, TOKEN_FORWARD)                                                    \
    X(X_CLIENT_IP, "x-client-ip", 0, TOKEN_FORWARD)                                                \
    X(X_CLIENT_PORT, "x-client-port", 0, TOKEN_FORWARD)                                            \
    X(CLIENT_IP, "client-ip", 0, TOKEN_FORWARD)                                                    \
    X(DISGUISED_HOST, "disguised-host", 0, TOKEN_FORWARD)                                          \
    X(WAS_DEFAULT_HOSTNAME, "was-default-hostname", 0, TOKEN_FORWARD)                              \
    X(X_SITE_DEPLOYMENT_ID, "x-site-deployment-id", 0, TOKEN_FORWARD)                              \
    X(X_ORIGINAL_URL, "x-original-url", 0, TOKEN_FORWARD)                                          \
    X(X_WAWS_UNENCODED_URL, "x-waws-unencoded-url", 0, TOKEN_FORWARD)                              \
    X(PROXY, "proxy", 0, TOKEN_FORWARD)                                                            \
    X(X_REQUEST_ID, "x-request-id", 0, 0)                                                          \
    X(PORTICO_PUSH, "portico-push", 0, 0)                                                          \
    X(PORTICO_PUSH_TOKEN, "portico-push-token", 0, TOKEN_FORWARD | TOKEN_SECRET)

enum token {
    TOKEN_NONE = 0, /* a name that is not in the table */
#define X(symbol, name, hpack, flags) TOKEN_##symbol,
    TOKEN_TABLE(X)
#undef X
        TOKEN_COUNT
};

/* Octets of the longest name and what HTTP/1.1 writes behind it, rounded up so that few and whole
 * words are copied and compared. */
#define TOKEN_LINE_OCTETS 32

struct token_row {
    char line[TOKEN_LINE_OCTETS]; /* "name: ", then zeroes */
    struct slice name;            /* in line */
    uint8_t hpack;
    uint8_t flags;
};

extern const struct token_row token_rows[TOKEN_COUNT];

/* name: in lower case.  return  its token, or TOKEN_NONE */
enum token token_find(struct slice name);
/* name: in whatever case, and TOKEN_LINE_OCTETS octets may be read from where it begins. */
enum token token_find_any_case(struct slice name);
static inline unsigned token_flags(unsigned token)
{
    return token_rows[token].flags;
}

#endif
