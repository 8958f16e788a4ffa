/* SPDX-License-Identifier: Apache-2.0 */
/* A peer of HTTP/2 that a fuzzer's input drives: frames that are mostly in order, with HPACK blocks
 * from a small dictionary, so that mutations get beyond the first check; and every way to leave
 * the order: flags, ids, lengths, padding and octets of the input's own. */
#ifndef FUZZ_H2_PEER_H
#define FUZZ_H2_PEER_H

#include "base/buf.h"
#include "http/h2.h"
#include "input.h"

#define H2_PEER_OPS 12 /* kinds of frames */

struct h2_peer {
    enum h2_role role;    /* the peer's own */
    uint32_t next_id;     /* that it would open or promise next */
    uint32_t last_theirs; /* newest stream that the other side opened, 0: none */
};

void h2_peer_init(struct h2_peer *p, enum h2_role role);
/* The preface if it is a client, and a first SETTINGS. */
void h2_peer_preface(struct h2_peer *p, struct input *in, struct buf *out);
/* Append one frame (or a part of one, or two) as the input says. */
void h2_peer_frame(struct h2_peer *p, unsigned op, struct input *in, struct buf *out);

#endif
