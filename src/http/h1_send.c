/* SPDX-License-Identifier: Apache-2.0 */
#include "http/h1_impl.h"
#include "http/rules.h"

/* ---- sending a head ---- */

/* The head is written: next is how its content goes on. */
static void begin_content(struct h1_conn *c, enum h1_out next, const struct h1_plan *plan,
                          const struct http_head *head)
{
    c->frame_body = next == OUT_CHUNKED;
    c->out_left = next == OUT_FIXED && plan->length ? (uint64_t)head->content_length : 0;
    if (plan->close)
        c->keep = false;
    h1_set_out(c, next);
}

static int send_request(struct h1_conn *c, const struct http_head *head, bool end, bool close)
{
    bool connect = slice_eq(head->method, SLICE("CONNECT"));
    struct http_head plain = *head;
    struct h1_plan plan = {.close = close};
    enum h1_out next = OUT_ENDED;
    if (!h1_conn_is_idle(c) || c->shutdown || c->eof)
        return ERR_USAGE;
    if (!rules_is_token(head->method) || (head->protocol.len && !rules_is_upgrade(head->protocol)))
        return ERR_USAGE;
    /* A switch of protocols begins where the request ends, so it has no content here. */
    if ((connect || head->protocol.len) && (!end || head->content_length > 0))
        return ERR_USAGE;
    if (end && head->content_length > 0)
        return ERR_USAGE;
    /* Methods that mean something by their content say so when there is none.  RFC 9110 8.6 */
    if (end && (slice_eq(head->method, SLICE("POST")) || slice_eq(head->method, SLICE("PUT")) ||
                slice_eq(head->method, SLICE("PATCH"))))
        plain.content_length = 0;
    plan.length = !connect && plain.content_length >= 0;
    if (!end) {
        next = plan.length ? OUT_FIXED : OUT_CHUNKED;
        plan.coded = !plan.length;
    }
    int err = h1_write_request(&c->out_head, &plain, &plan);
    if (err)
        return err;
    c->is_head = slice_eq(head->method, SLICE("HEAD"));
    c->is_connect = connect;
    c->upgrade_asked = head->protocol.len != 0;
    begin_content(c, next, &plan, head);
    return 0;
}

/* 1xx without 101: the final response is still due.  RFC 9110 15.2 */
static int send_informational(struct h1_conn *c, const struct http_head *head, bool end)
{
    struct http_head plain = *head;
    const struct h1_plan plan = {.length = false};
    if (end)
        return ERR_USAGE;
    if (c->minor_0)
        return 0;
    plain.protocol = (struct slice){"", 0};
    return h1_write_response(&c->out_head, &plain, &plan);
}

static int send_switch(struct h1_conn *c, const struct http_head *head, bool end)
{
    struct http_head plain = *head;
    const struct h1_plan plan = {.length = false};
    if (end || c->in != IN_HELD)
        return ERR_USAGE;
    if (head->status != 101)
        plain.protocol = (struct slice){"", 0};
    int err = h1_write_response(&c->out_head, &plain, &plan);
    if (!err)
        begin_content(c, OUT_SWITCH, &plan, head);
    return err;
}

static int send_response(struct h1_conn *c, const struct http_head *head, bool end, bool close)
{
    struct http_head plain = *head;
    struct h1_plan plan = {.length = false};
    enum h1_out next = OUT_ENDED;
    bool none = c->is_head || head->status == 204 || head->status == 304;
    if (c->out != OUT_WAIT || head->status < 100 || head->status > 999)
        return ERR_USAGE;
    if (head->status == 101) {
        if (!c->upgrade_asked || !rules_is_upgrade(head->protocol))
            return ERR_USAGE;
        return send_switch(c, head, end);
    }
    if (head->status < 200)
        return send_informational(c, head, end);
    if (c->is_connect && head->status < 300)
        return send_switch(c, head, end);
    if (end && !none && head->content_length > 0)
        return ERR_USAGE;
    plain.protocol = (struct slice){"", 0};
    if (none) {
        /* The length that a GET would have had may be told; 204 has none (RFC 9110 8.6). */
        plan.length = head->content_length >= 0 && head->status != 204;
    } else if (end || head->content_length >= 0) {
        plan.length = true;
        if (end)
            plain.content_length = 0;
    } else if (!c->minor_0) {
        plan.coded = true;
    }
    if (!end)
        next = plan.coded ? OUT_CHUNKED : plan.length || none ? OUT_FIXED : OUT_UNTIL_CLOSE;
    /* Whoever has the whole response before we have the whole request need not send the rest.  And
     * behind a CONNECT may come what somebody else meant for its tunnel: no request of the client's
     * (RFC 9931). */
    plan.close = close || c->shutdown || !c->keep || next == OUT_UNTIL_CLOSE ||
                 (end && c->in != IN_HELD) || c->is_connect;
    plan.keep = !plan.close && c->minor_0;
    int err = h1_write_response(&c->out_head, &plain, &plan);
    if (err)
        return err;
    begin_content(c, next, &plan, head);
    if (none)
        c->out_left = 0;
    return 0;
}

int h1_conn_send_head(struct h1_conn *c, const struct http_head *head, bool end, bool close)
{
    CHECK_MAGIC(c, H1_CONN_MAGIC);
    return c->role == H1_CLIENT ? send_request(c, head, end, close)
                                : send_response(c, head, end, close);
}

/* ---- sending content ---- */

