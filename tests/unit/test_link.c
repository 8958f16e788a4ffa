/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "push/link.h"
#include "push/reference.h"

#include <stdio.h>
#include <stdlib.h>

#define KEEP 100

struct test {
    struct pool pool;
    struct arena arena;
    struct http_head request;
    struct fields fields;
    unsigned count;
    struct push_promise *given[KEEP];
};

static void test_init(struct test *t)
{
    memset(t, 0, sizeof *t);
    pool_init(&t->pool);
    arena_init(&t->arena, &t->pool);
    t->request = (struct http_head){.method = SLICE("GET"),
                                    .scheme = SLICE("https"),
                                    .authority = SLICE("shop.example"),
                                    .path = SLICE("/a/b/page?q=1"),
                                    .content_length = -1};
}

static void test_fini(struct test *t)
{
    arena_fini(&t->arena);
    assert_int_equal(t->pool.live, 0);
    pool_fini(&t->pool);
}

static void collect(void *user, struct push_promise *p)
{
    struct test *t = user;
    assert_true(t->count < KEEP);
    t->given[t->count++] = p;
}

static unsigned run(struct test *t)
{
    unsigned n = link_read(&t->fields, &t->request, PUSH_SOURCE_LINK, &t->arena, collect, t);
    assert_int_equal(n, t->count);
    return n;
}

/* The value in a block of its own, so that a read beyond it is found. */
static char *add_octets(struct test *t, const char *value, size_t len)
{
    char *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, value, len);
    assert_int_equal(fields_add_token(&t->fields, &t->arena, TOKEN_LINK, slice_of(copy, len)), 0);
    return copy;
}

static char *add(struct test *t, const char *value)
{
    return add_octets(t, value, strlen(value));
}

static void assert_slice(struct slice s, const char *want)
{
    if (!slice_eq(s, slice_str(want)))
        fail_msg("\"%.*s\" is not \"%s\"", SLICE_FMT(s), want);
}

/* value, the paths that are given, each followed by a blank */
static const struct {
    const char *value, *paths;
} grammar[] = {
    {"", ""},
    {",", ""},
    {" , ,", ""},
    {"</x.css>; rel=preload; as=style", "/x.css "},
    {"</x.css>;rel=preload", "/x.css "},
    {"</x.css>\t ; \trel \t= \tpreload\t", "/x.css "},
    {"< /x.css\t>; rel=preload", "/x.css "},
    {"</x.css>; REL=PreLoad; AS=Style", "/x.css "},
    {"</x.css>; rel=\"preload\"", "/x.css "},
    {"</x.css>; rel=\"pre\\load\"", "/x.css "},
    {"</x.css>; rel=\"stylesheet preload\"", "/x.css "},
    {"</x.css>; rel=\" \t preload\tnext \"", "/x.css "},
    {"</x.css>; rel=\"preloads xpreload\"", ""},
    {"</x.css>; rel=\"\"", ""},
    {"</x.css>; rel", ""},
    {"</x.css>; rel=", ""},
    {"</x.css>", ""},
    {"</x.css>; rel=preload; rel=next", "/x.css "},
    {"</x.css>; rel=next; rel=preload", ""},
    {"</x.css>; rel; rel=preload", ""},
    {"</x.css>; as=style; nopush; rel=preload", "/x.css "},
    {"</x.css>; type=text/css; rel=preload", "/x.css "},
    {"</x.css>; title=\"a, <b>; rel=x\"; rel=preload", "/x.css "},
    {"</x.css>;;; ; rel=preload;", "/x.css "},
    {"</x.css>; title*=UTF-8'en'x; rel=preload", "/x.css "},
    {"</x.css>; rel=preload; anchor=\"#foo\"", ""},
    {"</a>; rel=preload, </b>; rel=next, </c>; rel=preload", "/a /c "},
    {"</a>;rel=preload,</b>;rel=preload", "/a /b "},
    {"</a,b>; rel=preload", "/a,b "},
    /* malformed elements, and the next one is read */
    {"x, </b>; rel=preload", "/b "},
    {"/a; rel=preload, </b>; rel=preload", "/b "},
    {"</a; rel=preload, </b>; rel=preload", "/b "},
    {"</a b>; rel=preload, </b>; rel=preload", "/b "},
    {"</a> rel=preload, </b>; rel=preload", "/b "},
    {"</a>; =preload; rel=preload, </b>; rel=preload", "/b "},
    {"</a>; rel=preload style, </b>; rel=preload", "/b "},
    {"</a>; rel=pre\"load, x\", </b>; rel=preload", "/b "},
    {"</a>; rel=\"preload\" x=\",\", </b>; rel=preload", "/b "},
    {"</a>; (; rel=preload, </b>; rel=preload", "/b "},
    {"</a>; rel=\"preload, </b>; rel=preload", ""},
    {"</a>; rel=\"preload\\", ""},
    {"</a>; rel=preload; x=\"\\", ""},
    {"<", ""},
    {"</a", ""},
    {"</a>;", ""},
    {"</a>; rel=preload, <", "/a "},
    /* octets that no URI has */
    {"</\x80>; rel=preload", ""},
    {"</a\x7f>; rel=preload", ""},
    {"</a\\b>; rel=preload", ""},
    {"</a\"b>; rel=preload", ""},
    {"</a|b>; rel=preload", ""},
    {"</%zz>; rel=preload", ""},
    {"</%4>; rel=preload", ""},
    {"</%41>; rel=preload", "/%41 "},
};

