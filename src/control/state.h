/* SPDX-License-Identifier: Apache-2.0 */
/* What control knows.  Internal to the room; one struct control a process. */
#ifndef CONTROL_STATE_H
#define CONTROL_STATE_H

#include "control/health.h"
#include "control/manifest.h"
#include "control/probe.h"
#include "control/slots.h"
#include "ipc/outbox.h"
#include "net/loop.h"
#include "route/route.h"
#include "stats/stats.h"

#define CONTROL_MAGIC         0x4c525443u /* "CTRL" */
#define CONTROL_MAX_LISTENERS 49          /* of three kinds, 16 of each, and admin.sock */
/* Fixed, so that apps may come without a new memory for the counters; unused ones cost nothing. */
#define CONTROL_SITE_SLOTS 16384u

/* Of the operator's token: so many hexadecimal digits. */
#define CONTROL_TOKEN_OCTETS 64u

struct control_app;
struct admin;

struct control_instance {
    struct control_app *app;
    uint32_t index;
    struct ipc_instance last; /* monitor's latest word; generation 0: none yet */
    bool is_ready;            /* in this generation: found and put into the routes */
    bool is_upstream;
    bool is_leaving; /* of a reload under way: the new manifest does not name that upstream */
    struct probe probe;
    struct health health; /* runs while it is READY and the app has a healthCheckPath */
    struct slice address; /* of the routes: lies in address_text, or in the manifest */
    struct slice address_h2;
    char address_text[IPC_PATH_OCTETS + 8], address_h2_text[ADDR_TEXT_OCTETS];
    enum route_protocol protocol;
    bool was_ended; /* an exit was reported at least once */
    bool is_late;   /* the start limit has passed */
    struct {
        uint32_t generation;
        int32_t exit_code, exit_signal;
        uint64_t ran_ms;
    } ended;      /* its last exit */
    char *output; /* last lines of a failed generation, or NULL */
};

struct control_app {
    struct control *control;
    const struct manifest_app *wanted;
    uint32_t slot;
    uint32_t wanted_count;               /* instances; by the manifest, or by `portico scale` */
    struct control_instance **instances; /* of all versions, by index */
    uint32_t instance_count;
    uint64_t serving;       /* the version that has the routes; 0: none yet */
    uint64_t retired;       /* up to this version monitor was told that it has them */
    struct loop_timer tell; /* a failure is told a little later, when its output has come, too */
    bool failure_told, ready_told;
    bool is_leaving; /* of a reload under way: the new manifest does not name it */
};

struct control_listener {
    uint32_t kind;
    char address[ADDR_TEXT_OCTETS]; /* with the real port */
};

struct control {
    uint32_t magic;
    struct loop *loop;
    struct loop_source channel; /* fd -1: closed */
    struct ipc_outbox outbox;
    const char *manifest_path;
    struct manifest *manifest;
    struct ipc_hello hello;
    bool has_hello, is_committed;
    bool is_rooted;  /* edge has a root of its own, for good: no upstream may be a unix socket */
    bool is_taken;   /* monitor applied the last commit */
    bool is_resumed; /* an earlier control had committed; its instances may still serve */
    struct control_listener listeners[CONTROL_MAX_LISTENERS];
    uint32_t listener_count;
    struct control_app **apps;
    uint32_t app_count;
    struct map names; /* of apps */
    struct slots slots;
    uint64_t seen;      /* sequence of monitor's last word about an instance */
    uint64_t in_force;  /* revision of the routes that edge uses */
    struct stats stats; /* without memory: none yet */
    size_t stats_octets;
    uint64_t revision,
        wanted_revision; /* of routes and of what is wanted; the last of the latter */
    struct loop_task publish;
    bool publish_wanted;
    struct loop_timer publish_again; /* armed after routes could not be made */
    struct loop_timer hold; /* after a restart of control: armed while instances that are in the
                               routes are being found again */
    struct loop_timer greet;
    bool greeted;
    struct admin *admin;
    uint32_t reloads_asked, reloads_begun; /* the last one that monitor opened the manifest for */
    char push_token[CONTROL_TOKEN_OCTETS]; /* of this life; edge knows its digest, by the routes */
    int diag;                              /* -1: the kernel does not tell whose a TCP socket is */
    uint64_t started_us;
    int exit_code;
};

/* control.c: queue a message to monitor.  fd: given, or -1 */
void control_send(struct control *c, enum ipc_type type, const void *body, int fd);
/* The channel is of no more use: leave the loop. */
void control_leave(struct control *c, int exit_code);
/* A large struct for control_send, zeroed, valid until the next call. */
void *control_scratch(enum ipc_type type);

/* wanted.c: everything from LISTEN to COMMIT. */
/* old: the manifest that monitor has, or NULL: none.  Of it only what differs is sent. */
void wanted_send(struct control *c, const struct manifest *old);
/* Adds a fault when monitor would refuse it, as edge's root cannot be taken away. */
void wanted_check_root(const struct control *c, struct manifest *m);

/* snapshot.c: publish soon; at most once a turn of the loop. */
void snapshot_wanted(struct control *c);
void snapshot_task(struct loop_task *t);
void snapshot_again(struct loop_timer *t);

/* reload.c: the manifest again; errors are told, and then nothing has changed.
 * fd  borrowed, -1: r->error says why there is none */
void reload(struct control *c, int fd, const struct ipc_reload *r);
/* Monitor has applied what was wanted, or not: who has asked for it is told so.  Before that the
 * file must stay as it was read, as monitor compares. */
void reload_committed(struct control *c, const struct ipc_committed *m);
/* Zero the counters of a slot that another app takes over.  Harmless without counters. */
void slot_clear(struct control *c, uint32_t slot);

/* instance.c */
/* c->apps as c->manifest has them: those of the same name stay, with their instances.
 * return  0 or ERR_NOMEM (then nothing has changed) */
int apps_apply(struct control *c, struct manifest *m);
void apps_fini(struct control *c);
/* Another instance of the app's serves and answers its health checks well. */
bool instance_is_spared(const struct control_instance *in);
/* (Re)start the health checks of the instances as the manifest says now. */
void app_check_health(struct control_app *app);
/* Which of its versions has the routes; tells monitor when that changed. */
void app_choose_serving(struct control_app *app);
uint64_t app_current_version(const struct control_app *app);
/* New instances were started in place of those that serve, and keep failing. */
bool app_change_is_failing(const struct control_app *app);
struct control_app *app_find(struct control *c, struct slice name); /* NULL: none */
void instance_told(struct control *c, const struct ipc_instance *i);
void instance_output(struct control *c, const struct ipc_output *o);
uint32_t app_ready_count(const struct control_app *app);
/* Keeps failing before it was ever of use, or cannot start at all. */
bool app_is_failing(const struct control_app *app);

/* greeting.c: lines for the person at the terminal. */
void greeting_init(struct control *c);
void greeting_app_init(struct control_app *app);
/* Something about app changed. */
void greeting_update(struct control *c, struct control_app *app);
/* "https://gallery.localhost:8443/" of the app's first host; false: no listener for it yet */
bool app_url(const struct control *c, struct slice host, char *out, size_t cap);
/* "ended with status 1 after 12 ms"; an empty text when it never did. */
void instance_end_text(const struct control_instance *in, char *out, size_t cap);

const char *instance_state_name(unsigned ipc_state);
const char *route_protocol_name(enum route_protocol p);

#endif
