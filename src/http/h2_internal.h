/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the HTTP/2 engine share, and nobody else includes.
 *
 *   h2_conn.c    life of a connection, SETTINGS, GOAWAY, what ends it
 *   h2_frame.c   octets in: framing, one handler a frame type
 *   h2_data.c    DATA in and flow control in both directions
 *   h2_block.c   field blocks in: HEADERS, PUSH_PROMISE, CONTINUATION
 *   h2_head.c    fields <-> heads: pseudo-header fields, what is malformed
 *   h2_stream.c  the state table, the one setter of a state, lookup, life of a stream
 *   h2_send.c    octets out: control frames, messages, DATA
 *   h2_promise.c server push, the sending side
 *   h2_sched.c   which stream's DATA goes next (RFC 9218)
 *   h2_budget.c  token buckets
 *
 * Memory: an idle connection holds this struct and the two HPACK tables; buffers, the stream table
 * and arenas are taken from the pool when they are needed and given back when they are empty. */
#ifndef HTTP_H2_INTERNAL_H
#define HTTP_H2_INTERNAL_H

#include "base/buf.h"
#include "base/list.h"
#include "base/panic.h"
#include "http/h2.h"
#include "http/h2_budget.h"
#include "http/h2_frame.h"
#include "http/h2_sched.h"
#include "http/h2_state.h"
#include "http/hpack.h"

#define H2_INITIAL_WINDOW 65535u
#define H2_WINDOW_MAX     0x7fffffff
#define H2_ID_MAX         0x7fffffffu

/* The largest DATA frame that we write, whatever the peer would take: a more urgent stream waits no
 * longer than this. */
#define H2_DATA_OCTETS_MAX 16384u
/* A DATA frame shorter than this is left for the next output call when only the room for output
 * makes it short. */
#define H2_DATA_OCTETS_MIN 1024u
/* Frames that one field block may be spread over (CONTINUATION flood, CVE-2024-27316 and kin). */
#define H2_BLOCK_FRAMES_MAX 64u
/* A section may be larger on the wire than its limit, or than as many times that as HPACK decodes
 * where it is a response's, by so much before the connection ends; in between it is decoded and
 * refused alone. */
#define H2_BLOCK_SLACK_OCTETS 16384u
/* What lies in the arena of a request's head: one that is larger is copied once more, without what
 * it does not need. */
#define H2_HEAD_LARGE_OCTETS 8192u
/* Informational responses to one request: each one takes memory from the stream's arena, and all
 * together may take what one field section may have. */
#define H2_INFORMATIONAL_MAX 32u
/* Promises that may wait for their response at once (server role). */
#define H2_RESERVED_MAX 128u
/* Streams closed most recently that are remembered, to tell a late frame from a wrong one. */
#define H2_CLOSED_KEPT 47u
/* PRIORITY_UPDATE frames kept for streams that are not open yet.  RFC 9218 7.1 */
#define H2_EARLY_PRIORITIES 8u
/* WINDOW_UPDATE frames that a DATA frame, or a stream, earns the peer before its budget is touched,
 * and octets of content that earn it one more: Go gives back what was read, for stream and
 * connection each, 4 KiB at a time, and its older servers each 512 octets, if they were read so. */
#define H2_WINDOW_EARNED        4u
#define H2_WINDOW_EARNED_OCTETS 256u
#define H2_WINDOW_EARNED_MAX    65536u
/* PING frames that DATA frames earn, one each: gRPC measures bandwidth by a PING after content, and
 * by the next as soon as that is answered. */
#define H2_PINGS_EARNED_MAX 1000u

enum h2_sending {
    H2_SEND_MORE,     /* the caller has not ended the message */
    H2_SEND_END,      /* END_STREAM follows the queued content */
    H2_SEND_TRAILERS, /* the trailer section follows it */
    H2_SEND_DONE,     /* END_STREAM was written */
};

