/* SPDX-License-Identifier: Apache-2.0 */
/* The routes of fuzz_exchange.c: the same three hosts, one with an HTTP/1.1 worker and two with an
 * HTTP/2 worker, and what else is agreed upon. */
#ifndef FUZZ_EXCHANGE_ROUTES_H
#define FUZZ_EXCHANGE_ROUTES_H

#include "edge/routes.h"

/* What the routes may be. */
enum routing {
    ROUTING_ALL,
    ROUTING_ONE_AT_A_TIME, /* of the configured push, too */
    ROUTING_NO_INSTANCES,
    ROUTING_ONLY_H2,
    ROUTING_TIGHT,   /* every limit is small, nobody waits long */
    ROUTING_STRICT,  /* HTTPS only, HTTP/1.1 only and no WebSockets: one host each */
    ROUTING_TRUSTS,  /* clients are proxies; push has patterns, and tells what it decides */
    ROUTING_FAILING, /* the workers will not come back */
    ROUTINGS
};

/* Once, before all else here; what it makes is gone when the process ends. */
void exchange_routes_init(void);
/* Where the worker of that protocol listens. */
const char *exchange_routes_socket(enum route_protocol protocol);
struct routes *exchange_routes_new(enum routing routing, uint64_t revision);

#endif
