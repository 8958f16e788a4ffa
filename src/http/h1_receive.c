/* SPDX-License-Identifier: Apache-2.0 */
#include "http/h1_impl.h"

/* ---- one step a state: takes at least one octet ---- */

/* The whole text of a section that ends taken octets into in, copied into the arena for h1_parse_*.
 * return  NULL when memory is out */
static char *section_text(struct h1_conn *c, const char *in, size_t taken, size_t *len_out)
{
    size_t before = buf_len(&c->gather);
    char *text = arena_alloc(&c->arena, before + taken + H1_TEXT_SLACK);
    if (!text)
        return NULL;
    if (before)
        memcpy(text, buf_at(&c->gather), before);
    memcpy(text + before, in, taken);
    memset(text + before + taken, 0, H1_TEXT_SLACK);
    *len_out = before + taken;
    buf_fini(&c->gather);
    return text;
}

/* Looks for the end of the current section; keeps the octets aside when it is not there yet.
 * return  1 found, 0 not yet, or an error */
static int seek_end(struct h1_conn *c, const char *in, size_t len, size_t *taken_out)
{
    int found = h1_scan(&c->scan, &c->limits, slice_of(in, len), taken_out);
    return found ? found : buf_add(&c->gather, in, *taken_out);
}

static void scan_for(struct h1_conn *c, enum h1_part part)
{
    c->scan = (struct h1_scan){.part = part};
}

static void message_complete(struct h1_conn *c, struct slice octets)
{
    h1_set_in(c, IN_HELD);
    c->events->on_body(c->user, octets, true);
}

static int step_start(struct h1_conn *c, const char *in, size_t len, size_t *taken_out)
{
    unsigned char first = (unsigned char)in[0];
    *taken_out = 0;
    if (c->role == H1_CLIENT) {
        /* Octets that answer nothing would be taken for the answer to the next request. */
        if (c->out == OUT_IDLE || !c->request_drawn)
            return ERR_UNASKED;
        if (first != 'H')
            return ERR_BAD_START_LINE;
        c->response_begun = true;
    } else if (first == '\r') {
        if (++c->empty_lines > H1_EMPTY_LINES)
            return ERR_BAD_START_LINE;
        *taken_out = 1;
        h1_set_in(c, IN_START_CR);
        return 0;
    } else if (!h1_is_tchar(first)) {
        /* TLS sent to a plain port, say: no use waiting for the end of its line. */
        return ERR_BAD_START_LINE;
    }
    c->empty_lines = 0;
    scan_for(c, H1_START_LINE);
    h1_set_in(c, IN_HEAD);
    return 0;
}

static int step_start_cr(struct h1_conn *c, const char *in, size_t len, size_t *taken_out)
{
    if (in[0] != '\n')
        return ERR_BAD_LINE;
    *taken_out = 1;
    h1_set_in(c, IN_START);
    return 0;
}

/* A request's content: coded, of a given length, or none.  RFC 9112 6.3 */
static int request_head(struct h1_conn *c, char *text, size_t len)
{
    struct http_head *head = arena_zalloc(&c->arena, sizeof *head);
    struct h1_framing framing;
    if (!head)
        return ERR_NOMEM;
    int err = h1_parse_request(text, len, &c->arena, head, &framing);
    if (err)
        return err;
    c->keep = framing.keep;
    c->minor_0 = head->version_minor == 0;
    c->is_connect = slice_eq(head->method, SLICE("CONNECT"));
    c->upgrade_asked = head->protocol.len != 0;
    c->extension_octets = 0;
    h1_set_out(c, OUT_WAIT);
    bool end = false;
    if (framing.coded) {
        scan_for(c, H1_CHUNK_LINE);
        h1_set_in(c, IN_CHUNK_LINE);
    } else if (head->content_length > 0) {
        c->in_left = (uint64_t)head->content_length;
        h1_set_in(c, IN_FIXED);
    } else {
        end = true;
        h1_set_in(c, IN_HELD);
    }
    c->events->on_head(c->user, head, end);
    return 0;
}

/* 1xx: more heads follow.  RFC 9110 15.2.  They stay until the exchange ends, so all of them
 * together may be as large as one. */
