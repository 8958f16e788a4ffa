/* SPDX-License-Identifier: Apache-2.0 */
/* Lines for the person at the terminal: where the apps are, and which do not start and why. */
#include "control/state.h"
#include "base/buf.h"
#include "base/panic.h"
#include "base/print.h"
#include "base/terminal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define GREET_MS 15000u /* greet at the latest after so long */
#define TELL_MS  300u   /* the last lines of output come a little after the exit */

#define GREETED_APPS  50u /* of more, those that are not ready */
#define GREETED_HINTS 5u

static const struct control_listener *listener_of(const struct control *c, uint32_t kind)
{
    for (uint32_t i = 0; i < c->listener_count; i++)
        if (c->listeners[i].kind == kind)
            return &c->listeners[i];
    return NULL;
}

bool app_url(const struct control *c, struct slice host, char *out, size_t cap)
{
    const struct control_listener *l = listener_of(c, IPC_LISTEN_HTTPS);
    bool https = l != NULL;
    struct addr a;
    if (!l)
        l = listener_of(c, IPC_LISTEN_HTTP);
    if (!l || addr_parse(slice_str(l->address), &a) != 0)
        return false;
    const char *star = "";
    if (slice_starts(host, SLICE("*"))) {
        star = "www";
        host = slice_of(host.p + 1, host.len - 1);
    }
    uint16_t port = addr_port(&a);
    if (port == (https ? 443 : 80))
        snprintf(out, cap, "http%s://%s%.*s/", https ? "s" : "", star, SLICE_FMT(host));
    else
        snprintf(out, cap, "http%s://%s%.*s:%u/", https ? "s" : "", star, SLICE_FMT(host), port);
    return true;
}

/* The app's first host that is no wildcard, else its first. */
static bool main_url(const struct control *c, const struct control_app *app, char *out, size_t cap)
{
    const struct manifest_text_list *hosts = &app->wanted->hosts;
    for (uint32_t i = 0; i < hosts->count; i++)
        if (hosts->at[i].p[0] != '*')
            return app_url(c, hosts->at[i], out, cap);
    return app_url(c, hosts->at[0], out, cap);
}

static void print(struct buf *b)
{
    print_text(STDOUT_FILENO, buf_at(b), buf_len(b));
    buf_fini(b);
}

void instance_end_text(const struct control_instance *in, char *out, size_t cap)
{
    if (!in->was_ended)
        snprintf(out, cap, "%s", "");
    else if (in->ended.exit_code < 0 && in->ended.exit_signal == 0)
        snprintf(out, cap, "no process could be made");
    else if (in->ended.exit_code < 0)
        snprintf(out, cap, "ended by signal %d (%s) after %lu ms", in->ended.exit_signal,
                 sigdescr_np(in->ended.exit_signal) ? sigdescr_np(in->ended.exit_signal)
                                                    : "unknown",
                 in->ended.ran_ms);
    else
        snprintf(out, cap, "ended with status %d%s after %lu ms", in->ended.exit_code,
                 in->ended.exit_code == 127   ? " (command not found)"
                 : in->ended.exit_code == 126 ? " (not executable)"
                                              : "",
                 in->ended.ran_ms);
}

/* The instance that tells most about why the app does not start. */
static const struct control_instance *culprit(const struct control_app *app)
{
    const struct control_instance *best = NULL;
    uint64_t version = app_current_version(app);
    for (uint32_t i = 0; i < app->instance_count; i++) {
        const struct control_instance *in = app->instances[i];
        if (in->last.version != version)
            continue;
        if (!best || in->last.failures > best->last.failures || (in->output && !best->output) ||
            (in->is_late && !best->is_late))
            best = in;
    }
    return best;
}

/* What a worker wrote may hold terminal sequences: only text reaches the terminal. */
static void add_lines(struct buf *b, const char *text)
{
    char line[512];
    while (*text) {
        size_t n = 0;
        for (; *text && *text != '\n'; text++)
            if (n < sizeof line - 1 && *text != '\r')
                line[n++] = *text;
        if (*text)
            text++;
        line[n] = '\0';
        terminal_mask(line, n, "\t");
        buf_printf(b, "      | %s\n", line);
    }
}

