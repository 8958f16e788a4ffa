/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/push_watch.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/panic.h"
#include "http/h1.h"
#include "http/h2.h"
#include "http/rules.h"
#include "net/dial.h"
#include "push/link.h"

#include <signal.h>
#include <stdio.h>

#define HOST_MAX_OCTETS 254
#define BUFFER_OCTETS   32768

struct page {
    struct watch *w;
    const struct watch_options *options;
    struct http_head request;
    char host[HOST_MAX_OCTETS]; /* to connect to: without brackets */
    uint16_t port;
    bool https;
    struct dial *dial;
    struct h1_conn *h1;
    struct h2_conn *h2;
    uint64_t now_us, sent_us, until_us;
    unsigned open;            /* streams, or the one exchange */
    enum push_source hinting; /* of the Link fields that are being read */
    int err;
};

static int64_t since(const struct page *p)
{
    return (int64_t)(p->now_us - p->sent_us);
}

/* ---- what is noted ---- */

static struct watch_resource *find(struct watch *w, struct slice url)
{
    for (unsigned i = 0; i < w->count; i++)
        if (slice_eq(w->at[i].url, url))
            return &w->at[i];
    return NULL;
}

static struct watch_resource *note(struct page *p, const struct http_head *request)
{
    struct watch *w = p->w;
    bool own = slice_eq(request->scheme, p->request.scheme) &&
               slice_ieq(request->authority, p->request.authority);
    struct slice url = own ? arena_dup(&w->arena, request->path)
                           : arena_printf(&w->arena, "%.*s://%.*s%.*s", SLICE_FMT(request->scheme),
                                          SLICE_FMT(request->authority), SLICE_FMT(request->path));
    struct watch_resource *r = url.p ? find(w, url) : NULL;
    if (url.p && (r || w->count == WATCH_RESOURCES)) /* a server may say it for ever */
        arena_shrink(&w->arena, (char *)(uintptr_t)url.p, url.len + 1, 0);
    if (!url.p || r || w->count == WATCH_RESOURCES)
        return r;
    r = &w->at[w->count++];
    *r = (struct watch_resource){.url = url,
                                 .promised_us = WATCH_NEVER,
                                 .asked_us = WATCH_NEVER,
                                 .head_us = WATCH_NEVER,
                                 .first_us = WATCH_NEVER,
                                 .last_us = WATCH_NEVER};
    return r;
}

static void note_trace(struct page *p, unsigned which, const struct fields *f)
{
    const struct field *found = fields_find_name(f, SLICE("portico-push"));
    if (found)
        p->w->traces[which] = arena_dup(&p->w->arena, found->value);
}

static void note_head(struct page *p, struct watch_resource *r, const struct http_head *head)
{
    const struct fields *f = &head->fields;
    r->status = head->status;
    r->head_us = since(p);
    r->no_store = fields_list_has(f, TOKEN_CACHE_CONTROL, SLICE("no-store"));
    struct slice control = fields_value(f, TOKEN_CACHE_CONTROL);
    r->has_freshness = (control.len && memmem(control.p, control.len, "max-age=", 8)) ||
                       fields_find(f, TOKEN_EXPIRES);
    r->has_validator = fields_find(f, TOKEN_ETAG) || fields_find(f, TOKEN_LAST_MODIFIED);
}

static void note_octets(struct page *p, struct watch_resource *r, size_t octets, bool end)
{
    struct watch *w = p->w;
    uint16_t index = (uint16_t)(r - w->at);
    if (octets && r->first_us == WATCH_NEVER)
        r->first_us = since(p);
    if (octets || end)
        r->last_us = since(p);
    r->octets += octets;
    r->is_whole |= end;
    if (!octets)
        return;
    struct watch_run *last = w->run_count ? &w->runs[w->run_count - 1] : NULL;
    if (last && last->resource == index)
        last->octets += octets;
    else if (w->run_count < WATCH_RUNS)
        w->runs[w->run_count++] = (struct watch_run){index, octets, since(p)};
}

/* ---- requests ---- */

/* Version and system change nothing here: what counts is that it looks like one. */
#define BROWSER                                                                                \
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 " \
    "Safari/537.36"

struct text_field {
    const char *name, *value;
};

static int add_texts(struct fields *f, struct arena *a, const struct text_field *texts, size_t n)
{
    int err = 0;
    for (size_t i = 0; err == 0 && i < n; i++)
        err = fields_add(f, a, token_find(slice_str(texts[i].name)), slice_str(texts[i].name),
                         slice_str(texts[i].value));
    return err;
}

