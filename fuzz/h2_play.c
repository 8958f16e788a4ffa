/* SPDX-License-Identifier: Apache-2.0 */
#include "h2_play.h"
#include "base/err.h"
#include "base/panic.h"
#include "h2_peer.h"
#include "h2_watch.h"
#include "http/rules.h"

#include <stdlib.h>

#define STREAMS_MAX 64 /* that the application looks after; others are reset */
#define QUEUED_MAX  65536
#define MEMORY_MAX  (8u << 20)
#define OPS_MAX     400
#define WINDOW      100000
#define WIDE        (2 * WINDOW) /* also of the connection */

/* Only a sanitizer counts; without one the cap is not watched. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

struct app_stream {
    struct h2_stream *stream; /* NULL: free */
    uint32_t id;
    int64_t length_left; /* of content, -1: not told */
    size_t held;         /* content received and not yet consumed */
    bool head_seen, has_ended, to_head;
    bool out_ended; /* the application gave the end of what it sends */
};

struct play {
    enum h2_role role;
    struct pool pool, own;
    struct h2_conn *conn;
    struct input in;
    struct h2_peer peer;
    struct h2_watch watch;
    struct buf out; /* of the peer, not fed yet */
    struct app_stream streams[STREAMS_MAX];
    uint64_t now_us;
    unsigned closes; /* on_close calls */
    bool is_over;
};

/* ---- the application ---- */

static struct app_stream *keep(struct play *p, struct h2_stream *s)
{
    for (unsigned i = 0; i < STREAMS_MAX; i++) {
        struct app_stream *a = &p->streams[i];
        if (a->stream)
            continue;
        *a = (struct app_stream){.stream = s, .id = h2_stream_id(s), .length_left = -1};
        h2_stream_set_user(s, a);
        return a;
    }
    return NULL;
}

static struct app_stream *app(struct h2_stream *s)
{
    struct app_stream *a = h2_stream_user(s);
    ASSERT(a && a->stream == s && a->id == h2_stream_id(s));
    return a;
}

static void drop(struct app_stream *a, enum h2_code code)
{
    struct h2_stream *s = a->stream;
    a->stream = NULL;
    h2_stream_reset(s, code);
}

static void consume(struct app_stream *a, size_t octets)
{
    if (octets > a->held)
        octets = a->held;
    a->held -= octets;
    h2_stream_consumed(a->stream, octets);
}

static const char filler[4096];

static void send_content(struct app_stream *a, size_t octets, bool end)
{
    if (h2_stream_queued(a->stream) + octets > QUEUED_MAX)
        octets = 0;
    int err = 0;
    while (octets > sizeof filler && !err) {
        err = h2_stream_body(a->stream, slice_of(filler, sizeof filler), NULL, false);
        octets -= sizeof filler;
    }
    if (!err && h2_stream_body(a->stream, slice_of(filler, octets), NULL, end) == 0)
        a->out_ended |= end;
}

static struct field some_fields[] = {
    {SLICE("x-a"), SLICE("b"), TOKEN_NONE, 0},
    {SLICE("x-secret"), SLICE("c"), TOKEN_NONE, FIELD_NEVER_INDEX},
    {SLICE("connection"), SLICE("close"), TOKEN_CONNECTION, 0},
    {SLICE("set-cookie"), SLICE("d=e"), TOKEN_SET_COOKIE, 0},
};

/* A field that no frame of ordinary size holds: CONTINUATION goes out. */
static struct fields large_fields(void)
{
    static char value[30000];
    static struct field field = {SLICE("x-large"), {NULL, 0}, TOKEN_NONE, 0};
    memset(value, '!', sizeof value); /* ten bits each when compressed, so it is not */
    field.value = slice_of(value, sizeof value);
    return (struct fields){&field, 1, 1};
}

static void respond_with(struct app_stream *a, unsigned status, struct fields fields, bool end)
{
    const struct http_head head = {
        .status = (uint16_t)status, .content_length = -1, .fields = fields};
    if (h2_stream_respond(a->stream, &head, end) == 0)
        a->out_ended |= end;
}

static void respond(struct app_stream *a, unsigned status, bool end)
{
    respond_with(a, status, (struct fields){some_fields, status % 5, 4}, end);
}

static void push(struct play *p, struct app_stream *parent)
{
    const struct http_head head = {.method = SLICE("GET"),
                                   .scheme = SLICE("https"),
                                   .authority = SLICE("a.test"),
                                   .path = SLICE("/s.css"),
                                   .content_length = -1};
    int err = 0;
    struct h2_stream *s = h2_stream_promise(parent->stream, &head, NULL, &err);
    struct app_stream *a = s ? keep(p, s) : NULL;
    ASSERT(s || err);
    if (s && !a) {
        h2_stream_reset(s, H2_CANCEL);
        return;
    }
    if (!a)
        return;
    ASSERT(h2_stream_is_promised(s));
    uint8_t how = input_u8(&p->in);
    if (how & 8)
        ASSERT(h2_stream_weave(s, parent->stream, (how >> 4) * 300u));
    if (how & 1)
        respond(a, 200, how & 2);
    if ((how & 3) == 1)
        send_content(a, how * 16u, how & 4);
}

