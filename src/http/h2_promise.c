/* SPDX-License-Identifier: Apache-2.0 */
/* Server push, the sending side.  RFC 9113 8.4
 *
 * A promise costs the client nothing until its response begins: reserved streams are not counted
 * (RFC 9113 5.1.2).  Responses are, so that one that would be too many waits here, head and all,
 * until another pushed stream has closed.
 *
 * When its content leaves is up to the scheduler (h2_sched.h). */
#include "http/h2_internal.h"
#include "base/err.h"

bool h2_stream_can_promise(const struct h2_stream *parent)
{
    const struct h2_conn *c = parent->conn;
    return !parent->gone && !c->error && !c->going && !c->peer_going && c->peer.push &&
           !parent->local && (parent->state == H2_OPEN || parent->state == H2_HALF_REMOTE);
}

struct h2_stream *h2_stream_promise(struct h2_stream *parent, const struct http_head *head,
                                    void *stream_user, int *err_out)
{
    struct h2_conn *c = parent->conn;
    ASSERT(c->role == H2_SERVER && head->status == 0);
    *err_out = ERR_USAGE;
    if (!h2_stream_can_promise(parent))
        return NULL;
    *err_out = ERR_LIMIT;
    if (c->next_id > H2_ID_MAX || c->reserved >= H2_RESERVED_MAX || c->peer.max_streams == 0)
        return NULL;
    *err_out = ERR_NOMEM;
    struct h2_stream *s = h2_stream_new(c, c->next_id, true);
    if (!s)
        return NULL;
    s->user = stream_user;
    s->promised = true;
    s->to_head = slice_eq(head->method, SLICE("HEAD"));
    s->priority.urgency = parent->priority.urgency < PRIORITY_URGENCY_MAX
                              ? (uint8_t)(parent->priority.urgency + 1)
                              : PRIORITY_URGENCY_MAX;
    struct slice field = fields_value(&head->fields, TOKEN_PRIORITY);
    if (field.len)
        priority_parse(field, &s->priority);
    h2_stream_step(s, H2_EV_SEND_PROMISE);
    c->next_id += 2;
    if (h2_send_section(c, parent->id, s->id, head, &head->fields, false) < 0) {
        h2_stream_close(s, H2_INTERNAL_ERROR);
        if (!c->busy)
            h2_stream_free_gone(c);
        return NULL;
    }
    s->surfaced = true;
    c->refusals++;
    *err_out = 0;
    return s;
}

bool h2_stream_weave(struct h2_stream *promised, struct h2_stream *parent, uint32_t parent_octets)
{
    struct h2_conn *c = promised->conn;
    ASSERT(promised->promised && !parent->promised && parent->conn == c);
    if (promised->told || promised->state == H2_CLOSED ||
        (parent->state != H2_OPEN && parent->state != H2_HALF_REMOTE))
        return false;
    if (promised->woven_into)
        h2_sched_unweave(&c->sched, promised);
    h2_sched_weave(&c->sched, promised, parent, parent_octets);
    return true;
}

void h2_promise_read_priority(struct h2_stream *s, const struct http_head *response)
{
    struct slice field = fields_value(&response->fields, TOKEN_PRIORITY);
    if (field.len && !s->told) /* not in a ring yet: nothing of it could be sent before */
        priority_parse(field, &s->priority);
}

bool h2_promise_must_wait(const struct h2_stream *s)
{
    const struct h2_conn *c = s->conn;
    return s->state == H2_RESERVED_LOCAL &&
           (c->open_local >= c->peer.max_streams || !list_empty(&c->held));
}

bool h2_promise_can_release(const struct h2_conn *c)
{
    return !c->error && c->open_local < c->peer.max_streams && !list_empty(&c->held);
}

int h2_promise_hold(struct h2_stream *s, const struct http_head *head, bool end)
{
    if (head->status < 200)
        return 0; /* nobody waits for it: the response itself is late already */
    struct http_head *held = arena_zalloc(&s->arena, sizeof *held);
    if (!held)
        return ERR_NOMEM;
    held->status = head->status;
    held->content_length = head->content_length;
    if (fields_copy(&s->arena, &head->fields, &held->fields) < 0)
        return ERR_NOMEM;
    s->held = held;
    if (end)
        s->sending = H2_SEND_END;
    list_add_tail(&s->conn->held, &s->due);
    return 0;
}

void h2_promise_release(struct h2_conn *c)
{
    while (h2_promise_can_release(c)) {
        struct h2_stream *s = LIST_ENTRY(c->held.next, struct h2_stream, due);
        bool end = s->sending == H2_SEND_END && s->body.octets == 0;
        const struct http_head *head = s->held;
        list_remove(&s->due);
        s->held = NULL;
        if (h2_send_response(s, head, end) < 0 || (!end && h2_send_rest(s) < 0))
            return;
    }
}
