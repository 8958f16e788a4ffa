/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include "net/stream.h"
#include "tls_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct loop *loop;
static struct tls_server *server;
static struct tls_ciphers *ciphers;
static struct tls_identity *identity;

static int setup(void **state)
{
    identity = fixture_identity("DNS:a.test");
    server = tls_server_new();
    ciphers = tls_ciphers_new();
    return server ? 0 : -1;
}

static int teardown(void **state)
{
    tls_identity_unref(identity);
    tls_ciphers_free(ciphers);
    tls_server_free(server);
    return 0;
}

static int new_loop(void **state)
{
    loop = loop_new();
    return loop ? 0 : -1;
}

static int free_loop(void **state)
{
    int left = loop_pool(loop)->live != 0;
    loop_free(loop);
    return left;
}

/* The owner of a stream under test. */
struct owner {
    struct stream stream;
    struct buf got;
    size_t cap;         /* of one stream_read */
    unsigned max_reads; /* a turn; 0: as many as it takes */
    unsigned readable, writable, connected;
    int connect_err;
    ssize_t end; /* 1: not ended; else the last result of stream_read */
    bool close_on_read, write_on_connect;
};

static void read_some(struct owner *o)
{
    char *in = malloc(o->cap);
    for (unsigned i = 0; stream_can_read(&o->stream) && (!o->max_reads || i < o->max_reads); i++) {
        ssize_t n = stream_read(&o->stream, in, o->cap);
        if (n > 0)
            assert_int_equal(buf_add(&o->got, in, (size_t)n), 0);
        else if (n != ERR_AGAIN)
            o->end = n;
    }
    free(in);
}

static void on_readable(struct stream *s)
{
    struct owner *o = CONTAINER_OF(s, struct owner, stream);
    o->readable++;
    if (o->close_on_read)
        stream_close(s);
    else
        read_some(o);
}

static void on_writable(struct stream *s)
{
    CONTAINER_OF(s, struct owner, stream)->writable++;
}

static void on_connected(struct stream *s, int err)
{
    struct owner *o = CONTAINER_OF(s, struct owner, stream);
    o->connected++;
    o->connect_err = err;
    if (o->write_on_connect && err == 0)
        assert_int_equal(stream_write(s, "early", 5), 0);
}

static const struct stream_events events = {on_readable, on_writable, on_connected};

static void owner_init(struct owner *o)
{
    *o = (struct owner){.cap = 65536, .end = 1};
    buf_init(&o->got, loop_pool(loop));
}

static void owner_fini(struct owner *o)
{
    stream_close(&o->stream);
    assert_false(stream_is_open(&o->stream));
    stream_close(&o->stream); /* twice is harmless */
    buf_fini(&o->got);
}

static bool got(const struct owner *o, const char *text)
{
    return slice_eq(buf_slice(&o->got), slice_str(text));
}

static void turns(unsigned n)
{
    while (n--)
        loop_turn(loop, 10);
}

/* A connected pair: fd is non-blocking and for the stream. */
static void connect_pair(bool tcp, int *fd, int *peer)
{
    int fds[2];
    if (!tcp) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
        *fd = fds[0];
        *peer = fds[1];
        return;
    }
    struct addr a;
    assert_int_equal(addr_parse(SLICE("127.0.0.1:0"), &a), 0);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, &a.u.sa, a.len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, &a.u.sa, &a.len), 0);
    *peer = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(*peer, &a.u.sa, a.len), 0);
    *fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    assert_true(*fd >= 0);
    close(listener);
    assert_int_equal(fcntl(*peer, F_SETFL, O_NONBLOCK), 0);
}

static void fill(char *p, size_t len)
{
    uint32_t x = 1;
    for (size_t i = 0; i < len; i++) {
        x = x * 1664525 + 1013904223;
        p[i] = (char)(x >> 24);
    }
}

