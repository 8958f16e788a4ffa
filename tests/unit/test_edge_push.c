/* SPDX-License-Identifier: Apache-2.0 */
/* Promises between a worker and a client, all in this thread.
 *
 * Each allocation on the way of one fails in turn: pushed, parked and collected, waited for, asked
 * for by edge itself.  Whatever fails, what a client takes for a whole response
 * is whole and its own, nobody waits for ever, and the next page is served with all that belongs to
 * it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "edge/client.h"
#include "edge/leave.h"
#include "edge/promised.h"
#include "edge/shard.h"
#include "edge/worker.h"
#include "edge_routes.h"
#include "http/h2.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PAGE_OCTETS 100000u /* more than a window */
#define PART_OCTETS 8000u
#define TURNS_MAX   3000
#define CONNS_MAX   4
#define ASKS_MAX    8

static char directory[] = "/tmp/portico-push-XXXXXX";
static char socket_path[64];
static void *snapshot;
static size_t snapshot_len;
static struct tls_server *tls;

/* Routes of one app, to whom a.test belongs. */
static struct route_builder *routes_to(const char *app, uint64_t revision)
{
    static const struct route_site site = {.flags = ROUTE_HTTP20 | ROUTE_DEFAULT,
                                           .proxy_flag = ROUTE_PROXY_ALL,
                                           .push = {.policy = PUSH_POLICY_AUTO,
                                                    .budget_octets = 1u << 20,
                                                    .copied = PUSH_COPY_DEFAULT},
                                           .concurrency = 10,
                                           .request_timeout_ms = 60000,
                                           .idle_timeout_ms = 60000,
                                           .tunnel_timeout_ms = 60000,
                                           .queue = 10,
                                           .body_limit_octets = 1u << 30};
    char address[80], id[16];
    struct route_builder *b = route_builder_new(revision);
    snprintf(address, sizeof address, "unix:%s", socket_path);
    snprintf(id, sizeof id, "%s/0", app);
    assert_int_equal(route_builder_site(b, slice_str(app), &site), 0);
    assert_int_equal(route_builder_host(b, SLICE("a.test")), 0);
    assert_int_equal(route_builder_instance(b, slice_str(id), slice_str(address), SLICE(""),
                                            ROUTE_READY, ROUTE_H2C),
                     0);
    return b;
}

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(directory))
        return -1;
    snprintf(socket_path, sizeof socket_path, "%s/w", directory);
    struct route_builder *b = routes_to("a", 1);
    snapshot = route_builder_finish(b, &snapshot_len);
    route_builder_free(b);
    tls = tls_server_new();
    return snapshot && tls ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    free(snapshot);
    tls_server_free(tls);
    unlink(socket_path);
    return rmdir(directory);
}

/* What the worker and the client do. */
struct play {
    bool takes_push;     /* the client; else it is a browser that asks for the part */
    bool links;          /* a Link field promises, not the worker */
    bool waits;          /* the promised response comes when the client has asked for the part */
    bool has_trailers;   /* it ends with some */
    bool part_is_asked;  /* before the page */
    unsigned more;       /* times that the worker promises the part beside that */
    bool dawdles;        /* the worker promises and answers when the world says so */
    unsigned least;      /* allocations */
    unsigned parts_made; /* by the worker, when nothing fails */
};

struct asked {
    struct h2_stream *stream; /* NULL: it has ended */
    char content;
    bool pushed, is_whole;
    unsigned status;
    size_t octets;
};

struct world {
    const struct play *play;
    struct shard shard;
    void *counters;
    struct pool pool; /* of both ends: here nothing fails */
    int listener;
    struct conn {
        struct world *world;
        int fd; /* -1: free */
        struct h2_conn *h2;
        struct h2_stream *promised; /* not answered yet */
        struct h2_stream *page;     /* of a worker that dawdles */
    } conns[CONNS_MAX];
    unsigned parts_made;
    bool is_time; /* for a worker that dawdles */
    int client;   /* -1: over */
    struct h2_conn *h2;
    struct asked asks[ASKS_MAX];
    unsigned ask_count;
};

