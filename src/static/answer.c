/* SPDX-License-Identifier: Apache-2.0 */
#include "static/answer.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "static/coding.h"
#include "static/condition.h"
#include "static/listing.h"
#include "static/path.h"
#include "static/type.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

/* A file whose time of change is this near may change again without its time telling: kernels stamp
 * files by a clock that ticks each 1 to 10 ms. */
#define RACY_NS 20000000

/* One request on its way to an answer. */
struct question {
    struct static_site *site;
    const struct http_head *request;
    struct arena *arena;
    struct pool *pool;
    uint64_t wall_us;
    struct static_path path;
    const struct static_type *type;
    const char *file_path; /* what the type is taken from: path, or path with index.html */
    int coding;            /* enum static_coding, or -1 */
};

/* ---- heads ---- */

static int add(struct static_answer *x, struct arena *a, enum token token, struct slice value)
{
    return value.p ? fields_add_token(&x->head.fields, a, token, value) : ERR_NOMEM;
}

static int begin(struct static_answer *x, struct arena *a, unsigned status, uint64_t wall_us)
{
    char date[CLOCK_HTTP_DATE_OCTETS];
    x->head = (struct http_head){.status = (uint16_t)status, .content_length = -1};
    x->part_count = 0;
    x->has_content = false;
    clock_http_date(wall_us, date);
    int err = fields_reserve(&x->head.fields, a, 16);
    return err ? err : add(x, a, TOKEN_DATE, arena_dup(a, slice_of(date, sizeof date)));
}

/* A field that HTTP/2 sends as it stands; the HTTP/1.1 engine writes its own. */
static int add_length(struct static_answer *x, struct arena *a, uint64_t octets)
{
    x->head.content_length = (int64_t)octets;
    return add(x, a, TOKEN_CONTENT_LENGTH, arena_printf(a, "%" PRIu64, octets));
}

static int add_text(struct static_answer *x, struct arena *a, struct slice type, struct slice text)
{
    int err = text.p ? add(x, a, TOKEN_CONTENT_TYPE, type) : ERR_NOMEM;
    x->parts[x->part_count++] = (struct static_part){.text = text};
    x->has_content = text.len != 0;
    return err ? err : add_length(x, a, text.len);
}

static int add_nosniff(struct static_answer *x, struct arena *a)
{
    return fields_add(&x->head.fields, a, TOKEN_NONE, SLICE("x-content-type-options"),
                      SLICE("nosniff"));
}

static void drop_file(struct static_answer *x)
{
    if (x->fd >= 0)
        close(x->fd);
    x->fd = -1;
}

int static_answer_fail(struct static_answer *x, struct arena *a, unsigned status, uint64_t wall_us)
{
    drop_file(x);
    int err = begin(x, a, status, wall_us);
    if (err == 0 && status == 405)
        err = add(x, a, TOKEN_ALLOW, SLICE("GET, HEAD"));
    if (err == 0 && status == 503)
        err = add(x, a, TOKEN_RETRY_AFTER, SLICE("1"));
    if (err == 0)
        err = add_nosniff(x, a);
    if (err)
        return err;
    return add_text(x, a, SLICE("text/plain; charset=utf-8"),
                    arena_printf(a, "%u %s\n", status, status_phrase(status)));
}

/* ---- a file's state as validators ---- */

/* A tag from inode, size and time, alike for every instance that serves the same files.  Hashed: an
 * inode is nobody's business.  The key is no secret and must not change: tags outlive processes. */
static struct slice etag_of(const struct stat *st, int coding, struct arena *a)
{
    static const struct hash_key key = {{0x506f727469636f20, 0x737461746963fe01}};
    uint64_t facts[4] = {(uint64_t)st->st_ino, (uint64_t)st->st_size, (uint64_t)st->st_mtim.tv_sec,
                         (uint64_t)st->st_mtim.tv_nsec};
    uint64_t hash = hash_octets(&key, slice_of(facts, sizeof facts));
    const char *name = coding < 0 ? "" : static_codings[coding].name.p;
    return arena_printf(a, "\"%" PRIx64 "-%016" PRIx64 "%s%s\"", (uint64_t)st->st_size, hash,
                        *name ? "-" : "", name);
}

