/* SPDX-License-Identifier: Apache-2.0 */
/* Small operations of the engines, again and again, for bench/micro, which counts their
 * instructions under callgrind: only what is inside of measured() counts.
 *
 *   operations                  what there is, one line each: NAME TEXT
 *   operations NAME COUNT       so many of them
 *
 * Where libnghttp2 does the same, it is there to compare. */
#include "base/panic.h"
#include "http/h1.h"
#include "http/h2_internal.h"
#include "http/hpack.h"
#include "route/route.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

#define MESSAGES  64 /* of a connection, which then begins anew */
#define FIELDS    24
#define BLOCK_TOP 4096

static struct pool pool;
static void *volatile sink;

/* The one function whose instructions count, with all that it calls. */
static __attribute__((noinline)) void measured(void (*operation)(size_t), size_t i)
{
    operation(i);
    __asm__ volatile("" ::: "memory");
}

/* Field sections.  "#" stands for a number that changes with each message. */

struct section {
    const char *fields[FIELDS][2];
};

static const struct section chromium = {
    {{":method", "GET"},
     {":authority", "shop.example.org"},
     {":scheme", "https"},
     {":path", "/assets/img/#.webp?v=3"},
     {"sec-ch-ua-platform", "\"Linux\""},
     {"user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
                    "Chrome/140.0.0.0 Safari/537.36"},
     {"sec-ch-ua", "\"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\""},
     {"sec-ch-ua-mobile", "?0"},
     {"accept", "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"},
     {"sec-fetch-site", "same-origin"},
     {"sec-fetch-mode", "no-cors"},
     {"sec-fetch-dest", "image"},
     {"referer", "https://shop.example.org/"},
     {"accept-encoding", "gzip, deflate, br, zstd"},
     {"accept-language", "en-GB,en;q=0.9"},
     {"cookie", "theme=dark"},
     {"cookie", "session=0123456789abcdef0123456789abcdef"},
     {"priority", "u=2, i"}}};

static const struct section firefox = {
    {{":method", "GET"},
     {":path", "/assets/img/#.webp?v=3"},
     {":authority", "shop.example.org"},
     {":scheme", "https"},
     {"user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"},
     {"accept", "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"},
     {"accept-language", "en-GB,en;q=0.5"},
     {"accept-encoding", "gzip, deflate, br, zstd"},
     {"referer", "https://shop.example.org/"},
     {"cookie", "theme=dark"},
     {"cookie", "session=0123456789abcdef0123456789abcdef"},
     {"sec-fetch-dest", "image"},
     {"sec-fetch-mode", "no-cors"},
     {"sec-fetch-site", "same-origin"},
     {"priority", "u=5, i"},
     {"te", "trailers"}}};

static const struct section curl = {{{":method", "GET"},
                                     {":scheme", "https"},
                                     {":authority", "shop.example.org"},
                                     {":path", "/api/orders/#"},
                                     {"user-agent", "curl/8.5.0"},
                                     {"accept", "*/*"}}};

static const struct section answer = {
    {{":status", "200"},
     {"server", "worker"},
     {"date", "Sat, 28 Nov 2026 06:00:00 GMT"},
     {"content-type", "text/html; charset=utf-8"},
     {"cache-control", "private, max-age=0"},
     {"etag", "\"#-1f4\""},
     {"vary", "Accept-Encoding"},
     {"x-content-type-options", "nosniff"},
     {"strict-transport-security", "max-age=31536000; includeSubDomains"},
     {"content-length", "1024"}}};

struct message {
    char values[FIELDS][160];
    struct field at[FIELDS];
    nghttp2_nv nvs[FIELDS];
    size_t count;
};

static struct message messages[MESSAGES];

static void fill(const struct section *s)
{
    for (unsigned i = 0; i < MESSAGES; i++) {
        struct message *m = &messages[i];
        m->count = 0;
        for (size_t k = 0; k < FIELDS && s->fields[k][0]; k++) {
            const char *pattern = s->fields[k][1], *mark = strchr(pattern, '#');
            if (mark)
                snprintf(m->values[k], sizeof m->values[k], "%.*s%08u%s", (int)(mark - pattern),
                         pattern, i * 7919, mark + 1);
            else
                snprintf(m->values[k], sizeof m->values[k], "%s", pattern);
            struct slice name = slice_str(s->fields[k][0]), value = slice_str(m->values[k]);
            m->at[k] =
                (struct field){.name = name, .value = value, .token = (uint16_t)token_find(name)};
            m->nvs[k] = (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name.p,
                                     .value = (uint8_t *)(uintptr_t)value.p,
                                     .namelen = name.len,
                                     .valuelen = value.len};
            m->count++;
        }
    }
}

