/* SPDX-License-Identifier: Apache-2.0 */
/* The checker of `make soak`: a client that knows every octet of every answer in advance.
 *
 * It stands on libnghttp2, OpenSSL and an HTTP/1.1 parser of its own, and on nothing of Portico's,
 * so that a fault of ours is not forgiven by the same fault here.
 *
 *      plan.c     what a request asks for, and what its answer must be
 *      pattern.c  the octets of each app, the same as tests/soak/worker.mjs and worker.py make
 *      conn.c     sockets, TLS, connections and which of them a request takes
 *      h1.c h2.c  the protocols
 *      report.c   what came of each request; checker.c: the rate, the clock, the end */
#ifndef SOAK_H
#define SOAK_H

#include <nghttp2/nghttp2.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define APPS_MAX         8
#define CONNS_MAX        512
#define PATTERN_OCTETS   1048573u /* a prime: no lost block of a usual size hides in the period */
#define BODY_MAX         (5u << 20)
#define HEAD_OCTETS      32768u
#define NOTE_OCTETS      200u
#define READ_OCTETS      65536u
#define OUT_HIGH         65536u   /* octets waiting for the socket before a source waits */
#define REQUEST_LIMIT_US 60000000 /* then a request hangs */
#define HANDSHAKE_TRY_US 15000000
#define SLOW_STEP_US     30000
#define SLOW_STEP_OCTETS 24576u
#define H2_STREAMS       32u

enum kind { KIND_H2_TLS, KIND_H1_TLS, KIND_H1, KIND_H2C, KINDS };
enum method { METHOD_GET, METHOD_HEAD, METHOD_POST };
enum abort_when { ABORT_NEVER, ABORT_AFTER_TIME, ABORT_AFTER_DOWN, ABORT_AFTER_UP };
/* What the worker is asked to do wrong, on purpose. */
enum fault { FAULT_NONE, FAULT_CUT };

enum outcome {
    OUT_OK,
    OUT_EXPECTED_CUT, /* the worker was told to cut, and the cut was visible */
    OUT_ABORTED,      /* by us */
    OUT_MOVED,        /* the front end said that it did not process it; it was asked again */
    OUT_FAILED,       /* before any octet of the app's answer */
    OUT_CUT,          /* after some, and visibly */
    OUT_WRONG,
    OUTCOMES
};

struct soak;
struct conn;

struct request {
    struct request *next, *prev; /* in soak.requests */
    struct request *queued;      /* in conn->first, while the connection is not there yet */
    uint64_t id;
    unsigned app;
    enum method method;
    enum fault fault;
    uint32_t down, up; /* octets of content asked for and brought */
    bool chunked;      /* the worker names no length */
    bool up_chunked;   /* we name none */
    bool early;        /* the answer begins before the upload has ended; its sum is in a trailer */
    bool slow;         /* we read slowly */
    unsigned wait_ms, drip;
    enum abort_when abort_when;
    uint64_t abort_at; /* octets, or microseconds after the beginning */

    struct conn *conn;
    int32_t stream;
    unsigned moves;
    uint64_t due_us, began_us, head_us;
    bool sent_any; /* its head was given to the connection's output */
    uint32_t up_sent;
    EVP_MD_CTX *up_sum;

    /* what came */
    unsigned status;
    bool from_app; /* X-Soak-App was there: the worker made it, not the front end */
    int64_t length;
    bool length_seen, sum_seen, sum_right;
    uint32_t got;
    uint32_t unread; /* h2, slow: received and not yet given back to the stream's window */
    int pid;
    char request_id[40];
    char note[NOTE_OCTETS + 1]; /* the front end's own page */
    size_t note_len;
};

enum h1_state { H1_IDLE, H1_HEAD, H1_LENGTH, H1_SIZE, H1_CHUNK, H1_CHUNK_END, H1_TRAILERS };

struct octets {
    uint8_t *p;
    size_t len, cap;
};

struct conn {
    struct soak *soak;
    unsigned slot; /* in soak->conns */
    uint64_t number;
    enum kind kind;
    unsigned app; /* TLS: the host that it was opened for */
    int fd;
    SSL *ssl;
    bool connected, ready, ending, broken;
    unsigned uses_left, open; /* requests; under way */
    uint64_t opened_us, try_until_us, quiet_until_us;
    bool want_write, want_flush;
    struct octets out;
    struct request *first, *last; /* waiting until the connection is ready */

