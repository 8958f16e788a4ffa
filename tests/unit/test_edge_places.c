/* SPDX-License-Identifier: Apache-2.0 */
/* Two shards, one instance with one place, all in this thread: a place that is given back goes to
 * who waits in the other shard, and on when that one has given up.  The timer by which those who
 * wait look again at times is taken away, so nothing but the place itself can serve them.  Two more
 * apps have two instances, of which one is no help: who waits then waits, and does not look again
 * and again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "edge/client.h"
#include "edge/leave.h"
#include "edge/places.h"
#include "edge/shard.h"
#include "edge/site.h"
#include "edge/waiting.h"
#include "edge/worker.h"
#include "edge_routes.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SHARDS 2
#define CONNS  32

static char directory[] = "/tmp/portico-places-XXXXXX";
static char socket_path[64];
static struct tls_server *tls;
static void *counters;
static struct shard shards[SHARDS];
static int listener;
static int conns[CONNS]; /* of the worker, as accepted */
static uint32_t conn_count;

static int non_blocking(int fd)
{
    assert_true(fd >= 0);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return fd;
}

/* An app of two instances; only the first has a port for HTTP/2 alone. */
static void add_pair(struct route_builder *b, const char *name, const struct route_site *site,
                     struct slice address)
{
    char text[16];
    snprintf(text, sizeof text, "%s.test", name);
    assert_int_equal(route_builder_site(b, slice_str(name), site), 0);
    assert_int_equal(route_builder_host(b, slice_str(text)), 0);
    for (uint32_t i = 0; i < 2; i++) {
        snprintf(text, sizeof text, "%s/%u", name, i);
        assert_int_equal(route_builder_instance(b, slice_str(text), address,
                                                i == 0 ? address : SLICE(""), ROUTE_READY,
                                                ROUTE_H1),
                         0);
    }
}

static struct routes *make_routes(uint32_t queue)
{
    static uint64_t revision;
    struct route_site site = {.flags = ROUTE_HTTP20 | ROUTE_DEFAULT,
                              .request_timeout_ms = 60000,
                              .idle_timeout_ms = 60000,
                              .concurrency = 1,
                              .queue = queue,
                              .body_limit_octets = 1u << 30};
    char address[80];
    snprintf(address, sizeof address, "unix:%s", socket_path);
    struct route_builder *b = route_builder_new(++revision);
    assert_int_equal(route_builder_site(b, SLICE("a"), &site), 0);
    assert_int_equal(route_builder_host(b, SLICE("a.test")), 0);
    assert_int_equal(route_builder_instance(b, SLICE("a/0"), slice_str(address), SLICE(""),
                                            ROUTE_READY, ROUTE_H1),
                     0);
    add_pair(b, "two", &site, slice_str(address));
    site.proxy_flag = ROUTE_PROXY_GRPC;
    add_pair(b, "rpc", &site, slice_str(address));
    return edge_routes_build(b, revision);
}

static void turn(void)
{
    for (int rounds = 0; rounds < 8; rounds++)
        for (uint32_t i = 0; i < SHARDS; i++) {
            loop_timer_clear(&shards[i].waiting_timer);
            loop_turn(shards[i].loop, 0);
        }
}

static void publish(uint32_t queue)
{
    struct routes *r = make_routes(queue);
    assert_non_null(r);
    for (uint32_t i = 0; i < SHARDS; i++)
        assert_int_equal(mailbox_post(shards[i].mailbox, SHARD_ROUTES, routes_ref(r)), 0);
    routes_unref(r);
    turn();
}

static int setup(void **state)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    (void)state;
    if (!mkdtemp(directory))
        return -1;
    snprintf(socket_path, sizeof socket_path, "%s/w", directory);
    memcpy(at.sun_path, socket_path, sizeof socket_path);
    listener = non_blocking(socket(AF_UNIX, SOCK_STREAM, 0));
    tls = tls_server_new();
    counters = calloc(1, stats_octets(SHARDS, 1));
    if (!tls || !counters || bind(listener, (struct sockaddr *)&at, sizeof at) < 0 ||
        listen(listener, 16) < 0)
        return -1;
    stats_init(counters, SHARDS, 1);
    struct stats h = stats_open(counters, stats_octets(SHARDS, 1));
    for (uint32_t i = 0; i < SHARDS; i++) {
        if (shard_init(&shards[i], i, i, tls, h, NULL) < 0)
            return -1;
        shards[i].peers = shards;
    }
    publish(2);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < SHARDS; i++)
        shards[i].peers = NULL;
    for (uint32_t i = 0; i < SHARDS; i++)
        shard_fini(&shards[i]);
    for (uint32_t i = 0; i < conn_count; i++)
        close(conns[i]);
    close(listener);
    free(counters);
    tls_server_free(tls);
    unlink(socket_path);
    return rmdir(directory);
}

