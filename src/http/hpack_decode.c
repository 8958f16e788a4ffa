/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "http/hpack.h"
#include "http/hpack_table.h"

/* An integer takes at most so many octets after its prefix: 28 bits, more than any block holds. */
#define INTEGER_OCTETS 4

struct hpack_decoder {
    struct hpack_table table;
    uint32_t max_octets; /* the most that the peer may set the table to */
    uint32_t blocks;     /* begun; fewer than 2^32 come in a connection's life */
    bool must_shrink;    /* RFC 9113 4.3.1: the next block starts with an update */
};

/* One block on its way. */
struct block {
    struct hpack_decoder *d;
    const uint8_t *at, *end;
    struct arena *arena;       /* the caller's */
    struct arena scratch;      /* for fields that are not handed out any more */
    size_t max_octets, octets; /* octets: of the fields so far, handed out or not */
    size_t repeated;           /* of entries that the block has referred to before */
    int result; /* what hpack_decode returns when the rest decodes: no call after the first error */
    hpack_field_fn on_field;
    void *user;
};

struct hpack_decoder *hpack_decoder_new(struct pool *pool, uint32_t max_table_octets)
{
    struct hpack_decoder *d = pool_get(pool, sizeof *d);
    if (!d)
        return NULL;
    if (max_table_octets > HPACK_LARGEST_OCTETS)
        max_table_octets = HPACK_LARGEST_OCTETS;
    *d = (struct hpack_decoder){.max_octets = max_table_octets};
    /* The peer encodes for 4096 octets until it has seen our settings, whatever these say. */
    if (d->max_octets < HPACK_DEFAULT_OCTETS)
        d->max_octets = HPACK_DEFAULT_OCTETS;
    hpack_table_init(&d->table, pool, HPACK_DEFAULT_OCTETS);
    return d;
}

void hpack_decoder_free(struct hpack_decoder *d)
{
    if (!d)
        return;
    struct pool *pool = d->table.pool;
    hpack_table_fini(&d->table);
    pool_put(pool, d, sizeof *d);
}

void hpack_decoder_set_max(struct hpack_decoder *d, uint32_t octets)
{
    d->max_octets = octets < HPACK_LARGEST_OCTETS ? octets : HPACK_LARGEST_OCTETS;
    d->must_shrink = d->table.max_octets > d->max_octets;
}

size_t hpack_decoder_table_octets(const struct hpack_decoder *d)
{
    return hpack_table_memory(&d->table);
}

/* RFC 7541 5.1.  The first octet is there; its low prefix_bits bits belong to the integer. */
static int get_integer(struct block *b, unsigned prefix_bits, uint32_t *out)
{
    uint32_t mask = (1u << prefix_bits) - 1, v = *b->at++ & mask;
    if (v == mask) {
        for (unsigned shift = 0;; shift += 7) {
            if (b->at == b->end || shift == 7 * INTEGER_OCTETS)
                return ERR_HPACK;
            uint8_t octet = *b->at++;
            v += (uint32_t)(octet & 0x7f) << shift;
            if (!(octet & 0x80))
                break;
        }
    }
    *out = v;
    return 0;
}

/* RFC 7541 5.2.  *out lies in the input when the string is not Huffman-coded, else in the arena. */
static int get_string(struct block *b, struct arena *arena, struct slice *out)
{
    uint32_t len;
    if (b->at == b->end)
        return ERR_HPACK;
    bool huffman = *b->at & 0x80;
    int err = get_integer(b, 7, &len);
    if (err < 0)
        return err;
    if (len > (size_t)(b->end - b->at))
        return ERR_HPACK;
    const uint8_t *from = b->at;
    b->at += len;
    if (!huffman) {
        *out = slice_of(from, len);
        return 0;
    }
    size_t room = (size_t)len * 8 / 5 + 1;
    char *to = arena_alloc(arena, room);
    if (!to)
        return ERR_NOMEM;
    ssize_t n = huffman_decode(from, len, to);
    if (n < 0)
        return (int)n;
    arena_shrink(arena, to, room, (size_t)n);
    *out = slice_of(to, (size_t)n);
    return 0;
}

