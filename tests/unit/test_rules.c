/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/panic.h"
#include "http/rules.h"

/* Wherever an octet stands in a value of whatever length. */
static void octets_of_values(void **state)
{
    for (size_t len = 3; len <= 50; len++) {
        char *text = malloc(len); /* without an octet to spare */
        assert_non_null(text);
        memset(text, 'x', len);
        for (size_t at = 1; at + 1 < len; at++) {
            for (int c = 0; c < 256; c++) {
                text[at] = (char)c;
                assert_int_equal(rules_is_value(slice_of(text, len)),
                                 c == '\t' || (c >= 0x20 && c != 0x7f));
            }
            text[at] = 'x';
        }
        free(text);
    }
}

/* The octets allowed, spelt out once more from the RFCs, not from the code's table. */
static void single_octets(void **state)
{
    for (int c = 0; c < 256; c++) {
        char octet[4] = {(char)c, 'a', (char)c, 'a'};
        struct slice one = slice_of(octet, 1), inside = slice_of(octet + 1, 3);
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        bool tchar = alnum || (c && strchr("!#$%&'*+-.^_`|~", c));
        bool lower = tchar && !(c >= 'A' && c <= 'Z');
        bool visible = c > 0x20 && c != 0x7f;
        assert_int_equal(rules_is_token(one), tchar);
        assert_int_equal(rules_is_token(inside), tchar);
        assert_int_equal(rules_is_lower_token(one), lower);
        assert_int_equal(rules_is_lower_token(inside), lower);
        assert_int_equal(rules_is_value(one), visible);
        assert_int_equal(rules_is_value(inside), visible || c == ' ' || c == '\t');
        octet[0] = '/';
        octet[1] = (char)c;
        assert_int_equal(rules_is_origin_form(slice_of(octet, 2)), visible && c != '#');
        bool reg = alnum || (c && strchr("-._~!$&'()*+,;=", c));
        octet[1] = 'a';
        assert_int_equal(rules_is_authority(inside), reg);
    }
}

struct row {
    struct slice in;
    bool valid;
};

#define YES(s)                   \
    {                            \
        {s, sizeof(s) - 1}, true \
    }
#define NO(s)                     \
    {                             \
        {s, sizeof(s) - 1}, false \
    }

static void check_rows(const struct row *rows, size_t count, bool (*rule)(struct slice))
{
    for (size_t i = 0; i < count; i++) {
        if (rule(rows[i].in) != rows[i].valid)
            print_error("row %zu: \"%.*s\"\n", i, SLICE_FMT(rows[i].in));
        assert_int_equal(rule(rows[i].in), rows[i].valid);
    }
}

static void names_and_values(void **state)
{
    static const struct row tokens[] = {NO(""),    YES("GET"), YES("x-a_b"),
                                        NO("a b"), NO("a:"),   NO(":a")};
    static const struct row lowers[] = {NO(""), YES("x-a"), NO("X-a"), NO("x-A"), NO(":path")};
    static const struct row values[] = {YES(""),
                                        YES("a b"),
                                        YES("a\tb"),
                                        NO(" a"),
                                        NO("a "),
                                        NO("\ta"),
                                        NO("a\t"),
                                        NO(" "),
                                        NO("a\nb"),
                                        NO("a\r\nb"),
                                        NO("a\0b"),
                                        NO("a\x7f"),
                                        YES("\xc3\xa4"),
                                        YES("\xff"),
                                        NO("a\x0b"
                                           "b")};
    static const struct row paths[] = {YES("/"),         YES("/a?b=c"), YES("//x"), YES("/%zz"),
                                       YES("/\xc3\xa4"), NO(""),        NO("*"),    NO("a"),
                                       NO("http://a/"),  NO("/a b"),    NO("/a#b"), NO("/a\n"),
                                       NO("/\0"),        NO("/\x7f")};
    static const struct row upgrades[] = {
        YES("websocket"), YES("foo/1.2"), YES("SPDY/3.1"),   YES("h2o"),
        YES("tlsx"),      YES("https"),   YES("x-h2c"),      NO(""),
        NO("/"),          NO("foo/"),     NO("/1"),          NO("foo/1/2"),
        NO("foo bar"),    NO("foo, bar"), NO("foo\r\nx: y"), NO("foo\0"),
        NO("foo\0bar"),   NO("h2c"),      NO("H2C"),         NO("h2c/1"),
        NO("h2c-14"),     NO("h2"),       NO("h3-29"),       NO("HTTP/2.0"),
        NO("http/1.1"),   NO("TLS/1.2"),  NO("tls"),         NO("HTTP-draft-09/2.0")};
    check_rows(upgrades, ARRAY_LEN(upgrades), rules_is_upgrade);
    check_rows(tokens, ARRAY_LEN(tokens), rules_is_token);
    check_rows(lowers, ARRAY_LEN(lowers), rules_is_lower_token);
    check_rows(values, ARRAY_LEN(values), rules_is_value);
    check_rows(paths, ARRAY_LEN(paths), rules_is_origin_form);
}

