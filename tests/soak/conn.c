/* SPDX-License-Identifier: Apache-2.0 */
#include "soak.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

bool octets_add(struct octets *o, const void *p, size_t len)
{
    if (o->cap - o->len < len) {
        size_t cap = 2 * o->cap + len;
        uint8_t *grown = realloc(o->p, cap);
        if (!grown)
            return false;
        o->p = grown;
        o->cap = cap;
    }
    if (len)
        memcpy(o->p + o->len, p, len);
    o->len += len;
    return true;
}

void octets_drop(struct octets *o, size_t len)
{
    o->len -= len;
    if (o->len)
        memmove(o->p, o->p + len, o->len);
}

bool conn_put(struct conn *c, const void *p, size_t len)
{
    return octets_add(&c->out, p, len);
}

static bool is_tls(enum kind k)
{
    return k == KIND_H2_TLS || k == KIND_H1_TLS;
}

static bool is_h2(enum kind k)
{
    return k == KIND_H2_TLS || k == KIND_H2C;
}

/* ---- TLS ---- */

static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct conn *c = SSL_get_app_data(ssl);
    struct app *a = &c->soak->apps[c->app];
    SSL_SESSION_free(a->session);
    a->session = session; /* given */
    return 1;
}

bool tls_init(struct soak *s)
{
    s->tls = SSL_CTX_new(TLS_client_method());
    if (!s->tls || SSL_CTX_load_verify_locations(s->tls, s->opt.ca, NULL) != 1)
        return false;
    SSL_CTX_set_verify(s->tls, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(s->tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(s->tls,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    SSL_CTX_sess_set_new_cb(s->tls, on_session);
    return true;
}

static bool start_tls(struct conn *c)
{
    static const unsigned char h2[] = "\x02h2", h1[] = "\x08http/1.1";
    struct soak *s = c->soak;
    struct app *a = &s->apps[c->app];
    c->ssl = SSL_new(s->tls);
    if (!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1 ||
        SSL_set_tlsext_host_name(c->ssl, a->host) != 1 || SSL_set1_host(c->ssl, a->host) != 1 ||
        SSL_set_alpn_protos(c->ssl, is_h2(c->kind) ? h2 : h1,
                            (unsigned)(is_h2(c->kind) ? sizeof h2 : sizeof h1) - 1) != 0)
        return false;
    SSL_set_app_data(c->ssl, c);
    if (soak_chance(s, 200))
        SSL_set_max_proto_version(c->ssl, TLS1_2_VERSION);
    if (a->session && soak_chance(s, 500))
        SSL_set_session(c->ssl, a->session);
    SSL_set_connect_state(c->ssl);
    return true;
}

/* ---- life ---- */

static void watch(struct conn *c)
{
    bool quiet = c->quiet_until_us != 0;
    bool write = !c->connected || c->want_write || c->out.len > 0;
    struct epoll_event e = {.events = (quiet ? 0u : EPOLLIN) | (write ? EPOLLOUT : 0u),
                            .data.ptr = c};
    epoll_ctl(c->soak->epoll, EPOLL_CTL_MOD, c->fd, &e);
}

static struct conn *conn_open(struct soak *s, enum kind kind, unsigned app)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)(is_tls(kind) ? s->opt.https_port : s->opt.http_port)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct conn *c = calloc(1, sizeof *c);
    int on = 1;
    if (!c)
        return NULL;
    c->soak = s;
    c->kind = kind;
    c->app = app;
    c->number = ++s->conns_opened;
    c->opened_us = s->now_us;
    c->try_until_us = s->now_us + HANDSHAKE_TRY_US;
    c->uses_left = 1 + soak_below(s, is_h2(kind) ? 600 : 150);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
    if (c->fd < 0 || setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
        (connect(c->fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS) ||
        epoll_ctl(s->epoll, EPOLL_CTL_ADD, c->fd, &e) < 0 || (is_tls(kind) && !start_tls(c))) {
        s->connect_failures++;
        if (c->fd >= 0)
            close(c->fd);
        SSL_free(c->ssl);
        free(c);
        return NULL;
    }
    c->slot = s->conn_count;
    s->conns[s->conn_count++] = c;
    return c;
}

static void tell_requests(struct conn *c, const char *why)
{
    struct soak *s = c->soak;
    for (struct request *r = s->requests.next, *next; r != &s->requests; r = next) {
        next = r->next;
        if (r->conn == c)
            request_lost(s, r, why);
    }
}

void conn_close(struct conn *c, const char *why, bool reset)
{
    struct soak *s = c->soak;
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    tell_requests(c, why);
    if (reset)
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    else if (c->ssl && c->ready && !c->broken)
        SSL_shutdown(c->ssl);
    ERR_clear_error();
    nghttp2_session_del(c->h2);
    SSL_free(c->ssl);
    close(c->fd);
    free(c->out.p);
    free(c->in.p);
    s->conns[c->slot] = s->conns[--s->conn_count];
    s->conns[c->slot]->slot = c->slot;
    free(c);
}

/* ---- which connection ---- */

static unsigned room_on(const struct conn *c)
{
    return is_h2(c->kind) ? H2_STREAMS : 1;
}

static struct conn *choose(struct soak *s, enum kind kind, unsigned app)
{
    struct conn *found = NULL;
    unsigned fit = 0, same = 0;
    for (unsigned i = 0; i < s->conn_count; i++) {
        struct conn *c = s->conns[i];
        if (c->kind != kind || (is_tls(kind) && c->app != app) || c->ending || c->goaway)
            continue;
        same++;
        if (c->uses_left == 0 || c->open >= room_on(c))
            continue;
        if (soak_below(s, ++fit) == 0)
            found = c;
    }
    /* A few h2 connections rather than one, and new ones all the time. */
    bool want_new = !found || (is_h2(kind) && same < 4) || soak_chance(s, 10);
    if (want_new && s->conn_count < s->opt.conns) {
        struct conn *c = conn_open(s, kind, app);
        if (c)
            return c;
    }
    return found;
}

bool conn_take(struct soak *s, struct request *r)
{
    static const unsigned weights[KINDS] = {
        [KIND_H2_TLS] = 45, [KIND_H1_TLS] = 20, [KIND_H1] = 20, [KIND_H2C] = 15};
    struct conn *c = NULL;
    for (int tries = 0; tries < 8 && !c; tries++) {
        uint32_t k = soak_below(s, 100);
        enum kind kind = KIND_H2_TLS;
        while (k >= weights[kind])
            k -= weights[kind++];
        if (s->opt.kinds >> kind & 1)
            c = choose(s, kind, r->app);
    }
    if (!c)
        return false;
    r->conn = c;
    r->began_us = s->now_us;
    r->queued = NULL;
    c->open++;
    c->uses_left--;
    if (!c->ready) {
        if (c->last)
            c->last->queued = r;
        else
            c->first = r;
        c->last = r;
        return true;
    }
    if (!(is_h2(c->kind) ? h2_begin(c, r) : h1_begin(c, r))) {
        conn_close(c, "out of memory", true);
        return true;
    }
    conn_flush(c);
    return true;
}

/* ---- events ---- */

static const char *begin_queued(struct conn *c)
{
    struct request *r = c->first;
    c->first = c->last = NULL;
    for (struct request *next; r; r = next) {
        next = r->queued;
        r->queued = NULL;
        if (!(is_h2(c->kind) ? h2_begin(c, r) : h1_begin(c, r)))
            return "out of memory";
    }
    return NULL;
}

static const char *tls_why(struct conn *c, int n, bool *again)
{
    switch (SSL_get_error(c->ssl, n)) {
    case SSL_ERROR_WANT_READ:
        *again = true;
        return NULL;
    case SSL_ERROR_WANT_WRITE:
        *again = true;
        c->want_write = true;
        return NULL;
    case SSL_ERROR_ZERO_RETURN:
        return "TLS close";
    case SSL_ERROR_SYSCALL:
        c->broken = true;
        return errno == ECONNRESET ? "reset" : errno == EPIPE ? "EPIPE" : "closed";
    default:
        c->broken = true;
        if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
            return "closed without TLS close";
        static char text[160];
        ERR_error_string_n(ERR_peek_error(), text, sizeof text);
        return text;
    }
}

/* return  NULL, or why it cannot go on */
static const char *handshake(struct conn *c)
{
    const unsigned char *alpn;
    unsigned alpn_len;
    bool again = false;
    if (c->ssl) {
        ERR_clear_error();
        c->want_write = false;
        int n = SSL_do_handshake(c->ssl);
        if (n != 1)
            return tls_why(c, n, &again);
        SSL_get0_alpn_selected(c->ssl, &alpn, &alpn_len);
        if (is_h2(c->kind) ? alpn_len != 2 || memcmp(alpn, "h2", 2) != 0
                           : alpn_len != 8 || memcmp(alpn, "http/1.1", 8) != 0)
            return "another protocol was chosen than the one we named";
        c->soak->handshakes++;
        if (SSL_session_reused(c->ssl))
            c->soak->resumed++;
    }
    c->ready = true;
    if (is_h2(c->kind) && !h2_init(c))
        return "out of memory";
    return begin_queued(c);
}

/* return  octets, 0 for again, -1 with *why */
static ssize_t receive(struct conn *c, uint8_t *to, size_t cap, const char **why)
{
    bool again = false;
    if (c->ssl) {
        ERR_clear_error();
        errno = 0;
        int n = SSL_read(c->ssl, to, (int)cap);
        if (n > 0)
            return n;
        *why = tls_why(c, n, &again);
        return *why ? -1 : 0;
    }
    ssize_t n = recv(c->fd, to, cap, 0);
    if (n > 0)
        return n;
    if (n < 0 && errno == EAGAIN)
        return 0;
    *why = n == 0 ? "closed" : errno == ECONNRESET ? "reset" : strerror(errno);
    return -1;
}

static ssize_t transmit(struct conn *c, const char **why)
{
    bool again = false;
    if (c->ssl) {
        ERR_clear_error();
        errno = 0;
        c->want_write = false;
        int n = SSL_write(c->ssl, c->out.p, c->out.len < 16384 ? (int)c->out.len : 16384);
        if (n > 0)
            return n;
        *why = tls_why(c, n, &again);
        return *why ? -1 : 0;
    }
    ssize_t n = send(c->fd, c->out.p, c->out.len, MSG_NOSIGNAL);
    if (n > 0)
        return n;
    if (n < 0 && errno == EAGAIN)
        return 0;
    *why = n < 0 && errno == ECONNRESET ? "reset" : n < 0 ? strerror(errno) : "closed";
    return -1;
}

void conn_flush(struct conn *c)
{
    const char *why = NULL;
    c->want_flush = false;
    if (!c->ready || c->broken)
        return;
    for (;;) {
        if (is_h2(c->kind))
            h2_produce(c);
        else
            h1_more_upload(c);
        if (c->out.len == 0)
            break;
        ssize_t n = transmit(c, &why);
        if (n < 0) {
            /* What the peer said before it closed may still wait to be read. */
            c->broken = true;
            c->out.len = 0;
            c->ending = true;
            break;
        }
        if (n == 0)
            break;
        octets_drop(&c->out, (size_t)n);
    }
    watch(c);
}

/* The connection has done what it was for. */
static bool is_over(const struct conn *c)
{
    if (!c->ready || c->open || c->out.len)
        return false;
    if (is_h2(c->kind))
        return c->goaway || c->uses_left == 0 ||
               (!nghttp2_session_want_read(c->h2) && !nghttp2_session_want_write(c->h2));
    return c->ending || c->uses_left == 0;
}

void conn_read(struct conn *c)
{
    static uint8_t in[READ_OCTETS];
    const char *why = NULL;
    bool wrong = false;
    while (!why) {
        bool slow = c->current && c->current->slow;
        ssize_t n = receive(c, in, slow ? SLOW_STEP_OCTETS : sizeof in, &why);
        if (n <= 0)
            break;
        why =
            is_h2(c->kind) ? h2_feed(c, in, (size_t)n, &wrong) : h1_feed(c, in, (size_t)n, &wrong);
        if (why)
            break;
        if (c->current && request_wants_abort(c->current)) {
            struct request *r = c->current;
            c->current = NULL;
            request_over(c->soak, r, OUT_ABORTED, NULL);
            conn_close(c, "", soak_chance(c->soak, 500));
            return;
        }
        if (c->current && c->current->slow) {
            c->quiet_until_us = c->soak->now_us + SLOW_STEP_US;
            break;
        }
    }
    if (why) {
        if (wrong)
            report_wrong(c->soak, c, why);
        conn_close(c, why, wrong);
        return;
    }
    conn_flush(c);
    if (is_over(c))
        conn_close(c, "", false);
}

void conn_event(struct conn *c, uint32_t events)
{
    if (!c->connected) {
        int err = 0;
        socklen_t len = sizeof err;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len);
        if (err) {
            c->soak->connect_failures++;
            conn_close(c, err == ECONNREFUSED ? "refused" : strerror(err), false);
            return;
        }
        if (!(events & EPOLLOUT))
            return;
        c->connected = true;
    }
    if (!c->ready) {
        const char *why = handshake(c);
        if (why) {
            conn_close(c, why, true);
            return;
        }
        if (!c->ready) {
            watch(c);
            return;
        }
    }
    if (events & EPOLLOUT)
        conn_flush(c);
    if (c->quiet_until_us == 0 || events & (EPOLLHUP | EPOLLERR)) {
        conn_read(c);
        return;
    }
    watch(c);
}

void conn_tick(struct conn *c)
{
    struct soak *s = c->soak;
    if (!c->ready && s->now_us > c->try_until_us) {
        conn_close(c, "the handshake took too long", true);
        return;
    }
    if (c->quiet_until_us && s->now_us >= c->quiet_until_us) {
        c->quiet_until_us = 0;
        conn_read(c);
        return;
    }
    if (c->want_flush)
        conn_flush(c);
    if (is_over(c))
        conn_close(c, "", false);
}
