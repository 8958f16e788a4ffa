/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "net/tls_internal.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <stdlib.h>

/* ECDHE with AEAD only, so nothing of RFC 9113 appendix A can be negotiated.  AES-128-GCM first:
 * with the processor's help it costs least.  A client that puts ChaCha20 first lacks that help and
 * gets it. */
#define SUITES_1_3 "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384"
#define SUITES_1_2                                               \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:" \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:" \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
#define GROUPS "X25519:P-256"

static bool alpn_offers(const unsigned char *list, unsigned len, struct slice wanted,
                        const unsigned char **out)
{
    for (unsigned at = 0; at < len && list[at] < len - at; at += 1u + list[at]) {
        if (slice_eq(slice_of(list + at + 1, list[at]), wanted)) {
            *out = list + at + 1;
            return true;
        }
    }
    return false;
}

/* RFC 7301 3.2: our order counts; no common protocol is fatal. */
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned in_len, void *user)
{
    struct tls_conn *t = tls_conn_of(ssl);
    struct slice h2 = SLICE("h2"), h1 = SLICE("http/1.1");
    t->h2 = t->h2_allowed && alpn_offers(in, in_len, h2, out);
    if (!t->h2 && !alpn_offers(in, in_len, h1, out))
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out_len = (unsigned char)(t->h2 ? h2.len : h1.len);
    return SSL_TLSEXT_ERR_OK;
}

static void on_state(const SSL *ssl, int where, int value)
{
    tls_conn_on_state(tls_conn_of((SSL *)(uintptr_t)ssl), where, value);
}

SSL_CTX *tls_context_new(void)
{
    tls_schedule_provide();
    SSL_CTX *ctx = SSL_CTX_new_ex(NULL, TLS_SCHEDULE_PROPERTIES, TLS_server_method());
    if (!ctx)
        return NULL;
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_timeout(ctx, TLS_SESSION_MAX_S);
    SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
    SSL_CTX_set_info_callback(ctx, on_state);
    /* One ticket: each costs an encryption and 250 octets, and browsers that want more
     * connections at once get one from each of them. */
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_cipher_list(ctx, SUITES_1_2) != 1 ||
        SSL_CTX_set_ciphersuites(ctx, SUITES_1_3) != 1 ||
        SSL_CTX_set1_groups_list(ctx, GROUPS) != 1 || SSL_CTX_set_num_tickets(ctx, 1) != 1) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

static int on_hello(SSL *ssl, int *alert_out, void *user)
{
    return tls_conn_on_hello(tls_conn_of(ssl), alert_out) == 0 ? SSL_CLIENT_HELLO_SUCCESS
                                                               : SSL_CLIENT_HELLO_ERROR;
}

static int ticket_init(EVP_CIPHER_CTX *cipher_ctx, EVP_MAC_CTX *mac_ctx, const EVP_CIPHER *cipher,
                       struct tls_ticket_key *key, const unsigned char *iv, int sealing)
{
    static char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, sizeof digest - 1),
        OSSL_PARAM_octet_string(OSSL_MAC_PARAM_KEY, key->hmac, sizeof key->hmac),
        OSSL_PARAM_END,
    };
    if (EVP_CipherInit_ex(cipher_ctx, cipher, NULL, key->aes, iv, sealing) != 1 ||
        EVP_MAC_CTX_set_params(mac_ctx, params) != 1)
        return -1;
    return 1;
}

/* RFC 5077 4: seal with the newest key, open with any that is kept.  What is under the older key is
 * renewed; so is every ticket of TLS 1.3, which a client uses but once (RFC 8446 C.4). */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher_ctx,
                     EVP_MAC_CTX *mac_ctx, int sealing)
{
    struct tls_server *s = tls_conn_of(ssl)->server;
    struct tls_ticket_key key;
    unsigned i = 0;
    pthread_mutex_lock(&s->lock);
    if (!sealing)
        while (i < s->key_count && memcmp(s->keys[i].name, name, sizeof key.name) != 0)
            i++;
    bool found = i < s->key_count;
    if (found)
        key = s->keys[i];
    pthread_mutex_unlock(&s->lock);
    if (!found)
        return 0;
    if (sealing) {
        memcpy(name, key.name, sizeof key.name);
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(s->ticket_cipher)) != 1)
            return -1;
    }
    int result = ticket_init(cipher_ctx, mac_ctx, s->ticket_cipher, &key, iv, sealing);
    OPENSSL_cleanse(&key, sizeof key);
    bool renew = !sealing && (i > 0 || SSL_version(ssl) == TLS1_3_VERSION);
    return result == 1 && renew ? 2 : result;
}

/* A ticket carries when the server last proved who it is, so that a chain of tickets, each from the
 * connection that the one before it resumed, ends some day. */
static int on_ticket_made(SSL *ssl, void *user)
{
    uint64_t now_us = clock_mono_us();
    if (SSL_session_reused(ssl))
        return 1; /* it was carried over */
    return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), &now_us, sizeof now_us);
}

static SSL_TICKET_RETURN on_ticket_opened(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                          size_t name_len, SSL_TICKET_STATUS status, void *user)
{
    const struct tls_server *s = user;
    uint64_t now_us = clock_mono_us(), proved_us;
    void *data = NULL;
    size_t len = 0;
    if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    if (SSL_SESSION_get0_ticket_appdata(session, &data, &len) != 1 || len != sizeof proved_us)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    memcpy(&proved_us, data, sizeof proved_us);
    if (proved_us > now_us || now_us - proved_us >= s->chain_max_us)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

void tls_server_rotate(struct tls_server *s)
{
    struct tls_ticket_key key;
    if (RAND_bytes(key.name, sizeof key.name) != 1 ||
        RAND_priv_bytes(key.aes, sizeof key.aes) != 1 ||
        RAND_priv_bytes(key.hmac, sizeof key.hmac) != 1)
        return; /* the old keys serve on */
    pthread_mutex_lock(&s->lock);
    s->keys[1] = s->keys[0];
    s->keys[0] = key;
    if (s->key_count < 2)
        s->key_count++;
    pthread_mutex_unlock(&s->lock);
    OPENSSL_cleanse(&key, sizeof key);
}

struct tls_server *tls_server_new(void)
{
    struct tls_server *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    pthread_mutex_init(&s->lock, NULL);
    s->chain_max_us = TLS_CHAIN_MAX_S * UINT64_C(1000000);
    hash_key_random(&s->session_hash[0]);
    hash_key_random(&s->session_hash[1]);
    s->ctx = tls_context_new();
    s->bio_method = tls_bio_method_new();
    s->ticket_cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    tls_server_rotate(s);
    if (!s->ctx || !s->bio_method || !s->ticket_cipher || s->key_count == 0) {
        tls_server_free(s);
        return NULL;
    }
    SSL_CTX_set_client_hello_cb(s->ctx, on_hello, NULL);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(s->ctx, on_ticket);
    SSL_CTX_set_session_ticket_cb(s->ctx, on_ticket_made, on_ticket_opened, s);
    return s;
}

void tls_server_free(struct tls_server *s)
{
    if (!s)
        return;
    SSL_CTX_free(s->ctx);
    BIO_meth_free(s->bio_method);
    EVP_CIPHER_free(s->ticket_cipher);
    pthread_mutex_destroy(&s->lock);
    OPENSSL_cleanse(s->keys, sizeof s->keys);
    free(s);
}