static int informational_head(struct h1_conn *c, struct http_head *head, size_t octets)
{
    if (head->status != 101) {
        c->informational_octets += (uint32_t)octets;
        if (++c->informational > c->limits.informational ||
            c->informational_octets > c->limits.field_section_octets)
            return ERR_BAD_INFORMATIONAL;
        head->protocol = (struct slice){"", 0};
        h1_set_in(c, IN_START);
    } else {
        if (!c->upgrade_asked || head->protocol.len == 0)
            return ERR_BAD_INFORMATIONAL;
        h1_set_in(c, IN_SWITCH);
    }
    c->events->on_head(c->user, head, false);
    return 0;
}

/* A response's content depends on the request, too.  RFC 9112 6.3 */
static int response_head(struct h1_conn *c, char *text, size_t len)
{
    struct http_head *head = arena_zalloc(&c->arena, sizeof *head);
    struct h1_framing framing;
    if (!head)
        return ERR_NOMEM;
    int err = h1_parse_response(text, len, &c->arena, head, &framing);
    if (err)
        return err;
    bool none = head->status < 200 || head->status == 204;
    /* These have no content and must not speak of any (RFC 9112 6.1, RFC 9110 8.6).  "0" is common
     * and harmless.  Behind 1xx it would have to be told from the next head; a 204 ends with its
     * head whatever that says (RFC 9112 6.3), and many frameworks have one say it, with content
     * behind it or without: nothing more is read there. */
    bool framed = framing.coded || head->content_length > 0;
    if (framed && head->status < 200)
        return ERR_BAD_CONTENT;
    if (none)
        head->content_length = -1;
    if (head->status < 200)
        return informational_head(c, head, len);
    if (none && framed)
        framing.keep = false;
    head->protocol = (struct slice){"", 0};
    c->keep = c->keep && framing.keep;
    c->extension_octets = 0;
    bool end = false;
    if (c->is_connect && head->status < 300) {
        head->content_length = -1; /* RFC 9110 9.3.6: to be ignored */
        h1_set_in(c, IN_SWITCH);
    } else if (c->is_head || none || head->status == 304) {
        end = true;
        h1_set_in(c, IN_HELD);
    } else if (framing.coded) {
        scan_for(c, H1_CHUNK_LINE);
        h1_set_in(c, IN_CHUNK_LINE);
    } else if (framing.length) {
        c->in_left = (uint64_t)head->content_length;
        end = c->in_left == 0;
        h1_set_in(c, end ? IN_HELD : IN_FIXED);
    } else {
        c->keep = false;
        h1_set_in(c, IN_UNTIL_CLOSE);
    }
    c->events->on_head(c->user, head, end);
    return 0;
}

/* By the first octets of the head: what answers it has no content, even if nothing else of it can
 * be read.  RFC 9110 9.3.2 */
static void note_method(struct h1_conn *c, const char *in, size_t len)
{
    static const char head[] = "HEAD ";
    size_t before = buf_len(&c->gather), n = 0;
    while (n < sizeof head - 1 && n < before + len &&
           (n < before ? buf_at(&c->gather)[n] : in[n - before]) == head[n])
        n++;
    c->is_head = n == sizeof head - 1;
}

static int step_head(struct h1_conn *c, const char *in, size_t len, size_t *taken_out)
{
    size_t text_len;
    if (c->role == H1_SERVER && !c->is_head)
        note_method(c, in, len);
    int found = seek_end(c, in, len, taken_out);
    if (found == ERR_URI_TOO_LONG && c->role == H1_CLIENT)
        return ERR_BAD_START_LINE;
    if (found <= 0)
        return found;
    char *text = section_text(c, in, *taken_out, &text_len);
    if (!text)
        return ERR_NOMEM;
    return c->role == H1_SERVER ? request_head(c, text, text_len)
                                : response_head(c, text, text_len);
}

static int step_fixed(struct h1_conn *c, const char *in, size_t len, size_t *taken_out)
{
    size_t n = len < c->in_left ? len : (size_t)c->in_left;
    *taken_out = n;
    c->in_left -= n;
    if (c->in_left == 0)
        message_complete(c, slice_of(in, n));
    else
        c->events->on_body(c->user, slice_of(in, n), false);
    return 0;
}

