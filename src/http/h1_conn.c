/* SPDX-License-Identifier: Apache-2.0 */
#include "http/h1_impl.h"

void h1_limits_default(struct h1_limits *l)
{
    *l = (struct h1_limits){
        .start_line_octets = 16384,
        .field_section_octets = 65536,
        .chunk_line_octets = 256,
        .informational = 16,
    };
}

/* ---- states ---- */

#define TO(state) (1u << (state))

static const uint32_t in_next[IN_COUNT] = {
    [IN_START] = TO(IN_START_CR) | TO(IN_HEAD) | TO(IN_OVER),
    [IN_START_CR] = TO(IN_START) | TO(IN_OVER),
    [IN_HEAD] = TO(IN_START) | TO(IN_FIXED) | TO(IN_CHUNK_LINE) | TO(IN_UNTIL_CLOSE) | TO(IN_HELD) |
                TO(IN_SWITCH) | TO(IN_OVER),
    [IN_FIXED] = TO(IN_HELD) | TO(IN_OVER),
    [IN_CHUNK_LINE] = TO(IN_CHUNK) | TO(IN_TRAILERS) | TO(IN_OVER),
    [IN_CHUNK] = TO(IN_CHUNK_CR) | TO(IN_OVER),
    [IN_CHUNK_CR] = TO(IN_CHUNK_LF) | TO(IN_OVER),
    [IN_CHUNK_LF] = TO(IN_CHUNK_LINE) | TO(IN_OVER),
    [IN_TRAILERS] = TO(IN_HELD) | TO(IN_OVER),
    [IN_UNTIL_CLOSE] = TO(IN_HELD) | TO(IN_OVER),
    [IN_HELD] = TO(IN_START) | TO(IN_TUNNEL) | TO(IN_OVER),
    [IN_SWITCH] = TO(IN_TUNNEL) | TO(IN_OVER),
    [IN_TUNNEL] = TO(IN_OVER),
    [IN_OVER] = 0,
};

static const uint32_t out_next[OUT_COUNT] = {
    [OUT_IDLE] = TO(OUT_WAIT) | TO(OUT_FIXED) | TO(OUT_CHUNKED) | TO(OUT_ENDED),
    [OUT_WAIT] =
        TO(OUT_FIXED) | TO(OUT_CHUNKED) | TO(OUT_UNTIL_CLOSE) | TO(OUT_ENDED) | TO(OUT_SWITCH),
    [OUT_FIXED] = TO(OUT_ENDED) | TO(OUT_CUT) | TO(OUT_IDLE) | TO(OUT_OVER),
    [OUT_CHUNKED] = TO(OUT_ENDED) | TO(OUT_IDLE) | TO(OUT_OVER),
    [OUT_UNTIL_CLOSE] = TO(OUT_ENDED),
    [OUT_ENDED] = TO(OUT_IDLE) | TO(OUT_TUNNEL) | TO(OUT_OVER),
    [OUT_CUT] = TO(OUT_IDLE) | TO(OUT_OVER),
    [OUT_SWITCH] = TO(OUT_TUNNEL),
    [OUT_TUNNEL] = TO(OUT_TUNNEL_ENDED),
    [OUT_TUNNEL_ENDED] = TO(OUT_OVER),
    [OUT_OVER] = 0,
};

bool h1_in_may_become(enum h1_in from, enum h1_in to)
{
    return in_next[from] & TO(to);
}

bool h1_out_may_become(enum h1_out from, enum h1_out to)
{
    return out_next[from] & TO(to);
}

void h1_set_in(struct h1_conn *c, enum h1_in next)
{
    if (!h1_in_may_become(c->in, next))
        PANIC("h1: receiving state %d cannot become %d", (int)c->in, (int)next);
    c->in = next;
}

void h1_set_out(struct h1_conn *c, enum h1_out next)
{
    if (!h1_out_may_become(c->out, next))
        PANIC("h1: sending state %d cannot become %d", (int)c->out, (int)next);
    c->out = next;
}

/* ---- life ---- */

struct h1_conn *h1_conn_new(enum h1_role role, const struct h1_limits *limits,
                            const struct h1_events *events, void *user, struct pool *pool)
{
    struct h1_conn *c = pool_zget(pool, sizeof *c);
    if (!c)
        return NULL;
    c->magic = H1_CONN_MAGIC;
    c->role = role;
    c->limits = *limits;
    c->events = events;
    c->user = user;
    c->pool = pool;
    c->keep = true;
    arena_init(&c->arena, pool);
    buf_init(&c->gather, pool);
    buf_init(&c->waiting, pool);
    buf_init(&c->out_head, pool);
    buf_init(&c->out_tail, pool);
    chain_init(&c->body, pool);
    return c;
}