/* What the application does with a stream now. */
static void act(struct play *p, struct app_stream *a, uint8_t how)
{
    bool serves = p->role == H2_SERVER;
    switch (how & 15) {
    case 0:
    case 1:
        break;
    case 2:
        if (serves)
            respond(a, 200, true);
        break;
    case 3:
    case 4:
        if (serves)
            respond(a, 200, false);
        send_content(a, (how >> 4) * 300u, how & 1);
        break;
    case 5:
        send_content(a, (how >> 4) * 3000u, how & 0x10);
        break;
    case 6: {
        const struct fields trailers = {some_fields, how >> 6, 4};
        if (h2_stream_trailers(a->stream, &trailers) == 0)
            a->out_ended = true;
        break;
    }
    case 7:
        drop(a, (enum h2_code)(how >> 4));
        break;
    case 8:
    case 9:
        if (serves)
            push(p, a);
        break;
    case 10:
    case 11:
        consume(a, how & 0x10 ? 100 : SIZE_MAX);
        break;
    case 12:
        if (serves && how & 0x80)
            respond_with(a, how & 0x10 ? 103 : 200, large_fields(), how & 0x20);
        else if (serves)
            respond(a, how & 0x10 ? 103 : 204, how & 0x20);
        break;
    case 13:
        h2_stream_set_priority(a->stream,
                               (struct priority){.urgency = how >> 5, .incremental = how & 0x10});
        break;
    case 14:
        ASSERT(h2_stream_send_window(a->stream) <= INT32_MAX);
        if (how & 0x80) {
            h2_stream_widen(a->stream, WIDE);
            h2_watch_widen(&p->watch, WIDE);
        }
        break;
    case 15:
        if (serves)
            respond(a, (how >> 4) * 100u, false);
        break;
    }
}

static void request(struct play *p, uint8_t how)
{
    struct http_head head = {.method = how & 1 ? SLICE("POST") : SLICE("GET"),
                             .scheme = SLICE("https"),
                             .authority = SLICE("a.test"),
                             .path = SLICE("/"),
                             .content_length = -1,
                             .fields = {some_fields, how >> 6, 4}};
    int err = 0;
    if (how & 8)
        head.method = SLICE("HEAD");
    if ((how & 0x24) == 0x24)
        head.fields = large_fields();
    if ((how & 0x30) == 0x30) {
        head.method = SLICE("CONNECT");
        head.protocol = how & 4 ? SLICE("websocket") : SLICE("");
        head.scheme = head.path = SLICE("");
        if (head.protocol.len) {
            head.scheme = SLICE("https");
            head.path = SLICE("/");
        }
    }
    bool can = h2_conn_can_open(p->conn) > 0;
    struct h2_stream *s = h2_conn_request(p->conn, &head, how & 2, NULL, &err);
    ASSERT(s || err);
    ASSERT(!s || can);
    if (!s)
        return;
    p->peer.last_theirs = h2_stream_id(s);
    struct app_stream *a = keep(p, s);
    if (a)
        a->to_head = slice_eq(head.method, SLICE("HEAD"));
    else
        h2_stream_reset(s, H2_CANCEL);
}

/* ---- what must be true of events ---- */

static void check_head(const struct play *p, const struct http_head *h, bool is_request)
{
    if (is_request) {
        bool connect = slice_eq(h->method, SLICE("CONNECT"));
        ASSERT(rules_is_token(h->method) && h->status == 0);
        ASSERT(h->authority.len == 0 || rules_is_authority(h->authority));
        ASSERT(connect == (h->protocol.len || h->path.len == 0));
        if (!connect || h->protocol.len)
            ASSERT(h->scheme.len &&
                   (rules_is_origin_form(h->path) ||
                    (slice_eq(h->path, SLICE("*")) && slice_eq(h->method, SLICE("OPTIONS")))));
    } else {
        ASSERT(h->status >= 100 && h->status <= 599 && h->status != 101 && h->method.len == 0);
    }
    ASSERT(h->content_length >= -1);
    for (uint32_t i = 0; i < h->fields.count; i++) {
        const struct field *f = &h->fields.at[i];
        ASSERT(rules_is_lower_token(f->name) && rules_is_value(f->value));
        ASSERT(f->token == token_find(f->name));
        ASSERT(f->token != TOKEN_CONNECTION && f->token != TOKEN_TRANSFER_ENCODING &&
               f->token != TOKEN_UPGRADE && f->token != TOKEN_KEEP_ALIVE);
    }
    ASSERT(h->fields.count <= FIELDS_MAX);
}

