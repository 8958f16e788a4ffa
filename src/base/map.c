/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"
#include "base/err.h"
#include "base/panic.h"

#include <stdlib.h>

static char deleted; /* the address marks a deleted entry's key */

void map_init(struct map *m)
{
    *m = (struct map){.cap = 0};
    hash_key_random(&m->seed);
}

void map_fini(struct map *m)
{
    free(m->entries);
    m->entries = NULL;
    m->cap = m->count = m->used = 0;
}

static struct map_entry *find(const struct map *m, struct slice key, uint64_t hash)
{
    if (m->cap == 0)
        return NULL;
    for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
        struct map_entry *e = &m->entries[i];
        if (!e->value && e->key.p != &deleted)
            return NULL;
        if (e->value && e->hash == hash && slice_eq(e->key, key))
            return e;
    }
}

void *map_get(const struct map *m, struct slice key)
{
    const struct map_entry *e = find(m, key, hash_octets(&m->seed, key));
    return e ? e->value : NULL;
}

static void insert(struct map_entry *entries, size_t cap, struct map_entry new)
{
    size_t i = new.hash &(cap - 1);
    while (entries[i].value)
        i = (i + 1) & (cap - 1);
    entries[i] = new;
}

static int grow(struct map *m)
{
    size_t cap = 16;
    while (cap < (m->count + 1) * 2)
        cap *= 2;
    struct map_entry *entries = calloc(cap, sizeof *entries);
    if (!entries)
        return ERR_NOMEM;
    for (size_t i = 0; i < m->cap; i++)
        if (m->entries[i].value)
            insert(entries, cap, m->entries[i]);
    free(m->entries);
    m->entries = entries;
    m->cap = cap;
    m->used = m->count;
    return 0;
}

int map_put(struct map *m, struct slice key, void *value)
{
    ASSERT(value);
    uint64_t hash = hash_octets(&m->seed, key);
    struct map_entry *e = find(m, key, hash);
    if (e) {
        e->key = key;
        e->value = value;
        return 0;
    }
    if ((m->used + 1) * 4 > m->cap * 3 && grow(m) < 0)
        return ERR_NOMEM;
    size_t i = hash & (m->cap - 1);
    while (m->entries[i].value)
        i = (i + 1) & (m->cap - 1);
    if (m->entries[i].key.p != &deleted)
        m->used++;
    m->entries[i] = (struct map_entry){.key = key, .value = value, .hash = hash};
    m->count++;
    return 0;
}

void *map_del(struct map *m, struct slice key)
{
    struct map_entry *e = find(m, key, hash_octets(&m->seed, key));
    if (!e)
        return NULL;
    void *value = e->value;
    *e = (struct map_entry){.key = {&deleted, 0}};
    m->count--;
    return value;
}

void *map_next(const struct map *m, size_t *it)
{
    while (*it < m->cap) {
        const struct map_entry *e = &m->entries[(*it)++];
        if (e->value)
            return e->value;
    }
    return NULL;
}
