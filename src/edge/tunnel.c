/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/tunnel.h"
#include "edge/client.h"
#include "edge/forward.h"
#include "edge/site.h"
#include "edge/worker.h"
#include "base/err.h"

#include <sys/random.h>

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* return  octets written: 4 for each 3, rounded up */
static size_t base64(const uint8_t *in, size_t len, char *out)
{
    char *to = out;
    for (size_t i = 0; i < len; i += 3) {
        size_t have = len - i < 3 ? len - i : 3;
        uint32_t v = (uint32_t)in[i] << 16;
        v |= have > 1 ? (uint32_t)in[i + 1] << 8 : 0;
        v |= have > 2 ? in[i + 2] : 0;
        *to++ = base64_digits[v >> 18];
        *to++ = base64_digits[v >> 12 & 63];
        *to++ = have > 1 ? base64_digits[v >> 6 & 63] : '=';
        *to++ = have > 2 ? base64_digits[v & 63] : '=';
    }
    return (size_t)(to - out);
}

void ws_accept(struct slice key, char out[WS_ACCEPT_OCTETS])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char text[WS_KEY_OCTETS + sizeof guid - 1];
    uint8_t digest[TLS_SHA1_OCTETS];
    size_t len = key.len < WS_KEY_OCTETS ? key.len : WS_KEY_OCTETS;
    memcpy(text, key.p, len);
    memcpy(text + len, guid, sizeof guid - 1);
    tls_sha1(text, len + sizeof guid - 1, digest);
    base64(digest, sizeof digest, out);
}

static uint32_t count_field(const struct fields *f, enum token token)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < f->count; i++)
        count += f->at[i].token == token;
    return count;
}

/* One key, 16 octets in base64: 22 digits, of which the last has four bits.  RFC 6455 4.2.1 */
static bool has_key(const struct fields *f)
{
    struct slice key = fields_value(f, TOKEN_SEC_WEBSOCKET_KEY);
    if (count_field(f, TOKEN_SEC_WEBSOCKET_KEY) != 1 || key.len != WS_KEY_OCTETS)
        return false;
    for (size_t i = 0; i < WS_KEY_OCTETS - 2; i++)
        if (!memchr(base64_digits, key.p[i], sizeof base64_digits - 1))
            return false;
    return memchr("AQgw", key.p[21], 4) && key.p[22] == '=' && key.p[23] == '=';
}

static enum fault admit_websocket(const struct exchange *x)
{
    const struct http_head *r = x->request;
    if (!(x->site->route.flags & ROUTE_WEBSOCKETS))
        return FAULT_WEBSOCKETS_OFF;
    if (!x->cs && (!slice_eq(r->method, SLICE("GET")) || !has_key(&r->fields)))
        return FAULT_BAD_REQUEST;
    if (count_field(&r->fields, TOKEN_SEC_WEBSOCKET_VERSION) != 1 ||
        !slice_eq(fields_value(&r->fields, TOKEN_SEC_WEBSOCKET_VERSION), SLICE("13")))
        return FAULT_WEBSOCKET_VERSION;
    return FAULT_NONE;
}

/* RFC 9110 7.8: names are compared without case. */
static bool is_listed(const struct site *site, struct slice protocol)
{
    struct slice rest = site->upgrades, name;
    while (list_next(&rest, &name))
        if (slice_ieq(name, protocol))
            return true;
    return false;
}

enum fault tunnel_admit(struct exchange *x)
{
    const struct http_head *r = x->request;
    bool connect = slice_eq(r->method, SLICE("CONNECT"));
    if (!connect && !r->protocol.len)
        return FAULT_NONE;
    if (slice_ieq(r->protocol, SLICE("websocket"))) {
        enum fault fault = admit_websocket(x);
        if (fault != FAULT_NONE)
            return fault;
    } else {
        /* A CONNECT that is not an extended one would make an open proxy of us. */
        if (!r->protocol.len || connect != (x->cs != NULL) || !is_listed(x->site, r->protocol))
            return connect ? FAULT_CONNECT_METHOD : FAULT_NONE;
        x->opaque = true;
        /* If the answer is no switch, what the client has sent ahead in the other protocol must not
         * be read as its next request: there is none on this connection.  (A WebSocket's client
         * sends nothing ahead, and masks what it sends.) */
        if (!x->cs)
            h1_conn_shutdown(x->client->http.h1);
    }
    x->tunnel = true;
    if (!x->cs)
        x->request_ended = false; /* what follows the switch belongs to it */
    return FAULT_NONE;
}

bool tunnel_fits(const struct exchange *x, bool h2)
{
    return !x->opaque || h2 == (x->cs != NULL);
}

enum fault tunnel_refusal(const struct exchange *x)
{
    return x->opaque ? FAULT_NO_UPGRADE : FAULT_NO_EXTENDED_CONNECT;
}

static void drop_field(struct fields *f, enum token token)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < f->count; i++)
        if (f->at[i].token != token)
            f->at[kept++] = f->at[i];
    f->count = kept;
}

