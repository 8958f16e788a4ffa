/* SPDX-License-Identifier: Apache-2.0 */
/* Socket addresses: IPv4, IPv6 and unix-domain, from text and back. */
#ifndef BASE_ADDR_H
#define BASE_ADDR_H

#include "base/slice.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

struct addr {
    socklen_t len;
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    } u;
};

#define ADDR_TEXT_OCTETS 128

/* "127.0.0.1:80", "[::1]:80", with optional "tcp://" in front, or "unix:/path".  No names.
 * return  0 or ERR_USAGE */
int addr_parse(struct slice text, struct addr *out);
/* "127.0.0.1:80", "[::1]:80" or "unix:/path"; always ends with NUL.  return its length */
size_t addr_format(const struct addr *a, char *out, size_t cap);
/* The address without port: "127.0.0.1", "::1", "unix". */
size_t addr_format_host(const struct addr *a, char *out, size_t cap);
uint16_t addr_port(const struct addr *a);
/* A unix address as a process names it whose root is that directory; others stay as they are.
 * return  false: it lies outside, and nothing was changed */
bool addr_enter(struct addr *a, const char *root);
bool addr_eq(const struct addr *a, const struct addr *b);
#define ADDR_NETWORK_OCTETS 9
/* What one host may have all of: an IPv4 address, also a mapped one, or an IPv6 /64.  All zeroes of
 * another family. */
void addr_network(const struct addr *a, char out[ADDR_NETWORK_OCTETS]);
/* 32 or 128 bits of prefix of "10.0.0.0/8", "::1", "fd00::/8": return 0 or ERR_USAGE */
struct addr_prefix {
    uint8_t octets[16]; /* IPv4 as IPv4-mapped */
    uint8_t bits;       /* of 128 */
};
int addr_prefix_parse(struct slice text, struct addr_prefix *out);
bool addr_prefix_has(const struct addr_prefix *p, const struct addr *a);

#endif
