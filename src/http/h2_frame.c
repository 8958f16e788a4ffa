/* SPDX-License-Identifier: Apache-2.0 */
/* Octets in: the preface, framing (RFC 9113 3.4, 4.1, 4.2), and the frames that are about one
 * stream's life or priority.
 *
 * A frame that lies whole in the octets given is handled in place; else its payload is gathered.
 * DATA is never gathered: its pieces are delivered as they come, so that on_body's octets always
 * lie in the octets that were fed. */
#include "http/h2_internal.h"
#include "base/err.h"

enum where { ON_CONN = 1, ON_STREAM = 2 };

static int on_priority(struct h2_conn *c, const struct h2_frame *f);
static int on_reset(struct h2_conn *c, const struct h2_frame *f);
static int on_priority_update(struct h2_conn *c, const struct h2_frame *f);

#define ANY_OCTETS UINT32_MAX
/* What needs to be gathered is never larger, even where larger DATA is allowed. */
#define GATHER_OCTETS 16384

struct frame_rule {
    int (*handle)(struct h2_conn *c, const struct h2_frame *f);
    uint32_t min, max; /* payload octets; else FRAME_SIZE_ERROR */
    uint8_t where;
    bool on_stream_only; /* a wrong size is the stream's error, not the connection's */
    bool block;          /* carries a field block */
};

static const struct frame_rule frame_rules[H2_FRAME_TYPES] = {
    [H2_FRAME_DATA] = {.max = ANY_OCTETS, .where = ON_STREAM}, /* see data_head */
    [H2_FRAME_HEADERS] = {.handle = h2_on_headers,
                          .max = ANY_OCTETS,
                          .where = ON_STREAM,
                          .block = true},
    [H2_FRAME_PRIORITY] =
        {.handle = on_priority, .min = 5, .max = 5, .where = ON_STREAM, .on_stream_only = true},
    [H2_FRAME_RST_STREAM] = {.handle = on_reset, .min = 4, .max = 4, .where = ON_STREAM},
    [H2_FRAME_SETTINGS] = {.handle = h2_on_settings, .max = GATHER_OCTETS, .where = ON_CONN},
    [H2_FRAME_PUSH_PROMISE] = {.handle = h2_on_push_promise,
                               .min = 4,
                               .max = ANY_OCTETS,
                               .where = ON_STREAM,
                               .block = true},
    [H2_FRAME_PING] = {.handle = h2_on_ping, .min = 8, .max = 8, .where = ON_CONN},
    [H2_FRAME_GOAWAY] = {.handle = h2_on_goaway, .min = 8, .max = GATHER_OCTETS, .where = ON_CONN},
    [H2_FRAME_WINDOW_UPDATE] = {.handle = h2_on_window_update,
                                .min = 4,
                                .max = 4,
                                .where = ON_CONN | ON_STREAM},
    [H2_FRAME_CONTINUATION] = {.handle = h2_on_continuation,
                               .max = ANY_OCTETS,
                               .where = ON_STREAM,
                               .block = true},
    [H2_FRAME_PRIORITY_UPDATE] = {.handle = on_priority_update,
                                  .min = 4,
                                  .max = GATHER_OCTETS,
                                  .where = ON_CONN},
};

static const struct frame_rule *rule_of(unsigned type)
{
    return type < H2_FRAME_TYPES && frame_rules[type].where ? &frame_rules[type] : NULL;
}

int h2_frame_misplaced(struct h2_conn *c, struct h2_stream *s, uint32_t id, enum h2_event event)
{
    if (s) { /* RFC 9113 5.1 */
        if (s->state == H2_HALF_REMOTE)
            return h2_stream_fail(s, H2_BLAME_STREAM_LATE);
        return h2_conn_fail(c, H2_BLAME_STREAM_RESERVED);
    }
    if (h2_id_is_idle(c, id))
        return h2_conn_fail(c, H2_BLAME_STREAM_IDLE);
    if (event == H2_EV_RECV_RESET || event == H2_EV_RECV_WINDOW)
        return 0; /* sent before our END_STREAM or RST_STREAM arrived */
    bool known, forgiven = h2_id_is_forgiven(c, id, &known);
    /* Trailers, most likely, that were under way when their stream was reset, long ago by now. */
    if (event == H2_EV_RECV_HEADERS && !known && id <= c->forgiven_id)
        return h2_id_fail(c, id, H2_BLAME_STREAM_LATE);
    if (event == H2_EV_RECV_HEADERS && !known && c->role == H2_SERVER)
        return h2_conn_fail(c, H2_BLAME_STREAM_ID_ORDER);
    if (forgiven)
        return 0;
    /* Of a server that goes on after the end of a response nobody knows what belongs to what, as of
     * one that sends octets behind it in HTTP/1.1.  RFC 9113 5.1 (closed) */
    if (event == H2_EV_RECV_HEADERS || c->role == H2_CLIENT)
        return h2_conn_fail(c, H2_BLAME_STREAM_CLOSED);
    return h2_id_fail(c, id, H2_BLAME_STREAM_LATE);
}

