/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/panic.h"
#include "http/hpack.h"
#include "http/hpack_table.h"

static struct pool pool;
static struct arena arena;

/* What on_field saw, as lines "name: value\n"; a never-indexed field ends with "!". */
struct seen {
    char text[4096];
    size_t len;
    int calls;
    int fail_at; /* the nth call fails with ERR_LIMIT */
};

static int on_field(void *user, enum token token, struct slice name, struct slice value,
                    unsigned flags)
{
    struct seen *seen = user;
    assert_int_equal(token_find(name), token);
    if (token) /* a constant */
        assert_ptr_equal(name.p, token_rows[token].name.p);
    seen->len +=
        (size_t)snprintf(seen->text + seen->len, sizeof seen->text - seen->len, "%.*s: %.*s%s\n",
                         SLICE_FMT(name), SLICE_FMT(value), flags & FIELD_NEVER_INDEX ? "!" : "");
    assert_true(seen->len < sizeof seen->text);
    return ++seen->calls == seen->fail_at ? ERR_LIMIT : 0;
}

static int setup(void **state)
{
    pool_init(&pool);
    arena_init(&arena, &pool);
    return 0;
}

static int teardown(void **state)
{
    pool.fail_at = 0;
    arena_fini(&arena);
    int left = (int)pool.live;
    pool_fini(&pool);
    return left;
}

/* return  octets behind hex digits; white space is skipped */
static size_t from_hex(const char *hex, uint8_t *out)
{
    size_t n = 0;
    for (; *hex; hex++) {
        unsigned v;
        if (*hex == ' ')
            continue;
        assert_int_equal(sscanf(hex, "%2x", &v), 1);
        out[n++] = (uint8_t)v;
        hex++;
    }
    return n;
}

/* Decodes a copy without an octet to spare, so that the sanitizer sees one read beyond. */
static int decode(struct hpack_decoder *d, const void *in, size_t len, size_t max_octets,
                  struct seen *seen)
{
    uint8_t *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, in, len);
    int err = hpack_decode(d, copy, len, &arena, max_octets, on_field, seen);
    free(copy);
    return err;
}

static int decode_hex(struct hpack_decoder *d, const char *hex, struct seen *seen)
{
    static uint8_t in[65536];
    *seen = (struct seen){.len = 0};
    return decode(d, in, from_hex(hex, in), 1 << 20, seen);
}

static void expect(struct hpack_decoder *d, const char *hex, const char *text)
{
    static struct seen seen;
    assert_int_equal(decode_hex(d, hex, &seen), 0);
    assert_string_equal(seen.text, text);
}

static void expect_error(struct hpack_decoder *d, const char *hex)
{
    static struct seen seen;
    int err = decode_hex(d, hex, &seen);
    if (err != ERR_HPACK)
        print_error("%s\n", hex);
    assert_int_equal(err, ERR_HPACK);
}

/* RFC 7541 C.2 to C.6: blocks of one connection; the table is what its indexes say afterwards. */
struct example {
    const char *hex, *text;
    const char *table; /* its entries, newest first */
};

#define DATE_21 "Mon, 21 Oct 2013 20:13:21 GMT"
#define DATE_22 "Mon, 21 Oct 2013 20:13:22 GMT"
#define COOKIE  "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1\n"

static const char request_1[] =
    ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\n";
static const char request_2[] =
    ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\ncache-control: no-cache\n";
static const char request_3[] =
    ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\n"
    "custom-key: custom-value\n";
static const char after_3[] =
    "custom-key: custom-value\ncache-control: no-cache\n:authority: www.example.com\n";
static const char response_1[] =
    ":status: 302\ncache-control: private\ndate: " DATE_21 "\nlocation: https://www.example.com\n";
static const char after_r1[] =
    "location: https://www.example.com\ndate: " DATE_21 "\ncache-control: private\n:status: 302\n";
static const char response_2[] =
    ":status: 307\ncache-control: private\ndate: " DATE_21 "\nlocation: https://www.example.com\n";
static const char after_r2[] =
    ":status: 307\nlocation: https://www.example.com\ndate: " DATE_21 "\ncache-control: private\n";
static const char response_3[] =
    ":status: 200\ncache-control: private\ndate: " DATE_22
    "\nlocation: https://www.example.com\ncontent-encoding: gzip\n" COOKIE;
static const char after_r3[] = COOKIE "content-encoding: gzip\ndate: " DATE_22 "\n";

