/* SPDX-License-Identifier: Apache-2.0 */
/* How many resets a worker's connection may get: a token bucket.  Node's server ends the whole
 * connection after about 1,000 in a second or so (burst 1,000, then 33 a second), so cancelled
 * pushes and cancelled requests share one ration well below that. */
#ifndef PUSH_RATION_H
#define PUSH_RATION_H

#include <stdbool.h>
#include <stdint.h>

#define RATION_BURST      200
#define RATION_PER_SECOND 20

struct ration {
    uint64_t updated_us;
    uint32_t milli; /* thousandths of a token */
};

void ration_init(struct ration *r, uint64_t now_us);
/* Take one token.  return  false: empty, do not reset */
bool ration_take(struct ration *r, uint64_t now_us);

#endif
