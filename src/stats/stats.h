/* SPDX-License-Identifier: Apache-2.0 */
/* The counters that edge writes and control reads, in memory shared between them (a memfd that
 * monitor holds, so that counts survive the death of either).
 *
 * Layout: struct stats_header, then one struct stats_loop a loop, then for each loop one struct
 * stats_site a site slot, then the name of each slot's app, which control writes, so that an app
 * keeps its slot over reloads and over the death of control; last, for each loop, an octet a slot
 * that tells whether it has ever counted there.  What was never used is not even looked at: its
 * pages stay holes, so thousands of apps cost what those cost that have requests.  Each struct has
 * one writing thread; every count is atomic by itself.  Gauges of a loop that died are set to 0 by
 * stats_forget, called by whoever takes its place or is told of its end. */
#ifndef STATS_STATS_H
#define STATS_STATS_H

#include "base/histogram.h"
#include "push/ledger.h"
#include "stats/refusal.h"

#define STATS_MAGIC       0x32545350u /* "PST2" */
#define STATS_MAX_LOOPS   256         /* of all copies together */
#define STATS_NAME_OCTETS 64          /* of an app's name, with NUL */

/* symbol, metric name after "portico_", type, help */
#define STATS_LOOP_TABLE(X)                                                                        \
    X(connections, "client_connections_total", "counter", "Client connections accepted.")          \
    X(connections_open, "client_connections_open", "gauge", "Client connections open now.")        \
    X(connections_h2, "client_connections_h2_total", "counter", "Those that spoke HTTP/2.")        \
    X(connections_suspect, "client_connections_suspect_total", "counter",                          \
      "Those of addresses that have abused too many, which may ask for less.")                     \
    X(tls_handshakes, "tls_handshakes_total", "counter", "TLS handshakes completed.")              \
    X(tls_resumed, "tls_resumed_total", "counter", "Those that resumed a session.")                \
    X(tls_failures, "tls_failures_total", "counter", "TLS handshakes that failed.")                \
    X(client_octets_in, "client_received_bytes_total", "counter",                                  \
      "Octets from clients, on the wire.")                                                         \
    X(client_octets_out, "client_sent_bytes_total", "counter", "Octets to clients, on the wire.")  \
    X(requests_unrouted, "requests_unrouted_total", "counter", "Requests for hosts no app has.")   \
    X(requests_malformed, "requests_malformed_total", "counter", "Requests refused as malformed.") \
    X(h2_aborts, "client_h2_aborts_total", "counter", "HTTP/2 connections ended for an error.")    \
    X(worker_connects, "worker_connects_total", "counter", "Connections opened to workers.")       \
    X(worker_connect_failures, "worker_connect_failures_total", "counter", "Of those, failed.")    \
    X(worker_foreign, "worker_foreign_total", "counter", "Of those, led to another user's.")       \
    X(worker_connections_open, "worker_connections_open", "gauge", "Connections to workers now.")  \
    X(worker_octets_in, "worker_received_bytes_total", "counter", "Octets from workers.")          \
    X(worker_octets_out, "worker_sent_bytes_total", "counter", "Octets to workers.")               \
    X(retries, "worker_retries_total", "counter", "Requests tried again at another instance.")     \
    X(log_dropped, "access_log_dropped_total", "counter", "Access log lines that found no room.")  \
    X(accept_failures, "accept_failures_total", "counter",                                         \
      "accept() that failed, descriptors out.")                                                    \
    X(misdirected, "requests_misdirected_total", "counter", "Requests answered 421.")              \
    X(calls_wait, "syscalls_wait_total", "counter", "epoll_wait calls.")                           \
    X(calls_read, "syscalls_read_total", "counter", "recv calls.")                                 \
    X(calls_write, "syscalls_write_total", "counter", "send calls.")                               \
    X(calls_other, "syscalls_other_total", "counter", "accept, connect and other calls.")          \
    X(allocs, "allocations_total", "counter", "Blocks that the recycler asked libc for.")          \
    X(memory, "memory_bytes", "gauge", "Held for connections and requests: see limits.memory.")

