/* SPDX-License-Identifier: Apache-2.0 */
#include "control/probe.h"
#include "base/err.h"
#include "base/panic.h"

/* RFC 9113 3.4: the client's preface, then SETTINGS without a setting. */
static const char h2_hello[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                               "\x00\x00\x00\x04\x00\x00\x00\x00\x00";
/* An acknowledgement of SETTINGS, and GOAWAY(NO_ERROR): a worker that logs shall see a polite end.
 */
static const char h2_goodbye[] = "\x00\x00\x00\x04\x01\x00\x00\x00\x00"
                                 "\x00\x00\x08\x07\x00\x00\x00\x00\x00"
                                 "\x00\x00\x00\x00\x00\x00\x00\x00";

/* Of the step nothing is to come any more. */
static void hang_up(struct probe *p)
{
    if (p->is_streaming)
        stream_close(&p->stream);
    p->is_streaming = p->is_asking = false;
    loop_timer_clear(&p->timer);
    loop_task_cancel(&p->go);
}

void probe_stop(struct probe *p)
{
    if (p->step == PROBE_IDLE)
        return;
    hang_up(p);
    p->step = PROBE_IDLE;
}

static void found(struct probe *p)
{
    probe_stop(p);
    p->on_finding(p, PROBE_FOUND);
}

static void try_step(struct probe *p, enum probe_step step)
{
    p->step = step;
    loop_again(p->loop, &p->go);
}

/* Nothing serves yet: wait, longer each time, and begin again. */
static void wait_more(struct probe *p)
{
    uint64_t now_us = loop_now_us(p->loop);
    hang_up(p);
    p->wait_ms = p->wait_ms * 5 / 4 < PROBE_MAX_WAIT_MS ? p->wait_ms * 5 / 4 : PROBE_MAX_WAIT_MS;
    if (p->is_late)
        p->wait_ms = PROBE_LATE_WAIT_MS;
    p->step = PROBE_WAIT;
    loop_timer_set(p->loop, &p->timer, now_us + (uint64_t)p->wait_ms * 1000);
    if (!p->is_late && now_us - p->started_us > (uint64_t)PROBE_LIMIT_MS * 1000) {
        p->is_late = true;
        p->on_finding(p, PROBE_LATE);
    }
}

/* The address of the current step does not serve: go on with the next one. */
static void next_step(struct probe *p)
{
    hang_up(p);
    switch (p->step) {
    case PROBE_UNIX:
        try_step(p, PROBE_PORT);
        return;
    case PROBE_H2_PORT:
        if (loop_now_us(p->loop) - p->found_us > (uint64_t)PROBE_H2_PORT_MS * 1000) {
            found(p);
            return;
        }
        wait_more(p);
        return;
    case PROBE_PORT:
    case PROBE_IDLE:
    case PROBE_WAIT:
        wait_more(p);
        return;
    }
    UNREACHABLE();
}

/* The address of the current step serves. */
static void step_serves(struct probe *p, bool is_h2c)
{
    enum probe_step step = p->step;
    hang_up(p);
    if (step == PROBE_H2_PORT) {
        p->has_h2_port = true;
        found(p);
        return;
    }
    p->address = step == PROBE_UNIX ? p->socket_address : p->port_address;
    p->is_h2c = is_h2c;
    p->found_us = loop_now_us(p->loop);
    if (p->h2_address.len)
        try_step(p, PROBE_H2_PORT);
    else
        found(p);
}

/* It answered, but not in HTTP/2, or not at all. */
static void not_h2c(struct probe *p)
{
    if (p->step == PROBE_H2_PORT)
        next_step(p);
    else
        step_serves(p, false);
}

static void ask_settings(struct probe *p)
{
    p->is_asking = true;
    p->head_octets = 0;
    if (stream_write(&p->stream, h2_hello, sizeof h2_hello - 1) != 0) {
        not_h2c(p);
        return;
    }
    loop_timer_set(p->loop, &p->timer, loop_now_us(p->loop) + PROBE_SETTINGS_MS * 1000);
}

static enum owner_answer whose(struct probe *p)
{
    switch (p->step) {
    case PROBE_UNIX:
        return owner_of_unix(p->stream.source.fd, &p->owner);
    case PROBE_PORT:
        return owner_of_port(&p->port_address, &p->owner);
    case PROBE_H2_PORT:
        return owner_of_port(&p->h2_address, &p->owner);
    case PROBE_IDLE:
    case PROBE_WAIT:
        break;
    }
    UNREACHABLE();
}

static void on_connected(struct stream *s, int err)
{
    struct probe *p = CONTAINER_OF(s, struct probe, stream);
    if (err) {
        next_step(p);
        return;
    }
    enum owner_answer answer = whose(p);
    if (answer != OWNER_YES) {
        bool tell = answer == OWNER_NO && !p->told_foreign;
        p->told_foreign |= tell;
        next_step(p);
        if (tell && p->step != PROBE_IDLE)
            p->on_finding(p, PROBE_FOREIGN);
        return;
    }
    if (p->goal == PROBE_H2C || p->step == PROBE_H2_PORT)
        ask_settings(p);
    else
        step_serves(p, false);
}

/* The first frame of a server is SETTINGS, on stream 0, not an acknowledgement.  RFC 9113 3.4 */
static bool is_settings(const unsigned char h[9])
{
    uint32_t len = (uint32_t)h[0] << 16 | (uint32_t)h[1] << 8 | h[2];
    return len % 6 == 0 && len <= 16384 && h[3] == 4 && (h[4] & 1) == 0 &&
           (h[5] | h[6] | h[7] | h[8]) == 0;
}

/* Closing with octets unread would be a reset, which some workers log. */
static void say_goodbye(struct probe *p)
{
    stream_write(&p->stream, h2_goodbye, sizeof h2_goodbye - 1);
    while (stream_can_read(&p->stream) &&
           stream_read(&p->stream, loop_scratch(p->loop, 2), LOOP_SCRATCH_OCTETS) > 0)
        continue;
}

static void on_readable(struct stream *s)
{
    struct probe *p = CONTAINER_OF(s, struct probe, stream);
    if (!p->is_asking)
        return;
    while (stream_can_read(s)) {
        ssize_t n = stream_read(s, p->head + p->head_octets, sizeof p->head - p->head_octets);
        if (n == ERR_AGAIN)
            return;
        if (n <= 0) {
            not_h2c(p);
            return;
        }
        p->head_octets += (unsigned)n;
        if (p->head_octets < sizeof p->head)
            continue;
        if (is_settings(p->head)) {
            say_goodbye(p);
            step_serves(p, true);
        } else {
            not_h2c(p);
        }
        return;
    }
}

static void on_writable(struct stream *s)
{
    (void)s;
}

static const struct stream_events stream_table = {on_readable, on_writable, on_connected};

static void on_timer(struct loop_timer *t)
{
    struct probe *p = CONTAINER_OF(t, struct probe, timer);
    if (p->step == PROBE_WAIT) {
        try_step(p, p->address.len ? PROBE_H2_PORT : PROBE_UNIX);
    } else if (p->is_asking) {
        /* Silence: the kernel accepts for a worker that is still busy starting, so ask again; but
         * one that waits for the rest of what it reads as HTTP/1.1 is silent, too. */
        if (++p->silent < PROBE_H2_TIMEOUTS)
            wait_more(p);
        else
            not_h2c(p);
    } else {
        next_step(p); /* the connect itself took too long */
    }
}

static void go(struct loop_task *t)
{
    struct probe *p = CONTAINER_OF(t, struct probe, go);
    const struct addr *to = p->step == PROBE_UNIX   ? &p->socket_address
                            : p->step == PROBE_PORT ? &p->port_address
                                                    : &p->h2_address;
    if (to->len == 0 || stream_connect(&p->stream, p->loop, to, &stream_table) != 0) {
        next_step(p);
        return;
    }
    p->is_streaming = true;
    loop_timer_set(p->loop, &p->timer, loop_now_us(p->loop) + PROBE_SETTINGS_MS * 1000);
}

void probe_start(struct probe *p, struct loop *loop, const struct owner *owner,
                 enum probe_goal goal, const struct addr *socket, const struct addr *port,
                 const struct addr *h2_port, probe_fn on_finding)
{
    ASSERT(!probe_is_running(p));
    *p = (struct probe){
        .loop = loop,
        .owner = *owner,
        .goal = goal,
        .on_finding = on_finding,
        .step = PROBE_WAIT,
        .started_us = loop_now_us(loop),
        .wait_ms = PROBE_FIRST_WAIT_MS * 4 / 5,
    };
    if (socket)
        p->socket_address = *socket;
    if (port)
        p->port_address = *port;
    if (h2_port)
        p->h2_address = *h2_port;
    loop_timer_init(&p->timer, on_timer);
    loop_task_init(&p->go, go);
    loop_timer_set(loop, &p->timer, p->started_us + 1);
}
