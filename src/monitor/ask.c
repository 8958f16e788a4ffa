/* SPDX-License-Identifier: Apache-2.0 */
/* `portico upgrade`, on the asking side. */
#include "monitor/files.h"
#include "monitor/monitor.h"
#include "base/clock.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WAIT_US  UINT64_C(120000000)
#define PAUSE_US 50000

/* Each result is a file of its own; as long as it is this one, nothing new was said. */
static struct stat identity(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0)
        memset(&st, 0, sizeof st);
    return st;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

int monitor_ask_upgrade(const char *data_)
{
    char data[PATH_MAX], path[PATH_MAX], text[1600];
    if (files_data_directory(data_, data, sizeof data) < 0 || !FILES_FMT(path, "%s/upgrade", data))
        return 2;
    pid_t pid = files_lock_holder(data);
    if (pid <= 0) {
        fprintf(stderr, "portico: no portico uses the data directory %s\n", data);
        return 2;
    }
    struct stat before = identity(path);
    if (kill(pid, SIGUSR2) < 0) {
        fprintf(stderr, "portico: cannot signal portico (pid %d): %s\n", (int)pid, strerror(errno));
        return 1;
    }
    for (uint64_t end = clock_mono_us() + WAIT_US; clock_mono_us() < end; usleep(PAUSE_US)) {
        struct stat now = identity(path);
        if (now.st_ino && !is_same(&now, &before)) {
            FILE *f = fopen(path, "re");
            bool ok = f && fgets(text, sizeof text, f);
            if (f)
                fclose(f);
            if (!ok)
                continue;
            bool is_done = strncmp(text, "done", 4) == 0;
            fprintf(is_done ? stdout : stderr, "portico: %s", text);
            return is_done ? 0 : 1;
        }
        if (files_lock_holder(data) != pid) {
            fprintf(stderr, "portico: portico (pid %d) has ended\n", (int)pid);
            return 1;
        }
    }
    fprintf(stderr, "portico: nothing was heard of the upgrade yet; its log says more\n");
    return 1;
}