static void test_plain(void **state)
{
    for (int tcp = 0; tcp < 2; tcp++) {
        struct owner o;
        int fd, peer;
        char in[16];
        owner_init(&o);
        connect_pair(tcp, &fd, &peer);
        assert_int_equal(stream_open(&o.stream, loop, fd, NULL, &events), 0);
        stream_tune(&o.stream, 16384);
        assert_true(stream_is_established(&o.stream));
        turns(1);
        assert_int_equal(o.readable, 0);
        assert_int_equal(stream_read(&o.stream, in, sizeof in), ERR_AGAIN);
        struct loop_calls before = *loop_calls(loop);
        assert_int_equal(write(peer, "hello", 5), 5);
        turns(1);
        assert_true(got(&o, "hello"));
        assert_int_equal(loop_calls(loop)->reads - before.reads, 1); /* none for EAGAIN */
        assert_false(stream_can_read(&o.stream));
        assert_int_equal(stream_write(&o.stream, "world", 5), 0);
        assert_int_equal(loop_calls(loop)->writes - before.writes, 1);
        assert_int_equal(read(peer, in, sizeof in), 5);
        assert_false(stream_is_blocked(&o.stream));
        assert_int_equal(o.stream.octets_in, 5);
        assert_int_equal(o.stream.octets_out, 5);
        /* last octets and FIN together */
        assert_int_equal(write(peer, "bye", 3), 3);
        assert_int_equal(shutdown(peer, SHUT_WR), 0);
        turns(2);
        assert_true(got(&o, "hellobye"));
        assert_int_equal(o.end, 0);
        assert_int_equal(stream_write(&o.stream, "still", 5), 0);
        stream_shutdown(&o.stream);
        assert_int_equal(stream_write(&o.stream, "late", 4), ERR_CLOSED);
        assert_int_equal(read(peer, in, sizeof in), 5);
        assert_int_equal(read(peer, in, sizeof in), 0);
        owner_fini(&o);
        close(peer);
    }
}

static void test_small_reads(void **state)
{
    struct owner o;
    int fd, peer;
    owner_init(&o);
    o.cap = 3;
    o.max_reads = 2;
    connect_pair(false, &fd, &peer);
    assert_int_equal(stream_open(&o.stream, loop, fd, NULL, &events), 0);
    assert_int_equal(write(peer, "0123456789", 10), 10);
    turns(1);
    assert_true(got(&o, "012345"));
    assert_true(stream_can_read(&o.stream)); /* the owner's share is used up; it comes again */
    read_some(&o);
    assert_true(got(&o, "0123456789"));
    assert_false(stream_can_read(&o.stream));
    owner_fini(&o);
    close(peer);
}

/* One call for several runs; how much was ready is told whatever the reads' sizes. */
static void test_several_runs(void **state)
{
    struct owner o;
    int fd, peer;
    char one[3], two[4], three[8];
    const struct iovec all[] = {{one, sizeof one}, {two, sizeof two}, {three, sizeof three}};
    owner_init(&o);
    o.cap = 4;
    o.max_reads = 1;
    connect_pair(false, &fd, &peer);
    assert_int_equal(stream_open(&o.stream, loop, fd, NULL, &events), 0);
    assert_int_equal(write(peer, "0123456789abcdef", 16), 16);
    turns(1);
    assert_true(got(&o, "0123"));
    assert_int_equal(o.stream.ready_octets, 4);
    assert_int_equal(stream_readv(&o.stream, all, 2), 7);
    assert_memory_equal(one, "456", 3);
    assert_memory_equal(two, "789a", 4);
    assert_int_equal(o.stream.ready_octets, 11);
    assert_true(stream_can_read(&o.stream));
    assert_int_equal(stream_readv(&o.stream, all, 3), 5);
    assert_memory_equal(one, "bcd", 3);
    assert_memory_equal(two, "ef", 2);
    assert_int_equal(o.stream.ready_octets, 16);
    assert_false(stream_can_read(&o.stream));
    assert_int_equal(write(peer, "x", 1), 1);
    turns(1);
    assert_int_equal(o.stream.ready_octets, 1);
    shutdown(peer, SHUT_WR);
    turns(1);
    assert_int_equal(o.end, 0);
    assert_int_equal(stream_readv(&o.stream, all, 3), 0);
    owner_fini(&o);
    close(peer);
}