/* RFC 9113 5.3.2, 6.3: the scheme is deprecated and the frame ignored, its format is not. */
static int on_priority(struct h2_conn *c, const struct h2_frame *f)
{
    if ((h2_get_u32(f->payload) & 0x7fffffff) == f->stream_id) {
        struct h2_stream *s = h2_stream_find(c, f->stream_id);
        if (s)
            return h2_stream_fail(s, H2_BLAME_STREAM_PRIORITY_SELF);
        if (h2_id_is_idle(c, f->stream_id))
            return h2_conn_fail(c, H2_BLAME_PRIORITY_SELF);
    }
    return h2_conn_charge(c, H2_BUDGET_priority, 1);
}

/* What a reset costs the peer.  Refusing a promise is its right (RFC 9113 8.4.2), once for each: it
 * was us who began.  One that comes when the stream has ended well undoes nothing. */
static int charge_reset(struct h2_conn *c, uint32_t id, bool late)
{
    uint32_t none = 0;
    bool refuses = c->role == H2_SERVER && h2_id_is_local(c, id);
    return h2_conn_charge_unearned(c, H2_BUDGET_resets,
                                   refuses ? &c->refusals
                                   : late  ? &c->resets_earned
                                           : &none);
}

static int on_reset(struct h2_conn *c, const struct h2_frame *f)
{
    struct h2_stream *s = h2_stream_find(c, f->stream_id);
    uint32_t code = h2_get_u32(f->payload);
    if (!s) {
        int err = h2_frame_misplaced(c, s, f->stream_id, H2_EV_RECV_RESET);
        if (err < 0)
            return err;
        if (c->role == H2_SERVER && h2_id_is_local(c, f->stream_id) && c->events->on_late_reset)
            c->events->on_late_reset(c->user, f->stream_id, code);
        return charge_reset(c, f->stream_id, true);
    }
    /* A response that is whole: the server only wants no more of the request (RFC 9113 8.1). */
    bool complete = c->role == H2_CLIENT && s->state == H2_HALF_REMOTE;
    if (code == H2_NO_ERROR && !complete)
        code = H2_CANCEL; /* to the caller NO_ERROR means that nothing is missing */
    if (code == H2_REFUSED_STREAM)
        s->unprocessed = true;
    s->peer_reset = true;
    h2_stream_close(s, code);
    return complete ? 0 : charge_reset(c, f->stream_id, false);
}

/* RFC 9218 7.1 */
static int on_priority_update(struct h2_conn *c, const struct h2_frame *f)
{
    uint32_t id = h2_get_u32(f->payload) & 0x7fffffff;
    if (c->role == H2_CLIENT || id == 0)
        return h2_conn_fail(c, H2_BLAME_PRIORITY_UPDATE_STREAM);
    struct h2_stream *s = h2_stream_find(c, id);
    bool idle = !s && h2_id_is_idle(c, id);
    if (idle && h2_id_is_local(c, id))
        return h2_conn_fail(c, H2_BLAME_PRIORITY_UPDATE_STREAM);
    int err = h2_conn_charge(c, H2_BUDGET_priority, 1);
    if (err < 0)
        return err;
    struct priority p = PRIORITY_DEFAULT;
    if (!priority_parse(slice_of(f->payload + 4, f->len - 4), &p))
        return 0;
    if (s) {
        s->told = true;
        h2_stream_set_priority(s, p);
    } else if (idle) {
        struct h2_early_priority *slot = &c->early_priority[c->early_priority_at];
        for (size_t i = 0; i < H2_EARLY_PRIORITIES; i++)
            if (c->early_priority[i].id == id)
                slot = &c->early_priority[i];
        if (slot == &c->early_priority[c->early_priority_at])
            c->early_priority_at = (uint8_t)((c->early_priority_at + 1) % H2_EARLY_PRIORITIES);
        *slot = (struct h2_early_priority){.id = id, .priority = p};
    }
    return 0;
}

