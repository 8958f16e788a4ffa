/* SPDX-License-Identifier: Apache-2.0 */
#include "http/token.h"
#include "http/octets.h"

#define X(symbol, name, hpack, flags) \
    _Static_assert(sizeof(name ": ") - 1 <= TOKEN_LINE_OCTETS, "make TOKEN_LINE_OCTETS larger");
TOKEN_TABLE(X)
#undef X

const struct token_row token_rows[TOKEN_COUNT] = {
#define X(symbol, name_, hpack_, flags_)                                              \
    [TOKEN_##symbol] = {.line = name_ ": ",                                           \
                        .name = {token_rows[TOKEN_##symbol].line, sizeof(name_) - 1}, \
                        .hpack = hpack_,                                              \
                        .flags = flags_},
    TOKEN_TABLE(X)
#undef X
};

/* Open addressing on a cheap mix of length, first, middle and last octet.  The keys are ours, so no
 * seed is needed; a peer's name that collides costs one comparison a probe, and runs are short. */
#define SLOTS 256
static uint8_t slots[SLOTS];

/* Letters of either case give the same; all names are in lower case. */
static unsigned mix(struct slice n)
{
    unsigned h = (unsigned)n.len * 0x9e3779b1u;
    h ^= ((unsigned char)n.p[0] | 0x20) * 0x85ebca6bu;
    h ^= ((unsigned char)n.p[n.len / 2] | 0x20) * 0xc2b2ae35u;
    h ^= ((unsigned char)n.p[n.len - 1] | 0x20) * 0x27d4eb2fu;
    return (h ^ h >> 15) >> 3;
}

__attribute__((constructor)) static void fill(void)
{
    _Static_assert(TOKEN_COUNT < SLOTS / 2, "make SLOTS larger");
    for (unsigned t = 1; t < TOKEN_COUNT; t++) {
        unsigned i = mix(token_rows[t].name) % SLOTS;
        while (slots[i])
            i = (i + 1) % SLOTS;
        slots[i] = (uint8_t)t;
    }
}

enum token token_find(struct slice name)
{
    if (name.len == 0)
        return TOKEN_NONE;
    for (unsigned i = mix(name) % SLOTS; slots[i]; i = (i + 1) % SLOTS)
        if (slice_eq(token_rows[slots[i]].name, name))
            return (enum token)slots[i];
    return TOKEN_NONE;
}

#ifdef OCTETS_AT_ONCE
/* Which of 16 octets differ in more than the case of a letter; row: in lower case.  Its names have
 * no octet above "`" but letters. */
static unsigned differing(const char *row, const char *text)
{
    __m128i lower = octets_load(row), octets = octets_load(text);
    __m128i is_letter = _mm_cmpgt_epi8(lower, _mm_set1_epi8('`'));
    __m128i other_case = _mm_and_si128(is_letter, _mm_set1_epi8(0x20));
    __m128i difference = _mm_andnot_si128(other_case, _mm_xor_si128(lower, octets));
    return ~(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(difference, _mm_setzero_si128())) & 0xffff;
}

static bool is_name(const struct token_row *row, struct slice name)
{
    if (row->name.len != name.len)
        return false;
    unsigned bad = differing(row->line, name.p) | differing(row->line + 16, name.p + 16) << 16;
    return (bad & ((1u << name.len) - 1)) == 0;
}
#else
static bool is_name(const struct token_row *row, struct slice name)
{
    return slice_ieq(row->name, name);
}
#endif

enum token token_find_any_case(struct slice name)
{
    if (name.len == 0)
        return TOKEN_NONE;
    for (unsigned i = mix(name) % SLOTS; slots[i]; i = (i + 1) % SLOTS)
        if (is_name(&token_rows[slots[i]], name))
            return (enum token)slots[i];
    return TOKEN_NONE;
}