void h1_conn_free(struct h1_conn *c)
{
    if (!c)
        return;
    CHECK_MAGIC(c, H1_CONN_MAGIC);
    arena_fini(&c->arena);
    buf_fini(&c->gather);
    buf_fini(&c->waiting);
    buf_fini(&c->out_head);
    buf_fini(&c->out_tail);
    chain_fini(&c->body);
    c->magic = 0;
    pool_put(c->pool, c, sizeof *c);
}

/* ---- the end of an exchange ---- */

static void forget_exchange(struct h1_conn *c)
{
    c->is_head = c->is_connect = c->minor_0 = c->upgrade_asked = false;
    c->response_begun = c->request_drawn = false;
    c->informational = c->informational_octets = 0;
}

static void finish(struct h1_conn *c, bool reusable)
{
    /* The callback may begin the next exchange, so this one's memory steps aside first. */
    struct arena old = c->arena;
    arena_init(&c->arena, c->pool);
    forget_exchange(c);
    if (reusable) {
        h1_set_in(c, IN_START);
        h1_set_out(c, OUT_IDLE);
        c->keep = true;
    } else {
        if (c->in != IN_OVER)
            h1_set_in(c, IN_OVER);
        h1_set_out(c, OUT_OVER);
        buf_fini(&c->gather);
        buf_fini(&c->waiting);
        h1_drop_output(c);
    }
    c->events->on_done(c->user, reusable);
    arena_fini(&old);
}

/* Whether the exchange has come to its end, and the connection can carry another one. */
static bool exchange_over(const struct h1_conn *c, bool *reusable_out)
{
    bool ended = c->out == OUT_ENDED;
    if (c->out == OUT_TUNNEL_ENDED) {
        *reusable_out = false;
        return c->eof && !h1_octets_left(c);
    }
    /* Server: a request still coming in when its response has left would have to be read to its end
     * only to be thrown away. */
    if (c->role == H1_SERVER ? !ended : c->in != IN_HELD)
        return false;
    bool keep = c->keep && !c->shutdown && !(c->eof && buf_len(&c->waiting) == 0);
    *reusable_out = keep && c->in == IN_HELD && ended;
    /* Client: after a response that ends the connection, the rest of the request interests nobody.
     */
    if (c->role == H1_CLIENT && !keep)
        return true;
    return ended && !h1_octets_left(c);
}

void h1_settle(struct h1_conn *c)
{
    bool reusable;
    if (exchange_over(c, &reusable))
        finish(c, reusable);
}

bool h1_conn_take_back(struct h1_conn *c)
{
    CHECK_MAGIC(c, H1_CONN_MAGIC);
    if (c->role != H1_CLIENT || c->out == OUT_IDLE || c->request_drawn || c->in != IN_START ||
        c->shutdown || c->eof)
        return false;
    forget_exchange(c);
    h1_drop_output(c);
    h1_set_out(c, OUT_IDLE);
    c->keep = true;
    return true;
}

bool h1_conn_has_output(const struct h1_conn *c)
{
    bool reusable;
    return h1_octets_left(c) || exchange_over(c, &reusable);
}

/* ---- what the caller may ask ---- */

bool h1_conn_wants_input(const struct h1_conn *c)
{
    return buf_len(&c->waiting) == 0;
}

bool h1_conn_is_idle(const struct h1_conn *c)
{
    return c->out == OUT_IDLE && c->in == IN_START && buf_len(&c->waiting) == 0;
}

size_t h1_conn_held(const struct h1_conn *c)
{
    return c->body.octets + buf_len(&c->out_head) + buf_len(&c->out_tail) + buf_len(&c->gather) +
           buf_len(&c->waiting);
}

bool h1_conn_can_respond(const struct h1_conn *c)
{
    return c->role == H1_SERVER && c->out == OUT_WAIT;
}

int h1_conn_error(const struct h1_conn *c)
{
    return c->err;
}

bool h1_conn_is_head(const struct h1_conn *c)
{
    return c->is_head;
}

bool h1_conn_response_begun(const struct h1_conn *c)
{
    return c->response_begun;
}

bool h1_conn_request_begun(const struct h1_conn *c)
{
    return c->role == H1_SERVER && c->in == IN_HEAD;
}

void h1_conn_shutdown(struct h1_conn *c)
{
    c->shutdown = true;
}

struct arena *h1_conn_arena(struct h1_conn *c)
{
    return &c->arena;
}