/* return  0, or -1: errno tells */
static int send_file(int to)
{
    union {
        struct cmsghdr align;
        char octets[CMSG_SPACE(sizeof(int))];
    } file = {.align = {.cmsg_len = CMSG_LEN(sizeof to),
                        .cmsg_level = SOL_SOCKET,
                        .cmsg_type = SCM_RIGHTS}};
    struct iovec octet = {.iov_base = (char[]){'x'}, .iov_len = 1};
    const struct msghdr m = {.msg_iov = &octet,
                             .msg_iovlen = 1,
                             .msg_control = file.octets,
                             .msg_controllen = sizeof file.octets};
    memcpy(CMSG_DATA(&file.align), &to, sizeof to);
    return sendmsg(to, &m, MSG_NOSIGNAL) == 1 ? 0 : -1;
}

/* The kernel says so to who tries, or we find out. */
static void test_a_peer_sends_no_descriptors(void **state)
{
    struct owner o;
    struct addr a;
    char place[] = "/tmp/portico-stream-XXXXXX", name[64];
    (void)state;
    assert_non_null(mkdtemp(place));
    snprintf(name, sizeof name, "unix:%s/s", place);
    assert_int_equal(addr_parse(slice_str(name), &a), 0);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, &a.u.sa, a.len), 0);
    assert_int_equal(listen(listener, 1), 0);
    owner_init(&o);
    assert_int_equal(stream_connect(&o.stream, loop, &a, &events), 0);
    int peer = accept(listener, NULL, NULL);
    bool is_refused = send_file(peer) < 0 && errno == EPERM;
    turns(2);
    assert_true(is_refused || o.end == ERR_CLOSED);
    int fd = o.stream.source.fd;
    owner_fini(&o);
    if (!is_refused)
        close(fd);
    close(peer);
    close(listener);
    unlink(name + 5);
    rmdir(place);
}

/* Where the kernel cannot: to close what it came through would be to close it, too. */
static void test_descriptors_that_came_stay_open(void **state)
{
    struct owner o;
    int fd, peer;
    (void)state;
    for (unsigned is_read = 0; is_read < 2; is_read++) {
        owner_init(&o);
        connect_pair(false, &fd, &peer);
        assert_int_equal(stream_open(&o.stream, loop, fd, NULL, &events), 0);
        o.stream.may_get_files = true;
        assert_int_equal(write(peer, "some", 4), 4);
        turns(1);
        assert_true(got(&o, "some"));
        assert_int_equal(write(peer, "more", 4), 4);
        assert_int_equal(send_file(peer), 0);
        turns(is_read ? 2 : 0);
        assert_int_equal(o.end, is_read ? ERR_CLOSED : 1);
        owner_fini(&o);
        assert_true(o.stream.has_got_files);
        assert_int_not_equal(fcntl(fd, F_GETFD), -1);
        close(fd);
        close(peer);
    }
    owner_init(&o);
    connect_pair(false, &fd, &peer);
    assert_int_equal(stream_open(&o.stream, loop, fd, NULL, &events), 0);
    o.stream.may_get_files = true;
    assert_int_equal(write(peer, "unread", 6), 6);
    owner_fini(&o);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    close(peer);
}

