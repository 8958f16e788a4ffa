/* SPDX-License-Identifier: Apache-2.0 */
/* What fuzz_exchange.c's clients and worker know of each other: who asked what, who said what. */
#ifndef FUZZ_EXCHANGE_LOG_H
#define FUZZ_EXCHANGE_LOG_H

#include "base/slice.h"

#define EXCHANGE_REQUESTS  256
#define EXCHANGE_RESPONSES 256

struct exchange_request {
    size_t content_octets;
    bool is_idempotent, is_head;
    bool is_sent;        /* the client has given all of it to the kernel */
    unsigned deliveries; /* worker connections that it came on */
};

struct exchange_response {
    unsigned request;
    size_t content_octets;
    bool is_whole; /* the worker has given all of it to the kernel, and it is in order */
};

struct exchange_log {
    struct exchange_request requests[EXCHANGE_REQUESTS];
    struct exchange_response responses[EXCHANGE_RESPONSES];
    unsigned request_count, response_count;
};

/* The octet that the content of a request or response of this number is made of. */
static inline char exchange_octet(unsigned number)
{
    return (char)('!' + number % 90);
}

#endif
