/* SPDX-License-Identifier: Apache-2.0 */
/* An app's `push:`: a policy in a word, or a map. */
#include "control/manifest_push.h"
#include "push/link.h"
#include "push/pattern.h"

#define MAX_PATTERNS     64
#define MAX_PRELOADS     LINK_MAX_PROMISES
#define MAX_RULES_OCTETS (64u << 10) /* of an app's preload lists together */
#define PATTERN          "a path in which * stands for any octets, like /static/*"
#define PATTERNS         PATTERN ", or a list of them"
#define PRELOADS                                                                               \
    "a map of paths (* stands for any octets) to what their pages need: paths like /app.css, " \
    "or Link values like \"</app.css>; rel=preload; as=style\""

#define READER(name) \
    static bool name(struct manifest *m, const struct tree_node *n, const struct key *k, void *to)
READER(read_budget);
READER(read_patterns);
READER(read_copy);
READER(read_preload);

static const struct word policy_words[] = {
#define X(name, word) {word, PUSH_POLICY_##name},
    PUSH_POLICY_TABLE(X)
#undef X
        {NULL, 0}};

#define SET(member)   offsetof(struct manifest_app, push.member)
#define RULES(member) offsetof(struct manifest_app, push_rules.member)

const struct key push_keys[] = {
    {"policy", value_word, SET(policy), .initial = "auto", .words = policy_words},
    {"budget", read_budget, SET(budget_octets),
     "auto (what fits while the worker thinks) or a size like 64KiB (0 to 1GiB)", .initial = "auto",
     .most = 1u << 30},
    {"interleave", value_octets, SET(weave_octets), "a size like 4KiB (0 to 1MiB)",
     .initial = "4KiB", .most = 1u << 20},
    {"holdback", value_number, SET(holdback_percent),
     "a percentage of connections that get no help, for comparison (0 to 100)", .initial = "0",
     .most = 100},
    {"include", read_patterns, RULES(include), PATTERNS, .most = MAX_PATTERNS},
    {"exclude", read_patterns, RULES(exclude), PATTERNS, .most = MAX_PATTERNS},
    {"copy", read_copy, SET(copied),
     "accept-encoding, accept-language, user-agent, cookie or authorization, or a list of them",
     .most = PUSH_COPY_COUNT},
    {"preload", read_preload, RULES(preload), PRELOADS, .most = MAX_PATTERNS},
    {0},
};

bool read_push(struct manifest *m, const struct tree_node *n, const struct key *k, void *to)
{
    if (n->kind == TREE_TEXT && !value_is_nothing(n))
        return push_keys[0].read(m, n, &push_keys[0], to);
    return value_section(m, n, k, to);
}

READER(read_budget)
{
    if (n->kind == TREE_TEXT && slice_eq(n->text, SLICE("auto"))) {
        *(uint32_t *)field(to, k) = PUSH_BUDGET_FITS;
        return true;
    }
    return value_octets(m, n, k, to);
}

/* The elements of a list in the arena, each with "\n" behind it. */
struct joined {
    struct manifest *m;
    const struct tree_node *n; /* of which a fault is told */
    char *at;
    size_t len, cap;
};

static bool join(struct joined *j, struct slice element)
{
    if (j->len + element.len + 1 > j->cap)
        return fault_at_value(&j->m->faults, j->n, "the lists are longer than %zu octets together",
                              j->cap);
    memcpy(j->at + j->len, element.p, element.len);
    j->len += element.len;
    j->at[j->len++] = '\n';
    return true;
}

READER(read_patterns)
{
    struct slice *list = field(to, k);
    struct joined j = {m, n, NULL, 0, 1};
    bool good = value_is_text_list(m, n, k);
    for (const struct tree_node *c = value_first(n); c && good; c = value_next(n, c))
        j.cap += c->text.len + 1;
    if (!good || !(j.at = value_room(m, n, j.cap, 1)))
        return false;
    for (const struct tree_node *c = value_first(n); c; c = value_next(n, c))
        good &= push_pattern_is_valid(c->text) ? join(&j, c->text) : value_fault(m, c, PATTERN);
    *list = slice_of(j.at, j.len);
    return good;
}

