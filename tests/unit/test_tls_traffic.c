/* SPDX-License-Identifier: Apache-2.0 */
/* What follows a handshake of TLS 1.3: OpenSSL's client is the judge of what we send, and for what
 * it would never send itself records are forged under its keys. */
#include "tls_pair.h"

static void open_13(struct pair *p, const char *suite)
{
    pair_open(p,
              &(struct client_wish){.version = TLS1_3_VERSION, .name = "a.test", .suites = suite},
              NULL);
    pump(p);
    assert_true(tls_is_established(p->conn));
    assert_null(p->conn->ssl);
}

static void test_suites(void **state)
{
    static const struct {
        const char *name;
        const char *described;
    } rows[] = {
        {"TLS_AES_128_GCM_SHA256", "256|128|CN=test|CN=test"},
        {"TLS_AES_256_GCM_SHA384", "256|256|CN=test|CN=test"},
        {"TLS_CHACHA20_POLY1305_SHA256", "256|256|CN=test|CN=test"},
    };
    size_t len = 300000;
    char *text = malloc(len);
    fill(text, len);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pair p;
        open_13(&p, rows[i].name);
        assert_true(slice_eq(tls_describe(p.conn), slice_str(rows[i].described)));
        assert_int_equal(tls_version(p.conn), TLS_1_3);
        client_says(&p, text, len);
        assert_true(slice_eq(buf_slice(&p.got), slice_of(text, len)));
        server_says(&p, text, len);
        assert_true(client_hears(&p, text, len));
        for (size_t n = 1; n < 40; n++) { /* blocks of the cipher, and parts of them */
            server_says(&p, text, n);
            assert_true(client_hears(&p, text, n));
        }
        pair_close(&p);
    }
    free(text);
}

/* More connections than contexts are kept. */
static void test_many(void **state)
{
    static struct pair pairs[300];
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
        open_13(&pairs[i], i % 3 ? NULL : "TLS_CHACHA20_POLY1305_SHA256");
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
            struct pair *p = &pairs[i];
            client_says(p, &i, sizeof i);
            assert_memory_equal(buf_at(&p->got), &i, sizeof i);
            buf_consume(&p->got, sizeof i);
            server_says(p, &i, sizeof i);
            assert_true(client_hears(p, (const char *)&i, sizeof i));
        }
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
        pair_close(&pairs[i]);
}

static uint32_t random_state = 1;
static size_t random_below(size_t n)
{
    random_state = random_state * 1664525 + 1013904223;
    return (random_state >> 8) % n;
}

/* Both ways in any pieces, with new keys now and then. */
static void test_any_pieces(void **state)
{
    size_t most = 70000;
    char *text = malloc(most);
    fill(text, most);
    for (int conn = 0; conn < 6; conn++) {
        struct pair p;
        open_13(&p, conn % 2 ? "TLS_CHACHA20_POLY1305_SHA256" : "TLS_AES_256_GCM_SHA384");
        for (int i = 0; i < 60; i++) {
            size_t n = 1 + random_below(random_below(4) ? 300 : most);
            p.step = 1 + random_below(random_below(2) ? 40 : 30000);
            p.out_cap = 1 + random_below(random_below(2) ? 40 : 30000);
            if (random_below(4) == 0)
                assert_int_equal(SSL_key_update(p.client, random_below(2)
                                                              ? SSL_KEY_UPDATE_REQUESTED
                                                              : SSL_KEY_UPDATE_NOT_REQUESTED),
                                 1);
            client_says(&p, text, n);
            assert_true(slice_eq(buf_slice(&p.got), slice_of(text, n)));
            buf_consume(&p.got, n);
            assert_int_equal(buf_len(&p.conn->kept), 0);
            server_says(&p, text, n);
            assert_true(client_hears(&p, text, n));
        }
        pair_close(&p);
    }
    free(text);
}

