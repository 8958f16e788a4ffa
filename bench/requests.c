/* SPDX-License-Identifier: Apache-2.0 */
/* Requests over HTTP/2 and TLS 1.3 to 127.0.0.1 that h2load cannot make: at times of their own
 * rather than when an answer has come, for many hosts, and pages that are pushed.
 *
 *   requests [OPTION...] PORT PATH...
 *     -c N      connections (50)                   -n N     requests, or pages with -b (10000)
 *     -m N      streams of each at once (32)       -a FILE  authorities, one a line, in turn
 *     -r N      so many a second, in all, whatever comes back: each has its own random time, the
 *               same ones every time.  Latency is counted from that time
 *     -b        all PATHs at once are a page; the next one when it, and what was pushed with it, is
 *               here.  "#" in a path is the number of the page, modulo 1000
 *     -p        take push
 *
 * Prints "done GOOD PUSHED SECONDS" (GOOD: answered whole with 200) and
 * "latency P50 P90 P99 P99.9 MAX SLICE", in microseconds.  SLICE is the median of the P99 of so
 * many slices of the run: a moment in which the whole machine stood still is in one of them.
 * Nothing of a field block is decoded but ":status: 200". */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define IN_OCTETS        (1 << 17)
#define FRAME_HEAD       9
#define MAX_PATHS        32
#define MAX_AUTHORITIES  64
#define MAX_OPEN         4096 /* streams of a connection */
#define MAX_WAITING      65536
#define FIRST_MAY_OPEN   100 /* before SETTINGS */
#define WINDOW           (1u << 30)
#define SILENCE_MS       10000
#define SLICES           20
#define NEVER            UINT64_MAX
#define INDEXED_200      0x88 /* RFC 7541 6.1, appendix A */
#define IS_TABLE_SIZE(o) (((o)&0xe0) == 0x20)

enum { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4, MAX_CONCURRENT_STREAMS = 3 };

static struct {
    uint16_t port;
    size_t connections, streams, count;
    double rate;
    bool in_pages, takes_push;
    const char *paths[MAX_PATHS];
    size_t path_count;
    char authorities[MAX_AUTHORITIES][64];
    size_t authority_count;
} plan = {.connections = 50,
          .streams = 32,
          .count = 10000,
          .authorities = {"localhost"},
          .authority_count = 1};

struct open_stream {
    uint32_t id; /* 0: free */
    bool is_good;
    uint64_t due_ns;
};

struct connection {
    SSL *tls;
    uint32_t next_id;
    size_t open, may_open; /* streams */
    uint32_t unreturned;   /* octets of content, of the connection's window */
    size_t in_octets, out_octets, out_room;
    uint8_t *in, *out;
    struct open_stream *streams; /* MAX_OPEN, at id / 2 % MAX_OPEN; pushed ones are not in it */
    uint64_t *waiting_ns;        /* MAX_WAITING, a ring: due, but no stream may be opened yet */
    size_t first_waiting, waiting;
};

static int epoll;
static size_t asked, ended, good, pushed, pages;
static uint64_t *latencies_ns;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

_Noreturn static void fail(const char *what)
{
    fprintf(stderr, "requests: %s\n", what);
    exit(1);
}

/* Output */

static uint8_t *room_for(struct connection *c, size_t octets)
{
    if (c->out_room - c->out_octets < octets) {
        c->out_room = 2 * c->out_room + octets;
        c->out = realloc(c->out, c->out_room);
        if (!c->out)
            fail("no memory");
    }
    c->out_octets += octets;
    return c->out + c->out_octets - octets;
}