static void test_reset(void **state)
{
    struct owner o;
    int fd, peer;
    struct linger hard = {1, 0};
    owner_init(&o);
    connect_pair(true, &fd, &peer);
    assert_int_equal(stream_open(&o.stream, loop, fd, NULL, &events), 0);
    turns(1);
    assert_int_equal(setsockopt(peer, SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
    close(peer);
    turns(1);
    assert_int_equal(o.end, ERR_CLOSED);
    assert_int_equal(stream_write(&o.stream, "x", 1), ERR_CLOSED);
    owner_fini(&o);

    /* half-closed first, then dead: the owner hears of it though it has read the end */
    owner_init(&o);
    connect_pair(true, &fd, &peer);
    assert_int_equal(stream_open(&o.stream, loop, fd, NULL, &events), 0);
    shutdown(peer, SHUT_WR);
    turns(2);
    assert_int_equal(o.end, 0);
    assert_int_equal(setsockopt(peer, SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
    close(peer);
    turns(1);
    assert_int_equal(o.end, ERR_CLOSED);
    char in[1];
    assert_int_equal(stream_read(&o.stream, in, 1), ERR_CLOSED);
    owner_fini(&o);
}

static void test_close_inside(void **state)
{
    struct owner o;
    int fd, peer;
    owner_init(&o);
    o.close_on_read = true;
    connect_pair(false, &fd, &peer);
    assert_int_equal(stream_open(&o.stream, loop, fd, NULL, &events), 0);
    assert_int_equal(write(peer, "x", 1), 1);
    turns(3);
    assert_int_equal(o.readable, 1);
    assert_int_equal(o.writable, 0);
    owner_fini(&o);
    close(peer);
}

/* Reads all that the peer can get while the loop runs, until len octets are there. */
static void peer_reads(int peer, char *in, size_t len)
{
    size_t at = 0;
    for (int i = 0; i < 100000 && at < len; i++) {
        ssize_t n = read(peer, in + at, len - at);
        if (n > 0)
            at += (size_t)n;
        else
            loop_turn(loop, 1);
    }
    assert_int_equal(at, len);
}

static void test_blocked_writer(void **state)
{
    size_t len = 8u << 20;
    char *out = malloc(len), *in = malloc(len);
    fill(out, len);
    for (int tcp = 0; tcp < 2; tcp++) {
        struct owner o;
        int fd, peer;
        owner_init(&o);
        connect_pair(tcp, &fd, &peer);
        assert_int_equal(stream_open(&o.stream, loop, fd, NULL, &events), 0);
        turns(1);
        assert_int_equal(stream_write(&o.stream, out, len - 5), 0);
        assert_true(stream_is_blocked(&o.stream));
        assert_int_equal(stream_write(&o.stream, out + len - 5, 5), 0);
        assert_int_equal(loop_calls(loop)->writes, 1); /* no try while blocked */
        stream_shutdown(&o.stream);                    /* FIN after the rest */
        assert_int_equal(o.writable, 0);
        peer_reads(peer, in, len);
        assert_memory_equal(in, out, len);
        turns(2);
        assert_int_equal(read(peer, in, 1), 0);
        assert_int_equal(o.writable, 1);
        assert_false(stream_is_blocked(&o.stream));
        *loop_calls(loop) = (struct loop_calls){0};
        owner_fini(&o);
        close(peer);
    }
    free(out);
    free(in);
}

/* What may be written at once doubles whenever it was taken twice. */
static void test_burst(void **state)
{
    struct owner o;
    int fd, peer, room = 1 << 20;
    char *text = calloc(1, STREAM_BURST_MOST), *in = malloc(STREAM_BURST_MOST);
    connect_pair(false, &fd, &peer);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    owner_init(&o);
    assert_int_equal(stream_open(&o.stream, loop, fd, NULL, &events), 0);
    assert_int_equal(stream_burst(&o.stream), STREAM_BURST_LEAST);
    assert_int_equal(stream_write(&o.stream, text, 1000), 0);
    assert_int_equal(stream_burst(&o.stream), STREAM_BURST_LEAST);
    for (size_t n = STREAM_BURST_LEAST; n < STREAM_BURST_MOST; n *= 2) {
        for (int i = 1; i <= 2; i++) {
            assert_int_equal(stream_write(&o.stream, text, n), 0);
            assert_int_equal(stream_burst(&o.stream), (size_t)i * n);
            while (read(peer, in, STREAM_BURST_MOST) > 0)
                ;
        }
    }
    while (!stream_is_blocked(&o.stream)) {
        assert_int_equal(stream_burst(&o.stream), STREAM_BURST_MOST);
        assert_int_equal(stream_write(&o.stream, text, STREAM_BURST_MOST), 0);
    }
    assert_int_equal(stream_burst(&o.stream), STREAM_BURST_LEAST);
    owner_fini(&o);
    close(peer);
    free(text);
    free(in);
}

/* A socket has from its listener what each would else be told. */
static void test_tuned_listener(void **state)
{
    struct addr a;
    int on = 0, lowat = 0;
    socklen_t len = sizeof on;
    assert_int_equal(addr_parse(SLICE("127.0.0.1:0"), &a), 0);
    int listener = socket(AF_INET, SOCK_STREAM, 0), peer = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, &a.u.sa, a.len), 0);
    assert_int_equal(listen(listener, 1), 0);
    stream_tune_fd(listener, 16384);
    assert_int_equal(getsockname(listener, &a.u.sa, &a.len), 0);
    assert_int_equal(connect(peer, &a.u.sa, a.len), 0);
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, &len), 0);
    assert_int_not_equal(on, 0);
    assert_int_equal(lowat, 16384);
    close(fd);
    close(peer);
    close(listener);
}

