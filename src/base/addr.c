/* SPDX-License-Identifier: Apache-2.0 */
#include "base/addr.h"
#include "base/err.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <stdio.h>

/* inet_pton wants a NUL at the end, which a slice does not have. */
static bool host_parse(int family, struct slice text, void *out)
{
    char host[INET6_ADDRSTRLEN];
    if (text.len == 0 || text.len >= sizeof host || memchr(text.p, 0, text.len))
        return false;
    memcpy(host, text.p, text.len);
    host[text.len] = 0;
    return inet_pton(family, host, out) == 1;
}

static bool port_parse(struct slice text, in_port_t *out)
{
    uint64_t port;
    if (text.len > 5 || !slice_u64(text, &port) || port > UINT16_MAX)
        return false;
    *out = htons((uint16_t)port);
    return true;
}

static int unix_parse(struct slice path, struct addr *out)
{
    if (path.len < 2 || path.p[0] != '/' || path.len >= sizeof out->u.un.sun_path ||
        memchr(path.p, 0, path.len))
        return ERR_USAGE;
    memset(out, 0, sizeof *out);
    out->u.un.sun_family = AF_UNIX;
    memcpy(out->u.un.sun_path, path.p, path.len);
    out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len + 1);
    return 0;
}

int addr_parse(struct slice text, struct addr *out)
{
    struct addr a = {0};
    if (slice_starts(text, SLICE("unix:")))
        return unix_parse(slice_of(text.p + 5, text.len - 5), out);
    if (slice_starts(text, SLICE("tcp://")))
        text = slice_of(text.p + 6, text.len - 6);
    const char *colon = text.len ? memrchr(text.p, ':', text.len) : NULL;
    if (!colon)
        return ERR_USAGE;
    struct slice host = slice_of(text.p, (size_t)(colon - text.p));
    struct slice port = slice_of(colon + 1, text.len - host.len - 1);
    if (host.len >= 2 && host.p[0] == '[' && host.p[host.len - 1] == ']') {
        a.u.in6.sin6_family = AF_INET6;
        a.len = sizeof a.u.in6;
        if (!host_parse(AF_INET6, slice_of(host.p + 1, host.len - 2), &a.u.in6.sin6_addr) ||
            !port_parse(port, &a.u.in6.sin6_port))
            return ERR_USAGE;
    } else {
        a.u.in.sin_family = AF_INET;
        a.len = sizeof a.u.in;
        if (!host_parse(AF_INET, host, &a.u.in.sin_addr) || !port_parse(port, &a.u.in.sin_port))
            return ERR_USAGE;
    }
    *out = a;
    return 0;
}

/* The path of a unix address; the kernel promises no NUL and gives none to unnamed peers. */
static struct slice unix_path(const struct addr *a)
{
    size_t head = offsetof(struct sockaddr_un, sun_path);
    size_t room = a->len > head ? a->len - head : 0;
    return slice_of(a->u.un.sun_path, strnlen(a->u.un.sun_path, room));
}

static size_t written(int n, size_t cap)
{
    if (n < 0 || cap == 0)
        return 0;
    return (size_t)n < cap ? (size_t)n : cap - 1;
}

size_t addr_format_host(const struct addr *a, char *out, size_t cap)
{
    char host[INET6_ADDRSTRLEN] = "unix";
    if (a->u.sa.sa_family == AF_INET)
        inet_ntop(AF_INET, &a->u.in.sin_addr, host, sizeof host);
    else if (a->u.sa.sa_family == AF_INET6)
        inet_ntop(AF_INET6, &a->u.in6.sin6_addr, host, sizeof host);
    return written(snprintf(out, cap, "%s", host), cap);
}

size_t addr_format(const struct addr *a, char *out, size_t cap)
{
    char host[INET6_ADDRSTRLEN];
    if (a->u.sa.sa_family == AF_UNIX) {
        struct slice path = unix_path(a);
        return written(snprintf(out, cap, "unix:%.*s", SLICE_FMT(path)), cap);
    }
    addr_format_host(a, host, sizeof host);
    bool six = a->u.sa.sa_family == AF_INET6;
    return written(snprintf(out, cap, "%s%s%s:%u", six ? "[" : "", host, six ? "]" : "",
                            (unsigned)addr_port(a)),
                   cap);
}

