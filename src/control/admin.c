/* SPDX-License-Identifier: Apache-2.0 */
#include "control/admin.h"
#include "control/state.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/panic.h"
#include "http/h1.h"
#include "net/diag.h"
#include "net/stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LINGER_MS 2000u /* for a client that still sends while its connection is ended */
/* admin.sock, and as many addresses as a manifest may name */
#define MAX_LISTENERS 17u
#define RETRY_MS      200u /* accept again when descriptors were out */
/* Who connects or asks as fast as it is served would else keep us from everything else. */
#define ACCEPTS_A_TURN 16

/* Who asks: each kind has connections of its own, so that none keeps another out. */
enum kind { OPERATOR, TENANT, ANYBODY, KINDS };
static const uint32_t most[KINDS] = {
    [OPERATOR] = ADMIN_MAX_CONNECTIONS,
    [TENANT] = ADMIN_MAX_TENANTS,
    [ANYBODY] = ADMIN_MAX_CONNECTIONS,
};

struct admin_listener {
    bool is_local; /* admin.sock */
    struct loop_source source;
    struct loop_task again;
    struct loop_timer retry;
    struct admin *admin;
};

struct admin {
    struct control *control;
    struct admin_listener listeners[MAX_LISTENERS];
    uint32_t listener_count;
    struct list conns; /* the oldest first */
    uint32_t conn_count[KINDS];
};

struct admin_conn {
    struct list node;
    struct admin *admin;
    struct stream stream;
    struct h1_conn *h1;
    struct loop_timer idle;
    struct loop_task work, again, reap; /* again: the next request, or what there is to read */
    enum kind kind;
    bool is_held;    /* its content comes first: head is the request's, in the engine's arena */
    uint32_t reload; /* not 0: the answer comes when monitor has applied what it wants */
    struct http_head head;
    struct buf body;
    bool is_over;      /* no more requests: end when the output has left */
    bool is_lingering; /* our side is ended: read and drop until the client ends its own */
    bool is_ended;     /* the client's side is ended */
    bool is_next;      /* an exchange has ended: look for a pipelined request */
};

static void conn_free(struct loop_task *t)
{
    struct admin_conn *c = CONTAINER_OF(t, struct admin_conn, reap);
    h1_conn_free(c->h1);
    buf_fini(&c->body);
    free(c);
}

static void conn_close(struct admin_conn *c)
{
    if (!stream_is_open(&c->stream))
        return;
    stream_close(&c->stream);
    loop_timer_clear(&c->idle);
    loop_task_cancel(&c->work);
    loop_task_cancel(&c->again);
    list_remove(&c->node);
    c->admin->conn_count[c->kind]--;
    loop_reap(c->admin->control->loop, &c->reap);
}

static void conn_arm(struct admin_conn *c, uint32_t ms)
{
    struct loop *l = c->admin->control->loop;
    loop_timer_set(l, &c->idle, loop_now_us(l) + (uint64_t)ms * 1000);
}

static void on_idle(struct loop_timer *t)
{
    conn_close(CONTAINER_OF(t, struct admin_conn, idle));
}

bool admin_host_is_local(struct slice authority)
{
    char text[ADDR_TEXT_OCTETS];
    struct slice host = authority;
    struct addr a;
    const char *colon = host.len ? memrchr(host.p, ':', host.len) : NULL;
    if (authority.len > 100)
        return false;
    if (host.len && host.p[host.len - 1] != ']' && colon)
        host.len = (size_t)(colon - host.p);
    if (host.len && host.p[host.len - 1] == '.')
        host.len--;
    if (slice_ieq(host, SLICE("localhost")))
        return true;
    snprintf(text, sizeof text, "%.*s:0", SLICE_FMT(host));
    return addr_parse(slice_str(text), &a) == 0 && a.u.sa.sa_family != AF_UNIX;
}

static int find_answer(struct admin_conn *c, const struct http_head *head, struct admin_answer *a,
                       enum admin_verdict *verdict_out)
{
    struct slice path = head->path;
    const char *query = path.len ? memchr(path.p, '?', path.len) : NULL;
    if (query)
        path.len = (size_t)(query - path.p);
    *verdict_out = ADMIN_ANSWERED;
    if (c->kind == TENANT)
        return admin_error(a, 403, "This is not for apps.");
    if (c->kind != OPERATOR && head->authority.len && !admin_host_is_local(head->authority))
        return admin_error(a, 403,
                           "Only an IP address or localhost is accepted as the host of this "
                           "listener.");
    return admin_act(c->admin->control, head->method, path, buf_slice(&c->body),
                     c->kind == OPERATOR, a, verdict_out);
}

