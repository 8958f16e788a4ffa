/* SPDX-License-Identifier: Apache-2.0 */
#include "push/ledger.h"
#include "base/panic.h"

static const struct {
    const char *code, *text;
    enum push_octets octets;
} fates[PUSH_FATE_COUNT] = {
#define X(name, code_, octets_, text_) \
    [PUSH_FATE_##name] = {.code = code_, .text = text_, .octets = PUSH_OCTETS_##octets_},
    PUSH_FATE_TABLE(X)
#undef X
};

const char *push_fate_name(enum push_fate f)
{
    ASSERT((unsigned)f < PUSH_FATE_COUNT);
    return fates[f].code;
}

const char *push_fate_text(enum push_fate f)
{
    ASSERT((unsigned)f < PUSH_FATE_COUNT);
    return fates[f].text;
}

/* Counts are read one by one and order nothing else; and nobody else writes. */
static void add(_Atomic uint64_t *count, uint64_t n)
{
    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

void push_ledger_promise(struct push_ledger *l, enum push_source source, struct push_decision d)
{
    ASSERT((unsigned)source < PUSH_SOURCE_COUNT && (unsigned)d.reason < PUSH_REASON_COUNT &&
           (unsigned)d.hint < PUSH_REASON_COUNT && (unsigned)d.vehicle < PUSH_VEHICLE_COUNT);
    add(&l->promises[source], 1);
    add(&l->vehicles[d.vehicle], 1);
    add(&l->reasons[d.reason], 1);
    if (d.reason != PUSH_REASON_OK)
        add(&l->hint_reasons[d.hint], 1);
}

static bool is_sent(enum push_fate f)
{
    return fates[f].octets == PUSH_OCTETS_SENT || fates[f].octets == PUSH_OCTETS_LOST;
}

static bool is_waste(enum push_fate f)
{
    return fates[f].octets == PUSH_OCTETS_WASTED || fates[f].octets == PUSH_OCTETS_LOST;
}

void push_ledger_fate(struct push_ledger *l, enum push_fate fate, uint64_t octets,
                      enum push_kind kind, enum push_vehicle vehicle)
{
    ASSERT((unsigned)fate < PUSH_FATE_COUNT && (unsigned)kind < PUSH_KIND_COUNT &&
           (unsigned)vehicle < PUSH_VEHICLE_COUNT);
    add(&l->fates[fate], 1);
    add(&l->kind_fates[kind][fate], 1);
    add(&l->vehicle_fates[vehicle][fate], 1);
    if (is_sent(fate))
        add(&l->octets_sent, octets);
    if (is_waste(fate))
        add(&l->octets_wasted, octets);
    if (fate == PUSH_FATE_REFUSED || fate == PUSH_FATE_REFUSED_LATE)
        add(&l->octets_refused, octets);
}

void push_ledger_page(struct push_ledger *l, enum push_group group, uint64_t us)
{
    ASSERT((unsigned)group < PUSH_GROUP_COUNT);
    histogram_add(&l->pages[group], us);
}

void push_ledger_sum(struct push_ledger *to, const struct push_ledger *from)
{
    _Atomic uint64_t *t = (void *)to;
    const _Atomic uint64_t *f = (const void *)from;
    for (size_t i = 0; i < offsetof(struct push_ledger, rows) / sizeof *t; i++)
        add(&t[i], atomic_load_explicit(&f[i], memory_order_relaxed));
}

/* ---- rows ---- */

#define PATH_WORDS ARRAY_LEN(((struct push_ledger_row *)0)->path)
/* So often a reader tries again that meets a row just as it changes hands. */
#define READ_TRIES 4

/* FNV-1a: what is kept of the path is compared, too. */
static uint32_t hash_of(struct slice path)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < path.len; i++)
        h = (h ^ (unsigned char)path.p[i]) * 16777619u;
    return h;
}

static uint64_t get(const _Atomic uint64_t *count)
{
    return atomic_load_explicit(count, memory_order_acquire);
}

static void set(_Atomic uint64_t *count, uint64_t v)
{
    atomic_store_explicit(count, v, memory_order_release);
}

static void row_add(_Atomic uint64_t *count, uint64_t n)
{
    set(count, get(count) + n);
}

/* Whoever wrote before us may have died in the middle. */
static bool is_whole(const struct push_ledger_row *r)
{
    return atomic_load_explicit(&r->version, memory_order_relaxed) % 2 == 0;
}

