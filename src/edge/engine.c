/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/engine.h"
#include "edge/shed.h"
#include "base/err.h"
#include "base/panic.h"

void engine_h1_limits(struct h1_limits *out, const struct limits *l)
{
    h1_limits_default(out);
    out->start_line_octets = l->request_line;
    out->field_section_octets = l->field_section;
    out->chunk_line_octets = l->chunk_line;
}

static uint32_t allowed(uint32_t n, enum engine_peer peer)
{
    switch (peer) {
    case ENGINE_CLIENT:
        return n;
    case ENGINE_SUSPECT:
        return n > ENGINE_SUSPECT_SHARE ? n / ENGINE_SUSPECT_SHARE : 1;
    case ENGINE_PROXY:
        return n * ENGINE_PROXY_TIMES;
    }
    UNREACHABLE();
}

static struct h2_bucket bucket(struct limit_rate r, enum engine_peer peer)
{
    return (struct h2_bucket){.burst = allowed(r.burst, peer),
                              .per_second = allowed(r.per_second, peer)};
}

static uint32_t sections(const struct limits *l)
{
    uint64_t octets = (uint64_t)l->h2_streams * l->h2_sections;
    return octets < UINT32_MAX / 2 ? (uint32_t)octets : UINT32_MAX / 2;
}

void engine_h2_settings(struct h2_settings *out, const struct limits *l, enum engine_peer peer)
{
    h2_settings_default(out, H2_SERVER);
    out->max_concurrent_streams = l->h2_streams;
    out->stream_window = l->h2_stream_window;
    out->conn_window = l->h2_conn_window;
    out->max_field_section_octets = l->field_section;
    out->max_sections_octets = sections(l);
    out->max_queued_octets = l->h2_queued;
    out->budget = (struct h2_budget){
        .resets = bucket(l->h2_resets, peer),
        .settings = bucket(l->h2_settings, peer),
        .pings = bucket(l->h2_pings, peer),
        .empty = bucket(l->h2_empty, peer),
        .priority = bucket(l->h2_priority, peer),
        .window = bucket(l->h2_window, peer),
    };
}

void engine_free(struct engine *e)
{
    if (e->h1)
        h1_conn_free(e->h1);
    if (e->h2)
        h2_conn_free(e->h2);
    *e = (struct engine){NULL, NULL};
}

int engine_feed(struct engine *e, const void *in, size_t len, uint64_t now_us)
{
    return e->h2 ? h2_conn_feed(e->h2, in, len, now_us) : h1_conn_feed(e->h1, in, len);
}

bool engine_has_output(const struct engine *e)
{
    return e->h2 ? h2_conn_has_output(e->h2) : e->h1 && h1_conn_has_output(e->h1);
}

static size_t output(struct engine *e, char *out, size_t cap, uint64_t now_us)
{
    return e->h2 ? h2_conn_output(e->h2, out, cap, now_us) : h1_conn_output(e->h1, out, cap);
}

int engine_flush(struct engine *e, struct shard *s, struct stream *st, const bool *dead,
                 struct loop_task *again)
{
    char *out = loop_scratch(s->loop, 2);
    size_t budget = STREAM_BURST_MOST; /* a multiple of smaller ones */
    while (!stream_is_blocked(st)) {
        if (budget == 0) {
            loop_again(s->loop, again);
            return 0;
        }
        size_t most = stream_burst(st) < budget ? stream_burst(st) : budget;
        size_t n = output(e, out, most, shard_now_us(s));
        if (n == 0 || *dead)
            return 0;
        int err = stream_write(st, out, n);
        if (err < 0)
            return err;
        budget -= n;
        if (n < SHARD_READ_OCTETS / 2 && !engine_has_output(e))
            return 0; /* that was all, and there is no need to ask */
    }
    return 0;
}

/* A chunk to read into, at which nobody else looks. */
static struct chunk *refresh(struct chunk **c, struct pool *pool)
{
    if (*c && (*c)->refs == 1)
        return *c;
    chunk_unref(*c);
    return *c = chunk_new(pool, SHARD_RX_OCTETS);
}

ssize_t engine_read(struct shard *s, struct stream *st, size_t most, size_t *budget)
{
    struct iovec to[SHARD_RX_CHUNKS];
    unsigned count = 0;
    s->rx.now = NULL;
    if (most > *budget)
        most = *budget;
    do {
        struct chunk *c = refresh(&s->rx.chunks[count], s->pool);
        if (!c)
            break;
        to[count++] = (struct iovec){c->octets, c->cap};
    } while (count < SHARD_RX_CHUNKS && count * SHARD_RX_OCTETS < most);
    if (count == 0)
        return ERR_NOMEM;
    ssize_t n = stream_readv(st, to, count);
    s->rx.next = 0;
    s->rx.left = n > 0 ? (size_t)n : 0;
    *budget -= s->rx.left < *budget ? s->rx.left : *budget;
    shed_review(s);
    return n;
}

struct slice engine_next(struct shard *s)
{
    size_t n = s->rx.left < SHARD_RX_OCTETS ? s->rx.left : SHARD_RX_OCTETS;
    s->rx.left -= n;
    s->rx.now = n ? s->rx.chunks[s->rx.next++] : NULL;
    return n ? slice_of(s->rx.now->octets, n) : SLICE("");
}

void engine_count(const struct stream *st, struct engine_counted *counted, _Atomic uint64_t *in,
                  _Atomic uint64_t *out)
{
    stats_add(in, st->octets_in - counted->in);
    stats_add(out, st->octets_out - counted->out);
    *counted = (struct engine_counted){st->octets_in, st->octets_out};
}
