/* SPDX-License-Identifier: Apache-2.0 */
#include "push/pattern.h"
#include "push/reference.h"

bool push_pattern_is_valid(struct slice pattern)
{
    return pattern.len <= PUSH_PATTERN_OCTETS_MAX && slice_starts(pattern, SLICE("/")) &&
           !memchr(pattern.p, '?', pattern.len) && !memchr(pattern.p, '#', pattern.len) &&
           reference_octets_valid(pattern);
}

/* What is before the first of an octet, which is removed together with it from *rest.
 * return  false: there is none */
static bool cut_at(struct slice *rest, char octet, struct slice *before_out)
{
    const char *found = rest->len ? memchr(rest->p, octet, rest->len) : NULL;
    if (!found)
        return false;
    *before_out = slice_of(rest->p, (size_t)(found - rest->p));
    *rest = slice_of(found + 1, rest->len - before_out->len - 1);
    return true;
}

static struct slice without_first(struct slice s, size_t n)
{
    return slice_of(s.p + n, s.len - n);
}

/* Between two stars a piece may be taken where it is first found, since what follows it can only
 * gain by that: nothing is ever tried a second time. */
bool push_pattern_matches(struct slice pattern, struct slice path)
{
    struct slice piece;
    if (cut_at(&path, '?', &piece))
        path = piece;
    if (!cut_at(&pattern, '*', &piece))
        return slice_eq(pattern, path);
    if (!slice_starts(path, piece))
        return false;
    path = without_first(path, piece.len);
    while (cut_at(&pattern, '*', &piece)) {
        const char *found = memmem(path.p, path.len, piece.p, piece.len);
        if (!found)
            return false;
        path = without_first(path, (size_t)(found - path.p) + piece.len);
    }
    return slice_ends(path, pattern);
}
