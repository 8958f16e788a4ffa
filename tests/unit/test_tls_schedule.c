/* SPDX-License-Identifier: Apache-2.0 */
/* OpenSSL's own key schedule is the judge of ours, and RFC 8448 of both. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/panic.h"
#include "net/tls_schedule.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/provider.h>

struct wish {
    int mode;
    const char *digest;
    struct slice key, salt, label, context;
};

static bool derive(const char *properties, const struct wish *w, uint8_t *out, size_t len)
{
    int mode = w->mode;
    OSSL_PARAM params[8], *p = params;
    *p++ = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode);
    *p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)w->digest, 0);
    *p++ =
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PREFIX, (void *)(uintptr_t) "tls13 ", 6);
    const struct {
        const char *name;
        struct slice value;
    } rest[] = {{OSSL_KDF_PARAM_KEY, w->key},
                {OSSL_KDF_PARAM_SALT, w->salt},
                {OSSL_KDF_PARAM_LABEL, w->label},
                {OSSL_KDF_PARAM_DATA, w->context}};
    for (size_t i = 0; i < ARRAY_LEN(rest); i++)
        if (rest[i].value.p)
            *p++ = OSSL_PARAM_construct_octet_string(
                rest[i].name, (void *)(uintptr_t)rest[i].value.p, rest[i].value.len);
    *p = OSSL_PARAM_construct_end();
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_TLS1_3_KDF, properties);
    assert_non_null(kdf);
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
    assert_non_null(ctx);
    bool ok = EVP_KDF_derive(ctx, out, len, params) == 1;
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return ok;
}

#define OURS     "provider=portico"
#define OPENSSLS "provider=default"

struct told {
    unsigned count;
    char label[32];
    uint8_t secret[48];
    size_t octets;
};

static void keep(void *user, struct slice label, const uint8_t *secret, size_t octets)
{
    struct told *t = user;
    t->count++;
    snprintf(t->label, sizeof t->label, "%.*s", SLICE_FMT(label));
    memcpy(t->secret, secret, octets);
    t->octets = octets;
}

static struct tls_schedule *schedule;
static struct told told;

static int begin(void **state)
{
    told = (struct told){0};
    tls_schedule_begin(schedule, keep, &told);
    return 0;
}

static int end(void **state)
{
    tls_schedule_end();
    return 0;
}

static void test_both_agree(void **state)
{
    static const struct {
        const char *name;
        size_t octets;
    } digests[] = {{"SHA2-256", 32}, {"SHA2-384", 48}};
    static const char *labels[] = {"derived", "c hs traffic", "s ap traffic",
                                   "key",     "iv",           "finished"};
    uint8_t secret[48], context[48], ours[48], theirs[48];
    for (size_t i = 0; i < sizeof secret; i++) {
        secret[i] = (uint8_t)(7 * i + 1);
        context[i] = (uint8_t)(11 * i + 5);
    }
    for (size_t d = 0; d < ARRAY_LEN(digests); d++) {
        size_t octets = digests[d].octets;
        struct wish w = {.mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY,
                         .digest = digests[d].name,
                         .key = slice_of(secret, octets)};
        for (size_t l = 0; l < ARRAY_LEN(labels); l++)
            for (size_t len = 1; len <= octets; len++)
                for (int has_context = 0; has_context < 2; has_context++) {
                    w.label = slice_str(labels[l]);
                    w.context = slice_of(has_context ? context : NULL, has_context ? octets : 0);
                    assert_true(derive(OURS, &w, ours, len));
                    assert_true(derive(OPENSSLS, &w, theirs, len));
                    assert_memory_equal(ours, theirs, len);
                    assert_memory_equal(told.secret, ours, len); /* it was made by ours */
                }
        w = (struct wish){.mode = EVP_KDF_HKDF_MODE_EXTRACT_ONLY,
                          .digest = digests[d].name,
                          .label = SLICE("derived")};
        for (int has_key = 0; has_key < 2; has_key++)
            for (int has_salt = 0; has_salt < 2; has_salt++) {
                w.key = slice_of(has_key ? context : NULL, has_key ? 32 : 0);
                w.salt = slice_of(has_salt ? secret : NULL, has_salt ? octets : 0);
                assert_true(derive(OURS, &w, ours, octets));
                assert_true(derive(OPENSSLS, &w, theirs, octets));
                assert_memory_equal(ours, theirs, octets);
            }
    }
}