static int add_validators(struct static_answer *x, const struct question *q,
                          struct static_validators *v)
{
    const struct stat *st = &x->state;
    int64_t now_ns = (int64_t)q->wall_us * 1000;
    int64_t age_ns = now_ns - (st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec);
    int err = 0;
    *v = (struct static_validators){.modified_s = -1};
    if (age_ns > RACY_NS || age_ns < -RACY_NS) {
        v->etag = etag_of(st, q->coding, q->arena);
        err = add(x, q->arena, TOKEN_ETAG, v->etag);
    }
    /* Given out only once its second is over, the date is a strong validator (RFC 9110 8.8.2.2),
     * and none lies in the future (8.8.2.1). */
    if (st->st_mtim.tv_sec >= 0 && (uint64_t)st->st_mtim.tv_sec < q->wall_us / 1000000u) {
        char date[CLOCK_HTTP_DATE_OCTETS];
        v->modified_s = st->st_mtim.tv_sec;
        clock_http_date((uint64_t)v->modified_s * 1000000u, date);
        if (err == 0)
            err = add(x, q->arena, TOKEN_LAST_MODIFIED,
                      arena_dup(q->arena, slice_of(date, sizeof date)));
    }
    return err;
}

/* ---- ranges ---- */

static int whole(struct static_answer *x, struct arena *a)
{
    uint64_t size = (uint64_t)x->state.st_size;
    x->parts[0] = (struct static_part){.octets = size};
    x->part_count = 1;
    x->has_content = size != 0;
    return add_length(x, a, size);
}

static int one_range(struct static_answer *x, struct arena *a, const struct static_range *r)
{
    x->head.status = 206;
    x->parts[0] = (struct static_part){.from = r->first, .octets = r->last - r->first + 1};
    x->part_count = 1;
    x->has_content = true;
    int err = add(x, a, TOKEN_CONTENT_RANGE,
                  arena_printf(a, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, r->first, r->last,
                               (uint64_t)x->state.st_size));
    return err ? err : add_length(x, a, x->parts[0].octets);
}

/* RFC 9110 14.6.  The boundary is random, so that no file holds it. */
static int many_ranges(struct static_answer *x, const struct question *q,
                       const struct static_range *ranges, unsigned count)
{
    uint64_t random[2] = {0, 0}, total = 0;
    struct arena *a = q->arena;
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return ERR_SYS;
    for (unsigned i = 0; i <= count; i++) {
        struct static_part *p = &x->parts[i];
        if (i == count)
            *p = (struct static_part){
                .text = arena_printf(a, "\r\n--%016" PRIx64 "%016" PRIx64 "--\r\n", random[0],
                                     random[1])};
        else
            *p = (struct static_part){
                .text =
                    arena_printf(a,
                                 "%s--%016" PRIx64 "%016" PRIx64 "\r\n"
                                 "Content-Type: %.*s\r\n"
                                 "Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64 "\r\n\r\n",
                                 i ? "\r\n" : "", random[0], random[1], SLICE_FMT(q->type->type),
                                 ranges[i].first, ranges[i].last, (uint64_t)x->state.st_size),
                .from = ranges[i].first,
                .octets = ranges[i].last - ranges[i].first + 1};
        if (!p->text.p)
            return ERR_NOMEM;
        total += p->text.len + p->octets;
    }
    if (total >= (uint64_t)x->state.st_size) { /* RFC 9110 14.2: Range may be ignored */
        int err = add(x, a, TOKEN_CONTENT_TYPE, q->type->type);
        return err ? err : whole(x, a);
    }
    x->head.status = 206;
    x->part_count = count + 1;
    x->has_content = true;
    int err = add(x, a, TOKEN_CONTENT_TYPE,
                  arena_printf(a, "multipart/byteranges; boundary=%016" PRIx64 "%016" PRIx64,
                               random[0], random[1]));
    return err ? err : add_length(x, a, total);
}

static int unsatisfiable(struct static_answer *x, const struct question *q)
{
    uint64_t size = (uint64_t)x->state.st_size;
    int err = static_answer_fail(x, q->arena, 416, q->wall_us);
    return err ? err
               : add(x, q->arena, TOKEN_CONTENT_RANGE,
                     arena_printf(q->arena, "bytes */%" PRIu64, size));
}