/* What can be said of a frame by its head alone.  RFC 9113 4.1, 4.2, 6 */
static int check_head(struct h2_conn *c, const struct h2_frame *f, const struct frame_rule *rule)
{
    if (f->len > c->settings.max_frame_octets)
        return h2_conn_fail(c, H2_BLAME_FRAME_SIZE);
    if (!c->first_frame_seen && (f->type != H2_FRAME_SETTINGS || (f->flags & H2_FLAG_ACK)))
        return h2_conn_fail(c, H2_BLAME_PREFACE_SETTINGS);
    c->first_frame_seen = true;
    if (c->block.stream_id &&
        (f->type != H2_FRAME_CONTINUATION || f->stream_id != c->block.stream_id))
        return h2_conn_fail(c, H2_BLAME_FRAME_CONTINUATION);
    if (!rule)
        return h2_conn_charge(c, H2_BUDGET_priority, 1);
    if (!(rule->where & (f->stream_id ? ON_STREAM : ON_CONN)))
        return h2_conn_fail(c, H2_BLAME_FRAME_STREAM_ID);
    if (rule->block && f->len > h2_block_octets_max(c))
        return h2_conn_fail(c, H2_BLAME_BLOCK_SIZE);
    if (f->len >= rule->min && f->len <= rule->max)
        return 0;
    if (!rule->on_stream_only || h2_id_is_idle(c, f->stream_id))
        return h2_conn_fail(c, H2_BLAME_FRAME_SIZE);
    struct h2_stream *s = h2_stream_find(c, f->stream_id);
    int err = s ? h2_stream_fail(s, H2_BLAME_STREAM_FRAME_SIZE)
                : h2_id_fail(c, f->stream_id, H2_BLAME_STREAM_FRAME_SIZE);
    return err < 0 ? err : ERR_H2_STREAM;
}

static void next_frame(struct h2_reader *r)
{
    r->what = H2_READ_HEAD;
    r->have = 0;
}

static void skip(struct h2_reader *r, uint32_t octets)
{
    r->what = H2_READ_SKIP;
    r->left = octets;
    if (octets == 0)
        next_frame(r);
}

/* Head and pad length of a DATA frame are known. */
static int data_head(struct h2_conn *c, uint32_t padding_octets)
{
    struct h2_reader *r = &c->reader;
    const struct h2_frame *f = &r->frame;
    bool deliver, padded = f->flags & H2_FLAG_PADDED;
    uint32_t rest = f->len - padded;
    if (padding_octets > rest)
        return h2_conn_fail(c, H2_BLAME_FRAME_PADDING);
    int err = h2_data_begin(c, f, padded + padding_octets, &deliver);
    if (err < 0)
        return err;
    if (!deliver) {
        skip(r, rest);
        return 0;
    }
    r->what = H2_READ_DATA;
    r->left = rest - padding_octets;
    r->pad = padding_octets;
    if (r->left == 0) {
        err = h2_data_piece(c, f->stream_id, slice_of("", 0), f->flags & H2_FLAG_END_STREAM);
        skip(r, r->pad);
    }
    return err;
}

static size_t read_preface(struct h2_conn *c, const uint8_t *in, size_t len)
{
    struct h2_reader *r = &c->reader;
    size_t n = H2_PREFACE_OCTETS - r->have;
    if (n > len)
        n = len;
    if (memcmp(&H2_PREFACE[r->have], in, n) != 0)
        h2_conn_fail(c, H2_BLAME_PREFACE);
    r->have = (uint8_t)(r->have + n);
    if (r->have == H2_PREFACE_OCTETS)
        next_frame(r);
    return n;
}

