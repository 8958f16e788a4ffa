/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"
#include "base/panic.h"

#include <sys/random.h>

void hash_key_random(struct hash_key *key)
{
    ASSERT(getrandom(key->k, sizeof key->k, 0) == (ssize_t)sizeof key->k);
}

static inline uint64_t rotl(uint64_t x, int b)
{
    return (x << b) | (x >> (64 - b));
}

struct sip {
    uint64_t a, b, c, d;
};

static inline void sip_round(struct sip *s)
{
    s->a += s->b;
    s->b = rotl(s->b, 13) ^ s->a;
    s->a = rotl(s->a, 32);
    s->c += s->d;
    s->d = rotl(s->d, 16) ^ s->c;
    s->a += s->d;
    s->d = rotl(s->d, 21) ^ s->a;
    s->c += s->b;
    s->b = rotl(s->b, 17) ^ s->c;
    s->c = rotl(s->c, 32);
}

uint64_t hash_octets(const struct hash_key *key, struct slice in)
{
    struct sip s = {
        .a = key->k[0] ^ 0x736f6d6570736575u,
        .b = key->k[1] ^ 0x646f72616e646f6du,
        .c = key->k[0] ^ 0x6c7967656e657261u,
        .d = key->k[1] ^ 0x7465646279746573u,
    };
    const char *p = in.p;
    size_t left = in.len;
    uint64_t m;
    for (; left >= 8; left -= 8, p += 8) {
        memcpy(&m, p, 8);
        s.d ^= m;
        sip_round(&s);
        s.a ^= m;
    }
    m = (uint64_t)in.len << 56;
    for (size_t i = 0; i < left; i++)
        m |= (uint64_t)(unsigned char)p[i] << (8 * i);
    s.d ^= m;
    sip_round(&s);
    s.a ^= m;
    s.c ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(&s);
    return s.a ^ s.b ^ s.c ^ s.d;
}
