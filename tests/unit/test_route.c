/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include "route/route.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const struct route_site plain = {.min_tls_version = 0x0303,
                                        .request_timeout_ms = 230000,
                                        .idle_timeout_ms = 60000,
                                        .tunnel_timeout_ms = 1000};

static void add_host(struct route_builder *b, const char *name, int want)
{
    int got = route_builder_host(b, slice_str(name));
    if (got != want)
        fail_msg("%s: %d, not %d", name, got, want);
}

static void add_site(struct route_builder *b, const char *name, uint32_t flags)
{
    struct route_site s = plain;
    s.flags = flags;
    assert_int_equal(route_builder_site(b, slice_str(name), &s), 0);
}

static void add_instance(struct route_builder *b, const char *id, const char *address)
{
    assert_int_equal(route_builder_instance(b, slice_str(id), slice_str(address),
                                            slice_str("127.0.0.1:9001"), ROUTE_READY, ROUTE_H2C),
                     0);
}

static void *finish(struct route_builder *b, size_t *len_out, struct route *r)
{
    void *octets = route_builder_finish(b, len_out);
    assert_non_null(octets);
    assert_int_equal(route_open(r, octets, *len_out), 0);
    route_builder_free(b);
    return octets;
}

/* Two sites and more hosts than the first table holds. */
static void *small(size_t *len_out, struct route *r)
{
    struct route_builder *b = route_builder_new(7);
    struct addr_prefix p;
    assert_non_null(b);
    add_site(b, "one", ROUTE_HTTP20);
    add_host(b, "one.example", 0);
    add_host(b, "*.one.example", 0);
    add_host(b, "*.deep.one.example", 0);
    add_host(b, "localhost", 0);
    add_host(b, "[::1]", 0);
    assert_int_equal(route_builder_upgrades(b, SLICE("foo,bar/1")), 0);
    assert_int_equal(route_builder_upgrades(b, SLICE("twice")), ERR_USAGE);
    add_instance(b, "one/0", "127.0.0.1:8001");
    add_instance(b, "one/1", "unix:/run/one");
    add_site(b, "two", ROUTE_DEFAULT | ROUTE_XFF_PORT);
    add_host(b, "Two.Example", 0);
    add_host(b, "fixed.one.example", 0);
    add_host(b, "*.other.one.example", 0);
    add_host(b, "127.0.0.1", 0);
    add_instance(b, "two/0", "[::1]:80");
    assert_int_equal(addr_prefix_parse(SLICE("10.0.0.0/8"), &p), 0);
    assert_int_equal(route_builder_trusted_proxy(b, &p), 0);
    assert_int_equal(addr_prefix_parse(SLICE("fd00::/8"), &p), 0);
    assert_int_equal(route_builder_trusted_proxy(b, &p), 0);
    route_builder_push_token(b, (const uint8_t *)"0123456789abcdef0123456789abcdef");
    return finish(b, len_out, r);
}

static void finds_hosts(void **state)
{
    static const struct {
        const char *host, *site;
    } rows[] = {
        {"one.example", "one"},
        {"two.example", "two"},
        {"Two.Example", NULL}, /* the caller's to fold */
        {"localhost", "one"},
        {"[::1]", "one"},
        {"127.0.0.1", "two"},
        {"fixed.one.example", "two"}, /* exact before wildcard */
        {"a.fixed.one.example", "one"},
        {"a.one.example", "one"},
        {"a.b.c.one.example", "one"},
        {"a.deep.one.example", "one"},
        {"other.one.example", "one"},
        {"a.other.one.example", "two"}, /* the longest wildcard */
        {"a.b.other.one.example", "two"},
        {".one.example", NULL}, /* no octet before the dot */
        {"..one.example", "one"},
        {"xone.example", NULL},
        {"a.xone.example", NULL},
        {"*.one.example", "one"},
        {"one.example.", NULL},
        {"example", NULL},
        {".", NULL},
        {"*", NULL},
        {"", NULL},
    };
    size_t len;
    struct route r;
    void *octets = small(&len, &r);
    assert_int_equal(r.header->revision, 7);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct route_site *s = route_find(&r, slice_str(rows[i].host));
        if ((s != NULL) != (rows[i].site != NULL) ||
            (s && !slice_eq(route_text(&r, s->name), slice_str(rows[i].site))))
            fail_msg("%s: %.*s", rows[i].host, s ? (int)s->name.len : 0,
                     s ? route_text(&r, s->name).p : "");
    }
    free(octets);
}

