/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tls_schedule.h"
#include "base/panic.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/provider.h>
#include <pthread.h>
#include <stdlib.h>

#define BLOCK_MAX_OCTETS   128
#define LABEL_MAX_OCTETS   255 /* RFC 8446 7.1 */
#define CONTEXT_MAX_OCTETS 255

static const struct slice prefix = {"tls13 ", 6};

static const struct {
    const char *name;
    uint8_t octets, block_octets;
} digests[TLS_DIGESTS] = {
    [TLS_SHA_256] = {"SHA2-256", 32, 64},
    [TLS_SHA_384] = {"SHA2-384", 48, 128},
};

struct tls_schedule {
    EVP_MD_CTX *hash[TLS_DIGESTS];
    tls_secret_fn *tell;
    void *user;
};

static _Thread_local struct tls_schedule *current;
/* For the life of the process. */
static EVP_KDF *openssls;
static OSSL_PROVIDER *loaded;

struct tls_schedule *tls_schedule_new(void)
{
    struct tls_schedule *s = calloc(1, sizeof *s);
    bool ok = s != NULL;
    for (size_t i = 0; ok && i < TLS_DIGESTS; i++) {
        EVP_MD *md = EVP_MD_fetch(NULL, digests[i].name, NULL);
        s->hash[i] = EVP_MD_CTX_new();
        ok = md && s->hash[i] && EVP_DigestInit_ex(s->hash[i], md, NULL) == 1;
        EVP_MD_free(md); /* the context has its own reference */
    }
    if (ok)
        return s;
    tls_schedule_free(s);
    return NULL;
}

void tls_schedule_free(struct tls_schedule *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < TLS_DIGESTS; i++)
        EVP_MD_CTX_free(s->hash[i]);
    free(s);
}

static bool hash_of(EVP_MD_CTX *ctx, struct slice a, struct slice b, uint8_t *out)
{
    return EVP_DigestInit_ex(ctx, NULL, NULL) == 1 && EVP_DigestUpdate(ctx, a.p, a.len) == 1 &&
           EVP_DigestUpdate(ctx, b.p, b.len) == 1 && EVP_DigestFinal_ex(ctx, out, NULL) == 1;
}

/* key: as many octets as the digest has, fewer than a block.  RFC 2104 */
static bool hmac(struct tls_schedule *s, enum tls_digest digest, const uint8_t *key,
                 struct slice message, uint8_t *out)
{
    EVP_MD_CTX *ctx = s->hash[digest];
    const size_t octets = digests[digest].octets, block = digests[digest].block_octets;
    uint8_t inner[BLOCK_MAX_OCTETS] = {0}, outer[BLOCK_MAX_OCTETS];
    memcpy(inner, key, octets);
    for (size_t i = 0; i < block; i++) {
        outer[i] = inner[i] ^ 0x5c;
        inner[i] ^= 0x36;
    }
    bool ok = hash_of(ctx, slice_of(inner, block), message, out) &&
              hash_of(ctx, slice_of(outer, block), slice_of(out, octets), out);
    OPENSSL_cleanse(inner, block);
    OPENSSL_cleanse(outer, block);
    return ok;
}

/* With no more octets than the digest has HKDF-Expand is one HMAC.  RFC 5869 2.3 */
bool tls_schedule_expand(struct tls_schedule *s, enum tls_digest digest, const uint8_t *secret,
                         struct slice label, struct slice context, uint8_t *out, size_t len)
{
    char what[2 + 1 + LABEL_MAX_OCTETS + 1 + CONTEXT_MAX_OCTETS + 1], *at = what;
    uint8_t made[TLS_SECRET_MAX_OCTETS];
    const size_t octets = digests[digest].octets;
    if (len > octets || label.len > LABEL_MAX_OCTETS - prefix.len ||
        context.len > CONTEXT_MAX_OCTETS)
        return false;
    *at++ = 0;
    *at++ = (char)len;
    *at++ = (char)(prefix.len + label.len);
    at = slice_put(slice_put(at, prefix), label);
    *at++ = (char)context.len;
    at = slice_put(at, context);
    *at++ = 1; /* HKDF's counter */
    bool ok = hmac(s, digest, secret, slice_of(what, (size_t)(at - what)), made);
    if (ok)
        memcpy(out, made, len);
    OPENSSL_cleanse(made, sizeof made);
    return ok;
}

/* HKDF-Extract(Derive-Secret(before, label, ""), input), zeros for what is not there. */
static bool extract(struct tls_schedule *s, enum tls_digest digest, const uint8_t *before,
                    struct slice label, struct slice input, uint8_t *out)
{
    static const uint8_t zeros[TLS_SECRET_MAX_OCTETS];
    const size_t octets = digests[digest].octets;
    const struct slice none = SLICE("");
    uint8_t salt[TLS_SECRET_MAX_OCTETS] = {0}, empty[TLS_SECRET_MAX_OCTETS];
    bool ok = !before || (hash_of(s->hash[digest], none, none, empty) &&
                          tls_schedule_expand(s, digest, before, label, slice_of(empty, octets),
                                              salt, octets));
    ok = ok && hmac(s, digest, salt, input.p ? input : slice_of(zeros, octets), out);
    OPENSSL_cleanse(salt, sizeof salt);
    return ok;
}

