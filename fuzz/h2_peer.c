/* SPDX-License-Identifier: Apache-2.0 */
#include "h2_peer.h"
#include "base/panic.h"
#include "http/h2_frame.h"

/* Fields by the octet that stands for them.  The first are what each request or response needs. */
static const struct {
    const char *name, *value;
} dictionary[] = {
    {":method", "GET"},
    {":scheme", "https"},
    {":path", "/"},
    {":authority", "a.test"},
    {":status", "200"},
    {":method", "POST"},
    {":method", "HEAD"},
    {":method", "CONNECT"},
    {":protocol", "websocket"},
    {":path", "/a?b"},
    {":path", "*"},
    {":path", ""},
    {":path", "a"},
    {":path", "/#"},
    {":scheme", "http"},
    {":scheme", ""},
    {":authority", "u@a.test"},
    {":authority", "b.test:8443"},
    {":status", "103"},
    {":status", "101"},
    {":status", "204"},
    {":status", "304"},
    {":status", "20"},
    {":status", "1000"},
    {":odd", "1"},
    {"host", "a.test"},
    {"host", "c.test"},
    {"content-length", "0"},
    {"content-length", "5"},
    {"content-length", "10"},
    {"content-length", "10"},
    {"content-length", "+5"},
    {"content-length", "5, 5"},
    {"content-length", "18446744073709551616"},
    {"cookie", "a=b"},
    {"cookie", "c=d"},
    {"te", "trailers"},
    {"te", "gzip"},
    {"connection", "close"},
    {"transfer-encoding", "chunked"},
    {"upgrade", "x"},
    {"keep-alive", "1"},
    {"priority", "u=0, i"},
    {"priority", "u=9"},
    {"expect", "100-continue"},
    {"trailer", "x"},
    {"link", "</s.css>; rel=preload; as=style"},
    {"x", "y"},
    {"x", ""},
    {"x", " y"},
    {"x", "y\t"},
    {"x", "a\rb"},
    {"x", "a\nb"},
    {"x", "\x80\xff"},
    {"X", "y"},
    {"", "y"},
    {"x y", "z"},
    {"x:", "z"},
    {"accept-encoding", "gzip, deflate"},
    {"content-type", "text/plain"},
    {":status", "600"},
    {"authorization", "secret"},
    {"set-cookie", "a=b"},
    {"x-long", "0123456789012345678901234567890123456789012345678901234567890123456789"
               "0123456789012345678901234567890123456789012345678901234567890123456789"},
};
_Static_assert(ARRAY_LEN(dictionary) == 64, "six bits of an item choose the field");

void h2_peer_init(struct h2_peer *p, enum h2_role role)
{
    *p = (struct h2_peer){.role = role, .next_id = role == H2_CLIENT ? 1 : 2};
}

static void put_u8(struct buf *b, unsigned v)
{
    uint8_t octet = (uint8_t)v;
    buf_add(b, &octet, 1);
}

static void put_u32(struct buf *b, uint32_t v)
{
    uint8_t octets[4];
    h2_put_u32(octets, v);
    buf_add(b, octets, 4);
}

static void put_frame(struct buf *out, unsigned type, unsigned flags, uint32_t id,
                      struct slice payload)
{
    uint8_t head[H2_FRAME_HEAD_OCTETS];
    h2_frame_head_write(head, (uint32_t)payload.len, (enum h2_frame_type)type, flags, id);
    buf_add(out, head, sizeof head);
    buf_add(out, payload.p, payload.len);
}

/* RFC 7541 6.2, strings shorter than 255 octets, not Huffman-coded */
static void put_string(struct buf *b, const char *s)
{
    size_t n = strlen(s);
    if (n < 127) {
        put_u8(b, (unsigned)n);
    } else {
        put_u8(b, 127);
        if (n - 127 >= 128) {
            put_u8(b, ((n - 127) & 127) | 128);
            put_u8(b, (unsigned)((n - 127) >> 7));
        } else {
            put_u8(b, (unsigned)(n - 127));
        }
    }
    buf_add(b, s, n);
}

static void put_literal(struct buf *b, unsigned kind, unsigned which)
{
    static const uint8_t first[] = {0x00, 0x40, 0x10};
    put_u8(b, first[kind]);
    put_string(b, dictionary[which].name);
    put_string(b, dictionary[which].value);
}

/* One octet: how many items follow (bits 0 to 3), and whether an ordinary head stands before them
 * (bit 7) or another one (bit 6).  An item: how it is coded (bits 6, 7; 3: as octets of the input),
 * and which field. */
