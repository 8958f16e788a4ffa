/* SPDX-License-Identifier: Apache-2.0 */
#include "http/h1_impl.h"
#include "http/octets.h"
#include "http/rules.h"

/* ---- writing a head ---- */

/* The room for the text was computed before; framing and connection fields fit into this. */
#define OWN_FIELDS_OCTETS 256

/* What is written has so much room behind it, so that it may be looked at in whole words. */
#define SLACK_OCTETS 32

static inline char *put(char *to, struct slice s)
{
    return slice_put(to, s);
}

static char *put_number(char *to, uint64_t n, unsigned base)
{
    char digits[20];
    size_t at = sizeof digits;
    do
        digits[--at] = "0123456789abcdef"[n % base];
    while (n /= base);
    memcpy(to, digits + at, sizeof digits - at);
    return to + (sizeof digits - at);
}

/* Whether one of so many octets, just written, is a control octet but HTAB, or white space as well
 * if that matters. */
static inline bool has_controls(const char *p, size_t len, bool or_blank)
{
#ifdef OCTETS_AT_ONCE
    unsigned hits = 0;
    for (const char *end = p + len;; p += OCTETS_AT_ONCE) {
        unsigned here = octets_controls(p);
        if (or_blank)
            here |= octets_equal(p, ' ') | octets_equal(p, '\t');
        if (end - p < OCTETS_AT_ONCE) /* what lies behind does not count */
            return hits | (here & ((1u << (end - p)) - 1));
        hits |= here;
    }
#else
    const char *end = p + len;
    if (or_blank && memchr(p, ' ', len))
        return true;
    p = h1_find_control(p, end);
    while (!or_blank && p < end && *p == '\t')
        p = h1_find_control(p + 1, end);
    return p < end;
#endif
}

/* Whether the len octets before `end`, just written, have one through which a value could end its
 * line, or mean something to somebody else.  Engines have checked what they received; this is for
 * values that were made on the way. */
static inline bool is_bad_value(const char *end, size_t len)
{
    return has_controls(end - len, len, false);
}

/* No white space either: parts of a start line, Host. */
static inline bool is_bad_word(const char *end, size_t len)
{
    return has_controls(end - len, len, true);
}

static inline char *put_field(char *to, unsigned token, struct slice name, struct slice value)
{
    if (token) {
        memcpy(to, token_rows[token].line, TOKEN_LINE_OCTETS);
        to += token_rows[token].name.len + 2;
    } else {
        to = put(put(to, name), SLICE(": "));
    }
    return put(put(to, value), SLICE("\r\n"));
}

/* return  the end, or NULL when it would not be one field on the wire */
static inline char *put_checked(char *to, const struct field *f)
{
    if (f->token == TOKEN_NONE && !rules_is_token(f->name))
        return NULL;
    to = put_field(to, f->token, f->name, f->value);
    return is_bad_value(to - 2, f->value.len) ? NULL : to;
}

/* What the head to be sent asks us to leave out beside what is always left out. */
struct filter {
    enum h1_role role;
    const struct fields *fields;
    size_t octets;    /* of all fields, left out or not */
    uint32_t cookies; /* Cookie fields */
    bool te;          /* "TE: trailers" */
    struct connection_options named;
};

/* return  0, or ERR_USAGE: Connection has too many options */
static int filter_init(struct filter *filter, enum h1_role role, const struct http_head *head)
{
    size_t octets = 0;
    uint32_t cookies = 0;
    filter->role = role;
    filter->fields = &head->fields;
    filter->named.count = 0;
    filter->te = false;
    for (uint32_t i = 0; i < head->fields.count; i++) {
        const struct field *f = &head->fields.at[i];
        octets += f->name.len + f->value.len + 4;
        cookies += f->token == TOKEN_COOKIE;
        if (f->token == TOKEN_TE && role == H1_CLIENT)
            filter->te |= fields_list_has(&head->fields, TOKEN_TE, SLICE("trailers"));
        if (f->token == TOKEN_CONNECTION && !connection_options_add(&filter->named, f->value))
            return ERR_USAGE;
    }
    filter->octets = octets;
    filter->cookies = cookies;
    return 0;
}

/* RFC 9110 7.6.1.  Fields that name the client to the worker, and what decides where a message
 * goes, are not given up because the client lists them: that would let it hide from the worker. */
static inline bool is_left_out(const struct filter *filter, const struct field *f, unsigned flags)
{
    if (flags & (TOKEN_HOP | TOKEN_FRAMING) ||
        (f->token == TOKEN_HOST && filter->role == H1_CLIENT))
        return true;
    return filter->named.count && f->token != TOKEN_HOST && !(flags & TOKEN_FORWARD) &&
           connection_options_have(&filter->named, f->name);
}

/* Cookie fields that HTTP/2 may split become one again.  RFC 9113 8.2.3
 * return  as put_fields */
