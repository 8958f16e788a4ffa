/* SPDX-License-Identifier: Apache-2.0 */
/* Octets out.  Control frames are written into one buffer when they are called for, which fixes
 * their order and HPACK's; DATA stays in the streams' chains until output is drawn. */
#include "http/h2_internal.h"
#include "base/err.h"

uint8_t *h2_send_frame(struct h2_conn *c, enum h2_frame_type type, unsigned flags, uint32_t id,
                       uint32_t payload_octets)
{
    uint8_t *p = (uint8_t *)buf_reserve(&c->control, H2_FRAME_HEAD_OCTETS + payload_octets);
    if (!p) {
        h2_conn_fail(c, H2_BLAME_MEMORY);
        return NULL;
    }
    h2_frame_head_write(p, payload_octets, type, flags, id);
    buf_added(&c->control, H2_FRAME_HEAD_OCTETS + payload_octets);
    return p + H2_FRAME_HEAD_OCTETS;
}

void h2_send_u32(struct h2_conn *c, enum h2_frame_type type, uint32_t id, uint32_t value)
{
    uint8_t *p = h2_send_frame(c, type, 0, id, 4);
    if (p)
        h2_put_u32(p, value);
}

void h2_send_reset(struct h2_conn *c, uint32_t id, enum h2_code code)
{
    h2_send_u32(c, H2_FRAME_RST_STREAM, id, code);
}

/* The payload at `start` + 9 is longer than the peer's largest frame: cut it up and put the heads
 * of CONTINUATION frames between.  RFC 9113 6.10 */
static int split_block(struct h2_conn *c, size_t start, enum h2_frame_type type, unsigned flags,
                       uint32_t id)
{
    const size_t head = H2_FRAME_HEAD_OCTETS, max = c->peer.max_frame_octets;
    size_t total = buf_len(&c->control) - start - head, cuts = (total - 1) / max;
    if (!buf_reserve(&c->control, cuts * head))
        return ERR_NOMEM;
    buf_added(&c->control, cuts * head);
    uint8_t *first = (uint8_t *)buf_at(&c->control) + start;
    for (size_t i = cuts; i > 0; i--) { /* from the end, so that nothing is overwritten */
        size_t len = i == cuts ? total - cuts * max : max;
        memmove(first + head + i * (max + head), first + head + i * max, len);
        h2_frame_head_write(first + i * (max + head), (uint32_t)len, H2_FRAME_CONTINUATION,
                            i == cuts ? H2_FLAG_END_HEADERS : 0, id);
    }
    h2_frame_head_write(first, (uint32_t)max, type, flags & ~(unsigned)H2_FLAG_END_HEADERS, id);
    return 0;
}

int h2_send_section(struct h2_conn *c, uint32_t id, uint32_t promised_id,
                    const struct http_head *head, const struct fields *fields, bool end)
{
    enum h2_frame_type type = promised_id ? H2_FRAME_PUSH_PROMISE : H2_FRAME_HEADERS;
    unsigned flags = H2_FLAG_END_HEADERS | (end ? H2_FLAG_END_STREAM : 0u);
    size_t start = buf_len(&c->control);
    uint8_t *p = h2_send_frame(c, type, flags, id, promised_id ? 4 : 0);
    if (!p)
        return ERR_NOMEM;
    if (promised_id)
        h2_put_u32(p, promised_id);
    int err = h2_head_write(c, &c->control, head, fields);
    if (err == 0) {
        size_t len = buf_len(&c->control) - start - H2_FRAME_HEAD_OCTETS;
        if (len > c->peer.max_frame_octets)
            err = split_block(c, start, type, flags, id);
        else
            h2_frame_head_write((uint8_t *)buf_at(&c->control) + start, (uint32_t)len, type, flags,
                                id);
    }
    if (err == 0) {
        c->control_sections += (uint32_t)(buf_len(&c->control) - start);
        return 0;
    }
    c->control.end = c->control.start + start; /* half a frame must not leave */
    return h2_conn_fail(c, H2_BLAME_MEMORY);
}

static bool sends(const struct h2_stream *s)
{
    return h2_state_next((enum h2_state)s->state, H2_EV_SEND_DATA) != H2_ILLEGAL;
}

void h2_send_update(struct h2_stream *s)
{
    bool ready = s->body.octets > 0 && s->send_window > 0 && s->head_sent && sends(s);
    if (ready == s->scheduled)
        return;
    if (ready)
        h2_sched_add(&s->conn->sched, s);
    else
        h2_sched_remove(&s->conn->sched, s);
}

static void end_sent(struct h2_stream *s)
{
    s->sending = H2_SEND_DONE;
    h2_stream_step_end(s, H2_EV_SEND_END);
}

