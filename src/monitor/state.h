/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this room share: the one struct monitor and the calls between its parts.
 *
 *     monitor.c   start, signals, stop         role.c     roles' processes; what control says
 *     upgrade.c   a new binary takes over      edges.c    edge, and its successor
 *     resume.c    what is handed to it         notify.c   systemd
 *     commit.c    a commit of control's        version.c  apps as wanted, and as they still run
 *     cert.c      certificates' files          app.c      an app's directories and environment
 *     worker.c    instances, their processes   tell.c     what control hears of them
 *     ports.c     ports and their fence        retire.c   how an instance ends
 *     named.c     what control may want        copy.c     an app's files, for its user
 *     log_file.c  where root adds to a log     share.c    what one app may have of the machine */
#ifndef MONITOR_STATE_H
#define MONITOR_STATE_H

#include "monitor/channel.h"
#include "monitor/child.h"
#include "monitor/fence.h"
#include "monitor/life.h"
#include "monitor/listen.h"
#include "monitor/monitor.h"
#include "monitor/output.h"
#include "monitor/users.h"
#include "monitor/wanted.h"

#define MONITOR_DRAIN_MS 10000u /* edge may finish exchanges at the end */
#define MONITOR_TERM_MS  5000u  /* from SIGTERM to SIGKILL, a worker */
/* From DRAINING on, if no routes come into force that avoid it: control may be dead, and is started
 * again meanwhile.  Then requests have the app's drain_ms. */
#define MONITOR_ROUTES_MS    30000u
#define MONITOR_SENT         64u   /* snapshots whose acknowledgement may be under way */
#define MONITOR_MAX_VERSIONS 8u    /* of an app, that run or end at a time */
#define MONITOR_MAX_SLOTS    1024u /* numbers of an app's slots */
#define MONITOR_ROLE_TERM_MS 2000u /* the same for control */
#define MONITOR_EARLY_DEATHS 3u    /* of control before its first commit */
/* The old edge of an upgrade: WebSockets and long downloads have so long to end. */
#define MONITOR_UPGRADE_DRAIN_MS 300000u
/* From the end of that to SIGKILL: it may hang, or have been broken into. */
#define MONITOR_DRAIN_GRACE_MS 1000u
#define MONITOR_CERT_CHECK_MS  (24u * 3600u * 1000u)
#define NAMED_SAID_OCTETS      4096 /* why a commit is refused, with NUL; the rest is left out */

struct monitor;
struct app;

/* A list for execve that grows. */
struct environment {
    char **v; /* ends with NULL */
    uint32_t count;
    bool is_short; /* of memory: not to be used */
};

struct instance {
    struct app *app;
    uint32_t place; /* in its app's instances */
    uint32_t index; /* the number of its slot, unique among all versions of the app */
    bool is_wanted;
    bool is_released; /* DRAINING: the routes in force avoid it */
    uint64_t told;    /* DRAINING: the sequence in which control heard of it */
    uint64_t ticket;  /* released: what EDGE_LEFT names */
    uint32_t edges;   /* released: those that have requests under way there, as bits by copy */
    struct life life;
    struct child child;
    struct timer timer; /* BACKOFF: when it is due; DRAINING: the next signal */
    int next_signal;
    struct watch output_watch; /* fd: the pipe's end */
    struct output output;
    uint16_t port, port_h2;
    bool is_guarded; /* the fence knows its ports */
    char socket[108];
    int exit_code, exit_signal;
    uint64_t ran_ms;
};

/* One version of an app: what runs with the same words.  While a change is rolled out there are
 * two: the old one serves until control says, by RETIRE, that the new one has the routes. */
struct app {
    struct list node;
    struct monitor *monitor;
    struct wanted_app wanted;
    bool is_wanted;
    bool is_named; /* by the commit that is being applied */
    uint64_t version;
    uint32_t site; /* number of its copy of the files */
    uid_t uid;
    bool is_prepared;       /* its directories are as wanted */
    struct child preparing; /* copies the files, as root */
    struct watch preparing_watch;
    struct output preparing_output;
    char directory[IPC_PATH_OCTETS]; /* where workers run */
    char home[IPC_PATH_OCTETS];
    struct instance *instances[WANTED_MAX_INSTANCES]; /* by place; NULL: none */
};