static int step_chunk_line(struct h1_conn *c, const char *in, size_t len, size_t *taken_out)
{
    struct slice line;
    int found = seek_end(c, in, len, taken_out);
    if (found <= 0)
        return found;
    line = slice_of(in, *taken_out);
    if (buf_len(&c->gather)) {
        int err = buf_add(&c->gather, in, *taken_out);
        if (err)
            return err;
        line = buf_slice(&c->gather);
    }
    int err = h1_parse_chunk_line(line, &c->in_left);
    const char *extension = memchr(line.p, ';', line.len);
    if (extension)
        c->extension_octets += (uint32_t)(line.p + line.len - extension);
    buf_fini(&c->gather);
    if (err || c->extension_octets > H1_CHUNK_EXTENSION_OCTETS)
        return ERR_BAD_CHUNK;
    if (c->in_left == 0) {
        scan_for(c, H1_FIELD_LINES);
        h1_set_in(c, IN_TRAILERS);
    } else {
        h1_set_in(c, IN_CHUNK);
    }
    return 0;
}

static int step_chunk(struct h1_conn *c, const char *in, size_t len, size_t *taken_out)
{
    size_t n = len < c->in_left ? len : (size_t)c->in_left;
    *taken_out = n;
    c->in_left -= n;
    if (c->in_left == 0)
        h1_set_in(c, IN_CHUNK_CR);
    c->events->on_body(c->user, slice_of(in, n), false);
    return 0;
}

static int step_chunk_cr(struct h1_conn *c, const char *in, size_t len, size_t *taken_out)
{
    if (in[0] != '\r')
        return ERR_BAD_CHUNK;
    *taken_out = 1;
    h1_set_in(c, IN_CHUNK_LF);
    return 0;
}

static int step_chunk_lf(struct h1_conn *c, const char *in, size_t len, size_t *taken_out)
{
    if (in[0] != '\n')
        return ERR_BAD_CHUNK;
    *taken_out = 1;
    scan_for(c, H1_CHUNK_LINE);
    h1_set_in(c, IN_CHUNK_LINE);
    return 0;
}

static int step_trailers(struct h1_conn *c, const char *in, size_t len, size_t *taken_out)
{
    size_t text_len;
    int found = seek_end(c, in, len, taken_out);
    if (found <= 0)
        return found;
    char *text = section_text(c, in, *taken_out, &text_len);
    struct fields *trailers = arena_zalloc(&c->arena, sizeof *trailers);
    if (!text || !trailers)
        return ERR_NOMEM;
    int err = h1_parse_trailers(text, text_len, &c->arena, trailers);
    if (err)
        return err;
    if (trailers->count == 0) {
        message_complete(c, slice_of("", 0));
        return 0;
    }
    h1_set_in(c, IN_HELD);
    c->events->on_trailers(c->user, trailers);
    return 0;
}

static int step_until_close(struct h1_conn *c, const char *in, size_t len, size_t *taken_out)
{
    *taken_out = len;
    c->events->on_body(c->user, slice_of(in, len), false);
    return 0;
}

/* Client: octets beyond the response, which belong to nothing.  Whoever sent them must not be
 * believed again on this connection. */
static int step_held(struct h1_conn *c, const char *in, size_t len, size_t *taken_out)
{
    *taken_out = len;
    c->keep = false;
    return 0;
}

static int step_tunnel(struct h1_conn *c, const char *in, size_t len, size_t *taken_out)
{
    *taken_out = len;
    c->events->on_tunnel(c->user, slice_of(in, len));
    return 0;
}

static int step_over(struct h1_conn *c, const char *in, size_t len, size_t *taken_out)
{
    *taken_out = len;
    return 0;
}

typedef int step_fn(struct h1_conn *c, const char *in, size_t len, size_t *taken_out);

