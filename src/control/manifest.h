/* SPDX-License-Identifier: Apache-2.0 */
/* The manifest as the rest of control sees it: plain structs, every value checked, every path
 * absolute, every default filled in.  It is read once and never changed. */
#ifndef CONTROL_MANIFEST_H
#define CONTROL_MANIFEST_H

#include "control/tree.h"
#include "base/addr.h"
#include "base/map.h"
#include "push/settings.h"
#include "route/limits.h"

#define MANIFEST_MAX_APPS       16000
#define MANIFEST_MAX_UPGRADES   16
#define MANIFEST_UPGRADE_OCTETS 64 /* of one, with what separates it from the next */

struct manifest_text_list {
    struct slice *at;
    uint32_t count;
};

struct manifest_listen {
    uint32_t kind; /* enum ipc_listen_kind */
    struct slice address;
    struct slice where; /* "portico.yaml:3: listen.https" */
};

struct manifest_listens {
    struct manifest_listen *at;
    uint32_t count;
};

struct manifest_prefixes {
    struct addr_prefix *at;
    uint32_t count;
};

struct manifest_app {
    struct slice name;
    struct slice where;
    struct slice directory, command; /* command.len 0: someone else runs the workers */
    uint32_t instances;
    struct manifest_text_list hosts;
    struct manifest_text_list upstreams;
    struct manifest_text_list env; /* "NAME=value" */
    struct manifest_text_list upgrades;
    uint32_t http20_enabled;     /* 0, 1 */
    uint32_t websockets_enabled; /* 0, 1 */
    uint32_t proxy_flag;         /* enum route_proxy_flag */
    uint32_t https_only, xff_port;
    struct push_settings push;
    struct push_rules push_rules;
    uint32_t min_tls_version; /* 0x0303, 0x0304 */
    uint32_t request_timeout_ms, idle_timeout_ms, tunnel_timeout_ms, drain_ms;
    uint32_t concurrency, queue;
    uint64_t body_limit_octets;
    struct slice health_path; /* len 0: no health checks */
    uint32_t health_interval_ms, health_failures;
    struct slice chain, key; /* chain.len 0: from the local authority */
    struct slice certificate_where;
};

/* How far the files that a manifest names are looked at. */
enum manifest_files {
    MANIFEST_FILES_NAMED,   /* those that this process may not look at are no fault: monitor, which
                               has the rights, opens them and complains itself; no key is read */
    MANIFEST_FILES_PRESENT, /* each is there and of its kind */
    MANIFEST_FILES_FIT,     /* and each certificate is of use with its key */
};

struct manifest {
    struct pool pool;
    struct arena arena;
    struct tree_faults faults;
    struct slice directory; /* the manifest's own, absolute */
    enum manifest_files files;
    struct manifest_listens listens[3]; /* by enum ipc_listen_kind */
    uint32_t loops;
    bool loops_auto; /* as many as there are processors, at the start */
    struct slice access_log; /* "off", "stdout" or an absolute path */
    struct manifest_prefixes trusted_proxies;
    struct limits limits;
    struct manifest_app *apps;
    uint32_t app_count;
    struct map names; /* of apps */
};

/* Read and check a file.
 * path    for messages and relative names
 * fd      the file, open, borrowed; -1: open path
 * return  the manifest; faults.count tells whether it may be used; NULL when memory is out */
struct manifest *manifest_load(const char *path, int fd, enum manifest_files files);
/* The same for text in memory.  name: for messages; directory: absolute, of relative paths. */
struct manifest *manifest_parse(struct slice text, const char *name, const char *directory,
                                enum manifest_files files);
void manifest_free(struct manifest *m); /* NULL allowed */
bool manifest_texts_eq(const struct manifest_text_list *a, const struct manifest_text_list *b);
/* return  NULL: it names no such app */
const struct manifest_app *manifest_find(const struct manifest *m, struct slice app);

#endif
