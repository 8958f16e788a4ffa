/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/output.h"
#include "base/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void output_init(struct output *o, const char *app, unsigned index, char *path)
{
    memset(o, 0, sizeof *o);
    snprintf(o->tag, sizeof o->tag, "[%s/%u] ", app, index);
    o->path = path;
    o->file = -1;
}

void output_fini(struct output *o)
{
    if (o->file >= 0)
        close(o->file);
    free(o->path);
    o->file = -1;
    o->path = NULL;
}

void output_begin(struct output *o)
{
    o->tail_len = o->tail_lines = 0;
    o->tail[0] = 0;
    o->line_len = 0;
    o->in_excess = false;
}

void output_reopen(struct output *o)
{
    if (o->file >= 0)
        close(o->file);
    o->file = -1;
}

static bool open_file(struct output *o)
{
    struct stat st;
    o->file = open(o->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (o->file < 0)
        return false;
    o->file_octets = fstat(o->file, &st) == 0 ? (uint64_t)st.st_size : 0;
    return true;
}

static void rotate(struct output *o)
{
    char old[4096];
    output_reopen(o);
    if (snprintf(old, sizeof old, "%s.1", o->path) >= (int)sizeof old || rename(o->path, old) < 0)
        unlink(o->path); /* the cap holds, whatever happens */
}

static void to_file(struct output *o, const char *octets, size_t len)
{
    if (!o->path || (o->file < 0 && !open_file(o)))
        return;
    if (o->file_octets + len > OUTPUT_FILE_OCTETS && o->file_octets > 0) {
        rotate(o);
        if (!open_file(o))
            return;
    }
    while (len) {
        ssize_t n = write(o->file, octets, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* a full disk: the worker goes on, its log has a hole */
        o->file_octets += (size_t)n;
        octets += n, len -= (size_t)n;
    }
}

bool output_console(int fd, const char *octets, size_t len)
{
    /* A pipe with POLLOUT takes PIPE_BUF octets; ours, and a terminal, does not block either when
     * somebody else comes first (monitor.c). */
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    if (poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT))
        return false;
    return write(fd, octets, len) == (ssize_t)len;
}

static void to_tail(struct output *o, const char *line, size_t len)
{
    if (len > OUTPUT_LINE_IN_TAIL)
        len = OUTPUT_LINE_IN_TAIL;
    while (o->tail_lines &&
           (o->tail_lines >= OUTPUT_TAIL_LINES || o->tail_len + len + 2 > sizeof o->tail)) {
        const char *end = memchr(o->tail, '\n', o->tail_len);
        size_t first = end ? (size_t)(end - o->tail) + 1 : o->tail_len;
        memmove(o->tail, o->tail + first, o->tail_len - first);
        o->tail_len -= first;
        o->tail_lines--;
    }
    memcpy(o->tail + o->tail_len, line, len);
    o->tail_len += len;
    o->tail[o->tail_len++] = '\n';
    o->tail[o->tail_len] = 0;
    o->tail_lines++;
}

/* Lines on their way to the console, of which one write takes as many as a pipe takes as a whole.
 */
struct lines {
    char octets[PIPE_BUF];
    size_t len;
    unsigned count;
};

static void flush(struct output *o, struct lines *l)
{
    char notice[sizeof o->tag + 48];
    if (l->count == 0)
        return;
    if (o->dropped) {
        int n = snprintf(notice, sizeof notice, "%s(%llu lines left out)\n", o->tag,
                         (unsigned long long)o->dropped);
        if (output_console(STDOUT_FILENO, notice, (size_t)n))
            o->dropped = 0;
    }
    if (!output_console(STDOUT_FILENO, l->octets, l->len))
        o->dropped += l->count;
    l->len = l->count = 0;
}

static void end_line(struct output *o, struct lines *l)
{
    size_t tag_len = strlen(o->tag);
    _Static_assert(sizeof o->tag + OUTPUT_LINE_OCTETS <= PIPE_BUF, "a line finds room");
    /* A worker must not steer the operator's terminal, nor fake another tag. */
    terminal_mask(o->line, o->line_len, "\t");
    to_tail(o, o->line, o->line_len);
    if (tag_len + o->line_len + 1 > sizeof l->octets - l->len)
        flush(o, l);
    memcpy(l->octets + l->len, o->tag, tag_len);
    memcpy(l->octets + l->len + tag_len, o->line, o->line_len);
    l->len += tag_len + o->line_len;
    l->octets[l->len++] = '\n';
    l->count++;
    o->line_len = 0;
    o->in_excess = false;
}

void output_feed(struct output *o, const char *octets, size_t len)
{
    struct lines l;
    l.len = l.count = 0;
    to_file(o, octets, len);
    for (size_t i = 0; i < len; i++) {
        if (octets[i] == '\n') {
            if (o->line_len && o->line[o->line_len - 1] == '\r')
                o->line_len--;
            end_line(o, &l);
        } else if (o->line_len < sizeof o->line) {
            o->line[o->line_len++] = octets[i];
        } else if (!o->in_excess) {
            o->in_excess = true;
            memcpy(o->line + sizeof o->line - 3, "...", 3);
        }
    }
    flush(o, &l);
}

void output_end(struct output *o)
{
    struct lines l;
    l.len = l.count = 0;
    if (o->line_len)
        end_line(o, &l);
    flush(o, &l);
}
