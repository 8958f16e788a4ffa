/* SPDX-License-Identifier: Apache-2.0 */
#include "push/trace.h"
#include "base/err.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- writing ---- */

/* ";more=" and the longest integer. */
#define MORE_OCTETS 26
/* RFC 9651 3.3.1: most digits of an integer. */
#define INTEGER_MAX 999999999999999u

/* RFC 9651 3.3.3: a string has printable ASCII.  return  octets written, 0: no room */
static size_t write_string(char *out, size_t cap, struct slice s)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t n = 0;
    if (cap < 2)
        return 0;
    out[n++] = '"';
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (cap - n < 4) /* the longest form, and the quote at the end */
            return 0;
        if (c < 0x20 || c > 0x7e) {
            out[n++] = '%';
            out[n++] = hex[c >> 4];
            out[n++] = hex[c & 15];
            continue;
        }
        if (c == '"' || c == '\\')
            out[n++] = '\\';
        out[n++] = (char)c;
    }
    out[n++] = '"';
    return n;
}

static size_t write_item(char *out, size_t cap, const struct push_trace_item *item)
{
    uint64_t t_us = item->t_us / 1000 > INTEGER_MAX / 1000 ? 0 : item->t_us;
    size_t n = write_string(out, cap, item->url);
    if (n == 0)
        return 0;
    int more =
        snprintf(out + n, cap - n, "%s;source=%.*s;vehicle=%.*s;reason=%.*s%s%.*s",
                 item->is_cut ? ";cut" : "", SLICE_FMT(item->source), SLICE_FMT(item->vehicle),
                 SLICE_FMT(item->reason), item->hint.len ? ";hint=" : "", SLICE_FMT(item->hint));
    if (more < 0 || (size_t)more >= cap - n)
        return 0;
    n += (size_t)more;
    if (item->octets >= 0 && (uint64_t)item->octets <= INTEGER_MAX) {
        more = snprintf(out + n, cap - n, ";octets=%" PRId64, item->octets);
        if (more < 0 || (size_t)more >= cap - n)
            return 0;
        n += (size_t)more;
    }
    more = snprintf(out + n, cap - n, ";t=%" PRIu64 ".%03u", t_us / 1000, (unsigned)(t_us % 1000));
    return more < 0 || (size_t)more >= cap - n ? 0 : n + (size_t)more;
}

size_t push_trace_write(char *out, size_t cap, const struct push_trace_item *items, unsigned count,
                        uint64_t more)
{
    size_t len = 0;
    unsigned i = 0;
    for (; i < count && i < PUSH_TRACE_ITEMS && len + MORE_OCTETS + 2 < cap; i++) {
        size_t between = i ? 2 : 0;
        size_t n = write_item(out + len + between, cap - len - between - MORE_OCTETS, &items[i]);
        if (n == 0)
            break;
        memcpy(out + len, ", ", between);
        len += between + n;
    }
    more += count - i;
    if (i && more)
        len += (size_t)snprintf(out + len, cap - len, ";more=%" PRIu64,
                                more < INTEGER_MAX ? more : INTEGER_MAX);
    return len;
}

/* ---- reading: RFC 9651 4.2 ---- */

enum kind { STRING, TOKEN, NUMBER, BOOLEAN };

struct bare {
    enum kind kind;
    struct slice text; /* of a string: without escapes; of a token */
    uint64_t milli;    /* of a number that is not negative: thousandths */
    bool is_negative;
};

static void skip(struct slice *in, const char *octets)
{
    while (in->len && memchr(octets, in->p[0], strlen(octets)))
        in->p++, in->len--;
}

