/* SPDX-License-Identifier: Apache-2.0 */
/* What goes into the dynamic table is a matter of policy (RFC 7541 C leaves it open); see
 * worth_adding. */
#include "base/err.h"
#include "http/hpack.h"
#include "http/hpack_table.h"

#define BUCKETS       64 /* for exact matches; a table of 4096 octets holds some 60 entries */
#define NAME_BUCKETS  32
#define INTEGER_ROOM  6 /* octets that a 32-bit integer takes at most */
#define FIELD_ROOM    (2 * INTEGER_ROOM + HUFFMAN_SLACK) /* of a field, beside its strings */
#define CHURN_ALLOWED 3

/* Finds entries of the dynamic table: for each bucket the number of the newest entry, and from each
 * entry the next older one.  Evicted entries need not be taken out, since a number says by itself
 * whether it is still in the table. */
struct lookup {
    uint32_t exact[BUCKETS];
    uint32_t named[NAME_BUCKETS];  /* names without a token go by name, others by token */
    uint32_t passed[NAME_BUCKETS]; /* the hash of the last field not added because of churn */
};

struct hpack_encoder {
    struct hpack_table table;
    struct lookup *lookup; /* NULL before the first entry */
    uint32_t own_max;      /* ours, whatever the peer offers */
    uint32_t smallest;     /* that the size was set to since the last block */
    bool resized;
};

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

struct hpack_encoder *hpack_encoder_new(struct pool *pool, uint32_t max_table_octets)
{
    struct hpack_encoder *e = pool_get(pool, sizeof *e);
    if (!e)
        return NULL;
    *e = (struct hpack_encoder){.own_max = smaller(max_table_octets, HPACK_LARGEST_OCTETS),
                                .smallest = UINT32_MAX};
    hpack_table_init(&e->table, pool, HPACK_DEFAULT_OCTETS);
    hpack_encoder_set_peer_max(e, HPACK_DEFAULT_OCTETS);
    return e;
}

void hpack_encoder_free(struct hpack_encoder *e)
{
    if (!e)
        return;
    struct pool *pool = e->table.pool;
    hpack_table_fini(&e->table);
    pool_put(pool, e->lookup, sizeof *e->lookup);
    pool_put(pool, e, sizeof *e);
}

void hpack_encoder_set_peer_max(struct hpack_encoder *e, uint32_t octets)
{
    octets = smaller(octets, e->own_max);
    if (octets == e->table.max_octets)
        return;
    /* What the smallest size evicts is gone in the peer's table as well. */
    hpack_table_resize(&e->table, octets);
    e->smallest = smaller(e->smallest, octets);
    e->resized = true;
}

size_t hpack_encoder_table_octets(const struct hpack_encoder *e)
{
    return hpack_table_memory(&e->table) + (e->lookup ? pool_usable(sizeof *e->lookup) : 0);
}

/* RFC 7541 5.1.  pattern: the first octet's bits above the prefix. */
static uint8_t *put_integer(uint8_t *to, unsigned pattern, unsigned prefix_bits, size_t v)
{
    size_t mask = ((size_t)1 << prefix_bits) - 1;
    if (v < mask) {
        *to++ = (uint8_t)(pattern | v);
        return to;
    }
    *to++ = (uint8_t)(pattern | mask);
    for (v -= mask; v >= 0x80; v >>= 7)
        *to++ = (uint8_t)(v | 0x80);
    *to++ = (uint8_t)v;
    return to;
}

/* RFC 7541 5.2.  A short string is coded at once behind its one octet of length, and copied instead
 * when that turns out not to be shorter; a long one is measured first. */
static uint8_t *put_string(uint8_t *to, struct slice s)
{
    size_t coded;
    if (s.len < 0x7f) {
        coded = huffman_encode_shorter(s, to + 1);
        if (coded) {
            *to = (uint8_t)(0x80 | coded);
            return to + 1 + coded;
        }
    } else if ((coded = huffman_encoded_len(s)) < s.len) {
        to = put_integer(to, 0x80, 7, coded);
        huffman_encode(s, to);
        return to + coded;
    }
    to = put_integer(to, 0, 7, s.len);
    if (s.len)
        memcpy(to, s.p, s.len);
    return to + s.len;
}

int hpack_encode_begin(struct hpack_encoder *e, struct buf *out)
{
    if (!e->resized)
        return 0;
    uint8_t *start = (uint8_t *)buf_reserve(out, 2 * INTEGER_ROOM), *to = start;
    if (!start)
        return ERR_NOMEM;
    /* RFC 7541 4.2: the smallest size in between, then the one that holds. */
    if (e->smallest < e->table.max_octets)
        to = put_integer(to, 0x20, 5, e->smallest);
    to = put_integer(to, 0x20, 5, e->table.max_octets);
    buf_added(out, (size_t)(to - start));
    e->smallest = UINT32_MAX;
    e->resized = false;
    return 0;
}