struct role {
    const char *name;
    struct monitor *monitor;
    struct child child;
    struct channel channel;
    struct timer timer; /* respawn; while it runs: the end of its time to end */
    uint64_t started_us;
    uint32_t deaths, quick_deaths;
    bool is_told; /* to end: that is no death */
    uid_t uid;
    /* edge */
    struct list node; /* in monitor's edges */
    bool is_up;       /* it serves */
    bool is_drained;  /* it has said so */
    uint64_t seen;    /* what the routes that it has in force, or was started with, know of */
    uint32_t copy;    /* of the counters */
};

struct certificate {
    struct wanted_certificate wanted;
    bool is_new;     /* edge does not have it */
    bool is_seen;    /* an edge has looked at it, and complained if there was reason */
    uint64_t ino[2]; /* of chain and key, as edge got them */
    int64_t mtime_ns[2];
};

enum stop_phase { STOP_NOT, STOP_EDGE, STOP_WORKERS, STOP_CONTROL, STOP_DONE };

struct monitor {
    const struct monitor_options *options;
    struct poller poller;
    struct children children;
    struct watch signal_watch;
    bool as_root;
    char data[IPC_PATH_OCTETS];
    char manifest[IPC_PATH_OCTETS]; /* absolute: roles run elsewhere */
    int lock_fd;
    struct users users;   /* as root */
    struct rlimit nofile; /* as we were started: workers get that */
    struct rlimit nproc;  /* as root: of an app's user */
    char path[4096];      /* PATH for workers */

    struct role control;
    uid_t edge_uid;
    struct list edges; /* those that drain, too */
    struct role *edge; /* the newest */
    /* Resumed by a new binary: a new edge waits for what its control says, while the old one serves
     * with what it has. */
    bool awaits_control;
    bool edge_is_stale;  /* a successor is due as soon as one of those that drain has ended */
    bool control_synced; /* this control has committed: it hears of instances */
    bool is_refused;     /* its commit: the manifest does not name what it wants */
    uint32_t in_vain;    /* controls in a row that were refused, or could not read the manifest */
    char refused_for[NAMED_SAID_OCTETS]; /* what was said of it */
    uint32_t early_deaths;
    struct wanted wanted; /* since its last commit */

    /* held for roles to come; from the first commit on */
    bool is_committed;
    uint64_t counters_octets;
    uint32_t loops, site_slots;
    bool foreign_sockets; /* edge connects to sockets outside of the data directory */
    struct listener listeners[LISTEN_MAX_ADDRESSES];
    uint32_t listener_count;
    int counters_fd, snapshot_fd, access_fd; /* -1: none */
    uint64_t snapshot_revision;
    char access_log[IPC_PATH_OCTETS];

    struct certificate *certificates;
    uint32_t certificate_count;
    bool certificates_ready; /* workers and edge may start */
    struct child authority;
    bool authority_again, authority_all; /* then: for all of them, not only for new ones */
    struct timer certificate_timer;
    struct timer sweep_timer; /* some of the files are looked at */
    uint32_t sweep_at;        /* the next of certificates */
    bool sweep_found;         /* files that were replaced */

    struct list apps;        /* all versions */
    struct map apps_by_name; /* the current ones */
    uint64_t versions;       /* given out so far */
    uint64_t told;           /* sequence of the last message about an instance */
    uint64_t tickets;        /* given out so far */
    struct {
        uint64_t revision, seen;
    } sent[MONITOR_SENT];     /* snapshots that edge got, by revision */
    uint64_t in_force_seen;   /* what the routes of every edge know of */
    bool reload_wanted;       /* SIGHUP came while control could not be told */
    uint32_t reload_asked;    /* the last request of this control's for one, 0: none */
    int admin_fd;             /* admin.sock; -1: none */
    uint8_t ports[65536 / 8]; /* a bit for each port promised to a slot */
    struct fence fence;       /* as root, where there can be one */

    /* upgrade.c, notify.c */
    char program[IPC_PATH_OCTETS]; /* the path by which we were started */
    bool is_upgrading;             /* until the new edge serves */
    uint32_t upgrade_tries, upgrade_stumbles;
    struct child upgrade_check;
    struct timer upgrade_timer, watchdog_timer;
    int notify_fd;
    uint64_t watchdog_us;

    enum stop_phase stop;
    bool stop_now;
    int exit_code;
    struct timer stop_timer;
};

