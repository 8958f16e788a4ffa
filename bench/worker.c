/* SPDX-License-Identifier: Apache-2.0 */
/* A worker that answers at once, so that what is in front of it can be measured: HTTP/1.1, and
 * HTTP/2 by prior knowledge, on a TCP port and a unix socket.
 *
 *   worker UNIX_PATH          prints "port N" once it listens at 127.0.0.1:N and UNIX_PATH
 *
 *   /128 /1k /10k /100k /10m  so many octets; any other path is /1k
 *   /page...                  10 KiB; over HTTP/2 with ten promises of 10 KiB each
 *   /ws                       over HTTP/1.1 a WebSocket that answers every message of 128 octets
 *                             with one of 128
 *
 * One thread; one receive and one send a request over HTTP/1.1.  HTTP/2 is libnghttp2's, which
 * shares nothing with what is measured.  Requests with content are not for it. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LISTEN_BACKLOG 4096
#define IN_OCTETS      16384
#define OUT_OCTETS     65536
#define PUSHES         10
/* A client's message is masked: four octets more.  RFC 6455 5.2 */
#define MESSAGE_OCTETS 128
#define FRAME_IN       (2 + 2 + 4 + MESSAGE_OCTETS)
#define FRAME_OUT      (2 + 2 + MESSAGE_OCTETS)

static struct resource {
    const char *path;
    size_t body_octets;
    char length[24];
    char *h1; /* head and body */
    size_t h1_octets;
    const char *body; /* within h1 */
} resources[] = {
    {.path = "/128", .body_octets = 128},        {.path = "/10k", .body_octets = 10 << 10},
    {.path = "/100k", .body_octets = 100 << 10}, {.path = "/10m", .body_octets = 10 << 20},
    {.path = "/page", .body_octets = 10 << 10},  {.path = "/1k", .body_octets = 1 << 10},
};
#define RESOURCES (sizeof resources / sizeof resources[0])

/* What an application server usually adds. */
#define SERVER        "worker"
#define DATE          "Sat, 28 Nov 2026 06:00:00 GMT"
#define TYPE          "text/html; charset=utf-8"
#define CACHE_CONTROL "private, max-age=0"
#define VARY          "Cookie"
#define OPTIONS       "nosniff"

struct connection {
    int fd;
    bool asks_writable;
    enum { UNKNOWN, HTTP1, HTTP2, WEBSOCKET } protocol;
    size_t in_octets;
    const char *out; /* being written: an answer, or out_own */
    size_t out_octets;
    nghttp2_session *h2;
    char *own; /* OUT_OCTETS: what is not an answer as it stands */
    char in[IN_OCTETS];
};

static int epoll;

static void prepare(struct resource *r)
{
    snprintf(r->length, sizeof r->length, "%zu", r->body_octets);
    r->h1 = malloc(512 + r->body_octets);
    if (!r->h1)
        abort();
    size_t head = (size_t)sprintf(r->h1,
                                  "HTTP/1.1 200 OK\r\nServer: " SERVER "\r\nDate: " DATE
                                  "\r\nContent-Type: " TYPE "\r\nCache-Control: " CACHE_CONTROL
                                  "\r\nX-Content-Type-Options: " OPTIONS "\r\nVary: " VARY
                                  "\r\nContent-Length: %s\r\n\r\n",
                                  r->length);
    for (size_t i = 0; i < r->body_octets; i++)
        r->h1[head + i] = (char)('a' + i % 26);
    r->h1_octets = head + r->body_octets;
    r->body = r->h1 + head;
}

static struct resource *find(const char *path, size_t len)
{
    struct resource *r = resources;
    for (; r < resources + RESOURCES - 1; r++) {
        size_t n = strlen(r->path);
        if (len >= n && memcmp(path, r->path, n) == 0)
            break;
    }
    return r;
}