static int send_answer(struct admin_conn *c, const struct admin_answer *a)
{
    struct arena arena;
    char date[CLOCK_HTTP_DATE_OCTETS];
    arena_init(&arena, loop_pool(c->admin->control->loop));
    struct http_head head = {.status = (uint16_t)a->status,
                             .version_minor = 1,
                             .content_length = (int64_t)buf_len(&a->body)};
    clock_http_date(clock_wall_us(), date);
    int err = fields_add_token(&head.fields, &arena, TOKEN_DATE, slice_of(date, sizeof date));
    if (err == 0)
        err = fields_add_token(&head.fields, &arena, TOKEN_CONTENT_TYPE, slice_str(a->type));
    if (err == 0)
        err = fields_add_token(&head.fields, &arena, TOKEN_CACHE_CONTROL, SLICE("no-store"));
    if (err == 0)
        err = fields_add(&head.fields, &arena, TOKEN_NONE, SLICE("x-content-type-options"),
                         SLICE("nosniff"));
    if (err == 0 && a->allow)
        err = fields_add_token(&head.fields, &arena, TOKEN_ALLOW, slice_str(a->allow));
    bool end = h1_conn_is_head(c->h1) || buf_len(&a->body) == 0;
    if (err == 0)
        err = h1_conn_send_head(c->h1, &head, end, a->close);
    if (err == 0 && !end)
        err = h1_conn_send_body(c->h1, buf_slice(&a->body), NULL, true);
    arena_fini(&arena);
    return err;
}

static void respond(struct admin_conn *c, struct admin_answer *a, int err)
{
    if (err == 0)
        err = send_answer(c, a);
    buf_fini(&a->body);
    if (a->close)
        c->is_over = true;
    if (err)
        conn_close(c);
    else
        loop_flush(c->admin->control->loop, &c->work);
}

static void answer(struct admin_conn *c, const struct http_head *head, bool end)
{
    struct admin_answer a = {.status = 200, .close = !end};
    enum admin_verdict verdict;
    buf_init(&a.body, loop_pool(c->admin->control->loop));
    int err = find_answer(c, head, &a, &verdict);
    if (err == 0 && verdict == ADMIN_RELOAD) {
        buf_fini(&a.body);
        c->reload = c->admin->control->reloads_asked;
        return;
    }
    respond(c, &a, err);
}

static void on_head(void *user, const struct http_head *head, bool end)
{
    struct admin_conn *c = user;
    buf_fini(&c->body);
    c->is_held = c->kind == OPERATOR && !end;
    c->head = *head; /* the arena's until the exchange ends */
    if (!c->is_held)
        answer(c, head, end); /* nothing there wants content: answer and end */
}

static void on_body(void *user, struct slice octets, bool end)
{
    struct admin_conn *c = user;
    if (!c->is_held)
        return;
    bool fits = buf_len(&c->body) + octets.len <= ADMIN_MAX_BODY_OCTETS &&
                buf_add(&c->body, octets.p, octets.len) == 0;
    if (fits && !end)
        return;
    c->is_held = false;
    if (fits) {
        answer(c, &c->head, true);
        return;
    }
    struct admin_answer a = {.close = true};
    buf_init(&a.body, loop_pool(c->admin->control->loop));
    respond(c, &a, admin_error(&a, 413, "The content is too long."));
}

static void on_trailers(void *user, const struct fields *trailers)
{
    struct admin_conn *c = user;
    (void)trailers;
    if (c->is_held)
        on_body(c, SLICE(""), true);
}

static void on_sent(void *user, size_t octets)
{
    (void)user, (void)octets;
}

static void on_done(void *user, bool reusable)
{
    struct admin_conn *c = user;
    c->is_over |= !reusable;
    c->is_next = reusable;
}

static void on_tunnel(void *user, struct slice octets)
{
    (void)user, (void)octets;
}

static const struct h1_events h1_table = {on_head, on_body, on_trailers,
                                          on_sent, on_done, on_tunnel};

/* The client has sent what cannot be read as a request. */
static void refuse(struct admin_conn *c, int err)
{
    struct admin_answer a = {.close = true};
    c->is_over = true;
    if (!h1_conn_can_respond(c->h1)) {
        loop_flush(c->admin->control->loop, &c->work);
        return;
    }
    buf_init(&a.body, loop_pool(c->admin->control->loop));
    respond(c, &a, admin_error(&a, (unsigned)err_row(err)->http_status, "%s", err_text(err)));
}

static bool wants_to_read(const struct admin_conn *c)
{
    return stream_can_read(&c->stream) &&
           (c->is_lingering || c->is_over || h1_conn_wants_input(c->h1));
}