/* role.c */
void role_init(struct role *r, struct monitor *m, const char *name);
/* argument: of the role, or NULL.  return  0 or an error: told */
int role_spawn(struct role *r, const char *argument, int extra_fd);
/* It died, or could not be started: arms its timer. */
void role_respawn_later(struct role *r);
void role_log_exit(struct role *r, int code, int signal);
/* The channel is of no use any more: end the process, and its exit does the rest. */
void role_end(struct role *r, const char *why);
/* It has closed the channel, which is its end, unless it hangs or was broken into: then its timer
 * fires. */
void role_hung_up(struct role *r);
/* It has had its time to end. */
void role_kill(struct role *r);
void role_close_fds(const struct ipc_message *b);
/* It says what it may not say: its end. */
void role_out_of_place(struct role *r, const struct ipc_message *b);
void control_init(struct monitor *m);
void control_start(struct monitor *m);
/* Hand the manifest to control, to be read again; later, when control is not ready for it. */
void control_reload(struct monitor *m, uint32_t asked);
/* Those of monitor's own environment that its roles may see. */
void role_environment(struct environment *out);

/* edges.c */
/* return  NULL when memory is out; it becomes the last of monitor's edges */
struct role *edge_new(struct monitor *m);
/* Does any edge serve that was not told to leave? */
bool edges_serve(const struct monitor *m);
/* Starts the newest edge when everything that it needs is there; else nothing happens. */
void edge_start(struct monitor *m);
/* Another edge with what is held now takes over from the one that serves, which then drains.
 * return  0; ERR_LIMIT (too many still drain) or ERR_NOMEM: nothing has changed */
int edge_replace(struct monitor *m);
/* To each that runs.  return  whether one does */
bool edges_send(struct monitor *m, enum ipc_type type, const void *body, const int *fds,
                unsigned fd_count);
/* Ask each that serves.  return  those that were asked, as bits by copy */
uint32_t edges_ask(struct monitor *m, const struct ipc_edge_leave *b);
/* It was told so: at most so long from now on, and a moment. */
void edge_must_end(struct role *r, uint32_t limit_ms);
void edge_send_access_log(struct monitor *m);
void edges_drain(struct monitor *m, uint32_t limit_ms);
void edges_kill(struct monitor *m);
bool edges_are_gone(const struct monitor *m);
void edges_fini(struct monitor *m);

/* commit.c */
/* return  0, or an error: control is broken, or is to try again from its begin; error_out says why,
 *         and is_refused whether it is the manifest that names something else
 */
int commit_apply(struct monitor *m, const struct ipc_commit *c, char *error_out, size_t cap);
/* Before a role gets it. */
void commit_restore(const struct listener *l);
/* return  the descriptor; -1 for none; or ERR_SYS: why_out says why */
int commit_open_access_log(const struct monitor *m, char *why_out, size_t cap);

/* named.c */
/* Whether the manifest names what is new of the wanted state: commands with their directories and
 * environments, and certificates' files.  What it lacks, or is wrong with it, is told unless that
 * was told of the commit before.
 * return  0; ERR_FORMAT: it does not; ERR_SYS or ERR_NOMEM: it cannot be asked; error_out says why
 */
int named_check(struct monitor *m, char *error_out, size_t cap);

/* cert.c */
/* That very certificate is among those of the last commit. */
bool cert_is_known(const struct monitor *m, const struct wanted_certificate *c);
/* Takes w's certificates.  return  0, or ERR_SYS: a file is missing (told, at the first commit) */
int cert_apply(struct monitor *m, struct wanted *w);
/* Is some certificate being made that there was none of before? */
bool cert_are_awaited(const struct monitor *m);
void cert_send_all(struct monitor *m);
void cert_init(struct monitor *m);
void cert_fini(struct monitor *m);

/* version.c */
bool app_is_current(const struct app *a);
/* Not wanted any more, and nothing of it runs. */
void app_free_if_gone(struct app *a);
/* A version of the app that is wanted runs with these words. */
bool workers_has_words(const struct monitor *m, const struct wanted_app *w);
/* Takes w's apps.  return  0, ERR_NOMEM, or ERR_LIMIT: all but those that were told of as refused
 */
int workers_apply(struct monitor *m, struct wanted *w);
/* Start new instances of an app beside those there are. */
void workers_roll(struct monitor *m, const char *name);
/* This version of the app has the routes: the others end. */
void workers_retire(struct monitor *m, const struct ipc_retire *r);
void workers_fini(struct monitor *m);

