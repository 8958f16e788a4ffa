/* SPDX-License-Identifier: Apache-2.0 */
#include "push/trial.h"

#define SECOND UINT64_C(1000000)

bool push_trial_is_off(const struct push_trial *t, uint64_t now_us)
{
    return t->state != PUSH_TRIAL_ON && now_us / SECOND < t->probe_s;
}

static void become(struct push_trial *t, enum push_trial_state state,
                   const struct push_trial_rule *rule, uint64_t now_us)
{
    t->state = (uint8_t)state;
    t->probe_s = (uint32_t)(now_us / SECOND) + rule->rest_s;
}

void push_trial_begin(struct push_trial *t, const struct push_trial_rule *rule, uint64_t now_us)
{
    if (t->state != PUSH_TRIAL_ON && !push_trial_is_off(t, now_us))
        become(t, PUSH_TRIAL_PROBING, rule, now_us);
}

static void judge(struct push_trial *t, const struct push_trial_rule *rule, uint64_t now_us)
{
    if (t->state == PUSH_TRIAL_PROBING ||
        (t->state == PUSH_TRIAL_ON && t->tries >= rule->least && 2 * t->failures > t->tries))
        become(t, PUSH_TRIAL_RESTING, rule, now_us);
}

void push_trial_end(struct push_trial *t, const struct push_trial_rule *rule, bool failed,
                    uint64_t now_us)
{
    if (!failed && t->state == PUSH_TRIAL_PROBING)
        *t = (struct push_trial){0};
    if (t->tries == PUSH_TRIAL_MAX) {
        t->tries /= 2;
        t->failures /= 2;
    }
    t->tries++;
    if (!failed)
        return;
    t->failures++;
    judge(t, rule, now_us);
}

void push_trial_revise(struct push_trial *t, const struct push_trial_rule *rule, uint64_t now_us)
{
    if (t->failures == t->tries)
        return; /* forgotten meanwhile */
    t->failures++;
    judge(t, rule, now_us);
}
