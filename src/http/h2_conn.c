/* SPDX-License-Identifier: Apache-2.0 */
/* Life of a connection: what it opens with, SETTINGS, PING, GOAWAY, and what ends it. */
#include "http/h2_internal.h"
#include "base/err.h"

/* Sent with the first GOAWAY of a shutdown.  RFC 9113 6.8 */
static const uint8_t shutdown_ping[8] = {'s', 'h', 'u', 't', 'd', 'o', 'w', 'n'};

const char *h2_code_name(uint32_t code)
{
    static const char *const names[] = {
#define X(name, value) [value] = #name,
        H2_CODE_TABLE(X)
#undef X
    };
    return code < ARRAY_LEN(names) ? names[code] : "UNKNOWN";
}

void h2_settings_default(struct h2_settings *s, enum h2_role role)
{
    *s = (struct h2_settings){
        .max_concurrent_streams = 100,
        .stream_window = 128u << 10,
        .conn_window = 1u << 20,
        .max_frame_octets = 16384,
        .decoder_table_octets = 4096,
        .encoder_table_octets = 4096,
        .max_field_section_octets = 64u << 10,
        .max_sections_octets = role == H2_SERVER ? 100 * (16u << 10) : UINT32_MAX,
        .max_queued_octets = 1u << 20,
        .enable_push = role == H2_CLIENT,
        .enable_connect = role == H2_SERVER,
        .budget =
            {
                /* A page that is left cancels a hundred streams at once, some times over. */
                .resets = {.burst = 500, .per_second = 50},
                .settings = {.burst = 50, .per_second = 5},
                /* gRPC measures its bandwidth by a PING a round trip. */
                .pings = {.burst = 1000, .per_second = 100},
                .empty = {.burst = 200, .per_second = 20},
                .priority = {.burst = 1000, .per_second = 200},
                .window = {.burst = 1000, .per_second = 100},
            },
    };
}

static void send_preface(struct h2_conn *c)
{
    const struct h2_settings *s = &c->settings;
    struct {
        enum h2_setting id;
        uint32_t value;
        bool send;
    } const rows[] = {
        {H2_SETTING_HEADER_TABLE_SIZE, s->decoder_table_octets, s->decoder_table_octets != 4096},
        {H2_SETTING_ENABLE_PUSH, s->enable_push, c->role == H2_CLIENT},
        {H2_SETTING_MAX_CONCURRENT_STREAMS, s->max_concurrent_streams, true},
        {H2_SETTING_INITIAL_WINDOW_SIZE, s->stream_window, s->stream_window != H2_INITIAL_WINDOW},
        {H2_SETTING_MAX_FRAME_SIZE, s->max_frame_octets, s->max_frame_octets != 16384},
        {H2_SETTING_MAX_HEADER_LIST_SIZE, s->max_field_section_octets, true},
        {H2_SETTING_ENABLE_CONNECT_PROTOCOL, 1, c->role == H2_SERVER && s->enable_connect},
        {H2_SETTING_NO_RFC7540_PRIORITIES, 1, c->role == H2_SERVER},
    };
    uint32_t count = 0;
    if (c->role == H2_CLIENT && buf_add(&c->control, H2_PREFACE, H2_PREFACE_OCTETS) < 0)
        h2_conn_fail(c, H2_BLAME_MEMORY);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        count += rows[i].send;
    uint8_t *p = h2_send_frame(c, H2_FRAME_SETTINGS, 0, 0, count * 6);
    for (size_t i = 0; p && i < ARRAY_LEN(rows); i++) {
        if (!rows[i].send)
            continue;
        h2_put_u16(p, rows[i].id);
        h2_put_u32(p + 2, rows[i].value);
        p += 6;
    }
    if (s->conn_window > H2_INITIAL_WINDOW)
        h2_send_u32(c, H2_FRAME_WINDOW_UPDATE, 0, s->conn_window - H2_INITIAL_WINDOW);
}