/* worker.c */
/* With ports, in a's free place.  return  NULL: memory is out, or the app's slots are */
struct instance *slot_new(struct app *a, uint32_t place);
/* i has no process; its app is not freed. */
void slot_free(struct instance *i);
/* Starts its process if it is due and all that it needs is there; else nothing happens. */
void worker_step(struct instance *i);
/* No process can be made, for this reason. */
void worker_failed(struct instance *i, const char *why);
void worker_event(struct instance *i, enum life_event event);
void worker_probed(struct monitor *m, const struct ipc_instance_ready *r);
/* fn may free the app's instance, not another app. */
void workers_each(struct monitor *m, void (*fn)(struct instance *i));
void workers_start(struct monitor *m);
bool workers_are_gone(const struct monitor *m);
void workers_reopen_logs(struct monitor *m);

/* tell.c */
/* What it is now; before its commit control hears of nothing that is there. */
void instance_tell(struct instance *i);
void instance_tell_gone(struct instance *i);
/* The last words of a process that has ended. */
void instance_tell_output(const struct instance *i);
/* All of them, at control's commit. */
void workers_tell(struct monitor *m);

/* ports.c */
/* return  0 when none is free */
uint16_t port_take(struct monitor *m);
void port_promise(struct monitor *m, uint16_t port, bool taken);
/* Before its worker starts: other ones for an instance whose own were taken while it was away, by
 * another app's worker, say. */
void ports_renew(struct instance *i);
/* Makes the fence, or goes on with what was handed over; tells when there is none. */
void ports_fence(struct monitor *m);
/* From before its worker starts until that has ended, only root, edge, control and the app itself
 * may connect to an instance's ports.
 * return  0, also where there is no fence; or ERR_SYS: errno says why */
int ports_guard(struct instance *i);
void ports_release(struct instance *i);

/* retire.c */
/* return  false: it has no process, and is in EXITED now */
bool retire(struct instance *i);
/* Its timer, while it is DRAINING. */
void retire_due(struct instance *i);
/* Every edge routes, and one yet to be started would, by what was told up to seen. */
void workers_in_force(struct monitor *m, uint64_t seen);
/* An edge has nothing under way any more at the instance that it was asked for by this ticket. */
void workers_left(struct monitor *m, uint64_t ticket, uint32_t copy);
/* That edge is gone, with all that it had under way. */
void workers_edge_gone(struct monitor *m, uint32_t copy);
/* At the end: tell all to end.  now: kill them. */
void workers_stop(struct monitor *m, bool now);

/* For a monitor that takes over.  w and what it has are taken over when it succeeds. */
struct app *app_add(struct monitor *m, struct wanted_app *w, uid_t uid);
/* was_current: the current version is that one, not a; NULL: it is a. */
void app_resume_version(struct app *a, uint64_t version, struct app *was_current);
/* A slot without ports. */
struct instance *instance_new(struct app *a, uint32_t place, uint32_t index);
/* Its fields are set: go on with its process (0: none), its pipe (-1: none) and its timer. */
int instance_resume(struct instance *i, pid_t pid, int fd, uint64_t due_us);
int app_resume_preparing(struct app *a, pid_t pid, int fd);

/* app.c */
/* PATH for workers: ours; as root without what their users cannot walk to (root's home), where a
 * shell would look and then report "permission denied" in place of "not found". */
void app_set_path(struct monitor *m);
/* Make an app's directories as wanted; as root that takes a while, and worker_step is called for
 * its instances when it is done.
 * return  0 when all is there; ERR_AGAIN while under way; ERR_SYS: error_out says why */
int app_prepare(struct app *a, char *error_out, size_t cap);
void app_init_preparing(struct app *a);
/* The environment of one instance. */
void app_environment(const struct instance *i, struct environment *out);
/* Set or replace NAME=value; text has the name, or both when value is NULL. */
void environment_set(struct environment *e, const char *text, const char *value);
void environment_fini(struct environment *e);

/* monitor.c */
/* Ends everything, in order, and then monitor_main returns.  Harmless when it ends already. */
void monitor_stop(struct monitor *m, int exit_code);
/* Something ended: is the next phase of stopping due? */
void monitor_stop_step(struct monitor *m);

#endif
