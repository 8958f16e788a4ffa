/* SPDX-License-Identifier: Apache-2.0 */
/* The table of limits: what it says by default is what the engines have by themselves, and what a
 * manifest without limits gives; a snapshot with one out of range is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/panic.h"
#include "control/manifest.h"
#include "edge/engine.h"
#include "route/route.h"

static void engines_have_the_same(void **state)
{
    struct h2_settings ours, h2;
    struct h1_limits mine, h1;
    h2_settings_default(&h2, H2_SERVER);
    engine_h2_settings(&ours, &limits_default, ENGINE_CLIENT);
    assert_memory_equal(&ours.budget, &h2.budget, sizeof h2.budget);
    assert_int_equal(ours.max_concurrent_streams, h2.max_concurrent_streams);
    assert_int_equal(ours.stream_window, h2.stream_window);
    assert_int_equal(ours.conn_window, h2.conn_window);
    assert_int_equal(ours.max_field_section_octets, h2.max_field_section_octets);
    assert_int_equal(ours.max_sections_octets, h2.max_sections_octets);
    assert_int_equal(ours.max_queued_octets, h2.max_queued_octets);
    h1_limits_default(&h1);
    engine_h1_limits(&mine, &limits_default);
    assert_memory_equal(&mine, &h1, sizeof h1);
}

static void a_suspect_has_a_quarter_and_never_nothing(void **state)
{
    struct h2_settings suspect;
    struct limits l = limits_default;
    l.h2_empty = (struct limit_rate){.burst = 3, .per_second = 1};
    engine_h2_settings(&suspect, &l, ENGINE_SUSPECT);
    assert_int_equal(suspect.budget.resets.burst, l.h2_resets.burst / 4);
    assert_int_equal(suspect.budget.resets.per_second, l.h2_resets.per_second / 4);
    assert_int_equal(suspect.budget.empty.burst, 1);
    assert_int_equal(suspect.budget.empty.per_second, 1);
    assert_int_equal(suspect.max_concurrent_streams, l.h2_streams);
    /* A page that is left is no abuse there, either. */
    assert_true(suspect.budget.resets.burst >= l.h2_streams);
}

static void a_trusted_proxy_has_more(void **state)
{
    struct h2_settings proxy;
    engine_h2_settings(&proxy, &limits_default, ENGINE_PROXY);
    assert_int_equal(proxy.budget.resets.burst, limits_default.h2_resets.burst * 16);
    assert_int_equal(proxy.budget.resets.per_second, limits_default.h2_resets.per_second * 16);
    assert_int_equal(proxy.max_concurrent_streams, limits_default.h2_streams);
}

static struct manifest *parse(const char *limits)
{
    char text[512];
    snprintf(text, sizeof text,
             "listen: {http: 127.0.0.1:0}\n"
             "%s\n"
             "apps: {a: {upstreams: [127.0.0.1:9], hosts: [a.example]}}\n",
             limits);
    struct manifest *m = manifest_parse(slice_str(text), "m", "/", MANIFEST_FILES_PRESENT);
    assert_non_null(m);
    return m;
}

static void manifest_has_the_same(void **state)
{
    struct manifest *m = parse("");
    assert_int_equal(m->faults.count, 0);
    assert_memory_equal(&m->limits, &limits_default, sizeof limits_default);
    manifest_free(m);
}

static void manifest_sets_each_kind(void **state)
{
    struct manifest *m = parse("limits: {connectionsPerAddress: 7, handshake: 2s, "
                               "fieldSection: 32KiB, http2Resets: 10 + 3/s}");
    assert_int_equal(m->faults.count, 0);
    assert_int_equal(m->limits.connections_per_address, 7);
    assert_int_equal(m->limits.handshake_ms, 2000);
    assert_int_equal(m->limits.field_section, 32768);
    assert_int_equal(m->limits.h2_resets.burst, 10);
    assert_int_equal(m->limits.h2_resets.per_second, 3);
    assert_int_equal(m->limits.h2_pings.burst, limits_default.h2_pings.burst);
    manifest_free(m);
}

static void manifest_refuses(void **state)
{
    static const char *const bad[] = {
        "limits: {http2Resets: 10}",
        "limits: {http2Resets: 10 + 3}",
        "limits: {http2Resets: + 3/s}",
        "limits: {http2Resets: 0 + 3/s}",
        "limits: {http2Resets: 3 + 0/s}",
        "limits: {http2Resets: 10+3/s}",
        "limits: {handshake: 1ms}",
        "limits: {handshake: 10}",
        "limits: {fieldSection: 1}",
        "limits: {fieldSection: 5GiB}",
        "limits: {connectionsPerAddress: -1}",
        "limits: {what: 1}",
        "limits: 5",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct manifest *m = parse(bad[i]);
        if (m->faults.count == 0)
            fail_msg("taken: %s", bad[i]);
        manifest_free(m);
    }
}

static void snapshot_carries_them(void **state)
{
    struct route_builder *b = route_builder_new(1);
    struct limits l = limits_default;
    struct route r;
    size_t len;
    l.h2_streams = 0;
    assert_int_equal(route_builder_limits(b, &l), ERR_USAGE);
    l.h2_streams = 5;
    assert_int_equal(route_builder_limits(b, &l), 0);
    void *octets = route_builder_finish(b, &len);
    assert_int_equal(route_open(&r, octets, len), 0);
    assert_memory_equal(&r.header->limits, &l, sizeof l);
    /* Each at its least less one and its most plus one: a control that has gone mad. */
    struct route_header *h = octets;
#define TRY(field, value)                                          \
    do {                                                           \
        h->limits = limits_default;                                \
        h->limits.field = (typeof(h->limits.field))(value);        \
        assert_int_equal(route_open(&r, octets, len), ERR_FORMAT); \
    } while (0)
#define TRY_COUNT(symbol, least, most)  TRY(symbol, (least) ? (least)-1ull : (most) + 1ull)
#define TRY_OCTETS(symbol, least, most) TRY(symbol, (most) + 1ull)
#define TRY_SIZE(symbol, least, most)   TRY(symbol, (most) + 1ull)
#define TRY_MS(symbol, least, most)     TRY(symbol, (least)-1ull)
#define TRY_RATE(symbol, least, most)          \
    do {                                       \
        TRY(symbol.burst, (least)-1ull);       \
        TRY(symbol.per_second, (most) + 1ull); \
    } while (0)
#define X(kind, symbol, key, first, second, least, most, reason) TRY_##kind(symbol, least, most);
    LIMIT_TABLE(X)
#undef X
    free(octets);
    route_builder_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(engines_have_the_same),
        cmocka_unit_test(a_suspect_has_a_quarter_and_never_nothing),
        cmocka_unit_test(a_trusted_proxy_has_more),
        cmocka_unit_test(manifest_has_the_same),
        cmocka_unit_test(manifest_sets_each_kind),
        cmocka_unit_test(manifest_refuses),
        cmocka_unit_test(snapshot_carries_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
