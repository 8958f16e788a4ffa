/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP/1.1 connection (RFC 9112, 9110), in either role, sans-I/O: octets come in, octets and
 * events go out.  It knows no socket, no clock, no TLS.
 *
 * One exchange at a time: a server connection gives out the next request only when the response to
 * the last one has been written out whole; octets of pipelined requests wait inside, and
 * h1_conn_wants_input is then false, so that the caller stops reading.
 *
 * Promises:
 *  - a message that could be read in two ways is refused (RFC 9112 6.3, 11.2): both
 *    Transfer-Encoding and Content-Length, lists of different lengths, a final coding other than
 *    chunked, bare CR, obs-fold, white space before the colon, Host missing, twice or malformed;
 *  - what leaves is one unambiguous message: framing fields (Transfer-Encoding, Content-Length,
 *    Connection, Keep-Alive) are written by the engine from head.content_length and its own state;
 *    hop-by-hop fields in a head given by the caller are left out;
 *  - a body that was cut short is reported as such, never as complete.
 *
 * Lifetimes: what on_head and on_trailers hand out lies in the message's arena
 * (h1_conn_arena) and lives until on_done returns or h1_conn_free; after h1_conn_upgrade the caller
 * may empty that arena, even from within on_head, if it needs the head no more.
 * Callbacks may call any function of this header except h1_conn_feed, h1_conn_eof, h1_conn_output
 * and h1_conn_free. */
#ifndef HTTP_H1_H
#define HTTP_H1_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/chain.h"
#include "http/head.h"

struct h1_conn;

enum h1_role { H1_SERVER, H1_CLIENT };

struct h1_limits {
    uint32_t start_line_octets;    /* longer: ERR_URI_TOO_LONG (server) */
    uint32_t field_section_octets; /* start line excluded; longer: ERR_FIELDS_TOO_LARGE; also caps
                                      the trailer section */
    uint32_t chunk_line_octets;    /* size and extensions of one chunk */
    uint32_t informational; /* client role: most 1xx heads before a final one; all together may
                               have field_section_octets */
};

/* 16 KiB, 64 KiB, 256 octets, 16. */
void h1_limits_default(struct h1_limits *l);

struct h1_events {
    /* A request (server) or a response, informational or final (client).  end: no content follows.
     * In a server, scheme is empty (the caller knows it); absolute-form targets are split and their
     * authority replaces Host's (RFC 9112 3.2.2).  head->protocol: see h1_conn_upgrade. */
    void (*on_head)(void *user, const struct http_head *head, bool end);
    /* Content without its transfer coding; octets borrowed (they lie in the octets fed, or inside).
     * octets.len 0 only with end. */
    void (*on_body)(void *user, struct slice octets, bool end);
    /* The trailer section of a chunked message (RFC 9112 7.1.2), which ends it. */
    void (*on_trailers)(void *user, const struct fields *trailers);
    /* Body octets were drawn into output: room for more. */
    void (*on_sent)(void *user, size_t octets);
    /* Both messages of the exchange are complete and written out.  reusable: the connection can
     * carry another one; else drain the output and close. */
    void (*on_done)(void *user, bool reusable);
    /* Octets after a switch of protocols (101 or CONNECT), as they are. */
    void (*on_tunnel)(void *user, struct slice octets);
};

/* events: borrowed for the connection's life.  pool: kept until h1_conn_free.
 * return  NULL when memory is out */
struct h1_conn *h1_conn_new(enum h1_role role, const struct h1_limits *limits,
                            const struct h1_events *events, void *user, struct pool *pool);
void h1_conn_free(struct h1_conn *c);

/* Feed octets received; all are taken.
 * return  0, or the error that ends the connection: ERR_NOMEM, or by its row what is wrong with
 *         the message (ERR_BAD_..., ERR_UNASKED, ERR_URI_TOO_LONG, ERR_FIELDS_TOO_LARGE).  A server
 * may still answer with h1_conn_send_head (the engine adds Connection: close) if it has not begun a
 *         response (h1_conn_can_respond), then drain and close. */
int h1_conn_feed(struct h1_conn *c, const void *in, size_t len);
/* The peer will send no more.  Ends content that is delimited by the close (client role), with
 * on_body(end).
 * return  0: the end is clean;  ERR_TRUNCATED: inside a message;  ERR_CLOSED: client role, before
 *         any octet of the response */
