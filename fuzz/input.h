/* SPDX-License-Identifier: Apache-2.0 */
/* A fuzzer's octets read as a program: each taker gives 0 or nothing at the end, so that every
 * input means something. */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include "base/slice.h"

struct input {
    const uint8_t *at;
    size_t left;
};

static inline uint8_t input_u8(struct input *in)
{
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->at++;
}

static inline uint16_t input_u16(struct input *in)
{
    uint8_t high = input_u8(in);
    return (uint16_t)(high << 8 | input_u8(in));
}

/* At most n octets, borrowed. */
static inline struct slice input_take(struct input *in, size_t n)
{
    struct slice s = slice_of(in->at, n < in->left ? n : in->left);
    in->at += s.len;
    in->left -= s.len;
    return s;
}

#endif
