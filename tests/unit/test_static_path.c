/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include "static/path.h"
#include "static/type.h"

#include <stdio.h>

static void reads_paths(void **state)
{
    static const struct {
        const char *target, *relative; /* NULL: refused with err */
        int err;
        bool is_directory;
    } rows[] = {
        {"/", ".", 0, true},
        {"/?x", ".", 0, true},
        {"/a", "a", 0, false},
        {"/a/", "a", 0, true},
        {"/a/b.html?c=/d/../e", "a/b.html", 0, false},
        {"/%61%2E%20%C3%A4", "a. \xc3\xa4", 0, false},
        {"/a%3Fb", "a?b", 0, false},
        {"/a%25b", "a%b", 0, false},
        {"/a...", "a...", 0, false},
        {"/.well-known/acme", ".well-known/acme", 0, false},
        {"/.well-known/", ".well-known", 0, true},
        {"", NULL, ERR_BAD_TARGET, false},
        {"*", NULL, ERR_BAD_TARGET, false},
        {"a", NULL, ERR_BAD_TARGET, false},
        {"/%", NULL, ERR_BAD_TARGET, false},
        {"/%4", NULL, ERR_BAD_TARGET, false},
        {"/%4g", NULL, ERR_BAD_TARGET, false},
        {"/%g4", NULL, ERR_BAD_TARGET, false},
        {"/a%00b", NULL, ERR_BAD_TARGET, false},
        {"/a%00", NULL, ERR_BAD_TARGET, false},
        {"/a%2f%00", NULL, ERR_BAD_TARGET, false},
        {"/\\evil", NULL, ERR_BAD_TARGET, false},
        {"/a%2Fb", NULL, ERR_NOTFOUND, false},
        {"/a%2f", NULL, ERR_NOTFOUND, false},
        {"/%2f", NULL, ERR_NOTFOUND, false},
        {"/.", NULL, ERR_NOTFOUND, false},
        {"/..", NULL, ERR_NOTFOUND, false},
        {"/../etc/passwd", NULL, ERR_NOTFOUND, false},
        {"/a/../b", NULL, ERR_NOTFOUND, false},
        {"/a/..", NULL, ERR_NOTFOUND, false},
        {"/%2e%2e/b", NULL, ERR_NOTFOUND, false},
        {"/%2e%2E%2fb", NULL, ERR_NOTFOUND, false},
        {"/a/./b", NULL, ERR_NOTFOUND, false},
        {"/.git/config", NULL, ERR_NOTFOUND, false},
        {"/a/.htaccess", NULL, ERR_NOTFOUND, false},
        {"/a/.well-known/x", NULL, ERR_NOTFOUND, false},
        {"/.well-knownx", NULL, ERR_NOTFOUND, false},
        {"//", NULL, ERR_NOTFOUND, false},
        {"//evil.example/", NULL, ERR_NOTFOUND, false},
        {"/a//b", NULL, ERR_NOTFOUND, false},
        {"/a//", NULL, ERR_NOTFOUND, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct pool pool;
        struct arena arena;
        struct static_path p;
        pool_init(&pool);
        arena_init(&arena, &pool);
        int err = static_path_read(slice_str(rows[i].target), &arena, &p);
        if (err != rows[i].err)
            fail_msg("%s: %d, not %d", rows[i].target, err, rows[i].err);
        if (err == 0) {
            assert_string_equal(p.relative, rows[i].relative);
            assert_int_equal(p.is_directory, rows[i].is_directory);
            assert_int_equal(p.raw.len + p.query.len, strlen(rows[i].target));
        }
        arena_fini(&arena);
        pool_fini(&pool);
    }
}

static void refuses_a_plain_nul(void **state)
{
    struct pool pool;
    struct arena arena;
    struct static_path p;
    pool_init(&pool);
    arena_init(&arena, &pool);
    assert_int_equal(static_path_read(SLICE("/a\0b"), &arena, &p), ERR_BAD_TARGET);
    arena_fini(&arena);
    pool_fini(&pool);
    pool_init(&pool);
    arena_init(&arena, &pool);
    pool.fail_at = 1;
    assert_int_equal(static_path_read(SLICE("/a"), &arena, &p), ERR_NOMEM);
    arena_fini(&arena);
    pool_fini(&pool);
}

static void knows_types(void **state)
{
    static const struct {
        const char *path, *type;
    } rows[] = {
        {"index.html", "text/html; charset=utf-8"},
        {"a/B.HTML", "text/html; charset=utf-8"},
        {"x.css", "text/css; charset=utf-8"},
        {"x.js", "text/javascript; charset=utf-8"},
        {"x.mjs", "text/javascript; charset=utf-8"},
        {"x.cjs", "text/javascript; charset=utf-8"},
        {"x.min.js", "text/javascript; charset=utf-8"},
        {"x.json", "application/json"},
        {"x.svg", "image/svg+xml"},
        {"x.webmanifest", "application/manifest+json"},
        {"x.wasm", "application/wasm"},
        {"x.woff2", "font/woff2"},
        {"x.7z", "application/x-7z-compressed"},
        {"x.zst", "application/zstd"},
        {"x.txt", "text/plain; charset=utf-8"},
        {"README", "application/octet-stream"},
        {"a.html/b", "application/octet-stream"},
        {"x.", "application/octet-stream"},
        {"", "application/octet-stream"},
        {"html", "application/octet-stream"},
        {"x.htmlx", "application/octet-stream"},
        {"x.webmanifestx", "application/octet-stream"},
        {"x.h\xc3\xa4", "application/octet-stream"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct slice type = static_type_of(slice_str(rows[i].path))->type;
        if (!slice_eq(type, slice_str(rows[i].type)))
            fail_msg("%s: %.*s", rows[i].path, SLICE_FMT(type));
    }
    assert_true(static_type_of(SLICE("a.svg"))->is_compressible);
    assert_false(static_type_of(SLICE("a.png"))->is_compressible);
}

/* A row out of order would never be found. */
static void finds_every_row(void **state)
{
    char name[32];
    const struct static_type *row = static_type_of(SLICE("x.7z")); /* the first one */
    unsigned count = 0;
    for (; strcmp(row->ending, "zst") != 0; row++, count++) {
        snprintf(name, sizeof name, "x.%s", row->ending);
        assert_ptr_equal(static_type_of(slice_str(name)), row);
        assert_true(strcmp(row->ending, row[1].ending) < 0);
    }
    assert_true(count > 80);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_paths),
        cmocka_unit_test(refuses_a_plain_nul),
        cmocka_unit_test(knows_types),
        cmocka_unit_test(finds_every_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
