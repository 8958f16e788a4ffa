/* SPDX-License-Identifier: Apache-2.0 */
#include "static/range.h"

/* Digits, of which there may be any number: beyond UINT64_MAX is beyond every file.
 * return  false when there is none */
static bool take_number(struct slice *s, uint64_t *out)
{
    uint64_t v = 0;
    size_t n = 0;
    for (; n < s->len; n++) {
        unsigned d = (unsigned)(unsigned char)s->p[n] - '0';
        if (d > 9)
            break;
        v = v > (UINT64_MAX - d) / 10 ? UINT64_MAX : v * 10 + d;
    }
    *s = slice_of(s->p + n, s->len - n);
    *out = v;
    return n != 0;
}

/* return  -1 malformed, 0 cannot be satisfied, 1 in *out */
static int parse_one(struct slice s, uint64_t size, struct static_range *out)
{
    uint64_t first = 0, last = UINT64_MAX;
    bool has_first = take_number(&s, &first);
    if (s.len == 0 || s.p[0] != '-')
        return -1;
    s = slice_of(s.p + 1, s.len - 1);
    bool has_last = take_number(&s, &last);
    if (s.len || (!has_first && !has_last))
        return -1;
    if (!has_first) { /* the last so many octets */
        if (last == 0)
            return 0;
        *out = (struct static_range){last < size ? size - last : 0, size - 1};
        return 1;
    }
    if (!has_last)
        last = UINT64_MAX;
    if (last < first)
        return -1;
    if (first >= size)
        return 0;
    *out = (struct static_range){first, last < size ? last : size - 1};
    return 1;
}

static bool nearly_touch(const struct static_range *a, const struct static_range *b)
{
    const struct static_range *low = a->first <= b->first ? a : b, *high = low == a ? b : a;
    return high->first <= low->last || high->first - low->last <= STATIC_RANGE_GAP_OCTETS;
}

/* Into the earliest that it touches; grown, that one may touch others. */
static void merge(struct static_range *at, unsigned *count)
{
    for (unsigned i = 0; i + 1 < *count; i++)
        for (unsigned k = i + 1; k < *count; k++) {
            if (!nearly_touch(&at[i], &at[k]))
                continue;
            if (at[k].first < at[i].first)
                at[i].first = at[k].first;
            if (at[k].last > at[i].last)
                at[i].last = at[k].last;
            memmove(&at[k], &at[k + 1], (*count - k - 1) * sizeof *at);
            (*count)--;
            k = i; /* look again from the start of the rest */
        }
}

enum static_range_result static_range_parse(struct slice value, uint64_t size,
                                            struct static_range out[STATIC_RANGES_MAX],
                                            unsigned *count_out)
{
    unsigned count = 0, asked = 0;
    *count_out = 0;
    value = slice_trim(value);
    const char *equals = value.len ? memchr(value.p, '=', value.len) : NULL;
    if (!equals || size == 0)
        return STATIC_RANGE_IGNORE;
    size_t unit = (size_t)(equals - value.p);
    if (!slice_ieq(slice_of(value.p, unit), SLICE("bytes")))
        return STATIC_RANGE_IGNORE;
    struct slice rest = slice_of(equals + 1, value.len - unit - 1);
    for (bool more = true; more;) {
        const char *comma = rest.len ? memchr(rest.p, ',', rest.len) : NULL;
        size_t n = comma ? (size_t)(comma - rest.p) : rest.len;
        struct slice one = slice_trim(slice_of(rest.p, n));
        more = comma != NULL;
        if (more)
            rest = slice_of(comma + 1, rest.len - n - 1);
        if (one.len == 0)
            continue; /* RFC 9110 5.6.1.2: empty elements are to be read over */
        struct static_range r;
        int found = ++asked > STATIC_RANGES_MAX ? -1 : parse_one(one, size, &r);
        if (found < 0)
            return STATIC_RANGE_IGNORE;
        if (found)
            out[count++] = r;
    }
    if (asked == 0)
        return STATIC_RANGE_IGNORE;
    if (count == 0)
        return STATIC_RANGE_UNSATISFIABLE;
    merge(out, &count);
    *count_out = count;
    return STATIC_RANGE_OK;
}
