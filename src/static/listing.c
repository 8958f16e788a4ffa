/* SPDX-License-Identifier: Apache-2.0 */
#include "static/listing.h"
#include "base/clock.h"
#include "base/err.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct entry {
    char *name;
    uint64_t octets, modified_us;
    bool is_directory;
};

static const char page_head[] =
    "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta name=\"robots\" content=\"noindex\">\n<title>";
static const char page_style[] =
    "</title>\n<style>\n"
    ":root { color-scheme: light dark; --ink: #1f2328; --soft: #66707a; --rule: #dfe3e8; "
    "--paper: #fff; --link: #0b57a4 }\n"
    "@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --soft: #9aa4ae; "
    "--rule: #30363d; --paper: #14171a; --link: #7fb6f0 } }\n"
    "body { margin: 3rem auto; max-width: 54rem; padding: 0 1.25rem; background: var(--paper); "
    "color: var(--ink); font: 16px/1.5 system-ui, sans-serif }\n"
    "h1 { font-size: 1.3rem; font-weight: 600; overflow-wrap: anywhere }\n"
    "table { border-collapse: collapse; width: 100% }\n"
    "th { text-align: left; font-weight: 500; color: var(--soft); font-size: .85rem }\n"
    "th, td { padding: .45rem .75rem .45rem 0; border-bottom: 1px solid var(--rule) }\n"
    "td:first-child { overflow-wrap: anywhere }\n"
    ".n { text-align: right; font-variant-numeric: tabular-nums; color: var(--soft); "
    "white-space: nowrap }\n"
    "a { color: var(--link); text-decoration: none } a:hover { text-decoration: underline }\n"
    "p { color: var(--soft) }\n</style>\n<h1>";

static int add_html(struct buf *b, struct slice s)
{
    int err = 0;
    for (size_t i = 0; i < s.len && err == 0; i++) {
        switch (s.p[i]) {
        case '&':
            err = buf_add_str(b, "&amp;");
            break;
        case '<':
            err = buf_add_str(b, "&lt;");
            break;
        case '>':
            err = buf_add_str(b, "&gt;");
            break;
        case '"':
            err = buf_add_str(b, "&quot;");
            break;
        case '\'':
            err = buf_add_str(b, "&#39;");
            break;
        default:
            err = buf_add(b, s.p + i, 1);
        }
    }
    return err;
}

/* All but unreserved characters (RFC 3986 2.3), so that it is neither HTML nor a scheme either. */
static int add_url(struct buf *b, const char *name)
{
    static const char plain[] = "-._~";
    int err = 0;
    for (; *name && err == 0; name++) {
        unsigned char c = (unsigned char)*name;
        bool is_plain = (c >= '0' && c <= '9') ||
                        (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') || strchr(plain, c);
        err = is_plain ? buf_add(b, name, 1) : buf_printf(b, "%%%02X", c);
    }
    return err;
}

static int add_size(struct buf *b, uint64_t octets)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    if (octets < 1024)
        return buf_printf(b, "%u B", (unsigned)octets);
    double v = (double)octets / 1024;
    size_t unit = 0;
    while (v >= 1023.95 && unit + 1 < sizeof units / sizeof units[0])
        v /= 1024, unit++;
    return buf_printf(b, "%.1f %s", v, units[unit]);
}

static int by_kind_and_name(const void *a_, const void *b_)
{
    const struct entry *a = a_, *b = b_;
    if (a->is_directory != b->is_directory)
        return a->is_directory ? -1 : 1;
    int order = strcasecmp(a->name, b->name);
    return order ? order : strcmp(a->name, b->name);
}

/* Of a symbolic link only what it would serve is told: not even a size of what lies outside.
 * return  false: nothing that is shown */
