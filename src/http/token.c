/* SPDX-License-Identifier: Apache-2.0 */
#include "http/token.h"
#include "base/panic.h"


const struct token_row token_rows[TOKEN_COUNT] = {
#define X(symbol, name_, hpack_, flags_)                                                           \
    [TOKEN_##symbol] = {                                                                           \
        .name = {name_, sizeof(name_) - 1}, .hpack = hpack_, .flags = flags_},
    TOKEN_TABLE(X)
#undef X
};

/* Open addressing on a cheap mix of length, first, middle and last octet.  The keys are ours, so no
 * seed is needed; a peer's name that collides costs one comparison a probe, and runs are short. */
#define SLOTS 256
static uint8_t slots[SLOTS];

static unsigned mix(struct slice n)
{
    unsigned h = (unsigned)n.len * 0x9e3779b1u;
    h ^= (unsigned char)n.p[0] * 0x85ebca6bu;
    h ^= (unsigned char)n.p[n.len / 2] * 0xc2b2ae35u;
    h ^= (unsigned char)n.p[n.len - 1] * 0x27d4eb2fu;
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
