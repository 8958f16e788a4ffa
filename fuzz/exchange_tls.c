/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange_tls.h"
#include "base/panic.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

struct exchange_tls {
    SSL *ssl;
    BIO *in, *out;
    struct buf *wire;
    bool is_over;
};

static SSL_CTX *context;
static SSL_SESSION *newest;

/* ---- certificates ---- */

static char *take_text(BIO *b)
{
    char *text;
    long len = BIO_get_mem_data(b, &text);
    char *copy = strndup(text, (size_t)len);
    ASSERT(copy);
    BIO_free(b);
    return copy;
}

void exchange_tls_certificate(const char *names, char **chain_out, char **key_out)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    BIO *chain_text = BIO_new(BIO_s_mem()), *key_text = BIO_new(BIO_s_mem());
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
    ASSERT(key && x && e && chain_text && key_text);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 86400);
    ASSERT(X509_set_version(x, X509_VERSION_3) && X509_set_pubkey(x, key) &&
           X509_add_ext(x, e, -1) && X509_sign(x, key, EVP_sha256()));
    ASSERT(PEM_write_bio_X509(chain_text, x) &&
           PEM_write_bio_PrivateKey(key_text, key, NULL, NULL, 0, NULL, NULL));
    *chain_out = take_text(chain_text);
    *key_out = take_text(key_text);
    X509_EXTENSION_free(e);
    X509_free(x);
    EVP_PKEY_free(key);
}

/* ---- the connection ---- */

static int on_session(SSL *ssl, SSL_SESSION *s)
{
    (void)ssl;
    SSL_SESSION_free(newest);
    newest = s;
    return 1; /* it is ours */
}

static void context_open(void)
{
    context = SSL_CTX_new(TLS_client_method());
    ASSERT(context);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, on_session);
}

void exchange_tls_tidy(void)
{
    SSL_SESSION_free(newest);
    SSL_CTX_free(context);
}

/* What OpenSSL has to say. */
static void draw(struct exchange_tls *t)
{
    char out[4096];
    int n;
    while ((n = BIO_read(t->out, out, sizeof out)) > 0)
        buf_add(t->wire, out, (size_t)n);
}

struct exchange_tls *exchange_tls_new(unsigned how, const char *name, struct buf *wire)
{
    static const unsigned char h2[] = "\2h2", h1[] = "\10http/1.1";
    if (!context)
        context_open();
    struct exchange_tls *t = calloc(1, sizeof *t);
    ASSERT(t);
    *t = (struct exchange_tls){.ssl = SSL_new(context),
                               .in = BIO_new(BIO_s_mem()),
                               .out = BIO_new(BIO_s_mem()),
                               .wire = wire};
    ASSERT(t->ssl && t->in && t->out);
    SSL_set_bio(t->ssl, t->in, t->out);
    SSL_set_connect_state(t->ssl);
    if (how & EXCHANGE_TLS_H2)
        SSL_set_alpn_protos(t->ssl, h2, sizeof h2 - 1);
    else
        SSL_set_alpn_protos(t->ssl, h1, sizeof h1 - 1);
    if (how & EXCHANGE_TLS_1_2)
        SSL_set_max_proto_version(t->ssl, TLS1_2_VERSION);
    if (how & EXCHANGE_TLS_RESUME && newest)
        SSL_set_session(t->ssl, newest);
    if (name)
        SSL_set_tlsext_host_name(t->ssl, name);
    SSL_do_handshake(t->ssl);
    draw(t);
    return t;
}

void exchange_tls_free(struct exchange_tls *t)
{
    if (!t)
        return;
    SSL_free(t->ssl);
    free(t);
    ERR_clear_error();
}

size_t exchange_tls_seal(struct exchange_tls *t, struct slice plain)
{
    size_t n = 0;
    if (t->is_over || !SSL_is_init_finished(t->ssl) || plain.len == 0)
        return 0;
    SSL_write_ex(t->ssl, plain.p, plain.len, &n);
    draw(t);
    return n;
}

ssize_t exchange_tls_open(struct exchange_tls *t, struct slice in, void *out, size_t cap)
{
    size_t n = 0;
    ERR_clear_error();
    if (in.len)
        BIO_write(t->in, in.p, (int)in.len);
    int got = SSL_read_ex(t->ssl, out, cap, &n);
    int error = got ? SSL_ERROR_NONE : SSL_get_error(t->ssl, got);
    draw(t);
    t->is_over |= error != SSL_ERROR_NONE && error != SSL_ERROR_WANT_READ;
    return got ? (ssize_t)n : t->is_over ? -1 : 0;
}

void exchange_tls_update(struct exchange_tls *t)
{
    if (SSL_is_init_finished(t->ssl) && SSL_version(t->ssl) == TLS1_3_VERSION) {
        SSL_key_update(t->ssl, SSL_KEY_UPDATE_REQUESTED);
        SSL_do_handshake(t->ssl);
        draw(t);
    }
}