static void add_failure(struct buf *b, struct control_app *app)
{
    const struct control_instance *in = culprit(app);
    const struct manifest_app *a = app->wanted;
    char end[128];
    if (!in)
        return;
    instance_end_text(in, end, sizeof end);
    buf_printf(b, "\n  %.*s does not start%s: ", SLICE_FMT(a->name),
               app_change_is_failing(app) ? " as it was changed; its old instances serve" : "");
    if (in->is_late)
        buf_printf(b, "it runs, but listens neither at PORTICO_SOCKET nor at PORT\n");
    else if (in->last.failures > 1)
        buf_printf(b, "%s, %u times in a row\n", end[0] ? end : "it ended", in->last.failures);
    else
        buf_printf(b, "%s\n", end[0] ? end : "it ended");
    buf_printf(b, "    command    %.*s\n    directory  %.*s\n    set in     %.*s\n",
               SLICE_FMT(a->command), SLICE_FMT(a->directory), SLICE_FMT(a->where));
    buf_printf(b, "    its output %s/logs/%.*s.%u.log\n", app->control->hello.data,
               SLICE_FMT(a->name), in->index);
    if (in->output && in->output[0]) {
        buf_printf(b, "    its last lines:\n");
        add_lines(b, in->output);
    } else if (!in->is_late) {
        buf_printf(b, "    it wrote nothing\n");
    }
    if (!in->is_late)
        buf_printf(b, "    it is tried again, less and less often\n");
    app->failure_told = true;
}

static bool is_settled(const struct control_app *app)
{
    return app_ready_count(app) >= app->wanted_count || app_is_failing(app);
}

static void add_apps(struct control *c, struct buf *b)
{
    size_t width = 0;
    uint32_t more = 0;
    for (uint32_t i = 0; i < c->app_count; i++)
        if (c->apps[i]->wanted->name.len > width)
            width = c->apps[i]->wanted->name.len;
    for (uint32_t i = 0; i < c->app_count; i++) {
        struct control_app *app = c->apps[i];
        char url[384] = "";
        uint32_t ready = app_ready_count(app);
        app->ready_told = ready >= app->wanted_count;
        if (i >= GREETED_APPS && app->ready_told) {
            more++;
            continue;
        }
        main_url(c, app, url, sizeof url);
        buf_printf(b, "    %-*.*s  %s", (int)width, SLICE_FMT(app->wanted->name), url);
        if (app_is_failing(app))
            buf_printf(b, "  does not start%s\n", app->failure_told ? " (see above)" : "");
        else if (ready < app->wanted_count)
            buf_printf(b, "  still starting: %u of %u listen at PORTICO_SOCKET or PORT\n", ready,
                       app->wanted_count);
        else
            buf_printf(b, "\n");
    }
    if (more)
        buf_printf(b, "    and %u more, all ready: portico status\n", more);
}

/* Some instance can push. */
static bool has_h2c(const struct control_app *app)
{
    for (uint32_t i = 0; i < app->instance_count; i++)
        if (app->instances[i]->is_ready && app->instances[i]->protocol == ROUTE_H2C)
            return true;
    return false;
}

