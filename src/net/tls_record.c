/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tls_record.h"
#include "base/err.h"
#include "base/panic.h"

#include <openssl/evp.h>
#include <stdlib.h>

#define RECORD_TYPE_OUTSIDE 23 /* application_data, whatever is inside.  RFC 8446 5.2 */
#define RECORD_VERSION      3, 3

struct tls_suite {
    uint16_t id;
    uint8_t key_octets, secret_octets;
    enum tls_digest digest;
    const char *aead;
};

static const struct tls_suite suites[] = {
    {0x1301, 16, 32, TLS_SHA_256, "AES-128-GCM"},
    {0x1302, 32, 48, TLS_SHA_384, "AES-256-GCM"},
    {0x1303, 32, 32, TLS_SHA_256, "ChaCha20-Poly1305"},
};

/* A context that knows a key takes 1.3 KiB, as much as all else of an idle connection, and to tell
 * it a key takes a tenth of what a small request's records cost: so as many are kept as a loop has
 * busy connections, and the others find theirs taken and take one over. */
#define SLOTS 256
struct slot {
    uint64_t traffic_id;
    const struct tls_suite *suite;
    EVP_CIPHER_CTX *ctx;
};

struct tls_ciphers {
    struct tls_schedule *schedule;
    EVP_CIPHER *aead[ARRAY_LEN(suites)];
    uint64_t last_id;
    struct slot slots[SLOTS];
};

const struct tls_suite *tls_suite_find(unsigned protocol_id)
{
    for (size_t i = 0; i < ARRAY_LEN(suites); i++)
        if (suites[i].id == protocol_id)
            return &suites[i];
    return NULL;
}

size_t tls_suite_secret_octets(const struct tls_suite *s)
{
    return s->secret_octets;
}

unsigned tls_suite_bits(const struct tls_suite *s)
{
    return s->key_octets * 8u;
}

struct tls_ciphers *tls_ciphers_new(void)
{
    struct tls_ciphers *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->schedule = tls_schedule_new();
    bool ok = c->schedule != NULL;
    for (size_t i = 0; ok && i < ARRAY_LEN(suites); i++)
        ok = (c->aead[i] = EVP_CIPHER_fetch(NULL, suites[i].aead, NULL)) != NULL;
    if (ok)
        return c;
    tls_ciphers_free(c);
    return NULL;
}

void tls_ciphers_free(struct tls_ciphers *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < SLOTS; i++)
        EVP_CIPHER_CTX_free(c->slots[i].ctx);
    for (size_t i = 0; i < ARRAY_LEN(suites); i++)
        EVP_CIPHER_free(c->aead[i]);
    tls_schedule_free(c->schedule);
    free(c);
}

bool tls_ciphers_know(const struct tls_ciphers *c, const struct tls_traffic *t)
{
    return t->id && c->slots[t->id % SLOTS].traffic_id == t->id;
}

struct tls_schedule *tls_ciphers_schedule(struct tls_ciphers *c)
{
    return c->schedule;
}

/* From t->secret.  RFC 8446 7.2, 7.3 */
static bool expand(struct tls_ciphers *c, const struct tls_suite *s, const struct tls_traffic *t,
                   struct slice label, uint8_t *out, size_t len)
{
    return tls_schedule_expand(c->schedule, s->digest, t->secret, label, SLICE(""), out, len);
}

void tls_traffic_forget(struct tls_ciphers *c, struct tls_traffic *t)
{
    struct slot *slot = &c->slots[t->id % SLOTS];
    if (tls_ciphers_know(c, t)) {
        EVP_CIPHER_CTX_reset(slot->ctx);
        slot->traffic_id = 0;
        slot->suite = NULL;
    }
    OPENSSL_cleanse(t->key, sizeof t->key);
    OPENSSL_cleanse(t->iv, sizeof t->iv);
    t->id = 0;
}

int tls_traffic_start(struct tls_ciphers *c, const struct tls_suite *s, struct tls_traffic *t)
{
    bool ok = expand(c, s, t, SLICE("key"), t->key, s->key_octets) &&
              expand(c, s, t, SLICE("iv"), t->iv, sizeof t->iv);
    if (!ok) {
        tls_traffic_forget(c, t);
        return ERR_TLS;
    }
    t->id = ++c->last_id;
    t->seq = 0;
    return 0;
}

