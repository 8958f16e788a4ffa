/* SPDX-License-Identifier: Apache-2.0 */
/* A shard's worker that speaks HTTP/2: our own server, which does by its events what the test has
 * it do. */
#ifndef TESTS_H2_WORKER_H
#define TESTS_H2_WORKER_H

#include "edge_shard.h"
#include "http/h2.h"

#include <poll.h>

#define H2_WORKER_CONNS 64

static struct {
    struct pool pool;
    const struct h2_events *events; /* their user is NULL */
    struct h2_settings settings;    /* of connections that it is yet to accept */
    struct {
        int fd;
        struct h2_conn *h2;
    } conns[H2_WORKER_CONNS];
    uint32_t conn_count; /* that are open */
    uint32_t accepted;
    bool is_deaf; /* it reads nothing */
} worker;

/* After edge_setup. */
static inline void worker_setup(const struct h2_events *events)
{
    memset(&worker, 0, sizeof worker);
    pool_init(&worker.pool);
    worker.events = events;
    h2_settings_default(&worker.settings, H2_SERVER);
}

/* It hangs up on all. */
static inline void worker_hang_up(void)
{
    while (worker.conn_count) {
        close(worker.conns[--worker.conn_count].fd);
        h2_conn_free(worker.conns[worker.conn_count].h2);
    }
}

/* After shard_fini. */
static inline void worker_teardown(void)
{
    worker_hang_up();
    assert_int_equal(worker.pool.live, 0);
    pool_fini(&worker.pool);
}

static inline void worker_accept(void)
{
    int fd;
    while (worker.conn_count < H2_WORKER_CONNS &&
           (fd = accept4(edge.listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct h2_conn *h2 =
            h2_conn_new(H2_SERVER, &worker.settings, worker.events, NULL, &worker.pool, 1);
        assert_non_null(h2);
        worker.conns[worker.conn_count].fd = fd;
        worker.conns[worker.conn_count++].h2 = h2;
        worker.accepted++;
    }
}

/* For one piece of output. */
static inline bool worker_has_room(int fd)
{
    struct pollfd ask = {.fd = fd, .events = POLLOUT};
    return poll(&ask, 1, 0) == 1;
}

/* It accepts, reads all that has come, and writes as much as the sockets take. */
static inline void play_worker(void)
{
    static char octets[65536];
    worker_accept();
    for (uint32_t i = 0; i < worker.conn_count; i++) {
        int fd = worker.conns[i].fd;
        struct h2_conn *h2 = worker.conns[i].h2;
        ssize_t n;
        while (!worker.is_deaf && (n = read(fd, octets, sizeof octets)) > 0)
            assert_int_equal(h2_conn_feed(h2, octets, (size_t)n, 1), 0);
        while (worker_has_room(fd) && (n = (ssize_t)h2_conn_output(h2, octets, 16384, 1)) > 0)
            if (send(fd, octets, (size_t)n, MSG_NOSIGNAL) < 0)
                break; /* it was hung up on */
    }
}

#endif