static int add_content(struct static_answer *x, const struct question *q,
                       const struct static_validators *v)
{
    const struct fields *f = &q->request->fields;
    const struct field *range = fields_find(f, TOKEN_RANGE);
    struct static_range ranges[STATIC_RANGES_MAX];
    unsigned count = 0;
    enum static_range_result result = STATIC_RANGE_IGNORE;
    /* RFC 9110 14.2: Range means something to GET only. */
    if (range && slice_eq(q->request->method, SLICE("GET")) && static_condition_range_holds(f, v))
        result = static_range_parse(range->value, (uint64_t)x->state.st_size, ranges, &count);
    if (result == STATIC_RANGE_UNSATISFIABLE)
        return unsatisfiable(x, q);
    int err = 0;
    if (q->coding >= 0)
        err = add(x, q->arena, TOKEN_CONTENT_ENCODING, static_codings[q->coding].name);
    if (err == 0)
        err = add_nosniff(x, q->arena);
    if (err == 0 && count > 1)
        return many_ranges(x, q, ranges, count);
    if (err == 0)
        err = add(x, q->arena, TOKEN_CONTENT_TYPE, q->type->type);
    if (err == 0)
        err = result == STATIC_RANGE_OK ? one_range(x, q->arena, &ranges[0]) : whole(x, q->arena);
    return err;
}

/* ---- which file ---- */

/* A precompressed form stands in for the file that x has open, unless the file is newer: then it
 * belongs to an earlier build. */
static void choose_coding(struct static_answer *x, struct question *q)
{
    enum static_coding wanted[STATIC_CODING_COUNT];
    unsigned count = static_coding_wanted(&q->request->fields, wanted);
    for (unsigned i = 0; i < count; i++) {
        struct stat st;
        int fd;
        struct slice name =
            arena_printf(q->arena, "%s%s", q->file_path, static_codings[wanted[i]].suffix.p);
        if (!name.p)
            return;
        enum static_found found = static_tree_get(&q->site->tree, name.p, &fd, &st);
        if (found != STATIC_FILE && found != STATIC_DIRECTORY)
            continue;
        const struct timespec *form = &st.st_mtim, *file = &x->state.st_mtim;
        if (found == STATIC_DIRECTORY || form->tv_sec < file->tv_sec ||
            (form->tv_sec == file->tv_sec && form->tv_nsec < file->tv_nsec)) {
            close(fd);
            continue;
        }
        drop_file(x);
        x->fd = fd;
        x->state = st;
        q->coding = (int)wanted[i];
        return;
    }
}

static int answer_file(struct static_answer *x, struct question *q)
{
    struct static_validators v;
    struct arena *a = q->arena;
    q->type = static_type_of(slice_str(q->file_path));
    if (q->type->is_compressible)
        choose_coding(x, q);
    int err = begin(x, a, 200, q->wall_us);
    if (err == 0)
        err = add_validators(x, q, &v);
    if (err == 0)
        err = add(x, a, TOKEN_CACHE_CONTROL, slice_str(q->site->cache_control));
    /* Said even where there is no other form yet: there may be one after the next build. */
    if (err == 0 && q->type->is_compressible)
        err = add(x, a, TOKEN_VARY, SLICE("accept-encoding"));
    if (err)
        return err;
    switch (static_condition_check(&q->request->fields, &v)) {
    case STATIC_CONDITION_FAILED:
        return static_answer_fail(x, a, 412, q->wall_us);
    case STATIC_CONDITION_NOT_MODIFIED:
        x->head.status = 304;
        drop_file(x);
        return 0;
    case STATIC_CONDITION_HOLDS:
        break;
    }
    err = add(x, a, TOKEN_ACCEPT_RANGES, SLICE("bytes"));
    return err ? err : add_content(x, q, &v);
}

/* The site's own page, or a line of text. */
static int not_found(struct static_answer *x, struct question *q)
{
    struct arena *a = q->arena;
    drop_file(x);
    enum static_found found = static_tree_get(&q->site->tree, "404.html", &x->fd, &x->state);
    if (found == STATIC_DIRECTORY)
        drop_file(x);
    if (found != STATIC_FILE)
        return static_answer_fail(x, a, 404, q->wall_us);
    int err = begin(x, a, 404, q->wall_us);
    if (err == 0)
        err = add_nosniff(x, a);
    if (err == 0)
        err = add(x, a, TOKEN_CONTENT_TYPE, SLICE("text/html; charset=utf-8"));
    return err ? err : whole(x, a);
}

static int answer_nothing(struct static_answer *x, struct question *q, enum static_found found)
{
    drop_file(x);
    switch (found) {
    case STATIC_FORBIDDEN:
        return static_answer_fail(x, q->arena, 403, q->wall_us);
    case STATIC_BUSY:
        return static_answer_fail(x, q->arena, 503, q->wall_us);
    case STATIC_NOTHING:
    case STATIC_FILE:
    case STATIC_DIRECTORY:
        break;
    }
    return not_found(x, q);
}

