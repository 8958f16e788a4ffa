/* SPDX-License-Identifier: Apache-2.0 */
/* Frames: RFC 9113 4.1, 6; RFC 9218 7.1 (PRIORITY_UPDATE). */
#ifndef HTTP_H2_FRAME_H
#define HTTP_H2_FRAME_H

#include <stdint.h>

#define H2_FRAME_HEAD_OCTETS 9u
#define H2_PREFACE           "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define H2_PREFACE_OCTETS    24u

#define H2_FRAME_TABLE(X) \
    X(DATA, 0x0)          \
    X(HEADERS, 0x1)       \
    X(PRIORITY, 0x2)      \
    X(RST_STREAM, 0x3)    \
    X(SETTINGS, 0x4)      \
    X(PUSH_PROMISE, 0x5)  \
    X(PING, 0x6)          \
    X(GOAWAY, 0x7)        \
    X(WINDOW_UPDATE, 0x8) \
    X(CONTINUATION, 0x9)  \
    X(PRIORITY_UPDATE, 0x10)

enum h2_frame_type {
#define X(name, value) H2_FRAME_##name = value,
    H2_FRAME_TABLE(X)
#undef X
        H2_FRAME_TYPES
};

enum {
    H2_FLAG_ACK = 0x1,
    H2_FLAG_END_STREAM = 0x1,
    H2_FLAG_END_HEADERS = 0x4,
    H2_FLAG_PADDED = 0x8,
    H2_FLAG_PRIORITY = 0x20,
};

/* RFC 9113 6.5.2, RFC 8441 3, RFC 9218 2.1 */
#define H2_SETTING_TABLE(X)         \
    X(HEADER_TABLE_SIZE, 0x1)       \
    X(ENABLE_PUSH, 0x2)             \
    X(MAX_CONCURRENT_STREAMS, 0x3)  \
    X(INITIAL_WINDOW_SIZE, 0x4)     \
    X(MAX_FRAME_SIZE, 0x5)          \
    X(MAX_HEADER_LIST_SIZE, 0x6)    \
    X(ENABLE_CONNECT_PROTOCOL, 0x8) \
    X(NO_RFC7540_PRIORITIES, 0x9)

enum h2_setting {
#define X(name, value) H2_SETTING_##name = value,
    H2_SETTING_TABLE(X)
#undef X
};

struct h2_frame {
    uint32_t len; /* of the payload */
    uint32_t stream_id;
    uint8_t type;
    uint8_t flags;
    const uint8_t *payload; /* borrowed; NULL while only the frame's head is known */
};

static inline uint16_t h2_get_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t h2_get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void h2_put_u16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void h2_put_u32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

static inline void h2_frame_head_read(struct h2_frame *f, const uint8_t *p)
{
    *f = (struct h2_frame){.len = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2],
                           .type = p[3],
                           .flags = p[4],
                           .stream_id = h2_get_u32(p + 5) & 0x7fffffff};
}

static inline void h2_frame_head_write(uint8_t *p, uint32_t len, enum h2_frame_type type,
                                       unsigned flags, uint32_t stream_id)
{
    p[0] = (uint8_t)(len >> 16);
    p[1] = (uint8_t)(len >> 8);
    p[2] = (uint8_t)len;
    p[3] = (uint8_t)type;
    p[4] = (uint8_t)flags;
    h2_put_u32(p + 5, stream_id);
}

#endif
