/* SPDX-License-Identifier: Apache-2.0 */
/* Two readings of the same octets: the HTTP/1.1 engine's, and h1_strict.c's, which knows nothing of
 * it.  Smuggling lives where two readers disagree, so:
 *  - what the engine gives out as a whole message, the strict reader finds whole, with the same
 *    control data, fields, content, trailers, and the next message at the same octet;
 *  - what the strict reader finds whole, the engine may refuse only for a reason in may_refuse().
 *
 * Input: an octet (bit 0: we are the client; the others: what was asked), then what the peer sent.
 */
#include "base/buf.h"
#include "base/err.h"
#include "base/panic.h"
#include "h1_strict.h"
#include "http/h1.h"

#define MESSAGES_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len);

/* Small, so that inputs get beyond them. */
static const struct h1_limits limits = {
    .start_line_octets = 200,
    .field_section_octets = 600,
    .chunk_line_octets = 40,
    .informational = 3,
};

static const struct asked {
    struct slice method;
    struct slice protocol;
} asked[] = {
    {SLICE("GET"), SLICE("")},     {SLICE("HEAD"), SLICE("")},         {SLICE("POST"), SLICE("")},
    {SLICE("CONNECT"), SLICE("")}, {SLICE("GET"), SLICE("websocket")},
};

struct seen {
    struct buf head, content, trailers; /* as text */
    bool has_ended, is_done, is_reusable;
};

struct run {
    struct pool pool, own;
    struct h1_conn *conn;
    enum h1_role role;
    struct seen seen[MESSAGES_MAX];
    unsigned count;
    struct buf tunnel;
    bool is_switched, has_resumed;
    int err;
};

/* ---- the engine's reading ---- */

static struct seen *current(struct run *r)
{
    ASSERT(r->count);
    return &r->seen[r->count - 1];
}

static void on_end(struct run *r)
{
    const struct http_head none = {.status = 404}; /* no 2xx, which would open CONNECT's tunnel */
    current(r)->has_ended = true;
    if (r->role == H1_SERVER)
        ASSERT(h1_conn_send_head(r->conn, &none, true, false) == 0);
}

static void on_head(void *user, const struct http_head *head, bool end)
{
    struct run *r = user;
    ASSERT(r->count < MESSAGES_MAX);
    struct buf *text = &r->seen[r->count++].head;
    if (r->role == H1_SERVER)
        buf_printf(text, "%.*s %.*s %.*s\n", SLICE_FMT(head->method), SLICE_FMT(head->path),
                   SLICE_FMT(head->authority));
    buf_printf(text, "%u 1.%u\n", head->status, head->version_minor);
    for (uint32_t i = 0; i < head->fields.count; i++)
        buf_printf(text, "%.*s: %.*s\n", SLICE_FMT(head->fields.at[i].name),
                   SLICE_FMT(head->fields.at[i].value));
    if (h1_conn_upgrade(r->conn) == 0)
        r->is_switched = true;
    if (end || r->is_switched)
        on_end(r);
    if (r->role == H1_CLIENT && head->status < 200)
        current(r)->has_ended = true;
}

static void on_body(void *user, struct slice octets, bool end)
{
    struct run *r = user;
    ASSERT(octets.len || end);
    ASSERT(!current(r)->has_ended);
    buf_add(&current(r)->content, octets.p, octets.len);
    if (end)
        on_end(r);
}

static void on_trailers(void *user, const struct fields *trailers)
{
    struct run *r = user;
    ASSERT(!current(r)->has_ended);
    for (uint32_t i = 0; i < trailers->count; i++)
        buf_printf(&current(r)->trailers, "%.*s: %.*s\n", SLICE_FMT(trailers->at[i].name),
                   SLICE_FMT(trailers->at[i].value));
    on_end(r);
}

static void on_sent(void *user, size_t octets)
{
}

static void on_done(void *user, bool reusable)
{
    struct run *r = user;
    ASSERT(!current(r)->is_done);
    current(r)->is_done = true;
    current(r)->is_reusable = reusable;
}