/* How far back an entry's number lies: 1 is the newest; above table.count it is gone. */
static uint32_t back_of(const struct hpack_encoder *e, uint32_t number)
{
    return e->table.next - number;
}

static bool live(const struct hpack_encoder *e, uint32_t back)
{
    return back - 1 < e->table.count;
}

static uint64_t load(const char *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 32;
}

/* Length, first and last 16 octets, cheaply and without a seed: keys that collide cost a walk over
 * at most the table's entries, which its size bounds, and what is found is compared in full. */
static uint32_t hash_field(uint32_t h, struct slice s)
{
    uint64_t v = mix(h, s.len);
    if (s.len >= 8) {
        v = mix(v, load(s.p));
        if (s.len > 16) {
            v = mix(v, load(s.p + 8));
            v = mix(v, load(s.p + s.len - 16));
        }
        v = mix(v, load(s.p + s.len - 8));
    } else {
        uint64_t last = 0;
        for (size_t i = 0; i < s.len; i++)
            last = last << 8 | (unsigned char)s.p[i];
        v = mix(v, last);
    }
    return (uint32_t)v;
}

static bool same_name(const struct hpack_entry *entry, enum token token, struct slice name)
{
    if (entry->token != token)
        return false;
    return token || slice_eq(hpack_entry_name(entry), name);
}

/* return  how far back the entry with this name and value lies, or 0 */
static uint32_t find_exact(const struct hpack_encoder *e, uint32_t hash, enum token token,
                           struct slice name, struct slice value)
{
    uint32_t back = back_of(e, e->lookup->exact[hash % BUCKETS]), before = 0;
    /* Numbers wrap, so a bucket that rested for 2^32 insertions may lead anywhere: only going back
     * keeps the walk finite, and what is found is compared in full. */
    while (live(e, back) && back > before) {
        const struct hpack_entry *entry = hpack_table_at(&e->table, e->table.next - back);
        if (entry->hash == hash && same_name(entry, token, name) &&
            slice_eq(hpack_entry_value(entry), value))
            return back;
        before = back;
        back = back_of(e, entry->older);
    }
    return 0;
}

/* return  how far back the newest entry with this name lies, or 0 */
static inline uint32_t find_name(const struct hpack_encoder *e, uint32_t name_hash,
                                 enum token token, struct slice name)
{
    uint32_t back = back_of(e, e->lookup->named[name_hash % NAME_BUCKETS]), before = 0;
    while (live(e, back) && back > before) {
        const struct hpack_entry *entry = hpack_table_at(&e->table, e->table.next - back);
        if (same_name(entry, token, name))
            return back;
        before = back;
        back = back_of(e, entry->older_name);
    }
    return 0;
}

static bool has_value(const struct hpack_encoder *e, uint32_t back, struct slice value)
{
    return slice_eq(hpack_entry_value(hpack_table_at(&e->table, e->table.next - back)), value);
}

/* return  the static index of a row with this value, or 0 */
static unsigned find_static(enum token token, struct slice value)
{
    for (unsigned i = token_rows[token].hpack; i <= HPACK_STATIC_COUNT; i++) {
        if (hpack_static[i].token != token)
            return 0;
        if (slice_eq(hpack_static[i].value, value))
            return i;
    }
    return 0;
}

/* Fields whose value is made for one message: an entry would only push out others.  Date is not
 * among them: under load many messages share one second, and without load nobody counts octets. */
static bool is_particular(enum token token)
{
    static const bool rows[TOKEN_COUNT] = {
        [TOKEN_PATH] = true,
        [TOKEN_AGE] = true,
        [TOKEN_CONTENT_DISPOSITION] = true,
        [TOKEN_CONTENT_LENGTH] = true,
        [TOKEN_CONTENT_LOCATION] = true,
        [TOKEN_CONTENT_RANGE] = true,
        [TOKEN_ETAG] = true,
        [TOKEN_IF_MATCH] = true,
        [TOKEN_IF_MODIFIED_SINCE] = true,
        [TOKEN_IF_NONE_MATCH] = true,
        [TOKEN_IF_RANGE] = true,
        [TOKEN_IF_UNMODIFIED_SINCE] = true,
        [TOKEN_LAST_MODIFIED] = true,
        [TOKEN_LOCATION] = true,
        [TOKEN_MAX_FORWARDS] = true,
        [TOKEN_RANGE] = true,
        [TOKEN_SEC_WEBSOCKET_ACCEPT] = true,
        [TOKEN_SEC_WEBSOCKET_KEY] = true,
        [TOKEN_X_ARR_LOG_ID] = true,
        [TOKEN_X_CLIENT_PORT] = true,
        [TOKEN_X_REQUEST_ID] = true,
        [TOKEN_PORTICO_PUSH] = true,
    };
    return rows[token];
}

