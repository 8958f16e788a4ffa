/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/life.h"
#include "base/panic.h"

/* 0 is "cannot happen", so states are stored plus one. */
#define TO(state) ((unsigned char)(IPC_##state + 1))

static const unsigned char next[LIFE_STATE_COUNT][LIFE_EVENT_COUNT] = {
    [IPC_WANTED] =
        {
            [LIFE_STARTED] = TO(STARTING),
            [LIFE_FAILED] = TO(EXITED),
            [LIFE_PROBED] = TO(WANTED), /* of the generation before, as below */
            [LIFE_STOP] = TO(EXITED),
        },
    [IPC_STARTING] =
        {
            [LIFE_PROBED] = TO(READY),
            [LIFE_STOP] = TO(DRAINING),
            [LIFE_GONE] = TO(EXITED),
        },
    [IPC_READY] =
        {
            [LIFE_PROBED] = TO(READY), /* a new control probes again */
            [LIFE_STOP] = TO(DRAINING),
            [LIFE_GONE] = TO(EXITED),
        },
    [IPC_DRAINING] =
        {
            [LIFE_PROBED] = TO(DRAINING), /* sent before control knew */
            [LIFE_STOP] = TO(DRAINING),
            [LIFE_GONE] = TO(EXITED),
        },
    [IPC_EXITED] =
        {
            [LIFE_PROBED] = TO(EXITED),
            [LIFE_STOP] = TO(EXITED),
            [LIFE_WAIT] = TO(BACKOFF),
        },
    [IPC_BACKOFF] =
        {
            [LIFE_PROBED] = TO(BACKOFF),
            [LIFE_STOP] = TO(EXITED),
            [LIFE_DUE] = TO(WANTED),
        },
};

static const char *const names[LIFE_STATE_COUNT] = {
    [IPC_WANTED] = "WANTED",     [IPC_STARTING] = "STARTING", [IPC_READY] = "READY",
    [IPC_DRAINING] = "DRAINING", [IPC_EXITED] = "EXITED",     [IPC_BACKOFF] = "BACKOFF",
};

const char *life_state_name(unsigned state)
{
    return state < LIFE_STATE_COUNT ? names[state] : "?";
}

void life_init(struct life *l)
{
    *l = (struct life){.state = IPC_WANTED};
}

int life_next(enum ipc_instance_state state, enum life_event event)
{
    ASSERT((unsigned)state < LIFE_STATE_COUNT && (unsigned)event < LIFE_EVENT_COUNT);
    return (int)next[state][event] - 1;
}

uint32_t life_delay_ms(const struct life *l)
{
    uint32_t delay = l->was_ready ? LIFE_AGAIN_DELAY_MS : LIFE_FIRST_DELAY_MS;
    if (l->failures == 0)
        return 0;
    for (uint32_t i = 1; i < l->failures && delay < LIFE_MAX_DELAY_MS; i++)
        delay *= 2;
    return delay < LIFE_MAX_DELAY_MS ? delay : LIFE_MAX_DELAY_MS;
}

uint32_t life_role_delay_ms(uint32_t quick_deaths)
{
    return quick_deaths <= 1 ? 0 : quick_deaths == 2 ? 100 : 1000;
}

bool life_failed_to_start(const struct life *l)
{
    return !l->was_ready || l->gone_us - l->ready_us < LIFE_SOON_MS * 1000u;
}

bool life_event(struct life *l, enum life_event event, uint64_t now_us)
{
    enum ipc_instance_state was = l->state;
    int to = life_next(was, event);
    if (to < 0)
        PANIC("worker life: event %d in state %s", (int)event, life_state_name(was));
    l->state = (enum ipc_instance_state)to;
    switch (event) {
    case LIFE_STARTED:
    case LIFE_FAILED:
        l->restarts += l->generation > 0;
        l->generation++;
        l->was_ready = false;
        l->started_us = now_us;
        if (event == LIFE_STARTED)
            break;
        l->gone_us = now_us;
        l->failures++;
        l->never_ready++;
        break;
    case LIFE_PROBED:
        if (was == IPC_STARTING) {
            l->was_ready = true;
            l->ready_us = now_us;
        }
        break;
    case LIFE_GONE:
        l->gone_us = now_us;
        /* What we ended ourselves is nobody's failure. */
        l->failures = was == IPC_DRAINING || !life_failed_to_start(l) ? 0 : l->failures + 1;
        l->never_ready = was == IPC_DRAINING || l->was_ready ? 0 : l->never_ready + 1;
        break;
    case LIFE_WAIT:
        l->due_us = now_us + life_delay_ms(l) * UINT64_C(1000);
        break;
    case LIFE_STOP:
    case LIFE_DUE:
    case LIFE_EVENT_COUNT:
        break;
    }
    return l->state != was;
}
