/* SPDX-License-Identifier: Apache-2.0 */
#include "control/control.h"
#include "control/admin.h"
#include "control/state.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/panic.h"
#include "jail/jail.h"
#include "net/diag.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* How long after a restart of control instances may take to be found again. */
#define HOLD_MS 10000u

void control_leave(struct control *c, int exit_code)
{
    c->exit_code = exit_code;
    loop_stop(c->loop);
}

void *control_scratch(enum ipc_type type)
{
    static union ipc_body body;
    memset(&body, 0, ipc_octets(type));
    return &body;
}

static void note_sent(struct control *c, int err)
{
    if (!err)
        return;
    log_event(err == ERR_CLOSED ? LOG_INFO : LOG_ERROR, "control.channel",
              "sent=false error=\"%s\"", err_text(err));
    control_leave(c, err == ERR_CLOSED ? 0 : err_row(err)->exit_code);
}

/* Monitor may be waiting to send to us: never wait for it here. */
void control_send(struct control *c, enum ipc_type type, const void *body, int fd)
{
    note_sent(c, ipc_outbox_send(&c->outbox, c->channel.fd, type, body, &fd, fd >= 0));
    if (fd >= 0)
        close(fd);
}

/* Without counters there are no names yet that could be kept. */
static void map_counters(struct control *c, int fd, bool may_init)
{
    void *base;
    size_t len;
    if (c->stats.memory) /* one memory for as long as monitor lives */
        return;
    int err = ipc_map_shared(fd, &base, &len);
    if (err == 0) {
        const struct stats_header *h = base;
        uint32_t loops = may_init ? c->manifest->loops * IPC_COUNTER_COPIES : 0;
        if (may_init && len >= sizeof *h && h->magic == 0 &&
            len >= stats_octets(loops, CONTROL_SITE_SLOTS))
            stats_init(base, loops, CONTROL_SITE_SLOTS);
        c->stats = stats_open(base, len);
        if (c->stats.site_slots != CONTROL_SITE_SLOTS)
            c->stats.memory = NULL;
        c->stats_octets = len;
        if (!c->stats.memory)
            munmap(base, len);
    }
    if (!c->stats.memory && may_init)
        log_event(LOG_ERROR, "control.counters", "error=\"%s\"", err_text(err ? err : ERR_FORMAT));
}

/* Monitor hands the manifest over open where control may not walk to it. */
static struct manifest *load(const struct control *c)
{
    struct stat st;
    bool is_given = fstat(IPC_MANIFEST_FD, &st) == 0 && S_ISREG(st.st_mode);
    return manifest_load(c->manifest_path, is_given ? IPC_MANIFEST_FD : -1, MANIFEST_FILES_NAMED);
}

/* /proc tells whose listener an address is.  For an ordinary user, whose processes all have one
 * user, that takes a look into them, which Landlock forbids. */
static int enter_jail(const struct control *c)
{
    bool has_root;
    const struct jail j = {.role = JAIL_CONTROL,
                           .readable = "/proc",
                           .is_open = !c->hello.as_root,
                           .why_open = "it finds out whose listener it is by looking into "
                                       "processes of the same user"};
    return jail_enter(&j, &has_root);
}