static void on_tunnel(void *user, struct slice octets)
{
    struct run *r = user;
    buf_add(&r->tunnel, octets.p, octets.len);
}

static const struct h1_events events = {
    .on_head = on_head,
    .on_body = on_body,
    .on_trailers = on_trailers,
    .on_sent = on_sent,
    .on_done = on_done,
    .on_tunnel = on_tunnel,
};

static void drain(struct run *r)
{
    char out[4096];
    while (h1_conn_has_output(r->conn))
        h1_conn_output(r->conn, out, sizeof out);
}

static void run(struct run *r, enum h1_role role, const struct asked *what, struct slice in)
{
    memset(r, 0, sizeof *r);
    pool_init(&r->pool);
    pool_init(&r->own);
    r->role = role;
    buf_init(&r->tunnel, &r->own);
    for (unsigned i = 0; i < MESSAGES_MAX; i++) {
        buf_init(&r->seen[i].head, &r->own);
        buf_init(&r->seen[i].content, &r->own);
        buf_init(&r->seen[i].trailers, &r->own);
    }
    r->conn = h1_conn_new(role, &limits, &events, r, &r->pool);
    ASSERT(r->conn);
    if (role == H1_CLIENT) {
        const struct http_head head = {.method = what->method,
                                       .authority = SLICE("a:1"),
                                       .path = SLICE("/"),
                                       .protocol = what->protocol,
                                       .content_length = -1};
        ASSERT(h1_conn_send_head(r->conn, &head, true, false) == 0);
        drain(r);
    }
    r->err = h1_conn_feed(r->conn, in.p, in.len);
    for (unsigned before = 0; !r->err && r->role == H1_SERVER && before < r->count;) {
        before = r->count;
        drain(r);
        if (r->count < MESSAGES_MAX)
            r->err = h1_conn_resume(r->conn);
    }
    if (role == H1_CLIENT && !r->err)
        r->err = h1_conn_eof(r->conn);
    drain(r);
    h1_conn_free(r->conn);
    ASSERT(r->pool.live == 0);
    pool_fini(&r->pool);
}

static void run_fini(struct run *r)
{
    buf_fini(&r->tunnel);
    for (unsigned i = 0; i < MESSAGES_MAX; i++) {
        buf_fini(&r->seen[i].head);
        buf_fini(&r->seen[i].content);
        buf_fini(&r->seen[i].trailers);
    }
    ASSERT(r->own.live == 0);
    pool_fini(&r->own);
}

/* ---- the strict reader's, in the same words ---- */

static void print_lower(struct buf *text, struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = (char)ascii_lower((unsigned char)s.p[i]);
        buf_add(text, &c, 1);
    }
}

static uint64_t first_number(struct slice s)
{
    uint64_t n = 0;
    for (size_t i = 0; i < s.len && s.p[i] >= '0' && s.p[i] <= '9'; i++)
        n = n * 10 + (unsigned)(s.p[i] - '0');
    return n;
}

/* The engine leaves one Content-Length, its number in plain digits: RFC 9110 8.6 knows leading
 * zeros, and lists of equal numbers, which a recipient may make one of.  Host says what an absolute
 * target says (RFC 9112 3.2.2). */
