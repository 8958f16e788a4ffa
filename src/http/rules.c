/* SPDX-License-Identifier: Apache-2.0 */
#include "http/rules.h"
#include "base/err.h"
#include "http/octets.h"

#include <arpa/inet.h>

enum {
    TCHAR = 1,     /* RFC 9110 5.6.2 */
    UPPER = 2,     /* A to Z */
    FIELD_OCT = 4, /* RFC 9110 5.5: VCHAR, obs-text, SP, HTAB */
    HOST_OCT = 8,  /* RFC 3986 3.2.2: unreserved and sub-delims of a reg-name */
    PATH_OCT = 16, /* not white space, control octet or "#" */
};

#define LOWER_ROW (TCHAR | FIELD_OCT | HOST_OCT | PATH_OCT)
#define UPPER_ROW (LOWER_ROW | UPPER)
#define OBS_TEXT  (FIELD_OCT | PATH_OCT)

static const uint8_t classes[256] = {
    ['\t'] = FIELD_OCT,
    [' '] = FIELD_OCT,
    ['#'] = TCHAR | FIELD_OCT,
    ['%'] = TCHAR | FIELD_OCT | PATH_OCT,
    ['"'] = FIELD_OCT | PATH_OCT,
    ['/'] = FIELD_OCT | PATH_OCT,
    [':'] = FIELD_OCT | PATH_OCT,
    ['<'] = FIELD_OCT | PATH_OCT,
    ['>'] = FIELD_OCT | PATH_OCT,
    ['?' ... '@'] = FIELD_OCT | PATH_OCT,
    ['[' ... ']'] = FIELD_OCT | PATH_OCT,
    ['{'] = FIELD_OCT | PATH_OCT,
    ['}'] = FIELD_OCT | PATH_OCT,
    ['('] = FIELD_OCT | HOST_OCT | PATH_OCT,
    [')'] = FIELD_OCT | HOST_OCT | PATH_OCT,
    [','] = FIELD_OCT | HOST_OCT | PATH_OCT,
    [';'] = FIELD_OCT | HOST_OCT | PATH_OCT,
    ['='] = FIELD_OCT | HOST_OCT | PATH_OCT,
    ['^'] = TCHAR | FIELD_OCT | PATH_OCT,
    ['`'] = TCHAR | FIELD_OCT | PATH_OCT,
    ['|'] = TCHAR | FIELD_OCT | PATH_OCT,
    ['!'] = LOWER_ROW,
    ['$'] = LOWER_ROW,
    ['&' ... '\''] = LOWER_ROW,
    ['*' ... '+'] = LOWER_ROW,
    ['-' ... '.'] = LOWER_ROW,
    ['0' ... '9'] = LOWER_ROW,
    ['A' ... 'Z'] = UPPER_ROW,
    ['_'] = LOWER_ROW,
    ['a' ... 'z'] = LOWER_ROW,
    ['~'] = LOWER_ROW,
    [0x80 ... 0xff] = OBS_TEXT,
};

static bool all(struct slice s, unsigned class)
{
    unsigned both = class;
    for (size_t i = 0; i < s.len; i++)
        both &= classes[(unsigned char)s.p[i]];
    return both != 0;
}

bool rules_is_token(struct slice s)
{
    return s.len && all(s, TCHAR);
}

bool rules_is_upgrade(struct slice s)
{
    static const char *const refused[] = {"h2", "h2c", "h3", "http", "tls"};
    const char *slash = s.len ? memchr(s.p, '/', s.len) : NULL;
    struct slice name = slice_of(s.p, slash ? (size_t)(slash - s.p) : s.len), stem = name;
    const char *dash = name.len ? memchr(name.p, '-', name.len) : NULL;
    if (dash)
        stem.len = (size_t)(dash - name.p);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (slice_ieq(stem, slice_str(refused[i])))
            return false;
    return rules_is_token(name) &&
           (!slash || rules_is_token(slice_of(slash + 1, s.len - name.len - 1)));
}

bool rules_is_lower_token(struct slice s)
{
    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if ((classes[(unsigned char)s.p[i]] & (TCHAR | UPPER)) != TCHAR)
            return false;
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Whether all octets are FIELD_OCT. */
static bool is_field_text(struct slice s)
{
#ifdef OCTETS_AT_ONCE
    if (s.len >= OCTETS_AT_ONCE) {
        const char *last = s.p + s.len - OCTETS_AT_ONCE;
        unsigned hits = octets_controls(last);
        for (const char *p = s.p; p < last; p += OCTETS_AT_ONCE)
            hits |= octets_controls(p);
        return !hits;
    }
#endif
    return all(s, FIELD_OCT);
}

bool rules_is_value(struct slice s)
{
    if (s.len == 0)
        return true;
    return !is_blank(s.p[0]) && !is_blank(s.p[s.len - 1]) && is_field_text(s);
}

static bool is_hex(char c)
{
    return (unsigned)(c - '0') < 10 || (unsigned)((c | 0x20) - 'a') < 6;
}

/* RFC 3986 3.2.2; never empty here (RFC 9110 4.2.1). */
static bool is_reg_name(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (classes[(unsigned char)s.p[i]] & HOST_OCT)
            continue;
        if (s.p[i] != '%' || s.len - i < 3 || !is_hex(s.p[i + 1]) || !is_hex(s.p[i + 2]))
            return false;
        i += 2;
    }
    return s.len;
}

/* What stands between the brackets.  IPvFuture has no members yet, so it is refused. */
static bool is_ipv6(struct slice s)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    if (s.len >= sizeof text || memchr(s.p, '\0', s.len))
        return false;
    memcpy(text, s.p, s.len);
    text[s.len] = '\0';
    return inet_pton(AF_INET6, text, &address) == 1;
}

