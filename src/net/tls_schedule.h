/* SPDX-License-Identifier: Apache-2.0 */
/* The key schedule of TLS 1.3 (RFC 8446 7.1).  OpenSSL derives twenty secrets a handshake, and has
 * a provider do it, for which a context may ask by a property.  Ours gets by without an allocation
 * and a search for the digest each time, and tells of the traffic secrets, which OpenSSL's own
 * gives away by the key log only, as text. */
#ifndef NET_TLS_SCHEDULE_H
#define NET_TLS_SCHEDULE_H

#include "base/slice.h"

/* For SSL_CTX_new_ex: ours if it is there. */
#define TLS_SCHEDULE_PROPERTIES "?provider=portico"

enum tls_digest { TLS_SHA_256, TLS_SHA_384, TLS_DIGESTS };
enum { TLS_SECRET_MAX_OCTETS = 48 };

/* Makes it known to OpenSSL; by any thread, any number of times.  Where that fails, or what is
 * configured for OpenSSL rules it out (fips=yes), contexts have OpenSSL's own, and no secret is
 * told.  Contexts that ask for nothing have OpenSSL's own in any case. */
void tls_schedule_provide(void);

/* What a loop's connections derive secrets with. */
struct tls_schedule;
/* return  NULL: memory is out, or OpenSSL has no such digest */
struct tls_schedule *tls_schedule_new(void);
void tls_schedule_free(struct tls_schedule *s);

/* HKDF-Expand-Label.
 * secret  borrowed; as many octets as the digest has
 * len     of out, up to as many */
bool tls_schedule_expand(struct tls_schedule *s, enum tls_digest digest, const uint8_t *secret,
                         struct slice label, struct slice context, uint8_t *out, size_t len);

/* A secret was derived for OpenSSL: label as in RFC 8446 7.1, without "tls13 ", and up to
 * TLS_SECRET_MAX_OCTETS octets.  All are borrowed. */
typedef void tls_secret_fn(void *user, struct slice label, const uint8_t *secret, size_t octets);

/* What OpenSSL derives on this thread is derived by s and told, until the end. */
void tls_schedule_begin(struct tls_schedule *s, tls_secret_fn *tell, void *user);
void tls_schedule_end(void);

#endif