static step_fn *const steps[IN_COUNT] = {
    [IN_START] = step_start,
    [IN_START_CR] = step_start_cr,
    [IN_HEAD] = step_head,
    [IN_FIXED] = step_fixed,
    [IN_CHUNK_LINE] = step_chunk_line,
    [IN_CHUNK] = step_chunk,
    [IN_CHUNK_CR] = step_chunk_cr,
    [IN_CHUNK_LF] = step_chunk_lf,
    [IN_TRAILERS] = step_trailers,
    [IN_UNTIL_CLOSE] = step_until_close,
    [IN_HELD] = step_held,
    [IN_SWITCH] = NULL, /* octets wait */
    [IN_TUNNEL] = step_tunnel,
    [IN_OVER] = step_over,
};

/* ---- feeding ---- */

static bool octets_wait(const struct h1_conn *c)
{
    return c->in == IN_SWITCH || (c->in == IN_HELD && c->role == H1_SERVER);
}

/* Nothing more is received.  A server that has not begun a response may still explain itself. */
static int fail(struct h1_conn *c, int err)
{
    c->err = err;
    c->keep = false;
    h1_set_in(c, IN_OVER);
    buf_fini(&c->gather);
    buf_fini(&c->waiting);
    if (c->role == H1_SERVER && c->out == OUT_IDLE)
        h1_set_out(c, OUT_WAIT);
    return err;
}

static int process(struct h1_conn *c, const char *in, size_t len, size_t *taken_out)
{
    size_t at = 0;
    while (at < len && !octets_wait(c)) {
        size_t taken = 0;
        int err = steps[c->in](c, in + at, len - at, &taken);
        if (err)
            return fail(c, err);
        at += taken;
    }
    *taken_out = at;
    return 0;
}

int h1_conn_feed(struct h1_conn *c, const void *in, size_t len)
{
    size_t taken = 0;
    CHECK_MAGIC(c, H1_CONN_MAGIC);
    if (c->in == IN_OVER)
        return c->err;
    if (buf_len(&c->waiting)) {
        int err = buf_add(&c->waiting, in, len);
        return err ? fail(c, err) : h1_conn_resume(c);
    }
    int err = process(c, in, len, &taken);
    if (!err && taken < len) {
        err = buf_add(&c->waiting, (const char *)in + taken, len - taken);
        if (err)
            return fail(c, err);
    }
    if (!err)
        h1_settle(c);
    return err;
}

int h1_conn_resume(struct h1_conn *c)
{
    CHECK_MAGIC(c, H1_CONN_MAGIC);
    if (c->in == IN_OVER)
        return c->err;
    /* The octets stay put while callbacks look at them; fail() may let them go. */
    struct buf waiting = c->waiting;
    size_t taken = 0;
    buf_init(&c->waiting, c->pool);
    int err = process(c, buf_slice(&waiting).p, buf_len(&waiting), &taken);
    if (err || c->in == IN_OVER) {
        buf_fini(&waiting);
        return err;
    }
    buf_consume(&waiting, taken);
    c->waiting = waiting;
    if (c->eof && c->role == H1_SERVER && c->in != IN_START && c->in != IN_HELD &&
        c->in != IN_TUNNEL)
        return fail(c, ERR_TRUNCATED);
    h1_settle(c);
    return 0;
}

int h1_conn_eof(struct h1_conn *c)
{
    CHECK_MAGIC(c, H1_CONN_MAGIC);
    if (c->eof || c->in == IN_OVER)
        return c->err;
    c->eof = true;
    switch (c->in) {
    case IN_START:
        if (c->role == H1_CLIENT && c->out != OUT_IDLE)
            return fail(c, c->response_begun ? ERR_TRUNCATED : ERR_CLOSED);
        break;
    case IN_START_CR:
    case IN_HEAD:
    case IN_FIXED:
    case IN_CHUNK_LINE:
    case IN_CHUNK:
    case IN_CHUNK_CR:
    case IN_CHUNK_LF:
    case IN_TRAILERS:
        return fail(c, ERR_TRUNCATED);
    case IN_UNTIL_CLOSE:
        message_complete(c, slice_of("", 0));
        break;
    case IN_HELD:
    case IN_SWITCH:
    case IN_TUNNEL:
    case IN_OVER:
    case IN_COUNT:
        break;
    }
    h1_settle(c);
    return 0;
}
