/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the TLS filter share; only they know OpenSSL. */
#ifndef NET_TLS_INTERNAL_H
#define NET_TLS_INTERNAL_H

#include "base/hash.h"
#include "net/tls_record.h"

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>

#define TLS_NAME_MAX_OCTETS 253 /* fits into name_len */
#define TLS_SESSION_MAX_S   7200
/* From a whole handshake on, however often it was resumed meanwhile.  RFC 8446 4.6.1 */
#define TLS_CHAIN_MAX_S (24u * 3600)

/* An address of a subjectAltName: 4 or 16 octets. */
struct tls_san_ip {
    uint8_t len, octets[16];
};

enum tls_identity_state { TLS_IDENTITY_DEFERRED, TLS_IDENTITY_READ, TLS_IDENTITY_BAD };

/* The context holds the certificate and is swapped in by the ClientHello callback: that takes
 * references only, where giving a connection its own certificate would check the pair again. */
struct tls_identity {
    atomic_uint refs;
    atomic_int state;     /* enum tls_identity_state */
    pthread_mutex_t lock; /* for who reads it */
    char *pem[2];         /* of chain and key, while it is deferred */
    size_t pem_octets[2];
    SSL_CTX *ctx;
    char **names; /* subjectAltName of type dNSName */
    size_t name_count;
    struct tls_san_ip *ips;
    size_t ip_count;
    char *described[2]; /* tls_describe, for 128 and 256 bits of cipher */
};

#define TLS_TICKET_NAME_OCTETS 16
struct tls_ticket_key {
    unsigned char name[TLS_TICKET_NAME_OCTETS];
    unsigned char aes[32];
    unsigned char hmac[32];
};

struct tls_server {
    SSL_CTX *ctx;
    BIO_METHOD *bio_method;
    EVP_CIPHER *ticket_cipher;
    uint64_t chain_max_us; /* TLS_CHAIN_MAX_S */
    struct hash_key session_hash[2];
    pthread_mutex_t lock;
    struct tls_ticket_key keys[2]; /* under lock; the newest first */
    unsigned key_count;
};

/* Where the octets of the call in progress come from and go to. */
struct tls_io {
    const char *in;
    size_t in_len, in_at;
    struct buf *wire; /* or: */
    char *out;
    size_t out_cap, out_len;
};

/* The handshake is OpenSSL's, and all of TLS 1.2.  After one of TLS 1.3 its object goes, and from
 * the traffic secrets tls_traffic.c goes on (ssl is then NULL). */
struct tls_conn {
    SSL *ssl;
    struct tls_server *server;
    struct tls_ciphers *ciphers;
    struct pool *pool;
    struct tls_io *io; /* NULL between calls */
    tls_choose_fn choose;
    void *choose_user;
    struct tls_identity *identity;
    char *name;
    const char *reason;
    const struct tls_suite *suite; /* of TLS 1.3 */
    struct tls_traffic takes, sends;
    struct buf kept; /* a record that has come in part; while pending, content that fit no more */
    uint32_t key_updates, key_updates_max;
    uint32_t early; /* octets sent in small records, at the beginning */
    uint8_t name_len;
    uint8_t secrets; /* those of takes and of sends that are known, as bits */
    uint8_t secret_octets;
    uint8_t message_octets; /* of a handshake message that has come in part */
    uint8_t empty, warnings;
    bool established, resumed, h2_allowed, h2;
    bool update_due;  /* the peer asks for new keys of ours */
    bool pending;     /* plaintext waits inside, or an end that was not told yet */
    bool peer_closed; /* close_notify was received */
    bool failed, refused;
};

/* How many of len octets the next record takes. */
size_t tls_next_record(struct tls_conn *t, size_t len);
/* Only with ssl NULL.  As tls_decrypt, *at counts what is used; wire takes alerts. */
ssize_t tls_traffic_take(struct tls_conn *t, const char *in, size_t len, size_t *at, char *out,
                         size_t cap, struct buf *wire);
ssize_t tls_traffic_put(struct tls_conn *t, const char *in, size_t len, char *out, size_t cap);
void tls_traffic_close(struct tls_conn *t, struct buf *wire);

/* A context with our versions, suites, groups and ALPN, but without certificate and tickets: for
 * what a connection takes from its present context rather than from the one it was made of. */
SSL_CTX *tls_context_new(void);
/* The library's state changed, or it sends an alert. */
void tls_conn_on_state(struct tls_conn *t, int where, int alert);
int tls_conn_on_hello(struct tls_conn *t, int *alert_out);
/* The connection whose call is in progress. */
struct tls_conn *tls_conn_of(SSL *ssl);
BIO_METHOD *tls_bio_method_new(void);

#endif