/* Cuts host and what follows the colon after it.  return  false when there is no such cut */
static bool cut_host(struct slice s, struct slice *host_out, struct slice *port_out)
{
    size_t n = 0;
    if (s.len && s.p[0] == '[') {
        const char *close = memchr(s.p, ']', s.len);
        if (!close)
            return false;
        n = (size_t)(close - s.p) + 1;
    } else {
        while (n < s.len && s.p[n] != ':')
            n++;
    }
    *host_out = slice_of(s.p, n);
    *port_out = slice_of(s.p + n, 0);
    if (n == s.len)
        return true;
    *port_out = slice_of(s.p + n + 1, s.len - n - 1);
    return s.p[n] == ':';
}

bool rules_is_authority(struct slice s)
{
    struct slice host, port;
    uint64_t number;
    if (!cut_host(s, &host, &port))
        return false;
    if (port.len && (!slice_u64(port, &number) || number > UINT16_MAX))
        return false;
    if (host.len && host.p[0] == '[')
        return is_ipv6(slice_of(host.p + 1, host.len - 2));
    return is_reg_name(host);
}

bool rules_is_origin_form(struct slice s)
{
    return s.len && s.p[0] == '/' && all(s, PATH_OCT);
}

void rules_split_authority(struct slice authority, struct slice *host_out, uint16_t *port_out)
{
    struct slice port;
    uint64_t number = 0;
    if (!cut_host(authority, host_out, &port))
        *host_out = authority;
    else
        slice_u64(port, &number);
    *port_out = number <= UINT16_MAX ? (uint16_t)number : 0;
}

/* Takes one line's numbers.  Empty elements are refused: whoever sends "5,,5" is up to something.
 */
static int take_lengths(struct slice line, int64_t *length)
{
    for (;;) {
        const char *comma = line.len ? memchr(line.p, ',', line.len) : NULL;
        size_t n = comma ? (size_t)(comma - line.p) : line.len;
        uint64_t number;
        if (!slice_u64(slice_trim(slice_of(line.p, n)), &number) || number > INT64_MAX)
            return ERR_BAD_LENGTH;
        if (*length >= 0 && (uint64_t)*length != number)
            return ERR_BAD_LENGTH;
        *length = (int64_t)number;
        if (!comma)
            return 0;
        line = slice_of(line.p + n + 1, line.len - n - 1);
    }
}

int rules_content_length(const struct fields *f, int64_t *out)
{
    int64_t length = -1;
    for (uint32_t i = 0; i < f->count; i++) {
        if (f->at[i].token != TOKEN_CONTENT_LENGTH)
            continue;
        int err = take_lengths(f->at[i].value, &length);
        if (err < 0)
            return err;
    }
    *out = length;
    return 0;
}

/* The only Content-Length of a section, when nothing about it is to be settled, or NULL. */
static const struct field *plain_length(const struct fields *f)
{
    const struct field *found = NULL;
    for (uint32_t i = 0; i < f->count; i++) {
        if (f->at[i].token != TOKEN_CONTENT_LENGTH)
            continue;
        if (found)
            return NULL;
        found = &f->at[i];
    }
    return found && (found->value.len == 1 || (found->value.len && found->value.p[0] != '0'))
               ? found
               : NULL;
}

int rules_settle_content_length(struct fields *f, struct arena *a, int64_t *out)
{
    uint32_t kept = 0, first = f->count;
    uint64_t number;
    const struct field *plain = plain_length(f);
    if (plain && slice_u64(plain->value, &number) && number <= INT64_MAX) {
        *out = (int64_t)number;
        return 0;
    }
    int err = rules_content_length(f, out);
    if (err < 0 || *out < 0)
        return err;
    for (uint32_t i = 0; i < f->count; i++) {
        bool is_length = f->at[i].token == TOKEN_CONTENT_LENGTH;
        if (is_length && first < f->count)
            continue;
        if (is_length)
            first = kept;
        if (kept < i)
            f->at[kept] = f->at[i];
        kept++;
    }
    f->count = kept;
    f->at[first].value = arena_printf(a, "%lld", (long long)*out);
    return f->at[first].value.p ? 0 : ERR_NOMEM;
}

bool rules_is_trailer(enum token token)
{
    switch ((unsigned)token) {
    case TOKEN_CONTENT_LENGTH: /* framing */
    case TOKEN_HOST:           /* routing */
    case TOKEN_TE:             /* request modifiers and conditions */
    case TOKEN_EXPECT:
    case TOKEN_MAX_FORWARDS:
    case TOKEN_CACHE_CONTROL:
    case TOKEN_PRAGMA:
    case TOKEN_RANGE:
    case TOKEN_IF_MATCH:
    case TOKEN_IF_NONE_MATCH:
    case TOKEN_IF_MODIFIED_SINCE:
    case TOKEN_IF_UNMODIFIED_SINCE:
    case TOKEN_IF_RANGE:
    case TOKEN_WWW_AUTHENTICATE: /* authentication */
    case TOKEN_AUTHORIZATION:
    case TOKEN_PROXY_AUTHENTICATE:
    case TOKEN_PROXY_AUTHORIZATION:
    case TOKEN_COOKIE:
    case TOKEN_SET_COOKIE:
    case TOKEN_CONTENT_ENCODING: /* how to process the content */
    case TOKEN_CONTENT_TYPE:
    case TOKEN_CONTENT_RANGE:
    case TOKEN_TRAILER:
        return false;
    default:
        return !(token_flags(token) & (TOKEN_HOP | TOKEN_FORWARD | TOKEN_SECRET | TOKEN_PSEUDO));
    }
}