int tls_traffic_update(struct tls_ciphers *c, const struct tls_suite *s, struct tls_traffic *t)
{
    tls_traffic_forget(c, t); /* RFC 8446 7.2 */
    return expand(c, s, t, SLICE("traffic upd"), t->secret, s->secret_octets)
               ? tls_traffic_start(c, s, t)
               : ERR_TLS;
}

/* The context for the next record of t.  return  NULL: memory is out, or OpenSSL refuses */
static EVP_CIPHER_CTX *prepare(struct tls_ciphers *c, const struct tls_suite *s,
                               const struct tls_traffic *t, int sealing)
{
    struct slot *slot = &c->slots[t->id % SLOTS];
    uint8_t nonce[TLS_NONCE_OCTETS];
    if (t->id == 0)
        return NULL;
    memcpy(nonce, t->iv, sizeof nonce);
    for (unsigned i = 0; i < 8; i++)
        nonce[sizeof nonce - 1 - i] ^= (uint8_t)(t->seq >> 8 * i);
    if (slot->traffic_id == t->id)
        return EVP_CipherInit_ex(slot->ctx, NULL, NULL, NULL, nonce, sealing) == 1 ? slot->ctx
                                                                                   : NULL;
    if (!slot->ctx && !(slot->ctx = EVP_CIPHER_CTX_new()))
        return NULL;
    const EVP_CIPHER *aead = slot->suite == s ? NULL : c->aead[s - suites];
    slot->traffic_id = 0;
    slot->suite = NULL;
    if (EVP_CipherInit_ex(slot->ctx, aead, NULL, t->key, nonce, sealing) != 1)
        return NULL;
    slot->suite = s;
    slot->traffic_id = t->id;
    return slot->ctx;
}

ssize_t tls_record_seal(struct tls_ciphers *c, const struct tls_suite *s, struct tls_traffic *t,
                        uint8_t type, const void *in, size_t len, void *out)
{
    const size_t sealed = len + 1 + TLS_RECORD_TAG_OCTETS;
    const uint8_t head[TLS_RECORD_HEAD_OCTETS] = {RECORD_TYPE_OUTSIDE, RECORD_VERSION,
                                                  (uint8_t)(sealed >> 8), (uint8_t)sealed};
    uint8_t *to = out;
    int n;
    ASSERT(sealed <= TLS_RECORD_SEALED_OCTETS);
    EVP_CIPHER_CTX *ctx = prepare(c, s, t, 1);
    memcpy(to, head, sizeof head);
    to += sizeof head;
    if (!ctx || EVP_EncryptUpdate(ctx, NULL, &n, head, sizeof head) != 1 ||
        (len && EVP_EncryptUpdate(ctx, to, &n, in, (int)len) != 1) ||
        EVP_EncryptUpdate(ctx, to + len, &n, &type, 1) != 1 ||
        EVP_EncryptFinal_ex(ctx, to + len + 1, &n) != 1 ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TLS_RECORD_TAG_OCTETS, to + len + 1) != 1)
        return ERR_TLS;
    t->seq++;
    return (ssize_t)(sizeof head + sealed);
}

ssize_t tls_record_open(struct tls_ciphers *c, const struct tls_suite *s, struct tls_traffic *t,
                        const void *record, size_t len, void *out, uint8_t *type_out)
{
    const uint8_t *head = record, *sealed = head + TLS_RECORD_HEAD_OCTETS;
    uint8_t tag[TLS_RECORD_TAG_OCTETS], *to = out;
    int n;
    ASSERT(len >= TLS_RECORD_EXTRA_OCTETS);
    size_t inner = len - TLS_RECORD_HEAD_OCTETS - TLS_RECORD_TAG_OCTETS;
    memcpy(tag, sealed + inner, sizeof tag);
    EVP_CIPHER_CTX *ctx = prepare(c, s, t, 0);
    if (!ctx || EVP_DecryptUpdate(ctx, NULL, &n, head, TLS_RECORD_HEAD_OCTETS) != 1 ||
        EVP_DecryptUpdate(ctx, to, &n, sealed, (int)inner) != 1 ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, sizeof tag, tag) != 1 ||
        EVP_DecryptFinal_ex(ctx, to + inner, &n) != 1)
        return ERR_TLS;
    t->seq++;
    while (inner && to[inner - 1] == 0)
        inner--;
    *type_out = inner ? to[--inner] : 0;
    return (ssize_t)inner;
}
