/* SPDX-License-Identifier: Apache-2.0 */
#include "h2_watch.h"
#include "base/panic.h"
#include "http/h2_frame.h"

void h2_watch_init(struct h2_watch *w, enum h2_role role, uint32_t stream_most, uint32_t most,
                   struct pool *pool)
{
    memset(w, 0, sizeof *w);
    w->role = role;
    w->pool = pool;
    w->window = w->initial_window = w->credit = w->initial_credit = 65535;
    w->stream_most = stream_most;
    w->most = most;
    w->max_frame_octets = 16384;
    w->last_goaway = UINT32_MAX;
    buf_init(&w->fed, pool);
    buf_init(&w->sent, pool);
    buf_init(&w->block, pool);
    w->decoder = hpack_decoder_new(pool, 65536);
    ASSERT(w->decoder);
}

void h2_watch_fini(struct h2_watch *w)
{
    buf_fini(&w->fed);
    buf_fini(&w->sent);
    buf_fini(&w->block);
    hpack_decoder_free(w->decoder);
}

void h2_watch_widen(struct h2_watch *w, uint32_t stream_most)
{
    w->stream_most = stream_most;
}

/* return  NULL when there are too many, which then go unwatched */
static struct h2_watch_stream *stream(struct h2_watch *w, uint32_t id)
{
    for (unsigned i = w->stream_count; i-- > 0;)
        if (w->streams[i].id == id)
            return &w->streams[i];
    if (w->stream_count == H2_WATCH_STREAMS)
        return NULL;
    w->streams[w->stream_count] = (struct h2_watch_stream){
        .id = id, .window = w->initial_window, .credit = w->initial_credit};
    return &w->streams[w->stream_count++];
}

/* ---- what it was fed ---- */

static void fed_settings(struct h2_watch *w, const struct h2_frame *f)
{
    if (f->flags & H2_FLAG_ACK)
        return;
    w->settings_fed++;
    for (uint32_t at = 0; at + 6 <= f->len; at += 6) {
        uint32_t value = h2_get_u32(f->payload + at + 2);
        switch (h2_get_u16(f->payload + at)) {
        case H2_SETTING_ENABLE_PUSH:
            w->push_off_at = value ? 0 : w->settings_fed;
            break;
        case H2_SETTING_INITIAL_WINDOW_SIZE:
            if (value < w->initial_window) {
                w->decreases[w->settings_fed % H2_WATCH_SETTINGS] += w->initial_window - value;
                w->decrease += w->initial_window - value;
            }
            for (unsigned i = 0; i < w->stream_count; i++)
                w->streams[i].window += (int64_t)value - w->initial_window;
            w->initial_window = value;
            break;
        case H2_SETTING_MAX_FRAME_SIZE:
            if (w->max_frame_octets < value)
                w->max_frame_octets = value;
            break;
        }
    }
}

static void fed_frame(struct h2_watch *w, const struct h2_frame *f)
{
    uint32_t id = f->stream_id;
    struct h2_watch_stream *s = id ? stream(w, id) : NULL;
    if (f->type == H2_FRAME_SETTINGS)
        fed_settings(w, f);
    if (f->type == H2_FRAME_HEADERS && s)
        s->is_known = true;
    if (f->type == H2_FRAME_RST_STREAM && s) /* but for a frame that has begun to leave */
        s->reset_fed |= buf_len(&w->sent) == 0;
    if (f->type == H2_FRAME_WINDOW_UPDATE && f->len == 4)
        *(s ? &s->window : &w->window) += h2_get_u32(f->payload) & 0x7fffffff;
    if (f->type == H2_FRAME_PUSH_PROMISE && f->len >= 4) {
        size_t at = f->flags & H2_FLAG_PADDED ? 1 : 0;
        s = f->len >= at + 4 ? stream(w, h2_get_u32(f->payload + at) & 0x7fffffff) : NULL;
        if (s)
            s->is_known = true;
    }
}

static bool take_frame(struct buf *b, struct h2_frame *f)
{
    const uint8_t *p = (const uint8_t *)buf_slice(b).p;
    if (buf_len(b) < H2_FRAME_HEAD_OCTETS)
        return false;
    h2_frame_head_read(f, p);
    f->payload = p + H2_FRAME_HEAD_OCTETS;
    return buf_len(b) >= H2_FRAME_HEAD_OCTETS + f->len;
}

