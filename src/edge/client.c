/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/client_internal.h"
#include "edge/forward.h"
#include "edge/push_vehicle.h"
#include "edge/shed.h"
#include "edge/site.h"
#include "edge/suspects.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/panic.h"

#include <stdio.h>
#include <unistd.h>

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
#define PREFACE_OCTETS (sizeof preface - 1)

static struct client *client_of_stream(struct stream *s)
{
    struct client *c = CONTAINER_OF(s, struct client, stream);
    CHECK_MAGIC(c, CLIENT_MAGIC);
    return c;
}

void client_wants_flush(struct client *c)
{
    if (!c->dead)
        loop_flush(c->shard->loop, &c->flush);
}

/* ---- refusals ---- */

static void count_refusal_why(struct client *c, enum refusal r, const char *why)
{
    stats_add(&c->shard->stats->refusals[r], 1);
    shard_note_refusal(c->shard, &c->peer, refusal_row(r)->name, why);
}

static void count_refusal(struct client *c, enum refusal r)
{
    count_refusal_why(c, r, refusal_row(r)->text);
}

void client_shed(struct client *c)
{
    count_refusal(c, REFUSAL_MEMORY);
    suspects_blame(c);
    client_kill(c);
}

static void count_tls_failure(struct client *c)
{
    static const enum refusal by_failure[] = {
        [TLS_FAILED_HANDSHAKE] = REFUSAL_TLS_HANDSHAKE,
        [TLS_FAILED_RECORD] = REFUSAL_TLS_RECORD,
        [TLS_FAILED_KEY_UPDATES] = REFUSAL_TLS_KEY_UPDATES,
    };
    count_refusal_why(c, by_failure[tls_failure(c->stream.tls)], tls_reason(c->stream.tls));
}

static enum refusal refusal_of_h1(int err)
{
    switch (err) {
    case ERR_BAD_VERSION:
        return REFUSAL_H1_VERSION;
    case ERR_BAD_CODING:
        return REFUSAL_H1_CODING;
    case ERR_URI_TOO_LONG:
        return REFUSAL_H1_TARGET;
    case ERR_FIELDS_TOO_LARGE:
        return REFUSAL_H1_FIELDS;
    default:
        return REFUSAL_H1_MESSAGE;
    }
}

/* ---- time ---- */

static void arm(struct client *c, uint64_t in_us)
{
    loop_timer_set(c->shard->loop, &c->timer, shard_now_us(c->shard) + in_us);
}

/* No exchange is under way: how long the client may be silent. */
void client_arm_idle(struct client *c)
{
    arm(c, c->closing || c->leaving ? CLIENT_LINGER_US
           : c->shard->draining     ? CLIENT_PATIENCE_US
                                    : c->idle_us);
}

static void arm_first(struct client *c)
{
    const struct limits *l = shard_limits(c->shard);
    arm(c, (c->https ? l->handshake_ms : l->request_head_ms) * 1000ull);
}

/* A handshake costs as much as twenty requests, and who is served already does not wait for many of
 * them: see client_shake_hands. */
static void shake_hands_later(struct client *c)
{
    struct shard *s = c->shard;
    if (list_empty(&c->handshake))
        list_add_tail(&s->handshakes, &c->handshake);
    loop_again(s->loop, &s->handshake);
}

/* A suspect has waited. */
static void hear(struct client *c)
{
    c->unheard = false;
    arm_first(c);
    if (!stream_can_read(&c->stream))
        return;
    if (c->established)
        loop_again(c->shard->loop, &c->read);
    else
        shake_hands_later(c);
}

/* The engine is through with octets long before a slow client has them: it may take its time, as
 * long as it takes some. */
static bool is_taking(struct client *c)
{
    uint64_t now = shard_now_us(c->shard);
    if (!stream_is_blocked(&c->stream) || (c->http.h2 && c->closing)) /* a flooder, maybe */
        return false;
    if (c->stream.octets_out != c->taken) {
        c->taken = c->stream.octets_out;
        c->taken_us = now;
    }
    return now - c->taken_us < c->idle_us;
}

