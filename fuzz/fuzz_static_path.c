/* SPDX-License-Identifier: Apache-2.0 */
/* From a request target to a file's name: refused, or a name that stays beneath the root. */
#include "base/err.h"
#include "base/panic.h"
#include "http/rules.h"
#include "static/path.h"

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len);

/* Each segment of the name, "." for the root apart. */
static void check_name(const char *name)
{
    if (strcmp(name, ".") == 0)
        return;
    for (const char *at = name;; at++) {
        size_t n = strcspn(at, "/");
        /* neither empty, nor hidden, nor "..", nor absolute; RFC 8615 has a name of its own */
        ASSERT(n > 0);
        ASSERT(at[0] != '.' || (at == name && n == 11 && memcmp(at, ".well-known", n) == 0));
        at += n;
        if (!*at)
            return;
    }
}

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* The octets of the name are those of the target, decoded once and not twice. */
static void check_decoded(const struct static_path *p)
{
    const char *raw = p->raw.p + 1, *end = p->raw.p + p->raw.len - (p->is_directory ? 1 : 0);
    const char *name = strcmp(p->relative, ".") == 0 && p->raw.len == 1 ? "" : p->relative;
    if (p->raw.len == 1)
        end = raw;
    for (; raw < end; raw++, name++) {
        char c = *raw;
        if (c == '%') {
            c = (char)(hex(raw[1]) << 4 | hex(raw[2]));
            raw += 2;
        }
        ASSERT(*name && c == *name);
    }
    ASSERT(!*name);
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
    struct pool pool;
    struct arena arena;
    struct static_path path;
    struct slice target = slice_of(octets, len);
    if (!rules_is_origin_form(target)) /* the engines give out nothing else */
        return 0;
    pool_init(&pool);
    arena_init(&arena, &pool);
    int err = static_path_read(target, &arena, &path);
    ASSERT(err == 0 || err == ERR_BAD_TARGET || err == ERR_NOTFOUND);
    if (err == 0) {
        check_name(path.relative);
        check_decoded(&path);
        ASSERT(path.raw.p == target.p && path.raw.len + path.query.len == target.len);
        ASSERT(path.query.len == 0 || path.query.p[0] == '?');
        ASSERT(path.is_directory == (path.raw.p[path.raw.len - 1] == '/'));
    }
    arena_fini(&arena);
    ASSERT(pool.live == 0);
    pool_fini(&pool);
    return 0;
}
