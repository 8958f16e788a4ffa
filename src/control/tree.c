/* SPDX-License-Identifier: Apache-2.0 */
#include "control/tree.h"
#include "base/map.h"
#include "base/panic.h"
#include "base/print.h"
#include "base/terminal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

#define FEW_KEYS 16u /* that are compared one by one */

static void add_part(struct slice part, char *out, size_t cap, size_t *len)
{
    size_t n = part.len < cap - *len ? part.len : cap - *len;
    memcpy(out + *len, part.p, n);
    *len += n;
}

static void path_parts(const struct tree_node *node, char *out, size_t cap, size_t *len)
{
    if (!node->parent)
        return;
    path_parts(node->parent, out, cap, len);
    char position[16];
    struct slice part = node->key.len ? node->key : SLICE("\"\"");
    if (node->parent->kind == TREE_LIST)
        part =
            slice_of(position, (size_t)snprintf(position, sizeof position, "[%u]", node->position));
    else if (*len)
        add_part(SLICE("."), out, cap, len);
    add_part(slice_of(part.p, part.len < 60 ? part.len : 60), out, cap, len);
}

struct slice tree_path(struct arena *a, const struct tree_node *node)
{
    char text[TREE_MAX_DEPTH * 64];
    size_t len = 0;
    path_parts(node, text, sizeof text, &len);
    return arena_dup(a, slice_of(text, len));
}

__attribute__((format(printf, 5, 0))) static void fault_add(struct tree_faults *f,
                                                            const struct tree_node *node,
                                                            unsigned line, unsigned column,
                                                            const char *fmt, va_list ap)
{
    char text[1024];
    if (f->count++ >= TREE_MAX_FAULTS)
        return;
    size_t len = 0;
    if (node)
        path_parts(node, text, sizeof text / 2, &len);
    if (len)
        len += (size_t)snprintf(text + len, sizeof text - len, ": ");
    int n = vsnprintf(text + len, sizeof text - len, fmt, ap);
    if (n > 0)
        len += (size_t)n < sizeof text - len ? (size_t)n : sizeof text - len - 1;
    terminal_mask(text, len, ""); /* what is quoted from the file stays on one line */
    f->at[f->count - 1] =
        (struct tree_fault){line, column, arena_dup(f->arena, slice_of(text, len))};
}

bool fault_at_value(struct tree_faults *f, const struct tree_node *node, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fault_add(f, node, node ? node->line : 0, node ? node->column : 0, fmt, ap);
    va_end(ap);
    return false;
}

bool fault_at_key(struct tree_faults *f, const struct tree_node *node, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fault_add(f, node, node->key_line ? node->key_line : node->line,
              node->key_line ? node->key_column : node->column, fmt, ap);
    va_end(ap);
    return false;
}

