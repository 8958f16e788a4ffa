/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/chain.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/histogram.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/panic.h"
#include "base/terminal.h"

static struct pool pool;

static int setup(void **state)
{
    pool_init(&pool);
    return 0;
}

static int teardown(void **state)
{
    int left = (int)pool.live;
    pool_fini(&pool);
    return left; /* each test gives back what it took */
}

static void slices(void **state)
{
    static const struct {
        const char *in, *out;
    } trims[] = {
        {"", ""}, {" ", ""}, {"\t a b \t", "a b"}, {"a", "a"}, {" a", "a"}, {"\ra\n", "\ra\n"},
    };
    static const struct {
        const char *in;
        bool valid;
        uint64_t out;
    } numbers[] = {
        {"", false, 7},
        {"0", true, 0},
        {"00012", true, 12},
        {"18446744073709551615", true, UINT64_MAX},
        {"18446744073709551616", false, 7},
        {"99999999999999999999", false, 7},
        {"184467440737095516150", false, 7},
        {"-1", false, 7},
        {"+1", false, 7},
        {" 1", false, 7},
        {"1 ", false, 7},
        {"1a", false, 7},
        {"/", false, 7},
        {":", false, 7},
    };
    for (size_t i = 0; i < ARRAY_LEN(trims); i++)
        assert_true(slice_eq(slice_trim(slice_str(trims[i].in)), slice_str(trims[i].out)));
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        uint64_t v = 7;
        assert_int_equal(slice_u64(slice_str(numbers[i].in), &v), numbers[i].valid);
        assert_int_equal(v, numbers[i].out);
    }
    assert_true(slice_eq(slice_of(NULL, 0), SLICE("")));
    assert_int_equal(slice_str(NULL).len, 0);
    assert_false(slice_eq(SLICE("a"), SLICE("A")));
    assert_true(slice_ieq(SLICE("aZ-9"), SLICE("Az-9")));
    assert_false(slice_ieq(SLICE("@"), SLICE("`"))); /* 0x20 apart, but no letters */
    assert_false(slice_ieq(SLICE("["), SLICE("{")));
    assert_false(slice_ieq(SLICE("\xc4"), SLICE("\xe4")));
    assert_true(slice_starts(SLICE("abc"), SLICE("ab")));
    assert_true(slice_starts(SLICE("abc"), SLICE("")));
    assert_false(slice_starts(SLICE("a"), SLICE("ab")));
    assert_true(slice_ends(SLICE("abc"), SLICE("bc")));
    assert_false(slice_ends(SLICE("c"), SLICE("bc")));
    const struct slice nothing = {NULL, 0}; /* memcmp may not be given it */
    assert_true(slice_starts(nothing, nothing) && slice_ends(nothing, nothing));
    assert_true(slice_starts(nothing, SLICE("")) && slice_ends(SLICE("a"), nothing));
}

static void pool_gives_and_takes(void **state)
{
    static const size_t sizes[] = {0,    1,    63,     64,     65,     128,     129,
                                   4096, 4097, 131071, 131072, 131073, 1000000, 0};
    void *blocks[ARRAY_LEN(sizes)];
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        assert_true(pool_usable(sizes[i]) >= sizes[i]);
        blocks[i] = pool_get(&pool, sizes[i]);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % 16, 0);
        memset(blocks[i], 0xa5, sizes[i]);
    }
    assert_int_equal(pool.live, ARRAY_LEN(sizes));
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        pool_put(&pool, blocks[i], sizes[i]);
    pool_put(&pool, NULL, 12);
    assert_int_equal(pool.live, 0);
    char *zeroes = pool_zget(&pool, 100);
    for (int i = 0; i < 100; i++)
        assert_int_equal(zeroes[i], 0);
    pool_put(&pool, zeroes, 100);
}

