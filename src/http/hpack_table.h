/* SPDX-License-Identifier: Apache-2.0 */
/* HPACK's two tables, for encoder and decoder.  RFC 7541 2.3.  Not for other rooms.
 *
 * The dynamic table takes no memory before its first entry; each entry is one small block of the
 * pool, and a name that has a token is not stored. */
#ifndef HTTP_HPACK_TABLE_H
#define HTTP_HPACK_TABLE_H

#include "base/pool.h"
#include "http/token.h"

#define HPACK_STATIC_COUNT   61
#define HPACK_DEFAULT_OCTETS 4096u  /* RFC 9113 6.5.2: SETTINGS_HEADER_TABLE_SIZE */
#define HPACK_LARGEST_OCTETS 65536u /* of either table, whatever is configured */
#define HPACK_ENTRY_OCTETS   32u    /* counted for an entry beside its strings, RFC 7541 4.1 */

struct hpack_static_row {
    uint8_t token; /* its row in token_rows holds the name */
    struct slice value;
};

/* By index: 1 to HPACK_STATIC_COUNT.  RFC 7541 Appendix A */
extern const struct hpack_static_row hpack_static[HPACK_STATIC_COUNT + 1];

struct hpack_entry {
    uint16_t name_len, value_len; /* HPACK_LARGEST_OCTETS keeps them below 65505 */
    uint16_t token;
    uint8_t hit;   /* encoder: an index was sent for it; decoder: on_field has taken it */
    uint8_t churn; /* encoder: so many entries of this name before it were never hit */
    union {
        struct {
            uint32_t hash;  /* of name and value */
            uint32_t older; /* an earlier entry in the same bucket */
            uint32_t older_name;
        }; /* encoder */
        struct {
            uint32_t block;   /* the last one that referred to it; 0: none */
            const char *copy; /* of octets, in that block's arena */
        };                    /* decoder */
    };
    char octets[]; /* the name, unless it has a token; then the value */
};

/* A ring of entries; each has a number, counted from the first insertion on, and stands at that
 * number modulo the capacity. */
struct hpack_table {
    struct pool *pool;
    struct hpack_entry **ring;
    uint32_t ring_cap; /* a power of two, or 0 */
    uint32_t next;     /* the number that the next entry gets; it wraps */
    uint32_t count;
    uint32_t octets, max_octets; /* as RFC 7541 4.1 counts */
};

static inline struct hpack_entry *hpack_table_at(const struct hpack_table *t, uint32_t number)
{
    return t->ring[number & (t->ring_cap - 1)];
}

/* Of octets. */
static inline size_t hpack_entry_stored(const struct hpack_entry *e)
{
    return (e->token ? 0 : (size_t)e->name_len) + e->value_len;
}

static inline struct slice hpack_entry_name(const struct hpack_entry *e)
{
    return e->token ? token_rows[e->token].name : slice_of(e->octets, e->name_len);
}

static inline struct slice hpack_entry_value(const struct hpack_entry *e)
{
    return slice_of(e->octets + (e->token ? 0 : e->name_len), e->value_len);
}

/* No memory is taken.  pool: kept until hpack_table_fini. */
void hpack_table_init(struct hpack_table *t, struct pool *pool, uint32_t max_octets);
void hpack_table_fini(struct hpack_table *t);
/* RFC 7541 4.3: evicts what no longer fits. */
void hpack_table_resize(struct hpack_table *t, uint32_t max_octets);
/* Insert an entry that evicts older ones as needed (RFC 7541 4.4); one too large for the whole
 * table empties it.  name and value are borrowed and may lie in an entry of t.
 * entry_out  the new entry, or NULL when it was too large
 * return     0, or ERR_NOMEM: nothing has changed */
int hpack_table_add(struct hpack_table *t, enum token token, struct slice name, struct slice value,
                    struct hpack_entry **entry_out);
/* Octets of memory that it holds. */
size_t hpack_table_memory(const struct hpack_table *t);

#endif
