/* SPDX-License-Identifier: Apache-2.0 */
/* The route snapshot: host -> site -> instances, in one flat run of octets.  Control builds it, it
 * travels as a sealed memfd, edge maps and checks it once and then only reads it.  Nothing in it is
 * ever changed: a new state is a new snapshot.
 *
 * All references are offsets, checked by route_open against the length, so a snapshot from a
 * control that has gone mad cannot make edge read outside of it. */
#ifndef ROUTE_ROUTE_H
#define ROUTE_ROUTE_H

#include "base/addr.h"
#include "base/slice.h"
#include "push/settings.h"
#include "route/limits.h"

#define ROUTE_MAGIC   0x31525450u /* "PTR1" */
#define ROUTE_VERSION 6u

#define ROUTE_MAX_INSTANCES   64 /* of a site: they fit into one word of bits */
#define ROUTE_DIGEST_OCTETS   32
#define ROUTE_MAX_HOST_OCTETS 253 /* RFC 1035 2.3.4, without the dot at the end */

/* Fixed-width, little-endian as the machine is: the snapshot never leaves it. */
struct route_text {
    uint32_t at, len;
};

enum route_flag {
    ROUTE_HTTP20 = 1,      /* http20Enabled: HTTP/2 to the client */
    ROUTE_HTTPS_ONLY = 2,  /* plain requests are redirected */
    ROUTE_XFF_PORT = 8,    /* X-Forwarded-For as ip:port, as the hosted service writes it */
    ROUTE_MANAGED = 64,    /* its workers are started for it: worth waiting for */
    ROUTE_FAILING = 128,   /* they keep failing: not worth waiting for */
    ROUTE_WEBSOCKETS = 32, /* webSocketsEnabled */
    ROUTE_DEFAULT = 16,    /* the site whose certificate answers a client without SNI */
};

enum route_proxy_flag { ROUTE_PROXY_H1 = 0, ROUTE_PROXY_ALL = 1, ROUTE_PROXY_GRPC = 2 };

struct route_site {
    struct route_text name;
    struct route_text default_host; /* the first host that is not a wildcard, or empty */
    struct route_text upgrades;     /* protocols that pass opaque: "foo,bar/1", or empty */
    struct route_text push_include, push_exclude, push_preload; /* as in struct push_rules */
    struct push_settings push;
    uint32_t slot;            /* index of this site's counters: stable while the site exists */
    uint32_t flags;           /* enum route_flag */
    uint32_t proxy_flag;      /* enum route_proxy_flag */
    uint32_t certificate;     /* id of the certificate, as in the messages that carry them */
    uint32_t min_tls_version; /* 0x0303 or 0x0304 */
    uint32_t first_instance, instance_count;
    uint32_t request_timeout_ms; /* head of the request sent to head of the response, and idle
                                    inside a body */
    uint32_t idle_timeout_ms;    /* client connections without an exchange */
    uint32_t tunnel_timeout_ms;  /* a tunnel in which no octet moves either way */
    uint32_t concurrency;        /* requests under way an instance; 0: no limit */
    uint32_t queue;              /* requests that wait for an instance */
    uint64_t body_limit_octets;  /* of a request */
};

enum route_instance_state { ROUTE_STARTING = 0, ROUTE_READY = 1, ROUTE_DRAINING = 2 };
#define ROUTE_ANYBODY UINT32_MAX
enum route_protocol { ROUTE_H1 = 0, ROUTE_H2C = 1 };

struct route_instance {
    struct route_text id;         /* "gallery/0": the same over restarts */
    struct route_text address;    /* as addr_parse takes it */
    struct route_text address_h2; /* HTTP20_ONLY_PORT's, or empty */
    uint32_t state;               /* enum route_instance_state */
    uint32_t protocol;            /* enum route_protocol: what the instance speaks at address */
    uint32_t owner;               /* the user whose listeners these must be, or ROUTE_ANYBODY */
};