static int add_document_fields(struct page *p, struct fields *f, struct arena *a)
{
    static const struct text_field browser[] = {
        {"upgrade-insecure-requests", "1"},
        {"user-agent", BROWSER},
        {"accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,"
                   "image/apng,*/*;q=0.8"},
        {"sec-fetch-site", "none"},
        {"sec-fetch-mode", "navigate"},
        {"sec-fetch-user", "?1"},
        {"sec-fetch-dest", "document"},
        {"accept-encoding", "gzip, deflate, br, zstd"},
        {"accept-language", "en-US,en;q=0.9"},
        {"priority", "u=0, i"},
    };
    static const struct text_field http1[] = {
        {"user-agent", "portico/" PORTICO_VERSION},
        {"accept", "*/*"},
    };
    int err = 0;
    if (p->options->as == WATCH_BROWSER)
        err = add_texts(f, a, browser, ARRAY_LEN(browser));
    else if (p->options->as == WATCH_HTTP1)
        err = add_texts(f, a, http1, ARRAY_LEN(http1)); /* Node's http2 sends none by itself */
    if (err || !p->w->is_traced)
        return err;
    return fields_add(f, a, TOKEN_NONE, SLICE("portico-push-token"), slice_str(p->options->token));
}

static const char *accepted(struct slice as)
{
    if (slice_eq(as, SLICE("style")))
        return "text/css,*/*;q=0.1";
    if (slice_eq(as, SLICE("image")))
        return "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8";
    return "*/*";
}

/* As a browser does with a hint of its own origin that tells what it is for. */
static void ask_for(struct page *p, struct watch_resource *r, const struct push_promise *promise)
{
    struct http_head head = promise->request;
    struct arena *a = &p->w->arena;
    int err = 0;
    head.fields = (struct fields){0};
    const struct text_field fields[] = {
        {"user-agent", BROWSER},
        {"accept", accepted(promise->as)},
        {"sec-fetch-site", "same-origin"},
        {"sec-fetch-mode", promise->crossorigin ? "cors" : "no-cors"},
        {"sec-fetch-dest", (char *)(uintptr_t)r->as.p},
        {"accept-encoding", "gzip, deflate, br, zstd"},
        {"accept-language", "en-US,en;q=0.9"},
        {"priority", slice_eq(r->as, SLICE("image")) ? "u=5" : "u=1"},
    };
    if (add_texts(&head.fields, a, fields, ARRAY_LEN(fields)) != 0 ||
        !h2_conn_request(p->h2, &head, true, r, &err))
        return;
    r->asked = true;
    r->asked_us = since(p);
    p->open++;
}

static void on_link(void *user, struct push_promise *promise)
{
    struct page *p = user;
    struct watch_resource *r = note(p, &promise->request);
    if (!r)
        return;
    if (!r->as.len)
        r->as = arena_dup(&p->w->arena, promise->as);
    if (p->hinting == PUSH_SOURCE_EARLY_HINT)
        r->hinted = true;
    else
        r->linked = true;
    if (r->promised_us == WATCH_NEVER)
        r->promised_us = since(p);
    bool own = r->url.p[0] == '/';
    if (p->h2 && p->options->as == WATCH_BROWSER && own && r->as.len && !r->asked && r != p->w->at)
        ask_for(p, r, promise);
}

static void take_head(struct page *p, struct watch_resource *r, const struct http_head *head,
                      bool end)
{
    struct watch *w = p->w;
    bool is_document = r == w->at;
    if (head->status < 200 && is_document && w->head_count < WATCH_HEADS) {
        w->heads[w->head_count].status = head->status;
        w->heads[w->head_count++].at_us = since(p);
    }
    if (head->status >= 200)
        note_head(p, r, head);
    if (is_document) {
        p->hinting = head->status < 200 ? PUSH_SOURCE_EARLY_HINT : PUSH_SOURCE_LINK;
        link_read(&head->fields, &p->request, p->hinting, &w->arena, on_link, p);
        note_trace(p, 0, &head->fields);
    }
    if (end)
        note_octets(p, r, 0, true);
}

/* ---- HTTP/2 ---- */

static void h2_head(void *user, struct h2_stream *s, const struct http_head *head, bool end)
{
    struct watch_resource *r = h2_stream_user(s);
    if (r)
        take_head(user, r, head, end);
}

static void h2_body(void *user, struct h2_stream *s, struct slice octets, bool end)
{
    struct watch_resource *r = h2_stream_user(s);
    if (r)
        note_octets(user, r, octets.len, end);
    h2_stream_consumed(s, octets.len);
}

