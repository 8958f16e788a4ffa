/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/log_line.h"
#include "edge/client.h"
#include "edge/log_text.h"
#include "edge/site.h"
#include "base/panic.h"

/* Lines are handed to the writer when so much has come together, or when the turn ends. */
#define LOG_HAND_OVER_OCTETS (32u << 10)
/* Of a line, beside its strings: keys, numbers, time and id take some 500. */
#define LOG_REST_OCTETS 1024

static char *put_text(char *to, struct slice key, struct slice value)
{
    return log_put_string(slice_put(to, key), value);
}

static char *put_number(char *to, struct slice key, uint64_t value)
{
    return log_put_number(slice_put(to, key), value);
}

/* Most lines of a turn are of one second. */
static struct slice stamp(struct shard *s, uint64_t wall_us)
{
    if (wall_us / 1000000 != s->log_second || !s->log_second) {
        clock_iso(wall_us, s->log_stamp);
        s->log_second = wall_us / 1000000;
    }
    char *digits = s->log_stamp + CLOCK_ISO_OCTETS - 7;
    for (uint32_t i = 6, us = (uint32_t)(wall_us % 1000000); i-- > 0; us /= 10)
        digits[i] = (char)('0' + us % 10);
    return slice_of(s->log_stamp, CLOCK_ISO_OCTETS);
}

void log_line_write(struct exchange *x)
{
    struct shard *s = x->shard;
    struct client *c = x->client;
    struct buf *b = &s->log_lines;
    const struct http_head *r = x->request;
    const char *query = r->path.len ? memchr(r->path.p, '?', r->path.len) : NULL;
    const struct {
        struct slice key, value;
    } texts[] = {
        {SLICE("{\"time\":"), stamp(s, s->wall_base_us + x->started_us)},
        {SLICE(",\"app\":"), x->site ? x->site->name : SLICE("-")},
        {SLICE(",\"client\":"), slice_of(c->peer_host, c->peer_host_len)},
        {SLICE(",\"protocol\":"), client_is_h2(c) ? SLICE("h2") : SLICE("http/1.1")},
        {SLICE(",\"scheme\":"), r->scheme},
        {SLICE(",\"host\":"), r->authority},
        {SLICE(",\"method\":"), r->method},
        {SLICE(",\"path\":"),
         slice_of(r->path.p, query ? (size_t)(query - r->path.p) : r->path.len)},
    };
    size_t most = LOG_REST_OCTETS + LOG_SLACK_OCTETS;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        most += log_string_bound(texts[i].value);
    char *from = buf_reserve(b, most), *to = from;
    if (!from)
        return;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        to = put_text(to, texts[i].key, texts[i].value);
    to = put_number(to, SLICE(",\"status\":"), x->status);
    to = put_number(to, SLICE(",\"request_octets\":"), x->body_in);
    to = put_number(to, SLICE(",\"response_octets\":"), x->body_out);
    to = put_number(to, SLICE(",\"duration_us\":"), shard_now_us(s) - x->started_us);
    if (x->head_us)
        to = put_number(to, SLICE(",\"head_us\":"), x->head_us - x->started_us);
    if (x->pushed)
        to = slice_put(to, SLICE(",\"pushed\":true"));
    if (x->promises)
        to = put_number(to, SLICE(",\"promises\":"), x->promises);
    if (x->retries)
        to = put_number(to, SLICE(",\"retries\":"), x->retries);
    if (x->fault)
        to = put_text(to, SLICE(",\"fault\":"), slice_str(fault_row((enum fault)x->fault)->name));
    if (x->fault && x->why)
        to = put_text(to, SLICE(",\"why\":"), slice_str(x->why));
    to = put_text(to, SLICE(",\"id\":"), exchange_id(x));
    to = slice_put(to, SLICE("}\n"));
    buf_added(b, (size_t)(to - from));
    if (buf_len(b) >= LOG_HAND_OVER_OCTETS)
        s->log_flush.run(&s->log_flush);
    else
        loop_reap(s->loop, &s->log_flush);
}
