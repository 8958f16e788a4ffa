/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of the answers to GET requests, learned from those that pass: so that one may
 * decide first and promise then.  Nothing is stored that could be served.
 *
 * Bounded: PUSH_ANSWERS_MAX entries of 32 octets in sets of PUSH_ANSWERS_WAYS, taken from the pool
 * with the first one.  Within a set a new entry takes the last place, and each further answer moves
 * it one place forward: who asks for ever new URLs fights for the last places only, and cannot
 * choose the set, since the hash has a key.  An entry that has heard nothing for
 * PUSH_ANSWERS_FORGET_S makes room first.
 *
 * Whose: of one thread.  A resource is a push_resource_hash whose scope holds app and scheme: one
 * app's answers tell nothing of another's.  A collision of the hashes costs a wrong guess. */
#ifndef PUSH_ANSWERS_H
#define PUSH_ANSWERS_H

#include "base/pool.h"
#include "push/resource.h"
#include "push/storable.h"

#define PUSH_ANSWERS_MAX      1024
#define PUSH_ANSWERS_WAYS     4
#define PUSH_ANSWERS_FORGET_S 3600

#define PUSH_OCTETS_UNKNOWN UINT64_MAX

/* A resource is switched off when of at least 8 pushes that have ended more than half were wasted;
 * one probe every ten minutes may bring it back (push/trial.h).  Wasted: refused by the client, or
 * asked for again on the same connection.  Who refuses every push says nothing of the resource: of
 * a connection that has completed none the caller tells none. */
#define PUSH_WASTE_LEAST  8
#define PUSH_WASTE_REST_S 600

struct push_answers_entry;

/* A new one is all zeroes. */
struct push_answers {
    struct push_answers_entry *at;
};

struct push_answer {
    /* Of the last answer, if it was PUSH_STORABLE_PUBLIC and may still be believed; else unknown.
     * One of several representations, when it varies by what is copied. */
    uint16_t status;    /* 0: unknown */
    uint64_t octets;    /* of its content; PUSH_OCTETS_UNKNOWN */
    uint32_t validator; /* push_answers_validator of its ETag or Last-Modified; 0: none */

    enum push_storable storable; /* of the last answer; PUSH_STORABLE_NOT: none yet, too */
    /* Between the request and the head of the answer: an average in which each one weighs a
     * quarter, to a tenth of a millisecond, at most 6.5 seconds.  0: unknown */
    uint64_t think_us;
    bool sends_103;   /* its worker sent one of its own with the last answer */
    bool is_wasteful; /* switched off: do not push it now */
};

/* return  whether anything is known */
bool push_answers_find(const struct push_answers *m, uint64_t resource, uint64_t now_us,
                       struct push_answer *out);

/* A final answer has passed, to a request of any client.  One with status 304 confirms what is
 * known if it has the same validator (RFC 9111 4.3.4), and is else ignored, as are 206, 412, 416
 * and what is answered to Cache-Control: no-store: or one client's way to ask would undo what is
 * known.  Out of memory: nothing is learned, here and below.
 * key     for the validator
 * copied  as in push_storable
 * octets  of its content, or PUSH_OCTETS_UNKNOWN */
void push_answers_learn(struct push_answers *m, struct pool *pool, const struct hash_key *key,
                        uint64_t resource, const struct http_head *request,
                        const struct http_head *response, uint32_t copied, uint64_t octets,
                        uint64_t now_us);
/* How long the worker took until the head of the final answer, and whether a 103 came before it. */
void push_answers_learn_thinking(struct push_answers *m, struct pool *pool, uint64_t resource,
                                 uint64_t think_us, bool sent_103, uint64_t now_us);

/* A push of the resource begins, ends, or turns out as wasted after it had ended well. */
void push_answers_push_begin(struct push_answers *m, uint64_t resource, uint64_t now_us);
void push_answers_push_end(struct push_answers *m, struct pool *pool, uint64_t resource,
                           bool is_wasted, uint64_t now_us);
void push_answers_push_revise(struct push_answers *m, uint64_t resource, uint64_t now_us);

/* A strong or weak entity tag, or a date, as a number; weak comparison (RFC 9110 8.8.3.2).
 * return  0 for an empty slice */
uint32_t push_answers_validator(const struct hash_key *key, struct slice value);

void push_answers_fini(struct push_answers *m, struct pool *pool);

#endif
