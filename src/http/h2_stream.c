/* SPDX-License-Identifier: Apache-2.0 */
#include "http/h2_internal.h"
#include "base/err.h"

static const uint8_t next_state[H2_STATES][H2_EVENTS] = {
    [H2_IDLE] =
        {
            [H2_EV_RECV_HEADERS] = H2_OPEN,
            [H2_EV_RECV_PROMISE] = H2_RESERVED_REMOTE,
            [H2_EV_SEND_HEADERS] = H2_OPEN,
            [H2_EV_SEND_PROMISE] = H2_RESERVED_LOCAL,
        },
    [H2_RESERVED_LOCAL] =
        {
            [H2_EV_RECV_RESET] = H2_CLOSED,
            [H2_EV_RECV_WINDOW] = H2_RESERVED_LOCAL,
            [H2_EV_SEND_HEADERS] = H2_HALF_REMOTE,
            [H2_EV_SEND_RESET] = H2_CLOSED,
        },
    [H2_RESERVED_REMOTE] =
        {
            [H2_EV_RECV_HEADERS] = H2_HALF_LOCAL,
            [H2_EV_RECV_RESET] = H2_CLOSED,
            [H2_EV_SEND_RESET] = H2_CLOSED,
        },
    [H2_OPEN] =
        {
            [H2_EV_RECV_HEADERS] = H2_OPEN,
            [H2_EV_RECV_DATA] = H2_OPEN,
            [H2_EV_RECV_END] = H2_HALF_REMOTE,
            [H2_EV_RECV_RESET] = H2_CLOSED,
            [H2_EV_RECV_WINDOW] = H2_OPEN,
            [H2_EV_SEND_HEADERS] = H2_OPEN,
            [H2_EV_SEND_DATA] = H2_OPEN,
            [H2_EV_SEND_END] = H2_HALF_LOCAL,
            [H2_EV_SEND_RESET] = H2_CLOSED,
        },
    [H2_HALF_LOCAL] =
        {
            [H2_EV_RECV_HEADERS] = H2_HALF_LOCAL,
            [H2_EV_RECV_DATA] = H2_HALF_LOCAL,
            [H2_EV_RECV_END] = H2_CLOSED,
            [H2_EV_RECV_RESET] = H2_CLOSED,
            [H2_EV_RECV_WINDOW] = H2_HALF_LOCAL,
            [H2_EV_SEND_RESET] = H2_CLOSED,
        },
    [H2_HALF_REMOTE] =
        {
            [H2_EV_RECV_RESET] = H2_CLOSED,
            [H2_EV_RECV_WINDOW] = H2_HALF_REMOTE,
            [H2_EV_SEND_HEADERS] = H2_HALF_REMOTE,
            [H2_EV_SEND_DATA] = H2_HALF_REMOTE,
            [H2_EV_SEND_END] = H2_CLOSED,
            [H2_EV_SEND_RESET] = H2_CLOSED,
        },
    /* Closed is the end: frames that are late or wrong are judged by h2_frame_misplaced. */
    [H2_CLOSED] = {0},
};

enum h2_state h2_state_next(enum h2_state state, enum h2_event event)
{
    ASSERT(state < H2_STATES && event < H2_EVENTS);
    return (enum h2_state)next_state[state][event];
}

static bool is_open(unsigned state)
{
    return state == H2_OPEN || state == H2_HALF_LOCAL || state == H2_HALF_REMOTE;
}

static bool is_reserved(unsigned state)
{
    return state == H2_RESERVED_LOCAL || state == H2_RESERVED_REMOTE;
}

/* The only writer of a state and of the counts that follow from it. */
void h2_stream_set_state(struct h2_stream *s, enum h2_state next)
{
    struct h2_conn *c = s->conn;
    uint32_t *open = s->local ? &c->open_local : &c->open_peer;
    if (is_open(s->state) && !is_open(next))
        --*open;
    if (!is_open(s->state) && is_open(next))
        ++*open;
    if (is_reserved(s->state) && !is_reserved(next))
        c->reserved--;
    if (!is_reserved(s->state) && is_reserved(next))
        c->reserved++;
    s->state = (uint8_t)next;
    if ((next == H2_CLOSED || next == H2_HALF_LOCAL) && (s->scheduled || s->woven_into || s->woven))
        h2_sched_leave(&c->sched, s);
}

void h2_stream_step(struct h2_stream *s, enum h2_event event)
{
    enum h2_state next = h2_state_next((enum h2_state)s->state, event);
    ASSERT(next != H2_ILLEGAL);
    if (next != (enum h2_state)s->state)
        h2_stream_set_state(s, next);
}

void h2_stream_step_end(struct h2_stream *s, enum h2_event event)
{
    struct h2_conn *c = s->conn;
    h2_stream_step(s, event);
    if (s->state == H2_CLOSED) {
        list_remove(&s->due);
        list_add_tail(&c->ended, &s->due);
    } else if (event == H2_EV_SEND_END && c->role == H2_SERVER && !s->tunnel) {
        /* A tunnel may be half closed (RFC 9113 8.5); a request is of no use any more. */
        list_add_tail(&c->early, &s->due);
    }
}

