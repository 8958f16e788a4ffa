/* SPDX-License-Identifier: Apache-2.0 */
#include "h2_both.h"
#include "base/panic.h"

void h2_both_init(struct h2_both *b)
{
    memset(b, 0, sizeof *b);
    pool_init(&b->pool);
    pool_init(&b->own);
    h2_reader_init(&b->ours, &b->own);
    h2_reader_init(&b->judge, &b->own);
    b->judge.is_judge = true;
}

void h2_both_fini(struct h2_both *b)
{
    h2_conn_free(b->conn);
    nghttp2_session_del(b->session);
    ASSERT(b->pool.live == 0);
    h2_reader_fini(&b->ours);
    h2_reader_fini(&b->judge);
    ASSERT(b->own.live == 0);
    pool_fini(&b->own);
    pool_fini(&b->pool);
}

/* ---- ours ---- */

void h2_both_body(struct h2_both *b, struct h2_stream *s, struct slice octets, bool end)
{
    struct h2_message *m = h2_message(&b->ours, h2_stream_id(s));
    ASSERT(m->has_head && !m->has_ended);
    buf_add(&m->content, octets.p, octets.len);
    h2_stream_consumed(s, octets.len);
    m->has_ended = end;
}

void h2_both_trailers(struct h2_both *b, struct h2_stream *s, const struct fields *trailers)
{
    struct h2_message *m = h2_message(&b->ours, h2_stream_id(s));
    ASSERT(m->has_head && !m->has_ended);
    for (uint32_t i = 0; i < trailers->count; i++)
        h2_message_add(&b->ours, m, trailers->at[i].name, trailers->at[i].value);
    m->has_ended = true;
}

static void draw(struct h2_both *b)
{
    static char out[65536];
    while (h2_conn_has_output(b->conn))
        h2_conn_output(b->conn, out, sizeof out, 0);
}

static void feed_ours(struct h2_both *b, struct slice in, size_t step)
{
    draw(b);
    while (in.len && !b->ours.is_over) {
        size_t n = step && step < in.len ? step : in.len;
        if (h2_conn_feed(b->conn, in.p, n, 0) < 0)
            b->ours.is_over = true;
        in = slice_of(in.p + n, in.len - n);
    }
    draw(b);
    b->ours.is_over |= h2_conn_is_over(b->conn);
}

/* ---- the judge ---- */

static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                             const uint8_t *name, size_t name_len, const uint8_t *value,
                             size_t value_len, uint8_t flags, void *user)
{
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* malformed, rather than left out */
}

static int on_error(nghttp2_session *session, int code, const char *text, size_t len, void *user)
{
    struct h2_both *b = user;
    h2_message_refused(&b->judge, text);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *octets,
                   size_t len, void *user)
{
    struct h2_both *b = user;
    buf_add(&h2_message(&b->judge, (uint32_t)id)->content, octets, len);
    return 0;
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *head, void *user)
{
    struct h2_reader *r = &((struct h2_both *)user)->judge;
    const uint8_t last = NGHTTP2_FLAG_END_STREAM | NGHTTP2_FLAG_PADDED;
    bool is_last = head->type == NGHTTP2_DATA && (head->flags & last) == last;
    for (unsigned i = 0; is_last && i < r->count; i++)
        r->at[i].has_last_begun |= r->at[i].id == (uint32_t)head->stream_id;
    return 0;
}

nghttp2_session_callbacks *h2_both_callbacks(nghttp2_on_header_callback on_header,
                                             nghttp2_on_frame_recv_callback on_frame)
{
    nghttp2_session_callbacks *c;
    ASSERT(nghttp2_session_callbacks_new(&c) == 0);
    nghttp2_session_callbacks_set_on_header_callback(c, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame);
    nghttp2_session_callbacks_set_on_invalid_header_callback(c, on_invalid_header);
    nghttp2_session_callbacks_set_error_callback2(c, on_error);
    nghttp2_session_callbacks_set_on_begin_frame_callback(c, on_begin_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data);
    return c;
}

static void feed_judge(struct h2_both *b, struct slice in)
{
    const uint8_t *out;
    if (nghttp2_session_mem_recv(b->session, (const uint8_t *)in.p, in.len) < 0) {
        b->judge.is_over = true;
        return;
    }
    while (nghttp2_session_mem_send(b->session, &out) > 0)
        ;
    b->judge.is_over = !nghttp2_session_want_read(b->session);
}

bool h2_both_lacks_padding(struct h2_both *b, const struct h2_message *ours)
{
    const struct h2_message *judge = h2_message(&b->judge, ours->id);
    return judge->has_last_begun && slice_eq(buf_slice(&ours->content), buf_slice(&judge->content));
}

void h2_both_feed(struct h2_both *b, struct slice in, size_t step)
{
    feed_ours(b, in, step);
    feed_judge(b, in);
}