static void reads_grammar(void **state)
{
    for (size_t i = 0; i < sizeof grammar / sizeof grammar[0]; i++) {
        struct test t;
        char paths[256] = "";
        test_init(&t);
        char *copy = add(&t, grammar[i].value);
        run(&t);
        for (unsigned k = 0; k < t.count; k++) {
            strncat(paths, t.given[k]->request.path.p, t.given[k]->request.path.len);
            strcat(paths, " ");
        }
        if (strcmp(paths, grammar[i].paths) != 0)
            fail_msg("<%s> gave \"%s\", not \"%s\"", grammar[i].value, paths, grammar[i].paths);
        free(copy);
        test_fini(&t);
    }
}

/* Nothing is read beyond the end wherever a value stops. */
static void reads_every_prefix(void **state)
{
    for (size_t i = 0; i < sizeof grammar / sizeof grammar[0]; i++) {
        for (size_t n = 0; n <= strlen(grammar[i].value); n++) {
            struct test t;
            test_init(&t);
            char *copy = add_octets(&t, grammar[i].value, n);
            run(&t);
            free(copy);
            test_fini(&t);
        }
    }
}

/* target, scheme, authority, path; path NULL: refused.  Base https://shop.example/a/b/page?q=1 */
static const struct {
    const char *target, *scheme, *authority, *path;
} references[] = {
    {"/x.css", "https", "shop.example", "/x.css"},
    {"x.css", "https", "shop.example", "/a/b/x.css"},
    {"./x.css", "https", "shop.example", "/a/b/x.css"},
    {"../x.css", "https", "shop.example", "/a/x.css"},
    {"../../x.css", "https", "shop.example", "/x.css"},
    {"../../../../x.css", "https", "shop.example", "/x.css"},
    {".", "https", "shop.example", "/a/b/"},
    {"..", "https", "shop.example", "/a/"},
    {"../..", "https", "shop.example", "/"},
    {"/a/./b/../c", "https", "shop.example", "/a/c"},
    {"/a/..", "https", "shop.example", "/"},
    {"/..", "https", "shop.example", "/"},
    {"/../x", "https", "shop.example", "/x"},
    {"/.", "https", "shop.example", "/"},
    {"/a//b/../c", "https", "shop.example", "/a//c"},
    {"/a/%2e%2E/c", "https", "shop.example", "/c"},
    {"/a/.%2e/c", "https", "shop.example", "/c"},
    {"/a/%2e/c", "https", "shop.example", "/a/c"},
    {"/a/.../c", "https", "shop.example", "/a/.../c"},
    {"/a/..b/.c", "https", "shop.example", "/a/..b/.c"},
    {"/a/%2e%2", NULL, NULL, NULL},
    {"/x?y=/../z", "https", "shop.example", "/x?y=/../z"},
    {"/x?", "https", "shop.example", "/x?"},
    {"/x#frag", "https", "shop.example", "/x"},
    {"/x?a#b?c", "https", "shop.example", "/x?a"},
    {"x#", "https", "shop.example", "/a/b/x"},
    {"", "https", "shop.example", "/a/b/page?q=1"},
    {"#top", "https", "shop.example", "/a/b/page?q=1"},
    {"?z", "https", "shop.example", "/a/b/page?z"},
    {"?", "https", "shop.example", "/a/b/page?"},
    {"x:y", NULL, NULL, NULL},
    {"1:y", NULL, NULL, NULL},
    {":y", NULL, NULL, NULL},
    {"./x:y", "https", "shop.example", "/a/b/x:y"},
    {"x/y:z", "https", "shop.example", "/a/b/x/y:z"},
    {"//cdn.example/x", "https", "cdn.example", "/x"},
    {"//cdn.example", "https", "cdn.example", "/"},
    {"//cdn.example?x", "https", "cdn.example", "/?x"},
    {"//cdn.example#x", "https", "cdn.example", "/"},
    {"//CDN.Example:443/x", "https", "cdn.example", "/x"},
    {"//cdn.example:/x", "https", "cdn.example", "/x"},
    {"//cdn.example:80/x", "https", "cdn.example:80", "/x"},
    {"//cdn.example:08080/x", "https", "cdn.example:8080", "/x"},
    {"//cdn.example:65535/x", "https", "cdn.example:65535", "/x"},
    {"//cdn.example:65536/x", NULL, NULL, NULL},
    {"//cdn.example:0/x", NULL, NULL, NULL},
    {"//cdn.example/../x", "https", "cdn.example", "/x"},
    {"//[::1]/x", "https", "[::1]", "/x"},
    {"//[FE80::1]:8443/x", "https", "[fe80::1]:8443", "/x"},
    {"//[::g]/x", NULL, NULL, NULL},
    {"//[::1/x", NULL, NULL, NULL},
    {"//[::1]x/x", NULL, NULL, NULL},
    {"https://shop.example/x", "https", "shop.example", "/x"},
    {"HTTPS://SHOP.EXAMPLE:443/x", "https", "shop.example", "/x"},
    {"https://shop.example:444/x", "https", "shop.example:444", "/x"},
    {"http://shop.example/x", "http", "shop.example", "/x"},
    {"http://Shop.example:80/x", "http", "shop.example", "/x"},
    {"http://shop.example:443/x", "http", "shop.example:443", "/x"},
    {"https://shop.example", "https", "shop.example", "/"},
    {"https:/x", NULL, NULL, NULL},
    {"https:x", NULL, NULL, NULL},
    {"https:", NULL, NULL, NULL},
    {"https://", NULL, NULL, NULL},
    {"https:///x", NULL, NULL, NULL},
    {"///x", NULL, NULL, NULL},
    {"//user@cdn.example/x", NULL, NULL, NULL},
    {"//user:pw@cdn.example/x", NULL, NULL, NULL},
    {"//cdn%2eexample/x", NULL, NULL, NULL},
    {"//cdn!.example/x", NULL, NULL, NULL},
    {"//b\xc3\xbc.example/x", NULL, NULL, NULL},
    {"//xn--b-eha.example/x", "https", "xn--b-eha.example", "/x"},
    {"ftp://shop.example/x", NULL, NULL, NULL},
    {"data:text/css,x", NULL, NULL, NULL},
    {"javascript:x", NULL, NULL, NULL},
    {"/a b", NULL, NULL, NULL},
    {"/a\nb", NULL, NULL, NULL},
};

