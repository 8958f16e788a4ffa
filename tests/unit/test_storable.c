/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/panic.h"
#include "push/storable.h"

/* Lines of "name: value". */
static void read_fields(struct fields *f, struct arena *a, const char *text)
{
    for (const char *end; *text; text = end + 1) {
        end = strchr(text, '\n');
        const char *colon = strchr(text, ':');
        assert_true(colon && end && colon < end);
        struct slice name = slice_of(text, (size_t)(colon - text));
        struct slice value = slice_trim(slice_of(colon + 1, (size_t)(end - colon) - 1));
        assert_int_equal(fields_add(f, a, token_find(name), name, value), 0);
    }
}

struct pair {
    struct pool pool;
    struct arena arena;
    struct http_head request, response;
};

static void set_up(struct pair *p, const char *request, unsigned status, const char *response)
{
    pool_init(&p->pool);
    arena_init(&p->arena, &p->pool);
    p->request = (struct http_head){.method = SLICE("GET"), .content_length = -1};
    p->response = (struct http_head){.status = (uint16_t)status, .content_length = -1};
    read_fields(&p->request.fields, &p->arena, request);
    read_fields(&p->response.fields, &p->arena, response);
}

static void tear_down(struct pair *p)
{
    arena_fini(&p->arena);
    pool_fini(&p->pool);
}

static void classifies(void **state)
{
    enum push_storable not = PUSH_STORABLE_NOT, priv = PUSH_STORABLE_PRIVATE,
                       varies = PUSH_STORABLE_VARIES, pub = PUSH_STORABLE_PUBLIC;
    const struct {
        const char *request;
        unsigned status;
        const char *response;
        enum push_storable storable;
    } rows[] = {
        {"", 200, "", pub},
        {"", 200, "cache-control: max-age=60\n", pub},
        {"", 200, "cache-control: public, max-age=0\n", pub},
        {"", 200, "cache-control: no-cache\n", pub},
        {"", 200, "cache-control: no-cache=\"set-cookie\"\n", pub},
        {"", 200, "cache-control: max-age=60\nage: 100\n", pub},
        {"", 200, "pragma: no-cache\n", pub}, /* RFC 9111 5.4: of a request */
        /* 3, 5.2.2.5 */
        {"", 200, "cache-control: no-store\n", not },
        {"", 200, "cache-control: No-Store\n", not },
        {"", 200, "cache-control: public, max-age=60,no-store\n", not },
        {"", 200, "cache-control: public\ncache-control: no-store\n", not },
        {"", 200, "cache-control: must-understand, no-store\n", not },
        {"", 200, "cache-control: x=\"no-store\"\n", pub},
        {"", 200, "cache-control: no-stores\n", pub},
        {"cache-control: no-store\n", 200, "cache-control: public\n", not },
        {"cache-control: no-cache\n", 200, "", pub},
        /* 5.2.2.7 */
        {"", 200, "cache-control: private\n", priv},
        {"", 200, "cache-control: private, max-age=60\n", priv},
        {"", 200, "cache-control: private=\"x\", max-age=60\n", priv},
        {"", 200, "cache-control: public, private\n", priv},
        {"", 200, "set-cookie: a=b\n", priv},
        {"", 200, "set-cookie: a=b\ncache-control: public, max-age=60\n", priv},
        {"", 200, "set-cookie: a=b\ncache-control: no-store\n", priv},
        {"", 200, "cache-control: private, no-store\n", priv},
        {"", 302, "set-cookie: a=b\ncache-control: no-store\n", priv},
        {"", 500, "cache-control: private\n", priv},
        /* 3.5 */
        {"authorization: x\n", 200, "", priv},
        {"authorization: x\n", 200, "cache-control: max-age=60\n", priv},
        {"authorization: x\n", 200, "cache-control: public\n", pub},
        {"authorization: x\n", 200, "cache-control: s-maxage=60\n", pub},
        {"authorization: x\n", 200, "cache-control: must-revalidate, max-age=60\n", pub},
        /* what a page made for a person often looks like */
        {"cookie: a=b\n", 200, "", priv},
        {"cookie: a=b\n", 200, "cache-control: max-age=0, must-revalidate\n", priv},
        {"cookie: a=b\n", 200, "cache-control: no-cache\n", priv},
        {"cookie: a=b\n", 200, "expires: Thu, 01 Jan 2099 00:00:00 GMT\n", priv},
        {"cookie: a=b\n", 200, "cache-control: max-age=60\n", pub},
        {"cookie: a=b\n", 200, "cache-control: max-age=x\n", priv},
        {"cookie: a=b\n", 200, "cache-control: public, max-age=0\n", pub},
        {"cookie: a=b\n", 200, "cache-control: s-maxage=0\n", pub},
        {"cookie: a=b\n", 200, "cache-control: max-age=60\nvary: cookie\n", varies},
        /* 4.1 */
        {"", 200, "vary: *\n", varies},
        {"", 200, "vary: accept-encoding\n", pub},
        {"", 200, "vary: Accept-Encoding, Accept-Language,User-Agent\n", pub},
        {"", 200, "vary: accept-encoding\nvary: cookie\n", varies},
        {"", 200, "vary: accept-encoding, accept\n", varies},
        {"", 200, "vary: x\n", varies},
        {"", 200, "vary: \n", pub},
        {"", 200, "vary: Origin\n", pub},
        {"origin: https://a\n", 200, "vary: Origin\n", varies},
        {"", 200, "vary: sec-fetch-dest\n", varies},
        {"", 200, "vary: *\ncache-control: private\n", priv},
        /* RFC 9110 15.1 */
        {"", 203, "", pub},
        {"", 204, "", pub},
        {"", 301, "", pub},
        {"", 302, "", not },
        {"", 302, "cache-control: max-age=60\n", pub},
        {"", 303, "cache-control: public\n", pub},
        {"", 307, "expires: 0\n", pub},
        {"", 404, "", pub},
        {"", 410, "", pub},
        {"", 403, "", not },
        {"", 429, "", not },
        {"", 500, "", not },
        {"", 503, "cache-control: s-maxage=5\n", pub},
        {"", 103, "cache-control: public\n", not },
        {"", 206, "cache-control: public\n", not },
        {"", 304, "cache-control: public\n", not },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pair p;
        set_up(&p, rows[i].request, rows[i].status, rows[i].response);
        enum push_storable found = push_storable(&p.request, &p.response, PUSH_COPY_DEFAULT);
        if (found != rows[i].storable)
            fail_msg("%s%u\n%sis %d", rows[i].request, rows[i].status, rows[i].response,
                     (int)found);
        static const char *const methods[] = {"HEAD", "POST", "OPTIONS", "get", ""};
        for (size_t k = 0; k < ARRAY_LEN(methods); k++) {
            p.request.method = slice_str(methods[k]);
            assert_int_equal(push_storable(&p.request, &p.response, PUSH_COPY_DEFAULT),
                             PUSH_STORABLE_NOT);
        }
        tear_down(&p);
    }
}

