/* SPDX-License-Identifier: Apache-2.0 */
/* Field blocks in: HEADERS, PUSH_PROMISE and CONTINUATION.  RFC 9113 4.3, 6.2, 6.6, 6.10
 *
 * Each block is decoded, whatever becomes of its stream: the HPACK table is the connection's. */
#include "http/h2_internal.h"
#include "base/err.h"

/* What a worker says is often what a client made it say: the connection, which others use, too,
 * does not end for that before HPACK's own limit. */
size_t h2_block_octets_max(const struct h2_conn *c)
{
    size_t section = c->settings.max_field_section_octets;
    return section * (c->role == H2_CLIENT ? HPACK_SECTION_TIMES : 1) + H2_BLOCK_SLACK_OCTETS;
}

/* Decode a block that nobody is to see. */
static int discard_block(struct h2_conn *c, struct slice block)
{
    struct arena arena;
    arena_init(&arena, c->pool);
    struct h2_head_reader r = {.arena = &arena, .section = H2_SECTION_TRAILERS};
    h2_head_read(c, &r, block, true); /* what is wrong with it matters to nobody */
    arena_fini(&arena);
    return c->error;
}

/* The block decoded badly.  HPACK, size and memory: the connection is over already. */
static int head_failed(struct h2_conn *c, struct h2_stream *s, int err)
{
    if (c->error)
        return c->error;
    if (err == ERR_FIELDS_TOO_LARGE)
        return h2_stream_fail(s, H2_BLAME_FIELDS_LARGE);
    c->block.flaw = err;
    return h2_stream_fail(s, H2_BLAME_MESSAGE);
}

/* RFC 6585 5: a client learns more from a status than from a reset. */
static int answer_431(struct h2_stream *s, bool end)
{
    const struct http_head head = {.status = 431};
    struct h2_conn *c = s->conn;
    if (end)
        h2_stream_step(s, H2_EV_RECV_END);
    else
        s->forgiving = true;
    h2_send_section(c, s->id, 0, &head, &head.fields, true);
    if (!end)
        h2_send_reset(c, s->id, H2_NO_ERROR);
    int err = h2_charge_refusal(c, H2_BLAME_FIELDS_LARGE);
    h2_stream_close(s, H2_NO_ERROR);
    return err;
}

/* A client pays an octet for what HPACK makes kilobytes of, and for as long as it does not take the
 * answers all of it is held. */
static bool sections_fit(const struct h2_conn *c)
{
    return c->sections_octets < c->settings.max_sections_octets;
}

static void set_request_priority(struct h2_conn *c, struct h2_stream *s, struct slice field)
{
    for (size_t i = 0; i < H2_EARLY_PRIORITIES; i++)
        if (c->early_priority[i].id == s->id) {
            s->priority = c->early_priority[i].priority;
            c->early_priority[i].id = 0;
            return;
        }
    if (field.len)
        priority_parse(field, &s->priority);
}

static int open_request(struct h2_conn *c, struct slice block)
{
    uint32_t id = c->block.stream_id;
    bool end = c->block.end_stream;
    c->last_peer_id = id;
    if (id > c->goaway_last) { /* RFC 9113 6.8 */
        h2_id_remember(c, id, true);
        return discard_block(c, block);
    }
    if (c->open_peer >= c->settings.max_concurrent_streams) {
        int err = discard_block(c, block);
        return err < 0 ? err : h2_refuse(c, id, H2_BLAME_STREAMS);
    }
    if (!sections_fit(c)) {
        int err = discard_block(c, block);
        return err < 0 ? err : h2_refuse(c, id, H2_BLAME_SECTIONS);
    }
    struct h2_stream *s = h2_stream_new(c, id, false);
    if (!s)
        return h2_conn_fail(c, H2_BLAME_MEMORY);
    h2_stream_step(s, H2_EV_RECV_HEADERS);
    struct h2_head_reader r = {.arena = &s->arena,
                               .section = H2_SECTION_REQUEST,
                               .connect_enabled = c->settings.enable_connect};
    int err = h2_head_read(c, &r, block, end);
    if (err == ERR_FIELDS_TOO_LARGE)
        return answer_431(s, end);
    if (err < 0)
        return head_failed(c, s, err);
    if (c->block.self_dependent)
        return h2_stream_fail(s, H2_BLAME_STREAM_PRIORITY_SELF);
    h2_stream_count_sections(s, s->arena.octets);
    set_request_priority(c, s, r.priority);
    s->head_seen = true;
    s->tunnel = slice_eq(r.head->method, SLICE("CONNECT"));
    if (s->tunnel)
        r.head->content_length = -1; /* what follows is no content */
    s->content_left = r.head->content_length;
    s->surfaced = true;
    if (end)
        h2_stream_step_end(s, H2_EV_RECV_END);
    if (c->events->on_head)
        c->events->on_head(c->user, s, r.head, end);
    return c->error;
}