int tunnel_forward(struct exchange *x, bool h2)
{
    struct http_head *out = &x->forward;
    struct slice key = fields_value(&x->request->fields, TOKEN_SEC_WEBSOCKET_KEY);
    out->content_length = -1;
    drop_field(&out->fields, TOKEN_CONTENT_LENGTH);
    if (x->opaque) {
        out->protocol = x->request->protocol;
        return 0;
    }
    out->protocol = SLICE("websocket");
    drop_field(&out->fields, TOKEN_SEC_WEBSOCKET_KEY);
    if (h2) {
        out->method = SLICE("CONNECT");
        return 0;
    }
    out->method = SLICE("GET");
    if (x->cs) { /* RFC 8441 5: HTTP/2 has no key; the HTTP/1.1 hop needs one */
        uint8_t random[16];
        char *text = arena_alloc(x->arena, WS_KEY_OCTETS);
        if (!text || getrandom(random, sizeof random, 0) != sizeof random)
            return ERR_NOMEM;
        key = slice_of(text, base64(random, sizeof random, text));
    }
    x->ws_key = key;
    return fields_add_token(&out->fields, x->arena, TOKEN_SEC_WEBSOCKET_KEY, key);
}

/* The worker's hop is switched.  return whether it did so by the rules of its version */
static bool switch_worker(struct exchange *x, const struct http_head *in)
{
    char accept[WS_ACCEPT_OCTETS];
    if (x->ws)
        return true;
    if (!slice_ieq(in->protocol, x->forward.protocol))
        return false;
    if (!x->opaque) {
        ws_accept(x->ws_key, accept);
        if (!slice_eq(fields_value(&in->fields, TOKEN_SEC_WEBSOCKET_ACCEPT),
                      slice_of(accept, sizeof accept)))
            return false;
    }
    return h1_conn_upgrade(x->worker->http.h1) == 0;
}

/* The answer to a WebSocket's handshake in the form of the client's version.  return 0 or ERR_NOMEM
 */
static int answer_handshake(struct exchange *x, struct http_head *out)
{
    drop_field(&out->fields, TOKEN_SEC_WEBSOCKET_ACCEPT);
    out->status = x->cs ? 200 : 101;
    if (x->cs)
        return 0;
    char *accept = arena_alloc(x->arena, WS_ACCEPT_OCTETS);
    if (!accept)
        return ERR_NOMEM;
    ws_accept(fields_value(&x->request->fields, TOKEN_SEC_WEBSOCKET_KEY), accept);
    out->protocol = SLICE("websocket");
    return fields_add_token(&out->fields, x->arena, TOKEN_SEC_WEBSOCKET_ACCEPT,
                            slice_of(accept, WS_ACCEPT_OCTETS));
}

/* Tell the client.  return 0 or an error */
static int switch_client(struct exchange *x, const struct http_head *in)
{
    struct http_head out;
    struct client *c = x->client;
    int err = forward_response(x, in, &out);
    if (err < 0)
        return err;
    out.content_length = -1;
    drop_field(&out.fields, TOKEN_CONTENT_LENGTH);
    if (x->opaque)
        out.protocol = in->protocol;
    else if ((err = answer_handshake(x, &out)) < 0)
        return err;
    x->status = out.status;
    x->head_sent = true;
    x->head_us = shard_now_us(x->shard);
    err = client_send_head(x, &out, false);
    if (err == 0 && !x->cs)
        err = h1_conn_upgrade(c->http.h1);
    if (err == 0 && !x->cs)
        loop_again(c->shard->loop, &c->read); /* octets that came early wait inside the engine */
    return err;
}

/* A tunnel may stand idle for hours, and then heads would be most of what it holds.  All that is
 * still asked of the request is what the log line says and how a response is cut; that moves into a
 * small block, and both heads go.  What no memory can be had for stays as it is. */
static void let_heads_go(struct exchange *x)
{
    const struct http_head *r = x->request;
    const char *query = r->path.len ? memchr(r->path.p, '?', r->path.len) : NULL;
    struct slice path = slice_of(r->path.p, query ? (size_t)(query - r->path.p) : r->path.len);
    struct arena small;
    arena_init(&small, x->arena->pool);
    if (arena_reserve(&small, sizeof *r + r->method.len + r->authority.len + path.len + 3 * 8) < 0)
        return;
    struct http_head *kept = arena_alloc(&small, sizeof *kept);
    *kept = (struct http_head){.method = arena_dup(&small, r->method),
                               .scheme = r->scheme, /* a constant: see client.c */
                               .authority = arena_dup(&small, r->authority),
                               .path = arena_dup(&small, path),
                               .version_minor = r->version_minor,
                               .content_length = -1};
    x->request = kept;
    x->forward = (struct http_head){.status = 0};
    x->ws_key = SLICE("");
    arena_fini(x->arena);
    *x->arena = small;
    if (x->cs)
        h2_stream_emptied(x->cs);
    arena_fini(x->ws ? h2_stream_arena(x->ws) : h1_conn_arena(x->worker->http.h1));
}

bool tunnel_response(struct exchange *x, const struct http_head *in)
{
    bool switches = x->ws ? in->status >= 200 && in->status < 300 : in->status == 101;
    if (in->status < 200 && in->status != 101)
        return false;
    if (!switches) {
        /* An HTTP/1.1 worker that answers 2xx did not switch; to an HTTP/2 client 2xx would say
         * that it did (RFC 8441 5). */
        x->tunnel = false;
        x->request_ended = x->request_sent = true;
        size_t early = x->held.octets;
        chain_fini(&x->held);
        client_consumed(x, early); /* nobody will have it */
        if (x->cs && in->status < 300)
            exchange_fail(x, FAULT_NOT_SWITCHED);
        return false;
    }
    if (!switch_worker(x, in)) {
        exchange_fail(x, FAULT_MALFORMED);
        return false;
    }
    x->switched = true;
    x->request_sent = false;
    if (switch_client(x, in) < 0) {
        exchange_fail(x, FAULT_MEMORY);
        return false;
    }
    let_heads_go(x);
    exchange_worker_ready(x); /* octets that the client sent early */
    return true;
}