/* What an app does not have copied, a request of our own does not say; and whoever is named by a
 * field is not everybody, copied or not. */
static void varies_by_what_is_not_copied(void **state)
{
    static const struct {
        const char *vary;
        uint32_t copied;
        enum push_storable storable;
    } rows[] = {
        {"vary: accept-encoding\n", 0, PUSH_STORABLE_VARIES},
        {"vary: accept-encoding\n", 1u << PUSH_COPY_USER_AGENT, PUSH_STORABLE_VARIES},
        {"vary: accept-encoding\n", 1u << PUSH_COPY_ACCEPT_ENCODING, PUSH_STORABLE_PUBLIC},
        {"vary: cookie\n", 1u << PUSH_COPY_COOKIE, PUSH_STORABLE_VARIES},
        {"", 0, PUSH_STORABLE_PUBLIC},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pair p;
        set_up(&p, "", 200, rows[i].vary);
        assert_int_equal(push_storable(&p.request, &p.response, rows[i].copied), rows[i].storable);
        tear_down(&p);
    }
}

/* A list of names that goes on and on is not read to its end: it may stand in each answer. */
static void reads_so_many_names_only(void **state)
{
    char vary[32 + 7 * PUSH_VARY_MAX] = "vary: ";
    for (unsigned i = 0; i < PUSH_VARY_MAX; i++)
        strcat(vary, "origin,");
    size_t len = strlen(vary);
    struct pair p;
    vary[len - 1] = '\n';
    set_up(&p, "", 200, vary);
    assert_int_equal(push_storable(&p.request, &p.response, 0), PUSH_STORABLE_PUBLIC);
    tear_down(&p);
    strcpy(vary + len - 1, "\nvary: origin\n");
    set_up(&p, "", 200, vary);
    assert_int_equal(push_storable(&p.request, &p.response, 0), PUSH_STORABLE_VARIES);
    tear_down(&p);
}

static void believes_for_a_while(void **state)
{
    static const struct {
        const char *response;
        uint32_t believed_s;
    } rows[] = {
        {"", 60},
        {"cache-control: no-cache\n", 60},
        {"cache-control: max-age=0\n", 60},
        {"cache-control: max-age=59\n", 60},
        {"cache-control: max-age=61\n", 61},
        {"cache-control: max-age=600\n", 600},
        {"cache-control: MAX-AGE=31536000, immutable\n", 600},
        {"cache-control: max-age=99999999999999999999999999\n", 600},
        {"cache-control: max-age=2147483647\nage: 2147483600\n", 60},
        {"cache-control: max-age=\"300\"\n", 300},
        {"cache-control: max-age=300\nage: 100\n", 200},
        {"cache-control: max-age=300\nage: 1000\n", 60},
        {"cache-control: max-age=300\nage: x\n", 300},
        {"cache-control: max-age=300, s-maxage=200\n", 200},
        {"cache-control: max-age=200, s-maxage=300\n", 300},
        {"cache-control: s-maxage=0, max-age=300\n", 60},
        {"cache-control: max-age=300, max-age=200\n", 200},
        {"cache-control: max-age=300\ncache-control: max-age=200\n", 200},
        {"cache-control: max-age=-300\n", 60},
        {"cache-control: max-age=300.5\n", 60},
        {"cache-control: max-age\n", 60},
        {"cache-control: max-age=\"\n", 60},
        {"cache-control: max-age = 300\n", 60},
        {"cache-control: x=\"max-age=300\"\n", 60},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pair p;
        set_up(&p, "", 200, rows[i].response);
        uint32_t believed_s = push_believed_s(&p.response);
        if (believed_s != rows[i].believed_s)
            fail_msg("%sis believed for %u s", rows[i].response, believed_s);
        tear_down(&p);
    }
}

static void copies_nothing_that_names_a_person(void **state)
{
    for (unsigned i = 0; i < PUSH_COPY_COUNT; i++) {
        enum token token = push_copy_token((enum push_copy)i);
        if (PUSH_COPY_DEFAULT & 1u << i)
            assert_int_equal(token_flags(token), 0);
        assert_int_not_equal(token, TOKEN_REFERER);
        assert_int_not_equal(token, TOKEN_FROM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classifies),
        cmocka_unit_test(varies_by_what_is_not_copied),
        cmocka_unit_test(reads_so_many_names_only),
        cmocka_unit_test(believes_for_a_while),
        cmocka_unit_test(copies_nothing_that_names_a_person),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
