/* SPDX-License-Identifier: Apache-2.0 */
/* What became of an app's promises, as JSON: the ledgers of all loops, added up. */
#include "control/admin.h"
#include "control/state.h"
#include "base/err.h"

#include <jansson.h>
#include <stdlib.h>

static json_t *count(uint64_t n)
{
    return json_integer((json_int_t)n);
}

/* The counts of an enum by its names; of a sparse one only those that are not 0. */
static json_t *by_name(const _Atomic uint64_t *counts, unsigned n, const char *(*name)(unsigned i),
                       bool is_sparse)
{
    json_t *j = json_object();
    for (unsigned i = 0; i < n; i++)
        if (!is_sparse || counts[i])
            json_object_set_new(j, name(i), count(counts[i]));
    return j;
}

static const char *source_name(unsigned i)
{
    return push_source_name((enum push_source)i);
}

static const char *vehicle_name(unsigned i)
{
    return push_vehicle_name((enum push_vehicle)i);
}

static const char *kind_name(unsigned i)
{
    return push_kind_name((enum push_kind)i);
}

static const char *fate_name(unsigned i)
{
    return push_fate_name((enum push_fate)i);
}

static json_t *reasons(const _Atomic uint64_t *counts)
{
    json_t *j = json_array();
    for (unsigned i = 0; i < PUSH_REASON_COUNT; i++)
        if (counts[i])
            json_array_append_new(j, json_pack("{s:s,s:o,s:s}", "reason",
                                               push_reason_code((enum push_reason)i), "count",
                                               count(counts[i]), "text",
                                               push_reason_text((enum push_reason)i)));
    return j;
}

/* Those of a second enum of which there are any. */
static json_t *fates_by(const _Atomic uint64_t (*fates)[PUSH_FATE_COUNT], unsigned n,
                        const char *(*name)(unsigned i))
{
    json_t *j = json_object();
    for (unsigned i = 0; i < n; i++) {
        json_t *of = by_name(fates[i], PUSH_FATE_COUNT, fate_name, true);
        if (json_object_size(of))
            json_object_set_new(j, name(i), of);
        else
            json_decref(of);
    }
    return j;
}

/* Below which a share of the durations lies, to within the width of a bucket. */
static json_t *quantile_ms(const struct histogram *h, uint64_t all, double share)
{
    double wanted = share * (double)all, below = 0;
    for (unsigned b = 0; b < HISTOGRAM_BUCKETS; b++) {
        double here = (double)h->count[b];
        double from = b ? (double)(64ull << (b - 1)) : 0, to = (double)(64ull << b);
        if (here > 0 && below + here >= wanted)
            return json_real((from + (to - from) * (wanted - below) / here) / 1000);
        below += here;
    }
    return json_null(); /* there are none, or they took longer than can be told */
}

static json_t *pages(const struct histogram *h)
{
    uint64_t all = 0;
    for (unsigned b = 0; b <= HISTOGRAM_BUCKETS; b++)
        all += h->count[b];
    return json_pack("{s:o,s:o,s:o,s:o}", "pages", count(all), "meanMs",
                     all ? json_real((double)h->sum_us / (double)all / 1000) : json_null(),
                     "medianMs", quantile_ms(h, all, 0.5), "p90Ms", quantile_ms(h, all, 0.9));
}

static json_t *percent(uint64_t part, uint64_t whole)
{
    return whole ? json_real(100.0 * (double)part / (double)whole) : json_null();
}

/* ---- resources ---- */

static int by_path(const void *a, const void *b)
{
    const struct push_resource_counts *x = a, *y = b;
    int c = strcmp(x->path, y->path);
    return c ? c : (x->hash > y->hash) - (x->hash < y->hash);
}

static int by_weight(const void *a, const void *b)
{
    const struct push_resource_counts *x = a, *y = b;
    return x->weight != y->weight ? (x->weight < y->weight ? 1 : -1) : by_path(a, b);
}

static void add_up(struct push_resource_counts *to, const struct push_resource_counts *from)
{
    to->weight += from->weight;
    to->pushed += from->pushed;
    for (unsigned i = 0; i < PUSH_FATE_COUNT; i++)
        to->fates[i] += from->fates[i];
    to->octets_sent += from->octets_sent;
    to->octets_wasted += from->octets_wasted;
    to->is_switched_off |= from->is_switched_off;
    if (to->reason == PUSH_REASON_OK)
        to->reason = from->reason;
}