static int redirect(struct static_answer *x, struct question *q)
{
    struct arena *a = q->arena;
    int err = static_answer_fail(x, a, 301, q->wall_us);
    return err ? err
               : add(x, a, TOKEN_LOCATION,
                     arena_printf(a, "%.*s/%.*s", SLICE_FMT(q->path.raw),
                                  SLICE_FMT(q->path.query)));
}

static int list(struct static_answer *x, struct question *q)
{
    if (q->site->listed_octets >= STATIC_LISTED_OCTETS)
        return static_answer_fail(x, q->arena, 503, q->wall_us);
    int err = static_listing_write(&q->site->tree, q->path.relative, x->fd, q->path.raw, &x->page);
    x->listed_octets = &q->site->listed_octets;
    *x->listed_octets += buf_len(&x->page);
    drop_file(x);
    if (err == ERR_SYS)
        return static_answer_fail(x, q->arena, 503, q->wall_us);
    if (err == 0)
        err = begin(x, q->arena, 200, q->wall_us);
    if (err == 0)
        err = add(x, q->arena, TOKEN_CACHE_CONTROL, SLICE("no-cache"));
    if (err == 0)
        err = add_nosniff(x, q->arena);
    return err ? err
               : add_text(x, q->arena, SLICE("text/html; charset=utf-8"), buf_slice(&x->page));
}

static int answer_directory(struct static_answer *x, struct question *q)
{
    int fd;
    struct stat st;
    bool is_root = strcmp(q->path.relative, ".") == 0;
    struct slice index = arena_printf(q->arena, "%s%sindex.html", is_root ? "" : q->path.relative,
                                      is_root ? "" : "/");
    if (!index.p)
        return ERR_NOMEM;
    enum static_found found = static_tree_get(&q->site->tree, index.p, &fd, &st);
    if (found == STATIC_FILE) {
        drop_file(x);
        x->fd = fd;
        x->state = st;
        q->file_path = index.p;
        return answer_file(x, q);
    }
    if (found == STATIC_DIRECTORY)
        close(fd);
    if (found == STATIC_FORBIDDEN || found == STATIC_BUSY)
        return answer_nothing(x, q, found);
    return q->site->is_listed ? list(x, q) : not_found(x, q);
}

int static_answer_make(struct static_site *site, const struct http_head *request, struct arena *a,
                       struct pool *pool, uint64_t wall_us, struct static_answer *x)
{
    struct question q = {.site = site,
                         .request = request,
                         .arena = a,
                         .pool = pool,
                         .wall_us = wall_us,
                         .coding = -1};
    *x = (struct static_answer){.fd = -1};
    buf_init(&x->page, pool);
    bool is_head = slice_eq(request->method, SLICE("HEAD"));
    int err;
    if (!is_head && !slice_eq(request->method, SLICE("GET")))
        return static_answer_fail(x, a, 405, wall_us);
    err = static_path_read(request->path, a, &q.path);
    if (err == ERR_BAD_TARGET) {
        err = static_answer_fail(x, a, 400, wall_us);
    } else if (err == ERR_NOTFOUND) {
        err = not_found(x, &q);
    } else if (err == 0) {
        enum static_found found = static_tree_get(&site->tree, q.path.relative, &x->fd, &x->state);
        q.file_path = q.path.relative;
        if (found == STATIC_FILE && !q.path.is_directory)
            err = answer_file(x, &q);
        else if (found == STATIC_DIRECTORY)
            err = q.path.is_directory ? answer_directory(x, &q) : redirect(x, &q);
        else
            err = answer_nothing(x, &q, found);
    }
    if (is_head)
        x->has_content = false;
    if (!x->has_content)
        drop_file(x);
    return err;
}

void static_answer_fini(struct static_answer *x)
{
    drop_file(x);
    if (x->listed_octets)
        *x->listed_octets -= buf_len(&x->page);
    x->listed_octets = NULL;
    buf_fini(&x->page);
}

bool static_answer_is_current(const struct static_answer *x)
{
    struct stat now;
    return fstat(x->fd, &now) == 0 && now.st_size == x->state.st_size &&
           now.st_mtim.tv_sec == x->state.st_mtim.tv_sec &&
           now.st_mtim.tv_nsec == x->state.st_mtim.tv_nsec;
}