static const struct {
    bool small; /* the table has 256 octets, else the default */
    struct example blocks[3];
} connections[] = {
    {false,
     {{"400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
       "custom-key: custom-header\n", "custom-key: custom-header\n"}}},
    {false, {{"040c 2f73 616d 706c 652f 7061 7468", ":path: /sample/path\n", ""}}},
    {false, {{"1008 7061 7373 776f 7264 0673 6563 7265 74", "password: secret!\n", ""}}},
    {false, {{"82", ":method: GET\n", ""}}},
    {false,
     {{"8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", request_1,
       ":authority: www.example.com\n"},
      {"8286 84be 5808 6e6f 2d63 6163 6865", request_2,
       "cache-control: no-cache\n:authority: www.example.com\n"},
      {"8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65", request_3,
       after_3}}},
    {false,
     {{"8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", request_1, ":authority: www.example.com\n"},
      {"8286 84be 5886 a8eb 1064 9cbf", request_2,
       "cache-control: no-cache\n:authority: www.example.com\n"},
      {"8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", request_3, after_3}}},
    {true,
     {{"4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a"
       "3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
       response_1, after_r1},
      {"4803 3330 37c1 c0bf", response_2, after_r2},
      {"88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04"
       "677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49"
       "553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
       response_3, after_r3}}},
    {true,
     {{"4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e"
       "919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
       response_1, after_r1},
      {"4883 640e ffc1 c0bf", response_2, after_r2},
      {"88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7"
       "821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed"
       "4ee5 b106 3d50 07",
       response_3, after_r3}}},
};

static void check_table(struct hpack_decoder *d, const char *table)
{
    uint8_t in[64];
    size_t n = 0;
    struct seen seen = {.len = 0};
    for (const char *c = table; *c; c++)
        if (*c == '\n') {
            in[n] = (uint8_t)(0x80 | (62 + n));
            n++;
        }
    assert_int_equal(decode(d, in, n, 1 << 20, &seen), 0);
    assert_string_equal(seen.text, table);
    in[n] = (uint8_t)(0x80 | (62 + n)); /* and not one more */
    assert_int_equal(decode(d, in, n + 1, 1 << 20, &seen), ERR_HPACK);
}

static void rfc_examples(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(connections); i++) {
        struct hpack_decoder *d = hpack_decoder_new(&pool, 4096);
        if (connections[i].small)
            expect(d, "3fe1 01", "");
        for (int k = 0; k < 3 && connections[i].blocks[k].hex; k++) {
            expect(d, connections[i].blocks[k].hex, connections[i].blocks[k].text);
            check_table(d, connections[i].blocks[k].table);
        }
        hpack_decoder_free(d);
    }
}

/* Every prefix of every example, in the state that it belongs to: an error or fine, never more. */
static void truncated(void **state)
{
    static uint8_t in[512];
    for (size_t i = 0; i < ARRAY_LEN(connections); i++)
        for (int k = 0; k < 3 && connections[i].blocks[k].hex; k++) {
            size_t len = from_hex(connections[i].blocks[k].hex, in);
            for (size_t n = 0; n <= len; n++) {
                struct hpack_decoder *d = hpack_decoder_new(&pool, 4096);
                for (int before = 0; before < k; before++)
                    expect(d, connections[i].blocks[before].hex,
                           connections[i].blocks[before].text);
                struct seen seen = {.len = 0};
                int err = decode(d, in, n, 1 << 20, &seen);
                assert_true(err == 0 || err == ERR_HPACK);
                assert_memory_equal(seen.text, connections[i].blocks[k].text, seen.len);
                if (n == len)
                    assert_int_equal(err, 0);
                hpack_decoder_free(d);
            }
        }
}

static void malformed(void **state)
{
    static const char *const blocks[] = {
        "80",                       /* index 0 */
        "be",                       /* an empty dynamic table */
        "ff00",                     /* 127: far beyond it */
        "ffffffffff0f",             /* an integer of 2^32 */
        "ff8080808080808080808000", /* zeroes without end */
        "ffffffffffffffffffff7f",
        "7f", /* integers that end early */
        "ff80",
        "3f",
        "3fe1ff",
        "0f",
        "40", /* a literal without name, or value */
        "4001",
        "400161",
        "40016101",
        "4001610261",
        "41",
        "4181",
        "0f2f",
        "10",
        "1001610261",
        "7e0161", /* a literal with the name of an entry that is not there */
        "0f2f0161",
        "40ff", /* a string of 127 octets and more */
        "407fffffff7f61",
        "4181ff", /* Huffman: padding of eight ones */
        "418100",
        "4184ffffffff", /* EOS */
        "4181ff820161",
        "8220", /* a size update after a field */
        "823fe11f",
        "3fe21f", /* 4097 */
        "3fffffffff0f",
        "20823fe101",
    };
    for (size_t i = 0; i < ARRAY_LEN(blocks); i++) {
        struct hpack_decoder *d = hpack_decoder_new(&pool, 4096);
        expect_error(d, blocks[i]);
        hpack_decoder_free(d);
    }
    /* the same, once more after fields; no error where a prefix ends between fields */
    struct hpack_decoder *d = hpack_decoder_new(&pool, 4096);
    expect(d, "", "");
    expect(d, "400161 0162", "a: b\n");
    expect(d, "7e00", "a: \n");
    expect(d, "0f2f 0163", "a: c\n"); /* index 62 in a prefix of four bits */
    expect(d, "1f2f 0163", "a: c!\n");
    expect(d, "4000 00", ": \n"); /* an empty name is for the rules to refuse */
    expect(d, "be bf c0", ": \na: \na: b\n");
    expect(d, "8f 90 bd", "accept-charset: \naccept-encoding: gzip, deflate\nwww-authenticate: \n");
    expect_error(d, "c1");
    hpack_decoder_free(d);
    hpack_decoder_free(NULL);
}

