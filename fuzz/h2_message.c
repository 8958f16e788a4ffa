/* SPDX-License-Identifier: Apache-2.0 */
#include "h2_message.h"
#include "base/panic.h"
#include "http/rules.h"

#include <stdlib.h>

void h2_reader_init(struct h2_reader *r, struct pool *pool)
{
    r->pool = pool;
    r->count = 0;
    r->is_over = r->is_judge = false;
    arena_init(&r->arena, pool);
}

void h2_reader_fini(struct h2_reader *r)
{
    for (unsigned i = 0; i < r->count; i++) {
        buf_fini(&r->at[i].cookies);
        buf_fini(&r->at[i].fields);
        buf_fini(&r->at[i].content);
        buf_fini(&r->at[i].trailers);
    }
    arena_fini(&r->arena);
}

struct h2_message *h2_message(struct h2_reader *r, uint32_t id)
{
    for (unsigned i = r->count; i-- > 0;)
        if (r->at[i].id == id)
            return &r->at[i];
    ASSERT(r->count < H2_MESSAGES_MAX);
    struct h2_message *m = &r->at[r->count++];
    *m = (struct h2_message){.id = id, .length = -1};
    buf_init(&m->cookies, r->pool);
    buf_init(&m->fields, r->pool);
    buf_init(&m->content, r->pool);
    buf_init(&m->trailers, r->pool);
    return m;
}

/* One number, or a list of the same one, which is also what was said before if there was any.
 * RFC 9110 8.6 */
static bool read_length(struct slice value, int64_t *length)
{
    for (;;) {
        const char *comma = value.len ? memchr(value.p, ',', value.len) : NULL;
        size_t n = comma ? (size_t)(comma - value.p) : value.len;
        uint64_t number;
        if (!slice_u64(slice_trim(slice_of(value.p, n)), &number) || number > INT64_MAX ||
            (*length >= 0 && (uint64_t)*length != number))
            return false;
        *length = (int64_t)number;
        if (!comma)
            return true;
        value = slice_of(value.p + n + 1, value.len - n - 1);
    }
}

static void add_length(const struct h2_reader *r, struct h2_message *m, struct slice value)
{
    bool is_first = m->length < 0;
    size_t before = buf_len(&m->fields);
    ASSERT(read_length(value, &m->length));
    if (m->status == 204)
        return; /* the judge leaves 0 out there */
    buf_printf(&m->fields, "content-length: %lld\n", (long long)m->length);
    if (!r->is_judge)
        ASSERT(is_first &&
               buf_len(&m->fields) - before == value.len + strlen("content-length: \n"));
}

/* Host and the crumbs of Cookie are told apart from the rest, as our engine moves them. */
void h2_message_add(struct h2_reader *r, struct h2_message *m, struct slice name,
                    struct slice value)
{
    if (m->has_head && !rules_is_trailer(token_find(name))) {
        m->has_late_field |= slice_eq(name, SLICE("content-length"));
        return; /* ours drops it */
    } else if (m->has_head) {
        buf_printf(&m->trailers, "%.*s: %.*s\n", SLICE_FMT(name), SLICE_FMT(value));
    } else if (slice_eq(name, SLICE("host"))) {
        m->host = arena_dup(&r->arena, value);
        m->has_host = true;
        m->hosts++;
    } else if (slice_eq(name, SLICE("cookie"))) {
        buf_printf(&m->cookies, "%s%.*s", m->crumbs++ ? "; " : "", SLICE_FMT(value));
    } else if (slice_eq(name, SLICE("content-length"))) {
        add_length(r, m, value);
    } else {
        buf_printf(&m->fields, "%.*s: %.*s\n", SLICE_FMT(name), SLICE_FMT(value));
    }
}

void h2_message_refused(struct h2_reader *r, const char *text)
{
    static const char is_length[] = "name: [content-length], value: [";
    const char *at = strstr(text, "stream: ");
    const char *value = at ? strstr(at, is_length) : NULL;
    const char *end = value ? strrchr(value, ']') : NULL;
    if (!at || (!end && !strstr(at, "name: [host], value: [")))
        return;
    if (strstr(text, "frame type: 5,"))
        return; /* of a promise on that stream */
    struct h2_message *m = h2_message(r, (uint32_t)atoi(at + strlen("stream: ")));
    m->has_late_field |= m->has_head;
    if (!end || m->has_head)
        return;
    value += strlen(is_length);
    if (m->status / 100 == 1 || m->status == 204)
        m->has_bare_length = true;
    else
        m->has_length_list = read_length(slice_of(value, (size_t)(end - value)), &m->length);
}

void h2_message_same(const struct h2_message *ours, const struct h2_message *judge)
{
    ASSERT(ours->status == judge->status);
    ASSERT(slice_eq(buf_slice(&ours->cookies), slice_trim(buf_slice(&judge->cookies))));
    ASSERT(slice_eq(buf_slice(&ours->fields), buf_slice(&judge->fields)));
    ASSERT(slice_eq(buf_slice(&ours->content), buf_slice(&judge->content)));
    ASSERT(slice_eq(buf_slice(&ours->trailers), buf_slice(&judge->trailers)));
}
