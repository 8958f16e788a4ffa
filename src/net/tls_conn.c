/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "net/tls_internal.h"

#include <openssl/err.h>

/* A record is of use only when all of it has come, and one of full size is more than a new path's
 * first window (RFC 6928: ten segments): a client would wait a round trip for what it has nearly
 * whole.  So a connection begins with small ones. */
#define RECORD_EARLY_OCTETS 4096
#define EARLY_OCTETS        (64u << 10)

enum { SECRET_TAKES = 1, SECRET_SENDS = 2, SECRETS = 3 };

static int bio_read(BIO *bio, char *to, int len)
{
    struct tls_io *io = ((struct tls_conn *)BIO_get_data(bio))->io;
    BIO_clear_retry_flags(bio);
    size_t left = io->in_len - io->in_at;
    if (left == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t n = (size_t)len < left ? (size_t)len : left;
    memcpy(to, io->in + io->in_at, n);
    io->in_at += n;
    return (int)n;
}

static int bio_write(BIO *bio, const char *from, int len)
{
    struct tls_io *io = ((struct tls_conn *)BIO_get_data(bio))->io;
    BIO_clear_retry_flags(bio);
    if (io->wire)
        return buf_add(io->wire, from, (size_t)len) == 0 ? len : -1;
    if ((size_t)len > io->out_cap - io->out_len)
        return -1;
    memcpy(io->out + io->out_len, from, (size_t)len);
    io->out_len += (size_t)len;
    return len;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
    return cmd == BIO_CTRL_FLUSH ? 1 : 0;
}

BIO_METHOD *tls_bio_method_new(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "portico");
    if (m && BIO_meth_set_read(m, bio_read) && BIO_meth_set_write(m, bio_write) &&
        BIO_meth_set_ctrl(m, bio_ctrl))
        return m;
    BIO_meth_free(m);
    return NULL;
}

/* The reading BIO carries it, which saves the table of application data in each SSL. */
struct tls_conn *tls_conn_of(SSL *ssl)
{
    return BIO_get_data(SSL_get_rbio(ssl));
}

struct tls_conn *tls_accept(struct tls_server *s, struct tls_ciphers *ciphers, struct pool *pool,
                            tls_choose_fn choose, void *choose_user)
{
    struct tls_conn *t = pool_zget(pool, sizeof *t);
    if (!t)
        return NULL;
    t->server = s;
    t->ciphers = ciphers;
    t->pool = pool;
    buf_init(&t->kept, pool);
    t->choose = choose;
    t->choose_user = choose_user;
    t->ssl = SSL_new(s->ctx);
    BIO *bio = t->ssl ? BIO_new(s->bio_method) : NULL;
    if (!bio) {
        ERR_clear_error();
        tls_conn_free(t);
        return NULL;
    }
    BIO_set_data(bio, t);
    BIO_set_init(bio, 1);
    SSL_set_bio(t->ssl, bio, bio);
    SSL_set_accept_state(t->ssl);
    return t;
}

static void free_ssl(struct tls_conn *t)
{
    struct tls_io nowhere = {0}, *io = t->io;
    t->io = &nowhere;
    SSL_free(t->ssl);
    t->ssl = NULL;
    t->io = io;
}

void tls_conn_free(struct tls_conn *t)
{
    if (!t)
        return;
    struct pool *pool = t->pool;
    free_ssl(t);
    tls_traffic_forget(t->ciphers, &t->takes);
    tls_traffic_forget(t->ciphers, &t->sends);
    tls_identity_unref(t->identity);
    buf_fini(&t->kept);
    pool_put(pool, t->name, t->name_len);
    OPENSSL_cleanse(t, sizeof *t); /* keys lie in it */
    pool_put(pool, t, sizeof *t);
}

static bool is_host_octet(unsigned char c)
{
    return (unsigned)(c - 'a') < 26 || (unsigned)(c - '0') < 10 || c == '-' || c == '.' || c == '_';
}

/* RFC 6066 3: the extension holds a list with one host_name.
 * return  false when it is malformed; *out is then untouched */
static bool parse_server_name(const unsigned char *p, size_t len, struct slice *out)
{
    if (len < 5 || (size_t)(p[0] << 8 | p[1]) != len - 2 || p[2] != TLSEXT_NAMETYPE_host_name ||
        (size_t)(p[3] << 8 | p[4]) != len - 5)
        return false;
    *out = slice_of(p + 5, len - 5);
    return true;
}

