/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "push/parked.h"

static struct pool pool;
static struct arena arena;

static int setup(void **state)
{
    pool_init(&pool);
    arena_init(&arena, &pool);
    return 0;
}

static int teardown(void **state)
{
    arena_fini(&arena);
    pool_fini(&pool);
    return 0;
}

/* "name: value\n..." */
static struct http_head head(const char *method, const char *path, unsigned status,
                             const char *fields)
{
    struct http_head h = {.method = slice_str(method),
                          .scheme = SLICE("https"),
                          .authority = SLICE("a.example"),
                          .path = slice_str(path),
                          .status = (uint16_t)status};
    while (fields && *fields) {
        const char *colon = strchr(fields, ':'), *end = strchr(fields, '\n');
        struct slice name = slice_of(fields, (size_t)(colon - fields));
        struct slice value = slice_of(colon + 2, (size_t)(end - colon - 2));
        assert_int_equal(fields_add(&h.fields, &arena, token_find(name), name, value), 0);
        fields = end + 1;
    }
    return h;
}

static void knows_what_may_wait(void **state)
{
    static const struct {
        unsigned status;
        const char *fields;
        bool may;
    } rows[] = {
        {200, "", true},
        {200, "cache-control: private, max-age=5\nvary: accept-encoding, cookie\n", true},
        {200, "cache-control: no-cache\n", true},
        {204, "", false},
        {304, "", false},
        {206, "", false},
        {404, "", false},
        {200, "set-cookie: a=b\n", false},
        {200, "cache-control: max-age=5, No-Store\n", false},
        {200, "cache-control: private\ncache-control: no-store\n", false},
        {200, "vary: *\n", false},
        {200, "vary: accept, *\n", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct http_head h = head("", "", rows[i].status, rows[i].fields);
        assert_int_equal(push_may_park(&h), rows[i].may);
    }
}

/* Each name is looked for in two requests, whose fields may be as many. */
static void looks_for_so_many_names_only(void **state)
{
    char vary[32 + 2 * PUSH_VARY_MAX] = "vary: ";
    for (unsigned i = 0; i < PUSH_VARY_MAX; i++)
        strcat(vary, "a,");
    size_t len = strlen(vary);
    vary[len - 1] = '\n';
    struct http_head h = head("", "", 200, vary);
    assert_true(push_may_park(&h));
    strcpy(vary + len - 1, ",a\n");
    h = head("", "", 200, vary);
    assert_false(push_may_park(&h));
    strcpy(vary + len - 1, "\nvary: b\n");
    h = head("", "", 200, vary);
    assert_false(push_may_park(&h));
}

static void fits_only_the_same_question(void **state)
{
    static const struct {
        const char *asked, *promised, *page, *response;
        bool fits;
    } rows[] = {
        {"", "", "", "", true},
        {"user-agent: a\n", "", "user-agent: b\n", "", true},
        {"cookie: a=1\n", "", "cookie: a=1\n", "", true},
        {"cookie: a=1\n", "", "cookie: a=2\n", "", false},
        {"cookie: a=1\n", "", "", "", false},
        {"", "", "cookie: a=1\n", "", false},
        {"cookie: a=1\ncookie: b=1\n", "", "cookie: a=1\ncookie: b=1\n", "", true},
        {"cookie: b=1\ncookie: a=1\n", "", "cookie: a=1\ncookie: b=1\n", "", false},
        {"authorization: x\n", "", "authorization: x\n", "", true},
        {"authorization: x\n", "", "authorization: y\n", "", false},
        {"", "", "authorization: y\n", "", false},
        {"range: bytes=0-1\n", "", "", "", false},
        {"if-none-match: \"a\"\n", "", "", "", false},
        {"if-modified-since: x\n", "", "", "", false},
        {"cache-control: no-cache\n", "", "", "", false},
        {"cache-control: max-age=0\n", "", "", "", false},
        {"cache-control: max-age=5\n", "", "", "", true},
        {"pragma: no-cache\n", "", "", "", false},
        {"origin: https://b.example\n", "", "", "", false},
        {"origin: https://b.example\n", "origin: https://b.example\n", "", "", true},
        {"origin: https://a.example\n", "", "", "", true},
        {"origin: http://a.example\n", "", "", "", false},
        {"origin: other://a.example\n", "", "", "", false},
        {"origin: https://a.example:1\n", "", "", "", false},
        {"sec-fetch-site: cross-site\n", "", "", "", false},
        {"sec-fetch-site: same-origin\n", "", "", "", true},
        {"sec-fetch-site: same-site\n", "", "", "", true},
        {"accept-encoding: br\n", "accept-encoding: br\n", "", "vary: Accept-Encoding\n", true},
        {"accept-encoding: br\n", "accept-encoding: gzip\n", "", "vary: Accept-Encoding\n", false},
        {"accept-encoding: br\n", "", "", "vary: Accept-Encoding\n", false},
        {"accept-encoding: br\n", "", "accept-encoding: br\n", "vary: Accept-Encoding\n", false},
        {"", "", "", "vary: Accept-Encoding\n", true},
        {"x-a: 1\n", "x-a: 1\n", "", "vary: accept\nvary: X-B, X-A\n", true},
        {"x-a: 1\n", "x-a: 2\n", "", "vary: accept\nvary: X-B, X-A\n", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct http_head asked = head("GET", "/x", 0, rows[i].asked),
                         promised = head("GET", "/x", 0, rows[i].promised),
                         page = head("POST", "/page", 0, rows[i].page),
                         response = head("", "", 200, rows[i].response);
        if (push_parked_fits(&asked, &promised, &page, &response) != rows[i].fits)
            fail_msg("row %zu", i);
    }
    struct http_head page = head("GET", "/", 0, ""), response = head("", "", 200, ""),
                     get = head("GET", "/x?a", 0, ""), post = head("POST", "/x?a", 0, ""),
                     ask = head("HEAD", "/x?a", 0, ""), other = head("GET", "/x?b", 0, ""),
                     host = get;
    host.authority = SLICE("A.example");
    assert_true(push_parked_fits(&get, &get, &page, &response));
    assert_true(push_parked_fits(&host, &get, &page, &response));
    host.authority = SLICE("b.example");
    assert_false(push_parked_fits(&host, &get, &page, &response));
    assert_false(push_parked_fits(&post, &get, &page, &response));
    assert_false(push_parked_fits(&ask, &get, &page, &response));
    assert_false(push_parked_fits(&get, &ask, &page, &response));
    assert_false(push_parked_fits(&other, &get, &page, &response));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(knows_what_may_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(looks_for_so_many_names_only, setup, teardown),
        cmocka_unit_test_setup_teardown(fits_only_the_same_question, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
