/* SPDX-License-Identifier: Apache-2.0 */
/* What monitor does at control's word alone would be done for who has broken into control.  Here
 * the manifest is asked, by a process that control has no hold on. */
#include "control/control.h"
#include "control/manifest.h"
#include "route/route.h"
#include "base/print.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct request {
    const char *at, *end;
    bool is_broken;
};

static struct slice next(struct request *r)
{
    const char *nul = r->at < r->end ? memchr(r->at, 0, (size_t)(r->end - r->at)) : NULL;
    if (!nul) {
        r->is_broken = true;
        return SLICE("");
    }
    struct slice text = slice_of(r->at, (size_t)(nul - r->at));
    r->at = nul + 1;
    return text;
}

/* Reads all of the app's texts, whatever is found. */
static bool is_app_named(const struct manifest *m, struct request *r, struct slice name)
{
    struct slice directory = next(r), command = next(r), h2_only_port = next(r);
    unsigned long count = strtoul(next(r).p, NULL, 10);
    const struct manifest_app *a = manifest_find(m, name);
    bool same =
        a && slice_eq(directory, a->directory) && slice_eq(command, a->command) &&
        slice_eq(h2_only_port, a->proxy_flag == ROUTE_PROXY_GRPC ? SLICE("1") : SLICE("0")) &&
        count == a->env.count;
    for (unsigned long i = 0; i < count && !r->is_broken; i++) {
        struct slice variable = next(r);
        same = same && slice_eq(variable, a->env.at[i]);
    }
    return same;
}

static int compare(struct slice a, struct slice b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len ? memcmp(a.p, b.p, len) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int by_files(const void *a, const void *b)
{
    const struct manifest_app *x = *(const struct manifest_app *const *)a,
                              *y = *(const struct manifest_app *const *)b;
    int order = compare(x->chain, y->chain);
    return order ? order : compare(x->key, y->key);
}

static int tell(const char *manifest, const char *what, struct slice which)
{
    print_fmt(STDERR_FILENO, "portico: %s does not name %s %.*s so; has it changed?\n", manifest,
              what, SLICE_FMT(which));
    return 1;
}

/* certificates  those of the apps that name files, sorted */
static int check(const struct manifest *m, const struct manifest_app **certificates, size_t count,
                 struct request *r)
{
    while (r->at < r->end && !r->is_broken) {
        struct slice what = next(r), name = next(r);
        if (slice_eq(what, SLICE("app"))) {
            if (!is_app_named(m, r, name) && !r->is_broken)
                return tell(m->faults.file.p, "the app", name);
        } else if (slice_eq(what, SLICE("certificate"))) {
            struct manifest_app files = {.chain = name, .key = next(r)}, *key = &files;
            if (!bsearch(&key, certificates, count, sizeof *certificates, by_files) &&
                !r->is_broken)
                return tell(m->faults.file.p, "the certificate", name);
        } else {
            r->is_broken = true;
        }
    }
    return r->is_broken;
}

int control_named(const char *manifest_path, int request)
{
    struct stat st;
    struct manifest *m = manifest_load(manifest_path, -1, MANIFEST_FILES_NAMED);
    const struct manifest_app **certificates =
        m ? calloc(m->app_count + 1, sizeof *certificates) : NULL;
    size_t count = 0;
    int code = 1;
    for (uint32_t i = 0; certificates && i < m->app_count; i++)
        if (m->apps[i].chain.len)
            certificates[count++] = &m->apps[i];
    void *texts = fstat(request, &st) == 0 && st.st_size > 0
                      ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, request, 0)
                      : MAP_FAILED;
    if (certificates && texts != MAP_FAILED) {
        struct request r = {.at = texts, .end = (const char *)texts + st.st_size};
        if (count)
            qsort(certificates, count, sizeof *certificates, by_files);
        code = check(m, certificates, count, &r);
    }
    if (code && m) /* what is broken may be why */
        faults_print(&m->faults, STDERR_FILENO);
    if (texts != MAP_FAILED)
        munmap(texts, (size_t)st.st_size);
    free(certificates);
    manifest_free(m);
    return code;
}
