/* SPDX-License-Identifier: Apache-2.0 */
#include "control/health.h"
#include "base/err.h"
#include "base/panic.h"
#include "http/h1.h"
#include "http/h2.h"

static void hang_up(struct health *h)
{
    if (h->h1)
        h1_conn_free(h->h1);
    if (h->h2)
        h2_conn_free(h->h2);
    h->h1 = NULL;
    h->h2 = NULL;
    loop_task_cancel(&h->end);
    if (h->is_asking)
        stream_close(&h->stream);
    h->is_asking = false;
}

void health_stop(struct health *h)
{
    if (!h->loop)
        return;
    hang_up(h);
    loop_timer_clear(&h->timer);
    *h = (struct health){0};
}

static void later(struct health *h, uint32_t ms)
{
    loop_timer_set(h->loop, &h->timer, loop_now_us(h->loop) + (uint64_t)ms * 1000);
}

static void conclude(struct health *h)
{
    bool was_sick = h->is_sick;
    hang_up(h);
    h->failures = h->is_good ? 0 : h->failures + 1;
    h->is_sick = h->failures >= h->settings.failures;
    later(h, h->settings.interval_ms);
    if (was_sick != h->is_sick)
        h->on_change(h);
}

static void on_end(struct loop_task *t)
{
    conclude(CONTAINER_OF(t, struct health, end));
}

/* The question is answered, or cannot be. */
static void finish(struct health *h)
{
    loop_flush(h->loop, &h->end);
}

static void take_head(struct health *h, const struct http_head *head)
{
    if (head->status < 200)
        return;
    h->status = head->status;
    h->is_good = head->status < 400;
    finish(h);
}

/* ---- HTTP/1.1 ---- */

static void h1_head(void *user, const struct http_head *head, bool end)
{
    (void)end;
    take_head(user, head);
}

static void h1_octets(void *user, struct slice octets, bool end)
{
    (void)user, (void)octets, (void)end;
}

static void h1_trailers(void *user, const struct fields *trailers)
{
    (void)user, (void)trailers;
}

static void h1_sent(void *user, size_t octets)
{
    (void)user, (void)octets;
}

static void h1_done(void *user, bool reusable)
{
    (void)user, (void)reusable;
}

static void h1_tunnel(void *user, struct slice octets)
{
    (void)user, (void)octets;
}

static const struct h1_events h1_table = {h1_head, h1_octets, h1_trailers,
                                          h1_sent, h1_done,   h1_tunnel};

/* ---- HTTP/2 ---- */

static void h2_head(void *user, struct h2_stream *s, const struct http_head *head, bool end)
{
    (void)s, (void)end;
    take_head(user, head);
}

static void h2_octets(void *user, struct h2_stream *s, struct slice octets, bool end)
{
    (void)user, (void)end;
    h2_stream_consumed(s, octets.len);
}

static void h2_promise(void *user, struct h2_stream *parent, struct h2_stream *promised,
                       const struct http_head *head)
{
    (void)user, (void)parent, (void)head;
    h2_stream_reset(promised, H2_CANCEL);
}

static void h2_close(void *user, struct h2_stream *s, uint32_t code)
{
    (void)s, (void)code;
    finish(user);
}

static const struct h2_events h2_table = {
    .on_head = h2_head,
    .on_body = h2_octets,
    .on_promise = h2_promise,
    .on_close = h2_close,
};

/* ---- the connection ---- */

static void send_some(struct health *h)
{
    char *scratch = loop_scratch(h->loop, 2);
    while (h->is_asking && !stream_is_blocked(&h->stream)) {
        size_t n = h->h1 ? h1_conn_output(h->h1, scratch, LOOP_SCRATCH_OCTETS)
                   : h->h2
                       ? h2_conn_output(h->h2, scratch, LOOP_SCRATCH_OCTETS, loop_now_us(h->loop))
                       : 0;
        if (n == 0)
            return;
        if (stream_write(&h->stream, scratch, n) != 0) {
            finish(h);
            return;
        }
    }
}

