/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_pair.h"

static void test_handshake(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
        struct pair p;
        bool is_13 = versions[i] == TLS1_3_VERSION;
        pair_open(&p,
                  &(struct client_wish){
                      .version = versions[i], .name = "A.Test", .alpn = "\x08http/1.1\x02h2"},
                  NULL);
        assert_false(tls_is_established(p.conn));
        pump(&p);
        assert_true(tls_is_established(p.conn));
        assert_false(tls_is_resumed(p.conn));
        assert_true(tls_alpn_is_h2(p.conn));
        assert_int_equal(tls_version(p.conn), is_13 ? TLS_1_3 : TLS_1_2);
        assert_int_equal(tls_version(p.conn), is_13 ? TLS_1_3 : TLS_1_2);
        assert_true(slice_eq(tls_server_name(p.conn), SLICE("a.test")));
        assert_true(client_saw(&p, id_a, "a.test"));
        assert_string_equal(SSL_get_cipher_name(p.client),
                            is_13 ? "TLS_AES_128_GCM_SHA256" : "ECDHE-ECDSA-AES128-GCM-SHA256");
        client_says(&p, "hello", 5);
        assert_true(slice_eq(buf_slice(&p.got), SLICE("hello")));
        server_says(&p, "world", 5);
        assert_true(client_hears(&p, "world", 5));
        pair_close(&p);
    }
}

/* The length of the first record in octets that a peer sent, its header included. */
static size_t record_octets(const char *at)
{
    return 5 + ((size_t)(unsigned char)at[3] << 8 | (unsigned char)at[4]);
}

static void test_records_grow(void **state)
{
    static char content[100000];
    struct pair p;
    pair_open(&p, &(struct client_wish){.name = "a.test"}, NULL);
    pump(&p);
    size_t cap = TLS_WIRE_BOUND(sizeof content), small = 0, plain = 0;
    char *out = malloc(cap);
    ssize_t n = tls_encrypt(p.conn, content, sizeof content, out, cap);
    assert_true(n > 0 && (size_t)n <= cap);
    for (size_t at = 0, len; at < (size_t)n; at += len) {
        len = record_octets(out + at);
        assert_true(plain < 65536 ? len <= 4096 + 40 : at + len == (size_t)n || len > 16384);
        small += plain < 65536;
        plain += len - 22; /* header, content type, tag */
    }
    assert_int_equal(plain, sizeof content);
    assert_int_equal(small, 16);
    BIO_write(p.to_client, out, (int)n);
    assert_true(client_hears(&p, content, sizeof content));
    free(out);
    pair_close(&p);
}

static void test_choice(void **state)
{
    struct pair p;
    pair_open(&p, &(struct client_wish){.name = "b.test", .alpn = "\x02h2\x08http/1.1"}, NULL);
    pump(&p);
    assert_true(client_saw(&p, id_b, "b.test"));
    assert_false(tls_alpn_is_h2(p.conn)); /* b.test does not want it */
    const unsigned char *alpn;
    unsigned len;
    SSL_get0_alpn_selected(p.client, &alpn, &len);
    assert_true(slice_eq(slice_of(alpn, len), SLICE("http/1.1")));
    pair_close(&p);

    pair_open(&p, &(struct client_wish){0}, NULL); /* neither SNI nor ALPN */
    pump(&p);
    assert_true(client_saw(&p, id_a, "a.test"));
    assert_int_equal(tls_server_name(p.conn).len, 0);
    assert_false(tls_alpn_is_h2(p.conn));
    pair_close(&p);

    pair_open(&p, &(struct client_wish){.name = "a.test", .alpn = "\x04nope"}, NULL);
    pump(&p);
    assert_int_equal(p.err, ERR_TLS);
    assert_true(p.client_failed);
    assert_int_equal(p.client_alert, SSL_AD_NO_APPLICATION_PROTOCOL);
    pair_close(&p);
}

