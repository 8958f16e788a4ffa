/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of HTTP/2 that no engine of ours would send, said by clients and workers of
 * fuzz_exchange.c between their own. */
#ifndef FUZZ_EXCHANGE_FRAMES_H
#define FUZZ_EXCHANGE_FRAMES_H

#include "base/buf.h"

/* Appends one that carries neither fields nor content: what was asked and answered stays the same,
 * as far as it comes.  which: type (bits 0 to 2), on the connection or a stream (bits 4 to 7);
 * value: what it says */
void exchange_put_frame(struct buf *out, uint8_t which, uint8_t value);
/* The same of a worker's that does carry some: type in bits 0 and 1. */
void exchange_put_message(struct buf *out, uint8_t which, uint8_t value);

#endif
