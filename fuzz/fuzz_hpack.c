/* SPDX-License-Identifier: Apache-2.0 */
/* HPACK in both directions, judged by libnghttp2's inflater where it is there.
 *  - Blocks of any octets: the same verdict, and until then the same fields.  Ours may hand out no
 *    more of a block that says the same again; the next one is read by the same table.
 *  - Fields that our encoder writes, while table sizes change: both decoders give them back.
 *
 * Input: an octet (bit 0: encode), then blocks: an octet of table size to change to first (bit 7
 * set) and the block's length, then the block; to encode: fields instead, see take_field. */
#include "base/err.h"
#include "base/panic.h"
#include "http/hpack.h"
#include "input.h"

#ifdef HAVE_NGHTTP2
#include <nghttp2/nghttp2.h>
#else
typedef struct nghttp2_hd_inflater nghttp2_hd_inflater;
#endif

#define SECTION_MAX (1u << 20) /* octets: not what is under test here */
#define BLOCKS_MAX  64

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len);

struct codec {
    struct pool pool, own;
    struct hpack_decoder *decoder;
    struct hpack_encoder *encoder;
    nghttp2_hd_inflater *judge;
    struct arena arena;
    struct buf ours, theirs, want; /* fields as text */
};

static void print_field(struct buf *b, struct slice name, struct slice value, bool is_secret)
{
    uint32_t lengths[2] = {(uint32_t)name.len, (uint32_t)value.len};
    buf_add(b, lengths, sizeof lengths);
    buf_add(b, name.p, name.len);
    buf_add(b, value.p, value.len);
    buf_add(b, is_secret ? "s" : "p", 1);
}

static int on_field(void *user, enum token token, struct slice name, struct slice value,
                    unsigned flags)
{
    struct codec *c = user;
    ASSERT(token == TOKEN_NONE || slice_eq(token_rows[token].name, name));
    ASSERT(token == token_find(name) || token == TOKEN_NONE);
    print_field(&c->ours, name, value, flags & FIELD_NEVER_INDEX);
    return 0;
}

/* ---- the judge ---- */

#ifdef HAVE_NGHTTP2
static void judge_new(struct codec *c)
{
    ASSERT(nghttp2_hd_inflate_new(&c->judge) == 0);
}

static void judge_free(struct codec *c)
{
    nghttp2_hd_inflate_del(c->judge);
}

static void judge_set_max(struct codec *c, uint32_t octets)
{
    nghttp2_hd_inflate_change_table_size(c->judge, octets);
}

/* return  whether the block is in order */
static bool judge_block(struct codec *c, struct slice block)
{
    const uint8_t *p = (const uint8_t *)block.p, *end = p + block.len;
    for (;;) {
        nghttp2_nv nv;
        int flags = 0;
        ssize_t n = nghttp2_hd_inflate_hd2(c->judge, &nv, &flags, p, (size_t)(end - p), 1);
        if (n < 0)
            return false;
        p += n;
        if (flags & NGHTTP2_HD_INFLATE_EMIT)
            print_field(&c->theirs, slice_of(nv.name, nv.namelen), slice_of(nv.value, nv.valuelen),
                        nv.flags & NGHTTP2_NV_FLAG_NO_INDEX);
        if (flags & NGHTTP2_HD_INFLATE_FINAL) {
            nghttp2_hd_inflate_end_headers(c->judge);
            return true;
        }
    }
}
#else
static void judge_new(struct codec *c)
{
}

static void judge_free(struct codec *c)
{
}

static void judge_set_max(struct codec *c, uint32_t octets)
{
}
#endif

/* ---- decoding ---- */

/* Reads back what print_field wrote.  return  octets of the name and the value */
static size_t next_field(struct slice *rest, struct slice *name_out)
{
    uint32_t lengths[2];
    ASSERT(rest->len > sizeof lengths);
    memcpy(lengths, rest->p, sizeof lengths);
    *name_out = slice_of(rest->p + sizeof lengths, lengths[0]);
    size_t octets = (size_t)lengths[0] + lengths[1], printed = sizeof lengths + octets + 1;
    *rest = slice_of(rest->p + printed, rest->len - printed);
    return octets;
}

/* What a block may at most have taken from the table once more: the fields whose names had been
 * there before.  return  octets */
static size_t said_again(struct slice fields)
{
    size_t octets = 0;
    struct slice rest = fields, name, before;
    while (rest.len) {
        struct slice seen = slice_of(fields.p, (size_t)(rest.p - fields.p));
        size_t field = next_field(&rest, &name);
        bool is_new = true;
        while (is_new && seen.len) {
            next_field(&seen, &before);
            is_new = !slice_eq(before, name);
        }
        octets += is_new ? 0 : field;
    }
    return octets;
}

static void clear(struct buf *b)
{
    buf_consume(b, buf_len(b));
}