static int ask(struct health *h)
{
    struct pool *pool = loop_pool(h->loop);
    struct http_head head = {.method = SLICE("GET"),
                             .scheme = SLICE("http"),
                             .authority = h->settings.authority,
                             .path = h->settings.path,
                             .version_minor = 1,
                             .content_length = -1};
    struct arena arena;
    int err;
    arena_init(&arena, pool);
    err = fields_add(&head.fields, &arena, TOKEN_NONE, SLICE("user-agent"),
                     SLICE("portico-health-check"));
    if (err == 0 && h->is_h2c) {
        struct h2_settings s;
        h2_settings_default(&s, H2_CLIENT);
        s.enable_push = false;
        h->h2 = h2_conn_new(H2_CLIENT, &s, &h2_table, h, pool, loop_now_us(h->loop));
        head.version_minor = 0;
        err = h->h2 ? 0 : ERR_NOMEM;
        if (err == 0)
            h2_conn_request(h->h2, &head, true, NULL, &err);
    } else if (err == 0) {
        struct h1_limits l;
        h1_limits_default(&l);
        h->h1 = h1_conn_new(H1_CLIENT, &l, &h1_table, h, pool);
        err = h->h1 ? h1_conn_send_head(h->h1, &head, true, true) : ERR_NOMEM;
    }
    arena_fini(&arena);
    return err;
}

/* Since it was READY its worker may have died and another have taken its port, or a link have taken
 * the place of its socket. */
static bool is_its_own(const struct health *h)
{
    bool is_unix = h->address.u.sa.sa_family == AF_UNIX;
    return h->owner.group == 0 || (is_unix ? owner_of_unix(h->stream.source.fd, &h->owner)
                                           : owner_of_port(&h->address, &h->owner)) == OWNER_YES;
}

static void on_connected(struct stream *s, int err)
{
    struct health *h = CONTAINER_OF(s, struct health, stream);
    if (err != 0 || !is_its_own(h) || ask(h) < 0)
        finish(h);
    else
        send_some(h);
}

static void on_readable(struct stream *s)
{
    struct health *h = CONTAINER_OF(s, struct health, stream);
    char *scratch = loop_scratch(h->loop, 1);
    while ((h->h1 || h->h2) && stream_can_read(s)) {
        ssize_t n = stream_read(s, scratch, LOOP_SCRATCH_OCTETS);
        if (n == ERR_AGAIN)
            break;
        if (n <= 0 || (h->h1 ? h1_conn_feed(h->h1, scratch, (size_t)n)
                             : h2_conn_feed(h->h2, scratch, (size_t)n, loop_now_us(h->loop))) < 0) {
            finish(h);
            return;
        }
    }
    send_some(h);
}

static void on_writable(struct stream *s)
{
    send_some(CONTAINER_OF(s, struct health, stream));
}

static const struct stream_events stream_table = {on_readable, on_writable, on_connected};

static void on_timer(struct loop_timer *t)
{
    struct health *h = CONTAINER_OF(t, struct health, timer);
    if (h->is_asking) { /* silence */
        conclude(h);
        return;
    }
    h->is_good = false;
    h->status = 0;
    if (stream_connect(&h->stream, h->loop, &h->address, &stream_table) != 0) {
        conclude(h);
        return;
    }
    h->is_asking = true;
    later(h, h->settings.interval_ms < HEALTH_LIMIT_MS ? h->settings.interval_ms : HEALTH_LIMIT_MS);
}

void health_start(struct health *h, struct loop *loop, const struct addr *address,
                  const struct owner *owner, bool is_h2c, const struct health_settings *settings,
                  enum health_before before, health_fn on_change)
{
    ASSERT(!h->loop);
    *h = (struct health){
        .loop = loop,
        .settings = *settings,
        .address = *address,
        .owner = owner ? *owner : (struct owner){0},
        .is_h2c = is_h2c,
        .on_change = on_change,
        .is_sick = before == HEALTH_SICK,
        .failures = before == HEALTH_SICK      ? settings->failures
                    : before == HEALTH_UNKNOWN ? settings->failures - 1
                                               : 0,
    };
    loop_timer_init(&h->timer, on_timer);
    loop_task_init(&h->end, on_end);
    later(h, before == HEALTH_UNKNOWN ? 0 : settings->interval_ms);
}