/* HPACK */

static uint8_t blocks[MESSAGES][BLOCK_TOP];
static size_t block_octets[MESSAGES];
static struct hpack_encoder *encoder;
static struct hpack_decoder *decoder;
static nghttp2_hd_deflater *deflater;
static nghttp2_hd_inflater *inflater;
static struct buf out;
static struct arena arena;

static void encode(size_t i)
{
    const struct message *m = &messages[i % MESSAGES];
    hpack_encode_begin(encoder, &out);
    for (size_t k = 0; k < m->count; k++)
        ASSERT(hpack_encode_field(encoder, &out, m->at[k].token, m->at[k].name, m->at[k].value,
                                  0) == 0);
    buf_consume(&out, buf_len(&out));
}

static void renew_encoder(size_t i)
{
    if (i % MESSAGES != 0)
        return;
    hpack_encoder_free(encoder);
    encoder = hpack_encoder_new(&pool, 4096);
    ASSERT(encoder);
}

static void peer_encode(size_t i)
{
    struct message *m = &messages[i % MESSAGES];
    ASSERT(nghttp2_hd_deflate_hd(deflater, blocks[0], BLOCK_TOP, m->nvs, m->count) > 0);
}

static void renew_deflater(size_t i)
{
    if (i % MESSAGES != 0)
        return;
    if (deflater)
        nghttp2_hd_deflate_del(deflater);
    ASSERT(nghttp2_hd_deflate_new(&deflater, 4096) == 0);
}

/* What a browser's encoder makes of them; libnghttp2's is Firefox's and curl's kind. */
static void make_blocks(const struct section *s)
{
    fill(s);
    renew_deflater(0);
    for (size_t i = 0; i < MESSAGES; i++) {
        ssize_t n = nghttp2_hd_deflate_hd(deflater, blocks[i], BLOCK_TOP, messages[i].nvs,
                                          messages[i].count);
        ASSERT(n > 0);
        block_octets[i] = (size_t)n;
    }
}

static int take_field(void *user, enum token token, struct slice name, struct slice value,
                      unsigned flags)
{
    *(size_t *)user += name.len + value.len;
    return 0;
}

static void decode(size_t i)
{
    size_t octets = 0;
    ASSERT(hpack_decode(decoder, blocks[i % MESSAGES], block_octets[i % MESSAGES], &arena, 65536,
                        take_field, &octets) == 0);
    arena_fini(&arena);
}

static void renew_decoder(size_t i)
{
    if (i % MESSAGES != 0)
        return;
    hpack_decoder_free(decoder);
    decoder = hpack_decoder_new(&pool, 4096);
    ASSERT(decoder);
}

static void peer_decode(size_t i)
{
    const uint8_t *at = blocks[i % MESSAGES];
    size_t left = block_octets[i % MESSAGES];
    for (int flags = 0; !(flags & NGHTTP2_HD_INFLATE_FINAL);) {
        nghttp2_nv nv;
        flags = 0;
        ssize_t n = nghttp2_hd_inflate_hd2(inflater, &nv, &flags, at, left, 1);
        ASSERT(n >= 0);
        at += n;
        left -= (size_t)n;
    }
    nghttp2_hd_inflate_end_headers(inflater);
}

static void renew_inflater(size_t i)
{
    if (i % MESSAGES != 0)
        return;
    if (inflater)
        nghttp2_hd_inflate_del(inflater);
    ASSERT(nghttp2_hd_inflate_new(&inflater) == 0);
}

/* HTTP/1.1 */

static struct h1_conn *h1;
static char wire[16384], drawn[16384]; /* a request; what is of no interest */
static size_t wire_octets;

static void on_head(void *user, const struct http_head *head, bool end)
{
    sink = (void *)(uintptr_t)head;
}

static void on_body(void *user, struct slice octets, bool end)
{
}

static void on_trailers(void *user, const struct fields *trailers)
{
}

static void on_sent(void *user, size_t octets)
{
}

static void on_done(void *user, bool reusable)
{
    ASSERT(reusable);
}

static const struct h1_events h1_events = {.on_head = on_head,
                                           .on_body = on_body,
                                           .on_trailers = on_trailers,
                                           .on_sent = on_sent,
                                           .on_done = on_done};

static void open_h1(enum h1_role role)
{
    struct h1_limits limits;
    h1_limits_default(&limits);
    h1 = h1_conn_new(role, &limits, &h1_events, NULL, &pool);
    ASSERT(h1);
}

