/* SPDX-License-Identifier: Apache-2.0 */
#include "route/route.h"
#include "base/err.h"
#include "route/host_hash.h"

/* Where one table lies, as its header says. */
struct section {
    uint32_t at, count;
    size_t size, align;
};

static bool section_fits(const struct route_header *h, struct section s)
{
    return s.at >= sizeof *h && s.at <= h->total_octets && s.at % s.align == 0 &&
           s.count <= (h->total_octets - s.at) / s.size;
}

static bool sections_fit(const struct route_header *h)
{
    const struct section all[] = {
        {h->sites, h->site_count, sizeof(struct route_site), _Alignof(struct route_site)},
        {h->instances, h->instance_count, sizeof(struct route_instance),
         _Alignof(struct route_instance)},
        {h->hosts, h->host_cap, sizeof(struct route_host), _Alignof(struct route_host)},
        {h->trusted_proxies, h->trusted_proxy_count, sizeof(struct addr_prefix),
         _Alignof(struct addr_prefix)},
        {h->texts, h->texts_octets, 1, 1},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (!section_fits(h, all[i]))
            return false;
    return true;
}

static bool text_fits(const struct route_header *h, struct route_text t)
{
    return t.at >= h->texts && t.at - h->texts <= h->texts_octets &&
           t.len <= h->texts_octets - (t.at - h->texts);
}

static bool sites_valid(const struct route *r)
{
    const struct route_header *h = r->header;
    for (uint32_t i = 0; i < h->site_count; i++) {
        const struct route_site *s = &r->sites[i];
        if (!text_fits(h, s->name) || !text_fits(h, s->default_host) ||
            !text_fits(h, s->upgrades) || !text_fits(h, s->push_include) ||
            !text_fits(h, s->push_exclude) || !text_fits(h, s->push_preload) ||
            !push_settings_valid(&s->push) || s->first_instance > h->instance_count ||
            s->instance_count > h->instance_count - s->first_instance ||
            s->instance_count > ROUTE_MAX_INSTANCES || s->proxy_flag > ROUTE_PROXY_GRPC)
            return false;
    }
    return true;
}

static bool instances_valid(const struct route *r)
{
    const struct route_header *h = r->header;
    for (uint32_t i = 0; i < h->instance_count; i++) {
        const struct route_instance *n = &r->instances[i];
        if (!text_fits(h, n->id) || !text_fits(h, n->address) || !text_fits(h, n->address_h2) ||
            n->state > ROUTE_DRAINING || n->protocol > ROUTE_H2C)
            return false;
    }
    return true;
}

/* At most half of the table may be taken: lookups end at a free slot, and soon. */
static bool hosts_valid(const struct route *r)
{
    const struct route_header *h = r->header;
    uint32_t taken = 0;
    if (h->host_cap == 0 || (h->host_cap & (h->host_cap - 1)) != 0)
        return false;
    for (uint32_t i = 0; i < h->host_cap; i++) {
        const struct route_host *n = &r->hosts[i];
        if (n->name.len == 0)
            continue;
        if (!text_fits(h, n->name) || n->site >= h->site_count)
            return false;
        taken++;
    }
    return taken <= h->host_cap / 2;
}

static bool prefixes_valid(const struct route *r)
{
    for (uint32_t i = 0; i < r->header->trusted_proxy_count; i++)
        if (r->trusted_proxies[i].bits > 128)
            return false;
    return true;
}

static const struct route_site *find_fallback(const struct route *r)
{
    for (uint32_t i = 0; i < r->header->site_count; i++)
        if (r->sites[i].flags & ROUTE_DEFAULT)
            return &r->sites[i];
    return r->header->site_count ? r->sites : NULL;
}

int route_open(struct route *r, const void *base, size_t len)
{
    const struct route_header *h = base;
    if (!base || (uintptr_t)base % 8 != 0 || len < sizeof *h)
        return ERR_FORMAT;
    if (h->magic != ROUTE_MAGIC || h->version != ROUTE_VERSION || h->total_octets > len ||
        h->total_octets < sizeof *h || !sections_fit(h) || !limits_valid(&h->limits))
        return ERR_FORMAT;
    const char *octets = base;
    struct route view = {
        .base = octets,
        .header = h,
        .sites = (const void *)(octets + h->sites),
        .instances = (const void *)(octets + h->instances),
        .hosts = (const void *)(octets + h->hosts),
        .trusted_proxies = (const void *)(octets + h->trusted_proxies),
    };
    if (!sites_valid(&view) || !instances_valid(&view) || !hosts_valid(&view) ||
        !prefixes_valid(&view))
        return ERR_FORMAT;
    view.fallback = find_fallback(&view);
    *r = view;
    return 0;
}

/* Whether the name of a slot is host, or "*" and host when wildcard. */
static bool name_is(struct slice name, struct slice host, bool wildcard)
{
    if (!wildcard)
        return slice_eq(name, host);
    return name.len == host.len + 1 && name.p[0] == '*' &&
           memcmp(name.p + 1, host.p, host.len) == 0;
}

static const struct route_site *probe(const struct route *r, uint32_t hash, struct slice host,
                                      bool wildcard)
{
    uint32_t mask = r->header->host_cap - 1;
    for (uint32_t i = hash & mask; r->hosts[i].name.len; i = (i + 1) & mask) {
        const struct route_host *n = &r->hosts[i];
        if (n->hash == hash && name_is(route_text(r, n->name), host, wildcard))
            return &r->sites[n->site];
    }
    return NULL;
}

const struct route_site *route_find(const struct route *r, struct slice host)
{
    struct {
        uint32_t hash, at;
    } suffixes[ROUTE_MAX_HOST_OCTETS]; /* ".a.b" of "x.a.b", shortest first */
    uint32_t count = 0;
    uint32_t state = HOST_HASH_BASIS ^ r->header->hash_seed;
    if (host.len == 0 || host.len > ROUTE_MAX_HOST_OCTETS)
        return NULL;
    for (uint32_t i = (uint32_t)host.len; i-- > 0;) {
        state = host_hash_step(state, host.p[i]);
        /* A wildcard covers at least one octet. */
        if (host.p[i] == '.' && i > 0) {
            suffixes[count].hash = host_hash_end(host_hash_step(state, '*'));
            suffixes[count++].at = i;
        }
    }
    const struct route_site *site = probe(r, host_hash_end(state), host, false);
    while (!site && count-- > 0) {
        uint32_t at = suffixes[count].at;
        site = probe(r, suffixes[count].hash, slice_of(host.p + at, host.len - at), true);
    }
    return site;
}

const struct route_site *route_default(const struct route *r)
{
    return r->fallback;
}

int route_least(const uint32_t *load, uint32_t count, uint32_t start, uint64_t skip)
{
    int best = -1;
    uint32_t i = count ? start % count : 0;
    for (uint32_t k = 0; k < count; k++, i = i + 1 < count ? i + 1 : 0) {
        if (i < 64 && skip >> i & 1)
            continue;
        if (best < 0 || load[i] < load[best])
            best = (int)i;
    }
    return best;
}

bool route_trusts(const struct route *r, const struct addr *a)
{
    for (uint32_t i = 0; i < r->header->trusted_proxy_count; i++)
        if (addr_prefix_has(&r->trusted_proxies[i], a))
            return true;
    return false;
}
