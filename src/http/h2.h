/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP/2 connection (RFC 9113, HPACK RFC 7541, priorities RFC 9218, extended CONNECT RFC 8441),
 * in either role, sans-I/O: octets and a time come in, octets and events go out.
 *
 * It knows no socket, no clock, no TLS, no thread.  Promises:
 *  - what is malformed by RFC 9113 8.1.1 never reaches on_head: the stream or connection is ended
 *    with the error code that the RFC names;
 *  - whatever a peer can make grow has a named cap in struct h2_settings or struct h2_budget;
 *  - HEADERS, PUSH_PROMISE, RST_STREAM, SETTINGS acks and the like leave in the order of the calls,
 *    before any DATA that was queued but not yet written out; DATA is chosen by RFC 9218 priority
 *    each time output is drawn, so nothing is committed early.
 *
 * Lifetimes: a stream lives until on_close for it returns, or until h2_stream_reset on it.  What
 * on_head, on_promise and on_trailers hand out lies in the stream's arena and lives as long.
 * Callbacks may call any function of this header except h2_conn_feed, h2_conn_output and
 * h2_conn_free. */
#ifndef HTTP_H2_H
#define HTTP_H2_H

#include "base/arena.h"
#include "base/chain.h"
#include "http/h2_blame.h"
#include "http/head.h"
#include "http/priority.h"

#include <sys/types.h>

struct h2_conn;
struct h2_stream;

enum h2_role { H2_SERVER, H2_CLIENT };

/* RFC 9113 7: name, value */
#define H2_CODE_TABLE(X)        \
    X(NO_ERROR, 0x0)            \
    X(PROTOCOL_ERROR, 0x1)      \
    X(INTERNAL_ERROR, 0x2)      \
    X(FLOW_CONTROL_ERROR, 0x3)  \
    X(SETTINGS_TIMEOUT, 0x4)    \
    X(STREAM_CLOSED, 0x5)       \
    X(FRAME_SIZE_ERROR, 0x6)    \
    X(REFUSED_STREAM, 0x7)      \
    X(CANCEL, 0x8)              \
    X(COMPRESSION_ERROR, 0x9)   \
    X(CONNECT_ERROR, 0xa)       \
    X(ENHANCE_YOUR_CALM, 0xb)   \
    X(INADEQUATE_SECURITY, 0xc) \
    X(HTTP_1_1_REQUIRED, 0xd)

enum h2_code {
#define X(name, value) H2_##name = value,
    H2_CODE_TABLE(X)
#undef X
};

/* "CANCEL"; "UNKNOWN" for a code the RFC does not name. */
const char *h2_code_name(uint32_t code);

/* Abuse budgets: each is a token bucket of `burst`, refilled with `per_second`.  When one is empty
 * the connection ends with GOAWAY(ENHANCE_YOUR_CALM) and h2_conn_blame names the budget. */
struct h2_bucket {
    uint32_t burst, per_second;
};

struct h2_budget {
    struct h2_bucket resets;   /* RST_STREAM received, but one of a stream that has ended well, and
                                  streams that the peer makes us reset (Rapid Reset, MadeYouReset) */
    struct h2_bucket settings; /* SETTINGS and GOAWAY received, and needless acknowledgements */
    struct h2_bucket pings;    /* PING beyond one for each DATA that was sent, and acknowledgements
                                  of none of ours */
    struct h2_bucket empty;    /* DATA without octets or END_STREAM, empty CONTINUATION */
    struct h2_bucket priority; /* PRIORITY, PRIORITY_UPDATE and unknown frames */
    struct h2_bucket window;   /* WINDOW_UPDATE beyond a share of the DATA that was sent */
};

struct h2_settings {
    uint32_t max_concurrent_streams;   /* streams the peer may open (client role: promised streams
                                          that may be open at once) */
    uint32_t stream_window;            /* octets: SETTINGS_INITIAL_WINDOW_SIZE, for receiving */
    uint32_t conn_window;              /* octets, for receiving; kept full on receipt */
    uint32_t max_frame_octets;         /* 16384 to 16777215: what we accept */
    uint32_t decoder_table_octets;     /* SETTINGS_HEADER_TABLE_SIZE */
    uint32_t encoder_table_octets;     /* most that we use of what the peer allows */
    uint32_t max_field_section_octets; /* RFC 9113 10.5.1, counted as in 6.5.2 */
    uint32_t max_sections_octets;      /* what field sections of the peer's requests may hold
                                          together; beyond it a request is refused */
    uint32_t max_queued_octets;        /* control frames waiting to leave (a peer that never reads),
                                          a client's requests apart; beyond it the connection ends */
    bool enable_push;                  /* client role: sent as SETTINGS_ENABLE_PUSH */
    bool enable_connect;               /* server role: SETTINGS_ENABLE_CONNECT_PROTOCOL, RFC 8441 */
    struct h2_budget budget;
};

