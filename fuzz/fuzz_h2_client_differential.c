/* SPDX-License-Identifier: Apache-2.0 */
/* Two clients read the same server: ours and libnghttp2's, both having asked the same.  After each
 * operation of the server's program (h2_peer.h) the responses that became complete, and the
 * promises, must be the same ones.  The run ends at the first difference that is legitimate:
 *
 *  Ours alone has it
 *   - Content-Length is a list of one number (RFC 9110 8.6), which is the one that ours gives out;
 * or it is in the trailer section (6.5.1); or in an informational response or 204: a server must
 *     not send it there (8.6) and edge drops it, but RFC 9113 8.1.1 lets what has no content say
 * any length;
 *   - the judge gave the connection up where RFC 9113 asks for an error of the stream only or
 * leaves the choice (5.1);
 *   - its last frame's padding is still to come, all content is there;
 *   - a promise's :path has octets that the judge's narrower table lacks, or its parent was over.
 *  The judge alone has it
 *   - our connection is over: a budget is empty, or RFC 9113 leaves the choice;
 *   - more informational responses came before it than anybody needs (RFC 9113 10.5), or the status
 *     is not below 600;
 *   - its trailer section's HEADERS makes the stream depend on itself, an error by RFC 7540 5.3.1
 *     that the judge does not look for; RFC 9113 5.3.2 leaves the choice;
 *   - a DATA frame without content stands between an informational response and the final one,
 *     which RFC 9113 8.1 has no place for; the judge looks at content alone;
 *   - a promise's parent is a response that ours has reset for one of these reasons;
 *   - a promise is for what must not be promised (RFC 9113 8.4: it is safe, cacheable and without
 *     content), or its authority or path is none, or more came than we allow at a time.
 *  Everything else aborts.
 *
 * Input: the server's SETTINGS, then its frames. */
#include "base/err.h"
#include "base/panic.h"
#include "h2_both.h"
#include "h2_peer.h"
#include "http/hpack.h"
#include "http/rules.h"

#define OPS_MAX 90
#define ASKED   4
#define PROMISE 0x80000000u /* in a message's id: the request, not the response */
#define ENOUGH  32          /* informational responses that ours takes before a final one */

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len);

static const struct slice methods[ASKED] = {SLICE("GET"), SLICE("HEAD"), SLICE("GET"),
                                            SLICE("GET")};

/* ---- ours ---- */

static void on_head(void *user, struct h2_stream *s, const struct http_head *head, bool end)
{
    struct h2_both *b = user;
    struct h2_message *m = h2_message(&b->ours, h2_stream_id(s));
    ASSERT(!m->has_head);
    if (head->status < 200)
        return;
    m->status = head->status;
    for (uint32_t i = 0; i < head->fields.count; i++)
        h2_message_add(&b->ours, m, head->fields.at[i].name, head->fields.at[i].value);
    m->has_head = true;
    m->has_ended = end;
}

static void on_body(void *user, struct h2_stream *s, struct slice octets, bool end)
{
    h2_both_body(user, s, octets, end);
}

static void on_trailers(void *user, struct h2_stream *s, const struct fields *trailers)
{
    h2_both_trailers(user, s, trailers);
}

static void on_promise(void *user, struct h2_stream *parent, struct h2_stream *promised,
                       const struct http_head *head)
{
    struct h2_both *b = user;
    struct h2_reader *r = &b->ours;
    struct h2_message *m = h2_message(r, h2_stream_id(promised) | PROMISE);
    ASSERT(!m->has_head);
    m->method = arena_dup(&r->arena, head->method);
    m->authority = arena_dup(&r->arena, head->authority);
    m->path = arena_dup(&r->arena, head->path);
    for (uint32_t i = 0; i < head->fields.count; i++)
        h2_message_add(r, m, head->fields.at[i].name, head->fields.at[i].value);
    m->has_head = m->has_ended = true;
}

static const struct h2_events events = {
    .on_head = on_head,
    .on_body = on_body,
    .on_trailers = on_trailers,
    .on_promise = on_promise,
};

