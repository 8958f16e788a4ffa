/* SPDX-License-Identifier: Apache-2.0 */
/* What an app says about push: the manifest's `push:`, as it travels in the snapshot.  Pure. */
#ifndef PUSH_SETTINGS_H
#define PUSH_SETTINGS_H

#include "http/token.h"

/* policy, word in the manifest */
#define PUSH_POLICY_TABLE(X)                                                           \
    X(OFF, "off")         /* nothing is pushed or hinted; workers see push disabled */ \
    X(DENY, "deny")       /* as off; kept apart for an SDK to come */                  \
    X(HINTS, "hints")     /* 103 Early Hints only */                                   \
    X(OBSERVE, "observe") /* everything is decided and recorded, nothing is sent */    \
    X(AUTO, "auto")       /* what helps this client, and nothing else */               \
    X(ALWAYS, "always")   /* whatever can be pushed is, useful or not */

enum push_policy {
#define X(name, word) PUSH_POLICY_##name,
    PUSH_POLICY_TABLE(X)
#undef X
        PUSH_POLICY_COUNT
};

/* Fields of the page's request that a request of edge's own may have, too.  Cookie and
 * Authorization name a person: only when the app says so. */
#define PUSH_COPY_TABLE(X)                \
    X(ACCEPT_ENCODING, "accept-encoding") \
    X(ACCEPT_LANGUAGE, "accept-language") \
    X(USER_AGENT, "user-agent")           \
    X(COOKIE, "cookie")                   \
    X(AUTHORIZATION, "authorization")

enum push_copy {
#define X(token, name) PUSH_COPY_##token,
    PUSH_COPY_TABLE(X)
#undef X
        PUSH_COPY_COUNT
};

#define PUSH_COPY_DEFAULT \
    (1u << PUSH_COPY_ACCEPT_ENCODING | 1u << PUSH_COPY_ACCEPT_LANGUAGE | 1u << PUSH_COPY_USER_AGENT)

#define PUSH_BUDGET_FITS UINT32_MAX /* what fits into the idle time */

struct push_settings {
    uint32_t policy;           /* enum push_policy */
    uint32_t budget_octets;    /* content pushed with one page; or PUSH_BUDGET_FITS */
    uint32_t weave_octets;     /* of the page that go before its critical pushes */
    uint32_t holdback_percent; /* of connections: they get no help, for comparison */
    uint32_t copied;           /* bits of enum push_copy */
};

/* Lists, each element ended by "\n": patterns (push_pattern_matches); of preload a pattern and a
 * Link value in turn. */
struct push_rules {
    struct slice include, exclude, preload;
};

const char *push_policy_word(enum push_policy p);
const char *push_copy_name(enum push_copy c);
enum token push_copy_token(enum push_copy c);
/* Neither off nor deny. */
bool push_is_on(const struct push_settings *s);
bool push_settings_valid(const struct push_settings *s);

/* Takes the next element off *list.  return  false: there is none */
bool push_rules_next(struct slice *list, struct slice *out);
/* Whether the app's patterns leave a path out; without `include` none is. */
bool push_rules_exclude(const struct push_rules *r, struct slice path);

/* The destination ("style", "script", "font", "image") that a path's extension stands for, or "".
 */
struct slice push_destination(struct slice path);

#endif
