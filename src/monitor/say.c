/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/say.h"
#include "base/panic.h"

#define BEGINS  (1u << SAY_CONTROL_BEGINS)
#define IN_STEP (1u << SAY_CONTROL_IN_STEP)
#define SERVES  (1u << SAY_EDGE_SERVES)
#define LEAVES  (1u << SAY_EDGE_MUST_LEAVE)

static const unsigned phases[IPC_TYPE_COUNT] = {
    [IPC_LISTEN] = BEGINS | IN_STEP,
    [IPC_CERTIFICATE] = BEGINS | IN_STEP,
    [IPC_CERTIFICATES_KEPT] = IN_STEP,
    [IPC_APP] = BEGINS | IN_STEP,
    [IPC_ENV] = BEGINS | IN_STEP,
    [IPC_COMMIT] = BEGINS | IN_STEP,
    [IPC_STOP] = BEGINS | IN_STEP,
    [IPC_SNAPSHOT] = IN_STEP,
    [IPC_INSTANCE_READY] = IN_STEP,
    [IPC_ROLL] = IN_STEP,
    [IPC_RETIRE] = IN_STEP,
    [IPC_RELOAD] = IN_STEP,
    [IPC_EDGE_UP] = SERVES | LEAVES,
    [IPC_EDGE_LEFT] = SERVES | LEAVES,
    [IPC_EDGE_DRAINED] = LEAVES,
};

bool say_is_allowed(enum say_phase phase, unsigned type)
{
    ASSERT(phase < SAY_PHASES);
    return type < IPC_TYPE_COUNT && phases[type] & 1u << phase;
}