static bool look(struct static_tree *t, const char *relative, int directory_fd, const char *name,
                 struct stat *st)
{
    char path[PATH_MAX];
    int fd;
    if (fstatat(directory_fd, name, st, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    if (!S_ISLNK(st->st_mode))
        return S_ISREG(st->st_mode) || S_ISDIR(st->st_mode);
    if (snprintf(path, sizeof path, "%s/%s", relative, name) >= (int)sizeof path)
        return false;
    enum static_found found = static_tree_get(t, path, &fd, st);
    if (found != STATIC_FILE && found != STATIC_DIRECTORY)
        return false;
    close(fd);
    return true;
}

struct entries {
    struct entry *at;
    size_t count, cap;
    bool more; /* than were looked at */
};

static int add_entry(struct entries *e, const char *name, const struct stat *st)
{
    if (e->count == e->cap) {
        size_t cap = e->cap ? 2 * e->cap : 64;
        struct entry *grown = realloc(e->at, cap * sizeof *grown);
        if (!grown)
            return ERR_NOMEM;
        e->at = grown;
        e->cap = cap;
    }
    char *copy = strdup(name);
    if (!copy)
        return ERR_NOMEM;
    int64_t s = st->st_mtim.tv_sec > 0 ? st->st_mtim.tv_sec : 0;
    e->at[e->count++] =
        (struct entry){copy, (uint64_t)st->st_size, (uint64_t)s * 1000000u, S_ISDIR(st->st_mode)};
    return 0;
}

static int read_entries(struct static_tree *t, const char *relative, DIR *dir, struct entries *e)
{
    struct dirent *d;
    int err = 0;
    for (size_t looked = 0; err == 0 && (d = readdir(dir)); looked++) {
        struct stat st;
        e->more = looked == STATIC_LISTING_MAX;
        if (e->more)
            break;
        if (d->d_name[0] != '.' && look(t, relative, dirfd(dir), d->d_name, &st))
            err = add_entry(e, d->d_name, &st);
    }
    return err;
}

static int add_row(struct buf *b, const struct entry *e)
{
    char stamp[CLOCK_ISO_OCTETS];
    clock_iso(e->modified_us, stamp);
    int err = buf_add_str(b, "<tr><td><a href=\"");
    if (err == 0)
        err = add_url(b, e->name);
    if (err == 0)
        err = buf_add_str(b, e->is_directory ? "/\">" : "\">");
    if (err == 0)
        err = add_html(b, slice_str(e->name));
    if (err == 0)
        err = buf_add_str(b, e->is_directory ? "/</a><td class=\"n\"><td class=\"n\">"
                                             : "</a><td class=\"n\">");
    if (err == 0 && !e->is_directory) {
        err = add_size(b, e->octets);
        if (err == 0)
            err = buf_add_str(b, "<td class=\"n\">");
    }
    return err ? err : buf_printf(b, "%.10s %.5s\n", stamp, stamp + 11);
}

static int write_page(struct buf *b, struct slice path, const struct entries *e)
{
    int err = buf_add_str(b, page_head);
    size_t i = 0;
    if (err == 0)
        err = add_html(b, path);
    if (err == 0)
        err = buf_add_str(b, page_style);
    if (err == 0)
        err = add_html(b, path);
    if (err == 0)
        err = buf_add_str(b, "</h1>\n<table>\n<tr><th>Name<th class=\"n\">Size<th class=\"n\">"
                             "Changed (UTC)\n");
    if (err == 0 && path.len > 1)
        err = buf_add_str(b, "<tr><td><a href=\"../\">../</a><td><td>\n");
    for (; i < e->count && err == 0 && buf_len(b) < STATIC_LISTING_OCTETS; i++)
        err = add_row(b, &e->at[i]);
    if (err == 0)
        err = buf_add_str(b, "</table>\n");
    if (err == 0 && (e->more || i < e->count))
        err = buf_add_str(b, "<p>There are more.</p>\n");
    else if (err == 0 && i == 0)
        err = buf_add_str(b, "<p>Nothing is here.</p>\n");
    return err;
}

int static_listing_write(struct static_tree *t, const char *relative, int directory_fd,
                         struct slice path, struct buf *out)
{
    struct entries e = {0};
    int fd = openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return ERR_SYS;
    }
    int err = read_entries(t, relative, dir, &e);
    closedir(dir);
    if (err == 0 && e.count)
        qsort(e.at, e.count, sizeof *e.at, by_kind_and_name);
    if (err == 0)
        err = write_page(out, path, &e);
    for (size_t i = 0; i < e.count; i++)
        free(e.at[i].name);
    free(e.at);
    return err;
}