/* return  0: go on;  -1: the connection is over */
static int write_out(struct connection *c)
{
    while (c->out_octets) {
        ssize_t n = send(c->fd, c->out, c->out_octets, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN ? 0 : -1;
        c->out += n;
        c->out_octets -= (size_t)n;
    }
    return 0;
}

static void take(struct connection *c, size_t octets)
{
    c->in_octets -= octets;
    if (c->in_octets)
        memmove(c->in, c->in + octets, c->in_octets);
}

static char *own(struct connection *c)
{
    if (!c->own && !(c->own = malloc(OUT_OCTETS)))
        abort();
    return c->own;
}

/* WebSockets: RFC 6455 4.2.2 */

static void answer_upgrade(struct connection *c, const char *head, size_t head_octets)
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char text[24 + sizeof guid], digest[SHA_DIGEST_LENGTH];
    unsigned char accept[4 * SHA_DIGEST_LENGTH / 3 + 8];
    for (const char *p = head; p + 19 + 24 < head + head_octets; p++)
        if (strncasecmp(p, "sec-websocket-key: ", 19) == 0) {
            memcpy(text, p + 19, 24);
            memcpy(text + 24, guid, sizeof guid);
        }
    SHA1((unsigned char *)text, 24 + sizeof guid - 1, (unsigned char *)digest);
    EVP_EncodeBlock(accept, (unsigned char *)digest, sizeof digest);
    c->out_octets = (size_t)snprintf(own(c), OUT_OCTETS,
                                     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                                     "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                                     accept);
    c->out = c->own;
    c->protocol = WEBSOCKET;
}

static int serve_websocket(struct connection *c)
{
    size_t messages = c->in_octets / FRAME_IN;
    if (messages == 0 || c->out_octets)
        return 0;
    take(c, messages * FRAME_IN);
    for (size_t i = 0; i < messages; i++) {
        char *frame = own(c) + i * FRAME_OUT;
        memcpy(frame, "\x82\x7e\0\x80", 4); /* final, binary, 128 octets */
        memset(frame + 4, 'm', MESSAGE_OCTETS);
    }
    c->out = c->own;
    c->out_octets = messages * FRAME_OUT;
    return write_out(c);
}

/* HTTP/1.1 */

static int serve_http1(struct connection *c)
{
    while (c->out_octets == 0) {
        char *end = memmem(c->in, c->in_octets, "\r\n\r\n", 4);
        if (!end)
            return c->in_octets == sizeof c->in ? -1 : 0;
        size_t head = (size_t)(end - c->in) + 4;
        const char *path = memchr(c->in, ' ', head);
        if (!path++)
            return -1;
        if (memcmp(path, "/ws", 3) == 0) {
            answer_upgrade(c, c->in, head);
        } else {
            const struct resource *r = find(path, head - (size_t)(path - c->in));
            c->out = r->h1;
            c->out_octets = r->h1_octets;
        }
        take(c, head);
        if (write_out(c) < 0)
            return -1;
        if (c->protocol == WEBSOCKET)
            return serve_websocket(c);
    }
    return 0;
}

/* HTTP/2 */

#define NV(n, v)                                                                    \
    {                                                                               \
        (uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), strlen(n), strlen(v), \
            NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE            \
    }

static ssize_t read_body(nghttp2_session *session, int32_t stream, uint8_t *out, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *user)
{
    const struct resource *r = source->ptr;
    size_t sent = (size_t)(uintptr_t)nghttp2_session_get_stream_user_data(session, stream);
    size_t n = r->body_octets - sent;
    if (n > room)
        n = room;
    memcpy(out, r->body + sent, n);
    sent += n;
    nghttp2_session_set_stream_user_data(session, stream, (void *)(uintptr_t)sent);
    if (sent == r->body_octets)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static int respond(nghttp2_session *session, int32_t stream, struct resource *r)
{
    const nghttp2_nv head[] = {NV(":status", "200"),
                               NV("server", SERVER),
                               NV("date", DATE),
                               NV("content-type", TYPE),
                               NV("cache-control", CACHE_CONTROL),
                               NV("x-content-type-options", OPTIONS),
                               NV("vary", VARY),
                               NV("content-length", r->length)};
    nghttp2_data_provider body = {.source.ptr = r, .read_callback = read_body};
    nghttp2_session_set_stream_user_data(session, stream, NULL);
    return nghttp2_submit_response(session, stream, head, sizeof head / sizeof head[0], &body);
}

/* Until the request has ended, a stream's user data is its resource. */
static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
    if (name_len == 5 && memcmp(name, ":path", 5) == 0)
        nghttp2_session_set_stream_user_data(session, frame->hd.stream_id,
                                             find((const char *)value, value_len));
    return 0;
}

static int promise(nghttp2_session *session, int32_t stream)
{
    static unsigned serial;
    unsigned page = serial++ % 1000;
    for (unsigned i = 0; i < PUSHES; i++) {
        char path[48];
        snprintf(path, sizeof path, "/10k?page=%u&part=%u", page, i);
        const nghttp2_nv head[] = {NV(":method", "GET"),
                                   NV(":scheme", "https"),
                                   NV(":authority", "localhost"),
                                   {(uint8_t *)(uintptr_t) ":path", (uint8_t *)path, 5,
                                    strlen(path), NGHTTP2_NV_FLAG_NO_COPY_NAME}};
        int32_t promised = nghttp2_submit_push_promise(session, NGHTTP2_FLAG_NONE, stream, head,
                                                       sizeof head / sizeof head[0], NULL);
        if (promised < 0)
            return 0; /* refused: by SETTINGS, say */
        if (respond(session, promised, find("/10k", 4)) != 0)
            return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    if (frame->hd.type != NGHTTP2_HEADERS || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    int32_t stream = frame->hd.stream_id;
    struct resource *r = nghttp2_session_get_stream_user_data(session, stream);
    if (strcmp(r->path, "/page") == 0 && promise(session, stream) != 0)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    return respond(session, stream, r) == 0 ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static void begin_http2(struct connection *c)
{
    static nghttp2_session_callbacks *callbacks;
    static nghttp2_option *option;
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 10000}};
    if (!callbacks) {
        nghttp2_session_callbacks_new(&callbacks);
        nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
        nghttp2_option_new(&option);
        nghttp2_option_set_no_closed_streams(option, 1);
    }
    if (nghttp2_session_server_new2(&c->h2, callbacks, c, option) != 0)
        abort();
    nghttp2_submit_settings(c->h2, NGHTTP2_FLAG_NONE, settings, 1);
    c->protocol = HTTP2;
}

static int serve_http2(struct connection *c)
{
    ssize_t taken = nghttp2_session_mem_recv(c->h2, (uint8_t *)c->in, c->in_octets);
    if (taken < 0)
        return -1;
    c->in_octets = 0;
    while (c->out_octets == 0) {
        char *out = own(c);
        size_t filled = 0;
        const uint8_t *part;
        ssize_t n;
        /* A frame is at most 16,393 octets: two more always fit in what is left. */
        while (filled < OUT_OCTETS - 2 * 16393 &&
               (n = nghttp2_session_mem_send(c->h2, &part)) > 0) {
            memcpy(out + filled, part, (size_t)n);
            filled += (size_t)n;
        }
        if (filled == 0)
            return nghttp2_session_want_read(c->h2) || nghttp2_session_want_write(c->h2) ? 0 : -1;
        c->out = out;
        c->out_octets = filled;
        if (write_out(c) < 0)
            return -1;
    }
    return 0;
}

static int serve(struct connection *c)
{
    static const char preface[] = "PRI * HTTP/2.0";
    if (c->protocol == UNKNOWN) {
        if (c->in_octets < sizeof preface - 1)
            return 0;
        if (memcmp(c->in, preface, sizeof preface - 1) == 0)
            begin_http2(c);
        else
            c->protocol = HTTP1;
    }
    switch (c->protocol) {
    case HTTP2:
        return serve_http2(c);
    case WEBSOCKET:
        return serve_websocket(c);
    case UNKNOWN:
    case HTTP1:
        return serve_http1(c);
    }
    return -1;
}

static void ask(struct connection *c)
{
    bool writable = c->out_octets != 0;
    if (c->asks_writable == writable)
        return;
    c->asks_writable = writable;
    struct epoll_event e = {.events = writable ? EPOLLOUT : EPOLLIN, .data.ptr = c};
    epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &e);
}

static void turn(struct connection *c, uint32_t events)
{
    int result = 0;
    if (c->out_octets) {
        result = write_out(c);
    } else if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        ssize_t n = recv(c->fd, c->in + c->in_octets, sizeof c->in - c->in_octets, 0);
        if (n > 0)
            c->in_octets += (size_t)n;
        else if (n == 0 || errno != EAGAIN)
            result = -1;
    }
    if (result == 0 && c->out_octets == 0)
        result = serve(c);
    if (result == 0) {
        ask(c);
        return;
    }
    close(c->fd);
    nghttp2_session_del(c->h2);
    free(c->own);
    free(c);
}

