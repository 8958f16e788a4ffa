/* SPDX-License-Identifier: Apache-2.0 */
/* DATA in, and flow control in both directions.  RFC 9113 5.2, 6.1, 6.9 */
#include "http/h2_internal.h"

/* The connection's credit is returned when half of it is used, whoever the octets were for: one
 * stream that is not read must not stop the others. */
static int conn_received(struct h2_conn *c, uint32_t octets)
{
    if (octets > c->recv_window)
        return h2_conn_fail(c, H2_BLAME_FLOW_CONN);
    c->recv_window -= octets;
    c->recv_unreturned += octets;
    if (c->recv_unreturned >= c->settings.conn_window / 2) {
        h2_send_u32(c, H2_FRAME_WINDOW_UPDATE, 0, c->recv_unreturned);
        c->recv_window += c->recv_unreturned;
        c->recv_unreturned = 0;
    }
    return 0;
}

static bool receives(const struct h2_stream *s)
{
    return h2_state_next((enum h2_state)s->state, H2_EV_RECV_DATA) != H2_ILLEGAL;
}

/* What is consumed before it is worth a WINDOW_UPDATE: half of the window that the peer knows. */
static uint32_t worth_returning(const struct h2_stream *s)
{
    bool is_known = s->conn->settings_acked || s->recv_size < H2_INITIAL_WINDOW;
    return (is_known ? s->recv_size : H2_INITIAL_WINDOW) / 2;
}

void h2_stream_consumed(struct h2_stream *s, size_t octets)
{
    struct h2_conn *c = s->conn;
    if (s->gone)
        return;
    ASSERT((int64_t)octets <= s->recv_held);
    s->recv_held -= (int64_t)octets;
    s->recv_unreturned += (uint32_t)octets;
    if (!receives(s) || s->recv_unreturned < worth_returning(s) || c->error)
        return;
    if (s->recv_unreturned == 0)
        return;
    h2_send_u32(c, H2_FRAME_WINDOW_UPDATE, s->id, s->recv_unreturned);
    s->recv_window += s->recv_unreturned;
    s->recv_unreturned = 0;
}

void h2_stream_consumed_all(struct h2_stream *s)
{
    h2_stream_consumed(s, (size_t)s->recv_held);
}

void h2_stream_widen(struct h2_stream *s, uint32_t octets)
{
    ASSERT(octets / 2 >= s->conn->settings.stream_window && octets <= H2_WINDOW_MAX / 2);
    if (s->gone || octets <= s->recv_size)
        return;
    s->recv_unreturned += octets - s->recv_size; /* half of it or more, so it goes at once */
    s->recv_size = octets;
    h2_stream_consumed(s, 0);
}

void h2_stream_widen_most(struct h2_stream *s)
{
    uint32_t most = s->conn->settings.conn_window;
    if (most / 2 >= s->conn->settings.stream_window && most <= H2_WINDOW_MAX / 2)
        h2_stream_widen(s, most);
}

int h2_data_begin(struct h2_conn *c, const struct h2_frame *f, uint32_t padding_octets,
                  bool *deliver_out)
{
    bool end = f->flags & H2_FLAG_END_STREAM;
    uint32_t content = f->len - padding_octets;
    *deliver_out = false;
    int err = conn_received(c, f->len);
    if (err == 0 && content == 0 && !end)
        err = h2_conn_charge(c, H2_BUDGET_empty, 1);
    if (err < 0)
        return err;
    struct h2_stream *s = h2_stream_find(c, f->stream_id);
    if (!s || !receives(s))
        return h2_frame_misplaced(c, s, f->stream_id, H2_EV_RECV_DATA);
    if (!s->head_seen)
        return h2_stream_fail(s, H2_BLAME_MESSAGE_ORDER);
    if (f->len && f->len > s->recv_window) /* which may be below 0 */
        return h2_stream_fail(s, H2_BLAME_STREAM_FLOW);
    if (s->content_left >= 0) { /* RFC 9113 8.1.1 */
        if (content > s->content_left || (end && content != s->content_left))
            return h2_stream_fail(s, H2_BLAME_MESSAGE_LENGTH);
        s->content_left -= content;
    }
    s->recv_window -= f->len;
    s->recv_held += padding_octets; /* and the content as it comes */
    if (padding_octets)
        h2_stream_consumed(s, padding_octets);
    *deliver_out = content > 0 || end;
    return 0;
}

int h2_data_piece(struct h2_conn *c, uint32_t id, struct slice octets, bool end)
{
    struct h2_stream *s = h2_stream_find(c, id);
    if (!s) /* reset since its frame began; what comes late is dropped */
        return 0;
    s->recv_held += (int64_t)octets.len;
    if (end)
        h2_stream_step_end(s, H2_EV_RECV_END);
    if (c->events->on_body)
        c->events->on_body(c->user, s, octets, end);
    return c->error;
}

/* RFC 9113 6.9.1 */
int h2_on_window_update(struct h2_conn *c, const struct h2_frame *f)
{
    uint32_t add = h2_get_u32(f->payload) & 0x7fffffff;
    int err = h2_conn_charge_unearned(c, H2_BUDGET_window, &c->window_earned);
    if (err < 0)
        return err;
    if (f->stream_id == 0) {
        if (add == 0)
            return h2_conn_fail(c, H2_BLAME_FLOW_ZERO);
        if (c->send_window + add > H2_WINDOW_MAX)
            return h2_conn_fail(c, H2_BLAME_FLOW_OVERFLOW);
        c->send_window += add;
        return 0;
    }
    struct h2_stream *s = h2_stream_find(c, f->stream_id);
    if (!s || h2_state_next((enum h2_state)s->state, H2_EV_RECV_WINDOW) == H2_ILLEGAL)
        return h2_frame_misplaced(c, s, f->stream_id, H2_EV_RECV_WINDOW);
    if (add == 0)
        return h2_stream_fail(s, H2_BLAME_STREAM_FLOW_ZERO);
    if (s->send_window + add > H2_WINDOW_MAX)
        return h2_stream_fail(s, H2_BLAME_STREAM_FLOW_OVERFLOW);
    s->send_window += add;
    h2_send_update(s);
    return 0;
}

int h2_window_set_initial(struct h2_conn *c, uint32_t octets)
{
    int64_t delta = (int64_t)octets - c->peer.initial_window;
    if (delta == 0)
        return 0;
    c->peer.initial_window = octets;
    LIST_FOR(node, &c->streams)
    {
        struct h2_stream *s = LIST_ENTRY(node, struct h2_stream, all);
        s->send_window += delta;
        if (s->send_window > H2_WINDOW_MAX)
            return h2_conn_fail(c, H2_BLAME_FLOW_OVERFLOW);
        h2_send_update(s);
    }
    return 0;
}

/* Until then the peer could believe in the initial value of the RFC, if that is larger. */
void h2_window_settings_acked(struct h2_conn *c)
{
    int64_t delta = (int64_t)c->settings.stream_window - c->local_initial_window;
    c->local_initial_window = c->settings.stream_window;
    LIST_FOR(node, &c->streams)
    LIST_ENTRY(node, struct h2_stream, all)->recv_window += delta;
}