static int non_blocking(int fd)
{
    assert_true(fd >= 0);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return fd;
}

/* ---- the worker ---- */

static void answer(struct conn *c, struct h2_stream *s, char content)
{
    static char octets[PAGE_OCTETS];
    const struct play *play = c->world->play;
    bool is_page = content == 'p';
    size_t len = is_page ? PAGE_OCTETS : PART_OCTETS;
    struct field field =
        is_page ? (struct field){SLICE("link"), SLICE("</a>; rel=preload; as=style"), TOKEN_LINK, 0}
                : (struct field){SLICE("vary"), SLICE("accept"), TOKEN_VARY, 0};
    const struct http_head head = {.status = 200,
                                   .content_length = (int64_t)len,
                                   .fields = {&field, !is_page || play->links, 1}};
    struct field sum = {SLICE("x-sum"), SLICE("1"), TOKEN_NONE, 0};
    c->world->parts_made += !is_page;
    if (h2_stream_respond(s, &head, false) < 0)
        return;
    memset(octets, content, len);
    h2_stream_body(s, slice_of(octets, len), NULL, is_page || !play->has_trailers);
    if (!is_page && play->has_trailers)
        h2_stream_trailers(s, &(struct fields){&sum, 1, 1});
}

static void answer_page(struct conn *c, struct h2_stream *s)
{
    const struct play *play = c->world->play;
    const struct http_head part = {.method = SLICE("GET"),
                                   .scheme = SLICE("http"),
                                   .authority = SLICE("a.test"),
                                   .path = SLICE("/a"),
                                   .content_length = -1};
    int err;
    if (!play->links)
        c->promised = h2_stream_promise(s, &part, NULL, &err);
    if (c->promised && !play->waits) {
        answer(c, c->promised, 'a');
        c->promised = NULL;
    }
    for (unsigned i = 0; i < play->more; i++)
        answer(c, h2_stream_promise(s, &part, NULL, &err), 'a');
    answer(c, s, 'p');
}

static void worker_on_head(void *user, struct h2_stream *s, const struct http_head *head, bool end)
{
    struct conn *c = user;
    assert_true(end);
    if (slice_eq(head->path, SLICE("/a")))
        answer(c, s, 'a');
    else if (c->world->play->dawdles)
        c->page = s;
    else
        answer_page(c, s);
}

static void worker_on_close(void *user, struct h2_stream *s, uint32_t code)
{
    struct conn *c = user;
    (void)code;
    if (c->promised == s)
        c->promised = NULL;
    if (c->page == s)
        c->page = NULL;
}

static const struct h2_events worker_events = {.on_head = worker_on_head,
                                               .on_close = worker_on_close};

static void hang_up(struct conn *c)
{
    close(c->fd);
    c->fd = -1;
    c->promised = NULL;
    h2_conn_free(c->h2);
}

static bool part_was_asked(const struct world *w)
{
    for (unsigned i = 0; i < w->ask_count; i++)
        if (w->asks[i].content == 'a')
            return true;
    return w->client < 0;
}

static void play_worker(struct world *w)
{
    static char octets[65536];
    for (unsigned i = 0; i < CONNS_MAX; i++) {
        struct conn *c = &w->conns[i];
        ssize_t n;
        if (c->fd < 0) {
            struct h2_settings set;
            c->fd = accept4(w->listener, NULL, NULL, SOCK_NONBLOCK);
            if (c->fd < 0)
                continue;
            h2_settings_default(&set, H2_SERVER);
            c->world = w;
            c->h2 = h2_conn_new(H2_SERVER, &set, &worker_events, c, &w->pool, 1);
            assert_non_null(c->h2);
        }
        while ((n = read(c->fd, octets, sizeof octets)) > 0)
            h2_conn_feed(c->h2, octets, (size_t)n, 1);
        assert_int_equal(h2_conn_blame(c->h2), H2_BLAME_NONE);
        if (c->promised && part_was_asked(w)) {
            answer(c, c->promised, 'a');
            c->promised = NULL;
        }
        if (c->page && w->is_time) {
            struct h2_stream *page = c->page;
            c->page = NULL;
            answer_page(c, page);
        }
        bool is_gone = n == 0;
        while (!is_gone && (n = (ssize_t)h2_conn_output(c->h2, octets, sizeof octets, 1)) > 0)
            is_gone = send(c->fd, octets, (size_t)n, MSG_NOSIGNAL) < 0;
        if (is_gone)
            hang_up(c);
    }
}

