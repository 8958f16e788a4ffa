/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between the roles: typed, size-checked, over a SOCK_SEQPACKET pair; descriptors travel
 * beside them.  A message of an unknown type, a wrong size or a wrong number of descriptors is the
 * end of the channel: the other role is broken or hostile. */
#ifndef IPC_IPC_H
#define IPC_IPC_H

#include "base/addr.h"
#include "base/slice.h"

#define IPC_NAME_OCTETS    64   /* an app's name, with NUL */
#define IPC_PATH_OCTETS    1024 /* a path, with NUL */
#define IPC_COMMAND_OCTETS 8192
#define IPC_MAX_FDS        2
/* While one edge takes over from another both count.  A count has one writer, so that counting
 * needs no locked instruction; each edge writes copies of its own and control adds them up. */
#define IPC_COUNTER_COPIES 4

enum ipc_listen_kind {
    IPC_LISTEN_HTTPS,
    IPC_LISTEN_HTTP,
    IPC_LISTEN_ADMIN,
    IPC_LISTEN_LOCAL /* admin.sock of the data directory: monitor's own, nobody asks for it */
};

/* control -> monitor */
struct ipc_listen { /* one address to listen at; before the first commit */
    uint32_t kind;
    char address[ADDR_TEXT_OCTETS]; /* as addr_parse takes it; port 0: any */
    char where[256];                /* "portico.yaml:3: listen.https", for messages */
};
struct ipc_certificate { /* replaces the one of the same id */
    uint32_t id;
    uint32_t local;              /* 1: from the local authority, for hosts; 0: the two files */
    char hosts[4096];            /* separated by one space */
    char chain[IPC_PATH_OCTETS]; /* absolute paths */
    char key[IPC_PATH_OCTETS];
    char where[256];
};
struct ipc_certificates_kept { /* those of these ids stay as the last commit had them */
    uint32_t first, last;      /* above the last of the message of this type before it */
};
struct ipc_app { /* an app that monitor runs; its ipc_env messages follow */
    char name[IPC_NAME_OCTETS];
    char directory[IPC_PATH_OCTETS]; /* absolute */
    char command[IPC_COMMAND_OCTETS];
    uint32_t instances;
    uint32_t h2_only_port; /* 1: HTTP20_ONLY_PORT is set to a second port */
    uint32_t drain_ms; /* of an instance that has no routes any more: requests may take so long */
    char where[256];
};
struct ipc_env {                   /* of the ipc_app before it */
    char text[IPC_COMMAND_OCTETS]; /* NAME=value */
};
struct ipc_commit { /* the wanted state is complete: apps not named since the last commit end */
    uint64_t revision;
    uint64_t counters_octets; /* size of the shared counters */
    uint32_t loops;           /* threads of edge, 1 to 64 */
    uint32_t site_slots;
    uint32_t foreign_sockets;         /* 1: an app's upstream is a unix socket; refused after a 0 */
    char access_log[IPC_PATH_OCTETS]; /* "off", "stdout" or an absolute path */
};
struct ipc_snapshot { /* with one descriptor: the sealed memfd */
    uint64_t revision;
    uint64_t seen; /* sequence of the last ipc_instance that it knows of */
};
struct ipc_roll { /* start new instances of the app beside those there are */
    char app[IPC_NAME_OCTETS];
};
struct ipc_retire { /* this version of the app has the routes: the others may end */
    char app[IPC_NAME_OCTETS];
    uint64_t version;
};
struct ipc_instance_ready { /* control's probe succeeded: resets the back-off */
    char app[IPC_NAME_OCTETS];
    uint32_t index, generation;
};
struct ipc_stop { /* end everything: drain, stop workers, exit with this code */
    uint32_t exit_code;
};

/* both ways; control asks with it, monitor answers (or begins, at SIGHUP) with the manifest */
struct ipc_reload {
    int32_t error; /* errno, when it comes without a descriptor */
    /* Control counts what it asks for; monitor says whose turn it is, 0: nobody's. */
    uint32_t asked;
};