/* Lower case, without a final dot.  return  0, ERR_NOMEM or ERR_TLS: not a host name */
static int keep_name(struct tls_conn *t, struct slice name)
{
    if (name.len && name.p[name.len - 1] == '.')
        name.len--;
    if (name.len == 0 || name.len > TLS_NAME_MAX_OCTETS)
        return ERR_TLS;
    t->name = pool_get(t->pool, name.len);
    if (!t->name)
        return ERR_NOMEM;
    t->name_len = (uint8_t)name.len;
    for (size_t i = 0; i < name.len; i++) {
        t->name[i] = (char)ascii_lower((unsigned char)name.p[i]);
        if (!is_host_octet((unsigned char)t->name[i]))
            return ERR_TLS;
    }
    return 0;
}

/* A session belongs to the name that it was made under: with the same ticket keys for all names, a
 * session of one site would else be taken by another that has an other identity and other rules.
 * A renewed certificate does not end it. */
static bool bind_session(struct tls_conn *t)
{
    uint64_t h[2] = {hash_octets(&t->server->session_hash[0], tls_server_name(t)),
                     hash_octets(&t->server->session_hash[1], tls_server_name(t))};
    return SSL_set_session_id_context(t->ssl, (const unsigned char *)h, sizeof h) == 1;
}

static int refuse(struct tls_conn *t, const char *why, int alert, int *alert_out)
{
    t->refused = true;
    t->reason = why;
    *alert_out = alert;
    return ERR_TLS;
}

/* Also called for the second ClientHello after a HelloRetryRequest; what was chosen then stays. */
int tls_conn_on_hello(struct tls_conn *t, int *alert_out)
{
    const unsigned char *ext;
    size_t ext_len;
    struct slice name;
    struct tls_choice choice = {.min_version = TLS_1_2};
    if (t->identity)
        return 0;
    if (SSL_client_hello_get0_ext(t->ssl, TLSEXT_TYPE_server_name, &ext, &ext_len) == 1) {
        if (!parse_server_name(ext, ext_len, &name))
            return refuse(t, "malformed server name", SSL_AD_DECODE_ERROR, alert_out);
        if (keep_name(t, name) != 0)
            return refuse(t, "invalid server name", SSL_AD_UNRECOGNIZED_NAME, alert_out);
    }
    if (t->choose(t->choose_user, tls_server_name(t), &choice) < 0 || !choice.identity)
        return refuse(t, "unrecognized name", SSL_AD_UNRECOGNIZED_NAME, alert_out);
    t->identity = tls_identity_ref(choice.identity);
    t->h2_allowed = choice.h2;
    t->key_updates_max = choice.key_updates;
    if (SSL_set_SSL_CTX(t->ssl, choice.identity->ctx) != choice.identity->ctx ||
        SSL_set_min_proto_version(t->ssl, (int)choice.min_version) != 1 || !bind_session(t))
        return refuse(t, "out of memory", SSL_AD_INTERNAL_ERROR, alert_out);
    return 0;
}

static void on_secret(void *user, struct slice label, const uint8_t *secret, size_t octets)
{
    struct tls_conn *t = user;
    bool is_takes = slice_eq(label, SLICE("c ap traffic"));
    struct tls_traffic *to = is_takes ? &t->takes : &t->sends;
    if (!is_takes && !slice_eq(label, SLICE("s ap traffic")))
        return;
    memcpy(to->secret, secret, octets);
    t->secrets |= is_takes ? SECRET_TAKES : SECRET_SENDS;
    t->secret_octets = (uint8_t)octets;
}

/* OpenSSL is called between these two. */
static void enter(struct tls_conn *t, struct tls_io *io)
{
    t->io = io;
    tls_schedule_begin(tls_ciphers_schedule(t->ciphers), on_secret, t);
    ERR_clear_error();
}

static void leave(struct tls_conn *t)
{
    t->io = NULL;
    tls_schedule_end();
}

/* Both cost us keys or an answer, and the peer next to nothing: TLS 1.3's KeyUpdate, the only
 * message that a client may send after the handshake (RFC 8446 4.6.3), and TLS 1.2's wish to
 * renegotiate, which is refused by an alert.  A state's name is the same in all versions of
 * OpenSSL, its number is not. */
void tls_conn_on_state(struct tls_conn *t, int where, int alert)
{
    bool renegotiates = where == SSL_CB_WRITE_ALERT && (alert & 0xff) == SSL_AD_NO_RENEGOTIATION;
    bool updates = where == SSL_CB_ACCEPT_LOOP && t->established &&
                   strcmp(SSL_state_string(t->ssl), "TRCKU") == 0;
    if (t->established && (renegotiates || updates))
        t->key_updates++;
}