/* RFC 8448 3 */
static void test_known(void **state)
{
    static const uint8_t server_handshake[] = {0xb6, 0x7b, 0x7d, 0x69, 0x0c, 0xc1, 0x6c, 0x4e,
                                               0x75, 0xe5, 0x42, 0x13, 0xcb, 0x2d, 0x37, 0xb4,
                                               0xe9, 0xc9, 0x12, 0xbc, 0xde, 0xd9, 0x10, 0x5d,
                                               0x42, 0xbe, 0xfd, 0x59, 0xd3, 0x91, 0xad, 0x38};
    static const uint8_t key[] = {0x3f, 0xce, 0x51, 0x60, 0x09, 0xc2, 0x17, 0x27,
                                  0xd0, 0xf2, 0xe4, 0xe8, 0x6e, 0xe4, 0x03, 0xbc};
    static const uint8_t iv[] = {0x5d, 0x31, 0x3e, 0xb2, 0x67, 0x12,
                                 0x76, 0xee, 0x13, 0x00, 0x0b, 0x30};
    uint8_t out[16];
    assert_true(tls_schedule_expand(schedule, TLS_SHA_256, server_handshake, SLICE("key"),
                                    SLICE(""), out, sizeof key));
    assert_memory_equal(out, key, sizeof key);
    assert_true(tls_schedule_expand(schedule, TLS_SHA_256, server_handshake, SLICE("iv"), SLICE(""),
                                    out, sizeof iv));
    assert_memory_equal(out, iv, sizeof iv);
}

/* What this program's OpenSSL does not ask for, but another may: then all that is lost is that we
 * are told. */
static void test_left_to_openssl(void **state)
{
    enum { EXPAND = EVP_KDF_HKDF_MODE_EXPAND_ONLY, EXTRACT = EVP_KDF_HKDF_MODE_EXTRACT_ONLY };
    static const char octets[300] = {1};
    const struct slice secret = slice_of(octets, 32), label = SLICE("s ap traffic");
    const struct {
        struct wish wish;
        size_t len;
    } cases[] = {
        {{EXPAND, "SHA2-256", secret, {0}, label, secret}, 33}, /* more than one HMAC */
        {{EXPAND, "SHA256", secret, {0}, label, secret}, 32},   /* an engine's name */
        {{EXPAND, "sha2-256", secret, {0}, label, secret}, 32},
        {{EXPAND, "SHA2-512", slice_of(octets, 64), {0}, label, {0}}, 64},
        {{EXPAND, "SHA2-256", slice_of(octets, 31), {0}, label, {0}}, 32},
        {{EXPAND, "SHA2-256", {0}, {0}, label, {0}}, 32},
        {{EXPAND, "SHA2-256", secret, {0}, slice_of(octets, 250), {0}}, 32},
        {{EXPAND, "SHA2-256", secret, {0}, label, slice_of(octets, 256)}, 32},
        {{EXTRACT, "SHA2-512", secret, {0}, label, {0}}, 64},
        {{EXTRACT, "SHA2-256", {0}, slice_of(octets, 48), label, {0}}, 32},
        {{EXTRACT, "SHA2-256", {0}, secret, label, {0}}, 31},
        {{EVP_KDF_HKDF_MODE_EXTRACT_AND_EXPAND, "SHA2-256", secret, {0}, label, {0}}, 32},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint8_t ours[64] = {0}, theirs[64] = {0};
        bool ok = derive(OURS, &cases[i].wish, ours, cases[i].len);
        assert_int_equal(ok, derive(OPENSSLS, &cases[i].wish, theirs, cases[i].len));
        if (ok)
            assert_memory_equal(ours, theirs, sizeof ours);
        assert_int_equal(told.count, 0);
    }
}

static void test_told(void **state)
{
    uint8_t secret[48] = {1}, out[48], again[48];
    const struct wish w = {.mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY,
                           .digest = "SHA2-384",
                           .key = slice_of(secret, 48),
                           .label = SLICE("s ap traffic"),
                           .context = slice_of(secret, 48)};
    assert_true(derive(OPENSSLS, &w, out, 48));
    assert_int_equal(told.count, 0);
    assert_true(derive(OURS, &w, out, 48));
    assert_int_equal(told.count, 1);
    assert_string_equal(told.label, "s ap traffic");
    assert_int_equal(told.octets, 48);
    assert_memory_equal(told.secret, out, 48);
    tls_schedule_end();
    assert_true(derive(OURS, &w, again, 48));
    assert_memory_equal(again, out, 48);
    assert_int_equal(told.count, 1);
}

/* Who does not ask for ours has OpenSSL's: a client's handshakes are none of ours. */
static void test_asked_for(void **state)
{
    EVP_KDF *any = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_TLS1_3_KDF, NULL);
    EVP_KDF *wanted = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_TLS1_3_KDF, TLS_SCHEDULE_PROPERTIES);
    assert_string_equal(OSSL_PROVIDER_get0_name(EVP_KDF_get0_provider(any)), "default");
    assert_string_equal(OSSL_PROVIDER_get0_name(EVP_KDF_get0_provider(wanted)), "portico");
    EVP_KDF_free(any);
    EVP_KDF_free(wanted);
    assert_null(EVP_KDF_fetch(NULL, OSSL_KDF_NAME_TLS1_3_KDF, "fips=yes," TLS_SCHEDULE_PROPERTIES));
}

static int setup(void **state)
{
    tls_schedule_provide();
    tls_schedule_provide();
    schedule = tls_schedule_new();
    return schedule ? 0 : -1;
}

static int teardown(void **state)
{
    tls_schedule_free(schedule);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_both_agree, begin, end),
        cmocka_unit_test(test_known),
        cmocka_unit_test_setup_teardown(test_left_to_openssl, begin, end),
        cmocka_unit_test_setup_teardown(test_told, begin, end),
        cmocka_unit_test(test_asked_for),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
