/* SPDX-License-Identifier: Apache-2.0 */
/* Between exchange.c (what passes through an exchange) and exchange_route.c (whose it is, and who
 * works on it). */
#ifndef EDGE_EXCHANGE_INTERNAL_H
#define EDGE_EXCHANGE_INTERNAL_H

#include "edge/exchange.h"

/* return  NULL: memory is out */
struct exchange *exchange_new(struct client *c, struct h2_stream *cs, struct arena *arena,
                              const struct http_head *head);
/* Something has moved: its clock begins anew. */
void exchange_touch(struct exchange *x);
/* A whole response of our own.  location: of a redirect, or empty */
void exchange_answer(struct exchange *x, unsigned status, struct slice location, struct slice text);

#endif