static void take(struct admin_conn *c, const char *octets, size_t len)
{
    if (c->is_lingering || c->is_over)
        return;
    conn_arm(c, ADMIN_IDLE_MS);
    int err = h1_conn_feed(c->h1, octets, len);
    if (err && stream_is_open(&c->stream))
        refuse(c, err);
}

/* Once a turn. */
static void read_some(struct admin_conn *c)
{
    struct loop *l = c->admin->control->loop;
    char *scratch = loop_scratch(l, 2);
    if (!wants_to_read(c))
        return;
    ssize_t n = stream_read(&c->stream, scratch, LOOP_SCRATCH_OCTETS);
    if (n == ERR_AGAIN)
        return;
    if (n < 0 || (n == 0 && c->is_lingering)) {
        conn_close(c);
    } else if (n == 0) { /* the client has no more requests; it may still read an answer */
        c->is_over = c->is_ended = true;
        h1_conn_shutdown(c->h1);
        loop_flush(l, &c->work);
    } else {
        take(c, scratch, (size_t)n);
        if (wants_to_read(c))
            loop_again(l, &c->again);
    }
}

static void go_on(struct loop_task *t)
{
    struct admin_conn *c = CONTAINER_OF(t, struct admin_conn, again);
    int err = 0;
    if (c->is_next && !c->is_over) {
        c->is_next = false;
        conn_arm(c, ADMIN_IDLE_MS);
        err = h1_conn_resume(c->h1);
    }
    if (!stream_is_open(&c->stream))
        return;
    if (err)
        refuse(c, err);
    else
        read_some(c);
}

static void work(struct loop_task *t)
{
    struct admin_conn *c = CONTAINER_OF(t, struct admin_conn, work);
    struct loop *l = c->admin->control->loop;
    char *scratch = loop_scratch(l, 2);
    while (!stream_is_blocked(&c->stream)) {
        size_t n = h1_conn_output(c->h1, scratch, LOOP_SCRATCH_OCTETS);
        if (n == 0)
            break;
        if (stream_write(&c->stream, scratch, n) != 0) {
            conn_close(c);
            return;
        }
    }
    if (stream_is_blocked(&c->stream))
        return;
    if (c->is_over && c->is_ended) {
        conn_close(c);
        return;
    }
    if (c->is_over && !c->is_lingering) {
        c->is_lingering = true;
        stream_shutdown(&c->stream);
        conn_arm(c, LINGER_MS);
    }
    if (c->is_next || wants_to_read(c))
        loop_again(l, &c->again);
}

static void on_readable(struct stream *s)
{
    read_some(CONTAINER_OF(s, struct admin_conn, stream));
}

static void on_writable(struct stream *s)
{
    struct admin_conn *c = CONTAINER_OF(s, struct admin_conn, stream);
    loop_flush(c->admin->control->loop, &c->work);
}

static const struct stream_events stream_table = {on_readable, on_writable, NULL};

/* Who may connect to admin.sock is the file's mode; who is there, the kernel says. */
static bool is_trusted(const struct control *c, int fd)
{
    struct ucred cred;
    socklen_t len = sizeof cred;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 &&
           (cred.uid == 0 || cred.uid == c->hello.owner);
}

/* An app's worker on this machine?  It must not read there what others wrote. */
static bool is_tenant(const struct control *c, int fd)
{
    struct addr self = {.len = sizeof self.u}, peer = {.len = sizeof peer.u};
    struct diag_socket found;
    return c->hello.uids && c->diag >= 0 && getsockname(fd, &self.u.sa, &self.len) == 0 &&
           getpeername(fd, &peer.u.sa, &peer.len) == 0 &&
           diag_find(c->diag, &peer, &self, &found) == 0 &&
           found.uid - c->hello.uids_first < c->hello.uids;
}

/* Whoever reaches the listener could hold all connections that there are: a new one takes the place
 * of the oldest. */
static void make_room(struct admin *a, enum kind kind)
{
    LIST_FOR(node, &a->conns)
    {
        struct admin_conn *c = LIST_ENTRY(node, struct admin_conn, node);
        if (a->conn_count[kind] < most[kind])
            return;
        if (c->kind == kind)
            conn_close(c);
    }
}