static int end_content(struct h1_conn *c)
{
    if (c->out == OUT_FIXED && c->out_left) {
        c->keep = false;
        h1_set_out(c, OUT_CUT);
        return ERR_TRUNCATED;
    }
    if (c->out == OUT_CHUNKED)
        c->last_due = true;
    h1_set_out(c, c->out == OUT_TUNNEL ? OUT_TUNNEL_ENDED : OUT_ENDED);
    return 0;
}

static bool takes_content(const struct h1_conn *c)
{
    return c->out == OUT_FIXED || c->out == OUT_CHUNKED || c->out == OUT_UNTIL_CLOSE ||
           c->out == OUT_TUNNEL;
}

int h1_conn_send_body(struct h1_conn *c, struct slice octets, struct chunk *chunk, bool end)
{
    CHECK_MAGIC(c, H1_CONN_MAGIC);
    if (!takes_content(c) || (c->out == OUT_FIXED && octets.len > c->out_left))
        return ERR_USAGE;
    int err = chain_add(&c->body, octets, chunk);
    if (err)
        return err;
    if (c->out == OUT_FIXED)
        c->out_left -= octets.len;
    return end ? end_content(c) : 0;
}

int h1_conn_send_trailers(struct h1_conn *c, const struct fields *trailers)
{
    CHECK_MAGIC(c, H1_CONN_MAGIC);
    if (!takes_content(c) || c->out == OUT_TUNNEL)
        return ERR_USAGE;
    if (c->out == OUT_CHUNKED) {
        int err = h1_write_trailers(&c->out_tail, trailers);
        if (err)
            return err;
    }
    return end_content(c);
}

int h1_conn_upgrade(struct h1_conn *c)
{
    CHECK_MAGIC(c, H1_CONN_MAGIC);
    bool ready = c->role == H1_SERVER ? c->out == OUT_SWITCH && c->in == IN_HELD
                                      : c->in == IN_SWITCH && c->out == OUT_ENDED;
    if (!ready)
        return ERR_USAGE;
    c->keep = false;
    c->frame_body = false;
    h1_set_in(c, IN_TUNNEL);
    h1_set_out(c, OUT_TUNNEL);
    return 0;
}

/* ---- drawing ---- */

size_t h1_conn_queued(const struct h1_conn *c)
{
    return c->body.octets;
}

bool h1_octets_left(const struct h1_conn *c)
{
    return buf_len(&c->out_head) || c->frame_at < c->frame_end || c->body.octets || c->last_due ||
           buf_len(&c->out_tail);
}

void h1_drop_output(struct h1_conn *c)
{
    buf_fini(&c->out_head);
    buf_fini(&c->out_tail);
    chain_fini(&c->body);
    c->frame_at = c->frame_end = 0;
    c->run_left = 0;
    c->last_due = false;
}

static size_t at_most(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t draw_buf(struct buf *b, char *out, size_t cap)
{
    size_t n = at_most(buf_len(b), cap);
    memcpy(out, buf_at(b), n);
    buf_consume(b, n);
    return n;
}

static size_t draw_frame(struct h1_conn *c, char *out, size_t cap)
{
    size_t n = at_most((size_t)(c->frame_end - c->frame_at), cap);
    memcpy(out, c->frame + c->frame_at, n);
    c->frame_at = (uint8_t)(c->frame_at + n);
    return n;
}

/* to: where the frame's text, put into c->frame, ends */
static void frame_until(struct h1_conn *c, const char *to)
{
    c->frame_at = 0;
    c->frame_end = (uint8_t)(to - c->frame);
}

/* All that is queued becomes one chunk; it may take many calls to draw. */
static void begin_run(struct h1_conn *c)
{
    c->run_left = c->body.octets;
    if (c->frame_body)
        frame_until(c, h1_write_chunk_line(c->frame, c->run_left));
}

static size_t draw(struct h1_conn *c, char *out, size_t cap, size_t *body_out)
{
    size_t n = 0;
    while (n < cap) {
        if (buf_len(&c->out_head)) {
            n += draw_buf(&c->out_head, out + n, cap - n);
        } else if (c->frame_at < c->frame_end) {
            n += draw_frame(c, out + n, cap - n);
        } else if (c->run_left) {
            size_t k = chain_take(&c->body, out + n, at_most(c->run_left, cap - n));
            n += k;
            *body_out += k;
            c->run_left -= k;
            if (c->run_left == 0 && c->frame_body)
                frame_until(c, slice_put(c->frame, SLICE("\r\n")));
        } else if (c->body.octets) {
            begin_run(c);
        } else if (c->last_due) {
            c->last_due = false;
            frame_until(c, slice_put(c->frame,
                                     buf_len(&c->out_tail) ? SLICE("0\r\n") : SLICE("0\r\n\r\n")));
        } else if (buf_len(&c->out_tail)) {
            n += draw_buf(&c->out_tail, out + n, cap - n);
        } else {
            break;
        }
    }
    return n;
}

size_t h1_conn_output(struct h1_conn *c, void *out, size_t cap)
{
    size_t n = 0, body;
    CHECK_MAGIC(c, H1_CONN_MAGIC);
    do {
        body = 0;
        n += draw(c, (char *)out + n, cap - n, &body);
        if (n)
            c->request_drawn = true;
        if (body)
            c->events->on_sent(c->user, body); /* which may have queued more */
    } while (body);
    h1_settle(c);
    return n;
}