struct h2_conn *h2_conn_new(enum h2_role role, const struct h2_settings *settings,
                            const struct h2_events *events, void *user, struct pool *pool,
                            uint64_t now_us)
{
    ASSERT(settings->max_frame_octets >= 16384 && settings->max_frame_octets <= 0xffffff);
    ASSERT(settings->stream_window <= H2_WINDOW_MAX && settings->conn_window <= H2_WINDOW_MAX);
    struct h2_conn *c = pool_zget(pool, sizeof *c);
    if (!c)
        return NULL;
    c->pool = pool;
    c->events = events;
    c->user = user;
    c->role = (uint8_t)role;
    c->now_us = now_us;
    c->settings = *settings;
    /* A peer may use 65,535 octets at once, so a smaller window cannot be had (RFC 9113 6.9.2). */
    if (c->settings.conn_window < H2_INITIAL_WINDOW)
        c->settings.conn_window = H2_INITIAL_WINDOW;
    c->peer = (struct h2_peer){.max_streams = UINT32_MAX,
                               .initial_window = H2_INITIAL_WINDOW,
                               .max_frame_octets = 16384,
                               .max_section_octets = UINT32_MAX,
                               .push = role == H2_SERVER};
    c->reader.what = role == H2_SERVER ? H2_READ_PREFACE : H2_READ_HEAD;
    buf_init(&c->reader.payload, pool);
    buf_init(&c->block.octets, pool);
    buf_init(&c->control, pool);
    h2_budgets_init(&c->budgets, &settings->budget, now_us);
    h2_sched_init(&c->sched);
    c->send_window = H2_INITIAL_WINDOW;
    c->recv_window = c->settings.conn_window;
    c->local_initial_window =
        settings->stream_window > H2_INITIAL_WINDOW ? settings->stream_window : H2_INITIAL_WINDOW;
    list_init(&c->streams);
    list_init(&c->ended);
    list_init(&c->early);
    list_init(&c->held);
    list_init(&c->gone);
    c->next_id = role == H2_CLIENT ? 1 : 2;
    c->goaway_last = c->peer_goaway_last = H2_ID_MAX;
    c->decoder = hpack_decoder_new(pool, settings->decoder_table_octets);
    c->encoder = hpack_encoder_new(pool, settings->encoder_table_octets);
    if (c->decoder && c->encoder)
        send_preface(c);
    if (c->decoder && c->encoder && !c->error)
        return c;
    h2_conn_free(c);
    return NULL;
}

void h2_conn_free(struct h2_conn *c)
{
    if (!c)
        return;
    ASSERT(!c->busy);
    LIST_FOR(node, &c->streams)
    {
        struct h2_stream *s = LIST_ENTRY(node, struct h2_stream, all);
        s->surfaced = false;
        h2_stream_close(s, H2_NO_ERROR);
    }
    h2_stream_free_gone(c);
    buf_fini(&c->reader.payload);
    buf_fini(&c->block.octets);
    buf_fini(&c->control);
    if (c->decoder)
        hpack_decoder_free(c->decoder);
    if (c->encoder)
        hpack_encoder_free(c->encoder);
    pool_put(c->pool, c, sizeof *c);
}

static void send_goaway(struct h2_conn *c, uint32_t last_id, enum h2_code code)
{
    uint8_t *p = h2_send_frame(c, H2_FRAME_GOAWAY, 0, 0, 8);
    if (p) {
        h2_put_u32(p, last_id);
        h2_put_u32(p + 4, code);
    }
}

/* Our last word on which of the peer's streams we have taken up; it must never grow. */
static uint32_t last_taken(const struct h2_conn *c)
{
    return c->last_peer_id < c->goaway_last ? c->last_peer_id : c->goaway_last;
}

static void end_conn(struct h2_conn *c, int err, uint32_t code)
{
    c->error = err;
    c->code = code;
    send_goaway(c, last_taken(c), (enum h2_code)code);
}

int h2_conn_fail(struct h2_conn *c, enum h2_blame blame)
{
    int err = blame == H2_BLAME_MEMORY  ? ERR_NOMEM
              : blame == H2_BLAME_HPACK ? ERR_HPACK
                                        : ERR_H2_CONN;
    if (c->error)
        return c->error;
    c->blame = (uint8_t)blame;
    end_conn(c, err, h2_blame_row(blame)->code);
    h2_tell_refusal(c, blame);
    return err;
}

/* A callback may close any stream, so look from the start each time.  What is cut is never told as
 * a clean end, whatever the GOAWAY said. */
static void close_all(struct h2_conn *c)
{
    uint32_t code = c->code == H2_NO_ERROR ? H2_CANCEL : c->code;
    while (!list_empty(&c->streams))
        h2_stream_close(LIST_ENTRY(c->streams.next, struct h2_stream, all), code);
}

/* Nothing is missing of it: a reset of it that comes late is no attack. */
static void close_well(struct h2_stream *s)
{
    s->conn->resets_earned++;
    h2_stream_close(s, H2_NO_ERROR);
}

