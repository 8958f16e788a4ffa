/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "base/clock.h"
#include "base/terminal.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_MS 200

static const char *role_name = "portico";
static enum log_level max_level = LOG_INFO;
static _Atomic bool is_stuck;
static _Atomic unsigned long long left_out; /* lines that nobody was told of */

void log_setup(const char *role, enum log_level level)
{
    role_name = role;
    max_level = level;
}

/* Who reads the log has a moment, since a worker may write faster than he reads; when he has
 * stopped to, nothing waits for him any more until there is room again.  The descriptor is shared
 * with whoever started us, so it may not be made non-blocking; a pipe with room takes a line as a
 * whole. return  false: there is no room, or nobody any more */
static bool put_list(enum log_level level, const char *event, const char *fmt, va_list ap)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    char line[2048], stamp[CLOCK_ISO_OCTETS + 1] = {0};
    struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
    is_stuck = poll(&p, 1, is_stuck ? 0 : PATIENCE_MS) != 1 || !(p.revents & POLLOUT);
    if (is_stuck)
        return false;
    clock_iso(clock_wall_us(), stamp);
    int n =
        snprintf(line, sizeof line, "%.23sZ %-5s %s %s ", stamp, names[level], role_name, event);
    int m = vsnprintf(line + n, sizeof line - (size_t)n - 1, fmt, ap);
    n += m < 0 ? 0 : m;
    if ((size_t)n > sizeof line - 2)
        n = (int)sizeof line - 2;
    terminal_mask(line, (size_t)n, ""); /* one event stays one line, whatever the fields hold */
    line[n++] = '\n';
    return write(STDERR_FILENO, line, (size_t)n) == n;
}

static bool put(enum log_level level, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static bool put(enum log_level level, const char *event, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    bool is_put = put_list(level, event, fmt, ap);
    va_end(ap);
    return is_put;
}

void log_event(enum log_level level, const char *event, const char *fmt, ...)
{
    unsigned long long missing = left_out;
    va_list ap;
    int saved = errno;
    if (level > max_level)
        return;
    if (missing && put(LOG_WARN, "log.left_out", "count=%llu", missing))
        left_out -= missing;
    va_start(ap, fmt);
    if (!put_list(level, event, fmt, ap))
        left_out++;
    va_end(ap);
    errno = saved;
}
