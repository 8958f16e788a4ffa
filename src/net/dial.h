/* SPDX-License-Identifier: Apache-2.0 */
/* A client's connection that waits: for a program that has one thing to do and no loop.  TCP, with
 * TLS 1.2 or 1.3 where asked for; the server's certificate is always checked.  The process ignores
 * SIGPIPE: the library writes without asking. */
#ifndef NET_DIAL_H
#define NET_DIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct dial_to {
    const char *host; /* a name, or an address without brackets; "localhost" and what ends in
                         ".localhost" is loopback (RFC 6761 6.3) */
    uint16_t port;
    bool tls;
    bool h2;               /* offer "h2" by ALPN, before "http/1.1" */
    const char *authority; /* PEM file with an authority that is trusted beside the machine's own;
                              NULL, or not to be read: none */
};

struct dial;
/* to: borrowed.  Times are monotonic microseconds.
 * return  NULL: why_out tells, in a sentence without its end */
struct dial *dial_open(const struct dial_to *to, uint64_t until_us, char *why_out, size_t cap);
void dial_close(struct dial *d);

/* return  octets read; 0: the peer's clean end; ERR_TIMEOUT: none until then; ERR_CLOSED:
 *         the connection is lost */
ssize_t dial_read(struct dial *d, void *out, size_t cap, uint64_t until_us);
/* Sends all of it.  return  0, ERR_TIMEOUT or ERR_CLOSED */
int dial_write(struct dial *d, const void *in, size_t len, uint64_t until_us);

bool dial_is_h2(const struct dial *d); /* the server chose "h2" */
/* The peer's address is one of this machine's. */
bool dial_is_local(const struct dial *d);

#endif