/* A head of the fields that are not control data; those are given. */
static struct http_head head_of(const struct message *m)
{
    struct http_head h = {.content_length = -1};
    struct fields f = {.at = (struct field *)(uintptr_t)m->at, .count = (uint32_t)m->count};
    while (f.count && f.at->name.p[0] == ':')
        f.at++, f.count--;
    h.fields = f;
    return h;
}

static void send_request(size_t i)
{
    struct http_head h = head_of(&messages[i % MESSAGES]);
    h.method = SLICE("GET");
    h.scheme = SLICE("https");
    h.authority = SLICE("shop.example.org");
    h.path = SLICE("/assets/img/00007919.webp?v=3");
    ASSERT(h1_conn_send_head(h1, &h, true, false) == 0);
    wire_octets = h1_conn_output(h1, wire, sizeof wire);
}

static void send_response(size_t i)
{
    struct http_head h = head_of(&messages[i % MESSAGES]);
    h.status = 200;
    h.content_length = 0;
    ASSERT(h1_conn_send_head(h1, &h, true, false) == 0);
    while (h1_conn_has_output(h1))
        h1_conn_output(h1, drawn, sizeof drawn);
}

static void feed_wire(size_t i)
{
    ASSERT(h1_conn_feed(h1, wire, wire_octets) == 0);
}

/* The client's side of an exchange: what a proxy does towards a worker. */
static void set_up_client(void)
{
    fill(&chromium);
    open_h1(H1_CLIENT);
}

static const char h1_answer[] = "HTTP/1.1 200 OK\r\nServer: worker\r\n"
                                "Date: Sat, 28 Nov 2026 06:00:00 GMT\r\n"
                                "Content-Type: text/html; charset=utf-8\r\n"
                                "Cache-Control: private, max-age=0\r\n"
                                "X-Content-Type-Options: nosniff\r\nVary: Cookie\r\n"
                                "Content-Length: 0\r\n\r\n";

static void take_answer(size_t i)
{
    ASSERT(h1_conn_feed(h1, h1_answer, sizeof h1_answer - 1) == 0);
    while (h1_conn_has_output(h1))
        h1_conn_output(h1, drawn, sizeof drawn);
}

/* The server's side. */
static void set_up_server(void)
{
    fill(&chromium);
    open_h1(H1_CLIENT);
    send_request(0);
    h1_conn_free(h1);
    open_h1(H1_SERVER);
    fill(&answer);
}

/* Routes */

static struct route route;
static char hosts[MESSAGES][64];

static void build_routes(uint32_t apps)
{
    static const struct route_site site = {.min_tls_version = 0x0303,
                                           .request_timeout_ms = 230000,
                                           .idle_timeout_ms = 60000,
                                           .tunnel_timeout_ms = 1000};
    struct route_builder *b = route_builder_new(1);
    char name[64];
    size_t len;
    for (uint32_t i = 0; i < apps; i++) {
        snprintf(name, sizeof name, "app-%u", i);
        ASSERT(route_builder_site(b, slice_str(name), &site) == 0);
        for (uint32_t k = 0; k < 3; k++) {
            snprintf(name, sizeof name, "%s%u.customer-%u.example", k == 2 ? "*." : "www.", k, i);
            ASSERT(route_builder_host(b, slice_str(name)) == 0);
        }
        ASSERT(route_builder_instance(b, SLICE("app/0"), SLICE("127.0.0.1:8001"), SLICE(""),
                                      ROUTE_READY, ROUTE_H1) == 0);
    }
    void *octets = route_builder_finish(b, &len);
    ASSERT(octets && route_open(&route, octets, len) == 0);
    route_builder_free(b);
}

static void name_hosts(const char *first_labels, uint32_t apps)
{
    build_routes(apps);
    for (uint32_t i = 0; i < MESSAGES; i++)
        snprintf(hosts[i], sizeof hosts[i], "%s.customer-%u.example", first_labels,
                 i * 2654435761u % apps);
}

static void find_route(size_t i)
{
    sink = (void *)(uintptr_t)route_find(&route, slice_str(hosts[i % MESSAGES]));
    ASSERT(sink);
}

static void set_up_10_apps(void)
{
    name_hosts("www.0", 10);
}

static void set_up_10000_apps(void)
{
    name_hosts("www.1", 10000);
}

static void set_up_wildcards(void)
{
    name_hosts("shop.2", 10000);
}

/* The scheduler */

#define STREAMS 100
static struct h2_stream streams[STREAMS];
static struct h2_sched sched;

