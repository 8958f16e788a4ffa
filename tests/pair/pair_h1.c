/* SPDX-License-Identifier: Apache-2.0 */
/* Our HTTP/1.1 client against our server, in memory, under a random schedule from a seed: octets
 * are cut anywhere, output is drawn in any amounts, content is queued in any pieces.  Every octet
 * and every trailer is checked on the other side; when all is done no memory is held.
 *
 * PAIR_SEED=n runs one seed, PAIR_RUNS=n so many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/panic.h"
#include "http/h1.h"

#define EXCHANGES 12 /* at most, on one connection */
#define MOST_BODY 60000

/* ---- chance ---- */

static uint64_t chance_state;

static uint32_t chance(uint32_t below)
{
    chance_state ^= chance_state << 13;
    chance_state ^= chance_state >> 7;
    chance_state ^= chance_state << 17;
    return (uint32_t)(chance_state >> 20) % below;
}

/* Small mostly, large sometimes. */
static size_t chance_octets(size_t most)
{
    size_t n = chance(4) ? chance(64) : chance((uint32_t)most + 1);
    return n < most ? n : most;
}

/* ---- one message and its twin on the other side ---- */

enum framing { NONE, LENGTH, CHUNKED, TRAILERS };

struct message {
    enum framing framing;
    size_t octets;
    uint32_t key;    /* content is a function of it */
    unsigned fields; /* extra fields in the head */
    unsigned hints;  /* response: informational responses before it */
    unsigned status; /* response */
    const char *method;
    bool close;
};

struct exchange {
    struct message request, response;
};

static char octet_at(uint32_t key, size_t at)
{
    return (char)((key + at * 2654435761u) >> 13);
}

/* How far one side has come with sending and receiving its messages. */
struct side {
    const char *name;
    struct h1_conn *conn;
    struct pool pool;
    struct buf pending; /* octets on their way to the other side */
    bool head_sent, end_sent;
    size_t sent_octets, drawn_octets, queued_octets;
    bool head_seen, end_seen;
    unsigned hints_sent, hints_seen;
    size_t seen_octets;
    unsigned exchanges; /* done */
    bool over;
};

static struct exchange plan[EXCHANGES];
static unsigned plan_count;
static struct side client, server;
static uint64_t seed_running; /* 0: none */
static unsigned exchanges_done;

static const struct message *outgoing(const struct side *s)
{
    const struct exchange *e = &plan[s->exchanges];
    return s == &client ? &e->request : &e->response;
}

static const struct message *incoming(const struct side *s)
{
    const struct exchange *e = &plan[s->exchanges];
    return s == &client ? &e->response : &e->request;
}

static bool has_content(const struct side *to, const struct message *m)
{
    if (m->framing == NONE)
        return false;
    return to == &server ||
           response_has_content(slice_str(plan[to->exchanges].request.method), m->status);
}

/* ---- what must arrive ---- */

static void on_head(void *user, const struct http_head *head, bool end)
{
    struct side *s = user;
    const struct message *m = incoming(s);
    char want[32];
    assert_true(s->exchanges < plan_count);
    if (head->status && head->status < 200) {
        assert_int_equal(head->status, 103);
        assert_false(end);
        s->hints_seen++;
        return;
    }
    assert_false(s->head_seen);
    s->head_seen = true;
    assert_int_equal(s->hints_seen, m->hints);
    snprintf(want, sizeof want, "%u", m->key);
    assert_true(slice_eq(fields_find_name(&head->fields, SLICE("x-key"))->value, slice_str(want)));
    unsigned extra = 0;
    for (uint32_t i = 0; i < head->fields.count; i++)
        if (slice_eq(head->fields.at[i].name, SLICE("x-extra")))
            assert_int_equal(head->fields.at[i].value.len, (extra++ * 7) % 50);
    assert_int_equal(extra, m->fields);
    if (s == &server) {
        assert_true(slice_eq(head->method, slice_str(m->method)));
        assert_true(slice_eq(head->authority, SLICE("pair.example")));
    } else {
        assert_int_equal(head->status, m->status);
    }
    if (m->framing == LENGTH && m->status != 204)
        assert_int_equal(head->content_length, m->octets);
    else if (m->framing == CHUNKED || m->framing == TRAILERS)
        assert_int_equal(head->content_length, -1);
    bool none = !has_content(s, m) || (m->framing == LENGTH && m->octets == 0);
    assert_int_equal(end, none);
    s->end_seen = end;
}

static void on_body(void *user, struct slice octets, bool end)
{
    struct side *s = user;
    const struct message *m = incoming(s);
    assert_true(s->head_seen && !s->end_seen);
    assert_true(octets.len || end);
    assert_true(s->seen_octets + octets.len <= m->octets);
    for (size_t i = 0; i < octets.len; i++)
        assert_int_equal(octets.p[i], octet_at(m->key, s->seen_octets + i));
    s->seen_octets += octets.len;
    s->end_seen = end;
    if (end) {
        assert_int_equal(s->seen_octets, m->octets);
        assert_int_not_equal(m->framing, TRAILERS);
    }
}