#define STATS_SITE_TABLE(X)                                                                     \
    X(requests, "requests_total", "counter", "Requests routed to the app.")                     \
    X(requests_open, "requests_open", "gauge", "Requests under way.")                           \
    X(requests_waiting, "requests_waiting", "gauge", "Requests waiting for an instance.")       \
    X(responses_2xx, "responses_2xx_total", "counter", "Responses with status 2xx.")            \
    X(responses_3xx, "responses_3xx_total", "counter", "Responses with status 3xx.")            \
    X(responses_4xx, "responses_4xx_total", "counter", "Responses with status 4xx.")            \
    X(responses_5xx, "responses_5xx_total", "counter", "Responses with status 5xx.")            \
    X(failures, "gateway_failures_total", "counter", "502, 503 and 504 made by the front end.") \
    X(aborted, "requests_aborted_total", "counter", "Exchanges that the client gave up.")       \
    X(truncated, "responses_truncated_total", "counter", "Responses cut short by the worker.")  \
    X(tunnels_idle, "tunnels_idle_total", "counter", "Tunnels ended by timeouts.tunnel.")       \
    X(early_hints, "early_hints_total", "counter", "103 responses relayed.")                    \
    X(octets_in, "request_body_bytes_total", "counter", "Body octets from clients.")            \
    X(octets_out, "response_body_bytes_total", "counter", "Body octets to clients.")

struct stats_loop {
#define X(symbol, name, type, help) _Atomic uint64_t symbol;
    STATS_LOOP_TABLE(X)
#undef X
    _Atomic uint64_t refusals[REFUSAL_COUNT];
    _Atomic uint64_t h2_refusals[H2_BLAME_COUNT];        /* of clients */
    _Atomic uint64_t worker_h2_refusals[H2_BLAME_COUNT]; /* of workers */
};

struct stats_site {
#define X(symbol, name, type, help) _Atomic uint64_t symbol;
    STATS_SITE_TABLE(X)
#undef X
    _Atomic uint64_t faults[FAULT_COUNT];
    struct histogram duration; /* request head complete to response complete */
    struct push_ledger push;
};

struct stats_header {
    uint32_t magic;
    uint32_t loops, site_slots;
    uint32_t loop_octets, site_octets; /* sizeof, so that two builds that differ notice */
};

/* What the header said when it was checked: who shares the memory may have been broken into, and
 * must not move where we look and write. */
struct stats {
    char *memory; /* NULL: there are none */
    uint32_t loops, site_slots;
};

/* The only writer of *c calls these. */
static inline void stats_add(_Atomic uint64_t *c, uint64_t n)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n,
                          memory_order_relaxed);
}
static inline void stats_sub(_Atomic uint64_t *c, uint64_t n)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) - n,
                          memory_order_relaxed);
}
static inline uint64_t stats_get(const _Atomic uint64_t *c)
{
    return atomic_load_explicit(c, memory_order_relaxed);
}

size_t stats_octets(uint32_t loops, uint32_t site_slots);
/* Write the header into fresh, zeroed memory of stats_octets(). */
void stats_init(void *memory, uint32_t loops, uint32_t site_slots);
/* memory  kept, len octets
 * return  without memory when that is not such a region of this build */
struct stats stats_open(void *memory, size_t len);
struct stats_loop *stats_loop(struct stats s, uint32_t loop);
/* Sets the gauges of a loop that has no writer to 0. */
void stats_forget(struct stats s, uint32_t loop);
/* The writer's.  slot < site_slots */
struct stats_site *stats_site(struct stats s, uint32_t loop, uint32_t slot);
/* A reader's.  return  NULL: it has never counted */
struct stats_site *stats_site_used(struct stats s, uint32_t loop, uint32_t slot);
/* Zero: the slot will be another app's. */
void stats_site_clear(struct stats s, uint32_t loop, uint32_t slot);
char *stats_name(struct stats s, uint32_t slot);

#endif
