/* SPDX-License-Identifier: Apache-2.0 */
#include "push/settings.h"
#include "push/pattern.h"
#include "base/panic.h"

static const char *const policies[PUSH_POLICY_COUNT] = {
#define X(name, word) [PUSH_POLICY_##name] = word,
    PUSH_POLICY_TABLE(X)
#undef X
};

static const struct {
    enum token token;
    const char *name;
} copies[PUSH_COPY_COUNT] = {
#define X(token_, name_) [PUSH_COPY_##token_] = {.token = TOKEN_##token_, .name = name_},
    PUSH_COPY_TABLE(X)
#undef X
};

const char *push_policy_word(enum push_policy p)
{
    ASSERT((unsigned)p < PUSH_POLICY_COUNT);
    return policies[p];
}

const char *push_copy_name(enum push_copy c)
{
    ASSERT((unsigned)c < PUSH_COPY_COUNT);
    return copies[c].name;
}

enum token push_copy_token(enum push_copy c)
{
    ASSERT((unsigned)c < PUSH_COPY_COUNT);
    return copies[c].token;
}

bool push_is_on(const struct push_settings *s)
{
    return s->policy != PUSH_POLICY_OFF && s->policy != PUSH_POLICY_DENY;
}

bool push_settings_valid(const struct push_settings *s)
{
    return s->policy < PUSH_POLICY_COUNT && s->holdback_percent <= 100 &&
           s->copied < 1u << PUSH_COPY_COUNT;
}

bool push_rules_next(struct slice *list, struct slice *out)
{
    const char *end = list->len ? memchr(list->p, '\n', list->len) : NULL;
    if (!end)
        return false;
    *out = slice_of(list->p, (size_t)(end - list->p));
    *list = slice_of(end + 1, list->len - out->len - 1);
    return true;
}

static bool has_match(struct slice list, struct slice path)
{
    struct slice pattern;
    while (push_rules_next(&list, &pattern))
        if (push_pattern_matches(pattern, path))
            return true;
    return false;
}

bool push_rules_exclude(const struct push_rules *r, struct slice path)
{
    return (r->include.len && !has_match(r->include, path)) || has_match(r->exclude, path);
}

struct slice push_destination(struct slice path)
{
    static const struct {
        const char *extension, *destination;
    } known[] = {
        {"css", "style"}, {"js", "script"}, {"mjs", "script"}, {"woff2", "font"}, {"woff", "font"},
        {"ttf", "font"},  {"otf", "font"},  {"png", "image"},  {"jpg", "image"},  {"jpeg", "image"},
        {"gif", "image"}, {"svg", "image"}, {"webp", "image"}, {"avif", "image"}, {"ico", "image"},
    };
    const char *query = path.len ? memchr(path.p, '?', path.len) : NULL;
    size_t end = query ? (size_t)(query - path.p) : path.len, at = end;
    while (at && path.p[at - 1] != '.' && path.p[at - 1] != '/')
        at--;
    if (at == 0 || path.p[at - 1] != '.')
        return SLICE("");
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (slice_ieq(slice_of(path.p + at, end - at), slice_str(known[i].extension)))
            return slice_str(known[i].destination);
    return SLICE("");
}
