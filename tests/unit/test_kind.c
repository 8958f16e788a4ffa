/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/panic.h"
#include "push/kind.h"

#define WEBKIT "AppleWebKit/605.1.15 (KHTML, like Gecko)"

static void kinds(void **state)
{
    static const struct {
        const char *user_agent;
        enum push_kind kind;
    } rows[] = {
        {"", PUSH_KIND_NONE},
        {"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 "
         "Safari/537.36",
         PUSH_KIND_CHROMIUM},
        {"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
         "Chrome/120.0.0.0 Safari/537.36 Edg/120.0.0.0",
         PUSH_KIND_CHROMIUM},
        {"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
         "HeadlessChrome/120.0.0.0 Safari/537.36",
         PUSH_KIND_CHROMIUM},
        {"Mozilla/5.0 (Linux; Android 13; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 "
         "Chrome/120.0.0.0 Mobile Safari/537.36",
         PUSH_KIND_CHROMIUM},
        {"Mozilla/5.0 (X11; Linux x86_64; rv:121.0) Gecko/20100101 Firefox/121.0",
         PUSH_KIND_FIREFOX},
        {"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) " WEBKIT " Version/17.2 Safari/605.1.15",
         PUSH_KIND_SAFARI},
        {"Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) " WEBKIT
         " CriOS/120.0.6099.50 Mobile/15E148 Safari/604.1",
         PUSH_KIND_SAFARI},
        {"Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) " WEBKIT
         " FxiOS/121.0 Mobile/15E148 Safari/605.1.15",
         PUSH_KIND_SAFARI},
        {"Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) " WEBKIT " Mobile/15E148",
         PUSH_KIND_SAFARI},
        {"Mozilla/5.0 (compatible; bot/2.0; +http://bot.example/)", PUSH_KIND_OTHER},
        {"Mozilla/", PUSH_KIND_OTHER},
        {"Chrome/120", PUSH_KIND_OTHER},
        {"node", PUSH_KIND_NODE},
        {"node-fetch/1.0 (+https://github.com/bitinn/node-fetch)", PUSH_KIND_NODE},
        {"undici", PUSH_KIND_NODE},
        {"Java-http-client/17.0.9", PUSH_KIND_JAVA},
        {"Java/1.8.0_392", PUSH_KIND_JAVA},
        {"Apache-HttpClient/5.2.1 (Java/17.0.9)", PUSH_KIND_JAVA},
        {"Apache-HttpAsyncClient/5.2.1 (Java/17.0.9)", PUSH_KIND_JAVA},
        {"Jetty/12.0.5", PUSH_KIND_JAVA},
        {"JavaScript", PUSH_KIND_OTHER},
        {"Go-http-client/2.0", PUSH_KIND_GO},
        {"nghttp2/1.52.0", PUSH_KIND_NGHTTP},
        {"h2load nghttp2/1.52.0", PUSH_KIND_NGHTTP},
        {"curl/7.88.1", PUSH_KIND_CURL},
        {"okhttp/4.12.0", PUSH_KIND_OKHTTP},
        {"python-httpx/0.25.2", PUSH_KIND_OTHER},
        {"x curl/7.88.1", PUSH_KIND_OTHER},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        enum push_kind k = push_kind(slice_str(rows[i].user_agent));
        if (k != rows[i].kind)
            fail_msg("%s is %s", rows[i].user_agent, push_kind_name(k));
    }
    char longer[PUSH_KIND_AGENT_OCTETS + 9];
    memset(longer, 'x', sizeof longer);
    memcpy(longer, "Mozilla/", 8);
    memcpy(longer + PUSH_KIND_AGENT_OCTETS - 8, " Chrome/", 8);
    assert_int_equal(push_kind(slice_of(longer, sizeof longer)), PUSH_KIND_CHROMIUM);
    memcpy(longer + PUSH_KIND_AGENT_OCTETS - 8, "x Chrome/", 9);
    assert_int_equal(push_kind(slice_of(longer, sizeof longer)), PUSH_KIND_OTHER);
}

