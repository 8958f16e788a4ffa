/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates made at run time and a TLS client in memory, for tests. */
#ifndef TESTS_TLS_FIXTURE_H
#define TESTS_TLS_FIXTURE_H

#include "base/panic.h"
#include "net/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

struct pem_pair {
    char chain[4096], key[4096];
};

static inline void fixture_pem_out(BIO *bio, char *out, size_t cap)
{
    int n = BIO_read(bio, out, (int)cap - 1);
    ASSERT(n > 0);
    out[n] = 0;
    BIO_free(bio);
}

/* A self-signed certificate for sans, such as "DNS:a.test,DNS:*.b.test". */
static inline void fixture_make(struct pem_pair *out, const char *sans, EVP_PKEY *key)
{
    X509 *cert = X509_new();
    X509V3_CTX ctx;
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_set_version(cert, 2);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
    X509_set_pubkey(cert, key);
    X509_NAME *name = X509_get_subject_name(cert);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0);
    X509_set_issuer_name(cert, name);
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
    if (sans) {
        X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, NID_subject_alt_name, sans);
        ASSERT(ext);
        X509_add_ext(cert, ext, -1);
        X509_EXTENSION_free(ext);
    }
    ASSERT(X509_sign(cert, key, EVP_sha256()) > 0);
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, cert);
    fixture_pem_out(bio, out->chain, sizeof out->chain);
    bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
    fixture_pem_out(bio, out->key, sizeof out->key);
    X509_free(cert);
}

static inline void fixture_make_ec(struct pem_pair *out, const char *sans)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    ASSERT(key);
    fixture_make(out, sans, key);
    EVP_PKEY_free(key);
}

static inline struct tls_identity *fixture_identity(const char *sans)
{
    struct pem_pair pem;
    const char *why = NULL;
    fixture_make_ec(&pem, sans);
    struct tls_identity *id = tls_identity_new(slice_str(pem.chain), slice_str(pem.key), &why);
    if (!id)
        PANIC("identity: %s", why);
    return id;
}

/* What a test client wants. */
struct client_wish {
    int version;           /* 0: any */
    const char *name;      /* NULL: without SNI */
    const char *alpn;      /* as on the wire: "\x02h2" */
    const char *suites;    /* TLS 1.3, NULL: the library's */
    const char *suites_12; /* TLS 1.2 */
    const char *groups;
    SSL_SESSION *session; /* borrowed */
};

static inline int fixture_on_session(SSL *ssl, SSL_SESSION *session)
{
    SSL_SESSION **to = SSL_get_app_data(ssl);
    if (!to)
        return 0;
    SSL_SESSION_free(*to);
    *to = session;
    return 1;
}

/* The caller sets the BIOs. session_out (NULL allowed) takes the newest session. */
static inline SSL *fixture_client(const struct client_wish *w, SSL_SESSION **session_out)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    ASSERT(ctx);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    SSL_CTX_sess_set_new_cb(ctx, fixture_on_session);
    if (w->version) {
        SSL_CTX_set_min_proto_version(ctx, w->version);
        SSL_CTX_set_max_proto_version(ctx, w->version);
    }
    if (w->suites)
        ASSERT(SSL_CTX_set_ciphersuites(ctx, w->suites) == 1);
    if (w->suites_12)
        ASSERT(SSL_CTX_set_cipher_list(ctx, w->suites_12) == 1);
    if (w->groups)
        ASSERT(SSL_CTX_set1_groups_list(ctx, w->groups) == 1);
    SSL *ssl = SSL_new(ctx);
    SSL_CTX_free(ctx);
    ASSERT(ssl);
    SSL_set_app_data(ssl, (void *)session_out);
    if (w->name)
        ASSERT(SSL_set_tlsext_host_name(ssl, w->name) == 1);
    if (w->alpn)
        ASSERT(SSL_set_alpn_protos(ssl, (const unsigned char *)w->alpn,
                                   (unsigned)strlen(w->alpn)) == 0);
    if (w->session)
        ASSERT(SSL_set_session(ssl, w->session) == 1);
    SSL_set_connect_state(ssl);
    return ssl;
}

#endif
