/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"
#include "base/err.h"
#include "http/h1.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_BODY_OCTETS (64u << 20)
#define LIMIT_S         60

struct exchange {
    struct ask_answer *out;
    bool is_done;
    int error;
};

static void on_body(void *user, struct slice octets, bool end)
{
    struct exchange *x = user;
    char *grown = NULL;
    if (x->out->len + octets.len <= MAX_BODY_OCTETS)
        grown = realloc(x->out->body, x->out->len + octets.len + 1);
    if (!grown) {
        x->error = ERR_NOMEM;
        return;
    }
    if (octets.len)
        memcpy(grown + x->out->len, octets.p, octets.len);
    x->out->body = grown;
    x->out->len += octets.len;
    x->is_done |= end;
}

static void on_head(void *user, const struct http_head *head, bool end)
{
    struct exchange *x = user;
    x->out->status = head->status;
    if (end)
        on_body(x, SLICE(""), true);
}

static void on_trailers(void *user, const struct fields *trailers)
{
    struct exchange *x = user;
    (void)trailers;
    x->is_done = true;
}

static void on_sent(void *user, size_t octets)
{
    (void)user, (void)octets;
}

static void on_done(void *user, bool reusable)
{
    (void)user, (void)reusable;
}

static void on_tunnel(void *user, struct slice octets)
{
    (void)user, (void)octets;
}

int ask_data_directory(const char *data, char *out, size_t cap)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    int n;
    if (data)
        n = snprintf(out, cap, "%s", data);
    else if (geteuid() == 0)
        n = snprintf(out, cap, "/var/lib/portico");
    else if (state && state[0] == '/')
        n = snprintf(out, cap, "%s/portico", state);
    else if (home && home[0] == '/')
        n = snprintf(out, cap, "%s/.local/state/portico", home);
    else {
        fprintf(stderr, "portico: HOME is not set; name the data directory with --data\n");
        return 2;
    }
    if (n > 0 && (size_t)n < cap)
        return 0;
    fprintf(stderr, "portico: the name of the data directory is %s\n",
            n > 0 ? "too long" : "empty");
    return 2;
}

/* return  a connected socket, or -1: why_out tells */
static int reach(const char *directory, char why_out[ASK_WHY_OCTETS])
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = LIMIT_S};
    int n = snprintf(a.sun_path, sizeof a.sun_path, "%s/admin.sock", directory);
    if (n < 0 || (size_t)n >= sizeof a.sun_path) {
        snprintf(why_out, ASK_WHY_OCTETS, "%s/admin.sock is too long for a socket's name",
                 directory);
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        return fd;
    }
    if (errno == ENOENT || errno == ECONNREFUSED)
        snprintf(why_out, ASK_WHY_OCTETS,
                 "no portico runs with the data directory %s (--data DIR names another one)",
                 directory);
    else
        snprintf(why_out, ASK_WHY_OCTETS, "cannot reach %s: %s", a.sun_path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

static int write_request(struct h1_conn *h1, struct pool *pool, const char *method,
                         const char *path, const char *body)
{
    struct arena arena;
    struct http_head head = {.method = slice_str(method),
                             .path = slice_str(path),
                             .authority = SLICE("localhost"),
                             .version_minor = 1,
                             .content_length = body ? (int64_t)strlen(body) : -1};
    arena_init(&arena, pool);
    if (!body && strcmp(method, "POST") == 0)
        head.content_length = 0;
    int err =
        body ? fields_add_token(&head.fields, &arena, TOKEN_CONTENT_TYPE, SLICE("application/json"))
             : 0;
    if (err == 0)
        err = h1_conn_send_head(h1, &head, body == NULL, true);
    if (err == 0 && body)
        err = h1_conn_send_body(h1, slice_str(body), NULL, true);
    arena_fini(&arena);
    return err;
}

static int send_all(struct h1_conn *h1, int fd)
{
    char octets[16384];
    for (size_t n; (n = h1_conn_output(h1, octets, sizeof octets)) > 0;)
        for (size_t at = 0; at < n;) {
            ssize_t sent = send(fd, octets + at, n - at, MSG_NOSIGNAL);
            if (sent < 0 && errno != EINTR)
                return ERR_CLOSED;
            at += sent > 0 ? (size_t)sent : 0;
        }
    return 0;
}

static int exchange(struct h1_conn *h1, struct exchange *x, int fd)
{
    char octets[16384];
    int err = send_all(h1, fd);
    while (err == 0 && !x->is_done && x->error == 0) {
        ssize_t n = recv(fd, octets, sizeof octets, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ERR_CLOSED;
        err = n > 0 ? h1_conn_feed(h1, octets, (size_t)n) : h1_conn_eof(h1);
        if (n == 0 && err == 0 && !x->is_done)
            err = ERR_CLOSED;
    }
    return err ? err : x->error;
}

int ask_quietly(const char *data, const char *method, const char *path, const char *body,
                struct ask_answer *out, char why_out[ASK_WHY_OCTETS])
{
    static const struct h1_events events = {on_head, on_body, on_trailers,
                                            on_sent, on_done, on_tunnel};
    struct exchange x = {.out = out};
    struct h1_limits limits;
    struct pool pool;
    char directory[1024];
    *out = (struct ask_answer){0};
    why_out[0] = 0;
    if (ask_data_directory(data, directory, sizeof directory) != 0)
        return 2;
    int fd = reach(directory, why_out);
    if (fd < 0)
        return 2;
    pool_init(&pool);
    h1_limits_default(&limits);
    struct h1_conn *h1 = h1_conn_new(H1_CLIENT, &limits, &events, &x, &pool);
    int err = h1 ? write_request(h1, &pool, method, path, body) : ERR_NOMEM;
    if (err == 0)
        err = exchange(h1, &x, fd);
    if (h1)
        h1_conn_free(h1);
    pool_fini(&pool);
    close(fd);
    if (err) {
        free(out->body);
        *out = (struct ask_answer){0};
        snprintf(why_out, ASK_WHY_OCTETS, "no answer: %s", err_text(err));
    }
    return err ? 1 : 0;
}

int ask_portico(const char *data, const char *method, const char *path, const char *body,
                struct ask_answer *out)
{
    char why[ASK_WHY_OCTETS];
    int code = ask_quietly(data, method, path, body, out, why);
    if (why[0])
        fprintf(stderr, "portico: %s\n", why);
    return code;
}
