/* SPDX-License-Identifier: Apache-2.0 */
/* A promise: "this resource will be wanted with that response", in one form whatever its source. */
#ifndef PUSH_PROMISE_H
#define PUSH_PROMISE_H

#include "http/head.h"

/* source, name in metrics and explanations */
#define PUSH_SOURCE_TABLE(X)                                                  \
    X(WORKER, "worker")         /* PUSH_PROMISE on the worker's h2c stream */ \
    X(EARLY_HINT, "early-hint") /* Link: rel=preload on a 103 */              \
    X(LINK, "link")             /* Link: rel=preload on the final response */ \
    X(CONFIG, "config")         /* the app's push.preload */

enum push_source {
#define X(name, text) PUSH_SOURCE_##name,
    PUSH_SOURCE_TABLE(X)
#undef X
        PUSH_SOURCE_COUNT
};

const char *push_source_name(enum push_source s);

struct push_promise {
    enum push_source source;
    /* The promised request; method, scheme, authority, path; fields of a WORKER's promise. */
    struct http_head request;
    struct slice as;            /* Link's destination, or empty */
    struct slice fetchpriority; /* Link's "high" or "low", or empty */
    struct slice parameters;    /* all of Link's, as they stand there from the first ";" on */
    bool nopush;                /* Link's opt-out */
    bool critical;              /* Link's: the page cannot be shown without it */
    bool push_only;             /* Link's x-http2-push-only: not for the client to act on */
    bool crossorigin;      /* the fetch carries no credentials to another origin */
    bool says_crossorigin; /* Link has that parameter, whatever it says */
    bool has_content; /* a WORKER's promise announced content: never allowed */
};

#endif
