/* SPDX-License-Identifier: Apache-2.0 */
/* Finds out when an instance serves, at which address and in which protocol: tries its unix socket,
 * then its port, until one accepts and belongs to the instance; then asks for HTTP/2 if that is
 * wanted.  It knows loop and sockets, nothing of manifests or routes. */
#ifndef CONTROL_PROBE_H
#define CONTROL_PROBE_H

#include "control/owner.h"
#include "net/loop.h"
#include "net/stream.h"

#define PROBE_FIRST_WAIT_MS 50u
#define PROBE_MAX_WAIT_MS   250u
#define PROBE_LATE_WAIT_MS  1000u   /* after the start limit */
#define PROBE_LIMIT_MS      230000u /* the start limit */
#define PROBE_SETTINGS_MS   2000u   /* how long a worker may take for its SETTINGS */
#define PROBE_H2_TIMEOUTS   3u      /* silent connections before HTTP/2 is given up */
#define PROBE_H2_PORT_MS    5000u   /* how long HTTP20_ONLY_PORT may lag behind the first one */

enum probe_goal {
    PROBE_ACCEPTS, /* it is enough that it accepts */
    PROBE_H2C,     /* HTTP/2 is wanted, HTTP/1.1 is taken */
};

enum probe_finding {
    PROBE_FOUND,   /* ready, see address and is_h2c; the probe has ended */
    PROBE_LATE,    /* the start limit has passed; it goes on, slowly */
    PROBE_FOREIGN, /* at the port listens a process of someone else; it goes on */
};

struct probe;
typedef void (*probe_fn)(struct probe *p, enum probe_finding finding);

enum probe_step { PROBE_IDLE, PROBE_UNIX, PROBE_PORT, PROBE_H2_PORT, PROBE_WAIT };

struct probe {
    struct loop *loop;
    struct owner owner; /* who the listener must belong to */
    enum probe_goal goal;
    probe_fn on_finding;
    enum probe_step step;
    struct addr socket_address, port_address, h2_address; /* len 0: none */
    struct stream stream;
    bool is_streaming, is_asking; /* asking: waiting for SETTINGS */
    struct loop_timer timer;
    struct loop_task go; /* tries the step in the next turn: a stream is not reused within its own
                            callbacks */
    uint64_t started_us, found_us;
    uint32_t wait_ms;
    unsigned silent;
    bool is_late, told_foreign;
    unsigned char head[9];
    unsigned head_octets;
    /* the findings */
    struct addr address;
    bool is_h2c;      /* it speaks HTTP/2 at address */
    bool has_h2_port; /* h2_address serves HTTP/2 */
};

/* Addresses are kept in p.  NULL ones are not tried.  on_finding is never called from within. */
void probe_start(struct probe *p, struct loop *loop, const struct owner *owner,
                 enum probe_goal goal, const struct addr *socket, const struct addr *port,
                 const struct addr *h2_port, probe_fn on_finding);
/* End it silently; also when it was never started (zeroed) or has ended. */
void probe_stop(struct probe *p);
static inline bool probe_is_running(const struct probe *p)
{
    return p->step != PROBE_IDLE;
}

#endif
