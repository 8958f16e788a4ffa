/* SPDX-License-Identifier: Apache-2.0 */
/* `portico push explain`: what was seen (push_watch.h) beside what edge says that it decided
 * (push/trace.h). */
#include "cli/ask.h"
#include "cli/push.h"
#include "cli/table.h"
#include "base/json.h"
#include "base/panic.h"
#include "base/terminal.h"
#include "http/h2.h"
#include "push/decision.h"
#include "push/trace.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_ROWS  (WATCH_RESOURCES + 2 * PUSH_TRACE_ITEMS)
#define MAX_PORTS 64
#define TOKEN_MAX 128

struct row {
    struct slice url;
    const struct watch_resource *seen;     /* NULL: no trace of it on the connection */
    const struct push_trace_item *decided; /* NULL: edge did not say */
    struct advice advice[ADVICE_MAX];
    unsigned advice_count;
};

struct explanation {
    const struct push_explain *asked;
    struct watch watch;
    struct push_trace_item items[2 * PUSH_TRACE_ITEMS];
    unsigned item_count;
    uint64_t more;
    struct row rows[MAX_ROWS]; /* the document first */
    unsigned count;
    char token[TOKEN_MAX];
    uint16_t ports[MAX_PORTS];
    unsigned port_count;
    char unknown[ASK_WHY_OCTETS + 256]; /* why the reasons are not known; empty: they are */
};

static const char *const as_names[] = {
    [WATCH_NODE] = "node", [WATCH_BROWSER] = "browser", [WATCH_HTTP1] = "http1"};

/* ---- putting together ---- */

static void get_token(struct explanation *e)
{
    struct ask_answer a;
    char why[ASK_WHY_OCTETS];
    size_t i;
    const json_t *port;
    if (ask_quietly(e->asked->data, "GET", "/push/token", NULL, &a, why) != 0) {
        snprintf(e->unknown, sizeof e->unknown,
                 "%s. They need the operator's rights on the data directory.", why);
        return;
    }
    json_t *j = a.status == 200 ? json_loadb(a.body, a.len, 0, NULL) : NULL;
    const char *token = json_string_value(json_object_get(j, "token"));
    if (token)
        snprintf(e->token, sizeof e->token, "%s", token);
    else
        snprintf(e->unknown, sizeof e->unknown, "the portico that runs gives out no token.");
    json_array_foreach(json_object_get(j, "ports"), i, port) if (e->port_count < MAX_PORTS)
        e->ports[e->port_count++] = (uint16_t)json_integer_value(port);
    json_decref(j);
    free(a.body);
}

static void read_traces(struct explanation *e)
{
    struct watch *w = &e->watch;
    for (unsigned i = 0; i < ARRAY_LEN(w->traces); i++) {
        unsigned count;
        uint64_t more;
        if (push_trace_read(w->traces[i], &w->arena, e->items + e->item_count, PUSH_TRACE_ITEMS,
                            &count, &more) != 0) {
            snprintf(e->unknown, sizeof e->unknown, "edge's Portico-Push cannot be understood.");
            continue;
        }
        e->item_count += count;
        e->more += more;
    }
    if (e->unknown[0])
        return;
    if (!w->is_traced)
        snprintf(e->unknown, sizeof e->unknown,
                 "the URL does not lead to a listener of the portico that uses this data directory "
                 "(--data DIR names another one).");
    else if (e->item_count == 0 && w->count > 1)
        snprintf(e->unknown, sizeof e->unknown,
                 "edge did not say. It may not know control's new token yet; and over HTTP/1.1 "
                 "what is decided after the response's head comes with chunked content only.");
}

static struct row *row_of(struct explanation *e, struct slice url)
{
    for (unsigned i = 0; i < e->count; i++)
        if (slice_eq(e->rows[i].url, url))
            return &e->rows[i];
    if (e->count == MAX_ROWS)
        return NULL;
    e->rows[e->count] = (struct row){.url = url};
    return &e->rows[e->count++];
}

static void put_together(struct explanation *e)
{
    struct watch *w = &e->watch;
    for (unsigned i = 0; i < w->count; i++) {
        struct row *r = row_of(e, w->at[i].url);
        if (!r)
            return;
        r->seen = &w->at[i];
        if (i)
            r->advice_count = push_advise(&w->at[0], r->seen, &w->arena, r->advice);
    }
    for (unsigned i = 0; i < e->item_count; i++) {
        struct row *r = row_of(e, e->items[i].url);
        /* Of two promises of the same, the one that was acted on. */
        if (r && (!r->decided || slice_eq(e->items[i].reason, SLICE("ok"))))
            r->decided = &e->items[i];
    }
}

static const char *text_of(struct slice code)
{
    for (unsigned i = 0; i < PUSH_REASON_COUNT; i++)
        if (slice_eq(code, slice_str(push_reason_code((enum push_reason)i))))
            return push_reason_text((enum push_reason)i);
    return "(a reason that this version does not know)";
}