static bool take_preface(struct buf *b, bool *is_taken)
{
    if (*is_taken || buf_len(b) < H2_PREFACE_OCTETS)
        return *is_taken;
    buf_consume(b, H2_PREFACE_OCTETS);
    return *is_taken = true;
}

/* What of a DATA frame has come may be let come again before the rest is there. */
static void count_data(struct h2_watch *w)
{
    struct h2_frame f;
    if (w->fed_counted || buf_len(&w->fed) < H2_FRAME_HEAD_OCTETS)
        return;
    w->fed_counted = true;
    h2_frame_head_read(&f, (const uint8_t *)buf_at(&w->fed));
    if (f.type != H2_FRAME_DATA)
        return;
    struct h2_watch_stream *s = f.stream_id ? stream(w, f.stream_id) : NULL;
    w->credit -= f.len;
    if (s)
        s->credit -= f.len;
}

void h2_watch_fed(struct h2_watch *w, struct slice octets)
{
    struct h2_frame f;
    buf_add(&w->fed, octets.p, octets.len);
    if (w->role == H2_SERVER && !take_preface(&w->fed, &w->fed_preface))
        return;
    for (count_data(w); take_frame(&w->fed, &f); count_data(w)) {
        fed_frame(w, &f);
        buf_consume(&w->fed, H2_FRAME_HEAD_OCTETS + f.len);
        w->fed_counted = false;
    }
}

/* ---- what it sends ---- */

static int ignore_field(void *user, enum token token, struct slice name, struct slice value,
                        unsigned flags)
{
    ASSERT(name.len);
    return 0;
}

static void sent_block(struct h2_watch *w, const struct h2_frame *f, uint32_t skip)
{
    ASSERT(f->len >= skip);
    buf_add(&w->block, f->payload + skip, f->len - skip);
    w->section_on = f->stream_id;
    if (!(f->flags & H2_FLAG_END_HEADERS))
        return;
    struct arena arena;
    arena_init(&arena, w->pool);
    struct slice block = buf_slice(&w->block);
    ASSERT(hpack_decode(w->decoder, block.p, block.len, &arena, 1u << 20, ignore_field, NULL) == 0);
    arena_fini(&arena);
    buf_fini(&w->block);
    w->section_on = 0;
}

static void sent_headers(struct h2_watch *w, struct h2_watch_stream *s, const struct h2_frame *f)
{
    bool opens = (f->stream_id & 1) == (w->role == H2_CLIENT);
    ASSERT(s->is_known || (opens && w->role == H2_CLIENT));
    s->is_known = s->head_sent = true;
    s->end_sent |= (f->flags & H2_FLAG_END_STREAM) != 0;
    sent_block(w, f, 0);
}

static void sent_promise(struct h2_watch *w, struct h2_watch_stream *parent,
                         const struct h2_frame *f)
{
    uint32_t id = h2_get_u32(f->payload);
    struct h2_watch_stream *s = stream(w, id);
    ASSERT(w->role == H2_SERVER && parent->is_known && !(f->flags & H2_FLAG_PADDED));
    ASSERT(id % 2 == 0 && id > w->last_promised);
    /* In force when it is acknowledged: a promise may be on its way until then. */
    ASSERT(!w->push_off_at || w->settings_acked < w->push_off_at);
    w->last_promised = id;
    if (s)
        s->is_known = true;
    sent_block(w, f, 4);
}

static void sent_data(struct h2_watch *w, struct h2_watch_stream *s, const struct h2_frame *f)
{
    ASSERT(s->head_sent);
    s->window -= f->len;
    w->window -= f->len;
    if (f->len) /* the end alone may have waited with control frames */
        ASSERT(s->window >= -w->decrease && w->window >= 0 && !s->reset_fed);
    s->end_sent |= (f->flags & H2_FLAG_END_STREAM) != 0;
}

/* Also of the streams that there are.  RFC 9113 6.9.2 */
static void sent_initial_credit(struct h2_watch *w, uint32_t credit)
{
    for (unsigned i = 0; i < w->stream_count; i++)
        w->streams[i].credit += credit - w->initial_credit;
    w->initial_credit = credit;
}

