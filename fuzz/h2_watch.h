/* SPDX-License-Identifier: Apache-2.0 */
/* Watches what an HTTP/2 engine sends, knowing what it was sent, and aborts at what RFC 9113
 * forbids it: frames too long, after the end, out of the order of states, beyond flow control, an
 * undecodable field block, a promise after push was disabled.  Nor may it let more come than it
 * was to: what waits is its memory.
 *
 * It reads what the engine was fed in the most generous way, so that what the engine has refused
 * can never count against it. */
#ifndef FUZZ_H2_WATCH_H
#define FUZZ_H2_WATCH_H

#include "base/buf.h"
#include "http/h2.h"
#include "http/hpack.h"

#define H2_WATCH_STREAMS  512
#define H2_WATCH_SETTINGS 1024

struct h2_watch_stream {
    uint32_t id;
    int64_t window; /* what it may still send */
    int64_t credit; /* what it may still be sent */
    bool is_known;  /* the one who may open it has */
    bool head_sent; /* HEADERS, of any status */
    bool end_sent, reset_sent, reset_fed;
};

struct h2_watch {
    enum h2_role role; /* of the engine */
    struct pool *pool;
    struct buf fed, sent; /* what is not a whole frame yet */
    bool fed_preface, sent_preface, sent_settings;
    bool fed_counted; /* the DATA whose head stands in fed */
    int64_t window, credit;
    int64_t initial_window, initial_credit;
    int64_t stream_most, most; /* of credit */
    /* By how much each SETTINGS frame has made it smaller, and those together that are not yet
     * acknowledged: a frame may be on its way until then. */
    int64_t decreases[H2_WATCH_SETTINGS], decrease;
    uint32_t max_frame_octets; /* most that was ever allowed */
    uint32_t settings_fed, settings_acked;
    uint32_t push_off_at; /* number of the SETTINGS that disabled push, 0: none did */
    uint32_t last_promised;
    uint32_t last_goaway;
    uint32_t section_on; /* stream whose field block is being sent */
    bool is_failed;      /* GOAWAY with an error was sent */
    struct buf block;
    struct hpack_decoder *decoder;
    struct h2_watch_stream streams[H2_WATCH_STREAMS];
    unsigned stream_count;
};

/* most: octets that a stream, and all of them, may ever be allowed to be sent. */
void h2_watch_init(struct h2_watch *w, enum h2_role role, uint32_t stream_most, uint32_t most,
                   struct pool *pool);
/* From now on so much of a stream. */
void h2_watch_widen(struct h2_watch *w, uint32_t stream_most);
void h2_watch_fini(struct h2_watch *w);
void h2_watch_fed(struct h2_watch *w, struct slice octets);
void h2_watch_sent(struct h2_watch *w, struct slice octets);

#endif