static void on_due(struct loop_timer *t)
{
    struct client *c = CONTAINER_OF(t, struct client, timer);
    CHECK_MAGIC(c, CLIENT_MAGIC);
    if (c->unheard) {
        hear(c);
    } else if (!c->established || (!c->http.h1 && !c->http.h2)) {
        count_refusal(c, c->established ? REFUSAL_SILENT : REFUSAL_TLS_SLOW);
        client_kill(c);
    } else if (c->open) {
        arm(c, c->idle_us); /* exchanges have clocks of their own */
    } else if (is_taking(c)) {
        client_arm_idle(c);
    } else if (c->closing || c->leaving) {
        client_kill(c);
    } else if (c->http.h1 && h1_conn_request_begun(c->http.h1)) {
        struct http_head head = {.status = 408, .content_length = 0};
        count_refusal(c, REFUSAL_H1_SLOW);
        h1_conn_eof(c->http.h1);
        if (h1_conn_can_respond(c->http.h1))
            h1_conn_send_head(c->http.h1, &head, true, true);
        c->closing = true;
        client_wants_flush(c);
        client_arm_idle(c);
    } else {
        if (!c->asked)
            count_refusal(c, REFUSAL_SILENT);
        client_shutdown(c);
    }
}

/* ---- life ---- */

static void count_octets(struct client *c)
{
    struct stats_loop *st = c->shard->stats;
    engine_count(&c->stream, &c->counted, &st->client_octets_in, &st->client_octets_out);
}

static void reap(struct loop_task *t)
{
    struct client *c = CONTAINER_OF(t, struct client, reap);
    struct shard *s = c->shard;
    CHECK_MAGIC(c, CLIENT_MAGIC);
    engine_free(&c->http);
    site_unref(c->memo_site);
    routes_unref(c->tls_routes);
    c->magic = 0;
    pool_put(s->pool, c, sizeof *c);
    shard_check_drained(s);
}

void client_kill(struct client *c)
{
    if (c->dead)
        return;
    c->dead = true;
    if (c->https && !c->established) {
        stats_add(&c->shard->stats->tls_failures, 1);
        suspects_no_handshake(c);
    }
    LIST_FOR(node, &c->exchanges)
    {
        exchange_client_closed(LIST_ENTRY(node, struct exchange, client_node), false, 0);
    }
    push_client_free(c);
    forward_forget(c);
    count_octets(c);
    if (stream_is_open(&c->stream))
        stream_close(&c->stream);
    loop_task_cancel(&c->flush);
    loop_task_cancel(&c->read);
    loop_timer_clear(&c->timer);
    list_remove(&c->node);
    list_remove(&c->handshake);
    suspects_leave(c);
    stats_sub(&c->shard->stats->connections_open, 1);
    loop_reap(c->shard->loop, &c->reap);
}

void client_shutdown(struct client *c)
{
    if (c->dead)
        return;
    if (c->http.h2) {
        /* Requests that are on their way are taken until the client has seen the GOAWAY: the
         * engine is over when it has said so and no stream is open.  RFC 9113 6.8 */
        h2_conn_shutdown(c->http.h2);
        client_wants_flush(c);
        c->leaving = true;
        if (c->open == 0)
            client_arm_idle(c);
    } else if (c->http.h1 && (c->open || h1_conn_request_begun(c->http.h1))) {
        h1_conn_shutdown(c->http.h1);
    } else {
        client_kill(c);
    }
}

void client_leave(struct client *c)
{
    if (c->dead)
        return;
    if (!c->shard->patient && c->http.h1 && !c->open && stream_is_blocked(&c->stream)) {
        c->closing = true; /* flush does the rest */
        client_arm_idle(c);
    } else if (!c->shard->patient || c->http.h2)
        client_shutdown(c);
    else if (c->http.h1 && !c->open && !h1_conn_request_begun(c->http.h1) && !c->closing)
        arm(c, CLIENT_PATIENCE_US);
    /* Others have a clock already, or an exchange: client_send_head says that it is the last. */
}

/* ---- the socket ---- */

static void flush(struct loop_task *t)
{
    struct client *c = CONTAINER_OF(t, struct client, flush);
    CHECK_MAGIC(c, CLIENT_MAGIC);
    if (!c->http.h1 && !c->http.h2)
        return;
    if (c->push && (c->push->due || c->push->undecided))
        push_before_flush(c);
    int err = engine_flush(&c->http, c->shard, &c->stream, &c->dead, &c->flush);
    if (c->dead)
        return;
    count_octets(c);
    if (err < 0)
        suspects_left(c);
    if (err < 0 || c->cut) {
        if (c->resets)
            client_reset(c);
        client_kill(c);
        return;
    }
    if (stream_is_blocked(&c->stream) || engine_has_output(&c->http))
        return;
    if (c->current && c->current->switched && c->current->response_ended)
        stream_shutdown(&c->stream); /* one direction of a tunnel has ended */
    if (c->http.h2 ? h2_conn_is_over(c->http.h2) : c->closing && !c->current) {
        c->closing = true;
        stream_shutdown(&c->stream);
        if (c->stream.ended)
            client_kill(c); /* both sides have said that they are through */
        else
            client_arm_idle(c); /* the peer reads the rest and closes, or time ends it */
    }
}