static void keeps_what_was_given(void **state)
{
    size_t len;
    struct route r;
    struct addr a;
    void *octets = small(&len, &r);
    assert_int_equal(r.header->site_count, 2);
    assert_int_equal(r.sites[0].first_instance, 0);
    assert_int_equal(r.sites[0].instance_count, 2);
    assert_int_equal(r.sites[1].first_instance, 2);
    assert_int_equal(r.sites[1].instance_count, 1);
    assert_int_equal(r.sites[0].request_timeout_ms, 230000);
    assert_int_equal(r.sites[0].tunnel_timeout_ms, 1000);
    assert_true(slice_eq(route_text(&r, r.sites[0].upgrades), SLICE("foo,bar/1")));
    assert_int_equal(r.sites[1].upgrades.len, 0);
    assert_true(slice_eq(route_text(&r, r.instances[1].id), SLICE("one/1")));
    assert_true(slice_eq(route_text(&r, r.instances[1].address), SLICE("unix:/run/one")));
    assert_true(slice_eq(route_text(&r, r.instances[1].address_h2), SLICE("127.0.0.1:9001")));
    assert_int_equal(r.instances[1].state, ROUTE_READY);
    assert_int_equal(r.instances[1].protocol, ROUTE_H2C);
    assert_ptr_equal(route_default(&r), &r.sites[1]);
    assert_memory_equal(r.header->push_token, "0123456789abcdef0123456789abcdef", 32);
    assert_int_equal(r.header->trusted_proxy_count, 2);
    assert_int_equal(addr_parse(SLICE("10.1.2.3:1"), &a), 0);
    assert_true(addr_prefix_has(&r.trusted_proxies[0], &a));
    assert_false(addr_prefix_has(&r.trusted_proxies[1], &a));
    free(octets);
}

static void gives_default_site(void **state)
{
    size_t len;
    struct route r;
    struct route_builder *b = route_builder_new(1);
    void *octets = finish(b, &len, &r);
    assert_null(route_default(&r));
    assert_null(route_find(&r, SLICE("a")));
    free(octets);
    b = route_builder_new(1);
    add_site(b, "first", 0);
    add_site(b, "", 0);
    octets = finish(b, &len, &r);
    assert_ptr_equal(route_default(&r), &r.sites[0]);
    assert_int_equal(route_text(&r, r.sites[1].name).len, 0);
    free(octets);
}

static void refuses_bad_use(void **state)
{
    struct route_builder *b = route_builder_new(1);
    struct addr_prefix p = {.bits = 129};
    struct route_site odd = {.proxy_flag = 3};
    char label[ROUTE_MAX_HOST_OCTETS + 1];
    memset(label, 'a', sizeof label);
    add_host(b, "early.example", ERR_USAGE);
    assert_int_equal(
        route_builder_instance(b, SLICE("x"), SLICE("x"), SLICE(""), ROUTE_READY, ROUTE_H1),
        ERR_USAGE);
    assert_int_equal(route_builder_site(b, SLICE("odd"), &odd), ERR_USAGE);
    assert_int_equal(route_builder_trusted_proxy(b, &p), ERR_USAGE);
    add_site(b, "one", 0);
    add_host(b, "one.example", 0);
    add_host(b, "ONE.example", 0);
    add_host(b, "", ERR_USAGE);
    add_host(b, "*", ERR_USAGE);
    add_host(b, "*.", ERR_USAGE);
    add_host(b, "a.*", ERR_USAGE);
    add_host(b, "a*.example", ERR_USAGE);
    add_host(b, "*a.example", ERR_USAGE);
    add_host(b, "*.*.example", ERR_USAGE);
    add_host(b, "*.example", 0);
    assert_int_equal(route_builder_host(b, slice_of(label, sizeof label - 1)), 0);
    assert_int_equal(route_builder_host(b, slice_of(label, sizeof label)), ERR_USAGE);
    for (unsigned i = 0; i <= ROUTE_MAX_INSTANCES; i++)
        assert_int_equal(route_builder_instance(b, SLICE("i"), SLICE("127.0.0.1:1"), SLICE(""),
                                                ROUTE_READY, ROUTE_H1),
                         i < ROUTE_MAX_INSTANCES ? 0 : ERR_USAGE);
    add_site(b, "two", 0);
    add_host(b, "one.EXAMPLE", ERR_USAGE);
    add_host(b, "*.example", ERR_USAGE);
    add_host(b, "two.example", 0);
    size_t len;
    struct route r;
    void *octets = finish(b, &len, &r);
    assert_ptr_equal(route_find(&r, SLICE("one.example")), &r.sites[0]);
    assert_ptr_equal(route_find(&r, SLICE("two.example")), &r.sites[1]);
    assert_ptr_equal(route_find(&r, SLICE("six.example")), &r.sites[0]);
    assert_ptr_equal(route_find(&r, slice_of(label, sizeof label - 1)), &r.sites[0]);
    assert_null(route_find(&r, slice_of(label, sizeof label)));
    route_builder_free(NULL);
    free(octets);
}

