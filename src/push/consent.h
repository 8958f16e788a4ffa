/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a client wants what it does not forbid.  SETTINGS_ENABLE_PUSH is 1 unless a client says 0
 * (RFC 9113 6.5.2), and some never say 0, yet cancel every push: 1 is not consent.  It is learned
 * from resets of pushed streams (8.4.2), on two levels:
 *
 * - a connection refuses when its first PUSH_CONSENT_FIRST pushes were refused and none completed,
 * or when of at least PUSH_CONSENT_LEAST more than half were refused.  It is not asked again.
 * - a kind of client, which is one User-Agent field, refuses when of at least
 * PUSH_CONSENT_KIND_LEAST connections more than half refused; each connection has one vote, so
 * neither a long nor a hostile one decides alone; and no vote against a kind counts after another
 * one of the same voter, so neither does who comes again and again under others' name.  One
 * connection an hour is tried again (push/trial.h).  Clients without a User-Agent have nothing in
 * common: they are no kind.
 *
 * A reset may come after the last octet has left, when the push was counted as completed: it must
 * be told by push_consent_refused_late, or a client that cancels everything looks willing whenever
 * what it is pushed is small. */
#ifndef PUSH_CONSENT_H
#define PUSH_CONSENT_H

#include "base/hash.h"
#include "base/pool.h"
#include "push/trial.h"

#define PUSH_CONSENT_FIRST       2
#define PUSH_CONSENT_LEAST       8
#define PUSH_CONSENT_KIND_LEAST  3
#define PUSH_CONSENT_KIND_REST_S 3600
#define PUSH_CONSENT_KINDS       64 /* of 20 octets; the one that voted last stays longest */

enum push_consent_verdict { PUSH_CONSENT_UNKNOWN, PUSH_CONSENT_GIVEN, PUSH_CONSENT_REFUSED };

/* Of a connection.  A new one is all zeroes. */
struct push_consent {
    uint16_t completed, refused; /* bounded as in push/trial.h */
    bool refuses, has_voted;
};

struct push_consent_kind; /* what is known of one */

/* Of all clients, for one thread.  A new one is all zeroes. */
struct push_consent_kinds {
    struct push_consent_kind *at; /* allocated when the first vote comes */
    uint32_t count;
};

/* A pushed stream of this connection has ended: whole, or reset by the client, which is meant to
 * say CANCEL or REFUSED_STREAM (RFC 9113 8.4.2), but nobody is asked again who says something else.
 * One that failed otherwise says nothing. */
void push_consent_ended(struct push_consent *c, bool refused);
/* The client has reset one that push_consent_ended knows as completed. */
void push_consent_refused_late(struct push_consent *c);
enum push_consent_verdict push_consent_verdict(const struct push_consent *c);

/* return  the kind of a client; 0: none, for an empty slice */
uint64_t push_consent_kind(const struct hash_key *key, struct slice user_agent);
/* Whether this kind's connections get no push now.  Of a kind 0 never. */
bool push_consent_kind_refuses(const struct push_consent_kinds *k, uint64_t kind, uint64_t now_us);
/* The first push of a connection begins. */
void push_consent_kind_begin(struct push_consent_kinds *k, uint64_t kind, uint64_t now_us);
/* The connection's vote, once: as soon as it refuses, else when it ends and its consent is known.
 * Call it after each change above, and with is_end when the connection ends.  voter: a hash of who
 * it is.  Out of memory: the vote is lost. */
void push_consent_vote(struct push_consent *c, struct push_consent_kinds *k, struct pool *pool,
                       uint64_t kind, uint32_t voter, bool is_end, uint64_t now_us);
void push_consent_kinds_fini(struct push_consent_kinds *k, struct pool *pool);

#endif
