/* SPDX-License-Identifier: Apache-2.0 */
/* `portico help limits`, which is also doc/limits.md: the tables of limits and refusals, as text.
 */
#include "cli/limits.h"
#include "http/h2.h"
#include "route/limits.h"
#include "stats/refusal.h"

#include <stdio.h>

static void count(uint64_t v, uint64_t second)
{
    (void)second;
    printf("%lu", v);
}

static void octets(uint64_t v, uint64_t second)
{
    (void)second;
    static const char *const units[] = {"", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;
    while (unit + 1 < sizeof units / sizeof *units && v >= 1024 && v % 1024 == 0) {
        v >>= 10;
        unit++;
    }
    printf("%lu%s", v, units[unit]);
}

static void ms(uint64_t v, uint64_t second)
{
    (void)second;
    if (v % 1000 == 0)
        printf("%lus", v / 1000);
    else
        printf("%lums", v);
}

static void rate(uint64_t v, uint64_t second)
{
    printf("%lu + %lu/s", v, second);
}

#define PRINT_COUNT  count
#define PRINT_OCTETS octets
#define PRINT_SIZE   octets
#define PRINT_MS     ms
#define PRINT_RATE   rate

static void print_settings(void)
{
    static const struct {
        const char *key;
        void (*print)(uint64_t v, uint64_t second);
        uint64_t first, second, least, most;
        const char *reason;
    } rows[] = {
#define X(kind, symbol, key_, first_, second_, least_, most_, reason_) \
    {#key_, PRINT_##kind, first_, second_, least_, most_, reason_},
        LIMIT_TABLE(X)
#undef X
    };
    printf(
        "## Settings\n\n"
        "Keys of `limits` at the top of the manifest. They hold for every client, whatever app it\n"
        "asks; those of HTTP/2 for each connection. \"500 + 50/s\" is so many at once, and then "
        "so\n"
        "many a second; of the HTTP/2 ones a connection of `trustedProxies`, over which many "
        "clients\n"
        "come, has 16 times as much. A reload changes them for new connections, `memory` and "
        "`hops` at once.\n"
        "What holds for one app stands\n"
        "in its own `limits` and `timeouts` ([operations.md](operations.md)).\n\n"
        "| key | default | least | most | what, and why so much |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        printf("| `%s` | ", rows[i].key);
        rows[i].print(rows[i].first, rows[i].second);
        printf(" | ");
        rows[i].print(rows[i].least, rows[i].least);
        printf(" | ");
        rows[i].print(rows[i].most, rows[i].most);
        printf(" | %s |\n", rows[i].reason);
    }
}

static void print_key(const char *limit)
{
    if (*limit)
        printf(" | `%s` |\n", limit);
    else
        printf(" | |\n");
}

static void print_connections(void)
{
    printf("\n## Connections\n\n"
           "Counted in `portico_refusals_total{reason=\"…\"}`.\n\n"
           "| reason | what | answer | by | limit |\n|---|---|---|---|---|\n");
    for (unsigned i = 0; i < REFUSAL_COUNT; i++) {
        const struct refusal_row *r = refusal_row((enum refusal)i);
        printf("| `%s` | %s | %s | %s", r->name, r->text, r->answer, r->standard);
        print_key(r->limit);
    }
}

static void print_h2(void)
{
    printf("\n## HTTP/2\n\n"
           "Counted in `portico_http2_refusals_total{reason=\"…\"}`, and for workers in\n"
           "`portico_worker_http2_refusals_total`. GOAWAY ends the connection, RST_STREAM one "
           "stream.\n"
           "Sections are of RFC 9113.\n\n"
           "| reason | what | answer | by |\n|---|---|---|---|\n");
    for (unsigned i = H2_BLAME_NONE + 1; i < H2_BLAME_COUNT; i++) {
        const struct h2_blame_row *r = h2_blame_row((enum h2_blame)i);
        printf("| `%s` | %s | %s %s | %s |\n", r->name, r->text,
               r->scope == H2_SCOPE_CONN ? "GOAWAY" : "RST_STREAM", h2_code_name(r->code),
               r->section);
    }
}

static void print_requests(void)
{
    printf(
        "\n## Requests\n\n"
        "Counted for each app in `portico_faults_total{app=\"…\",reason=\"…\"}` (hosts that no "
        "app\n"
        "has in `portico_requests_unrouted_total`); the reason also stands in the access log as\n"
        "`fault`, with a `why` beside it where a message was malformed. When a response has\n"
        "begun, it is cut instead: RST_STREAM, or the end of an HTTP/1.1 connection before the\n"
        "end of its content.\n\n"
        "| reason | what | status | limit |\n|---|---|---|---|\n");
    for (unsigned i = FAULT_NONE + 1; i < FAULT_COUNT; i++) {
        const struct fault_row *r = fault_row((enum fault)i);
        printf("| `%s` | %s | ", r->name, r->text);
        if (r->status)
            printf("%u", r->status);
        print_key(r->limit);
    }
}

void limits_print(void)
{
    printf("# Limits and refusals\n\n"
           "What Portico takes from clients and workers, what it answers beyond that, and which\n"
           "counter of `/metrics` rises. Written by `portico help limits` from the tables in the\n"
           "code (`src/route/limits.h`, `src/stats/refusal.h`, `src/http/h2_blame.h`).\n\n");
    print_settings();
    print_connections();
    print_h2();
    print_requests();
}
