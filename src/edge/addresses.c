/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/addresses.h"
#include "base/err.h"
#include "base/map.h"
#include "base/panic.h"

#include <pthread.h>
#include <stdlib.h>

#define KEY_OCTETS 8

struct address {
    char key[KEY_OCTETS + 1]; /* the last octet tells IPv4 from IPv6 */
    uint32_t open;
};

struct addresses {
    pthread_mutex_t lock;
    struct map map; /* struct address by key */
};

struct addresses *addresses_new(void)
{
    struct addresses *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    pthread_mutex_init(&a->lock, NULL);
    map_init(&a->map);
    return a;
}

void addresses_free(struct addresses *a)
{
    if (!a)
        return;
    ASSERT(a->map.count == 0);
    map_fini(&a->map);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

static void make_key(const struct addr *peer, char key[KEY_OCTETS + 1])
{
    const struct in6_addr *six = &peer->u.in6.sin6_addr;
    memset(key, 0, KEY_OCTETS + 1);
    if (peer->u.sa.sa_family == AF_INET) {
        memcpy(key, &peer->u.in.sin_addr, sizeof peer->u.in.sin_addr);
    } else if (peer->u.sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(six)) {
        memcpy(key, six->s6_addr + 12, 4);
    } else if (peer->u.sa.sa_family == AF_INET6) {
        memcpy(key, six->s6_addr, KEY_OCTETS);
        key[KEY_OCTETS] = 6;
    }
}

/* return  the entry, made when there is none, or NULL when memory is out */
static struct address *find_or_add(struct addresses *a, const char *key)
{
    struct address *e = map_get(&a->map, slice_of(key, KEY_OCTETS + 1));
    if (e)
        return e;
    e = malloc(sizeof *e);
    if (!e)
        return NULL;
    memcpy(e->key, key, sizeof e->key);
    e->open = 0;
    if (map_put(&a->map, slice_of(e->key, sizeof e->key), e) == 0)
        return e;
    free(e);
    return NULL;
}

int addresses_enter(struct addresses *a, const struct addr *peer, uint32_t limit)
{
    char key[KEY_OCTETS + 1];
    int err = 0;
    make_key(peer, key);
    pthread_mutex_lock(&a->lock);
    struct address *e = find_or_add(a, key);
    if (!e)
        err = ERR_NOMEM;
    else if (e->open >= limit)
        err = ERR_LIMIT;
    else
        e->open++;
    pthread_mutex_unlock(&a->lock);
    return err;
}

void addresses_leave(struct addresses *a, const struct addr *peer)
{
    char key[KEY_OCTETS + 1];
    make_key(peer, key);
    pthread_mutex_lock(&a->lock);
    struct address *e = map_get(&a->map, slice_of(key, sizeof key));
    ASSERT(e && e->open);
    if (--e->open == 0) {
        map_del(&a->map, slice_of(key, sizeof key));
        free(e);
    }
    pthread_mutex_unlock(&a->lock);
}