/* An integer may be longer than it needs to be, up to a point.  RFC 7541 5.1 */
static void long_integers(void **state)
{
    struct hpack_decoder *d = hpack_decoder_new(&pool, 65536);
    expect(d, "3f9a0a", "");     /* 1337, RFC 7541 C.1.2 */
    expect(d, "3fe1ff03", "");   /* 65536 */
    expect(d, "3f818000", "");   /* 32 */
    expect(d, "3f80808000", ""); /* 31 with three octets of nothing */
    expect_error(d, "3f8080808000");
    expect_error(d, "3fe2ff03");
    hpack_decoder_free(d);
}

static void table_sizes(void **state)
{
    struct hpack_decoder *d = hpack_decoder_new(&pool, 8192);
    expect(d, "400161 0162", "a: b\n");
    expect(d, "3f03 be", "a: b\n"); /* 34: just one entry of two octets */
    expect(d, "400163 0164 be", "c: d\nc: d\n");
    expect_error(d, "bf");
    expect(d, "400163 026465", "c: de\n"); /* 35: too large empties the table, RFC 7541 4.4 */
    expect_error(d, "be");
    expect(d, "20", "");
    expect(d, "400161 0162", "a: b\n");
    expect_error(d, "be");
    expect(d, "20 3fe13f 400161 0162 be", "a: b\na: b\n"); /* two updates: 0, then 8192 */
    expect(d, "3fe13f be", "a: b\n");
    expect_error(d, "3fe23f");
    hpack_decoder_free(d);

    /* below the default: binding once the peer has acknowledged it, RFC 9113 4.3.1 */
    d = hpack_decoder_new(&pool, 100);
    expect(d, "400161 0162", "a: b\n");
    expect(d, "3fe11f be", "a: b\n");
    hpack_decoder_set_max(d, 100);
    expect_error(d, "be");
    expect(d, "3f45 be", "a: b\n");
    expect_error(d, "3f46");
    expect(d, "be", "a: b\n");
    hpack_decoder_set_max(d, 4096);
    expect(d, "be", "a: b\n");
    expect(d, "3fe11f be", "a: b\n");
    hpack_decoder_free(d);
    d = hpack_decoder_new(&pool, UINT32_MAX);
    expect_error(d, "3fe2ff03"); /* 65537 */
    hpack_decoder_free(d);
}

/* RFC 7541 4.4: the name of an entry that goes while its successor comes. */
static void name_of_the_evicted(void **state)
{
    struct hpack_decoder *d = hpack_decoder_new(&pool, 4096);
    expect(d, "3f09 4003616263 0164", "abc: d\n"); /* 40 octets: one entry */
    expect(d, "7e 0165 be", "abc: e\nabc: e\n");
    expect_error(d, "bf");
    /* the field handed out first stays valid, though its entry goes within the same block */
    expect(d, "be 4003787978 0179 be", "abc: e\nxyx: y\nxyx: y\n");
    hpack_decoder_free(d);
}

static void idle_takes_little(void **state)
{
    struct hpack_decoder *d = hpack_decoder_new(&pool, 4096);
    struct hpack_encoder *e = hpack_encoder_new(&pool, 4096);
    assert_int_equal(pool.live, 2); /* the two themselves */
    assert_int_equal(hpack_decoder_table_octets(d), 0);
    assert_int_equal(hpack_encoder_table_octets(e), 0);
    expect(d, "82 84 86", ":method: GET\n:path: /\n:scheme: http\n");
    assert_int_equal(pool.live, 2); /* constants need no arena */
    expect(d, "400161 0162", "a: b\n");
    assert_true(hpack_decoder_table_octets(d) <= 256);
    hpack_decoder_free(d);
    hpack_encoder_free(e);
}

/* Whatever is put in: what the table counts stays below its size, and so does its memory. */
static void eviction(void **state)
{
    struct hpack_decoder *d = hpack_decoder_new(&pool, 4096);
    uint8_t in[64] = {0x40, 8};
    static char before[64][9];
    srand(4);
    for (int i = 0; i < 3000; i++) {
        struct seen seen = {.len = 0};
        char name[16];
        snprintf(name, sizeof name, "n%07d", i);
        memcpy(in + 2, name, 8);
        in[10] = 8;
        memcpy(in + 11, name, 8);
        assert_int_equal(decode(d, in, 19, 1000, &seen), 0);
        memcpy(before[i % 64], name, 9);
        /* 4096 / (8 + 8 + 32) = 85 entries; look 63 back */
        if (i > 63) {
            uint8_t index = 0x80 | (62 + 63);
            seen = (struct seen){.len = 0};
            assert_int_equal(decode(d, &index, 1, 1000, &seen), 0);
            assert_memory_equal(seen.text, before[(i - 63) % 64], 8);
        }
        if (i >= 85) {
            uint8_t last[] = {0xff, 62 + 84 - 127}, beyond[] = {0xff, 62 + 85 - 127};
            assert_int_equal(decode(d, last, 2, 1000, &seen), 0);
            assert_int_equal(decode(d, beyond, 2, 1000, &seen), ERR_HPACK);
        }
        assert_true(hpack_decoder_table_octets(d) <= 85 * 64 + 1024);
        if (i % 100 == 0)
            arena_fini(&arena);
    }
    hpack_decoder_free(d);
}

