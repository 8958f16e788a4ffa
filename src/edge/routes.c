/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/routes.h"
#include "base/err.h"
#include "base/log.h"
#include "http/rules.h"

#include <stdlib.h>
#include <sys/mman.h>

struct routes *routes_new(const void *base, size_t len, uint64_t revision,
                          struct tls_identity *const *identities, uint32_t identity_count)
{
    struct routes *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->identities = calloc(identity_count ? identity_count : 1, sizeof(struct tls_identity *));
    if (!r->identities || route_open(&r->route, base, len) < 0) {
        free(r->identities);
        free(r);
        return NULL;
    }
    atomic_init(&r->refs, 1);
    r->base = base;
    r->len = len;
    r->revision = revision;
    r->identity_count = identity_count;
    for (uint32_t i = 0; i < identity_count; i++)
        if (identities[i])
            r->identities[i] = tls_identity_ref(identities[i]);
    return r;
}

const struct route_site *routes_find(const struct routes *r, struct slice authority)
{
    struct slice host;
    uint16_t port;
    char lower[256];
    rules_split_authority(authority, &host, &port);
    if (host.len == 0 || host.len > sizeof lower)
        return NULL;
    for (size_t i = 0; i < host.len; i++)
        lower[i] = (char)ascii_lower((unsigned char)host.p[i]);
    if (lower[host.len - 1] == '.') /* a fully qualified name is the same name */
        host.len--;
    return route_find(&r->route, slice_of(lower, host.len));
}

struct routes *routes_ref(struct routes *r)
{
    atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
    return r;
}

void routes_unref(struct routes *r)
{
    if (!r || atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (uint32_t i = 0; i < r->identity_count; i++)
        if (r->identities[i])
            tls_identity_unref(r->identities[i]);
    free(r->identities);
    munmap((void *)(uintptr_t)r->base, r->len);
    free(r);
}

/* return  NULL: the site's certificate has not come */
static struct tls_identity *identity_of(const struct routes *r, const struct route_site *site)
{
    return site->certificate < r->identity_count ? r->identities[site->certificate] : NULL;
}

int routes_choose(void *user, struct slice server_name, struct tls_choice *out)
{
    const struct routes *r = *(struct routes *const *)user;
    const struct route_site *site = NULL;
    if (!r)
        return ERR_NOTFOUND;
    if (server_name.len)
        site = route_find(&r->route, server_name);
    /* A name that no app has gets the default certificate and then, by the rule for authorities,
     * a 404: closing the handshake would tell a person nothing. */
    if (!site)
        site = route_default(&r->route);
    if (!site)
        return ERR_NOTFOUND;
    out->identity = identity_of(r, site);
    const char *why = NULL;
    if (out->identity && !tls_identity_read(out->identity, &why))
        out->identity = NULL;
    if (why)
        log_event(LOG_ERROR, "edge.certificate", "app=%.*s error=\"%s\"",
                  SLICE_FMT(route_text(&r->route, site->name)), why);
    out->min_version = site->min_tls_version == TLS_1_3 ? TLS_1_3 : TLS_1_2;
    out->h2 = (site->flags & ROUTE_HTTP20) != 0;
    out->key_updates = r->route.header->limits.key_updates;
    return out->identity ? 0 : ERR_NOTFOUND;
}
