/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange_frames.h"
#include "base/panic.h"
#include "http/h2_frame.h"

#define TYPE_UNKNOWN 0xfa

static const struct {
    uint8_t type, octets;
} frames[] = {
    {H2_FRAME_PRIORITY, 5},        {H2_FRAME_RST_STREAM, 4},
    {H2_FRAME_SETTINGS, 6},        {H2_FRAME_PING, 8},
    {H2_FRAME_GOAWAY, 8},          {H2_FRAME_WINDOW_UPDATE, 4},
    {H2_FRAME_PRIORITY_UPDATE, 7}, {TYPE_UNKNOWN, 3},
};
_Static_assert(ARRAY_LEN(frames) == 8, "three bits choose one");

void exchange_put_frame(struct buf *out, uint8_t which, uint8_t value)
{
    static const uint32_t numbers[] = {0, 1, 2, 100, 16384, 65535, 0x7fffffff, 0xffffffff};
    uint8_t frame[H2_FRAME_HEAD_OCTETS + 8], *payload = frame + H2_FRAME_HEAD_OCTETS;
    uint32_t number = numbers[value >> 5], id = which >> 3;
    enum h2_frame_type type = (enum h2_frame_type)frames[which & 7].type;
    memset(payload, 0, 8);
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
    h2_frame_head_write(frame, frames[which & 7].octets, type, value & 16 ? 1 : 0, id);
    buf_add(out, frame, H2_FRAME_HEAD_OCTETS + frames[which & 7].octets);
}
