/* SPDX-License-Identifier: Apache-2.0 */
#include "net/dial.h"
#include "base/addr.h"
#include "base/clock.h"
#include "base/err.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct dial {
    int fd;
    SSL_CTX *ctx;
    SSL *ssl; /* NULL: plain */
};

/* return  0, or ERR_TIMEOUT */
static int wait_for(int fd, short events, uint64_t until_us)
{
    struct pollfd p = {.fd = fd, .events = events};
    for (;;) {
        uint64_t now = clock_mono_us();
        if (now >= until_us)
            return ERR_TIMEOUT;
        uint64_t ms = (until_us - now) / 1000 + 1;
        int n = poll(&p, 1, ms > INT_MAX ? INT_MAX : (int)ms);
        if (n > 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return ERR_TIMEOUT;
    }
}

/* ---- TCP ---- */

static bool is_localhost(struct slice host)
{
    return slice_ieq(host, SLICE("localhost")) ||
           (host.len > 10 && slice_ieq(slice_of(host.p + host.len - 10, 10), SLICE(".localhost")));
}

/* return  a connected, non-blocking socket; -1: errno tells */
static int connect_to(const struct sockaddr *sa, socklen_t len, uint64_t until_us)
{
    int error = 0, on = 1;
    socklen_t error_len = sizeof error;
    int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    /* A small request must not wait for the acknowledgement of the one before. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, sa, len) == 0)
        return fd;
    error = errno;
    if (error == EINPROGRESS) {
        error = wait_for(fd, POLLOUT, until_us) < 0 ? ETIMEDOUT : 0;
        if (!error && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_len) < 0)
            error = errno;
    }
    if (!error)
        return fd;
    close(fd);
    errno = error;
    return -1;
}

static int connect_loopback(uint16_t port, uint64_t until_us)
{
    static const char *const hosts[] = {"127.0.0.1", "[::1]"};
    int fd = -1, error = 0;
    for (size_t i = 0; fd < 0 && i < sizeof hosts / sizeof hosts[0]; i++) {
        char text[ADDR_TEXT_OCTETS];
        struct addr a;
        snprintf(text, sizeof text, "%s:%u", hosts[i], port);
        if (addr_parse(slice_str(text), &a) == 0)
            fd = connect_to(&a.u.sa, a.len, until_us);
        if (fd < 0 && !error)
            error = errno; /* of the first: a machine without IPv6 says little by the second */
    }
    errno = error;
    return fd;
}

static int connect_named(const char *host, uint16_t port, uint64_t until_us, const char **why_out)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG}, *all = NULL;
    char service[8];
    int fd = -1;
    snprintf(service, sizeof service, "%u", port);
    int err = getaddrinfo(host, service, &hints, &all);
    if (err) {
        *why_out = gai_strerror(err);
        return -1;
    }
    for (const struct addrinfo *a = all; a && fd < 0; a = a->ai_next)
        fd = connect_to(a->ai_addr, a->ai_addrlen, until_us);
    *why_out = strerror(errno);
    freeaddrinfo(all);
    return fd;
}

/* ---- TLS ---- */

