/* SPDX-License-Identifier: Apache-2.0 */
/* Link fields.  Input: a line with the request's path, one with its authority, then one Link value
 * a line. */
#include "base/panic.h"
#include "http/rules.h"
#include "push/link.h"
#include "push/urgency.h"

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len);

static struct slice next_line(struct slice *rest)
{
    const char *end = rest->len ? memchr(rest->p, '\n', rest->len) : NULL;
    size_t n = end ? (size_t)(end - rest->p) : rest->len;
    struct slice line = slice_of(rest->p, n);
    *rest = end ? slice_of(end + 1, rest->len - n - 1) : slice_of(rest->p + n, 0);
    return line;
}

static void check_no_dots(struct slice path)
{
    const char *query = memchr(path.p, '?', path.len);
    const char *end = query ? query : path.p + path.len;
    for (const char *at = path.p; at < end;) {
        const char *start = ++at;
        while (at < end && *at != '/')
            at++;
        struct slice segment = slice_of(start, (size_t)(at - start));
        ASSERT(!slice_eq(segment, SLICE(".")) && !slice_eq(segment, SLICE("..")));
    }
}

static void check(void *user, struct push_promise *p)
{
    unsigned *count = user;
    const struct http_head *h = &p->request;
    ++*count;
    ASSERT(slice_eq(h->method, SLICE("GET")));
    ASSERT(slice_eq(h->scheme, SLICE("https")) || slice_eq(h->scheme, SLICE("http")));
    ASSERT(rules_is_authority(h->authority));
    ASSERT(rules_is_origin_form(h->path));
    ASSERT(push_urgency(p->as, p->fetchpriority, p->critical).urgency <= PRIORITY_URGENCY_MAX);
    check_no_dots(h->path);
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
    struct slice rest = slice_of(octets, len);
    struct pool pool;
    struct arena arena;
    struct fields fields = {0};
    struct http_head request = {.method = SLICE("GET"), .scheme = SLICE("https")};
    unsigned count = 0;
    request.path = next_line(&rest);
    request.authority = next_line(&rest);
    if (!rules_is_origin_form(request.path) || !rules_is_authority(request.authority))
        return 0;
    pool_init(&pool);
    arena_init(&arena, &pool);
    while (rest.len && fields_add_token(&fields, &arena, TOKEN_LINK, next_line(&rest)) == 0)
        ;
    unsigned given = link_read(&fields, &request, PUSH_SOURCE_LINK, &arena, check, &count);
    ASSERT(given == count && count <= LINK_MAX_PROMISES);
    arena_fini(&arena);
    ASSERT(pool.live == 0);
    pool_fini(&pool);
    return 0;
}