/* Whether what came first on a connection is a request line at all.  Who does not speak HTTP gets
 * no HTTP answer: to a peer that meant an HTTP/2 preface it would look like a frame. */
static bool is_request_line(struct slice in)
{
    const char *end = memchr(in.p, '\n', in.len);
    size_t len = end ? (size_t)(end - in.p) : in.len;
    return memmem(in.p, len, " HTTP/", 6) || memmem(in.p, len, " /", 2);
}

/* A head or preface that cannot be read is answered once, and the connection ends. */
static void refuse(struct client *c, int err)
{
    stats_add(&c->shard->stats->requests_malformed, 1);
    if (c->http.h2) {
        stats_add(&c->shard->stats->h2_aborts, 1);
        client_wants_flush(c); /* GOAWAY waits */
        c->closing = true;
        client_arm_idle(c);
        return;
    }
    count_refusal_why(c, refusal_of_h1(err), err_text(err));
    if (c->current && err != ERR_NOMEM) {
        /* The request's content is what could not be read: the worker is left, and the client is
         * told so, if it has not begun to get an answer. */
        c->current->why = err_text(err);
        exchange_fail(c->current, FAULT_BAD_REQUEST);
        if (c->dead)
            return;
    } else if (c->current) {
        client_kill(c);
        return;
    } else if (h1_conn_can_respond(c->http.h1)) {
        const struct err_row *row = err_row(err);
        bool has_content = !h1_conn_is_head(c->http.h1);
        struct arena *a = h1_conn_arena(c->http.h1);
        struct slice text = arena_printf(a, "%d %s\n\n%s\n", row->http_status,
                                         status_phrase((unsigned)row->http_status), row->text);
        struct http_head head = {.status = (uint16_t)row->http_status,
                                 .content_length = (int64_t)text.len};
        char length[8];
        snprintf(length, sizeof length, "%zu", text.len);
        fields_add_token(&head.fields, a, TOKEN_CONTENT_TYPE, SLICE("text/plain; charset=utf-8"));
        fields_add_token(&head.fields, a, TOKEN_CONTENT_LENGTH, slice_str(length));
        fields_add_token(&head.fields, a, TOKEN_DATE,
                         slice_of(c->shard->date, sizeof c->shard->date));
        if (h1_conn_send_head(c->http.h1, &head, !has_content, true) == 0 && has_content)
            h1_conn_send_body(c->http.h1, text, NULL, true);
    }
    c->closing = true;
    client_wants_flush(c);
    client_arm_idle(c);
}

static enum engine_peer kind_of_peer(const struct client *c)
{
    const struct routes *r = c->shard->routes;
    return c->suspect                               ? ENGINE_SUSPECT
           : r && route_trusts(&r->route, &c->peer) ? ENGINE_PROXY
                                                    : ENGINE_CLIENT;
}

static bool start_engine(struct client *c, bool h2)
{
    struct shard *s = c->shard;
    if (h2) {
        struct h2_settings set;
        engine_h2_settings(&set, shard_limits(s), kind_of_peer(c));
        c->http.h2 = h2_conn_new(H2_SERVER, &set, &client_h2_events, c, s->pool, shard_now_us(s));
        stats_add(&s->stats->connections_h2, 1);
    } else {
        struct h1_limits limits;
        engine_h1_limits(&limits, shard_limits(s));
        c->http.h1 = h1_conn_new(H1_SERVER, &limits, &client_h1_events, c, s->pool);
    }
    if (!c->http.h1 && !c->http.h2)
        return false;
    arm(c, shard_limits(s)->request_head_ms * 1000ull);
    if (s->draining)
        client_leave(c);
    return !c->dead;
}

