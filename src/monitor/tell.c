/* SPDX-License-Identifier: Apache-2.0 */
/* What control hears of instances. */
#include "monitor/state.h"
#include "base/clock.h"

#include <string.h>

static void tell(struct instance *i, bool is_gone)
{
    struct monitor *m = i->app->monitor;
    i->told = UINT64_MAX;
    if (!m->control_synced && !is_gone) /* at its commit it hears of all there are then */
        return;
    struct ipc_instance b;
    uint64_t now_us = clock_mono_us();
    memset(&b, 0, sizeof b);
    i->told = b.sequence = ++m->told;
    memcpy(b.app, i->app->wanted.name, sizeof b.app);
    b.index = i->index;
    b.version = i->app->version;
    b.is_current = app_is_current(i->app);
    b.is_gone = is_gone;
    b.generation = i->life.generation;
    b.state = i->life.state;
    b.pid = i->child.pid;
    b.uid = i->app->uid;
    b.port = i->port;
    b.port_h2 = i->port_h2;
    memcpy(b.socket, i->socket, sizeof i->socket);
    b.exit_code = i->exit_code;
    b.exit_signal = i->exit_signal;
    b.ran_ms = i->ran_ms;
    b.restarts = i->life.restarts;
    b.failures = i->life.failures;
    b.never_ready = i->life.never_ready;
    if (i->life.state == IPC_BACKOFF && i->life.due_us > now_us)
        b.retry_in_ms = (uint32_t)((i->life.due_us - now_us) / 1000u);
    channel_send(&m->control.channel, IPC_INSTANCE, &b, NULL, 0);
}

void instance_tell(struct instance *i)
{
    tell(i, false);
}

void instance_tell_gone(struct instance *i)
{
    tell(i, true);
}

void instance_tell_output(const struct instance *i)
{
    struct ipc_output b;
    if (!i->app->monitor->control_synced)
        return;
    memset(&b, 0, sizeof b);
    memcpy(b.app, i->app->wanted.name, sizeof b.app);
    b.index = i->index;
    b.generation = i->life.generation;
    _Static_assert(sizeof b.text == sizeof i->output.tail, "the tail is what the message holds");
    memcpy(b.text, i->output.tail, i->output.tail_len);
    channel_send(&i->app->monitor->control.channel, IPC_OUTPUT, &b, NULL, 0);
}

void workers_tell(struct monitor *m)
{
    workers_each(m, instance_tell);
}