/* return  whether the connection goes on */
static bool decode(struct codec *c, struct slice block)
{
    clear(&c->ours);
    clear(&c->theirs);
    int err = hpack_decode(c->decoder, block.p, block.len, &c->arena, SECTION_MAX, on_field, c);
    ASSERT(err == 0 || err == ERR_HPACK || err == ERR_FIELDS_TOO_LARGE);
#ifdef HAVE_NGHTTP2
    bool is_good = judge_block(c, block);
    bool too_large = err == ERR_FIELDS_TOO_LARGE;
    if (is_good != (err == 0 || too_large))
        PANIC("ours: %s, judge: %s", err_text(err), is_good ? "good" : "bad");
    if (too_large)
        ASSERT(said_again(buf_slice(&c->theirs)) > HPACK_REPEATED_OCTETS);
    if (err == 0)
        ASSERT(slice_eq(buf_slice(&c->ours), buf_slice(&c->theirs)));
    else /* what was given out before the fault was seen */
        ASSERT(slice_starts(buf_slice(&c->theirs), buf_slice(&c->ours)) ||
               slice_starts(buf_slice(&c->ours), buf_slice(&c->theirs)));
#endif
    return err != ERR_HPACK;
}

static const uint32_t sizes[] = {4096, 0, 1, 31, 33, 64, 100, 1000, 4095, 4097, 8192, 65536};

static void change_max(struct codec *c, uint8_t which)
{
    uint32_t octets = sizes[which % ARRAY_LEN(sizes)];
    hpack_decoder_set_max(c->decoder, octets);
    judge_set_max(c, octets);
    hpack_encoder_set_peer_max(c->encoder, octets);
}

static void decode_all(struct codec *c, struct input *in)
{
    for (unsigned n = 0; in->left && n < BLOCKS_MAX; n++) {
        uint8_t plan = input_u8(in);
        if (plan & 0x80)
            change_max(c, input_u8(in));
        if (!decode(c, input_take(in, (plan & 0x7f) == 0x7f ? 600 : plan & 0x7f)))
            return;
    }
}

/* ---- encoding ---- */

/* An octet: bit 7: a name of the input, else one of the table; bit 6: never index; then the value:
 * bits 0 to 5 are its length (63: long), whose octets follow. */
static struct slice take_field(struct codec *c, struct input *in, enum token *token_out,
                               struct slice *name_out, unsigned *flags_out)
{
    uint8_t plan = input_u8(in);
    struct slice name, value;
    if (plan & 0x80) {
        static const char filler[] = "x-abcdefghijklmnopqrstuvwxyz0123";
        name = slice_of(filler, 1u + (input_u8(in) & 31));
    } else {
        name = token_rows[1 + input_u8(in) % (TOKEN_COUNT - 1)].name;
    }
    *token_out = token_find(name);
    *name_out = name;
    *flags_out = plan & 0x40 ? FIELD_NEVER_INDEX : 0;
    value = input_take(in, (plan & 63) == 63 ? 4200 : plan & 63);
    return value;
}

static void encode_all(struct codec *c, struct input *in)
{
    for (unsigned n = 0; in->left && n < BLOCKS_MAX; n++) {
        struct buf block;
        uint8_t plan = input_u8(in);
        buf_init(&block, &c->own);
        clear(&c->want);
        if (plan & 0x80)
            change_max(c, input_u8(in));
        if (plan & 0x40) /* lowered and raised: two updates */
            change_max(c, input_u8(in));
        ASSERT(hpack_encode_begin(c->encoder, &block) == 0);
        for (unsigned k = plan & 15; k; k--) {
            enum token token;
            struct slice name;
            unsigned flags;
            struct slice value = take_field(c, in, &token, &name, &flags);
            bool is_secret = flags || (token_flags(token) & TOKEN_SECRET);
            ASSERT(hpack_encode_field(c->encoder, &block, token, name, value, flags) == 0);
            print_field(&c->want, name, value, is_secret);
        }
        ASSERT(decode(c, buf_slice(&block)));
        ASSERT(slice_eq(buf_slice(&c->ours), buf_slice(&c->want)));
        ASSERT(hpack_encoder_table_octets(c->encoder) < 200000);
        buf_fini(&block);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
    struct codec c = {0};
    struct input in = {octets, len};
    pool_init(&c.pool);
    pool_init(&c.own);
    arena_init(&c.arena, &c.own);
    buf_init(&c.ours, &c.own);
    buf_init(&c.theirs, &c.own);
    buf_init(&c.want, &c.own);
    uint8_t setup = input_u8(&in);
    c.decoder = hpack_decoder_new(&c.pool, 4096);
    c.encoder = hpack_encoder_new(&c.pool, setup & 2 ? 100 : 65536);
    ASSERT(c.decoder && c.encoder);
    judge_new(&c);
    if (setup & 1)
        encode_all(&c, &in);
    else
        decode_all(&c, &in);
    ASSERT(hpack_decoder_table_octets(c.decoder) < 200000);
    hpack_decoder_free(c.decoder);
    hpack_encoder_free(c.encoder);
    judge_free(&c);
    ASSERT(c.pool.live == 0);
    buf_fini(&c.ours);
    buf_fini(&c.theirs);
    buf_fini(&c.want);
    arena_fini(&c.arena);
    ASSERT(c.own.live == 0);
    pool_fini(&c.own);
    pool_fini(&c.pool);
    return 0;
}