/* monitor -> control */
struct ipc_hello { /* first: with the counters' memfd if there is one already (a restart) */
    uint32_t restarted;
    uint32_t as_root;              /* 1: workers have users of their own */
    uint32_t loops;                /* as they were committed, 0: not yet */
    uint32_t is_fenced;            /* 1: other users cannot connect to workers' ports */
    uint32_t is_rooted;            /* 1: edge has a root of its own, and no commit takes it away */
    uint32_t owner;                /* the user that started Portico */
    uint32_t uids_first, uids;     /* as root: the users that apps may have */
    char data[IPC_PATH_OCTETS];    /* the data directory, absolute */
    char ca_file[IPC_PATH_OCTETS]; /* the local authority's certificate */
};
struct ipc_listening { /* a socket is bound; kinds ADMIN and LOCAL come with it, non-blocking */
    uint32_t kind;
    char address[ADDR_TEXT_OCTETS]; /* with the real port */
};
struct ipc_committed { /* with the counters' memfd */
    uint64_t revision;
    uint32_t refused; /* 1: nothing of it was applied */
};
enum ipc_instance_state {
    IPC_WANTED,
    IPC_STARTING,
    IPC_READY,
    IPC_DRAINING,
    IPC_EXITED,
    IPC_BACKOFF,
};
struct ipc_instance {
    uint64_t sequence; /* counts these messages */
    char app[IPC_NAME_OCTETS];
    uint32_t index;      /* the number of its slot: fixed, while the instance is wanted */
    uint64_t version;    /* of the app: a change of its words is a new one */
    uint32_t is_current; /* 1: of the latest version */
    uint32_t is_gone;    /* 1: the slot is no more */
    uint32_t generation; /* counts starts */
    uint32_t state;      /* enum ipc_instance_state */
    int32_t pid;         /* also the id of its process group; 0: none */
    uint32_t uid;
    uint32_t port, port_h2;       /* TCP on 127.0.0.1 */
    char socket[IPC_PATH_OCTETS]; /* the unix socket's path */
    int32_t exit_code;            /* of the last exit; -1: by a signal */
    int32_t exit_signal;
    uint64_t ran_ms;
    uint32_t restarts, failures; /* failures in a row: exits before READY or just after */
    uint32_t never_ready;        /* in a row: exits before READY */
    uint32_t retry_in_ms;        /* BACKOFF: when it is started again */
};
struct ipc_in_force { /* edge routes by this snapshot */
    uint64_t revision;
};
struct ipc_output { /* the last lines of an instance that failed */
    char app[IPC_NAME_OCTETS];
    uint32_t index, generation;
    char text[4096];
};

/* monitor -> edge */
struct ipc_edge_config { /* first; with the counters' memfd */
    uint32_t loops, site_slots;
    uint32_t access_log; /* 1: a descriptor follows by ipc_access_log */
    uint32_t copy;       /* of the counters, below IPC_COUNTER_COPIES: nobody else writes to it */
    uint32_t as_root;    /* 1: workers have users of their own */
    char root[IPC_PATH_OCTETS]; /* the directory of workers' sockets, and all that edge is to see;
                                   empty: there are sockets elsewhere */
};
struct ipc_edge_copy_free { /* the edge that wrote this copy is gone, maybe killed: what it counted
                               as open is not open any more, and nobody else can say so */
    uint32_t copy;
};
struct ipc_edge_listener { /* with the socket */
    uint32_t kind, loop;
    char address[ADDR_TEXT_OCTETS];
};
struct ipc_edge_certificate { /* with two descriptors: chain and key, PEM, read-only */
    uint32_t id;
    uint32_t deferred; /* 1: known to be good; read when the first client asks for it */
    char where[256];   /* of the manifest, for messages */
};
struct ipc_access_log { /* with the descriptor to write to */
    uint32_t unused;
};
struct ipc_edge_start { /* everything was sent: serve */
    uint32_t unused;
};
struct ipc_edge_drain { /* stop accepting, let exchanges end, at most so long, then exit 0 */
    uint32_t limit_ms;
    uint32_t patient; /* 1: a successor serves, so nobody is in a hurry: a connection that is open
                         may bring the request that is on its way */
};
struct ipc_edge_leave { /* no routes lead to this instance any more: say EDGE_LEFT, once, when
                           nothing is under way there */
    uint64_t ticket;    /* for the answer; a new one each time */
    char app[IPC_NAME_OCTETS];
    uint32_t index;
};

/* edge -> monitor */
struct ipc_edge_up { /* this revision is in force (first one: serving began) */
    uint64_t revision;
};
struct ipc_edge_drained {
    uint32_t open; /* exchanges cut by the limit */
};
struct ipc_edge_left {
    uint64_t ticket;
};

