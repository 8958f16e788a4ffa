/* SPDX-License-Identifier: Apache-2.0 */
/* Sends an answer piece by piece, as the peer takes it. */
#include "base/clock.h"
#include "base/err.h"
#include "static/conn.h"

#include <errno.h>
#include <unistd.h>

static uint32_t piece_octets(const struct static_conn *c)
{
    uint32_t octets =
        c->open > STATIC_FEW_STREAMS ? STATIC_SMALL_PIECE_OCTETS : STATIC_PIECE_OCTETS;
    return octets - (uint32_t)sizeof(struct chunk); /* fills a block of the pool */
}

static size_t queued(const struct static_transfer *t)
{
    return t->stream ? h2_stream_queued(t->stream) : h1_conn_queued(t->conn->h1);
}

static int send_head(struct static_transfer *t, bool end, bool close)
{
    struct static_conn *c = t->conn;
    return t->stream ? h2_stream_respond(t->stream, &t->answer.head, end)
                     : h1_conn_send_head(c->h1, &t->answer.head, end, close);
}

static int send_body(struct static_transfer *t, struct slice octets, struct chunk *chunk, bool end)
{
    return t->stream ? h2_stream_body(t->stream, octets, chunk, end)
                     : h1_conn_send_body(t->conn->h1, octets, chunk, end);
}

void static_transfer_end(struct static_transfer *t)
{
    struct static_conn *c = t->conn;
    if (t->stream)
        h2_stream_set_user(t->stream, NULL);
    if (c->current == t)
        c->current = NULL;
    list_remove(&t->node);
    c->open--;
    static_answer_fini(&t->answer);
    pool_put(loop_pool(c->server->loop), t, sizeof *t);
}

/* The rest cannot be sent: the peer must see that, and never take what came for the whole. */
static void cut(struct static_transfer *t)
{
    struct static_conn *c = t->conn;
    struct h2_stream *stream = t->stream;
    if (!stream) {
        static_conn_kill(c);
        return;
    }
    static_transfer_end(t);
    h2_stream_reset(stream, H2_INTERNAL_ERROR);
    static_conn_wants_flush(c);
}

static bool is_last_part(const struct static_transfer *t)
{
    return t->part + 1 == t->answer.part_count;
}

/* Reads the file's next piece.  What was looked at and what is read must be one state of the file:
 * a file that has become shorter, or another one under our hands, fails with its last piece at the
 * latest.
 * return  octets in *out, or an error */
static ssize_t read_piece(struct static_transfer *t, struct chunk **out)
{
    const struct static_part *p = &t->answer.parts[t->part];
    uint64_t left = p->octets - t->at, want = piece_octets(t->conn);
    if (want > left)
        want = left;
    struct chunk *chunk = chunk_new(loop_pool(t->conn->server->loop), (uint32_t)want);
    if (!chunk)
        return ERR_NOMEM;
    size_t have = 0;
    while (have < want) {
        ssize_t n =
            pread(t->answer.fd, chunk->octets + have, want - have, (off_t)(p->from + t->at + have));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        have += (size_t)n;
    }
    if (have < want || (want == left && !static_answer_is_current(&t->answer))) {
        chunk_unref(chunk);
        return ERR_TRUNCATED;
    }
    *out = chunk;
    return (ssize_t)have;
}

/* Queues a piece that was read.  return  0 or an error */
static int queue_piece(struct static_transfer *t, struct chunk *chunk, size_t octets)
{
    t->at += octets;
    bool part_done = t->at == t->answer.parts[t->part].octets;
    bool end = part_done && is_last_part(t);
    int err = send_body(t, slice_of(chunk->octets, octets), chunk, end);
    chunk_unref(chunk);
    if (part_done) {
        t->part++;
        t->at = 0;
        t->text_sent = false;
    }
    t->response_ended = end;
    return err;
}

