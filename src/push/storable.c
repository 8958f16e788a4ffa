/* SPDX-License-Identifier: Apache-2.0 */
#include "push/storable.h"
#include "base/panic.h"

#define DELTA_MAX (UINT32_C(1) << 31) /* RFC 9111 1.2.2: what is more is as much */

/* RFC 9111 5.2.2 */
struct directives {
    bool no_store, is_private, is_public, must_revalidate, has_max_age, has_s_maxage;
    uint32_t max_age_s, s_maxage_s;
};

/* An invalid one is stale.  RFC 9111 4.2.1 */
static uint32_t delta_seconds(struct slice s)
{
    uint32_t v = 0;
    if (s.len >= 2 && s.p[0] == '"' && s.p[s.len - 1] == '"')
        s = slice_of(s.p + 1, s.len - 2);
    for (size_t i = 0; i < s.len; i++) {
        unsigned d = (unsigned)(unsigned char)s.p[i] - '0';
        if (d > 9)
            return 0;
        v = v >= DELTA_MAX / 10 ? DELTA_MAX : v * 10 + d;
    }
    return v;
}

/* Of several the least counts. */
static void keep_least(bool *has, uint32_t *to, uint32_t value)
{
    if (!*has || value < *to)
        *to = value;
    *has = true;
}

static void read_directive(struct slice element, struct directives *d)
{
    const char *equals = memchr(element.p, '=', element.len);
    size_t n = equals ? (size_t)(equals - element.p) : element.len;
    struct slice name = slice_of(element.p, n);
    struct slice value = equals ? slice_of(equals + 1, element.len - n - 1) : (struct slice){"", 0};
    if (slice_ieq(name, SLICE("no-store")))
        d->no_store = true;
    else if (slice_ieq(name, SLICE("private")))
        d->is_private = true;
    else if (slice_ieq(name, SLICE("public")))
        d->is_public = true;
    else if (slice_ieq(name, SLICE("must-revalidate")))
        d->must_revalidate = true;
    else if (slice_ieq(name, SLICE("max-age")))
        keep_least(&d->has_max_age, &d->max_age_s, delta_seconds(value));
    else if (slice_ieq(name, SLICE("s-maxage")))
        keep_least(&d->has_s_maxage, &d->s_maxage_s, delta_seconds(value));
}

static struct directives read_cache_control(const struct fields *f)
{
    struct directives d = {0};
    for (uint32_t i = 0; i < f->count; i++) {
        struct slice rest = f->at[i].value, element;
        if (f->at[i].token != TOKEN_CACHE_CONTROL)
            continue;
        while (list_next(&rest, &element))
            read_directive(element, &d);
    }
    return d;
}

/* RFC 9110 15.1; 206 is a part. */
static bool status_is_cacheable(unsigned status)
{
    static const uint16_t cacheable[] = {200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501};
    for (size_t i = 0; i < ARRAY_LEN(cacheable); i++)
        if (cacheable[i] == status)
            return true;
    return false;
}

/* RFC 9111 3 */
static bool may_be_stored(const struct http_head *request, const struct http_head *response,
                          const struct directives *d)
{
    if (!slice_eq(request->method, SLICE("GET")) || response->status < 200 ||
        response->status == 206 || response->status == 304)
        return false;
    if (d->no_store || fields_list_has(&request->fields, TOKEN_CACHE_CONTROL, SLICE("no-store")))
        return false;
    return status_is_cacheable(response->status) || d->is_public || d->is_private ||
           d->has_max_age || d->has_s_maxage || fields_find(&response->fields, TOKEN_EXPIRES);
}

static bool is_private(const struct http_head *request, const struct http_head *response,
                       const struct directives *d)
{
    bool is_shared = d->is_public || d->has_s_maxage;
    if (d->is_private || fields_find(&response->fields, TOKEN_SET_COOKIE))
        return true;
    if (fields_find(&request->fields, TOKEN_AUTHORIZATION) && !is_shared && !d->must_revalidate)
        return true; /* RFC 9111 3.5 */
    return fields_find(&request->fields, TOKEN_COOKIE) && !is_shared && !d->max_age_s;
}

static bool is_copied(struct slice name, uint32_t copied)
{
    for (unsigned i = 0; i < PUSH_COPY_COUNT; i++)
        if ((copied & PUSH_COPY_DEFAULT & 1u << i) &&
            slice_ieq(name, slice_str(push_copy_name((enum push_copy)i))))
            return true;
    return false;
}

/* RFC 9111 4.1 */
static bool varies(const struct http_head *request, const struct http_head *response,
                   uint32_t copied)
{
    const struct fields *f = &response->fields;
    unsigned count = 0;
    for (uint32_t i = 0; i < f->count; i++) {
        struct slice rest = f->at[i].value, name;
        if (f->at[i].token != TOKEN_VARY)
            continue;
        while (list_next(&rest, &name)) {
            bool is_same =
                is_copied(name, copied) ||
                (slice_ieq(name, SLICE("origin")) && !fields_find(&request->fields, TOKEN_ORIGIN));
            if (!is_same || ++count > PUSH_VARY_MAX)
                return true;
        }
    }
    return false;
}

enum push_storable push_storable(const struct http_head *request, const struct http_head *response,
                                 uint32_t copied)
{
    struct directives d = read_cache_control(&response->fields);
    bool is_ones_own = d.is_private || fields_find(&response->fields, TOKEN_SET_COOKIE);
    if (!may_be_stored(request, response, &d))
        return is_ones_own && slice_eq(request->method, SLICE("GET")) ? PUSH_STORABLE_PRIVATE
                                                                      : PUSH_STORABLE_NOT;
    if (is_private(request, response, &d))
        return PUSH_STORABLE_PRIVATE;
    return varies(request, response, copied) ? PUSH_STORABLE_VARIES : PUSH_STORABLE_PUBLIC;
}

uint32_t push_believed_s(const struct http_head *response)
{
    struct directives d = read_cache_control(&response->fields);
    uint32_t age_s = delta_seconds(fields_value(&response->fields, TOKEN_AGE));
    uint32_t fresh_s = d.has_s_maxage ? d.s_maxage_s : d.max_age_s;
    uint32_t left_s = fresh_s > age_s ? fresh_s - age_s : 0;
    if (left_s < PUSH_BELIEVED_MIN_S)
        return PUSH_BELIEVED_MIN_S;
    return left_s < PUSH_BELIEVED_MAX_S ? left_s : PUSH_BELIEVED_MAX_S;
}
