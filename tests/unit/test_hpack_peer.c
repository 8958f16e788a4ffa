/* SPDX-License-Identifier: Apache-2.0 */
/* HPACK judged by libnghttp2's, in both directions, over long connections whose table sizes change.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <nghttp2/nghttp2.h>

#include "base/err.h"
#include "base/panic.h"
#include "http/hpack.h"

#define FIELDS 24

static struct pool pool;
static struct arena arena;

struct line {
    char name[48], value[300];
    size_t name_len, value_len;
    bool secret;
};

struct section {
    struct line at[FIELDS];
    size_t count;
};

static void text(char *out, size_t len, int kind)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (char)(kind == 0   ? rand() % 256
                        : kind == 1 ? 'a' + rand() % 26
                                    : "0123456789abcdef-/=; "[rand() % 21]);
}

/* Known and unknown names, often with values that come again. */
static void random_section(struct section *s)
{
    s->count = (size_t)rand() % (FIELDS + 1);
    for (size_t i = 0; i < s->count; i++) {
        struct line *l = &s->at[i];
        if (rand() % 4) {
            struct slice name = token_rows[1 + rand() % (TOKEN_COUNT - 1)].name;
            l->name_len = name.len;
            memcpy(l->name, name.p, name.len);
        } else if (rand() % 4) {
            l->name_len = 3;
            memcpy(l->name, "x-a", 3);
            l->name[2] = (char)('a' + rand() % 20);
        } else {
            l->name_len = 1 + (size_t)rand() % (sizeof l->name - 1);
            text(l->name, l->name_len, 1);
        }
        int kind = rand() % 6;
        l->value_len = kind == 0 ? (size_t)rand() % sizeof l->value : (size_t)rand() % 3;
        text(l->value, l->value_len, kind < 2 ? kind : 1);
        if (kind > 3) {
            static const char *const known[] = {"GET", "200", "304", "/", "https", "gzip, deflate"};
            struct slice value = slice_str(known[rand() % 6]);
            l->value_len = value.len;
            memcpy(l->value, value.p, value.len);
        }
        l->secret = rand() % 10 == 0;
    }
}

static void inflate_by_peer(nghttp2_hd_inflater *peer, const uint8_t *in, size_t len,
                            const struct section *want)
{
    size_t n = 0;
    for (;;) {
        nghttp2_nv nv;
        int flags = 0;
        ssize_t used = nghttp2_hd_inflate_hd2(peer, &nv, &flags, in, len, 1);
        assert_true(used >= 0);
        in += used;
        len -= (size_t)used;
        if (flags & NGHTTP2_HD_INFLATE_EMIT) {
            assert_true(n < want->count);
            const struct line *l = &want->at[n++];
            assert_int_equal(nv.namelen, l->name_len);
            assert_memory_equal(nv.name, l->name, l->name_len);
            assert_int_equal(nv.valuelen, l->value_len);
            assert_memory_equal(nv.value, l->value, l->value_len);
            unsigned flag = token_flags(token_find(slice_of(l->name, l->name_len)));
            bool secret = l->secret || flag & TOKEN_SECRET;
            assert_int_equal(!!(nv.flags & NGHTTP2_NV_FLAG_NO_INDEX), secret);
        }
        if (flags & NGHTTP2_HD_INFLATE_FINAL)
            break;
    }
    assert_int_equal(len, 0);
    assert_int_equal(n, want->count);
    nghttp2_hd_inflate_end_headers(peer);
}

static void our_encoder(void **state)
{
    static struct section s;
    srand(1);
    for (int round = 0; round < 20; round++) {
        uint32_t ours = round % 3 == 0 ? 4096 : (uint32_t)rand() % 20000;
        struct hpack_encoder *e = hpack_encoder_new(&pool, ours);
        nghttp2_hd_inflater *peer;
        assert_int_equal(nghttp2_hd_inflate_new(&peer), 0);
        for (int i = 0; i < 400; i++) {
            struct buf out;
            for (int changes = rand() % 8 ? 0 : 1 + rand() % 3; changes; changes--) {
                uint32_t size = rand() % 4 ? (uint32_t)rand() % 10000 : 0;
                assert_int_equal(nghttp2_hd_inflate_change_table_size(peer, size), 0);
                hpack_encoder_set_peer_max(e, size);
            }
            random_section(&s);
            buf_init(&out, &pool);
            assert_int_equal(hpack_encode_begin(e, &out), 0);
            for (size_t k = 0; k < s.count; k++) {
                struct slice name = slice_of(s.at[k].name, s.at[k].name_len);
                assert_int_equal(hpack_encode_field(e, &out, token_find(name), name,
                                                    slice_of(s.at[k].value, s.at[k].value_len),
                                                    s.at[k].secret ? FIELD_NEVER_INDEX : 0),
                                 0);
            }
            inflate_by_peer(peer, (uint8_t *)buf_at(&out), buf_len(&out), &s);
            buf_fini(&out);
        }
        nghttp2_hd_inflate_del(peer);
        hpack_encoder_free(e);
    }
    assert_int_equal(pool.live, 0);
}