/* What to wait for before the call is tried again.  return  0: it has failed */
static short wanted(const SSL *ssl, int result)
{
    switch (SSL_get_error(ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return POLLIN;
    case SSL_ERROR_WANT_WRITE:
        return POLLOUT;
    default:
        return 0;
    }
}

static bool set_name(SSL *ssl, const char *host)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    if (X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1)
        return true; /* RFC 6066 3: no address as a server name */
    ERR_clear_error();
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

static int shake_hands(struct dial *d, const struct dial_to *to, uint64_t until_us,
                       const char **why_out)
{
    static const unsigned char both[] = "\2h2\10http/1.1";
    const unsigned char *offer = to->h2 ? both : both + 3;
    unsigned offer_len = (unsigned)(sizeof both - 1 - (to->h2 ? 0 : 3));
    *why_out = "TLS cannot be set up";
    d->ctx = SSL_CTX_new(TLS_client_method());
    if (!d->ctx || SSL_CTX_set_min_proto_version(d->ctx, TLS1_2_VERSION) != 1)
        return ERR_TLS;
    SSL_CTX_set_default_verify_paths(d->ctx);
    if (to->authority)
        SSL_CTX_load_verify_locations(d->ctx, to->authority, NULL);
    ERR_clear_error();
    SSL_CTX_set_verify(d->ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(d->ctx, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    d->ssl = SSL_new(d->ctx);
    if (!d->ssl || SSL_set_fd(d->ssl, d->fd) != 1 || !set_name(d->ssl, to->host) ||
        SSL_set_alpn_protos(d->ssl, offer, offer_len) != 0)
        return ERR_TLS;
    for (;;) {
        ERR_clear_error();
        int result = SSL_connect(d->ssl);
        if (result == 1)
            return 0;
        short events = wanted(d->ssl, result);
        if (events && wait_for(d->fd, events, until_us) == 0)
            continue;
        long verified = SSL_get_verify_result(d->ssl);
        unsigned long code = ERR_peek_error();
        *why_out = events                  ? "TLS took too long"
                   : verified != X509_V_OK ? X509_verify_cert_error_string(verified)
                   : code                  ? ERR_reason_error_string(code)
                                           : "the peer closed during the TLS handshake";
        return ERR_TLS;
    }
}

struct dial *dial_open(const struct dial_to *to, uint64_t until_us, char *why_out, size_t cap)
{
    const char *why = NULL;
    struct dial *d = calloc(1, sizeof *d);
    if (!d) {
        snprintf(why_out, cap, "%s", err_text(ERR_NOMEM));
        return NULL;
    }
    if (is_localhost(slice_str(to->host))) {
        d->fd = connect_loopback(to->port, until_us);
        why = strerror(errno);
    } else {
        d->fd = connect_named(to->host, to->port, until_us, &why);
    }
    if (d->fd >= 0 && (!to->tls || shake_hands(d, to, until_us, &why) == 0))
        return d;
    snprintf(why_out, cap, "%s", why ? why : "TLS failed");
    ERR_clear_error();
    dial_close(d);
    return NULL;
}

void dial_close(struct dial *d)
{
    if (d->ssl) {
        SSL_shutdown(d->ssl);
        ERR_clear_error();
    }
    SSL_free(d->ssl);
    SSL_CTX_free(d->ctx);
    if (d->fd >= 0)
        close(d->fd);
    free(d);
}

/* ---- octets ---- */

static ssize_t read_plain(struct dial *d, void *out, size_t cap, short *events_out)
{
    ssize_t n = recv(d->fd, out, cap, 0);
    *events_out = n < 0 && (errno == EAGAIN || errno == EINTR) ? POLLIN : 0;
    return n >= 0 ? n : ERR_CLOSED;
}

static ssize_t read_tls(struct dial *d, void *out, size_t cap, short *events_out)
{
    ERR_clear_error();
    int n = SSL_read(d->ssl, out, cap > INT_MAX ? INT_MAX : (int)cap);
    *events_out = n > 0 ? 0 : wanted(d->ssl, n);
    if (n > 0)
        return n;
    return SSL_get_error(d->ssl, n) == SSL_ERROR_ZERO_RETURN ? 0 : ERR_CLOSED;
}

ssize_t dial_read(struct dial *d, void *out, size_t cap, uint64_t until_us)
{
    for (;;) {
        short events;
        ssize_t n = d->ssl ? read_tls(d, out, cap, &events) : read_plain(d, out, cap, &events);
        if (!events)
            return n;
        if (wait_for(d->fd, events, until_us) < 0)
            return ERR_TIMEOUT;
    }
}

int dial_write(struct dial *d, const void *in, size_t len, uint64_t until_us)
{
    const char *at = in;
    while (len) {
        short events = 0;
        ssize_t n;
        if (d->ssl) {
            ERR_clear_error();
            n = SSL_write(d->ssl, at, len > INT_MAX ? INT_MAX : (int)len);
            if (n <= 0)
                events = wanted(d->ssl, (int)n);
        } else {
            n = send(d->fd, at, len, MSG_NOSIGNAL);
            if (n < 0 && (errno == EAGAIN || errno == EINTR))
                events = POLLOUT;
        }
        if (n > 0) {
            at += n;
            len -= (size_t)n;
        } else if (!events) {
            return ERR_CLOSED;
        } else if (wait_for(d->fd, events, until_us) < 0) {
            return ERR_TIMEOUT;
        }
    }
    return 0;
}

bool dial_is_h2(const struct dial *d)
{
    const unsigned char *name = NULL;
    unsigned len = 0;
    if (d->ssl)
        SSL_get0_alpn_selected(d->ssl, &name, &len);
    return slice_eq(slice_of(name, len), SLICE("h2"));
}

bool dial_is_local(const struct dial *d)
{
    struct addr self = {.len = sizeof self.u}, peer = {.len = sizeof peer.u};
    char a[ADDR_TEXT_OCTETS], b[ADDR_TEXT_OCTETS];
    if (getsockname(d->fd, &self.u.sa, &self.len) != 0 ||
        getpeername(d->fd, &peer.u.sa, &peer.len) != 0)
        return false;
    addr_format_host(&self, a, sizeof a);
    addr_format_host(&peer, b, sizeof b);
    return strcmp(a, b) == 0;
}
