/* SPDX-License-Identifier: Apache-2.0 */
/* A whole HTTP/1.1 connection in one role, twice from the same input: the peer's octets come once
 * whole and once in pieces that the input chooses.  What the engine reports and what it writes must
 * be the same: where TCP cuts has no meaning.  What it writes must also be what the strict reader
 * (h1_strict.h) takes for whole messages.
 *
 * Input: an octet of setup, one for what is sent, sizes of the pieces up to a zero (at most
 * PIECES_MAX), then what the peer sends.  An octet of it also decides how each request is answered,
 * so that this depends on the content and not on the cuts. */
#ifndef FUZZ_H1_PLAY_H
#define FUZZ_H1_PLAY_H

#include "http/h1.h"

void h1_play(enum h1_role role, const uint8_t *octets, size_t len);

#endif
