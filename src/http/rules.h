/* SPDX-License-Identifier: Apache-2.0 */
/* Rules that hold for messages whatever their version: which octets a name or value may have, what
 * makes a head malformed.  One place, so that both engines refuse the same things. */
#ifndef HTTP_RULES_H
#define HTTP_RULES_H

#include "http/head.h"

/* token of RFC 9110 5.6.2, not empty */
bool rules_is_token(struct slice s);
/* As rules_is_token, but no upper case: a field name in HTTP/2 (RFC 9113 8.2.1). */
bool rules_is_lower_token(struct slice s);
/* A protocol that an Upgrade may ask for by way of us: name ["/" version] (RFC 9110 7.8), but none
 * by which the octets that follow would be HTTP or TLS again, whatever its draft or version ("h2c",
 * "h2c-14", "HTTP/2.0", "TLS/1.2"): a worker that took it would get requests that nobody before it
 * has looked at. */
bool rules_is_upgrade(struct slice s);
/* field-value of RFC 9110 5.5: no NUL, CR, LF or other control octet save HTAB, no white space at
 * the ends */
bool rules_is_value(struct slice s);
/* Host or :authority: uri-host [":" port], no user information, no path.  RFC 9110 7.2, 4.2.4 */
bool rules_is_authority(struct slice s);
/* origin-form: starts with "/", no white space, control octets or "#".  RFC 9112 3.2.1 */
bool rules_is_origin_form(struct slice s);
/* Splits host and port of a valid authority; port_out 0 when absent.  IPv6 keeps its brackets. */
void rules_split_authority(struct slice authority, struct slice *host_out, uint16_t *port_out);

/* Whether a trailer section may have this field: none for framing, routing, conditions,
 * authentication, or how the content is to be understood; others drop it, unread.  RFC 9110 6.5.1
 */
bool rules_is_trailer(enum token token);

/* Content-Length's value: one number, or a list of the same number (RFC 9112 6.3, 8.6).
 * return  0, or ERR_BAD_LENGTH */
int rules_content_length(const struct fields *f, int64_t *out);
/* The same, and what is left is one field with that number in plain digits, so that nobody after us
 * has to think about it.  RFC 9112 6.3
 * return  0, ERR_BAD_LENGTH or ERR_NOMEM */
int rules_settle_content_length(struct fields *f, struct arena *a, int64_t *out);

#endif
