/* SPDX-License-Identifier: Apache-2.0 */
/* What the front end refuses, and what it answers: a row each.  Counters, access log, pages and
 * doc/limits.md come from these tables and from H2_BLAME_TABLE (http/h2_blame.h). */
#ifndef STATS_REFUSAL_H
#define STATS_REFUSAL_H

#include "http/h2_blame.h"

/* Of a client's connection, before it is known whom it asks.
 * symbol, name, answer, where that is written, key of the limit, text */
#define REFUSAL_TABLE(X)                                                                        \
    X(ADDRESS_CONNECTIONS, "address.connections", "closed", "", "connectionsPerAddress",        \
      "One address has too many connections open.")                                             \
    X(MEMORY, "memory", "closed", "", "memory",                                                 \
      "Edge holds all that it may: who has it hold most is let go, who is new is not taken.")   \
    X(TLS_SLOW, "tls.slow", "closed", "", "handshake", "The TLS handshake took too long.")      \
    X(TLS_HANDSHAKE, "tls.handshake", "alert", "RFC 8446 6.2", "", "The TLS handshake failed.") \
    X(TLS_RECORD, "tls.record", "alert", "RFC 8446 6.2", "", "A record could not be read.")     \
    X(TLS_KEY_UPDATES, "tls.key-updates", "closed", "RFC 8446 4.6.3", "keyUpdates",             \
      "The client changed its keys too often.")                                                 \
    X(SILENT, "silent", "closed", "RFC 9110 7.6", "requestHead",                                \
      "No request came on a new connection.")                                                   \
    X(NOT_HTTP, "not-http", "closed", "", "", "What came first is not HTTP.")                   \
    X(H1_SLOW, "http1.slow", "408", "RFC 9110 15.5.9", "requestHead",                           \
      "A request's head took too long; on a connection that had one before: timeouts.idle.")    \
    X(H1_MESSAGE, "http1.message", "400", "RFC 9112 2.2", "", "A request is malformed.")        \
    X(H1_VERSION, "http1.version", "505", "RFC 9110 15.6.6", "",                                \
      "A request is of a version other than 1.0 and 1.1.")                                      \
    X(H1_CODING, "http1.coding", "501", "RFC 9112 6.1", "",                                     \
      "A request has a transfer coding besides chunked.")                                       \
    X(H1_TARGET, "http1.target", "414", "RFC 9110 15.5.15", "requestLine",                      \
      "A request line is too long.")                                                            \
    X(H1_FIELDS, "http1.fields", "431", "RFC 6585 5", "fieldSection",                           \
      "A request's field section is too large.")

/* Of one request, or of its answer: why the front end answered by itself or cut a response.
 * symbol, status, name, key of the limit, text, which a person reads on the page */
#define FAULT_TABLE(X)                                                                             \
    X(NONE, 0, "none", "", "")                                                                     \
    X(NO_INSTANCE, 503, "no-instance", "", "No instance of the app is ready.")                     \
    X(CONNECT, 502, "connect", "", "The app's worker did not accept the connection.")              \
    X(CLOSED, 502, "worker-closed", "",                                                            \
      "The app's worker closed the connection before answering.")                                  \
    X(MALFORMED, 502, "worker-malformed", "", "The app's worker sent a malformed answer.")         \
    X(PROTOCOL, 502, "worker-protocol", "",                                                        \
      "The app's worker broke a rule of HTTP/2, for which its connection was ended.")              \
    X(RESET, 502, "worker-reset", "", "The app's worker reset the request.")                       \
    X(TIMEOUT, 504, "worker-timeout", "apps.*.timeouts.request",                                   \
      "The app's worker did not answer in time.")                                                  \
    X(OVERLOAD, 503, "overload", "apps.*.limits.concurrency, queue",                               \
      "Too many requests are under way to this app.")                                              \
    X(MEMORY, 503, "memory", "", "The front end is out of memory.")                                \
    X(DESCRIPTORS, 503, "descriptors", "",                                                         \
      "The front end has no descriptor left for a connection.")                                    \
    X(UNKNOWN_HOST, 404, "unknown-host", "", "No app is served under this host name.")             \
    X(TOO_LARGE, 413, "content-too-large", "apps.*.limits.body",                                   \
      "The request's content is larger than the app allows.")                                      \
    X(FIELDS_TOO_LARGE, 431, "fields-too-large", "",                                               \
      "The request's fields are larger than the app's worker takes.")                              \
    X(MISDIRECTED, 421, "misdirected", "",                                                         \
      "This connection's TLS settings do not fit this host: open a new one.")                      \
    X(LOOP, 508, "loop", "hops",                                                                   \
      "The request has come through here too often already: an app asks itself.")                  \
    X(BAD_REQUEST, 400, "bad-request", "", "The request is malformed.")                            \
    X(HTTPS_ONLY, 308, "https-only", "",                                                           \
      "This app is served over HTTPS only (GET and HEAD: 301).")                                   \
    X(CONNECT_METHOD, 501, "connect-method", "", "CONNECT is not served here.")                    \
    X(WEBSOCKET_VERSION, 400, "websocket-version", "",                                             \
      "The request asks for a version of WebSocket other than 13.")                                \
    X(WEBSOCKETS_OFF, 403, "websockets-off", "",                                                   \
      "WebSockets are switched off for this app (webSocketsEnabled).")                             \
    X(NO_EXTENDED_CONNECT, 502, "no-extended-connect", "",                                         \
      "The app's worker speaks HTTP/2 without SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441), so it " \
      "cannot take a WebSocket.")                                                                  \
    X(NO_UPGRADE, 501, "no-upgrade", "apps.*.upgrades",                                            \
      "The app's worker cannot take this protocol: an Upgrade is for one that speaks HTTP/1.1, "   \
      "an extended CONNECT for one that speaks HTTP/2 with SETTINGS_ENABLE_CONNECT_PROTOCOL.")     \
    X(NOT_SWITCHED, 502, "not-switched", "", "The app's worker did not switch to WebSocket.")      \
    X(STALLED, 408, "client-stalled", "apps.*.timeouts.request",                                   \
      "The client neither sent nor took anything for too long.")                                   \
    X(TUNNEL_IDLE, 0, "tunnel-idle", "apps.*.timeouts.tunnel",                                     \
      "Nothing passed through the tunnel for too long.")                                           \
    X(CUT, 502, "cut", "", "The app's worker ended before its answer did.")                        \
    X(CLIENT, 0, "client-gone", "", "The client gave up.")

enum refusal {
#define X(symbol, name, answer, standard, limit, text) REFUSAL_##symbol,
    REFUSAL_TABLE(X)
#undef X
        REFUSAL_COUNT
};

struct refusal_row {
    const char *name, *answer, *standard, *limit, *text;
};

const struct refusal_row *refusal_row(enum refusal r);

enum fault {
#define X(symbol, status, name, limit, text) FAULT_##symbol,
    FAULT_TABLE(X)
#undef X
        FAULT_COUNT
};

struct fault_row {
    unsigned status; /* 0: nothing is answered */
    const char *name, *limit, *text;
};

const struct fault_row *fault_row(enum fault f);

#endif