/* A client of a shard asks.  return  its end */
static int ask_by(uint32_t shard, const char *request, size_t len)
{
    int fds[2];
    struct addr peer = {.len = sizeof peer.u.in};
    peer.u.in.sin_family = AF_INET;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    assert_int_equal(write(fds[0], request, len), (ssize_t)len);
    client_accept(&shards[shard], non_blocking(fds[1]), &peer, false);
    turn();
    return non_blocking(fds[0]);
}

static int ask(uint32_t shard)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
    return ask_by(shard, request, sizeof request - 1);
}

/* The status of what came to a client, -1: nothing yet. */
static int status(int client)
{
    char got[1024] = "";
    return read(client, got, sizeof got - 1) > 9 ? atoi(got + 9) : -1;
}

/* Requests that the worker has got and not answered.  answer: so many of them now */
static uint32_t work(uint32_t answer)
{
    static const char response[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    static bool is_busy[CONNS];
    uint32_t under_way = 0;
    int fd;
    while (conn_count < CONNS && (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0)
        conns[conn_count++] = fd;
    for (uint32_t i = 0; i < conn_count; i++) {
        char got[2048];
        is_busy[i] |= read(conns[i], got, sizeof got) > 0;
        if (is_busy[i] && answer && answer--) {
            assert_int_equal(send(conns[i], response, sizeof response - 1, MSG_NOSIGNAL),
                             (ssize_t)sizeof response - 1);
            is_busy[i] = false;
        }
        under_way += is_busy[i];
    }
    turn();
    return under_way;
}

static uint32_t count_waiting(void)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < SHARDS; i++)
        LIST_FOR(node, &shards[i].waiting)
        {
            n++;
        }
    return n;
}

/* Nobody is to look for room in the next turn. */
static bool is_at_rest(uint32_t shard)
{
    return list_empty(&shards[shard].waiting_room.node) &&
           list_empty(&shards[shard].waiting_handed.node);
}

static void test_goes_to_the_other_shard(void **state)
{
    (void)state;
    int a = ask(0), b = ask(1), c = ask(0);
    assert_int_equal(work(0), 1); /* one place for both shards */
    assert_int_equal(count_waiting(), 2);
    int late = ask(1); /* and one room to wait in */
    assert_int_equal(status(late), 503);
    assert_int_equal(work(1), 0);
    assert_int_equal(status(a), 200);
    assert_int_equal(work(0), 1);
    assert_int_equal(count_waiting(), 1);
    assert_int_equal(work(1), 0);
    assert_int_equal(status(b), 200); /* in turn: not c of the first shard */
    assert_int_equal(work(1), 0);
    assert_int_equal(status(c), 200);
    const int fds[] = {a, b, c, late};
    for (size_t i = 0; i < 4; i++)
        close(fds[i]);
    turn();
}

static void test_goes_on_when_nobody_wants_it(void **state)
{
    (void)state;
    int a = ask(0);
    static const char post[] = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\n12";
    int b = ask_by(1, post, sizeof post - 1);
    int c = ask(0);
    assert_int_equal(work(0), 1);
    assert_int_equal(count_waiting(), 2);
    close(b); /* in the middle of its content */
    turn();
    assert_int_equal(count_waiting(), 1); /* but its shard is still marked */
    assert_int_equal(work(1), 0);
    assert_int_equal(status(a), 200);
    assert_int_equal(work(1), 0);
    assert_int_equal(status(c), 200);
    int d = ask(1); /* nobody waits: the place is free */
    assert_int_equal(work(1), 0);
    assert_int_equal(status(d), 200);
    close(a);
    close(c);
    close(d);
    turn();
}

static void test_of_two_that_wait_one_is_served(void **state)
{
    (void)state;
    int a = ask(0), b = ask(1), c = ask(1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(work(0), 1);
        assert_int_equal(count_waiting(), 2 - i);
        assert_int_equal(work(1), 0);
    }
    assert_int_equal(status(a), 200);
    assert_int_equal(status(b), 200);
    assert_int_equal(status(c), 200);
    close(a);
    close(b);
    close(c);
    turn();
}