uint16_t addr_port(const struct addr *a)
{
    if (a->u.sa.sa_family == AF_INET)
        return ntohs(a->u.in.sin_port);
    if (a->u.sa.sa_family == AF_INET6)
        return ntohs(a->u.in6.sin6_port);
    return 0;
}

bool addr_eq(const struct addr *a, const struct addr *b)
{
    if (a->u.sa.sa_family != b->u.sa.sa_family || addr_port(a) != addr_port(b))
        return false;
    if (a->u.sa.sa_family == AF_INET)
        return a->u.in.sin_addr.s_addr == b->u.in.sin_addr.s_addr;
    if (a->u.sa.sa_family == AF_INET6)
        return a->u.in6.sin6_scope_id == b->u.in6.sin6_scope_id &&
               memcmp(&a->u.in6.sin6_addr, &b->u.in6.sin6_addr, 16) == 0;
    return a->u.sa.sa_family == AF_UNIX && slice_eq(unix_path(a), unix_path(b));
}

bool addr_enter(struct addr *a, const char *root)
{
    struct addr inside;
    if (a->u.sa.sa_family != AF_UNIX)
        return true;
    struct slice path = unix_path(a), head = slice_str(root);
    if (!slice_starts(path, head) || path.len == head.len || path.p[head.len] != '/' ||
        unix_parse(slice_of(path.p + head.len, path.len - head.len), &inside) < 0)
        return false;
    *a = inside;
    return true;
}

/* RFC 4291 2.5.5.2 */
static void map_v4(const struct in_addr *in, uint8_t out[16])
{
    memset(out, 0, 10);
    out[10] = out[11] = 0xff;
    memcpy(out + 12, in, 4);
}

int addr_prefix_parse(struct slice text, struct addr_prefix *out)
{
    struct addr_prefix p = {.bits = 128};
    struct in_addr in;
    struct slice host = text;
    const char *slash = text.len ? memchr(text.p, '/', text.len) : NULL;
    unsigned skip = 0;
    uint64_t bits;
    if (slash)
        host.len = (size_t)(slash - text.p);
    if (host_parse(AF_INET, host, &in)) {
        map_v4(&in, p.octets);
        skip = 96;
    } else if (!host_parse(AF_INET6, host, p.octets)) {
        return ERR_USAGE;
    }
    if (slash) {
        struct slice n = slice_of(slash + 1, text.len - host.len - 1);
        if (n.len > 3 || !slice_u64(n, &bits) || bits > 128 - skip)
            return ERR_USAGE;
        p.bits = (uint8_t)(bits + skip);
    }
    *out = p;
    return 0;
}

void addr_network(const struct addr *a, char out[ADDR_NETWORK_OCTETS])
{
    const struct in6_addr *six = &a->u.in6.sin6_addr;
    memset(out, 0, ADDR_NETWORK_OCTETS);
    if (a->u.sa.sa_family == AF_INET) {
        memcpy(out, &a->u.in.sin_addr, 4);
    } else if (a->u.sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(six)) {
        memcpy(out, six->s6_addr + 12, 4);
    } else if (a->u.sa.sa_family == AF_INET6) {
        memcpy(out, six->s6_addr, 8);
        out[8] = 6; /* tells it from IPv4 */
    }
}

bool addr_prefix_has(const struct addr_prefix *p, const struct addr *a)
{
    uint8_t octets[16];
    if (a->u.sa.sa_family == AF_INET)
        map_v4(&a->u.in.sin_addr, octets);
    else if (a->u.sa.sa_family == AF_INET6)
        memcpy(octets, &a->u.in6.sin6_addr, 16);
    else
        return false;
    size_t whole = p->bits / 8u;
    unsigned rest = p->bits % 8u;
    if (memcmp(octets, p->octets, whole) != 0)
        return false;
    return rest == 0 || ((octets[whole] ^ p->octets[whole]) >> (8 - rest)) == 0;
}