static void test_min_version(void **state)
{
    struct pair p;
    choice_a.min_version = TLS_1_3;
    pair_open(&p, &(struct client_wish){.version = TLS1_2_VERSION, .name = "a.test"}, NULL);
    pump(&p);
    assert_int_equal(p.err, ERR_TLS);
    assert_int_equal(p.client_alert, SSL_AD_PROTOCOL_VERSION);
    assert_string_equal(tls_reason(p.conn), "unsupported protocol");
    pair_close(&p);
    pair_open(&p, &(struct client_wish){.name = "a.test"}, NULL);
    pump(&p);
    assert_true(tls_is_established(p.conn));
    pair_close(&p);
    choice_a.min_version = TLS_1_2;
}

static void test_suites_and_groups(void **state)
{
    static const struct {
        struct client_wish wish;
        const char *suite; /* NULL: must fail */
    } rows[] = {
        {{.version = TLS1_3_VERSION,
          .suites = "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"},
         "TLS_CHACHA20_POLY1305_SHA256"},
        {{.version = TLS1_3_VERSION, .suites = "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256"},
         "TLS_AES_128_GCM_SHA256"},
        {{.version = TLS1_3_VERSION, .suites = "TLS_AES_256_GCM_SHA384"}, "TLS_AES_256_GCM_SHA384"},
        {{.version = TLS1_3_VERSION, .groups = "P-256:X25519"}, "TLS_AES_128_GCM_SHA256"},
        /* HelloRetryRequest: the key share of P-521 is of no use */
        {{.version = TLS1_3_VERSION, .groups = "P-521:P-256"}, "TLS_AES_128_GCM_SHA256"},
        {{.version = TLS1_3_VERSION, .groups = "P-521"}, NULL},
        {{.version = TLS1_2_VERSION, .suites_12 = "ECDHE-ECDSA-CHACHA20-POLY1305:ALL"},
         "ECDHE-ECDSA-CHACHA20-POLY1305"},
        {{.version = TLS1_2_VERSION, .suites_12 = "ECDHE-ECDSA-AES128-SHA256"}, NULL},
        {{.version = TLS1_2_VERSION, .suites_12 = "DHE-RSA-AES128-GCM-SHA256"}, NULL},
        {{.version = TLS1_2_VERSION, .suites_12 = "AES128-GCM-SHA256"}, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pair p;
        struct client_wish wish = rows[i].wish;
        wish.name = "a.test";
        choose_calls = 0;
        pair_open(&p, &wish, NULL);
        pump(&p);
        assert_int_equal(choose_calls, 1);
        assert_int_equal(tls_is_established(p.conn), rows[i].suite != NULL);
        if (rows[i].suite)
            assert_string_equal(SSL_get_cipher_name(p.client), rows[i].suite);
        pair_close(&p);
    }
}

/* A client that asks for another name after a HelloRetryRequest (RFC 8446 4.1.2: it must not) stays
 * with the first, and with what was chosen for it. */
static void test_another_name_after_retry(void **state)
{
    struct pair p;
    char *octets;
    pair_open(
        &p,
        &(struct client_wish){.version = TLS1_3_VERSION, .name = "a.test", .groups = "P-521:P-256"},
        NULL);
    assert_int_equal(SSL_do_handshake(p.client), -1);
    long n = BIO_get_mem_data(p.from_client, &octets);
    server_takes(&p, octets, (size_t)n);
    (void)BIO_reset(p.from_client);
    assert_in_range(BIO_ctrl_pending(p.to_client), 1, 200); /* no certificate is in that */
    assert_int_equal(SSL_set_tlsext_host_name(p.client, "b.test"), 1);
    pump(&p);
    assert_true(slice_eq(tls_server_name(p.conn), SLICE("a.test")));
    assert_true(client_saw(&p, id_a, "a.test"));
    pair_close(&p);
}

static void test_refused_names(void **state)
{
    static const struct {
        const char *name, *reason;
    } rows[] = {
        {"c.test", "unrecognized name"},        {"a b", "invalid server name"},
        {"a.test\r\nx", "invalid server name"}, {"\xc3\xa4.test", "invalid server name"},
        {".", "invalid server name"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pair p;
        pair_open(&p, &(struct client_wish){.name = rows[i].name}, NULL);
        pump(&p);
        assert_int_equal(p.err, ERR_TLS);
        assert_string_equal(tls_reason(p.conn), rows[i].reason);
        assert_true(p.client_failed);
        assert_int_equal(p.client_alert, SSL_AD_UNRECOGNIZED_NAME);
        pair_close(&p);
    }
}

static void test_not_tls(void **state)
{
    static const struct {
        const char *in, *reason;
    } rows[] = {
        {"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", "http request"},
        {"SSH-2.0-OpenSSH_9.2\r\n........", "wrong version number"},
        {"\x16\x03\x01\xff\xff 1234567890", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf wire;
        char out[64];
        size_t taken;
        buf_init(&wire, &pool);
        struct tls_conn *t = tls_accept(server, ciphers, &pool, choose, &pool);
        ssize_t n = tls_decrypt(t, rows[i].in, strlen(rows[i].in), &taken, out, sizeof out, &wire);
        assert_int_equal(n, ERR_TLS);
        if (rows[i].reason)
            assert_string_equal(tls_reason(t), rows[i].reason);
        assert_true(strlen(tls_reason(t)) > 0);
        n = tls_decrypt(t, "x", 1, &taken, out, sizeof out, &wire);
        assert_int_equal(n, ERR_TLS);
        buf_fini(&wire);
        tls_conn_free(t);
    }
}

/* return  whether the second connection was resumed */
static bool resumes(int version, const char *first, const char *second, unsigned rotations,
                    struct tls_identity *replace_a)
{
    SSL_SESSION *session = NULL;
    struct pair p;
    pair_open(&p, &(struct client_wish){.version = version, .name = first}, &session);
    pump(&p);
    assert_true(tls_is_established(p.conn));
    client_says(&p, "x", 1);
    pair_close(&p);
    assert_non_null(session);
    for (unsigned i = 0; i < rotations; i++)
        tls_server_rotate(server);
    if (replace_a)
        choice_a.identity = replace_a;
    pair_open(&p, &(struct client_wish){.version = version, .name = second, .session = session},
              NULL);
    pump(&p);
    assert_true(tls_is_established(p.conn));
    bool resumed = tls_is_resumed(p.conn);
    assert_int_equal(SSL_session_reused(p.client), resumed);
    if (!resumed)
        assert_true(
            client_saw(&p, slice_eq(slice_str(second), SLICE("b.test")) ? id_b : id_a, second));
    client_says(&p, "again", 5);
    assert_true(slice_eq(buf_slice(&p.got), SLICE("again")));
    pair_close(&p);
    SSL_SESSION_free(session);
    choice_a.identity = id_a;
    return resumed;
}

static void test_resumption(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
        int v = versions[i];
        assert_true(resumes(v, "a.test", "a.test", 0, NULL));
        assert_true(resumes(v, "a.test", "a.test", 1, NULL));
        assert_false(resumes(v, "a.test", "a.test", 2, NULL));
        /* never under an other name */
        assert_false(resumes(v, "a.test", "b.test", 0, NULL));
        assert_false(resumes(v, "b.test", "a.test", 0, NULL));
        /* a renewed certificate keeps its sessions */
        struct tls_identity *renewed = fixture_identity("DNS:a.test");
        assert_true(resumes(v, "a.test", "a.test", 0, renewed));
        tls_identity_unref(renewed);
    }
}

/* A client of TLS 1.3 uses a ticket once (RFC 8446 C.4): each connection must bring it the next. */
static void test_resumption_goes_on(void **state)
{
    SSL_SESSION *session = NULL;
    for (int i = 0; i < 4; i++) {
        SSL_SESSION *next = NULL;
        struct pair p;
        pair_open(
            &p,
            &(struct client_wish){.version = TLS1_3_VERSION, .name = "a.test", .session = session},
            &next);
        pump(&p);
        assert_int_equal(tls_is_resumed(p.conn), i > 0);
        client_says(&p, "x", 1);
        pair_close(&p);
        assert_non_null(next);
        SSL_SESSION_free(session);
        session = next;
    }
    SSL_SESSION_free(session);
}

/* However often it was resumed, the server proves who it is once a day. */
static void test_resumption_ends(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    const uint64_t chain_max_us = server->chain_max_us;
    for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
        SSL_SESSION *session = NULL;
        for (int k = 0; k < 4; k++) {
            SSL_SESSION *next = NULL;
            struct pair p;
            server->chain_max_us = k < 3 ? chain_max_us : 0;
            pair_open(
                &p,
                &(struct client_wish){.version = versions[i], .name = "a.test", .session = session},
                &next);
            pump(&p);
            assert_int_equal(tls_is_resumed(p.conn), k == 1 || k == 2);
            client_says(&p, "x", 1);
            pair_close(&p);
            if (!next)
                continue;
            SSL_SESSION_free(session);
            session = next;
        }
        SSL_SESSION_free(session);
    }
    server->chain_max_us = chain_max_us;
}

static void test_octet_by_octet(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    char text[3000];
    fill(text, sizeof text);
    for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
        struct pair p;
        pair_open(&p, &(struct client_wish){.version = versions[i], .name = "a.test"}, NULL);
        p.step = 1;
        p.out_cap = 7;
        pump(&p);
        assert_true(tls_is_established(p.conn));
        client_says(&p, text, sizeof text);
        assert_true(slice_eq(buf_slice(&p.got), slice_of(text, sizeof text)));
        pair_close(&p);
    }
}