/* Defaults for the role: 100 streams, 128 KiB stream window, 1 MiB connection window, 16 KiB
 * frames, 4 KiB tables, 64 KiB field sections, of requests 10 KiB on average. */
void h2_settings_default(struct h2_settings *s, enum h2_role role);

/* NULL: the caller has nothing to do there. */
struct h2_events {
    /* A request (server), or a response, informational or final (client): head->status tells.
     * end: END_STREAM came with it. */
    void (*on_head)(void *user, struct h2_stream *s, const struct http_head *head, bool end);
    /* Content; octets borrowed, padding removed, at most what the stream window allows.  They lie
     * in the octets that were fed, never in a copy: a caller that fed a chunk may keep a reference
     * to it.  Flow control credit of the stream is returned by h2_stream_consumed, the connection's
     * at once.  octets.len 0 only with end. */
    void (*on_body)(void *user, struct h2_stream *s, struct slice octets, bool end);
    /* The trailer section, which ends the message. */
    void (*on_trailers)(void *user, struct h2_stream *s, const struct fields *trailers);
    /* Body octets of s were drawn into output: room for more.  The chain's rest is
     * h2_stream_queued(s). */
    void (*on_sent)(void *user, struct h2_stream *s, size_t octets);
    /* Client role: the peer promised `promised` on `parent`; head is the promised request.  Its
     * response comes by on_head for `promised`.  Its authority may be another's than the server's
     * (RFC 9113 8.4).  Refuse with h2_stream_reset. */
    void (*on_promise)(void *user, struct h2_stream *parent, struct h2_stream *promised,
                       const struct http_head *head);
    /* The last call for s: it has ended.  NO_ERROR: both directions complete, or the server reset
     * with NO_ERROR after a complete response.  Else a reset by the peer (its NO_ERROR before the
     * message was complete is told as CANCEL), a malformed message or the connection's end.  Not
     * called for streams that the caller reset, and never from inside a call of the caller other
     * than h2_conn_feed, h2_conn_output and h2_conn_abort. */
    void (*on_close)(void *user, struct h2_stream *s, uint32_t code);
    /* Server role: the client reset a promised stream that on_close was called for, or
     * h2_stream_reset.  It may do so after the last octet has left (RFC 9113 5.1, closed), and more
     * than once: which streams ended well only the caller remembers. */
    void (*on_late_reset)(void *user, uint32_t stream_id, uint32_t code);
    /* The peer's SETTINGS came; the h2_conn_peer_* functions tell. */
    void (*on_settings)(void *user);
    /* GOAWAY came: no new streams; those above last_stream_id have been closed with
     * h2_stream_unprocessed true. */
    void (*on_goaway)(void *user, uint32_t last_stream_id, uint32_t code);
    /* The peer was refused something, and why: in words, and of a malformed message what is wrong
     * with it (constant).  What follows from it is told by the calls above.  For counting: it may
     * call nothing, and h2_conn_new may not have returned yet. */
    void (*on_refuse)(void *user, enum h2_blame blame, const char *why);
};

/* events: borrowed for the connection's life (a constant table).  pool: kept until h2_conn_free.
 * The preface (client) and SETTINGS are queued as output at once.
 * return  NULL when memory is out */
struct h2_conn *h2_conn_new(enum h2_role role, const struct h2_settings *settings,
                            const struct h2_events *events, void *user, struct pool *pool,
                            uint64_t now_us);
/* Closes every stream silently (no callbacks) and frees c. */
void h2_conn_free(struct h2_conn *c);

/* Feed octets received from the peer.  RFC 9113 3.4, 4, 5.1.
 * in      borrowed; len octets, 0 allowed; all are taken
 * now_us  monotonic microseconds
 * return  0, or ERR_H2_CONN, ERR_HPACK, ERR_NOMEM: the connection is over; GOAWAY is queued, every
 *         stream got on_close; drain the output, then free */
