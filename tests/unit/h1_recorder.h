/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of the HTTP/1.1 engine: writes down what an engine reports, as text in which it
 * does not matter how content was cut. */
#ifndef TESTS_H1_RECORDER_H
#define TESTS_H1_RECORDER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/err.h"
#include "http/h1.h"

struct recorder {
    struct pool pool;
    struct h1_limits limits;
    struct h1_conn *conn;
    size_t len;
    bool in_body, in_tunnel;
    unsigned dones;
    bool reusable;
    size_t sent;
    /* called at the end of on_head, if set */
    void (*then)(struct recorder *r, const struct http_head *head);
    char text[1 << 18];
};

__attribute__((format(printf, 2, 3))) static inline void note(struct recorder *r, const char *fmt,
                                                              ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(r->text + r->len, sizeof r->text - r->len, fmt, ap);
    va_end(ap);
    assert_true(n >= 0 && (size_t)n < sizeof r->text - r->len);
    r->len += (size_t)n;
}

/* NUL is shown as a zero. */
static inline void note_octets(struct recorder *r, struct slice octets)
{
    assert_true(octets.len < sizeof r->text - r->len);
    for (size_t i = 0; i < octets.len; i++)
        r->text[r->len++] = octets.p[i] ? octets.p[i] : '0';
    r->text[r->len] = '\0';
}

static inline void rec_head(void *user, const struct http_head *head, bool end)
{
    struct recorder *r = user;
    if (head->status)
        note(r, "%d", head->status);
    else
        note(r, "%.*s %.*s", SLICE_FMT(head->method), SLICE_FMT(head->path));
    if (head->authority.len)
        note(r, " @%.*s", SLICE_FMT(head->authority));
    if (head->protocol.len)
        note(r, " ^%.*s", SLICE_FMT(head->protocol));
    if (head->version_minor == 0)
        note(r, " 1.0");
    if (head->content_length >= 0)
        note(r, " #%lld", (long long)head->content_length);
    if (head->expect_continue)
        note(r, " expect");
    note(r, "%s\n", end ? " end" : "");
    for (uint32_t i = 0; i < head->fields.count; i++) {
        const struct field *f = &head->fields.at[i];
        assert_int_equal(f->token, token_find(f->name));
        note(r, "%.*s: %.*s\n", SLICE_FMT(f->name), SLICE_FMT(f->value));
    }
    if (r->then)
        r->then(r, head);
}

static inline void rec_body(void *user, struct slice octets, bool end)
{
    struct recorder *r = user;
    assert_true(octets.len || end);
    if (!r->in_body)
        note(r, "[");
    note_octets(r, octets);
    note(r, "%s", end ? "] end\n" : "");
    r->in_body = !end;
}

static inline void rec_trailers(void *user, const struct fields *trailers)
{
    struct recorder *r = user;
    note(r, "%s trailers\n", r->in_body ? "]" : "[]");
    r->in_body = false;
    for (uint32_t i = 0; i < trailers->count; i++)
        note(r, "%.*s: %.*s\n", SLICE_FMT(trailers->at[i].name), SLICE_FMT(trailers->at[i].value));
}

static inline void rec_sent(void *user, size_t octets)
{
    ((struct recorder *)user)->sent += octets;
}

static inline void rec_done(void *user, bool reusable)
{
    struct recorder *r = user;
    r->dones++;
    r->reusable = reusable;
    note(r, "done%s\n", reusable ? "" : " close");
}

static inline void rec_tunnel(void *user, struct slice octets)
{
    struct recorder *r = user;
    note(r, "%s", r->in_tunnel ? "" : "~");
    note_octets(r, octets);
    r->in_tunnel = true;
}

static const struct h1_events recorder_events = {
    .on_head = rec_head,
    .on_body = rec_body,
    .on_trailers = rec_trailers,
    .on_sent = rec_sent,
    .on_done = rec_done,
    .on_tunnel = rec_tunnel,
};

static inline void rec_open(struct recorder *r, enum h1_role role)
{
    memset(r, 0, offsetof(struct recorder, text) + 1);
    pool_init(&r->pool);
    h1_limits_default(&r->limits);
    r->conn = h1_conn_new(role, &r->limits, &recorder_events, r, &r->pool);
    assert_non_null(r->conn);
}

/* Everything that was taken must have come back. */
static inline void rec_close(struct recorder *r)
{
    h1_conn_free(r->conn);
    assert_int_equal(r->pool.live, 0);
    pool_fini(&r->pool);
}

static inline void rec_clear(struct recorder *r)
{
    r->len = 0;
    r->text[0] = '\0';
    r->in_body = r->in_tunnel = false;
}

/* The engine must not look beyond the octets that it is given, nor keep them. */
static inline int rec_feed(struct recorder *r, const char *in, size_t len)
{
    char *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, in, len);
    int err = h1_conn_feed(r->conn, copy, len);
    memset(copy, '!', len);
    free(copy);
    return err;
}

static inline int rec_feed_str(struct recorder *r, const char *s)
{
    return rec_feed(r, s, strlen(s));
}

/* All output, with a NUL behind it; in a static buffer. */
static inline const char *rec_output(struct recorder *r)
{
    static char out[1 << 16];
    size_t n = 0;
    while (h1_conn_has_output(r->conn)) {
        size_t k = h1_conn_output(r->conn, out + n, sizeof out - 1 - n);
        n += k;
        assert_true(n < sizeof out - 1);
    }
    out[n] = '\0';
    return out;
}

/* A head on the fly; its fields last until the next call. */
static inline const struct http_head *head_of(unsigned status, const char *method, int64_t length,
                                              const char *const (*fields)[2])
{
    static struct http_head head;
    static struct field at[64];
    uint32_t n = 0;
    for (; fields && fields[n][0]; n++) {
        struct slice name = slice_str(fields[n][0]);
        at[n] = (struct field){
            .name = name, .value = slice_str(fields[n][1]), .token = (uint16_t)token_find(name)};
    }
    head = (struct http_head){
        .method = slice_str(method),
        .authority = method ? SLICE("a") : (struct slice){NULL, 0},
        .path = method ? SLICE("/") : (struct slice){NULL, 0},
        .status = (uint16_t)status,
        .content_length = length,
        .fields = {.at = at, .count = n, .cap = n},
    };
    return &head;
}

static inline int respond(struct recorder *r, unsigned status, int64_t length, bool end)
{
    return h1_conn_send_head(r->conn, head_of(status, NULL, length, NULL), end, false);
}

static inline int request(struct recorder *r, const char *method, int64_t length, bool end)
{
    return h1_conn_send_head(r->conn, head_of(0, method, length, NULL), end, false);
}

static inline int body(struct recorder *r, const char *s, bool end)
{
    return h1_conn_send_body(r->conn, slice_str(s), NULL, end);
}

#define REQUEST(method, fields) method " / HTTP/1.1\r\nHost: a\r\n" fields "\r\n"

#endif