static void pool_recycles(void **state)
{
    if (pool_usable(65) == 65) /* under the address sanitizer each block is libc's */
        return;
    void *a = pool_get(&pool, 100);
    pool_put(&pool, a, 100);
    uint64_t before = pool.libc_allocs;
    assert_ptr_equal(pool_get(&pool, 65), a); /* the same class */
    assert_int_equal(pool.libc_allocs, before);
    pool_put(&pool, a, 65);
    /* What is kept of a class has a cap. */
    enum { N = POOL_KEEP_OCTETS / 65536 + 3 };
    static void *blocks[N];
    for (int i = 0; i < N; i++)
        blocks[i] = pool_get(&pool, 65536);
    for (int i = 0; i < N; i++)
        pool_put(&pool, blocks[i], 65536);
    assert_int_equal(pool.kept[16 - POOL_MIN_SHIFT], POOL_KEEP_OCTETS);
}

static void pool_fails_when_told(void **state)
{
    pool.fail_at = 2;
    void *a = pool_get(&pool, 10);
    assert_non_null(a);
    assert_null(pool_get(&pool, 10));
    pool.fail_at = 0;
    void *b = pool_zget(&pool, 10);
    assert_non_null(b);
    pool_put(&pool, a, 10);
    pool_put(&pool, b, 10);
}

static void arena_holds_many(void **state)
{
    struct arena a;
    char *at[300];
    arena_init(&a, &pool);
    assert_int_equal(pool.live, 0);
    for (size_t i = 0; i < ARRAY_LEN(at); i++) {
        size_t n = i * 37 % 1000;
        at[i] = arena_alloc(&a, n);
        assert_non_null(at[i]); /* of 0 octets as well: NULL means no memory */
        assert_int_equal((uintptr_t)at[i] % 8, 0);
        memset(at[i], (int)i, n);
    }
    for (size_t i = 0; i < ARRAY_LEN(at); i++)
        for (size_t k = 0; k < i * 37 % 1000; k++)
            assert_int_equal((unsigned char)at[i][k], i & 0xff);
    char *large = arena_zalloc(&a, 100000);
    for (size_t k = 0; k < 100000; k++)
        assert_int_equal(large[k], 0);
    assert_true(a.octets >= 100000);
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_alloc(&a, SIZE_MAX - 6));
    struct slice copy = arena_dup(&a, SLICE("abc"));
    assert_string_equal(copy.p, "abc");
    assert_int_equal(copy.len, 3);
    copy = arena_dup(&a, slice_of(NULL, 0));
    assert_string_equal(copy.p, "");
    struct slice text = arena_printf(&a, "%s-%05d", "x", 42);
    assert_string_equal(text.p, "x-00042");
    assert_int_equal(text.len, 7);
    arena_fini(&a);
    assert_int_equal(a.octets, 0);
    assert_non_null(arena_alloc(&a, 1)); /* usable again */
    arena_fini(&a);
}

static void arena_takes_back(void **state)
{
    struct arena a;
    arena_init(&a, &pool);
    char *p = arena_alloc(&a, 1000);
    size_t before = a.octets;
    arena_shrink(&a, p, 1000, 17);
    assert_int_equal(a.octets, before - 1000 + 24);
    char *q = arena_alloc(&a, 8);
    assert_ptr_equal(q, p + 24);
    arena_shrink(&a, q, 8, 0);
    assert_ptr_equal(arena_alloc(&a, 8), q);
    arena_fini(&a);
}

static void arena_reserves(void **state)
{
    struct arena a;
    arena_init(&a, &pool);
    assert_int_equal(arena_reserve(&a, 100), 0);
    assert_true(a.blocks->size < 300);
    for (int i = 0; i < 12; i++)
        assert_non_null(arena_alloc(&a, 1));
    assert_null(a.blocks->next); /* none was added */
    assert_int_equal(arena_reserve(&a, 1), 0);
    assert_null(a.blocks->next);
    assert_int_equal(arena_reserve(&a, SIZE_MAX), ERR_NOMEM);
    pool.fail_at = pool.gets + 1;
    assert_int_equal(arena_reserve(&a, 5000), ERR_NOMEM);
    pool.fail_at = 0;
    arena_fini(&a);
}