/* Records that are to be smaller are OpenSSL's affair.  RFC 6066 4 */
static void test_small_fragments(void **state)
{
    struct pair p;
    char text[3000];
    fill(text, sizeof text);
    pair_open(&p, &(struct client_wish){.version = TLS1_3_VERSION, .name = "a.test"}, NULL);
    assert_int_equal(SSL_set_tlsext_max_fragment_length(p.client, TLSEXT_max_fragment_length_512),
                     1);
    pump(&p);
    assert_true(tls_is_established(p.conn));
    assert_non_null(p.conn->ssl);
    client_says(&p, text, sizeof text);
    assert_true(slice_eq(buf_slice(&p.got), slice_of(text, sizeof text)));
    server_says(&p, text, sizeof text);
    assert_true(client_hears(&p, text, sizeof text));
    pair_close(&p);
}

/* The client's side of the traffic keys. */
static struct tls_traffic forger(const struct pair *p)
{
    struct tls_traffic t = p->conn->takes;
    assert_int_equal(tls_traffic_start(ciphers, p->conn->suite, &t), 0);
    t.seq = p->conn->takes.seq;
    return t;
}

static void forge(struct pair *p, struct tls_traffic *t, uint8_t type, const void *in, size_t len)
{
    size_t cap = len + TLS_RECORD_EXTRA_OCTETS;
    char *record = malloc(cap);
    assert_int_equal(tls_record_seal(ciphers, p->conn->suite, t, type, in, len, record), cap);
    server_takes(p, record, cap);
    free(record);
    pump(p); /* the client hears of it */
}

#define RECORD(type, text)           \
    {                                \
        type, text, sizeof(text) - 1 \
    }

/* One record, or two. */
static void test_forged(void **state)
{
    static char overlong[TLS_RECORD_PLAIN_OCTETS + 1];
    const struct {
        const char *what;
        struct {
            uint8_t type;
            const char *octets;
            size_t len;
        } records[2];
        int err, alert; /* 0: content arrives */
    } rows[] = {
        {"padded content", {RECORD(0, "hello\x17\0\0")}, 0, 0},
        {"content after an empty record", {RECORD(23, ""), RECORD(23, "hello")}, 0, 0},
        {"nothing but padding", {RECORD(0, "\0\0")}, ERR_TLS, SSL_AD_UNEXPECTED_MESSAGE},
        {"no type", {RECORD(0, "")}, ERR_TLS, SSL_AD_UNEXPECTED_MESSAGE},
        {"change_cipher_spec", {RECORD(20, "\1")}, ERR_TLS, SSL_AD_UNEXPECTED_MESSAGE},
        {"an unknown type", {RECORD(99, "x")}, ERR_TLS, SSL_AD_UNEXPECTED_MESSAGE},
        {"too much", {{23, overlong, sizeof overlong}}, ERR_TLS, SSL_AD_RECORD_OVERFLOW},
        {"an empty alert", {RECORD(21, "")}, ERR_TLS, SSL_AD_UNEXPECTED_MESSAGE},
        {"an alert of one octet", {RECORD(21, "\1")}, ERR_TLS, SSL_AD_DECODE_ERROR},
        {"two alerts", {RECORD(21, "\1\x5a\1\x5a")}, ERR_TLS, SSL_AD_DECODE_ERROR},
        {"a fatal alert", {RECORD(21, "\2\x50")}, ERR_TLS, 0},
        {"a fatal alert called a warning", {RECORD(21, "\1\x50")}, ERR_TLS, 0},
        {"close_notify", {RECORD(21, "\1\0")}, ERR_CLOSED, 0},
        {"user_canceled", {RECORD(21, "\1\x5a"), RECORD(23, "hello")}, 0, 0},
        {"an empty handshake record", {RECORD(22, "")}, ERR_TLS, SSL_AD_UNEXPECTED_MESSAGE},
        {"a ClientHello", {RECORD(22, "\1\0\0\0")}, ERR_TLS, SSL_AD_UNEXPECTED_MESSAGE},
        {"a long KeyUpdate", {RECORD(22, "\x18\0\0\2\0\0")}, ERR_TLS, SSL_AD_UNEXPECTED_MESSAGE},
        {"a wrong KeyUpdate", {RECORD(22, "\x18\0\0\1\2")}, ERR_TLS, SSL_AD_ILLEGAL_PARAMETER},
        {"two KeyUpdates",
         {RECORD(22, "\x18\0\0\1\0\x18\0\0\1\0")},
         ERR_TLS,
         SSL_AD_UNEXPECTED_MESSAGE},
        {"content inside a KeyUpdate",
         {RECORD(22, "\x18\0\0"), RECORD(23, "hello")},
         ERR_TLS,
         SSL_AD_UNEXPECTED_MESSAGE},
        {"an alert inside a KeyUpdate",
         {RECORD(22, "\x18\0\0"), RECORD(21, "\1\0")},
         ERR_TLS,
         SSL_AD_UNEXPECTED_MESSAGE},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pair p;
        open_13(&p, NULL);
        struct tls_traffic t = forger(&p);
        for (size_t k = 0; k < 2 && rows[i].records[k].octets; k++)
            forge(&p, &t, rows[i].records[k].type, rows[i].records[k].octets,
                  rows[i].records[k].len);
        if (p.err != rows[i].err || (int)p.client_alert != rows[i].alert)
            fail_msg("%s: %d, alert %u", rows[i].what, (int)p.err, p.client_alert);
        bool heard = slice_eq(buf_slice(&p.got), SLICE("hello"));
        assert_int_equal(heard, rows[i].err == 0);
        assert_true(heard || buf_len(&p.got) == 0);
        assert_int_equal(p.conn->failed, rows[i].err == ERR_TLS);
        if (rows[i].err == ERR_TLS)
            assert_true(strlen(tls_reason(p.conn)) > 0);
        pair_close(&p);
    }
}

