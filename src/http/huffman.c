/* SPDX-License-Identifier: Apache-2.0 */
/* HPACK's Huffman code.  RFC 7541 5.2, Appendix B.
 *
 * The code is canonical: within a length, codes follow the order of the symbols, and each length
 * goes on where the one before stopped.  So the lengths are all that has to be written down; codes
 * and the decoder's tables follow from them at start. */
#include "base/err.h"
#include "base/panic.h"
#include "http/hpack.h"

#include <endian.h>

#define SYMBOLS   257 /* octets and EOS */
#define EOS       256
#define BITS_MIN  5
#define BITS_MAX  30
#define STEP_BITS 12 /* one look at the decoder's table takes up to two symbols in so many bits */

static const uint8_t lengths[SYMBOLS] = {
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, /* 0x00 */
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, /* 0x10 */
    6,  10, 10, 12, 13, 6,  8,  11, 10, 10, 8,  11, 8,  6,  6,  6,  /* 0x20 */
    5,  5,  5,  6,  6,  6,  6,  6,  6,  6,  7,  8,  15, 6,  12, 10, /* 0x30 */
    13, 6,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  /* 0x40 */
    7,  7,  7,  7,  7,  7,  7,  7,  8,  7,  8,  13, 19, 13, 14, 6,  /* 0x50 */
    15, 5,  6,  5,  6,  5,  6,  6,  6,  5,  7,  7,  6,  6,  6,  5,  /* 0x60 */
    6,  7,  6,  5,  5,  6,  7,  7,  7,  7,  7,  15, 11, 14, 13, 28, /* 0x70 */
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, /* 0x80 */
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, /* 0x90 */
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, /* 0xa0 */
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, /* 0xb0 */
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, /* 0xc0 */
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, /* 0xd0 */
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, /* 0xe0 */
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, /* 0xf0 */
    30,                                                             /* EOS */
};

/* What the next STEP_BITS bits begin with. */
struct step {
    uint8_t symbol[2];
    uint8_t symbols; /* whole ones: 0 when the code is longer than STEP_BITS */
    uint8_t bits;    /* of those symbols together */
};

static struct code {
    uint32_t bits;
    uint32_t len;
} codes[SYMBOLS];
static struct step steps[1u << STEP_BITS];
static uint16_t by_code[SYMBOLS];         /* symbols, ordered by code */
static uint16_t first_rank[BITS_MAX + 1]; /* in by_code, of the first code of a length */
static uint32_t first_code[BITS_MAX + 1];
static uint64_t limit[BITS_MAX + 1]; /* the first 32 bits after all codes up to this length */

/* The symbol that the 32 bits of window begin with; EOS's code is all ones, so each window has one.
 */
static unsigned symbol_at(uint32_t window)
{
    unsigned n = BITS_MIN;
    while (window >= limit[n])
        n++;
    return by_code[first_rank[n] + (window >> (32 - n)) - first_code[n]];
}

__attribute__((constructor)) static void fill(void)
{
    uint32_t code = 0;
    uint16_t rank = 0;
    for (unsigned n = BITS_MIN; n <= BITS_MAX; n++) {
        first_code[n] = code;
        first_rank[n] = rank;
        for (unsigned s = 0; s < SYMBOLS; s++)
            if (lengths[s] == n) {
                codes[s] = (struct code){.bits = code++, .len = n};
                by_code[rank++] = (uint16_t)s;
            }
        limit[n] = (uint64_t)code << (32 - n);
        code <<= 1;
    }
    ASSERT(rank == SYMBOLS && limit[BITS_MAX] == (uint64_t)1 << 32);
    for (uint32_t i = 0; i < 1u << STEP_BITS; i++) {
        struct step *step = &steps[i];
        for (unsigned used = 0; step->symbols < 2;) {
            unsigned s = symbol_at((i << used) << (32 - STEP_BITS));
            used += lengths[s];
            if (used > STEP_BITS)
                break;
            step->symbol[step->symbols++] = (uint8_t)s;
            step->bits = (uint8_t)used;
        }
    }
}

size_t huffman_encoded_len(struct slice s)
{
    size_t bits = 0;
    for (size_t i = 0; i < s.len; i++)
        bits += lengths[(unsigned char)s.p[i]];
    return (bits + 7) / 8;
}

/* Bits on their way out: the low `bits` of acc, fewer than 32 between two steps. */
struct writer {
    uint64_t acc;
    unsigned bits;
    uint8_t *to;
};

static inline void put_symbol(struct writer *w, char c)
{
    const struct code *code = &codes[(unsigned char)c];
    w->acc = w->acc << code->len | code->bits;
    w->bits += code->len;
    if (w->bits >= 32) {
        w->bits -= 32;
        uint32_t word = __builtin_bswap32((uint32_t)(w->acc >> w->bits));
        memcpy(w->to, &word, 4);
        w->to += 4;
    }
}

/* The last octets, padded with the first bits of EOS. */
static inline uint8_t *finish(struct writer *w)
{
    while (w->bits >= 8) {
        w->bits -= 8;
        *w->to++ = (uint8_t)(w->acc >> w->bits);
    }
    if (w->bits)
        *w->to++ = (uint8_t)(w->acc << (8 - w->bits) | 0xffu >> w->bits);
    return w->to;
}

void huffman_encode(struct slice s, uint8_t *out)
{
    struct writer w = {.to = out};
    for (size_t i = 0; i < s.len; i++)
        put_symbol(&w, s.p[i]);
    finish(&w);
}

size_t huffman_encode_shorter(struct slice s, uint8_t *out)
{
    struct writer w = {.to = out};
    for (size_t i = 0; i < s.len; i++) {
        put_symbol(&w, s.p[i]);
        if (w.to > out + s.len)
            return 0;
    }
    size_t n = (size_t)(finish(&w) - out);
    return n < s.len ? n : 0;
}

ssize_t huffman_decode(const uint8_t *in, size_t len, char *out)
{
    const uint8_t *end = in + len;
    char *to = out;
    uint64_t acc = 0; /* left-aligned: the top `bits` bits are still to be read, zeroes follow */
    unsigned bits = 0;
    for (;;) {
        if (end - in >= 8) { /* the octets that do not fit whole are taken again */
            uint64_t word;
            memcpy(&word, in, 8);
            acc |= be64toh(word) >> bits;
            in += (63 - bits) / 8;
            bits |= 56;
        }
        while (bits <= 56 && in < end) {
            acc |= (uint64_t)*in++ << (56 - bits);
            bits += 8;
        }
        if (bits < BITS_MAX + 2)
            break;
        const struct step *step = &steps[acc >> (64 - STEP_BITS)];
        unsigned n = step->bits;
        if (step->symbols) {
            to[0] = (char)step->symbol[0];
            if (step->symbols == 2)
                to[1] = (char)step->symbol[1];
            to += step->symbols;
        } else {
            unsigned s = symbol_at((uint32_t)(acc >> 32));
            if (s == EOS)
                return ERR_HPACK;
            *to++ = (char)s;
            n = lengths[s];
        }
        acc <<= n;
        bits -= n;
    }
    while (bits) { /* what is left, with ones after it: the padding then reads as a part of EOS */
        uint32_t window = (uint32_t)(acc >> 32) | (uint32_t)(0xffffffffu >> bits);
        unsigned s = symbol_at(window);
        if (lengths[s] > bits)
            return bits < 8 && s == EOS ? to - out : ERR_HPACK;
        if (s == EOS)
            return ERR_HPACK;
        *to++ = (char)s;
        acc <<= lengths[s];
        bits -= lengths[s];
    }
    return to - out;
}