struct h2_stream {
    struct h2_conn *conn;
    uint32_t id;
    uint8_t state;   /* enum h2_state; written by h2_stream_set_state alone */
    uint8_t sending; /* enum h2_sending */
    struct priority priority;
    uint32_t sections_octets;      /* what its field sections take of the arena, if it counts */
    uint8_t informational;         /* 1xx heads received */
    uint32_t informational_octets; /* what they take of the arena */
    bool local : 1;                /* we opened or promised it */
    bool promised : 1;
    bool surfaced : 1;  /* the caller knows of it: on_close is due */
    bool head_sent : 1; /* a final one */
    bool head_seen : 1; /* a final one */
    bool to_head : 1;   /* answers a HEAD request: no content comes */
    bool tunnel : 1;    /* CONNECT, not refused: content-length says nothing, trailers are none */
    bool scheduled : 1;
    bool unprocessed : 1;
    bool peer_reset : 1;
    bool gone : 1;      /* forgotten; its memory waits for h2_conn_settle */
    bool forgiving : 1; /* late frames are to be expected once it is closed */
    bool told : 1;      /* a PRIORITY_UPDATE came for it */
    uint32_t woven_at;  /* of the parent's content, if it is woven */
    int64_t send_window;
    uint64_t content_sent;    /* octets drawn */
    int64_t recv_window;      /* octets that the peer may still send */
    uint32_t recv_size;       /* of the window when all is consumed and returned */
    uint32_t recv_unreturned; /* consumed, WINDOW_UPDATE not yet sent */
    int64_t recv_held;        /* received, not yet consumed */
    int64_t content_left;     /* content-length not yet received; -1: not given */
    struct chain body;        /* queued */
    struct fields trailers;   /* queued */
    struct http_head *held;   /* response head that waits for a free stream (promised streams) */
    struct h2_stream *woven_into; /* NULL: it goes by itself */
    struct h2_stream *woven;      /* the first of those woven into it, or NULL */
    void *user;
    struct arena arena;
    struct list all;   /* h2_conn.streams */
    struct list sched; /* a ring of the scheduler: of a level, or of what is woven into parent */
    struct list due;   /* h2_conn.ended, .early, .held or .gone */
};

/* What was told about a stream before it was opened. */
struct h2_early_priority {
    uint32_t id; /* 0: free */
    struct priority priority;
};

/* The peer's settings, in force. */
struct h2_peer {
    uint32_t max_streams;
    uint32_t initial_window;
    uint32_t max_frame_octets;
    uint32_t max_section_octets;
    bool push, connect, seen, no_rfc7540_priorities;
};

enum h2_reading {
    H2_READ_PREFACE,
    H2_READ_HEAD,    /* frame header */
    H2_READ_PAYLOAD, /* gathering it */
    H2_READ_PADDING, /* DATA: the pad length octet */
    H2_READ_DATA,
    H2_READ_SKIP,
};

struct h2_reader {
    uint8_t what; /* enum h2_reading */
    uint8_t have; /* octets of the preface or of head */
    uint8_t head[H2_FRAME_HEAD_OCTETS];
    uint32_t left; /* octets to deliver (DATA) or to skip */
    uint32_t pad;  /* octets to skip after DATA */
    struct h2_frame frame;
    struct buf payload;
};

/* The field block that is being received. */
struct h2_block {
    uint32_t stream_id; /* 0: none; only CONTINUATION on it may come */
    uint32_t promised_id;
    uint16_t frames;
    bool end_stream, self_dependent;
    int flaw; /* what was wrong with the last section that was malformed: ERR_BAD_... */
    struct buf octets;
};

enum h2_going { H2_STAYING, H2_GOING_SOON, H2_GOING };

struct h2_conn {
    struct pool *pool;
    const struct h2_events *events;
    void *user;
    uint64_t now_us;
    struct h2_settings settings;
    struct h2_peer peer;
    int error; /* ERR_*: the connection is over */
    struct h2_reader reader;
    struct h2_block block;
    struct h2_budgets budgets;
    uint32_t window_earned, pings_earned;
    uint32_t sections_octets;  /* of all requests that are open */
    uint32_t control_sections; /* octets of control that are field sections, at most */
    struct hpack_decoder *decoder;
    struct hpack_encoder *encoder;

    struct buf control; /* frames that leave before any DATA */
    struct h2_sched sched;
    int64_t send_window;
    int64_t recv_window;
    uint32_t recv_unreturned;
    uint32_t local_initial_window; /* of streams, as the peer may see it now */

    struct list streams;
    struct h2_stream **table; /* by id, open addressing; NULL while no stream is there */
    uint32_t table_cap, table_count;
    uint32_t open_local, open_peer, reserved;
    uint32_t refusals; /* promises made and not yet refused: those refusals are free */
    struct list ended; /* complete in both directions, on_close due */
    struct list early; /* server: response complete, request not */
    struct list held;  /* promised streams whose response waits for a free stream */
    struct list gone;  /* memory to free */
    uint32_t closed[H2_CLOSED_KEPT]; /* ring: id << 1 | forgiving */
    uint32_t forgiven_id;            /* the largest that was forgiving and is not kept any more */
    struct h2_early_priority early_priority[H2_EARLY_PRIORITIES];
    uint32_t resets_earned; /* streams that ended well, less those reset since */

