/* SPDX-License-Identifier: Apache-2.0 */
/* What to do with a promise: a pure function from facts to a vehicle and a reason.
 *
 * A reason speaks against pushing, against a hint, or against both; and either it holds whatever
 * the app's policy is (a rule), or it is care that the policy `always` does without. */
#ifndef PUSH_DECISION_H
#define PUSH_DECISION_H

#include "push/promise.h"
#include "push/settings.h"

/* vehicle, name, what it is */
#define PUSH_VEHICLE_TABLE(X)                                                                   \
    X(NONE, "none", "Nothing is sent; a worker's stream is refused.")                           \
    X(PUSH_PROMISE, "push-promise", "The response is pushed (RFC 9113 8.4).")                   \
    X(EARLY_HINT, "early-hint", "The client is told by 103 Early Hints (RFC 8297).")            \
    X(PARKED, "parked",                                                                         \
      "The client is told by 103, and what its worker already answers is kept for the request " \
      "that follows.")                                                                          \
    X(LINK, "link", "The Link field stays in the response: the client may act on it.")

enum push_vehicle {
#define X(name, code, text) PUSH_VEHICLE_##name,
    PUSH_VEHICLE_TABLE(X)
#undef X
        PUSH_VEHICLE_COUNT
};

enum push_against { PUSH_AGAINST_BOTH, PUSH_AGAINST_PUSH, PUSH_AGAINST_HINT };
enum push_weight { PUSH_RULE, PUSH_CARE };

/* reason, stable code, what it speaks against, weight, the sentence that a person reads.  In the
 * order in which they are tried. */
#define PUSH_REASON_TABLE(X)                                                                       \
    X(OK, "ok", BOTH, RULE, "The client accepts push and nothing speaks against it.")              \
    X(POLICY_OFF, "policy-off", BOTH, RULE, "The app's push policy is off or deny.")               \
    X(METHOD, "method", BOTH, RULE, "Only GET and HEAD can be promised (RFC 9113 8.4).")           \
    X(CONTENT, "content", BOTH, RULE, "A promised request must not have content (RFC 9113 8.4).")  \
    X(AUTHORITY, "authority", BOTH, RULE,                                                          \
      "The promised authority does not belong to the app that promised it.")                       \
    X(SCHEME, "scheme", BOTH, RULE, "The promised scheme differs from the connection's.")          \
    X(RECURSION, "recursion", BOTH, RULE, "The response that promises was itself pushed.")         \
    X(PATTERN, "pattern", BOTH, RULE, "The app's push.include and push.exclude leave it out.")     \
    X(DUPLICATE, "duplicate", BOTH, RULE,                                                          \
      "Already promised, requested or sent on this connection.")                                   \
    X(HOLDBACK, "holdback", BOTH, CARE,                                                            \
      "The connection is in the hold-back group, which shows what pages are like without help.")   \
    X(POLICY_HINTS, "policy-hints", PUSH, RULE, "The app's push policy allows hints only.")        \
    X(NOPUSH, "nopush", PUSH, RULE, "The Link has the nopush attribute.")                          \
    X(CERTIFICATE, "certificate", PUSH, RULE,                                                      \
      "The promised authority is not covered by the certificate of this connection.")              \
    X(CROSSORIGIN, "crossorigin", PUSH, RULE,                                                      \
      "The resource is fetched without credentials: a pushed response would not match.")           \
    X(PROTOCOL, "protocol", PUSH, RULE, "The client speaks HTTP/1.1, which has no push.")          \
    X(CLIENT_DISABLED, "client-disabled", PUSH, RULE, "The client sent SETTINGS_ENABLE_PUSH=0.")   \
    X(STREAMS, "streams", PUSH, RULE,                                                              \
      "The client allows no pushed streams (MAX_CONCURRENT_STREAMS is 0).")                        \
    X(PARENT_CLOSED, "parent-closed", PUSH, RULE, "The response that promises has already ended.") \
    X(GOING_AWAY, "going-away", PUSH, RULE, "The connection is being closed.")                     \
    X(REFUSED_HERE, "refused-here", PUSH, CARE,                                                    \
      "The client has reset most of what was pushed on this connection.")                          \
    X(REFUSED_BY_KIND, "refused-by-kind", PUSH, CARE,                                              \
      "Clients that name themselves like this one reset most of what is pushed to them.")          \
    X(CONDITIONAL, "conditional", PUSH, CARE,                                                      \
      "The request for the page is conditional: the client has been here, and has the resource "   \
      "probably.")                                                                                 \
    X(RELOAD, "reload", PUSH, CARE,                                                                \
      "The page is being reloaded: the client has the resource probably.")                         \
    X(LATE, "late", PUSH, CARE,                                                                    \
      "Content of the page has left already: the client may have seen the reference (RFC 9113 "    \
      "8.4.1).")                                                                                   \
    X(CREDENTIALS, "credentials", PUSH, RULE,                                                      \
      "The answer is private, sets cookies or varies by what a request of the front end's own "    \
      "does not have.")                                                                            \
    X(UNKNOWN, "unknown", PUSH, CARE,                                                              \
      "Status or size of the answer are not known, and policy auto assumes nothing.")              \
    X(STATUS, "status", PUSH, CARE, "The answer is not a 200.")                                    \
    X(SWITCHED_OFF, "switched-off", PUSH, CARE,                                                    \
      "Too much of what was pushed of this resource was wasted; it is tried again later.")         \
    X(BUDGET, "budget", PUSH, CARE,                                                                \
      "It does not fit into the idle time while the worker thinks, or the app's budget.")          \
    X(LIMIT, "limit", PUSH, RULE,                                                                  \
      "Too many promises on this response or connection, or no instance has room to be asked.")    \
    X(PUSH_ONLY, "push-only", HINT, RULE, "The Link has the x-http2-push-only attribute.")         \
    X(HINT_PROTOCOL, "hint-protocol", HINT, RULE,                                                  \
      "Early hints break some HTTP/1.1 clients (RFC 8297 3).")                                     \
    X(HINT_LATE, "hint-late", HINT, RULE, "The response has begun: it is too late for a 103.")     \
    X(HINT_CLIENT, "hint-client", HINT, RULE,                                                      \
      "Not a browser's navigation: nobody is known to act on a 103.")                              \
    X(HINT_UNNEEDED, "hint-unneeded", HINT, RULE,                                                  \
      "The app's own Link field tells the client as early.")                                       \
    X(HINT_LIMIT, "hint-limit", HINT, RULE,                                                        \
      "Too many or too long hints for this response, its path is no URL, or the client takes "     \
      "nothing.")