static int take_trailers(struct h2_conn *c, struct h2_stream *s, struct slice block)
{
    struct h2_head_reader r = {.arena = &s->arena, .section = H2_SECTION_TRAILERS};
    size_t before = s->arena.octets;
    int err = h2_head_read(c, &r, block, true);
    if (err < 0)
        return head_failed(c, s, err);
    /* RFC 9113 8.1: a section that does not end the message is no trailer section; 8.5: a tunnel
     * has none. */
    if (!c->block.end_stream || s->tunnel)
        return h2_stream_fail(s, H2_BLAME_MESSAGE_ORDER);
    if (s->content_left > 0)
        return h2_stream_fail(s, H2_BLAME_MESSAGE_LENGTH);
    if (c->block.self_dependent)
        return h2_stream_fail(s, H2_BLAME_STREAM_PRIORITY_SELF);
    if (c->role == H2_SERVER)
        h2_stream_count_sections(s, s->arena.octets - before);
    if (!sections_fit(c))
        return h2_stream_fail(s, H2_BLAME_FIELDS_LARGE);
    h2_stream_step_end(s, H2_EV_RECV_END);
    if (c->events->on_trailers)
        c->events->on_trailers(c->user, s, &r.head->fields);
    return c->error;
}

static int take_response(struct h2_conn *c, struct h2_stream *s, struct slice block)
{
    bool end = c->block.end_stream;
    struct h2_head_reader r = {.arena = &s->arena, .section = H2_SECTION_RESPONSE};
    size_t before = s->arena.octets;
    h2_stream_step(s, H2_EV_RECV_HEADERS);
    int err = h2_head_read(c, &r, block, end);
    if (err < 0)
        return head_failed(c, s, err);
    if (r.head->status < 200) {
        s->informational_octets += (uint32_t)(s->arena.octets - before);
        if (++s->informational > H2_INFORMATIONAL_MAX ||
            s->informational_octets > c->settings.max_field_section_octets)
            return h2_stream_fail(s, H2_BLAME_INFORMATIONAL);
    } else {
        bool none = s->to_head || r.head->status == 204 || r.head->status == 304;
        s->head_seen = true;
        s->tunnel &= r.head->status < 300; /* else CONNECT was refused: a message like others */
        /* RFC 9110 8.6: to HEAD, and with 304, the length is that of content which is not sent. */
        if (s->tunnel)
            r.head->content_length = -1; /* RFC 9110 9.3.6: any 2xx, and the length is ignored */
        else if (none)
            s->content_left = 0;
        else
            s->content_left = r.head->content_length;
        if (end && s->content_left > 0)
            return h2_stream_fail(s, H2_BLAME_MESSAGE_LENGTH);
    }
    if (end)
        h2_stream_step_end(s, H2_EV_RECV_END);
    if (c->events->on_head)
        c->events->on_head(c->user, s, r.head, end);
    return c->error;
}

static int headers_complete(struct h2_conn *c, struct slice block)
{
    uint32_t id = c->block.stream_id;
    struct h2_stream *s = h2_stream_find(c, id);
    if (!s && c->role == H2_SERVER && (id & 1) && h2_id_is_idle(c, id))
        return open_request(c, block);
    if (!s || h2_state_next((enum h2_state)s->state, H2_EV_RECV_HEADERS) == H2_ILLEGAL) {
        int err = discard_block(c, block);
        return err < 0 ? err : h2_frame_misplaced(c, s, id, H2_EV_RECV_HEADERS);
    }
    return s->head_seen ? take_trailers(c, s, block) : take_response(c, s, block);
}

/* RFC 9113 8.4 */
static int promise_complete(struct h2_conn *c, struct slice block)
{
    uint32_t promised_id = c->block.promised_id;
    struct h2_stream *parent = h2_stream_find(c, c->block.stream_id);
    bool usable = parent && !c->going;
    c->last_peer_id = promised_id;
    if (!usable || c->reserved + c->open_peer >= c->settings.max_concurrent_streams) {
        int err = discard_block(c, block);
        return err < 0 ? err : h2_refuse(c, promised_id, H2_BLAME_STREAMS);
    }
    struct h2_stream *s = h2_stream_new(c, promised_id, false);
    if (!s)
        return h2_conn_fail(c, H2_BLAME_MEMORY);
    h2_stream_step(s, H2_EV_RECV_PROMISE);
    s->promised = true;
    s->sending = H2_SEND_DONE;
    struct h2_head_reader r = {.arena = &s->arena, .section = H2_SECTION_PROMISE};
    int err = h2_head_read(c, &r, block, true);
    if (err < 0)
        return head_failed(c, s, err);
    s->to_head = slice_eq(r.head->method, SLICE("HEAD"));
    s->surfaced = true;
    if (c->events->on_promise)
        c->events->on_promise(c->user, parent, s, r.head);
    else
        h2_stream_reset(s, H2_CANCEL);
    return c->error;
}

