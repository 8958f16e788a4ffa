/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/promised.h"
#include "edge/client.h"
#include "edge/leave.h"
#include "edge/push_vehicle.h"
#include "edge/site.h"
#include "edge/waiting.h"
#include "edge/worker.h"
#include "base/err.h"
#include "base/panic.h"
#include "push/parked.h"

/* ---- life ---- */

static void on_due(struct loop_timer *t)
{
    struct promised *p = CONTAINER_OF(t, struct promised, timer);
    CHECK_MAGIC(p, PROMISED_MAGIC);
    promised_drop(p);
}

/* All of a head that can matter later, in p's arena. */
static int copy_head(struct promised *p, const struct http_head *from, struct http_head *to)
{
    *to = *from;
    to->method = arena_dup(&p->arena, from->method);
    to->scheme = arena_dup(&p->arena, from->scheme);
    to->authority = arena_dup(&p->arena, from->authority);
    to->path = arena_dup(&p->arena, from->path);
    to->protocol = SLICE("");
    if (!to->method.p || !to->scheme.p || !to->authority.p || !to->path.p)
        return ERR_NOMEM;
    return fields_copy(&p->arena, &from->fields, &to->fields);
}

/* The worker has begun it by itself. */
static void take_place(struct promised *p)
{
    if (!p->site->route.concurrency || !p->backend->places || p->place)
        return;
    p->place = p->backend->places;
    places_add(p->place);
}

static void give_place(struct promised *p)
{
    struct places *place = p->place;
    p->place = NULL;
    if (place)
        waiting_hand_on(p->shard, place);
}

/* What tells whose page it was. */
static int copy_person(struct promised *p, const struct fields *from, struct fields *to)
{
    for (uint32_t i = 0; i < from->count; i++) {
        const struct field *f = &from->at[i];
        if (f->token != TOKEN_COOKIE && f->token != TOKEN_AUTHORIZATION &&
            f->token != TOKEN_USER_AGENT)
            continue;
        struct slice value = arena_dup(&p->arena, f->value);
        if (!value.p || fields_add_token(to, &p->arena, (enum token)f->token, value) < 0)
            return ERR_NOMEM;
    }
    return 0;
}

/* An app has no more than it leaves to the others, so that none of them has all. */
static bool is_too_much(const struct site *site)
{
    return site->promised_octets + site->shard->promised_octets > PROMISED_OCTETS;
}

/* held: octets from now on */
static void count_held(struct promised *p, uint64_t held)
{
    p->shard->promised_octets += held - p->charged;
    p->site->promised_octets += held - p->charged;
    p->charged = held;
}

/* return  whether what it holds is too much */
static bool charge(struct promised *p)
{
    count_held(p, p->arena.octets + p->body.octets);
    return is_too_much(p->site);
}

struct promised *promised_new(struct exchange *x, struct worker *w, struct h2_stream *ws,
                              const struct push_promise *promise)
{
    struct shard *s = x->shard;
    struct push_client *pc = x->client->push;
    if (pc->kept >= PROMISED_MAX || is_too_much(x->site))
        return NULL;
    struct promised *p = pool_zget(s->pool, sizeof *p);
    if (!p)
        return NULL;
    arena_init(&p->arena, s->pool);
    p->promise = *promise;
    p->promise.as = arena_dup(&p->arena, promise->as);
    if (!p->promise.as.p || copy_head(p, &promise->request, &p->promise.request) < 0 ||
        copy_person(p, &x->request->fields, &p->page_head.fields) < 0) {
        arena_fini(&p->arena);
        pool_put(s->pool, p, sizeof *p);
        return NULL;
    }
    p->magic = PROMISED_MAGIC;
    p->shard = s;
    p->client = x->client;
    p->site = site_ref(x->site);
    p->page = x;
    p->worker = w;
    p->ws = ws;
    list_init(&p->worker_node);
    p->head.content_length = -1;
    chain_init(&p->body, s->pool);
    loop_timer_init(&p->timer, on_due);
    loop_timer_set(s->loop, &p->timer, shard_now_us(s) + PROMISED_KEPT_US);
    list_add_tail(&pc->promised, &p->node);
    pc->kept++;
    h2_stream_set_user(ws, p);
    p->backend = w->backend;
    p->backend->in_flight++;
    take_place(p);
    charge(p);
    return p;
}