static void cap_on_octets(void **state)
{
    static const char block[] = "82 400161 0162 be 0f2f 0163 c0";
    uint8_t in[64];
    size_t len = from_hex("82 400161 0162 be 0f2f 0163", in);
    /* 7 + 3 + 32, then three times 1 + 1 + 32 */
    for (size_t max = 36; max <= 42 + 3 * 34 + 1; max++) {
        struct hpack_decoder *d = hpack_decoder_new(&pool, 4096);
        struct seen seen = {.len = 0};
        int err = decode(d, in, len, max, &seen);
        assert_int_equal(err, max < 42 + 3 * 34 ? ERR_FIELDS_TOO_LARGE : 0);
        assert_int_equal(seen.calls, max < 42    ? 0
                                     : max < 76  ? 1
                                     : max < 110 ? 2
                                     : max < 144 ? 3
                                                 : 4);
        expect(d, "be", "a: b\n"); /* the table is right all the same */
        hpack_decoder_free(d);
    }
    /* what is malformed is malformed, even beyond the cap */
    struct hpack_decoder *d = hpack_decoder_new(&pool, 4096);
    struct seen seen = {.len = 0};
    len = from_hex(block, in);
    assert_int_equal(decode(d, in, len, 40, &seen), ERR_HPACK);
    hpack_decoder_free(d);
}

/* Whether each field had FIELD_VETTED, as letters; "bad" is refused as a value. */
static int note_vetted(void *user, enum token token, struct slice name, struct slice value,
                       unsigned flags)
{
    char *at = user;
    at += strlen(at);
    at[0] = flags & FIELD_VETTED ? 'v' : '-';
    at[1] = '\0';
    return slice_eq(value, SLICE("bad")) ? ERR_LIMIT : 0;
}

static void expect_vetted(struct hpack_decoder *d, const char *hex, int err, const char *flags)
{
    uint8_t in[64];
    char seen[16] = "";
    size_t len = from_hex(hex, in);
    assert_int_equal(hpack_decode(d, in, len, &arena, 1 << 20, note_vetted, seen), err);
    assert_string_equal(seen, flags);
}

static void vetted_fields(void **state)
{
    struct hpack_decoder *d = hpack_decoder_new(&pool, 4096);
    expect_vetted(d, "82 81", 0, "v-"); /* ":authority" without a value is but a name */
    expect_vetted(d, "400161 0162 be 000161 0162 be", 0, "-v-v");
    expect_vetted(d, "400163 03626164", ERR_LIMIT, "-");
    expect_vetted(d, "be", ERR_LIMIT, "-"); /* refused each time */
    expect_vetted(d, "bf", 0, "v");
    /* what is decoded behind an error was seen by nobody */
    expect_vetted(d, "be 400165 0166 be", ERR_LIMIT, "-");
    expect_vetted(d, "be be", 0, "-v");
    /* the same name and value in a new entry are looked at again */
    expect_vetted(d, "400165 0166 be", 0, "-v");
    hpack_decoder_free(d);
}

static void failing_callback(void **state)
{
    struct hpack_decoder *d = hpack_decoder_new(&pool, 4096);
    uint8_t in[64];
    size_t len = from_hex("82 400161 0162 400163 0164 84", in);
    struct seen seen = {.fail_at = 2};
    assert_int_equal(decode(d, in, len, 1 << 20, &seen), ERR_LIMIT);
    assert_int_equal(seen.calls, 2); /* called no more */
    expect(d, "be bf", "c: d\na: b\n");
    seen = (struct seen){.fail_at = 1};
    assert_int_equal(decode(d, in, len, 42, &seen), ERR_LIMIT); /* the first error counts */
    hpack_decoder_free(d);
}

/* A block far beyond the cap: Huffman strings that are not handed out do not stay. */
static void cap_bounds_memory(void **state)
{
    struct hpack_decoder *d = hpack_decoder_new(&pool, 4096);
    struct buf b;
    buf_init(&b, &pool);
    for (int i = 0; i < 400; i++) {
        static const uint8_t field[] = {0x00, 0x85, 0, 0, 0, 0, 0, 0x85, 0, 0, 0, 0, 0};
        assert_int_equal(buf_add(&b, field, sizeof field), 0); /* "00000000: 00000000" */
    }
    struct seen seen = {.len = 0};
    assert_int_equal(decode(d, buf_at(&b), buf_len(&b), 4800, &seen), ERR_FIELDS_TOO_LARGE);
    assert_int_equal(seen.calls, 100);
    assert_true(arena.octets < 100 * 32);
    buf_fini(&b);
    hpack_decoder_free(d);
}

