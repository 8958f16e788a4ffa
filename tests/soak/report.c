/* SPDX-License-Identifier: Apache-2.0 */
#include "soak.h"

#include <stdlib.h>
#include <string.h>

const char *const kind_names[KINDS] = {"h2", "h1s", "h1", "h2c"};
static const char *const outcome_names[OUTCOMES] = {"ok",     "expected-cut", "aborted", "moved",
                                                    "failed", "cut",          "wrong"};

/* The front end's pages are ASCII; what is not must not break our line. */
static void print_text(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            printf("\\%c", *text);
        else if (*text < ' ' || *text > '~')
            putchar(' ');
        else
            putchar(*text);
    }
    putchar('"');
}

/* One line for each request that did not go as it should: run.py judges it. */
static void print_request(const struct soak *s, const struct request *r, enum outcome o,
                          const char *why)
{
    const struct conn *c = r->conn;
    printf("{\"event\":\"%s\",\"id\":%llu,\"app\":\"%s\",\"method\":\"%s\",\"kind\":\"%s\","
           "\"conn\":%llu,\"stream\":%d,\"opened_us\":%llu,\"ready\":%s,\"served\":%u,"
           "\"began_us\":%llu,\"head_us\":%llu,\"over_us\":%llu,\"status\":%u,\"from_app\":%s,"
           "\"pid\":%d,\"down\":%u,\"got\":%u,\"up\":%u,\"up_sent\":%u,\"slow\":%s,\"early\":%s,"
           "\"chunked\":%s,\"moves\":%u,\"abort\":%d,\"request_id\":\"%s\",\"why\":",
           outcome_names[o], (unsigned long long)r->id, s->apps[r->app].name, request_method(r),
           c ? kind_names[c->kind] : "-", c ? (unsigned long long)c->number : 0, r->stream,
           c ? (unsigned long long)c->opened_us : 0, c && c->ready ? "true" : "false",
           c ? c->served : 0, (unsigned long long)r->began_us, (unsigned long long)r->head_us,
           (unsigned long long)s->now_us, r->status, r->from_app ? "true" : "false", r->pid,
           r->down, r->got, r->up, r->up_sent, r->slow ? "true" : "false",
           r->early ? "true" : "false", r->chunked ? "true" : "false", r->moves, (int)r->abort_when,
           r->request_id);
    print_text(why ? why : "");
    printf(",\"note\":");
    print_text(r->note);
    printf("}\n");
    fflush(stdout);
}

void report_wrong(struct soak *s, const struct conn *c, const char *why)
{
    s->counts[c->kind][OUT_WRONG]++;
    printf("{\"event\":\"wrong\",\"id\":0,\"kind\":\"%s\",\"conn\":%llu,\"opened_us\":%llu,"
           "\"over_us\":%llu,\"why\":",
           kind_names[c->kind], (unsigned long long)c->number, (unsigned long long)c->opened_us,
           (unsigned long long)s->now_us);
    print_text(why);
    printf("}\n");
    fflush(stdout);
}

static void add_latency(struct soak *s, uint64_t us)
{
    if (s->latency_count == s->latency_cap) {
        size_t cap = s->latency_cap ? 2 * s->latency_cap : 65536;
        uint32_t *grown = realloc(s->latencies_us, cap * sizeof *grown);
        if (!grown)
            return;
        s->latencies_us = grown;
        s->latency_cap = cap;
    }
    s->latencies_us[s->latency_count++] = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

void request_over(struct soak *s, struct request *r, enum outcome o, const char *why)
{
    enum kind kind = r->conn ? r->conn->kind : KIND_H1;
    s->counts[kind][o]++;
    if (o == OUT_OK && r->head_us && !r->wait_ms && (!request_has_upload(r) || r->up < 65536))
        add_latency(s, r->head_us - r->began_us);
    if (o == OUT_FAILED || o == OUT_CUT || o == OUT_WRONG)
        print_request(s, r, o, why);
    request_free(s, r);
}

void request_lost(struct soak *s, struct request *r, const char *why)
{
    if (r->fault == FAULT_CUT)
        request_over(s, r, OUT_EXPECTED_CUT, why);
    else
        request_over(s, r, r->head_us ? OUT_CUT : OUT_FAILED, why);
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

void report_end(struct soak *s)
{
    static const unsigned marks[] = {500, 900, 990, 999, 1000};
    uint64_t total[OUTCOMES] = {0};
    printf("{\"event\":\"end\",\"began_us\":%llu,\"over_us\":%llu,\"begun\":%llu,\"late\":%llu,"
           "\"connections\":%llu,\"handshakes\":%llu,\"resumed\":%llu,\"connect_failures\":%llu,"
           "\"octets_down\":%llu,\"octets_up\":%llu,\"under_way_top\":%u,\"kinds\":{",
           (unsigned long long)s->began_us, (unsigned long long)s->now_us,
           (unsigned long long)s->begun, (unsigned long long)s->late,
           (unsigned long long)s->conns_opened, (unsigned long long)s->handshakes,
           (unsigned long long)s->resumed, (unsigned long long)s->connect_failures,
           (unsigned long long)s->octets_down, (unsigned long long)s->octets_up, s->under_way_top);
    for (int k = 0; k < KINDS; k++) {
        printf("%s\"%s\":{", k ? "," : "", kind_names[k]);
        for (int o = 0; o < OUTCOMES; o++) {
            total[o] += s->counts[k][o];
            printf("%s\"%s\":%llu", o ? "," : "", outcome_names[o],
                   (unsigned long long)s->counts[k][o]);
        }
        printf("}");
    }
    printf("},\"total\":{");
    for (int o = 0; o < OUTCOMES; o++)
        printf("%s\"%s\":%llu", o ? "," : "", outcome_names[o], (unsigned long long)total[o]);
    printf("},\"head_us\":{");
    if (s->latency_count)
        qsort(s->latencies_us, s->latency_count, sizeof *s->latencies_us, by_size);
    for (size_t i = 0; s->latency_count && i < sizeof marks / sizeof *marks; i++)
        printf("%s\"p%g\":%u", i ? "," : "", marks[i] / 10.0,
               s->latencies_us[(s->latency_count - 1) * marks[i] / 1000]);
    printf("}}\n");
    fflush(stdout);
}
