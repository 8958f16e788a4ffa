/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "base/clock.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *role_name = "portico";
static enum log_level max_level = LOG_INFO;

void log_setup(const char *role, enum log_level level)
{
    role_name = role;
    max_level = level;
}

void log_tame(char *line, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)line[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            line[i] = '?';
        else if ((c & 0xe0) == 0x80 && i && line[i - 1] == '\xc2')
            line[i - 1] = line[i] = '?';
    }
}

void log_event(enum log_level level, const char *event, const char *fmt, ...)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    char line[2048], stamp[CLOCK_ISO_OCTETS + 1] = {0};
    int saved = errno;
    if (level > max_level)
        return;
    clock_iso(clock_wall_us(), stamp);
    int n =
        snprintf(line, sizeof line, "%.23sZ %-5s %s %s ", stamp, names[level], role_name, event);
    va_list ap;
    va_start(ap, fmt);
    int m = vsnprintf(line + n, sizeof line - (size_t)n - 1, fmt, ap);
    va_end(ap);
    n += m < 0 ? 0 : m;
    if ((size_t)n > sizeof line - 2)
        n = (int)sizeof line - 2;
    log_tame(line, (size_t)n); /* one event stays one line, whatever the fields hold */
    for (int i = 0; i < n; i++)
        if (line[i] == '\t')
            line[i] = '?';
    line[n++] = '\n';
    if (write(STDERR_FILENO, line, (size_t)n) < 0)
        n = 0; /* nowhere left to tell */
    errno = saved;
}