/* Make *s live in the arena. */
static int keep(struct arena *arena, struct slice *s)
{
    if (s->len == 0) {
        s->p = "";
        return 0;
    }
    char *p = arena_alloc(arena, s->len);
    if (!p)
        return ERR_NOMEM;
    slice_put(p, *s);
    s->p = p;
    return 0;
}

/* Name and value of an entry, as they live in the arena: copied, for a later field of this very
 * block may evict it, but not for each octet that refers to it (RFC 7541 7.3).
 * return  0 or ERR_NOMEM */
static int copy_entry(struct block *b, struct hpack_entry *e, struct slice *name_out,
                      struct slice *value_out)
{
    if (e->block != b->d->blocks) {
        struct slice octets = slice_of(e->octets, hpack_entry_stored(e));
        if (keep(b->arena, &octets) < 0)
            return ERR_NOMEM;
        e->copy = octets.p;
        e->block = b->d->blocks;
    }
    *name_out = e->token ? token_rows[e->token].name : slice_of(e->copy, e->name_len);
    *value_out = slice_of(e->copy + (e->token ? 0 : e->name_len), e->value_len);
    return 0;
}

/* Once more the same.  A table holds little and what is spelt out is sent, so whose sections are
 * much larger than what he sends says the same again and again.  return  false when it is not
 * handed out */
static bool may_repeat(struct block *b, const struct hpack_entry *e, size_t octets)
{
    if (e->block == b->d->blocks)
        b->repeated += octets;
    if (b->result == 0 && b->repeated > HPACK_REPEATED_OCTETS)
        b->result = ERR_FIELDS_TOO_LARGE;
    return b->result == 0;
}

static struct arena *arena_now(struct block *b)
{
    return b->result < 0 ? &b->scratch : b->arena;
}

/* Counts a field.  return  false when it is not to be handed out */
static bool account(struct block *b, size_t name_len, size_t value_len)
{
    b->octets += name_len + value_len + HPACK_ENTRY_OCTETS;
    if (b->result == 0 && b->octets > b->max_octets)
        b->result = ERR_FIELDS_TOO_LARGE;
    return b->result == 0;
}

/* e: the field's entry in the table, or NULL */
static void hand_out(struct block *b, enum token token, struct slice name, struct slice value,
                     unsigned flags, struct hpack_entry *e)
{
    int err = b->on_field(b->user, token, name, value, flags);
    if (err < 0)
        b->result = err;
    else if (e)
        e->hit = 1;
}

/* The entry behind an index beyond the static table, or NULL. */
static struct hpack_entry *dynamic_entry(const struct block *b, uint32_t index)
{
    const struct hpack_table *t = &b->d->table;
    uint32_t back = index - HPACK_STATIC_COUNT; /* 1: the newest */
    return back <= t->count ? hpack_table_at(t, t->next - back) : NULL;
}

/* RFC 7541 6.1 */
static int indexed_field(struct block *b)
{
    uint32_t index;
    int err = get_integer(b, 7, &index);
    if (err < 0)
        return err;
    if (index == 0)
        return ERR_HPACK;
    if (index <= HPACK_STATIC_COUNT) {
        const struct hpack_static_row *row = &hpack_static[index];
        struct slice name = token_rows[row->token].name;
        /* A row without a value is there for its name. */
        if (account(b, name.len, row->value.len))
            hand_out(b, (enum token)row->token, name, row->value, row->value.len ? FIELD_VETTED : 0,
                     NULL);
        return 0;
    }
    struct hpack_entry *e = dynamic_entry(b, index);
    if (!e)
        return ERR_HPACK;
    if (!account(b, e->name_len, e->value_len) ||
        !may_repeat(b, e, (size_t)e->name_len + e->value_len))
        return 0;
    struct slice name, value;
    if (copy_entry(b, e, &name, &value) < 0)
        return ERR_NOMEM;
    hand_out(b, (enum token)e->token, name, value, e->hit ? FIELD_VETTED : 0, e);
    return 0;
}