static void test_new_routes_bound_the_room(void **state)
{
    (void)state;
    int a = ask(0), b = ask(1), c = ask(0);
    publish(1); /* two wait already: they stay */
    assert_int_equal(count_waiting(), 2);
    int d = ask(1);
    assert_int_equal(status(d), 503);
    for (int i = 0; i < 3; i++)
        work(1);
    assert_int_equal(status(a), 200);
    assert_int_equal(status(b), 200);
    assert_int_equal(status(c), 200);
    const int fds[] = {a, b, c, d};
    for (size_t i = 0; i < 4; i++)
        close(fds[i]);
    publish(2);
}

/* The types of the frames of stream 1. */
static void frames(const uint8_t *f, size_t len, char *types)
{
    for (size_t at = 0; at + 9 <= len; at += 9 + (size_t)(f[at] << 16 | f[at + 1] << 8 | f[at + 2]))
        if (f[at + 8] == 1)
            *types++ = (char)('0' + f[at + 3]);
    *types = 0;
}

/* A GET of stream id. return  behind it */
static char *put_get(char *to, uint8_t id, const char *host)
{
    uint8_t len = (uint8_t)strlen(host);
    const uint8_t head[] = {0,    0,  (uint8_t)(5 + len), 1, 5, 0, 0, 0, id, 0x82, 0x86, 0x84,
                            0x41, len};
    memcpy(to, head, sizeof head);
    memcpy(to + sizeof head, host, len);
    return to + sizeof head + len;
}

/* The turns of those who wait for a.test in a shard, in the order in which they are served. */
static uint32_t turns(uint32_t shard, uint64_t *out)
{
    uint32_t n = 0;
    LIST_FOR(node, &shards[shard].waiting)
    {
        const struct exchange *x = LIST_ENTRY(node, struct exchange, worker_node);
        if (slice_eq(x->site->name, SLICE("a")))
            out[n++] = x->turn;
    }
    return n;
}

/* What is asked of another app in between makes nobody's turn come sooner, and what is given up is
 * as if it had not been asked. */
