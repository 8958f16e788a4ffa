/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/access_log.h"
#include "base/err.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_S 1

struct access_log {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake, ended;
    char *filling, *writing; /* two halves: shards fill one while the thread writes the other */
    size_t filled;
    uint64_t lost; /* lines that could not be written and that nobody has counted yet */
    int fd;
    bool waiting, stop, has_ended;
};

static bool is_stopping(struct access_log *l)
{
    pthread_mutex_lock(&l->lock);
    bool stop = l->stop;
    pthread_mutex_unlock(&l->lock);
    return stop;
}

/* Lines are written whole or, when the descriptor fails, lost.  Whoever reads may take his time, it
 * is this thread's alone; meanwhile the other half fills.
 * return  how many octets were written */
static size_t write_all(struct access_log *l, int fd, const char *p, size_t len)
{
    size_t all = len;
    while (len) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            struct pollfd pfd = {.fd = fd, .events = POLLOUT};
            if (poll(&pfd, 1, PATIENCE_S * 1000) <= 0 && is_stopping(l))
                break;
            continue;
        }
        if (n <= 0)
            break;
        p += n;
        len -= (size_t)n;
    }
    return all - len;
}

/* Of these octets so many were written: how many lines are not there, or not whole? */
static uint64_t lines_lost(const char *p, size_t len, size_t written)
{
    uint64_t n = 0;
    for (size_t i = written; i < len; i++)
        n += p[i] == '\n';
    return n;
}

static void *run(void *arg)
{
    struct access_log *l = arg;
    bool torn = false;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    pthread_mutex_lock(&l->lock);
    for (;;) {
        while (l->filled == 0 && !l->stop) {
            l->waiting = true;
            pthread_cond_wait(&l->wake, &l->lock);
            l->waiting = false;
        }
        if (l->filled == 0)
            break;
        char *p = l->filling;
        size_t len = l->filled;
        int fd = dup(l->fd); /* a reopen may close it meanwhile */
        l->filling = l->writing;
        l->writing = p;
        l->filled = 0;
        pthread_mutex_unlock(&l->lock);
        size_t written = 0;
        if (!torn || write_all(l, fd, "\n", 1) == 1) { /* a line that was cut ends first */
            written = write_all(l, fd, p, len);
            torn = written && p[written - 1] != '\n';
        }
        uint64_t lost = lines_lost(p, len, written);
        if (fd >= 0)
            close(fd);
        pthread_mutex_lock(&l->lock);
        l->lost += lost;
    }
    l->has_ended = true;
    pthread_cond_signal(&l->ended);
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

struct access_log *access_log_new(int fd)
{
    struct access_log *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->filling = malloc(ACCESS_LOG_MAX_OCTETS);
    l->writing = malloc(ACCESS_LOG_MAX_OCTETS);
    l->fd = fd;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->wake, NULL);
    pthread_cond_init(&l->ended, NULL);
    if (!l->filling || !l->writing || pthread_create(&l->thread, NULL, run, l) != 0) {
        free(l->filling);
        free(l->writing);
        free(l);
        return NULL;
    }
    return l;
}

void access_log_free(struct access_log *l)
{
    struct timespec until;
    int err = 0;
    if (!l)
        return;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += PATIENCE_S;
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_cond_signal(&l->wake);
    while (!l->has_ended && err == 0)
        err = pthread_cond_clockwait(&l->ended, &l->lock, CLOCK_MONOTONIC, &until);
    bool has_ended = l->has_ended;
    pthread_mutex_unlock(&l->lock);
    if (!has_ended) {
        pthread_detach(l->thread);
        return;
    }
    pthread_join(l->thread, NULL);
    pthread_cond_destroy(&l->ended);
    pthread_cond_destroy(&l->wake);
    pthread_mutex_destroy(&l->lock);
    close(l->fd);
    free(l->filling);
    free(l->writing);
    free(l);
}

void access_log_reopen(struct access_log *l, int fd)
{
    pthread_mutex_lock(&l->lock);
    int old = l->fd;
    l->fd = fd;
    pthread_mutex_unlock(&l->lock);
    close(old);
}

int access_log_write(struct access_log *l, struct slice lines)
{
    int err = 0;
    bool wake = false;
    pthread_mutex_lock(&l->lock);
    if (l->filled + lines.len <= ACCESS_LOG_MAX_OCTETS) {
        memcpy(l->filling + l->filled, lines.p, lines.len);
        l->filled += lines.len;
        wake = l->waiting;
    } else {
        err = ERR_LIMIT;
    }
    pthread_mutex_unlock(&l->lock);
    if (wake)
        pthread_cond_signal(&l->wake);
    return err;
}

uint64_t access_log_lost(struct access_log *l)
{
    pthread_mutex_lock(&l->lock);
    uint64_t lost = l->lost;
    l->lost = 0;
    pthread_mutex_unlock(&l->lock);
    return lost;
}