/* ---- the client ---- */

static struct asked *asked_new(struct world *w, char content, bool pushed)
{
    assert_true(w->ask_count < ASKS_MAX);
    struct asked *a = &w->asks[w->ask_count++];
    *a = (struct asked){.content = content, .pushed = pushed};
    return a;
}

static void on_promise(void *user, struct h2_stream *parent, struct h2_stream *promised,
                       const struct http_head *head)
{
    (void)parent;
    assert_true(slice_eq(head->path, SLICE("/a")));
    assert_true(slice_eq(head->method, SLICE("GET")));
    assert_true(slice_eq(head->authority, SLICE("a.test")));
    struct asked *a = asked_new(user, 'a', true);
    a->stream = promised;
    h2_stream_set_user(promised, a);
}

static void on_head(void *user, struct h2_stream *s, const struct http_head *head, bool end)
{
    struct asked *a = h2_stream_user(s);
    (void)user;
    (void)end;
    if (head->status >= 200)
        a->status = head->status;
}

static void on_body(void *user, struct h2_stream *s, struct slice octets, bool end)
{
    struct asked *a = h2_stream_user(s);
    (void)user;
    (void)end;
    for (size_t i = 0; i < octets.len && a->status == 200; i++)
        assert_int_equal(octets.p[i], a->content);
    a->octets += octets.len;
    h2_stream_consumed(s, octets.len);
}

static void on_close(void *user, struct h2_stream *s, uint32_t code)
{
    struct asked *a = h2_stream_user(s);
    (void)user;
    a->stream = NULL;
    a->is_whole = code == H2_NO_ERROR;
    if (a->is_whole && a->status == 200)
        assert_int_equal(a->octets, a->content == 'p' ? PAGE_OCTETS : PART_OCTETS);
}

static const struct h2_events client_events = {
    .on_promise = on_promise, .on_head = on_head, .on_body = on_body, .on_close = on_close};

static void leave(struct world *w)
{
    if (w->client < 0)
        return;
    h2_conn_abort(w->h2, H2_NO_ERROR);
    h2_conn_free(w->h2);
    close(w->client);
    w->client = -1;
}

static void play_client(struct world *w)
{
    static char octets[65536];
    ssize_t n;
    if (w->client < 0)
        return;
    while ((n = read(w->client, octets, sizeof octets)) > 0)
        h2_conn_feed(w->h2, octets, (size_t)n, 1);
    assert_int_equal(h2_conn_blame(w->h2), H2_BLAME_NONE);
    bool is_gone = n == 0;
    while (!is_gone && (n = (ssize_t)h2_conn_output(w->h2, octets, sizeof octets, 1)) > 0)
        is_gone = send(w->client, octets, (size_t)n, MSG_NOSIGNAL) < 0;
    if (is_gone)
        leave(w);
}

static void come(struct world *w)
{
    int fds[2];
    struct addr peer = {.len = sizeof peer.u.in};
    struct h2_settings set;
    peer.u.in.sin_family = AF_INET;
    leave(w);
    w->ask_count = 0;
    w->parts_made = 0;
    h2_settings_default(&set, H2_CLIENT);
    set.enable_push = w->play->takes_push;
    w->h2 = h2_conn_new(H2_CLIENT, &set, &client_events, w, &w->pool, 1);
    assert_non_null(w->h2);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    w->client = non_blocking(fds[0]);
    client_accept(&w->shard, non_blocking(fds[1]), &peer, false);
}

