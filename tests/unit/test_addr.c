/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/addr.h"
#include "base/err.h"
#include "base/panic.h"

static struct addr parsed(const char *text)
{
    struct addr a;
    if (addr_parse(slice_str(text), &a) != 0)
        fail_msg("not parsed: %s", text);
    return a;
}

static void test_parse_and_format(void **state)
{
    static const struct {
        const char *text, *formatted, *host;
        uint16_t port;
    } rows[] = {
        {"127.0.0.1:80", "127.0.0.1:80", "127.0.0.1", 80},
        {"tcp://127.0.0.1:8080", "127.0.0.1:8080", "127.0.0.1", 8080},
        {"0.0.0.0:0", "0.0.0.0:0", "0.0.0.0", 0},
        {"[::1]:65535", "[::1]:65535", "::1", 65535},
        {"tcp://[2001:DB8:0:0::1]:443", "[2001:db8::1]:443", "2001:db8::1", 443},
        {"[::ffff:10.1.2.3]:1", "[::ffff:10.1.2.3]:1", "::ffff:10.1.2.3", 1},
        {"unix:/run/a.sock", "unix:/run/a.sock", "unix", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char out[ADDR_TEXT_OCTETS];
        struct addr a = parsed(rows[i].text), b;
        assert_int_equal(addr_format(&a, out, sizeof out), strlen(rows[i].formatted));
        assert_string_equal(out, rows[i].formatted);
        assert_int_equal(addr_parse(slice_str(out), &b), 0);
        assert_true(addr_eq(&a, &b));
        assert_int_equal(addr_format_host(&a, out, sizeof out), strlen(rows[i].host));
        assert_string_equal(out, rows[i].host);
        assert_int_equal(addr_port(&a), rows[i].port);
    }
}

static void test_parse_refuses(void **state)
{
    static const char *const rows[] = {
        "",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        ":80",
        "[::1]",
        "[::1]:",
        "::1:80",
        "[127.0.0.1]:80",
        "[::1:80",
        "::1]:80",
        "localhost:80",
        "127.0.0.1:80 ",
        " 127.0.0.1:80",
        "127.1:80",
        "unix:",
        "unix:/",
        "unix:a.sock",
        "tcp://",
        "[]:80",
        "tcp:1.2.3.4",
        "127.0.0.1:000080",
        "[fe80::1%lo]:80",
        "udp://1.2.3.4:5",
        "256.0.0.1:1",
        "[1::2::3]:1",
        "tcp://unix:/a:80",
        "1.2.3.4:0x50",
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct addr a;
        int err = addr_parse(slice_str(rows[i]), &a);
        if (err != ERR_USAGE)
            fail_msg("parsed: %s", rows[i]);
    }
    struct addr a;
    assert_int_equal(addr_parse(slice_of("127.0.0.1\0:80", 13), &a), ERR_USAGE);
    assert_int_equal(addr_parse(slice_of("unix:/a\0b", 9), &a), ERR_USAGE);
}

static void test_unix_path_length(void **state)
{
    char text[5 + sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
    struct addr a;
    char out[ADDR_TEXT_OCTETS];
    size_t longest = sizeof a.u.un.sun_path - 1;
    memset(text, 'a', sizeof text);
    memcpy(text, "unix:/", 6);
    assert_int_equal(addr_parse(slice_of(text, 5 + longest), &a), 0);
    assert_int_equal(addr_format(&a, out, sizeof out), 5 + longest);
    assert_int_equal(addr_parse(slice_of(text, 5 + longest + 1), &a), ERR_USAGE);
}

static void test_format_small(void **state)
{
    struct addr a = parsed("127.0.0.1:80");
    char out[5];
    assert_int_equal(addr_format(&a, out, sizeof out), 4);
    assert_string_equal(out, "127.");
    assert_int_equal(addr_format(&a, out, 0), 0);
}

static void test_eq(void **state)
{
    static const char *const rows[] = {"127.0.0.1:80", "127.0.0.1:81", "127.0.0.2:80", "[::1]:80",
                                       "[::2]:80",     "unix:/a",      "unix:/ab"};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t j = 0; j < ARRAY_LEN(rows); j++) {
            struct addr a = parsed(rows[i]), b = parsed(rows[j]);
            assert_int_equal(addr_eq(&a, &b), i == j);
        }
}

static void test_prefix(void **state)
{
    static const struct {
        const char *prefix, *addr;
        bool has;
    } rows[] = {
        {"10.0.0.0/8", "10.255.1.2:1", true},
        {"10.0.0.0/8", "11.0.0.0:1", false},
        {"10.0.0.0/8", "[::ffff:10.1.1.1]:1", true},
        {"10.9.9.9/8", "10.1.1.1:1", true},
        {"192.168.4.0/22", "192.168.7.255:1", true},
        {"192.168.4.0/22", "192.168.8.0:1", false},
        {"192.168.4.0/22", "192.168.3.255:1", false},
        {"127.0.0.1", "127.0.0.1:9", true},
        {"127.0.0.1", "127.0.0.2:9", false},
        {"127.0.0.1/32", "127.0.0.1:9", true},
        {"0.0.0.0/0", "203.0.113.7:1", true},
        {"0.0.0.0/0", "[2001:db8::1]:1", false},
        {"::/0", "203.0.113.7:1", true},
        {"::/0", "[2001:db8::1]:1", true},
        {"::1", "[::1]:1", true},
        {"::1", "[::2]:1", false},
        {"fd00::/8", "[fdff::1]:1", true},
        {"fd00::/8", "[fe00::1]:1", false},
        {"2001:db8::/33", "[2001:db8:7fff::]:1", true},
        {"2001:db8::/33", "[2001:db8:8000::]:1", false},
        {"::ffff:10.0.0.0/104", "10.3.3.3:1", true},
        {"::/0", "unix:/a", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct addr_prefix p;
        struct addr a = parsed(rows[i].addr);
        assert_int_equal(addr_prefix_parse(slice_str(rows[i].prefix), &p), 0);
        if (addr_prefix_has(&p, &a) != rows[i].has)
            fail_msg("%s in %s", rows[i].addr, rows[i].prefix);
    }
}

static void test_prefix_refuses(void **state)
{
    static const char *const rows[] = {"",      "/",         "10.0.0.0/33",  "10.0.0.0/", "::/129",
                                       "::/-1", "10.0.0/8",  "10.0.0.0/8/8", "x",         "::/0008",
                                       "[::1]", "1.2.3.4:5", "10.0.0.0 /8"};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct addr_prefix p;
        if (addr_prefix_parse(slice_str(rows[i]), &p) != ERR_USAGE)
            fail_msg("parsed: %s", rows[i]);
    }
}

static void test_enter(void **state)
{
    static const struct {
        const char *text, *root, *expected; /* NULL: refused */
    } cases[] = {
        {"unix:/data/run/a/0.sock", "/data/run", "unix:/a/0.sock"},
        {"unix:/data/runs/a/0.sock", "/data/run", NULL},
        {"unix:/data/run", "/data/run", NULL},
        {"unix:/data/run/", "/data/run", NULL},
        {"unix:/run/x.sock", "/data/run", NULL},
        {"127.0.0.1:80", "/data/run", "127.0.0.1:80"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct addr a;
        char out[ADDR_TEXT_OCTETS];
        assert_int_equal(addr_parse(slice_str(cases[i].text), &a), 0);
        assert_int_equal(addr_enter(&a, cases[i].root), cases[i].expected != NULL);
        addr_format(&a, out, sizeof out);
        assert_string_equal(out, cases[i].expected ? cases[i].expected : cases[i].text);
    }
}

/* What one host may have all of is the same, and nothing else. */
static void test_network(void **state)
{
    static const struct {
        const char *a, *b;
        bool same;
    } rows[] = {
        {"127.0.0.1:80", "127.0.0.1:81", true},
        {"127.0.0.1:80", "127.0.0.2:80", false},
        {"127.0.0.1:80", "[::ffff:127.0.0.1]:80", true},
        {"[2001:db8::1]:80", "[2001:db8::ffff:ffff:ffff:ffff]:81", true},
        {"[2001:db8::1]:80", "[2001:db8:0:1::1]:80", false},
        {"0.0.0.0:80", "[::]:80", false},
        {"unix:/a", "unix:/b", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char a[ADDR_NETWORK_OCTETS], b[ADDR_NETWORK_OCTETS];
        struct addr x = parsed(rows[i].a), y = parsed(rows[i].b);
        addr_network(&x, a);
        addr_network(&y, b);
        if ((memcmp(a, b, sizeof a) == 0) != rows[i].same)
            fail_msg("%s, %s", rows[i].a, rows[i].b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_and_format),
        cmocka_unit_test(test_parse_refuses),
        cmocka_unit_test(test_unix_path_length),
        cmocka_unit_test(test_format_small),
        cmocka_unit_test(test_eq),
        cmocka_unit_test(test_prefix),
        cmocka_unit_test(test_prefix_refuses),
        cmocka_unit_test(test_enter),
        cmocka_unit_test(test_network),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
