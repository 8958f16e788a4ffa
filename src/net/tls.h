/* SPDX-License-Identifier: Apache-2.0 */
/* TLS 1.2 and 1.3 for servers, as a filter: ciphertext in, plaintext out, and back.  It makes no
 * system call; who reads and writes the socket hands the octets over, so a turn of the loop is one
 * recv and one send whatever the number of records.  The library behind it (OpenSSL 3) is not seen
 * from outside this room. */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "base/buf.h"
#include "base/slice.h"

#include <sys/types.h>

enum tls_version { TLS_1_2 = 0x0303, TLS_1_3 = 0x0304 };

/* A certificate chain with its key, made once and shared between threads (counted). */
struct tls_identity;
/* chain, key: PEM octets, borrowed.  why_out: what is wrong (a constant or thread-local text).
 * return  NULL: not PEM, no match between key and certificate ... */
struct tls_identity *tls_identity_new(struct slice chain, struct slice key, const char **why_out);
/* The same, and nothing is read before tls_identity_read: of thousands most are never asked for.
 * return  NULL: memory is out */
struct tls_identity *tls_identity_deferred(struct slice chain, struct slice key);
/* Reads what was deferred, the first time; by any thread.  Whatever else is done with an identity
 * comes after it.
 * return  whether the identity is of use; else, that first time, *why_out says what is wrong with
 *         it, and is NULL later */
bool tls_identity_read(struct tls_identity *id, const char **why_out);
struct tls_identity *tls_identity_ref(struct tls_identity *id);
void tls_identity_unref(struct tls_identity *id);
/* Whether the leaf covers this host name (subjectAltName; wildcards of one label). */
bool tls_identity_covers(const struct tls_identity *id, struct slice host);

/* What the ClientHello callback decides for a connection. */
struct tls_choice {
    struct tls_identity *identity; /* borrowed during the call, and read */
    enum tls_version min_version;
    bool h2;              /* offer "h2" by ALPN, before "http/1.1" */
    uint32_t key_updates; /* most KeyUpdates and requests to renegotiate; 0: any number */
};

/* server_name: lower case, empty without SNI; return 0, or a negative code to refuse
 * (unrecognized_name) */
typedef int (*tls_choose_fn)(void *user, struct slice server_name, struct tls_choice *out);

/* One for a process, used by all loops: ticket keys live here (made at random, rotated by
 * tls_server_rotate; the last two still open old tickets). */
struct tls_server;
struct tls_server *tls_server_new(void);
void tls_server_free(struct tls_server *s);
void tls_server_rotate(struct tls_server *s);

/* What encrypts and decrypts, shared by the connections of one loop. */
struct tls_ciphers;
/* return  NULL when memory is out */
struct tls_ciphers *tls_ciphers_new(void);
void tls_ciphers_free(struct tls_ciphers *c);

struct tls_conn;
/* ciphers, pool: kept, those of the loop.
 * choose: called once, during the first tls_decrypt calls, with choose_user.
 * return  NULL when memory is out */
struct tls_conn *tls_accept(struct tls_server *s, struct tls_ciphers *ciphers, struct pool *pool,
                            tls_choose_fn choose, void *choose_user);
void tls_conn_free(struct tls_conn *t);

/* Take ciphertext and give plaintext.
 * in        borrowed; *in_taken_out tells how much was used (all of it unless out was full)
 * out       plaintext goes here
 * wire      handshake records, alerts and the like to send are appended here
 * return    plaintext octets (0: none yet, more input is needed),
 *           ERR_CLOSED: the peer's close_notify; ERR_TLS: fatal, *wire may hold an alert */
ssize_t tls_decrypt(struct tls_conn *t, const void *in, size_t in_len, size_t *in_taken_out,
                    void *out, size_t out_cap, struct buf *wire);
/* Plaintext that fits no more into out waits inside. */
bool tls_has_pending(const struct tls_conn *t);
/* Encrypt all of in into records appended to out.
 * out, cap  room for TLS_WIRE_BOUND(len) octets
 * return    octets written, or ERR_TLS */
ssize_t tls_encrypt(struct tls_conn *t, const void *in, size_t len, void *out, size_t cap);
/* A client may ask for records of 512 octets (RFC 6066 4).  Header, explicit nonce, tag and content
 * type are 30 at most, rounded up.  One record more may be a KeyUpdate. */
#define TLS_RECORD_LEAST_OCTETS 512u
#define TLS_WIRE_BOUND(plain)   ((plain) + ((plain) / TLS_RECORD_LEAST_OCTETS + 2) * 64)
/* Queue close_notify. */
void tls_close_notify(struct tls_conn *t, struct buf *wire);

bool tls_is_established(const struct tls_conn *t);
bool tls_is_resumed(const struct tls_conn *t);
bool tls_alpn_is_h2(const struct tls_conn *t);
enum tls_version tls_version(const struct tls_conn *t);
/* The name that the client sent, lower case; empty without SNI.  Lives as long as t. */
struct slice tls_server_name(const struct tls_conn *t);
struct tls_identity *tls_conn_identity(const struct tls_conn *t); /* the one chosen */
/* "256|128|CN=issuer|CN=subject": bits of the certificate's key and of the cipher, and the names,
 * in printable ASCII.  Lives as long as the connection's identity. */
struct slice tls_describe(const struct tls_conn *t);
enum tls_failure {
    TLS_FAILED_HANDSHAKE,
    TLS_FAILED_RECORD, /* after the handshake */
    TLS_FAILED_KEY_UPDATES,
};
/* After ERR_TLS. */
enum tls_failure tls_failure(const struct tls_conn *t);
/* Why ERR_TLS: a short text for counters and the log, such as "wrong version number". */
const char *tls_reason(const struct tls_conn *t);

#define TLS_SHA1_OCTETS   20
#define TLS_SHA256_OCTETS 32
void tls_sha256(const void *in, size_t len, uint8_t out[TLS_SHA256_OCTETS]);
/* In a time that does not tell where they differ. */
bool tls_same(const void *a, const void *b, size_t len);

/* SHA-1, for Sec-WebSocket-Accept (RFC 6455 1.3), where it is no matter of security. */
void tls_sha1(const void *in, size_t len, uint8_t out[TLS_SHA1_OCTETS]);

#endif
