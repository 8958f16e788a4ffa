/* SPDX-License-Identifier: Apache-2.0 */
/* The schema: every key of the manifest, with what is allowed and what it is when absent. */
#include "control/manifest_file.h"
#include "control/manifest_push.h"
#include "base/map.h"
#include "http/rules.h"
#include "ipc/ipc.h"
#include "route/route.h"

#include <stdlib.h>
#include <unistd.h>

#define MAX_HOSTS     64
#define MAX_ENV       256
#define MAX_UPSTREAMS 64

#define READER(name) \
    static bool name(struct manifest *m, const struct tree_node *n, const struct key *k, void *to)
READER(read_listen);
READER(read_loops);
READER(read_access_log);
READER(read_prefixes);
READER(read_hosts);
READER(read_upstreams);
READER(read_env);
READER(read_upgrades);
READER(read_health_path);
READER(read_certificate);
READER(read_apps);

static const struct word no_yes[] = {{"true", 1}, {"false", 0}, {NULL, 0}};
static const struct word forwarded_words[] = {{"ip", 0}, {"ip:port", 1}, {NULL, 0}};
static const struct word tls_words[] = {{"1.2", 0x0303}, {"1.3", 0x0304}, {NULL, 0}};
static const struct word flag_words[] = {
    {"0", ROUTE_PROXY_H1}, {"1", ROUTE_PROXY_ALL}, {"2", ROUTE_PROXY_GRPC}, {NULL, 0}};

#define ADDRESSES  "an IP address and a port like 127.0.0.1:8443 or [::1]:8443, or a list of them"
#define DURATION   "a duration like 500ms, 230s, 2m or 1h"
#define APP(field) offsetof(struct manifest_app, field)
#define TOP(field) offsetof(struct manifest, field)

static const struct key timeout_keys[] = {
    {"request", value_duration, APP(request_timeout_ms), DURATION " (100ms to 24h)",
     .initial = "230s", .least = 100, .most = 86400000},
    {"idle", value_duration, APP(idle_timeout_ms), DURATION " (1s to 24h)", .initial = "60s",
     .least = 1000, .most = 86400000},
    /* Long enough for an app that seldom has something to say and sends no pings; short enough that
     * a peer that went without a word does not hold its memory and a worker's connection for ever.
     */
    {"tunnel", value_duration, APP(tunnel_timeout_ms), DURATION " (100ms to 24h)", .initial = "1h",
     .least = 100, .most = 86400000},
    {"drain", value_duration, APP(drain_ms), DURATION " (0s to 24h)", .initial = "30s", .least = 0,
     .most = 86400000},
    {0},
};

#define A_SIZE "a size in octets, or with KiB, MiB, GiB or TiB, like 64KiB (0 to 1024TiB)"

static const struct key limit_keys[] = {
    {"concurrency", value_number, APP(concurrency),
     "requests under way an instance; 0 means no limit", .initial = "0", .least = 0,
     .most = 1000000},
    {"queue", value_number, APP(queue),
     "requests that wait while every instance is busy or starting", .initial = "1000", .least = 0,
     .most = 1000000},
    {"body", value_size, APP(body_limit_octets), A_SIZE, .initial = "1GiB", .least = 0,
     .most = 1ull << 50},
    {0},
};

#define SOME_OCTETS        "a size in octets, or with KiB or MiB, like 64KiB"
#define LIMIT(symbol)      offsetof(struct manifest, limits.symbol)
#define RANGE(least, most) " (" #least " to " #most ")"
#define COUNT(a, b, l, m)  value_number, .initial = #a
#define OCTETS(a, b, l, m) value_octets, .initial = #a, .allowed = SOME_OCTETS RANGE(l, m)
#define SIZE(a, b, l, m)   value_size, .initial = #a, .allowed = A_SIZE
#define MS(a, b, l, m)     value_duration, .initial = #a "ms", .allowed = DURATION RANGE(l##ms, m##ms)
#define RATE(a, b, l, m)             \
    value_rate,                      \
        .initial = #a " + " #b "/s", \
        .allowed = "so many at once and so many a second, like 500 + 50/s, each" RANGE(l, m)

