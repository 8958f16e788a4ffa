/* SPDX-License-Identifier: Apache-2.0 */
/* Whose a request is and who works on it: routing, attaching, trying again. */
#include "edge/exchange_internal.h"
#include "edge/client.h"
#include "edge/forward.h"
#include "edge/push_trace.h"
#include "edge/push_vehicle.h"
#include "edge/site.h"
#include "edge/tunnel.h"
#include "edge/waiting.h"
#include "edge/worker.h"
#include "base/err.h"
#include "base/panic.h"
#include "http/rules.h"

#include <stdio.h>

/* ---- routing ---- */

/* The site of the request's authority: the connection's last one, or found in the routes.
 * fault_out  when there is none: FAULT_UNKNOWN_HOST or FAULT_MEMORY */
static struct site *find_site(struct client *c, struct slice authority, enum fault *fault_out)
{
    struct shard *s = c->shard;
    if (c->memo_site && c->memo_revision == s->routes->revision &&
        slice_eq(authority, slice_of(c->memo_authority, c->memo_len)))
        return c->memo_site;
    const struct route_site *route = routes_find(s->routes, authority);
    struct site *site = route ? shard_site(s, route) : NULL;
    *fault_out = route ? FAULT_MEMORY : FAULT_UNKNOWN_HOST;
    if (site && authority.len <= sizeof c->memo_authority) {
        struct site *old = c->memo_site;
        forward_forget(c);
        memcpy(c->memo_authority, authority.p, authority.len);
        c->memo_len = (uint8_t)authority.len;
        c->memo_revision = s->routes->revision;
        c->memo_site = site_ref(site);
        c->memo_fits = false;
        site_unref(old);
    }
    return site;
}

/* RFC 9110 7.4: whether this connection may serve the site at all.  Who named no host to TLS, as
 * nginx and HAProxy do not unless told to, nor what checks a server by its address, has seen the
 * default certificate and wants to go on: there is no name for the request to contradict. */
static bool tls_fits(const struct client *c, const struct site *site, struct slice authority)
{
    struct slice host;
    uint16_t port;
    rules_split_authority(authority, &host, &port);
    struct tls_identity *id = tls_conn_identity(c->stream.tls);
    if ((uint32_t)tls_version(c->stream.tls) < site->route.min_tls_version)
        return false;
    if (client_is_h2(c) && !(site->route.flags & ROUTE_HTTP20))
        return false;
    struct slice name = tls_server_name(c->stream.tls);
    return !name.len || slice_ieq(host, name) || (id && tls_identity_covers(id, host));
}

/* For an app that is served over HTTPS only: whether the request came otherwise, here or to a proxy
 * that we trust, and there is something to redirect it to. */
static bool came_plain(const struct exchange *x)
{
    if (x->client->https || !(x->site->route.flags & ROUTE_HTTPS_ONLY))
        return false;
    struct slice said = forward_said_scheme(x);
    return said.len ? slice_eq(said, SLICE("http")) : x->shard->https_port != 0;
}

static void redirect_to_https(struct exchange *x)
{
    struct slice host;
    uint16_t port;
    const struct http_head *r = x->request;
    unsigned status =
        slice_eq(r->method, SLICE("GET")) || slice_eq(r->method, SLICE("HEAD")) ? 301 : 308;
    char tail[8] = "";
    rules_split_authority(r->authority, &host, &port);
    /* A proxy in front has a port of its own: the one that needs no words, most likely. */
    if (x->shard->https_port != 443 && !forward_said_scheme(x).len)
        snprintf(tail, sizeof tail, ":%u", x->shard->https_port);
    struct slice path = slice_eq(r->path, SLICE("*")) ? SLICE("/") : r->path; /* it names no URL */
    struct slice to =
        arena_printf(x->arena, "https://%.*s%s%.*s", SLICE_FMT(host), tail, SLICE_FMT(path));
    x->fault = FAULT_HTTPS_ONLY;
    exchange_answer(x, status, to, SLICE("This app is served over HTTPS only.\n"));
}