static void put_block(const struct h2_peer *p, bool request, struct input *in, struct buf *b)
{
    static const uint8_t get[] = {0x82, 0x87, 0x84}, ok[] = {0x88};
    uint8_t plan = input_u8(in);
    if (plan & 0x80 && request) {
        buf_add(b, get, sizeof get);
        put_literal(b, 1, 3);
    } else if (plan & 0x80) {
        buf_add(b, ok, sizeof ok);
    } else if (plan & 0x40) {
        put_literal(b, 0, request ? 5 : 18);
        if (request)
            buf_add(b, get + 1, 2);
    }
    for (unsigned n = plan & 15; n && in->left; n--) {
        uint8_t item = input_u8(in);
        if (item >> 6 < 3) {
            put_literal(b, item >> 6, item & 63);
        } else {
            struct slice raw = input_take(in, item & 7);
            buf_add(b, raw.p, raw.len);
        }
    }
}

/* bit 7: a small number as it is; else one of the last, 0 the newest.  Bits 5, 6: of the other
 * side's, or the next one of the peer's own. */
static uint32_t choose_id(struct h2_peer *p, uint8_t choice, bool opens)
{
    uint32_t back = 2u * (choice & 7);
    if (choice & 0x80)
        return choice & 0x7f;
    if (choice & 0x20)
        return p->last_theirs > back ? p->last_theirs - back : p->last_theirs;
    if (opens && !(choice & 0x40)) {
        p->next_id += 2;
        return p->next_id - 2;
    }
    return p->next_id > back + 2 ? p->next_id - 2 - back : 1;
}

static void put_settings(struct input *in, struct buf *out)
{
    static const uint32_t values[] = {0,     1,     2,          100,        4096,       16384,
                                      65535, 65536, 0x00ffffff, 0x01000000, 0x7fffffff, 0x80000000};
    uint8_t payload[6 * 8];
    uint8_t plan = input_u8(in);
    unsigned n = plan & 7;
    for (unsigned i = 0; i < n; i++) {
        uint8_t row = input_u8(in);
        h2_put_u16(payload + 6 * i, row & 15);
        h2_put_u32(payload + 6 * i + 2,
                   row >> 4 < 12 ? values[row >> 4] : input_u16(in) * (row >> 4 & 3 ? 1u : 977u));
    }
    put_frame(out, H2_FRAME_SETTINGS, plan >> 6 == 3 ? H2_FLAG_ACK : 0, plan >> 6 == 2,
              slice_of(payload, 6u * n));
}

void h2_peer_preface(struct h2_peer *p, struct input *in, struct buf *out)
{
    if (p->role == H2_CLIENT)
        buf_add(out, H2_PREFACE, H2_PREFACE_OCTETS);
    put_settings(in, out);
}

/* HEADERS or PUSH_PROMISE with what the flags ask for before and behind the block; a block may be
 * torn in two. */
static void put_section(struct h2_peer *p, unsigned type, struct input *in, struct buf *out)
{
    struct pool *pool = out->pool;
    struct buf payload, block;
    uint8_t flags = input_u8(in), choice = input_u8(in);
    bool is_promise = type == H2_FRAME_PUSH_PROMISE;
    bool opens = p->role == H2_CLIENT && !is_promise;
    uint32_t id =
        choose_id(p, p->role == H2_SERVER && !(choice & 0xe0) ? choice | 0x20 : choice, opens);
    unsigned known =
        flags & (H2_FLAG_END_STREAM | H2_FLAG_END_HEADERS | H2_FLAG_PADDED | H2_FLAG_PRIORITY);
    bool is_torn = flags & 0x40;
    buf_init(&payload, pool);
    buf_init(&block, pool);
    uint8_t padding = known & H2_FLAG_PADDED ? input_u8(in) & 15 : 0;
    if (known & H2_FLAG_PADDED)
        put_u8(&payload, flags & 0x80 ? 255 : padding);
    if (known & H2_FLAG_PRIORITY && !is_promise) {
        put_u32(&payload, input_u8(in));
        put_u8(&payload, 16);
    }
    if (is_promise) {
        put_u32(&payload, choose_id(p, input_u8(in), true));
        known &= ~(unsigned)(H2_FLAG_END_STREAM | H2_FLAG_PRIORITY);
    }
    put_block(p, p->role == H2_CLIENT || is_promise, in, &block);
    size_t first = is_torn ? input_u8(in) % (buf_len(&block) + 1) : buf_len(&block);
    buf_add(&payload, buf_slice(&block).p, first);
    for (unsigned i = 0; i < padding; i++)
        put_u8(&payload, 0);
    if (is_torn)
        known &= ~(unsigned)H2_FLAG_END_HEADERS;
    else
        known ^= H2_FLAG_END_HEADERS; /* a zero is the ordinary flag */
    put_frame(out, type, known, id, buf_slice(&payload));
    if (is_torn)
        put_frame(out, H2_FRAME_CONTINUATION, H2_FLAG_END_HEADERS, id,
                  slice_of(buf_slice(&block).p + first, buf_len(&block) - first));
    buf_fini(&payload);
    buf_fini(&block);
}

