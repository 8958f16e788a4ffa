/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 by libnghttp2, which also judges each frame. */
#include "soak.h"

#include <stdlib.h>
#include <string.h>

static struct request *request_of(nghttp2_session *h2, int32_t stream)
{
    return nghttp2_session_get_stream_user_data(h2, stream);
}

/* r has ended one way or another while its stream may still be known. */
static void let_go(struct request *r, enum outcome o, const char *why)
{
    struct conn *c = r->conn;
    nghttp2_session_set_stream_user_data(c->h2, r->stream, NULL);
    c->open--;
    c->served++;
    request_over(c->soak, r, o, why);
}

void h2_give_up(struct request *r, enum outcome o, const char *why)
{
    nghttp2_submit_rst_stream(r->conn->h2, 0, r->stream, NGHTTP2_CANCEL);
    r->conn->want_flush = true;
    let_go(r, o, why);
}

void h2_read_slowly(struct request *r)
{
    uint32_t n = r->unread < SLOW_STEP_OCTETS ? r->unread : SLOW_STEP_OCTETS;
    if (n) {
        nghttp2_session_consume_stream(r->conn->h2, r->stream, n);
        r->unread -= n;
        r->conn->want_flush = true;
    }
}

/* The front end says that it did not act on the request: it may be asked again, elsewhere. */
static void move(struct request *r)
{
    struct conn *c = r->conn;
    struct soak *s = c->soak;
    nghttp2_session_set_stream_user_data(c->h2, r->stream, NULL);
    if (++r->moves > 5) {
        let_go(r, OUT_FAILED, "refused again and again");
        return;
    }
    s->counts[c->kind][OUT_MOVED]++;
    c->open--;
    r->conn = NULL;
    r->stream = 0;
    r->sent_any = false;
    r->up_sent = 0;
    r->unread = 0;
    if (r->up_sum)
        EVP_DigestInit_ex(r->up_sum, EVP_sha256(), NULL);
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
    struct request *r = request_of(h2, frame->hd.stream_id);
    (void)flags;
    (void)user;
    if (!r)
        return 0;
    if (name_len == 7 && memcmp(name, ":status", 7) == 0) {
        r->status = (unsigned)atoi((const char *)value);
        return 0;
    }
    const char *why = request_on_field(r, (const char *)name, name_len, (const char *)value,
                                       value_len, r->head_us != 0);
    if (why)
        h2_give_up(r, OUT_WRONG, why);
    return 0;
}

static int on_frame(nghttp2_session *h2, const nghttp2_frame *frame, void *user)
{
    struct conn *c = user;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        c->goaway = true;
        return 0;
    }
    struct request *r = frame->hd.stream_id ? request_of(h2, frame->hd.stream_id) : NULL;
    if (!r)
        return 0;
    const char *why = NULL;
    if (frame->hd.type == NGHTTP2_HEADERS && !r->head_us && r->status >= 200) {
        r->head_us = c->soak->now_us;
        why = request_on_head(r);
    }
    bool ends = (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
                frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (why) {
        h2_give_up(r, OUT_WRONG, why);
    } else if (ends) {
        why = request_on_end(r);
        if (request_has_upload(r) && r->up_sent < r->up) /* nobody wants the rest */
            nghttp2_submit_rst_stream(h2, 0, r->stream, NGHTTP2_CANCEL);
        if (why)
            let_go(r, OUT_WRONG, why);
        else
            let_go(r, request_outcome(r), "not the app's answer");
    }
    return 0;
}

static int on_invalid(nghttp2_session *h2, const nghttp2_frame *frame, int code, void *user)
{
    struct conn *c = user;
    struct request *r = frame->hd.stream_id ? request_of(h2, frame->hd.stream_id) : NULL;
    if (r)
        let_go(r, OUT_WRONG, nghttp2_strerror(code));
    else
        report_wrong(c->soak, c, nghttp2_strerror(code));
    return 0;
}

static int on_chunk(nghttp2_session *h2, uint8_t flags, int32_t stream, const uint8_t *p,
                    size_t len, void *user)
{
    struct request *r = request_of(h2, stream);
    (void)flags;
    (void)user;
    nghttp2_session_consume_connection(h2, len);
    if (!r)
        return 0;
    if (r->slow)
        r->unread += (uint32_t)len;
    else
        nghttp2_session_consume_stream(h2, stream, len);
    const char *why = request_on_octets(r, p, len);
    if (why)
        h2_give_up(r, OUT_WRONG, why);
    else if (request_wants_abort(r))
        h2_give_up(r, OUT_ABORTED, NULL);
    return 0;
}