int h2_conn_feed(struct h2_conn *c, const void *in, size_t len, uint64_t now_us);
/* Write out as much as fits.  RFC 9113 5.2, RFC 9218 10.
 * A frame of DATA is not begun in the last KiB of out unless it fits or nothing else was written.
 * return  octets written to out, 0 when there is nothing to send now; calls on_sent, on_close */
size_t h2_conn_output(struct h2_conn *c, void *out, size_t cap, uint64_t now_us);
/* Whether h2_conn_output would write something, or has an on_close to tell. */
bool h2_conn_has_output(const struct h2_conn *c);

/* No new streams: GOAWAY with the highest id first, then, when the peer has acknowledged a PING
 * sent with it, the true last id (RFC 9113 6.8).  Streams go on.  Idempotent. */
void h2_conn_shutdown(struct h2_conn *c);
/* GOAWAY with this code now; the connection is over once its output is drained; streams get
 * on_close. */
void h2_conn_abort(struct h2_conn *c, enum h2_code code);
/* Fatal error, or idle and shut down by either side, or (client role) out of ids: drain the output,
 * then free. */
bool h2_conn_is_over(const struct h2_conn *c);
/* Why a connection was ended; NONE while it is well, and after h2_conn_abort. */
enum h2_blame h2_conn_blame(const struct h2_conn *c);
/* What on_refuse said last; for the on_close that follows from it. */
const char *h2_conn_why(const struct h2_conn *c);
size_t h2_conn_streams(const struct h2_conn *c); /* open streams, both sides' */
size_t h2_conn_queued(const struct h2_conn *c);  /* body octets of all streams, not yet drawn */
/* What is used up of the budget for resets: streams that the peer has reset or made us reset. */
uint32_t h2_conn_resets(struct h2_conn *c, uint64_t now_us);
/* Octets of other frames than DATA, heads among them, not yet drawn. */
size_t h2_conn_queued_control(const struct h2_conn *c);
/* Both, and those of a frame or field block whose rest has not come. */
size_t h2_conn_held(const struct h2_conn *c);

/* What the peer's SETTINGS say now.  Before they came: RFC 9113's initial values. */
bool h2_conn_peer_settings_seen(const struct h2_conn *c);
bool h2_conn_peer_push_enabled(const struct h2_conn *c);
bool h2_conn_peer_connect_enabled(const struct h2_conn *c); /* RFC 8441 3 */
uint32_t h2_conn_peer_max_streams(const struct h2_conn *c);
/* Octets of content that the peer's connection window takes now. */
int64_t h2_conn_send_window(const struct h2_conn *c);
/* One side has said GOAWAY: nothing new begins.  RFC 9113 6.8 */
bool h2_conn_is_going(const struct h2_conn *c);
/* Client role: how many more streams may be opened now; 0 after GOAWAY or shutdown. */
uint32_t h2_conn_can_open(const struct h2_conn *c);
/* Client role: and none later, for all ids have been used (RFC 9113 5.1.1). */
bool h2_conn_is_used_up(const struct h2_conn *c);

/* Client role: send a request.  head and its octets are borrowed.
 * return  the stream, or NULL with *err_out = ERR_LIMIT (h2_conn_can_open is 0), ERR_CLOSED,
 *         ERR_FIELDS_TOO_LARGE (for what the server says that it takes), ERR_NOMEM */
struct h2_stream *h2_conn_request(struct h2_conn *c, const struct http_head *head, bool end,
                                  void *stream_user, int *err_out);
/* Server role: send a response head, informational (status 1xx, not 101; end false) or final.  head
 * and its octets are borrowed.  Fields for one hop only (RFC 9113 8.2.2) are left out.  The
 * response of a promised stream waits inside while the client has as many pushed streams open as it
 * allows.
 * return  0, ERR_CLOSED (the sending side is closed), ERR_USAGE (a final head was given already, or
 *         not a status for HTTP/2), ERR_NOMEM (of the head: the connection is lost) */
int h2_stream_respond(struct h2_stream *s, const struct http_head *head, bool end);
/* Queue content, after a final head.  chunk as in chain_add.  end: END_STREAM follows the last
 * octet.  The engine takes any amount; a caller bounds it by h2_stream_queued and on_sent.
 * return  0, ERR_CLOSED (also after the end was queued), ERR_USAGE (no head yet), ERR_NOMEM */
