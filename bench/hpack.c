/* SPDX-License-Identifier: Apache-2.0 */
/* HPACK against libnghttp2's in the same run: nanoseconds a field section, and octets on the wire.
 * usage: bench_hpack [rounds] */
#include "base/panic.h"
#include "http/hpack.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define FIELDS_TOP 20
#define BLOCK_TOP  4096

struct section {
    const char *title;
    struct {
        const char *name, *value;
    } at[FIELDS_TOP];
};

/* A browser's page load and a small API's answer: the path, the etag and the length change. */
static const struct section sections[] = {
    {"request",
     {{":method", "GET"},
      {":scheme", "https"},
      {":authority", "shop.example.org"},
      {":path", "/assets/img/%08u.webp?v=3"},
      {"user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
                     "Chrome/126.0.0.0 Safari/537.36"},
      {"accept", "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"},
      {"accept-encoding", "gzip, deflate, br, zstd"},
      {"accept-language", "en-GB,en;q=0.9"},
      {"referer", "https://shop.example.org/"},
      {"cookie", "session=0123456789abcdef0123456789abcdef; theme=dark"},
      {"sec-fetch-dest", "image"},
      {"sec-fetch-mode", "no-cors"},
      {"sec-fetch-site", "same-origin"},
      {"priority", "u=2, i"}}},
    {"response",
     {{":status", "200"},
      {"date", "Mon, 21 Oct 2013 20:13:21 GMT"},
      {"server", "portico"},
      {"content-type", "application/json; charset=utf-8"},
      {"content-length", "%u"},
      {"cache-control", "public, max-age=3600"},
      {"etag", "\"%08x-1f4\""},
      {"vary", "accept-encoding"},
      {"x-content-type-options", "nosniff"},
      {"x-frame-options", "DENY"},
      {"strict-transport-security", "max-age=31536000; includeSubDomains"}}},
};

struct field_line {
    struct slice name, value;
    enum token token;
};

/* A section with its changing values filled in. */
struct message {
    char values[FIELDS_TOP][160];
    struct field_line at[FIELDS_TOP];
    nghttp2_nv nvs[FIELDS_TOP];
    size_t count;
};

#define MESSAGES 64
static struct message messages[MESSAGES];
static uint8_t blocks[MESSAGES][BLOCK_TOP];
static size_t block_octets[MESSAGES];
static struct pool pool;

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void expand(char *out, size_t room, const char *pattern, unsigned i)
{
    const char *percent = strchr(pattern, '%');
    if (!percent)
        snprintf(out, room, "%s", pattern);
    else if (strstr(pattern, "%08u"))
        snprintf(out, room, "%.*s%08u%s", (int)(percent - pattern), pattern, i * 7919, percent + 4);
    else if (strstr(pattern, "%08x"))
        snprintf(out, room, "%.*s%08x%s", (int)(percent - pattern), pattern, i * 2654435761u,
                 percent + 4);
    else
        snprintf(out, room, "%u", 100 + i * 37);
}

static void fill(const struct section *s)
{
    for (unsigned i = 0; i < MESSAGES; i++) {
        struct message *m = &messages[i];
        m->count = 0;
        for (size_t k = 0; k < FIELDS_TOP && s->at[k].name; k++) {
            expand(m->values[k], sizeof m->values[k], s->at[k].value, i);
            struct slice name = slice_str(s->at[k].name), value = slice_str(m->values[k]);
            m->at[k] = (struct field_line){name, value, token_find(name)};
            m->nvs[k] = (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name.p,
                                     .namelen = name.len,
                                     .value = (uint8_t *)(uintptr_t)value.p,
                                     .valuelen = value.len};
            m->count++;
        }
    }
}

static double encode_ours(size_t rounds, size_t *octets_out)
{
    struct hpack_encoder *e = hpack_encoder_new(&pool, 4096);
    struct buf out;
    buf_init(&out, &pool);
    ASSERT(e);
    *octets_out = 0;
    double start = now_ns();
    for (size_t i = 0; i < rounds; i++) {
        const struct message *m = &messages[i % MESSAGES];
        hpack_encode_begin(e, &out);
        for (size_t k = 0; k < m->count; k++)
            ASSERT(hpack_encode_field(e, &out, m->at[k].token, m->at[k].name, m->at[k].value, 0) ==
                   0);
        *octets_out += buf_len(&out);
        buf_consume(&out, buf_len(&out));
    }
    double spent = now_ns() - start;
    hpack_encoder_free(e);
    return spent / (double)rounds;
}