static void put_u32(uint8_t *out, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* return  where the payload goes */
static uint8_t *frame(struct connection *c, uint8_t type, uint8_t flags, uint32_t stream,
                      size_t octets)
{
    uint8_t *f = room_for(c, FRAME_HEAD + octets);
    put_u32(f, (uint32_t)octets << 8 | type);
    f[4] = flags;
    put_u32(f + 5, stream);
    return f + FRAME_HEAD;
}

static uint8_t *put_text(uint8_t *out, const char *text, size_t octets)
{
    *out++ = (uint8_t)octets; /* fewer than 127, not Huffman-coded */
    memcpy(out, text, octets);
    return out + octets;
}

static void ask(struct connection *c, const char *pattern, uint64_t due_ns)
{
    char path[96];
    const char *mark = strchr(pattern, '#');
    const char *authority = plan.authorities[asked % plan.authority_count];
    if (mark)
        snprintf(path, sizeof path, "%.*s%zu%s", (int)(mark - pattern), pattern, pages % 1000,
                 mark + 1);
    else
        snprintf(path, sizeof path, "%s", pattern);
    struct open_stream *s = &c->streams[c->next_id / 2 % MAX_OPEN];
    if (s->id)
        fail("too many streams are open");
    *s = (struct open_stream){.id = c->next_id, .due_ns = due_ns};
    size_t octets = 2 + 2 + strlen(path) + 2 + strlen(authority);
    uint8_t *p = frame(c, HEADERS, END_STREAM | END_HEADERS, c->next_id, octets);
    *p++ = 0x82; /* :method: GET */
    *p++ = 0x87; /* :scheme: https */
    *p++ = 0x04; /* :path, never in the table, as :authority below */
    p = put_text(p, path, strlen(path));
    *p++ = 0x01;
    put_text(p, authority, strlen(authority));
    c->next_id += 2;
    c->open++;
    asked++;
}

static void flush(struct connection *c)
{
    while (c->out_octets) {
        int n = SSL_write(c->tls, c->out, c->out_octets > 16384 ? 16384 : (int)c->out_octets);
        if (n <= 0)
            return; /* edge-triggered: EPOLLOUT comes */
        c->out_octets -= (size_t)n;
        memmove(c->out, c->out + n, c->out_octets);
    }
}

/* A request whose time has come, at the latest when the peer takes another stream. */
static void ask_due(struct connection *c)
{
    for (; c->waiting && c->open < c->may_open; c->waiting--)
        ask(c, plan.paths[asked % plan.path_count],
            c->waiting_ns[c->first_waiting++ % MAX_WAITING]);
}

static void make_due(struct connection *c, uint64_t due_ns)
{
    if (c->waiting == MAX_WAITING)
        fail("the rate is beyond what can be had");
    c->waiting_ns[(c->first_waiting + c->waiting++) % MAX_WAITING] = due_ns;
    ask_due(c);
}

/* Keep as many open as the plan says. */
static void refill(struct connection *c)
{
    if (plan.rate > 0) {
        ask_due(c);
        return;
    }
    if (plan.in_pages) {
        if (c->open || pages == plan.count)
            return;
        for (size_t i = 0; i < plan.path_count; i++)
            ask(c, plan.paths[i], now_ns());
        pages++;
        return;
    }
    while (c->open < plan.streams && asked < plan.count)
        ask(c, plan.paths[asked % plan.path_count], now_ns());
}

/* Input */

static void stream_ended(struct connection *c, uint32_t id)
{
    c->open--;
    if (id % 2 == 0) {
        pushed++;
        return;
    }
    struct open_stream *s = &c->streams[id / 2 % MAX_OPEN];
    if (s->id != id)
        fail("an answer to nothing");
    good += s->is_good;
    latencies_ns[ended++] = now_ns() - s->due_ns;
    s->id = 0;
}

static void take_head(struct connection *c, uint32_t id, const uint8_t *block, size_t octets)
{
    while (octets && IS_TABLE_SIZE(*block)) {
        while ((*block & 0x1f) == 0x1f && octets > 1 && block[1] & 0x80)
            block++, octets--;
        octets -= (*block & 0x1f) == 0x1f ? 2 : 1;
        block += (*block & 0x1f) == 0x1f ? 2 : 1;
    }
    struct open_stream *s = &c->streams[id / 2 % MAX_OPEN];
    if (id % 2 && s->id == id && octets && *block == INDEXED_200)
        s->is_good = true;
}

static void take_settings(struct connection *c, const uint8_t *f, size_t octets)
{
    if (f[4] & ACK)
        return;
    for (const uint8_t *s = f + FRAME_HEAD; s + 6 <= f + octets; s += 6)
        if (s[0] == 0 && s[1] == MAX_CONCURRENT_STREAMS)
            c->may_open = (size_t)s[2] << 24 | (size_t)s[3] << 16 | (size_t)s[4] << 8 | s[5];
    if (c->may_open > MAX_OPEN / 2)
        c->may_open = MAX_OPEN / 2;
    frame(c, SETTINGS, ACK, 0, 0);
}

static void take_frame(struct connection *c, const uint8_t *f, size_t octets)
{
    uint32_t id =
        ((uint32_t)f[5] << 24 | (uint32_t)f[6] << 16 | (uint32_t)f[7] << 8 | f[8]) & 0x7fffffff;
    switch (f[3]) {
    case HEADERS:
        take_head(c, id, f + FRAME_HEAD, octets - FRAME_HEAD);
        break;
    case DATA:
        c->unreturned += (uint32_t)octets;
        if (c->unreturned >= WINDOW / 4) {
            put_u32(frame(c, WINDOW_UPDATE, 0, 0, 4), c->unreturned);
            c->unreturned = 0;
        }
        break;
    case SETTINGS:
        take_settings(c, f, octets);
        return;
    case PING:
        if (!(f[4] & ACK))
            memcpy(frame(c, PING, ACK, 0, 8), f + FRAME_HEAD, 8);
        return;
    case PUSH_PROMISE:
        c->open++;
        return;
    case RST_STREAM:
        stream_ended(c, id);
        return;
    case GOAWAY:
        fail("GOAWAY");
    default:
        return;
    }
    if (f[4] & END_STREAM)
        stream_ended(c, id);
}

static void receive(struct connection *c)
{
    for (;;) {
        int n = SSL_read(c->tls, c->in + c->in_octets, (int)(IN_OCTETS - c->in_octets));
        if (n <= 0) {
            if (SSL_get_error(c->tls, n) == SSL_ERROR_WANT_READ)
                return;
            fail("a connection was closed");
        }
        c->in_octets += (size_t)n;
        size_t at = 0, octets;
        for (; c->in_octets - at >= FRAME_HEAD; at += octets) {
            const uint8_t *f = c->in + at;
            octets = FRAME_HEAD + ((size_t)f[0] << 16 | (size_t)f[1] << 8 | f[2]);
            if (c->in_octets - at < octets)
                break;
            take_frame(c, f, octets);
        }
        c->in_octets -= at;
        memmove(c->in, c->in + at, c->in_octets);
    }
}

static void connect_all(struct connection *all)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256");
    SSL_CTX_set1_groups_list(context, "X25519");
    SSL_CTX_set_alpn_protos(context, (const unsigned char *)"\x02h2", 3);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    for (size_t i = 0; i < plan.connections; i++) {
        struct connection *c = &all[i];
        struct sockaddr_in to = {.sin_family = AF_INET,
                                 .sin_port = htons(plan.port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        char name[64];
        int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
            fail(strerror(errno));
        snprintf(name, sizeof name, "%s", plan.authorities[i % plan.authority_count]);
        *c = (struct connection){.tls = SSL_new(context),
                                 .next_id = 1,
                                 .may_open = FIRST_MAY_OPEN,
                                 .in = malloc(IN_OCTETS),
                                 .streams = calloc(MAX_OPEN, sizeof *c->streams),
                                 .waiting_ns = calloc(MAX_WAITING, sizeof *c->waiting_ns)};
        if (!c->tls || !c->in || !c->streams || !c->waiting_ns)
            fail("no memory");
        SSL_set_fd(c->tls, fd);
        SSL_set_tlsext_host_name(c->tls, name);
        if (SSL_connect(c->tls) != 1)
            fail("no TLS");
        static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        memcpy(room_for(c, sizeof preface - 1), preface, sizeof preface - 1);
        uint8_t *s = frame(c, SETTINGS, 0, 0, 12);
        s[0] = 0, s[1] = 2; /* ENABLE_PUSH */
        put_u32(s + 2, plan.takes_push);
        s[6] = 0, s[7] = 4; /* INITIAL_WINDOW_SIZE */
        put_u32(s + 8, WINDOW);
        put_u32(frame(c, WINDOW_UPDATE, 0, 0, 4), WINDOW - 65535);
        flush(c);
        fcntl(fd, F_SETFL, O_NONBLOCK);
        struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
    }
}

/* Exponential pauses, so that arrivals are those of many clients that know nothing of each other;
 * xorshift64*, always the same. */
static uint64_t pause_ns(void)
{
    static uint64_t state = 0x9e3779b97f4a7c15;
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    double u = (double)((state * 0x2545f4914f6cdd1d) >> 11) / 9007199254740992.0;
    return (uint64_t)(-log(1.0 - u) / plan.rate * 1e9);
}

static size_t total(void)
{
    return plan.in_pages ? plan.count * plan.path_count : plan.count;
}

static bool is_over(const struct connection *all)
{
    if (ended < total())
        return false;
    for (size_t i = 0; i < plan.connections; i++)
        if (all[i].open)
            return false;
    return true;
}

static void run(struct connection *all)
{
    struct epoll_event events[256];
    uint64_t next_ns = plan.rate > 0 ? now_ns() : NEVER, last_ns = now_ns();
    size_t turn = 0;
    for (size_t i = 0; i < plan.connections; i++) {
        refill(&all[i]);
        flush(&all[i]);
    }
    while (!is_over(all)) {
        uint64_t now = now_ns(), wait_ns = SILENCE_MS * UINT64_C(1000000);
        if (now - last_ns > wait_ns)
            fail("nothing came for a long time");
        if (next_ns != NEVER)
            wait_ns = next_ns > now ? next_ns - now : 0;
        struct timespec wait = {.tv_sec = (time_t)(wait_ns / 1000000000u),
                                .tv_nsec = (long)(wait_ns % 1000000000u)};
        int n = epoll_pwait2(epoll, events, 256, &wait, NULL);
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            receive(c);
            refill(c);
            flush(c);
        }
        now = now_ns();
        if (n > 0)
            last_ns = now;
        for (; next_ns <= now; next_ns = ++turn < plan.count ? next_ns + pause_ns() : NEVER) {
            struct connection *c = &all[turn % plan.connections];
            make_due(c, next_ns);
            flush(c);
        }
    }
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* of: sorted, count of them */
static double quantile_us(const uint64_t *of, size_t count, double q)
{
    return (double)of[(size_t)(q * (double)(count - 1))] / 1e3;
}

/* Sorts what ended within a slice. */
static double slice_us(void)
{
    uint64_t p99[SLICES];
    size_t each = ended / SLICES;
    if (each == 0)
        return 0;
    for (size_t i = 0; i < SLICES; i++) {
        uint64_t *slice = latencies_ns + i * each;
        qsort(slice, each, sizeof *slice, by_size);
        p99[i] = slice[(size_t)(0.99 * (double)(each - 1))];
    }
    qsort(p99, SLICES, sizeof p99[0], by_size);
    return quantile_us(p99, SLICES, 0.5);
}

static void read_authorities(const char *file)
{
    FILE *f = fopen(file, "r");
    if (!f)
        fail(strerror(errno));
    plan.authority_count = 0;
    while (plan.authority_count < MAX_AUTHORITIES &&
           fscanf(f, "%63s", plan.authorities[plan.authority_count]) == 1)
        plan.authority_count++;
    fclose(f);
    if (plan.authority_count == 0)
        fail("no authorities");
}

int main(int argc, char **argv)
{
    static const double quantiles[] = {0.5, 0.9, 0.99, 0.999, 1};
    for (int option; (option = getopt(argc, argv, "c:m:n:r:a:bp")) != -1;) {
        switch (option) {
        case 'c':
            plan.connections = strtoul(optarg, NULL, 10);
            break;
        case 'm':
            plan.streams = strtoul(optarg, NULL, 10);
            break;
        case 'n':
            plan.count = strtoul(optarg, NULL, 10);
            break;
        case 'r':
            plan.rate = strtod(optarg, NULL);
            break;
        case 'a':
            read_authorities(optarg);
            break;
        case 'b':
            plan.in_pages = true;
            break;
        case 'p':
            plan.takes_push = true;
            break;
        default:
            return 2;
        }
    }
    if (argc - optind < 2 || argc - optind - 1 > MAX_PATHS || plan.count == 0)
        fail("usage: requests [-c N] [-m N] [-n N] [-r N] [-a FILE] [-b] [-p] PORT PATH...");
    plan.port = (uint16_t)strtoul(argv[optind++], NULL, 10);
    while (optind < argc)
        plan.paths[plan.path_count++] = argv[optind++];
    latencies_ns = malloc(total() * sizeof *latencies_ns);
    struct connection *all = calloc(plan.connections, sizeof *all);
    if (!latencies_ns || !all)
        fail("no memory");
    epoll = epoll_create1(EPOLL_CLOEXEC);
    prctl(PR_SET_TIMERSLACK, 1);
    connect_all(all);
    uint64_t start = now_ns();
    run(all);
    double seconds = (double)(now_ns() - start) / 1e9;
    double slice = slice_us();
    qsort(latencies_ns, ended, sizeof *latencies_ns, by_size);
    printf("done %zu %zu %.6f\nlatency", good, pushed, seconds);
    for (size_t i = 0; i < sizeof quantiles / sizeof quantiles[0]; i++)
        printf(" %.1f", quantile_us(latencies_ns, ended, quantiles[i]));
    printf(" %.1f\n", slice);
    return 0;
}
