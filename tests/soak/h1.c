/* SPDX-License-Identifier: Apache-2.0 */
/* A strict HTTP/1.1 client: whatever RFC 9112 does not allow to a server is wrong. */
#include "soak.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool h1_begin(struct conn *c, struct request *r)
{
    struct soak *s = c->soak;
    const struct app *a = &s->apps[r->app];
    char head[1024], path[512];
    size_t path_len = request_path(s, r, path, sizeof path);
    int n = snprintf(head, sizeof head, "%s %.*s HTTP/1.1\r\nHost: %s:%u\r\nUser-Agent: soak\r\n",
                     request_method(r), (int)path_len, path, a->host,
                     c->kind == KIND_H1_TLS ? s->opt.https_port : s->opt.http_port);
    if (request_has_upload(r))
        n += r->up_chunked
                 ? snprintf(head + n, sizeof head - (size_t)n, "Transfer-Encoding: chunked\r\n")
                 : snprintf(head + n, sizeof head - (size_t)n, "Content-Length: %u\r\n", r->up);
    if (r->early)
        n += snprintf(head + n, sizeof head - (size_t)n, "TE: trailers\r\nConnection: TE\r\n");
    n += snprintf(head + n, sizeof head - (size_t)n, "\r\n");
    c->current = r;
    c->state = H1_HEAD;
    c->close_after = c->uses_left == 0;
    r->sent_any = true;
    if (!conn_put(c, head, (size_t)n))
        return false;
    /* A chunked upload without content is its last chunk alone. */
    return !request_has_upload(r) || !r->up_chunked || r->up || conn_put(c, "0\r\n\r\n", 5);
}

/* How much of the upload may be sent, when it is to be given up in the middle. */
static size_t upload_room(const struct request *r)
{
    size_t room = 16384 - 16;
    if (r->abort_when == ABORT_AFTER_UP && r->abort_at - r->up_sent < room)
        room = r->abort_at - r->up_sent;
    return room;
}

void h1_more_upload(struct conn *c)
{
    struct request *r = c->current;
    uint8_t part[16384];
    char size[16];
    while (r && request_has_upload(r) && r->up_sent < r->up && c->out.len < OUT_HIGH) {
        size_t n = request_upload(r, part, upload_room(r));
        if (n == 0)
            return;
        if (r->up_chunked)
            conn_put(c, size, (size_t)snprintf(size, sizeof size, "%zx\r\n", n));
        conn_put(c, part, n);
        if (r->up_chunked)
            conn_put(c, "\r\n", 2);
        if (r->up_chunked && r->up_sent == r->up)
            conn_put(c, "0\r\n\r\n", 5);
    }
}

/* ---- the answer ---- */

