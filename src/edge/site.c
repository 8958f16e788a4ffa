/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/site.h"

static struct slice copy(struct pool *pool, struct slice s)
{
    char *p = pool_get(pool, s.len + 1);
    if (!p)
        return (struct slice){NULL, 0};
    memcpy(p, s.p, s.len);
    p[s.len] = '\0';
    return (struct slice){p, s.len};
}

static void uncopy(struct pool *pool, struct slice s)
{
    if (s.p)
        pool_put(pool, (void *)(uintptr_t)s.p, s.len + 1);
}

struct site *site_new(struct shard *s, const struct routes *r, const struct route_site *route)
{
    struct site *site =
        pool_zget(s->pool, sizeof *site + route->instance_count * sizeof site->instances[0]);
    if (!site)
        return NULL;
    bool short_ = false;
    site->shard = s;
    site->refs = 1;
    site->route = *route;
    site->retry_milli = SITE_RETRY_MAX_MILLI;
    site->count = route->instance_count;
    site->stats = stats_site(s->counters, s->row, route->slot % s->counters.site_slots);
    site->name = copy(s->pool, route_text(&r->route, route->name));
    site->default_host = copy(s->pool, route_text(&r->route, route->default_host));
    site->upgrades = copy(s->pool, route_text(&r->route, route->upgrades));
    site->push_rules.include = copy(s->pool, route_text(&r->route, route->push_include));
    site->push_rules.exclude = copy(s->pool, route_text(&r->route, route->push_exclude));
    site->push_rules.preload = copy(s->pool, route_text(&r->route, route->push_preload));
    site->has_promised =
        push_is_on(&route->push) && (route->push_preload.len || /* or by earlier routes */
                                     push_ledger_has_promises(&site->stats->push));
    if (!site->name.p || !site->default_host.p || !site->upgrades.p ||
        !site->push_rules.include.p || !site->push_rules.exclude.p || !site->push_rules.preload.p) {
        site_unref(site);
        return NULL;
    }
    for (uint32_t i = 0; i < site->count; i++) {
        const struct route_instance *ri = &r->route.instances[route->first_instance + i];
        struct slice id = route_text(&r->route, ri->id);
        struct slice h2 = route_text(&r->route, ri->address_h2);
        site->instances[i].id = copy(s->pool, id);
        if (!site->instances[i].id.p) {
            site_unref(site);
            return NULL;
        }
        if (ri->state != ROUTE_READY)
            continue;
        site->instances[i].backend = backend_get(s, id, route_text(&r->route, ri->address),
                                                 ri->protocol == ROUTE_H2C, ri->owner, &short_);
        if (h2.len)
            site->instances[i].backend_h2 = backend_get(s, id, h2, true, ri->owner, &short_);
        struct slice address = route_text(&r->route, ri->address);
        uint32_t limit = route->concurrency;
        short_ |=
            !backend_set_limit(site->instances[i].backend, id, address, limit, r->revision) ||
            !backend_set_limit(site->instances[i].backend_h2, id, address, limit, r->revision);
    }
    site->queue = places_get(site->name);
    if (site->queue)
        places_set_limit(site->queue, route->queue, r->revision);
    else
        short_ = true;
    if (short_) { /* it would be without an instance until the next snapshot */
        site_unref(site);
        return NULL;
    }
    return site;
}

void site_unref(struct site *site)
{
    if (!site || --site->refs > 0)
        return;
    struct pool *pool = site->shard->pool;
    for (uint32_t i = 0; i < site->count; i++) {
        uncopy(pool, site->instances[i].id);
        backend_put(site->instances[i].backend);
        backend_put(site->instances[i].backend_h2);
    }
    places_unref(site->queue);
    uncopy(pool, site->name);
    uncopy(pool, site->default_host);
    uncopy(pool, site->upgrades);
    uncopy(pool, site->push_rules.include);
    uncopy(pool, site->push_rules.exclude);
    uncopy(pool, site->push_rules.preload);
    pool_put(pool, site, sizeof *site + site->count * sizeof site->instances[0]);
}