READER(read_copy)
{
    uint32_t *copied = field(to, k);
    if (!value_is_text_list(m, n, k))
        return false;
    *copied = 0;
    for (const struct tree_node *c = value_first(n); c; c = value_next(n, c)) {
        unsigned i = 0;
        while (i < PUSH_COPY_COUNT && !slice_ieq(c->text, slice_str(push_copy_name(i))))
            i++;
        if (i == PUSH_COPY_COUNT)
            return value_fault(m, c, k->allowed);
        *copied |= 1u << i;
    }
    return true;
}

static void count_promise(void *user, struct push_promise *p)
{
    (void)p;
    ++*(unsigned *)user;
}

/* Whether a Link value is read as so many preloads as it has targets. */
static bool is_preload_link(struct manifest *m, struct slice value)
{
    struct http_head page = {.method = SLICE("GET"),
                             .scheme = SLICE("https"),
                             .authority = SLICE("localhost"),
                             .path = SLICE("/")};
    struct field one = {.name = SLICE("link"), .value = value, .token = TOKEN_LINK};
    struct fields fields = {.at = &one, .count = 1, .cap = 1};
    unsigned given = 0, targets = 0;
    bool quoted = false;
    for (size_t i = 0; i < value.len; i++) {
        if (value.p[i] == '"')
            quoted = !quoted;
        if ((unsigned char)value.p[i] < 0x20 || value.p[i] == 0x7f)
            return false;
        targets += !quoted && value.p[i] == '<';
    }
    link_read(&fields, &page, PUSH_SOURCE_CONFIG, &m->arena, count_promise, &given);
    return given > 0 && given == targets;
}

/* A path becomes a Link value. */
static struct slice link_of(struct manifest *m, struct slice text)
{
    if (text.len && text.p[0] == '<')
        return text;
    struct slice as = push_destination(text);
    const char *font = slice_eq(as, SLICE("font")) ? "; crossorigin" : "";
    return as.len ? arena_printf(&m->arena, "<%.*s>; rel=preload; as=%.*s%s", SLICE_FMT(text),
                                 SLICE_FMT(as), font)
                  : arena_printf(&m->arena, "<%.*s>; rel=preload", SLICE_FMT(text));
}

static bool add_page(struct joined *j, const struct tree_node *page, const struct key *k)
{
    const struct key list = {.allowed = k->allowed, .least = 1, .most = MAX_PRELOADS};
    bool good = value_is_text_list(j->m, page, &list);
    if (!push_pattern_is_valid(page->key))
        good = fault_at_key(&j->m->faults, page, "must be %s", PATTERN);
    for (const struct tree_node *c = value_first(page); c && good; c = value_next(page, c)) {
        struct slice value = link_of(j->m, c->text);
        if (!value.p || !is_preload_link(j->m, value))
            good = value_fault(j->m, c, k->allowed);
        else
            good = join(j, page->key) && join(j, value);
    }
    return good;
}

READER(read_preload)
{
    struct slice *list = field(to, k);
    struct joined j = {m, n, NULL, 0, MAX_RULES_OCTETS};
    bool good = true;
    if (value_is_nothing(n))
        return true;
    if (n->kind != TREE_MAP)
        return value_fault(m, n, k->allowed);
    if (n->count > k->most)
        return fault_at_value(&m->faults, n, "holds more than %lu paths", k->most);
    if (!(j.at = value_room(m, n, j.cap, 1)))
        return false;
    for (const struct tree_node *page = n->first; page; page = page->next)
        good &= add_page(&j, page, k);
    *list = slice_of(j.at, j.len);
    return good;
}