/* An open-addressing table: hosts[hash & (cap - 1)], exact names and "*.example" wildcards. */
struct route_host {
    struct route_text name; /* lower case; len 0: a free slot */
    uint32_t site;
    uint32_t hash;
};

struct route_header {
    uint32_t magic, version;
    uint64_t revision;
    uint32_t total_octets;
    uint32_t sites, site_count;         /* offset, count */
    uint32_t instances, instance_count; /* offset, count */
    uint32_t hosts, host_cap;           /* offset, a power of two */
    uint32_t texts, texts_octets;
    uint32_t hash_seed;
    uint32_t trusted_proxies, trusted_proxy_count; /* offset of struct addr_prefix[], count */
    uint8_t push_token[ROUTE_DIGEST_OCTETS]; /* SHA-256 of the operator's; all 0: there is none */
    struct limits limits;
};

/* A checked view; it owns nothing. */
struct route {
    const char *base;
    const struct route_header *header;
    const struct route_site *sites;
    const struct route_instance *instances;
    const struct route_host *hosts;
    const struct addr_prefix *trusted_proxies;
    const struct route_site *fallback; /* what route_default gives */
};

/* base: kept as long as the view is used, aligned to 8.  return 0 or ERR_FORMAT */
int route_open(struct route *r, const void *base, size_t len);
static inline struct slice route_text(const struct route *r, struct route_text t)
{
    return (struct slice){r->base + t.at, t.len};
}
/* host: lower case, without port.  Exact names win over wildcards ("*.a.b" covers one or more
 * labels before a.b; the longest wins).  return  NULL: unknown */
const struct route_site *route_find(const struct route *r, struct slice host);
/* The site flagged ROUTE_DEFAULT, or the first; NULL without sites. */
const struct route_site *route_default(const struct route *r);

/* Whether a is one of the trusted proxies. */
bool route_trusts(const struct route *r, const struct addr *a);

/* Least requests in flight, pure.  load[i]: of the i-th candidate; start: where to begin among
 * equals (a counter of the caller's).  skip: bit i set means do not take it.
 * return  its index, or -1 when none is left */
int route_least(const uint32_t *load, uint32_t count, uint32_t start, uint64_t skip);

/* Building (control). */
struct route_builder;
struct route_builder *route_builder_new(uint64_t revision);
void route_builder_free(struct route_builder *b);
/* Each site's instances are added right after it.  Text members of the argument are ignored; the
 * slices count.  return 0, ERR_NOMEM, or ERR_USAGE: a host that another site has, is
 * longer than ROUTE_MAX_HOST_OCTETS or has a "*" that is not its whole first label; an instance
 * beyond ROUTE_MAX_INSTANCES; a host or instance before the first site.  On error nothing is added.
 * A host that the site has already is no error; upper case in hosts becomes lower case. */
int route_builder_site(struct route_builder *b, struct slice name, const struct route_site *site);
int route_builder_host(struct route_builder *b, struct slice name);
/* Names joined by ",": of the last site, once. */
int route_builder_upgrades(struct route_builder *b, struct slice names);
/* Of the last site, once. */
int route_builder_push(struct route_builder *b, const struct push_rules *rules);
int route_builder_instance(struct route_builder *b, struct slice id, struct slice address,
                           struct slice address_h2, enum route_instance_state state,
                           enum route_protocol protocol);
/* Whose the addresses of the instance added last must be; ROUTE_ANYBODY when nothing is said. */
void route_builder_owner(struct route_builder *b, uint32_t uid);
int route_builder_trusted_proxy(struct route_builder *b, const struct addr_prefix *p);
void route_builder_push_token(struct route_builder *b, const uint8_t digest[ROUTE_DIGEST_OCTETS]);
/* Others than limits_default.  return 0, or ERR_USAGE: one is out of its range */
int route_builder_limits(struct route_builder *b, const struct limits *limits);
/* return  the octets (given: free()), or NULL when memory is out */
void *route_builder_finish(struct route_builder *b, size_t *len_out);

#endif