/* Queues the next piece of a text.  return  0 or an error */
static int queue_text(struct static_transfer *t)
{
    const struct static_part *p = &t->answer.parts[t->part];
    size_t left = p->text.len - (size_t)t->at, most = piece_octets(t->conn);
    struct slice piece = slice_of(left ? p->text.p + t->at : "", left < most ? left : most);
    bool end = piece.len == left && p->octets == 0 && is_last_part(t);
    int err = piece.len || end ? send_body(t, piece, NULL, end) : 0;
    t->at += piece.len;
    if (piece.len == left) {
        t->at = 0;
        t->text_sent = p->octets != 0;
        t->part += p->octets == 0;
    }
    t->response_ended = end;
    return err;
}

void static_transfer_pump(struct static_transfer *t)
{
    int err = 0;
    while (err == 0 && !t->response_ended && queued(t) < piece_octets(t->conn)) {
        if (!t->text_sent) {
            err = queue_text(t);
            continue;
        }
        struct chunk *chunk;
        ssize_t n = read_piece(t, &chunk);
        err = n < 0 ? (int)n : queue_piece(t, chunk, (size_t)n);
    }
    if (err < 0) {
        cut(t);
        return;
    }
    if (t->response_ended && t->answer.fd >= 0) { /* many may wait long for a slow peer */
        close(t->answer.fd);
        t->answer.fd = -1;
    }
}

/* The first piece is read before the head leaves: what fails now is still told by a status. */
static int read_first(struct static_transfer *t, struct arena *arena, uint64_t wall_us,
                      struct chunk **chunk_out, ssize_t *octets_out)
{
    const struct static_part *p = &t->answer.parts[0];
    if (!t->answer.has_content || p->text.len || p->octets == 0)
        return 0;
    *octets_out = read_piece(t, chunk_out);
    if (*octets_out >= 0)
        return 0;
    return static_answer_fail(&t->answer, arena, 500, wall_us);
}

void static_transfer_begin(struct static_conn *c, struct h2_stream *stream, struct arena *arena,
                           const struct http_head *request, bool request_ended)
{
    struct loop *loop = c->server->loop;
    struct pool *pool = loop_pool(loop);
    struct chunk *chunk = NULL;
    ssize_t octets = 0;
    uint64_t wall_us = clock_wall_us();
    struct static_transfer *t = pool_zget(pool, sizeof *t);
    static_conn_wants_flush(c);
    if (!t) {
        if (stream)
            h2_stream_reset(stream, H2_INTERNAL_ERROR);
        else
            static_conn_kill(c);
        return;
    }
    t->conn = c;
    t->stream = stream;
    t->request_ended = request_ended;
    list_add_tail(&c->transfers, &t->node);
    c->open++;
    if (stream)
        h2_stream_set_user(stream, t);
    else
        c->current = t;
    static_tree_refresh(&c->server->site.tree, loop_now_us(loop));
    int err = static_answer_make(&c->server->site, request, arena, pool, wall_us, &t->answer);
    if (err < 0 && err != ERR_NOMEM)
        err = static_answer_fail(&t->answer, arena, 500, wall_us);
    if (err == 0)
        err = read_first(t, arena, wall_us, &chunk, &octets);
    bool is_head = slice_eq(request->method, SLICE("HEAD"));
    if (is_head)
        t->answer.has_content = false;
    t->response_ended = !t->answer.has_content;
    /* Content that was announced and that we will not ask for (RFC 9110 10.1.1): nobody knows
     * whether it still comes, so the connection carries nothing after it. */
    bool close = request->expect_continue && !request_ended;
    if (err == 0)
        err = send_head(t, t->response_ended, close || c->server->draining);
    if (err == 0 && chunk) {
        t->text_sent = true;
        err = queue_piece(t, chunk, (size_t)octets);
    } else {
        chunk_unref(chunk);
    }
    if (close && !stream)
        c->closing = true;
    if (err < 0)
        cut(t);
    else
        static_transfer_pump(t);
}
