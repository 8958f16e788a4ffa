/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the h1_*.c files only.
 *
 * h1_parse.c, h1_write.c know text: heads, trailer sections, chunk lines; they are pure.
 * h1_receive.c, h1_send.c know one side each: what comes next, and how what is sent is drawn.
 * h1_conn.c knows the states of both sides, and when an exchange is over.
 * States are changed by h1_set_in and h1_set_out only, which hold the tables. */
#ifndef HTTP_H1_IMPL_H
#define HTTP_H1_IMPL_H

#include "base/buf.h"
#include "base/err.h"
#include "base/panic.h"
#include "http/h1.h"

/* ---- text (h1_parse.c) ---- */

enum h1_part { H1_START_LINE, H1_FIELD_LINES, H1_CHUNK_LINE };

/* Looks for the end of a head, a trailer section or a chunk line while octets come in pieces; it
 * needs no octet twice, so a slow sender costs no more than a fast one. */
struct h1_scan {
    enum h1_part part;
    bool cr;       /* the last octet was CR */
    size_t line;   /* octets of the current line */
    size_t octets; /* octets of the current part */
};

/* return  1: the end was found, *taken_out octets belong to it;  0: all octets belong to it and
 * more must come;  ERR_BAD_LINE, ERR_BAD_CHUNK, ERR_URI_TOO_LONG, ERR_FIELDS_TOO_LARGE */
int h1_scan(struct h1_scan *s, const struct h1_limits *limits, struct slice in, size_t *taken_out);

/* What a head says of the connection and of the content's framing. */
struct h1_framing {
    bool coded;  /* Transfer-Encoding: chunked */
    bool length; /* Content-Length; the value is in the head */
    bool keep;   /* the sender is willing to keep the connection */
};

/* Octets behind a text to be parsed that are zero, so that whole words may be looked at. */
#define H1_TEXT_SLACK 32
/* Parse a whole head, up to and including the empty line; text lies in the arena, is changed (field
 * names to lower case) and kept by *head.  Behind its len octets come H1_TEXT_SLACK zeroes.  head
 * comes in zeroed. */
int h1_parse_request(char *text, size_t len, struct arena *a, struct http_head *head,
                     struct h1_framing *framing);
int h1_parse_response(char *text, size_t len, struct arena *a, struct http_head *head,
                      struct h1_framing *framing);
/* Fields that a trailer section must not have (RFC 9110 6.5.1) are dropped.  text: as above */
int h1_parse_trailers(char *text, size_t len, struct arena *a, struct fields *out);
/* line: with its CRLF.  return  0 or ERR_BAD_CHUNK */
int h1_parse_chunk_line(struct slice line, uint64_t *size_out);

bool h1_is_tchar(unsigned char c);
/* The first control octet (below 0x20, or 0x7f) in [p, end), or end. */
const char *h1_find_control(const char *p, const char *end);

/* ---- text (h1_write.c) ---- */

/* What a head that is sent says of the connection and of the content's framing: the engine's
 * choice, from what the caller said. */
struct h1_plan {
    bool length; /* Content-Length is written */
    bool coded;  /* Transfer-Encoding is written */
    bool close;  /* Connection: close */
    bool keep;   /* Connection: keep-alive, for HTTP/1.0 */
};

/* Append a whole head, up to and including the empty line.
 * return  0, ERR_NOMEM, or ERR_USAGE: a part of it would end its line, say; nothing is appended */
int h1_write_request(struct buf *out, const struct http_head *head, const struct h1_plan *plan);
int h1_write_response(struct buf *out, const struct http_head *head, const struct h1_plan *plan);
/* Appends a trailer section without what one must not have (RFC 9110 6.5.1).
 * return  as above, but after ERR_USAGE out is empty */
int h1_write_trailers(struct buf *out, const struct fields *trailers);
/* A chunk's line, CRLF and all: up to 18 octets.  return  their end */
char *h1_write_chunk_line(char *to, uint64_t size);

/* ---- the connection ---- */

/* Extensions of all chunks of a message together: they mean nothing to us, and a peer that sends
 * little else only burns our time (RFC 9112 7.1.1). */
