/* SPDX-License-Identifier: Apache-2.0 */
/* A whole session of the HTTP/2 engine in one role: the input is a program for its peer
 * (h2_peer.h), for the application on it, for how octets are cut and when output is drawn.
 *
 * Aborts at what is not true whatever a peer sends:
 *  - heads that are given out are well formed, content is as long as the head said, events of a
 *    stream come in order and none after its end;
 *  - what is sent is what RFC 9113 allows (h2_watch.h);
 *  - output always ends, and memory stays below a cap. */
#ifndef FUZZ_H2_PLAY_H
#define FUZZ_H2_PLAY_H

#include "http/h2.h"

void h2_play(enum h2_role role, const uint8_t *octets, size_t len);

#endif
