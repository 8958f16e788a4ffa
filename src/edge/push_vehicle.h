/* SPDX-License-Identifier: Apache-2.0 */
/* Where push meets the connections: promises come here from a worker, a Link field or the app's
 * configuration; the facts are gathered (push_facts.h), the decision is asked for
 * (push/decision.h), its vehicle is driven, and the ledger is told. */
#ifndef EDGE_PUSH_VEHICLE_H
#define EDGE_PUSH_VEHICLE_H

#include "edge/promised.h"
#include "push/consent.h"
#include "push/decision.h"
#include "push/kind.h"
#include "push/past.h"
#include "push/seen.h"

/* Hints of our own for one response: so many, and so many octets of what they name. */
#define PUSH_HINTS_MAX    64
#define PUSH_HINTS_OCTETS 16384u

/* Of a connection to apps that promise: made with its first request to one. */
struct push_client {
    struct push_seen seen;
    struct push_consent consent;
    struct push_past past;
    uint64_t kind;        /* push_consent_kind of its User-Agent; 0 of a shared one */
    uint32_t voter;       /* who it is for push_consent_vote */
    enum push_kind agent; /* what that tells; a pushed request may have none of its own */
    struct list promised; /* struct promised */
    uint32_t kept;        /* of these */
    uint32_t undecided;   /* of these */
    uint32_t open;        /* pushed responses under way */
    uint64_t revision;    /* of the routes that told whether it is shared */
    uint8_t lot;          /* 0 to 99: it gets no help where the hold-back share is above */
    bool shared;          /* a trusted proxy's: what it has, nobody knows of any client */
    bool due;             /* something is to be settled before the next flush */
};

/* Of an exchange whose response promises, in its arena. */
struct push_page {
    struct push_seen seen;  /* where the connection is shared */
    uint64_t budget_octets; /* that are left */
    bool has_budget;
    bool waits_for_103; /* its worker is known to send one: hints go with that */
    uint32_t undecided; /* struct promised of this page */
    uint32_t hinted, hint_octets;
    struct fields hints; /* Link fields that wait for a 103 */
    /* The response waits for the end of the turn: what is decided until then goes before it. */
    struct http_head *head; /* or NULL: it does not */
    struct chain body;
    struct fields trailers;
    bool ended, has_trailers, released;
};

/* A client's request to an app that promises.  return  whether it is answered from what was parked
 */
bool push_request(struct exchange *x);
/* A worker promised `ws` on x's stream: relay it, keep it, or refuse it within the ration. */
void push_from_worker(struct exchange *x, struct worker *w, struct h2_stream *ws,
                      const struct http_head *head);
/* A 103 or final response of x is about to be passed on: promises in its Link fields go first
 * (RFC 9113 8.4: before anything that references them), hints that wait go with it. */
void push_from_head(struct exchange *x, const struct http_head *response, struct http_head *out);
/* The response of x ends, or x does. */
void push_page_ends(struct exchange *x);
/* Whether x's response, whose final head is about to be sent, waits for the end of the turn.  What
 * follows the head is given to push_hold_*. */
bool push_holds(struct exchange *x, const struct http_head *head, bool end);
static inline bool push_is_held(const struct exchange *x)
{
    return x->page && x->page->head;
}
int push_hold_body(struct exchange *x, struct slice octets, struct chunk *chunk, bool end);
int push_hold_trailers(struct exchange *x, const struct fields *trailers);
/* The client's output is about to be drawn. */
void push_before_flush(struct client *c);
/* The response of x has ended well. */
void push_page_done(struct exchange *x);
/* A pushed exchange has ended.  reset_code: of the client's RST_STREAM, 0: none came */
void push_ended(struct exchange *x, bool complete, uint32_t reset_code);
/* The client has reset a pushed stream that is over for us: too late to save anything, but not to
 * learn from it. */
void push_reset_late(struct client *c, uint32_t stream_id, uint32_t h2_code);
/* The client's connection has ended. */
void push_client_free(struct client *c);

/* More is known of a promised response. */
void push_promised_knows(struct promised *p);
/* It ends before it was decided about. */
void push_promised_lost(struct promised *p);
/* A parked one was collected, or never will be. */
void push_parked_ended(struct promised *p, bool collected);

#endif