static void arena_without_memory(void **state)
{
    struct arena a;
    for (uint64_t nth = 1; nth <= 4; nth++) {
        arena_init(&a, &pool);
        pool.gets = 0;
        pool.fail_at = nth;
        uint64_t failed = 0;
        failed += arena_alloc(&a, 3000) == NULL;
        failed += arena_zalloc(&a, 10000) == NULL;
        failed += arena_dup(&a, slice_of(&pool, 0)).p == NULL;
        failed += arena_printf(&a, "%9000d", 1).p == NULL;
        assert_true(failed <= 1);
        arena_fini(&a);
        pool.fail_at = 0;
    }
}

static void buf_grows_and_drains(void **state)
{
    struct buf b;
    buf_init(&b, &pool);
    assert_int_equal(buf_slice(&b).len, 0);
    assert_non_null(buf_reserve(&b, 0));
    assert_int_equal(buf_add(&b, NULL, 0), 0);
    unsigned char in = 0, out = 0;
    srand(1);
    for (int i = 0; i < 20000; i++) {
        unsigned char piece[700];
        size_t n = (size_t)rand() % sizeof piece;
        for (size_t k = 0; k < n; k++)
            piece[k] = in++;
        assert_int_equal(buf_add(&b, piece, n), 0);
        n = (size_t)rand() % 900;
        if (n > buf_len(&b))
            n = buf_len(&b);
        for (size_t k = 0; k < n; k++)
            assert_int_equal((unsigned char)buf_at(&b)[k], out++);
        buf_consume(&b, n);
    }
    for (size_t k = 0; k < buf_len(&b); k++)
        assert_int_equal((unsigned char)buf_at(&b)[k], out++);
    assert_int_equal(in, out);
    buf_consume(&b, buf_len(&b));
    assert_int_equal(pool.live, 0); /* an empty one holds no block */
    assert_int_equal(buf_add_str(&b, "x="), 0);
    assert_int_equal(buf_printf(&b, "%d;", 5), 0);
    assert_true(slice_eq(buf_slice(&b), SLICE("x=5;")));
    assert_null(buf_reserve(&b, SIZE_MAX));
    assert_null(buf_reserve(&b, SIZE_MAX - 2));
    assert_true(slice_eq(buf_slice(&b), SLICE("x=5;")));
    buf_fini(&b);
}

static void buf_without_memory(void **state)
{
    struct buf b;
    buf_init(&b, &pool);
    pool.fail_at = 1;
    assert_int_equal(buf_add_str(&b, "abc"), ERR_NOMEM);
    assert_int_equal(buf_len(&b), 0);
    pool.gets = 0;
    pool.fail_at = 2;
    assert_int_equal(buf_add_str(&b, "abc"), 0);
    assert_null(buf_reserve(&b, 100000));
    assert_true(slice_eq(buf_slice(&b), SLICE("abc")));
    pool.gets = 0;
    pool.fail_at = 1;
    assert_int_equal(buf_printf(&b, "%9000d", 1), ERR_NOMEM);
    assert_true(slice_eq(buf_slice(&b), SLICE("abc")));
    pool.fail_at = 0;
    buf_fini(&b);
}

/* Octets that count up, so that a lost or doubled one shows. */
struct counter {
    unsigned char in, out;
};

static void fill_chunk(struct chunk *chunk, struct counter *n, size_t len)
{
    for (size_t i = 0; i < len; i++)
        chunk->octets[i] = (char)n->in++;
}

static void check_octets(const char *p, size_t len, struct counter *n)
{
    for (size_t i = 0; i < len; i++)
        assert_int_equal((unsigned char)p[i], n->out++);
}

