/* SPDX-License-Identifier: Apache-2.0 */
/* The floor: what no proxy of this kind can do without.  For each request one send and one receive
 * towards a worker, over a connection that is kept, and the answer's octets framed, encrypted by
 * OpenSSL and sent, all that a client gets in a turn by one call.  Nothing is parsed: a request is
 * a HEADERS frame, whatever stands in it, or over HTTP/1.1 what one receive brings; each is for
 * PATH; an answer has as many octets as the first one had.  It serves benchmarks only.
 *
 *   floor PORT CHAIN KEY WORKER PATH      WORKER: a TCP port of 127.0.0.1, or a unix socket's path
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define IN_OCTETS      (64 << 10)
#define HIGH_OCTETS    (256 << 10) /* unsent: the client's workers are read no further */
#define RECORD_OCTETS  16384
#define FRAME_HEAD     9
#define PREFACE_OCTETS 24

enum { DATA = 0, HEADERS = 1, SETTINGS = 4, END_STREAM = 1, ACK = 1, END_HEADERS = 4 };

/* :status: 200, and seven more fields of the static table. */
static const uint8_t answer_block[] = {0x88, 0x8f, 0x90, 0x91, 0x93, 0x94, 0x95, 0x96};

struct worker {
    bool is_worker; /* first in both: whom an event is about */
    bool is_paused;
    int fd;
    size_t left; /* octets of the answer */
    uint32_t stream;
    struct client *client; /* NULL: idle */
    struct worker *next;   /* among the client's, or the idle */
};

struct client {
    bool is_worker;
    bool is_http2, is_dirty, is_closed;
    int fd;
    SSL *tls;
    BIO *received, *sealed; /* records */
    size_t to_skip, in_octets, plain_octets, plain_room;
    uint8_t *in, *plain; /* frames that come; answers of this turn */
    struct worker *workers;
    struct client *next_dirty;
};

static struct {
    int epoll, listener;
    SSL_CTX *context;
    struct sockaddr_storage worker;
    socklen_t worker_octets;
    char request[256];
    size_t request_octets, head_octets, answer_octets;
    struct worker *idle;
    struct client *dirty;
} the;

_Noreturn static void fail(const char *what)
{
    fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void watch(int fd, uint32_t events, void *whom)
{
    struct epoll_event e = {.events = events | EPOLLET, .data.ptr = whom};
    if (epoll_ctl(the.epoll, EPOLL_CTL_ADD, fd, &e) < 0)
        fail("epoll_ctl");
}

static void mark_dirty(struct client *c)
{
    if (c->is_dirty)
        return;
    c->is_dirty = true;
    c->next_dirty = the.dirty;
    the.dirty = c;
}

static uint8_t *room_for(struct client *c, size_t octets)
{
    if (c->plain_room - c->plain_octets < octets) {
        c->plain_room = 2 * c->plain_room + octets;
        c->plain = realloc(c->plain, c->plain_room);
        if (!c->plain)
            fail("memory");
    }
    mark_dirty(c);
    c->plain_octets += octets;
    return c->plain + c->plain_octets - octets;
}

static void put_frame(struct client *c, uint8_t type, uint8_t flags, uint32_t stream,
                      const void *payload, size_t octets)
{
    uint8_t *f = room_for(c, FRAME_HEAD + octets);
    const uint8_t head[FRAME_HEAD] = {(uint8_t)(octets >> 16),
                                      (uint8_t)(octets >> 8),
                                      (uint8_t)octets,
                                      type,
                                      flags,
                                      (uint8_t)(stream >> 24),
                                      (uint8_t)(stream >> 16),
                                      (uint8_t)(stream >> 8),
                                      (uint8_t)stream};
    memcpy(f, head, sizeof head);
    memcpy(f + sizeof head, payload, octets);
}

/* Towards the worker */

static int dial(void)
{
    int fd = socket(the.worker.ss_family, SOCK_STREAM, 0), on = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&the.worker, the.worker_octets) < 0)
        fail("worker");
    if (the.worker.ss_family == AF_INET)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static void ask(struct client *c, uint32_t stream)
{
    struct worker *w = the.idle;
    if (w) {
        the.idle = w->next;
    } else {
        w = calloc(1, sizeof *w);
        if (!w)
            fail("memory");
        w->is_worker = true;
        w->fd = dial();
        watch(w->fd, EPOLLIN, w);
    }
    w->client = c;
    w->stream = stream;
    w->left = the.answer_octets;
    w->next = c->workers;
    c->workers = w;
    if (send(w->fd, the.request, the.request_octets, MSG_NOSIGNAL) < 0)
        fail("send");
}

