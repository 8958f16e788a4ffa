/* SPDX-License-Identifier: Apache-2.0 */
/* Which role may say what, and when.  ipc.h has checked a message's size, texts and descriptors;
 * one that is out of place is still the word of a role that is broken or hostile, and ends it. */
#ifndef MONITOR_SAY_H
#define MONITOR_SAY_H

#include "ipc/ipc.h"

enum say_phase {
    SAY_CONTROL_BEGINS,  /* its wanted state is not complete yet */
    SAY_CONTROL_IN_STEP, /* it has committed: it hears of instances */
    SAY_EDGE_SERVES,     /* or will */
    SAY_EDGE_MUST_LEAVE, /* it was told to drain */
    SAY_PHASES
};

bool say_is_allowed(enum say_phase phase, unsigned type);

#endif
