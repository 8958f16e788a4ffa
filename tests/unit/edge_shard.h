/* SPDX-License-Identifier: Apache-2.0 */
/* A shard under test, a unix socket at which its worker listens, and clients over socket pairs, all
 * in one thread. */
#ifndef TESTS_EDGE_SHARD_H
#define TESTS_EDGE_SHARD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "edge/client.h"
#include "edge/shard.h"
#include "edge_routes.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct shard shard;
static struct {
    struct tls_server *tls;
    void *counters;
    char directory[32];
    char path[48];    /* of the socket */
    char address[56]; /* the same, for routes */
    int listener;     /* does not block */
    in_addr_t from;   /* clients come */
} edge;

static inline int non_blocking(int fd)
{
    assert_true(fd >= 0);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return fd;
}

/* return  a socket that listens at path, and does not block */
static inline int edge_listen(const char *path, int backlog)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = non_blocking(socket(AF_UNIX, SOCK_STREAM, 0));
    memcpy(at.sun_path, path, strlen(path));
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, backlog), 0);
    return fd;
}

static inline void edge_setup(void)
{
    memset(&edge, 0, sizeof edge);
    snprintf(edge.directory, sizeof edge.directory, "/tmp/portico-unit-XXXXXX");
    assert_non_null(mkdtemp(edge.directory));
    snprintf(edge.path, sizeof edge.path, "%s/w", edge.directory);
    snprintf(edge.address, sizeof edge.address, "unix:%s", edge.path);
    edge.listener = edge_listen(edge.path, 64);
    edge.tls = tls_server_new();
    edge.counters = calloc(1, stats_octets(1, 1));
    assert_true(edge.tls && edge.counters);
    stats_init(edge.counters, 1, 1);
    assert_int_equal(
        shard_init(&shard, 0, 0, edge.tls, stats_open(edge.counters, stats_octets(1, 1)), NULL), 0);
}

/* return  as rmdir: what else was made in edge.directory is gone by then */
static inline int edge_teardown(void)
{
    shard_fini(&shard);
    close(edge.listener);
    free(edge.counters);
    tls_server_free(edge.tls);
    unlink(edge.path);
    return rmdir(edge.directory);
}

/* For tests that need no more than that. */
static inline int edge_setup_case(void **state)
{
    (void)state;
    edge_setup();
    return 0;
}

static inline int edge_teardown_case(void **state)
{
    (void)state;
    return edge_teardown();
}

/* Enough for what has come to be acted upon. */
static inline void edge_turns(void)
{
    for (int i = 0; i < 8; i++)
        loop_turn(shard.loop, 0);
}

/* Takes b over.  The routes are in force some turns later. */
static inline void edge_publish(struct route_builder *b, uint64_t revision)
{
    assert_int_equal(mailbox_post(shard.mailbox, SHARD_ROUTES, edge_routes_build(b, revision)), 0);
}

/* A client connects, and has sent octets.  return  its end, which does not block */
static inline int edge_come(const void *octets, size_t len)
{
    int fds[2];
    struct addr peer = {.len = sizeof peer.u.in};
    peer.u.in.sin_family = AF_INET;
    peer.u.in.sin_addr.s_addr = edge.from;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    assert_int_equal(write(fds[0], octets, len), (ssize_t)len);
    client_accept(&shard, non_blocking(fds[1]), &peer, false);
    return non_blocking(fds[0]);
}

#endif