static const struct key front_keys[] = {
#define X(kind, symbol, key, first, second, least_, most_, reason) \
    {#key, .at = LIMIT(symbol), .least = least_, .most = most_,    \
     .read = kind(first, second, least_, most_)},
    LIMIT_TABLE(X)
#undef X
        {0},
};

static const struct key health_keys[] = {
    {"interval", value_duration, APP(health_interval_ms), DURATION " (100ms to 1h)",
     .initial = "60s", .least = 100, .most = 3600000},
    {"failures", value_number, APP(health_failures),
     "failed checks in a row after which an instance gets no requests", .initial = "3", .least = 1,
     .most = 100},
    {0},
};

static const struct key tls_keys[] = {
    {"minVersion", value_word, APP(min_tls_version), "\"1.2\" or \"1.3\"", .initial = "1.2",
     .words = tls_words},
    {0},
};

static const struct key certificate_keys[] = {
    {"chain", read_pem, APP(chain), "a PEM file with the certificate and its chain",
     .required = true},
    {"key", read_pem, APP(key), "a PEM file with the private key", .required = true},
    {0},
};

static const struct key app_keys[] = {
    {"directory", read_directory, APP(directory),
     .allowed = "a directory, relative to the manifest"},
    {"command", value_text, APP(command), "a command for /bin/sh", .most = IPC_COMMAND_OCTETS - 1},
    {"instances", value_number, APP(instances), .initial = "1", .least = 1, .most = 64},
    {"upstreams", read_upstreams, APP(upstreams),
     "addresses of workers that someone else runs, like tcp://127.0.0.1:9000 or unix:/run/x.sock",
     .least = 1, .most = MAX_UPSTREAMS},
    {"hosts", read_hosts, APP(hosts), "host names like shop.example or *.shop.example",
     .required = true, .least = 1, .most = MAX_HOSTS},
    {"http20Enabled", value_word, APP(http20_enabled), .initial = "true", .words = no_yes},
    {"webSocketsEnabled", value_word, APP(websockets_enabled), .initial = "true", .words = no_yes},
    {"upgrades", read_upgrades, APP(upgrades), "protocols that pass as they are, like foo or foo/2",
     .most = MANIFEST_MAX_UPGRADES},
    {"http20ProxyFlag", value_word, APP(proxy_flag),
     "0 (HTTP/1.1 to the worker), 1 (HTTP/2) or 2 (HTTP/2 for gRPC only)", .initial = "0",
     .words = flag_words},
    {"httpsOnly", value_word, APP(https_only), .initial = "false", .words = no_yes},
    {"push", read_push, 0, "a policy (off, deny, hints, observe, auto or always) or a map",
     .keys = push_keys},
    {"forwardedFor", value_word, APP(xff_port), .initial = "ip", .words = forwarded_words},
    {"timeouts", value_section, 0, .keys = timeout_keys},
    {"limits", value_section, 0, .keys = limit_keys},
    {"healthCheckPath", read_health_path, APP(health_path), .allowed = "a path like /health"},
    {"healthCheck", value_section, 0, .keys = health_keys},
    {"tls", value_section, 0, .keys = tls_keys},
    {"env", read_env, APP(env), "a map of names to texts", .most = MAX_ENV},
    {"certificate", read_certificate, 0, .keys = certificate_keys},
    {0},
};

static const struct key listen_keys[] = {
    {"https", read_listen, IPC_LISTEN_HTTPS * sizeof(struct manifest_listens), ADDRESSES,
     .most = 16},
    {"http", read_listen, IPC_LISTEN_HTTP * sizeof(struct manifest_listens), ADDRESSES, .most = 16},
    {"admin", read_listen, IPC_LISTEN_ADMIN * sizeof(struct manifest_listens), ADDRESSES,
     .most = 16},
    {0},
};

static const struct key top_keys[] = {
    {"listen", value_section, TOP(listens), "a map with https, http and admin", .required = true,
     .keys = listen_keys},
    {"loops", read_loops, TOP(loops), "auto or a whole number from 1 to 64", .initial = "auto",
     .least = 1, .most = 64},
    {"accessLog", read_access_log, TOP(access_log), "off, stdout or a file", .initial = "stdout"},
    {"trustedProxies", read_prefixes, TOP(trusted_proxies),
     "addresses or networks like 10.0.0.0/8 or ::1, or a list of them", .most = 256},
    {"limits", value_section, 0, "a map of limits", .keys = front_keys},
    {"apps", read_apps, 0, "a map of names to apps", .required = true},
    {0},
};