/* Whether a field that the table lacks is put there.  A name unknown to us may be the same each
 * time (X-Frame-Options) or new each time (a trace id), so the table itself is asked: after some
 * entries of this name in a row that were never used again, a value must come twice in a row to get
 * in. named_back  the newest entry of this name, or 0 churn_out   for the new entry */
static bool worth_adding(struct hpack_encoder *e, uint32_t name_hash, uint32_t hash,
                         uint32_t named_back, size_t octets, uint8_t *churn_out)
{
    *churn_out = 0;
    if (octets > e->table.max_octets / 2) /* not worth emptying half the table */
        return false;
    if (!named_back)
        return true;
    const struct hpack_entry *entry = hpack_table_at(&e->table, e->table.next - named_back);
    if (entry->hit)
        return true;
    *churn_out = (uint8_t)(entry->churn + (entry->churn < CHURN_ALLOWED));
    if (entry->churn < CHURN_ALLOWED)
        return true;
    uint32_t *passed = &e->lookup->passed[name_hash % NAME_BUCKETS];
    bool again = *passed == hash;
    *passed = hash;
    return again;
}

/* return  whether the field is now in the table: without memory it is simply not added */
static bool add_entry(struct hpack_encoder *e, uint32_t name_hash, uint32_t hash, enum token token,
                      struct slice name, struct slice value, uint8_t churn)
{
    struct hpack_entry *entry;
    if (!e->lookup) {
        e->lookup = pool_zget(e->table.pool, sizeof *e->lookup);
        if (!e->lookup)
            return false;
    }
    uint32_t number = e->table.next;
    if (hpack_table_add(&e->table, token, name, value, &entry) < 0)
        return false;
    uint32_t *exact = &e->lookup->exact[hash % BUCKETS];
    uint32_t *named = &e->lookup->named[name_hash % NAME_BUCKETS];
    entry->hash = hash;
    entry->churn = churn;
    entry->older = *exact;
    entry->older_name = *named;
    *exact = *named = number;
    return true;
}

int hpack_encode(struct hpack_encoder *e, struct buf *out, const struct field *f)
{
    enum token token = (enum token)f->token;
    struct slice name = f->name, value = f->value;
    uint8_t *start = (uint8_t *)buf_reserve(out, FIELD_ROOM + name.len + value.len);
    uint8_t *to = start;
    if (!start)
        return ERR_NOMEM;
    bool secret = f->flags & FIELD_NEVER_INDEX || token_flags(token) & TOKEN_SECRET;
    size_t index = token ? find_static(token, value) : 0;
    if (index && !secret) {
        *to = (uint8_t)(0x80 | index);
        buf_added(out, 1);
        return 0;
    }
    index = token_rows[token].hpack;
    uint32_t name_hash = token ? token : hash_field(TOKEN_COUNT, name);
    uint32_t named_back = 0;
    unsigned pattern = secret ? 0x10 : 0, prefix_bits = 4;
    if (!secret && !is_particular(token)) {
        /* Most fields have the value that their name had the last time, which needs no hash. */
        named_back = e->lookup ? find_name(e, name_hash, token, name) : 0;
        uint32_t back = named_back && has_value(e, named_back, value) ? named_back : 0;
        uint32_t hash = back ? 0 : hash_field(name_hash, value);
        if (!back && named_back)
            back = find_exact(e, hash, token, name, value);
        if (back) {
            hpack_table_at(&e->table, e->table.next - back)->hit = 1;
            to = put_integer(to, 0x80, 7, HPACK_STATIC_COUNT + back);
            buf_added(out, (size_t)(to - start));
            return 0;
        }
        size_t octets = name.len + value.len + HPACK_ENTRY_OCTETS;
        uint8_t churn;
        if (worth_adding(e, name_hash, hash, named_back, octets, &churn) &&
            add_entry(e, name_hash, hash, token, name, value, churn)) {
            pattern = 0x40;
            prefix_bits = 6;
        }
    } else if (!index && e->lookup)
        named_back = find_name(e, name_hash, token, name);
    if (!index && named_back) /* the index that held before the field was added */
        index = HPACK_STATIC_COUNT + named_back;
    to = put_integer(to, pattern, prefix_bits, index);
    if (!index)
        to = put_string(to, name);
    to = put_string(to, value);
    buf_added(out, (size_t)(to - start));
    return 0;
}