static void test_large(void **state)
{
    static const size_t caps[] = {1000, 16384, 65536};
    size_t len = 1u << 20;
    char *text = malloc(len);
    fill(text, len);
    for (size_t i = 0; i < ARRAY_LEN(caps); i++) {
        struct pair p;
        pair_open(&p, &(struct client_wish){.name = "a.test"}, NULL);
        pump(&p);
        p.out_cap = caps[i];
        p.step = 9999;
        client_says(&p, text, len);
        assert_true(slice_eq(buf_slice(&p.got), slice_of(text, len)));
        server_says(&p, text, len);
        assert_true(client_hears(&p, text, len));
        pair_close(&p);
    }
    free(text);
}

static void test_key_update(void **state)
{
    struct pair p;
    pair_open(&p, &(struct client_wish){.version = TLS1_3_VERSION, .name = "a.test"}, NULL);
    pump(&p);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(SSL_key_update(p.client, SSL_KEY_UPDATE_REQUESTED), 1);
        client_says(&p, "x", 1);
        server_says(&p, "y", 1);
        assert_true(client_hears(&p, "y", 1));
    }
    assert_int_equal(buf_len(&p.got), 3);
    pair_close(&p);
}

static bool holds_secrets(const struct tls_conn *t)
{
    static const uint8_t none[TLS_SECRET_MAX_OCTETS];
    return memcmp(t->takes.secret, none, sizeof none) != 0 ||
           memcmp(t->sends.secret, none, sizeof none) != 0;
}

