/* SPDX-License-Identifier: Apache-2.0 */
#include "push/parked.h"

/* By everything, or by more than is compared. */
static bool varies_by_all(const struct fields *f)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < f->count; i++) {
        struct slice rest = f->at[i].value, name;
        if (f->at[i].token != TOKEN_VARY)
            continue;
        while (list_next(&rest, &name))
            if (slice_eq(name, SLICE("*")) || ++count > PUSH_VARY_MAX)
                return true;
    }
    return false;
}

bool push_may_park(const struct http_head *response)
{
    return response->status == 200 && !fields_find(&response->fields, TOKEN_SET_COOKIE) &&
           !fields_list_has(&response->fields, TOKEN_CACHE_CONTROL, SLICE("no-store")) &&
           !varies_by_all(&response->fields);
}

/* Whether both have the same lines of a field, in the same order. */
static bool same_field(const struct fields *a, const struct fields *b, struct slice name)
{
    uint32_t i = 0, k = 0;
    for (;;) {
        while (i < a->count && !slice_ieq(a->at[i].name, name))
            i++;
        while (k < b->count && !slice_ieq(b->at[k].name, name))
            k++;
        if (i == a->count || k == b->count)
            return i == a->count && k == b->count;
        if (!slice_eq(a->at[i++].value, b->at[k++].value))
            return false;
    }
}

static bool same_variant(const struct http_head *asked, const struct http_head *promised,
                         const struct http_head *response)
{
    for (uint32_t i = 0; i < response->fields.count; i++) {
        const struct field *f = &response->fields.at[i];
        struct slice rest = f->value, name;
        if (f->token != TOKEN_VARY)
            continue;
        while (list_next(&rest, &name))
            if (!same_field(&asked->fields, &promised->fields, name))
                return false;
    }
    return true;
}

/* Who says one of these wants something else than the answer to a plain GET. */
static bool is_plain(const struct fields *f)
{
    static const enum token never[] = {TOKEN_RANGE,         TOKEN_IF_MATCH,
                                       TOKEN_IF_NONE_MATCH, TOKEN_IF_MODIFIED_SINCE,
                                       TOKEN_IF_RANGE,      TOKEN_IF_UNMODIFIED_SINCE};
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++)
        if (fields_find(f, never[i]))
            return false;
    return !fields_list_has(f, TOKEN_CACHE_CONTROL, SLICE("no-cache")) &&
           !fields_list_has(f, TOKEN_CACHE_CONTROL, SLICE("max-age=0")) &&
           !fields_list_has(f, TOKEN_CACHE_CONTROL, SLICE("no-store")) &&
           !fields_list_has(f, TOKEN_PRAGMA, SLICE("no-cache"));
}

/* Of the origin that it asks, as browsers say it with fonts.  RFC 6454 7 */
static bool is_own_origin(const struct http_head *asked, struct slice origin)
{
    struct slice scheme = asked->scheme, authority = asked->authority;
    return origin.len == scheme.len + 3 + authority.len && slice_starts(origin, scheme) &&
           memcmp(origin.p + scheme.len, "://", 3) == 0 &&
           slice_ieq(slice_of(origin.p + scheme.len + 3, authority.len), authority);
}

/* Another site's page may get another answer, or none, which not every worker says in Vary. */
static bool is_own_site(const struct http_head *asked, const struct http_head *promised)
{
    return (is_own_origin(asked, fields_value(&asked->fields, TOKEN_ORIGIN)) ||
            same_field(&asked->fields, &promised->fields, SLICE("origin"))) &&
           !slice_eq(fields_value(&asked->fields, TOKEN_SEC_FETCH_SITE), SLICE("cross-site"));
}

bool push_parked_fits(const struct http_head *asked, const struct http_head *promised,
                      const struct http_head *page, const struct http_head *response)
{
    return slice_eq(asked->method, SLICE("GET")) && slice_eq(promised->method, SLICE("GET")) &&
           slice_ieq(asked->authority, promised->authority) &&
           slice_eq(asked->path, promised->path) && is_plain(&asked->fields) &&
           is_own_site(asked, promised) &&
           same_field(&asked->fields, &page->fields, SLICE("cookie")) &&
           same_field(&asked->fields, &page->fields, SLICE("authorization")) &&
           same_variant(asked, promised, response);
}
