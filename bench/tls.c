/* SPDX-License-Identifier: Apache-2.0 */
/* What TLS costs a server, sockets left out: CPU time and libc's memory of the server's side alone,
 * with OpenSSL's client in the same process.
 * usage: bench_tls [handshakes] */
#include "base/err.h"
#include "base/panic.h"
#include "net/tls.h"
#include "../tests/unit/tls_fixture.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define CONTENT_OCTETS (64u << 10)
#define WIRE_OCTETS    (80u << 10)

static struct tls_identity *identity;
static struct tls_server *server;
static struct tls_ciphers *ciphers;
static struct pool pool;
static uint64_t spent_ns;
static int64_t held_octets;

static int choose(void *user, struct slice name, struct tls_choice *out)
{
    (void)user, (void)name;
    *out = (struct tls_choice){.identity = identity, .min_version = TLS_1_2, .h2 = true};
    return 0;
}

static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int64_t malloced(void)
{
    struct mallinfo2 m = mallinfo2();
    return (int64_t)(m.uordblks + m.hblkhd);
}

/* The server's part, counted between these two. */
static uint64_t began_ns;
static int64_t began_octets;
static bool count_memory;

static void begin(void)
{
    if (count_memory)
        began_octets = malloced();
    began_ns = cpu_ns();
}

static void end(void)
{
    spent_ns += cpu_ns() - began_ns;
    if (count_memory)
        held_octets += malloced() - began_octets;
}

static SSL_CTX *client_ctx;

struct side {
    SSL *client;
    BIO *to_client, *from_client;
    struct tls_conn *conn;
};

static void give(struct side *s)
{
    static char plain[WIRE_OCTETS];
    char *octets;
    size_t taken;
    long len = BIO_get_mem_data(s->from_client, &octets);
    struct buf wire;
    begin();
    buf_init(&wire, &pool);
    ssize_t n =
        len ? tls_decrypt(s->conn, octets, (size_t)len, &taken, plain, sizeof plain, &wire) : 0;
    end();
    ASSERT(n >= 0);
    (void)BIO_reset(s->from_client);
    if (buf_len(&wire))
        BIO_write(s->to_client, buf_at(&wire), (int)buf_len(&wire));
    begin();
    buf_fini(&wire);
    end();
}

static void connect_one(struct side *s, SSL_SESSION *session)
{
    s->client = SSL_new(client_ctx);
    s->to_client = BIO_new(BIO_s_mem());
    s->from_client = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(s->to_client, -1);
    SSL_set_bio(s->client, s->to_client, s->from_client);
    SSL_set_tlsext_host_name(s->client, "a.test");
    SSL_set_alpn_protos(s->client, (const unsigned char *)"\x02h2", 3);
    SSL_set_connect_state(s->client);
    if (session)
        SSL_set_session(s->client, session);
    begin();
    s->conn = tls_accept(server, ciphers, &pool, choose, NULL);
    end();
    while (!SSL_is_init_finished(s->client)) {
        SSL_do_handshake(s->client);
        give(s);
    }
    char c;
    SSL_peek(s->client, &c, 1); /* the ticket */
    ERR_clear_error();
    ASSERT(tls_is_established(s->conn) && tls_is_resumed(s->conn) == (session != NULL));
}

static void close_one(struct side *s)
{
    SSL_shutdown(s->client);
    SSL_free(s->client);
    begin();
    tls_conn_free(s->conn);
    end();
}

static SSL_SESSION *latest;
static int on_session(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    SSL_SESSION_free(latest);
    latest = session;
    return 1;
}

static void handshakes(const char *title, unsigned count, bool resume)
{
    spent_ns = 0;
    for (unsigned i = 0; i < count; i++) {
        struct side s;
        SSL_SESSION *session = latest;
        latest = NULL;
        connect_one(&s, resume ? session : NULL);
        close_one(&s);
        SSL_SESSION_free(session);
    }
    printf("%-34s %8.1f us CPU\n", title, (double)spent_ns / 1e3 / count);
}