static void test_blocked_then_dead(void **state)
{
    size_t len = 8u << 20;
    char *out = calloc(1, len);
    struct owner o;
    int fd, peer;
    owner_init(&o);
    connect_pair(false, &fd, &peer);
    assert_int_equal(stream_open(&o.stream, loop, fd, NULL, &events), 0);
    turns(1);
    assert_int_equal(stream_write(&o.stream, out, len), 0);
    assert_true(stream_is_blocked(&o.stream));
    close(peer);
    turns(2);
    assert_int_equal(o.end, ERR_CLOSED);
    assert_int_equal(o.writable, 0);
    assert_int_equal(stream_write(&o.stream, out, 1), ERR_CLOSED);
    owner_fini(&o);
    free(out);
}

/* ---- connecting ---- */

static int listen_on(const char *text, struct addr *a, int backlog)
{
    assert_int_equal(addr_parse(slice_str(text), a), 0);
    int fd = socket(a->u.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, &a->u.sa, a->len), 0);
    assert_int_equal(listen(fd, backlog), 0);
    if (a->u.sa.sa_family != AF_UNIX)
        assert_int_equal(getsockname(fd, &a->u.sa, &a->len), 0);
    return fd;
}

static void unix_text(char *out, size_t cap)
{
    snprintf(out, cap, "unix:/tmp/portico-test-%d.sock", (int)getpid());
    unlink(out + 5);
}

static void test_connect(void **state)
{
    char path[64];
    unix_text(path, sizeof path);
    const char *where[] = {"127.0.0.1:0", "[::1]:0", path};
    for (size_t i = 0; i < ARRAY_LEN(where); i++) {
        struct owner o;
        struct addr a;
        char in[64];
        int listener = listen_on(where[i], &a, 5);
        owner_init(&o);
        o.write_on_connect = i == 1;
        *loop_calls(loop) = (struct loop_calls){0};
        assert_int_equal(stream_connect(&o.stream, loop, &a, &events), 0);
        assert_int_equal(o.connected, 0); /* never from within */
        assert_false(stream_is_established(&o.stream));
        assert_int_equal(stream_read(&o.stream, in, 1), ERR_AGAIN);
        if (i != 1) {
            assert_int_equal(stream_write(&o.stream, "ear", 3), 0); /* waits */
            assert_int_equal(stream_write(&o.stream, "ly", 2), 0);
        }
        turns(1);
        assert_int_equal(o.connected, 1);
        assert_int_equal(o.connect_err, 0);
        assert_true(stream_is_established(&o.stream));
        int peer = accept(listener, NULL, NULL);
        assert_true(peer >= 0);
        assert_int_equal(read(peer, in, sizeof in), 5);
        assert_memory_equal(in, "early", 5);
        assert_int_equal(loop_calls(loop)->connects, 1);
        assert_int_equal(loop_calls(loop)->writes, 1);
        /* socket, epoll_ctl; no getsockopt.  A unix socket is told to take no descriptors, and to
         * be silent about room. */
        assert_int_equal(loop_calls(loop)->other, i == 2 ? 4 : 2);
        assert_int_equal(write(peer, "answer", 6), 6);
        close(peer);
        turns(2);
        assert_true(got(&o, "answer"));
        assert_int_equal(o.end, 0);
        owner_fini(&o);
        close(listener);
    }
    unlink(path + 5);
}

static void test_connect_refused(void **state)
{
    struct owner o;
    struct addr a;
    char path[64];
    /* TCP: nobody listens */
    int listener = listen_on("127.0.0.1:0", &a, 1);
    close(listener);
    owner_init(&o);
    int err = stream_connect(&o.stream, loop, &a, &events);
    if (err == 0) {
        turns(1);
        assert_int_equal(o.connected, 1);
        assert_int_equal(o.connect_err, ERR_CLOSED);
        assert_int_equal(stream_write(&o.stream, "x", 1), ERR_CLOSED);
    } else {
        assert_int_equal(err, ERR_CLOSED);
    }
    owner_fini(&o);
    /* unix: no such path */
    unix_text(path, sizeof path);
    assert_int_equal(addr_parse(slice_str(path), &a), 0);
    owner_init(&o);
    assert_int_equal(stream_connect(&o.stream, loop, &a, &events), ERR_CLOSED);
    owner_fini(&o);
    /* unix: the backlog is full */
    listener = listen_on(path, &a, 0);
    struct owner many[4];
    int full = 0;
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        owner_init(&many[i]);
        if (stream_connect(&many[i].stream, loop, &a, &events) == ERR_AGAIN)
            full++;
    }
    assert_in_range(full, 1, 3);
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        owner_fini(&many[i]);
    close(listener);
    unlink(path + 5);
}

