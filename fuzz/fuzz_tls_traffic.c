/* SPDX-License-Identifier: Apache-2.0 */
/* What follows a TLS 1.3 handshake: a client with the right keys that sends what it likes, cut as
 * it likes, and somebody on the way who changes octets.
 *
 * Input: the suite, then operations: an octet says which, the next ones how.
 *
 * What is delivered is always a beginning of what was sealed as content, and ends before the first
 * record that was changed, before octets that are no record, and at close_notify; if there was
 * nothing of that, it is all of it.  What the server sends opens under the keys of its direction,
 * KeyUpdates followed, and is what was to be sent. */
#include "base/err.h"
#include "base/panic.h"
#include "input.h"
#include "net/tls_internal.h"
#include "net/tls_record.h"

#define OPS_MAX   64
#define EMPTY_RUN 32 /* records without content in a row that are allowed */

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len);

static struct tls_ciphers *ciphers;

struct play {
    struct pool pool, own;
    struct tls_conn *conn;
    struct tls_traffic client, server; /* as the client has them */
    struct buf wire, sealed, got, said;
    unsigned empty;
    bool is_final; /* nothing more may be delivered */
    bool is_loose; /* the connection may have ended for a reason of its own */
};

static void key(struct tls_traffic *t, const struct tls_suite *s, uint8_t which)
{
    memset(t, 0, sizeof *t);
    memset(t->secret, which, sizeof t->secret);
    ASSERT(tls_traffic_start(ciphers, s, t) == 0);
}

static void open_conn(struct play *p, uint8_t which)
{
    struct tls_conn *t = p->conn = pool_zget(&p->pool, sizeof *t);
    ASSERT(t);
    t->ciphers = ciphers;
    t->pool = &p->pool;
    t->suite = tls_suite_find(0x1301u + which % 3);
    t->established = true;
    buf_init(&t->kept, &p->pool);
    key(&t->takes, t->suite, 1);
    key(&t->sends, t->suite, 2);
    key(&p->client, t->suite, 1);
    key(&p->server, t->suite, 2);
}

/* ---- the client ---- */

static void seal(struct play *p, uint8_t type, struct slice content, struct input *in)
{
    char *to = buf_reserve(&p->wire, content.len + TLS_RECORD_EXTRA_OCTETS);
    ssize_t n =
        tls_record_seal(ciphers, p->conn->suite, &p->client, type, content.p, content.len, to);
    ASSERT(n > 0);
    uint8_t change = input_u8(in);
    if (change > 250) {
        to[input_u16(in) % (size_t)n] ^= (char)(1u << (change & 7));
        p->is_final = true;
    }
    buf_added(&p->wire, (size_t)n);
}

static void count_empty(struct play *p, size_t len)
{
    p->empty = len ? 0 : p->empty + 1;
    p->is_loose |= p->empty > EMPTY_RUN;
}

static void send_content(struct play *p, struct input *in, bool is_padded)
{
    static char inner[TLS_RECORD_PLAIN_OCTETS + 256];
    struct slice text = input_take(in, input_u8(in));
    size_t padding = is_padded ? input_u8(in) : 0;
    if (is_padded) {
        memset(inner, 0, sizeof inner);
        memcpy(inner, text.p, text.len);
        inner[text.len] = SSL3_RT_APPLICATION_DATA;
        seal(p, 0, slice_of(inner, text.len + 1 + padding), in);
    } else {
        seal(p, SSL3_RT_APPLICATION_DATA, text, in);
    }
    count_empty(p, text.len);
    if (!p->is_final)
        buf_add(&p->sealed, text.p, text.len);
}

static void send_key_update(struct play *p, struct input *in)
{
    const char text[] = {SSL3_MT_KEY_UPDATE, 0, 0, 1, (char)(input_u8(in) & 1)};
    seal(p, SSL3_RT_HANDSHAKE, slice_of(text, sizeof text), in);
    count_empty(p, 1);
    ASSERT(tls_traffic_update(ciphers, p->conn->suite, &p->client) == 0);
}

static void send_other(struct play *p, struct input *in)
{
    uint8_t type = input_u8(in);
    struct slice text = input_take(in, input_u8(in) & 31);
    seal(p, type, text, in);
    p->is_loose = true;
    while (type == 0 && text.len) /* padding, and the type before it */
        type = (uint8_t)text.p[--text.len];
    p->is_final |= type == SSL3_RT_ALERT && text.len == 2 && text.p[1] == SSL_AD_CLOSE_NOTIFY;
    if (type == SSL3_RT_APPLICATION_DATA && !p->is_final)
        buf_add(&p->sealed, text.p, text.len);
}