static void chain_keeps_order(void **state)
{
    static char out[20000];
    struct counter n = {0, 0};
    struct chain c;
    chain_init(&c, &pool);
    srand(2);
    for (int i = 0; i < 5000; i++) {
        static const uint32_t caps[] = {16384, 8176, 4096, 300};
        uint32_t cap = caps[rand() % 4];
        struct chunk *chunk = chunk_new(&pool, cap);
        size_t len = (size_t)rand() % (cap + 1), cut = len ? (size_t)rand() % len : 0;
        fill_chunk(chunk, &n, len);
        /* in two pieces of one chunk, or by copy */
        bool borrowed = rand() % 3 == 0;
        assert_int_equal(chain_add(&c, slice_of(chunk->octets, cut), borrowed ? NULL : chunk), 0);
        assert_int_equal(chain_add(&c, slice_of(chunk->octets + cut, len - cut), chunk), 0);
        chunk_unref(chunk);
        size_t want = (size_t)rand() % sizeof out;
        if (rand() % 2) {
            size_t had = c.octets, got = chain_take(&c, out, want);
            assert_int_equal(got, want < had ? want : had);
            check_octets(out, got, &n);
            assert_int_equal(c.octets, had - got);
        } else {
            struct slice run = chain_peek(&c);
            check_octets(run.p, run.len, &n);
            chain_drop(&c, run.len);
        }
    }
    while (c.octets) {
        struct slice run = chain_peek(&c);
        check_octets(run.p, run.len, &n);
        chain_drop(&c, run.len);
    }
    assert_int_equal(n.in, n.out);
    assert_int_equal(chain_peek(&c).len, 0);
    assert_null(c.head);
    assert_null(c.tail);
    assert_int_equal(pool.live, 0);
}

static void chain_copies_what_is_small(void **state)
{
    struct chain c;
    struct chunk *chunk = chunk_new(&pool, 16384);
    chain_init(&c, &pool);
    memset(chunk->octets, 'x', 16384);
    assert_int_equal(chain_add(&c, slice_of(chunk->octets, CHAIN_COPY_BELOW - 1), chunk), 0);
    assert_int_equal(chunk->refs, 1);
    assert_int_equal(chain_add(&c, slice_of(chunk->octets, CHAIN_COPY_BELOW), chunk), 0);
    assert_int_equal(chunk->refs, 2);
    /* what goes on where the last piece stopped makes no new piece */
    assert_int_equal(
        chain_add(&c, slice_of(chunk->octets + CHAIN_COPY_BELOW, CHAIN_COPY_BELOW), chunk), 0);
    assert_int_equal(chunk->refs, 2);
    assert_int_equal(c.octets, 3 * CHAIN_COPY_BELOW - 1);
    chain_fini(&c);
    assert_int_equal(chunk->refs, 1);
    assert_int_equal(c.octets, 0);
    chunk_unref(chunk);
    chunk_unref(NULL);
    /* many small ones share a chunk */
    for (int i = 0; i < 8000; i++)
        assert_int_equal(chain_add(&c, SLICE("a"), NULL), 0);
    assert_true(pool.live <= 6);
    chain_fini(&c);
}

static void chain_without_memory(void **state)
{
    for (uint64_t nth = 1; nth < 12; nth++) {
        struct chain c;
        pool.fail_at = 0;
        struct chunk *chunk = chunk_new(&pool, 16384);
        size_t octets = 0;
        memset(chunk->octets, 'x', 16384);
        chain_init(&c, &pool);
        pool.gets = 0;
        pool.fail_at = nth;
        for (int i = 0; i < 6; i++) {
            struct slice s = slice_of(chunk->octets, i % 2 ? 100 : 5000);
            int err = chain_add(&c, s, i % 3 ? chunk : NULL);
            assert_true(err == 0 || err == ERR_NOMEM);
            octets += err == 0 ? s.len : 0;
            assert_int_equal(c.octets, octets);
        }
        chunk_unref(chunk);
        chain_fini(&c);
        assert_int_equal(pool.live, 0);
    }
    pool.fail_at = 0;
}