/* How long an answer is. */
static void learn(void)
{
    static char in[IN_OCTETS];
    int fd = dial();
    if (send(fd, the.request, the.request_octets, 0) < 0)
        fail("send");
    ssize_t n = recv(fd, in, sizeof in - 1, 0);
    const char *length = n > 0 ? strstr(in, "Content-Length: ") : NULL;
    const char *end = n > 0 ? strstr(in, "\r\n\r\n") : NULL;
    if (!length || !end)
        fail("answer");
    the.head_octets = (size_t)(end - in) + 4;
    the.answer_octets = the.head_octets + strtoul(length + 16, NULL, 10);
    close(fd);
}

static void release(struct worker *w)
{
    struct worker **link = &w->client->workers;
    while (*link != w)
        link = &(*link)->next;
    *link = w->next;
    w->client = NULL;
    w->next = the.idle;
    the.idle = w;
}

static void relay(struct worker *w, const uint8_t *octets, size_t len)
{
    struct client *c = w->client;
    size_t head = 0;
    if (!c->is_http2) {
        memcpy(room_for(c, len), octets, len);
        w->left -= len;
        return;
    }
    if (w->left == the.answer_octets) {
        put_frame(c, HEADERS, END_HEADERS, w->stream, answer_block, sizeof answer_block);
        head = the.head_octets;
        w->left -= head;
    }
    while (head < len) {
        size_t part = len - head < RECORD_OCTETS ? len - head : RECORD_OCTETS;
        w->left -= part;
        put_frame(c, DATA, w->left ? 0 : END_STREAM, w->stream, octets + head, part);
        head += part;
    }
}

static void read_worker(struct worker *w)
{
    static uint8_t in[IN_OCTETS];
    while (w->client) {
        if (w->client->plain_octets + BIO_ctrl_pending(w->client->sealed) > HIGH_OCTETS) {
            w->is_paused = true;
            mark_dirty(w->client);
            return;
        }
        ssize_t n = recv(w->fd, in, sizeof in, 0);
        if (n <= 0)
            fail("a worker is gone");
        bool is_drained = (size_t)n < sizeof in;
        relay(w, in, (size_t)n);
        if (w->left == 0)
            release(w);
        if (is_drained)
            return;
    }
}

/* Towards the client */

static void shut(struct client *c)
{
    c->is_closed = true;
    close(c->fd);
    mark_dirty(c);
}

static void take_frames(struct client *c)
{
    size_t at = c->to_skip < c->in_octets ? c->to_skip : c->in_octets, octets;
    c->to_skip -= at;
    for (; c->in_octets - at >= FRAME_HEAD; at += octets) {
        const uint8_t *f = c->in + at;
        octets = FRAME_HEAD + ((size_t)f[0] << 16 | (size_t)f[1] << 8 | f[2]);
        if (c->in_octets - at < octets)
            break;
        if (f[3] == HEADERS)
            ask(c, (uint32_t)f[5] << 24 | (uint32_t)f[6] << 16 | (uint32_t)f[7] << 8 | f[8]);
        else if (f[3] == SETTINGS && !(f[4] & ACK))
            put_frame(c, SETTINGS, ACK, 0, "", 0);
    }
    c->in_octets -= at;
    memmove(c->in, c->in + at, c->in_octets);
}

/* One receive; what it brought is decrypted from memory, so that no call only says EAGAIN. */
static bool receive_sealed(struct client *c)
{
    static char in[IN_OCTETS];
    ssize_t n;
    do {
        n = recv(c->fd, in, sizeof in, 0);
        if (n <= 0)
            return n < 0 && errno == EAGAIN;
        BIO_write(c->received, in, (int)n);
    } while (n == sizeof in);
    return true;
}

static void shake_hands(struct client *c)
{
    int done = SSL_do_handshake(c->tls);
    mark_dirty(c);
    if (done != 1) {
        if (SSL_get_error(c->tls, done) != SSL_ERROR_WANT_READ)
            shut(c);
        return;
    }
    const unsigned char *name;
    unsigned len;
    SSL_get0_alpn_selected(c->tls, &name, &len);
    c->is_http2 = len == 2;
    c->to_skip = PREFACE_OCTETS;
    if (c->is_http2)
        put_frame(c, SETTINGS, 0, 0, "", 0);
}

static void read_client(struct client *c)
{
    int n;
    if (!receive_sealed(c)) {
        shut(c);
        return;
    }
    if (!SSL_is_init_finished(c->tls))
        shake_hands(c);
    if (c->is_closed || !SSL_is_init_finished(c->tls))
        return;
    while ((n = SSL_read(c->tls, c->in + c->in_octets, (int)(IN_OCTETS - c->in_octets))) > 0) {
        c->in_octets += (size_t)n;
        if (c->is_http2) {
            take_frames(c);
        } else {
            c->in_octets = 0;
            ask(c, 0);
        }
    }
    if (SSL_get_error(c->tls, n) != SSL_ERROR_WANT_READ)
        shut(c);
}