/* The table by id: open addressing, linear probing, deletion by shifting back.  A peer chooses its
 * ids, but max_concurrent_streams bounds how many of them can collide. */
#define TABLE_FIRST 16u

static uint32_t slot_of(const struct h2_conn *c, uint32_t id)
{
    return (id * 0x9e3779b1u >> 7) & (c->table_cap - 1);
}

static void table_put(struct h2_conn *c, struct h2_stream *s)
{
    uint32_t i = slot_of(c, s->id);
    while (c->table[i])
        i = (i + 1) & (c->table_cap - 1);
    c->table[i] = s;
}

static int table_grow(struct h2_conn *c)
{
    uint32_t old_cap = c->table_cap, cap = old_cap ? old_cap * 2 : TABLE_FIRST;
    struct h2_stream **old = c->table,
                     **table = pool_zget(c->pool, cap * sizeof(struct h2_stream *));
    if (!table)
        return ERR_NOMEM;
    c->table = table;
    c->table_cap = cap;
    for (uint32_t i = 0; i < old_cap; i++)
        if (old[i])
            table_put(c, old[i]);
    pool_put(c->pool, old, old_cap * sizeof(struct h2_stream *));
    return 0;
}

static void table_remove(struct h2_conn *c, const struct h2_stream *s)
{
    uint32_t mask = c->table_cap - 1, hole = slot_of(c, s->id);
    while (c->table[hole] != s)
        hole = (hole + 1) & mask;
    for (uint32_t i = (hole + 1) & mask; c->table[i]; i = (i + 1) & mask) {
        uint32_t home = slot_of(c, c->table[i]->id);
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            c->table[hole] = c->table[i];
            hole = i;
        }
    }
    c->table[hole] = NULL;
    if (--c->table_count == 0) {
        pool_put(c->pool, c->table, c->table_cap * sizeof(struct h2_stream *));
        c->table = NULL;
        c->table_cap = 0;
    }
}

struct h2_stream *h2_stream_find(const struct h2_conn *c, uint32_t id)
{
    if (!c->table)
        return NULL;
    for (uint32_t i = slot_of(c, id); c->table[i]; i = (i + 1) & (c->table_cap - 1))
        if (c->table[i]->id == id)
            return c->table[i]->state == H2_CLOSED ? NULL : c->table[i];
    return NULL;
}

struct h2_stream *h2_stream_new(struct h2_conn *c, uint32_t id, bool local)
{
    if (2 * (c->table_count + 1) > c->table_cap && table_grow(c) < 0)
        return NULL;
    struct h2_stream *s = pool_zget(c->pool, sizeof *s);
    if (!s) {
        if (c->table_count == 0) {
            pool_put(c->pool, c->table, c->table_cap * sizeof(struct h2_stream *));
            c->table = NULL;
            c->table_cap = 0;
        }
        return NULL;
    }
    s->conn = c;
    s->id = id;
    s->state = H2_IDLE;
    s->local = local;
    s->priority = PRIORITY_DEFAULT;
    s->send_window = c->peer.initial_window;
    s->recv_window = c->local_initial_window;
    s->recv_size = c->settings.stream_window;
    s->content_left = -1;
    chain_init(&s->body, c->pool);
    arena_init(&s->arena, c->pool);
    list_init(&s->sched);
    list_init(&s->due);
    list_add_tail(&c->streams, &s->all);
    table_put(c, s);
    c->table_count++;
    if (c->window_earned < H2_WINDOW_EARNED_MAX)
        c->window_earned += H2_WINDOW_EARNED;
    return s;
}

void h2_id_remember(struct h2_conn *c, uint32_t id, bool forgiving)
{
    uint32_t oldest = c->closed[c->closed_at];
    if (oldest & 1 && oldest >> 1 > c->forgiven_id)
        c->forgiven_id = oldest >> 1;
    c->closed[c->closed_at] = id << 1 | forgiving;
    c->closed_at = (uint8_t)((c->closed_at + 1) % H2_CLOSED_KEPT);
}

bool h2_id_is_forgiven(const struct h2_conn *c, uint32_t id, bool *known_out)
{
    for (uint32_t i = 0; i < H2_CLOSED_KEPT; i++) {
        uint32_t kept = c->closed[(c->closed_at + H2_CLOSED_KEPT - 1 - i) % H2_CLOSED_KEPT];
        if (kept >> 1 == id) {
            *known_out = true;
            return kept & 1;
        }
    }
    *known_out = false;
    return true;
}

bool h2_id_is_local(const struct h2_conn *c, uint32_t id)
{
    return (id & 1) == (c->role == H2_CLIENT);
}

bool h2_id_is_idle(const struct h2_conn *c, uint32_t id)
{
    return h2_id_is_local(c, id) ? id >= c->next_id : id > c->last_peer_id;
}

static void count_sections(struct h2_stream *s, uint32_t octets)
{
    s->conn->sections_octets += octets - s->sections_octets;
    s->sections_octets = octets;
}

