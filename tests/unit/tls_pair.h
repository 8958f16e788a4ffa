/* SPDX-License-Identifier: Apache-2.0 */
/* A TLS server's connection and OpenSSL's client, joined by memory. */
#ifndef TESTS_TLS_PAIR_H
#define TESTS_TLS_PAIR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include "net/tls_internal.h"
#include "tls_fixture.h"

#include <stdlib.h>

/* Two sites and what the ClientHello callback answers for them. */
static struct tls_identity *id_a, *id_b;
static struct tls_server *server;
static struct tls_ciphers *ciphers;
static struct pool pool;
static unsigned choose_calls;
static struct tls_choice choice_a;

static inline int choose(void *user, struct slice name, struct tls_choice *out)
{
    choose_calls++;
    assert_ptr_equal(user, &pool);
    if (slice_eq(name, SLICE("a.test")) || name.len == 0) {
        *out = choice_a;
        return 0;
    }
    if (slice_eq(name, SLICE("b.test"))) {
        *out = (struct tls_choice){.identity = id_b, .min_version = TLS_1_2};
        return 0;
    }
    return ERR_NOTFOUND;
}

static inline int setup(void **state)
{
    pool_init(&pool);
    id_a = fixture_identity("DNS:a.test");
    id_b = fixture_identity("DNS:b.test,DNS:*.c.test,IP:127.0.0.1,IP:::1");
    server = tls_server_new();
    ciphers = tls_ciphers_new();
    choice_a = (struct tls_choice){.identity = id_a, .min_version = TLS_1_2, .h2 = true};
    return server ? 0 : -1;
}

static inline int teardown(void **state)
{
    tls_identity_unref(id_a);
    tls_identity_unref(id_b);
    tls_ciphers_free(ciphers);
    tls_server_free(server);
    if (pool.live)
        print_error("%d blocks of the pool leak\n", (int)pool.live);
    int left = pool.live != 0;
    pool_fini(&pool);
    return left;
}

/* A connection of both sides, joined by memory. */
struct pair {
    SSL *client;
    BIO *to_client, *from_client;
    struct tls_conn *conn;
    size_t step;    /* octets given to the server at once */
    size_t out_cap; /* room for plaintext in one call */
    ssize_t err;    /* the server's first error */
    struct buf got; /* plaintext that the server received */
    bool client_failed;
    unsigned client_alert;
};

static inline void on_client_event(const SSL *ssl, int where, int ret)
{
    struct pair *p = *(struct pair **)SSL_get_ex_data(ssl, 1);
    if (where == SSL_CB_READ_ALERT)
        p->client_alert = (unsigned)ret & 0xff;
}

static inline void pair_open(struct pair *p, const struct client_wish *wish,
                             SSL_SESSION **session_out)
{
    *p = (struct pair){.step = SIZE_MAX, .out_cap = 16384};
    p->client = fixture_client(wish, session_out);
    struct pair **self = malloc(sizeof *self);
    *self = p;
    SSL_set_ex_data(p->client, 1, self);
    SSL_set_info_callback(p->client, on_client_event);
    p->to_client = BIO_new(BIO_s_mem());
    p->from_client = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(p->to_client, -1);
    SSL_set_bio(p->client, p->to_client, p->from_client);
    p->conn = tls_accept(server, ciphers, &pool, choose, &pool);
    assert_non_null(p->conn);
    buf_init(&p->got, &pool);
}

static inline void pair_close(struct pair *p)
{
    free(SSL_get_ex_data(p->client, 1));
    SSL_shutdown(p->client); /* else its session may not be used again */
    SSL_free(p->client);
    tls_conn_free(p->conn);
    buf_fini(&p->got);
}

static inline void server_takes(struct pair *p, const char *in, size_t len)
{
    struct buf wire;
    char *out = malloc(p->out_cap);
    buf_init(&wire, &pool);
    while (len || tls_has_pending(p->conn)) {
        size_t taken, n = len < p->step ? len : p->step;
        ssize_t got = tls_decrypt(p->conn, in, n, &taken, out, p->out_cap, &wire);
        in += taken;
        len -= taken;
        if (got < 0) {
            p->err = got;
            break;
        }
        assert_int_equal(buf_add(&p->got, out, (size_t)got), 0);
        assert_true(taken == n || (size_t)got == p->out_cap);
    }
    if (buf_len(&wire))
        BIO_write(p->to_client, buf_at(&wire), (int)buf_len(&wire));
    buf_fini(&wire);
    free(out);
}

/* Hand octets over until both sides are quiet. */
static inline void pump(struct pair *p)
{
    for (int i = 0; i < 20 && !p->err; i++) {
        char *octets;
        ERR_clear_error();
        int r = SSL_is_init_finished(p->client) ? SSL_peek(p->client, &(char){0}, 1)
                                                : SSL_do_handshake(p->client);
        if (r <= 0 && SSL_get_error(p->client, r) == SSL_ERROR_SSL)
            p->client_failed = true;
        long n = BIO_get_mem_data(p->from_client, &octets);
        if (n == 0)
            break;
        char *copy = malloc((size_t)n);
        memcpy(copy, octets, (size_t)n);
        (void)BIO_reset(p->from_client);
        server_takes(p, copy, (size_t)n);
        free(copy);
    }
    char c;
    ERR_clear_error();
    int r = SSL_peek(p->client, &c, 1);
    if (r <= 0 && SSL_get_error(p->client, r) == SSL_ERROR_SSL)
        p->client_failed = true;
    ERR_clear_error();
}

static inline void client_says(struct pair *p, const void *in, size_t len)
{
    size_t n;
    assert_int_equal(SSL_write_ex(p->client, in, len, &n), 1);
    assert_int_equal(n, len);
    pump(p);
}

static inline void server_says(struct pair *p, const void *in, size_t len)
{
    size_t cap = TLS_WIRE_BOUND(len);
    char *out = malloc(cap);
    ssize_t n = tls_encrypt(p->conn, in, len, out, cap);
    assert_true(n > (ssize_t)len);
    BIO_write(p->to_client, out, (int)n);
    free(out);
}

static inline bool client_hears(struct pair *p, const char *expected, size_t len)
{
    char *in = malloc(len);
    size_t at = 0, n;
    while (at < len && SSL_read_ex(p->client, in + at, len - at, &n) == 1)
        at += n;
    bool same = at == len && memcmp(in, expected, len) == 0;
    free(in);
    return same;
}

static inline bool client_saw(struct pair *p, const struct tls_identity *id, const char *name)
{
    X509 *cert = SSL_get1_peer_certificate(p->client);
    bool ok =
        cert && X509_check_host(cert, name, 0, 0, NULL) == 1 && tls_conn_identity(p->conn) == id;
    X509_free(cert);
    return ok;
}

static inline void fill(char *p, size_t len)
{
    uint32_t x = 1;
    for (size_t i = 0; i < len; i++) {
        x = x * 1664525 + 1013904223;
        p[i] = (char)(x >> 24);
    }
}

#endif