static char *put_cookies(char *to, const struct fields *fields)
{
    struct slice before = SLICE("cookie: ");
    for (uint32_t i = 0; i < fields->count; i++) {
        if (fields->at[i].token != TOKEN_COOKIE)
            continue;
        to = put(put(to, before), fields->at[i].value);
        if (is_bad_value(to, fields->at[i].value.len))
            return NULL;
        before = SLICE("; ");
    }
    return put(to, SLICE("\r\n"));
}

/* return  the end, or NULL when a field would not be one field on the wire */
static char *put_fields(char *to, const struct filter *filter)
{
    const struct fields *fields = filter->fields;
    bool cookies_put = false;
    for (uint32_t i = 0; to && i < fields->count; i++) {
        const struct field *f = &fields->at[i];
        unsigned flags = token_flags(f->token);
        if (is_left_out(filter, f, flags))
            continue;
        if (flags & TOKEN_PSEUDO)
            return NULL;
        if (f->token == TOKEN_COOKIE && filter->cookies > 1) {
            if (!cookies_put)
                to = put_cookies(to, fields);
            cookies_put = true;
            continue;
        }
        to = put_checked(to, f);
    }
    return to;
}

static size_t fields_octets(const struct fields *fields)
{
    size_t n = 0;
    for (uint32_t i = 0; i < fields->count; i++)
        n += fields->at[i].name.len + fields->at[i].value.len + 4;
    return n;
}

int h1_lines(struct buf *out, const struct fields *fields)
{
    char *from = buf_reserve(out, fields_octets(fields) + SLACK_OCTETS), *to = from;
    if (!from)
        return ERR_NOMEM;
    for (uint32_t i = 0; to && i < fields->count; i++) {
        const struct field *f = &fields->at[i];
        bool ours = token_flags(f->token) & (TOKEN_HOP | TOKEN_FRAMING | TOKEN_PSEUDO) ||
                    f->token == TOKEN_HOST;
        to = ours ? NULL : put_checked(to, f);
    }
    if (!to)
        return ERR_USAGE;
    buf_added(out, (size_t)(to - from));
    return 0;
}

/* How the content will be delimited: the engine's choice, from what the caller said. */
struct plan {
    enum h1_out out;
    bool length; /* Content-Length is written */
    bool coded;  /* Transfer-Encoding is written */
    bool close;  /* Connection: close */
    bool keep;   /* Connection: keep-alive, for HTTP/1.0 */
};

static char *put_own_fields(char *to, const struct plan *plan, const struct http_head *head,
                            bool te)
{
    if (plan->length) {
        to = put(to, SLICE("content-length: "));
        to = put_number(to, (uint64_t)head->content_length, 10);
        to = put(to, SLICE("\r\n"));
    }
    if (plan->coded)
        to = put(to, SLICE("transfer-encoding: chunked\r\n"));
    if (te)
        to = put(to, SLICE("te: trailers\r\n"));
    if (head->protocol.len)
        to = put_field(to, TOKEN_UPGRADE, SLICE(""), head->protocol);
    if (plan->close || plan->keep || te || head->protocol.len) {
        struct slice separator = SLICE("connection: ");
        const struct {
            bool on;
            struct slice option;
        } options[] = {
            {plan->close, SLICE("close")},
            {plan->keep, SLICE("keep-alive")},
            {te, SLICE("te")},
            {head->protocol.len != 0, SLICE("upgrade")},
        };
        for (size_t i = 0; i < ARRAY_LEN(options); i++) {
            if (!options[i].on)
                continue;
            to = put(to, separator);
            to = put(to, options[i].option);
            separator = SLICE(", ");
        }
        to = put(to, SLICE("\r\n"));
    }
    return put(to, SLICE("\r\n"));
}

/* return  the end, or NULL when it would not be one line, or Host's value none */
static char *put_request_line(char *to, const struct http_head *head)
{
    bool connect = slice_eq(head->method, SLICE("CONNECT"));
    struct slice target = connect ? head->authority : head->path;
    to = put(to, head->method);
    to = put(to, SLICE(" "));
    to = put(to, target);
    if (target.len == 0 || is_bad_word(to, target.len))
        return NULL;
    to = put(to, SLICE(" HTTP/1.1\r\n"));
    to = put_field(to, TOKEN_HOST, SLICE(""), head->authority);
    return is_bad_word(to - 2, head->authority.len) ? NULL : to;
}

static char *put_status_line(char *to, const struct http_head *head)
{
    const unsigned s = head->status;
    const char digits[3] = {(char)('0' + s / 100), (char)('0' + s / 10 % 10), (char)('0' + s % 10)};
    to = put(to, SLICE("HTTP/1.1 "));
    to = put(to, slice_of(digits, 3));
    to = put(to, SLICE(" "));
    to = put(to, slice_str(status_phrase(s)));
    return put(to, SLICE("\r\n"));
}

