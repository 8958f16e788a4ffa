/* SPDX-License-Identifier: Apache-2.0 */
#include "base/print.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_MS 200
#define PAUSE_MS    20 /* a terminal may have room by poll(2) and take nothing */

static bool is_stuck; /* nobody waits for him any more until there is room again */

/* As many whole lines as a pipe with POLLOUT takes at once, without waiting. */
static size_t piece(const char *text, size_t len)
{
    if (len <= PIPE_BUF)
        return len;
    const char *end = memrchr(text, '\n', PIPE_BUF);
    return end ? (size_t)(end - text) + 1 : PIPE_BUF;
}

void print_text(int fd, const char *text, size_t len)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int saved = errno, pauses = PATIENCE_MS / PAUSE_MS;
    while (len) {
        is_stuck = poll(&p, 1, is_stuck ? 0 : PATIENCE_MS) != 1 || !(p.revents & POLLOUT);
        if (is_stuck)
            break;
        ssize_t n = write(fd, text, piece(text, len));
        if (n > 0)
            text += n, len -= (size_t)n;
        else if (n < 0 && errno == EAGAIN && pauses-- > 0)
            poll(NULL, 0, PAUSE_MS);
        else if (n == 0 || errno != EINTR)
            break;
    }
    errno = saved;
}

void print_fmt(int fd, const char *fmt, ...)
{
    char text[8192];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n >= (int)sizeof text)
        text[(n = sizeof text - 1) - 1] = '\n';
    if (n > 0)
        print_text(fd, text, (size_t)n);
}
