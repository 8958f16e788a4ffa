/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/log_text.h"
#include "http/octets.h"

static const char hex[] = "0123456789abcdef";

static bool is_plain_octet(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* Of so many octets, with LOG_SLACK_OCTETS behind them. */
static bool is_plain(const char *p, size_t len)
{
#ifdef OCTETS_AT_ONCE
    unsigned special = 0;
    for (const char *end = p + len; p < end; p += OCTETS_AT_ONCE) {
        unsigned here = octets_unprintable(p) | octets_equal(p, '"') | octets_equal(p, '\\');
        if (end - p < OCTETS_AT_ONCE) /* what lies behind does not count */
            here &= (1u << (end - p)) - 1;
        special |= here;
    }
    return !special;
#else
    for (size_t i = 0; i < len; i++)
        if (!is_plain_octet((unsigned char)p[i]))
            return false;
    return true;
#endif
}

static char *put_escaped(char *to, struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (is_plain_octet(c)) {
            *to++ = (char)c;
        } else if (c == '"' || c == '\\') {
            *to++ = '\\';
            *to++ = (char)c;
        } else {
            to = slice_put(to, SLICE("\\u00"));
            *to++ = hex[c >> 4];
            *to++ = hex[c & 15];
        }
    }
    return to;
}

static struct slice cut(struct slice s)
{
    return slice_of(s.p, s.len < LOG_VALUE_OCTETS ? s.len : LOG_VALUE_OCTETS);
}

size_t log_string_bound(struct slice s)
{
    return 6 * cut(s).len + 2;
}

char *log_put_string(char *to, struct slice s)
{
    s = cut(s);
    *to++ = '"';
    char *end = slice_put(to, s);
    if (!is_plain(to, s.len))
        end = put_escaped(to, s);
    *end++ = '"';
    return end;
}

char *log_put_number(char *to, uint64_t n)
{
    char digits[LOG_NUMBER_OCTETS];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + n % 10);
    while ((n /= 10) != 0);
    memcpy(to, digits + at, sizeof digits - at);
    return to + (sizeof digits - at);
}
