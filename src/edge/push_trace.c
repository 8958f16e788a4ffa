/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/push_trace.h"
#include "push/trace.h"

/* Of hexadecimal digits; control makes tokens so. */
#define TOKEN_OCTETS 64

struct push_trace {
    struct push_trace_item items[PUSH_TRACE_ITEMS]; /* not told yet */
    unsigned count;
    uint64_t more;
};

static bool token_fits(const uint8_t wanted[ROUTE_DIGEST_OCTETS], struct slice token)
{
    uint8_t digest[TLS_SHA256_OCTETS];
    if (token.len != TOKEN_OCTETS)
        return false;
    tls_sha256(token.p, token.len, digest);
    return tls_same(digest, wanted, sizeof digest);
}

void push_trace_begin(struct exchange *x)
{
    static const uint8_t none[ROUTE_DIGEST_OCTETS];
    const uint8_t *wanted = x->shard->routes->route.header->push_token;
    if (memcmp(wanted, none, sizeof none) == 0)
        return;
    const struct field *f = fields_find(&x->request->fields, TOKEN_PORTICO_PUSH_TOKEN);
    if (f && !x->tunnel && token_fits(wanted, f->value))
        x->trace = arena_zalloc(x->arena, sizeof *x->trace);
}

static struct slice url_of(struct exchange *x, const struct http_head *promised)
{
    if (slice_ieq(promised->authority, x->request->authority))
        return arena_dup(x->arena, promised->path);
    return arena_printf(x->arena, "%.*s://%.*s%.*s", SLICE_FMT(promised->scheme),
                        SLICE_FMT(promised->authority), SLICE_FMT(promised->path));
}

void push_trace_add(struct exchange *x, const struct push_promise *p, struct push_decision d,
                    int64_t octets)
{
    struct push_trace *t = x->trace;
    if (!t)
        return;
    struct slice url = t->count < PUSH_TRACE_ITEMS ? url_of(x, &p->request) : SLICE("");
    if (!url.p || !url.len) {
        t->more++;
        return;
    }
    bool is_cut = url.len > PUSH_TRACE_URL_OCTETS;
    t->items[t->count++] = (struct push_trace_item){
        .url = slice_of(url.p, is_cut ? PUSH_TRACE_URL_OCTETS : url.len),
        .is_cut = is_cut,
        .source = slice_str(push_source_name(p->source)),
        .vehicle = slice_str(push_vehicle_name(d.vehicle)),
        .reason = slice_str(push_reason_code(d.reason)),
        .hint = d.hint != PUSH_REASON_OK ? slice_str(push_reason_code(d.hint)) : SLICE(""),
        .octets = octets,
        .t_us = shard_now_us(x->shard) - x->started_us,
    };
}

bool push_trace_take(struct exchange *x, struct fields *out)
{
    struct push_trace *t = x->trace;
    if (!t || t->count == 0)
        return false;
    char *value = arena_alloc(x->arena, PUSH_TRACE_OCTETS);
    if (!value)
        return false;
    size_t len = push_trace_write(value, PUSH_TRACE_OCTETS, t->items, t->count, t->more);
    t->count = 0;
    t->more = 0;
    arena_shrink(x->arena, value, PUSH_TRACE_OCTETS, len);
    return len && fields_add_token(out, x->arena, TOKEN_PORTICO_PUSH, slice_of(value, len)) == 0;
}