static int write_head(struct h1_conn *c, const struct http_head *head, const struct plan *plan)
{
    struct filter filter;
    int err = filter_init(&filter, c->role, head);
    if (err)
        return err;
    size_t most = head->method.len + head->authority.len * 2 + head->path.len + head->protocol.len +
                  head->lines.len + filter.octets + OWN_FIELDS_OCTETS;
    char *from = buf_reserve(&c->out_head, most + SLACK_OCTETS);
    if (!from)
        return ERR_NOMEM;
    char *to = c->role == H1_CLIENT ? put_request_line(from, head) : put_status_line(from, head);
    if (to)
        to = put_fields(put(to, head->lines), &filter);
    if (to)
        to = put_own_fields(to, plan, head, filter.te);
    if (!to) {
        if (buf_len(&c->out_head) == 0)
            buf_fini(&c->out_head);
        return ERR_USAGE;
    }
    ASSERT((size_t)(to - from) <= most);
    buf_added(&c->out_head, (size_t)(to - from));
    return 0;
}

/* ---- sending a head ---- */

static void begin_content(struct h1_conn *c, const struct plan *plan, const struct http_head *head)
{
    c->frame_body = plan->out == OUT_CHUNKED;
    c->out_left = plan->out == OUT_FIXED && plan->length ? (uint64_t)head->content_length : 0;
    if (plan->close)
        c->keep = false;
    h1_set_out(c, plan->out);
}

static int send_request(struct h1_conn *c, const struct http_head *head, bool end, bool close)
{
    bool connect = slice_eq(head->method, SLICE("CONNECT"));
    struct http_head plain = *head;
    struct plan plan = {.out = OUT_ENDED, .close = close};
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
        plan.out = plan.length ? OUT_FIXED : OUT_CHUNKED;
        plan.coded = !plan.length;
    }
    int err = write_head(c, &plain, &plan);
    if (err)
        return err;
    c->is_head = slice_eq(head->method, SLICE("HEAD"));
    c->is_connect = connect;
    c->upgrade_asked = head->protocol.len != 0;
    begin_content(c, &plan, head);
    return 0;
}

/* 1xx without 101: the final response is still due.  RFC 9110 15.2 */
static int send_informational(struct h1_conn *c, const struct http_head *head, bool end)
{
    struct http_head plain = *head;
    struct plan plan = {.out = OUT_WAIT};
    if (end)
        return ERR_USAGE;
    if (c->minor_0)
        return 0;
    plain.protocol = (struct slice){"", 0};
    return write_head(c, &plain, &plan);
}

static int send_switch(struct h1_conn *c, const struct http_head *head, bool end)
{
    struct http_head plain = *head;
    struct plan plan = {.out = OUT_SWITCH};
    if (end || c->in != IN_HELD)
        return ERR_USAGE;
    if (head->status != 101)
        plain.protocol = (struct slice){"", 0};
    int err = write_head(c, &plain, &plan);
    if (!err)
        begin_content(c, &plan, head);
    return err;
}

static int send_response(struct h1_conn *c, const struct http_head *head, bool end, bool close)
{
    struct http_head plain = *head;
    struct plan plan = {.out = OUT_ENDED};
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
        plan.out = plan.coded ? OUT_CHUNKED : plan.length || none ? OUT_FIXED : OUT_UNTIL_CLOSE;
    /* Whoever has the whole response before we have the whole request need not send the rest.  And
     * behind a CONNECT may come what somebody else meant for its tunnel: no request of the client's
     * (RFC 9931). */
    plan.close = close || c->shutdown || !c->keep || plan.out == OUT_UNTIL_CLOSE ||
                 (end && c->in != IN_HELD) || c->is_connect;
    plan.keep = !plan.close && c->minor_0;
    int err = write_head(c, &plain, &plan);
    if (err)
        return err;
    begin_content(c, &plan, head);
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

static int write_trailers(struct h1_conn *c, const struct fields *trailers)
{
    size_t most = fields_octets(trailers) + 2;
    char *from = buf_reserve(&c->out_tail, most + SLACK_OCTETS);
    if (!from)
        return ERR_NOMEM;
    char *to = from;
    for (uint32_t i = 0; i < trailers->count; i++) {
        const struct field *f = &trailers->at[i];
        if (!rules_is_trailer((enum token)f->token))
            continue;
        to = put_checked(to, f);
        if (!to) {
            buf_fini(&c->out_tail);
            return ERR_USAGE;
        }
    }
    to = put(to, SLICE("\r\n"));
    buf_added(&c->out_tail, (size_t)(to - from));
    return 0;
}

int h1_conn_send_trailers(struct h1_conn *c, const struct fields *trailers)
{
    CHECK_MAGIC(c, H1_CONN_MAGIC);
    if (!takes_content(c) || c->out == OUT_TUNNEL)
        return ERR_USAGE;
    if (c->out == OUT_CHUNKED) {
        int err = write_trailers(c, trailers);
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
        frame_until(c, put(put_number(c->frame, c->run_left, 16), SLICE("\r\n")));
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
                frame_until(c, put(c->frame, SLICE("\r\n")));
        } else if (c->body.octets) {
            begin_run(c);
        } else if (c->last_due) {
            c->last_due = false;
            frame_until(c,
                        put(c->frame, buf_len(&c->out_tail) ? SLICE("0\r\n") : SLICE("0\r\n\r\n")));
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