int h1_conn_eof(struct h1_conn *c);
/* Appends these fields to out as they are sent, for heads that have the same ones again and again:
 * see http_head.lines.
 * return  0, ERR_NOMEM, or ERR_USAGE: one of them is no field, or not the caller's to send */
int h1_lines(struct buf *out, const struct fields *fields);

/* What has ended the receiving side: the error that h1_conn_feed or h1_conn_eof returned, or 0. */
int h1_conn_error(const struct h1_conn *c);

/* Write out as much as fits.  return  octets written; 0: nothing now.  Calls on_sent, on_done */
size_t h1_conn_output(struct h1_conn *c, void *out, size_t cap);
/* Whether h1_conn_output has something to do: octets to write, or only on_done to call. */
bool h1_conn_has_output(const struct h1_conn *c);
/* False while octets wait inside for the current exchange to end. */
bool h1_conn_wants_input(const struct h1_conn *c);
/* Parse what waited inside, after on_done or h1_conn_upgrade (not from within a callback).  Like
 * h1_conn_feed of nothing. */
int h1_conn_resume(struct h1_conn *c);

/* Client role: send a request head.  Only while h1_conn_is_idle.  head is borrowed.
 * head->content_length -1 with end false: chunked.  Host is written from authority.
 * Server role: send a response head, informational (end false; silently dropped to an HTTP/1.0
 * client) or final.  content_length -1 with end false: chunked, or delimited by the close to an
 * HTTP/1.0 client.  close: ask for the connection to end after this exchange.
 * For a response to HEAD, or with a status that has no content, content_length is written if given
 * and body octets are refused.
 * return  0, ERR_USAGE (not now), ERR_NOMEM */
int h1_conn_send_head(struct h1_conn *c, const struct http_head *head, bool end, bool close);
/* Client role: take back a request of which no octet was drawn, as if it had never been sent.
 * return  whether that was so: the connection is idle again, and no on_done comes */
bool h1_conn_take_back(struct h1_conn *c);
/* Queue content; chunk as in chain_add.  Not more than content_length promised (ERR_USAGE), and
 * with end not less (ERR_TRUNCATED: the connection must be closed, which the peer sees). */
int h1_conn_send_body(struct h1_conn *c, struct slice octets, struct chunk *chunk, bool end);
/* Queue the trailer section (chunked only; elsewhere it is dropped); ends the message. */
int h1_conn_send_trailers(struct h1_conn *c, const struct fields *trailers);
/* Switch protocols (RFC 9110 7.8) or begin the tunnel of a CONNECT (9.3.6); from now on octets pass
 * as they are: h1_conn_send_body sends raw, on_tunnel receives; end closes the sending side, and
 * on_done comes when both sides have ended.
 *  - head->protocol is how Upgrade is said in both roles: a server's on_head has it when a request
 *    without content asks for one protocol (rules_is_upgrade: never "h2c"), h1_conn_send_head
 * writes Upgrade from it (a request's end is then true).  Upgrade fields in head->fields are left
 * out like every hop-by-hop field.
 *  - server: after h1_conn_send_head of 101 (head->protocol set), or of 2xx to CONNECT; end false;
 *  - client: after on_head of 101, or of 2xx to CONNECT; end is false there.  101 that was not
 * asked for is ERR_BAD_INFORMATIONAL.  Octets that come before this call wait inside.
 * return  0, or ERR_USAGE: not now */
int h1_conn_upgrade(struct h1_conn *c);

size_t h1_conn_queued(const struct h1_conn *c); /* body octets not yet drawn */
/* All octets not yet drawn, those of a head whose rest has not come, and those behind a message. */
size_t h1_conn_held(const struct h1_conn *c);
bool h1_conn_is_idle(const struct h1_conn *c);     /* no exchange is under way */
bool h1_conn_can_respond(const struct h1_conn *c); /* server: no octet of a final response queued */
/* The request's method is HEAD, which a server also knows of a request that it cannot read: what
 * answers it has no content. */
bool h1_conn_is_head(const struct h1_conn *c);
/* Client: an octet of the current response (informational included) has come. */
bool h1_conn_response_begun(const struct h1_conn *c);
/* Server: an octet of the next request has come (for time limits on heads). */
bool h1_conn_request_begun(const struct h1_conn *c);
/* No further exchange after the current one: a server's response carries Connection: close. */
void h1_conn_shutdown(struct h1_conn *c);
struct arena *h1_conn_arena(struct h1_conn *c);

#endif