static void fault_mark(struct tree_faults *f, yaml_mark_t mark, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void fault_mark(struct tree_faults *f, yaml_mark_t mark, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fault_add(f, NULL, (unsigned)mark.line + 1, (unsigned)mark.column + 1, fmt, ap);
    va_end(ap);
}

static int fault_order(const void *a, const void *b)
{
    const struct tree_fault *x = a, *y = b;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    return x->column < y->column ? -1 : x->column > y->column;
}

void faults_print(struct tree_faults *f, int fd)
{
    unsigned shown = f->count < TREE_MAX_FAULTS ? f->count : TREE_MAX_FAULTS;
    qsort(f->at, shown, sizeof f->at[0], fault_order);
    for (unsigned i = 0; i < shown; i++) {
        const struct tree_fault *t = &f->at[i];
        const char *text = t->text.p ? t->text.p : "(out of memory)";
        if (t->line)
            print_fmt(fd, "%.*s:%u:%u: %s\n", SLICE_FMT(f->file), t->line, t->column, text);
        else
            print_fmt(fd, "%.*s: %s\n", SLICE_FMT(f->file), text);
    }
    if (f->count > shown)
        print_fmt(fd, "%.*s: %u more errors are not shown\n", SLICE_FMT(f->file), f->count - shown);
}

struct tree_node *tree_get(const struct tree_node *map, const char *key)
{
    if (map->kind != TREE_MAP)
        return NULL;
    for (struct tree_node *n = map->first; n; n = n->next)
        if (slice_eq(n->key, slice_str(key)))
            return n;
    return NULL;
}

struct builder {
    struct tree_faults *faults;
    struct tree_node *root, *at; /* at: the list or map that is open */
    struct tree_node key;        /* of the next value in a map; key.p NULL: none yet */
    unsigned depth, nodes;
};

/* Hang a new node under the open one.  return false: stop, a fault was noted */
static struct tree_node *build_node(struct builder *b, enum tree_kind kind, yaml_mark_t mark)
{
    if (++b->nodes > TREE_MAX_NODES) {
        fault_mark(b->faults, mark, "the file holds more than %u values", TREE_MAX_NODES);
        return NULL;
    }
    struct tree_node *n = arena_zalloc(b->faults->arena, sizeof *n);
    if (!n) {
        fault_mark(b->faults, mark, "out of memory");
        return NULL;
    }
    n->kind = kind;
    n->line = (unsigned)mark.line + 1;
    n->column = (unsigned)mark.column + 1;
    n->parent = b->at;
    if (!b->at) {
        b->root = n;
        return n;
    }
    if (b->at->kind == TREE_MAP) {
        n->key = b->key.key;
        n->key_line = b->key.key_line;
        n->key_column = b->key.key_column;
        b->key.key.p = NULL;
    }
    n->position = b->at->count++;
    if (b->at->last)
        b->at->last->next = n;
    else
        b->at->first = n;
    b->at->last = n;
    return n;
}

static bool build_key(struct builder *b, const yaml_event_t *e)
{
    const char *p = (const char *)e->data.scalar.value;
    b->key = (struct tree_node){
        .kind = TREE_TEXT,
        .parent = b->at,
        .line = (unsigned)e->start_mark.line + 1,
        .column = (unsigned)e->start_mark.column + 1,
        .key_line = (unsigned)e->start_mark.line + 1,
        .key_column = (unsigned)e->start_mark.column + 1,
        .key = arena_dup(b->faults->arena, slice_of(p, e->data.scalar.length)),
    };
    if (!b->key.key.p) {
        fault_mark(b->faults, e->start_mark, "out of memory");
        return false;
    }
    return true;
}

static struct tree_node *first_of_key(const struct tree_node *map, const struct tree_node *n)
{
    struct tree_node *first = map->first;
    while (!slice_eq(first->key, n->key))
        first = first->next;
    return first;
}

static void fault_twice(struct tree_faults *f, const struct tree_node *n,
                        const struct tree_node *first)
{
    fault_at_key(f, n, "this key stands twice; it was first in line %u", first->key_line);
}

/* A map is whole: each of its keys stands once. */
static void check_keys(struct tree_faults *f, const struct tree_node *map)
{
    struct map seen;
    if (map->count <= FEW_KEYS) {
        for (struct tree_node *n = map->first; n; n = n->next)
            if (first_of_key(map, n) != n)
                fault_twice(f, n, first_of_key(map, n));
        return;
    }
    map_init(&seen);
    for (struct tree_node *n = map->first; n; n = n->next) {
        const struct tree_node *first = map_get(&seen, n->key);
        if (first)
            fault_twice(f, n, first);
        else if (map_put(&seen, n->key, n) != 0)
            fault_at_key(f, n, "out of memory");
    }
    map_fini(&seen);
}

static bool build_scalar(struct builder *b, const yaml_event_t *e)
{
    const char *p = (const char *)e->data.scalar.value;
    size_t len = e->data.scalar.length;
    if (memchr(p, '\0', len)) {
        fault_mark(b->faults, e->start_mark, "a text must not hold a NUL character");
        return false;
    }
    if (b->at && b->at->kind == TREE_MAP && !b->key.key.p)
        return build_key(b, e);
    struct tree_node *n = build_node(b, TREE_TEXT, e->start_mark);
    if (!n)
        return false;
    n->quoted = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    n->text = arena_dup(b->faults->arena, slice_of(p, len));
    return n->text.p || fault_at_value(b->faults, n, "out of memory");
}

static bool build_open(struct builder *b, enum tree_kind kind, yaml_mark_t mark)
{
    if (b->at && b->at->kind == TREE_MAP && !b->key.key.p) {
        fault_mark(b->faults, mark, "a key must be a plain text, not a list or a map");
        return false;
    }
    if (++b->depth > TREE_MAX_DEPTH) {
        fault_mark(b->faults, mark, "lists and maps are nested deeper than %u", TREE_MAX_DEPTH);
        return false;
    }
    struct tree_node *n = build_node(b, kind, mark);
    if (!n)
        return false;
    b->at = n;
    return true;
}

static bool has_extras(struct builder *b, const yaml_event_t *e, const yaml_char_t *anchor,
                       const yaml_char_t *tag)
{
    if (anchor)
        fault_mark(b->faults, e->start_mark,
                   "anchors (&%.40s) and aliases are not allowed; write the value out",
                   (const char *)anchor);
    else if (tag)
        fault_mark(b->faults, e->start_mark, "tags (%.40s) are not allowed", (const char *)tag);
    return anchor || tag;
}

/* return  true: go on with the next event */
static bool build_event(struct builder *b, const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (!b->root)
            return true;
        fault_mark(b->faults, e->start_mark, "the file must hold one document, not several");
        return false;
    case YAML_ALIAS_EVENT:
        fault_mark(b->faults, e->start_mark,
                   "anchors and aliases (*%.40s) are not allowed; write the value out",
                   (const char *)e->data.alias.anchor);
        return false;
    case YAML_SCALAR_EVENT:
        return !has_extras(b, e, e->data.scalar.anchor, e->data.scalar.tag) && build_scalar(b, e);
    case YAML_SEQUENCE_START_EVENT:
        return !has_extras(b, e, e->data.sequence_start.anchor, e->data.sequence_start.tag) &&
               build_open(b, TREE_LIST, e->start_mark);
    case YAML_MAPPING_START_EVENT:
        return !has_extras(b, e, e->data.mapping_start.anchor, e->data.mapping_start.tag) &&
               build_open(b, TREE_MAP, e->start_mark);
    case YAML_MAPPING_END_EVENT:
        check_keys(b->faults, b->at);
        b->at = b->at->parent;
        b->depth--;
        return true;
    case YAML_SEQUENCE_END_EVENT:
        b->at = b->at->parent;
        b->depth--;
        return true;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return true;
    case YAML_STREAM_END_EVENT:
        return false;
    }
    UNREACHABLE();
}