static void h2_trailers(void *user, struct h2_stream *s, const struct fields *trailers)
{
    struct page *p = user;
    struct watch_resource *r = h2_stream_user(s);
    if (r)
        note_octets(p, r, 0, true);
    if (r == p->w->at)
        note_trace(p, 1, trailers);
}

static void h2_sent(void *user, struct h2_stream *s, size_t octets)
{
    (void)user, (void)s, (void)octets;
}

static void h2_promise(void *user, struct h2_stream *parent, struct h2_stream *promised,
                       const struct http_head *head)
{
    struct page *p = user;
    struct watch_resource *r = note(p, head);
    (void)parent;
    if (r) {
        r->pushed = true;
        r->promised_us = since(p);
    }
    h2_stream_set_user(promised, r);
    p->open++;
}

static void h2_close(void *user, struct h2_stream *s, uint32_t code)
{
    struct page *p = user;
    struct watch_resource *r = h2_stream_user(s);
    p->open--;
    if (r && code != H2_NO_ERROR) {
        r->is_reset = true;
        r->reset_code = code;
    }
}

static const struct h2_events h2_table = {
    .on_head = h2_head,
    .on_body = h2_body,
    .on_trailers = h2_trailers,
    .on_sent = h2_sent,
    .on_promise = h2_promise,
    .on_close = h2_close,
};

/* ---- HTTP/1.1 ---- */

static void h1_head(void *user, const struct http_head *head, bool end)
{
    struct page *p = user;
    take_head(p, p->w->at, head, end);
}

static void h1_body(void *user, struct slice octets, bool end)
{
    struct page *p = user;
    note_octets(p, p->w->at, octets.len, end);
}

static void h1_trailers(void *user, const struct fields *trailers)
{
    struct page *p = user;
    note_octets(p, p->w->at, 0, true);
    note_trace(p, 1, trailers);
}

static void h1_sent(void *user, size_t octets)
{
    (void)user, (void)octets;
}

static void h1_done(void *user, bool reusable)
{
    struct page *p = user;
    (void)reusable;
    p->open = 0;
}

static void h1_tunnel(void *user, struct slice octets)
{
    (void)user, (void)octets;
}

static const struct h1_events h1_table = {h1_head, h1_body, h1_trailers,
                                          h1_sent, h1_done, h1_tunnel};

/* ---- the connection ---- */

static int complain(const char *url, const char *why)
{
    fprintf(stderr, "portico: %s: %s\n", url, why);
    return 2;
}

/* return  0, or the exit code: told */
static int read_url(struct page *p)
{
    struct slice rest = slice_str(p->options->url);
    p->https = slice_starts(rest, SLICE("https://"));
    if (!p->https && !slice_starts(rest, SLICE("http://")))
        return complain(p->options->url, "a URL begins with https:// or http://");
    size_t before = p->https ? 8 : 7;
    rest = slice_of(rest.p + before, rest.len - before);
    size_t len = strcspn(rest.p, "/?#");
    struct slice authority = slice_of(rest.p, len), host;
    rest = slice_of(rest.p + len, strcspn(rest.p + len, "#"));
    if (!rules_is_authority(authority))
        return complain(p->options->url, "this URL has no host that could be asked");
    rules_split_authority(authority, &host, &p->port);
    if (p->port == 0)
        p->port = p->https ? 443 : 80;
    if (host.p[0] == '[')
        host = slice_of(host.p + 1, host.len - 2);
    if (host.len >= sizeof p->host)
        return complain(p->options->url, "the host's name is too long");
    memcpy(p->host, host.p, host.len);
    p->host[host.len] = 0;
    for (size_t i = 0; i < rest.len; i++)
        if ((unsigned char)rest.p[i] <= 0x20 || (unsigned char)rest.p[i] >= 0x7f)
            return complain(p->options->url, "spaces, and what is not ASCII, must be encoded");
    struct slice path =
        rest.len && rest.p[0] == '/' ? rest : arena_printf(&p->w->arena, "/%.*s", SLICE_FMT(rest));
    p->request = (struct http_head){.method = SLICE("GET"),
                                    .scheme = p->https ? SLICE("https") : SLICE("http"),
                                    .authority = authority,
                                    .path = path,
                                    .content_length = -1};
    return path.p ? 0 : complain(p->options->url, err_text(ERR_NOMEM));
}