struct promised *promised_of(struct h2_stream *ws)
{
    struct promised *p = h2_stream_is_promised(ws) ? h2_stream_user(ws) : NULL;
    return p && p->magic == PROMISED_MAGIC ? p : NULL;
}

static void leave_parking(struct promised *p)
{
    if (list_empty(&p->worker_node))
        return;
    list_remove(&p->worker_node);
    p->worker->parked_count--;
}

/* There is an end to what a worker may promise and has not answered whole.  Clients who never come
 * do not keep others from being promised anything: the one that waits longest makes room. */
static void enter_parking(struct promised *p)
{
    struct worker *w = p->worker;
    list_add_tail(&w->parked, &p->worker_node);
    if (w->parked_count++ < PROMISED_WORKER_MAX)
        return;
    struct promised *first = LIST_ENTRY(w->parked.next, struct promised, worker_node);
    leave_parking(first);
    /* Not at once: somebody may be walking its client's list. */
    loop_timer_set(p->shard->loop, &first->timer, shard_now_us(p->shard));
}

/* The worker's part is over, or somebody else's. */
static void leave_worker(struct promised *p)
{
    struct shard *s = p->shard;
    leave_parking(p);
    p->worker = NULL;
    p->ws = NULL;
    if (!p->backend)
        return;
    p->backend->in_flight--;
    p->backend = NULL;
    give_place(p);
    leaves_review(s);
    if (s->waiting_any)
        loop_flush(s->loop, &s->waiting_room);
}

static void free_promised(struct promised *p)
{
    struct shard *s = p->shard;
    ASSERT(!p->ws && !p->waiter);
    count_held(p, 0);
    loop_timer_clear(&p->timer);
    list_remove(&p->node);
    p->client->push->kept--;
    site_unref(p->site);
    chain_fini(&p->body);
    arena_fini(&p->arena);
    p->magic = 0;
    pool_put(s->pool, p, sizeof *p);
}

/* The request that waits has to go its own way. */
static void let_go(struct promised *p)
{
    struct exchange *x = p->waiter;
    if (!x)
        return;
    p->waiter = NULL;
    x->parked = NULL;
    exchange_attach_again(x);
}

void promised_drop(struct promised *p)
{
    struct worker *w = p->worker;
    struct h2_stream *ws = p->ws;
    CHECK_MAGIC(p, PROMISED_MAGIC);
    if (p->page)
        push_promised_lost(p);
    if (p->parked)
        push_parked_ended(p, false);
    leave_worker(p);
    if (ws)
        worker_refuse(w, ws, p->site);
    let_go(p);
    free_promised(p);
}

/* Who waits for one and is sent his own way may push somebody out of the waiting room, with what he
 * was promised: not while that list is walked. */
void promised_drop_unasked(struct client *c)
{
    LIST_FOR(node, &c->push->promised)
    {
        struct promised *p = LIST_ENTRY(node, struct promised, node);
        if (!p->waiter)
            promised_drop(p);
    }
}

void promised_forget_waiter(struct exchange *x)
{
    struct promised *p = x->parked;
    p->waiter = NULL;
    x->parked = NULL;
    enter_parking(p); /* nobody wants it again */
}

/* ---- where it goes ---- */

void promised_park(struct promised *p)
{
    p->page = NULL;
    p->parked = true;
    give_place(p); /* it waits for somebody who may never come; others have come */
    if (p->worker)
        enter_parking(p);
    if (p->head.status && !push_may_park(&p->head))
        promised_drop(p);
}