/* The queued content has left, or there never was any: what ends the message needs no window. */
int h2_send_rest(struct h2_stream *s)
{
    struct h2_conn *c = s->conn;
    if (s->body.octets > 0 || !s->head_sent || !sends(s))
        return 0;
    if (s->sending == H2_SEND_TRAILERS) {
        int err = h2_send_section(c, s->id, 0, NULL, &s->trailers, true);
        if (err < 0)
            return err;
    } else if (s->sending == H2_SEND_END) {
        if (!h2_send_frame(c, H2_FRAME_DATA, H2_FLAG_END_STREAM, s->id, 0))
            return ERR_NOMEM;
    } else {
        return 0;
    }
    end_sent(s);
    return 0;
}

struct h2_stream *h2_conn_request(struct h2_conn *c, const struct http_head *head, bool end,
                                  void *stream_user, int *err_out)
{
    ASSERT(c->role == H2_CLIENT);
    if (h2_conn_can_open(c) == 0) {
        *err_out = c->error || c->going || c->peer_going ? ERR_CLOSED : ERR_LIMIT;
        return NULL;
    }
    *err_out = ERR_FIELDS_TOO_LARGE;
    if (!h2_section_fits(c, head, &head->fields))
        return NULL;
    struct h2_stream *s = h2_stream_new(c, c->next_id, true);
    *err_out = ERR_NOMEM;
    if (!s)
        return NULL;
    c->next_id += 2;
    s->user = stream_user;
    s->to_head = slice_eq(head->method, SLICE("HEAD"));
    s->tunnel = slice_eq(head->method, SLICE("CONNECT"));
    h2_stream_step(s, H2_EV_SEND_HEADERS);
    if (h2_send_section(c, s->id, 0, head, &head->fields, end) < 0) {
        h2_stream_close(s, H2_INTERNAL_ERROR);
        if (!c->busy)
            h2_stream_free_gone(c);
        return NULL;
    }
    s->surfaced = true;
    s->head_sent = true;
    if (end)
        end_sent(s);
    *err_out = 0;
    return s;
}

int h2_send_response(struct h2_stream *s, const struct http_head *head, bool end)
{
    struct h2_conn *c = s->conn;
    int err = h2_send_section(c, s->id, 0, head, &head->fields, end);
    if (err < 0)
        return err;
    h2_stream_step(s, H2_EV_SEND_HEADERS);
    s->head_sent = head->status >= 200;
    if (head->status >= 300)
        s->tunnel = false; /* CONNECT was refused: a message like others */
    if (end)
        end_sent(s);
    else
        h2_send_update(s);
    return 0;
}

int h2_stream_respond(struct h2_stream *s, const struct http_head *head, bool end)
{
    struct h2_conn *c = s->conn;
    ASSERT(c->role == H2_SERVER);
    if (head->status < 100 || head->status > 999 || head->status == 101 ||
        (end && head->status < 200))
        return ERR_USAGE; /* a worker's, perhaps: no reason to fall */
    if (s->gone || c->error ||
        h2_state_next((enum h2_state)s->state, H2_EV_SEND_HEADERS) == H2_ILLEGAL)
        return ERR_CLOSED;
    if (s->head_sent || s->held)
        return ERR_USAGE;
    if (s->promised && head->status >= 200)
        h2_promise_read_priority(s, head);
    if (h2_promise_must_wait(s))
        return h2_promise_hold(s, head, end);
    return h2_send_response(s, head, end);
}

static bool is_sendable(const struct h2_stream *s)
{
    return !s->gone && !s->conn->error && s->sending == H2_SEND_MORE && (sends(s) || s->held);
}

int h2_stream_body(struct h2_stream *s, struct slice octets, struct chunk *chunk, bool end)
{
    if (!is_sendable(s))
        return ERR_CLOSED;
    if (!s->head_sent && !s->held)
        return ERR_USAGE;
    int err = chain_add(&s->body, octets, chunk);
    if (err == 0)
        s->conn->queued += octets.len;
    if (err < 0)
        return err;
    if (end)
        s->sending = H2_SEND_END;
    h2_send_update(s);
    return h2_send_rest(s);
}

int h2_stream_trailers(struct h2_stream *s, const struct fields *trailers)
{
    if (!is_sendable(s))
        return ERR_CLOSED;
    if (!s->head_sent && !s->held)
        return ERR_USAGE;
    if (!h2_section_fits(s->conn, NULL, trailers))
        return ERR_FIELDS_TOO_LARGE;
    if (trailers->count == 0) {
        s->sending = H2_SEND_END;
        return h2_send_rest(s);
    }
    if (s->body.octets == 0 && s->head_sent)
        s->trailers = *trailers; /* borrowed: they leave before we return */
    else if (fields_copy(&s->arena, trailers, &s->trailers) < 0)
        return ERR_NOMEM;
    s->sending = H2_SEND_TRAILERS;
    return h2_send_rest(s);
}

