/* SPDX-License-Identifier: Apache-2.0 */
/* A borrowed run of octets.  It owns nothing and ends nowhere in particular: no NUL is promised. */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const char *p;
    size_t len;
};

/* A string literal as a slice. */
#define SLICE(literal) ((struct slice){"" literal, sizeof(literal) - 1})
/* For printf's "%.*s". */
#define SLICE_FMT(s) (int)(s).len, (s).p

static inline struct slice slice_of(const void *p, size_t len)
{
    return (struct slice){(const char *)p, len};
}

static inline struct slice slice_str(const char *s)
{
    return (struct slice){s, s ? strlen(s) : 0};
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

/* Copies s to where there is room for it; for short ones, which a call would cost more than the
 * copying: two pieces that overlap take any length between one of them and both.
 * return  the end */
static inline char *slice_put(char *to, struct slice s)
{
    if (s.len > 32) {
        memcpy(to, s.p, s.len);
    } else if (s.len >= 16) {
        memcpy(to, s.p, 16);
        memcpy(to + s.len - 16, s.p + s.len - 16, 16);
    } else if (s.len >= 8) {
        memcpy(to, s.p, 8);
        memcpy(to + s.len - 8, s.p + s.len - 8, 8);
    } else if (s.len >= 4) {
        memcpy(to, s.p, 4);
        memcpy(to + s.len - 4, s.p + s.len - 4, 4);
    } else if (s.len) {
        to[0] = s.p[0];
        to[s.len / 2] = s.p[s.len / 2];
        to[s.len - 1] = s.p[s.len - 1];
    }
    return to + s.len;
}

static inline unsigned char ascii_lower(unsigned char c)
{
    return (unsigned char)(c - 'A') < 26 ? (unsigned char)(c | 0x20) : c;
}

/* ASCII case is folded; other octets must be the same. */
static inline bool slice_ieq(struct slice a, struct slice b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (ascii_lower((unsigned char)a.p[i]) != ascii_lower((unsigned char)b.p[i]))
            return false;
    return true;
}

static inline bool slice_starts(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.p, prefix.p, prefix.len) == 0);
}

static inline bool slice_ends(struct slice s, struct slice suffix)
{
    return s.len >= suffix.len &&
           (suffix.len == 0 || memcmp(s.p + s.len - suffix.len, suffix.p, suffix.len) == 0);
}

/* Without optional white space (SP, HTAB) at both ends.  RFC 9110 5.6.3. */
static inline struct slice slice_trim(struct slice s)
{
    while (s.len && (s.p[0] == ' ' || s.p[0] == '\t'))
        s.p++, s.len--;
    while (s.len && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* Decimal digits only, no sign, no white space.
 * return  false when empty, not digits, or above UINT64_MAX; *out is then untouched */
static inline bool slice_u64(struct slice s, uint64_t *out)
{
    uint64_t v = 0;
    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned d = (unsigned)(unsigned char)s.p[i] - '0';
        if (d > 9 || v > (UINT64_MAX - d) / 10)
            return false;
        v = v * 10 + d;
    }
    *out = v;
    return true;
}

#endif