/*  type, struct, least and most descriptors */
#define IPC_TABLE(X)                                \
    X(LISTEN, ipc_listen, 0, 0)                     \
    X(CERTIFICATE, ipc_certificate, 0, 0)           \
    X(APP, ipc_app, 0, 0)                           \
    X(ENV, ipc_env, 0, 0)                           \
    X(COMMIT, ipc_commit, 0, 0)                     \
    X(SNAPSHOT, ipc_snapshot, 1, 1)                 \
    X(INSTANCE_READY, ipc_instance_ready, 0, 0)     \
    X(STOP, ipc_stop, 0, 0)                         \
    X(ROLL, ipc_roll, 0, 0)                         \
    X(RETIRE, ipc_retire, 0, 0)                     \
    X(RELOAD, ipc_reload, 0, 1)                     \
    X(IN_FORCE, ipc_in_force, 0, 0)                 \
    X(HELLO, ipc_hello, 0, 1)                       \
    X(LISTENING, ipc_listening, 0, 1)               \
    X(COMMITTED, ipc_committed, 1, 1)               \
    X(INSTANCE, ipc_instance, 0, 0)                 \
    X(OUTPUT, ipc_output, 0, 0)                     \
    X(EDGE_CONFIG, ipc_edge_config, 1, 1)           \
    X(EDGE_LISTENER, ipc_edge_listener, 1, 1)       \
    X(EDGE_CERTIFICATE, ipc_edge_certificate, 2, 2) \
    X(ACCESS_LOG, ipc_access_log, 1, 1)             \
    X(EDGE_COPY_FREE, ipc_edge_copy_free, 0, 0)     \
    X(EDGE_START, ipc_edge_start, 0, 0)             \
    X(EDGE_DRAIN, ipc_edge_drain, 0, 0)             \
    X(EDGE_LEAVE, ipc_edge_leave, 0, 0)             \
    X(EDGE_UP, ipc_edge_up, 0, 0)                   \
    X(EDGE_DRAINED, ipc_edge_drained, 0, 0)         \
    X(EDGE_LEFT, ipc_edge_left, 0, 0)               \
    X(CERTIFICATES_KEPT, ipc_certificates_kept, 0, 0)

enum ipc_type {
    IPC_NONE = 0,
#define X(name, type, least, most) IPC_##name,
    IPC_TABLE(X)
#undef X
        IPC_TYPE_COUNT
};

union ipc_body {
#define X(name, type, least, most) struct type name;
    IPC_TABLE(X)
#undef X
};

struct ipc_message {
    uint32_t type;
    uint32_t fd_count;
    int fds[IPC_MAX_FDS];
    union ipc_body body; /* text members are checked to end with NUL */
};

/* The channel's descriptor in a role that monitor started. */
#define IPC_CHILD_FD 3
/* In control: the manifest, open for reading.  As root, control has a user of its own, which may
 * not be able to walk to the manifest's path; the path stays the one for messages and relative
 * names. */
#define IPC_MANIFEST_FD 4

/* Send one message; waits when the channel is full and the descriptor is blocking.
 * body  the struct of that type
 * fds   stay the caller's
 * return  0; ERR_AGAIN (non-blocking and full), ERR_CLOSED, ERR_SYS */
int ipc_send(int channel, enum ipc_type type, const void *body, const int *fds, unsigned fd_count);
/* Receive one message.  Received descriptors are close-on-exec and belong to the caller.
 * return  0; ERR_AGAIN; ERR_CLOSED (the other side is gone); ERR_FORMAT (an unknown type, a wrong
 *         size or count: what came with it is closed) */
int ipc_recv(int channel, struct ipc_message *out);
/* A SOCK_SEQPACKET pair, both close-on-exec.  return 0 or ERR_SYS */
int ipc_pair(int fds_out[2]);
/* Copies text into a member; return false when it is too long. */
bool ipc_text(char *to, size_t cap, struct slice text);
const char *ipc_type_name(unsigned type);
/* The size of a type's struct. */
size_t ipc_octets(enum ipc_type type);

/* A memfd of these octets, sealed against writing, growing and shrinking.  return fd or ERR_SYS */
int ipc_sealed_memfd(const char *name, const void *octets, size_t len);
/* Maps a memfd read-only after checking that it is sealed and of at least min octets.
 * return  0, ERR_FORMAT (not sealed, too small) or ERR_SYS */
int ipc_map_sealed(int fd, size_t min, const void **base_out, size_t *len_out);
/* A memfd of len zeroed octets for shared counters; map it writable. */
int ipc_shared_memfd(const char *name, size_t len);
int ipc_map_shared(int fd, void **base_out, size_t *len_out);

#endif