int h2_stream_body(struct h2_stream *s, struct slice octets, struct chunk *chunk, bool end);
/* Queue the trailer section (borrowed), sent after the queued content; ends the message.
 * return  as h2_stream_body; client role: ERR_FIELDS_TOO_LARGE, as h2_conn_request */
int h2_stream_trailers(struct h2_stream *s, const struct fields *trailers);
/* Server role: promise a response to `head` (a request: method, scheme, authority, path, fields) on
 * `parent`.  RFC 9113 8.4.  PUSH_PROMISE is queued at once; answer with h2_stream_respond.
 * return  the promised stream, or NULL with *err_out = ERR_USAGE (push disabled by the peer, parent
 *         closed or itself promised, GOAWAY), ERR_LIMIT (ids used up, too many reserved),
 *         ERR_NOMEM */
struct h2_stream *h2_stream_promise(struct h2_stream *parent, const struct http_head *head,
                                    void *stream_user, int *err_out);
/* Server role: weave `promised`, by h2_stream_promise on `parent`, into the parent's content.  As
 * soon as parent_octets of that have been drawn into output, what is queued of `promised` goes
 * ahead of the rest; a frame is cut to end there.  Before that it goes only while the parent has
 * nothing that it may send, and the parent always goes on while `promised` has nothing.  Several
 * go by parent_octets, then by id.
 * All that ends with the parent's message, with either stream, and with a priority that the client
 * (RFC 9218 7) or h2_stream_set_priority gives to `promised`: then it goes by its own priority.
 * Called again it gives another offset.
 * return  whether it is woven; not when either stream sends no more, nor against a PRIORITY_UPDATE
 *         of the client */
bool h2_stream_weave(struct h2_stream *promised, struct h2_stream *parent, uint32_t parent_octets);
/* Whether h2_stream_promise may still be used on parent, by its state and what the peer allows. */
bool h2_stream_can_promise(const struct h2_stream *parent);
/* Send RST_STREAM and forget the stream: s is gone, on_close is not called. */
void h2_stream_reset(struct h2_stream *s, enum h2_code code);
/* octets of content were passed on: return flow control credit of the stream.  Never more than
 * on_body gave out. */
void h2_stream_consumed(struct h2_stream *s, size_t octets);
/* All that on_body gave out will not be passed on. */
void h2_stream_consumed_all(struct h2_stream *s);
/* From now on so many octets may come ahead of being consumed, where the settings allow fewer: not
 * to be taken back.  octets: at least twice settings.stream_window. */
void h2_stream_widen(struct h2_stream *s, uint32_t octets);
/* The same, to the connection's window, if that is so large. */
void h2_stream_widen_most(struct h2_stream *s);

void h2_stream_set_user(struct h2_stream *s, void *user);
void *h2_stream_user(const struct h2_stream *s);
uint32_t h2_stream_id(const struct h2_stream *s);
/* Lives as long as the stream, and so do heads, unless the caller empties it (of a tunnel, say,
 * from within on_head at the earliest); the caller may allocate from it. */
struct arena *h2_stream_arena(struct h2_stream *s);
/* The caller has emptied it: its sections do not count any more. */
void h2_stream_emptied(struct h2_stream *s);
size_t h2_stream_queued(const struct h2_stream *s); /* body octets not yet drawn */
bool h2_stream_is_promised(const struct h2_stream *s);
/* It ended by the peer's RST_STREAM. */
bool h2_stream_peer_reset(const struct h2_stream *s);
/* The peer did not act on it: REFUSED_STREAM, or above a GOAWAY's last id.  RFC 9113 8.7 */
bool h2_stream_unprocessed(const struct h2_stream *s);
/* Priority in force for sending: from the request's Priority field and PRIORITY_UPDATE frames, and
 * of a promised stream, as long as the client has not spoken, from the response's (RFC 9218 8). */
struct priority h2_stream_priority(const struct h2_stream *s);
/* A stream that was woven into its parent goes by p from now on. */
void h2_stream_set_priority(struct h2_stream *s, struct priority p);
/* Octets that flow control allows to send on s now (minimum of stream and connection). */
int64_t h2_stream_send_window(const struct h2_stream *s);
/* The stream's alone: 0 or less means that the peer does not want more of this one. */
int64_t h2_stream_own_window(const struct h2_stream *s);

#endif
