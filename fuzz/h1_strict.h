/* SPDX-License-Identifier: Apache-2.0 */
/* A second reading of HTTP/1.1, for judging the first: strict, simple and slow, after RFC 9112 and
 * 9110 alone.  It reads one message from octets that all lie in memory, and where the RFC leaves a
 * choice between leniency and refusal it refuses.  It has no limits but those of memory. */
#ifndef FUZZ_H1_STRICT_H
#define FUZZ_H1_STRICT_H

#include "base/slice.h"

enum strict_verdict {
    STRICT_WHOLE, /* a message, next says where it ends */
    STRICT_MORE,  /* the octets end inside it */
    STRICT_BAD,
};

struct strict_field {
    struct slice name, value; /* as they stand in the input, value trimmed */
};

struct strict_fields {
    struct strict_field *at;
    size_t count;
};

struct strict_message {
    bool has_head; /* all up to the trailers is valid from here on, content as far as it came */
    struct slice method, target; /* request */
    unsigned status;             /* response */
    unsigned minor;              /* of HTTP/1.minor */
    struct strict_fields fields, trailers;
    struct slice host; /* request: from an absolute target, an authority target, or Host */
    struct slice path; /* request: origin-form or "*", but only the part of an absolute target that
                          stands there; empty for CONNECT */
    uint8_t *content;
    size_t content_len;
    bool is_coded;        /* Transfer-Encoding: chunked */
    bool is_last;         /* nothing can follow on this connection */
    bool is_switched;     /* response: what follows is no HTTP/1.1 (101, or 2xx to CONNECT) */
    bool is_empty_framed; /* response: has no content, but speaks of some: nobody must write it */
    size_t next;
    /* for those who have limits on them: lines without their CRLF, sections with it */
    size_t empty_lines, start_line_octets, longest_section, longest_chunk_line;
    const char *why; /* of STRICT_BAD */
};

/* Empties before it writes; strict_free when done, whatever came back. */
enum strict_verdict strict_request(struct slice in, struct strict_message *m);
/* request_method: of the request that this answers.  at_eof: the connection ended behind in. */
enum strict_verdict strict_response(struct slice in, struct slice request_method, bool at_eof,
                                    struct strict_message *m);
void strict_free(struct strict_message *m);

#endif
