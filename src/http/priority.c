/* SPDX-License-Identifier: Apache-2.0 */
/* A strict parser of Structured Fields dictionaries (RFC 9651 4.2), which keeps only what RFC 9218
 * defines.  Everything else is parsed all the same: a value that does not parse is ignored whole.
 */
#include "http/priority.h"

struct cursor {
    const char *at, *end;
};

struct item {
    enum { ITEM_INTEGER, ITEM_BOOLEAN, ITEM_OTHER } type;
    int64_t number;
};

static bool more(const struct cursor *c)
{
    return c->at < c->end;
}

static bool is_digit(char c)
{
    return (unsigned)(c - '0') < 10;
}

static bool is_lower(char c)
{
    return (unsigned)(c - 'a') < 26;
}

static bool is_alpha(char c)
{
    return (unsigned)((c | 0x20) - 'a') < 26;
}

/* return  whether the next octet was c; then it is taken */
static bool take(struct cursor *c, char octet)
{
    if (!more(c) || *c->at != octet)
        return false;
    c->at++;
    return true;
}

static void skip(struct cursor *c, const char *octets)
{
    while (more(c) && *c->at && strchr(octets, *c->at))
        c->at++;
}

/* RFC 9651 4.2.3.3 */
static bool parse_key(struct cursor *c, struct slice *out)
{
    const char *start = c->at;
    if (!more(c) || !(is_lower(*c->at) || *c->at == '*'))
        return false;
    while (more(c) && (is_lower(*c->at) || is_digit(*c->at) || (*c->at && strchr("_-.*", *c->at))))
        c->at++;
    *out = slice_of(start, (size_t)(c->at - start));
    return true;
}

/* RFC 9651 4.2.4 */
static bool parse_number(struct cursor *c, struct item *out)
{
    bool negative = take(c, '-');
    unsigned digits = 0, fraction = 0;
    int64_t v = 0;
    for (; more(c) && is_digit(*c->at); c->at++) {
        if (++digits > 15)
            return false;
        v = v * 10 + (*c->at - '0');
    }
    if (digits == 0)
        return false;
    *out = (struct item){.type = ITEM_INTEGER, .number = negative ? -v : v};
    if (!take(c, '.'))
        return true;
    for (; more(c) && is_digit(*c->at); c->at++)
        if (++fraction > 3)
            return false;
    out->type = ITEM_OTHER;
    return fraction && digits <= 12;
}

/* RFC 9651 4.2.5; after the opening quote. */
static bool parse_string(struct cursor *c)
{
    while (more(c)) {
        unsigned char octet = (unsigned char)*c->at++;
        if (octet == '"')
            return true;
        if (octet < 0x20 || octet > 0x7e)
            return false;
        if (octet == '\\' && !take(c, '"') && !take(c, '\\'))
            return false;
    }
    return false;
}

static bool is_lower_hex(char c)
{
    return is_digit(c) || (unsigned)(c - 'a') < 6;
}

static unsigned hex_value(char c)
{
    return is_digit(c) ? (unsigned)(c - '0') : (unsigned)(c - 'a') + 10;
}

/* Takes one octet more of a UTF-8 sequence.  RFC 3629 4
 * low, high  the bounds of the next octet
 * left       octets still to come in this sequence */
static bool utf8_step(unsigned octet, unsigned *low, unsigned *high, unsigned *left)
{
    if (*left) {
        bool fits = octet >= *low && octet <= *high;
        *low = 0x80;
        *high = 0xbf;
        --*left;
        return fits;
    }
    *low = octet == 0xe0 ? 0xa0 : octet == 0xf0 ? 0x90 : 0x80;
    *high = octet == 0xed ? 0x9f : octet == 0xf4 ? 0x8f : 0xbf;
    if (octet < 0x80)
        return true;
    *left = octet >= 0xf0 ? 3 : octet >= 0xe0 ? 2 : 1;
    return octet >= 0xc2 && octet <= 0xf4;
}

/* RFC 9651 4.2.10; after the percent sign. */
static bool parse_display_string(struct cursor *c)
{
    unsigned low = 0, high = 0, left = 0;
    if (!take(c, '"'))
        return false;
    while (more(c)) {
        unsigned octet = (unsigned char)*c->at++;
        if (octet == '"')
            return left == 0;
        if (octet < 0x20 || octet > 0x7e)
            return false;
        if (octet == '%') {
            if (c->end - c->at < 2 || !is_lower_hex(c->at[0]) || !is_lower_hex(c->at[1]))
                return false;
            octet = hex_value(c->at[0]) << 4 | hex_value(c->at[1]);
            c->at += 2;
        }
        if (!utf8_step(octet, &low, &high, &left))
            return false;
    }
    return false;
}

