/* SPDX-License-Identifier: Apache-2.0 */
/* How an instance ends that is wanted no more.
 *
 *     DRAINING   routes that avoid it are published, and every edge takes them; then it is released
 *     released   each edge that serves is asked, and says EDGE_LEFT when nothing is under way there
 *     SIGTERM    when the last one has said so, or is gone
 *     SIGKILL    MONITOR_TERM_MS later
 *
 * Each wait has a limit, so nobody's silence keeps an instance for ever.  What an edge says is
 * believed of itself only: at worst an instance that has no routes any more ends early. */
#include "monitor/state.h"
#include "base/clock.h"
#include "base/log.h"

#include <signal.h>

static void arm(struct instance *i, uint32_t ms)
{
    timer_arm(&i->app->monitor->poller, &i->timer, clock_mono_us() + ms * UINT64_C(1000));
}

bool retire(struct instance *i)
{
    bool ends = i->life.state == IPC_DRAINING;
    if (i->life.state != IPC_EXITED)
        worker_event(i, LIFE_STOP);
    if (i->life.state == IPC_EXITED) {
        timer_cancel(&i->timer);
        return false;
    }
    if (!ends) {
        i->is_released = false;
        i->edges = 0;
        i->next_signal = SIGTERM;
        arm(i, MONITOR_ROUTES_MS);
    }
    return true;
}

static void end(struct instance *i, enum log_level level, const char *cause)
{
    log_event(level, "worker.stop", "app=%s instance=%u pid=%d cause=%s", i->app->wanted.name,
              i->index, (int)i->child.pid, cause);
    child_signal(&i->child, SIGTERM);
    i->next_signal = SIGKILL;
    arm(i, MONITOR_TERM_MS);
}

void retire_due(struct instance *i)
{
    if (i->next_signal == SIGTERM) {
        end(i, LOG_WARN, i->is_released ? "limit" : "no-routes");
        return;
    }
    log_event(LOG_WARN, "worker.kill", "app=%s instance=%u pid=%d", i->app->wanted.name, i->index,
              (int)i->child.pid);
    child_signal(&i->child, SIGKILL);
    arm(i, MONITOR_TERM_MS);
}

/* It waits for the edges, or for routes. */
static bool is_held(const struct instance *i)
{
    return i->life.state == IPC_DRAINING && i->next_signal == SIGTERM;
}

static void release(struct instance *i)
{
    struct monitor *m = i->app->monitor;
    struct ipc_edge_leave b;
    if (!is_held(i) || i->is_released || i->told > m->in_force_seen)
        return;
    memset(&b, 0, sizeof b);
    b.ticket = i->ticket = ++m->tickets;
    memcpy(b.app, i->app->wanted.name, sizeof b.app);
    b.index = i->index;
    i->is_released = true;
    i->edges = edges_ask(m, &b);
    if (i->edges)
        arm(i, i->app->wanted.drain_ms);
    else
        end(i, LOG_INFO, "left");
}

void workers_in_force(struct monitor *m, uint64_t seen)
{
    m->in_force_seen = seen;
    workers_each(m, release);
}

/* ticket 0: any */
static void leave(struct monitor *m, uint64_t ticket, uint32_t copy)
{
    LIST_FOR(node, &m->apps)
    {
        struct app *a = LIST_ENTRY(node, struct app, node);
        for (uint32_t n = 0; n < WANTED_MAX_INSTANCES; n++) {
            struct instance *i = a->instances[n];
            if (!i || !is_held(i) || !(i->edges & 1u << copy) || (ticket && i->ticket != ticket))
                continue;
            i->edges &= ~(1u << copy);
            if (!i->edges)
                end(i, LOG_INFO, "left");
        }
    }
}

void workers_left(struct monitor *m, uint64_t ticket, uint32_t copy)
{
    if (ticket)
        leave(m, ticket, copy);
}

void workers_edge_gone(struct monitor *m, uint32_t copy)
{
    leave(m, 0, copy);
}

static void stop_one(struct instance *i)
{
    if (retire(i) && is_held(i))
        end(i, LOG_INFO, "stop");
}

static void kill_one(struct instance *i)
{
    child_signal(&i->child, SIGKILL);
}

void workers_stop(struct monitor *m, bool now)
{
    workers_each(m, now ? kill_one : stop_one);
    LIST_FOR(node, &m->apps)
    {
        child_signal(&LIST_ENTRY(node, struct app, node)->preparing, SIGKILL);
    }
}
