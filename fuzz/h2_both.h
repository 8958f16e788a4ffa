/* SPDX-License-Identifier: Apache-2.0 */
/* Our engine and libnghttp2 as the judge, side by side, and what each has read: what the
 * differentials of both roles share. */
#ifndef FUZZ_H2_BOTH_H
#define FUZZ_H2_BOTH_H

#include "h2_message.h"
#include "http/h2.h"

#include <nghttp2/nghttp2.h>

struct h2_both {
    struct pool pool, own;
    struct h2_conn *conn;
    nghttp2_session *session;
    struct h2_reader ours, judge;
};

/* conn and session are the caller's to open. */
void h2_both_init(struct h2_both *b);
/* Everything, and nothing was lost. */
void h2_both_fini(struct h2_both *b);

/* Of our engine: content, and the trailer section, of a message that has begun. */
void h2_both_body(struct h2_both *b, struct h2_stream *s, struct slice octets, bool end);
void h2_both_trailers(struct h2_both *b, struct h2_stream *s, const struct fields *trailers);

/* Whether ours may have told the end already: all content is there, and of its last frame only
 * padding is to come, for which the judge waits. */
bool h2_both_lacks_padding(struct h2_both *b, const struct h2_message *ours);

/* The judge's callbacks, these two and what is the same for both roles; given. */
nghttp2_session_callbacks *h2_both_callbacks(nghttp2_on_header_callback on_header,
                                             nghttp2_on_frame_recv_callback on_frame);

/* The peer's octets for both; ours in pieces of step, 0: at once.  What they answer is dropped. */
void h2_both_feed(struct h2_both *b, struct slice in, size_t step);

#endif