static void ask_by(struct world *w, const char *method, char content)
{
    int err;
    struct field fields[] = {{SLICE("sec-fetch-mode"), SLICE("navigate"), 0, 0},
                             {SLICE("sec-fetch-dest"), SLICE("document"), 0, 0},
                             {SLICE("cookie"), SLICE("a=b"), TOKEN_COOKIE, 0},
                             {SLICE("user-agent"), SLICE("x"), TOKEN_USER_AGENT, 0}};
    bool is_navigation = content == 'p' && !w->play->takes_push;
    for (size_t i = 0; i < 2; i++)
        fields[i].token = (uint16_t)token_find(fields[i].name);
    const struct http_head head = {
        .method = slice_str(method),
        .scheme = SLICE("http"),
        .authority = SLICE("a.test"),
        .path = content == 'p' ? SLICE("/page") : SLICE("/a"),
        .content_length = -1,
        .fields = {is_navigation ? fields : fields + 2, is_navigation ? 4 : 2, 4}};
    struct asked *a = asked_new(w, content, false);
    a->stream = h2_conn_request(w->h2, &head, true, a, &err);
}

static void ask(struct world *w, char content)
{
    ask_by(w, "GET", content);
}

/* return  whether all that was asked, or promised, has an end */
static bool run(struct world *w)
{
    for (int i = 0; i < TURNS_MAX; i++) {
        loop_turn(w->shard.loop, i > 100 ? 1 : 0);
        play_worker(w);
        play_client(w);
        bool is_over = true;
        for (unsigned k = 0; k < w->ask_count && w->client >= 0; k++)
            is_over &= !w->asks[k].stream;
        if (is_over)
            return true;
    }
    return false;
}

/* A page and what belongs to it.  return  false: somebody waits in vain */
static bool visit(struct world *w)
{
    come(w);
    if (w->play->part_is_asked) {
        ask(w, 'a');
        if (!run(w))
            return false;
        if (w->client < 0)
            return true;
    }
    ask(w, 'p');
    if (!run(w))
        return false;
    if (w->client < 0 || w->play->takes_push)
        return true;
    ask(w, 'a');
    return run(w);
}

static void assert_all(const struct world *w)
{
    unsigned parts = 0, pages = 0;
    assert_true(w->client >= 0);
    for (unsigned i = 0; i < w->ask_count; i++) {
        const struct asked *a = &w->asks[i];
        if (!a->is_whole || a->status != 200)
            fail_msg("%s%c: %u, %zu octets", a->pushed ? "pushed " : "", a->content, a->status,
                     a->octets);
        parts += a->content == 'a';
        pages += a->content == 'p';
    }
    assert_int_equal(pages, 1);
    assert_true(parts >= 1);
}

/* ---- the world ---- */

static void world_init(struct world *w, const struct play *play)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    memset(w, 0, sizeof *w);
    w->play = play;
    w->client = -1;
    for (unsigned i = 0; i < CONNS_MAX; i++)
        w->conns[i].fd = -1;
    pool_init(&w->pool);
    w->counters = calloc(1, stats_octets(1, 1));
    stats_init(w->counters, 1, 1);
    assert_int_equal(
        shard_init(&w->shard, 0, 0, tls, stats_open(w->counters, stats_octets(1, 1)), NULL), 0);
    struct routes *r = edge_routes_of(snapshot, snapshot_len, 1);
    assert_non_null(r);
    assert_int_equal(mailbox_post(w->shard.mailbox, SHARD_ROUTES, r), 0);
    memcpy(at.sun_path, socket_path, sizeof socket_path);
    unlink(socket_path);
    w->listener = non_blocking(socket(AF_UNIX, SOCK_STREAM, 0));
    assert_int_equal(bind(w->listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(w->listener, 8), 0);
    for (int i = 0; i < 3; i++)
        loop_turn(w->shard.loop, 0);
    assert_non_null(w->shard.routes);
}

static void world_fini(struct world *w)
{
    leave(w);
    for (int i = 0; i < 5; i++)
        loop_turn(w->shard.loop, 0);
    assert_true(list_empty(&w->shard.clients));
    assert_int_equal(w->shard.open_exchanges, 0);
    assert_int_equal(w->shard.promised_octets, 0);
    size_t it = 0;
    const struct backend *b;
    while ((b = map_next(&w->shard.backends, &it)) != NULL) {
        assert_int_equal(b->in_flight, 0);
        assert_int_equal(places_taken(b->places), 0);
    }
    for (unsigned i = 0; i < CONNS_MAX; i++)
        if (w->conns[i].fd >= 0)
            hang_up(&w->conns[i]);
    close(w->listener);
    shard_fini(&w->shard);
    assert_int_equal(w->pool.live, 0);
    pool_fini(&w->pool);
    free(w->counters);
}