static void resolves_references(void **state)
{
    for (size_t i = 0; i < sizeof references / sizeof references[0]; i++) {
        struct test t;
        struct reference r;
        test_init(&t);
        bool good = reference_resolve(&t.request, slice_str(references[i].target), &t.arena, &r);
        if (good != (references[i].path != NULL))
            fail_msg("\"%s\": %d", references[i].target, good);
        if (good) {
            assert_slice(r.scheme, references[i].scheme);
            assert_slice(r.authority, references[i].authority);
            assert_slice(r.path, references[i].path);
        }
        test_fini(&t);
    }
}

/* The request's own authority is given back as it was written. */
static void keeps_own_authority(void **state)
{
    static const struct {
        const char *scheme, *own, *target, *want;
    } rows[] = {
        {"https", "Shop.example:443", "/x", "Shop.example:443"},
        {"https", "Shop.example:443", "https://shop.example/x", "Shop.example:443"},
        {"https", "Shop.example:443", "//SHOP.example:443/x", "Shop.example:443"},
        {"https", "Shop.example:443", "http://shop.example:443/x", "shop.example:443"},
        {"http", "shop.example:80", "//shop.example", "shop.example:80"},
        {"http", "shop.example:8080", "//shop.example:8080", "shop.example:8080"},
        {"http", "shop.example:8080", "//shop.example", "shop.example"},
        {"http", "[::1]:80", "//[::1]", "[::1]:80"},
        {"https", "", "/x", NULL},
        {"ftp", "a", "/x", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct test t;
        struct reference r;
        test_init(&t);
        t.request.scheme = slice_str(rows[i].scheme);
        t.request.authority = slice_str(rows[i].own);
        assert_int_equal(reference_resolve(&t.request, slice_str(rows[i].target), &t.arena, &r),
                         rows[i].want != NULL);
        if (rows[i].want)
            assert_slice(r.authority, rows[i].want);
        test_fini(&t);
    }
}

static void resolves_odd_bases(void **state)
{
    static const struct {
        const char *base, *target, *want;
    } rows[] = {
        {"*", "x", "/x"},         {"", "x", "/x"},           {"", "", "/"},
        {"/", "x", "/x"},         {"/a?b/c", "x", "/x"},     {"/a?b", "", "/a?b"},
        {"/a/b/", "x", "/a/b/x"}, {"/a/../b/", "x", "/b/x"}, {"//a", "x", "//x"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct test t;
        struct reference r;
        test_init(&t);
        t.request.path = slice_str(rows[i].base);
        assert_true(reference_resolve(&t.request, slice_str(rows[i].target), &t.arena, &r));
        assert_slice(r.path, rows[i].want);
        test_fini(&t);
    }
}

static void fills_promise(void **state)
{
    struct test t;
    test_init(&t);
    char *a = add(&t, "</f>; rel=preload; as=FONT; crossorigin; nopush; fetchpriority=HIGH");
    fields_add_token(&t.fields, &t.arena, TOKEN_SERVER, SLICE("</s>; rel=preload"));
    char *b = add(&t, "</g>; rel=preload; as=\"a b\"; crossorigin=use-credentials; "
                      "fetchpriority=low; as=style");
    char *c = add(&t, "</h>; rel=preload; crossorigin=anonymous; fetchpriority=auto; critical; "
                      "x-http2-push-only");
    assert_int_equal(run(&t), 3);
    const struct push_promise *p = t.given[0];
    assert_int_equal(p->source, PUSH_SOURCE_LINK);
    assert_slice(p->request.method, "GET");
    assert_slice(p->request.scheme, "https");
    assert_slice(p->request.authority, "shop.example");
    assert_slice(p->request.path, "/f");
    assert_slice(p->request.protocol, "");
    assert_int_equal(p->request.content_length, -1);
    assert_int_equal(p->request.fields.count, 0);
    assert_slice(p->as, "font");
    assert_true(p->nopush);
    assert_true(p->crossorigin);
    assert_false(p->has_content);
    assert_slice(p->fetchpriority, "HIGH");
    assert_false(p->critical || p->push_only);
    p = t.given[1];
    assert_slice(p->as, "");
    assert_false(p->nopush);
    assert_false(p->crossorigin);
    assert_slice(p->fetchpriority, "low");
    p = t.given[2];
    assert_true(p->crossorigin);
    assert_slice(p->fetchpriority, "auto");
    assert_true(p->critical && p->push_only);
    free(a);
    free(b);
    free(c);
    test_fini(&t);
}

static void stops_at_caps(void **state)
{
    struct test t;
    static const char one[] = "</x>;rel=preload,";
    char *many = malloc((LINK_MAX_PROMISES + 1) * sizeof one);
    size_t len = 0;
    assert_non_null(many);
    for (int i = 0; i < LINK_MAX_PROMISES + 1; i++, len += sizeof one - 1)
        memcpy(many + len, one, sizeof one - 1);
    test_init(&t);
    char *a = add_octets(&t, many, len - (sizeof one - 1));
    char *b = add(&t, one);
    assert_int_equal(run(&t), LINK_MAX_PROMISES);
    test_fini(&t);
    test_init(&t);
    char *c = add_octets(&t, many, len);
    assert_int_equal(run(&t), LINK_MAX_PROMISES);
    test_fini(&t);
    free(many);
    free(a);
    free(b);
    free(c);
}

/* An element that the cap on a field's length cuts is not read without its end. */
static void drops_what_is_cut(void **state)
{
    static const char first[] = "</a>; rel=preload; x=", second[] = ", </b>; rel=preload";
    for (int over = 0; over < 2; over++) {
        struct test t;
        size_t len = LINK_MAX_FIELD_OCTETS + (size_t)over;
        char *value = malloc(len);
        assert_non_null(value);
        memset(value, 'y', len);
        memcpy(value, first, sizeof first - 1);
        memcpy(value + len - (sizeof second - 1), second, sizeof second - 1);
        test_init(&t);
        char *copy = add_octets(&t, value, len);
        assert_int_equal(run(&t), over ? 1 : 2);
        test_fini(&t);
        free(copy);
        free(value);
    }
}

/* Each allocation fails in turn: fewer promises, nothing worse. */
static void survives_no_memory(void **state)
{
    static const char value[] =
        "</a>; rel=\"pre\\load\"; as=style, <//B.example:81/c>; rel=preload; as=script";
    char *big = malloc(3000); /* larger than an arena's block, so that the pool is asked again */
    assert_non_null(big);
    memset(big, 'p', 3000);
    big[0] = '/';
    for (uint64_t fail_at = 1;; fail_at++) {
        struct test t;
        test_init(&t);
        struct field only = {
            .name = SLICE("link"), .value = slice_of(value, sizeof value - 1), .token = TOKEN_LINK};
        t.fields = (struct fields){.at = &only, .count = 1, .cap = 1};
        t.request.path = slice_of(big, 3000);
        t.request.authority = slice_of(big + 1, 2900);
        t.pool.fail_at = fail_at;
        run(&t);
        bool reached = t.pool.gets >= fail_at;
        unsigned count = t.count;
        test_fini(&t);
        if (!reached) {
            assert_int_equal(count, 2);
            break;
        }
        assert_true(count < 2);
    }
    free(big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_grammar),       cmocka_unit_test(reads_every_prefix),
        cmocka_unit_test(resolves_references), cmocka_unit_test(keeps_own_authority),
        cmocka_unit_test(resolves_odd_bases),  cmocka_unit_test(fills_promise),
        cmocka_unit_test(stops_at_caps),       cmocka_unit_test(drops_what_is_cut),
        cmocka_unit_test(survives_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