/* Plain connections say by their first octets whether they speak HTTP/2 (RFC 9113 3.3). */
static int sniff(struct client *c, const char *in, size_t len)
{
    size_t n = len < PREFACE_OCTETS - c->sniffed_len ? len : PREFACE_OCTETS - c->sniffed_len;
    memcpy(c->sniffed + c->sniffed_len, in, n);
    bool same = memcmp(c->sniffed, preface, c->sniffed_len + n) == 0;
    size_t before = c->sniffed_len;
    if (same && before + n < PREFACE_OCTETS) {
        c->sniffed_len = (uint8_t)(before + n);
        return ERR_AGAIN;
    }
    if (!start_engine(c, same))
        return ERR_NOMEM;
    if (before == 0)
        return 0;
    return same ? h2_conn_feed(c->http.h2, c->sniffed, before, shard_now_us(c->shard))
                : h1_conn_feed(c->http.h1, c->sniffed, before);
}

static int feed(struct client *c, const char *in, size_t len)
{
    int err = 0;
    if (!c->http.h1 && !c->http.h2)
        err = sniff(c, in, len);
    if (err < 0)
        return err == ERR_AGAIN ? 0 : err;
    if (c->dead)
        return 0;
    return engine_feed(&c->http, in, len, shard_now_us(c->shard));
}

static void on_established(struct client *c)
{
    struct tls_conn *t = c->stream.tls;
    c->established = true;
    if (!t)
        return;
    stats_add(&c->shard->stats->tls_handshakes, 1);
    if (tls_is_resumed(t))
        stats_add(&c->shard->stats->tls_resumed, 1);
    routes_unref(c->tls_routes);
    c->tls_routes = NULL;
    if (!start_engine(c, tls_alpn_is_h2(t)) && !c->dead)
        client_kill(c);
    else if (c->http.h2)
        client_wants_flush(c); /* SETTINGS go with the first flight */
}

/* Half-closed, content that waits for a worker, or the next requests wait inside: nothing more is
 * read for now. */
static bool reads_later(const struct client *c)
{
    return c->http.h1 && c->current && !c->current->switched &&
           (c->paused || !h1_conn_wants_input(c->http.h1));
}

/* A dead connection need not wait for its answer. */
static bool is_gone(const struct client *c)
{
    return reads_later(c) && (c->stream.failed || c->stream.lost);
}

/* The peer has not read our last octets, or it would not go on. */
static void linger_on(struct client *c)
{
    uint64_t now = shard_now_us(c->shard);
    if (!c->http.h1 || c->shard->draining)
        return;
    if (!c->linger_until_us)
        c->linger_until_us = now + CLIENT_LINGER_MOST_US;
    if (now < c->linger_until_us)
        client_arm_idle(c);
}

static void read_some(struct client *c)
{
    struct shard *s = c->shard;
    size_t budget = SHARD_TURN_OCTETS;
    if (c->http.h1 && !c->closing && (!c->current || c->current->switched)) {
        int err = h1_conn_resume(c->http.h1); /* what came early waited inside */
        if (err < 0 && !c->dead)
            refuse(c, err);
        if (!c->dead && h1_conn_has_output(c->http.h1))
            client_wants_flush(c);
    }
    while (!c->dead && !c->paused && stream_can_read(&c->stream) && budget &&
           (!c->http.h1 || c->closing || h1_conn_wants_input(c->http.h1))) {
        ssize_t n = engine_read(s, &c->stream, 1, &budget);
        if (!c->established && stream_is_established(&c->stream))
            on_established(c);
        if (c->dead)
            return;
        if (n == ERR_AGAIN) { /* there may be more, and the end, behind part of a TLS record */
            budget -= budget < SHARD_READ_OCTETS ? budget : SHARD_READ_OCTETS;
            continue;
        }
        if (n == 0 && c->current && c->current->switched) {
            exchange_request_body(c->current, SLICE(""), true);
            if (!c->dead)
                h1_conn_eof(c->http.h1);
            client_wants_flush(c); /* when the worker has ended, too, nothing is left to wait for */
            break;
        }
        if (n <= 0) {
            /* A client that has shut down its sending side may still wait for its answer. */
            if (n == 0 && c->http.h1 && c->current && c->current->request_ended && !c->closing &&
                !c->stream.lost) {
                h1_conn_shutdown(c->http.h1);
                c->closing = true;
                c->paused = true;
                return;
            }
            if (n == ERR_TLS)
                count_tls_failure(c);
            else
                suspects_left(c);
            client_kill(c);
            return;
        }
        if (c->closing) { /* read and dropped, so that the peer gets our last octets, not a reset */
            linger_on(c);
            continue;
        }
        struct slice in = engine_next(s);
        int err = feed(c, in.p, in.len);
        if (c->dead)
            return;
        if (err < 0) {
            bool first = c->http.h1 && !c->https && err != ERR_URI_TOO_LONG &&
                         c->stream.octets_in == (uint64_t)n;
            if ((err == ERR_NOMEM && !c->http.h2 && !c->http.h1) ||
                (first && !is_request_line(in))) {
                if (first)
                    count_refusal(c, REFUSAL_NOT_HTTP);
                client_kill(c);
            } else {
                refuse(c, err);
            }
            return;
        }
        if (engine_has_output(&c->http))
            client_wants_flush(c);
    }
    count_octets(c);
    if (!c->dead && is_gone(c))
        client_kill(c);
    if (!c->dead && !c->paused && stream_can_read(&c->stream) && budget == 0)
        loop_again(s->loop, &c->read);
}