/* The checks that come before a worker is asked.  return  whether the request goes on */
static bool admit(struct exchange *x)
{
    struct client *c = x->client;
    const struct http_head *r = x->request;
    enum fault fault = FAULT_UNKNOWN_HOST;
    struct site *site = x->shard->routes ? find_site(c, r->authority, &fault) : NULL;
    if (!site) {
        stats_add(&x->shard->stats->requests_unrouted, fault == FAULT_UNKNOWN_HOST);
        exchange_fail(x, fault);
        return false;
    }
    x->site = site_ref(site);
    stats_add(&site->stats->requests, 1);
    stats_add(&site->stats->requests_open, 1);
    if (site->retry_milli < SITE_RETRY_MAX_MILLI)
        site->retry_milli += SITE_RETRY_SHARE_MILLI;
    bool is_memo =
        site == c->memo_site && slice_eq(r->authority, slice_of(c->memo_authority, c->memo_len));
    if (c->https && !(is_memo && c->memo_fits) && !tls_fits(c, site, r->authority)) {
        stats_add(&x->shard->stats->misdirected, 1);
        exchange_fail(x, FAULT_MISDIRECTED);
        return false;
    }
    c->memo_fits = is_memo;
    if (came_plain(x)) {
        redirect_to_https(x);
        return false;
    }
    if (!c->https && client_is_h2(c) && !(site->route.flags & ROUTE_HTTP20)) {
        x->fault = FAULT_MISDIRECTED;
        client_cut(x, H2_HTTP_1_1_REQUIRED);
        return false;
    }
    if (forward_is_last_hop(r)) {
        exchange_answer(x, 200, SLICE(""),
                        SLICE("Max-Forwards is 0: the request goes no further.\n"));
        return false;
    }
    if (forward_hops(r) >= shard_limits(x->shard)->hops) {
        exchange_fail(x, FAULT_LOOP);
        return false;
    }
    if (r->content_length >= 0 && (uint64_t)r->content_length > site->route.body_limit_octets) {
        exchange_fail(x, FAULT_TOO_LARGE);
        return false;
    }
    enum fault refused = tunnel_admit(x);
    if (refused != FAULT_NONE) {
        exchange_fail(x, refused);
        return false;
    }
    if (site->route.idle_timeout_ms)
        c->idle_us = site->route.idle_timeout_ms * 1000ull;
    return true;
}

enum fault exchange_fault(const struct exchange *x, int err)
{
    switch (err) {
    case ERR_NOTFOUND:
        return x->tried ? FAULT_CONNECT : FAULT_NO_INSTANCE;
    case ERR_NOMEM:
        return FAULT_MEMORY;
    case ERR_LIMIT:
        return FAULT_OVERLOAD;
    case ERR_SYS:
        return FAULT_DESCRIPTORS;
    case ERR_FIELDS_TOO_LARGE:
        return FAULT_FIELDS_TOO_LARGE;
    case ERR_USAGE:
    case ERR_TRUNCATED:
        return FAULT_BAD_REQUEST;
    default:
        return err == ERR_CLOSED && x->tunnel ? tunnel_refusal(x) : FAULT_CONNECT;
    }
}

/* Whether it may help to wait: for room, for a worker that takes its time to accept, or for one
 * that is being started. */
static bool may_wait(const struct exchange *x, enum fault fault, int err)
{
    unsigned flags = x->site->route.flags;
    if (x->pushed)
        return false;
    if (fault == FAULT_OVERLOAD || fault == FAULT_DESCRIPTORS || err == ERR_AGAIN)
        return true;
    return (fault == FAULT_CONNECT || fault == FAULT_NO_INSTANCE) && (flags & ROUTE_MANAGED) &&
           !(flags & ROUTE_FAILING);
}

/* Whether the end of any exchange here may help: it leaves a connection, or room for one.  Where
 * there are places, they are handed over; and of a worker that cannot be reached, or does not want
 * it, only time and new routes tell. */
static bool awaits_room(const struct exchange *x, enum fault fault, int err)
{
    return fault == FAULT_DESCRIPTORS ||
           ((fault == FAULT_OVERLOAD || err == ERR_AGAIN) && !x->site->route.concurrency);
}

static void attach(struct exchange *x)
{
    int err = worker_attach(x);
    if (err == 0) {
        waiting_leave(x);
        exchange_touch(x);
        x->why = NULL; /* what was wrong with another's answer */
        if (x->worker && x->worker->connected && (x->held.octets || x->held_trailers.count))
            exchange_worker_ready(x);
        return;
    }
    enum fault fault = exchange_fault(x, err);
    if (may_wait(x, fault, err) && waiting_enter(x, fault, awaits_room(x, fault, err)))
        return;
    waiting_leave(x);
    exchange_fail(x, fault);
}

/* A snapshot may have come meanwhile: the site of today, not of when the request came, whose
 * instances may be gone. */
static void use_todays_site(struct exchange *x)
{
    enum fault fault;
    struct site *site = find_site(x->client, x->request->authority, &fault);
    if (!site || site == x->site || !slice_eq(site->name, x->site->name))
        return;
    site_ref(site);
    site_unref(x->site);
    x->site = site;
    x->tried = 0;
}

void exchange_attach_again(struct exchange *x)
{
    use_todays_site(x);
    attach(x);
}