/* ---- TLS ---- */

static int choose(void *user, struct slice name, struct tls_choice *out)
{
    *out = (struct tls_choice){.identity = identity, .min_version = TLS_1_2, .h2 = true};
    return slice_eq(name, SLICE("no.test")) ? ERR_NOTFOUND : 0;
}

struct tls_pair {
    struct owner o;
    SSL *client;
    int peer;
};

static void tls_open(struct tls_pair *p, bool tcp, int version, const char *name)
{
    int fd;
    struct client_wish wish = {.version = version, .name = name, .alpn = "\x02h2"};
    owner_init(&p->o);
    connect_pair(tcp, &fd, &p->peer);
    struct tls_conn *t = tls_accept(server, ciphers, loop_pool(loop), choose, NULL);
    assert_non_null(t);
    assert_int_equal(stream_open(&p->o.stream, loop, fd, t, &events), 0);
    p->client = fixture_client(&wish, NULL);
    SSL_set_fd(p->client, p->peer);
}

static void tls_handshake(struct tls_pair *p)
{
    for (int i = 0; i < 20 && SSL_do_handshake(p->client) != 1; i++)
        loop_turn(loop, 10);
    ERR_clear_error();
    turns(2);
    assert_true(SSL_is_init_finished(p->client));
    assert_true(stream_is_established(&p->o.stream));
}

static void tls_close(struct tls_pair *p)
{
    owner_fini(&p->o);
    SSL_free(p->client);
    close(p->peer);
}

static void test_tls(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (int i = 0; i < 4; i++) {
        struct tls_pair p;
        char in[64];
        *loop_calls(loop) = (struct loop_calls){0};
        tls_open(&p, i & 1, versions[i / 2], "a.test");
        assert_false(stream_is_established(&p.o.stream));
        tls_handshake(&p);
        assert_true(tls_alpn_is_h2(p.o.stream.tls));
        assert_true(p.o.readable >= 2);
        assert_int_equal(p.o.end, 1);
        struct loop_calls before = *loop_calls(loop);
        assert_int_equal(before.reads, 2);
        assert_int_equal(before.writes, 2);
        assert_int_equal(SSL_write(p.client, "hello", 5), 5);
        turns(1);
        assert_true(got(&p.o, "hello"));
        assert_int_equal(stream_write(&p.o.stream, "world", 5), 0);
        assert_int_equal(loop_calls(loop)->reads - before.reads, 1);
        assert_int_equal(loop_calls(loop)->writes - before.writes, 1);
        assert_int_equal(SSL_read(p.client, in, sizeof in), 5);
        /* close_notify, then FIN, is a clean end */
        SSL_shutdown(p.client);
        shutdown(p.peer, SHUT_WR);
        turns(2);
        assert_int_equal(p.o.end, 0);
        stream_shutdown(&p.o.stream);
        assert_int_equal(SSL_read(p.client, in, sizeof in), 0);
        assert_int_equal(SSL_get_error(p.client, 0), SSL_ERROR_ZERO_RETURN);
        assert_int_equal(recv(p.peer, in, 1, 0), 0);
        tls_close(&p);
    }
}

/* A session ticket goes with the first octets of the owner, in one send. */
static void write_when_ready(struct stream *s)
{
    struct owner *o = CONTAINER_OF(s, struct owner, stream);
    bool before = stream_is_established(s);
    read_some(o);
    if (!before && stream_is_established(s))
        assert_int_equal(stream_write(s, "first", 5), 0);
}

