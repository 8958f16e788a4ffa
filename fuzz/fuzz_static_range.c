/* SPDX-License-Identifier: Apache-2.0 */
/* Fields that decide which octets of a file are sent: Range, If-Range, the conditions, dates and
 * Accept-Encoding.
 *
 * Input: two octets that give the file's size, then a line for each of Range, If-Range,
 * If-None-Match, If-Match, If-Modified-Since, If-Unmodified-Since, Accept-Encoding. */
#include "base/err.h"
#include "base/panic.h"
#include "http/rules.h"
#include "input.h"
#include "static/coding.h"
#include "static/condition.h"
#include "static/range.h"

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len);

static const enum token lines[] = {
    TOKEN_RANGE,           TOKEN_IF_RANGE,          TOKEN_IF_NONE_MATCH,
    TOKEN_IF_MATCH,        TOKEN_IF_MODIFIED_SINCE, TOKEN_IF_UNMODIFIED_SINCE,
    TOKEN_ACCEPT_ENCODING,
};

static struct slice next_line(struct input *in)
{
    const uint8_t *end = in->left ? memchr(in->at, '\n', in->left) : NULL;
    struct slice line = input_take(in, end ? (size_t)(end - in->at) : in->left);
    input_take(in, 1);
    return line;
}

/* return  whether some "first-last" of the value asks for this octet; the slow way.  A set that is
 * malformed has not come so far. */
static bool is_asked(struct slice value, uint64_t size, uint64_t octet)
{
    struct slice rest = slice_of(value.p + 6, value.len - 6), spec;
    while (list_next(&rest, &spec)) {
        const char *dash = memchr(spec.p, '-', spec.len);
        ASSERT(dash);
        struct slice from = slice_trim(slice_of(spec.p, (size_t)(dash - spec.p)));
        struct slice to = slice_trim(slice_of(dash + 1, spec.len - from.len - 1));
        uint64_t a = UINT64_MAX, b = UINT64_MAX; /* more than any size when it does not fit */
        if (from.len == 0) {
            slice_u64(to, &a);
            if (octet >= (a > size ? 0 : size - a))
                return true;
            continue;
        }
        slice_u64(from, &a);
        if (to.len)
            slice_u64(to, &b);
        if (octet >= a && octet <= b)
            return true;
    }
    return false;
}

static void check_range(struct slice value, uint64_t size)
{
    struct static_range ranges[STATIC_RANGES_MAX];
    unsigned count = 0;
    enum static_range_result result = static_range_parse(value, size, ranges, &count);
    if (result != STATIC_RANGE_OK)
        return;
    ASSERT(size > 0 && count >= 1 && count <= STATIC_RANGES_MAX);
    ASSERT(value.len > 6 && slice_ieq(slice_of(value.p, 6), SLICE("bytes=")));
    uint64_t total = 0;
    for (unsigned i = 0; i < count; i++) {
        ASSERT(ranges[i].first <= ranges[i].last && ranges[i].last < size);
        /* What stands at the ends was asked for; between there may be gaps. */
        ASSERT(is_asked(value, size, ranges[i].first) && is_asked(value, size, ranges[i].last));
        total += ranges[i].last - ranges[i].first + 1;
        for (unsigned k = 0; k < i; k++)
            ASSERT(ranges[i].last < ranges[k].first || ranges[k].last < ranges[i].first);
    }
    ASSERT(total <= size); /* no octet twice: many ranges of one file are no lever */
    for (uint64_t at = 0; at < size && size <= 300; at++) {
        bool is_sent = false;
        for (unsigned i = 0; i < count; i++)
            is_sent |= at >= ranges[i].first && at <= ranges[i].last;
        ASSERT(is_sent || !is_asked(value, size, at));
    }
}

static void check_conditions(const struct fields *f)
{
    const struct static_validators has = {SLICE("\"abc\""), 784111777};
    const struct static_validators none = {SLICE(""), -1};
    int64_t when;
    (void)static_condition_check(f, &none);
    enum static_condition c = static_condition_check(f, &has);
    /* 412 and 304 have their reasons: RFC 9110 13.1 */
    if (c == STATIC_CONDITION_FAILED)
        ASSERT(fields_find(f, TOKEN_IF_MATCH) || fields_find(f, TOKEN_IF_UNMODIFIED_SINCE));
    if (c == STATIC_CONDITION_NOT_MODIFIED)
        ASSERT(fields_find(f, TOKEN_IF_NONE_MATCH) || fields_find(f, TOKEN_IF_MODIFIED_SINCE));
    struct slice if_range = fields_value(f, TOKEN_IF_RANGE);
    if (fields_find(f, TOKEN_IF_RANGE) && static_condition_range_holds(f, &has))
        ASSERT(slice_eq(if_range, has.etag) ||
               (static_date_parse(if_range, &when) && when == has.modified_s));
}

static void check_codings(const struct fields *f)
{
    enum static_coding wanted[STATIC_CODING_COUNT];
    unsigned n = static_coding_wanted(f, wanted);
    ASSERT(n <= STATIC_CODING_COUNT);
    for (unsigned i = 0; i < n; i++)
        for (unsigned k = 0; k < i; k++)
            ASSERT(wanted[i] != wanted[k]);
    ASSERT(n == 0 || fields_find(f, TOKEN_ACCEPT_ENCODING));
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
    struct pool pool;
    struct arena arena;
    struct fields fields = {0};
    struct input in = {octets, len};
    uint64_t size = input_u16(&in);
    pool_init(&pool);
    arena_init(&arena, &pool);
    for (size_t i = 0; i < ARRAY_LEN(lines) && in.left; i++) {
        struct slice value = next_line(&in);
        if (value.len && rules_is_value(value))
            ASSERT(fields_add_token(&fields, &arena, lines[i], value) == 0);
    }
    if (fields_find(&fields, TOKEN_RANGE)) {
        check_range(fields_value(&fields, TOKEN_RANGE), size);
        check_range(fields_value(&fields, TOKEN_RANGE), size << 40);
    }
    check_conditions(&fields);
    check_codings(&fields);
    arena_fini(&arena);
    ASSERT(pool.live == 0);
    pool_fini(&pool);
    return 0;
}
