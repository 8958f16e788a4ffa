/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "base/hash.h"
#include "base/panic.h"
#include "route/host_hash.h"
#include "route/route.h"

#include <stdlib.h>

#define HOSTS_FIRST 16
/* Of each table; all of them together still fit into 32 bits of offset. */
#define TABLE_MAX_OCTETS (256u << 20)

/* Rows of one size, doubled when full. */
struct table {
    char *rows;
    uint32_t count, cap;
};

/* The host table has its final form while it grows, so that it answers whether a name is taken.
 * References to texts count from the start of the texts until route_builder_finish moves them. */
struct route_builder {
    uint64_t revision;
    uint32_t seed;
    struct table sites, instances, texts, trusted_proxies;
    struct route_host *hosts;
    uint32_t host_count, host_cap; /* cap: a power of two, at least twice the count */
    uint8_t push_token[ROUTE_DIGEST_OCTETS];
    struct limits limits;
};

/* return  0 or ERR_NOMEM */
static int table_reserve(struct table *t, size_t size, size_t more)
{
    size_t need = t->count + more, cap = t->cap ? t->cap : 16;
    if (more > TABLE_MAX_OCTETS || need * size > TABLE_MAX_OCTETS)
        return ERR_NOMEM;
    if (need <= t->cap)
        return 0;
    while (cap < need)
        cap *= 2;
    char *rows = realloc(t->rows, cap * size);
    if (!rows)
        return ERR_NOMEM;
    t->rows = rows;
    t->cap = (uint32_t)cap;
    return 0;
}

/* A row of zeroes, padding too: nothing of control's memory leaves with the snapshot. */
static void *table_add(struct table *t, size_t size)
{
    return memset(t->rows + size * t->count++, 0, size);
}

/* After table_reserve. */
static struct route_text add_text(struct route_builder *b, struct slice s)
{
    struct route_text t = {.at = b->texts.count, .len = (uint32_t)s.len};
    if (s.len)
        memcpy(b->texts.rows + t.at, s.p, s.len);
    b->texts.count += t.len;
    return t;
}

struct route_builder *route_builder_new(uint64_t revision)
{
    struct hash_key random;
    struct route_builder *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    b->hosts = calloc(HOSTS_FIRST, sizeof *b->hosts);
    if (!b->hosts) {
        free(b);
        return NULL;
    }
    hash_key_random(&random);
    b->seed = (uint32_t)random.k[0];
    b->host_cap = HOSTS_FIRST;
    b->revision = revision;
    b->limits = limits_default;
    return b;
}

void route_builder_free(struct route_builder *b)
{
    if (!b)
        return;
    free(b->sites.rows);
    free(b->instances.rows);
    free(b->texts.rows);
    free(b->trusted_proxies.rows);
    free(b->hosts);
    free(b);
}

static struct route_site *last_site(const struct route_builder *b)
{
    size_t size = sizeof(struct route_site);
    return b->sites.count ? (void *)(b->sites.rows + size * (b->sites.count - 1)) : NULL;
}

int route_builder_site(struct route_builder *b, struct slice name, const struct route_site *site)
{
    if (site->proxy_flag > ROUTE_PROXY_GRPC || !push_settings_valid(&site->push))
        return ERR_USAGE;
    if (table_reserve(&b->sites, sizeof *site, 1) < 0 || table_reserve(&b->texts, 1, name.len) < 0)
        return ERR_NOMEM;
    struct route_site *s = table_add(&b->sites, sizeof *s);
    s->name = add_text(b, name);
    s->slot = site->slot;
    s->flags = site->flags;
    s->proxy_flag = site->proxy_flag;
    s->certificate = site->certificate;
    s->min_tls_version = site->min_tls_version;
    s->first_instance = b->instances.count;
    s->request_timeout_ms = site->request_timeout_ms;
    s->idle_timeout_ms = site->idle_timeout_ms;
    s->tunnel_timeout_ms = site->tunnel_timeout_ms;
    s->concurrency = site->concurrency;
    s->queue = site->queue;
    s->body_limit_octets = site->body_limit_octets;
    s->push = site->push;
    return 0;
}

/* The slot that has the name, or the free one where it belongs. */
static struct route_host *slot_of(const struct route_builder *b, struct slice name, uint32_t hash)
{
    uint32_t mask = b->host_cap - 1, i = hash & mask;
    for (; b->hosts[i].name.len; i = (i + 1) & mask) {
        const struct route_host *n = &b->hosts[i];
        if (n->hash == hash && slice_eq(slice_of(b->texts.rows + n->name.at, n->name.len), name))
            break;
    }
    return &b->hosts[i];
}