static struct slice vehicle_of(const struct row *r)
{
    if (r->decided)
        return r->decided->vehicle;
    if (r->seen && r->seen->pushed)
        return SLICE("push-promise");
    if (r->seen && r->seen->hinted)
        return SLICE("early-hint");
    return r->seen && r->seen->linked ? SLICE("link") : SLICE("");
}

/* ---- for people ---- */

#define CELL_OCTETS 160

/* A worker chooses the paths that it promises, and a terminal reads them. */
static const char *cell(char out[CELL_OCTETS], struct slice s)
{
    bool is_long = s.len >= CELL_OCTETS;
    snprintf(out, CELL_OCTETS, "%.*s%s", is_long ? CELL_OCTETS - 4 : (int)s.len, s.len ? s.p : "-",
             is_long ? "..." : "");
    terminal_mask(out, strlen(out), "");
    return s.len ? out : "-";
}

/* "client-disabled, hint-late" */
static const char *reason_cell(char out[CELL_OCTETS], const struct push_trace_item *d)
{
    if (!d)
        return "-";
    snprintf(out, CELL_OCTETS, "%.*s%s%.*s", SLICE_FMT(d->reason), d->hint.len ? ", " : "",
             SLICE_FMT(d->hint));
    return out;
}

static const char *time_cell(char out[CELL_OCTETS], int64_t us)
{
    if (us == WATCH_NEVER)
        return "-";
    snprintf(out, CELL_OCTETS, "%.1f", (double)us / 1000);
    return out;
}

static void print_resources(struct explanation *e)
{
    static const char *const head[] = {"RESOURCE", "SOURCE",   "VEHICLE", "REASON",
                                       "OCTETS",   "PROMISED", "FIRST",   "LAST"};
    struct table t = {.columns = ARRAY_LEN(head)};
    table_add(&t, head);
    for (unsigned i = 0; i < e->count; i++) {
        const struct row *r = &e->rows[i];
        const struct watch_resource *s = r->seen;
        char text[8][CELL_OCTETS], octets[32] = "-";
        if (s && s->status)
            snprintf(octets, sizeof octets, "%lu", (unsigned long)s->octets);
        else if (r->decided && r->decided->octets >= 0)
            snprintf(octets, sizeof octets, "%ld", (long)r->decided->octets);
        table_add(&t,
                  (const char *const[]){cell(text[0], r->url),
                                        cell(text[1], r->decided ? r->decided->source : SLICE("")),
                                        i ? cell(text[2], vehicle_of(r)) : "request",
                                        reason_cell(text[3], r->decided), octets,
                                        time_cell(text[4], s ? s->promised_us : WATCH_NEVER),
                                        time_cell(text[5], s ? s->first_us : WATCH_NEVER),
                                        time_cell(text[6], s ? s->last_us : WATCH_NEVER)});
    }
    table_print(&t);
    printf("Times are milliseconds since the request.\n");
    if (e->more)
        printf("Edge counted %lu decisions more than it told.\n", (unsigned long)e->more);
}

static bool was_told(struct explanation *e, unsigned before, struct slice code, bool is_hint)
{
    for (unsigned i = 0; i <= before; i++) {
        const struct push_trace_item *d = e->rows[i].decided;
        if (d && (i < before || is_hint) && slice_eq(d->reason, code))
            return true;
        if (d && i < before && slice_eq(d->hint, code))
            return true;
    }
    return false;
}

static void print_reasons(struct explanation *e)
{
    for (unsigned i = 0; i < e->count; i++) {
        const struct push_trace_item *d = e->rows[i].decided;
        if (!d)
            continue;
        if (!was_told(e, i, d->reason, false))
            printf("  %.*s: %s\n", SLICE_FMT(d->reason), text_of(d->reason));
        if (d->hint.len && !was_told(e, i, d->hint, true))
            printf("  %.*s: %s\n", SLICE_FMT(d->hint), text_of(d->hint));
    }
}

static void print_order(const struct watch *w)
{
    enum { SHOWN = 24 };
    printf("\nOctets came as:");
    for (unsigned i = 0; i < w->run_count && i < SHOWN; i++) {
        char text[CELL_OCTETS];
        printf("%s %s %lu", i ? "," : "", cell(text, w->at[w->runs[i].resource].url),
               (unsigned long)w->runs[i].octets);
    }
    printf("%s\n", w->run_count > SHOWN ? ", ..." : w->run_count ? "" : " none");
}

static void print(struct explanation *e)
{
    const struct watch *w = &e->watch;
    char text[CELL_OCTETS];
    bool has_advice = false;
    printf("%s as %s over %s: ", e->asked->url, as_names[e->asked->as],
           w->is_h2 ? "HTTP/2" : "HTTP/1.1");
    if (w->at[0].status)
        printf("status %u after %s ms\n", w->at[0].status, time_cell(text, w->at[0].head_us));
    else
        printf("no response\n");
    for (unsigned i = 0; i < w->head_count; i++)
        printf("status %u came after %s ms\n", w->heads[i].status,
               time_cell(text, w->heads[i].at_us));
    printf("\n");
    print_resources(e);
    if (e->item_count) {
        printf("\n");
        print_reasons(e);
    }
    print_order(w);
    for (unsigned i = 0; i < e->count; i++) {
        const struct watch_resource *s = e->rows[i].seen;
        if (s && s->is_reset)
            printf("%s was reset: %s\n", cell(text, s->url), h2_code_name(s->reset_code));
        for (unsigned k = 0; k < e->rows[i].advice_count; k++) {
            printf("%s  %s: %.*s\n", has_advice ? "" : "\nAdvice:\n", cell(text, e->rows[i].url),
                   SLICE_FMT(e->rows[i].advice[k].text));
            has_advice = true;
        }
    }
    if (w->end)
        printf("\nNot all came: %s.\n", w->end);
    if (e->unknown[0])
        printf("\nThe reasons are not known: %s\n", e->unknown);
}