void h2_conn_settle(struct h2_conn *c)
{
    if (c->settling)
        return;
    c->settling = true;
    do { /* a response that waited may end with its head */
        while (!list_empty(&c->ended))
            close_well(LIST_ENTRY(c->ended.next, struct h2_stream, due));
        h2_promise_release(c);
    } while (!list_empty(&c->ended));
    if (c->error)
        close_all(c);
    c->settling = false;
    h2_stream_free_gone(c);
}

void h2_conn_settle_early(struct h2_conn *c)
{
    while (!list_empty(&c->early) && !c->error) {
        struct h2_stream *s = LIST_ENTRY(c->early.next, struct h2_stream, due);
        s->forgiving = true;
        h2_send_reset(c, s->id, H2_NO_ERROR);
        close_well(s);
    }
    h2_conn_settle(c);
}

static int apply_setting(struct h2_conn *c, uint16_t id, uint32_t value, uint32_t *window)
{
    struct h2_peer *p = &c->peer;
    switch (id) {
    case H2_SETTING_HEADER_TABLE_SIZE:
        hpack_encoder_set_peer_max(c->encoder, value);
        return 0;
    case H2_SETTING_ENABLE_PUSH:
        if (value > 1 || (value == 1 && c->role == H2_CLIENT))
            break;
        p->push = value;
        return 0;
    case H2_SETTING_MAX_CONCURRENT_STREAMS:
        p->max_streams = value;
        return 0;
    case H2_SETTING_INITIAL_WINDOW_SIZE:
        if (value > H2_WINDOW_MAX)
            return h2_conn_fail(c, H2_BLAME_SETTINGS_WINDOW);
        *window = value;
        return 0;
    case H2_SETTING_MAX_FRAME_SIZE:
        if (value < 16384 || value > 0xffffff)
            break;
        p->max_frame_octets = value;
        return 0;
    case H2_SETTING_ENABLE_CONNECT_PROTOCOL: /* RFC 8441 3: there is no way back */
        if (value > 1 || (value == 0 && p->connect))
            break;
        p->connect = value;
        return 0;
    case H2_SETTING_NO_RFC7540_PRIORITIES: /* RFC 9218 2.1: only the first SETTINGS says */
        if (value > 1 || (p->seen && value != p->no_rfc7540_priorities))
            break;
        p->no_rfc7540_priorities = value;
        return 0;
    case H2_SETTING_MAX_HEADER_LIST_SIZE:
        p->max_section_octets = value;
        return 0;
    default: /* what we do not know means nothing (RFC 9113 6.5.2) */
        return 0;
    }
    return h2_conn_fail(c, H2_BLAME_SETTINGS_VALUE);
}

/* RFC 9113 6.5 */
int h2_on_settings(struct h2_conn *c, const struct h2_frame *f)
{
    if (f->flags & H2_FLAG_ACK) {
        if (f->len)
            return h2_conn_fail(c, H2_BLAME_FRAME_SIZE);
        if (c->settings_acked) /* of nothing: we send SETTINGS once */
            return h2_conn_charge(c, H2_BUDGET_settings, 1);
        h2_window_settings_acked(c);
        hpack_decoder_set_max(c->decoder, c->settings.decoder_table_octets);
        c->settings_acked = true;
        return 0;
    }
    if (f->len % 6)
        return h2_conn_fail(c, H2_BLAME_FRAME_SIZE);
    int err = h2_conn_charge(c, H2_BUDGET_settings, 1);
    uint32_t window = c->peer.initial_window;
    for (uint32_t at = 0; err == 0 && at < f->len; at += 6)
        err =
            apply_setting(c, h2_get_u16(f->payload + at), h2_get_u32(f->payload + at + 2), &window);
    if (err == 0)
        err = h2_window_set_initial(c, window);
    if (err < 0)
        return err;
    c->peer.seen = true;
    h2_send_frame(c, H2_FRAME_SETTINGS, H2_FLAG_ACK, 0, 0);
    if (c->events->on_settings)
        c->events->on_settings(c->user);
    return c->error;
}

int h2_on_ping(struct h2_conn *c, const struct h2_frame *f)
{
    if (f->flags & H2_FLAG_ACK) {
        if (c->going != H2_GOING_SOON || memcmp(f->payload, shutdown_ping, 8) != 0)
            return h2_conn_charge(c, H2_BUDGET_pings, 1); /* of nothing that we sent */
        c->going = H2_GOING;
        c->goaway_last = last_taken(c);
        send_goaway(c, c->goaway_last, H2_NO_ERROR);
        return c->error;
    }
    int err = h2_conn_charge_unearned(c, H2_BUDGET_pings, &c->pings_earned);
    if (err < 0)
        return err;
    uint8_t *p = h2_send_frame(c, H2_FRAME_PING, H2_FLAG_ACK, 0, 8);
    if (p)
        memcpy(p, f->payload, 8);
    return c->error;
}