static bool take(struct slice *in, char c)
{
    if (!in->len || in->p[0] != c)
        return false;
    in->p++, in->len--;
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_token_octet(char c)
{
    return is_digit(c) || is_lower((char)ascii_lower((unsigned char)c)) ||
           (c && strchr("!#$%&'*+-.^_`|~:/", c));
}

static struct slice take_run(struct slice *in, bool (*fits)(char c))
{
    struct slice run = {in->p, 0};
    while (run.len < in->len && fits(in->p[run.len]))
        run.len++;
    in->p += run.len, in->len -= run.len;
    return run;
}

static bool is_key_octet(char c)
{
    return is_lower(c) || is_digit(c) || (c && strchr("_-.*", c));
}

static int read_string(struct slice *in, struct arena *arena, struct bare *out)
{
    size_t room = in->len + 1, n = 0;
    char *to = arena_alloc(arena, room);
    if (!to)
        return ERR_NOMEM;
    out->kind = STRING;
    while (in->len) {
        char c = *in->p++;
        in->len--;
        if (c == '"') {
            arena_shrink(arena, to, room, n);
            out->text = slice_of(to, n);
            return 0;
        }
        if (c == '\\') {
            if (!in->len || (*in->p != '"' && *in->p != '\\'))
                return ERR_FORMAT;
            c = *in->p++;
            in->len--;
        } else if (c < 0x20 || c > 0x7e) {
            return ERR_FORMAT;
        }
        to[n++] = c;
    }
    return ERR_FORMAT;
}

static int read_number(struct slice *in, struct bare *out)
{
    uint64_t whole = 0, part = 0;
    out->kind = NUMBER;
    out->is_negative = take(in, '-');
    struct slice digits = take_run(in, is_digit), fraction = {"", 0};
    bool is_decimal = take(in, '.');
    if (is_decimal)
        fraction = take_run(in, is_digit);
    if (digits.len == 0 || digits.len > (is_decimal ? 12 : 15) ||
        (is_decimal && (fraction.len == 0 || fraction.len > 3)))
        return ERR_FORMAT;
    slice_u64(digits, &whole);
    slice_u64(fraction, &part);
    for (size_t i = fraction.len; i < 3; i++)
        part *= 10;
    out->milli = whole * 1000 + part;
    return 0;
}

static int read_bare(struct slice *in, struct arena *arena, struct bare *out)
{
    *out = (struct bare){.text = SLICE("")};
    if (take(in, '"'))
        return read_string(in, arena, out);
    if (!in->len)
        return ERR_FORMAT;
    char c = in->p[0];
    if (is_digit(c) || c == '-')
        return read_number(in, out);
    if (take(in, '?')) {
        out->kind = BOOLEAN;
        out->milli = in->len && in->p[0] == '1';
        return take(in, '0') || take(in, '1') ? 0 : ERR_FORMAT;
    }
    if (c != '*' && !is_lower((char)ascii_lower((unsigned char)c)))
        return ERR_FORMAT;
    out->kind = TOKEN;
    out->text = take_run(in, is_token_octet);
    return 0;
}

static void keep(struct push_trace_item *item, uint64_t *more_out, struct slice key,
                 const struct bare *v)
{
    const struct {
        struct slice key;
        struct slice *to;
    } texts[] = {{SLICE("source"), &item->source},
                 {SLICE("vehicle"), &item->vehicle},
                 {SLICE("reason"), &item->reason},
                 {SLICE("hint"), &item->hint}};
    for (size_t i = 0; v->kind == TOKEN && i < sizeof texts / sizeof texts[0]; i++)
        if (slice_eq(key, texts[i].key))
            *texts[i].to = v->text;
    if (v->kind == BOOLEAN && slice_eq(key, SLICE("cut")))
        item->is_cut = v->milli != 0;
    if (v->kind != NUMBER || v->is_negative)
        return;
    if (slice_eq(key, SLICE("octets")))
        item->octets = (int64_t)(v->milli / 1000);
    else if (slice_eq(key, SLICE("t")))
        item->t_us = v->milli;
    else if (slice_eq(key, SLICE("more")))
        *more_out = v->milli / 1000;
}

static int read_item(struct slice *in, struct arena *arena, struct push_trace_item *item,
                     uint64_t *more_out)
{
    struct bare v;
    *item = (struct push_trace_item){.octets = -1};
    int err = read_bare(in, arena, &v);
    if (err == 0 && v.kind != STRING)
        err = ERR_FORMAT;
    item->url = v.text;
    while (err == 0 && take(in, ';')) {
        skip(in, " ");
        if (!in->len || (!is_lower(in->p[0]) && in->p[0] != '*'))
            return ERR_FORMAT;
        struct slice key = take_run(in, is_key_octet);
        v = (struct bare){.kind = BOOLEAN, .milli = 1};
        if (take(in, '='))
            err = read_bare(in, arena, &v);
        if (err == 0)
            keep(item, more_out, key, &v);
    }
    return err;
}

int push_trace_read(struct slice value, struct arena *arena, struct push_trace_item *items,
                    unsigned cap, unsigned *count_out, uint64_t *more_out)
{
    struct slice in = value;
    uint64_t beyond = 0;
    *count_out = 0;
    *more_out = 0;
    skip(&in, " ");
    if (!in.len)
        return 0;
    for (;;) {
        struct push_trace_item item;
        int err = read_item(&in, arena, &item, more_out);
        if (err)
            return err;
        if (*count_out < cap)
            items[(*count_out)++] = item;
        else
            beyond++;
        skip(&in, " \t");
        if (!in.len) {
            *more_out += beyond;
            return 0;
        }
        if (!take(&in, ','))
            return ERR_FORMAT;
        skip(&in, " \t");
    }
}
