/* SPDX-License-Identifier: Apache-2.0 */
/* A doubly linked list inside its members.  An initialised node that is in no list links to itself,
 * so removing it twice is harmless. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

static inline void list_remove(struct list *n)
{
    n->next->prev = n->prev;
    n->prev->next = n->next;
    list_init(n);
}

/* Insert n before `at`: with a head, that is at the end. */
static inline void list_add_tail(struct list *at, struct list *n)
{
    n->prev = at->prev;
    n->next = at;
    at->prev->next = n;
    at->prev = n;
}

#define LIST_ENTRY(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

/* The body may remove and free the current node, no other one. */
#define LIST_FOR(node, head)                                                          \
    for (struct list *node = (head)->next, *node##_next = node->next; node != (head); \
         node = node##_next, node##_next = node->next)

#endif
