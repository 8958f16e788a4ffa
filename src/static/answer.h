/* SPDX-License-Identifier: Apache-2.0 */
/* What is answered to a request: a head, and content as a row of texts and runs of one file.  It
 * sends nothing and knows no connection. */
#ifndef STATIC_ANSWER_H
#define STATIC_ANSWER_H

#include "base/buf.h"
#include "http/head.h"
#include "static/range.h"
#include "static/tree.h"

struct static_site {
    struct static_tree tree;
    const char *cache_control;
    bool is_listed;       /* a directory without index.html shows what it holds */
    size_t listed_octets; /* of the listings that are held, of STATIC_LISTED_OCTETS */
};

struct static_part {
    struct slice text; /* goes before the file's octets */
    uint64_t from, octets;
};

struct static_answer {
    struct http_head head;
    struct static_part parts[STATIC_RANGES_MAX + 1];
    unsigned part_count;
    bool has_content;      /* false: the head ends the message (HEAD, 304 ...) */
    int fd;                /* -1: no file */
    struct stat state;     /* of the file when it was looked at */
    struct buf page;       /* what a part's text lies in, if it is long */
    size_t *listed_octets; /* where page counts; NULL: there is none */
};

/* site: kept.  request, arena: borrowed; the arena lives as long as out is used.  pool: for page.
 * out is initialised in any case and ended with static_answer_fini.
 * return  0, or ERR_NOMEM: nothing can be said */
int static_answer_make(struct static_site *site, const struct http_head *request, struct arena *a,
                       struct pool *pool, uint64_t wall_us, struct static_answer *out);
/* Another answer in the place of one that failed before its head was sent. */
int static_answer_fail(struct static_answer *out, struct arena *a, unsigned status,
                       uint64_t wall_us);
void static_answer_fini(struct static_answer *x);
/* Whether the file is as it was when the answer was made: same octets under the same name tag. */
bool static_answer_is_current(const struct static_answer *x);

#endif