/* The token is for this Portico's own listeners and for nobody else. */
static bool may_tell(const struct page *p)
{
    const struct watch_options *o = p->options;
    for (unsigned i = 0; o->token && i < o->port_count; i++)
        if (o->ports[i] == p->port)
            return dial_is_local(p->dial);
    return false;
}

static int send_request(struct page *p)
{
    struct watch *w = p->w;
    struct watch_resource *r = note(p, &p->request);
    int err = r ? add_document_fields(p, &p->request.fields, &w->arena) : ERR_NOMEM;
    if (err)
        return err;
    r->asked = true;
    r->asked_us = 0;
    p->open = 1;
    if (!w->is_h2) {
        struct h1_limits limits;
        h1_limits_default(&limits);
        p->request.version_minor = 1;
        p->h1 = h1_conn_new(H1_CLIENT, &limits, &h1_table, p, &w->pool);
        return p->h1 ? h1_conn_send_head(p->h1, &p->request, true, true) : ERR_NOMEM;
    }
    struct h2_settings s;
    h2_settings_default(&s, H2_CLIENT);
    s.enable_push = p->options->as == WATCH_NODE;
    s.max_concurrent_streams = WATCH_RESOURCES;
    p->h2 = h2_conn_new(H2_CLIENT, &s, &h2_table, p, &w->pool, p->now_us);
    if (p->h2)
        h2_conn_request(p->h2, &p->request, true, r, &err);
    return p->h2 ? err : ERR_NOMEM;
}

static int flush(struct page *p, char *octets)
{
    for (;;) {
        size_t n = p->h2 ? h2_conn_output(p->h2, octets, BUFFER_OCTETS, p->now_us)
                         : h1_conn_output(p->h1, octets, BUFFER_OCTETS);
        int err = n ? dial_write(p->dial, octets, n, p->until_us) : 0;
        if (n == 0 || err)
            return err;
    }
}

static void exchange(struct page *p)
{
    static char octets[BUFFER_OCTETS];
    p->now_us = p->sent_us = clock_mono_us();
    int err = flush(p, octets);
    while (err == 0 && p->open) {
        ssize_t n = dial_read(p->dial, octets, sizeof octets, p->until_us);
        p->now_us = clock_mono_us();
        if (p->now_us >= p->until_us) /* also where there was nothing to wait for */
            n = ERR_TIMEOUT;
        if (n < 0)
            err = (int)n;
        else if (p->h2)
            err = n ? h2_conn_feed(p->h2, octets, (size_t)n, p->now_us) : ERR_CLOSED;
        else
            err = n ? h1_conn_feed(p->h1, octets, (size_t)n) : h1_conn_eof(p->h1);
        if (err == 0)
            err = flush(p, octets);
        if (n == 0)
            break;
    }
    if (p->open && p->w->at[0].is_whole && !p->h2)
        p->open = 0; /* delimited by the close */
    p->w->end = err ? err_text(err) : NULL;
}

int watch_page(struct watch *w, const struct watch_options *options)
{
    struct page p = {.w = w, .options = options};
    char why[256];
    memset(w, 0, sizeof *w);
    pool_init(&w->pool);
    arena_init(&w->arena, &w->pool);
    signal(SIGPIPE, SIG_IGN);
    int code = read_url(&p);
    if (code)
        return code;
    p.now_us = clock_mono_us();
    p.until_us =
        p.now_us + (options->limit_ms ? options->limit_ms : WATCH_LIMIT_S * 1000u) * 1000ull;
    struct dial_to to = {.host = p.host,
                         .port = p.port,
                         .tls = p.https,
                         .h2 = options->as != WATCH_HTTP1,
                         .authority = options->authority};
    p.dial = dial_open(&to, p.until_us, why, sizeof why);
    if (!p.dial) {
        fprintf(stderr, "portico: cannot connect to %s: %s\n", options->url, why);
        return 1;
    }
    w->is_h2 = p.https ? dial_is_h2(p.dial) : options->as != WATCH_HTTP1;
    w->is_traced = may_tell(&p);
    int err = send_request(&p);
    if (err)
        w->end = err_text(err);
    else
        exchange(&p);
    if (p.h2)
        h2_conn_free(p.h2);
    if (p.h1)
        h1_conn_free(p.h1);
    dial_close(p.dial);
    if (w->count && (w->at[0].status || w->head_count))
        return 0;
    fprintf(stderr, "portico: %s: no response: %s\n", options->url,
            w->end ? w->end : "the stream was reset");
    return 1;
}

void watch_fini(struct watch *w)
{
    arena_fini(&w->arena);
    pool_fini(&w->pool);
}
