/* SPDX-License-Identifier: Apache-2.0 */
/* `portico logs`: the files that monitor writes, as `tail` would show them, with the instance's
 * name before each line. */
#include "cli/ask.h"
#include "cli/operate.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LAST_OCTETS 8192 /* of each file at the beginning: about a screen */
#define MAX_FILES   4096
#define PAUSE_US    200000u

struct file {
    char name[256]; /* "gallery.0.log" */
    ino_t ino;
    off_t at;
    bool is_inside; /* a line has begun */
    unsigned char before;
};

struct logs {
    int directory;
    const char *app;
    struct file files[MAX_FILES];
    size_t count;
};

/* "gallery.0.log" of app gallery (or of any) -> its length up to ".log" */
static bool is_log(const char *name, const char *app)
{
    size_t n = strlen(name);
    const char *dot = strchr(name, '.');
    if (n < 6 || n >= sizeof((struct file *)NULL)->name || strcmp(name + n - 4, ".log") != 0 ||
        !dot)
        return false;
    if (app && (strlen(app) != (size_t)(dot - name) || strncmp(name, app, strlen(app)) != 0))
        return false;
    return strspn(dot + 1, "0123456789") == n - 4 - (size_t)(dot + 1 - name);
}

static void show(struct file *f, const char *octets, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!f->is_inside)
            printf("[%.*s] ", (int)(strlen(f->name) - 4), f->name);
        f->is_inside = octets[i] != '\n';
        unsigned char c = (unsigned char)octets[i];
        /* A terminal's own sequences are not a worker's to send, nor those of C1 in UTF-8. */
        bool is_order = (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f ||
                        ((c & 0xe0) == 0x80 && f->before == 0xc2);
        putchar(isatty(STDOUT_FILENO) && is_order ? '?' : c);
        f->before = c;
    }
}

/* What came since the last look.  last: only so much of it, from the beginning of a line; 0: all */
static void look(struct logs *l, struct file *f, off_t last)
{
    char octets[16384];
    struct stat st;
    int fd = openat(l->directory, f->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0) {
        if (fd >= 0)
            close(fd);
        return;
    }
    if (st.st_ino != f->ino || st.st_size < f->at) /* a new file in its place */
        f->at = 0;
    f->ino = st.st_ino;
    bool cut = last && st.st_size > last;
    if (cut)
        f->at = st.st_size - last;
    for (ssize_t n; (n = pread(fd, octets, sizeof octets, f->at)) > 0;) {
        f->at += n;
        const char *from = octets;
        if (cut) {
            const char *line = memchr(octets, '\n', (size_t)n);
            from = line ? line + 1 : octets;
            cut = false;
        }
        show(f, from, (size_t)(octets + n - from));
    }
    close(fd);
}

static int by_name(const void *a, const void *b)
{
    const struct file *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static bool knows(const struct logs *l, const char *name)
{
    for (size_t i = 0; i < l->count; i++)
        if (strcmp(l->files[i].name, name) == 0)
            return true;
    return false;
}

/* Files that appeared. */
static void find_files(struct logs *l)
{
    int fd = openat(l->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d)) && l->count < MAX_FILES;)
        if (is_log(e->d_name, l->app) && !knows(l, e->d_name)) {
            struct file *f = &l->files[l->count++];
            *f = (struct file){0};
            memcpy(f->name, e->d_name, strlen(e->d_name));
        }
    closedir(d);
    qsort(l->files, l->count, sizeof l->files[0], by_name);
}

int operate_logs(const char *data, const char *app, bool follow)
{
    static struct logs l;
    char directory[1024], path[1100];
    int code = ask_data_directory(data, directory, sizeof directory);
    if (code)
        return code;
    l = (struct logs){.app = app};
    snprintf(path, sizeof path, "%s/logs", directory);
    l.directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (l.directory < 0) {
        fprintf(stderr, "portico: cannot open %s: %s\n", path, strerror(errno));
        return 2;
    }
    find_files(&l);
    if (l.count == 0 && !follow) {
        fprintf(stderr, "portico: %s%s has no log in %s\n", app ? "the app " : "no app",
                app ? app : "", path);
        close(l.directory);
        return 2;
    }
    for (size_t i = 0; i < l.count; i++)
        look(&l, &l.files[i], follow ? LAST_OCTETS : 0);
    while (follow && fflush(stdout) == 0) {
        usleep(PAUSE_US);
        find_files(&l);
        for (size_t i = 0; i < l.count; i++)
            look(&l, &l.files[i], 0);
    }
    close(l.directory);
    return 0;
}
