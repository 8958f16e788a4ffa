/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "base/clock.h"
#include "base/terminal.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_MS 200
#define LINE_OCTETS 2048
#define FMT_OCTETS  512 /* a format of ours is shorter by far */

static const char *role_name = "portico";
static enum log_level max_level = LOG_INFO;
static _Atomic bool is_stuck;
static _Atomic unsigned long long left_out; /* lines that nobody was told of */

void log_setup(const char *role, enum log_level level)
{
    role_name = role;
    max_level = level;
}

static int print_marked(char *out, size_t room, char mark, const char *fmt, va_list ap)
{
    char marked[FMT_OCTETS];
    size_t n = strnlen(fmt, sizeof marked - 1);
    for (size_t i = 0; i < n; i++)
        marked[i] = fmt[i] == '"' ? mark : fmt[i];
    marked[n] = '\0';
    return vsnprintf(out, room, marked, ap);
}

/* A value's own quotes become "'", so that it cannot end itself and fake the next field: printed
 * twice, with other marks for the quotes of fmt, the line differs at these alone.
 * return  octets written, as many as there is room for */
static size_t print_fields(char *out, size_t room, const char *fmt, va_list ap)
{
    char other[LINE_OCTETS];
    va_list again;
    va_copy(again, ap);
    int n = print_marked(out, room, '\1', fmt, ap);
    print_marked(other, room, '\2', fmt, again);
    va_end(again);
    size_t len = n < 0 ? 0 : (size_t)n < room ? (size_t)n : room - 1;
    for (size_t i = 0; i < len; i++) {
        if (out[i] != other[i])
            out[i] = '"';
        else if (out[i] == '"')
            out[i] = '\'';
    }
    return len;
}

/* Who reads the log has a moment, since a worker may write faster than he reads; when he has
 * stopped to, nothing waits for him any more until there is room again.  The descriptor is shared
 * with whoever started us, so it may not be made non-blocking; a pipe with room takes a line as a
 * whole, and monitor opens pipes and terminals anew.
 * return  false: there is no room, or nobody any more */
static bool put_list(enum log_level level, const char *event, const char *fmt, va_list ap)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    char line[LINE_OCTETS], stamp[CLOCK_ISO_OCTETS + 1] = {0};
    struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
    is_stuck = poll(&p, 1, is_stuck ? 0 : PATIENCE_MS) != 1 || !(p.revents & POLLOUT);
    if (is_stuck)
        return false;
    clock_iso(clock_wall_us(), stamp);
    size_t n = (size_t)snprintf(line, sizeof line, "%.23sZ %-5s %s %s ", stamp, names[level],
                                role_name, event);
    n += print_fields(line + n, sizeof line - n, fmt, ap);
    terminal_mask(line, n, ""); /* one event stays one line, whatever the fields hold */
    line[n++] = '\n';
    return write(STDERR_FILENO, line, n) == (ssize_t)n;
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
    va_list ap;
    int saved = errno;
    if (level > max_level)
        return;
    /* Only one thread has them to tell of. */
    unsigned long long missing = atomic_exchange(&left_out, 0);
    if (missing && !put(LOG_WARN, "log.left_out", "count=%llu", missing))
        left_out += missing;
    va_start(ap, fmt);
    if (!put_list(level, event, fmt, ap))
        left_out++;
    va_end(ap);
    errno = saved;
}