static void fault_syntax(struct tree_faults *f, const yaml_parser_t *p)
{
    yaml_mark_t mark = p->error == YAML_READER_ERROR ? p->mark : p->problem_mark;
    const char *problem = p->problem ? p->problem : "malformed";
    if (p->error == YAML_MEMORY_ERROR)
        fault_mark(f, mark, "out of memory");
    else if (p->error == YAML_READER_ERROR)
        fault_mark(f, mark, "not YAML: the file is not UTF-8 text (%s)", problem);
    else
        fault_mark(f, mark, "not YAML: %s%s%s", problem, p->context ? " " : "",
                   p->context ? p->context : "");
}

struct tree_node *tree_parse(struct slice text, struct tree_faults *f)
{
    struct builder b = {.faults = f};
    yaml_parser_t parser;
    if (text.len > TREE_MAX_OCTETS) {
        fault_at_value(f, NULL, "the file is larger than %u octets", TREE_MAX_OCTETS);
        return NULL;
    }
    if (!yaml_parser_initialize(&parser)) {
        fault_at_value(f, NULL, "out of memory");
        return NULL;
    }
    if (slice_starts(text, SLICE("\xef\xbb\xbf"))) /* else it would stand in the first line's way */
        text = slice_of(text.p + 3, text.len - 3);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.p, text.len);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    bool whole = false, more = true;
    while (more) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            fault_syntax(f, &parser);
            break;
        }
        more = build_event(&b, &event);
        whole = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    if (whole && !b.root)
        fault_at_value(f, NULL, "the file is empty");
    return whole ? b.root : NULL;
}
