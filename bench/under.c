/* SPDX-License-Identifier: Apache-2.0 */
/* Preloaded into a Portico whose edge shall run under another program, such as valgrind: edge is
 * executed by the words of EDGE_UNDER, and locks itself in less, since that program needs files and
 * system calls of its own.  For measurements only.
 *
 *   EDGE_UNDER='/usr/bin/valgrind --tool=callgrind' LD_PRELOAD=.../under.so portico up ... */
#include <dlfcn.h>
#include <errno.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WORDS_MAX 128
#define TEXT_MAX  4096

int chroot(const char *path)
{
    errno = EACCES;
    return -1;
}

/* Landlock and libseccomp come by here.  The latter hears what a kernel says that has all that it
 * asks about, which it does without an argument; a filter is taken and not used. */
long syscall(long number, ...)
{
    long (*next)(long, ...) = (long (*)(long, ...))(uintptr_t)dlsym(RTLD_NEXT, "syscall");
    long a[6];
    va_list all;
    va_start(all, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(all, long);
    va_end(all);
    if (number == SYS_landlock_create_ruleset) {
        errno = ENOSYS;
        return -1;
    }
    if (number == SYS_seccomp) {
        errno = a[0] == SECCOMP_SET_MODE_STRICT ? EINVAL : EFAULT;
        return a[2] ? 0 : -1;
    }
    return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int execve(const char *path, char *const argv[], char *const env[])
{
    int (*next)(const char *, char *const[], char *const[]) =
        (int (*)(const char *, char *const[], char *const[]))(uintptr_t)dlsym(RTLD_NEXT, "execve");
    const char *under = getenv("EDGE_UNDER"), *preload = getenv("LD_PRELOAD");
    static char text[TEXT_MAX], program[TEXT_MAX], loaded[TEXT_MAX];
    char *words[WORDS_MAX], *new_env[WORDS_MAX];
    size_t count = 0, env_count = 0;
    if (!under || !preload || !argv[1] || !argv[2] || strcmp(argv[2], "edge") != 0)
        return next(path, argv, env);
    snprintf(text, sizeof text, "%s", under);
    for (char *word = strtok(text, " "); word && count < WORDS_MAX / 2; word = strtok(NULL, " "))
        words[count++] = word;
    ssize_t n = readlink(path, program, sizeof program - 1); /* not what runs under would be it */
    words[count++] = n > 0 ? program : (char *)(uintptr_t)path;
    for (size_t i = 1; argv[i] && count < WORDS_MAX - 1; i++)
        words[count++] = argv[i];
    words[count] = NULL;
    snprintf(loaded, sizeof loaded, "LD_PRELOAD=%s", preload);
    for (size_t i = 0; env[i] && env_count < WORDS_MAX - 2; i++)
        new_env[env_count++] = env[i];
    new_env[env_count++] = loaded;
    new_env[env_count] = NULL;
    return next(words[0], words, new_env);
}