static void read_again(struct loop_task *t)
{
    struct client *c = CONTAINER_OF(t, struct client, read);
    CHECK_MAGIC(c, CLIENT_MAGIC);
    read_some(c);
}

static void on_readable(struct stream *st)
{
    struct client *c = client_of_stream(st);
    if (c->unheard)
        return;
    if (!c->established) {
        shake_hands_later(c);
        return;
    }
    if (is_gone(c))
        client_kill(c);
    else if (!reads_later(c))
        read_some(c);
}

void client_shake_hands(struct shard *s)
{
    uint64_t begun_us = clock_mono_us(), others_us = begun_us - loop_now_us(s->loop);
    do {
        struct client *c = LIST_ENTRY(s->handshakes.next, struct client, handshake);
        CHECK_MAGIC(c, CLIENT_MAGIC);
        list_remove(&c->handshake);
        if (c->stream.saw_hup && !c->stream.octets_out)
            client_kill(c); /* no signature for who is gone */
        else
            read_some(c);
    } while (!list_empty(&s->handshakes) && clock_mono_us() - begun_us < others_us);
    if (!list_empty(&s->handshakes))
        loop_again(s->loop, &s->handshake);
}

static void on_writable(struct stream *st)
{
    client_wants_flush(client_of_stream(st));
}

static const struct stream_events stream_events = {
    .on_readable = on_readable,
    .on_writable = on_writable,
    .on_connected = NULL,
};

/* A stream over the socket, with TLS where the listener has it. */
static int open_stream(struct client *c, int fd)
{
    struct shard *s = c->shard;
    struct tls_conn *tls = NULL;
    if (c->https) {
        c->tls_routes = s->routes ? routes_ref(s->routes) : NULL;
        tls = tls_accept(s->tls, s->ciphers, s->pool, routes_choose, &c->tls_routes);
        if (!tls)
            return ERR_NOMEM;
    }
    int err = stream_open(&c->stream, s->loop, fd, tls, &stream_events);
    if (err < 0 && tls)
        tls_conn_free(tls);
    return err;
}

void client_accept(struct shard *s, int fd, const struct addr *peer, bool https)
{
    struct client *c = pool_zget(s->pool, sizeof *c);
    if (!c) {
        close(fd);
        return;
    }
    c->magic = CLIENT_MAGIC;
    c->shard = s;
    c->peer = *peer;
    c->https = https;
    c->idle_us = CLIENT_IDLE_US;
    c->peer_host_len = (uint8_t)addr_format_host(peer, c->peer_host, sizeof c->peer_host);
    c->peer_text_len = (uint8_t)addr_format(peer, c->peer_text, sizeof c->peer_text);
    list_init(&c->node);
    list_init(&c->exchanges);
    list_init(&c->handshake);
    loop_task_init(&c->flush, flush);
    loop_task_init(&c->read, read_again);
    loop_task_init(&c->reap, reap);
    loop_timer_init(&c->timer, on_due);
    int err = suspects_enter(c);
    if (err == ERR_LIMIT)
        count_refusal(c, REFUSAL_ADDRESS_CONNECTIONS);
    if (err == 0 && shed_is_packed(s)) {
        count_refusal(c, REFUSAL_MEMORY);
        err = ERR_NOMEM;
    }
    if (err < 0 || open_stream(c, fd) < 0) {
        suspects_leave(c);
        routes_unref(c->tls_routes);
        close(fd);
        pool_put(s->pool, c, sizeof *c);
        return;
    }
    list_add_tail(&s->clients, &c->node);
    stats_add(&s->stats->connections, 1);
    stats_add(&s->stats->connections_open, 1);
    c->established = !https;
    uint64_t delay_us = suspects_delay_us(c);
    c->suspect = c->unheard = delay_us > 0;
    if (c->unheard)
        arm(c, delay_us);
    else
        arm_first(c);
}
