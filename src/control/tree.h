/* SPDX-License-Identifier: Apache-2.0 */
/* A YAML document as a tree of plain nodes with their places, and a list of complaints about it.
 *
 * Bounded on purpose: at most TREE_MAX_OCTETS of text, TREE_MAX_NODES nodes, TREE_MAX_DEPTH levels.
 * Aliases and anchors are refused, so a small file cannot unfold into a huge tree.  Nothing of
 * libyaml leaves tree.c. */
#ifndef CONTROL_TREE_H
#define CONTROL_TREE_H

#include "base/arena.h"
#include "base/slice.h"

#define TREE_MAX_OCTETS (32u << 20)
#define TREE_MAX_NODES  1000000u
#define TREE_MAX_DEPTH  16u
#define TREE_MAX_FAULTS 20u /* more are only counted */

enum tree_kind { TREE_TEXT, TREE_LIST, TREE_MAP };

struct tree_node {
    enum tree_kind kind;
    bool quoted;           /* TREE_TEXT: written in quotes or as a block */
    unsigned line, column; /* from 1, of the value */
    unsigned key_line, key_column;
    struct slice key;  /* inside a map */
    unsigned position; /* inside a list */
    struct slice text; /* ends with NUL, holds none */
    struct tree_node *parent, *first, *last, *next;
    unsigned count; /* of children */
};

struct tree_fault {
    unsigned line, column; /* 0: the file as a whole */
    struct slice text;     /* "apps.gallery.instances: ..." */
};

struct tree_faults {
    struct arena *arena; /* kept: the texts lie there */
    struct slice file;   /* for messages */
    struct tree_fault at[TREE_MAX_FAULTS];
    unsigned count; /* may be above TREE_MAX_FAULTS */
};

/* Note a fault.  node: the path before the text comes from it; NULL: no path.
 * return  always false, so that a reader can say `return fault_at_value(...)` */
bool fault_at_value(struct tree_faults *f, const struct tree_node *node, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The same, at the place of the node's key. */
bool fault_at_key(struct tree_faults *f, const struct tree_node *node, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* "FILE:LINE:COLUMN: PATH: what", one a line, in the order of the file; then how many more. */
void faults_print(struct tree_faults *f, int fd);

/* "apps.gallery.hosts[1]" */
struct slice tree_path(struct arena *a, const struct tree_node *node);
/* The child of this key, or NULL. */
struct tree_node *tree_get(const struct tree_node *map, const char *key);

/* Parse one document.  The tree lies in f->arena.
 * return  NULL after faults were noted (the root may be returned although duplicate keys were) */
struct tree_node *tree_parse(struct slice text, struct tree_faults *f);

#endif
