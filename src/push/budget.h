/* SPDX-License-Identifier: Apache-2.0 */
/* How many octets may be pushed with a document: what fits into the time in which the connection
 * would be idle, since the worker still thinks, and nothing of what the document will need.  Pure.
 */
#ifndef PUSH_BUDGET_H
#define PUSH_BUDGET_H

#include <stdint.h>

#define PUSH_BUDGET_ROUNDS_MAX 6
#define PUSH_BUDGET_OCTETS_MAX (512u << 10)
/* What a document is taken for whose size is unknown. */
#define PUSH_BUDGET_DOCUMENT_OCTETS (32u << 10)

/* A zero means unknown, except where it says otherwise. */
struct push_path {
    uint32_t rtt_us;          /* smoothed: tcpi_rtt */
    uint64_t cwnd_octets;     /* congestion window: tcpi_snd_cwnd × tcpi_snd_mss */
    uint64_t ssthresh_octets; /* tcpi_snd_ssthresh × tcpi_snd_mss: above it a window does not
                                 double; what TCP has not set yet is far above all windows */
    uint64_t octets_per_s;    /* tcpi_delivery_rate, unless tcpi_delivery_rate_app_limited: then the
                                 path may carry more than was sent */
    uint64_t queued_octets;   /* written but not acknowledged yet, sent or not; 0 is none */
    uint64_t credit_octets;   /* HTTP/2 connection window left; 0 is none.  RFC 9113 6.9 */
    uint64_t think_us;        /* expected from now until the document's head */
    uint64_t document_octets; /* expected */
};

/* While the worker thinks, think_us / rtt_us round trips pass (three quarters of one are one), in
 * each of which a window can be sent and acknowledged before the document comes: it doubles each
 * time up to ssthresh (RFC 5681 3.1), and carries at most octets_per_s × rtt_us.  Without an idle
 * round trip it is what the first window leaves after the document: the ceiling that Chrome's
 * measurements found, min(bandwidth × RTT, window) − document.  What is queued goes first in either
 * case.
 *
 * The document never waits for flow control: pushed octets may be kept from the application for as
 * long as it likes, so of the connection's window the document's octets are left, whatever the
 * time.
 * return  at most PUSH_BUDGET_OCTETS_MAX */
uint64_t push_budget(const struct push_path *p);

#endif