/* Reads whatever a user of the view reads. */
static uint64_t walk(const struct route *r)
{
    static const char *const hosts[] = {"one.example", "a.b.one.example", "fixed.one.example",
                                        "nothing",     "[::1]",           "x.y.z"};
    const struct route_site *site = route_default(r);
    uint64_t sum = site ? site->flags : 0;
    struct addr a;
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        site = route_find(r, slice_str(hosts[i]));
        sum += site ? site->slot + 1 : 0;
    }
    for (uint32_t i = 0; i < r->header->host_cap; i++)
        if (r->hosts[i].name.len && route_find(r, route_text(r, r->hosts[i].name)))
            sum++;
    for (uint32_t i = 0; i < r->header->site_count; i++) {
        struct slice name = route_text(r, r->sites[i].name);
        for (size_t k = 0; k < name.len; k++)
            sum += (unsigned char)name.p[k];
        for (uint32_t k = 0; k < r->sites[i].instance_count; k++) {
            const struct route_instance *n = &r->instances[r->sites[i].first_instance + k];
            sum += addr_parse(route_text(r, n->address), &a) == 0;
            sum += addr_parse(route_text(r, n->address_h2), &a) == 0;
            sum += route_text(r, n->id).len;
        }
    }
    addr_parse(SLICE("[fd00::1]:1"), &a);
    for (uint32_t i = 0; i < r->header->trusted_proxy_count; i++)
        sum += addr_prefix_has(&r->trusted_proxies[i], &a);
    return sum;
}

static uint32_t random_next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* Whatever the octets are: refused, or safe to use.  Each try lies in a block of its own, so that
 * one octet too far is found. */
static void bears_damaged_snapshots(void **state)
{
    size_t len;
    struct route r;
    char *good = small(&len, &r);
    uint64_t seed = 1, sum = 0;
    unsigned opened = 0;
    for (unsigned turn = 0; turn < 60000; turn++) {
        /* Half of the damage goes into the header, whose fields all others hang on. */
        size_t size = turn % 5 ? len : random_next(&seed) % (len + 1);
        char *bad = malloc(size ? size : 1);
        assert_non_null(bad);
        memcpy(bad, good, size);
        for (uint32_t flips = 1 + random_next(&seed) % 3; size && flips; flips--) {
            size_t range =
                turn % 2 && size > sizeof(struct route_header) ? sizeof(struct route_header) : size;
            size_t at = random_next(&seed) % range;
            switch (random_next(&seed) % 3) {
            case 0:
                bad[at] = (char)random_next(&seed);
                break;
            case 1:
                bad[at] = (char)(bad[at] ^ (1 << random_next(&seed) % 8));
                break;
            default:
                memset(bad + at, random_next(&seed) & 1 ? 0xff : 0, size - at < 4 ? size - at : 4);
            }
        }
        struct route damaged;
        int err = route_open(&damaged, bad, size);
        assert_true(err == 0 || err == ERR_FORMAT);
        if (err == 0) {
            opened++;
            sum += walk(&damaged);
        }
        free(bad);
    }
    assert_true(opened > 1000 && sum > 0);
    free(good);
}

/* Each 32-bit word of the header in turn, at values that make sums wrap. */
static void checks_header(void **state)
{
    static const uint32_t values[] = {0,          1,          4,          8,         64,
                                      0x7fffffff, 0x80000000, 0xfffffff8, 0xffffffff};
    size_t len;
    struct route r, damaged;
    char *good = small(&len, &r), *bad = malloc(len);
    assert_non_null(bad);
    for (size_t at = 0; at + 4 <= sizeof(struct route_header); at += 4)
        for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
            memcpy(bad, good, len);
            memcpy(bad + at, &values[v], 4);
            if (route_open(&damaged, bad, len) == 0)
                walk(&damaged);
        }
    for (size_t n = 0; n < len; n++)
        assert_int_equal(route_open(&damaged, good, n), ERR_FORMAT);
    assert_int_equal(route_open(&damaged, NULL, len), ERR_FORMAT);
    char *odd = malloc(len + 4);
    assert_non_null(odd);
    memcpy(odd + 4, good, len);
    assert_int_equal(route_open(&damaged, odd + 4, len), ERR_FORMAT);
    free(odd);
    free(bad);
    free(good);
}