static void fail(struct tls_conn *t)
{
    t->failed = true;
    if (!t->refused) {
        t->reason = ERR_reason_error_string(ERR_peek_error());
        if (!t->reason)
            t->reason = "TLS failed";
    }
    ERR_clear_error();
}

/* return  whether wire, from `at` on, holds whole protected records and nothing else */
static bool count_records(const struct buf *wire, size_t at, uint64_t *count_out)
{
    const uint8_t *p = (const uint8_t *)buf_slice(wire).p;
    size_t len = buf_len(wire);
    *count_out = 0;
    while (len - at >= TLS_RECORD_HEAD_OCTETS && p[at] == SSL3_RT_APPLICATION_DATA) {
        size_t whole = TLS_RECORD_HEAD_OCTETS + (size_t)(p[at + 3] << 8 | p[at + 4]);
        if (whole > len - at)
            return false;
        at += whole;
        ++*count_out;
    }
    return at == len;
}

/* The handshake is done.  With its last step, which read the client's Finished and no octet more,
 * nothing was sent but tickets: the first records under the traffic keys.  Where anything is out
 * of the ordinary, OpenSSL keeps the connection. */
static void take_over(struct tls_conn *t, size_t wire_before)
{
    const SSL_SESSION *session = SSL_get0_session(t->ssl);
    t->resumed = SSL_session_reused(t->ssl) == 1;
    if (SSL_version(t->ssl) != TLS1_3_VERSION)
        return;
    t->suite = tls_suite_find(SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(t->ssl)));
    uint64_t sent;
    if (!t->suite || t->secrets != SECRETS ||
        t->secret_octets != tls_suite_secret_octets(t->suite) || SSL_has_pending(t->ssl) ||
        SSL_SESSION_get_max_fragment_length(session) != TLSEXT_max_fragment_length_DISABLED ||
        !count_records(t->io->wire, wire_before, &sent) ||
        tls_traffic_start(t->ciphers, t->suite, &t->takes) < 0 ||
        tls_traffic_start(t->ciphers, t->suite, &t->sends) < 0)
        return;
    t->sends.seq = sent;
    /* As if it had ended well: else OpenSSL looks for the session in the cache, which is off, under
     * a lock that all loops share. */
    SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    free_ssl(t);
}

/* OpenSSL goes on, and after a KeyUpdate nothing is to be left of the secrets before it.
 * RFC 8446 7.2 */
static void forget_secrets(struct tls_conn *t)
{
    tls_traffic_forget(t->ciphers, &t->takes);
    tls_traffic_forget(t->ciphers, &t->sends);
    OPENSSL_cleanse(t->takes.secret, sizeof t->takes.secret);
    OPENSSL_cleanse(t->sends.secret, sizeof t->sends.secret);
    t->secrets = 0;
}

/* One step of the handshake or of reading.
 * return  plaintext octets; 0: go on; ERR_AGAIN: more input is needed; ERR_CLOSED; ERR_TLS */
static ssize_t step(struct tls_conn *t, char *out, size_t cap)
{
    size_t got = 0, wire_before = buf_len(t->io->wire);
    int r;
    if (t->established) {
        r = SSL_read_ex(t->ssl, out, cap, &got);
    } else {
        r = SSL_do_handshake(t->ssl);
        t->established = r == 1;
        if (t->established) {
            take_over(t, wire_before);
            if (t->ssl)
                forget_secrets(t);
        }
    }
    if (t->key_updates_max && t->key_updates > t->key_updates_max) {
        t->refused = true;
        t->reason = "too many key updates";
        fail(t);
        return ERR_TLS;
    }
    if (r == 1)
        return (ssize_t)got;
    switch (SSL_get_error(t->ssl, r)) {
    case SSL_ERROR_WANT_READ:
        return ERR_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        t->peer_closed = true;
        return ERR_CLOSED;
    default:
        fail(t);
        return ERR_TLS;
    }
}

