/* SPDX-License-Identifier: Apache-2.0 */
/* Events for the operator, one line each: a stable event name, then typed fields.
 *
 *     log_event(LOG_INFO, "worker.exit", "app=%s pid=%d status=%d", app, pid, status);
 *
 * error: an operator must act; warn: degraded; info: life cycle; debug: a frame.
 * Never a cookie, token or body.  A peer's misbehaviour is a counter, not a line a request. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stddef.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Lines go to standard error.  One for which there is no room there is left out, and how many were
 * is told when there is again.  role is borrowed for ever ("edge"); level is the most verbose kept.
 */
void log_setup(const char *role, enum log_level level);
void log_event(enum log_level level, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
