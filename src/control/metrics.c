/* SPDX-License-Identifier: Apache-2.0 */
/* The counters as Prometheus reads them (text format 0.0.4). */
#include "control/admin.h"
#include "control/state.h"
#include "base/clock.h"
#include "base/panic.h"
#include "push/promise.h"

#include <inttypes.h>

/* Of more apps, those that never had a request are told without labels. */
#define APPS_WHOLE 500

struct row {
    const char *name, *type, *help;
    size_t at; /* of the count in its struct */
};

static const struct row loop_rows[] = {
#define X(symbol, name, type, help) {name, type, help, offsetof(struct stats_loop, symbol)},
    STATS_LOOP_TABLE(X)
#undef X
};

static const struct row site_rows[] = {
#define X(symbol, name, type, help) {name, type, help, offsetof(struct stats_site, symbol)},
    STATS_SITE_TABLE(X)
#undef X
};

#define LEDGER(field) offsetof(struct stats_site, push.field)
static const struct row ledger_rows[] = {
    {"push_sent_bytes_total", "counter", "Body octets of pushed responses.", LEDGER(octets_sent)},
    {"push_refused_bytes_total", "counter", "Of those, sent before the client refused.",
     LEDGER(octets_refused)},
    {"push_wasted_bytes_total", "counter",
     "Body octets of pushes that were refused, failed, or asked for again.", LEDGER(octets_wasted)},
    {"push_worker_resets_total", "counter", "Promises refused towards workers by RST_STREAM.",
     LEDGER(worker_resets)},
    {"push_worker_drained_total", "counter",
     "Refused promises whose response was read and thrown away.", LEDGER(worker_drained)},
};

/* Metrics with one label more, whose values are an enum's names. */
struct group {
    const char *name, *label, *help;
    size_t at; /* of the first count */
    unsigned count;
    const char *(*value)(unsigned i);
};

static const char *source_name(unsigned i)
{
    return push_source_name((enum push_source)i);
}

static const char *reason_name(unsigned i)
{
    return push_reason_code((enum push_reason)i);
}

static const char *kind_name(unsigned i)
{
    return push_kind_name((enum push_kind)i);
}

static const char *vehicle_name(unsigned i)
{
    return push_vehicle_name((enum push_vehicle)i);
}

static const char *fate_name(unsigned i)
{
    return push_fate_name((enum push_fate)i);
}

static const char *refusal_name(unsigned i)
{
    return refusal_row((enum refusal)i)->name;
}

static const char *blame_name(unsigned i)
{
    return h2_blame_row((enum h2_blame)(i + 1))->name; /* without NONE */
}

static const char *fault_name(unsigned i)
{
    return fault_row((enum fault)(i + 1))->name;
}

static const struct group loop_groups[] = {
    {"refusals_total", "reason", "Client connections, or what came on them, refused.",
     offsetof(struct stats_loop, refusals), REFUSAL_COUNT, refusal_name},
    {"http2_refusals_total", "reason", "HTTP/2 of clients refused: connections and streams.",
     offsetof(struct stats_loop, h2_refusals[1]), H2_BLAME_COUNT - 1, blame_name},
    {"worker_http2_refusals_total", "reason", "HTTP/2 of workers refused.",
     offsetof(struct stats_loop, worker_h2_refusals[1]), H2_BLAME_COUNT - 1, blame_name},
};

static const struct group site_groups[] = {
    {"faults_total", "reason", "Requests that did not end well, by reason.",
     offsetof(struct stats_site, faults[1]), FAULT_COUNT - 1, fault_name},
    {"push_promises_total", "source", "Promises, by where they came from.", LEDGER(promises),
     PUSH_SOURCE_COUNT, source_name},
    {"push_decisions_total", "reason", "Promises, by the reason of what was decided.",
     LEDGER(reasons), PUSH_REASON_COUNT, reason_name},
    {"push_hint_decisions_total", "reason",
     "Promises that were not pushed, by the reason why they were not hinted; ok: they were.",
     LEDGER(hint_reasons), PUSH_REASON_COUNT, reason_name},
    {"push_vehicles_total", "vehicle", "Promises, by what was done about them.", LEDGER(vehicles),
     PUSH_VEHICLE_COUNT, vehicle_name},
    {"push_fates_total", "fate", "Promises, by how they ended.", LEDGER(fates), PUSH_FATE_COUNT,
     fate_name},
};

static uint64_t loop_sum(struct stats s, size_t at)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < s.loops; i++)
        sum += stats_get((const _Atomic uint64_t *)(const void *)((char *)stats_loop(s, i) + at));
    return sum;
}

static uint64_t site_sum(struct stats s, uint32_t slot, size_t at)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < s.loops; i++) {
        const char *site = (const char *)stats_site_used(s, i, slot);
        if (site)
            sum += stats_get((const _Atomic uint64_t *)(const void *)(site + at));
    }
    return sum;
}