/* Keys that are replaced, or whose connection has gone, lie nowhere.  (Of a suite whose key OpenSSL
 * keeps as it is.) */
static void test_keys_are_forgotten(void **state)
{
    struct pair p;
    pair_open(&p,
              &(struct client_wish){.version = TLS1_3_VERSION,
                                    .name = "a.test",
                                    .suites = "TLS_CHACHA20_POLY1305_SHA256"},
              NULL);
    pump(&p);
    client_says(&p, "x", 1);
    assert_null(p.conn->ssl);
    struct tls_traffic before = p.conn->takes;
    assert_true(tls_ciphers_know(ciphers, &before));
    assert_int_equal(SSL_key_update(p.client, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
    client_says(&p, "y", 1);
    assert_false(tls_ciphers_know(ciphers, &before));
    before = p.conn->takes;
    assert_true(tls_ciphers_know(ciphers, &before));
    pair_close(&p);
    assert_false(tls_ciphers_know(ciphers, &before));
}

/* A KeyUpdate in two records, and then content under the new keys. */
static void test_key_update_in_pieces(void **state)
{
    struct pair p;
    open_13(&p, NULL);
    struct tls_traffic t = forger(&p);
    forge(&p, &t, 22, "\x18\0", 2);
    forge(&p, &t, 22, "\0\1\0", 3);
    assert_int_equal(tls_traffic_update(ciphers, p.conn->suite, &t), 0);
    forge(&p, &t, 23, "hello", 5);
    assert_true(slice_eq(buf_slice(&p.got), SLICE("hello")));
    pair_close(&p);
}

/* At the limit, and once more. */
static void test_empty_and_warnings(void **state)
{
    static const struct {
        uint8_t type;
        const char *octets;
        size_t len;
        unsigned most;
    } rows[] = {{23, "", 0, 32}, {21, "\1\x5a", 2, 4}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pair p;
        open_13(&p, NULL);
        struct tls_traffic t = forger(&p);
        for (unsigned n = 0; n < rows[i].most; n++)
            forge(&p, &t, rows[i].type, rows[i].octets, rows[i].len);
        assert_int_equal(p.err, 0);
        forge(&p, &t, rows[i].type, rows[i].octets, rows[i].len);
        assert_int_equal(p.err, ERR_TLS);
        pair_close(&p);
    }
}

/* Heads that no record may have, told before the rest has come. */
static void test_heads(void **state)
{
    static const struct {
        const char *head;
        unsigned alert;
    } rows[] = {
        {"\x16\3\3\0\x20", SSL_AD_UNEXPECTED_MESSAGE},
        {"\x14\3\3\0\1", SSL_AD_UNEXPECTED_MESSAGE},
        {"\x17\2\3\0\x20", SSL_AD_PROTOCOL_VERSION},
        {"\x17\3\3\x41\1", SSL_AD_RECORD_OVERFLOW}, /* 16384 + 257 */
        {"\x17\3\3\0\x10", SSL_AD_BAD_RECORD_MAC},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t step = 1; step <= 5; step += 4) {
            struct pair p;
            open_13(&p, NULL);
            p.step = step;
            server_takes(&p, rows[i].head, 5);
            assert_int_equal(p.err, ERR_TLS);
            pump(&p);
            assert_int_equal(p.client_alert, rows[i].alert);
            pair_close(&p);
        }
}

/* Each octet of a record counts, and so does its place. */
static void test_tampered(void **state)
{
    char record[5 + TLS_RECORD_EXTRA_OCTETS];
    for (size_t i = 0; i < sizeof record; i++) {
        struct pair p;
        open_13(&p, NULL);
        struct tls_traffic t = forger(&p);
        assert_int_equal(tls_record_seal(ciphers, p.conn->suite, &t, 23, "hello", 5, record),
                         sizeof record);
        record[i] = (char)(record[i] ^ (i == 4 ? 2 : 0x80)); /* two octets shorter */
        server_takes(&p, record, sizeof record);
        assert_true(p.err == ERR_TLS);
        assert_int_equal(buf_len(&p.got), 0);
        pair_close(&p);
    }
    struct pair p;
    open_13(&p, NULL);
    struct tls_traffic t = forger(&p);
    tls_record_seal(ciphers, p.conn->suite, &t, 23, "hello", 5, record);
    server_takes(&p, record, sizeof record);
    assert_int_equal(p.err, 0);
    server_takes(&p, record, sizeof record); /* once more */
    assert_int_equal(p.err, ERR_TLS);
    assert_true(slice_eq(buf_slice(&p.got), SLICE("hello")));
    pair_close(&p);
}

/* Under one key only so many records are sent.  RFC 8446 5.5 */
static void test_keys_wear(void **state)
{
    struct pair p;
    char wire[200], plain[200];
    uint8_t type;
    open_13(&p, NULL);
    p.conn->sends.seq = TLS_RECORDS_A_KEY;
    struct tls_traffic peer = p.conn->sends;
    size_t cap = TLS_WIRE_BOUND(5), first = TLS_RECORD_EXTRA_OCTETS + 5;
    ssize_t n = tls_encrypt(p.conn, "hello", 5, wire, cap);
    assert_int_equal(n, 2 * first);
    assert_int_equal(tls_record_open(ciphers, p.conn->suite, &peer, wire, first, plain, &type), 5);
    assert_int_equal(type, SSL3_RT_HANDSHAKE);
    assert_memory_equal(plain, "\x18\0\0\1\0", 5);
    assert_int_equal(tls_traffic_update(ciphers, p.conn->suite, &peer), 0);
    assert_int_equal(
        tls_record_open(ciphers, p.conn->suite, &peer, wire + first, first, plain, &type), 5);
    assert_memory_equal(plain, "hello", 5);
    assert_int_equal(p.conn->sends.seq, 1);
    pair_close(&p);
}

/* Memory runs out while a record is put together. */
static void test_kept_out_of_memory(void **state)
{
    struct pair p;
    open_13(&p, NULL);
    p.step = 3;
    pool.fail_at = pool.gets + 1;
    server_takes(&p, "\x17\3\3\0\x20", 3);
    pool.fail_at = 0;
    assert_int_equal(p.err, ERR_TLS);
    assert_string_equal(tls_reason(p.conn), "out of memory");
    pair_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_suites),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_any_pieces),
        cmocka_unit_test(test_small_fragments),
        cmocka_unit_test(test_forged),
        cmocka_unit_test(test_keys_are_forgotten),
        cmocka_unit_test(test_key_update_in_pieces),
        cmocka_unit_test(test_empty_and_warnings),
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_tampered),
        cmocka_unit_test(test_keys_wear),
        cmocka_unit_test(test_kept_out_of_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