static void message_ends(struct app_stream *a)
{
    ASSERT(!a->has_ended);
    ASSERT(a->length_left <= 0 || a->to_head);
    a->has_ended = true;
}

static void on_head(void *user, struct h2_stream *s, const struct http_head *head, bool end)
{
    struct play *p = user;
    ASSERT(!p->is_over);
    check_head(p, head, p->role == H2_SERVER);
    struct app_stream *a;
    if (p->role == H2_SERVER) {
        ASSERT(!h2_stream_user(s));
        a = keep(p, s);
        if (!a) {
            h2_stream_reset(s, H2_REFUSED_STREAM);
            return;
        }
    } else {
        a = app(s);
    }
    ASSERT(!a->head_seen && !a->has_ended);
    if (head->status >= 100 && head->status < 200) {
        ASSERT(!end);
        return;
    }
    a->head_seen = true;
    if (head->status == 304 || head->status == 204)
        a->to_head = true;
    a->length_left = head->content_length;
    if (end)
        message_ends(a);
    act(p, a, input_u8(&p->in));
}

static void on_body(void *user, struct h2_stream *s, struct slice octets, bool end)
{
    struct play *p = user;
    struct app_stream *a = app(s);
    ASSERT(a->head_seen && !a->has_ended && (octets.len || end));
    a->held += octets.len;
    if (a->length_left >= 0)
        a->length_left -= (int64_t)octets.len;
    ASSERT(a->length_left >= -1);
    if (end)
        message_ends(a);
    act(p, a, input_u8(&p->in));
}

static void on_trailers(void *user, struct h2_stream *s, const struct fields *trailers)
{
    struct play *p = user;
    struct app_stream *a = app(s);
    ASSERT(a->head_seen);
    for (uint32_t i = 0; i < trailers->count; i++)
        ASSERT(rules_is_lower_token(trailers->at[i].name) && rules_is_value(trailers->at[i].value));
    message_ends(a);
    act(p, a, input_u8(&p->in));
}

static void on_sent(void *user, struct h2_stream *s, size_t octets)
{
    ASSERT(octets && app(s));
}

static void on_promise(void *user, struct h2_stream *parent, struct h2_stream *promised,
                       const struct http_head *head)
{
    struct play *p = user;
    app(parent);
    check_head(p, head, true);
    ASSERT(method_is_safe(head->method) && head->authority.len && head->content_length <= 0);
    ASSERT(h2_stream_is_promised(promised));
    struct app_stream *a = keep(p, promised);
    if (!a) {
        h2_stream_reset(promised, H2_REFUSED_STREAM);
        return;
    }
    a->to_head = slice_eq(head->method, SLICE("HEAD"));
    act(p, a, input_u8(&p->in));
}

static void on_close(void *user, struct h2_stream *s, uint32_t code)
{
    struct play *p = user;
    struct app_stream *a = app(s);
    /* A clean end is a whole response; a server may end so without the rest of the request. */
    ASSERT(code != H2_NO_ERROR || (p->role == H2_SERVER ? a->out_ended : a->has_ended));
    a->stream = NULL;
    p->closes++;
}

static void on_settings(void *user)
{
}

static void on_goaway(void *user, uint32_t last_stream_id, uint32_t code)
{
}

static const struct h2_events events = {
    .on_head = on_head,
    .on_body = on_body,
    .on_trailers = on_trailers,
    .on_sent = on_sent,
    .on_promise = on_promise,
    .on_close = on_close,
    .on_settings = on_settings,
    .on_goaway = on_goaway,
};

/* ---- the session ---- */

static void draw(struct play *p, size_t cap)
{
    static char out[65536];
    while (h2_conn_has_output(p->conn)) {
        unsigned before = p->closes;
        size_t n = h2_conn_output(p->conn, out, cap, p->now_us);
        ASSERT(n <= cap);
        ASSERT(n || p->closes != before); /* what is announced comes */
        h2_watch_sent(&p->watch, slice_of(out, n));
        if (cap < sizeof out)
            return; /* the peer reads slowly */
    }
}

static void feed(struct play *p, size_t step)
{
    struct slice rest = buf_slice(&p->out);
    h2_watch_fed(&p->watch, rest);
    while (rest.len) {
        size_t n = step && step < rest.len ? step : rest.len;
        char *copy = malloc(n); /* of its size, for the sanitizer, and gone afterwards */
        ASSERT(copy);
        memcpy(copy, rest.p, n);
        bool was_over = p->is_over;
        int err = h2_conn_feed(p->conn, copy, n, p->now_us);
        free(copy);
        if (err < 0) {
            p->is_over = true;
            ASSERT(h2_conn_is_over(p->conn) && (was_over || h2_conn_blame(p->conn)));
            ASSERT(h2_conn_streams(p->conn) == 0);
            for (unsigned i = 0; i < STREAMS_MAX; i++)
                ASSERT(!p->streams[i].stream);
        } else {
            ASSERT(!was_over);
        }
        rest = slice_of(rest.p + n, rest.len - n);
    }
    buf_consume(&p->out, buf_len(&p->out));
}