static void test_ticket_in_company(void **state)
{
    static const struct stream_events eager = {write_when_ready, on_writable, on_connected};
    struct tls_pair p;
    char in[16];
    tls_open(&p, true, TLS1_3_VERSION, "a.test");
    p.o.stream.events = &eager;
    tls_handshake(&p);
    assert_int_equal(loop_calls(loop)->writes, 2); /* the handshake; ticket and "first" */
    assert_int_equal(SSL_read(p.client, in, sizeof in), 5);
    assert_memory_equal(in, "first", 5);
    tls_close(&p);
}

/* FIN without close_notify cuts the content short: RFC 8446 6.1. */
static void test_tls_truncated(void **state)
{
    struct tls_pair p;
    tls_open(&p, true, 0, "a.test");
    tls_handshake(&p);
    shutdown(p.peer, SHUT_WR);
    turns(2);
    assert_int_equal(p.o.end, ERR_CLOSED);
    tls_close(&p);

    /* closed in the middle of a record */
    tls_open(&p, true, 0, "a.test");
    tls_handshake(&p);
    assert_int_equal(write(p.peer, "\x17\x03\x03\x01\x00partly", 11), 11);
    turns(1);
    assert_int_equal(p.o.end, 1);
    shutdown(p.peer, SHUT_WR);
    turns(2);
    assert_int_equal(p.o.end, ERR_CLOSED);
    tls_close(&p);

    /* before any octet */
    tls_open(&p, true, 0, "a.test");
    shutdown(p.peer, SHUT_WR);
    turns(2);
    assert_int_equal(p.o.end, ERR_CLOSED);
    tls_close(&p);
}

static void test_tls_refused(void **state)
{
    struct tls_pair p;
    tls_open(&p, true, 0, "no.test");
    assert_int_equal(SSL_do_handshake(p.client), -1);
    turns(2);
    assert_int_equal(p.o.end, ERR_TLS);
    assert_string_equal(tls_reason(p.o.stream.tls), "unrecognized name");
    assert_false(stream_can_read(&p.o.stream));
    stream_close(&p.o.stream); /* the alert has left before */
    assert_int_equal(SSL_do_handshake(p.client), -1);
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_TLSV1_UNRECOGNIZED_NAME);
    ERR_clear_error();
    tls_close(&p);

    tls_open(&p, true, 0, "a.test");
    assert_int_equal(write(p.peer, "GET / HTTP/1.1\r\n\r\n", 18), 18);
    turns(2);
    assert_int_equal(p.o.end, ERR_TLS);
    assert_string_equal(tls_reason(p.o.stream.tls), "http request");
    tls_close(&p);
}

/* Both ways at once, through small buffers. */
static void test_tls_large(void **state)
{
    static const size_t caps[] = {777, 16384, 65536, 200000};
    size_t len = 1u << 20;
    char *text = malloc(len), *in = malloc(len);
    fill(text, len);
    for (size_t i = 0; i < 2 * ARRAY_LEN(caps); i++) {
        struct tls_pair p;
        size_t sent = 0, heard = 0, said = 0;
        tls_open(&p, i & 1, 0, "a.test");
        tls_handshake(&p);
        p.o.cap = caps[i / 2];
        size_t before = SIZE_MAX; /* octets moved so far: when none were, the kernel paces them */
        for (int round = 0; round < 20000; round++) {
            size_t n, moved = sent + heard + said + buf_len(&p.o.got);
            int wait_ms = moved == before ? 10 : 0;
            before = moved;
            if (sent < len && SSL_write_ex(p.client, text + sent,
                                           len - sent < 10000 ? len - sent : 10000, &n) == 1)
                sent += n;
            if (heard < len && SSL_read_ex(p.client, in + heard, len - heard, &n) == 1)
                heard += n;
            ERR_clear_error();
            if (said < len && !stream_is_blocked(&p.o.stream)) {
                size_t piece = len - said < 100001 ? len - said : 100001;
                assert_int_equal(stream_write(&p.o.stream, text + said, piece), 0);
                said += piece;
            }
            loop_turn(loop, wait_ms);
            if (heard == len && buf_len(&p.o.got) == len)
                break;
        }
        assert_int_equal(heard, len);
        assert_memory_equal(in, text, len);
        assert_true(slice_eq(buf_slice(&p.o.got), slice_of(text, len)));
        assert_false(stream_can_read(&p.o.stream));
        assert_null(p.o.stream.wire_in);
        assert_false(stream_is_blocked(&p.o.stream));
        tls_close(&p);
    }
    free(text);
    free(in);
}

