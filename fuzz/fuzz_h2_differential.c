/* SPDX-License-Identifier: Apache-2.0 */
/* Two servers read the same client: ours and libnghttp2's.  After each operation of the client's
 * program (h2_peer.h) the requests that became complete must be the same ones, with the same
 * control data, fields, content and trailers.  The run ends at the first difference that is
 * legitimate:
 *
 *  Ours alone has a complete request
 *   - it names no authority: RFC 9113 8.3.1 does not ask for one, edge answers it;
 *   - an extended CONNECT names its authority in Host alone, as any request may: RFC 8441 4;
 *   - Content-Length is a list of one number, on one line or several: RFC 9110 8.6 lets it be taken
 *     for that number, which is the one that ours gives out;
 *   - Content-Length, or Host more than once, is in the trailer section, where they say nothing
 *     (RFC 9110 6.5.1), but the judge believes them;
 *   - the judge gave the connection up where RFC 9113 asks for an error of the stream only (a
 * stream that depends on itself, WINDOW_UPDATE of 0), or leaves the choice (5.1, frames on streams
 *     that are over);
 *   - its last frame's padding is still to come, all content is there;
 *   - :path has octets that the judge's narrower table lacks.
 *  The judge alone has one
 *   - our connection is over because a budget is empty, or where RFC 9113 leaves the choice;
 *   - the authority is none by RFC 3986, has user information (RFC 9110 4.2.4), or Host is there
 *     twice or says something else than :authority (RFC 9113 8.3.1);
 *   - :path is no path ("#", not beginning with "/"), or :method no token;
 *   - CONNECT without :authority, or with a trailer section (RFC 9113 8.5, RFC 8441 4), or with a
 *     Content-Length that its content does not have (RFC 9113 8.1.1): the judge does not count;
 *   - a block says again and again what stands in the table (HPACK_REPEATED_OCTETS);
 *   - its trailer section's HEADERS makes the stream depend on itself, an error by RFC 7540 5.3.1
 *     that the judge looks for in the first HEADERS alone.  RFC 9113 5.3.2 leaves the choice.
 *  Everything else aborts. */
#include "base/err.h"
#include "base/panic.h"
#include "h2_both.h"
#include "h2_peer.h"
#include "http/hpack.h"
#include "http/rules.h"

#define OPS_MAX 90

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len);

/* ---- ours ---- */

static void ours_answer(struct h2_stream *s)
{
    const struct http_head ok = {.status = 200, .content_length = -1};
    h2_stream_respond(s, &ok, true);
}

static void on_head(void *user, struct h2_stream *s, const struct http_head *head, bool end)
{
    struct h2_both *b = user;
    struct h2_reader *r = &b->ours;
    struct h2_message *m = h2_message(r, h2_stream_id(s));
    ASSERT(!m->has_head);
    m->method = arena_dup(&r->arena, head->method);
    m->scheme = arena_dup(&r->arena, head->scheme);
    m->authority = arena_dup(&r->arena, head->authority);
    m->path = arena_dup(&r->arena, head->path);
    m->protocol = arena_dup(&r->arena, head->protocol);
    for (uint32_t i = 0; i < head->fields.count; i++)
        h2_message_add(r, m, head->fields.at[i].name, head->fields.at[i].value);
    m->has_head = true;
    m->has_ended = end;
    if (end)
        ours_answer(s);
}

static void on_body(void *user, struct h2_stream *s, struct slice octets, bool end)
{
    h2_both_body(user, s, octets, end);
    if (end)
        ours_answer(s);
}

static void on_trailers(void *user, struct h2_stream *s, const struct fields *trailers)
{
    h2_both_trailers(user, s, trailers);
    ours_answer(s);
}

static const struct h2_events events = {
    .on_head = on_head,
    .on_body = on_body,
    .on_trailers = on_trailers,
};

/* ---- the judge ---- */

static int judge_on_header(nghttp2_session *session, const nghttp2_frame *frame,
                           const uint8_t *name, size_t name_len, const uint8_t *value,
                           size_t value_len, uint8_t flags, void *user)
{
    struct h2_both *b = user;
    struct h2_reader *r = &b->judge;
    struct h2_message *m = h2_message(r, (uint32_t)frame->hd.stream_id);
    struct slice n = slice_of(name, name_len), v = arena_dup(&r->arena, slice_of(value, value_len));
    if (slice_eq(n, SLICE(":method")))
        m->method = v;
    else if (slice_eq(n, SLICE(":scheme")))
        m->scheme = v;
    else if (slice_eq(n, SLICE(":path")))
        m->path = v;
    else if (slice_eq(n, SLICE(":protocol")))
        m->protocol = v;
    else if (slice_eq(n, SLICE(":authority")))
        m->authority = v, m->has_authority = true;
    else
        h2_message_add(r, m, n, v);
    return 0;
}

static int judge_on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2_both *b = user;
    const nghttp2_nv ok = {(uint8_t *)":status", (uint8_t *)"200", 7, 3, 0};
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    struct h2_message *m = h2_message(&b->judge, (uint32_t)frame->hd.stream_id);
    bool is_trailers = m->has_head && frame->hd.type == NGHTTP2_HEADERS;
    m->has_trailers |= is_trailers;
    if (is_trailers && frame->hd.flags & NGHTTP2_FLAG_PRIORITY)
        m->has_self_dependent_trailers |= frame->headers.pri_spec.stream_id == frame->hd.stream_id;
    m->has_head = true;
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
        m->has_ended = true;
        nghttp2_submit_response(session, frame->hd.stream_id, &ok, 1, NULL);
    }
    return 0;
}