static void on_trailers(void *user, const struct fields *trailers)
{
    struct side *s = user;
    const struct message *m = incoming(s);
    assert_true(s->head_seen && !s->end_seen);
    assert_int_equal(s->seen_octets, m->octets);
    assert_int_equal(m->framing, TRAILERS);
    assert_int_equal(trailers->count, 1);
    assert_true(slice_eq(trailers->at[0].name, SLICE("x-sum")));
    assert_int_equal(trailers->at[0].value.len, m->key % 100);
    s->end_seen = true;
}

static void on_sent(void *user, size_t octets)
{
    struct side *s = user;
    assert_true(octets > 0);
    s->drawn_octets += octets;
    assert_true(s->drawn_octets <= s->sent_octets);
}

static void on_done(void *user, bool reusable)
{
    struct side *s = user;
    const struct exchange *e = &plan[s->exchanges];
    bool close = e->request.close || e->response.close;
    assert_true(s->end_sent && s->end_seen);
    assert_int_equal(s->drawn_octets, s->sent_octets);
    assert_int_equal(h1_conn_queued(s->conn), 0);
    assert_int_equal(reusable, !close);
    s->over = !reusable;
    s->exchanges++;
    s->head_sent = s->end_sent = s->head_seen = s->end_seen = false;
    s->sent_octets = s->drawn_octets = s->seen_octets = 0;
    s->hints_sent = s->hints_seen = 0;
}

static void on_tunnel(void *user, struct slice octets)
{
    fail_msg("%s: a tunnel", ((struct side *)user)->name);
}

static const struct h1_events events = {
    .on_head = on_head,
    .on_body = on_body,
    .on_trailers = on_trailers,
    .on_sent = on_sent,
    .on_done = on_done,
    .on_tunnel = on_tunnel,
};

/* ---- sending ---- */

static void send_head(struct side *s, const struct message *m, bool informational)
{
    static const char filler[] = "................................................................";
    struct arena a;
    struct http_head head = {.content_length = m->framing == LENGTH ? (int64_t)m->octets : -1};
    arena_init(&a, &s->pool);
    fields_add(&head.fields, &a, TOKEN_NONE, SLICE("x-key"), arena_printf(&a, "%u", m->key));
    for (unsigned i = 0; i < m->fields; i++)
        fields_add(&head.fields, &a, TOKEN_NONE, SLICE("x-extra"), slice_of(filler, i * 7 % 50));
    bool end = false;
    if (s == &client) {
        head.method = slice_str(m->method);
        head.authority = SLICE("pair.example");
        head.path = SLICE("/pair?x=y");
        end = m->framing == NONE;
    } else {
        head.status = (uint16_t)(informational ? 103 : m->status);
        if (informational)
            head.content_length = -1;
        else
            end = !has_content(&client, m);
    }
    assert_int_equal(h1_conn_send_head(s->conn, &head, end, m->close && !informational), 0);
    arena_fini(&a);
    if (informational) {
        s->hints_sent++;
    } else {
        s->head_sent = true;
        s->end_sent = end;
    }
}

static void send_trailers(struct side *s, const struct message *m)
{
    char sum[100];
    struct arena a;
    struct fields trailers = {0};
    memset(sum, 's', sizeof sum);
    arena_init(&a, &s->pool);
    fields_add(&trailers, &a, TOKEN_NONE, SLICE("x-sum"), slice_of(sum, m->key % 100));
    assert_int_equal(h1_conn_send_trailers(s->conn, &trailers), 0);
    arena_fini(&a);
    s->end_sent = true;
}

static void send_content(struct side *s, const struct message *m)
{
    size_t left = m->octets - s->sent_octets;
    size_t n = chance(3) ? chance_octets(left) : left;
    bool end = n == left && m->framing != TRAILERS && chance(3);
    struct chunk *chunk = chunk_new(&s->pool, (uint32_t)n + 1);
    assert_non_null(chunk);
    for (size_t i = 0; i < n; i++)
        chunk->octets[i] = octet_at(m->key, s->sent_octets + i);
    /* By reference or by copy: afterwards our octets may change only in the second case. */
    bool shared = chance(2);
    s->sent_octets += n;
    s->end_sent = end;
    assert_int_equal(
        h1_conn_send_body(s->conn, slice_of(chunk->octets, n), shared ? chunk : NULL, end), 0);
    if (!shared)
        memset(chunk->octets, '!', n);
    chunk_unref(chunk);
    if (!end && s->sent_octets == m->octets && m->framing == TRAILERS && chance(2))
        send_trailers(s, m);
}