/* ---- for programs ---- */

static json_t *ms(int64_t us)
{
    return us == WATCH_NEVER ? json_null() : json_real((double)us / 1000);
}

static json_t *row_json(const struct row *r, bool is_document)
{
    static const struct watch_resource nothing = {.promised_us = WATCH_NEVER,
                                                  .asked_us = WATCH_NEVER,
                                                  .head_us = WATCH_NEVER,
                                                  .first_us = WATCH_NEVER,
                                                  .last_us = WATCH_NEVER};
    const struct watch_resource *s = r->seen ? r->seen : &nothing;
    const struct push_trace_item *d = r->decided;
    json_t *advice = json_array();
    for (unsigned i = 0; i < r->advice_count; i++)
        json_array_append_new(advice, json_pack("{s:s,s:o}", "code", r->advice[i].code, "text",
                                                json_octets(r->advice[i].text)));
    json_t *j = json_pack(
        "{s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:b,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "url",
        json_octets(r->url), "source", json_octets(d ? d->source : SLICE("")), "vehicle",
        is_document ? json_string("request") : json_octets(vehicle_of(r)), "reason",
        json_octets(d ? d->reason : SLICE("")), "reasonText",
        d ? json_string(text_of(d->reason)) : json_null(), "hint",
        json_octets(d ? d->hint : SLICE("")), "status",
        s->status ? json_integer(s->status) : json_null(), "octets",
        s->status             ? json_integer((json_int_t)s->octets)
        : d && d->octets >= 0 ? json_integer(d->octets)
                              : json_null(),
        "complete", s->is_whole, "reset",
        s->is_reset ? json_string(h2_code_name(s->reset_code)) : json_null(), "promisedMs",
        ms(s->promised_us), "askedMs", ms(s->asked_us), "headMs", ms(s->head_us), "firstMs",
        ms(s->first_us), "lastMs", ms(s->last_us), "advice", advice);
    json_object_set_new(j, "decidedMs", d ? ms((int64_t)d->t_us) : json_null());
    return j;
}

static void print_json(struct explanation *e)
{
    const struct watch *w = &e->watch;
    json_t *heads = json_array(), *resources = json_array(), *order = json_array();
    for (unsigned i = 0; i < w->head_count; i++)
        json_array_append_new(heads, json_pack("{s:i,s:o}", "status", w->heads[i].status, "ms",
                                               ms(w->heads[i].at_us)));
    for (unsigned i = 1; i < e->count; i++)
        json_array_append_new(resources, row_json(&e->rows[i], false));
    for (unsigned i = 0; i < w->run_count; i++)
        json_array_append_new(
            order, json_pack("{s:o,s:I,s:o}", "url", json_octets(w->at[w->runs[i].resource].url),
                             "octets", (json_int_t)w->runs[i].octets, "ms", ms(w->runs[i].at_us)));
    json_t *j = json_pack("{s:s,s:s,s:s,s:b,s:o,s:o,s:o,s:o,s:I,s:o,s:o}", "url", e->asked->url,
                          "as", as_names[e->asked->as], "protocol", w->is_h2 ? "h2" : "http/1.1",
                          "traced", w->is_traced, "document", row_json(&e->rows[0], true),
                          "informational", heads, "resources", resources, "order", order, "untold",
                          (json_int_t)e->more, "end", w->end ? json_string(w->end) : json_null(),
                          "unknown", e->unknown[0] ? json_string(e->unknown) : json_null());
    json_dumpf(j, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    printf("\n");
    json_decref(j);
}

int push_explain(const struct push_explain *asked)
{
    static struct explanation e;
    char directory[1024], authority[1100] = "";
    e = (struct explanation){.asked = asked};
    int code = ask_data_directory(asked->data, directory, sizeof directory);
    if (code)
        return code;
    snprintf(authority, sizeof authority, "%s/tls/ca.crt", directory);
    get_token(&e);
    struct watch_options options = {.url = asked->url,
                                    .as = asked->as,
                                    .authority = asked->authority ? asked->authority : authority,
                                    .token = e.token[0] ? e.token : NULL,
                                    .ports = e.ports,
                                    .port_count = e.port_count};
    code = watch_page(&e.watch, &options);
    if (code == 0) {
        read_traces(&e);
        put_together(&e);
        if (asked->as_json)
            print_json(&e);
        else
            print(&e);
    }
    watch_fini(&e.watch);
    return code;
}
