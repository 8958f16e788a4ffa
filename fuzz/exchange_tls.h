/* SPDX-License-Identifier: Apache-2.0 */
/* TLS for clients of fuzz_exchange.c, by OpenSSL; what is to leave waits in wire, so that it can be
 * sent in any pieces. */
#ifndef FUZZ_EXCHANGE_TLS_H
#define FUZZ_EXCHANGE_TLS_H

#include "base/buf.h"

#include <sys/types.h>

struct exchange_tls;

enum exchange_tls_how {
    EXCHANGE_TLS_H2 = 1,     /* by ALPN; else http/1.1 */
    EXCHANGE_TLS_RESUME = 2, /* the newest session that there is */
    EXCHANGE_TLS_1_2 = 4,
};

/* A certificate for the names, "DNS:a.test,DNS:b.test" say, and its key, as PEM text.
 * given: free() */
void exchange_tls_certificate(const char *names, char **chain_out, char **key_out);

/* name: the server's, or NULL.  wire: kept */
struct exchange_tls *exchange_tls_new(unsigned how, const char *name, struct buf *wire);
void exchange_tls_free(struct exchange_tls *t);
/* Once, at the end of the process. */
void exchange_tls_tidy(void);
/* Seals what it can.  return  octets of plain that were */
size_t exchange_tls_seal(struct exchange_tls *t, struct slice plain);
/* Takes what has come.  return  octets of content, 0: there is none yet, or -1: it is over */
ssize_t exchange_tls_open(struct exchange_tls *t, struct slice in, void *out, size_t cap);
/* New keys for what follows, and please the same. */
void exchange_tls_update(struct exchange_tls *t);

#endif
