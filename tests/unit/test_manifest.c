/* SPDX-License-Identifier: Apache-2.0 */
/* The manifest: what is accepted and how it is understood; what is refused, where, and in which
 * words. */
#include "control/manifest.h"
#include "ipc/ipc.h"
#include "route/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/test-manifest-XXXXXX";

static void write_file(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static struct manifest *parse(const char *text)
{
    struct manifest *m = manifest_parse(slice_str(text), "dir/portico.yaml", dir, MANIFEST_FILES_PRESENT);
    assert_non_null(m);
    return m;
}

#define LISTEN "listen: {http: 127.0.0.1:80}\n"
#define APP    "apps:\n  a:\n    directory: here\n    command: run\n    hosts: [a.test]\n"

static void assert_text(struct slice s, const char *text)
{
    assert_int_equal(s.len, strlen(text));
    assert_memory_equal(s.p, text, s.len);
}

static void print_faults(const struct manifest *m)
{
    for (unsigned i = 0; i < m->faults.count && i < TREE_MAX_FAULTS; i++)
        print_message("  %u:%u: %s\n", m->faults.at[i].line, m->faults.at[i].column,
                      m->faults.at[i].text.p);
}

static void test_everything(void **state)
{
    struct manifest *m = parse("listen:\n"
                               "  https: [\"127.0.0.1:8443\", \"[::1]:8443\"]\n"
                               "  http: 127.0.0.1:8080\n"
                               "  admin: 127.0.0.1:8081\n"
                               "loops: 3\n"
                               "accessLog: logs/access.log\n"
                               "trustedProxies: [10.0.0.0/8, \"::1\"]\n"
                               "apps:\n"
                               "  gallery:\n"
                               "    directory: here\n"
                               "    command: node server.mjs\n"
                               "    instances: 2\n"
                               "    hosts: [gallery.localhost, \"*.gallery.localhost\"]\n"
                               "    upgrades: [foo, Bar/1.2]\n"
                               "    http20Enabled: false\n"
                               "    http20ProxyFlag: 2\n"
                               "    httpsOnly: true\n"
                               "    push: off\n"
                               "    forwardedFor: ip:port\n"
                               "    tls: {minVersion: \"1.3\"}\n"
                               "    timeouts: {request: 2m, idle: 1500ms, tunnel: 2h, drain: 0s}\n"
                               "    limits: {body: 64KiB}\n"
                               "    env: {GREETING: hello, EMPTY: }\n"
                               "    certificate: {chain: x.pem, key: x.key}\n"
                               "  elsewhere:\n"
                               "    upstreams: [\"tcp://127.0.0.1:9000\", \"unix:/run/x.sock\"]\n"
                               "    hosts: elsewhere.localhost\n");
    char path[300];
    print_faults(m);
    assert_int_equal(m->faults.count, 0);
    assert_int_equal(m->listens[IPC_LISTEN_HTTPS].count, 2);
    assert_text(m->listens[IPC_LISTEN_HTTPS].at[1].address, "[::1]:8443");
    assert_text(m->listens[IPC_LISTEN_HTTPS].at[1].where, "portico.yaml:2: listen.https[1]");
    assert_int_equal(m->listens[IPC_LISTEN_ADMIN].at[0].kind, IPC_LISTEN_ADMIN);
    assert_int_equal(m->loops, 3);
    snprintf(path, sizeof path, "%s/logs/access.log", dir);
    assert_text(m->access_log, path);
    assert_int_equal(m->trusted_proxies.count, 2);
    assert_int_equal(m->app_count, 2);
    const struct manifest_app *a = &m->apps[0];
    assert_text(a->name, "gallery");
    snprintf(path, sizeof path, "%s/here", dir);
    assert_text(a->directory, path);
    assert_text(a->command, "node server.mjs");
    assert_int_equal(a->instances, 2);
    assert_int_equal(a->hosts.count, 2);
    assert_text(a->hosts.at[1], "*.gallery.localhost");
    assert_int_equal(a->upgrades.count, 2);
    assert_text(a->upgrades.at[1], "Bar/1.2");
    assert_int_equal(a->http20_enabled, 0);
    assert_int_equal(a->proxy_flag, ROUTE_PROXY_GRPC);
    assert_int_equal(a->https_only + a->xff_port, 2);
    assert_int_equal(a->push.policy, PUSH_POLICY_OFF);
    assert_int_equal(a->min_tls_version, 0x0304);
    assert_int_equal(a->request_timeout_ms, 120000);
    assert_int_equal(a->drain_ms, 0);
    assert_int_equal(a->idle_timeout_ms, 1500);
    assert_int_equal(a->tunnel_timeout_ms, 7200000);
    assert_int_equal(a->body_limit_octets, 65536);
    assert_int_equal(a->env.count, 2);
    assert_text(a->env.at[0], "GREETING=hello");
    assert_text(a->env.at[1], "EMPTY=");
    snprintf(path, sizeof path, "%s/x.key", dir);
    assert_text(a->key, path);
    a = &m->apps[1];
    assert_int_equal(a->upstreams.count, 2);
    assert_text(a->upstreams.at[0], "127.0.0.1:9000");
    assert_text(a->upstreams.at[1], "unix:/run/x.sock");
    manifest_free(m);
}

static void test_defaults(void **state)
{
    struct manifest *m = parse(LISTEN APP);
    assert_int_equal(m->faults.count, 0);
    assert_in_range(m->loops, 1, 64);
    assert_text(m->access_log, "stdout");
    const struct manifest_app *a = &m->apps[0];
    assert_int_equal(a->instances, 1);
    assert_int_equal(a->upgrades.count, 0);
    assert_int_equal(a->http20_enabled, 1);
    assert_int_equal(a->proxy_flag, ROUTE_PROXY_H1);
    assert_int_equal(a->https_only + a->xff_port, 0);
    assert_int_equal(a->push.policy, PUSH_POLICY_AUTO);
    assert_int_equal(a->push.budget_octets, PUSH_BUDGET_FITS);
    assert_int_equal(a->push.weave_octets, 4096);
    assert_int_equal(a->push.holdback_percent, 0);
    assert_int_equal(a->push.copied, PUSH_COPY_DEFAULT);
    assert_int_equal(a->push_rules.include.len + a->push_rules.exclude.len, 0);
    assert_int_equal(a->push_rules.preload.len, 0);
    assert_int_equal(a->min_tls_version, 0x0303);
    assert_int_equal(a->request_timeout_ms, 230000);
    assert_int_equal(a->drain_ms, 30000);
    assert_int_equal(a->idle_timeout_ms, 60000);
    assert_int_equal(a->tunnel_timeout_ms, 3600000);
    assert_int_equal(a->body_limit_octets, 1u << 30);
    assert_int_equal(a->chain.len, 0);
    manifest_free(m);
}

static void test_push(void **state)
{
    struct manifest *m =
        parse(LISTEN APP "    push:\n"
                         "      policy: observe\n"
                         "      budget: 64KiB\n"
                         "      interleave: 0\n"
                         "      holdback: 5\n"
                         "      include: /a/*\n"
                         "      exclude: [/a/b, \"*/c\", /d*e]\n"
                         "      copy: [Cookie, accept-encoding]\n"
                         "      preload:\n"
                         "        /: [/a.css?v=1, /f.woff2, /data]\n"
                         "        /p/*: '</x.js>; rel=preload; as=script; critical'\n");
    const struct manifest_app *a = &m->apps[0];
    assert_int_equal(m->faults.count, 1);
    assert_non_null(strstr(m->faults.at[0].text.p, "apps.a.push.exclude[1]: must be a path"));
    assert_int_equal(a->push.policy, PUSH_POLICY_OBSERVE);
    assert_int_equal(a->push.budget_octets, 65536);
    assert_int_equal(a->push.weave_octets, 0);
    assert_int_equal(a->push.holdback_percent, 5);
    assert_int_equal(a->push.copied, 1u << PUSH_COPY_COOKIE | 1u << PUSH_COPY_ACCEPT_ENCODING);
    assert_text(a->push_rules.include, "/a/*\n");
    assert_text(a->push_rules.exclude, "/a/b\n/d*e\n");
    assert_text(a->push_rules.preload, "/\n</a.css?v=1>; rel=preload; as=style\n"
                                       "/\n</f.woff2>; rel=preload; as=font; crossorigin\n"
                                       "/\n</data>; rel=preload\n"
                                       "/p/*\n</x.js>; rel=preload; as=script; critical\n");
    manifest_free(m);
}

struct bad {
    const char *text;
    unsigned line, column;
    const char *says; /* the fault's text begins so */
};

static const struct bad bads[] = {
    {"", 0, 0, "the file is empty"},
    {"# nothing\n", 0, 0, "the file is empty"},
    {"- x\n", 1, 1, "must be a map with listen, apps and other keys, not a list"},
    {"listen: [\n", 2, 1, "not YAML: "},
    {"listen: \"a\\0b\"\n", 1, 9, "a text must not hold a NUL"},
    {"a: \xff\n", 1, 1, "not YAML: the file is not UTF-8"},
    {LISTEN APP "---\nx: y\n", 7, 1, "the file must hold one document"},
    {"listen: &x {http: 127.0.0.1:80}\n", 1, 9, "anchors (&x) and aliases are not allowed"},
    {"listen: *x\n", 1, 9, "anchors and aliases (*x) are not allowed"},
    {"listen: !!str x\n", 1, 9, "tags (tag:yaml.org,2002:str) are not allowed"},
    {"{[a]: b}\n", 1, 2, "a key must be a plain text"},
    {LISTEN, 1, 1, "the key \"apps\" is missing: a map of names to apps"},
    {APP, 1, 1, "the key \"listen\" is missing"},
    {LISTEN LISTEN APP, 2, 1, "listen: this key stands twice; it was first in line 1"},
    {LISTEN "loop: 3\n" APP, 2, 1, "loop: unknown key; did you mean \"loops\"? (allowed: listen"},
    {LISTEN "zebra: 3\n" APP, 2, 1, "zebra: unknown key (allowed: listen, loops"},
    {LISTEN "loops: 0\n" APP, 2, 8,
     "loops: must be auto or a whole number from 1 to 64, not \"0\""},
    {LISTEN "loops: 65\n" APP, 2, 8, "loops: must be auto"},
    {LISTEN "accessLog: |\n  /var/log/portico\n" APP, 2, 12,
     "accessLog: a path must not hold line breaks"},
    {"listen:\n" APP, 1, 1, "listen: at least one of \"https\" and \"http\""},
    {"listen: {https: }\n" APP, 1, 1, "listen: at least one of \"https\" and \"http\""},
    {LISTEN "loops:\n" APP, 2, 7, "loops: must be auto or a whole number from 1 to 64; nothing"},
    {LISTEN "accessLog: []\n" APP, 2, 12, "accessLog: must be off, stdout or a file, not a list"},
    {LISTEN "trustedProxies: [10.0.0.0/33]\n" APP, 2, 18, "trustedProxies[0]: must be addresses"},
    {"listen: {admin: 127.0.0.1:80}\n" APP, 1, 1, "listen: at least one of \"https\" and \"http\""},
    {"listen: {http: localhost:80}\n" APP, 1, 16, "listen.http: must be an IP address and a port"},
    {"listen: {http: 127.0.0.1:65536}\n" APP, 1, 16, "listen.http: must be an IP address"},
    {"listen: {http: \"unix:/x\"}\n" APP, 1, 16, "listen.http: must be an IP address"},
    {"listen: {http: [127.0.0.1:80, {}]}\n" APP, 1, 31, "listen.http[1]: must be an IP address"},
    {"listen: {http: 127.0.0.1:80, https: 127.0.0.1:80}\n" APP, 0, 0,
     "portico.yaml:1: listen.http: the address 127.0.0.1:80 is also at portico.yaml:1: "},
    {LISTEN "apps: {}\n", 2, 7, "apps: the map is empty: it must name at least one app"},
    {LISTEN "apps: {a: {hosts: a.b}}\n", 2, 8, "apps.a: has neither \"command\""},
    {LISTEN "apps: {a: {hosts: a.b, command: x}}\n", 2, 8,
     "apps.a: the key \"directory\" is missi"},
    {LISTEN "apps: {A: {hosts: a.b, upstreams: \"127.0.0.1:1\"}}\n", 2, 8,
     "apps.A: not a name for"},
    {LISTEN "apps: {a: {hosts: a.b, upstreams: \"127.0.0.1:0\"}}\n", 2, 35,
     "apps.a.upstreams: must be addresses of workers"},
    {LISTEN "apps: {a: {hosts: a.b, upstreams: [\"127.0.0.1:1\", \"tcp://127.0.0.1:1\"]}}\n", 2, 51,
     "apps.a.upstreams[1]: the address 127.0.0.1:1 stands twice"},
    {LISTEN "apps: {a: {upstreams: \"127.0.0.1:1\"}}\n", 2, 8,
     "apps.a: the key \"hosts\" is missin"},
    {LISTEN "apps: {a: {hosts: [], upstreams: \"127.0.0.1:1\"}}\n", 2, 19,
     "apps.a.hosts: the list i"},
    {LISTEN "apps: {a: {hosts: A.b, upstreams: \"127.0.0.1:1\"}}\n", 2, 19,
     "apps.a.hosts: the host name \"A.b\" must be in lower case"},
    {LISTEN APP "    upstreams: \"127.0.0.1:1\"\n", 7, 5,
     "apps.a.upstreams: the app has \"command\""},
    {LISTEN APP "    instances: lots\n", 7, 16,
     "apps.a.instances: must be a whole number from 1 to 64, not \"lots\""},
    {LISTEN APP "    instances: 0\n", 7, 16, "apps.a.instances: must be a whole number from 1 to"},
    {LISTEN APP "    instances: 65\n", 7, 16, "apps.a.instances: must be"},
    {LISTEN APP "    instances: -1\n", 7, 16, "apps.a.instances: must be"},
    {LISTEN APP "    instances: 99999999999999999999\n", 7, 16, "apps.a.instances: must be"},
    {LISTEN APP "    httpsOnly: yes\n", 7, 16,
     "apps.a.httpsOnly: must be true or false, not \"yes\""},
    {LISTEN APP "    push: on\n", 7, 11,
     "apps.a.push: must be off, deny, hints, observe, auto or always, not \"on\""},
    {LISTEN APP "    push: []\n", 7, 11, "apps.a.push: must be a policy (off, "},
    {LISTEN APP "    push: {police: off}\n", 7, 12,
     "apps.a.push.police: unknown key; did you mean \"policy\"?"},
    {LISTEN APP "    push: {holdback: 101}\n", 7, 22, "apps.a.push.holdback: must be a percentage"},
    {LISTEN APP "    push: {copy: [referer]}\n", 7, 19,
     "apps.a.push.copy[0]: must be accept-encoding, "},
    {LISTEN APP "    push: {preload: /a.css}\n", 7, 21, "apps.a.push.preload: must be a map of "},
    {LISTEN APP "    push: {preload: {a: /a.css}}\n", 7, 22,
     "apps.a.push.preload.a: must be a path in which"},
    {LISTEN APP "    push: {preload: {/: []}}\n", 7, 25,
     "apps.a.push.preload./: the list is empty"},
    {LISTEN APP "    push: {preload: {/: '<a b>; rel=preload'}}\n", 7, 25,
     "apps.a.push.preload./: must be a map of paths"},
    {LISTEN APP "    push: {preload: {/: '</a>; rel=preload, </b>; rel=next'}}\n", 7, 25,
     "apps.a.push.preload./: must be a map of paths"},
    {LISTEN APP "    forwardedFor: all\n", 7, 19, "apps.a.forwardedFor: must be ip or ip:port"},
    {LISTEN APP "    tls: {minVersion: 1.1}\n", 7, 23, "apps.a.tls.minVersion: must be \"1.2\" or"},
    {LISTEN APP "    timeouts: 230s\n", 7, 15, "apps.a.timeouts: must be a map of keys and values"},
    {LISTEN APP "    timeouts: {request: 230}\n", 7, 25,
     "apps.a.timeouts.request: must be a durat"},
    {LISTEN APP "    timeouts: {request: 1ms}\n", 7, 25,
     "apps.a.timeouts.request: must be a durat"},
    {LISTEN APP "    timeouts: {idle: 1d}\n", 7, 22, "apps.a.timeouts.idle: must be a duration"},
    {LISTEN APP "    timeouts: {drain: 25h}\n", 7, 23, "apps.a.timeouts.drain: must be a duration"},
    {LISTEN APP "    timeouts: {idle: 25h}\n", 7, 22, "apps.a.timeouts.idle: must be a duration"},
    {LISTEN APP "    timeouts: {tunnel: 0s}\n", 7, 24,
     "apps.a.timeouts.tunnel: must be a duration"},
    {LISTEN APP "    timeouts: {tunel: 1h}\n", 7, 16,
     "apps.a.timeouts.tunel: unknown key; did you mean \"tunnel\"?"},
    {LISTEN APP "    limits: {body: 1GB}\n", 7, 20, "apps.a.limits.body: must be a size in octets"},
    {LISTEN APP "    limits: {body: 99999999TiB}\n", 7, 20, "apps.a.limits.body: must be a size"},
    {LISTEN APP "    upgrades: [foo, h2c]\n", 7, 21,
     "apps.a.upgrades[1]: \"h2c\" is no protocol's name, or would be HTTP or TLS that passes "
     "unseen"},
    {LISTEN APP "    upgrades: TLS/1.2\n", 7, 15, "apps.a.upgrades: \"TLS/1.2\" is no protocol's"},
    {LISTEN APP "    upgrades: [\"a, b\"]\n", 7, 16,
     "apps.a.upgrades[0]: \"a, b\" is no protocol's"},
    {LISTEN APP "    upgrades: [\"*\"]\n", 7, 16,
     "apps.a.upgrades[0]: \"*\" would be any protocol: each one is to be named"},
    {LISTEN APP "    upgrades: [WebSocket]\n", 7, 16,
     "apps.a.upgrades[0]: \"WebSocket\" stands under webSocketsEnabled"},
    {LISTEN APP "    upgrades: {foo: true}\n", 7, 15, "apps.a.upgrades: must be protocols"},
    {LISTEN APP "    upgrades: [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q]\n", 7, 15,
     "apps.a.upgrades: holds more than 16 elements"},
    {LISTEN APP "    env: [A]\n", 7, 10, "apps.a.env: must be a map of names to texts, not a list"},
    {LISTEN APP "    env: {1A: b}\n", 7, 11, "apps.a.env.1A: not a name of an environment"},
    {LISTEN APP "    env: {PORT: 1}\n", 7, 11, "apps.a.env.PORT: is set by portico"},
    {LISTEN APP "    http20ProxyflAG: 1\n", 7, 5,
     "apps.a.http20ProxyflAG: unknown key; did you mean \"http20ProxyFlag\"?"},
    {LISTEN APP "    http20ProxyFlag: 3\n", 7, 22, "apps.a.http20ProxyFlag: must be 0 (HTTP/1.1"},
    {LISTEN APP "    certificate: {chain: x.pem}\n", 7, 5,
     "apps.a.certificate: the key \"key\" is m"},
    {LISTEN APP "    certificate: {chain: none, key: x.key}\n", 7, 26,
     "apps.a.certificate.chain: the file "},
    {LISTEN APP "    certificate: {chain: x.key, key: x.key}\n", 7, 26,
     "apps.a.certificate.chain: "},
    {LISTEN "apps:\n  a:\n    directory: none\n    command: x\n    hosts: a.b\n", 4, 16,
     "apps.a.directory: the directory "},
    {LISTEN "apps:\n  a:\n    directory: x.pem\n    command: x\n    hosts: a.b\n", 4, 16,
     "apps.a.directory: "},
    {LISTEN APP "  b:\n    upstreams: \"127.0.0.1:1\"\n    hosts: [b.test, a.test]\n", 9, 21,
     "apps.b.hosts[1]: the host a.test is taken by apps.a.hosts[0] in line 6"},
    {LISTEN APP "  b:\n    upstreams: \"127.0.0.1:1\"\n    hosts: b.test\n    env: {A: b}\n", 10, 5,
     "apps.b.env: belongs to \"command\""},
    {LISTEN APP "  b:\n    upstreams: \"127.0.0.1:1\"\n    hosts: b.test\n"
                "    http20ProxyFlag: 2\n",
     10, 22, "apps.b.http20ProxyFlag: 2 needs \"command\""},
    {"a: [[[[[[[[[[[[[[[[[x\n", 1, 19, "lists and maps are nested deeper than 16"},
    {LISTEN APP "    \"\\e]0;x\\x9b2J\": 1\n", 7, 5, "apps.a.?]0;x??2J: unknown key"},
};

static void test_refused(void **state)
{
    for (size_t i = 0; i < sizeof bads / sizeof *bads; i++) {
        const struct bad *b = &bads[i];
        struct manifest *m = parse(b->text);
        bool found = false;
        for (unsigned j = 0; j < m->faults.count && j < TREE_MAX_FAULTS; j++)
            found |= m->faults.at[j].line == b->line && m->faults.at[j].column == b->column &&
                     slice_starts(m->faults.at[j].text, slice_str(b->says));
        if (!found || m->faults.count > 2) {
            print_message("%s\nwanted %u:%u: %s; came:\n", b->text, b->line, b->column, b->says);
            print_faults(m);
            fail();
        }
        manifest_free(m);
    }
}

static void test_host_names(void **state)
{
    static const struct {
        const char *host;
        bool good;
    } cases[] = {
        {"a", true},         {"a.b", true},        {"*.b", true},       {"xn--bcher-kva.de", true},
        {"127.0.0.1", true}, {"*.", false},        {"*", false},        {"a.*.b", false},
        {"a..b", false},     {".a", false},        {"a.", false},       {"-a.b", false},
        {"a-.b", false},     {"a_b", false},       {"a b", false},      {"a:80", false},
        {"[::1]", false},    {"b\xc3\xbc", false}, {"http://a", false}, {"**.a", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256];
        snprintf(text, sizeof text,
                 LISTEN "apps: {a: {upstreams: \"127.0.0.1:1\", hosts: [\"%s\"]}}", cases[i].host);
        struct manifest *m = parse(text);
        if ((m->faults.count == 0) != cases[i].good)
            fail_msg("%s", cases[i].host);
        manifest_free(m);
    }
}

/* As long as routes take them, whatever they begin with.  RFC 1035 3.1 */
static void test_long_host_names(void **state)
{
    for (size_t octets = 253; octets <= 254; octets++) {
        char host[256] = "*.", text[512];
        while (strlen(host) < octets - 1)
            strcat(host, strlen(host) % 2 ? "." : "a");
        strcat(host, host[octets - 2] == '.' ? "a" : "b");
        snprintf(text, sizeof text,
                 LISTEN "apps: {a: {upstreams: \"127.0.0.1:1\", hosts: [\"%s\"]}}", host);
        struct manifest *m = parse(text);
        assert_int_equal(m->faults.count, octets > 253);
        manifest_free(m);
    }
}

static void test_all_faults_up_to_a_cap(void **state)
{
    char text[8192] = LISTEN APP;
    size_t len = strlen(text);
    for (int i = 0; i < 30; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "    wrong%d: x\n", i);
    struct manifest *m = parse(text);
    assert_int_equal(m->faults.count, 30);
    manifest_free(m);
}

static void test_bounds(void **state)
{
    size_t len = TREE_MAX_OCTETS + 1;
    char *text = malloc(len + 1);
    assert_non_null(text);
    memset(text, ' ', len);
    text[len] = '\0';
    struct manifest *m = parse(text);
    assert_int_equal(m->faults.count, 1);
    assert_true(slice_starts(m->faults.at[0].text, SLICE("the file is larger than")));
    manifest_free(m);
    /* more nodes than allowed */
    strcpy(text, "a: [");
    for (size_t i = 4; i + 2 < TREE_MAX_NODES * 2 + 100; i += 2)
        memcpy(text + i, "1,", 2);
    text[TREE_MAX_NODES * 2 + 96] = ']';
    text[TREE_MAX_NODES * 2 + 97] = '\0';
    m = parse(text);
    assert_int_equal(m->faults.count, 1);
    assert_true(slice_starts(m->faults.at[0].text, SLICE("the file holds more than")));
    manifest_free(m);
    free(text);
}

/* Whatever the file is cut to, there is an answer and no crash. */
static void test_every_prefix(void **state)
{
    static const char text[] = "listen: {https: [\"127.0.0.1:8443\"], http: 127.0.0.1:80}\n" APP
                               "    timeouts: {request: 2m}\n    env: {A: 'b', C: \"d\"}\n";
    for (size_t i = 0; i <= sizeof text - 1; i++) {
        struct manifest *m = manifest_parse(slice_of(text, i), "x", dir, MANIFEST_FILES_PRESENT);
        assert_non_null(m);
        manifest_free(m);
    }
}

static void test_load(void **state)
{
    char path[256];
    write_file("portico.yaml", LISTEN APP);
    snprintf(path, sizeof path, "%s/portico.yaml", dir);
    struct manifest *m = manifest_load(path, -1, MANIFEST_FILES_PRESENT);
    assert_int_equal(m->faults.count, 0);
    assert_true(slice_ends(m->apps[0].directory, SLICE("/here")));
    manifest_free(m);
    m = manifest_load(dir, -1, MANIFEST_FILES_PRESENT);
    assert_int_equal(m->faults.count, 1);
    manifest_free(m);
    m = manifest_load("/nonexistent/x", -1, MANIFEST_FILES_PRESENT);
    assert_int_equal(m->faults.count, 1);
    manifest_free(m);
}

static int setup(void **state)
{
    char path[256];
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/here", dir);
    if (mkdir(path, 0700) != 0)
        return -1;
    write_file("x.pem", "-----BEGIN CERTIFICATE-----\n");
    write_file("x.key", "-----BEGIN PRIVATE KEY-----\n");
    return 0;
}

static int teardown(void **state)
{
    static const char *const names[] = {"x.pem", "x.key", "portico.yaml", "here", ""};
    char path[256];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        remove(path);
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_push),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_host_names),
        cmocka_unit_test(test_long_host_names),
        cmocka_unit_test(test_all_faults_up_to_a_cap),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_every_prefix),
        cmocka_unit_test(test_load),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
