/* SPDX-License-Identifier: Apache-2.0 */
/* What systemd is told (sd_notify(3)) when it has asked by NOTIFY_SOCKET: one datagram each time,
 * and no answer is waited for. */
#ifndef MONITOR_NOTIFY_H
#define MONITOR_NOTIFY_H

struct monitor;

/* Reads NOTIFY_SOCKET and WATCHDOG_USEC. */
void notify_init(struct monitor *m);
void notify_fini(struct monitor *m);
/* Edge serves. */
void notify_ready(struct monitor *m);
void notify_reloading(struct monitor *m);
void notify_stopping(struct monitor *m);

#endif
