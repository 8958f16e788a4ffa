/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/notify.h"
#include "monitor/state.h"
#include "base/clock.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void tell(struct monitor *m, const char *text)
{
    const char *where = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t len = where ? strlen(where) : 0;
    if (m->notify_fd < 0 || len < 2 || len >= sizeof to.sun_path)
        return;
    memcpy(to.sun_path, where, len);
    if (where[0] == '@') /* of the abstract kind */
        to.sun_path[0] = 0;
    socklen_t octets = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    ssize_t n = sendto(m->notify_fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT,
                       (const struct sockaddr *)&to, octets);
    (void)n; /* nobody there to complain to */
}

static void on_watchdog(struct timer *t)
{
    struct monitor *m = LIST_ENTRY(t, struct monitor, watchdog_timer);
    tell(m, "WATCHDOG=1");
    timer_arm(&m->poller, t, clock_mono_us() + m->watchdog_us);
}

void notify_init(struct monitor *m)
{
    const char *where = getenv("NOTIFY_SOCKET"), *every = getenv("WATCHDOG_USEC"),
               *who = getenv("WATCHDOG_PID");
    timer_init(&m->watchdog_timer, on_watchdog);
    m->notify_fd = -1;
    if (!where || (where[0] != '/' && where[0] != '@'))
        return;
    m->notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    unsigned long long us = every ? strtoull(every, NULL, 10) : 0;
    if (us < 2 || us > UINT32_MAX * 1000ull || (who && atol(who) != (long)getpid()))
        return;
    m->watchdog_us = us / 2;
    timer_arm(&m->poller, &m->watchdog_timer, clock_mono_us() + m->watchdog_us);
}

void notify_fini(struct monitor *m)
{
    timer_cancel(&m->watchdog_timer);
    if (m->notify_fd >= 0)
        close(m->notify_fd);
    m->notify_fd = -1;
}

void notify_ready(struct monitor *m)
{
    char text[160];
    snprintf(text, sizeof text, "READY=1\nMAINPID=%d\nSTATUS=version %s serves", (int)getpid(),
             PORTICO_VERSION);
    tell(m, text);
}

void notify_reloading(struct monitor *m)
{
    char text[80];
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%llu",
             (unsigned long long)clock_mono_us());
    tell(m, text);
}

void notify_stopping(struct monitor *m)
{
    tell(m, "STOPPING=1");
}