static void ours_open(struct h2_both *b)
{
    struct h2_settings settings;
    int err;
    h2_settings_default(&settings, H2_CLIENT);
    settings.stream_window = settings.conn_window = 65535;
    b->conn = h2_conn_new(H2_CLIENT, &settings, &events, b, &b->pool, 0);
    ASSERT(b->conn);
    for (unsigned i = 0; i < ASKED; i++) {
        const struct http_head head = {.method = methods[i],
                                       .scheme = SLICE("https"),
                                       .authority = SLICE("a.test"),
                                       .path = SLICE("/"),
                                       .content_length = -1};
        ASSERT(h2_conn_request(b->conn, &head, true, NULL, &err));
    }
}

/* ---- the judge ---- */

static struct h2_message *message_of(struct h2_both *b, const nghttp2_frame *frame)
{
    if (frame->hd.type == NGHTTP2_PUSH_PROMISE)
        return h2_message(&b->judge, (uint32_t)frame->push_promise.promised_stream_id | PROMISE);
    return h2_message(&b->judge, (uint32_t)frame->hd.stream_id);
}

static int judge_on_header(nghttp2_session *session, const nghttp2_frame *frame,
                           const uint8_t *name, size_t name_len, const uint8_t *value,
                           size_t value_len, uint8_t flags, void *user)
{
    struct h2_both *b = user;
    struct h2_reader *r = &b->judge;
    struct h2_message *m = message_of(b, frame);
    struct slice n = slice_of(name, name_len), v = arena_dup(&r->arena, slice_of(value, value_len));
    uint64_t status;
    if (slice_eq(n, SLICE(":status")))
        m->status = slice_u64(v, &status) ? (unsigned)status : 0;
    else if (slice_eq(n, SLICE(":method")))
        m->method = v;
    else if (slice_eq(n, SLICE(":scheme")))
        m->scheme = v;
    else if (slice_eq(n, SLICE(":path")))
        m->path = v;
    else if (slice_eq(n, SLICE(":authority")))
        m->authority = v, m->has_authority = true;
    else
        h2_message_add(r, m, n, v);
    return 0;
}

static int judge_on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2_both *b = user;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA &&
        frame->hd.type != NGHTTP2_PUSH_PROMISE)
        return 0;
    struct h2_message *m = message_of(b, frame);
    if (frame->hd.type == NGHTTP2_HEADERS && !m->has_head && m->status < 200) {
        buf_consume(&m->fields, buf_len(&m->fields)); /* of an informational response */
        buf_consume(&m->cookies, buf_len(&m->cookies));
        m->crumbs = 0;
        m->length = -1;
        m->informational++;
        return 0;
    }
    if (!m->has_head && frame->hd.type == NGHTTP2_DATA) {
        m->has_early_data = true;
        return 0;
    }
    if (m->has_head && frame->hd.type == NGHTTP2_HEADERS && frame->hd.flags & NGHTTP2_FLAG_PRIORITY)
        m->has_self_dependent_trailers |= frame->headers.pri_spec.stream_id == frame->hd.stream_id;
    m->has_head = true;
    if (frame->hd.type == NGHTTP2_PUSH_PROMISE)
        m->parent = (uint32_t)frame->hd.stream_id;
    if (frame->hd.type == NGHTTP2_PUSH_PROMISE || frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        m->has_ended = true;
    return 0;
}

static void judge_open(struct h2_both *b)
{
    nghttp2_session_callbacks *callbacks = h2_both_callbacks(judge_on_header, judge_on_frame);
    const uint8_t *out;
    ASSERT(nghttp2_session_client_new(&b->session, callbacks, b) == 0);
    nghttp2_session_callbacks_del(callbacks);
    ASSERT(nghttp2_submit_settings(b->session, NGHTTP2_FLAG_NONE, NULL, 0) == 0);
    for (unsigned i = 0; i < ASKED; i++) {
        const nghttp2_nv request[] = {
            {(uint8_t *)":method", (uint8_t *)(uintptr_t)methods[i].p, 7, methods[i].len, 0},
            {(uint8_t *)":scheme", (uint8_t *)"https", 7, 5, 0},
            {(uint8_t *)":authority", (uint8_t *)"a.test", 10, 6, 0},
            {(uint8_t *)":path", (uint8_t *)"/", 5, 1, 0},
        };
        ASSERT(nghttp2_submit_request(b->session, NULL, request, 4, NULL, NULL) > 0);
    }
    while (nghttp2_session_mem_send(b->session, &out) > 0)
        ;
}