static void send_rubbish(struct play *p, struct input *in)
{
    struct slice text = input_take(in, input_u8(in));
    p->is_final |= text.len > 0;
    buf_add(&p->wire, text.p, text.len);
}

/* ---- the server ---- */

static void feed(struct play *p, struct input *in)
{
    static char out[512];
    size_t step = input_u8(in) + 1u, cap = input_u8(in) + 1u;
    ssize_t n = 0;
    while (n >= 0 && (buf_len(&p->wire) || tls_has_pending(p->conn))) {
        size_t taken, len = buf_len(&p->wire) < step ? buf_len(&p->wire) : step;
        n = tls_decrypt(p->conn, len ? buf_at(&p->wire) : "", len, &taken, out, cap, &p->said);
        ASSERT(taken <= len && n <= (ssize_t)cap);
        ASSERT(n != ERR_AGAIN && (n >= 0 || taken == len));
        if (n > 0)
            buf_add(&p->got, out, (size_t)n);
        buf_consume(&p->wire, taken);
    }
    struct slice got = buf_slice(&p->got), sealed = buf_slice(&p->sealed);
    ASSERT(slice_starts(sealed, got));
    if (n < 0) {
        ASSERT(p->is_final || p->is_loose);
        p->is_final = true;
        buf_consume(&p->wire, buf_len(&p->wire));
    } else if (!p->is_final && !p->is_loose) {
        ASSERT(got.len == sealed.len);
    }
}

static void answer(struct play *p, struct input *in)
{
    static char wire[40000], text[20000];
    size_t len = input_u16(in) % sizeof text, seen = 0;
    uint8_t type;
    memset(text, 'a' + (char)(len % 26), len);
    if (p->conn->failed)
        return;
    ssize_t n = tls_encrypt(p->conn, text, len, wire, sizeof wire);
    ASSERT(n >= 0);
    for (size_t at = 0; at < (size_t)n;) {
        size_t whole =
            TLS_RECORD_HEAD_OCTETS + (size_t)((uint8_t)wire[at + 3] << 8 | (uint8_t)wire[at + 4]);
        char *content = wire + at + TLS_RECORD_HEAD_OCTETS;
        ASSERT(at + whole <= (size_t)n);
        ssize_t octets =
            tls_record_open(ciphers, p->conn->suite, &p->server, wire + at, whole, content, &type);
        ASSERT(octets >= 0);
        if (type == SSL3_RT_HANDSHAKE) {
            ASSERT(tls_traffic_update(ciphers, p->conn->suite, &p->server) == 0);
        } else {
            ASSERT(type == SSL3_RT_APPLICATION_DATA && seen + (size_t)octets <= len);
            ASSERT(memcmp(content, text + seen, (size_t)octets) == 0);
            seen += (size_t)octets;
        }
        at += whole;
    }
    ASSERT(seen == len);
}

static void operate(struct play *p, struct input *in)
{
    switch (input_u8(in) & 7) {
    case 0:
    case 1:
        send_content(p, in, false);
        break;
    case 2:
        send_content(p, in, true);
        break;
    case 3:
        send_key_update(p, in);
        break;
    case 4:
        send_other(p, in);
        break;
    case 5:
        send_rubbish(p, in);
        break;
    case 6:
        answer(p, in);
        break;
    default:
        feed(p, in);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
    static struct play play;
    struct play *p = &play;
    struct input in = {octets, len};
    if (!ciphers)
        ciphers = tls_ciphers_new();
    memset(p, 0, sizeof *p);
    pool_init(&p->pool);
    pool_init(&p->own);
    struct buf *bufs[] = {&p->wire, &p->sealed, &p->got, &p->said};
    for (size_t i = 0; i < ARRAY_LEN(bufs); i++)
        buf_init(bufs[i], &p->own);
    open_conn(p, input_u8(&in));
    for (unsigned ops = 0; ops < OPS_MAX && in.left; ops++)
        operate(p, &in);
    feed(p, &in);
    tls_conn_free(p->conn);
    ASSERT(p->pool.live == 0);
    for (size_t i = 0; i < ARRAY_LEN(bufs); i++)
        buf_fini(bufs[i]);
    ASSERT(p->own.live == 0);
    pool_fini(&p->pool);
    pool_fini(&p->own);
    return 0;
}
