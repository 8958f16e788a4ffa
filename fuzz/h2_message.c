/* SPDX-License-Identifier: Apache-2.0 */
#include "h2_message.h"
#include "base/panic.h"
#include "http/rules.h"

#include <stdlib.h>

void h2_reader_init(struct h2_reader *r, struct pool *pool)
{
    r->pool = pool;
    r->count = 0;
    r->is_over = false;
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
    *m = (struct h2_message){.id = id};
    buf_init(&m->cookies, r->pool);
    buf_init(&m->fields, r->pool);
    buf_init(&m->content, r->pool);
    buf_init(&m->trailers, r->pool);
    return m;
}

/* Host and the crumbs of Cookie are told apart from the rest, as our engine moves them. */
void h2_message_add(struct h2_reader *r, struct h2_message *m, struct slice name,
                    struct slice value)
{
    if (m->has_head && !rules_is_trailer(token_find(name))) {
        m->has_late_length |= slice_eq(name, SLICE("content-length"));
        return; /* ours drops it */
    } else if (m->has_head) {
        buf_printf(&m->trailers, "%.*s: %.*s\n", SLICE_FMT(name), SLICE_FMT(value));
    } else if (slice_eq(name, SLICE("host"))) {
        m->host = arena_dup(&r->arena, value);
        m->has_host = true;
        m->hosts++;
    } else if (slice_eq(name, SLICE("cookie"))) {
        buf_printf(&m->cookies, "%s%.*s", buf_len(&m->cookies) ? "; " : "", SLICE_FMT(value));
    } else {
        if (slice_eq(name, SLICE("content-length")))
            m->has_length_list |= m->lengths++ || (value.len && memchr(value.p, ',', value.len));
        buf_printf(&m->fields, "%.*s: %.*s\n", SLICE_FMT(name), SLICE_FMT(value));
    }
}

void h2_message_refused(struct h2_reader *r, const char *text)
{
    const char *at = strstr(text, "stream: ");
    if (!at || !strstr(at, "name: [content-length]"))
        return;
    struct h2_message *m = h2_message(r, (uint32_t)atoi(at + strlen("stream: ")));
    m->has_late_length |= m->has_head;
}

void h2_message_same(const struct h2_message *a, const struct h2_message *b)
{
    ASSERT(a->status == b->status);
    ASSERT(slice_eq(buf_slice(&a->cookies), buf_slice(&b->cookies)));
    ASSERT(slice_eq(buf_slice(&a->fields), buf_slice(&b->fields)));
    ASSERT(slice_eq(buf_slice(&a->content), buf_slice(&b->content)));
    ASSERT(slice_eq(buf_slice(&a->trailers), buf_slice(&b->trailers)));
}