/* ---- comparing ---- */

static bool authority_is_bad(const struct h2_message *m)
{
    if (m->hosts > 1 || (m->has_authority && m->has_host && !slice_ieq(m->authority, m->host)))
        return true;
    return (m->has_authority && !rules_is_authority(m->authority)) ||
           (m->has_host && !rules_is_authority(m->host));
}

static bool response_is_bad(const struct h2_message *m)
{
    return m->informational > ENOUGH || m->has_self_dependent_trailers || m->has_early_data ||
           m->status >= 600;
}

static bool judge_alone_may(struct h2_both *b, const struct h2_message *m)
{
    if (b->ours.is_over || h2_message_octets(m) > HPACK_REPEATED_OCTETS)
        return true;
    if (!(m->id & PROMISE))
        return response_is_bad(m);
    if (response_is_bad(h2_message(&b->judge, m->parent)))
        return true;
    bool is_safe = slice_eq(m->method, SLICE("GET")) || slice_eq(m->method, SLICE("HEAD"));
    return !is_safe || authority_is_bad(m) || !rules_is_origin_form(m->path) ||
           !slice_eq(buf_slice(&m->fields), SLICE("")) || b->judge.count > 90;
}

static bool ours_alone_may(struct h2_both *b, const struct h2_message *m)
{
    struct h2_message *judge = h2_message(&b->judge, m->id);
    if (b->judge.is_over || judge->has_late_field || judge->has_bare_length ||
        h2_both_lacks_padding(b, m))
        return true;
    if (m->id & PROMISE)
        return true; /* the judge asks more of the parent, and less of the octets in a path */
    return judge->has_length_list && judge->length == m->length;
}

/* return  false at a legitimate difference */
static bool compare(struct h2_both *b)
{
    for (unsigned i = 0; i < b->ours.count; i++) {
        const struct h2_message *o = &b->ours.at[i];
        if (!o->has_ended || h2_message(&b->judge, o->id)->has_ended)
            continue;
        if (!ours_alone_may(b, o))
            PANIC("stream %x: ours alone has it: %u\n%.*s", o->id, o->status,
                  SLICE_FMT(buf_slice(&o->fields)));
        return false;
    }
    for (unsigned i = 0; i < b->judge.count; i++) {
        const struct h2_message *j = &b->judge.at[i];
        const struct h2_message *o = h2_message(&b->ours, j->id);
        if (!j->has_ended)
            continue;
        if (!o->has_ended) {
            if (!judge_alone_may(b, j))
                PANIC("stream %x: the judge alone has it: %u %.*s %.*s\n%.*s", j->id, j->status,
                      SLICE_FMT(j->method), SLICE_FMT(j->path), SLICE_FMT(buf_slice(&j->fields)));
            return false;
        }
        ASSERT(slice_eq(o->method, j->method) && slice_eq(o->path, j->path));
        if (j->id & PROMISE)
            ASSERT(slice_eq(o->authority, j->has_authority ? j->authority : j->host));
        h2_message_same(o, j);
    }
    return !b->ours.is_over && !b->judge.is_over;
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
    static struct h2_both both;
    struct h2_both *b = &both;
    struct h2_peer peer;
    struct buf out;
    struct input in = {octets, len};
    h2_both_init(b);
    buf_init(&out, &b->own);
    ours_open(b);
    judge_open(b);
    h2_peer_init(&peer, H2_SERVER);
    peer.last_theirs = 2 * ASKED - 1;
    h2_peer_preface(&peer, &in, &out);
    size_t step = 0;
    bool goes_on = true;
    for (unsigned ops = 0; ops < OPS_MAX && goes_on && (ops == 0 || in.left); ops++) {
        uint8_t op = input_u8(&in);
        h2_peer_frame(&peer, op & 15, &in, &out);
        if (op & 0x40)
            step = input_u8(&in) & 63;
        h2_both_feed(b, buf_slice(&out), step);
        buf_consume(&out, buf_len(&out));
        goes_on = compare(b);
    }
    buf_fini(&out);
    h2_both_fini(b);
    return 0;
}