/* One DATA frame of s into out, which has room for cap octets.
 * return  octets written; 0: too little room to be worth a frame */
static size_t write_data(struct h2_stream *s, uint8_t *out, size_t cap, bool must)
{
    struct h2_conn *c = s->conn;
    size_t queued = s->body.octets, len = queued;
    if (len > H2_DATA_OCTETS_MAX)
        len = H2_DATA_OCTETS_MAX;
    if (len > c->peer.max_frame_octets)
        len = c->peer.max_frame_octets;
    if ((int64_t)len > h2_stream_send_window(s))
        len = (size_t)h2_stream_send_window(s);
    if (s->woven)
        len = h2_sched_cut(s, len);
    if (cap < H2_FRAME_HEAD_OCTETS + len) {
        if (cap <= H2_FRAME_HEAD_OCTETS ||
            (!must && cap < H2_FRAME_HEAD_OCTETS + H2_DATA_OCTETS_MIN))
            return 0;
        len = cap - H2_FRAME_HEAD_OCTETS;
    }
    bool end = len == queued && s->sending == H2_SEND_END;
    h2_frame_head_write(out, (uint32_t)len, H2_FRAME_DATA, end ? H2_FLAG_END_STREAM : 0, s->id);
    chain_take(&s->body, out + H2_FRAME_HEAD_OCTETS, len);
    c->queued -= len;
    c->send_window -= (int64_t)len;
    s->send_window -= (int64_t)len;
    s->content_sent += len;
    if (c->window_earned < H2_WINDOW_EARNED_MAX)
        c->window_earned += H2_WINDOW_EARNED + (uint32_t)len / H2_WINDOW_EARNED_OCTETS;
    if (c->pings_earned < H2_PINGS_EARNED_MAX)
        c->pings_earned++;
    h2_sched_served(&c->sched, s);
    if (end)
        end_sent(s);
    else
        h2_send_rest(s);
    h2_send_update(s);
    if (c->events->on_sent && s->surfaced)
        c->events->on_sent(c->user, s, len);
    return H2_FRAME_HEAD_OCTETS + len;
}

static size_t write_control(struct h2_conn *c, uint8_t *out, size_t cap)
{
    size_t n = buf_len(&c->control);
    if (n > cap)
        n = cap;
    if (n) {
        memcpy(out, buf_at(&c->control), n);
        buf_consume(&c->control, n);
        if (c->control_sections > buf_len(&c->control))
            c->control_sections = (uint32_t)buf_len(&c->control);
    }
    return n;
}

/* The room is too small for the smallest frame, but something must move: a frame of one octet of
 * content goes by way of the control buffer. */
static size_t write_crumb(struct h2_conn *c, struct h2_stream *s, uint8_t *out, size_t cap)
{
    uint8_t frame[H2_FRAME_HEAD_OCTETS + 1];
    size_t n = write_data(s, frame, sizeof frame, true);
    size_t at = buf_len(&c->control); /* what write_data queued comes after it */
    if (!buf_reserve(&c->control, n)) {
        h2_conn_fail(c, H2_BLAME_MEMORY);
        return 0;
    }
    memmove(buf_at(&c->control) + n, buf_at(&c->control), at);
    memcpy(buf_at(&c->control), frame, n);
    buf_added(&c->control, n);
    return write_control(c, out, cap);
}

size_t h2_conn_output(struct h2_conn *c, void *out, size_t cap, uint64_t now_us)
{
    uint8_t *to = out;
    size_t n = 0;
    ASSERT(!c->busy);
    c->now_us = now_us;
    c->busy++;
    h2_conn_settle_early(c);
    while (n < cap) {
        n += write_control(c, to + n, cap - n);
        struct h2_stream *s = c->send_window > 0 && !c->error ? h2_sched_pick(&c->sched) : NULL;
        if (!s || n == cap)
            break;
        size_t wrote = write_data(s, to + n, cap - n, n == 0);
        if (wrote == 0 && n == 0)
            wrote = write_crumb(c, s, to, cap);
        n += wrote;
        h2_conn_settle_early(c);
        if (wrote == 0)
            break;
    }
    c->busy--;
    return n;
}

bool h2_conn_has_output(const struct h2_conn *c)
{
    if (buf_len(&c->control))
        return true;
    if (c->error)
        return !list_empty(&c->streams); /* their on_close is due */
    return (c->send_window > 0 && !h2_sched_is_empty(&c->sched)) || !list_empty(&c->early) ||
           h2_promise_can_release(c);
}