static void put_content(struct h2_peer *p, struct input *in, struct buf *out)
{
    static const char octets[1 << 14];
    uint8_t flags = input_u8(in);
    uint8_t choice = input_u8(in);
    uint32_t id =
        choose_id(p, p->role == H2_SERVER && !(choice & 0xe0) ? choice | 0x20 : choice, false);
    size_t n = input_u8(in);
    if (flags & 0x40)
        n = n * 64 + 64;
    if (n > sizeof octets)
        n = sizeof octets;
    if (!(flags & H2_FLAG_PADDED)) {
        put_frame(out, H2_FRAME_DATA, flags & H2_FLAG_END_STREAM, id, slice_of(octets, n));
        return;
    }
    struct buf payload;
    uint8_t padding = input_u8(in);
    buf_init(&payload, out->pool);
    put_u8(&payload, padding);
    buf_add(&payload, octets, n > sizeof octets - 256 ? n - 256 : n);
    if (!(flags & 0x80))
        buf_add(&payload, octets, padding);
    put_frame(out, H2_FRAME_DATA, flags & (H2_FLAG_END_STREAM | H2_FLAG_PADDED), id,
              buf_slice(&payload));
    buf_fini(&payload);
}

static void put_u32_frame(struct buf *out, unsigned type, uint32_t id, uint32_t value)
{
    uint8_t payload[4];
    h2_put_u32(payload, value);
    put_frame(out, type, 0, id, slice_of(payload, sizeof payload));
}

static void put_window_update(struct h2_peer *p, struct input *in, struct buf *out)
{
    uint8_t choice = input_u8(in), size = input_u8(in);
    uint32_t id = choice == 0 ? 0 : choose_id(p, choice, false);
    uint32_t add = size < 0x80   ? size * 100u
                   : size < 0xf0 ? size * 16384u
                                 : 0x7fffffffu - (size & 7);
    put_u32_frame(out, H2_FRAME_WINDOW_UPDATE, id, add);
}

static void put_goaway(struct h2_peer *p, struct input *in, struct buf *out)
{
    uint8_t payload[8];
    h2_put_u32(payload, choose_id(p, input_u8(in), false));
    h2_put_u32(payload + 4, input_u8(in) & 15);
    put_frame(out, H2_FRAME_GOAWAY, 0, 0, slice_of(payload, sizeof payload));
}

static void put_priority(struct h2_peer *p, struct input *in, struct buf *out)
{
    uint8_t choice = input_u8(in), n = input_u8(in);
    struct buf payload;
    buf_init(&payload, out->pool);
    put_u32(&payload, choose_id(p, choice, false));
    struct slice text = input_take(in, n & 15);
    buf_add(&payload, text.p, text.len);
    if (n & 0x10)
        put_frame(out, H2_FRAME_PRIORITY, 0, choose_id(p, choice, false),
                  slice_of("\0\0\0\0\0", n & 0x20 ? 4 : 5));
    else
        put_frame(out, H2_FRAME_PRIORITY_UPDATE, 0, n >> 7, buf_slice(&payload));
    buf_fini(&payload);
}

/* Any type, flags, id and length; the length may lie. */
static void put_anything(struct h2_peer *p, struct input *in, struct buf *out)
{
    uint8_t type = input_u8(in), flags = input_u8(in);
    uint32_t id = choose_id(p, input_u8(in), false);
    uint8_t n = input_u8(in);
    struct slice payload = input_take(in, n & 31);
    uint8_t head[H2_FRAME_HEAD_OCTETS];
    h2_frame_head_write(head, (uint32_t)payload.len + (n >> 5), (enum h2_frame_type)type, flags,
                        id);
    buf_add(out, head, sizeof head);
    buf_add(out, payload.p, payload.len);
}

void h2_peer_frame(struct h2_peer *p, unsigned op, struct input *in, struct buf *out)
{
    struct slice raw;
    switch (op % H2_PEER_OPS) {
    case 0:
        put_section(p, H2_FRAME_HEADERS, in, out);
        break;
    case 1:
        put_content(p, in, out);
        break;
    case 2:
        put_u32_frame(out, H2_FRAME_RST_STREAM, choose_id(p, input_u8(in), false),
                      input_u8(in) & 15);
        break;
    case 3:
        put_settings(in, out);
        break;
    case 4:
        put_frame(out, H2_FRAME_PING, input_u8(in) & H2_FLAG_ACK, 0, SLICE("portico!"));
        break;
    case 5:
        put_goaway(p, in, out);
        break;
    case 6:
        put_window_update(p, in, out);
        break;
    case 7:
        put_priority(p, in, out);
        break;
    case 8:
        put_section(p, H2_FRAME_PUSH_PROMISE, in, out);
        break;
    case 9:
        put_anything(p, in, out);
        break;
    case 10:
        put_frame(out, H2_FRAME_SETTINGS, H2_FLAG_ACK, 0, SLICE(""));
        break;
    case 11:
        raw = input_take(in, input_u8(in) & 63);
        buf_add(out, raw.p, raw.len);
        break;
    }
}