static void print_head(struct buf *text, const struct strict_message *m)
{
    bool has_length = false;
    if (m->method.len) {
        bool is_empty = m->path.len == 0 && !slice_eq(m->method, SLICE("CONNECT"));
        buf_printf(text, "%.*s ", SLICE_FMT(m->method));
        if (is_empty && slice_eq(m->method, SLICE("OPTIONS")))
            buf_add_str(text, "*"); /* RFC 9112 3.2.4 */
        else if (is_empty || (m->path.len && m->path.p[0] == '?'))
            buf_add_str(text, "/");
        buf_printf(text, "%.*s %.*s\n", SLICE_FMT(m->path), SLICE_FMT(m->host));
    }
    buf_printf(text, "%u 1.%u\n", m->status, m->minor);
    for (size_t i = 0; i < m->fields.count; i++) {
        struct slice name = m->fields.at[i].name, value = m->fields.at[i].value;
        bool is_length = slice_ieq(name, SLICE("content-length"));
        if (is_length && has_length)
            continue;
        has_length |= is_length;
        print_lower(text, name);
        if (is_length)
            buf_printf(text, ": %llu\n", (unsigned long long)first_number(value));
        else if (m->method.len && slice_ieq(name, SLICE("host")))
            buf_printf(text, ": %.*s\n", SLICE_FMT(m->host));
        else
            buf_printf(text, ": %.*s\n", SLICE_FMT(value));
    }
}

/* Each trailer that the engine gave out is there, in order; those that it must drop it dropped. */
static void check_trailers(struct slice seen, const struct strict_message *m)
{
    static const char *const never[] = {
        "content-length", "transfer-encoding", "host", "connection", "authorization",
        "cookie",         "set-cookie",        "te",   "trailer"};
    struct pool pool;
    struct buf line;
    pool_init(&pool);
    buf_init(&line, &pool);
    for (size_t i = 0; i < m->trailers.count; i++) {
        const struct strict_field *f = &m->trailers.at[i];
        bool is_kept;
        buf_consume(&line, buf_len(&line));
        print_lower(&line, f->name);
        buf_printf(&line, ": %.*s\n", SLICE_FMT(f->value));
        is_kept = slice_starts(seen, buf_slice(&line));
        if (is_kept)
            seen = slice_of(seen.p + buf_len(&line), seen.len - buf_len(&line));
        for (size_t k = 0; k < ARRAY_LEN(never); k++)
            ASSERT(!is_kept || !slice_ieq(f->name, slice_str(never[k])));
    }
    ASSERT(seen.len == 0);
    buf_fini(&line);
    pool_fini(&pool);
}

static void check_same(const struct run *r, const struct seen *s, const struct strict_message *m,
                       bool is_whole)
{
    struct pool pool;
    struct buf text;
    struct slice content = slice_of(m->content, m->content_len);
    pool_init(&pool);
    buf_init(&text, &pool);
    print_head(&text, m);
    if (!slice_eq(buf_slice(&text), buf_slice(&s->head)))
        PANIC("heads differ\nours:\n%.*s\nstrict:\n%.*s", SLICE_FMT(buf_slice(&s->head)),
              SLICE_FMT(buf_slice(&text)));
    if (is_whole || !r->err)
        ASSERT(slice_eq(buf_slice(&s->content), content));
    else
        ASSERT(slice_starts(content, buf_slice(&s->content)));
    if (is_whole)
        check_trailers(buf_slice(&s->trailers), m);
    buf_fini(&text);
    pool_fini(&pool);
}

/* ---- what may differ ---- */

static size_t connection_options(const struct strict_fields *f)
{
    size_t n = 0;
    for (size_t i = 0; i < f->count; i++) {
        if (!slice_ieq(f->at[i].name, SLICE("connection")))
            continue;
        n++;
        for (size_t k = 0; k < f->at[i].value.len; k++)
            n += f->at[i].value.p[k] == ',';
    }
    return n;
}

/* Why the engine may refuse a message that is in order. */
static bool may_refuse(const struct strict_message *m, unsigned informational)
{
    if (m->minor > 1)
        return true; /* HTTP/1.2 and up: 505 */
    if (m->start_line_octets > limits.start_line_octets ||
        m->longest_section > limits.field_section_octets || m->fields.count > FIELDS_MAX ||
        m->trailers.count > FIELDS_MAX)
        return true;
    if (m->empty_lines > 4 || m->longest_chunk_line > limits.chunk_line_octets ||
        connection_options(&m->fields) > 16)
        return true;
    if (informational > limits.informational)
        return true;
    /* What follows the head of a CONNECT is the tunnel's: RFC 9110 9.3.6 */
    return slice_eq(m->method, SLICE("CONNECT")) && (m->content_len || m->is_coded);
}

