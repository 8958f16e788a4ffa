/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/panic.h"
#include "http/hpack_table.h"
#include "http/token.h"

static void every_name_finds_itself(void **state)
{
    for (unsigned t = 1; t < TOKEN_COUNT; t++) {
        struct slice name = token_rows[t].name;
        assert_int_equal(token_find(name), t);
        /* neither a shorter nor a longer nor a changed one */
        char other[64];
        assert_true(name.len + 1 < sizeof other);
        memcpy(other, name.p, name.len);
        other[name.len] = 'x';
        enum token found = token_find(slice_of(other, name.len + 1));
        assert_int_equal(found, TOKEN_NONE);
        found = token_find(slice_of(other, name.len - 1));
        assert_true(found == TOKEN_NONE || token_rows[found].name.len == name.len - 1);
        other[name.len - 1] ^= 1;
        found = token_find(slice_of(other, name.len));
        assert_true(found == TOKEN_NONE || found != t);
        for (size_t i = 0; i < name.len; i++)
            assert_true(name.p[i] < 'A' || name.p[i] > 'Z');
    }
}

static void other_names_find_nothing(void **state)
{
    static const char *const names[] = {
        "", "x", ":", "Host", "HOST", "content_length", ":host", "x-forwarded-fo", "accept\n"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_int_equal(token_find(slice_str(names[i])), TOKEN_NONE);
    assert_int_equal(token_find(slice_of("te\0", 3)), TOKEN_NONE);
    srand(1);
    for (int i = 0; i < 200000; i++) {
        char name[40];
        size_t n = (size_t)rand() % sizeof name;
        for (size_t k = 0; k < n; k++)
            name[k] = (char)rand();
        enum token found = token_find(slice_of(name, n));
        assert_true(found == TOKEN_NONE || slice_eq(token_rows[found].name, slice_of(name, n)));
    }
}

/* The same answer as folding first; behind the name lies what is not to count. */
static void any_case(void **state)
{
    for (unsigned t = 1; t < TOKEN_COUNT; t++) {
        struct slice name = token_rows[t].name;
        for (size_t at = 0; at < name.len; at++) {
            for (int octet = 0; octet < 256; octet++) {
                char text[2 * TOKEN_LINE_OCTETS], folded[TOKEN_LINE_OCTETS];
                memset(text, octet, sizeof text);
                memcpy(text, name.p, name.len);
                text[at] = (char)octet;
                for (size_t i = 0; i < name.len; i++)
                    folded[i] = (char)ascii_lower((unsigned char)text[i]);
                assert_int_equal(token_find_any_case(slice_of(text, name.len)),
                                 token_find(slice_of(folded, name.len)));
                assert_int_not_equal(token_find_any_case(slice_of(text, name.len + 1)), t);
            }
        }
    }
    char text[4096] = "CONTENT-Length: 1";
    assert_int_equal(token_find_any_case(slice_of(text, 14)), TOKEN_CONTENT_LENGTH);
    assert_int_equal(token_find_any_case(slice_of(text, 0)), TOKEN_NONE);
    assert_int_equal(token_find_any_case(slice_of(text, sizeof text - 32)), TOKEN_NONE);
}

/* RFC 7541 Appendix A against the table of tokens. */
static void static_table_agrees(void **state)
{
    unsigned before = 0;
    for (unsigned i = 1; i <= HPACK_STATIC_COUNT; i++) {
        unsigned t = hpack_static[i].token;
        assert_true(t > TOKEN_NONE && t < TOKEN_COUNT);
        assert_non_null(hpack_static[i].value.p);
        if (t != before)
            assert_int_equal(token_rows[t].hpack, i); /* the first of its name */
        before = t;
    }
    for (unsigned t = 1; t < TOKEN_COUNT; t++)
        if (token_rows[t].hpack)
            assert_int_equal(hpack_static[token_rows[t].hpack].token, t);
}

static void flags(void **state)
{
    assert_int_equal(token_flags(TOKEN_NONE), 0);
    for (unsigned t = 1; t < TOKEN_COUNT; t++)
        assert_int_equal(!!(token_flags(t) & TOKEN_PSEUDO), token_rows[t].name.p[0] == ':');
    static const uint8_t secret[] = {TOKEN_AUTHORIZATION, TOKEN_COOKIE, TOKEN_PROXY_AUTHORIZATION,
                                     TOKEN_SET_COOKIE};
    for (size_t i = 0; i < sizeof secret; i++)
        assert_true(token_flags(secret[i]) & TOKEN_SECRET);
    /* RFC 9113 8.2.2 */
    static const uint8_t hop[] = {TOKEN_CONNECTION, TOKEN_PROXY_CONNECTION, TOKEN_KEEP_ALIVE,
                                  TOKEN_TRANSFER_ENCODING, TOKEN_UPGRADE};
    for (size_t i = 0; i < sizeof hop; i++)
        assert_true(token_flags(hop[i]) & TOKEN_HOP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_finds_itself),
        cmocka_unit_test(other_names_find_nothing),
        cmocka_unit_test(any_case),
        cmocka_unit_test(static_table_agrees),
        cmocka_unit_test(flags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
