/* SPDX-License-Identifier: Apache-2.0 */
/* What control wants, gathered message by message until its commit, and checked as if control were
 * hostile: it talks to the network, monitor may be root. */
#ifndef MONITOR_WANTED_H
#define MONITOR_WANTED_H

#include "monitor/listen.h"

#define WANTED_MAX_APPS         20000u
#define WANTED_MAX_CERTIFICATES (WANTED_MAX_APPS + 1)
#define WANTED_MAX_INSTANCES    64u
#define WANTED_MAX_ENV          256u
#define WANTED_MAX_SITE_SLOTS   (1u << 16)
#define WANTED_MAX_COUNTERS     (64ull << 30) /* mostly holes: untouched pages cost nothing */
#define WANTED_MAX_DRAIN_MS     (24u * 3600u * 1000u)

struct wanted_app {
    char name[IPC_NAME_OCTETS];
    char *directory, *command, *where;
    char **env; /* "NAME=value" */
    uint32_t env_count;
    uint32_t instances;
    uint32_t drain_ms;
    bool h2_only_port;
};

struct wanted_certificate {
    uint32_t id;
    bool local;
    char *hosts;       /* local */
    char *chain, *key; /* otherwise */
    char *where;
};

/* Ids whose certificates stay as they are. */
struct wanted_kept {
    uint32_t first, last;
};

struct wanted_listen {
    uint32_t kind;
    char address[ADDR_TEXT_OCTETS];
    char where[256];
};

struct wanted {
    struct wanted_listen listens[LISTEN_MAX_ADDRESSES];
    uint32_t listen_count;
    struct wanted_certificate *certificates;
    uint32_t certificate_count, certificate_cap;
    struct wanted_kept *kept; /* ascending */
    uint32_t kept_count, kept_cap;
    struct wanted_app *apps;
    uint32_t app_count, app_cap;
};

void wanted_init(struct wanted *w);
void wanted_fini(struct wanted *w); /* also makes it empty */
/* LISTEN, CERTIFICATE, CERTIFICATES_KEPT, APP or ENV.
 * return  0, ERR_NOMEM, or ERR_FORMAT: no honest control sends that, error_out says what */
int wanted_add(struct wanted *w, const struct ipc_message *m, char *error_out, size_t cap);
/* The same for the commit itself; names and ids are then known to be unique, apps and certificates
 * are sorted. */
int wanted_check_commit(struct wanted *w, const struct ipc_commit *c, char *error_out, size_t cap);

void wanted_app_fini(struct wanted_app *a);
void wanted_certificate_fini(struct wanted_certificate *c);
/* return  0 or ERR_NOMEM */
int wanted_app_copy(struct wanted_app *to, const struct wanted_app *from);
/* The same work with the same words?  How many instances and how long they may drain does not
 * count: that changes without new processes. */
bool wanted_app_eq(const struct wanted_app *a, const struct wanted_app *b);
bool wanted_certificate_eq(const struct wanted_certificate *a, const struct wanted_certificate *b);
bool wanted_is_name(const char *name);

#endif