static void on_hello(struct control *c, const struct ipc_message *m)
{
    const struct ipc_hello *hello = &m->body.HELLO;
    if (c->has_hello) {
        log_event(LOG_ERROR, "control.channel", "error=\"a second HELLO\"");
        control_leave(c, 70);
        return;
    }
    c->hello = *hello;
    c->has_hello = true;
    if (c->diag < 0 && hello->uids)
        log_event(LOG_WARN, "admin.owner",
                  "text=\"this kernel does not tell whose a TCP socket is: apps can read the admin "
                  "listener\"");
    if (enter_jail(c) < 0) {
        control_leave(c, 71);
        return;
    }
    /* Without counters an earlier control ended before anything was committed. */
    c->is_resumed = hello->restarted && m->fd_count;
    int err = slots_init(&c->slots, CONTROL_SITE_SLOTS);
    if (c->is_resumed)
        map_counters(c, m->fds[0], false);
    for (uint32_t i = 0; err == 0 && c->stats.memory && i < CONTROL_SITE_SLOTS; i++)
        err = slots_recall(&c->slots, i, stats_name(c->stats, i));
    c->is_rooted = hello->is_rooted;
    c->manifest = load(c);
    if (c->manifest && c->manifest->loops_auto && hello->loops)
        c->manifest->loops = hello->loops; /* processors may have come or gone */
    if (c->manifest && c->manifest->faults.count == 0)
        wanted_check_root(c, c->manifest);
    if (!c->manifest || c->manifest->faults.count) {
        if (c->manifest)
            faults_print(&c->manifest->faults, STDERR_FILENO);
        control_leave(c, 2);
        return;
    }
    if (err < 0 || apps_apply(c, c->manifest) != 0) {
        log_event(LOG_ERROR, "control.start", "error=\"%s\"", err_text(ERR_NOMEM));
        control_leave(c, 71);
        return;
    }
    greeting_init(c);
    if (c->is_resumed) {
        /* What runs goes on: the same wanted state changes nothing, and no routes are published
         * until the instances that are in them have been found again. */
        c->greeted = true;
        c->revision =
            clock_mono_us() / 1000; /* above all that an earlier life can have given out */
        loop_timer_set(c->loop, &c->hold, loop_now_us(c->loop) + HOLD_MS * 1000);
        log_event(LOG_INFO, "control.resume", "apps=%u", c->app_count);
    }
    wanted_send(c, NULL);
}

static void on_listening(struct control *c, struct ipc_message *m)
{
    const struct ipc_listening *l = &m->body.LISTENING;
    for (uint32_t i = 0; i < c->listener_count; i++)
        if (c->listeners[i].kind == l->kind && strcmp(c->listeners[i].address, l->address) == 0)
            return; /* told again after a later commit */
    if (c->listener_count < CONTROL_MAX_LISTENERS) {
        struct control_listener *to = &c->listeners[c->listener_count++];
        to->kind = l->kind;
        memcpy(to->address, l->address, sizeof to->address);
    }
    if (m->fd_count == 1) {
        if (admin_listen(c->admin, m->fds[0], l->kind == IPC_LISTEN_LOCAL) == 0)
            m->fd_count = 0; /* given */
        else
            log_event(LOG_ERROR, "admin.listen", "address=%s", l->address);
    }
    if (c->greeted || !c->manifest)
        return;
    for (uint32_t i = 0; i < c->app_count; i++)
        greeting_update(c, c->apps[i]);
}

static void on_committed(struct control *c, const struct ipc_message *m)
{
    map_counters(c, m->fds[0], true);
    for (uint32_t i = 0; c->stats.memory && i < CONTROL_SITE_SLOTS; i++)
        if (c->slots.names[i][0])
            memcpy(stats_name(c->stats, i), c->slots.names[i], STATS_NAME_OCTETS);
    c->is_committed = true;
    c->is_taken = !m->body.COMMITTED.refused;
    snapshot_wanted(c);
    reload_committed(c, &m->body.COMMITTED);
}

static void on_message(struct control *c, struct ipc_message *m)
{
    if (!c->has_hello && m->type != IPC_HELLO) {
        log_event(LOG_ERROR, "control.channel", "error=\"%s before HELLO\"",
                  ipc_type_name(m->type));
        control_leave(c, 70);
        return;
    }
    if (m->type == IPC_HELLO)
        on_hello(c, m);
    else if (m->type == IPC_LISTENING)
        on_listening(c, m);
    else if (m->type == IPC_COMMITTED)
        on_committed(c, m);
    else if (m->type == IPC_INSTANCE)
        instance_told(c, &m->body.INSTANCE);
    else if (m->type == IPC_RELOAD)
        reload(c, m->fd_count ? m->fds[0] : -1, &m->body.RELOAD);
    else if (m->type == IPC_IN_FORCE)
        c->in_force = m->body.IN_FORCE.revision;
    else if (m->type == IPC_OUTPUT)
        instance_output(c, &m->body.OUTPUT);
    else {
        log_event(LOG_ERROR, "control.channel", "error=\"%s is not for control\"",
                  ipc_type_name(m->type));
        control_leave(c, 70);
    }
}