/* Half of them incremental, urgencies as of a page: style sheets and scripts before pictures. */
static void set_up_streams(void)
{
    h2_sched_init(&sched);
    for (uint32_t i = 0; i < STREAMS; i++) {
        streams[i].id = 2 * i + 1;
        streams[i].priority =
            (struct priority){.urgency = i % 4 == 0 ? 1 : 5, .incremental = i % 2};
        h2_sched_add(&sched, &streams[i]);
    }
}

static void serve_frame(size_t i)
{
    h2_sched_served(&sched, h2_sched_pick(&sched));
}

static void leave_and_come(size_t i)
{
    struct h2_stream *s = &streams[i * 37 % STREAMS];
    h2_sched_remove(&sched, s);
    h2_sched_add(&sched, s);
}

/* All of them */

static void set_up_chromium(void)
{
    make_blocks(&chromium);
}

static void set_up_firefox(void)
{
    make_blocks(&firefox);
}

static void set_up_curl(void)
{
    make_blocks(&curl);
}

static void set_up_answer(void)
{
    make_blocks(&answer);
}

/* before, after: around each measured one, not counted. */
static const struct {
    const char *name, *text;
    void (*set_up)(void);
    void (*before)(size_t);
    void (*operation)(size_t);
    void (*after)(size_t);
} operations[] = {
    {"hpack-decode-chromium", "a request of Chromium's, 18 fields", set_up_chromium, renew_decoder,
     decode, NULL},
    {"nghttp2-decode-chromium", "the same, by libnghttp2", set_up_chromium, renew_inflater,
     peer_decode, NULL},
    {"hpack-decode-firefox", "a request of Firefox's, 16 fields", set_up_firefox, renew_decoder,
     decode, NULL},
    {"nghttp2-decode-firefox", "the same, by libnghttp2", set_up_firefox, renew_inflater,
     peer_decode, NULL},
    {"hpack-decode-curl", "a request of curl's, 6 fields", set_up_curl, renew_decoder, decode,
     NULL},
    {"nghttp2-decode-curl", "the same, by libnghttp2", set_up_curl, renew_inflater, peer_decode,
     NULL},
    {"hpack-encode-answer", "a worker's response, 10 fields", set_up_answer, renew_encoder, encode,
     NULL},
    {"nghttp2-encode-answer", "the same, by libnghttp2", set_up_answer, renew_deflater, peer_encode,
     NULL},
    {"hpack-encode-chromium", "a request of Chromium's, to an h2c worker", set_up_chromium,
     renew_encoder, encode, NULL},
    {"nghttp2-encode-chromium", "the same, by libnghttp2", set_up_chromium, renew_deflater,
     peer_encode, NULL},
    {"h1-write-request", "a request of Chromium's to a worker", set_up_client, NULL, send_request,
     take_answer},
    {"h1-read-response", "a worker's response, 7 fields", set_up_client, send_request, take_answer,
     NULL},
    {"h1-read-request", "a request of Chromium's", set_up_server, NULL, feed_wire, send_response},
    {"h1-write-response", "a worker's response, 9 fields", set_up_server, feed_wire, send_response,
     NULL},
    {"route-10", "the app of a host, of 10 apps with 3 hosts", set_up_10_apps, NULL, find_route,
     NULL},
    {"route-10000", "the same, of 10,000 apps", set_up_10000_apps, NULL, find_route, NULL},
    {"route-wildcard", "the same, by a wildcard", set_up_wildcards, NULL, find_route, NULL},
    {"sched-frame", "whose frame is next, of 100 streams", set_up_streams, NULL, serve_frame, NULL},
    {"sched-turn", "a stream leaves and comes back, of 100", set_up_streams, NULL, leave_and_come,
     NULL},
};

int main(int argc, char **argv)
{
    pool_init(&pool);
    buf_init(&out, &pool);
    arena_init(&arena, &pool);
    if (argc == 1) {
        for (size_t i = 0; i < ARRAY_LEN(operations); i++)
            printf("%s %s\n", operations[i].name, operations[i].text);
        return 0;
    }
    size_t count = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    for (size_t i = 0; i < ARRAY_LEN(operations); i++) {
        if (strcmp(operations[i].name, argv[1]) != 0)
            continue;
        operations[i].set_up();
        for (size_t n = 0; n < count; n++) {
            if (operations[i].before)
                operations[i].before(n);
            measured(operations[i].operation, n);
            if (operations[i].after)
                operations[i].after(n);
        }
        return 0;
    }
    fprintf(stderr, "usage: operations [NAME COUNT]\n");
    return 2;
}