static void app_op(struct play *p, uint8_t op)
{
    uint8_t which = input_u8(&p->in);
    unsigned live = 0;
    switch (op & 7) {
    case 0:
        if (p->role == H2_CLIENT)
            request(p, which);
        return;
    case 1:
        draw(p, which & 0x80 ? 65536 : which < 4 ? 1 + 4u * which : 64 + which * 8u);
        return;
    case 2:
        p->now_us += which * 10000u;
        return;
    case 3:
        if (which == 1)
            h2_conn_shutdown(p->conn);
        if (which == 2 && !p->is_over) {
            h2_conn_abort(p->conn, H2_NO_ERROR);
            p->is_over = true;
        }
        if (which & 0x80) /* memory is out, once, soon */
            p->pool.fail_at = p->pool.gets + 1 + (which & 0x7f);
        return;
    default:
        for (unsigned i = 0; i < STREAMS_MAX; i++)
            live += p->streams[i].stream != NULL;
        for (unsigned i = 0; i < STREAMS_MAX && live; i++) {
            if (!p->streams[i].stream || which-- % live)
                continue;
            act(p, &p->streams[i], input_u8(&p->in));
            return;
        }
    }
}

static void play_open(struct play *p, enum h2_role role, const uint8_t *octets, size_t len)
{
    struct h2_settings settings;
    memset(p, 0, sizeof *p);
    p->role = role;
    p->in = (struct input){octets, len};
    uint8_t setup = input_u8(&p->in);
    pool_init(&p->pool);
    pool_init(&p->own);
    buf_init(&p->out, &p->own);
    h2_settings_default(&settings, role);
    settings.max_concurrent_streams = setup & 1 ? 3 : 20;
    settings.stream_window = setup & 2 ? 1000 : WINDOW;
    settings.conn_window = WIDE;
    settings.max_field_section_octets = 1000;
    settings.decoder_table_octets = setup & 4 ? 100 : 4096;
    settings.encoder_table_octets = setup & 8 ? 0 : 4096;
    settings.max_queued_octets = 20000;
    if (setup & 16)
        settings.budget = (struct h2_budget){{5, 1}, {5, 1}, {5, 1}, {5, 1}, {5, 1}, {5, 1}};
    settings.enable_push = role == H2_CLIENT && !(setup & 32);
    p->conn = h2_conn_new(role, &settings, &events, p, &p->pool, p->now_us);
    ASSERT(p->conn);
    h2_watch_init(&p->watch, role, settings.stream_window, settings.conn_window, &p->own);
    h2_peer_init(&p->peer, role == H2_SERVER ? H2_CLIENT : H2_SERVER);
    if (!(setup & 64))
        h2_peer_preface(&p->peer, &p->in, &p->out);
    if (setup & 128) { /* octets as they are */
        struct slice raw = input_take(&p->in, SIZE_MAX);
        buf_add(&p->out, raw.p, raw.len);
    }
}

void h2_play(enum h2_role role, const uint8_t *octets, size_t len)
{
    static struct play play;
    struct play *p = &play;
    size_t before =
        __sanitizer_get_current_allocated_bytes ? __sanitizer_get_current_allocated_bytes() : 0;
    size_t step = 0;
    play_open(p, role, octets, len);
    for (unsigned ops = 0; ops < OPS_MAX && (p->in.left || buf_len(&p->out)); ops++) {
        uint8_t op = input_u8(&p->in);
        if (op & 0x80)
            app_op(p, op);
        else
            h2_peer_frame(&p->peer, op & 15, &p->in, &p->out);
        if (op & 0x40 && op < 0x80)
            step = input_u8(&p->in) & 63;
        if (!(op & 0x20) || p->in.left == 0) /* else together with what follows */
            feed(p, step);
        if (op & 0x10)
            draw(p, 65536);
        if (before)
            ASSERT(__sanitizer_get_current_allocated_bytes() < before + MEMORY_MAX);
    }
    feed(p, 0);
    draw(p, 65536);
    draw(p, 65536);
    h2_conn_free(p->conn);
    ASSERT(p->pool.live == 0);
    h2_watch_fini(&p->watch);
    buf_fini(&p->out);
    ASSERT(p->own.live == 0);
    pool_fini(&p->pool);
    pool_fini(&p->own);
}