static void compare_requests(const struct run *r, struct slice in)
{
    for (unsigned i = 0; i < MESSAGES_MAX; i++) {
        struct strict_message m;
        const struct seen *s = i < r->count ? &r->seen[i] : NULL;
        enum strict_verdict v = strict_request(in, &m);
        bool goes_on = v == STRICT_WHOLE && s && s->has_ended;
        if (s)
            ASSERT(m.has_head);
        if (v == STRICT_WHOLE && !goes_on && !(r->err && may_refuse(&m, 0)))
            PANIC("request %u is refused (%s), strict finds it whole", i, err_text(r->err));
        if (v != STRICT_WHOLE && s && s->has_ended)
            PANIC("request %u is given out, strict says: %s", i, m.why ? m.why : "more");
        if (s)
            check_same(r, s, &m, goes_on);
        if (goes_on) {
            ASSERT(s->is_done);
            goes_on = s->is_reusable;
            /* A CONNECT that is refused is the last one, whatever it says. */
            ASSERT(goes_on == (!m.is_last && !slice_eq(m.method, SLICE("CONNECT"))));
            in = slice_of(in.p + m.next, in.len - m.next);
        }
        strict_free(&m);
        if (!goes_on)
            return;
    }
}

static void compare_responses(const struct run *r, const struct asked *what, struct slice in)
{
    size_t informational_octets = 0;
    for (unsigned i = 0; i < MESSAGES_MAX; i++) {
        struct strict_message m;
        const struct seen *s = i < r->count ? &r->seen[i] : NULL;
        enum strict_verdict v = strict_response(in, what->method, true, &m);
        bool is_final = m.status >= 200;
        /* 101 without having been asked, or without saying to what, is for the engine to refuse. */
        bool is_odd_switch = m.status == 101;
        /* 1xx heads together, start lines and all, may be as large as one section. */
        if (!is_final)
            informational_octets += m.start_line_octets + m.longest_section + 4;
        bool is_long = informational_octets > limits.field_section_octets;
        if (s)
            ASSERT(m.has_head);
        if (v == STRICT_WHOLE && !(s && s->has_ended) &&
            !(r->err && (is_odd_switch || (is_long && !is_final) || may_refuse(&m, i + !is_final))))
            PANIC("response %u is refused (%s), strict finds it whole", i, err_text(r->err));
        if (v != STRICT_WHOLE && s && s->has_ended)
            PANIC("response %u is given out, strict says: %s", i, m.why ? m.why : "more");
        if (s)
            check_same(r, s, &m, v == STRICT_WHOLE && s->has_ended);
        if (v != STRICT_WHOLE) {
            /* What was cut short, or went wrong, never ends well. */
            ASSERT(r->err);
        } else if (s && s->has_ended && m.is_switched) {
            ASSERT(slice_eq(buf_slice(&r->tunnel), slice_of(in.p + m.next, in.len - m.next)));
        } else if (s && s->has_ended && is_final) {
            ASSERT(s->is_done && r->tunnel.end == 0 && i + 1 == r->count);
            ASSERT(!s->is_reusable || (!m.is_last && m.next == in.len));
        }
        in = slice_of(in.p + m.next, in.len - m.next);
        strict_free(&m);
        if (v != STRICT_WHOLE || !s || !s->has_ended || is_final || m.is_switched)
            return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
    static struct run r;
    if (len == 0)
        return 0;
    struct slice in = slice_of(octets + 1, len - 1);
    const struct asked *what = &asked[(octets[0] >> 1) % ARRAY_LEN(asked)];
    run(&r, octets[0] & 1 ? H1_CLIENT : H1_SERVER, what, in);
    if (r.role == H1_SERVER)
        compare_requests(&r, in);
    else
        compare_responses(&r, what, in);
    run_fini(&r);
    return 0;
}