static void add_hints(struct control *c, struct buf *b)
{
    char url[384];
    bool https = listener_of(c, IPC_LISTEN_HTTPS) != NULL, local = false;
    unsigned shown = 0;
    const struct control_listener *admin = listener_of(c, IPC_LISTEN_ADMIN);
    for (uint32_t i = 0; i < c->app_count; i++) {
        const struct manifest_app *a = c->apps[i]->wanted;
        local |= a->chain.len == 0;
        bool pushes = a->push.policy == PUSH_POLICY_AUTO || a->push.policy == PUSH_POLICY_ALWAYS;
        if (https && a->http20_enabled && pushes && shown < GREETED_HINTS && has_h2c(c->apps[i]) &&
            ++shown && main_url(c, c->apps[i], url, sizeof url))
            buf_printf(b, "  See a push arrive:   nghttp -nv --no-verify-peer %s\n", url);
    }
    if (https && local && c->hello.ca_file[0])
        buf_printf(b, "  The local CA:        %s   (curl --cacert)\n", c->hello.ca_file);
    if (admin)
        buf_printf(b, "  For the operator:    http://%s/apps  /metrics  /healthz\n",
                   admin->address);
    buf_printf(b, "  To stop:             Ctrl-C\n");
    if (!c->hello.as_root)
        buf_printf(b, "\n  Not started as root: every worker runs as you, so there is no boundary "
                      "between apps.\n");
    else if (!c->hello.is_fenced)
        buf_printf(b, "\n  TCP ports of workers are not fenced (see monitor.no_fence above): other "
                      "apps can connect to them.\n  Let an app listen on PORTICO_SOCKET where that "
                      "matters.\n");
}

static void greet(struct control *c)
{
    struct buf b;
    if (c->greeted)
        return;
    c->greeted = true;
    loop_timer_clear(&c->greet);
    buf_init(&b, loop_pool(c->loop));
    for (uint32_t i = 0; i < c->app_count; i++)
        if (app_is_failing(c->apps[i]) && !c->apps[i]->failure_told)
            add_failure(&b, c->apps[i]);
    buf_printf(&b, "\n  Portico is up.\n\n");
    add_apps(c, &b);
    buf_printf(&b, "\n");
    add_hints(c, &b);
    buf_printf(&b, "\n");
    print(&b);
}

static void on_greet(struct loop_timer *t)
{
    greet(CONTAINER_OF(t, struct control, greet));
}

static bool all_settled(const struct control *c)
{
    bool wants_url = c->listener_count != 0;
    for (uint32_t i = 0; i < c->app_count; i++)
        if (!is_settled(c->apps[i]) || (app_is_failing(c->apps[i]) && !c->apps[i]->failure_told))
            return false;
    return wants_url && c->is_committed;
}

static void on_tell(struct loop_timer *t)
{
    struct control_app *app = CONTAINER_OF(t, struct control_app, tell);
    struct control *c = app->control;
    if ((!app_is_failing(app) && !app_change_is_failing(app)) || app->failure_told)
        return;
    struct buf b;
    buf_init(&b, loop_pool(c->loop));
    add_failure(&b, app);
    buf_printf(&b, "\n");
    print(&b);
    if (!c->greeted && all_settled(c))
        greet(c);
}

void greeting_init(struct control *c)
{
    loop_timer_init(&c->greet, on_greet);
    loop_timer_set(c->loop, &c->greet, loop_now_us(c->loop) + GREET_MS * 1000);
}

void greeting_app_init(struct control_app *app)
{
    loop_timer_init(&app->tell, on_tell);
}

void greeting_update(struct control *c, struct control_app *app)
{
    if (app_is_failing(app) || app_change_is_failing(app)) {
        app->ready_told &= !app_is_failing(app);
        if (!app->failure_told && app->tell.due_us == 0)
            loop_timer_set(c->loop, &app->tell, loop_now_us(c->loop) + TELL_MS * 1000);
    }
    if (app_ready_count(app) >= app->wanted_count) {
        bool news = c->greeted && !c->is_resumed && !app->ready_told;
        char url[384];
        app->failure_told &= app_change_is_failing(app);
        if (news && main_url(c, app, url, sizeof url)) {
            struct buf b;
            buf_init(&b, loop_pool(c->loop));
            buf_printf(&b, "\n  %.*s is ready now: %s\n\n", SLICE_FMT(app->wanted->name), url);
            print(&b);
        }
        app->ready_told |= c->greeted;
    }
    if (!c->greeted && all_settled(c))
        greet(c);
}