static void hand_over(struct push_ledger_row *r, struct slice path, uint32_t hash, uint64_t weight)
{
    uint32_t version = atomic_load_explicit(&r->version, memory_order_relaxed) | 1;
    uint64_t words[PATH_WORDS] = {0};
    memcpy(words, path.p, path.len < sizeof words ? path.len : sizeof words);
    atomic_store_explicit(&r->version, version, memory_order_relaxed);
    atomic_store_explicit(&r->hash, hash, memory_order_release);
    set(&r->weight, weight);
    for (size_t i = 0; i < PATH_WORDS; i++)
        set(&r->path[i], words[i]);
    set(&r->path_octets, path.len);
    set(&r->reason, PUSH_REASON_OK);
    set(&r->is_switched_off, 0);
    set(&r->pushed, 0);
    for (unsigned i = 0; i < PUSH_FATE_COUNT; i++)
        set(&r->fates[i], 0);
    set(&r->octets_sent, 0);
    set(&r->octets_wasted, 0);
    atomic_store_explicit(&r->version, version + 1, memory_order_release);
}

static bool is_of(const struct push_ledger_row *r, struct slice path, uint32_t hash)
{
    size_t kept = path.len < PUSH_LEDGER_PATH_OCTETS ? path.len : PUSH_LEDGER_PATH_OCTETS;
    return get(&r->path_octets) == path.len &&
           atomic_load_explicit(&r->hash, memory_order_relaxed) == hash &&
           memcmp((const void *)r->path, path.p, kept) == 0;
}

struct push_ledger_row *push_ledger_resource(struct push_ledger *l, struct slice path)
{
    const char *query = path.len ? memchr(path.p, '?', path.len) : NULL;
    if (query)
        path.len = (size_t)(query - path.p);
    if (path.len == 0)
        path = SLICE("*");
    uint32_t hash = hash_of(path);
    struct push_ledger_row *least = &l->rows[0];
    uint64_t least_weight = UINT64_MAX;
    for (unsigned i = 0; i < PUSH_LEDGER_ROWS; i++) {
        struct push_ledger_row *r = &l->rows[i];
        uint64_t weight = is_whole(r) ? get(&r->weight) : 0;
        if (weight && is_of(r, path, hash)) {
            row_add(&r->weight, 1);
            return r;
        }
        if (weight < least_weight) {
            least = r;
            least_weight = weight;
        }
    }
    hand_over(least, path, hash, least_weight + 1);
    return least;
}

void push_ledger_row_promise(struct push_ledger_row *r, struct push_decision d)
{
    set(&r->reason, d.reason);
    if (d.vehicle == PUSH_VEHICLE_PUSH_PROMISE)
        row_add(&r->pushed, 1);
}

void push_ledger_row_fate(struct push_ledger_row *r, enum push_fate fate, uint64_t octets)
{
    ASSERT((unsigned)fate < PUSH_FATE_COUNT);
    row_add(&r->fates[fate], 1);
    if (is_sent(fate))
        row_add(&r->octets_sent, octets);
    if (is_waste(fate))
        row_add(&r->octets_wasted, octets);
}

uint32_t push_ledger_row_version(const struct push_ledger_row *r)
{
    return atomic_load_explicit(&r->version, memory_order_relaxed);
}

void push_ledger_row_switch(struct push_ledger_row *r, bool is_off)
{
    set(&r->is_switched_off, is_off);
}

/* return  whether all of it was of one resource */
static bool read_row(const struct push_ledger_row *r, struct push_resource_counts *out)
{
    uint32_t version = atomic_load_explicit(&r->version, memory_order_acquire);
    uint64_t words[PATH_WORDS];
    uint64_t octets = get(&r->path_octets);
    if (version % 2)
        return false;
    for (size_t i = 0; i < PATH_WORDS; i++)
        words[i] = get(&r->path[i]);
    *out = (struct push_resource_counts){
        .hash = atomic_load_explicit(&r->hash, memory_order_acquire),
        .is_cut = octets > PUSH_LEDGER_PATH_OCTETS,
        .is_switched_off = get(&r->is_switched_off),
        .reason = (enum push_reason)get(&r->reason),
        .weight = get(&r->weight),
        .pushed = get(&r->pushed),
        .octets_sent = get(&r->octets_sent),
        .octets_wasted = get(&r->octets_wasted),
    };
    for (unsigned i = 0; i < PUSH_FATE_COUNT; i++)
        out->fates[i] = get(&r->fates[i]);
    memcpy(out->path, words, sizeof words);
    return atomic_load_explicit(&r->version, memory_order_relaxed) == version;
}

bool push_ledger_read(const struct push_ledger *l, unsigned i, struct push_resource_counts *out)
{
    ASSERT(i < PUSH_LEDGER_ROWS);
    for (unsigned tries = 0; tries < READ_TRIES; tries++)
        if (read_row(&l->rows[i], out))
            return out->weight && (unsigned)out->reason < PUSH_REASON_COUNT;
    return false;
}
