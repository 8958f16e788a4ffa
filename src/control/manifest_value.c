/* SPDX-License-Identifier: Apache-2.0 */
#include "control/manifest_value.h"
#include "ipc/ipc.h"

#include <stdio.h>

bool value_is_nothing(const struct tree_node *n)
{
    return n->kind == TREE_TEXT && !n->quoted && n->text.len == 0;
}

bool value_fault(struct manifest *m, const struct tree_node *n, const char *allowed)
{
    if (n->kind == TREE_LIST)
        return fault_at_value(&m->faults, n, "must be %s, not a list", allowed);
    if (n->kind == TREE_MAP)
        return fault_at_value(&m->faults, n, "must be %s, not a map", allowed);
    if (value_is_nothing(n))
        return fault_at_value(&m->faults, n, "must be %s; nothing stands there", allowed);
    return fault_at_value(&m->faults, n, "must be %s, not \"%.80s\"", allowed, n->text.p);
}

void *value_room(struct manifest *m, const struct tree_node *n, size_t count, size_t size)
{
    void *p = arena_zalloc(&m->arena, count * size + 1);
    if (!p)
        fault_at_value(&m->faults, n, "out of memory");
    return p;
}

struct slice value_where(struct manifest *m, const struct tree_node *n)
{
    struct slice file = m->faults.file, path = tree_path(&m->arena, n);
    for (size_t i = file.len; i > 0; i--)
        if (file.p[i - 1] == '/') {
            file = slice_of(file.p + i, file.len - i);
            break;
        }
    struct slice s =
        arena_printf(&m->arena, "%.*s:%u: %s", SLICE_FMT(file), n->line, path.p ? path.p : "");
    if (!s.p)
        fault_at_value(&m->faults, n, "out of memory");
    return s;
}

struct slice value_path(struct manifest *m, const struct tree_node *n, struct slice text)
{
    struct slice p;
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f) {
            fault_at_value(&m->faults, n, "a path must not hold line breaks or other controls");
            return slice_of(NULL, 0);
        }
    if (text.len && text.p[0] == '/')
        p = arena_dup(&m->arena, text);
    else
        p = arena_printf(&m->arena, "%.*s/%.*s", SLICE_FMT(m->directory), SLICE_FMT(text));
    if (!p.p) {
        fault_at_value(&m->faults, n, "out of memory");
    } else if (p.len >= IPC_PATH_OCTETS) {
        fault_at_value(&m->faults, n, "the path is longer than %d octets", IPC_PATH_OCTETS - 1);
        p.p = NULL;
    }
    return p;
}

