/* SPDX-License-Identifier: Apache-2.0 */
/* A manifest: either good in every value, or a list of faults that lie inside the file.
 *
 * Files that the apps name are not looked at: as in a control that monitor opens files for. */
#include "base/panic.h"
#include "control/manifest.h"
#include "http/rules.h"
#include "ipc/ipc.h"
#include "route/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len);

static void check_text(struct slice s)
{
    ASSERT(s.len == 0 || (s.p && !memchr(s.p, '\0', s.len)));
}

static void check_faults(const struct manifest *m, struct slice text)
{
    unsigned lines = 1;
    for (size_t i = 0; i < text.len; i++)
        lines += text.p[i] == '\n' || text.p[i] == '\r' || (uint8_t)text.p[i] >= 0x80;
    for (unsigned i = 0; i < m->faults.count && i < TREE_MAX_FAULTS; i++) {
        const struct tree_fault *f = &m->faults.at[i];
        ASSERT(f->text.len && !memchr(f->text.p, '\0', f->text.len));
        ASSERT((f->line == 0) == (f->column == 0));
        ASSERT(f->line <= lines + 1 && f->column <= text.len + 2);
    }
}

static void check_app(const struct manifest *m, const struct manifest_app *a)
{
    check_text(a->name);
    check_text(a->command);
    ASSERT(a->name.len > 0 && a->name.len < IPC_NAME_OCTETS);
    ASSERT(a->command.len < IPC_COMMAND_OCTETS && a->directory.len < IPC_PATH_OCTETS);
    ASSERT(a->command.len == 0 || (a->directory.len && a->directory.p[0] == '/'));
    ASSERT(a->instances <= 64 && a->hosts.count > 0);
    ASSERT(a->min_tls_version == 0x0303 || a->min_tls_version == 0x0304);
    ASSERT((a->chain.len == 0) == (a->key.len == 0));
    for (uint32_t i = 0; i < a->hosts.count; i++)
        ASSERT(a->hosts.at[i].len > 0 && a->hosts.at[i].len <= ROUTE_MAX_HOST_OCTETS);
    for (uint32_t i = 0; i < a->upstreams.count; i++) {
        struct addr addr;
        ASSERT(addr_parse(a->upstreams.at[i], &addr) == 0);
    }
    for (uint32_t i = 0; i < a->env.count; i++)
        ASSERT(memchr(a->env.at[i].p, '=', a->env.at[i].len));
    if (a->health_path.len)
        ASSERT(rules_is_origin_form(a->health_path) && a->health_interval_ms);
    ASSERT(a->push.budget_octets <= 1u << 30 || a->push.budget_octets == PUSH_BUDGET_FITS);
    ASSERT(a->push.weave_octets <= 1u << 20 && a->push.holdback_percent <= 100);
}

static void check_range(uint64_t n, uint64_t least, uint64_t most)
{
    ASSERT(n >= least && n <= most);
}

static void check_limits(const struct limits *l)
{
#define COUNT(symbol, least, most) check_range(l->symbol, least, most)
#define OCTETS                     COUNT
#define SIZE                       COUNT
#define MS                         COUNT
#define RATE(symbol, least, most)              \
    check_range(l->symbol.burst, least, most); \
    check_range(l->symbol.per_second, least, most)
#define X(kind, symbol, key, first, second, least, most, reason) kind(symbol, least, most);
    LIMIT_TABLE(X)
#undef X
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
    struct slice text = slice_of(octets, len);
    struct manifest *m = manifest_parse(text, "fuzz.yaml", "/", MANIFEST_FILES_NAMED);
    ASSERT(m);
    check_faults(m, text);
    if (m->faults.count == 0) {
        ASSERT(m->app_count > 0 && m->app_count <= MANIFEST_MAX_APPS);
        check_limits(&m->limits);
        for (uint32_t i = 0; i < m->app_count; i++) {
            check_app(m, &m->apps[i]);
            for (uint32_t k = 0; k < i; k++)
                ASSERT(!slice_eq(m->apps[i].name, m->apps[k].name));
        }
        for (size_t kind = 0; kind < ARRAY_LEN(m->listens); kind++)
            for (uint32_t i = 0; i < m->listens[kind].count; i++) {
                struct addr a;
                ASSERT(addr_parse(m->listens[kind].at[i].address, &a) == 0);
            }
    }
    manifest_free(m);
    return 0;
}