/* The name of a literal: by index, or spelt out.  *kept_out tells whether it may stay as it is;
 * *entry_out is the entry that it lies in, or NULL. */
static int literal_name(struct block *b, uint32_t index, enum token *token_out,
                        struct slice *name_out, bool *kept_out, struct hpack_entry **entry_out)
{
    *kept_out = true;
    *entry_out = NULL;
    if (index == 0) {
        const uint8_t *before = b->at;
        struct arena *arena = arena_now(b);
        int err = get_string(b, arena, name_out);
        if (err < 0)
            return err;
        *token_out = token_find(*name_out);
        if (*token_out)
            *name_out = token_rows[*token_out].name;
        else
            *kept_out = *before & 0x80;
        return 0;
    }
    if (index <= HPACK_STATIC_COUNT) {
        *token_out = (enum token)hpack_static[index].token;
        *name_out = token_rows[*token_out].name;
        return 0;
    }
    struct hpack_entry *e = dynamic_entry(b, index);
    if (!e)
        return ERR_HPACK;
    *token_out = (enum token)e->token;
    *name_out = hpack_entry_name(e);
    *kept_out = e->token;
    *entry_out = e;
    return 0;
}

/* RFC 7541 6.2 */
static int literal_field(struct block *b, unsigned prefix_bits, bool add, unsigned flags)
{
    uint32_t index;
    enum token token;
    struct slice name, value;
    struct hpack_entry *named;
    bool name_kept;
    int err = get_integer(b, prefix_bits, &index);
    if (err < 0)
        return err;
    err = literal_name(b, index, &token, &name, &name_kept, &named);
    if (err < 0)
        return err;
    bool huffman = b->at < b->end && *b->at & 0x80;
    err = get_string(b, arena_now(b), &value);
    if (err < 0)
        return err;
    bool wanted = account(b, name.len, value.len) && (!named || may_repeat(b, named, name.len));
    if (wanted && !name_kept) {
        struct slice unused;
        err = named ? copy_entry(b, named, &name, &unused) : keep(b->arena, &name);
        if (err < 0)
            return err;
    }
    if (wanted && !huffman && keep(b->arena, &value) < 0)
        return ERR_NOMEM;
    struct hpack_entry *e = NULL;
    if (add) {
        err = hpack_table_add(&b->d->table, token, name, value, &e);
        if (err < 0)
            return err;
    }
    if (wanted)
        hand_out(b, token, name, value, flags, e);
    else
        arena_fini(&b->scratch);
    return 0;
}

/* RFC 7541 6.3, 4.2: only before the first field. */
static int size_updates(struct block *b)
{
    while (b->at < b->end && (*b->at & 0xe0) == 0x20) {
        uint32_t octets;
        int err = get_integer(b, 5, &octets);
        if (err < 0)
            return err;
        if (octets > b->d->max_octets)
            return ERR_HPACK;
        hpack_table_resize(&b->d->table, octets);
        b->d->must_shrink = false;
    }
    return b->d->must_shrink ? ERR_HPACK : 0;
}

int hpack_decode(struct hpack_decoder *d, const void *in, size_t len, struct arena *arena,
                 size_t max_octets, hpack_field_fn on_field, void *user)
{
    struct block b = {.d = d,
                      .at = in,
                      .end = (const uint8_t *)in + len,
                      .arena = arena,
                      .max_octets = max_octets,
                      .on_field = on_field,
                      .user = user};
    arena_init(&b.scratch, d->table.pool);
    d->blocks++;
    int err = size_updates(&b);
    while (err == 0 && b.at < b.end) {
        uint8_t first = *b.at;
        if (first & 0x80)
            err = indexed_field(&b);
        else if (first & 0x40)
            err = literal_field(&b, 6, true, 0);
        else if (first & 0x20)
            err = ERR_HPACK;
        else
            err = literal_field(&b, 4, false, first & 0x10 ? FIELD_NEVER_INDEX : 0);
        if (err == 0 && b.octets > max_octets * HPACK_SECTION_TIMES)
            err = ERR_LIMIT;
    }
    arena_fini(&b.scratch);
    return err < 0 ? err : b.result;
}