#define H1_CHUNK_EXTENSION_OCTETS 16384
/* Empty lines before a request (RFC 9112 2.2). */
#define H1_EMPTY_LINES 4

enum h1_in {
    IN_START,       /* before the first octet of a message */
    IN_START_CR,    /* in an empty line before a request */
    IN_HEAD,        /* in a head */
    IN_FIXED,       /* in content with a length */
    IN_CHUNK_LINE,  /* in a chunk's size and extensions */
    IN_CHUNK,       /* in a chunk's octets */
    IN_CHUNK_CR,    /* before the CRLF after them */
    IN_CHUNK_LF,    /* inside it */
    IN_TRAILERS,    /* in the trailer section */
    IN_UNTIL_CLOSE, /* in content that the close ends */
    IN_HELD,        /* the message is complete, the exchange is not */
    IN_SWITCH,      /* client: 101 or CONNECT's 2xx came; h1_conn_upgrade is due */
    IN_TUNNEL,      /* other protocol */
    IN_OVER,        /* an error, or no further exchange: octets are dropped */
    IN_COUNT
};

enum h1_out {
    OUT_IDLE,        /* server: no request yet; client: no request sent */
    OUT_WAIT,        /* server: a final response is due */
    OUT_FIXED,       /* in content with a length */
    OUT_CHUNKED,     /* in chunked content */
    OUT_UNTIL_CLOSE, /* in content that the close ends */
    OUT_ENDED,       /* the message is complete, though perhaps not drawn */
    OUT_CUT,         /* the message ended before its length: nothing may follow */
    OUT_SWITCH,      /* server: 101 or CONNECT's 2xx was sent; h1_conn_upgrade is due */
    OUT_TUNNEL,      /* other protocol */
    OUT_TUNNEL_ENDED,
    OUT_OVER, /* no further exchange */
    OUT_COUNT
};

#define H1_CONN_MAGIC 0x68310001u

struct h1_conn {
    uint32_t magic;
    int err; /* what ended the receiving side */
    enum h1_role role;
    enum h1_in in;
    enum h1_out out;
    struct h1_limits limits;
    const struct h1_events *events;
    void *user;
    struct pool *pool;

    /* the connection */
    bool eof;      /* the peer sends no more */
    bool shutdown; /* no further exchange */

    /* the exchange */
    bool keep;              /* nothing so far forbids another one */
    bool minor_0;           /* server: the client speaks HTTP/1.0 */
    bool is_head;           /* the request's method is HEAD */
    bool is_connect;        /* it is CONNECT */
    bool upgrade_asked;     /* the request asks for a switch of protocols */
    bool response_begun;    /* client */
    bool request_drawn;     /* client: an octet of the request has left */
    uint32_t informational; /* client: 1xx heads so far */
    uint32_t informational_octets;
    struct arena arena;

    /* receiving */
    uint32_t empty_lines;
    uint32_t extension_octets;
    struct h1_scan scan;
    uint64_t in_left;   /* of the content or chunk */
    struct buf gather;  /* the part of a head, trailer section or chunk line that has come */
    struct buf waiting; /* octets after the current message */

    /* sending: drawn in this order */
    struct buf out_head;
    char frame[24]; /* a chunk's line, or what follows its octets */
    uint8_t frame_at, frame_end;
    bool frame_body; /* the content is framed in chunks */
    bool last_due;   /* the last chunk's line has to be framed */
    size_t run_left; /* octets of body that may be drawn before the next frame */
    struct chain body;
    struct buf out_tail; /* trailer section */
    uint64_t out_left;   /* octets that Content-Length still promises */
};

bool h1_in_may_become(enum h1_in from, enum h1_in to);
bool h1_out_may_become(enum h1_out from, enum h1_out to);
void h1_set_in(struct h1_conn *c, enum h1_in next);
void h1_set_out(struct h1_conn *c, enum h1_out next);
/* Octets that h1_conn_output has still to draw. */
bool h1_octets_left(const struct h1_conn *c);
void h1_drop_output(struct h1_conn *c);
/* Ends the exchange if both messages are complete; calls on_done. */
void h1_settle(struct h1_conn *c);

#endif