static void on_channel(struct loop_source *s, unsigned events)
{
    struct control *c = CONTAINER_OF(s, struct control, channel);
    static struct ipc_message m;
    (void)events;
    CHECK_MAGIC(c, CONTROL_MAGIC);
    note_sent(c, ipc_outbox_flush(&c->outbox, c->channel.fd));
    while (c->exit_code < 0) {
        int err = ipc_recv(s->fd, &m);
        if (err == ERR_AGAIN)
            return;
        if (err == ERR_CLOSED) {
            control_leave(c, 0);
            return;
        }
        if (err != 0) {
            log_event(LOG_ERROR, "control.channel", "error=\"%s\"", err_text(err));
            control_leave(c, 70);
            return;
        }
        on_message(c, &m);
        for (unsigned i = 0; i < m.fd_count; i++)
            close(m.fds[i]);
    }
}

static void on_hold_over(struct loop_timer *t)
{
    struct control *c = CONTAINER_OF(t, struct control, hold);
    snapshot_wanted(c);
}

static void control_fini(struct control *c)
{
    admin_free(c->admin);
    apps_fini(c);
    slots_fini(&c->slots);
    if (c->stats.memory)
        munmap(c->stats.memory, c->stats_octets);
    loop_timer_clear(&c->publish_again);
    loop_timer_clear(&c->hold);
    if (c->greet.on_due)
        loop_timer_clear(&c->greet);
    loop_task_cancel(&c->publish);
    ipc_outbox_fini(&c->outbox);
    loop_remove(c->loop, &c->channel);
    loop_free(c->loop);
    manifest_free(c->manifest);
    if (c->diag >= 0)
        close(c->diag);
}

/* A secret of this life: who asks for it at admin.sock is the operator. */
static int make_token(char out[CONTROL_TOKEN_OCTETS])
{
    uint8_t random[CONTROL_TOKEN_OCTETS / 2];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return ERR_SYS;
    for (size_t i = 0; i < CONTROL_TOKEN_OCTETS; i++)
        out[i] = "0123456789abcdef"[random[i / 2] >> (i % 2 ? 0 : 4) & 15];
    return 0;
}

int control_main(int channel, const char *manifest_path)
{
    static struct control c;
    c = (struct control){
        .magic = CONTROL_MAGIC,
        .channel = {on_channel, channel},
        .manifest_path = manifest_path,
        .exit_code = -1,
        .diag = diag_open(),
        .started_us = clock_mono_us(),
    };
    int flags = fcntl(channel, F_GETFL);
    ipc_outbox_init(&c.outbox, UINT32_MAX); /* a manifest may be as long as it likes */
    loop_task_init(&c.publish, snapshot_task);
    loop_timer_init(&c.publish_again, snapshot_again);
    loop_timer_init(&c.hold, on_hold_over);
    c.loop = loop_new();
    if (!c.loop || flags < 0 || fcntl(channel, F_SETFL, flags | O_NONBLOCK) != 0 ||
        loop_add(c.loop, &c.channel) != 0 || !(c.admin = admin_new(&c)) ||
        make_token(c.push_token) != 0) {
        log_event(LOG_ERROR, "control.start", "error=\"no loop\"");
        if (c.loop)
            loop_free(c.loop);
        return 71;
    }
    loop_run(c.loop);
    control_fini(&c);
    return c.exit_code < 0 ? 0 : c.exit_code;
}