static void fail_each(const struct play *play)
{
    uint64_t n = 1;
    for (;; n++) {
        static struct world w;
        world_init(&w, play);
        struct pool *pool = loop_pool(w.shard.loop);
        pool->fail_at = pool->gets + n;
        if (!visit(&w))
            fail_msg("allocation %llu failed, and the client waits", (unsigned long long)n);
        bool failed = pool->gets >= pool->fail_at;
        if (!failed) {
            assert_all(&w);
            assert_int_equal(w.parts_made, play->parts_made);
        }
        pool->fail_at = 0;
        assert_true(visit(&w));
        assert_all(&w);
        world_fini(&w);
        if (!failed)
            break;
    }
    assert_true(n > play->least);
}

static void test_pushed(void **state)
{
    (void)state;
    fail_each(&(struct play){.takes_push = true, .least = 30, .parts_made = 1});
    fail_each(
        &(struct play){.takes_push = true, .has_trailers = true, .least = 30, .parts_made = 1});
}

static void test_parked(void **state)
{
    (void)state;
    fail_each(&(struct play){.least = 30, .parts_made = 1});
    fail_each(&(struct play){.has_trailers = true, .least = 30, .parts_made = 1});
}

static void test_awaited(void **state)
{
    (void)state;
    fail_each(&(struct play){.waits = true, .least = 30, .parts_made = 1});
}

static void test_linked(void **state)
{
    (void)state;
    fail_each(&(struct play){.links = true, .least = 30, .parts_made = 1});
    fail_each(&(struct play){
        .links = true, .takes_push = true, .part_is_asked = true, .least = 30, .parts_made = 1});
}

static void on_left(struct leave *l)
{
    free(l);
}

/* An instance is left though something is parked there: its client has it from another one. */
static void test_left(void **state)
{
    const struct play play = {.waits = true};
    const struct ipc_edge_leave m = {.ticket = 1, .app = "a"};
    static struct world w;
    (void)state;
    world_init(&w, &play);
    w.shard.on_left = on_left;
    come(&w);
    ask(&w, 'p');
    assert_true(run(&w));
    assert_int_equal(w.shard.open_exchanges, 0);
    assert_true(w.shard.promised_octets > 0);
    struct leave *l = leave_new(&m, 1);
    assert_non_null(l);
    assert_int_equal(mailbox_post(w.shard.mailbox, SHARD_LEAVE, l), 0);
    for (int i = 0; i < 3; i++)
        loop_turn(w.shard.loop, 0);
    assert_true(list_empty(&w.shard.leaves));
    assert_int_equal(w.shard.promised_octets, 0);
    ask(&w, 'a');
    assert_true(run(&w));
    assert_all(&w);
    world_fini(&w);
}

/* For a worker that dawdles. */
static void wait_a_little(struct world *w)
{
    for (int i = 0; i < 10; i++) {
        loop_turn(w->shard.loop, 0);
        play_worker(w);
        play_client(w);
    }
}

/* From now on, also for who has asked already. */
static void reload(struct world *w, struct route_builder *b, uint64_t revision)
{
    struct routes *r = edge_routes_build(b, revision);
    assert_int_equal(mailbox_post(w->shard.mailbox, SHARD_ROUTES, r), 0);
    wait_a_little(w);
    assert_ptr_equal(w->shard.routes, r);
}

/* While an app makes a page, its name is given to another one: for that it cannot promise any more
 * (RFC 9113 8.4).  Of its own it does. */
static void test_name_given_away(void **state)
{
    const struct play play = {.takes_push = true, .dawdles = true};
    (void)state;
    for (int is_given_away = 0; is_given_away < 2; is_given_away++) {
        static struct world w;
        world_init(&w, &play);
        come(&w);
        ask(&w, 'p');
        wait_a_little(&w);
        reload(&w, routes_to(is_given_away ? "b" : "a", 2), 2);
        w.is_time = true;
        assert_true(run(&w));
        assert_int_equal(w.ask_count, is_given_away ? 1 : 2);
        for (unsigned i = 0; i < w.ask_count; i++)
            assert_true(w.asks[i].is_whole && w.asks[i].status == 200);
        world_fini(&w);
    }
}