/* RFC 7541 7.3: one octet stands for an entry of the table, as often as the peer likes. */
static void a_bomb_is_left_alone(void **state)
{
    uint8_t in[64];
    size_t len = from_hex("400161 0162", in); /* 34, and as much for each "be" */
    for (size_t count = 1; count <= 20; count++) {
        struct hpack_decoder *d = hpack_decoder_new(&pool, 4096);
        struct seen seen = {.len = 0};
        in[len + count - 1] = 0xbe;
        int err = decode(d, in, len + count, 2 * 34, &seen);
        assert_int_equal(err, count < 2                              ? 0
                              : 1 + count <= 2 * HPACK_SECTION_TIMES ? ERR_FIELDS_TOO_LARGE
                                                                     : ERR_LIMIT);
        hpack_decoder_free(d);
    }
}

static int count_large(void *user, enum token token, struct slice name, struct slice value,
                       unsigned flags)
{
    unsigned *count = user;
    (void)token;
    (void)flags;
    assert_int_equal(name.len, 2000);
    assert_int_equal(name.p[1999], 'n');
    assert_int_equal(value.p[value.len - 1], 'v');
    ++*count;
    return 0;
}

/* What is referred to more than once is there once, as long as the block fits its cap. */
static void references_share_a_copy(void **state)
{
    struct hpack_decoder *d = hpack_decoder_new(&pool, 4096);
    struct buf b;
    unsigned count = 0;
    buf_init(&b, &pool);
    assert_int_equal(buf_add(&b, "\x40\x7f\xd1\x0e", 4), 0); /* 2000 */
    memset(buf_reserve(&b, 2000), 'n', 2000);
    buf_added(&b, 2000);
    assert_int_equal(buf_add(&b, "\x7f\xe9\x06", 3), 0); /* 1000 */
    memset(buf_reserve(&b, 1000), 'v', 1000);
    buf_added(&b, 1000);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(buf_add(&b, "\xbe\x0f\x2f\x01v", 5), 0); /* all of it; its name */
    assert_int_equal(hpack_decode(d, buf_at(&b), buf_len(&b), &arena, 65536, count_large, &count),
                     0);
    assert_int_equal(count, 5);
    assert_in_range(arena.octets, 0, 2 * 3000 + 5 * 8);
    /* Another block does not see the copies of this one. */
    arena_fini(&arena);
    assert_int_equal(hpack_decode(d, "\xbe\xbe", 2, &arena, 65536, count_large, &count), 0);
    assert_in_range(arena.octets, 3000, 3008);
    buf_fini(&b);
    hpack_decoder_free(d);
}

static int count_fields(void *user, enum token token, struct slice name, struct slice value,
                        unsigned flags)
{
    unsigned *count = user;
    ++*count;
    return 0;
}

/* An octet for each three thousand is too good a bargain: what it costs us to hand on. */
static void who_repeats_says_too_much(void **state)
{
    struct hpack_decoder *d = hpack_decoder_new(&pool, 4096);
    struct buf b;
    unsigned count = 0;
    buf_init(&b, &pool);
    assert_int_equal(buf_add(&b, "\x40\x01n\x7f\xb9\x16", 6), 0); /* n: 3000 */
    memset(buf_reserve(&b, 3000), 'v', 3000);
    buf_added(&b, 3000);
    assert_int_equal(hpack_decode(d, buf_at(&b), buf_len(&b), &arena, 65536, count_fields, &count),
                     0);
    assert_int_equal(hpack_decode(d, "\xbe\xbe\xbe", 3, &arena, 65536, count_fields, &count), 0);
    count = 0;
    assert_int_equal(
        hpack_decode(d, "\xbe\xbe\xbe\xbe\x84", 5, &arena, 65536, count_fields, &count),
        ERR_FIELDS_TOO_LARGE);
    assert_int_equal(count, 3); /* what comes behind it is not handed out */
    /* So it is with a name. */
    buf_consume(&b, buf_len(&b));
    assert_int_equal(buf_add(&b, "\x40\x7f\xb9\x16", 4), 0); /* 3000: v */
    memset(buf_reserve(&b, 3000), 'n', 3000);
    buf_added(&b, 3000);
    assert_int_equal(buf_add(&b, "\x01v", 2), 0);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(buf_add(&b, "\x0f\x2f\x01v", 4), 0);
    count = 0;
    assert_int_equal(hpack_decode(d, buf_at(&b), buf_len(&b), &arena, 65536, count_fields, &count),
                     ERR_FIELDS_TOO_LARGE);
    assert_int_equal(count, 4);
    /* The table is as it was, and the next block begins anew. */
    assert_int_equal(hpack_decode(d, "\xbe\xbe\x84", 3, &arena, 65536, count_fields, &count), 0);
    buf_fini(&b);
    hpack_decoder_free(d);
}

