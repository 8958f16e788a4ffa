/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/panic.h"
#include "http/hpack.h"

#define ROW(literal)                    \
    {                                   \
        "" literal, sizeof(literal) - 1 \
    }

/* Decode from and to memory that has not an octet more than is promised. */
static ssize_t decode(const void *in, size_t len, char *out)
{
    size_t room = len * 8 / 5 + 1;
    uint8_t *from = malloc(len ? len : 1);
    char *to = malloc(room);
    assert_non_null(from);
    assert_non_null(to);
    memcpy(from, in, len);
    ssize_t n = huffman_decode(from, len, to);
    if (n > 0) {
        assert_true((size_t)n <= room);
        memcpy(out, to, (size_t)n);
    }
    free(from);
    free(to);
    return n;
}

/* RFC 7541 C.4 and C.6 */
static void known_strings(void **state)
{
    static const struct {
        struct slice text, code;
    } rows[] = {
        {ROW(""), ROW("")},
        {ROW("www.example.com"), ROW("\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff")},
        {ROW("no-cache"), ROW("\xa8\xeb\x10\x64\x9c\xbf")},
        {ROW("custom-key"), ROW("\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f")},
        {ROW("custom-value"), ROW("\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf")},
        {ROW("302"), ROW("\x64\x02")},
        {ROW("private"), ROW("\xae\xc3\x77\x1a\x4b")},
        {ROW("Mon, 21 Oct 2013 20:13:21 GMT"),
         ROW("\xd0\x7a\xbe\x94\x10\x54\xd4\x44\xa8\x20\x05\x95\x04\x0b\x81\x66\xe0\x82\xa6\x2d"
             "\x1b\xff")},
        {ROW("https://www.example.com"),
         ROW("\x9d\x29\xad\x17\x18\x63\xc7\x8f\x0b\x97\xc8\xe9\xae\x82\xae\x43\xd3")},
        {ROW("gzip"), ROW("\x9b\xd9\xab")},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint8_t code[64];
        char text[128];
        assert_int_equal(huffman_encoded_len(rows[i].text), rows[i].code.len);
        huffman_encode(rows[i].text, code);
        assert_memory_equal(code, rows[i].code.p, rows[i].code.len);
        ssize_t n = decode(rows[i].code.p, rows[i].code.len, text);
        assert_int_equal(n, rows[i].text.len);
        assert_memory_equal(text, rows[i].text.p, rows[i].text.len);
    }
}

static void there_and_back(void **state)
{
    static char text[600], back[2000];
    static uint8_t code[2400];
    srand(1);
    for (int i = 0; i < 40000; i++) {
        size_t n = (size_t)rand() % (i % 50 ? 40 : sizeof text);
        int kind = rand() % 3;
        for (size_t k = 0; k < n; k++)
            text[k] = (char)(kind == 0   ? rand()
                             : kind == 1 ? 0x20 + rand() % 95
                                         : "ace01"[rand() % 5]);
        struct slice s = slice_of(text, n);
        size_t len = huffman_encoded_len(s);
        assert_true(len <= sizeof code - 1);
        code[len] = 0x5a;
        huffman_encode(s, code);
        assert_int_equal(code[len], 0x5a); /* not an octet more */
        assert_int_equal(decode(code, len, back), n);
        assert_memory_equal(back, text, n);
        uint8_t *tight = malloc(n + HUFFMAN_SLACK);
        assert_non_null(tight);
        size_t shorter = huffman_encode_shorter(s, tight);
        assert_int_equal(shorter, len < n ? len : 0);
        assert_memory_equal(tight, code, shorter);
        free(tight);
    }
    for (unsigned c = 0; c < 65536; c++) { /* all pairs */
        text[0] = (char)(c >> 8);
        text[1] = (char)c;
        struct slice s = slice_of(text, 2);
        huffman_encode(s, code);
        assert_int_equal(decode(code, huffman_encoded_len(s), back), 2);
        assert_memory_equal(back, text, 2);
    }
}

