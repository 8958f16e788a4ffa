/* SPDX-License-Identifier: Apache-2.0 */
#include "static/condition.h"
#include "base/clock.h"

#include <time.h>

bool static_date_parse(struct slice text, int64_t *out)
{
    static const char *const forms[] = {
        "%a, %d %b %Y %H:%M:%S GMT", /* IMF-fixdate */
        "%A, %d-%b-%y %H:%M:%S GMT", /* RFC 850 */
        "%a %b %e %H:%M:%S %Y",      /* asctime */
    };
    char copy[40], again[CLOCK_HTTP_DATE_OCTETS];
    text = slice_trim(text);
    if (text.len == 0 || text.len >= sizeof copy || memchr(text.p, '\0', text.len))
        return false;
    memcpy(copy, text.p, text.len);
    copy[text.len] = '\0';
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct tm tm = {0};
        const char *end = strptime(copy, forms[i], &tm); /* the locale is "C" */
        if (!end || *end)
            continue;
        int64_t s = timegm(&tm);
        if (s < 0)
            return false;
        *out = s;
        if (i > 0)
            return true;
        /* strptime lets 31 February and missing zeros through. */
        clock_http_date((uint64_t)s * 1000000u, again);
        return text.len == sizeof again && memcmp(again, copy, sizeof again) == 0;
    }
    return false;
}

/* Cuts the next entity tag.  Not by list_next: a tag may hold commas, and a backslash in it means
 * nothing.  RFC 9110 8.8.3
 * return  false at the end, or where the list is malformed */
static bool tag_next(struct slice *rest, struct slice *opaque_out, bool *weak_out)
{
    size_t i = 0;
    while (i < rest->len && (rest->p[i] == ' ' || rest->p[i] == '\t' || rest->p[i] == ','))
        i++;
    *weak_out = rest->len - i >= 2 && rest->p[i] == 'W' && rest->p[i + 1] == '/';
    if (*weak_out)
        i += 2;
    if (i >= rest->len || rest->p[i] != '"')
        return false;
    const char *end = memchr(rest->p + i + 1, '"', rest->len - i - 1);
    if (!end)
        return false;
    *opaque_out = slice_of(rest->p + i, (size_t)(end + 1 - (rest->p + i)));
    *rest = slice_of(end + 1, rest->len - (size_t)(end + 1 - rest->p));
    return true;
}

/* Whether one of the field's lines has our tag, or "*".  strong: weak tags match nothing. */
static bool has_tag(const struct fields *f, enum token token, struct slice ours, bool strong)
{
    for (uint32_t i = 0; i < f->count; i++) {
        struct slice rest = slice_trim(f->at[i].value), tag;
        bool weak;
        if (f->at[i].token != token)
            continue;
        if (slice_eq(rest, SLICE("*")))
            return true;
        while (tag_next(&rest, &tag, &weak))
            if (slice_eq(tag, ours) && !(weak && strong))
                return true;
    }
    return false;
}

/* A date that counts: one line, valid, and we have one to compare with. */
static bool has_date(const struct fields *f, enum token token, const struct static_validators *v,
                     int64_t *out)
{
    const struct field *found = NULL;
    for (uint32_t i = 0; i < f->count; i++) {
        if (f->at[i].token != token)
            continue;
        if (found)
            return false;
        found = &f->at[i];
    }
    return found && v->modified_s >= 0 && static_date_parse(found->value, out);
}

enum static_condition static_condition_check(const struct fields *f,
                                             const struct static_validators *v)
{
    int64_t date;
    if (fields_find(f, TOKEN_IF_MATCH)) {
        if (!has_tag(f, TOKEN_IF_MATCH, v->etag, true))
            return STATIC_CONDITION_FAILED;
    } else if (has_date(f, TOKEN_IF_UNMODIFIED_SINCE, v, &date) && v->modified_s > date) {
        return STATIC_CONDITION_FAILED;
    }
    if (fields_find(f, TOKEN_IF_NONE_MATCH)) {
        if (has_tag(f, TOKEN_IF_NONE_MATCH, v->etag, false))
            return STATIC_CONDITION_NOT_MODIFIED;
    } else if (has_date(f, TOKEN_IF_MODIFIED_SINCE, v, &date) && v->modified_s <= date) {
        return STATIC_CONDITION_NOT_MODIFIED;
    }
    return STATIC_CONDITION_HOLDS;
}

bool static_condition_range_holds(const struct fields *f, const struct static_validators *v)
{
    const struct field *field = fields_find(f, TOKEN_IF_RANGE);
    int64_t date;
    if (!field)
        return true;
    struct slice value = slice_trim(field->value);
    if (slice_starts(value, SLICE("\"")) || slice_starts(value, SLICE("W/"))) /* not "Wed, ..." */
        return v->etag.len && slice_eq(value, v->etag);
    /* The date is a strong validator here: none is given out within the second it names. */
    return has_date(f, TOKEN_IF_RANGE, v, &date) && date == v->modified_s;
}