READER(read_listen)
{
    struct manifest_listens *l = field(to, k);
    bool good = value_is_text_list(m, n, k);
    if (!good || !(l->at = value_room(m, n, value_count(n), sizeof *l->at)))
        return false;
    for (const struct tree_node *c = value_first(n); c; c = value_next(n, c)) {
        struct addr a;
        if (addr_parse(c->text, &a) != 0 || a.u.sa.sa_family == AF_UNIX ||
            slice_starts(c->text, SLICE("tcp:")) || c->text.len >= ADDR_TEXT_OCTETS) {
            good = value_fault(m, c, k->allowed);
            continue;
        }
        l->at[l->count++] = (struct manifest_listen){
            .kind = (uint32_t)(k - listen_keys),
            .address = c->text,
            .where = value_where(m, c),
        };
    }
    return good;
}

READER(read_loops)
{
    m->loops_auto = n->kind == TREE_TEXT && slice_eq(n->text, SLICE("auto"));
    if (!m->loops_auto)
        return value_number(m, n, k, to);
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    *(uint32_t *)field(to, k) = cpus < 1 ? 1 : cpus > 64 ? 64 : (uint32_t)cpus;
    return true;
}

READER(read_access_log)
{
    struct slice *s = field(to, k);
    if (n->kind != TREE_TEXT || n->text.len == 0)
        return value_fault(m, n, k->allowed);
    *s = n->text;
    if (!slice_eq(*s, SLICE("off")) && !slice_eq(*s, SLICE("stdout")))
        *s = value_path(m, n, n->text);
    return s->p != NULL;
}

READER(read_prefixes)
{
    struct manifest_prefixes *l = field(to, k);
    bool good = value_is_text_list(m, n, k);
    if (!good || !(l->at = value_room(m, n, value_count(n), sizeof *l->at)))
        return false;
    for (const struct tree_node *c = value_first(n); c; c = value_next(n, c))
        if (addr_prefix_parse(c->text, &l->at[l->count]) == 0)
            l->count++;
        else
            good = value_fault(m, c, k->allowed);
    return good;
}