    uint32_t next_id;      /* of streams that we open or promise */
    uint32_t last_peer_id; /* highest that the peer opened or promised */
    uint32_t goaway_last;  /* highest of the peer's that we still take */
    uint32_t peer_goaway_last;
    uint32_t code;   /* of our GOAWAY, with error */
    size_t queued;   /* body octets of all streams, not yet drawn */
    uint8_t refused; /* enum h2_blame: the last refusal */
    uint8_t role;    /* enum h2_role */
    uint8_t going;   /* enum h2_going: our GOAWAY */
    uint8_t busy;    /* calls of feed or output under way: streams are freed later */
    uint8_t blame;   /* enum h2_blame, with error */
    uint8_t closed_at, early_priority_at; /* where the next one goes */
    bool settling : 1;
    bool settings_acked : 1;
    bool first_frame_seen : 1;
    bool peer_going : 1;
};

/* h2_conn.c.  End the connection: GOAWAY is queued, the streams are closed by the next settle.
 * return  the error that feed returns */
int h2_conn_fail(struct h2_conn *c, enum h2_blame blame);
/* Do what is due: on_close of what has ended, responses that were held back, freeing. */
void h2_conn_settle(struct h2_conn *c);
/* The same, and stop requests whose response is complete: RST_STREAM(NO_ERROR), RFC 9113 8.1.  Not
 * done after each frame, because the rest of the request may lie in the same octets. */
void h2_conn_settle_early(struct h2_conn *c);
int h2_on_settings(struct h2_conn *c, const struct h2_frame *f);
int h2_on_ping(struct h2_conn *c, const struct h2_frame *f);
int h2_on_goaway(struct h2_conn *c, const struct h2_frame *f);

/* h2_budget.c.  Takes one token.  return  0, or ERR_H2_CONN: the connection was ended */
int h2_conn_charge(struct h2_conn *c, enum h2_budget_kind kind, uint32_t tokens);
/* What a peer may send for nothing is bounded by a budget, what follows from ours is not: takes one
 * of *earned, or else a token.  return  as h2_conn_charge */
int h2_conn_charge_unearned(struct h2_conn *c, enum h2_budget_kind kind, uint32_t *earned);

/* h2_frame.c.  A frame that does not suit the state of its stream.  s NULL: closed or idle.
 * return  0 (a stream error, or ignored) or the connection's error */
int h2_frame_misplaced(struct h2_conn *c, struct h2_stream *s, uint32_t id, enum h2_event event);
/* h2_data.c */
int h2_data_begin(struct h2_conn *c, const struct h2_frame *f, uint32_t padding_octets,
                  bool *deliver_out);
int h2_data_piece(struct h2_conn *c, uint32_t id, struct slice octets, bool end);
int h2_on_window_update(struct h2_conn *c, const struct h2_frame *f);
/* New SETTINGS_INITIAL_WINDOW_SIZE of the peer.  RFC 9113 6.9.2 */
int h2_window_set_initial(struct h2_conn *c, uint32_t octets);
/* The peer acknowledged our settings. */
void h2_window_settings_acked(struct h2_conn *c);
/* h2_block.c */
/* Most octets of a block on the wire: with more the connection ends. */
size_t h2_block_octets_max(const struct h2_conn *c);
int h2_on_headers(struct h2_conn *c, const struct h2_frame *f);
int h2_on_push_promise(struct h2_conn *c, const struct h2_frame *f);
int h2_on_continuation(struct h2_conn *c, const struct h2_frame *f);

/* h2_stream.c */
/* return  the stream, in the table, IDLE; NULL when memory is out */
struct h2_stream *h2_stream_new(struct h2_conn *c, uint32_t id, bool local);
/* NULL: not there, or closed already */
struct h2_stream *h2_stream_find(const struct h2_conn *c, uint32_t id);
void h2_stream_set_state(struct h2_stream *s, enum h2_state next);
/* One step of the state table that is known to be legal. */
void h2_stream_step(struct h2_stream *s, enum h2_event event);
/* END_STREAM was received or sent: the step, and what is due after it. */
void h2_stream_step_end(struct h2_stream *s, enum h2_event event);
/* Close and forget, with on_close(code) if the caller knows of s. */
void h2_stream_close(struct h2_stream *s, uint32_t code);
/* The peer's fault on one stream (RFC 9113 5.4.2): RST_STREAM, on_close.
 * return  0, or ERR_H2_CONN when the budget for resets is used up */