void h2_stream_count_sections(struct h2_stream *s, size_t octets)
{
    count_sections(s, s->sections_octets + (uint32_t)octets);
}

void h2_stream_emptied(struct h2_stream *s)
{
    count_sections(s, 0);
}

/* Out of every list and table; the memory stays until nobody can be looking at it. */
static void forget(struct h2_stream *s)
{
    struct h2_conn *c = s->conn;
    ASSERT(!s->gone);
    if (s->state != H2_CLOSED)
        h2_stream_set_state(s, H2_CLOSED);
    s->gone = true;
    h2_id_remember(c, s->id, s->forgiving);
    table_remove(c, s);
    list_remove(&s->all);
    list_remove(&s->due);
    s->conn->queued -= s->body.octets;
    count_sections(s, 0);
    chain_fini(&s->body);
    list_add_tail(&c->gone, &s->due);
}

void h2_stream_free_gone(struct h2_conn *c)
{
    while (!list_empty(&c->gone)) {
        struct h2_stream *s = LIST_ENTRY(c->gone.next, struct h2_stream, due);
        list_remove(&s->due);
        arena_fini(&s->arena);
        pool_put(c->pool, s, sizeof *s);
    }
}

void h2_stream_close(struct h2_stream *s, uint32_t code)
{
    struct h2_conn *c = s->conn;
    if (s->state != H2_CLOSED)
        h2_stream_set_state(s, H2_CLOSED);
    list_remove(&s->due);
    if (s->surfaced) {
        s->surfaced = false; /* a reset from inside the callback finds nothing left to tell */
        if (c->events->on_close)
            c->events->on_close(c->user, s, code);
    }
    if (!s->gone)
        forget(s);
}

void h2_tell_refusal(struct h2_conn *c, enum h2_blame blame)
{
    c->refused = (uint8_t)blame;
    if (c->events->on_refuse)
        c->events->on_refuse(c->user, blame, h2_conn_why(c));
}

int h2_charge_refusal(struct h2_conn *c, enum h2_blame blame)
{
    h2_tell_refusal(c, blame);
    return h2_conn_charge(c, H2_BUDGET_resets,
                          blame == H2_BLAME_FIELDS_LARGE ? H2_LARGE_SECTION_TOKENS : 1);
}

int h2_id_fail(struct h2_conn *c, uint32_t id, enum h2_blame blame)
{
    h2_send_reset(c, id, (enum h2_code)h2_blame_row(blame)->code);
    return h2_charge_refusal(c, blame);
}

int h2_refuse(struct h2_conn *c, uint32_t id, enum h2_blame blame)
{
    h2_id_remember(c, id, true);
    /* A worker that promises more than we take is generous rather than hostile. */
    if (c->role == H2_SERVER)
        return h2_id_fail(c, id, blame);
    h2_send_reset(c, id, H2_REFUSED_STREAM);
    h2_tell_refusal(c, blame);
    return c->error;
}

int h2_stream_fail(struct h2_stream *s, enum h2_blame blame)
{
    struct h2_conn *c = s->conn;
    s->forgiving = true;
    int err = h2_id_fail(c, s->id, blame);
    h2_stream_close(s, h2_blame_row(blame)->code);
    return err;
}

void h2_stream_reset(struct h2_stream *s, enum h2_code code)
{
    struct h2_conn *c = s->conn;
    if (s->gone)
        return;
    if (s->state != H2_CLOSED && !c->error) {
        s->forgiving = true;
        h2_send_reset(c, s->id, code);
    }
    s->surfaced = false;
    forget(s);
    if (!c->busy)
        h2_stream_free_gone(c);
}

void h2_stream_set_user(struct h2_stream *s, void *user)
{
    s->user = user;
}

void *h2_stream_user(const struct h2_stream *s)
{
    return s->user;
}

uint32_t h2_stream_id(const struct h2_stream *s)
{
    return s->id;
}

struct arena *h2_stream_arena(struct h2_stream *s)
{
    return &s->arena;
}

size_t h2_stream_queued(const struct h2_stream *s)
{
    return s->body.octets;
}

bool h2_stream_is_promised(const struct h2_stream *s)
{
    return s->promised;
}

bool h2_stream_peer_reset(const struct h2_stream *s)
{
    return s->peer_reset;
}

bool h2_stream_unprocessed(const struct h2_stream *s)
{
    return s->unprocessed;
}

struct priority h2_stream_priority(const struct h2_stream *s)
{
    return s->priority;
}

void h2_stream_set_priority(struct h2_stream *s, struct priority p)
{
    ASSERT(p.urgency <= PRIORITY_URGENCY_MAX);
    h2_sched_set_priority(&s->conn->sched, s, p);
}

bool h2_conn_is_going(const struct h2_conn *c)
{
    return c->going || c->peer_going;
}

int64_t h2_conn_send_window(const struct h2_conn *c)
{
    return c->send_window;
}

int64_t h2_stream_send_window(const struct h2_stream *s)
{
    return s->send_window < s->conn->send_window ? s->send_window : s->conn->send_window;
}

int64_t h2_stream_own_window(const struct h2_stream *s)
{
    return s->send_window;
}