/* NULL: a host name as the snapshot wants it, or what is wrong with it.  RFC 1123 2.1 */
static const char *host_problem(struct slice h)
{
    size_t label = 0;
    if (h.len > 253)
        return "is longer than 253 characters";
    if (slice_starts(h, SLICE("*.")))
        h = slice_of(h.p + 2, h.len - 2);
    for (size_t i = 0; i <= h.len; i++) {
        unsigned char c = i < h.len ? (unsigned char)h.p[i] : '.';
        if (c == '.') {
            if (label == 0)
                return "has an empty label (two dots, or one at an end)";
            if (label > 63)
                return "has a label longer than 63 characters";
            if (h.p[i - 1] == '-' || h.p[i - label] == '-')
                return "has a label with \"-\" at an end";
            label = 0;
            continue;
        }
        label++;
        if (c >= 'A' && c <= 'Z')
            return "must be in lower case";
        if (c == ':')
            return "must not have a port or be an IPv6 address: the ports stand under listen";
        if (c == '*')
            return "may have \"*\" only as \"*.\" at its beginning";
        if (c >= 0x80)
            return "must be in its ASCII form (xn--...)";
        if (c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z'))
            return "may only hold a to z, 0 to 9, \"-\" and \".\"";
    }
    return NULL;
}

READER(read_hosts)
{
    struct manifest_text_list *l = field(to, k);
    bool good = value_is_text_list(m, n, k);
    size_t octets = 0;
    if (!good || !(l->at = value_room(m, n, value_count(n), sizeof *l->at)))
        return false;
    for (const struct tree_node *c = value_first(n); c; c = value_next(n, c)) {
        const char *problem = host_problem(c->text);
        if (problem)
            good = fault_at_value(&m->faults, c, "the host name \"%.80s\" %s; allowed: %s",
                                  c->text.p, problem, k->allowed);
        else
            l->at[l->count++] = c->text;
        octets += c->text.len + 1;
    }
    if (octets > sizeof((struct ipc_certificate *)NULL)->hosts)
        good = fault_at_value(&m->faults, n, "the names are longer than %zu octets together",
                              sizeof((struct ipc_certificate *)NULL)->hosts - 1);
    return good;
}

READER(read_upstreams)
{
    struct manifest_text_list *l = field(to, k);
    bool good = value_is_text_list(m, n, k);
    if (!good || !(l->at = value_room(m, n, value_count(n), sizeof *l->at)))
        return false;
    for (const struct tree_node *c = value_first(n); c; c = value_next(n, c)) {
        struct addr a;
        char text[ADDR_TEXT_OCTETS];
        if (addr_parse(c->text, &a) != 0 || (a.u.sa.sa_family != AF_UNIX && addr_port(&a) == 0)) {
            good = value_fault(m, c, k->allowed);
            continue;
        }
        addr_format(&a, text, sizeof text);
        struct slice s = arena_dup(&m->arena, slice_str(text));
        for (uint32_t i = 0; i < l->count; i++)
            if (slice_eq(l->at[i], s))
                good = fault_at_value(&m->faults, c, "the address %.80s stands twice", text);
        if (!s.p)
            return fault_at_value(&m->faults, c, "out of memory");
        l->at[l->count++] = s;
    }
    return good;
}

/* NULL: a protocol that may pass opaque, or what is wrong with it. */
static const char *upgrade_problem(struct slice s)
{
    if (slice_ieq(s, SLICE("websocket")))
        return "stands under webSocketsEnabled";
    /* It would be the client who chooses what a worker's library happens to know. */
    if (slice_eq(s, SLICE("*")))
        return "would be any protocol: each one is to be named";
    if (s.len >= MANIFEST_UPGRADE_OCTETS)
        return "is longer than 63 octets";
    if (!rules_is_upgrade(s))
        return "is no protocol's name, or would be HTTP or TLS that passes unseen";
    return NULL;
}

READER(read_upgrades)
{
    struct manifest_text_list *l = field(to, k);
    bool good = value_is_text_list(m, n, k);
    if (!good || !(l->at = value_room(m, n, value_count(n), sizeof *l->at)))
        return false;
    for (const struct tree_node *c = value_first(n); c; c = value_next(n, c)) {
        const char *problem = upgrade_problem(c->text);
        if (problem)
            good = fault_at_value(&m->faults, c, "\"%.80s\" %s; allowed: %s", c->text.p, problem,
                                  k->allowed);
        else
            l->at[l->count++] = c->text;
    }
    return good;
}

static bool is_env_name(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = ascii_lower((unsigned char)s.p[i]);
        if (c != '_' && (c < 'a' || c > 'z') && (i == 0 || c < '0' || c > '9'))
            return false;
    }
    return s.len > 0;
}

READER(read_env)
{
    static const char *const ours[] = {"PORT", "PORTICO_SOCKET", "HTTP20_ONLY_PORT"};
    struct manifest_text_list *l = field(to, k);
    bool good = true;
    if (value_is_nothing(n))
        return true;
    if (n->kind != TREE_MAP)
        return value_fault(m, n, k->allowed);
    if (n->count > k->most)
        return fault_at_value(&m->faults, n, "holds more than %lu names", k->most);
    if (!(l->at = value_room(m, n, n->count, sizeof *l->at)))
        return false;
    for (const struct tree_node *c = n->first; c; c = c->next) {
        bool taken = false;
        for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
            taken |= slice_eq(c->key, slice_str(ours[i]));
        if (!is_env_name(c->key))
            good = fault_at_key(&m->faults, c,
                                "not a name of an environment variable: allowed are letters, "
                                "digits and _, a digit not first");
        else if (taken)
            good = fault_at_key(&m->faults, c, "is set by portico for each instance");
        else if (c->kind != TREE_TEXT)
            good = value_fault(m, c, "a text");
        else if (c->key.len + c->text.len + 2 > IPC_COMMAND_OCTETS)
            good = fault_at_value(&m->faults, c, "name and value are longer than %d octets",
                                  IPC_COMMAND_OCTETS - 2);
        else if (!(l->at[l->count] = arena_printf(&m->arena, "%s=%s", c->key.p, c->text.p)).p)
            good = fault_at_value(&m->faults, c, "out of memory");
        else
            l->count++;
    }
    return good;
}