/* return  whether all has left */
static bool send_sealed(struct client *c)
{
    static char drop[IN_OCTETS];
    char *octets;
    long len = BIO_get_mem_data(c->sealed, &octets);
    if (len <= 0)
        return true;
    ssize_t n = send(c->fd, octets, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n == len) {
        (void)BIO_reset(c->sealed);
        return true;
    }
    for (int part; n > 0; n -= part)
        part = BIO_read(c->sealed, drop, n < IN_OCTETS ? (int)n : IN_OCTETS);
    return false;
}

static void flush(struct client *c)
{
    for (size_t at = 0, part; at < c->plain_octets; at += part) {
        part = c->plain_octets - at < RECORD_OCTETS ? c->plain_octets - at : RECORD_OCTETS;
        SSL_write(c->tls, c->plain + at, (int)part);
    }
    c->plain_octets = 0;
    if (!send_sealed(c))
        return; /* EPOLLOUT comes */
    for (struct worker *w = c->workers, *next; w; w = next) {
        next = w->next;
        if (w->is_paused) {
            w->is_paused = false;
            read_worker(w);
        }
    }
}

static void end_client(struct client *c)
{
    for (struct worker *w; (w = c->workers);) { /* closed, since its answer is half read */
        c->workers = w->next;
        close(w->fd);
        free(w);
    }
    SSL_free(c->tls);
    free(c->in);
    free(c->plain);
    free(c);
}

static void accept_all(void)
{
    int fd, on = 1;
    while ((fd = accept4(the.listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct client *c = calloc(1, sizeof *c);
        if (!c || !(c->in = malloc(IN_OCTETS)) || !(c->tls = SSL_new(the.context)))
            fail("memory");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        c->fd = fd;
        c->received = BIO_new(BIO_s_mem());
        c->sealed = BIO_new(BIO_s_mem());
        SSL_set_bio(c->tls, c->received, c->sealed);
        SSL_set_accept_state(c->tls);
        watch(fd, EPOLLIN | EPOLLOUT, c);
    }
}

static int choose(SSL *s, const unsigned char **out, unsigned char *len, const unsigned char *in,
                  unsigned in_len, void *user)
{
    static const unsigned char ours[] = "\x02h2\x08http/1.1";
    return SSL_select_next_proto((unsigned char **)(uintptr_t)out, len, ours, sizeof ours - 1, in,
                                 in_len) == OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_NOACK;
}

static void set_up(char **argv)
{
    struct sockaddr_in tcp = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    int on = 1;
    if (argv[4][0] == '/') {
        snprintf(local.sun_path, sizeof local.sun_path, "%s", argv[4]);
        memcpy(&the.worker, &local, the.worker_octets = sizeof local);
    } else {
        tcp.sin_port = htons((uint16_t)strtoul(argv[4], NULL, 10));
        memcpy(&the.worker, &tcp, the.worker_octets = sizeof tcp);
    }
    the.request_octets = (size_t)snprintf(the.request, sizeof the.request,
                                          "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", argv[5]);
    learn();
    the.context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_min_proto_version(the.context, TLS1_3_VERSION);
    SSL_CTX_set_mode(the.context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_alpn_select_cb(the.context, choose, NULL);
    if (SSL_CTX_use_certificate_chain_file(the.context, argv[2]) != 1 ||
        SSL_CTX_use_PrivateKey_file(the.context, argv[3], SSL_FILETYPE_PEM) != 1)
        fail("certificate");
    the.epoll = epoll_create1(EPOLL_CLOEXEC);
    the.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    tcp.sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10));
    setsockopt(the.listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(the.listener, (struct sockaddr *)&tcp, sizeof tcp) < 0 ||
        listen(the.listener, 4096) < 0)
        fail("listen");
    watch(the.listener, EPOLLIN, NULL);
}

int main(int argc, char **argv)
{
    static struct epoll_event events[256];
    if (argc != 6) {
        fprintf(stderr, "usage: floor PORT CHAIN KEY WORKER PATH\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    set_up(argv);
    for (;;) {
        int n = epoll_wait(the.epoll, events, sizeof events / sizeof events[0], -1);
        for (int i = 0; i < n; i++) {
            struct worker *w = events[i].data.ptr;
            struct client *c = events[i].data.ptr;
            if (!w)
                accept_all();
            else if (w->is_worker)
                read_worker(w);
            else if (!c->is_closed) {
                if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                    read_client(c);
                if (BIO_ctrl_pending(c->sealed))
                    mark_dirty(c);
            }
        }
        for (struct client *c; (c = the.dirty);) {
            the.dirty = c->next_dirty;
            c->is_dirty = false;
            if (c->is_closed)
                end_client(c);
            else
                flush(c);
        }
    }
}