static int block_complete(struct h2_conn *c, struct slice block)
{
    int err = c->block.promised_id ? promise_complete(c, block) : headers_complete(c, block);
    c->block.stream_id = 0;
    return err;
}

/* The first part of a block.  RFC 9113 4.3 */
static int block_begin(struct h2_conn *c, const struct h2_frame *f, struct slice part,
                       uint32_t promised_id, bool self_dependent)
{
    c->block.stream_id = f->stream_id;
    c->block.promised_id = promised_id;
    c->block.frames = 1;
    c->block.end_stream = !promised_id && (f->flags & H2_FLAG_END_STREAM);
    c->block.self_dependent = self_dependent;
    if (f->flags & H2_FLAG_END_HEADERS)
        return block_complete(c, part);
    if (buf_add(&c->block.octets, part.p, part.len) < 0)
        return h2_conn_fail(c, H2_BLAME_MEMORY);
    return 0;
}

int h2_on_continuation(struct h2_conn *c, const struct h2_frame *f)
{
    if (!c->block.stream_id)
        return h2_conn_fail(c, H2_BLAME_FRAME_CONTINUATION);
    size_t octets = buf_len(&c->block.octets) + f->len;
    if (++c->block.frames > H2_BLOCK_FRAMES_MAX || octets > h2_block_octets_max(c))
        return h2_conn_fail(c, H2_BLAME_BLOCK_SIZE);
    if (f->len == 0) {
        int err = h2_conn_charge(c, H2_BUDGET_empty, 1);
        if (err < 0)
            return err;
    }
    if (buf_add(&c->block.octets, f->payload, f->len) < 0)
        return h2_conn_fail(c, H2_BLAME_MEMORY);
    if (!(f->flags & H2_FLAG_END_HEADERS))
        return 0;
    int err = block_complete(c, buf_slice(&c->block.octets));
    buf_fini(&c->block.octets);
    return err;
}

/* Cuts padding off.  return  false when there is more of it than payload (RFC 9113 6.1) */
static bool cut_padding(const struct h2_frame *f, struct slice *part_out)
{
    *part_out = slice_of(f->payload, f->len);
    if (!(f->flags & H2_FLAG_PADDED))
        return true;
    if (f->len == 0 || f->payload[0] >= f->len)
        return false;
    *part_out = slice_of(f->payload + 1, f->len - 1 - f->payload[0]);
    return true;
}

int h2_on_headers(struct h2_conn *c, const struct h2_frame *f)
{
    struct slice part;
    bool self_dependent = false;
    if (!cut_padding(f, &part))
        return h2_conn_fail(c, H2_BLAME_FRAME_PADDING);
    if (f->flags & H2_FLAG_PRIORITY) { /* RFC 9113 5.3.2: ignored, but it has a format */
        if (part.len < 5)
            return h2_conn_fail(c, H2_BLAME_FRAME_SIZE);
        self_dependent = (h2_get_u32((const uint8_t *)part.p) & 0x7fffffff) == f->stream_id;
        part.p += 5;
        part.len -= 5;
    }
    return block_begin(c, f, part, 0, self_dependent);
}

int h2_on_push_promise(struct h2_conn *c, const struct h2_frame *f)
{
    struct slice part;
    if (c->role == H2_SERVER || !c->settings.enable_push)
        return h2_conn_fail(c, H2_BLAME_PROMISE_NOT_ENABLED);
    if (!cut_padding(f, &part))
        return h2_conn_fail(c, H2_BLAME_FRAME_PADDING);
    if (part.len < 4)
        return h2_conn_fail(c, H2_BLAME_FRAME_SIZE);
    uint32_t promised_id = h2_get_u32((const uint8_t *)part.p) & 0x7fffffff;
    part.p += 4;
    part.len -= 4;
    if ((promised_id & 1) || promised_id <= c->last_peer_id)
        return h2_conn_fail(c, H2_BLAME_PROMISE_ID);
    /* RFC 9113 6.6: the parent is one that we opened, and the peer has not ended.  One that we have
     * reset may still get promises that were under way. */
    struct h2_stream *parent = h2_stream_find(c, f->stream_id);
    bool known;
    if (!h2_id_is_local(c, f->stream_id) || (!parent && h2_id_is_idle(c, f->stream_id)) ||
        (parent && parent->state != H2_OPEN && parent->state != H2_HALF_LOCAL) ||
        (!parent && !h2_id_is_forgiven(c, f->stream_id, &known)))
        return h2_conn_fail(c, H2_BLAME_PROMISE_PARENT);
    return block_begin(c, f, part, promised_id, false);
}