void tls_schedule_begin(struct tls_schedule *s, tls_secret_fn *tell, void *user)
{
    ASSERT(!current);
    s->tell = tell;
    s->user = user;
    current = s;
}

void tls_schedule_end(void)
{
    current = NULL;
}

/* What OpenSSL gives for one derivation.  provider-kdf(7), EVP_KDF-TLS13_KDF(7) */
struct derivation {
    int mode;
    enum tls_digest digest;
    struct slice key, salt, label, context;
};

static bool read_digest(const OSSL_PARAM *p, enum tls_digest *out)
{
    struct slice name = slice_of(p->data, strnlen(p->data, p->data_size));
    for (enum tls_digest i = 0; i < TLS_DIGESTS; i++)
        if (slice_eq(name, slice_str(digests[i].name))) {
            *out = i;
            return true;
        }
    return false;
}

static bool read_derivation(const OSSL_PARAM *p, struct derivation *d)
{
    bool has_mode = false, has_digest = false, has_prefix = false;
    for (; p->key; p++) {
        struct slice value = slice_of(p->data, p->data_size);
        if (strcmp(p->key, OSSL_KDF_PARAM_KEY) == 0)
            d->key = value;
        else if (strcmp(p->key, OSSL_KDF_PARAM_SALT) == 0)
            d->salt = value;
        else if (strcmp(p->key, OSSL_KDF_PARAM_LABEL) == 0)
            d->label = value;
        else if (strcmp(p->key, OSSL_KDF_PARAM_DATA) == 0)
            d->context = value;
        else if (strcmp(p->key, OSSL_KDF_PARAM_PREFIX) == 0)
            has_prefix = slice_eq(value, prefix);
        else if (strcmp(p->key, OSSL_KDF_PARAM_DIGEST) == 0)
            has_digest = read_digest(p, &d->digest);
        else if (strcmp(p->key, OSSL_KDF_PARAM_MODE) == 0)
            has_mode = OSSL_PARAM_get_int(p, &d->mode) == 1;
    }
    return has_mode && has_digest && has_prefix;
}

static bool derive_with(struct tls_schedule *s, const struct derivation *d, uint8_t *out,
                        size_t len)
{
    const size_t octets = digests[d->digest].octets;
    if (d->mode == EVP_KDF_HKDF_MODE_EXTRACT_ONLY)
        return len == octets && (!d->salt.p || d->salt.len == octets) &&
               extract(s, d->digest, (const uint8_t *)d->salt.p, d->label, d->key, out);
    bool ok = d->mode == EVP_KDF_HKDF_MODE_EXPAND_ONLY && d->key.len == octets &&
              tls_schedule_expand(s, d->digest, (const uint8_t *)d->key.p, d->label, d->context,
                                  out, len);
    if (ok)
        s->tell(s->user, d->label, out, len);
    return ok;
}

static bool derive_as_openssl(uint8_t *out, size_t len, const OSSL_PARAM *params)
{
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(openssls);
    bool ok = ctx && EVP_KDF_derive(ctx, out, len, params) == 1;
    EVP_KDF_CTX_free(ctx);
    return ok;
}

/* What no connection of ours asks for, or not in the way that this file knows, is left to OpenSSL:
 * a later version of it may ask otherwise, and an engine names its digests otherwise. */
static int derive(void *context, unsigned char *out, size_t len, const OSSL_PARAM *params)
{
    struct derivation d = {0};
    return (current && read_derivation(params, &d) && derive_with(current, &d, out, len)) ||
           derive_as_openssl(out, len, params);
}

/* A context of a derivation holds nothing: all that there is comes with the call. */
static void *context_new(void *provider)
{
    return provider;
}

static void context_free(void *context)
{
}

static const OSSL_ALGORITHM *query(void *provider, int operation, int *no_cache)
{
    static const OSSL_DISPATCH functions[] = {
        {OSSL_FUNC_KDF_NEWCTX, (void (*)(void))context_new},
        {OSSL_FUNC_KDF_FREECTX, (void (*)(void))context_free},
        {OSSL_FUNC_KDF_DERIVE, (void (*)(void))derive},
        {0, NULL},
    };
    static const OSSL_ALGORITHM kdfs[] = {
        {OSSL_KDF_NAME_TLS1_3_KDF, "provider=portico", functions, NULL},
        {NULL, NULL, NULL, NULL},
    };
    *no_cache = 0;
    return operation == OSSL_OP_KDF ? kdfs : NULL;
}

static int start(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
                 void **provider_out)
{
    static const OSSL_DISPATCH functions[] = {
        {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query},
        {0, NULL},
    };
    static char provider; /* it has no state, but NULL would say that it failed */
    *out = functions;
    *provider_out = &provider;
    return 1;
}

/* Who asks for no provider gets what was found first, so OpenSSL's is found before ours is there.
 */
static void provide(void)
{
    openssls = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_TLS1_3_KDF, NULL);
    if (openssls && OSSL_PROVIDER_add_builtin(NULL, "portico", start) == 1)
        loaded = OSSL_PROVIDER_try_load(NULL, "portico", 1); /* beside those loaded by default */
    if (!loaded)
        ERR_clear_error();
}

void tls_schedule_provide(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, provide);
}