void promised_hand_over(struct promised *p, struct exchange *x)
{
    bool trailers = p->trailers.count > 0;
    x->request_sent = true;
    if (p->ws) {
        take_place(p);
        leave_parking(p);
        h2_stream_set_user(p->ws, x);
        x->worker = p->worker;
        x->ws = p->ws;
        x->backend = x->last_backend = p->backend;
        x->place = p->place;
        p->worker = NULL;
        p->ws = NULL;
        p->backend = NULL;
        p->place = NULL;
    }
    if (p->head.status)
        exchange_response_head(x, &p->head, p->ended && p->body.octets == 0 && !trailers);
    while (p->body.octets && !x->ended) {
        struct slice part = chain_peek(&p->body);
        bool last = part.len == p->body.octets;
        exchange_response_body(x, part, last && p->ended && !trailers);
        chain_drop(&p->body, part.len);
    }
    if (trailers && !x->ended)
        exchange_response_trailers(x, &p->trailers);
    free_promised(p);
}

static struct promised *find(const struct client *c, const struct http_head *asked)
{
    LIST_FOR(node, &c->push->promised)
    {
        struct promised *p = LIST_ENTRY(node, struct promised, node);
        if (p->parked && !p->waiter && slice_eq(p->promise.request.path, asked->path) &&
            slice_ieq(p->promise.request.authority, asked->authority))
            return p;
    }
    return NULL;
}

static bool fits(const struct promised *p, const struct exchange *x)
{
    return slice_eq(x->site->name, p->site->name) && x->request_ended &&
           push_parked_fits(x->request, &p->promise.request, &p->page_head, &p->head);
}

static void collect(struct promised *p, struct exchange *x)
{
    push_parked_ended(p, true);
    promised_hand_over(p, x);
}

bool promised_ask(struct exchange *x)
{
    struct promised *p = find(x->client, x->request);
    if (!p)
        return false;
    if (!fits(p, x)) { /* nobody will ask for this one any more */
        promised_drop(p);
        return false;
    }
    if (p->head.status) {
        collect(p, x);
        return true;
    }
    leave_parking(p); /* it is wanted */
    p->waiter = x;
    x->parked = p;
    return true;
}

void promised_is_old(struct exchange *x)
{
    struct promised *p;
    while ((p = find(x->client, x->request)) != NULL)
        promised_drop(p);
}

/* ---- from the worker ---- */

void promised_head(struct promised *p, const struct http_head *head, bool end)
{
    CHECK_MAGIC(p, PROMISED_MAGIC);
    if (head->status < 200)
        return;
    p->ended = end;
    if (copy_head(p, head, &p->head) < 0 || charge(p)) {
        promised_drop(p);
        return;
    }
    if (p->page) {
        push_promised_knows(p);
    } else if (!push_may_park(&p->head) || (p->waiter && !fits(p, p->waiter))) {
        promised_drop(p);
    } else if (p->waiter) {
        struct exchange *x = p->waiter;
        p->waiter = NULL;
        x->parked = NULL;
        collect(p, x);
    }
}

void promised_body(struct promised *p, struct slice octets, bool end)
{
    CHECK_MAGIC(p, PROMISED_MAGIC);
    if (chain_add(&p->body, octets, shard_chunk_of(p->shard, octets)) < 0 || charge(p)) {
        promised_drop(p);
        return;
    }
    p->octets += octets.len;
    p->ended = end;
    if (end && p->page)
        push_promised_knows(p);
}

void promised_trailers(struct promised *p, const struct fields *trailers)
{
    CHECK_MAGIC(p, PROMISED_MAGIC);
    if (fields_copy(&p->arena, trailers, &p->trailers) < 0 || charge(p)) {
        promised_drop(p);
        return;
    }
    p->ended = true;
    if (p->page)
        push_promised_knows(p);
}

void promised_closed(struct promised *p, bool complete)
{
    CHECK_MAGIC(p, PROMISED_MAGIC);
    leave_worker(p);
    if (!complete || !p->ended)
        promised_drop(p);
}
