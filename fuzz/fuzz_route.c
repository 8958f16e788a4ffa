/* SPDX-License-Identifier: Apache-2.0 */
/* A route snapshot: refused, or safe to read in every way that edge reads it.
 *
 * Input: changes to one that is in order, which is built here, so that no seed is of an old shape.
 * An octet: how many sites it has.  A change: two octets of where; one of how: below 0x40 a word
 * becomes a telling number, below 0x80 what follows is cut off, else that many octets (its low five
 * bits), which follow, are put there. */
#include "base/err.h"
#include "base/panic.h"
#include "input.h"
#include "route/host_hash.h"
#include "route/route.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len);

static void read_text(const struct route *r, struct route_text t)
{
    static volatile unsigned sum;
    struct slice s = route_text(r, t);
    for (size_t i = 0; i < s.len; i++)
        sum += (unsigned char)s.p[i];
    (void)sum;
}

/* Each name itself, and one below it. */
static void look_up(const struct route *r, struct slice name)
{
    char below[ROUTE_MAX_HOST_OCTETS + 2];
    const struct route_site *end = r->sites + r->header->site_count;
    const struct route_site *site = route_find(r, name);
    ASSERT(!site || (site >= r->sites && site < end));
    if (name.len > ROUTE_MAX_HOST_OCTETS)
        return;
    below[0] = 'x';
    memcpy(below + 1, name.p, name.len);
    site = route_find(r, slice_of(below, name.len + 1));
    ASSERT(!site || (site >= r->sites && site < end));
}

static void read_sites(const struct route *r)
{
    struct addr a;
    for (uint32_t i = 0; i < r->header->site_count; i++) {
        const struct route_site *s = &r->sites[i];
        read_text(r, s->name);
        read_text(r, s->default_host);
        read_text(r, s->upgrades);
        for (uint32_t k = 0; k < s->instance_count; k++) {
            const struct route_instance *n = &r->instances[s->first_instance + k];
            read_text(r, n->id);
            addr_parse(route_text(r, n->address), &a);
            addr_parse(route_text(r, n->address_h2), &a);
        }
    }
    ASSERT(addr_parse(SLICE("[fd00::1]:1"), &a) == 0);
    for (uint32_t i = 0; i < r->header->trusted_proxy_count; i++)
        addr_prefix_has(&r->trusted_proxies[i], &a);
}

static void add_site(struct route_builder *b, unsigned n)
{
    static const char *const hosts[][2] = {
        {"a.test", "*.a.test"}, {"b.a.test", "*.b.a.test"}, {"c", "[::1]"}};
    const struct route_site site = {.min_tls_version = 0x0303,
                                    .flags = n == 1 ? ROUTE_DEFAULT : ROUTE_HTTP20,
                                    .request_timeout_ms = 230000,
                                    .idle_timeout_ms = 60000,
                                    .tunnel_timeout_ms = 1000};
    ASSERT(route_builder_site(b, slice_str(hosts[n][0]), &site) == 0);
    ASSERT(route_builder_host(b, slice_str(hosts[n][0])) == 0);
    ASSERT(route_builder_host(b, slice_str(hosts[n][1])) == 0);
    ASSERT(route_builder_upgrades(b, SLICE("foo,bar/1")) == 0);
    for (unsigned i = 0; i <= n; i++)
        ASSERT(route_builder_instance(b, SLICE("a/0"), SLICE("unix:/run/a"), SLICE("[::1]:80"),
                                      ROUTE_READY, ROUTE_H2C) == 0);
}

static int by_place(const void *a, const void *b)
{
    uint32_t at = ((const struct route_host *)a)->name.at;
    uint32_t other = ((const struct route_host *)b)->name.at;
    return (at > other) - (at < other);
}

/* The builder's hashes have a seed of their own in each process: the same changes shall always mean
 * the same. */
static void settle_hosts(char *octets)
{
    struct route_header *h = (void *)octets;
    struct route_host *hosts = (void *)(octets + h->hosts), taken[16];
    uint32_t count = 0;
    h->hash_seed = 1;
    for (uint32_t i = 0; i < h->host_cap; i++)
        if (hosts[i].name.len) {
            ASSERT(count < ARRAY_LEN(taken));
            taken[count++] = hosts[i];
        }
    memset(hosts, 0, h->host_cap * sizeof *hosts);
    qsort(taken, count, sizeof *taken, by_place);
    for (uint32_t i = 0; i < count; i++) {
        struct route_host host = taken[i];
        host.hash = host_hash(h->hash_seed, slice_of(octets + host.name.at, host.name.len));
        uint32_t at = host.hash & (h->host_cap - 1);
        while (hosts[at].name.len)
            at = (at + 1) & (h->host_cap - 1);
        hosts[at] = host;
    }
}

/* return  octets of exactly that size, to be freed */
static char *build(unsigned sites, size_t *len_out)
{
    struct route_builder *b = route_builder_new(1);
    struct addr_prefix p;
    ASSERT(b && addr_prefix_parse(SLICE("fd00::/8"), &p) == 0);
    for (unsigned i = 0; i < sites; i++)
        add_site(b, i);
    ASSERT(route_builder_trusted_proxy(b, &p) == 0);
    char *octets = route_builder_finish(b, len_out);
    ASSERT(octets);
    route_builder_free(b);
    settle_hosts(octets);
    return octets;
}

static void change(char *octets, size_t *len, struct input *in)
{
    const uint32_t numbers[] = {0,
                                1,
                                2,
                                3,
                                64,
                                65,
                                129,
                                0x80000000u,
                                UINT32_MAX,
                                UINT32_MAX - 7,
                                0x7fffffff,
                                0x20000000u,
                                0x40000000u,
                                8,
                                (uint32_t)*len,
                                (uint32_t)*len - 1};
    size_t where = input_u16(in);
    uint8_t how = input_u8(in);
    if (*len < sizeof *numbers) {
        return;
    } else if (how < 0x40) {
        where = where % (*len / sizeof *numbers) * sizeof *numbers;
        memcpy(octets + where, &numbers[how % ARRAY_LEN(numbers)], sizeof *numbers);
    } else if (how < 0x80) {
        *len = where % *len;
    } else {
        struct slice s = input_take(in, how & 31);
        where %= *len;
        memcpy(octets + where, s.p, s.len < *len - where ? s.len : *len - where);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
    struct input in = {octets, len};
    struct route r;
    unsigned sites = input_u8(&in) & 3;
    bool is_honest = in.left == 0;
    size_t built_len, cut_len;
    char *built = build(sites, &built_len);
    cut_len = built_len;
    while (in.left)
        change(built, &cut_len, &in);
    char *cut = realloc(built, cut_len ? cut_len : 1); /* so that one octet too far is found */
    ASSERT(cut);
    int err = route_open(&r, cut, cut_len);
    ASSERT(err == 0 || (err == ERR_FORMAT && !is_honest));
    if (err == 0) {
        ASSERT((route_default(&r) == NULL) == (r.header->site_count == 0));
        read_sites(&r);
        look_up(&r, SLICE("a.b.c"));
        for (uint32_t i = 0; i < r.header->host_cap; i++)
            if (r.hosts[i].name.len)
                look_up(&r, route_text(&r, r.hosts[i].name));
    }
    if (is_honest)
        for (unsigned i = 0; i < sites; i++)
            ASSERT(route_find(&r, route_text(&r, r.sites[i].name)) == &r.sites[i]);
    free(cut);
    return 0;
}
