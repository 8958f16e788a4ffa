/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange_routes.h"
#include "base/panic.h"
#include "exchange_extras.h"
#include "exchange_log.h"
#include "exchange_tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define CERTIFICATES 2 /* of the first two hosts, and of the last */

static char directory[] = "/tmp/portico-fuzz-XXXXXX";
static char socket_paths[2][64]; /* by enum route_protocol */
static struct {
    void *octets;
    size_t len;
} snapshots[ROUTINGS];
static struct tls_identity *identities[CERTIFICATES];

static void tidy(void)
{
    unlink(socket_paths[ROUTE_H1]);
    unlink(socket_paths[ROUTE_H2C]);
    rmdir(directory);
    for (int i = 0; i < ROUTINGS; i++)
        free(snapshots[i].octets);
    for (int i = 0; i < CERTIFICATES; i++)
        tls_identity_unref(identities[i]);
}

static void add_site(struct route_builder *b, enum routing routing, unsigned host,
                     enum push_policy policy)
{
    bool h2 = host != EXCHANGE_HOST_H1;
    enum route_protocol protocol = h2 ? ROUTE_H2C : ROUTE_H1;
    struct slice name = slice_of(&"abc"[host], 1);
    bool tight = routing == ROUTING_TIGHT;
    uint32_t timeout_ms = tight ? 1000 : 60000;
    struct route_site site = {
        .flags = ROUTE_HTTP20 | ROUTE_WEBSOCKETS | (h2 ? 0 : ROUTE_DEFAULT),
        .proxy_flag = h2 ? ROUTE_PROXY_ALL : ROUTE_PROXY_H1,
        .push = {.policy = policy, .budget_octets = 20000, .copied = PUSH_COPY_DEFAULT},
        .request_timeout_ms = timeout_ms,
        .idle_timeout_ms = timeout_ms,
        .tunnel_timeout_ms = timeout_ms,
        .concurrency = tight || routing == ROUTING_ONE_AT_A_TIME,
        .queue = tight ? 1 : 10,
        .body_limit_octets = tight ? 100000 : 1u << 30,
        .certificate = host == 2,
        .min_tls_version = routing == ROUTING_STRICT && host == 1 ? TLS_1_3 : TLS_1_2};
    if (routing == ROUTING_STRICT) {
        static const uint32_t lacks[] = {ROUTE_WEBSOCKETS, ROUTE_HTTP20, 0};
        site.flags &= ~lacks[host];
        site.flags |= host == 2 ? ROUTE_HTTPS_ONLY : 0;
    }
    if (routing == ROUTING_TRUSTS) {
        site.flags |= ROUTE_XFF_PORT;
        site.push.copied = (1u << PUSH_COPY_COUNT) - 1;
        site.push.weave_octets = 1000;
        site.push.budget_octets = PUSH_BUDGET_FITS;
    }
    if (routing == ROUTING_FAILING)
        site.flags |= ROUTE_MANAGED | ROUTE_FAILING;
    char address[8 + sizeof socket_paths], id[8];
    snprintf(id, sizeof id, "%.*s/0", SLICE_FMT(name));
    snprintf(address, sizeof address, "unix:%s", socket_paths[protocol]);
    struct push_rules rules = {.preload = SLICE(EXCHANGE_PRELOADS)};
    if (routing == ROUTING_TRUSTS)
        rules = (struct push_rules){.include = SLICE("/1*\n/*2*3\n"), .exclude = SLICE("/*9\n")};
    ASSERT(route_builder_site(b, name, &site) == 0 &&
           route_builder_host(b, slice_str(exchange_hosts[host])) == 0 &&
           route_builder_upgrades(b, SLICE(EXCHANGE_UPGRADE)) == 0);
    if (routing == ROUTING_TRUSTS || routing == ROUTING_ONE_AT_A_TIME || routing == ROUTING_STRICT)
        ASSERT(route_builder_push(b, &rules) == 0);
    if (routing != ROUTING_NO_INSTANCES && routing != ROUTING_FAILING)
        ASSERT(route_builder_instance(b, slice_str(id), slice_str(address), SLICE(""), ROUTE_READY,
                                      protocol) == 0);
}

/* Of the edge, beside its sites. */
static void add_rest(struct route_builder *b, enum routing routing)
{
    if (routing == ROUTING_TIGHT) {
        struct limits l = limits_default;
        l.connections_per_address = 2;
        l.abuses_per_address = (struct limit_rate){1, 1};
        l.h2_streams = 2;
        l.h2_sections = 1024;
        l.h2_stream_window = 16384;
        l.h2_conn_window = 65535;
        l.h2_unsent = 65536;
        l.h2_resets = (struct limit_rate){3, 1};
        l.hops = 1;
        ASSERT(route_builder_limits(b, &l) == 0);
    }
    if (routing == ROUTING_TRUSTS) {
        struct addr_prefix clients;
        uint8_t digest[TLS_SHA256_OCTETS];
        tls_sha256(EXCHANGE_TOKEN, strlen(EXCHANGE_TOKEN), digest);
        route_builder_push_token(b, digest);
        ASSERT(addr_prefix_parse(SLICE("127.0.0.0/8"), &clients) == 0 &&
               route_builder_trusted_proxy(b, &clients) == 0);
    }
}

static void *build(enum routing routing, size_t *len_out)
{
    struct route_builder *b = route_builder_new(1);
    ASSERT(b);
    if (routing != ROUTING_ONLY_H2)
        add_site(b, routing, EXCHANGE_HOST_H1, PUSH_POLICY_AUTO);
    add_site(b, routing, 1, PUSH_POLICY_AUTO);
    add_site(b, routing, 2, PUSH_POLICY_ALWAYS);
    add_rest(b, routing);
    void *octets = route_builder_finish(b, len_out);
    ASSERT(octets);
    route_builder_free(b);
    return octets;
}

static struct tls_identity *certify(const char *names)
{
    char *chain, *key;
    exchange_tls_certificate(names, &chain, &key);
    struct tls_identity *id = tls_identity_new(slice_str(chain), slice_str(key), NULL);
    ASSERT(id);
    free(chain);
    free(key);
    return id;
}

void exchange_routes_init(void)
{
    ASSERT(mkdtemp(directory));
    for (int i = 0; i < 2; i++)
        snprintf(socket_paths[i], sizeof socket_paths[i], "%s/%s", directory,
                 i == ROUTE_H2C ? "h2" : "h1");
    for (enum routing routing = 0; routing < ROUTINGS; routing++)
        snapshots[routing].octets = build(routing, &snapshots[routing].len);
    identities[0] = certify("DNS:a.test,DNS:b.test");
    identities[1] = certify("DNS:c.test");
    atexit(tidy);
}

const char *exchange_routes_socket(enum route_protocol protocol)
{
    return socket_paths[protocol];
}

struct routes *exchange_routes_new(enum routing routing, uint64_t revision)
{
    size_t len = snapshots[routing].len;
    void *map = /* routes_new takes it over */
        mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT(map != MAP_FAILED);
    memcpy(map, snapshots[routing].octets, len);
    struct routes *r = routes_new(map, len, revision, identities, CERTIFICATES);
    ASSERT(r);
    return r;
}