static void test_turns_are_of_what_waits(void **state)
{
    static const char hello[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                                "\0\0\0\4\0\0\0\0";
    static const char two[] = "GET / HTTP/1.1\r\nHost: two.test\r\nConnection: close\r\n\r\n";
    char text[512], *to = text;
    uint64_t at[8];
    (void)state;
    publish(10);
    int busy[] = {ask(0), ask_by(0, two, sizeof two - 1), ask_by(0, two, sizeof two - 1)};
    memcpy(to, hello, sizeof hello);
    to += sizeof hello;
    for (uint8_t id = 1; id <= 9; id = (uint8_t)(id + 2))
        to = put_get(to, id, id % 4 == 1 ? "a.test" : "two.test");
    int fickle = ask_by(0, text, (size_t)(to - text));
    assert_int_equal(count_waiting(), 5);
    assert_int_equal(turns(0, at), 3);
    for (uint64_t i = 0; i < 3; i++)
        assert_int_equal(at[i], i + 1);
    to = text;
    for (uint8_t id = 1; id <= 9; id = (uint8_t)(id + 2)) {
        const uint8_t reset[] = {0, 0, 4, 3, 0, 0, 0, 0, id, 0, 0, 0, 8};
        memcpy(to, reset, sizeof reset);
        to += sizeof reset;
    }
    to = put_get(to, 11, "a.test");
    assert_int_equal(write(fickle, text, (size_t)(to - text)), to - text);
    turn();
    assert_int_equal(turns(0, at), 1);
    assert_int_equal(at[0], 1);
    for (int i = 0; i < 4; i++)
        work(1);
    assert_int_equal(count_waiting(), 0);
    for (size_t i = 0; i < 3; i++)
        close(busy[i]);
    close(fickle);
    publish(2);
}

/* All who may wait are one client's: who comes takes the last one's place. */
static void test_one_does_not_fill_the_room(void **state)
{
    static const char hello[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                                "\0\0\0\4\0\0\0\0";
    char text[512], *to = text;
    uint64_t at[8];
    (void)state;
    publish(3);
    int busy = ask(0);
    memcpy(to, hello, sizeof hello);
    to += sizeof hello;
    for (uint8_t id = 1; id <= 9; id = (uint8_t)(id + 2))
        to = put_get(to, id, "a.test");
    int greedy = ask_by(0, text, (size_t)(to - text));
    assert_int_equal(turns(0, at), 3); /* and two were refused */
    int modest = ask(0);
    assert_int_equal(status(modest), -1);
    assert_int_equal(turns(0, at), 3);
    assert_int_equal(at[1], at[0]);
    int late = ask(0); /* as good as the others */
    assert_int_equal(status(late), -1);
    int later = ask(0);
    assert_int_equal(status(later), 503);
    for (int i = 0; i < 4; i++)
        work(1);
    assert_int_equal(count_waiting(), 0);
    assert_int_equal(status(modest), 200);
    assert_int_equal(status(late), 200);
    const int fds[] = {busy, greedy, modest, late, later};
    for (size_t i = 0; i < 5; i++)
        close(fds[i]);
    publish(2);
}

/* An instance has a place, but no connection to it can be had: that another request has ended is no
 * reason to give up. */
static void test_waits_for_a_connection(void **state)
{
    struct backend *b = NULL;
    size_t it = 0;
    (void)state;
    while (!b || !slice_starts(b->key, SLICE("a/0")))
        assert_non_null(b = map_next(&shards[0].backends, &it));
    backend_sweep(b, SWEEP_UNUSED); /* what others have left idle */
    b->h1_count += WORKER_H1_MAX;
    int a = ask(0);
    assert_int_equal(count_waiting(), 1);
    loop_flush(shards[0].loop, &shards[0].waiting_room); /* as for who waits for a descriptor */
    turn();
    assert_int_equal(count_waiting(), 1);
    b->h1_count -= WORKER_H1_MAX;
    waiting_retry(&shards[0]); /* as the timer does */
    turn();
    assert_int_equal(work(1), 0);
    assert_int_equal(status(a), 200);
    close(a);
    turn();
}

/* Time is up, and the timer of the room is the first to see it, that of the request the next. */
static void test_the_answer_is_whole_when_both_timers_are_due(void **state)
{
    static const char request[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                                  "\0\0\0\4\0\0\0\0\0"  /* SETTINGS */
                                  "\0\0\xb\1\5\0\0\0\1" /* HEADERS, the end of all */
                                  "\x82\x86\x84\x41\x06"
                                  "a.test"; /* GET http / a.test */
    uint8_t got[2048];
    char types[64];
    (void)state;
    int a = ask(0), b = ask_by(0, request, sizeof request - 1);
    struct shard *s = &shards[0];
    assert_int_equal(count_waiting(), 1);
    assert_true(read(b, got, sizeof got) > 0); /* SETTINGS */
    struct exchange *x = LIST_ENTRY(s->waiting.next, struct exchange, worker_node);
    x->wait_until_us = shard_now_us(s);
    loop_timer_set(s->loop, &x->timer, x->wait_until_us);
    usleep(
        20000); /* longer than a timer may be late: it is due in the next turn, before the flush */
    waiting_retry(s);
    turn();
    ssize_t n = read(b, got, sizeof got);
    assert_true(n > 0);
    frames(got, (size_t)n, types);
    assert_string_equal(types, "10"); /* HEADERS, DATA, and no RST_STREAM */
    assert_int_equal(work(1), 0);
    assert_int_equal(status(a), 200);
    close(a);
    close(b);
    turn();
}

/* One instance is full, and for a connection to the other one no descriptor is left. */
static void test_waits_for_a_descriptor(void **state)
{
    static const char head[] = "GET / HTTP/1.1\r\nHost: two.test\r\n";
    struct rlimit before, none;
    (void)state;
    int a = ask_by(0, head, sizeof head - 1), b = ask_by(0, head, sizeof head - 1);
    assert_int_equal(write(a, "\r\n", 2), 2);
    turn();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(write(b, "\r\n", 2), 2);
    turn();
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(count_waiting(), 1);
    assert_true(is_at_rest(0));
    waiting_retry(&shards[0]); /* as the timer does */
    turn();
    assert_int_equal(work(2), 0);
    assert_int_equal(status(a), 200);
    assert_int_equal(status(b), 200);
    close(a);
    close(b);
    turn();
}

/* One instance is full, and the other one does not take gRPC. */
static void test_waits_for_who_takes_grpc(void **state)
{
    static const char call[] = "POST / HTTP/1.1\r\nHost: rpc.test\r\n"
                               "Content-Type: application/grpc\r\nContent-Length: 0\r\n\r\n";
    (void)state;
    int a = ask_by(0, call, sizeof call - 1);
    assert_int_equal(count_waiting(), 0);
    int b = ask_by(0, call, sizeof call - 1);
    assert_int_equal(count_waiting(), 1);
    assert_true(is_at_rest(0));
    close(b);
    close(a);
    turn();
    assert_int_equal(count_waiting(), 0);
}

/* More content than may wait: nothing is read of it any more, and its end is seen all the same. */
static void test_a_client_that_goes_in_its_content_waits_no_more(void **state)
{
    static const char post[] = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9999999\r\n\r\n";
    static char filler[1u << 16];
    (void)state;
    int a = ask(0), b = ask_by(1, post, sizeof post - 1);
    size_t octets = 0;
    for (ssize_t n; (n = write(b, filler, sizeof filler)) > 0; turn())
        octets += (size_t)n;
    assert_true(octets > QUEUE_HIGH_OCTETS && octets < 9999999);
    assert_int_equal(count_waiting(), 1);
    close(b);
    turn();
    assert_int_equal(count_waiting(), 0);
    assert_int_equal(work(1), 0);
    assert_int_equal(status(a), 200);
    close(a);
    turn();
}

static uint32_t told;

static void on_left(struct leave *l)
{
    (void)l;
    told++;
}

static void on_drained(struct shard *s)
{
    (void)s;
    told++;
}

/* Edge ends with a request under way at an instance that is to be left, or while it drains: who
 * would be told is gone already. */
static void test_a_shard_that_ends_tells_nobody(void **state)
{
    const struct ipc_edge_leave m = {.ticket = 1, .app = "a"};
    struct shard *s = &shards[1];
    (void)state;
    struct leave *l = leave_new(&m, 1);
    assert_non_null(l);
    int a = ask(1);
    s->index = 0; /* the only one that is asked */
    s->peers = NULL;
    s->on_left = on_left;
    s->on_drained = on_drained;
    assert_int_equal(mailbox_post(s->mailbox, SHARD_LEAVE, l), 0);
    struct shard_drain *d = malloc(sizeof *d);
    *d = (struct shard_drain){.limit_us = 60000000};
    assert_int_equal(mailbox_post(s->mailbox, SHARD_DRAIN, d), 0);
    turn();
    assert_int_equal(told, 0);
    shard_fini(s);
    assert_int_equal(told, 0);
    free(l);
    close(a);
}

static void on_routes(struct routes *r)
{
    (void)r;
    told++;
}

/* Nor when what it is asked has come too late: the last client had gone, and all were told to stop.
 */
static void test_mail_that_comes_too_late_is_not_answered(void **state)
{
    const struct ipc_edge_leave m = {.ticket = 1, .app = "a"};
    struct shard *s = &shards[0];
    (void)state;
    struct leave *l = leave_new(&m, 1);
    struct routes *r = make_routes(2);
    assert_true(l && r);
    s->peers = NULL;
    s->on_left = on_left;
    s->on_routes = on_routes;
    told = 0;
    assert_int_equal(mailbox_post(s->mailbox, SHARD_ROUTES, r), 0);
    assert_int_equal(mailbox_post(s->mailbox, SHARD_LEAVE, l), 0);
    shard_fini(s);
    assert_int_equal(told, 0);
    free(l);
}

/* An edge goes on counting where the one before it has ended. */
static void test_counts_outlive_a_shard(void **state)
{
    static struct shard next;
    struct stats h = stats_open(counters, stats_octets(SHARDS, 1));
    struct stats_loop *l = stats_loop(h, 0);
    (void)state;
#define X(symbol, name, type, help) stats_add(&l->symbol, 1000);
    STATS_LOOP_TABLE(X)
#undef X
    assert_int_equal(shard_init(&next, 0, 0, tls, h, NULL), 0);
#define X(symbol, name, type, help) \
    assert_int_equal(stats_get(&l->symbol) >= 1000, strcmp(type, "counter") == 0);
    STATS_LOOP_TABLE(X)
#undef X
    shard_fini(&next);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waits_for_a_descriptor),  /* no connection is left of others */
        cmocka_unit_test(test_turns_are_of_what_waits), /* nobody has had one at a.test */
        cmocka_unit_test(test_one_does_not_fill_the_room),
        cmocka_unit_test(test_goes_to_the_other_shard),
        cmocka_unit_test(test_waits_for_a_connection),
        cmocka_unit_test(test_goes_on_when_nobody_wants_it),
        cmocka_unit_test(test_of_two_that_wait_one_is_served),
        cmocka_unit_test(test_new_routes_bound_the_room),
        cmocka_unit_test(test_the_answer_is_whole_when_both_timers_are_due),
        cmocka_unit_test(test_a_client_that_goes_in_its_content_waits_no_more),
        cmocka_unit_test(test_waits_for_who_takes_grpc),
        cmocka_unit_test(test_a_shard_that_ends_tells_nobody),
        cmocka_unit_test(test_mail_that_comes_too_late_is_not_answered),
        cmocka_unit_test(test_counts_outlive_a_shard),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
