/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/log_line.h"
#include "edge/client.h"
#include "edge/worker.h"

/* Lines are handed to the writer when so much has come together, or when the turn ends. */
#define LOG_HAND_OVER_OCTETS (32u << 10)
#define LOG_VALUE_OCTETS     1024 /* a longer value is cut */

static void add(struct buf *b, struct slice s)
{
    buf_add(b, s.p, s.len);
}

/* A JSON string; what is not printable ASCII is escaped, so that a line is always valid UTF-8. */
static void add_string(struct buf *b, struct slice s)
{
    static const char hex[] = "0123456789abcdef";
    size_t len = s.len < LOG_VALUE_OCTETS ? s.len : LOG_VALUE_OCTETS;
    char *to = buf_reserve(b, 6 * len + 2), *at = to;
    if (!to)
        return;
    *at++ = '"';
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\') {
            *at++ = '\\';
            *at++ = (char)c;
        } else if (c < 0x20 || c >= 0x7f) {
            memcpy(at, "\\u00", 4);
            at[4] = hex[c >> 4];
            at[5] = hex[c & 15];
            at += 6;
        } else {
            *at++ = (char)c;
        }
    }
    *at++ = '"';
    buf_added(b, (size_t)(at - to));
}

static void add_text(struct buf *b, const char *key, struct slice value)
{
    buf_add_str(b, key);
    add_string(b, value);
}

static void add_number(struct buf *b, const char *key, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    buf_add_str(b, key);
    buf_add(b, digits + at, sizeof digits - at);
}

void log_line_write(struct exchange *x)
{
    struct shard *s = x->shard;
    struct client *c = x->client;
    struct buf *b = &s->log_lines;
    const struct http_head *r = x->request;
    char stamp[CLOCK_ISO_OCTETS];
    const char *query = r->path.len ? memchr(r->path.p, '?', r->path.len) : NULL;
    struct slice path = slice_of(r->path.p, query ? (size_t)(query - r->path.p) : r->path.len);
    uint64_t now = shard_now_us(s);
    clock_iso(s->wall_base_us + x->started_us, stamp);
    add_text(b, "{\"time\":", slice_of(stamp, sizeof stamp));
    add_text(b, ",\"app\":", x->site ? x->site->name : SLICE("-"));
    add_text(b, ",\"client\":", slice_of(c->peer_host, c->peer_host_len));
    add_text(b, ",\"protocol\":", client_is_h2(c) ? SLICE("h2") : SLICE("http/1.1"));
    add_text(b, ",\"scheme\":", r->scheme);
    add_text(b, ",\"host\":", r->authority);
    add_text(b, ",\"method\":", r->method);
    add_text(b, ",\"path\":", path);
    add_number(b, ",\"status\":", x->status);
    add_number(b, ",\"request_octets\":", x->body_in);
    add_number(b, ",\"response_octets\":", x->body_out);
    add_number(b, ",\"duration_us\":", now - x->started_us);
    if (x->head_us)
        add_number(b, ",\"head_us\":", x->head_us - x->started_us);
    if (x->pushed)
        add(b, SLICE(",\"pushed\":true"));
    if (x->promises)
        add_number(b, ",\"promises\":", x->promises);
    if (x->retries)
        add_number(b, ",\"retries\":", x->retries);
    if (x->fault)
        add_text(b, ",\"fault\":", slice_str(fault_row((enum fault)x->fault)->name));
    add(b, SLICE(",\"id\":\""));
    add(b, exchange_id(x));
    add(b, SLICE("\"}\n"));
    if (buf_len(b) >= LOG_HAND_OVER_OCTETS)
        s->log_flush.run(&s->log_flush);
    else
        loop_reap(s->loop, &s->log_flush);
}
