/* SPDX-License-Identifier: Apache-2.0 */
/* A route snapshot: refused, or safe to read in every way that edge reads it. */
#include "base/err.h"
#include "base/panic.h"
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

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
    struct route r;
    void *copy = malloc(len ? len : 1); /* aligned, which the input need not be */
    if (!copy)
        return 0;
    if (len)
        memcpy(copy, octets, len);
    if (route_open(&r, copy, len) == 0) {
        ASSERT((route_default(&r) == NULL) == (r.header->site_count == 0));
        read_sites(&r);
        look_up(&r, SLICE("a.b.c"));
        for (uint32_t i = 0; i < r.header->host_cap; i++)
            if (r.hosts[i].name.len)
                look_up(&r, route_text(&r, r.hosts[i].name));
    }
    free(copy);
    return 0;
}
