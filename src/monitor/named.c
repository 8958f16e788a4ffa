/* SPDX-License-Identifier: Apache-2.0 */
/* Control talks to the network and has no files of its own, monitor may be root.  So commands,
 * apps' directories and certificates' files are not taken at control's word: what is new of a
 * commit must stand in the manifest, which a process of its own reads, as it is at that moment. */
#include "monitor/state.h"
#include "base/err.h"
#include "base/log.h"
#include "base/print.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Monitor waits for that process: nothing that serves waits for monitor, and what comes of a commit
 * is not to be done before.  With the 15 s between two words to it, less than the WatchdogSec=30 of
 * our unit. */
#define LIMIT_MS 10000

static void put(FILE *f, const char *text)
{
    fwrite(text, 1, strlen(text) + 1, f);
}

static void put_app(FILE *f, const struct wanted_app *a)
{
    put(f, "app");
    put(f, a->name);
    put(f, a->directory);
    put(f, a->command);
    put(f, a->h2_only_port ? "1" : "0");
    fprintf(f, "%u%c", a->env_count, 0);
    for (uint32_t i = 0; i < a->env_count; i++)
        put(f, a->env[i]);
}

/* return  0 or ERR_NOMEM; *text_out is for free(), of no octets when nothing is new */
static int write_request(const struct monitor *m, char **text_out, size_t *len_out)
{
    const struct wanted *w = &m->wanted;
    FILE *f = open_memstream(text_out, len_out);
    if (!f)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < w->app_count; i++)
        if (!workers_has_words(m, &w->apps[i]))
            put_app(f, &w->apps[i]);
    for (uint32_t i = 0; i < w->certificate_count; i++)
        if (!w->certificates[i].local && !cert_is_known(m, &w->certificates[i])) {
            put(f, "certificate");
            put(f, w->certificates[i].chain);
            put(f, w->certificates[i].key);
        }
    return fclose(f) == 0 ? 0 : ERR_NOMEM;
}

static int ask(const struct monitor *m, int request, int said, char *error_out, size_t cap)
{
    struct environment env;
    char *const argv[] = {(char *)(uintptr_t) "portico", (char *)(uintptr_t) "role",
                          (char *)(uintptr_t) "named", (char *)(uintptr_t)m->manifest, NULL};
    role_environment(&env);
    struct spawn s = {
        .path = "/proc/self/exe",
        .argv = argv,
        .env = env.v,
        .fds = {request, said, said, -1, -1},
        .umask = 077,
        .no_new_privs = true,
    };
    int r = env.is_short ? ERR_NOMEM : child_run(&s, LIMIT_MS, error_out, cap);
    environment_fini(&env);
    return r;
}

/* The next control reads the same manifest, and so on until somebody changes it.
 * return  false: that was told already */
static bool tell(struct monitor *m, int said)
{
    char text[NAMED_SAID_OCTETS];
    ssize_t n = pread(said, text, sizeof text - 1, 0);
    text[n < 0 ? 0 : n] = 0;
    if (m->in_vain && strcmp(text, m->refused_for) == 0)
        return false;
    print_text(STDERR_FILENO, text, strlen(text));
    memcpy(m->refused_for, text, sizeof text);
    return true;
}

int named_check(struct monitor *m, char *error_out, size_t cap)
{
    char *text = NULL;
    size_t len = 0;
    bool is_new = true;
    snprintf(error_out, cap, "no memory is left");
    int r = write_request(m, &text, &len);
    if (r == 0 && len) {
        int request = ipc_sealed_memfd("portico-named", text, len);
        int said = ipc_shared_memfd("portico-said", NAMED_SAID_OCTETS - 1);
        r = request < 0 || said < 0 ? ERR_SYS : ask(m, request, said, error_out, cap);
        if (r != 0 && said >= 0)
            is_new = tell(m, said);
        if (request >= 0)
            close(request);
        if (said >= 0)
            close(said);
    }
    free(text);
    if (r > 0) {
        snprintf(error_out, cap, "it wants what the manifest does not name");
        r = ERR_FORMAT;
    }
    if (r < 0 && is_new)
        log_event(LOG_ERROR, "control.refused",
                  "error=\"%s\" text=\"what was wanted before stays\"", error_out);
    return r;
}