/* Whether the app's counts by label are told although there may be nothing but 0 in them: hundreds
 * of rows an app, which with thousands of apps are more than anybody reads. */
static bool is_told(const struct control *c, const struct control_app *app)
{
    bool is = c->app_count <= APPS_WHOLE;
    for (uint32_t i = 0; i < c->stats.loops && !is; i++)
        is = stats_site_used(c->stats, i, app->slot) != NULL;
    return is;
}

static int head(struct buf *out, const char *name, const char *type, const char *help)
{
    return buf_printf(out, "# HELP portico_%s %s\n# TYPE portico_%s %s\n", name, help, name, type);
}

static int per_app(const struct control *c, struct buf *out, const struct row *r)
{
    int err = head(out, r->name, r->type, r->help);
    for (uint32_t i = 0; err == 0 && i < c->app_count; i++)
        err = buf_printf(out, "portico_%s{app=\"%.*s\"} %" PRIu64 "\n", r->name,
                         SLICE_FMT(c->apps[i]->wanted->name),
                         site_sum(c->stats, c->apps[i]->slot, r->at));
    return err;
}

static int per_app_and_label(const struct control *c, struct buf *out, const struct group *g)
{
    int err = head(out, g->name, "counter", g->help);
    for (uint32_t i = 0; i < c->app_count; i++)
        for (unsigned j = 0; err == 0 && is_told(c, c->apps[i]) && j < g->count; j++)
            err = buf_printf(
                out, "portico_%s{app=\"%.*s\",%s=\"%s\"} %" PRIu64 "\n", g->name,
                SLICE_FMT(c->apps[i]->wanted->name), g->label, g->value(j),
                site_sum(c->stats, c->apps[i]->slot, g->at + j * sizeof(_Atomic uint64_t)));
    return err;
}

static int per_label(const struct control *c, struct buf *out, const struct group *g)
{
    int err = head(out, g->name, "counter", g->help);
    for (unsigned j = 0; err == 0 && j < g->count; j++)
        err = buf_printf(out, "portico_%s{%s=\"%s\"} %" PRIu64 "\n", g->name, g->label, g->value(j),
                         loop_sum(c->stats, g->at + j * sizeof(_Atomic uint64_t)));
    return err;
}

/* Fates once more, by a second label; those that never happened are left out, or they would be
 * thousands. */
static const struct matrix {
    const char *name, *label, *help;
    size_t at;
    unsigned count;
    const char *(*value)(unsigned i);
} matrices[] = {
    {"push_client_fates_total", "client", "Fates, by what the client says that it is.",
     LEDGER(kind_fates), PUSH_KIND_COUNT, kind_name},
    {"push_vehicle_fates_total", "vehicle", "Fates, by what was done about the promise.",
     LEDGER(vehicle_fates), PUSH_VEHICLE_COUNT, vehicle_name},
};

static int per_app_label_and_fate(const struct control *c, struct buf *out, const struct matrix *m)
{
    int err = head(out, m->name, "counter", m->help);
    for (uint32_t i = 0; i < c->app_count; i++)
        for (unsigned j = 0; err == 0 && j < m->count * PUSH_FATE_COUNT; j++) {
            uint64_t n = site_sum(c->stats, c->apps[i]->slot, m->at + j * sizeof(_Atomic uint64_t));
            if (n)
                err =
                    buf_printf(out, "portico_%s{app=\"%.*s\",%s=\"%s\",fate=\"%s\"} %" PRIu64 "\n",
                               m->name, SLICE_FMT(c->apps[i]->wanted->name), m->label,
                               m->value(j / PUSH_FATE_COUNT), fate_name(j % PUSH_FATE_COUNT), n);
        }
    return err;
}

/* at: of a struct histogram; more: further labels, each with a comma before it */
static int histogram(const struct control *c, const struct control_app *app, struct buf *out,
                     const char *name, const char *more, size_t at)
{
    struct slice who = app->wanted->name;
    uint64_t below = 0;
    int err = 0;
    if (!is_told(c, app))
        return 0;
    for (unsigned b = 0; err == 0 && b <= HISTOGRAM_BUCKETS; b++) {
        below += site_sum(c->stats, app->slot,
                          at + offsetof(struct histogram, count) + b * sizeof(_Atomic uint64_t));
        if (b < HISTOGRAM_BUCKETS)
            err = buf_printf(out, "portico_%s_bucket{app=\"%.*s\"%s,le=\"%.6g\"} %" PRIu64 "\n",
                             name, SLICE_FMT(who), more, (double)(64ull << b) / 1e6, below);
    }
    uint64_t sum_us = site_sum(c->stats, app->slot, at + offsetof(struct histogram, sum_us));
    if (err == 0)
        err = buf_printf(out,
                         "portico_%s_bucket{app=\"%.*s\"%s,le=\"+Inf\"} %" PRIu64 "\n"
                         "portico_%s_sum{app=\"%.*s\"%s} %.6f\n"
                         "portico_%s_count{app=\"%.*s\"%s} %" PRIu64 "\n",
                         name, SLICE_FMT(who), more, below, name, SLICE_FMT(who), more,
                         (double)sum_us / 1e6, name, SLICE_FMT(who), more, below);
    return err;
}