void exchange_begin(struct client *c, struct h2_stream *cs, struct arena *arena,
                    const struct http_head *head, bool end)
{
    struct exchange *x = exchange_new(c, cs, arena, head);
    if (!x) {
        if (cs)
            h2_stream_reset(cs, H2_REFUSED_STREAM);
        else
            client_kill(c);
        return;
    }
    x->request_ended = end;
    if (!admit(x))
        return;
    push_trace_begin(x);
    if (x->site->has_promised && cs && push_request(x)) {
        if (!x->ended)
            exchange_touch(x);
        return;
    }
    attach(x);
}

struct exchange *exchange_push(struct exchange *parent, struct h2_stream *cs,
                               const struct http_head *head)
{
    struct exchange *x = exchange_new(parent->client, cs, h2_stream_arena(cs), head);
    if (!x)
        return NULL;
    x->pushed = true;
    x->personal = fields_find(&parent->request->fields, TOKEN_COOKIE) ||
                  fields_find(&parent->request->fields, TOKEN_AUTHORIZATION);
    x->request_ended = true;
    x->site = site_ref(parent->site);
    stats_add(&x->site->stats->requests, 1);
    stats_add(&x->site->stats->requests_open, 1);
    exchange_touch(x);
    return x;
}

/* ---- the worker's end ---- */

void exchange_worker_done(struct exchange *x)
{
    CHECK_MAGIC(x, EXCHANGE_MAGIC);
    if (!x->response_ended)
        exchange_fail(x, x->head_sent ? FAULT_CUT : FAULT_CLOSED);
    else if (x->switched)
        client_consumed_all(x);
}

/* A token bucket of the site's: retries are a share of its requests, so that a dying app is not
 * asked twice as much. */
static bool take_retry(struct site *site)
{
    if (site->retry_milli < 1000)
        return false;
    site->retry_milli -= 1000;
    return true;
}

/* RFC 9110 9.2.2; and the handshake of a WebSocket is a GET, though it be CONNECT to an HTTP/2
 * client (RFC 8441 5). */
static bool may_act_twice(const struct exchange *x)
{
    return method_is_idempotent(x->request->method) || (x->tunnel && !x->opaque);
}

/* Never a second delivery of what is not safe: only when the worker did not act on it, or may act
 * twice; and only while all of the content is still here.  RFC 9110 9.2.2, RFC 9113 8.7 */
static bool may_retry(const struct exchange *x, enum fault fault, bool untouched)
{
    if (x->head_sent || x->pushed || x->forwarded || x->client->dead)
        return false;
    if (untouched)
        return true; /* also when the worker spoke first, as Node does to an idle connection */
    if (fault == FAULT_MALFORMED || fault == FAULT_CUT || fault == FAULT_TIMEOUT)
        return false;
    return x->retries < EXCHANGE_RETRIES && may_act_twice(x);
}

/* Nothing is missing but the sign of the end: an HTTP/2 worker that died between its last octet and
 * END_STREAM.  The client has all that Content-Length told it to expect, and over HTTP/1.1 may have
 * sent its next request already: to cut here would lose that one. */
static bool is_whole(const struct exchange *x)
{
    if (!x->head_sent || x->switched || x->response_length < 0 ||
        x->body_out != (uint64_t)x->response_length)
        return false;
    /* Content beyond its length makes the response malformed, and that is not to be passed on as a
     * good one (RFC 9113 8.1.1): HTTP/2 can still say so.  Where there can be none, none was meant.
     */
    return !x->cs || x->reset_code != H2_PROTOCOL_ERROR ||
           !response_has_content(x->request->method, x->status);
}

void exchange_worker_failed(struct exchange *x, enum fault fault, bool untouched, bool fresh)
{
    CHECK_MAGIC(x, EXCHANGE_MAGIC);
    if (x->response_ended) { /* of a tunnel, too: what it sent is on its way */
        if (x->switched)
            client_consumed_all(x); /* and it wants no more */
        return;
    }
    if (is_whole(x)) {
        x->response_ended = true;
        if (client_send_body(x, SLICE(""), true) < 0)
            client_cut(x, H2_INTERNAL_ERROR);
        return;
    }
    if (!may_retry(x, fault, untouched) || (!untouched && !take_retry(x->site))) {
        exchange_fail(x, x->head_sent ? FAULT_CUT : fault);
        return;
    }
    stats_add(&x->shard->stats->retries, 1);
    use_todays_site(x);
    if (fresh) /* a kept-alive connection that had closed says nothing about its instance */
        for (uint32_t i = 0; i < x->site->count && i < 64; i++)
            if (x->site->instances[i].backend == x->last_backend ||
                x->site->instances[i].backend_h2 == x->last_backend)
                x->tried |= 1ull << i;
    if (!untouched)
        x->retries++;
    x->failed_by = (uint8_t)fault;
    x->request_sent = false;
    attach(x);
}
