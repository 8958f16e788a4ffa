/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/push_internal.h"
#include "edge/client.h"
#include "edge/push_facts.h"
#include "edge/push_trace.h"

bool push_page_ensure(struct exchange *x)
{
    if (!x->page)
        x->page = arena_zalloc(x->arena, sizeof *x->page);
    return x->page != NULL;
}

void push_settle_soon(struct client *c)
{
    c->push->due = true;
    client_wants_flush(c);
}

/* ---- promises that are not decided yet ---- */

/* Its page waits for it no more.  return  the page */
static struct exchange *leave_page(struct promised *pr)
{
    struct exchange *x = pr->page;
    pr->page = NULL;
    x->page->undecided--;
    x->client->push->undecided--;
    return x;
}

/* Enough is known by now, or there is no more time. */
static void settle(struct promised *pr)
{
    struct push_facts f = push_facts(pr->page, &pr->promise, pr);
    struct push_decision d = push_decide(&pr->promise, &f);
    push_carry_out(leave_page(pr), &pr->promise, &f, d, pr, NULL, NULL);
}

void push_promised_lost(struct promised *p)
{
    const struct push_decision d = {PUSH_VEHICLE_NONE, PUSH_REASON_UNKNOWN, PUSH_REASON_UNKNOWN};
    struct push_facts f = push_facts(p->page, &p->promise, p);
    struct exchange *x = leave_page(p);
    push_record(x, &p->promise, &f, d);
    push_count_fate(x, PUSH_FATE_NOT_PUSHED, 0, d.vehicle, p->promise.request.path);
}

void push_promised_knows(struct promised *p)
{
    if (p->head.content_length >= 0 || p->ended)
        push_settle_soon(p->client);
}

static void settle_all(struct exchange *x)
{
    LIST_FOR(node, &x->client->push->promised)
    {
        struct promised *pr = LIST_ENTRY(node, struct promised, node);
        if (pr->page == x)
            settle(pr);
    }
}

/* ---- the response that waits for them ---- */

bool push_holds(struct exchange *x, const struct http_head *head, bool end)
{
    struct push_page *page = x->page;
    if (!page || !page->undecided || page->released)
        return false;
    struct http_head *kept = arena_alloc(x->arena, sizeof *kept);
    if (!kept)
        return false;
    *kept = *head;
    if (fields_copy(x->arena, &head->fields, &kept->fields) < 0)
        return false;
    page->head = kept;
    page->ended = end;
    chain_init(&page->body, x->shard->pool);
    push_settle_soon(x->client);
    return true;
}

int push_hold_body(struct exchange *x, struct slice octets, struct chunk *chunk, bool end)
{
    x->page->ended = end;
    return chain_add(&x->page->body, octets, chunk);
}

int push_hold_trailers(struct exchange *x, const struct fields *trailers)
{
    x->page->ended = x->page->has_trailers = true;
    return fields_copy(x->arena, trailers, &x->page->trailers);
}

static void release(struct exchange *x)
{
    struct push_page *page = x->page;
    struct http_head *head = page->head;
    bool ends = page->ended && !page->has_trailers;
    push_trace_take(x, &head->fields);
    page->head = NULL;
    page->released = true;
    int err = client_send_head(x, head, ends && page->body.octets == 0);
    while (err == 0 && page->body.octets) {
        struct slice part = chain_peek(&page->body);
        err = client_send_body(x, part, ends && part.len == page->body.octets);
        chain_drop(&page->body, part.len);
    }
    chain_fini(&page->body);
    if (err == 0 && page->has_trailers)
        err = client_send_trailers(x, &page->trailers);
    if (err < 0 && !x->ended)
        client_cut(x, H2_INTERNAL_ERROR);
}

void push_page_ends(struct exchange *x)
{
    struct push_page *page = x->page;
    if (!page)
        return;
    if (page->undecided)
        settle_all(x);
    push_seen_fini(&page->seen, x->shard->pool);
    if (page->head) {
        page->head = NULL;
        chain_fini(&page->body);
    }
}

/* What is about to leave may refer to what is promised: now or never.  RFC 9113 8.4.1 */
static bool is_last_moment(const struct exchange *x)
{
    const struct push_page *page = x->page;
    if (page->head)
        return page->ended || page->body.octets || fields_find(&page->head->fields, TOKEN_LINK);
    return x->head_sent && (client_queued(x) || x->response_ended);
}

void push_before_flush(struct client *c)
{
    c->push->due = false;
    LIST_FOR(node, &c->push->promised)
    {
        struct promised *pr = LIST_ENTRY(node, struct promised, node);
        if (pr->page && (pr->ended || pr->head.content_length >= 0 || is_last_moment(pr->page)))
            settle(pr);
    }
    LIST_FOR(node, &c->exchanges)
    {
        struct exchange *x = LIST_ENTRY(node, struct exchange, client_node);
        if (x->page && !x->page->waits_for_103)
            push_send_hints(x);
        if (push_is_held(x))
            release(x);
    }
}