static void encode(struct hpack_encoder *e, struct buf *out, const char *lines, unsigned flags)
{
    assert_int_equal(hpack_encode_begin(e, out), 0);
    struct slice rest = slice_str(lines);
    while (rest.len) {
        const char *colon = memchr(rest.p + 1, ':', rest.len - 1);
        const char *end = memchr(rest.p, '\n', rest.len);
        struct slice name = slice_of(rest.p, (size_t)(colon - rest.p));
        struct slice value = slice_of(colon + 2, (size_t)(end - colon - 2));
        assert_int_equal(hpack_encode_field(e, out, token_find(name), name, value, flags), 0);
        rest = slice_of(end + 1, rest.len - (size_t)(end + 1 - rest.p));
    }
}

static void expect_code(struct hpack_encoder *e, const char *lines, const char *hex)
{
    uint8_t want[512];
    char got_hex[1024] = "", want_hex[1024] = "";
    size_t len = from_hex(hex, want);
    struct buf out;
    buf_init(&out, &pool);
    encode(e, &out, lines, 0);
    for (size_t i = 0; i < buf_len(&out); i++)
        snprintf(got_hex + 2 * i, 3, "%02x", (unsigned char)buf_at(&out)[i]);
    for (size_t i = 0; i < len; i++)
        snprintf(want_hex + 2 * i, 3, "%02x", want[i]);
    assert_string_equal(got_hex, want_hex);
    buf_fini(&out);
}

/* Every entry of the static table comes out as its one octet. */
static void static_matches(void **state)
{
    struct hpack_encoder *e = hpack_encoder_new(&pool, 4096);
    for (unsigned i = 1; i <= HPACK_STATIC_COUNT; i++) {
        char line[128], hex[3];
        const struct hpack_static_row *row = &hpack_static[i];
        if (token_flags(row->token) & TOKEN_SECRET)
            continue;
        snprintf(line, sizeof line, "%.*s: %.*s\n", SLICE_FMT(token_rows[row->token].name),
                 SLICE_FMT(row->value));
        snprintf(hex, sizeof hex, "%02x", 0x80 | i);
        expect_code(e, line, hex);
    }
    assert_int_equal(hpack_encoder_table_octets(e), 0);
    hpack_encoder_free(e);
}

/* RFC 7541 C.4 and C.6 as far as the policy is that of the examples. */
static void encoded_as_in_the_rfc(void **state)
{
    struct hpack_encoder *e = hpack_encoder_new(&pool, 4096);
    expect_code(e, request_1, "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff");
    expect_code(e, request_2, "8286 84be 5886 a8eb 1064 9cbf");
    expect_code(e, request_3, "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf");
    expect_code(e, request_3, "8287 85c0 be");
    expect_code(e, ":status: 302\n", "4882 6402");
    expect_code(e, ":status: 302\n", "be");
    hpack_encoder_free(e);
}

static void policy(void **state)
{
    struct hpack_encoder *e = hpack_encoder_new(&pool, 4096);
    /* made for one message: no entry, the second time neither */
    for (int i = 0; i < 2; i++) {
        expect_code(e, ":path: /a\n", "04 022f61");
        expect_code(e, "content-length: 12\n", "0f0d 023132");
        expect_code(e, "etag: \"~\"\n", "0f13 03227e22");
    }
    /* secrets: never indexed, not even by the next hop */
    for (int i = 0; i < 2; i++) {
        expect_code(e, "cookie: ~\n", "1f11 017e");
        expect_code(e, "authorization: \n", "1f08 00");
        expect_code(e, "set-cookie: ~\n", "1f28 017e");
    }
    assert_int_equal(hpack_encoder_table_octets(e), 0);
    struct buf out;
    buf_init(&out, &pool);
    encode(e, &out, "x: ~\n:method: GET\n", FIELD_NEVER_INDEX);
    assert_true(slice_eq(buf_slice(&out), slice_of("\x10\x01x\x01~\x12\x82\xc5\x83\x7f", 10)) ||
                slice_eq(buf_slice(&out), slice_of("\x10\x01x\x01~\x12\x03GET", 10)));
    buf_fini(&out);
    /* date is the same for all messages of a second */
    expect_code(e, "date: ~\n", "61 017e");
    expect_code(e, "date: ~\n", "be");
    hpack_encoder_free(e);
}