/* RFC 7541 5.2: padding is shorter than an octet, all ones; EOS is an error. */
static void padding_and_eos(void **state)
{
    static const struct {
        struct slice code;
        ssize_t result;
    } rows[] = {
        {ROW("\x07"), 1},             /* "0" and three ones */
        {ROW("\x00"), ERR_HPACK},     /* three zeroes */
        {ROW("\x06"), ERR_HPACK},     /* 110 */
        {ROW("\x07\xff"), ERR_HPACK}, /* eleven ones */
        {ROW("\xff"), ERR_HPACK},     /* eight ones and nothing else */
        {ROW("\xff\xff"), ERR_HPACK},
        {ROW("\xff\xff\xff\xfc"), ERR_HPACK},         /* EOS cut off */
        {ROW("\xff\xff\xff\xff"), ERR_HPACK},         /* EOS, padded */
        {ROW("\x07\xff\xff\xff\xff\x00"), ERR_HPACK}, /* EOS in the midst */
        {ROW("\x00\x00\x00\x00\x00\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
         ERR_HPACK},
        {ROW("\x00\x00\x00\x00\x00"), 8}, /* no padding needed */
        {ROW("\xff\xff\xff\xf3"), 1},     /* LF is 30 ones but for the last two, then 11 */
        {ROW("\xff\xff\xff\xf0"), ERR_HPACK},
        {ROW("\xff\xff\xff\xf2"), ERR_HPACK},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char out[64];
        assert_int_equal(decode(rows[i].code.p, rows[i].code.len, out), rows[i].result);
    }
}

/* A decoder of one bit at a time, with the encoder as its table: the same verdict on any octets. */
static ssize_t slow_decode(const uint8_t *in, size_t len, char *out)
{
    static uint8_t code[256][4];
    static size_t bits[256];
    if (!bits[0])
        for (int c = 0; c < 256; c++) {
            char eight[8];
            uint8_t coded[32];
            memset(eight, c, sizeof eight);
            bits[c] = huffman_encoded_len(slice_of(eight, 8)); /* of 8: the bits of one */
            huffman_encode(slice_of(eight, 8), coded);
            memcpy(code[c], coded, 4);
        }
    size_t at = 0, n = 0;
    while (at < 8 * len) {
        int found = -1;
        for (int c = 0; c < 256 && found < 0; c++) {
            bool same = at + bits[c] <= 8 * len;
            for (size_t k = 0; k < bits[c] && same; k++)
                same = (code[c][k / 8] >> (7 - k % 8) & 1) ==
                       (in[(at + k) / 8] >> (7 - (at + k) % 8) & 1);
            if (same)
                found = c;
        }
        if (found < 0)
            break;
        out[n++] = (char)found;
        at += bits[found];
    }
    if (8 * len - at > 7)
        return ERR_HPACK;
    for (; at < 8 * len; at++)
        if (!(in[at / 8] >> (7 - at % 8) & 1))
            return ERR_HPACK;
    return (ssize_t)n;
}

static void any_octets(void **state)
{
    char fast[64], slow[64];
    for (unsigned v = 0; v < 65536; v++) {
        uint8_t in[2] = {(uint8_t)(v >> 8), (uint8_t)v};
        ssize_t n = decode(in, 2, fast);
        assert_int_equal(n, slow_decode(in, 2, slow));
        if (n > 0)
            assert_memory_equal(fast, slow, (size_t)n);
    }
    srand(2);
    for (int i = 0; i < 30000; i++) {
        uint8_t in[24];
        size_t len = (size_t)rand() % sizeof in;
        for (size_t k = 0; k < len; k++)
            in[k] = (uint8_t)(rand() % 4 ? rand() : 0xff);
        ssize_t n = decode(in, len, fast);
        assert_int_equal(n, slow_decode(in, len, slow));
        if (n > 0)
            assert_memory_equal(fast, slow, (size_t)n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_strings),
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(padding_and_eos),
        cmocka_unit_test(any_octets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