/* return  whether something was done */
static bool send_something(struct side *s)
{
    if (s->over || s->exchanges == plan_count || s->end_sent)
        return false;
    const struct message *m = outgoing(s);
    if (!s->head_sent) {
        if (s == &client ? !h1_conn_is_idle(s->conn) : !h1_conn_can_respond(s->conn))
            return false;
        /* A server may answer early, but then the connection may end; here it never does. */
        if (s == &server && !s->end_seen)
            return false;
        send_head(s, m, s == &server && s->hints_sent < m->hints);
        return true;
    }
    if (s->sent_octets == m->octets && m->framing == TRAILERS)
        send_trailers(s, m);
    else
        send_content(s, m);
    return true;
}

/* ---- the wire ---- */

static bool draw_something(struct side *s)
{
    char out[20000];
    if (!h1_conn_has_output(s->conn))
        return false;
    size_t cap = 1 + chance_octets(sizeof out - 1);
    size_t n = h1_conn_output(s->conn, out, cap);
    assert_true(n <= cap);
    assert_int_equal(buf_add(&s->pending, out, n), 0);
    return true;
}

static bool deliver_something(struct side *from, struct side *to)
{
    size_t n = buf_len(&from->pending);
    if (n == 0 || !h1_conn_wants_input(to->conn) || to->over)
        return false;
    if (chance(4))
        n = 1 + chance_octets(n - 1);
    char *copy = malloc(n);
    assert_non_null(copy);
    memcpy(copy, buf_at(&from->pending), n);
    int err = h1_conn_feed(to->conn, copy, n);
    if (err)
        fail_msg("%s: %s", to->name, err_text(err));
    free(copy);
    buf_consume(&from->pending, n);
    return true;
}

static bool step(void)
{
    switch (chance(7)) {
    case 0:
        return send_something(&client);
    case 1:
        return send_something(&server);
    case 2:
        return draw_something(&client);
    case 3:
        return draw_something(&server);
    case 4:
        return deliver_something(&client, &server);
    case 5:
        return deliver_something(&server, &client);
    default:
        if (h1_conn_wants_input(server.conn) || h1_conn_can_respond(server.conn))
            return false;
        assert_int_equal(h1_conn_resume(server.conn), 0);
        return true;
    }
}

/* ---- a run ---- */

static void make_message(struct message *m, bool response)
{
    static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "X-ODD"};
    static const unsigned statuses[] = {200, 200, 200, 204, 304, 404, 503};
    *m = (struct message){.framing = (enum framing)chance(4), .key = chance(1u << 30)};
    m->method = methods[chance(ARRAY_LEN(methods))];
    m->fields = chance(3) ? chance(6) : chance(120);
    m->octets = m->framing == NONE ? 0 : chance_octets(MOST_BODY);
    m->close = chance(40) == 0;
    if (response) {
        m->status = statuses[chance(ARRAY_LEN(statuses))];
        m->hints = chance(4) ? 0 : chance(5);
    }
}

static void open_side(struct side *s, const char *name, enum h1_role role)
{
    struct h1_limits limits;
    *s = (struct side){.name = name};
    pool_init(&s->pool);
    buf_init(&s->pending, &s->pool);
    h1_limits_default(&limits);
    s->conn = h1_conn_new(role, &limits, &events, s, &s->pool);
    assert_non_null(s->conn);
}

static void close_side(struct side *s)
{
    assert_int_equal(s->pool.live, 1 + (buf_len(&s->pending) != 0));
    buf_fini(&s->pending);
    h1_conn_free(s->conn);
    assert_int_equal(s->pool.live, 0);
    pool_fini(&s->pool);
}

static void run(uint64_t seed)
{
    seed_running = seed;
    chance_state = seed * 0x9e3779b97f4a7c15u + 1;
    plan_count = 1 + chance(EXCHANGES);
    for (unsigned i = 0; i < plan_count; i++) {
        make_message(&plan[i].request, false);
        make_message(&plan[i].response, true);
    }
    open_side(&client, "client", H1_CLIENT);
    open_side(&server, "server", H1_SERVER);
    for (unsigned idle = 0; idle < 2000; idle++)
        if (step())
            idle = 0;
    assert_true(client.over || client.exchanges == plan_count);
    assert_int_equal(client.exchanges, server.exchanges);
    assert_int_equal(client.over, server.over);
    exchanges_done += client.exchanges;
    close_side(&client);
    close_side(&server);
    seed_running = 0;
}

static void every_octet_arrives(void **state)
{
    const char *seed = getenv("PAIR_SEED"), *runs = getenv("PAIR_RUNS");
    if (seed) {
        run(strtoull(seed, NULL, 10));
        return;
    }
    for (uint64_t i = 1; i <= (runs ? strtoull(runs, NULL, 10) : 400); i++)
        run(i);
    assert_true(exchanges_done > 1000 || runs);
}

static int name_the_seed(void **state)
{
    if (seed_running)
        print_message("# PAIR_SEED=%llu\n", (unsigned long long)seed_running);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(every_octet_arrives, name_the_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
