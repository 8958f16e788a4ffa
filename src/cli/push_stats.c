/* SPDX-License-Identifier: Apache-2.0 */
/* `portico push stats`. */
#include "cli/ask.h"
#include "cli/push.h"
#include "cli/table.h"

#include <stdio.h>

static const char *text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "-";
}

static json_int_t number(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

#define CELL_OCTETS 32

static const char *number_cell(char out[CELL_OCTETS], json_int_t n)
{
    snprintf(out, CELL_OCTETS, "%lld", n);
    return out;
}

/* Of a real, or of null. */
static const char *real_cell(char out[CELL_OCTETS], const json_t *v, const char *unit)
{
    if (!json_is_real(v))
        return "-";
    snprintf(out, CELL_OCTETS, "%.1f%s", json_real_value(v), unit);
    return out;
}

static json_int_t sum(const json_t *o)
{
    json_int_t all = 0;
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)o, key, v) all += json_integer_value(v);
    return all;
}

static json_int_t refused(const json_t *fates)
{
    return number(fates, "refused") + number(fates, "refused-late");
}

/* ---- all apps ---- */

static void print_apps(const json_t *apps)
{
    static const char *const head[] = {"APP",       "PROMISES", "PUSHED", "HINTED", "PARKED",
                                       "COLLECTED", "REFUSED",  "OCTETS", "WASTED"};
    struct table t = {.columns = sizeof head / sizeof head[0]};
    size_t i;
    const json_t *app;
    table_add(&t, head);
    json_array_foreach(apps, i, app)
    {
        const json_t *vehicles = json_object_get(app, "vehicles");
        const json_t *fates = json_object_get(app, "fates");
        char c[8][CELL_OCTETS];
        table_add(
            &t, (const char *const[]){
                    text(app, "app"), number_cell(c[0], sum(json_object_get(app, "promises"))),
                    number_cell(c[1], number(vehicles, "push-promise")),
                    number_cell(c[2], number(vehicles, "early-hint")),
                    number_cell(c[3], number(vehicles, "parked")),
                    number_cell(c[4], number(fates, "collected")),
                    number_cell(c[5], refused(fates)), number_cell(c[6], number(app, "octetsSent")),
                    real_cell(c[7], json_object_get(app, "wastedPercent"), "%")});
    }
    table_print(&t);
}

/* ---- one app ---- */

static void print_counts(const char *title, const json_t *counts)
{
    const char *key;
    json_t *v;
    printf("%s:", title);
    json_object_foreach((json_t *)(uintptr_t)counts, key, v) if (json_integer_value(v))
        printf(" %s %lld", key, json_integer_value(v));
    printf("%s\n", sum(counts) ? "" : " none");
}

static void print_reasons(const char *title, const json_t *reasons)
{
    size_t i;
    const json_t *r;
    if (json_array_size(reasons))
        printf("\n%s:\n", title);
    json_array_foreach(reasons, i, r)
        printf("  %8lld  %s: %s\n", number(r, "count"), text(r, "reason"), text(r, "text"));
}

/* The fates of each client or vehicle, those that there are. */
static void print_fates_by(const char *title, const json_t *by)
{
    const char *key;
    json_t *v;
    if (!json_object_size(by))
        return;
    printf("\n%s:\n", title);
    json_object_foreach((json_t *)(uintptr_t)by, key, v)
    {
        printf("  ");
        print_counts(key, v);
    }
}

static void print_resources(const json_t *resources)
{
    static const char *const head[] = {"RESOURCE", "PUSHED", "COMPLETED", "REFUSED",
                                       "REPEATED", "OCTETS", "WASTED",    "LAST REASON"};
    struct table t = {.columns = sizeof head / sizeof head[0]};
    size_t i;
    const json_t *r;
    if (!json_array_size(resources))
        return;
    table_add(&t, head);
    json_array_foreach(resources, i, r)
    {
        const json_t *fates = json_object_get(r, "fates");
        char c[6][CELL_OCTETS], path[160], reason[80];
        snprintf(path, sizeof path, "%s%s", text(r, "path"),
                 json_is_true(json_object_get(r, "cut")) ? "..." : "");
        snprintf(reason, sizeof reason, "%s%s", text(r, "reason"),
                 json_is_true(json_object_get(r, "switchedOff")) ? " (off)" : "");
        table_add(&t, (const char *const[]){path, number_cell(c[0], number(r, "pushed")),
                                            number_cell(c[1], number(fates, "completed")),
                                            number_cell(c[2], refused(fates)),
                                            number_cell(c[3], number(fates, "repeated")),
                                            number_cell(c[4], number(r, "octetsSent")),
                                            number_cell(c[5], number(r, "octetsWasted")), reason});
    }
    printf("\n");
    table_print(&t);
}

static void print_pages(const json_t *pages)
{
    static const struct {
        const char *key, *name;
    } groups[] = {{"helped", "with help"}, {"heldBack", "held back"}};
    if (!number(json_object_get(pages, "heldBack"), "pages"))
        return;
    printf("\nPages that promise, from request to end:\n");
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        const json_t *g = json_object_get(pages, groups[i].key);
        char c[3][CELL_OCTETS];
        printf("  %s: %lld, mean %s, median %s, nine of ten below %s\n", groups[i].name,
               number(g, "pages"), real_cell(c[0], json_object_get(g, "meanMs"), " ms"),
               real_cell(c[1], json_object_get(g, "medianMs"), " ms"),
               real_cell(c[2], json_object_get(g, "p90Ms"), " ms"));
    }
}

static void print_app(const json_t *app)
{
    char percent[CELL_OCTETS];
    printf("%s\n", text(app, "app"));
    print_counts("  promises", json_object_get(app, "promises"));
    print_counts("  vehicles", json_object_get(app, "vehicles"));
    print_counts("  fates", json_object_get(app, "fates"));
    printf("  octets pushed: %lld, wasted: %lld (%s)\n", number(app, "octetsSent"),
           number(app, "octetsWasted"),
           real_cell(percent, json_object_get(app, "wastedPercent"), "%"));
    print_reasons("Why it was pushed, or not", json_object_get(app, "reasons"));
    print_reasons("Of what was not: why it was hinted (ok), or not",
                  json_object_get(app, "hintReasons"));
    print_fates_by("By client", json_object_get(app, "clients"));
    print_fates_by("By vehicle", json_object_get(app, "vehicleFates"));
    print_pages(json_object_get(app, "pages"));
    print_resources(json_object_get(app, "resources"));
}

int push_stats(const char *data, const char *app, bool as_json)
{
    char path[128] = "/push";
    json_t *j;
    int code = app ? ask_app_path(path, sizeof path, app, "/push") : 0;
    if (code == 0)
        code = ask_json(data, "GET", path, NULL, &j);
    if (code)
        return code;
    if (as_json) {
        json_dumpf(j, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        printf("\n");
    } else if (app) {
        print_app(j);
    } else {
        print_apps(json_object_get(j, "apps"));
    }
    json_decref(j);
    return 0;
}