static void authorities(void **state)
{
    static const struct row rows[] = {
        YES("a"),
        YES("example.org"),
        YES("EXAMPLE.org:443"),
        YES("a_b.example"),
        YES("a:"),
        YES("a:0"),
        YES("a:65535"),
        YES("127.0.0.1:80"),
        YES("[::1]"),
        YES("[::1]:8080"),
        YES("[2001:db8::192.0.2.1]"),
        YES("%c3%A4.example"),
        YES("999.999.999.999"), /* a reg-name all the same, RFC 3986 3.2.2 */
        NO(""),
        NO(":80"),
        NO("a:65536"),
        NO("a:99999999999999999999999"),
        NO("a:+1"),
        NO("a:8a"),
        NO("a:80:80"),
        NO("user@a"),
        NO("user:1@a"),
        NO("a/"),
        NO("a?b"),
        NO("a#b"),
        NO("a b"),
        NO(" a"),
        NO("a\0"),
        NO("a\\b"),
        NO("%"),
        NO("%4"),
        NO("%4g"),
        NO("%g4"),
        NO("[::1"),
        NO("::1"),
        NO("[]"),
        NO("[::g]"),
        NO("[::1]a"),
        NO("[::1]80"),
        NO("[::1]]"),
        NO("[fe80::1%25eth0]"),
        NO("[v1.x]"),
        NO("[1.2.3.4]"),
        NO("[::1\0]"),
        NO("[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]"),
        NO("a[::1]"),
        NO("\xc3\xa4.example"),
    };
    static const struct {
        const char *in, *host;
        uint16_t port;
    } splits[] = {
        {"a", "a", 0},        {"a:", "a", 0},        {"a:443", "a", 443},
        {"a:00080", "a", 80}, {"[::1]", "[::1]", 0}, {"[::1]:65535", "[::1]", 65535},
        {"[::1", "[::1", 0}, /* not valid, so not split */
    };
    check_rows(rows, ARRAY_LEN(rows), rules_is_authority);
    for (size_t i = 0; i < ARRAY_LEN(splits); i++) {
        struct slice host;
        uint16_t port = 1;
        rules_split_authority(slice_str(splits[i].in), &host, &port);
        assert_true(slice_eq(host, slice_str(splits[i].host)));
        assert_int_equal(port, splits[i].port);
    }
}

/* One field is left, in plain digits, where the first one stood. */
static void settled(struct fields *f, int want_err, int64_t want)
{
    struct pool pool;
    struct arena arena;
    int64_t length = 7;
    char digits[24];
    bool some = f->count > 1;
    pool_init(&pool);
    arena_init(&arena, &pool);
    assert_int_equal(rules_settle_content_length(f, &arena, &length), want_err);
    if (want_err == 0) {
        assert_int_equal(length, want);
        assert_int_equal(f->count, some ? 2 : 1);
        assert_int_equal(f->at[0].token, TOKEN_NONE);
        snprintf(digits, sizeof digits, "%lld", (long long)want);
        if (some)
            assert_true(slice_eq(f->at[1].value, slice_str(digits)));
    }
    arena_fini(&arena);
    pool_fini(&pool);
}

static void content_lengths(void **state)
{
    static const struct {
        const char *lines[3];
        int err;
        int64_t length;
    } rows[] = {
        {{NULL}, 0, -1},
        {{"0"}, 0, 0},
        {{"42"}, 0, 42},
        {{"042"}, 0, 42},
        {{"42, 42"}, 0, 42},
        {{"42,42 ,\t42"}, 0, 42},
        {{"42", "42"}, 0, 42},
        {{"9223372036854775807"}, 0, INT64_MAX},
        {{"9223372036854775808"}, ERR_BAD_LENGTH, 0},
        {{"18446744073709551616"}, ERR_BAD_LENGTH, 0},
        {{"42, 43"}, ERR_BAD_LENGTH, 0},
        {{"42", "43"}, ERR_BAD_LENGTH, 0},
        {{"42", ""}, ERR_BAD_LENGTH, 0},
        {{""}, ERR_BAD_LENGTH, 0},
        {{"42,"}, ERR_BAD_LENGTH, 0},
        {{",42"}, ERR_BAD_LENGTH, 0},
        {{"42,,42"}, ERR_BAD_LENGTH, 0},
        {{"-1"}, ERR_BAD_LENGTH, 0},
        {{"+1"}, ERR_BAD_LENGTH, 0},
        {{"1 2"}, ERR_BAD_LENGTH, 0},
        {{"0x10"}, ERR_BAD_LENGTH, 0},
        {{"1e3"}, ERR_BAD_LENGTH, 0},
        {{"chunked"}, ERR_BAD_LENGTH, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct field lines[4] = {{.name = SLICE("x"), .value = SLICE("1")}};
        struct fields f = {.at = lines, .count = 1, .cap = 4};
        int64_t length = 7;
        for (int k = 0; k < 3 && rows[i].lines[k]; k++)
            lines[f.count++] = (struct field){.name = SLICE("content-length"),
                                              .value = slice_str(rows[i].lines[k]),
                                              .token = TOKEN_CONTENT_LENGTH};
        assert_int_equal(rules_content_length(&f, &length), rows[i].err);
        if (rows[i].err == 0)
            assert_int_equal(length, rows[i].length);
        settled(&f, rows[i].err, rows[i].length);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(octets_of_values),
        cmocka_unit_test(single_octets),
        cmocka_unit_test(names_and_values),
        cmocka_unit_test(authorities),
        cmocka_unit_test(content_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
