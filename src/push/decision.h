/* SPDX-License-Identifier: Apache-2.0 */
/* What to do with a promise: a pure function from facts to a vehicle and a reason. */
#ifndef PUSH_DECISION_H
#define PUSH_DECISION_H

#include "push/promise.h"

/* vehicle, name */
#define PUSH_VEHICLE_TABLE(X)                                                                      \
    X(NONE, "none")                 /* dropped; a worker's stream is refused */                    \
    X(PUSH_PROMISE, "push-promise") /* RFC 9113 8.4 */                                             \
    X(LINK, "link")                 /* the Link field stays in the 103 or response: the client may \
                                       act on it */

enum push_vehicle {
#define X(name, text) PUSH_VEHICLE_##name,
    PUSH_VEHICLE_TABLE(X)
#undef X
        PUSH_VEHICLE_COUNT
};

/* reason, stable code, the sentence that a person reads.  In the order in which they are tried. */
#define PUSH_REASON_TABLE(X)                                                                    \
    X(OK, "ok", "The client accepts push and nothing speaks against it.")                       \
    X(POLICY_OFF, "policy-off", "The app's push policy is off.")                                \
    X(NOPUSH, "nopush", "The Link has the nopush attribute.")                                   \
    X(METHOD, "method", "Only GET and HEAD can be promised (RFC 9113 8.4).")                    \
    X(CONTENT, "content", "A promised request must not have content (RFC 9113 8.4).")           \
    X(AUTHORITY, "authority",                                                                   \
      "The promised authority does not belong to the app that promised it.")                    \
    X(CERTIFICATE, "certificate",                                                               \
      "The promised authority is not covered by the certificate of this connection.")           \
    X(SCHEME, "scheme", "The promised scheme differs from the connection's.")                   \
    X(CROSSORIGIN, "crossorigin",                                                               \
      "The resource is fetched without credentials: a pushed response would not match.")        \
    X(RECURSION, "recursion", "The response that promises was itself pushed.")                  \
    X(PROTOCOL, "protocol", "The client speaks HTTP/1.1, which has no push.")                   \
    X(CLIENT_DISABLED, "client-disabled", "The client sent SETTINGS_ENABLE_PUSH=0.")            \
    X(STREAMS, "streams", "The client allows no pushed streams (MAX_CONCURRENT_STREAMS is 0).") \
    X(PARENT_CLOSED, "parent-closed", "The response that promises has already ended.")          \
    X(GOING_AWAY, "going-away", "The connection is being closed.")                              \
    X(DUPLICATE, "duplicate", "Already promised, requested or sent on this connection.")        \
    X(LIMIT, "limit", "Too many promises on this response or connection.")

enum push_reason {
#define X(name, code, text) PUSH_REASON_##name,
    PUSH_REASON_TABLE(X)
#undef X
        PUSH_REASON_COUNT
};

enum push_policy { PUSH_POLICY_OFF, PUSH_POLICY_AUTO };

struct push_facts {
    enum push_policy policy;
    bool client_h2;           /* the client's connection is HTTP/2 */
    bool client_push_enabled; /* its ENABLE_PUSH */
    uint32_t client_max_streams;
    bool authority_same_app; /* maps to the app that promised */
    bool authority_covered;  /* by this connection's certificate; true without TLS when it is the
                                request's own authority */
    bool scheme_same;
    bool parent_pushed;
    bool parent_open;
    bool going_away;
    bool seen; /* promised, requested or sent on this connection */
    uint32_t open_pushes, max_pushes;
};

struct push_decision {
    enum push_vehicle vehicle;
    enum push_reason reason;
};

/* For a Link whose vehicle is not PUSH_PROMISE the vehicle is LINK unless the field must go. */
struct push_decision push_decide(const struct push_promise *p, const struct push_facts *f);

const char *push_vehicle_name(enum push_vehicle v);
const char *push_reason_code(enum push_reason r);
const char *push_reason_text(enum push_reason r);

#endif
