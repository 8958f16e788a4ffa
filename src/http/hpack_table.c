/* SPDX-License-Identifier: Apache-2.0 */
#include "http/hpack_table.h"
#include "base/err.h"
#include "base/panic.h"

#define RING_FIRST 16

#define NAME(symbol)                                \
    {                                               \
        .token = TOKEN_##symbol, .value = { "", 0 } \
    }
#define PAIR(symbol, string)                                             \
    {                                                                    \
        .token = TOKEN_##symbol, .value = { string, sizeof(string) - 1 } \
    }

const struct hpack_static_row hpack_static[HPACK_STATIC_COUNT + 1] = {
    [1] = NAME(AUTHORITY),
    [2] = PAIR(METHOD, "GET"),
    [3] = PAIR(METHOD, "POST"),
    [4] = PAIR(PATH, "/"),
    [5] = PAIR(PATH, "/index.html"),
    [6] = PAIR(SCHEME, "http"),
    [7] = PAIR(SCHEME, "https"),
    [8] = PAIR(STATUS, "200"),
    [9] = PAIR(STATUS, "204"),
    [10] = PAIR(STATUS, "206"),
    [11] = PAIR(STATUS, "304"),
    [12] = PAIR(STATUS, "400"),
    [13] = PAIR(STATUS, "404"),
    [14] = PAIR(STATUS, "500"),
    [15] = NAME(ACCEPT_CHARSET),
    [16] = PAIR(ACCEPT_ENCODING, "gzip, deflate"),
    [17] = NAME(ACCEPT_LANGUAGE),
    [18] = NAME(ACCEPT_RANGES),
    [19] = NAME(ACCEPT),
    [20] = NAME(ACCESS_CONTROL_ALLOW_ORIGIN),
    [21] = NAME(AGE),
    [22] = NAME(ALLOW),
    [23] = NAME(AUTHORIZATION),
    [24] = NAME(CACHE_CONTROL),
    [25] = NAME(CONTENT_DISPOSITION),
    [26] = NAME(CONTENT_ENCODING),
    [27] = NAME(CONTENT_LANGUAGE),
    [28] = NAME(CONTENT_LENGTH),
    [29] = NAME(CONTENT_LOCATION),
    [30] = NAME(CONTENT_RANGE),
    [31] = NAME(CONTENT_TYPE),
    [32] = NAME(COOKIE),
    [33] = NAME(DATE),
    [34] = NAME(ETAG),
    [35] = NAME(EXPECT),
    [36] = NAME(EXPIRES),
    [37] = NAME(FROM),
    [38] = NAME(HOST),
    [39] = NAME(IF_MATCH),
    [40] = NAME(IF_MODIFIED_SINCE),
    [41] = NAME(IF_NONE_MATCH),
    [42] = NAME(IF_RANGE),
    [43] = NAME(IF_UNMODIFIED_SINCE),
    [44] = NAME(LAST_MODIFIED),
    [45] = NAME(LINK),
    [46] = NAME(LOCATION),
    [47] = NAME(MAX_FORWARDS),
    [48] = NAME(PROXY_AUTHENTICATE),
    [49] = NAME(PROXY_AUTHORIZATION),
    [50] = NAME(RANGE),
    [51] = NAME(REFERER),
    [52] = NAME(REFRESH),
    [53] = NAME(RETRY_AFTER),
    [54] = NAME(SERVER),
    [55] = NAME(SET_COOKIE),
    [56] = NAME(STRICT_TRANSPORT_SECURITY),
    [57] = NAME(TRANSFER_ENCODING),
    [58] = NAME(USER_AGENT),
    [59] = NAME(VARY),
    [60] = NAME(VIA),
    [61] = NAME(WWW_AUTHENTICATE),
};

static size_t block_octets(const struct hpack_entry *e)
{
    return sizeof *e + hpack_entry_stored(e);
}

static uint32_t counted(const struct hpack_entry *e)
{
    return (uint32_t)e->name_len + e->value_len + HPACK_ENTRY_OCTETS;
}

void hpack_table_init(struct hpack_table *t, struct pool *pool, uint32_t max_octets)
{
    ASSERT(max_octets <= HPACK_LARGEST_OCTETS);
    *t = (struct hpack_table){.pool = pool, .max_octets = max_octets};
}

static void evict_until(struct hpack_table *t, uint32_t octets)
{
    while (t->octets > octets) {
        struct hpack_entry *e = hpack_table_at(t, t->next - t->count);
        t->count--;
        t->octets -= counted(e);
        pool_put(t->pool, e, block_octets(e));
    }
}

void hpack_table_fini(struct hpack_table *t)
{
    evict_until(t, 0);
    pool_put(t->pool, t->ring, t->ring_cap * sizeof *t->ring);
    t->ring = NULL;
    t->ring_cap = 0;
}

void hpack_table_resize(struct hpack_table *t, uint32_t max_octets)
{
    ASSERT(max_octets <= HPACK_LARGEST_OCTETS);
    t->max_octets = max_octets;
    evict_until(t, max_octets);
}

static int grow_ring(struct hpack_table *t)
{
    uint32_t cap = t->ring_cap ? t->ring_cap * 2 : RING_FIRST;
    struct hpack_entry **ring = pool_get(t->pool, cap * sizeof *ring);
    if (!ring)
        return ERR_NOMEM;
    for (uint32_t n = t->next - t->count; n != t->next; n++)
        ring[n & (cap - 1)] = hpack_table_at(t, n);
    pool_put(t->pool, t->ring, t->ring_cap * sizeof *t->ring);
    t->ring = ring;
    t->ring_cap = cap;
    return 0;
}

int hpack_table_add(struct hpack_table *t, enum token token, struct slice name, struct slice value,
                    struct hpack_entry **entry_out)
{
    *entry_out = NULL;
    if (name.len + value.len + HPACK_ENTRY_OCTETS > t->max_octets) {
        evict_until(t, 0);
        return 0;
    }
    if (t->count == t->ring_cap && grow_ring(t) < 0)
        return ERR_NOMEM;
    size_t stored = token ? 0 : name.len;
    struct hpack_entry *e = pool_get(t->pool, sizeof *e + stored + value.len);
    if (!e)
        return ERR_NOMEM;
    *e = (struct hpack_entry){
        .name_len = (uint16_t)name.len, .value_len = (uint16_t)value.len, .token = (uint16_t)token};
    if (stored)
        memcpy(e->octets, name.p, stored);
    if (value.len)
        memcpy(e->octets + stored, value.p, value.len);
    /* Only now: name and value may have lain in the entries that go (RFC 7541 4.4). */
    evict_until(t, t->max_octets - counted(e));
    t->ring[t->next & (t->ring_cap - 1)] = e;
    t->next++;
    t->count++;
    t->octets += counted(e);
    *entry_out = e;
    return 0;
}

size_t hpack_table_memory(const struct hpack_table *t)
{
    size_t sum = t->ring_cap * sizeof *t->ring;
    for (uint32_t n = t->next - t->count; n != t->next; n++)
        sum += pool_usable(block_octets(hpack_table_at(t, n)));
    return sum;
}