static double encode_peer(size_t rounds, size_t *octets_out)
{
    nghttp2_hd_deflater *e;
    uint8_t out[BLOCK_TOP];
    ASSERT(nghttp2_hd_deflate_new(&e, 4096) == 0);
    *octets_out = 0;
    double start = now_ns();
    for (size_t i = 0; i < rounds; i++) {
        struct message *m = &messages[i % MESSAGES];
        ssize_t n = nghttp2_hd_deflate_hd(e, out, sizeof out, m->nvs, m->count);
        ASSERT(n > 0);
        *octets_out += (size_t)n;
    }
    double spent = now_ns() - start;
    nghttp2_hd_deflate_del(e);
    return spent / (double)rounds;
}

static int count_field(void *user, enum token token, struct slice name, struct slice value,
                       unsigned flags)
{
    *(size_t *)user += name.len + value.len;
    return 0;
}

/* Both decoders get the same blocks, the peer's encoder's, each time from a new connection. */
static void make_blocks(void)
{
    nghttp2_hd_deflater *e;
    ASSERT(nghttp2_hd_deflate_new(&e, 4096) == 0);
    for (size_t i = 0; i < MESSAGES; i++) {
        ssize_t n =
            nghttp2_hd_deflate_hd(e, blocks[i], BLOCK_TOP, messages[i].nvs, messages[i].count);
        ASSERT(n > 0);
        block_octets[i] = (size_t)n;
    }
    nghttp2_hd_deflate_del(e);
}

static double decode_ours(size_t rounds, size_t *octets_out)
{
    *octets_out = 0;
    double start = now_ns();
    for (size_t i = 0; i < rounds; i += MESSAGES) {
        struct hpack_decoder *d = hpack_decoder_new(&pool, 4096);
        ASSERT(d);
        for (size_t k = 0; k < MESSAGES; k++) {
            struct arena arena;
            arena_init(&arena, &pool);
            ASSERT(hpack_decode(d, blocks[k], block_octets[k], &arena, 65536, count_field,
                                octets_out) == 0);
            arena_fini(&arena);
        }
        hpack_decoder_free(d);
    }
    return (now_ns() - start) / (double)rounds;
}

static double decode_peer(size_t rounds, size_t *octets_out)
{
    *octets_out = 0;
    double start = now_ns();
    for (size_t i = 0; i < rounds; i += MESSAGES) {
        nghttp2_hd_inflater *d;
        ASSERT(nghttp2_hd_inflate_new(&d) == 0);
        for (size_t k = 0; k < MESSAGES; k++) {
            const uint8_t *at = blocks[k];
            size_t left = block_octets[k];
            for (int flags = 0; !(flags & NGHTTP2_HD_INFLATE_FINAL);) {
                nghttp2_nv nv;
                flags = 0;
                ssize_t n = nghttp2_hd_inflate_hd2(d, &nv, &flags, at, left, 1);
                ASSERT(n >= 0);
                at += n;
                left -= (size_t)n;
                if (flags & NGHTTP2_HD_INFLATE_EMIT)
                    *octets_out += nv.namelen + nv.valuelen;
            }
            nghttp2_hd_inflate_end_headers(d);
        }
        nghttp2_hd_inflate_del(d);
    }
    return (now_ns() - start) / (double)rounds;
}

typedef double (*run_fn)(size_t rounds, size_t *octets_out);

/* The best of five, in turns, so that both meet the same machine. */
static void compare(const char *title, const char *what, run_fn ours, run_fn peer, size_t rounds)
{
    double best_ours = 1e18, best_peer = 1e18;
    size_t octets_ours = 0, octets_peer = 0;
    for (int i = 0; i < 5; i++) {
        double t = ours(rounds, &octets_ours);
        best_ours = t < best_ours ? t : best_ours;
        t = peer(rounds, &octets_peer);
        best_peer = t < best_peer ? t : best_peer;
    }
    printf("%-8s %-6s  portico %7.0f ns %6.1f octets   nghttp2 %7.0f ns %6.1f octets   ratio "
           "%.2f\n",
           title, what, best_ours, (double)octets_ours / (double)rounds, best_peer,
           (double)octets_peer / (double)rounds, best_ours / best_peer);
}

int main(int argc, char **argv)
{
    size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 200000;
    rounds = (rounds / MESSAGES + 1) * MESSAGES;
    pool_init(&pool);
    for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
        fill(&sections[i]);
        make_blocks();
        compare(sections[i].title, "encode", encode_ours, encode_peer, rounds);
        compare(sections[i].title, "decode", decode_ours, decode_peer, rounds);
    }
    pool_fini(&pool);
    return 0;
}