/* A name whose values never come again gets four entries, not the whole table. */
static void churn(void **state)
{
    struct hpack_encoder *e = hpack_encoder_new(&pool, 4096);
    struct buf out;
    buf_init(&out, &pool);
    encode(e, &out, "x-stays: yes\n", 0);
    for (int i = 0; i < 1000; i++) {
        char line[64];
        snprintf(line, sizeof line, "x-trace: %08d\n", i * 7919);
        buf_fini(&out);
        encode(e, &out, line, 0);
        assert_int_equal(buf_at(&out)[0] & 0x40, i < 4 ? 0x40 : 0);
        if (i >= 4) /* its name still comes out of the table */
            assert_int_equal(buf_at(&out)[0], 0x0f);
    }
    expect_code(e, "x-stays: yes\n", "c2");
    /* a value that comes twice in a row gets in after all, and is then a hit */
    expect_code(e, "x-trace: ~\n", "0f2f 017e");
    expect_code(e, "x-trace: ~\n", "7e 017e");
    expect_code(e, "x-trace: ~\n", "be");
    expect_code(e, "x-trace: ^\n", "7e 015e");
    buf_fini(&out);
    hpack_encoder_free(e);
}

/* RFC 7541 4.2 */
static void encoder_sizes(void **state)
{
    struct hpack_encoder *e = hpack_encoder_new(&pool, 4096);
    expect_code(e, "x: ~\n", "40 0178 017e");
    hpack_encoder_set_peer_max(e, 4096); /* no change, no update */
    expect_code(e, "x: ~\n", "be");
    hpack_encoder_set_peer_max(e, 65536); /* above ours */
    expect_code(e, "x: ~\n", "be");
    hpack_encoder_set_peer_max(e, 0);
    hpack_encoder_set_peer_max(e, 100);
    hpack_encoder_set_peer_max(e, 4096);
    expect_code(e, "x: ~\n", "20 3fe11f 40 0178 017e");
    expect_code(e, "x: ~\n", "be");
    hpack_encoder_set_peer_max(e, 100);
    expect_code(e, "x: ~\n", "3f45 be");
    hpack_encoder_set_peer_max(e, 0);
    expect_code(e, "x: ~\n", "20 00 0178 017e");
    expect_code(e, "x: ~\n", "00 0178 017e");
    hpack_encoder_free(e);
    e = hpack_encoder_new(&pool, 1024); /* ours is below the default: said at once */
    expect_code(e, ":status: 200\n", "3fe107 88");
    expect_code(e, ":status: 200\n", "88");
    hpack_encoder_set_peer_max(e, 8192);
    expect_code(e, ":status: 200\n", "88");
    hpack_encoder_free(e);
    e = hpack_encoder_new(&pool, UINT32_MAX);
    expect_code(e, ":status: 200\n", "88");
    hpack_encoder_set_peer_max(e, UINT32_MAX);
    expect_code(e, ":status: 200\n", "3fe1ff03 88"); /* 65536 */
    hpack_encoder_free(e);
    hpack_encoder_free(NULL);
}

static void random_lines(char *out, size_t room)
{
    static const char *const names[] = {":status",      "server",
                                        "date",         "cookie",
                                        "x-a",          "x-b",
                                        "content-type", "content-length",
                                        "vary",         "x-trace",
                                        "set-cookie",   "accept-encoding",
                                        ":path",        "a-rather-long-name-that-nobody-knows",
                                        "cache-control"};
    size_t n = 0;
    int fields = 1 + rand() % 12;
    for (int i = 0; i < fields && n + 600 < room; i++) {
        n += (size_t)snprintf(out + n, room - n, "%s: ", names[(size_t)rand() % ARRAY_LEN(names)]);
        int kind = rand() % 8;
        size_t len = kind == 0 ? (size_t)rand() % 500 : (size_t)rand() % 4;
        for (size_t k = 0; k < len; k++)
            out[n++] = (char)(kind == 1 ? 0x80 + rand() % 128 : "ab01"[rand() % 4]);
        out[n++] = '\n';
        out[n] = '\0';
    }
}

static void there_and_back(void **state)
{
    static char lines[8192];
    static struct seen seen;
    srand(5);
    for (int round = 0; round < 30; round++) {
        struct hpack_encoder *e = hpack_encoder_new(&pool, round % 2 ? 65536 : 512);
        struct hpack_decoder *d = hpack_decoder_new(&pool, 65536);
        for (int i = 0; i < 300; i++) {
            struct buf out;
            buf_init(&out, &pool);
            random_lines(lines, 3800);
            if (rand() % 10 == 0)
                hpack_encoder_set_peer_max(e, (uint32_t)rand() % 3000);
            if (rand() % 10 == 0)
                hpack_encoder_set_peer_max(e, (uint32_t)rand() % 65536);
            encode(e, &out, lines, 0);
            seen = (struct seen){.len = 0};
            assert_int_equal(decode(d, buf_at(&out), buf_len(&out), 1 << 20, &seen), 0);
            /* secrets come back with their mark */
            const char *want = lines, *got = seen.text;
            while (*want) {
                size_t len = strcspn(want, "\n");
                assert_memory_equal(got, want, len);
                bool secret = strncmp(want, "cookie", 6) == 0 || strncmp(want, "set-c", 5) == 0;
                assert_memory_equal(got + len, secret ? "!\n" : "\n", secret ? 2 : 1);
                got += len + 1 + secret;
                want += len + 1;
            }
            assert_int_equal(*got, '\0');
            buf_fini(&out);
            arena_fini(&arena);
        }
        hpack_encoder_free(e);
        hpack_decoder_free(d);
    }
}