static int grow_hosts(struct route_builder *b)
{
    uint32_t cap = b->host_cap * 2, mask = cap - 1;
    if (cap * sizeof *b->hosts > TABLE_MAX_OCTETS)
        return ERR_NOMEM;
    struct route_host *hosts = calloc(cap, sizeof *hosts);
    if (!hosts)
        return ERR_NOMEM;
    for (uint32_t k = 0; k < b->host_cap; k++) {
        uint32_t i = b->hosts[k].hash & mask;
        if (b->hosts[k].name.len == 0)
            continue;
        while (hosts[i].name.len)
            i = (i + 1) & mask;
        hosts[i] = b->hosts[k];
    }
    free(b->hosts);
    b->hosts = hosts;
    b->host_cap = cap;
    return 0;
}

/* A "*" stands only for the whole first label, and something follows it. */
static bool stars_valid(struct slice name)
{
    if (!memchr(name.p, '*', name.len))
        return true;
    return name.len > 2 && slice_starts(name, SLICE("*.")) &&
           !memchr(name.p + 1, '*', name.len - 1);
}

int route_builder_host(struct route_builder *b, struct slice name)
{
    char lower[ROUTE_MAX_HOST_OCTETS];
    if (b->sites.count == 0 || name.len == 0 || name.len > sizeof lower || !stars_valid(name))
        return ERR_USAGE;
    for (size_t i = 0; i < name.len; i++)
        lower[i] = (char)ascii_lower((unsigned char)name.p[i]);
    name.p = lower;
    uint32_t hash = host_hash(b->seed, name), site = b->sites.count - 1;
    struct route_host *slot = slot_of(b, name, hash);
    if (slot->name.len)
        return slot->site == site ? 0 : ERR_USAGE;
    if (table_reserve(&b->texts, 1, name.len) < 0)
        return ERR_NOMEM;
    if (b->host_count + 1 > b->host_cap / 2) {
        if (grow_hosts(b) < 0)
            return ERR_NOMEM;
        slot = slot_of(b, name, hash);
    }
    *slot = (struct route_host){.name = add_text(b, name), .site = site, .hash = hash};
    b->host_count++;
    struct route_site *s = last_site(b);
    if (s->default_host.len == 0 && lower[0] != '*')
        s->default_host = slot->name;
    return 0;
}

int route_builder_upgrades(struct route_builder *b, struct slice names)
{
    struct route_site *s = last_site(b);
    if (!s || s->upgrades.len)
        return ERR_USAGE;
    if (table_reserve(&b->texts, 1, names.len) < 0)
        return ERR_NOMEM;
    s->upgrades = add_text(b, names);
    return 0;
}

int route_builder_push(struct route_builder *b, const struct push_rules *rules)
{
    struct route_site *s = last_site(b);
    if (!s || s->push_include.len || s->push_exclude.len || s->push_preload.len)
        return ERR_USAGE;
    if (table_reserve(&b->texts, 1, rules->include.len + rules->exclude.len + rules->preload.len) <
        0)
        return ERR_NOMEM;
    s->push_include = add_text(b, rules->include);
    s->push_exclude = add_text(b, rules->exclude);
    s->push_preload = add_text(b, rules->preload);
    return 0;
}

int route_builder_instance(struct route_builder *b, struct slice id, struct slice address,
                           struct slice address_h2, enum route_instance_state state,
                           enum route_protocol protocol)
{
    struct route_site *site = last_site(b);
    if (!site || site->instance_count >= ROUTE_MAX_INSTANCES || (unsigned)state > ROUTE_DRAINING ||
        (unsigned)protocol > ROUTE_H2C)
        return ERR_USAGE;
    if (id.len > TABLE_MAX_OCTETS || address.len > TABLE_MAX_OCTETS ||
        table_reserve(&b->instances, sizeof(struct route_instance), 1) < 0 ||
        table_reserve(&b->texts, 1, id.len + address.len + address_h2.len) < 0)
        return ERR_NOMEM;
    struct route_instance *n = table_add(&b->instances, sizeof *n);
    n->id = add_text(b, id);
    n->address = add_text(b, address);
    n->address_h2 = add_text(b, address_h2);
    n->state = state;
    n->protocol = protocol;
    n->owner = ROUTE_ANYBODY;
    site->instance_count++;
    return 0;
}