struct check {
    const struct section *want;
    size_t at;
};

static int on_field(void *user, enum token token, struct slice name, struct slice value,
                    unsigned flags)
{
    struct check *c = user;
    assert_true(c->at < c->want->count);
    const struct line *l = &c->want->at[c->at++];
    assert_int_equal(token, token_find(name));
    assert_true(slice_eq(name, slice_of(l->name, l->name_len)));
    assert_true(slice_eq(value, slice_of(l->value, l->value_len)));
    if (l->secret)
        assert_int_equal(flags, FIELD_NEVER_INDEX);
    return 0;
}

static void our_decoder(void **state)
{
    static struct section s;
    static uint8_t block[65536];
    srand(2);
    for (int round = 0; round < 20; round++) {
        uint32_t ours = round % 2 ? 4096 : (uint32_t)rand() % 20000;
        struct hpack_decoder *d = hpack_decoder_new(&pool, ours);
        nghttp2_hd_deflater *peer;
        assert_int_equal(nghttp2_hd_deflate_new(&peer, (size_t)rand() % 20000), 0);
        if (rand() % 2) { /* the peer learns of our size, and we of that */
            assert_int_equal(nghttp2_hd_deflate_change_table_size(peer, ours), 0);
            hpack_decoder_set_max(d, ours);
        }
        for (int i = 0; i < 400; i++) {
            nghttp2_nv nvs[FIELDS];
            if (rand() % 10 == 0) {
                size_t size = (size_t)rand() % (ours + 1);
                assert_int_equal(nghttp2_hd_deflate_change_table_size(peer, size), 0);
            }
            random_section(&s);
            for (size_t k = 0; k < s.count; k++)
                nvs[k] = (nghttp2_nv){.name = (uint8_t *)s.at[k].name,
                                      .namelen = s.at[k].name_len,
                                      .value = (uint8_t *)s.at[k].value,
                                      .valuelen = s.at[k].value_len,
                                      .flags = s.at[k].secret ? NGHTTP2_NV_FLAG_NO_INDEX
                                                              : NGHTTP2_NV_FLAG_NONE};
            ssize_t len = nghttp2_hd_deflate_hd(peer, block, sizeof block, nvs, s.count);
            assert_true(len >= 0);
            struct check c = {.want = &s};
            int err = hpack_decode(d, block, (size_t)len, &arena, 1 << 20, on_field, &c);
            assert_int_equal(err, 0);
            assert_int_equal(c.at, s.count);
            arena_fini(&arena);
        }
        nghttp2_hd_deflate_del(peer);
        hpack_decoder_free(d);
    }
    assert_int_equal(pool.live, 0);
}

static int take_any(void *user, enum token token, struct slice name, struct slice value,
                    unsigned flags)
{
    return 0;
}

/* Octets without much sense. */
static void same_verdict(void **state)
{
    static uint8_t in[64];
    int agreed[2] = {0, 0};
    srand(3);
    for (int i = 0; i < 60000; i++) {
        struct hpack_decoder *d = hpack_decoder_new(&pool, 4096);
        nghttp2_hd_inflater *peer;
        assert_int_equal(nghttp2_hd_inflate_new(&peer), 0);
        size_t len = 1 + (size_t)rand() % 24, left = len;
        for (size_t k = 0; k < len; k++)
            in[k] = (uint8_t)(rand() % 3
                                  ? "\x40\x01\x02\x84\x81\x7e\xbe\x3f\xe1\x1f\x88\x07"[rand() % 12]
                                  : rand());
        bool fine = true;
        for (const uint8_t *at = in; fine;) {
            nghttp2_nv nv;
            int flags = 0;
            ssize_t used = nghttp2_hd_inflate_hd2(peer, &nv, &flags, at, left, 1);
            fine = used >= 0;
            if (!fine || flags & NGHTTP2_HD_INFLATE_FINAL)
                break;
            at += used;
            left -= (size_t)used;
        }
        int err = hpack_decode(d, in, len, &arena, 1 << 20, take_any, NULL);
        if ((err == 0) != fine) {
            for (size_t k = 0; k < len; k++)
                print_error("%02x", in[k]);
            print_error(" peer: %s\n", fine ? "fine" : "error");
        }
        assert_int_equal(err, fine ? 0 : ERR_HPACK);
        agreed[fine]++;
        arena_fini(&arena);
        nghttp2_hd_inflate_del(peer);
        hpack_decoder_free(d);
    }
    assert_true(agreed[0] > 1000 && agreed[1] > 1000); /* of each there was enough */
}

static int setup(void **state)
{
    pool_init(&pool);
    arena_init(&arena, &pool);
    return 0;
}

static int teardown(void **state)
{
    arena_fini(&arena);
    pool_fini(&pool);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(our_encoder, setup, teardown),
        cmocka_unit_test_setup_teardown(our_decoder, setup, teardown),
        cmocka_unit_test_setup_teardown(same_verdict, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