static void conn_new(struct admin *a, int fd, bool is_local)
{
    struct loop *l = a->control->loop;
    if (is_local && !is_trusted(a->control, fd)) {
        close(fd);
        return;
    }
    struct h1_limits limits;
    enum kind kind = is_local ? OPERATOR : is_tenant(a->control, fd) ? TENANT : ANYBODY;
    if (kind != OPERATOR)
        make_room(a, kind);
    struct admin_conn *c = a->conn_count[kind] < most[kind] ? calloc(1, sizeof *c) : NULL;
    if (!c) {
        close(fd);
        return;
    }
    h1_limits_default(&limits);
    c->admin = a;
    c->kind = kind;
    buf_init(&c->body, loop_pool(l));
    c->h1 = h1_conn_new(H1_SERVER, &limits, &h1_table, c, loop_pool(l));
    loop_timer_init(&c->idle, on_idle);
    loop_task_init(&c->work, work);
    loop_task_init(&c->again, go_on);
    loop_task_init(&c->reap, conn_free);
    if (!c->h1 || stream_open(&c->stream, l, fd, NULL, &stream_table) != 0) {
        if (c->h1)
            h1_conn_free(c->h1);
        close(fd);
        free(c);
        return;
    }
    list_add_tail(&a->conns, &c->node);
    a->conn_count[kind]++;
    conn_arm(c, ADMIN_IDLE_MS);
}

static void accept_some(struct admin_listener *l)
{
    struct loop *loop = l->admin->control->loop;
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        int fd = accept4(l->source.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            conn_new(l->admin, fd, l->is_local);
            continue;
        }
        if (errno == EINTR || errno == ECONNABORTED)
            continue;
        if (errno != EAGAIN) /* edge-triggered: nobody would tell again */
            loop_timer_set(loop, &l->retry, loop_now_us(loop) + RETRY_MS * 1000);
        return;
    }
    loop_again(loop, &l->again);
}

static void on_accept(struct loop_source *s, unsigned events)
{
    (void)events;
    accept_some(CONTAINER_OF(s, struct admin_listener, source));
}

static void accept_again(struct loop_task *t)
{
    accept_some(CONTAINER_OF(t, struct admin_listener, again));
}

static void on_retry(struct loop_timer *t)
{
    accept_some(CONTAINER_OF(t, struct admin_listener, retry));
}

int admin_listen(struct admin *a, int fd, bool is_local)
{
    if (a->listener_count == MAX_LISTENERS)
        return ERR_LIMIT;
    if (listen(fd, ADMIN_MAX_CONNECTIONS) != 0)
        return ERR_SYS;
    struct admin_listener *l = &a->listeners[a->listener_count];
    *l = (struct admin_listener){.is_local = is_local, .source = {on_accept, fd}, .admin = a};
    loop_task_init(&l->again, accept_again);
    loop_timer_init(&l->retry, on_retry);
    if (loop_add(a->control->loop, &l->source) != 0)
        return ERR_SYS;
    a->listener_count++;
    return 0;
}

/* Who had asked before monitor opened the manifest gets this.  body: JSON */
static void reload_answered(struct admin *a, unsigned status, struct slice body)
{
    LIST_FOR(node, &a->conns)
    {
        struct admin_conn *c = LIST_ENTRY(node, struct admin_conn, node);
        struct admin_answer to = {.status = status, .type = "application/json"};
        if (!c->reload || c->reload > a->control->reloads_begun)
            continue;
        c->reload = 0;
        buf_init(&to.body, loop_pool(a->control->loop));
        respond(c, &to, buf_add(&to.body, body.p, body.len));
    }
}

void admin_reload_failed(struct admin *a, const char *why)
{
    struct admin_answer text = {0};
    buf_init(&text.body, loop_pool(a->control->loop));
    if (admin_error(&text, 422, "the manifest %s: %s", a->control->manifest_path, why) == 0)
        reload_answered(a, 422, buf_slice(&text.body));
    buf_fini(&text.body);
}

void admin_reload_done(struct admin *a, struct tree_faults *faults)
{
    struct buf b;
    buf_init(&b, loop_pool(a->control->loop));
    int err =
        faults ? reload_faults_write(faults, &b)
               : buf_printf(&b, "{\"status\":\"reloaded\",\"apps\":%u}\n", a->control->app_count);
    reload_answered(a, err ? 500 : faults ? 422 : 200, buf_slice(&b));
    buf_fini(&b);
}

struct admin *admin_new(struct control *c)
{
    struct admin *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    a->control = c;
    list_init(&a->conns);
    return a;
}

void admin_free(struct admin *a)
{
    if (!a)
        return;
    LIST_FOR(node, &a->conns)
    {
        struct admin_conn *c = LIST_ENTRY(node, struct admin_conn, node);
        conn_close(c);
        loop_task_cancel(&c->reap);
        conn_free(&c->reap);
    }
    for (uint32_t i = 0; i < a->listener_count; i++) {
        loop_timer_clear(&a->listeners[i].retry);
        loop_task_cancel(&a->listeners[i].again);
        loop_forget(a->control->loop, &a->listeners[i].source);
        close(a->listeners[i].source.fd);
    }
    free(a);
}