    /* HTTP/1.1 */
    struct request *current;
    enum h1_state state;
    struct octets in; /* a head, a size line or trailers that are not whole yet */
    uint64_t left;    /* of the content or the chunk */
    bool close_after;
    unsigned served;

    /* HTTP/2 */
    nghttp2_session *h2;
    bool goaway;
};

struct app {
    char name[32], host[64];
    uint8_t *down, *up; /* patterns */
    SSL_SESSION *session;
};

struct options {
    uint64_t seed, requests, rate, run; /* run: makes ids of different runs different */
    unsigned seconds, conns, aborts, slow, faults, large; /* per mille */
    unsigned kinds;                                       /* bits */
    const char *ca;
    unsigned https_port, http_port;
};

struct soak {
    struct options opt;
    int epoll;
    SSL_CTX *tls;
    struct app apps[APPS_MAX];
    unsigned app_count;
    struct conn *conns[CONNS_MAX];
    unsigned conn_count;
    uint64_t conns_opened, connect_failures, handshakes, resumed;
    struct request requests; /* head of a ring */
    unsigned under_way, under_way_top;
    uint64_t next_id, begun;
    uint64_t rng;
    uint64_t now_us, began_us;
    uint64_t counts[KINDS][OUTCOMES];
    uint64_t octets_down, octets_up, late;
    uint32_t *latencies_us;
    size_t latency_count, latency_cap;
    bool stop;
};

/* plan.c */
uint64_t soak_random(struct soak *s);
uint32_t soak_below(struct soak *s, uint32_t n);
bool soak_chance(struct soak *s, unsigned per_mille);
struct request *request_new(struct soak *s);
void request_free(struct soak *s, struct request *r);
bool request_has_upload(const struct request *r);
/* return  octets in to */
size_t request_path(const struct soak *s, const struct request *r, char *to, size_t cap);
const char *request_method(const struct request *r);
/* Up to cap octets of the upload; counts them as sent. */
size_t request_upload(struct request *r, uint8_t *to, size_t cap);
/* What came of the answer.  return  NULL, or what is wrong with it */
const char *request_on_field(struct request *r, const char *name, size_t name_len,
                             const char *value, size_t value_len, bool trailer);
const char *request_on_head(struct request *r);
const char *request_on_octets(struct request *r, const uint8_t *p, size_t len);
const char *request_on_end(struct request *r);
/* Of one whose answer ended as it should. */
enum outcome request_outcome(const struct request *r);
bool request_wants_abort(const struct request *r);

/* pattern.c */
bool pattern_make(struct app *a, uint64_t seed);

/* conn.c */
bool tls_init(struct soak *s);
/* Gives r a connection.  return  whether there was one */
bool conn_take(struct soak *s, struct request *r);
void conn_event(struct conn *c, uint32_t events);
/* Writes what is waiting. */
void conn_flush(struct conn *c);
void conn_read(struct conn *c);
bool conn_put(struct conn *c, const void *p, size_t len);
/* Ends it and everything on it.  why: what the requests are told; reset: let the peer see a reset
 */
void conn_close(struct conn *c, const char *why, bool reset);
void conn_tick(struct conn *c);
bool octets_add(struct octets *o, const void *p, size_t len);
void octets_drop(struct octets *o, size_t len);

/* h1.c */
bool h1_begin(struct conn *c, struct request *r);
void h1_more_upload(struct conn *c);
/* return  NULL, or why the connection cannot go on; sets *wrong when the peer broke HTTP */
const char *h1_feed(struct conn *c, const uint8_t *p, size_t len, bool *wrong);

/* h2.c */
bool h2_init(struct conn *c);
bool h2_begin(struct conn *c, struct request *r);
const char *h2_feed(struct conn *c, const uint8_t *p, size_t len, bool *wrong);
void h2_produce(struct conn *c);
void h2_give_up(struct request *r, enum outcome o, const char *why);
void h2_read_slowly(struct request *r);

/* report.c */
extern const char *const kind_names[KINDS];
/* r is over and gone. */
void request_over(struct soak *s, struct request *r, enum outcome o, const char *why);
/* r's connection failed: what that means for it. */
void request_lost(struct soak *s, struct request *r, const char *why);
void report_wrong(struct soak *s, const struct conn *c, const char *why);
void report_end(struct soak *s);

#endif