static void names_are_there_once(void **state)
{
    for (unsigned k = 0; k < PUSH_KIND_COUNT; k++) {
        assert_non_null(push_kind_name((enum push_kind)k));
        for (unsigned other = 0; other < k; other++)
            assert_string_not_equal(push_kind_name((enum push_kind)k),
                                    push_kind_name((enum push_kind)other));
    }
}

#define FIELD(t, v)                                       \
    {                                                     \
        .token = TOKEN_##t, .value = { v, sizeof(v) - 1 } \
    }

static void requests(void **state)
{
    static struct {
        struct field fields[2];
        uint32_t count;
        enum push_navigation navigation;
        bool revalidation, reload;
    } rows[] = {
        {.count = 0},
        {.fields = {FIELD(SEC_FETCH_MODE, "navigate"), FIELD(SEC_FETCH_DEST, "document")},
         2,
         .navigation = PUSH_NAVIGATION_TOP},
        {.fields = {FIELD(SEC_FETCH_MODE, "navigate"), FIELD(SEC_FETCH_DEST, "iframe")},
         2,
         .navigation = PUSH_NAVIGATION_NESTED},
        {.fields = {FIELD(SEC_FETCH_MODE, "navigate"), FIELD(SEC_FETCH_DEST, "object")},
         2,
         .navigation = PUSH_NAVIGATION_NESTED},
        {.fields = {FIELD(SEC_FETCH_MODE, "navigate"), FIELD(SEC_FETCH_DEST, "style")}, .count = 2},
        {.fields = {FIELD(SEC_FETCH_MODE, "navigate")}, .count = 1},
        {.fields = {FIELD(SEC_FETCH_DEST, "document")}, .count = 1},
        {.fields = {FIELD(SEC_FETCH_MODE, "no-cors"), FIELD(SEC_FETCH_DEST, "document")},
         .count = 2},
        {.fields = {FIELD(SEC_FETCH_MODE, "no-cors"), FIELD(SEC_FETCH_DEST, "style")}, .count = 2},
        {.fields = {FIELD(IF_NONE_MATCH, "\"a\"")}, .count = 1, .revalidation = true},
        {.fields = {FIELD(IF_NONE_MATCH, "*")}, .count = 1, .revalidation = true},
        {.fields = {FIELD(IF_MODIFIED_SINCE, "x")}, .count = 1, .revalidation = true},
        {.fields = {FIELD(IF_MATCH, "\"a\"")}, .count = 1},
        {.fields = {FIELD(CACHE_CONTROL, "max-age=0"), FIELD(IF_NONE_MATCH, "\"a\"")},
         2,
         .revalidation = true,
         .reload = true},
        {.fields = {FIELD(CACHE_CONTROL, "no-cache")}, .count = 1, .reload = true},
        {.fields = {FIELD(CACHE_CONTROL, "No-Cache")}, .count = 1, .reload = true},
        {.fields = {FIELD(CACHE_CONTROL, "no-store")}, .count = 1, .reload = true},
        {.fields = {FIELD(CACHE_CONTROL, "x, max-age=0")}, .count = 1, .reload = true},
        {.fields = {FIELD(CACHE_CONTROL, "max-age=01")}, .count = 1},
        {.fields = {FIELD(CACHE_CONTROL, "max-age=60")}, .count = 1},
        {.fields = {FIELD(PRAGMA, "no-cache")}, .count = 1, .reload = true},
        {.fields = {FIELD(PRAGMA, "x, no-cache")}, .count = 1, .reload = true},
        {.fields = {FIELD(PRAGMA, "x")}, .count = 1},
        {.fields = {FIELD(PRAGMA, "no-cache"), FIELD(CACHE_CONTROL, "max-age=60")}, .count = 2},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct http_head request = {.method = SLICE("GET"),
                                    .fields = {.at = rows[i].fields, .count = rows[i].count}};
        if (push_navigation(&request) != rows[i].navigation ||
            push_is_revalidation(&request) != rows[i].revalidation ||
            push_is_reload(&request) != rows[i].reload)
            fail_msg("row %zu", i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds),
        cmocka_unit_test(names_are_there_once),
        cmocka_unit_test(requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