static void accept_all(int listener, bool is_tcp)
{
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct connection *c = malloc(sizeof *c);
        if (!c)
            abort();
        memset(c, 0, offsetof(struct connection, in));
        c->fd = fd;
        if (is_tcp)
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
    }
}

static int listen_at(struct sockaddr *address, socklen_t octets)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, address, octets) < 0 || listen(fd, LISTEN_BACKLOG) < 0) {
        perror("worker: listen");
        exit(1);
    }
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    e.data.u64 = (uint64_t)fd; /* no pointer is that small */
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
    return fd;
}

int main(int argc, char **argv)
{
    static struct epoll_event events[256];
    struct sockaddr_in tcp = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    socklen_t tcp_octets = sizeof tcp;
    if (argc != 2 || strlen(argv[1]) >= sizeof local.sun_path) {
        fprintf(stderr, "usage: worker UNIX_PATH\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < RESOURCES; i++)
        prepare(&resources[i]);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    strcpy(local.sun_path, argv[1]);
    unlink(argv[1]);
    int at_path = listen_at((struct sockaddr *)&local, sizeof local);
    chmod(argv[1], 0777); /* proxies give up root */
    int at_port = listen_at((struct sockaddr *)&tcp, sizeof tcp);
    getsockname(at_port, (struct sockaddr *)&tcp, &tcp_octets);
    printf("port %u\n", ntohs(tcp.sin_port));
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(epoll, events, sizeof events / sizeof events[0], -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.u64 == (uint64_t)at_path || events[i].data.u64 == (uint64_t)at_port)
                accept_all((int)events[i].data.u64, events[i].data.u64 == (uint64_t)at_port);
            else
                turn(events[i].data.ptr, events[i].events);
        }
    }
}
