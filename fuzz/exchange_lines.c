/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange_lines.h"
#include "base/panic.h"

static bool take(struct slice *s, struct slice what)
{
    if (!slice_starts(*s, what))
        return false;
    *s = slice_of(s->p + what.len, s->len - what.len);
    return true;
}

static char take_octet(struct slice *s)
{
    ASSERT(s->len);
    char c = s->p[0];
    *s = slice_of(s->p + 1, s->len - 1);
    return c;
}

static void take_string(struct slice *s)
{
    char c;
    ASSERT(take(s, SLICE("\"")));
    while ((c = take_octet(s)) != '"') {
        ASSERT(c >= 0x20 && c < 0x7f);
        if (c != '\\')
            continue;
        c = take_octet(s);
        ASSERT(c == '"' || c == '\\' || c == 'u');
        for (int i = 0; c == 'u' && i < 4; i++)
            ASSERT(memchr("0123456789abcdef", take_octet(s), 16));
    }
}

static void take_value(struct slice *s)
{
    uint64_t number;
    size_t digits = 0;
    if (s->len && s->p[0] == '"') {
        take_string(s);
        return;
    }
    if (take(s, SLICE("true")))
        return;
    while (digits < s->len && s->p[digits] >= '0' && s->p[digits] <= '9')
        digits++;
    ASSERT(slice_u64(slice_of(s->p, digits), &number) && (digits == 1 || s->p[0] != '0'));
    *s = slice_of(s->p + digits, s->len - digits);
}

void exchange_lines_check(struct slice lines)
{
    while (lines.len) {
        ASSERT(take(&lines, SLICE("{")));
        do {
            take_string(&lines);
            ASSERT(take(&lines, SLICE(":")));
            take_value(&lines);
        } while (take(&lines, SLICE(",")));
        ASSERT(take(&lines, SLICE("}\n")));
    }
}