static void dates(void **state)
{
    static const struct {
        uint64_t wall_us;
        const char *http, *iso;
    } rows[] = {
        {0, "Thu, 01 Jan 1970 00:00:00 GMT", "1970-01-01T00:00:00.000000Z"},
        {784111777000000u, "Sun, 06 Nov 1994 08:49:37 GMT", "1994-11-06T08:49:37.000000Z"},
        {951782400000001u, "Tue, 29 Feb 2000 00:00:00 GMT", "2000-02-29T00:00:00.000001Z"},
        {1382386881999999u, "Mon, 21 Oct 2013 20:21:21 GMT", "2013-10-21T20:21:21.999999Z"},
        {4102444799123456u, "Thu, 31 Dec 2099 23:59:59 GMT", "2099-12-31T23:59:59.123456Z"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char out[64];
        memset(out, '#', sizeof out);
        clock_http_date(rows[i].wall_us, out);
        assert_memory_equal(out, rows[i].http, CLOCK_HTTP_DATE_OCTETS);
        assert_int_equal(out[CLOCK_HTTP_DATE_OCTETS], '#');
        memset(out, '#', sizeof out);
        clock_iso(rows[i].wall_us, out);
        assert_memory_equal(out, rows[i].iso, CLOCK_ISO_OCTETS);
        assert_int_equal(out[CLOCK_ISO_OCTETS], '#');
    }
    uint64_t a = clock_mono_us(), b = clock_mono_us();
    assert_true(a > 0 && b >= a);
    assert_true(clock_wall_us() > 1600000000000000u);
}

/* Every code has a complete row. */
static void error_rows(void **state)
{
    for (long code = 0; code > -(long)ERR_POS_COUNT; code--) {
        const struct err_row *row = err_row(code);
        assert_true(strlen(row->text) > 0);
        assert_in_range(row->http_status, 200, 599);
        assert_in_range(row->exit_code, 0, 78);
        assert_true((code == 0) == (row->exit_code == 0));
    }
    assert_int_equal(err_row(ERR_FIELDS_TOO_LARGE)->http_status, 431);
    assert_string_equal(err_text(ERR_NOMEM), "out of memory");
}

/* Judged by CPython's hash of bytes: SipHash-1-3, with the key 0 when PYTHONHASHSEED is 0. */
static void siphash(void **state)
{
    static const struct {
        const char *in;
        uint64_t hash;
    } rows[] = {
        {"a", 0x407448d2b89b1813},
        {"hello", 0xe2e77b41cb4e1f9e},
        {"the quick brown fox", 0x5a17575ad3449cba},
        {"12345678", 0x3489982430560a87},
    };
    struct hash_key zero = {{0, 0}}, random;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(hash_octets(&zero, slice_str(rows[i].in)), rows[i].hash);
    hash_key_random(&random);
    assert_true(hash_octets(&random, SLICE("a")) != rows[0].hash);
}

struct thing {
    char name[16];
    bool there;
};

static void map_against_an_array(void **state)
{
    static struct thing things[500];
    struct map m;
    size_t count = 0;
    map_init(&m);
    assert_null(map_get(&m, SLICE("x")));
    assert_null(map_del(&m, SLICE("x")));
    for (size_t i = 0; i < ARRAY_LEN(things); i++)
        snprintf(things[i].name, sizeof things[i].name, "k%zu", i * 7919);
    srand(3);
    for (int i = 0; i < 50000; i++) {
        struct thing *t = &things[(size_t)rand() % ARRAY_LEN(things)];
        struct slice key = slice_str(t->name);
        assert_ptr_equal(map_get(&m, key), t->there ? t : NULL);
        if (rand() % 2) {
            assert_int_equal(map_put(&m, key, t), 0);
            count += !t->there;
            t->there = true;
        } else {
            assert_ptr_equal(map_del(&m, key), t->there ? t : NULL);
            count -= t->there;
            t->there = false;
        }
        assert_int_equal(m.count, count);
    }
    assert_true(m.cap <= 4096); /* deleted entries do not make it grow for ever */
    size_t it = 0, seen = 0;
    for (struct thing *t; (t = map_next(&m, &it)); seen++) {
        assert_true(t->there);
        assert_ptr_equal(map_del(&m, slice_str(t->name)), t);
    }
    assert_int_equal(seen, count);
    assert_int_equal(m.count, 0);
    map_fini(&m);
    assert_null(map_get(&m, SLICE("k0")));
    map_fini(&m);
}

static void map_replaces_key_and_value(void **state)
{
    struct map m;
    char first[] = "key", second[] = "key";
    int one = 1, two = 2;
    map_init(&m);
    assert_int_equal(map_put(&m, slice_str(first), &one), 0);
    assert_int_equal(map_put(&m, slice_str(second), &two), 0);
    first[0] = '?'; /* the first key may die now */
    assert_ptr_equal(map_get(&m, SLICE("key")), &two);
    assert_int_equal(m.count, 1);
    assert_int_equal(map_put(&m, SLICE(""), &one), 0);
    assert_ptr_equal(map_get(&m, slice_of(NULL, 0)), &one);
    map_fini(&m);
}

struct node {
    int id;
    struct list link;
};

static void lists(void **state)
{
    struct list head;
    struct node nodes[4];
    int ids = 0;
    list_init(&head);
    assert_true(list_empty(&head));
    for (int i = 0; i < 4; i++)
        nodes[i].id = i + 1;
    list_add_tail(&head, &nodes[1].link);
    list_add_tail(&head, &nodes[2].link);
    list_add_tail(head.next, &nodes[0].link);      /* before the first */
    list_add_tail(&nodes[2].link, &nodes[3].link); /* before it */
    LIST_FOR(l, &head)
    {
        struct node *n = LIST_ENTRY(l, struct node, link);
        ids = ids * 10 + n->id;
        if (n->id % 2 == 0)
            list_remove(l);
    }
    assert_int_equal(ids, 1243);
    list_remove(&nodes[1].link); /* once more does no harm */
    ids = 0;
    LIST_FOR(l, &head)
    ids = ids * 10 + LIST_ENTRY(l, struct node, link)->id;
    assert_int_equal(ids, 13);
    list_remove(&nodes[0].link);
    list_remove(&nodes[2].link);
    assert_true(list_empty(&head));
}

static void histogram_buckets(void **state)
{
    static struct histogram h;
    assert_int_equal(histogram_bucket(0), 0);
    assert_int_equal(histogram_bucket(63), 0);
    for (unsigned i = 1; i < HISTOGRAM_BUCKETS; i++) {
        assert_int_equal(histogram_bucket((uint64_t)64 << (i - 1)), i);
        assert_int_equal(histogram_bucket(((uint64_t)64 << i) - 1), i);
    }
    assert_int_equal(histogram_bucket((uint64_t)64 << (HISTOGRAM_BUCKETS - 1)), HISTOGRAM_BUCKETS);
    assert_int_equal(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS);
    histogram_add(&h, 10);
    histogram_add(&h, 63);
    histogram_add(&h, 1000);
    histogram_add(&h, UINT32_MAX);
    assert_int_equal(h.count[0], 2);
    assert_int_equal(h.count[4], 1);
    assert_int_equal(h.count[HISTOGRAM_BUCKETS], 1);
    assert_int_equal(h.sum_us, 1073 + (uint64_t)UINT32_MAX);
}

/* return  what log_event wrote to standard error, with the time cut off; "" for nothing */
static const char *logged(enum log_level level, const char *event, const char *text)
{
    static char line[8192];
    int ends[2], saved = dup(STDERR_FILENO);
    assert_int_equal(pipe(ends), 0);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    close(ends[1]);
    errno = 77;
    log_event(level, event, "text=%s", text);
    assert_int_equal(errno, 77); /* a log line between a failure and its handling does no harm */
    dup2(saved, STDERR_FILENO);
    close(saved);
    ssize_t n = read(ends[0], line, sizeof line - 1);
    close(ends[0]);
    assert_true(n >= 0);
    line[n] = '\0';
    if (n == 0)
        return line;
    assert_true(n > 25 && line[10] == 'T' && line[19] == '.' && line[23] == 'Z');
    return line + 25;
}

static void log_lines(void **state)
{
    static char text[6000];
    log_setup("edge", LOG_INFO);
    assert_string_equal(logged(LOG_ERROR, "a.b", "x"), "error edge a.b text=x\n");
    assert_string_equal(logged(LOG_INFO, "a.b", ""), "info  edge a.b text=\n");
    assert_string_equal(logged(LOG_DEBUG, "a.b", "x"), "");
    /* one event stays one line: nobody forges another */
    assert_string_equal(logged(LOG_WARN, "a", "x\n\r\x1b[0m\x7f\ty"),
                        "warn  edge a text=x???[0m??y\n");
    /* U+009B is to a terminal what ESC [ is */
    assert_string_equal(logged(LOG_WARN, "a",
                               "\xc2\x9b"
                               "1m\xc2\xa0\xc3\x9b"),
                        "warn  edge a text=??1m\xc2\xa0\xc3\x9b\n");
    memset(text, 'x', sizeof text - 1);
    const char *line = logged(LOG_WARN, "a", text);
    assert_in_range(strlen(line), 1900, 2048);
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

/* Nor another field of its own line. */
static void log_quotes(void **state)
{
    static char text[3000];
    char line[2200] = "";
    int ends[2], saved = dup(STDERR_FILENO);
    (void)state;
    log_setup("edge", LOG_INFO);
    memset(text, 'x', sizeof text - 1);
    assert_int_equal(pipe(ends), 0);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    log_event(LOG_INFO, "a", "file=\"%s\" n=%d error=\"%s\"", "a\" n=2 b=\"\x1e\x1f", 1, "\"");
    log_event(LOG_INFO, "a", "file=\"%s\" error=\"%s\"", "\x1e n=2\x1f", text);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[1]);
    assert_true(read(ends[0], line, sizeof line - 1) > 100);
    close(ends[0]);
    assert_non_null(strstr(line, " a file=\"a' n=2 b='??\" n=1 error=\"'\"\n"));
    assert_non_null(strstr(line, " a file=\"? n=2?\" error=\"xxx"));
}

/* Whoever reads the log may stop to, and who fills it up may be a worker: nothing waits for that.
 */
static void log_waits_for_nobody(void **state)
{
    static char octets[1 << 20];
    int ends[2], saved = dup(STDERR_FILENO);
    (void)state;
    log_setup("edge", LOG_INFO);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    int room = fcntl(ends[1], F_GETPIPE_SZ);
    assert_in_range(room, 8192, sizeof octets);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    memset(octets, '\n', sizeof octets);
    assert_int_equal(write(ends[1], octets, (size_t)room), room);
    alarm(60); /* one that waits fails */
    log_event(LOG_INFO, "a", "left out");
    log_event(LOG_INFO, "a", "left out, too");
    alarm(0);
    assert_int_equal(read(ends[0], octets, sizeof octets), room);
    log_event(LOG_INFO, "a", "written");
    log_event(LOG_INFO, "a", "written, too");
    ssize_t n = read(ends[0], octets, sizeof octets - 1);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[0]);
    close(ends[1]);
    assert_true(n > 0);
    octets[n] = 0;
    assert_non_null(strstr(octets, " warn  edge log.left_out count=2\n"));
    assert_non_null(strstr(strstr(octets, "left_out"), "a written\n"));
    assert_null(strstr(strstr(octets, "written"), "left_out"));
    assert_non_null(strstr(octets, "a written, too\n"));
}