void route_builder_owner(struct route_builder *b, uint32_t uid)
{
    ASSERT(b->instances.count);
    ((struct route_instance *)(void *)b->instances.rows)[b->instances.count - 1].owner = uid;
}

int route_builder_trusted_proxy(struct route_builder *b, const struct addr_prefix *p)
{
    if (p->bits > 128)
        return ERR_USAGE;
    if (table_reserve(&b->trusted_proxies, sizeof *p, 1) < 0)
        return ERR_NOMEM;
    struct addr_prefix *row = table_add(&b->trusted_proxies, sizeof *row);
    *row = *p;
    return 0;
}

void route_builder_push_token(struct route_builder *b, const uint8_t digest[ROUTE_DIGEST_OCTETS])
{
    memcpy(b->push_token, digest, sizeof b->push_token);
}

int route_builder_limits(struct route_builder *b, const struct limits *limits)
{
    if (!limits_valid(limits))
        return ERR_USAGE;
    b->limits = *limits;
    return 0;
}

/* return  where it goes; *total grows by its octets, rounded up to 8 */
static uint32_t place(uint32_t *total, size_t octets)
{
    uint32_t at = *total;
    *total += (uint32_t)((octets + 7) & ~(size_t)7);
    return at;
}

static void copy_rows(char *to, const void *rows, size_t octets)
{
    if (octets)
        memcpy(to, rows, octets);
}

static void move_texts(char *base, const struct route_header *h)
{
    struct route_site *sites = (void *)(base + h->sites);
    struct route_instance *instances = (void *)(base + h->instances);
    struct route_host *hosts = (void *)(base + h->hosts);
    for (uint32_t i = 0; i < h->site_count; i++) {
        sites[i].name.at += h->texts;
        sites[i].default_host.at += h->texts;
        sites[i].upgrades.at += h->texts;
        sites[i].push_include.at += h->texts;
        sites[i].push_exclude.at += h->texts;
        sites[i].push_preload.at += h->texts;
    }
    for (uint32_t i = 0; i < h->instance_count; i++) {
        instances[i].id.at += h->texts;
        instances[i].address.at += h->texts;
        instances[i].address_h2.at += h->texts;
    }
    for (uint32_t i = 0; i < h->host_cap; i++)
        if (hosts[i].name.len)
            hosts[i].name.at += h->texts;
}

void *route_builder_finish(struct route_builder *b, size_t *len_out)
{
    uint32_t total = sizeof(struct route_header);
    size_t sites = b->sites.count * sizeof(struct route_site);
    size_t instances = b->instances.count * sizeof(struct route_instance);
    size_t hosts = b->host_cap * sizeof(struct route_host);
    size_t proxies = b->trusted_proxies.count * sizeof(struct addr_prefix);
    struct route_header h;
    memset(&h, 0, sizeof h); /* padding, too */
    h.magic = ROUTE_MAGIC;
    h.version = ROUTE_VERSION;
    h.revision = b->revision;
    h.hash_seed = b->seed;
    memcpy(h.push_token, b->push_token, sizeof h.push_token);
    h.limits = b->limits;
    h.sites = place(&total, sites);
    h.site_count = b->sites.count;
    h.instances = place(&total, instances);
    h.instance_count = b->instances.count;
    h.hosts = place(&total, hosts);
    h.host_cap = b->host_cap;
    h.trusted_proxies = place(&total, proxies);
    h.trusted_proxy_count = b->trusted_proxies.count;
    h.texts = place(&total, b->texts.count);
    h.texts_octets = b->texts.count;
    h.total_octets = total;
    char *base = calloc(1, total);
    if (!base)
        return NULL;
    memcpy(base, &h, sizeof h);
    copy_rows(base + h.sites, b->sites.rows, sites);
    copy_rows(base + h.instances, b->instances.rows, instances);
    copy_rows(base + h.hosts, b->hosts, hosts);
    copy_rows(base + h.trusted_proxies, b->trusted_proxies.rows, proxies);
    copy_rows(base + h.texts, b->texts.rows, b->texts.count);
    move_texts(base, &h);
    struct route check;
    ASSERT(route_open(&check, base, total) == 0);
    *len_out = total;
    return base;
}