/* A table without a free slot would be searched without end. */
static void refuses_full_table(void **state)
{
    size_t len;
    struct route r, damaged;
    char *octets = small(&len, &r);
    struct route_header *h = (void *)octets;
    struct route_host *hosts = (void *)(octets + h->hosts);
    for (uint32_t i = 0; i < h->host_cap; i++)
        if (hosts[i].name.len == 0)
            hosts[i] = (struct route_host){.name = {h->texts, 1}, .hash = i};
    assert_int_equal(route_open(&damaged, octets, len), ERR_FORMAT);
    free(octets);
}

static void chooses_least(void **state)
{
    static const struct {
        uint32_t load[4], count, start;
        uint64_t skip;
        int want;
    } rows[] = {
        {{0}, 0, 0, 0, -1},
        {{5}, 1, 9, 0, 0},
        {{5}, 1, 0, 1, -1},
        {{3, 1, 2, 1}, 4, 0, 0, 1},
        {{3, 1, 2, 1}, 4, 2, 0, 3},
        {{3, 1, 2, 1}, 4, 0, 2, 3},
        {{3, 1, 2, 1}, 4, 0, 10, 2},
        {{3, 1, 2, 1}, 4, 0, 14, 0},
        {{3, 1, 2, 1}, 4, 0, 15, -1},
        {{1, 1, 1, 1}, 4, 0, 0, 0},
        {{1, 1, 1, 1}, 4, 3, 0, 3},
        {{1, 1, 1, 1}, 4, 4, 0, 0},
        {{1, 1, 1, 1}, 4, UINT32_MAX, 0, 3},
        {{1, 1, 1, 1}, 4, 3, 8, 0},
        {{UINT32_MAX, UINT32_MAX}, 2, 1, 0, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(route_least(rows[i].load, rows[i].count, rows[i].start, rows[i].skip),
                         rows[i].want);
    /* What has no bit in skip can be taken all the same. */
    uint32_t many[70] = {0};
    assert_int_equal(route_least(many, 70, 0, UINT64_MAX), 64);
    assert_int_equal(route_least(many, 70, 69, UINT64_MAX), 69);
}

/* Of the processor's time: the machine may be busy with something else. */
static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* 10,000 sites of 3 hosts: all are found.  The times are printed, and held only against what an
 * algorithm of the wrong order would take. */
static void holds_many_sites(void **state)
{
    enum { SITES = 10000, ROUNDS = 5 };
    struct route_builder *b = route_builder_new(1);
    char host[64];
    size_t len;
    struct route r;
    double start = now_s();
    for (int i = 0; i < SITES; i++) {
        snprintf(host, sizeof host, "site%d", i);
        add_site(b, host, 0);
        snprintf(host, sizeof host, "site%d.apps.example", i);
        add_host(b, host, 0);
        snprintf(host, sizeof host, "www.customer%d.example", i);
        add_host(b, host, 0);
        snprintf(host, sizeof host, "*.customer%d.example", i);
        add_host(b, host, 0);
        add_instance(b, "i", "127.0.0.1:8000");
    }
    void *octets = finish(b, &len, &r);
    double built = now_s() - start;
    char(*hosts)[64] = calloc(3 * SITES, sizeof *hosts);
    assert_non_null(hosts);
    for (int i = 0; i < SITES; i++) {
        snprintf(hosts[3 * i], sizeof *hosts, "site%d.apps.example", i);
        snprintf(hosts[3 * i + 1], sizeof *hosts, "www.customer%d.example", i);
        snprintf(hosts[3 * i + 2], sizeof *hosts, "x.customer%d.example", i);
    }
    start = now_s();
    unsigned wrong = 0;
    uint32_t k = 0;
    for (int n = 0; n < ROUNDS * 3 * SITES; n++) {
        k = (k + 7919) % (3 * SITES);
        wrong += route_find(&r, slice_str(hosts[k])) != &r.sites[k / 3];
    }
    double found = now_s() - start;
    assert_int_equal(wrong, 0);
    print_message("# %d hosts: built in %.1f ms, %zu octets, found in %.0f ns\n", 3 * SITES,
                  built * 1e3, len, found * 1e9 / (ROUNDS * 3 * SITES));
    assert_true(built < 5 && found < 5);
    free(hosts);
    free(octets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_hosts),        cmocka_unit_test(keeps_what_was_given),
        cmocka_unit_test(gives_default_site), cmocka_unit_test(refuses_bad_use),
        cmocka_unit_test(checks_header),      cmocka_unit_test(bears_damaged_snapshots),
        cmocka_unit_test(refuses_full_table), cmocka_unit_test(chooses_least),
        cmocka_unit_test(holds_many_sites),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