/* RFC 9113 6.8: those above the last id were not acted on. */
int h2_on_goaway(struct h2_conn *c, const struct h2_frame *f)
{
    uint32_t last_id = h2_get_u32(f->payload) & 0x7fffffff;
    uint32_t code = h2_get_u32(f->payload + 4);
    if (last_id > c->peer_goaway_last)
        return h2_conn_fail(c, H2_BLAME_GOAWAY_GREW);
    int err = h2_conn_charge(c, H2_BUDGET_settings, 1);
    if (err < 0)
        return err;
    c->peer_going = true;
    c->peer_goaway_last = last_id;
    for (bool found = true; found;) { /* a callback may close any stream: look from the start */
        found = false;
        LIST_FOR(node, &c->streams)
        {
            struct h2_stream *s = LIST_ENTRY(node, struct h2_stream, all);
            if (!s->local || s->id <= last_id)
                continue;
            found = true;
            s->unprocessed = true;
            s->forgiving = true;
            h2_stream_close(s, H2_REFUSED_STREAM);
            break;
        }
    }
    if (c->events->on_goaway)
        c->events->on_goaway(c->user, last_id, code);
    return c->error;
}

void h2_conn_shutdown(struct h2_conn *c)
{
    if (c->error || c->going)
        return;
    c->going = H2_GOING_SOON;
    send_goaway(c, H2_ID_MAX, H2_NO_ERROR);
    if (c->error)
        return; /* that was the last word */
    uint8_t *p = h2_send_frame(c, H2_FRAME_PING, 0, 0, 8);
    if (p)
        memcpy(p, shutdown_ping, 8);
}

void h2_conn_abort(struct h2_conn *c, enum h2_code code)
{
    if (!c->error)
        end_conn(c, ERR_CLOSED, code);
    if (!c->busy) {
        c->busy++;
        h2_conn_settle(c);
        c->busy--;
    }
}

/* No stream is open, and none can come back. */
static bool is_idle(const struct h2_conn *c)
{
    if (!list_empty(&c->streams))
        return false;
    /* The peer of a client opens streams only as promises on open ones. */
    return c->error || c->going == H2_GOING || c->peer_going ||
           (c->role == H2_CLIENT && (c->going || c->next_id > H2_ID_MAX));
}

bool h2_conn_is_over(const struct h2_conn *c)
{
    return c->error || is_idle(c);
}

enum h2_blame h2_conn_blame(const struct h2_conn *c)
{
    return (enum h2_blame)c->blame;
}

const char *h2_conn_why(const struct h2_conn *c)
{
    return c->refused == H2_BLAME_MESSAGE ? err_text(c->block.flaw)
                                          : h2_blame_row((enum h2_blame)c->refused)->text;
}

size_t h2_conn_streams(const struct h2_conn *c)
{
    return c->table_count;
}

size_t h2_conn_queued(const struct h2_conn *c)
{
    return c->queued;
}

size_t h2_conn_queued_control(const struct h2_conn *c)
{
    return buf_len(&c->control);
}

size_t h2_conn_held(const struct h2_conn *c)
{
    return c->queued + buf_len(&c->control) + buf_len(&c->block.octets) +
           buf_len(&c->reader.payload);
}

bool h2_conn_peer_settings_seen(const struct h2_conn *c)
{
    return c->peer.seen;
}

bool h2_conn_peer_push_enabled(const struct h2_conn *c)
{
    return c->peer.push;
}

bool h2_conn_peer_connect_enabled(const struct h2_conn *c)
{
    return c->peer.connect;
}

uint32_t h2_conn_peer_max_streams(const struct h2_conn *c)
{
    return c->peer.max_streams;
}

bool h2_conn_is_used_up(const struct h2_conn *c)
{
    return c->next_id > H2_ID_MAX;
}

uint32_t h2_conn_can_open(const struct h2_conn *c)
{
    if (c->role == H2_SERVER || c->error || c->going || c->peer_going || c->next_id > H2_ID_MAX)
        return 0;
    uint32_t ids = (H2_ID_MAX - c->next_id) / 2 + 1;
    uint32_t free_ = c->open_local < c->peer.max_streams ? c->peer.max_streams - c->open_local : 0;
    return free_ < ids ? free_ : ids;
}
