/* SPDX-License-Identifier: Apache-2.0 */
/* The wall clock of a program that it is linked into, OpenSSL's calls included, shifted by as many
 * seconds as the file says that lies beside the program: portico and portico.offset, eight octets.
 * The file is mapped, so a test that writes to it moves the clock of every process at once.  The
 * monotonic clocks are left alone, and so is the kernel's own wall clock (times of files, timerfd).
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const _Atomic int64_t *offset_s;

__attribute__((constructor)) static void open_offset(void)
{
    static const char suffix[] = ".offset";
    char path[PATH_MAX + sizeof suffix] = "";
    ssize_t n = readlink("/proc/self/exe", path, PATH_MAX);
    memcpy(path + (n > 0 ? n : 0), suffix, sizeof suffix);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *map = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *offset_s, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        _exit(97);
    }
    close(fd);
    offset_s = map;
}

static void read_wall(struct timespec *t)
{
    syscall(SYS_clock_gettime, CLOCK_REALTIME, t);
    if (offset_s) /* the sanitizers may ask before the constructor */
        t->tv_sec += atomic_load(offset_s);
}

int clock_gettime(clockid_t id, struct timespec *t)
{
    if (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE)
        return (int)syscall(SYS_clock_gettime, id, t);
    read_wall(t);
    return 0;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec t;
    (void)zone;
    read_wall(&t);
    *out = (struct timeval){t.tv_sec, t.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *out)
{
    struct timespec t;
    read_wall(&t);
    if (out)
        *out = t.tv_sec;
    return t.tv_sec;
}