static void memory(unsigned count)
{
    struct side *all = calloc(count, sizeof *all);
    ASSERT(all);
    count_memory = true;
    held_octets = 0;
    for (unsigned i = 0; i < count; i++)
        connect_one(&all[i], NULL);
    count_memory = false;
    printf("%-34s %8.1f KiB\n", "an idle connection", (double)held_octets / 1024 / count);
    for (unsigned i = 0; i < count; i++)
        close_one(&all[i]);
    free(all);
}

static void content(unsigned rounds)
{
    static char plain[CONTENT_OCTETS], wire[WIRE_OCTETS], back[WIRE_OCTETS];
    struct side s;
    size_t n, taken;
    uint64_t sealed_ns = 0, opened_ns = 0;
    struct buf alerts;
    connect_one(&s, NULL);
    buf_init(&alerts, &pool);
    for (unsigned i = 0; i < rounds; i++) {
        spent_ns = 0;
        begin();
        ssize_t len = tls_encrypt(s.conn, plain, sizeof plain, wire, sizeof wire);
        end();
        sealed_ns += spent_ns;
        ASSERT(len > 0);
        BIO_write(s.to_client, wire, (int)len);
        for (size_t at = 0; at < sizeof back && at < CONTENT_OCTETS; at += n)
            ASSERT(SSL_read_ex(s.client, back, sizeof back, &n) == 1);
        ASSERT(SSL_write_ex(s.client, plain, sizeof plain, &n) == 1);
        char *octets;
        long in = BIO_get_mem_data(s.from_client, &octets);
        spent_ns = 0;
        begin();
        len = tls_decrypt(s.conn, octets, (size_t)in, &taken, back, sizeof back, &alerts);
        end();
        opened_ns += spent_ns;
        ASSERT(len == CONTENT_OCTETS);
        (void)BIO_reset(s.from_client);
    }
    double gib = (double)rounds * CONTENT_OCTETS / (1 << 30);
    printf("%-34s %8.3f s CPU\n", "a GiB sent", (double)sealed_ns / 1e9 / gib);
    printf("%-34s %8.3f s CPU\n", "a GiB received", (double)opened_ns / 1e9 / gib);
    close_one(&s);
}

/* A small answer: what a record costs that is hardly longer than its head. */
static void small_records(unsigned rounds)
{
    static char plain[1100], wire[4096];
    struct side s;
    connect_one(&s, NULL);
    spent_ns = 0;
    begin();
    for (unsigned i = 0; i < rounds; i++)
        ASSERT(tls_encrypt(s.conn, plain, sizeof plain, wire, sizeof wire) > 0);
    end();
    printf("%-34s %8.3f us CPU\n", "a record of 1100 octets sent", (double)spent_ns / 1e3 / rounds);
    close_one(&s);
}

int main(int argc, char **argv)
{
    unsigned count = argc > 1 ? (unsigned)atoi(argv[1]) : 1000;
    pool_init(&pool);
    identity = fixture_identity("DNS:a.test");
    server = tls_server_new();
    ciphers = tls_ciphers_new();
    client_ctx = SSL_CTX_new(TLS_client_method());
    ASSERT(server && ciphers && client_ctx);
    SSL_CTX_set_session_cache_mode(client_ctx,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    SSL_CTX_sess_set_new_cb(client_ctx, on_session);
    SSL_CTX_set1_groups_list(client_ctx, "X25519");
    SSL_CTX_set_ciphersuites(client_ctx, "TLS_AES_128_GCM_SHA256");
    handshakes("(warm-up)", 50, false);
    handshakes("a new handshake", count, false);
    handshakes("a resumed handshake", count, true);
    memory(count);
    small_records(count * 100);
    content(count * 4);
    SSL_SESSION_free(latest);
    SSL_CTX_free(client_ctx);
    tls_ciphers_free(ciphers);
    tls_server_free(server);
    tls_identity_unref(identity);
    pool_fini(&pool);
    return 0;
}