static pthread_barrier_t both_write;
static _Thread_local bool is_met = true;

/* Each of two threads begins to write before either goes on. */
ssize_t write(int fd, const void *octets, size_t len)
{
    if (!is_met)
        pthread_barrier_wait(&both_write);
    is_met = true;
    return syscall(SYS_write, fd, octets, len);
}

static void *log_one(void *arg)
{
    is_met = false;
    log_event(LOG_INFO, "a", "written");
    return arg;
}

/* What was left out is told of once, though two threads find room at once. */
static void log_tells_once(void **state)
{
    char octets[4096];
    int ends[2], nowhere = open("/dev/null", O_RDONLY), saved = dup(STDERR_FILENO);
    pthread_t two[2];
    (void)state;
    log_setup("edge", LOG_INFO);
    assert_true(nowhere >= 0 && pipe2(ends, O_CLOEXEC) == 0);
    assert_true(dup2(nowhere, STDERR_FILENO) >= 0);
    log_event(LOG_INFO, "a", "left out");
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    pthread_barrier_init(&both_write, NULL, ARRAY_LEN(two));
    for (size_t i = 0; i < ARRAY_LEN(two); i++)
        assert_int_equal(pthread_create(&two[i], NULL, log_one, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(two); i++)
        pthread_join(two[i], NULL);
    pthread_barrier_destroy(&both_write);
    log_event(LOG_INFO, "a", "written");
    ssize_t n = read(ends[0], octets, sizeof octets - 1);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(nowhere);
    close(ends[0]);
    close(ends[1]);
    assert_true(n > 0);
    octets[n] = 0;
    const char *told = strstr(octets, "left_out count=1\n");
    assert_non_null(told);
    assert_null(strstr(told + 1, "left_out"));
}

static void terminal_controls(void **state)
{
    static const struct {
        const char *text, *kept, *masked;
    } rows[] = {
        {"plain", "", "plain"},
        {"\x1b]0;x\x07\x7f\t\n", "", "?]0;x????"},
        {"\ta\n\r", "\t\n", "\ta\n?"},
        {"\xc2\x80\xc2\x9f", "", "????"},
        {"\xc2\xa0\xc3\x80\xe2\x82\xac\xf0\x9f\x8c\x8d", "",
         "\xc2\xa0\xc3\x80\xe2\x82\xac\xf0\x9f\x8c\x8d"},
        {"cut \xc2", "", "cut ?"},    /* the rest may come with the next octets */
        {"\x9b\xff", "", "\x9b\xff"}, /* no UTF-8: shown as such */
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[32];
        strcpy(text, rows[i].text);
        terminal_mask(text, strlen(text), rows[i].kept);
        assert_string_equal(text, rows[i].masked);
    }
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(slices),
        TEST(pool_gives_and_takes),
        TEST(pool_recycles),
        TEST(pool_fails_when_told),
        TEST(arena_holds_many),
        TEST(arena_takes_back),
        TEST(arena_reserves),
        TEST(arena_without_memory),
        TEST(buf_grows_and_drains),
        TEST(buf_without_memory),
        TEST(chain_keeps_order),
        TEST(chain_copies_what_is_small),
        TEST(chain_without_memory),
        TEST(dates),
        TEST(error_rows),
        TEST(siphash),
        TEST(map_against_an_array),
        TEST(map_replaces_key_and_value),
        TEST(lists),
        TEST(histogram_buckets),
        TEST(log_lines),
        TEST(log_quotes),
        TEST(log_waits_for_nobody),
        TEST(log_tells_once),
        TEST(terminal_controls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