/* How many single-character edits lead from a to b, case folded (Levenshtein); at most 99. */
static unsigned distance(struct slice a, struct slice b)
{
    unsigned row[64];
    if (a.len >= 64 || b.len >= 64)
        return 99;
    for (unsigned j = 0; j <= b.len; j++)
        row[j] = j;
    for (unsigned i = 1; i <= a.len; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= b.len; j++) {
            bool same =
                ascii_lower((unsigned char)a.p[i - 1]) == ascii_lower((unsigned char)b.p[j - 1]);
            unsigned best = diagonal + !same;
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[b.len];
}

static void unknown_key(struct manifest *m, const struct tree_node *n, const struct key *keys)
{
    const char *nearest = NULL;
    unsigned least = 99;
    char all[512] = "";
    size_t len = 0;
    for (const struct key *k = keys; k->name; k++) {
        unsigned d = distance(n->key, slice_str(k->name));
        if (d < least)
            least = d, nearest = k->name;
        int w = snprintf(all + len, sizeof all - len, "%s%s", len ? ", " : "", k->name);
        if (w > 0 && len + (size_t)w < sizeof all)
            len += (size_t)w;
    }
    if (nearest && least <= 1 + n->key.len / 3)
        fault_at_key(&m->faults, n, "unknown key; did you mean \"%s\"? (allowed: %s)", nearest,
                     all);
    else
        fault_at_key(&m->faults, n, "unknown key (allowed: %s)", all);
}

void value_defaults(struct manifest *m, const struct key *keys, void *to)
{
    for (const struct key *k = keys; k->name; k++) {
        if (k->keys) {
            value_defaults(m, k->keys, field(to, k));
        } else if (k->initial) {
            struct tree_node n = {.kind = TREE_TEXT, .text = slice_str(k->initial)};
            k->read(m, &n, k, to);
        }
    }
}

bool value_section(struct manifest *m, const struct tree_node *n, const struct key *k, void *to)
{
    bool good = true;
    if (n->kind != TREE_MAP && !value_is_nothing(n))
        return value_fault(m, n, k->allowed ? k->allowed : "a map of keys and values");
    void *base = field(to, k);
    for (const struct tree_node *c = n->first; c; c = c->next) {
        const struct key *found = k->keys;
        while (found->name && !slice_eq(slice_str(found->name), c->key))
            found++;
        if (found->name && tree_get(n, found->name) != c)
            good = false; /* a key that stands twice, which was told; readers fill what is empty */
        else if (found->name)
            good &= found->read(m, c, found, base);
        else
            unknown_key(m, c, k->keys), good = false;
    }
    for (const struct key *r = k->keys; r->name; r++)
        if (r->required && !tree_get(n, r->name))
            good = fault_at_key(&m->faults, n, "the key \"%s\" is missing: %s", r->name,
                                r->allowed ? r->allowed : "it is required");
    return good;
}

bool value_word(struct manifest *m, const struct tree_node *n, const struct key *k, void *to)
{
    char all[256] = "";
    size_t len = 0;
    for (const struct word *w = k->words; w->text; w++) {
        if (n->kind == TREE_TEXT && slice_eq(n->text, slice_str(w->text))) {
            *(uint32_t *)field(to, k) = w->value;
            return true;
        }
        const char *between = len == 0 ? "" : w[1].text ? ", " : " or ";
        int d = snprintf(all + len, sizeof all - len, "%s%s", between, w->text);
        if (d > 0 && len + (size_t)d < sizeof all)
            len += (size_t)d;
    }
    return value_fault(m, n, k->allowed ? k->allowed : all);
}

bool value_number(struct manifest *m, const struct tree_node *n, const struct key *k, void *to)
{
    uint64_t v;
    char allowed[128];
    if (n->kind == TREE_TEXT && slice_u64(n->text, &v) && v >= k->least && v <= k->most) {
        *(uint32_t *)field(to, k) = (uint32_t)v;
        return true;
    }
    snprintf(allowed, sizeof allowed, "a whole number from %lu to %lu", k->least, k->most);
    return value_fault(m, n, k->allowed ? k->allowed : allowed);
}

struct unit {
    const char *text;
    uint64_t factor;
};

/* "<digits><unit>".  return  false: not that form, or out of range of 64 bits */
static bool with_unit(struct slice s, const struct unit *units, uint64_t *out)
{
    size_t digits = 0;
    uint64_t v;
    while (digits < s.len && s.p[digits] >= '0' && s.p[digits] <= '9')
        digits++;
    if (!slice_u64(slice_of(s.p, digits), &v))
        return false;
    struct slice unit = slice_of(s.p + digits, s.len - digits);
    for (; units->text; units++)
        if (slice_eq(unit, slice_str(units->text)))
            return !__builtin_mul_overflow(v, units->factor, out);
    return false;
}

bool value_duration(struct manifest *m, const struct tree_node *n, const struct key *k, void *to)
{
    static const struct unit units[] = {
        {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {NULL, 0}};
    uint64_t ms;
    if (n->kind == TREE_TEXT && with_unit(n->text, units, &ms) && ms >= k->least && ms <= k->most) {
        *(uint32_t *)field(to, k) = (uint32_t)ms;
        return true;
    }
    return value_fault(m, n, k->allowed);
}

bool value_size(struct manifest *m, const struct tree_node *n, const struct key *k, void *to)
{
    static const struct unit units[] = {{"", 1},           {"KiB", 1u << 10},   {"MiB", 1u << 20},
                                        {"GiB", 1u << 30}, {"TiB", 1ull << 40}, {NULL, 0}};
    uint64_t octets;
    if (n->kind == TREE_TEXT && with_unit(n->text, units, &octets) && octets >= k->least &&
        octets <= k->most) {
        *(uint64_t *)field(to, k) = octets;
        return true;
    }
    return value_fault(m, n, k->allowed);
}

bool value_octets(struct manifest *m, const struct tree_node *n, const struct key *k, void *to)
{
    struct key wide = *k;
    uint64_t octets;
    wide.at = 0;
    if (!value_size(m, n, &wide, &octets))
        return false;
    *(uint32_t *)field(to, k) = (uint32_t)octets; /* k->most fits */
    return true;
}

bool value_rate(struct manifest *m, const struct tree_node *n, const struct key *k, void *to)
{
    static const struct unit per_second[] = {{"/s", 1}, {NULL, 0}};
    struct limit_rate *rate = field(to, k);
    const char *plus = n->kind == TREE_TEXT ? memmem(n->text.p, n->text.len, " + ", 3) : NULL;
    uint64_t burst, more;
    if (plus && slice_u64(slice_of(n->text.p, (size_t)(plus - n->text.p)), &burst) &&
        with_unit(slice_of(plus + 3, n->text.len - (size_t)(plus + 3 - n->text.p)), per_second,
                  &more) &&
        burst >= k->least && burst <= k->most && more >= k->least && more <= k->most) {
        *rate = (struct limit_rate){(uint32_t)burst, (uint32_t)more};
        return true;
    }
    return value_fault(m, n, k->allowed);
}

/* k->most: its greatest length */
bool value_text(struct manifest *m, const struct tree_node *n, const struct key *k, void *to)
{
    if (n->kind != TREE_TEXT || n->text.len == 0)
        return value_fault(m, n, k->allowed);
    if (n->text.len > k->most)
        return fault_at_value(&m->faults, n, "is longer than %lu octets", k->most);
    *(struct slice *)field(to, k) = n->text;
    return true;
}

const struct tree_node *value_first(const struct tree_node *list)
{
    if (list->kind == TREE_LIST)
        return list->first;
    return value_is_nothing(list) ? NULL : list;
}

const struct tree_node *value_next(const struct tree_node *list, const struct tree_node *n)
{
    return list->kind == TREE_LIST ? n->next : NULL;
}

uint32_t value_count(const struct tree_node *list)
{
    return list->kind == TREE_LIST ? list->count : !value_is_nothing(list);
}

bool value_is_text_list(struct manifest *m, const struct tree_node *n, const struct key *k)
{
    bool good = true;
    if (n->kind == TREE_MAP)
        return value_fault(m, n, k->allowed);
    if (value_count(n) < k->least)
        return fault_at_value(&m->faults, n, "the list is empty: it must hold %s", k->allowed);
    if (value_count(n) > k->most)
        return fault_at_value(&m->faults, n, "holds more than %lu elements", k->most);
    for (const struct tree_node *c = value_first(n); c; c = value_next(n, c))
        if (c->kind != TREE_TEXT || c->text.len == 0)
            good = value_fault(m, c, k->allowed);
    return good;
}