static int on_sent(nghttp2_session *h2, const nghttp2_frame *frame, void *user)
{
    struct request *r =
        frame->hd.type == NGHTTP2_HEADERS ? request_of(h2, frame->hd.stream_id) : NULL;
    (void)user;
    if (r)
        r->sent_any = true;
    return 0;
}

static int on_close(nghttp2_session *h2, int32_t stream, uint32_t code, void *user)
{
    struct request *r = request_of(h2, stream);
    struct conn *c = user;
    char why[64];
    if (!r)
        return 0;
    if (!r->head_us && (code == NGHTTP2_REFUSED_STREAM || !r->sent_any)) {
        move(r);
        return 0;
    }
    nghttp2_session_set_stream_user_data(h2, stream, NULL);
    c->open--;
    snprintf(why, sizeof why, "RST_STREAM %s", nghttp2_http2_strerror(code));
    request_lost(c->soak, r, why);
    return 0;
}

static ssize_t read_upload(nghttp2_session *h2, int32_t stream, uint8_t *to, size_t cap,
                           uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct request *r = request_of(h2, stream);
    (void)source;
    (void)user;
    if (!r)
        return NGHTTP2_ERR_DEFERRED;
    if (r->abort_when == ABORT_AFTER_UP && r->abort_at - r->up_sent < cap) {
        cap = r->abort_at - r->up_sent;
        if (cap == 0)
            return NGHTTP2_ERR_DEFERRED; /* the clock will give it up */
    }
    size_t n = request_upload(r, to, cap);
    if (r->up_sent == r->up)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

bool h2_init(struct conn *c)
{
    nghttp2_session_callbacks *on;
    nghttp2_option *option;
    nghttp2_settings_entry set[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE,
         soak_chance(c->soak, 500) ? 65535 : 16384 + soak_below(c->soak, 1u << 20)},
    };
    if (nghttp2_session_callbacks_new(&on) != 0 || nghttp2_option_new(&option) != 0)
        return false;
    nghttp2_session_callbacks_set_on_header_callback(on, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(on, on_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(on, on_invalid);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(on, on_chunk);
    nghttp2_session_callbacks_set_on_frame_send_callback(on, on_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(on, on_close);
    nghttp2_option_set_no_auto_window_update(option, 1);
    int err = nghttp2_session_client_new2(&c->h2, on, c, option);
    nghttp2_session_callbacks_del(on);
    nghttp2_option_del(option);
    return err == 0 &&
           nghttp2_submit_settings(c->h2, NGHTTP2_FLAG_NONE, set, sizeof set / sizeof *set) == 0 &&
           nghttp2_session_set_local_window_size(c->h2, NGHTTP2_FLAG_NONE, 0, 4 << 20) == 0;
}

static nghttp2_nv field(const char *name, const char *value, size_t value_len)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                        value_len, NGHTTP2_NV_FLAG_NONE};
}

bool h2_begin(struct conn *c, struct request *r)
{
    struct soak *s = c->soak;
    char path[512], authority[96], length[16];
    bool tls = c->kind == KIND_H2_TLS;
    size_t path_len = request_path(s, r, path, sizeof path);
    int authority_len = snprintf(authority, sizeof authority, "%s:%u", s->apps[r->app].host,
                                 tls ? s->opt.https_port : s->opt.http_port);
    int length_len = snprintf(length, sizeof length, "%u", r->up);
    const char *method = request_method(r), *scheme = tls ? "https" : "http";
    nghttp2_data_provider upload = {.read_callback = read_upload};
    nghttp2_nv fields[8];
    size_t n = 0;
    fields[n++] = field(":method", method, strlen(method));
    fields[n++] = field(":scheme", scheme, strlen(scheme));
    fields[n++] = field(":authority", authority, (size_t)authority_len);
    fields[n++] = field(":path", path, path_len);
    fields[n++] = field("user-agent", "soak", 4);
    if (request_has_upload(r) && !r->up_chunked)
        fields[n++] = field("content-length", length, (size_t)length_len);
    if (r->early)
        fields[n++] = field("te", "trailers", 8);
    r->stream =
        nghttp2_submit_request(c->h2, NULL, fields, n, request_has_upload(r) ? &upload : NULL, r);
    return r->stream > 0;
}

const char *h2_feed(struct conn *c, const uint8_t *p, size_t len, bool *wrong)
{
    ssize_t n = nghttp2_session_mem_recv(c->h2, p, len);
    if (n >= 0)
        return NULL;
    *wrong = true;
    return nghttp2_strerror((int)n);
}

void h2_produce(struct conn *c)
{
    const uint8_t *p;
    while (c->out.len < OUT_HIGH) {
        ssize_t n = nghttp2_session_mem_send(c->h2, &p);
        if (n <= 0)
            return;
        conn_put(c, p, (size_t)n);
    }
}