/* Each allocation fails in turn: the decoder says so; the encoder does without its table. */
static void without_memory(void **state)
{
    static const char lines[] =
        "x-a: b\nserver: x\nlong: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n";
    static struct seen seen;
    struct buf out;
    for (uint64_t nth = 1;; nth++) {
        static const char *const blocks[] = {
            "82 4001610162",                                    /* plain strings */
            "be",                                               /* an entry */
            "4088 25a849e95ba97d7f 8625a849e95baf 82",          /* Huffman */
            "4188 25a849e95ba97d7f 0f2f 8825a849e95ba97d7f be", /* names by index */
        };
        pool.gets = 0;
        pool.fail_at = nth;
        struct hpack_decoder *d = hpack_decoder_new(&pool, 4096);
        int err = d ? 0 : ERR_NOMEM;
        for (size_t i = 0; i < 40 && err == 0; i++) {
            err = decode_hex(d, blocks[i % ARRAY_LEN(blocks)], &seen);
            arena_fini(&arena);
        }
        assert_int_equal(err, pool.gets < nth ? 0 : ERR_NOMEM);
        hpack_decoder_free(d);
        assert_int_equal(pool.live, 0);
        if (err == 0)
            break;
    }
    for (uint64_t nth = 1;; nth++) {
        pool.gets = 0;
        pool.fail_at = 0;
        struct hpack_decoder *d = hpack_decoder_new(&pool, 4096);
        pool.fail_at = nth;
        struct hpack_encoder *e = hpack_encoder_new(&pool, 4096);
        uint64_t gets = pool.gets;
        for (int i = 0; i < 3 && e; i++) {
            buf_init(&out, &pool);
            if (buf_reserve(&out, 1000)) {
                encode(e, &out, lines, 0);
                gets = pool.gets;
                pool.fail_at = 0;
                seen = (struct seen){.len = 0};
                assert_int_equal(decode(d, buf_at(&out), buf_len(&out), 4096, &seen), 0);
                assert_string_equal(seen.text, lines);
                pool.fail_at = nth;
                pool.gets = gets;
            }
            buf_fini(&out);
        }
        bool done = pool.gets < nth;
        hpack_encoder_free(e);
        hpack_decoder_free(d);
        arena_fini(&arena);
        assert_int_equal(pool.live, 0);
        if (done)
            break;
    }
    pool.fail_at = 0;
    struct hpack_encoder *e = hpack_encoder_new(&pool, 1024);
    buf_init(&out, &pool);
    pool.gets = 0;
    pool.fail_at = 1;
    assert_int_equal(hpack_encode_begin(e, &out), ERR_NOMEM);
    pool.gets = 0;
    assert_int_equal(hpack_encode_field(e, &out, TOKEN_VARY, SLICE("vary"), SLICE("x"), 0),
                     ERR_NOMEM);
    hpack_encoder_free(e);
}

/* Octets without sense, with and without a filled table. */
static void noise(void **state)
{
    static uint8_t in[300];
    static struct seen seen;
    srand(6);
    for (int i = 0; i < 20000; i++) {
        struct hpack_decoder *d = hpack_decoder_new(&pool, 4096);
        for (int k = 0; k < 4; k++) {
            size_t len = (size_t)rand() % (k ? 300 : 30);
            for (size_t n = 0; n < len; n++)
                in[n] = (uint8_t)(rand() % 2 ? rand() % 256
                                             : "\x82\x40\x01\x7e\xbe\xff\x20"[rand() % 7]);
            seen = (struct seen){.len = 0};
            int err = decode(d, in, len, 2000, &seen);
            assert_true(err == 0 || err == ERR_HPACK || err == ERR_LIMIT ||
                        err == ERR_FIELDS_TOO_LARGE);
            if (err == ERR_HPACK || err == ERR_LIMIT)
                break;
        }
        hpack_decoder_free(d);
        arena_fini(&arena);
    }
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(rfc_examples),
        TEST(truncated),
        TEST(malformed),
        TEST(long_integers),
        TEST(table_sizes),
        TEST(name_of_the_evicted),
        TEST(idle_takes_little),
        TEST(eviction),
        TEST(cap_on_octets),
        TEST(cap_bounds_memory),
        TEST(references_share_a_copy),
        TEST(who_repeats_says_too_much),
        TEST(a_bomb_is_left_alone),
        TEST(vetted_fields),
        TEST(failing_callback),
        TEST(static_matches),
        TEST(encoded_as_in_the_rfc),
        TEST(policy),
        TEST(churn),
        TEST(encoder_sizes),
        TEST(there_and_back),
        TEST(without_memory),
        TEST(noise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
