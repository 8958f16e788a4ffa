/* SPDX-License-Identifier: Apache-2.0 */
#include "base/panic.h"
#include "net/tls_internal.h"

#include <arpa/inet.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

/* A key under a passphrase is refused: nobody is there to type it. */
static int no_passphrase(char *buf, int size, int rwflag, void *user)
{
    return -1;
}

static const char *explain(const char *what)
{
    static _Thread_local char text[160];
    const char *reason = ERR_reason_error_string(ERR_peek_error());
    snprintf(text, sizeof text, "%s%s%s", what, reason ? ": " : "", reason ? reason : "");
    ERR_clear_error();
    return text;
}

static bool pem_at_end(void)
{
    unsigned long e = ERR_peek_last_error();
    return ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE;
}

/* return  NULL, or what is wrong */
static const char *use_chain(SSL_CTX *ctx, struct slice pem)
{
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.len);
    if (!bio)
        return explain("certificate");
    X509 *leaf = PEM_read_bio_X509_AUX(bio, NULL, no_passphrase, NULL);
    bool ok = leaf && SSL_CTX_use_certificate(ctx, leaf) == 1;
    X509_free(leaf);
    if (!ok) {
        BIO_free(bio);
        return explain("certificate");
    }
    for (;;) {
        X509 *next = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
        if (!next)
            break;
        if (SSL_CTX_add0_chain_cert(ctx, next) != 1) {
            X509_free(next);
            BIO_free(bio);
            return explain("certificate chain");
        }
    }
    BIO_free(bio);
    if (!pem_at_end())
        return explain("certificate chain");
    ERR_clear_error();
    return NULL;
}

static const char *use_key(SSL_CTX *ctx, struct slice pem)
{
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.len);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
    BIO_free(bio);
    bool ok = key && SSL_CTX_use_PrivateKey(ctx, key) == 1;
    EVP_PKEY_free(key);
    if (!ok)
        return explain("key");
    return SSL_CTX_check_private_key(ctx) == 1 ? NULL : explain("key does not match");
}

static bool add_name(struct tls_identity *id, const ASN1_IA5STRING *name)
{
    const char *p = (const char *)ASN1_STRING_get0_data(name);
    size_t len = (size_t)ASN1_STRING_length(name);
    if (len == 0 || memchr(p, 0, len)) /* a NUL inside is a trick, not a host */
        return true;
    return (id->names[id->name_count] = strndup(p, len)) && ++id->name_count;
}

static void add_ip(struct tls_identity *id, const ASN1_OCTET_STRING *ip)
{
    int len = ASN1_STRING_length(ip);
    if (len != 4 && len != 16)
        return;
    struct tls_san_ip *to = &id->ips[id->ip_count++];
    to->len = (uint8_t)len;
    memcpy(to->octets, ASN1_STRING_get0_data(ip), (size_t)len);
}

/* Once here, so that tls_identity_covers needs no parsing. */
static const char *read_names(struct tls_identity *id)
{
    X509 *leaf = SSL_CTX_get0_certificate(id->ctx);
    GENERAL_NAMES *sans = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    ERR_clear_error();
    if (!sans)
        return NULL;
    int n = sk_GENERAL_NAME_num(sans);
    id->names = calloc((size_t)n + 1, sizeof *id->names);
    id->ips = calloc((size_t)n + 1, sizeof *id->ips);
    bool ok = id->names && id->ips;
    for (int i = 0; i < n && ok; i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(sans, i);
        if (g->type == GEN_DNS)
            ok = add_name(id, g->d.dNSName);
        else if (g->type == GEN_IPADD)
            add_ip(id, g->d.iPAddress);
    }
    GENERAL_NAMES_free(sans);
    return ok ? NULL : "out of memory";
}

static void print_name(BIO *out, const X509_NAME *name)
{
    X509_NAME_print_ex(out, name, 0, XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_UTF8_CONVERT);
}

/* What tls_describe gives, made once.  return  NULL, or why not */
static const char *describe(struct tls_identity *id)
{
    X509 *leaf = SSL_CTX_get0_certificate(id->ctx);
    EVP_PKEY *key = leaf ? X509_get0_pubkey(leaf) : NULL;
    for (size_t i = 0; i < 2; i++) {
        BIO *out = BIO_new(BIO_s_mem());
        char *text;
        if (!out)
            return "out of memory";
        BIO_printf(out, "%d|%d|", key ? EVP_PKEY_get_bits(key) : 0, i == 0 ? 128 : 256);
        if (leaf)
            print_name(out, X509_get_issuer_name(leaf));
        BIO_write(out, "|", 1);
        if (leaf)
            print_name(out, X509_get_subject_name(leaf));
        long len = BIO_get_mem_data(out, &text);
        id->described[i] = len > 0 ? strndup(text, (size_t)len) : NULL;
        BIO_free(out);
        if (!id->described[i])
            return "out of memory";
        for (char *p = id->described[i]; *p; p++) /* it becomes a field's value */
            if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f)
                *p = '?';
    }
    return NULL;
}

/* return  NULL, or what is wrong */
static const char *read_pair(struct tls_identity *id, struct slice chain, struct slice key)
{
    ERR_clear_error();
    if (chain.len > INT_MAX || key.len > INT_MAX)
        return "too large";
    id->ctx = tls_context_new();
    const char *why = id->ctx ? use_chain(id->ctx, chain) : "out of memory";
    if (!why)
        why = use_key(id->ctx, key);
    if (!why)
        why = read_names(id);
    return why ? why : describe(id);
}