/* What is parked was one visitor's.  It is not given away when it turns out that the client is a
 * proxy, and speaks for others. */
static void test_proxy_is_told(void **state)
{
    const struct play play = {.least = 0};
    static struct world w;
    struct addr_prefix all;
    (void)state;
    assert_int_equal(addr_prefix_parse(SLICE("0.0.0.0/0"), &all), 0);
    world_init(&w, &play);
    come(&w);
    ask(&w, 'p');
    assert_true(run(&w));
    assert_true(w.shard.promised_octets > 0);
    struct route_builder *b = routes_to("a", 2);
    assert_int_equal(route_builder_trusted_proxy(b, &all), 0);
    reload(&w, b, 2);
    ask(&w, 'a');
    assert_true(run(&w));
    assert_int_equal(w.parts_made, 2);
    ask(&w, 'p');
    assert_true(run(&w));
    ask(&w, 'a');
    assert_true(run(&w));
    assert_int_equal(w.parts_made, 4); /* one was promised, and refused */
    for (unsigned i = 0; i < w.ask_count; i++)
        assert_true(w.asks[i].is_whole && w.asks[i].status == 200);
    world_fini(&w);
}

/* Who changes what is parked does not get it as it was.  RFC 9111 4.4 */
static void test_changed(void **state)
{
    static const char *const methods[] = {"OPTIONS", "POST", "DELETE", "X"};
    const struct play play = {.least = 0};
    (void)state;
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        static struct world w;
        world_init(&w, &play);
        come(&w);
        ask(&w, 'p');
        assert_true(run(&w));
        ask_by(&w, methods[i], 'a');
        assert_true(run(&w));
        ask(&w, 'a');
        assert_true(run(&w));
        assert_int_equal(w.parts_made, i == 0 ? 2 : 3);
        world_fini(&w);
    }
}

/* When memory is out, what nobody has asked for yet goes before any client. */
static void test_memory_is_out(void **state)
{
    const struct play play = {.more = 12};
    static struct world w;
    (void)state;
    world_init(&w, &play);
    come(&w);
    ask(&w, 'p');
    assert_true(run(&w));
    assert_true(w.shard.promised_octets > 10 * PART_OCTETS);
    w.shard.memory_most = w.shard.pool->live_octets - 10 * PART_OCTETS;
    ask(&w, 'a');
    assert_true(run(&w));
    wait_a_little(&w);
    assert_int_equal(w.shard.promised_octets, 0);
    assert_false(w.shard.is_packed);
    assert_all(&w);
    world_fini(&w);
}

/* However much one app promises, there is as much left for another one. */
static void test_one_app_of_many(void **state)
{
    const uint64_t others = PROMISED_OCTETS - 8 * PART_OCTETS;
    const struct play play = {.more = 12};
    static struct world w;
    (void)state;
    world_init(&w, &play);
    w.shard.promised_octets = others;
    come(&w);
    ask(&w, 'p');
    assert_true(run(&w));
    ask(&w, 'a');
    assert_true(run(&w));
    assert_true(w.shard.promised_octets > others + PART_OCTETS);
    assert_true(w.shard.promised_octets <= others + 4 * PART_OCTETS);
    assert_all(&w);
    leave(&w);
    wait_a_little(&w);
    assert_int_equal(w.shard.promised_octets, others);
    w.shard.promised_octets = 0;
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pushed),        cmocka_unit_test(test_parked),
        cmocka_unit_test(test_awaited),       cmocka_unit_test(test_linked),
        cmocka_unit_test(test_left),          cmocka_unit_test(test_name_given_away),
        cmocka_unit_test(test_proxy_is_told), cmocka_unit_test(test_changed),
        cmocka_unit_test(test_memory_is_out), cmocka_unit_test(test_one_app_of_many)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