static json_t *resource(const struct push_resource_counts *r)
{
    json_t *fates = json_object();
    for (unsigned i = 0; i < PUSH_FATE_COUNT; i++)
        if (r->fates[i])
            json_object_set_new(fates, fate_name(i), count(r->fates[i]));
    json_t *path = json_string(r->path); /* NULL when it is not UTF-8 */
    return json_pack("{s:o,s:b,s:o,s:o,s:o,s:o,s:s,s:b}", "path", path ? path : json_string("?"),
                     "cut", r->is_cut, "pushed", count(r->pushed), "fates", fates, "octetsSent",
                     count(r->octets_sent), "octetsWasted", count(r->octets_wasted), "reason",
                     push_reason_code(r->reason), "switchedOff", r->is_switched_off);
}

/* Looking at memory that was never written would make it real. */
/* The rows of all loops, those of one path as one, the most promised first; at most as many as a
 * loop has. */
static json_t *resources(struct stats s, uint32_t slot)
{
    json_t *j = json_array();
    struct push_resource_counts *all = calloc((size_t)s.loops * PUSH_LEDGER_ROWS, sizeof *all);
    size_t n = 0, merged = 0;
    for (uint32_t loop = 0; all && loop < s.loops; loop++) {
        const struct stats_site *site = stats_site_used(s, loop, slot);
        for (unsigned i = 0; site && push_ledger_has_promises(&site->push) && i < PUSH_LEDGER_ROWS;
             i++)
            n += push_ledger_read(&site->push, i, &all[n]);
    }
    if (n)
        qsort(all, n, sizeof *all, by_path);
    for (size_t i = 0; i < n; i++) {
        if (merged && by_path(&all[merged - 1], &all[i]) == 0)
            add_up(&all[merged - 1], &all[i]);
        else
            all[merged++] = all[i];
    }
    if (merged)
        qsort(all, merged, sizeof *all, by_weight);
    for (size_t i = 0; i < merged && i < PUSH_LEDGER_ROWS; i++)
        json_array_append_new(j, resource(&all[i]));
    free(all);
    return j;
}

/* ---- an app, or all ---- */

static json_t *app_json(const struct control *c, const struct control_app *app, bool is_whole)
{
    struct push_ledger *sum = calloc(1, sizeof *sum);
    if (!sum)
        return NULL;
    for (uint32_t i = 0; c->stats.memory && i < c->stats.loops; i++)
        if (stats_site_used(c->stats, i, app->slot))
            push_ledger_sum(sum, &stats_site_used(c->stats, i, app->slot)->push);
    struct slice name = app->wanted->name;
    json_t *j =
        json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "app", json_stringn(name.p, name.len),
                  "promises", by_name(sum->promises, PUSH_SOURCE_COUNT, source_name, false),
                  "vehicles", by_name(sum->vehicles, PUSH_VEHICLE_COUNT, vehicle_name, false),
                  "fates", by_name(sum->fates, PUSH_FATE_COUNT, fate_name, false), "octetsSent",
                  count(sum->octets_sent), "octetsWasted", count(sum->octets_wasted),
                  "wastedPercent", percent(sum->octets_wasted, sum->octets_sent));
    if (j && is_whole) {
        json_object_set_new(j, "reasons", reasons(sum->reasons));
        json_object_set_new(j, "hintReasons", reasons(sum->hint_reasons));
        json_object_set_new(j, "clients",
                            fates_by((const _Atomic uint64_t(*)[PUSH_FATE_COUNT])sum->kind_fates,
                                     PUSH_KIND_COUNT, kind_name));
        json_object_set_new(j, "vehicleFates",
                            fates_by((const _Atomic uint64_t(*)[PUSH_FATE_COUNT])sum->vehicle_fates,
                                     PUSH_VEHICLE_COUNT, vehicle_name));
        json_object_set_new(j, "pages",
                            json_pack("{s:o,s:o}", "helped", pages(&sum->pages[PUSH_HELPED]),
                                      "heldBack", pages(&sum->pages[PUSH_HELD_BACK])));
        json_object_set_new(j, "resources",
                            c->stats.memory ? resources(c->stats, app->slot) : json_array());
    }
    free(sum);
    return j;
}

static int dump(json_t *j, struct buf *out)
{
    char *text = j ? json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    int err = text ? buf_printf(out, "%s\n", text) : ERR_NOMEM;
    free(text);
    json_decref(j);
    return err;
}

int push_write(const struct control *c, struct buf *out)
{
    json_t *all = json_array();
    for (uint32_t i = 0; i < c->app_count; i++)
        json_array_append_new(all, app_json(c, c->apps[i], false));
    return dump(json_pack("{s:o}", "apps", all), out);
}

int push_app_write(const struct control *c, const struct control_app *app, struct buf *out)
{
    return dump(app_json(c, app, true), out);
}