static bool is_token_octet(uint8_t b)
{
    return (b >= '0' && b <= '9') || (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') ||
           (b && strchr("!#$%&'*+-.^_`|~", b));
}

struct framing {
    bool chunked, close;
};

/* One field line without its end.  return  NULL, or what is wrong */
static const char *field_line(struct request *r, const char *line, size_t len, bool trailer,
                              struct framing *f)
{
    const char *colon = memchr(line, ':', len);
    if (!colon || colon == line)
        return "a field line without a name";
    size_t name_len = (size_t)(colon - line);
    for (size_t i = 0; i < name_len; i++)
        if (!is_token_octet((uint8_t)line[i]))
            return "a field name that is none";
    const char *value = colon + 1, *end = line + len;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    size_t value_len = (size_t)(end - value);
    for (const char *p = value; p < end; p++)
        if ((uint8_t)*p < ' ' && *p != '\t')
            return "a control octet in a field value";
    if (name_len == 17 && strncasecmp(line, "transfer-encoding", 17) == 0) {
        if (trailer || f->chunked || value_len != 7 || strncasecmp(value, "chunked", 7) != 0)
            return "a Transfer-Encoding that is not chunked alone";
        f->chunked = true;
    }
    if (name_len == 10 && strncasecmp(line, "connection", 10) == 0 && value_len >= 5 &&
        strncasecmp(value, "close", 5) == 0)
        f->close = true;
    return request_on_field(r, line, name_len, value, value_len, trailer);
}

/* The lines of a section that ends with an empty line. */
static const char *field_lines(struct request *r, const char *p, size_t len, bool trailer,
                               struct framing *f)
{
    const char *end = p + len;
    while (p < end) {
        const char *eol = memchr(p, '\n', (size_t)(end - p));
        if (!eol || eol == p || eol[-1] != '\r')
            return "a line that does not end with CR LF";
        size_t line_len = (size_t)(eol - 1 - p);
        if (line_len == 0)
            return eol + 1 == end ? NULL : "an empty line in a section";
        const char *why = field_line(r, p, line_len, trailer, f);
        if (why)
            return why;
        p = eol + 1;
    }
    return "a section without its end";
}

static const char *over(struct conn *c, bool *wrong)
{
    struct request *r = c->current;
    struct soak *s = c->soak;
    const char *why = request_on_end(r);
    bool unsent = request_has_upload(r) && r->up_sent < r->up;
    c->current = NULL;
    c->state = H1_IDLE;
    c->open--;
    c->served++;
    if (why)
        request_over(s, r, OUT_WRONG, why);
    else
        request_over(s, r, request_outcome(r), "not the app's answer");
    if (why || c->close_after || unsent)
        c->ending = true; /* content that nobody wants any more is not sent to its end */
    (void)wrong;
    return c->ending ? "" : NULL;
}

static const char *head_over(struct conn *c, const char *p, size_t len, bool *wrong)
{
    struct request *r = c->current;
    struct framing f = {0};
    if (len < 15 || memcmp(p, "HTTP/1.1 ", 9) != 0 || p[12] != ' ')
        return "a status line that is none";
    for (int i = 9; i < 12; i++)
        if (p[i] < '0' || p[i] > '9')
            return "a status that is no number";
    unsigned status = (unsigned)((p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0'));
    const char *eol = memchr(p, '\n', len);
    if (!eol || eol[-1] != '\r')
        return "a status line that does not end with CR LF";
    r->status = status;
    const char *why = field_lines(r, eol + 1, len - (size_t)(eol + 1 - p), false, &f);
    if (why)
        return why;
    if (status < 200)
        return status == 101 ? "an upgrade that nobody asked for" : NULL;
    r->head_us = c->soak->now_us;
    if (f.chunked && r->length_seen)
        return "both Content-Length and Transfer-Encoding";
    if (f.close)
        c->close_after = true;
    why = request_on_head(r);
    if (why)
        return why;
    if (r->method == METHOD_HEAD || status == 204 || status == 304)
        return over(c, wrong);
    if (f.chunked) {
        c->state = H1_SIZE;
    } else if (!r->length_seen) {
        return "content without a length on a connection of HTTP/1.1";
    } else if (r->length == 0) {
        return over(c, wrong);
    } else {
        c->state = H1_LENGTH;
        c->left = (uint64_t)r->length;
    }
    return NULL;
}

/* Gathers a section.  return  octets taken; *whole says whether it is there in c->in */
static size_t gather(struct conn *c, const uint8_t *p, size_t len, const char *end, bool *whole)
{
    size_t end_len = strlen(end);
    *whole = false;
    for (size_t i = 0; i < len; i++) {
        octets_add(&c->in, p + i, 1);
        if (c->in.len >= end_len && memcmp(c->in.p + c->in.len - end_len, end, end_len) == 0) {
            *whole = true;
            return i + 1;
        }
    }
    return len;
}

static const char *chunk_size(struct conn *c)
{
    uint64_t size = 0;
    size_t digits = 0;
    while (digits < c->in.len - 2) {
        uint8_t b = c->in.p[digits];
        unsigned v = b >= '0' && b <= '9'   ? (unsigned)b - '0'
                     : b >= 'a' && b <= 'f' ? b - 'a' + 10u
                     : b >= 'A' && b <= 'F' ? b - 'A' + 10u
                                            : 16u;
        if (v == 16)
            break;
        size = size * 16 + v;
        digits++;
    }
    if (digits == 0 || digits > 8 || digits != c->in.len - 2)
        return "a chunk size that is none";
    c->left = size;
    c->in.len = 0;
    if (size) {
        c->state = H1_CHUNK;
    } else {
        c->state = H1_TRAILERS;
    }
    return NULL;
}

static const char *trailers(struct conn *c, bool *wrong)
{
    struct framing f = {0};
    const char *why = NULL;
    if (c->in.len > 2)
        why = field_lines(c->current, (char *)c->in.p, c->in.len, true, &f);
    c->in.len = 0;
    return why ? why : over(c, wrong);
}

/* Trailers end with an empty line, which is the first one when there are none. */
static size_t gather_trailers(struct conn *c, const uint8_t *p, size_t len, bool *whole)
{
    size_t used = 0;
    *whole = false;
    while (used < len && !*whole) {
        octets_add(&c->in, p + used++, 1);
        *whole = (c->in.len == 2 && memcmp(c->in.p, "\r\n", 2) == 0) ||
                 (c->in.len > 4 && memcmp(c->in.p + c->in.len - 4, "\r\n\r\n", 4) == 0);
    }
    return used;
}

static const char *step(struct conn *c, const uint8_t *p, size_t len, size_t *used, bool *wrong)
{
    const char *why = NULL;
    bool whole;
    switch (c->state) {
    case H1_IDLE:
        return "octets that belong to no request";
    case H1_HEAD:
        *used = gather(c, p, len, "\r\n\r\n", &whole);
        if (!whole)
            return c->in.len > HEAD_OCTETS ? "a head without an end" : NULL;
        why = head_over(c, (char *)c->in.p, c->in.len, wrong);
        c->in.len = 0;
        return why;
    case H1_LENGTH:
    case H1_CHUNK:
        *used = len < c->left ? len : (size_t)c->left;
        why = request_on_octets(c->current, p, *used);
        c->left -= *used;
        if (why || c->left)
            return why;
        if (c->state == H1_LENGTH)
            return over(c, wrong);
        c->state = H1_CHUNK_END;
        return NULL;
    case H1_CHUNK_END:
        *used = gather(c, p, len, "\r\n", &whole);
        if (c->in.len > 2 || (c->in.len == 2 && !whole))
            return "a chunk without its end";
        if (whole) {
            c->in.len = 0;
            c->state = H1_SIZE;
        }
        return NULL;
    case H1_SIZE:
        *used = gather(c, p, len, "\r\n", &whole);
        return whole ? chunk_size(c) : c->in.len > 64 ? "a chunk size without an end" : NULL;
    case H1_TRAILERS:
        *used = gather_trailers(c, p, len, &whole);
        return whole ? trailers(c, wrong) : c->in.len > HEAD_OCTETS ? "endless trailers" : NULL;
    }
    return NULL;
}

const char *h1_feed(struct conn *c, const uint8_t *p, size_t len, bool *wrong)
{
    while (len) {
        size_t used = 0;
        const char *why = step(c, p, len, &used, wrong);
        if (why) {
            /* An empty reason is a good end; any other one breaks HTTP or the worker's words. */
            if (*why && c->current) {
                struct request *r = c->current;
                c->current = NULL;
                c->open--;
                request_over(c->soak, r, OUT_WRONG, why);
                return "";
            }
            *wrong = *why != 0;
            return why;
        }
        p += used;
        len -= used;
    }
    return NULL;
}