/* RFC 9651 4.2.7; after the opening colon. */
static bool parse_octets(struct cursor *c)
{
    unsigned chars = 0, pads = 0;
    for (; more(c) && (is_alpha(*c->at) || is_digit(*c->at) || *c->at == '+' || *c->at == '/');
         c->at++)
        chars++;
    for (; more(c) && *c->at == '='; c->at++)
        pads++;
    /* Padding may be left out; what is there must be right. */
    return take(c, ':') && chars % 4 != 1 && (pads == 0 || (pads < 3 && (chars + pads) % 4 == 0));
}

/* RFC 9651 4.2.3.1 */
static bool parse_bare_item(struct cursor *c, struct item *out)
{
    *out = (struct item){.type = ITEM_OTHER};
    if (!more(c))
        return false;
    if (*c->at == '-' || is_digit(*c->at))
        return parse_number(c, out);
    if (take(c, '"'))
        return parse_string(c);
    if (take(c, ':'))
        return parse_octets(c);
    if (take(c, '%'))
        return parse_display_string(c);
    if (take(c, '?')) {
        out->type = ITEM_BOOLEAN;
        out->number = take(c, '1');
        return out->number || take(c, '0');
    }
    if (take(c, '@')) { /* a Date: an integer */
        bool parsed = parse_number(c, out) && out->type == ITEM_INTEGER;
        out->type = ITEM_OTHER;
        return parsed;
    }
    if (!is_alpha(*c->at) && *c->at != '*')
        return false;
    while (more(c) && (is_alpha(*c->at) || is_digit(*c->at) ||
                       (*c->at && strchr("!#$%&'*+-.^_`|~:/", *c->at))))
        c->at++;
    return true;
}

/* RFC 9651 4.2.3.2 */
static bool parse_parameters(struct cursor *c)
{
    while (take(c, ';')) {
        struct slice key;
        struct item item;
        skip(c, " ");
        if (!parse_key(c, &key) || (take(c, '=') && !parse_bare_item(c, &item)))
            return false;
    }
    return true;
}

/* RFC 9651 4.2.1.2; after the opening parenthesis. */
static bool parse_inner_list(struct cursor *c)
{
    struct item item;
    for (;;) {
        skip(c, " ");
        if (take(c, ')'))
            return true;
        if (!parse_bare_item(c, &item) || !parse_parameters(c))
            return false;
        if (more(c) && *c->at != ' ' && *c->at != ')')
            return false;
    }
}

/* A key without a value is true.  RFC 9651 4.2.2 */
static bool parse_member(struct cursor *c, struct slice *key_out, struct item *out)
{
    if (!parse_key(c, key_out))
        return false;
    *out = (struct item){.type = ITEM_BOOLEAN, .number = 1};
    if (take(c, '=')) {
        if (take(c, '(')) {
            out->type = ITEM_OTHER;
            if (!parse_inner_list(c))
                return false;
        } else if (!parse_bare_item(c, out)) {
            return false;
        }
    }
    return parse_parameters(c);
}

bool priority_parse(struct slice value, struct priority *p)
{
    struct cursor c = {value.p, value.p + value.len};
    struct priority result = *p;
    skip(&c, " ");
    while (more(&c)) {
        struct slice key;
        struct item item;
        if (!parse_member(&c, &key, &item))
            return false;
        /* Of several members with one key the last one counts, even when it is of no use. */
        if (slice_eq(key, SLICE("u"))) {
            bool valid = item.type == ITEM_INTEGER && item.number >= 0 &&
                         item.number <= PRIORITY_URGENCY_MAX;
            result.urgency = valid ? (uint8_t)item.number : p->urgency;
        } else if (slice_eq(key, SLICE("i"))) {
            result.incremental = item.type == ITEM_BOOLEAN ? item.number != 0 : p->incremental;
        }
        skip(&c, " \t");
        if (!more(&c))
            break;
        if (!take(&c, ','))
            return false;
        skip(&c, " \t");
        if (!more(&c)) /* a comma at the end */
            return false;
    }
    *p = result;
    return true;
}