enum push_reason {
#define X(name, code, against, weight, text) PUSH_REASON_##name,
    PUSH_REASON_TABLE(X)
#undef X
        PUSH_REASON_COUNT
};

struct push_facts {
    /* the app */
    enum push_policy policy;
    bool excluded;  /* by its patterns */
    bool held_back; /* the connection is in the hold-back group */
    /* the client */
    bool client_h2;
    bool client_push_enabled; /* its ENABLE_PUSH */
    uint32_t client_max_streams;
    bool refused_here, refused_by_kind;
    bool navigation; /* a browser's, of a document: it acts on a 103 */
    bool shared;     /* a trusted proxy's connection: several clients' requests */
    bool conditional, reload;
    bool seen; /* promised, requested or sent on this connection */
    /* who may */
    bool authority_same_app; /* maps to the app that promised */
    bool authority_covered;  /* by this connection's certificate; true without TLS when it is the
                                request's own authority */
    bool scheme_same;
    /* the page */
    bool parent_pushed;
    bool parent_open; /* PUSH_PROMISE may still go on its stream */
    bool head_sent;   /* its final response head has left */
    bool late;        /* octets of its content have left */
    bool going_away;
    /* the answer */
    uint16_t status;   /* 0: not known */
    int64_t octets;    /* of content; -1: not known */
    bool personal;     /* private, or varies by what the request of our own would not have */
    bool switched_off; /* for its waste */
    /* room */
    uint64_t budget_octets; /* that are left of the page's */
    uint32_t open_pushes, max_pushes;
    bool hints_full; /* of the page */
    bool behind;     /* the client does not take the heads that wait for it */
    bool crowded;    /* no instance has room for a request of our own */
};

struct push_decision {
    enum push_vehicle vehicle;
    enum push_reason reason; /* why it is not pushed; OK: it is */
    enum push_reason hint;   /* why it is not hinted; OK: it is, or need not be */
};

struct push_decision push_decide(const struct push_promise *p, const struct push_facts *f);

const char *push_vehicle_name(enum push_vehicle v);
const char *push_vehicle_text(enum push_vehicle v);
const char *push_reason_code(enum push_reason r);
const char *push_reason_text(enum push_reason r);
enum push_against push_reason_against(enum push_reason r);
enum push_weight push_reason_weight(enum push_reason r);

#endif
