/* SPDX-License-Identifier: Apache-2.0 */
/* Memory has a bound: clients over socket pairs and a shard, all in this thread.  Whatever a client
 * has edge hold, it is seen to be the one who does. */
#include "edge_shard.h"
#include "edge/shed.h"
#include "http/h2.h"

#define HELD 68000u /* a head may be as large */

/* As much as there is, with what a client is read into, and so much. */
static void bound_memory(size_t more)
{
    int fd = edge_come("GET ", 4);
    edge_turns();
    close(fd);
    edge_turns();
    assert_true(list_empty(&shard.clients));
    shard.memory_most = shard.pool->live_octets + more;
}

static uint64_t count_let_go(void)
{
    return atomic_load(&shard.stats->refusals[REFUSAL_MEMORY]);
}

/* return  one whose octets make edge hold them until there are more */
typedef int come_fn(void);

static int come_with_lines(void)
{
    static char head[HELD];
    memset(head, 'a', sizeof head);
    memcpy(head, "GET /", 5);
    memcpy(head + 8000, " HTTP/1.1\r\na:", 13);
    return edge_come(head, sizeof head);
}

static int come_with_block(void)
{
    static const char hello[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
    static char octets[HELD];
    size_t at = sizeof hello - 1;
    memcpy(octets, hello, at);
    for (size_t len; at < sizeof octets; at += 9 + len) {
        len = sizeof octets - at - 9 < 16384 ? sizeof octets - at - 9 : 16384;
        const unsigned char head[9] = {0,
                                       (unsigned char)(len >> 8),
                                       (unsigned char)len,
                                       at == sizeof hello - 1 ? 1 : 9,
                                       0,
                                       0,
                                       0,
                                       0,
                                       1};
        memcpy(octets + at, head, sizeof head);
    }
    return edge_come(octets, sizeof octets);
}

static void test_heads_that_never_end(void **state)
{
    static come_fn *const kinds[] = {come_with_lines, come_with_block};
    (void)state;
    for (size_t k = 0; k < 2; k++) {
        int clients[8];
        uint64_t before = count_let_go();
        bound_memory(6 * HELD);
        for (size_t i = 0; i < 8; i++) {
            clients[i] = kinds[k]();
            edge_turns();
        }
        assert_true(count_let_go() > before);
        assert_false(list_empty(&shard.clients));
        assert_true(shard.pool->live_octets <= shard.memory_most);
        for (size_t i = 0; i < 8; i++)
            close(clients[i]);
        edge_turns();
    }
}

/* The streams are over, and no content waits: what is not taken are heads alone. */
static void test_heads_that_are_not_taken(void **state)
{
    static char octets[65536];
    const struct h2_events nothing = {.on_head = NULL};
    const struct http_head head = {.method = SLICE("HEAD"),
                                   .scheme = SLICE("http"),
                                   .authority = SLICE("a.test"),
                                   .path = SLICE("/"),
                                   .content_length = -1};
    struct h2_settings set;
    struct pool pool;
    int err;
    (void)state;
    bound_memory(512u << 10);
    pool_init(&pool);
    h2_settings_default(&set, H2_CLIENT);
    struct h2_conn *h2 = h2_conn_new(H2_CLIENT, &set, &nothing, NULL, &pool, 1);
    int client = edge_come("", 0);
    for (int i = 0; i < 20000 && count_let_go() == 0; i++) {
        assert_non_null(h2_conn_request(h2, &head, true, NULL, &err));
        if (i % 1000 < 999)
            continue;
        size_t n = h2_conn_output(h2, octets, sizeof octets, 1);
        assert_int_equal(write(client, octets, n), (ssize_t)n);
        edge_turns();
    }
    assert_int_equal(count_let_go(), 1);
    edge_turns();
    assert_true(list_empty(&shard.clients));
    close(client);
    h2_conn_free(h2);
    pool_fini(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_heads_that_never_end, edge_setup_case,
                                        edge_teardown_case),
        cmocka_unit_test_setup_teardown(test_heads_that_are_not_taken, edge_setup_case,
                                        edge_teardown_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
