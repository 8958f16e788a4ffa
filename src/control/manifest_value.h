/* SPDX-License-Identifier: Apache-2.0 */
/* Readers of one value each, and of a section by its table of keys.  Internal to the manifest. */
#ifndef CONTROL_MANIFEST_VALUE_H
#define CONTROL_MANIFEST_VALUE_H

#include "control/manifest.h"

struct key;
/* Reads n into `to` (the section's struct; k->at is the field's place).
 * return  false after a fault was noted */
typedef bool (*value_fn)(struct manifest *m, const struct tree_node *n, const struct key *k,
                         void *to);

struct word {
    const char *text; /* NULL: the end of the table */
    uint32_t value;
};

struct key {
    const char *name; /* NULL: the end of the table */
    value_fn read;
    size_t at;           /* offset of the field */
    const char *allowed; /* what a message says is allowed */
    const char *initial; /* the value when the key is absent, as one would write it; NULL: zeroes */
    bool required;
    uint64_t least, most;     /* of numbers, durations (ms), sizes (octets) and lists */
    const struct word *words; /* of value_word */
    const struct key *keys;   /* of value_section */
};

/* The field of a key in the section's struct. */
static inline void *field(void *to, const struct key *k)
{
    return (char *)to + k->at;
}

/* Reads all keys of a section; unknown ones are faults that suggest the nearest known one. */
bool value_section(struct manifest *m, const struct tree_node *n, const struct key *k, void *to);
/* Fills in the initial values of a table, sections inside it too. */
void value_defaults(struct manifest *m, const struct key *keys, void *to);

bool value_word(struct manifest *m, const struct tree_node *n, const struct key *k, void *to);
bool value_number(struct manifest *m, const struct tree_node *n, const struct key *k, void *to);
bool value_duration(struct manifest *m, const struct tree_node *n, const struct key *k, void *to);
bool value_size(struct manifest *m, const struct tree_node *n, const struct key *k, void *to);
/* 32 bits of octets. */
bool value_octets(struct manifest *m, const struct tree_node *n, const struct key *k, void *to);
/* "500 + 50/s" */
bool value_rate(struct manifest *m, const struct tree_node *n, const struct key *k, void *to);
bool value_text(struct manifest *m, const struct tree_node *n, const struct key *k, void *to);

/* An empty one.  return  NULL when memory is out */
struct manifest *manifest_new(const char *name);

/* The elements of a list, where one text alone counts as a list of it and nothing as an empty one.
 * Use:  for (n = value_first(list); n; n = value_next(list, n)) */
const struct tree_node *value_first(const struct tree_node *list);
const struct tree_node *value_next(const struct tree_node *list, const struct tree_node *n);
uint32_t value_count(const struct tree_node *list);
bool value_is_nothing(const struct tree_node *n);
/* A fault unless n is one text, or a list of texts, within k->least to k->most. */
bool value_is_text_list(struct manifest *m, const struct tree_node *n, const struct key *k);

/* "must be ..., not ...": allowed and what stands there. */
bool value_fault(struct manifest *m, const struct tree_node *n, const char *allowed);
/* Zeroed, for a list; notes a fault when memory is out. */
void *value_room(struct manifest *m, const struct tree_node *n, size_t count, size_t size);
/* "portico.yaml:3: listen.https" */
struct slice value_where(struct manifest *m, const struct tree_node *n);
/* A path relative to the manifest made absolute; p is NULL after a fault. */
struct slice value_path(struct manifest *m, const struct tree_node *n, struct slice text);

#endif