int h2_stream_fail(struct h2_stream *s, enum h2_blame blame);
/* The same for an id that has no stream. */
int h2_id_fail(struct h2_conn *c, uint32_t id, enum h2_blame blame);
/* What a field section beyond the announced limit costs, in resets: it is decoded to its end. */
#define H2_LARGE_SECTION_TOKENS 10
/* on_refuse, and what h2_conn_why says. */
void h2_tell_refusal(struct h2_conn *c, enum h2_blame blame);
/* Count a refusal of one stream, and charge the peer for it.  return  as h2_stream_fail */
int h2_charge_refusal(struct h2_conn *c, enum h2_blame blame);
/* A stream that is not taken up: RST_STREAM(REFUSED_STREAM), frames that follow it are ignored. */
int h2_refuse(struct h2_conn *c, uint32_t id, enum h2_blame blame);
/* So many octets of its arena are field sections, beside those that count already. */
void h2_stream_count_sections(struct h2_stream *s, size_t octets);
/* Frames on the closed stream id are to be ignored (forgiving), or are errors. */
void h2_id_remember(struct h2_conn *c, uint32_t id, bool forgiving);
void h2_stream_free_gone(struct h2_conn *c);
bool h2_id_is_idle(const struct h2_conn *c, uint32_t id);
bool h2_id_is_local(const struct h2_conn *c, uint32_t id);
/* Whether late frames on the closed stream id are to be ignored; *known_out: it is remembered. */
bool h2_id_is_forgiven(const struct h2_conn *c, uint32_t id, bool *known_out);

/* h2_send.c.  Queue a control frame.  return  its payload, to be filled; NULL: memory is out, and
 * the connection was ended */
uint8_t *h2_send_frame(struct h2_conn *c, enum h2_frame_type type, unsigned flags, uint32_t id,
                       uint32_t payload_octets);
void h2_send_u32(struct h2_conn *c, enum h2_frame_type type, uint32_t id, uint32_t value);
void h2_send_reset(struct h2_conn *c, uint32_t id, enum h2_code code);
/* HEADERS, or PUSH_PROMISE when promised_id is not 0; head or, for a trailer section, fields. */
int h2_send_section(struct h2_conn *c, uint32_t id, uint32_t promised_id,
                    const struct http_head *head, const struct fields *fields, bool end);
/* Put s into the scheduler or take it out, as its state asks for. */
void h2_send_update(struct h2_stream *s);
/* Send what ends the message, if its content has left. */
int h2_send_rest(struct h2_stream *s);
/* Send a response head now, whatever limits there are. */
int h2_send_response(struct h2_stream *s, const struct http_head *head, bool end);

/* h2_promise.c.  Responses that were held back and may go now. */
bool h2_promise_can_release(const struct h2_conn *c);
void h2_promise_release(struct h2_conn *c);
/* Whether the response of s must wait. */
bool h2_promise_must_wait(const struct h2_stream *s);
int h2_promise_hold(struct h2_stream *s, const struct http_head *head, bool end);
/* The origin's say in the priority of a promised stream.  RFC 9218 8 */
void h2_promise_read_priority(struct h2_stream *s, const struct http_head *response);

/* h2_head.c */
enum h2_section {
    H2_SECTION_REQUEST,
    H2_SECTION_PROMISE,
    H2_SECTION_RESPONSE,
    H2_SECTION_TRAILERS
};
struct h2_head_reader {
    struct arena *arena;
    struct http_head *head;
    enum h2_section section;
    bool connect_enabled; /* RFC 8441 */
    unsigned seen;        /* pseudo-header fields, 1 << token */
    bool regular;         /* a field that is not a pseudo-header field was seen */
    bool host_seen, length_seen, expect_seen, priority_seen;
    uint32_t cookies;
    struct slice host, priority;
};
/* Decode a whole block into a head that lies in the arena and validate it.
 * return  0, ERR_FIELDS_TOO_LARGE, ERR_HPACK or ERR_NOMEM (the connection is lost), or what makes
 * it malformed (RFC 9113 8.1.1), ERR_BAD_... */
int h2_head_read(struct h2_conn *c, struct h2_head_reader *r, struct slice block, bool end);
/* Client role: whether a request's head, or with head NULL its trailer section, is no larger than
 * the server says that it takes (RFC 9113 6.5.2).  Fields that will be left out count. */
bool h2_section_fits(const struct h2_conn *c, const struct http_head *head,
                     const struct fields *fields);
/* Encode pseudo-header fields and fields; what RFC 9113 8.2.2 forbids is left out. */
int h2_head_write(struct h2_conn *c, struct buf *out, const struct http_head *head,
                  const struct fields *fields);

#endif