/* What a client may ask of us for nothing, at the limit and once more: with octets between, and
 * many in one flight; then the same of a connection that stays OpenSSL's. */
static void test_key_update_limit(void **state)
{
    for (int how = 0; how < 4; how++) {
        struct pair p;
        bool flight = how & 1;
        choice_a.key_updates = 5;
        pair_open(&p, &(struct client_wish){.version = TLS1_3_VERSION, .name = "a.test"}, NULL);
        if (how & 2)
            SSL_set_tlsext_max_fragment_length(p.client, TLSEXT_max_fragment_length_512);
        pump(&p);
        assert_int_equal(p.conn->ssl != NULL, (how & 2) != 0);
        assert_int_equal(holds_secrets(p.conn), (how & 2) == 0);
        for (unsigned i = 0; i < 5; i++) {
            assert_int_equal(SSL_key_update(p.client, SSL_KEY_UPDATE_REQUESTED), 1);
            if (flight)
                assert_int_equal(SSL_do_handshake(p.client), 1);
            else
                client_says(&p, "x", 1);
        }
        client_says(&p, "y", 1);
        assert_int_equal(buf_len(&p.got), flight ? 1 : 6);
        assert_int_equal(p.err, 0);
        assert_int_equal(SSL_key_update(p.client, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        client_says(&p, "z", 1);
        assert_int_equal(p.err, ERR_TLS);
        assert_int_equal(tls_failure(p.conn), TLS_FAILED_KEY_UPDATES);
        assert_int_equal(buf_len(&p.got), flight ? 1 : 6);
        pair_close(&p);
    }
    choice_a.key_updates = 0;
}

static void test_renegotiation_is_counted(void **state)
{
    struct pair p;
    pair_open(&p, &(struct client_wish){.version = TLS1_2_VERSION, .name = "a.test"}, NULL);
    pump(&p);
    assert_int_equal(SSL_renegotiate(p.client), 1);
    SSL_do_handshake(p.client); /* a ClientHello leaves */
    pump(&p);
    assert_int_equal(p.client_alert, SSL_AD_NO_RENEGOTIATION); /* this client then gives up */
    assert_int_equal(p.conn->key_updates, 1);
    pair_close(&p);
}

static void test_close(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
        struct pair p;
        pair_open(&p, &(struct client_wish){.version = versions[i], .name = "a.test"}, NULL);
        pump(&p);
        size_t n;
        /* the last octets and close_notify in one go: the octets come first */
        SSL_write_ex(p.client, "bye", 3, &n);
        SSL_shutdown(p.client);
        char *octets;
        long len = BIO_get_mem_data(p.from_client, &octets);
        server_takes(&p, octets, (size_t)len);
        assert_true(slice_eq(buf_slice(&p.got), SLICE("bye")));
        assert_int_equal(p.err, ERR_CLOSED);
        assert_false(tls_has_pending(p.conn));
        /* our side may still speak, then closes too */
        server_says(&p, "last", 4);
        struct buf wire;
        buf_init(&wire, &pool);
        tls_close_notify(p.conn, &wire);
        assert_true(buf_len(&wire) > 0);
        BIO_write(p.to_client, buf_at(&wire), (int)buf_len(&wire));
        buf_fini(&wire);
        assert_true(client_hears(&p, "last", 4));
        char c;
        int r = SSL_read(p.client, &c, 1);
        assert_int_equal(SSL_get_error(p.client, r), SSL_ERROR_ZERO_RETURN);
        pair_close(&p);
    }
}

static void test_broken_record(void **state)
{
    struct pair p;
    pair_open(&p, &(struct client_wish){.name = "a.test"}, NULL);
    pump(&p);
    size_t n;
    char *octets;
    SSL_write_ex(p.client, "good", 4, &n);
    long first = BIO_get_mem_data(p.from_client, &octets);
    SSL_write_ex(p.client, "evil", 4, &n);
    long len = BIO_get_mem_data(p.from_client, &octets);
    assert_true(len > first);
    octets[len - 1] ^= 1;
    server_takes(&p, octets, (size_t)len);
    assert_true(slice_eq(buf_slice(&p.got), SLICE("good")));
    assert_int_equal(p.err, ERR_TLS);
    (void)BIO_reset(p.from_client);
    pump(&p);
    assert_int_equal(p.client_alert, SSL_AD_BAD_RECORD_MAC);
    char out[100];
    assert_int_equal(tls_encrypt(p.conn, "x", 1, out, sizeof out), ERR_TLS);
    pair_close(&p);
}

static void test_covers(void **state)
{
    static const struct {
        const char *host;
        bool covered;
    } rows[] = {
        {"b.test", true},   {"B.TEST", true},    {"b.test.", true},     {"x.b.test", false},
        {"x.c.test", true}, {"c.test", false},   {"y.x.c.test", false}, {".c.test", false},
        {"a.test", false},  {"127.0.0.1", true}, {"127.0.0.2", false},  {"::1", true},
        {"[::1]", true},    {"[::2]", false},    {"", false},           {".", false},
        {"*.c.test", true}, {"test", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (tls_identity_covers(id_b, slice_str(rows[i].host)) != rows[i].covered)
            fail_msg("%s", rows[i].host);
    struct tls_identity *wide = fixture_identity("DNS:*.test,DNS:*");
    assert_false(tls_identity_covers(wide, SLICE("a.test")));
    assert_false(tls_identity_covers(wide, SLICE("test")));
    tls_identity_unref(wide);
    struct tls_identity *none = fixture_identity(NULL);
    assert_false(tls_identity_covers(none, SLICE("test"))); /* the common name does not count */
    tls_identity_unref(none);
}

static void test_bad_identities(void **state)
{
    struct pem_pair one, two;
    const char *why;
    fixture_make_ec(&one, "DNS:a.test");
    fixture_make_ec(&two, "DNS:a.test");
    struct slice chain = slice_str(one.chain), key = slice_str(one.key);
    struct slice other = slice_str(two.key);
    const struct {
        struct slice chain, key;
    } rows[] = {
        {SLICE(""), key},
        {chain, SLICE("")},
        {SLICE("no PEM at all"), key},
        {key, chain},
        {chain, other},
        {slice_of(chain.p, chain.len / 2), key},
        {chain, slice_of(key.p, key.len / 2)},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        why = NULL;
        assert_null(tls_identity_new(rows[i].chain, rows[i].key, &why));
        assert_non_null(why);
        assert_true(strlen(why) > 0);
    }
    /* a second certificate is sent as the chain; a torn one is refused */
    char both[8192];
    int n = snprintf(both, sizeof both, "%s%s", one.chain, two.chain);
    struct tls_identity *id = tls_identity_new(slice_of(both, (size_t)n), key, &why);
    assert_non_null(id);
    tls_identity_unref(id);
    assert_null(tls_identity_new(slice_of(both, (size_t)n - 100), key, &why));
}

/* What is deferred is judged when it is first needed, and once. */
static void test_deferred(void **state)
{
    (void)state;
    struct pem_pair one;
    const char *why;
    fixture_make_ec(&one, "DNS:a.test");
    struct slice chain = slice_str(one.chain), key = slice_str(one.key);
    struct tls_identity *id = tls_identity_deferred(chain, key);
    assert_non_null(id);
    assert_true(tls_identity_read(id, &why));
    assert_null(why);
    assert_true(tls_identity_read(id, &why));
    assert_true(tls_identity_covers(id, SLICE("a.test")));
    tls_identity_unref(id);
    id = tls_identity_deferred(chain, chain);
    assert_false(tls_identity_read(id, &why));
    assert_non_null(why);
    assert_false(tls_identity_read(id, &why));
    assert_null(why); /* told once */
    tls_identity_unref(id);
    tls_identity_unref(tls_identity_deferred(chain, key)); /* never asked for */
}

static void test_out_of_memory(void **state)
{
    for (uint64_t at = 1; at < 12; at++) {
        struct pool small;
        pool_init(&small);
        small.fail_at = at;
        struct client_wish wish = {.name = "a.test"};
        SSL *client = fixture_client(&wish, NULL);
        BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
        SSL_set_bio(client, in, out);
        SSL_do_handshake(client);
        char *octets, plain[64];
        long len = BIO_get_mem_data(out, &octets);
        struct tls_conn *t = tls_accept(server, ciphers, &small, choose, &pool);
        if (t) {
            struct buf wire;
            size_t taken;
            buf_init(&wire, &small);
            ssize_t n = tls_decrypt(t, octets, (size_t)len, &taken, plain, sizeof plain, &wire);
            assert_true(n == ERR_TLS || n == 0);
            buf_fini(&wire);
            tls_conn_free(t);
        }
        ERR_clear_error();
        SSL_free(client);
        assert_int_equal(small.live, 0);
        pool_fini(&small);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handshake),
        cmocka_unit_test(test_records_grow),
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_another_name_after_retry),
        cmocka_unit_test(test_min_version),
        cmocka_unit_test(test_suites_and_groups),
        cmocka_unit_test(test_refused_names),
        cmocka_unit_test(test_not_tls),
        cmocka_unit_test(test_resumption),
        cmocka_unit_test(test_resumption_goes_on),
        cmocka_unit_test(test_resumption_ends),
        cmocka_unit_test(test_octet_by_octet),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_key_update),
        cmocka_unit_test(test_key_update_limit),
        cmocka_unit_test(test_renegotiation_is_counted),
        cmocka_unit_test(test_close),
        cmocka_unit_test(test_broken_record),
        cmocka_unit_test(test_covers),
        cmocka_unit_test(test_bad_identities),
        cmocka_unit_test(test_deferred),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