static int durations(const struct control *c, struct buf *out)
{
    static const char request[] = "request_duration_seconds", page[] = "push_page_seconds";
    int err = head(out, request, "histogram", "From the request head to the end of the response.");
    for (uint32_t i = 0; err == 0 && i < c->app_count; i++)
        err = histogram(c, c->apps[i], out, request, "", offsetof(struct stats_site, duration));
    if (err == 0)
        err = head(out, page, "histogram",
                   "The same, of pages that promise, with help and in the hold-back group.");
    for (uint32_t i = 0; err == 0 && i < c->app_count; i++) {
        err = histogram(c, c->apps[i], out, page, ",group=\"helped\"", LEDGER(pages[PUSH_HELPED]));
        if (err == 0)
            err = histogram(c, c->apps[i], out, page, ",group=\"held-back\"",
                            LEDGER(pages[PUSH_HELD_BACK]));
    }
    return err;
}

static int counters(const struct control *c, struct buf *out)
{
    int err = 0;
    for (size_t i = 0; err == 0 && i < ARRAY_LEN(loop_rows); i++) {
        const struct row *r = &loop_rows[i];
        err = head(out, r->name, r->type, r->help);
        if (err == 0)
            err = buf_printf(out, "portico_%s %" PRIu64 "\n", r->name, loop_sum(c->stats, r->at));
    }
    for (size_t i = 0; err == 0 && i < ARRAY_LEN(site_rows); i++)
        err = per_app(c, out, &site_rows[i]);
    if (err == 0)
        err = durations(c, out);
    for (size_t i = 0; err == 0 && i < ARRAY_LEN(loop_groups); i++)
        err = per_label(c, out, &loop_groups[i]);
    for (size_t i = 0; err == 0 && i < ARRAY_LEN(site_groups); i++)
        err = per_app_and_label(c, out, &site_groups[i]);
    for (size_t i = 0; err == 0 && i < ARRAY_LEN(matrices); i++)
        err = per_app_label_and_fate(c, out, &matrices[i]);
    for (size_t i = 0; err == 0 && i < ARRAY_LEN(ledger_rows); i++)
        err = per_app(c, out, &ledger_rows[i]);
    return err;
}

static int instances(const struct control *c, struct buf *out)
{
    int err = head(out, "instances", "gauge", "Instances by state.");
    for (uint32_t i = 0; i < c->app_count; i++)
        for (unsigned state = 0; err == 0 && state <= IPC_BACKOFF; state++) {
            const struct control_app *app = c->apps[i];
            unsigned n = 0;
            for (uint32_t j = 0; j < app->instance_count; j++)
                n += app->instances[j]->last.state == state;
            err = buf_printf(out, "portico_instances{app=\"%.*s\",state=\"%s\"} %u\n",
                             SLICE_FMT(app->wanted->name), instance_state_name(state), n);
        }
    if (err == 0)
        err = head(out, "instance_restarts_total", "counter", "Starts after the first.");
    for (uint32_t i = 0; i < c->app_count; i++)
        for (uint32_t j = 0; err == 0 && j < c->apps[i]->instance_count; j++)
            err = buf_printf(out, "portico_instance_restarts_total{app=\"%.*s\",index=\"%u\"} %u\n",
                             SLICE_FMT(c->apps[i]->wanted->name), c->apps[i]->instances[j]->index,
                             c->apps[i]->instances[j]->last.restarts);
    return err;
}

int metrics_write(const struct control *c, struct buf *out)
{
    int err = head(out, "info", "gauge", "The version, as a label.");
    if (err == 0)
        err = buf_printf(out, "portico_info{version=\"%s\"} 1\n", PORTICO_VERSION);
    if (err == 0)
        err = head(out, "control_uptime_seconds", "gauge", "Since control began.");
    if (err == 0)
        err = buf_printf(out, "portico_control_uptime_seconds %.3f\n",
                         (double)(clock_mono_us() - c->started_us) / 1e6);
    if (err == 0)
        err = head(out, "revision", "gauge", "The latest revision of the routes.");
    if (err == 0)
        err = buf_printf(out, "portico_revision %" PRIu64 "\n", c->revision);
    if (err == 0)
        err = instances(c, out);
    if (err == 0 && c->stats.memory)
        err = counters(c, out);
    return err;
}
