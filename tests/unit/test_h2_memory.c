/* SPDX-License-Identifier: Apache-2.0 */
/* Memory: each allocation fails in turn, an idle connection is small, a steady load asks libc for
 * nothing. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include "http/h2_internal.h"

struct ends {
    struct pool pool;
    struct h2_conn *client, *server;
    unsigned open; /* streams that were told about and not closed */
    unsigned answered;
    bool push;
};

static struct field rows[] = {
    {.name = {"user-agent", 10}, .value = {"memory test", 11}, .token = TOKEN_USER_AGENT},
    {.name = {"accept", 6}, .value = {"*/*", 3}, .token = TOKEN_ACCEPT},
    {.name = {"x-long", 6},
     .value = {"a value of some length, so that blocks are not trivial", 53}},
};
static const struct http_head request = {.method = {"POST", 4},
                                         .scheme = {"https", 5},
                                         .authority = {"a.example", 9},
                                         .path = {"/", 1},
                                         .fields = {.at = rows, .count = 3, .cap = 3}};
static const struct http_head pushed = {.method = {"GET", 3},
                                        .scheme = {"https", 5},
                                        .authority = {"a.example", 9},
                                        .path = {"/a.css", 6}};
static const struct http_head response = {.status = 200,
                                          .fields = {.at = rows, .count = 3, .cap = 3}};
static const struct fields trailers = {.at = rows, .count = 1, .cap = 3};

static void answer(struct h2_stream *s)
{
    if (h2_stream_respond(s, &response, false) == 0 &&
        h2_stream_body(s, SLICE("0123456789"), NULL, false) == 0)
        h2_stream_trailers(s, &trailers);
}

static void server_on_head(void *user, struct h2_stream *s, const struct http_head *head, bool end)
{
    struct ends *e = user;
    int err;
    e->open++;
    if (!e->push)
        return;
    struct h2_stream *p = h2_stream_promise(s, &pushed, NULL, &err);
    if (p) {
        e->open++;
        answer(p);
    }
}

static void server_on_body(void *user, struct h2_stream *s, struct slice octets, bool end)
{
    h2_stream_consumed(s, octets.len);
    if (end)
        answer(s);
}

static void client_on_promise(void *user, struct h2_stream *parent, struct h2_stream *promised,
                              const struct http_head *head)
{
    struct ends *e = user;
    e->open++;
}

static void client_on_body(void *user, struct h2_stream *s, struct slice octets, bool end)
{
    h2_stream_consumed(s, octets.len);
}

static void on_close(void *user, struct h2_stream *s, uint32_t code)
{
    struct ends *e = user;
    assert_true(e->open > 0);
    e->open--;
    e->answered += code == H2_NO_ERROR;
}

static const struct h2_events server_events = {
    .on_head = server_on_head, .on_body = server_on_body, .on_close = on_close};
static const struct h2_events client_events = {
    .on_body = client_on_body, .on_promise = client_on_promise, .on_close = on_close};

/* Until nothing moves; over: a connection that has failed says no more. */
static void exchange(struct ends *e)
{
    char octets[16384];
    for (bool moved = true; moved;) {
        size_t n = h2_conn_output(e->client, octets, sizeof octets, 1);
        h2_conn_feed(e->server, octets, n, 1);
        size_t m = h2_conn_output(e->server, octets, sizeof octets, 1);
        h2_conn_feed(e->client, octets, m, 1);
        moved = n || m;
    }
}

static bool ends_open(struct ends *e)
{
    struct h2_settings settings;
    h2_settings_default(&settings, H2_SERVER);
    e->server = h2_conn_new(H2_SERVER, &settings, &server_events, e, &e->pool, 1);
    h2_settings_default(&settings, H2_CLIENT);
    e->client = h2_conn_new(H2_CLIENT, &settings, &client_events, e, &e->pool, 1);
    return e->server && e->client;
}

static void ask(struct ends *e)
{
    int err;
    struct h2_stream *s = h2_conn_request(e->client, &request, false, NULL, &err);
    if (!s) {
        assert_true(err == ERR_NOMEM || err == ERR_CLOSED);
        return;
    }
    e->open++;
    h2_stream_body(s, SLICE("abc"), NULL, true);
}

static void ends_close(struct ends *e)
{
    h2_conn_free(e->client);
    h2_conn_free(e->server);
    assert_int_equal(e->pool.live, 0);
    pool_fini(&e->pool);
}

static void test_each_allocation_fails(void **state)
{
    uint64_t n = 1;
    bool blamed[H2_BLAME_COUNT] = {false};
    for (bool reached = true; reached; n++) {
        struct ends e = {.push = true};
        pool_init(&e.pool);
        e.pool.fail_at = n;
        if (ends_open(&e)) {
            ask(&e);
            ask(&e);
            exchange(&e);
            /* Where memory was out, somebody said so. */
            if (e.answered < 8 && !h2_conn_blame(e.client) && !h2_conn_blame(e.server))
                assert_true(e.pool.gets >= n);
            blamed[h2_conn_blame(e.client)] = blamed[h2_conn_blame(e.server)] = true;
            h2_conn_abort(e.client, H2_NO_ERROR);
            h2_conn_abort(e.server, H2_NO_ERROR);
            assert_int_equal(e.open, 0);
        }
        reached = e.pool.gets >= n;
        ends_close(&e);
    }
    assert_true(n > 50);
    for (unsigned b = 0; b < H2_BLAME_COUNT; b++)
        assert_int_equal(blamed[b], b == H2_BLAME_NONE || b == H2_BLAME_MEMORY);
}

static void test_idle_is_small(void **state)
{
    struct ends e = {.push = false};
    pool_init(&e.pool);
    assert_true(ends_open(&e));
    exchange(&e);
    for (unsigned i = 0; i < 20; i++)
        ask(&e);
    exchange(&e);
    assert_int_equal(e.open, 0);
    /* Each side: the connection, two HPACK tables and what these hold. */
    size_t own = sizeof *e.server;
    assert_true(own <= 1024); /* a block of the pool */
    assert_null(e.server->table);
    assert_null(e.server->control.block);
    assert_null(e.server->reader.payload.block);
    assert_null(e.server->block.octets.block);
    ends_close(&e);
}

static void test_steady_load_asks_nothing(void **state)
{
    struct ends e = {.push = true};
    pool_init(&e.pool);
    assert_true(ends_open(&e));
    for (unsigned i = 0; i < 200; i++) {
        ask(&e);
        exchange(&e);
    }
    uint64_t before = e.pool.libc_allocs;
    for (unsigned i = 0; i < 200; i++) {
        ask(&e);
        exchange(&e);
    }
    /* Under a sanitizer the pool does not recycle. */
    if (pool_usable(65) > 65)
        assert_int_equal(e.pool.libc_allocs, before);
    assert_int_equal(e.answered, 1600);
    ends_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_allocation_fails),
        cmocka_unit_test(test_idle_is_small),
        cmocka_unit_test(test_steady_load_asks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
