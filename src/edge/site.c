/* SPDX-License-Identifier: Apache-2.0 */
/* Sites and backends: what the snapshot says, as one shard uses it. */
#include "edge/worker.h"
#include "base/err.h"
#include "base/panic.h"

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

/* The backend of an instance: found by id, address and protocol, so that it outlives snapshots. */
/* no_memory_out  set when that is why there is none; otherwise the address is at fault */
static struct backend *backend_get(struct shard *s, struct slice id, struct slice address, bool h2,
                                   uint32_t owner, bool *no_memory_out)
{
    char text[2 * ADDR_TEXT_OCTETS + 8];
    size_t len = 0;
    struct addr addr;
    if (id.len + address.len + 3 > sizeof text || addr_parse(address, &addr) < 0)
        return NULL;
    if (s->root && !addr_enter(&addr, s->root))
        return NULL;
    memcpy(text, id.p, id.len);
    len = id.len;
    text[len++] = h2 ? '>' : ' ';
    memcpy(text + len, address.p, address.len);
    len += address.len;
    struct backend *b = map_get(&s->backends, slice_of(text, len));
    if (b) {
        b->refs++;
        b->owner = owner;
        b->unused_us = 0;
        b->bad_until_us = 0; /* control has seen it accept */
        return b;
    }
    b = pool_zget(s->pool, sizeof *b);
    if (!b) {
        *no_memory_out = true;
        return NULL;
    }
    b->magic = BACKEND_MAGIC;
    b->shard = s;
    b->address = addr;
    ration_init(&b->ration, shard_now_us(s));
    b->h2 = h2;
    b->owner = owner;
    b->refs = 1;
    list_init(&b->h1_idle);
    list_init(&b->h1_busy);
    for (int i = 0; i < WORKER_CLASSES; i++)
        list_init(&b->h2_conns[i]);
    b->key = copy(s->pool, slice_of(text, len));
    if (!b->key.p || map_put(&s->backends, b->key, b) < 0) {
        uncopy(s->pool, b->key);
        pool_put(s->pool, b, sizeof *b);
        *no_memory_out = true;
        return NULL;
    }
    return b;
}

/* A site lets go; the backend stays a while for the next snapshot to find it (backends_tick). */
static void backend_put(struct backend *b)
{
    if (!b)
        return;
    ASSERT(b->refs > 0);
    if (--b->refs == 0)
        b->unused_us = loop_now_us(b->shard->loop);
}

static void backend_free(struct backend *b)
{
    struct shard *s = b->shard;
    map_del(&s->backends, b->key);
    places_unref(b->places);
    uncopy(s->pool, b->key);
    b->magic = 0;
    pool_put(s->pool, b, sizeof *b);
}

/* An instance has one count, however it is spoken to.  return  false: memory is out */
static bool set_limit(struct backend *b, struct slice id, struct slice address, uint32_t limit,
                      uint64_t revision)
{
    char text[2 * ADDR_TEXT_OCTETS + 8];
    if (!b)
        return true;
    if (!b->places && limit && id.len + 1 + address.len <= sizeof text) {
        memcpy(text, id.p, id.len);
        text[id.len] = ' ';
        memcpy(text + id.len + 1, address.p, address.len);
        b->places = places_get(slice_of(text, id.len + 1 + address.len));
    }
    if (b->places)
        places_set_limit(b->places, limit ? limit : UINT32_MAX, revision);
    return b->places || !limit;
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
        short_ |= !set_limit(site->instances[i].backend, id, address, limit, r->revision) ||
                  !set_limit(site->instances[i].backend_h2, id, address, limit, r->revision);
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

void backends_tick(struct shard *s)
{
    uint64_t now = loop_now_us(s->loop);
    size_t it = 0;
    struct backend *b;
    while ((b = map_next(&s->backends, &it)) != NULL) {
        CHECK_MAGIC(b, BACKEND_MAGIC);
        bool unused = b->refs == 0 && b->unused_us && now - b->unused_us > BACKEND_LINGER_US;
        if (worker_sweep(b, unused ? SWEEP_UNUSED : SWEEP_OLD) && unused)
            backend_free(b);
    }
}

void backends_fini(struct shard *s)
{
    size_t it = 0;
    struct backend *b;
    while ((b = map_next(&s->backends, &it)) != NULL) {
        worker_sweep(b, SWEEP_ALL);
        loop_turn(s->loop, 0); /* reap what was closed */
        backend_free(b);
    }
}