READER(read_health_path)
{
    struct slice *s = field(to, k);
    bool good = n->kind == TREE_TEXT && n->text.len && n->text.len < 1024 && n->text.p[0] == '/';
    for (size_t i = 0; good && i < n->text.len; i++)
        good = (unsigned char)n->text.p[i] > 0x20 && (unsigned char)n->text.p[i] < 0x7f &&
               n->text.p[i] != '#';
    if (!good)
        return value_fault(m, n, k->allowed);
    *s = n->text;
    return true;
}

READER(read_certificate)
{
    struct manifest_app *app = to;
    app->certificate_where = value_where(m, n);
    return value_section(m, n, k, to) &&
           (m->files != MANIFEST_FILES_FIT || file_pair_fits(m, n, app->chain, app->key));
}

/* What one key says about another. */
static void check_app(struct manifest *m, const struct tree_node *n, const struct manifest_app *app)
{
    static const char *const of_command[] = {"directory", "instances", "env"};
    const struct tree_node *command = tree_get(n, "command"), *upstreams = tree_get(n, "upstreams"),
                           *flag = tree_get(n, "http20ProxyFlag");
    if (n->kind != TREE_MAP)
        return;
    if (!command && !upstreams)
        fault_at_key(&m->faults, n,
                     "has neither \"command\" (workers that portico runs) nor \"upstreams\" "
                     "(workers that someone else runs); one of them is required");
    else if (command && upstreams)
        fault_at_key(&m->faults, upstreams,
                     "the app has \"command\" too; only one of them is allowed");
    else if (command && !tree_get(n, "directory"))
        fault_at_key(&m->faults, n,
                     "the key \"directory\" is missing: the directory that the command runs in, "
                     "relative to the manifest");
    for (size_t i = 0; upstreams && !command && i < sizeof of_command / sizeof *of_command; i++)
        if (tree_get(n, of_command[i]))
            fault_at_key(&m->faults, tree_get(n, of_command[i]),
                         "belongs to \"command\"; it means nothing beside \"upstreams\"");
    if (upstreams && flag && app->proxy_flag == ROUTE_PROXY_GRPC)
        fault_at_value(&m->faults, flag,
                       "2 needs \"command\", which gets HTTP20_ONLY_PORT; allowed beside "
                       "\"upstreams\": 0 or 1");
}

static bool is_app_name(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c != '-' && (c < 'a' || c > 'z') && (c < '0' || c > '9'))
            return false;
    }
    return s.len > 0 && s.len <= 60 && s.p[0] != '-' && s.p[s.len - 1] != '-';
}

READER(read_apps)
{
    static const struct key section = {.keys = app_keys, .allowed = "a map with the app's keys"};
    (void)to;
    if (n->kind != TREE_MAP)
        return value_fault(m, n, k->allowed);
    if (n->count == 0)
        return fault_at_value(&m->faults, n, "the map is empty: it must name at least one app");
    if (n->count > MANIFEST_MAX_APPS)
        return fault_at_value(&m->faults, n, "holds more than %d apps", MANIFEST_MAX_APPS);
    struct manifest_app initial = {.push.copied = PUSH_COPY_DEFAULT};
    value_defaults(m, app_keys, &initial);
    m->apps = value_room(m, n, n->count, sizeof *m->apps);
    for (const struct tree_node *c = m->apps ? n->first : NULL; c; c = c->next) {
        struct manifest_app *app = &m->apps[m->app_count++];
        if (!is_app_name(c->key))
            fault_at_key(&m->faults, c,
                         "not a name for an app: allowed are 1 to 60 of a to z, 0 to 9 and \"-\", "
                         "\"-\" not at an end");
        *app = initial;
        app->name = c->key;
        value_section(m, c, &section, app);
        app->where = value_where(m, c);
        if (map_put(&m->names, app->name, app) != 0)
            fault_at_key(&m->faults, c, "out of memory");
        check_app(m, c, app);
    }
    return true;
}

