/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange_frames.h"
#include "base/panic.h"
#include "http/h2_frame.h"

#define TYPE_UNKNOWN 0xfa

static const uint8_t types[] = {
    H2_FRAME_PRIORITY, H2_FRAME_RST_STREAM,    H2_FRAME_SETTINGS,        H2_FRAME_PING,
    H2_FRAME_GOAWAY,   H2_FRAME_WINDOW_UPDATE, H2_FRAME_PRIORITY_UPDATE, TYPE_UNKNOWN,
};
_Static_assert(ARRAY_LEN(types) == 8, "three bits choose one");

static void put(struct buf *out, uint8_t type, unsigned flags, uint32_t id, struct slice payload)
{
    uint8_t head[H2_FRAME_HEAD_OCTETS];
    h2_frame_head_write(head, (uint32_t)payload.len, (enum h2_frame_type)type, flags, id);
    buf_add(out, head, sizeof head);
    buf_add(out, payload.p, payload.len);
}

void exchange_put_frame(struct buf *out, uint8_t which, uint8_t value)
{
    static const uint32_t numbers[] = {0, 1, 2, 100, 16384, 65535, 0x7fffffff, 0xffffffff};
    static const uint8_t octets[] = {5, 4, 6, 8, 8, 4, 7, 3};
    uint8_t payload[8] = {0}, type = types[which & 7];
    uint32_t number = numbers[value >> 5];
    if (type == H2_FRAME_SETTINGS) {
        h2_put_u16(payload, value & 15);
        h2_put_u32(payload + 2, number);
    } else if (type == H2_FRAME_GOAWAY) {
        h2_put_u32(payload, number);
        h2_put_u32(payload + 4, value & 15);
    } else if (type == H2_FRAME_RST_STREAM) {
        h2_put_u32(payload, value & 15);
    } else if (type == H2_FRAME_PRIORITY_UPDATE) {
        h2_put_u32(payload, value & 31);
        memcpy(payload + 4, "u=0", 3);
    } else {
        h2_put_u32(payload, number);
    }
    put(out, type, value & 16 ? 1 : 0, which >> 4, slice_of(payload, octets[which & 7]));
}

void exchange_put_message(struct buf *out, uint8_t which, uint8_t value)
{
    static const struct slice blocks[] = {
        SLICE("\x88"), /* :status 200 */
        SLICE("\x88\x0f\x0d\x01"
              "5"), /* content-length: 5 */
        SLICE("\x08\x03"
              "103"),      /* :status 103 */
        SLICE("\xff\xff"), /* what does not decode */
    };
    static const struct slice promise = SLICE("\0\0\0\2\x82\x86\x84\x41\1a");
    unsigned flags = value & (H2_FLAG_END_STREAM | H2_FLAG_END_HEADERS | H2_FLAG_PADDED);
    uint32_t id = which >> 4;
    switch (which & 3) {
    case 0:
        put(out, H2_FRAME_HEADERS, flags ^ H2_FLAG_END_HEADERS, id, blocks[value >> 6]);
        break;
    case 1:
        put(out, H2_FRAME_DATA, flags & ~(unsigned)H2_FLAG_END_HEADERS, id, SLICE("\1????"));
        break;
    case 2:
        put(out, H2_FRAME_CONTINUATION, flags & H2_FLAG_END_HEADERS, id, blocks[value >> 6]);
        break;
    case 3:
        put(out, H2_FRAME_PUSH_PROMISE, H2_FLAG_END_HEADERS, id, promise);
        break;
    }
}