/* 64 KiB leave in one send; more in as few as it takes. */
static void test_tls_one_send(void **state)
{
    struct tls_pair p;
    size_t len = 65536;
    char *text = malloc(len), *in = malloc(len);
    int room = 1 << 20;
    fill(text, len);
    tls_open(&p, true, TLS1_3_VERSION, "a.test");
    tls_handshake(&p);
    setsockopt(p.o.stream.source.fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    uint64_t writes = loop_calls(loop)->writes;
    assert_int_equal(stream_write(&p.o.stream, text, len), 0);
    assert_int_equal(loop_calls(loop)->writes - writes, 1);
    size_t at = 0, n;
    for (int i = 0; i < 1000 && at < len; i++) {
        if (SSL_read_ex(p.client, in + at, len - at, &n) == 1)
            at += n;
        else
            loop_turn(loop, 1);
    }
    assert_int_equal(at, len);
    assert_memory_equal(in, text, len);
    tls_close(&p);
    free(text);
    free(in);
}

/* The peer says close_notify and is dead before our octets are out: that is no half-closed
 * connection which still waits for them, and no event will ever say so again. */
static void test_tls_closed_and_dead(void **state)
{
    struct tls_pair p;
    size_t len = 8u << 20;
    char *text = malloc(len);
    fill(text, len);
    tls_open(&p, true, TLS1_3_VERSION, "a.test");
    tls_handshake(&p);
    assert_int_equal(stream_write(&p.o.stream, text, len), 0);
    assert_true(stream_is_blocked(&p.o.stream));
    turns(2);
    SSL_shutdown(p.client);
    close(p.peer); /* with octets unread: a reset */
    p.peer = -1;
    turns(2);
    assert_int_equal(p.o.end, ERR_CLOSED);
    tls_close(&p);
    free(text);
}

static void test_tls_blocked_writer(void **state)
{
    struct tls_pair p;
    size_t len = 8u << 20, at = 0, n;
    char *text = malloc(len), *in = malloc(len);
    fill(text, len);
    tls_open(&p, false, TLS1_3_VERSION, "a.test");
    tls_handshake(&p);
    assert_int_equal(stream_write(&p.o.stream, text, len), 0);
    assert_true(stream_is_blocked(&p.o.stream));
    stream_shutdown(&p.o.stream);
    for (int i = 0; i < 100000 && at < len; i++) {
        if (SSL_read_ex(p.client, in + at, len - at, &n) == 1)
            at += n;
        else
            loop_turn(loop, 1);
    }
    assert_int_equal(at, len);
    assert_memory_equal(in, text, len);
    assert_int_equal(p.o.writable, 1);
    turns(1);
    assert_int_equal(SSL_read(p.client, in, 1), 0); /* close_notify, after the rest */
    assert_int_equal(SSL_get_error(p.client, 0), SSL_ERROR_ZERO_RETURN);
    tls_close(&p);
    free(text);
    free(in);
}

#define WITH_LOOP(test) cmocka_unit_test_setup_teardown(test, new_loop, free_loop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_LOOP(test_plain),
        WITH_LOOP(test_small_reads),
        WITH_LOOP(test_several_runs),
        WITH_LOOP(test_a_peer_sends_no_descriptors),
        WITH_LOOP(test_descriptors_that_came_stay_open),
        WITH_LOOP(test_reset),
        WITH_LOOP(test_close_inside),
        WITH_LOOP(test_blocked_writer),
        WITH_LOOP(test_burst),
        WITH_LOOP(test_tuned_listener),
        WITH_LOOP(test_blocked_then_dead),
        WITH_LOOP(test_connect),
        WITH_LOOP(test_connect_refused),
        WITH_LOOP(test_tls),
        WITH_LOOP(test_ticket_in_company),
        WITH_LOOP(test_tls_truncated),
        WITH_LOOP(test_tls_refused),
        WITH_LOOP(test_tls_large),
        WITH_LOOP(test_tls_one_send),
        WITH_LOOP(test_tls_closed_and_dead),
        WITH_LOOP(test_tls_blocked_writer),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
