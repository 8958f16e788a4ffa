/* SPDX-License-Identifier: Apache-2.0 */
#include "static/coding.h"

const struct static_coding_row static_codings[STATIC_CODING_COUNT] = {
#define X(symbol, name, suffix) {SLICE(name), SLICE(suffix)},
    STATIC_CODING_TABLE(X)
#undef X
};

#define UNSAID -1

/* "0", "1.0", "0.25" in thousandths; a malformed weight counts as not acceptable.
 * RFC 9110 12.4.2 */
static int weight(struct slice s)
{
    int v = 0, unit = 100;
    if (s.len == 0 || s.len > 5 || (s.p[0] != '0' && s.p[0] != '1') || (s.len > 1 && s.p[1] != '.'))
        return 0;
    v = (s.p[0] - '0') * 1000;
    for (size_t i = 2; i < s.len; i++, unit /= 10) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return 0;
        v += (s.p[i] - '0') * unit;
    }
    return v > 1000 ? 0 : v;
}

static void read_element(struct slice element, int q[STATIC_CODING_COUNT], int *identity, int *star)
{
    const char *semicolon = memchr(element.p, ';', element.len);
    size_t n = semicolon ? (size_t)(semicolon - element.p) : element.len;
    struct slice name = slice_trim(slice_of(element.p, n));
    int value = 1000;
    if (semicolon) {
        struct slice rest = slice_trim(slice_of(semicolon + 1, element.len - n - 1));
        bool is_q =
            rest.len >= 2 && ascii_lower((unsigned char)rest.p[0]) == 'q' && rest.p[1] == '=';
        value = is_q ? weight(slice_of(rest.p + 2, rest.len - 2)) : 0;
    }
    if (slice_ieq(name, SLICE("x-gzip"))) /* RFC 9110 8.4.1.3 */
        name = SLICE("gzip");
    if (slice_eq(name, SLICE("*")))
        *star = value;
    else if (slice_ieq(name, SLICE("identity")))
        *identity = value;
    for (unsigned i = 0; i < STATIC_CODING_COUNT; i++)
        if (slice_ieq(name, static_codings[i].name))
            q[i] = value;
}

unsigned static_coding_wanted(const struct fields *f, enum static_coding out[STATIC_CODING_COUNT])
{
    int q[STATIC_CODING_COUNT] = {UNSAID, UNSAID, UNSAID}, identity = UNSAID, star = UNSAID;
    unsigned count = 0;
    for (uint32_t i = 0; i < f->count; i++) {
        struct slice rest = f->at[i].value, element;
        if (f->at[i].token != TOKEN_ACCEPT_ENCODING)
            continue;
        while (list_next(&rest, &element))
            if (element.len)
                read_element(element, q, &identity, &star);
    }
    /* Unsaid, no coding at all is acceptable too, but the client has named what it prefers. */
    if (identity == UNSAID)
        identity = 0;
    for (unsigned i = 0; i < STATIC_CODING_COUNT; i++) {
        if (q[i] == UNSAID)
            q[i] = star == UNSAID ? 0 : star;
        if (q[i] == 0 || q[i] < identity)
            continue;
        unsigned at = count++;
        for (; at > 0 && q[out[at - 1]] < q[i]; at--)
            out[at] = out[at - 1];
        out[at] = (enum static_coding)i;
    }
    return count;
}