/* The frame's head, and its payload too if that lies in the octets given. */
static size_t read_head(struct h2_conn *c, const uint8_t *in, size_t len)
{
    struct h2_reader *r = &c->reader;
    struct h2_frame *f = &r->frame;
    size_t taken = H2_FRAME_HEAD_OCTETS;
    if (r->have == 0 && len >= taken) {
        h2_frame_head_read(f, in);
    } else {
        taken -= r->have;
        if (taken > len)
            taken = len;
        memcpy(r->head + r->have, in, taken);
        r->have = (uint8_t)(r->have + taken);
        if (r->have < H2_FRAME_HEAD_OCTETS)
            return taken;
        h2_frame_head_read(f, r->head);
    }
    r->have = 0;
    const struct frame_rule *rule = rule_of(f->type);
    int err = check_head(c, f, rule);
    if (err == ERR_H2_STREAM || (err == 0 && !rule)) {
        skip(r, f->len);
    } else if (err < 0) {
        return taken;
    } else if (f->type == H2_FRAME_DATA) {
        if (!(f->flags & H2_FLAG_PADDED))
            data_head(c, 0);
        else if (f->len == 0)
            h2_conn_fail(c, H2_BLAME_FRAME_SIZE);
        else
            r->what = H2_READ_PADDING;
    } else if (len - taken >= f->len) {
        f->payload = in + taken;
        rule->handle(c, f);
        taken += f->len;
    } else {
        r->what = H2_READ_PAYLOAD;
    }
    return taken;
}

static size_t read_payload(struct h2_conn *c, const uint8_t *in, size_t len)
{
    struct h2_reader *r = &c->reader;
    size_t n = r->frame.len - buf_len(&r->payload);
    if (n > len)
        n = len;
    if (buf_add(&r->payload, in, n) < 0) {
        h2_conn_fail(c, H2_BLAME_MEMORY);
        return n;
    }
    if (buf_len(&r->payload) == r->frame.len) {
        next_frame(r);
        r->frame.payload = (const uint8_t *)buf_at(&r->payload);
        rule_of(r->frame.type)->handle(c, &r->frame);
        buf_fini(&r->payload);
    }
    return n;
}

static size_t read_data(struct h2_conn *c, const uint8_t *in, size_t len)
{
    struct h2_reader *r = &c->reader;
    uint32_t n = r->left < len ? r->left : (uint32_t)len;
    r->left -= n;
    bool last = r->left == 0;
    h2_data_piece(c, r->frame.stream_id, slice_of(in, n),
                  last && (r->frame.flags & H2_FLAG_END_STREAM));
    if (last)
        skip(r, r->pad);
    return n;
}

static size_t read_skip(struct h2_conn *c, size_t len)
{
    struct h2_reader *r = &c->reader;
    uint32_t n = r->left < len ? r->left : (uint32_t)len;
    skip(r, r->left - n);
    return n;
}

static size_t read_some(struct h2_conn *c, const uint8_t *in, size_t len)
{
    switch ((enum h2_reading)c->reader.what) {
    case H2_READ_PREFACE:
        return read_preface(c, in, len);
    case H2_READ_HEAD:
        return read_head(c, in, len);
    case H2_READ_PAYLOAD:
        return read_payload(c, in, len);
    case H2_READ_PADDING:
        data_head(c, in[0]);
        return 1;
    case H2_READ_DATA:
        return read_data(c, in, len);
    case H2_READ_SKIP:
        return read_skip(c, len);
    }
    UNREACHABLE();
}

/* Octets that the peer made us say.  A response's head is among them, a request's is not. */
static size_t queued_answers(const struct h2_conn *c)
{
    return buf_len(&c->control) - (c->role == H2_CLIENT ? c->control_sections : 0);
}

int h2_conn_feed(struct h2_conn *c, const void *in, size_t len, uint64_t now_us)
{
    const uint8_t *at = in, *end = len ? at + len : at;
    ASSERT(!c->busy);
    c->now_us = now_us;
    c->busy++;
    h2_conn_settle(c);
    while (at < end && !c->error) {
        at += read_some(c, at, (size_t)(end - at));
        if (queued_answers(c) > c->settings.max_queued_octets)
            h2_conn_fail(c, H2_BLAME_QUEUE);
        h2_conn_settle(c);
    }
    h2_conn_settle_early(c);
    c->busy--;
    return c->error;
}