static void sent_credit(int64_t *credit, int64_t most, const struct h2_frame *f)
{
    ASSERT(f->len == 4 && h2_get_u32(f->payload) != 0);
    *credit += h2_get_u32(f->payload);
    ASSERT(*credit <= most);
}

static void sent_on_connection(struct h2_watch *w, const struct h2_frame *f)
{
    switch (f->type) {
    case H2_FRAME_SETTINGS:
        ASSERT(f->len % 6 == 0);
        if (f->flags & H2_FLAG_ACK) {
            w->settings_acked++;
            ASSERT(w->settings_acked <= w->settings_fed);
            int64_t *by = &w->decreases[w->settings_acked % H2_WATCH_SETTINGS];
            w->decrease -= *by;
            *by = 0;
        }
        w->sent_settings |= !(f->flags & H2_FLAG_ACK);
        for (uint32_t at = 0; at < f->len; at += 6)
            if (h2_get_u16(f->payload + at) == H2_SETTING_INITIAL_WINDOW_SIZE)
                sent_initial_credit(w, h2_get_u32(f->payload + at + 2));
        break;
    case H2_FRAME_GOAWAY:
        ASSERT(f->len >= 8 && h2_get_u32(f->payload) <= w->last_goaway);
        w->last_goaway = h2_get_u32(f->payload);
        w->is_failed |= h2_get_u32(f->payload + 4) != 0;
        break;
    case H2_FRAME_WINDOW_UPDATE:
        sent_credit(&w->credit, w->most, f);
        break;
    case H2_FRAME_PING:
        ASSERT(f->len == 8);
        break;
    default:
        PANIC("frame type %u on stream 0", f->type);
    }
}

static void sent_frame(struct h2_watch *w, const struct h2_frame *f)
{
    ASSERT(f->len <= w->max_frame_octets);
    ASSERT(!w->is_failed); /* nothing leaves after the last word */
    ASSERT(w->sent_settings || f->type == H2_FRAME_SETTINGS);
    ASSERT(!w->section_on || (f->type == H2_FRAME_CONTINUATION && f->stream_id == w->section_on));
    if (f->stream_id == 0) {
        sent_on_connection(w, f);
        return;
    }
    struct h2_watch_stream *s = stream(w, f->stream_id);
    if (!s) {
        if (f->type == H2_FRAME_HEADERS || f->type == H2_FRAME_CONTINUATION)
            sent_block(w, f, 0);
        else if (f->type == H2_FRAME_PUSH_PROMISE)
            sent_block(w, f, 4);
        return;
    }
    if (f->type != H2_FRAME_RST_STREAM && f->type != H2_FRAME_CONTINUATION)
        ASSERT(!s->reset_sent);
    switch (f->type) {
    case H2_FRAME_HEADERS:
        ASSERT(!s->end_sent);
        sent_headers(w, s, f);
        break;
    case H2_FRAME_CONTINUATION:
        ASSERT(w->section_on == f->stream_id);
        sent_block(w, f, 0);
        break;
    case H2_FRAME_PUSH_PROMISE:
        ASSERT(!s->end_sent);
        sent_promise(w, s, f);
        break;
    case H2_FRAME_DATA:
        ASSERT(!s->end_sent);
        sent_data(w, s, f);
        break;
    case H2_FRAME_RST_STREAM:
        ASSERT(f->len == 4);
        s->reset_sent = true;
        break;
    case H2_FRAME_WINDOW_UPDATE:
        sent_credit(&s->credit, w->stream_most, f);
        break;
    case H2_FRAME_PRIORITY_UPDATE:
        break;
    default:
        PANIC("frame type %u on a stream", f->type);
    }
}

void h2_watch_sent(struct h2_watch *w, struct slice octets)
{
    struct h2_frame f;
    buf_add(&w->sent, octets.p, octets.len);
    if (w->role == H2_CLIENT && !w->sent_preface) {
        if (buf_len(&w->sent) < H2_PREFACE_OCTETS)
            return;
        ASSERT(memcmp(buf_at(&w->sent), H2_PREFACE, H2_PREFACE_OCTETS) == 0);
        take_preface(&w->sent, &w->sent_preface);
    }
    while (take_frame(&w->sent, &f)) {
        sent_frame(w, &f);
        buf_consume(&w->sent, H2_FRAME_HEAD_OCTETS + f.len);
    }
}
