/* SPDX-License-Identifier: Apache-2.0 */
/* One page, asked for as a certain kind of client would, and all that came of it with its times.
 * Times are microseconds since the request began to leave; WATCH_NEVER: it did not happen. */
#ifndef CLI_PUSH_WATCH_H
#define CLI_PUSH_WATCH_H

#include "base/arena.h"
#include "base/slice.h"

#define WATCH_NEVER     INT64_MAX
#define WATCH_RESOURCES 256  /* most that are noted; with the document */
#define WATCH_RUNS      1024 /* octets of one resource without any other's between */
#define WATCH_HEADS     16   /* informational ones */
#define WATCH_LIMIT_S   30   /* for all of it */

enum watch_as {
    WATCH_NODE,    /* HTTP/2, takes pushes */
    WATCH_BROWSER, /* HTTP/2, takes none; asks for what it is hinted, when it is hinted */
    WATCH_HTTP1,
};

struct watch_resource {
    struct slice url; /* its path, or absolute when it is of another authority */
    struct slice as;  /* of the Link; or empty */
    bool pushed, hinted /* by a 103 */, linked /* by the response */;
    bool asked;                                  /* we asked for it */
    bool no_store, has_freshness, has_validator; /* RFC 9111 4.2, 4.3 */
    bool is_whole;
    bool is_reset; /* with reset_code */
    uint32_t reset_code;
    uint16_t status;     /* 0: no response */
    uint64_t octets;     /* of content */
    int64_t promised_us; /* PUSH_PROMISE, or the head with the Link */
    int64_t asked_us, head_us, first_us, last_us;
};

struct watch_run {
    uint16_t resource;
    uint64_t octets;
    int64_t at_us;
};

struct watch {
    struct pool pool;
    struct arena arena; /* of all texts */
    bool is_h2;
    bool is_traced;                            /* the token was sent */
    struct watch_resource at[WATCH_RESOURCES]; /* the document first */
    unsigned count;
    struct watch_run runs[WATCH_RUNS];
    unsigned run_count;
    struct {
        uint16_t status;
        int64_t at_us;
    } heads[WATCH_HEADS];
    unsigned head_count;
    struct slice traces[2]; /* Portico-Push of the head and of the trailer section; or empty */
    const char *end;        /* why it ended before all had come; NULL: it did not */
};

struct watch_options {
    const char *url;
    enum watch_as as;
    const char *authority; /* see net/dial.h */
    const char *token;     /* or NULL */
    const uint16_t *ports; /* of this machine that may be told the token */
    unsigned port_count;
    uint32_t limit_ms; /* 0: WATCH_LIMIT_S */
};

/* w: for watch_fini, whatever is returned.
 * return  0: something was seen; else the exit code: told on standard error */
int watch_page(struct watch *w, const struct watch_options *options);
void watch_fini(struct watch *w);

#endif
