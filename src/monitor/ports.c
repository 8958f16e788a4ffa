/* SPDX-License-Identifier: Apache-2.0 */
/* Ports promised to slots; and, while a worker runs, who may connect to its own. */
#include "monitor/state.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>

void port_promise(struct monitor *m, uint16_t port, bool taken)
{
    uint8_t bit = (uint8_t)(1u << port % 8);
    if (port == 0)
        return;
    if (taken)
        m->ports[port / 8] |= bit;
    else
        m->ports[port / 8] &= (uint8_t)~bit;
}

static bool is_taken(void *arg, uint16_t port)
{
    const struct monitor *m = arg;
    return m->ports[port / 8] & (1u << port % 8);
}

uint16_t port_take(struct monitor *m)
{
    uint16_t port = listen_free_port(is_taken, m);
    port_promise(m, port, true);
    return port;
}

static void renew(struct instance *i, uint16_t *port)
{
    uint16_t before = *port;
    if (before && !listen_is_taken(before))
        return;
    *port = port_take(i->app->monitor);
    port_promise(i->app->monitor, before, false);
    if (before)
        log_event(LOG_WARN, "worker.port",
                  "app=%s instance=%u port=%u before=%u text=\"another process listens there\"",
                  i->app->wanted.name, i->index, *port, before);
}

/* One app may hold all that there are; the others have their sockets. */
void ports_renew(struct instance *i)
{
    renew(i, &i->port);
    if (i->port == 0)
        log_event(LOG_WARN, "worker.port",
                  "app=%s instance=%u port=0 text=\"no port is free on 127.0.0.1: it can listen at "
                  "PORTICO_SOCKET alone\"",
                  i->app->wanted.name, i->index);
    if (i->app->wanted.h2_only_port)
        renew(i, &i->port_h2);
}

static struct fence_gate gate_of(const struct instance *i)
{
    const struct monitor *m = i->app->monitor;
    return (struct fence_gate){.ports = {i->port, i->port_h2},
                               .users = {0, m->edge_uid, m->control.uid, i->app->uid},
                               .user_count = 4};
}

int ports_guard(struct instance *i)
{
    struct fence *f = &i->app->monitor->fence;
    const struct fence_gate g = gate_of(i);
    if (f->fd < 0 || i->is_guarded || (i->port == 0 && i->port_h2 == 0))
        return 0;
    int r = fence_guard(f, &g);
    i->is_guarded = r == 0;
    return r;
}

void ports_release(struct instance *i)
{
    const struct fence_gate g = gate_of(i);
    if (!i->is_guarded || i->app->monitor->fence.fd < 0)
        return;
    i->is_guarded = false;
    if (fence_release(&i->app->monitor->fence, &g) < 0)
        log_event(LOG_ERROR, "fence.release", "app=%s instance=%u port=%u error=\"%s\"",
                  i->app->wanted.name, i->index, i->port, strerror(errno));
}

static void guard_running(struct instance *i)
{
    if (i->child.pid && ports_guard(i) < 0)
        log_event(LOG_ERROR, "fence.guard", "app=%s instance=%u port=%u error=\"%s\"",
                  i->app->wanted.name, i->index, i->port, strerror(errno));
}

void ports_fence(struct monitor *m)
{
    if (!m->as_root)
        return;
    if (m->fence.fd >= 0 ? fence_adopt(&m->fence, m->fence.fd) < 0 : fence_open(&m->fence) < 0) {
        log_event(LOG_WARN, "monitor.no_fence",
                  "error=\"%s\" text=\"TCP ports of workers are open to every process of this "
                  "machine, other apps' among them; an app that listens on PORTICO_SOCKET is not\"",
                  errno == EPERM ? "nftables needs CAP_NET_ADMIN" : strerror(errno));
        return;
    }
    log_event(LOG_INFO, "monitor.fence", "table=\"inet %s\"", m->fence.table);
    workers_each(m, guard_running);
}