static void judge_open(struct h2_both *b)
{
    nghttp2_session_callbacks *callbacks = h2_both_callbacks(judge_on_header, judge_on_frame);
    const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 100},
                                               {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1}};
    ASSERT(nghttp2_session_server_new(&b->session, callbacks, b) == 0);
    nghttp2_session_callbacks_del(callbacks);
    ASSERT(nghttp2_submit_settings(b->session, NGHTTP2_FLAG_NONE, settings, 2) == 0);
}

/* ---- comparing ---- */

static bool judge_authority_is_bad(const struct h2_message *m)
{
    if (m->hosts > 1)
        return true;
    if (m->has_authority && m->has_host && !slice_ieq(m->authority, m->host))
        return true;
    return (m->has_authority && !rules_is_authority(m->authority)) ||
           (m->has_host && !rules_is_authority(m->host));
}

static bool judge_alone_may(const struct h2_both *b, const struct h2_message *m)
{
    bool connect = slice_eq(m->method, SLICE("CONNECT"));
    if (b->ours.is_over || judge_authority_is_bad(m) || !rules_is_token(m->method))
        return true;
    if ((connect && m->authority.len == 0) || m->has_self_dependent_trailers)
        return true;
    if (h2_message_octets(m) > HPACK_REPEATED_OCTETS)
        return true;
    if (connect &&
        (m->has_trailers || (m->length >= 0 && (uint64_t)m->length != buf_len(&m->content))))
        return true;
    if (connect && m->protocol.len == 0)
        return false;
    if (slice_eq(m->path, SLICE("*")))
        return !slice_eq(m->method, SLICE("OPTIONS"));
    return !rules_is_origin_form(m->path);
}

static bool ours_alone_may(struct h2_both *b, const struct h2_message *m)
{
    const struct h2_message *judge = h2_message(&b->judge, m->id);
    if (b->judge.is_over || m->authority.len == 0 || judge->has_late_field ||
        h2_both_lacks_padding(b, m))
        return true;
    if (judge->has_length_list && judge->length == m->length)
        return true;
    if (m->protocol.len && !judge->has_authority && judge->has_host)
        return true;
    for (size_t i = 0; i < m->path.len; i++)
        if ((unsigned char)m->path.p[i] >= 0x7f ||
            (m->path.p[i] && strchr("\"<>[\\]^`{|}", m->path.p[i])))
            return true;
    return false;
}

static void check_same(struct h2_both *b, const struct h2_message *ours,
                       const struct h2_message *judge)
{
    struct slice authority = judge->has_authority ? judge->authority : judge->host;
    ASSERT(slice_eq(ours->method, judge->method));
    ASSERT(slice_eq(ours->scheme, judge->scheme));
    ASSERT(slice_eq(ours->authority, authority));
    ASSERT(slice_eq(ours->path, judge->path));
    ASSERT(slice_eq(ours->protocol, judge->protocol));
    h2_message_same(ours, judge);
}

/* return  false at a legitimate difference */
static bool compare(struct h2_both *b)
{
    for (unsigned i = 0; i < b->ours.count; i++) {
        const struct h2_message *o = &b->ours.at[i];
        const struct h2_message *j = h2_message(&b->judge, o->id);
        if (o->has_ended && !j->has_ended) {
            if (!ours_alone_may(b, o))
                PANIC("stream %u: ours alone has it: %.*s %.*s %.*s\n%.*s", o->id,
                      SLICE_FMT(o->method), SLICE_FMT(o->authority), SLICE_FMT(o->path),
                      SLICE_FMT(buf_slice(&o->fields)));
            return false;
        }
    }
    for (unsigned i = 0; i < b->judge.count; i++) {
        const struct h2_message *j = &b->judge.at[i];
        const struct h2_message *o = h2_message(&b->ours, j->id);
        if (j->has_ended && !o->has_ended) {
            if (!judge_alone_may(b, j))
                PANIC("stream %u: the judge alone has it: %.*s %.*s %.*s\n%.*s", j->id,
                      SLICE_FMT(j->method), SLICE_FMT(j->authority), SLICE_FMT(j->path),
                      SLICE_FMT(buf_slice(&j->fields)));
            return false;
        }
        if (j->has_ended)
            check_same(b, o, j);
    }
    return !b->ours.is_over && !b->judge.is_over;
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
    static struct h2_both both;
    struct h2_both *b = &both;
    struct h2_settings settings;
    struct h2_peer peer;
    struct buf out;
    struct input in = {octets, len};
    h2_both_init(b);
    buf_init(&out, &b->own);
    h2_settings_default(&settings, H2_SERVER);
    settings.stream_window = settings.conn_window = 65535;
    b->conn = h2_conn_new(H2_SERVER, &settings, &events, b, &b->pool, 0);
    ASSERT(b->conn);
    judge_open(b);
    h2_peer_init(&peer, H2_CLIENT);
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