static struct tls_identity *identity_new(enum tls_identity_state state)
{
    struct tls_identity *id = calloc(1, sizeof *id);
    if (!id)
        return NULL;
    atomic_init(&id->refs, 1);
    atomic_init(&id->state, state);
    pthread_mutex_init(&id->lock, NULL);
    return id;
}

struct tls_identity *tls_identity_new(struct slice chain, struct slice key, const char **why_out)
{
    struct tls_identity *id = identity_new(TLS_IDENTITY_READ);
    const char *why = id ? read_pair(id, chain, key) : "out of memory";
    if (!why)
        return id;
    tls_identity_unref(id);
    if (why_out)
        *why_out = why;
    return NULL;
}

static void forget(struct tls_identity *id)
{
    for (int i = 0; i < 2; i++) {
        if (id->pem[i])
            OPENSSL_cleanse(id->pem[i], id->pem_octets[i]);
        free(id->pem[i]);
        id->pem[i] = NULL;
    }
}

struct tls_identity *tls_identity_deferred(struct slice chain, struct slice key)
{
    struct tls_identity *id = identity_new(TLS_IDENTITY_DEFERRED);
    const struct slice from[2] = {chain, key};
    for (int i = 0; id && i < 2; i++) {
        id->pem[i] = malloc(from[i].len + 1);
        if (!id->pem[i]) {
            tls_identity_unref(id);
            return NULL;
        }
        memcpy(id->pem[i], from[i].p, from[i].len);
        id->pem_octets[i] = from[i].len;
    }
    return id;
}

bool tls_identity_read(struct tls_identity *id, const char **why_out)
{
    int state = atomic_load_explicit(&id->state, memory_order_acquire);
    *why_out = NULL;
    if (state != TLS_IDENTITY_DEFERRED)
        return state == TLS_IDENTITY_READ;
    pthread_mutex_lock(&id->lock);
    state = atomic_load_explicit(&id->state, memory_order_relaxed);
    if (state == TLS_IDENTITY_DEFERRED) {
        *why_out = read_pair(id, slice_of(id->pem[0], id->pem_octets[0]),
                             slice_of(id->pem[1], id->pem_octets[1]));
        forget(id);
        state = *why_out ? TLS_IDENTITY_BAD : TLS_IDENTITY_READ;
        atomic_store_explicit(&id->state, state, memory_order_release);
    }
    pthread_mutex_unlock(&id->lock);
    return state == TLS_IDENTITY_READ;
}

struct tls_identity *tls_identity_ref(struct tls_identity *id)
{
    atomic_fetch_add_explicit(&id->refs, 1, memory_order_relaxed);
    return id;
}

void tls_identity_unref(struct tls_identity *id)
{
    if (!id || atomic_fetch_sub_explicit(&id->refs, 1, memory_order_acq_rel) != 1)
        return;
    forget(id);
    pthread_mutex_destroy(&id->lock);
    SSL_CTX_free(id->ctx);
    for (size_t i = 0; i < id->name_count; i++)
        free(id->names[i]);
    free(id->names);
    free(id->ips);
    free(id->described[0]);
    free(id->described[1]);
    free(id);
}

/* RFC 9525 6.3: the wildcard is the whole left-most label and stands for exactly one; like
 * browsers, at least two labels must follow it. */
static bool name_covers(struct slice pattern, struct slice host)
{
    if (!slice_starts(pattern, SLICE("*.")))
        return slice_ieq(pattern, host);
    const char *dot = memchr(host.p, '.', host.len);
    if (!dot || dot == host.p)
        return false;
    struct slice rest = slice_of(dot, host.len - (size_t)(dot - host.p));
    struct slice wanted = slice_of(pattern.p + 1, pattern.len - 1);
    return memchr(wanted.p + 1, '.', wanted.len - 1) && slice_ieq(wanted, rest);
}

static bool ip_covers(const struct tls_identity *id, const char *host)
{
    uint8_t octets[16];
    uint8_t len = inet_pton(AF_INET, host, octets) == 1    ? 4
                  : inet_pton(AF_INET6, host, octets) == 1 ? 16
                                                           : 0;
    for (size_t i = 0; len && i < id->ip_count; i++)
        if (id->ips[i].len == len && memcmp(id->ips[i].octets, octets, len) == 0)
            return true;
    return false;
}

bool tls_identity_covers(const struct tls_identity *id, struct slice host)
{
    char text[TLS_NAME_MAX_OCTETS + 1];
    if (host.len && host.p[host.len - 1] == '.')
        host.len--;
    if (host.len >= 2 && host.p[0] == '[' && host.p[host.len - 1] == ']')
        host = slice_of(host.p + 1, host.len - 2);
    if (host.len == 0 || host.len > TLS_NAME_MAX_OCTETS || memchr(host.p, 0, host.len))
        return false;
    for (size_t i = 0; i < id->name_count; i++)
        if (name_covers(slice_str(id->names[i]), host))
            return true;
    if (id->ip_count == 0)
        return false;
    memcpy(text, host.p, host.len);
    text[host.len] = 0;
    return ip_covers(id, text);
}

void tls_sha1(const void *in, size_t len, uint8_t out[TLS_SHA1_OCTETS])
{
    ASSERT(EVP_Digest(in, len, out, NULL, EVP_sha1(), NULL) == 1);
}

void tls_sha256(const void *in, size_t len, uint8_t out[TLS_SHA256_OCTETS])
{
    ASSERT(EVP_Digest(in, len, out, NULL, EVP_sha256(), NULL) == 1);
}

bool tls_same(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}
