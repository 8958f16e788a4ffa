/* SPDX-License-Identifier: Apache-2.0 */
/* WebSockets through the exchange: HTTP/1.1 Upgrade (RFC 6455 4) and extended CONNECT (RFC 8441),
 * on either side.  What belongs to one hop (Upgrade, Connection, Sec-WebSocket-Key and -Accept on
 * HTTP/1.1; :protocol on HTTP/2) is made anew at each; the octets after it pass as they are.
 *
 * Other protocols pass opaque when the app lists them (upgrades), from a version of HTTP to the
 * same one: how each of them would change from Upgrade to extended CONNECT, only itself can say. */
#ifndef EDGE_TUNNEL_H
#define EDGE_TUNNEL_H

#include "edge/exchange.h"

/* Whether the request asks for a tunnel that is passed on: then x->tunnel is set.  An Upgrade to
 * what the app does not list is ignored, as RFC 9110 7.8 allows.
 * return  FAULT_NONE, or why it is refused */
enum fault tunnel_admit(struct exchange *x);
/* Whether a worker of this version can carry it. */
bool tunnel_fits(const struct exchange *x, bool h2);
/* The fault of a tunnel that the app's workers cannot carry. */
enum fault tunnel_refusal(const struct exchange *x);
/* Turn x->forward into the form that the worker's version has.  return 0 or ERR_NOMEM */
int tunnel_forward(struct exchange *x, bool h2);
/* The worker answered a tunnel's request: true when the protocols are switched (x->switched, the
 * client has its head; in, and all of x->request that the log does not tell, are gone); false when
 * it is an ordinary response, to be passed on as such, or when the exchange has failed
 * (x->head_sent or x->ended). */
bool tunnel_response(struct exchange *x, const struct http_head *in);

#define WS_KEY_OCTETS    24 /* base64 of 16 octets */
#define WS_ACCEPT_OCTETS 28 /* base64 of 20 octets */
/* Sec-WebSocket-Accept for a key.  RFC 6455 4.2.2 */
void ws_accept(struct slice key, char out[WS_ACCEPT_OCTETS]);

#endif