/* With ssl, until the input is used up, out is full, or ssl is no more. */
static ssize_t take_steps(struct tls_conn *t, const char *in, size_t len, size_t *at, char *out,
                          size_t cap, struct buf *wire)
{
    struct tls_io io = {.in = in, .in_len = len, .wire = wire};
    size_t total = 0;
    ssize_t n = 0;
    enter(t, &io);
    /* Without input left and nothing inside, another step could only ask for more. */
    while (t->ssl && (t->pending || io.in_at < len) && !(t->established && total == cap)) {
        n = step(t, out + total, cap - total);
        if (n < 0)
            break;
        total += (size_t)n;
        t->pending = t->ssl && t->established && SSL_pending(t->ssl) > 0;
    }
    leave(t);
    *at = io.in_at;
    if (n == ERR_AGAIN)
        t->pending = false;
    if (n == ERR_CLOSED || n == ERR_TLS) {
        *at = len;              /* what follows the end does not count */
        t->pending = total > 0; /* the end is told by the next call */
        return total ? (ssize_t)total : n;
    }
    return (ssize_t)total;
}

ssize_t tls_decrypt(struct tls_conn *t, const void *in, size_t in_len, size_t *in_taken_out,
                    void *out, size_t out_cap, struct buf *wire)
{
    ssize_t n = 0;
    *in_taken_out = 0;
    if (t->failed || t->peer_closed) {
        t->pending = false;
        *in_taken_out = in_len;
        return t->failed ? ERR_TLS : ERR_CLOSED;
    }
    if (t->ssl)
        n = take_steps(t, in, in_len, in_taken_out, out, out_cap, wire);
    if (n == 0 && !t->ssl)
        n = tls_traffic_take(t, in, in_len, in_taken_out, out, out_cap, wire);
    return n;
}

bool tls_has_pending(const struct tls_conn *t)
{
    return t->pending;
}

size_t tls_next_record(struct tls_conn *t, size_t len)
{
    bool early = t->early < EARLY_OCTETS;
    size_t most = early ? RECORD_EARLY_OCTETS : TLS_RECORD_PLAIN_OCTETS;
    if (len > most)
        len = most;
    if (early)
        t->early += (uint32_t)len;
    return len;
}

static ssize_t write_ssl(struct tls_conn *t, const char *in, size_t len, char *out, size_t cap)
{
    struct tls_io io = {.out = out, .out_cap = cap};
    enter(t, &io);
    bool ok = true;
    for (size_t at = 0, taken; ok && at < len; at += taken) {
        size_t piece = tls_next_record(t, len - at);
        ok = SSL_write_ex(t->ssl, in + at, piece, &taken) == 1 && taken == piece;
    }
    leave(t);
    return ok ? (ssize_t)io.out_len : ERR_TLS;
}

ssize_t tls_encrypt(struct tls_conn *t, const void *in, size_t len, void *out, size_t cap)
{
    if (len == 0)
        return 0;
    if (t->failed || !t->established)
        return ERR_TLS;
    ssize_t n = t->ssl ? write_ssl(t, in, len, out, cap) : tls_traffic_put(t, in, len, out, cap);
    if (n < 0)
        fail(t);
    return n;
}

void tls_close_notify(struct tls_conn *t, struct buf *wire)
{
    struct tls_io io = {.wire = wire};
    if (t->failed || !t->established)
        return;
    if (!t->ssl) {
        tls_traffic_close(t, wire);
        return;
    }
    enter(t, &io);
    SSL_shutdown(t->ssl);
    leave(t);
    ERR_clear_error();
}

bool tls_is_established(const struct tls_conn *t)
{
    return t->established;
}

bool tls_is_resumed(const struct tls_conn *t)
{
    return t->resumed;
}

bool tls_alpn_is_h2(const struct tls_conn *t)
{
    return t->h2;
}

enum tls_version tls_version(const struct tls_conn *t)
{
    return !t->ssl || SSL_version(t->ssl) == TLS1_3_VERSION ? TLS_1_3 : TLS_1_2;
}

struct slice tls_describe(const struct tls_conn *t)
{
    const struct tls_identity *id = tls_conn_identity(t);
    unsigned bits = t->ssl ? (unsigned)SSL_get_cipher_bits(t->ssl, NULL) : tls_suite_bits(t->suite);
    return slice_str(id ? id->described[bits > 128] : "");
}

struct slice tls_server_name(const struct tls_conn *t)
{
    return slice_of(t->name ? t->name : "", t->name_len);
}

struct tls_identity *tls_conn_identity(const struct tls_conn *t)
{
    return t->identity;
}

enum tls_failure tls_failure(const struct tls_conn *t)
{
    if (t->key_updates_max && t->key_updates > t->key_updates_max)
        return TLS_FAILED_KEY_UPDATES;
    return t->established ? TLS_FAILED_RECORD : TLS_FAILED_HANDSHAKE;
}

const char *tls_reason(const struct tls_conn *t)
{
    return t->reason ? t->reason : "";
}
