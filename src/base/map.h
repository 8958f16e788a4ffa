/* SPDX-License-Identifier: Apache-2.0 */
/* A hash map from octet strings to pointers, seeded.  Keys are borrowed: they live as long as the
 * entry, usually inside the value.  Disadvantage: growing rehashes all at once. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/hash.h"

struct map_entry {
    struct slice key;
    void *value; /* NULL: free or deleted */
    uint64_t hash;
};

struct map {
    struct hash_key seed;
    struct map_entry *entries;
    size_t cap, count, used; /* used counts deleted entries too */
};

void map_init(struct map *m);
void map_fini(struct map *m);
void *map_get(const struct map *m, struct slice key); /* NULL: not there */
/* value not NULL.  return  0, or ERR_NOMEM; an entry of the same key is replaced, its key too */
int map_put(struct map *m, struct slice key, void *value);
/* return  the value that was there, or NULL */
void *map_del(struct map *m, struct slice key);
/* Walk: start with *it = 0; NULL at the end.  The current entry may be deleted during the walk. */
void *map_next(const struct map *m, size_t *it);

#endif