/* One host belongs to one app. */
static void check_hosts(struct manifest *m, const struct tree_node *root)
{
    struct map seen;
    const struct tree_node *apps = tree_get(root, "apps");
    map_init(&seen);
    for (const struct tree_node *app = apps ? apps->first : NULL; app; app = app->next) {
        const struct tree_node *hosts = tree_get(app, "hosts");
        if (!hosts || hosts->kind == TREE_MAP)
            continue;
        for (const struct tree_node *h = value_first(hosts); h; h = value_next(hosts, h)) {
            const struct tree_node *first = map_get(&seen, h->text);
            if (h->kind != TREE_TEXT)
                continue;
            if (first)
                fault_at_value(&m->faults, h, "the host %.80s is taken by %s in line %u", h->text.p,
                               tree_path(&m->arena, first).p, first->line);
            else if (map_put(&seen, h->text, (void *)(uintptr_t)h) != 0)
                fault_at_value(&m->faults, h, "out of memory");
        }
    }
    map_fini(&seen);
}

static void check_listens(struct manifest *m, const struct tree_node *root)
{
    const struct tree_node *section = tree_get(root, "listen");
    const struct manifest_listen *all[3 * 16];
    unsigned count = 0;
    if (!section)
        return;
    bool is_named = tree_get(section, "https") || tree_get(section, "http");
    bool is_any = m->listens[IPC_LISTEN_HTTPS].count || m->listens[IPC_LISTEN_HTTP].count;
    if (m->faults.count == 0 ? !is_any : section->kind == TREE_MAP && !is_named)
        fault_at_key(&m->faults, section, "at least one of \"https\" and \"http\" is required");
    for (unsigned kind = 0; kind < 3; kind++)
        for (uint32_t i = 0; i < m->listens[kind].count; i++) {
            struct addr a, b;
            const struct manifest_listen *l = &m->listens[kind].at[i];
            addr_parse(l->address, &a);
            for (unsigned j = 0; j < count && addr_port(&a) != 0; j++)
                if (addr_parse(all[j]->address, &b) == 0 && addr_eq(&a, &b))
                    fault_at_value(&m->faults, NULL, "%.*s: the address %.*s is also at %.*s",
                                   SLICE_FMT(l->where), SLICE_FMT(l->address),
                                   SLICE_FMT(all[j]->where));
            all[count++] = l;
        }
}

struct manifest *manifest_new(const char *name)
{
    struct manifest *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    pool_init(&m->pool);
    arena_init(&m->arena, &m->pool);
    map_init(&m->names);
    m->faults.arena = &m->arena;
    m->faults.file = arena_dup(&m->arena, slice_str(name));
    if (!m->faults.file.p) {
        manifest_free(m);
        return NULL;
    }
    return m;
}

void manifest_free(struct manifest *m)
{
    if (!m)
        return;
    map_fini(&m->names);
    arena_fini(&m->arena);
    pool_fini(&m->pool);
    free(m);
}

bool manifest_texts_eq(const struct manifest_text_list *a, const struct manifest_text_list *b)
{
    bool same = a->count == b->count;
    for (uint32_t i = 0; same && i < a->count; i++)
        same = slice_eq(a->at[i], b->at[i]);
    return same;
}

const struct manifest_app *manifest_find(const struct manifest *m, struct slice app)
{
    return map_get(&m->names, app);
}

static void manifest_read(struct manifest *m, struct slice text)
{
    static const struct key top = {.keys = top_keys,
                                   .allowed = "a map with listen, apps and other keys"};
    struct tree_node *root = tree_parse(text, &m->faults);
    if (!root)
        return;
    value_defaults(m, top_keys, m);
    if (root->kind != TREE_MAP) {
        value_fault(m, root, top.allowed);
        return;
    }
    value_section(m, root, &top, m);
    check_listens(m, root);
    check_hosts(m, root);
}

struct manifest *manifest_parse(struct slice text, const char *name, const char *directory,
                                enum manifest_files files)
{
    struct manifest *m = manifest_new(name);
    if (!m)
        return NULL;
    m->files = files;
    m->directory = arena_dup(&m->arena, slice_str(directory));
    if (!m->directory.p)
        fault_at_value(&m->faults, NULL, "out of memory");
    else
        manifest_read(m, text);
    return m;
}
