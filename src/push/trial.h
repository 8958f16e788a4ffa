/* SPDX-License-Identifier: Apache-2.0 */
/* Whether something that keeps failing is worth another try.  It is switched off when of at least
 * `least` tries more than half failed; then it rests, after each rest one try is let through as a
 * probe, and the first probe that does not fail makes it new.  So what fails always costs at most
 * `least` tries and one more for each rest (and those that were under way when it was switched
 * off). Older tries count less: at PUSH_TRIAL_MAX both counts are halved. */
#ifndef PUSH_TRIAL_H
#define PUSH_TRIAL_H

#include <stdbool.h>
#include <stdint.h>

#define PUSH_TRIAL_MAX 128

/* A new one is all zeroes. */
struct push_trial {
    uint32_t probe_s; /* unless on: from when on the next probe may begin, in monotonic seconds */
    uint8_t tries, failures;
    uint8_t state; /* enum push_trial_state */
};

enum push_trial_state { PUSH_TRIAL_ON, PUSH_TRIAL_RESTING, PUSH_TRIAL_PROBING };

struct push_trial_rule {
    uint8_t least;
    uint32_t rest_s;
};

/* While this is true, do not try. */
bool push_trial_is_off(const struct push_trial *t, uint64_t now_us);
/* A try begins: if it is a probe, there is no other until the next rest has passed. */
void push_trial_begin(struct push_trial *t, const struct push_trial_rule *rule, uint64_t now_us);
void push_trial_end(struct push_trial *t, const struct push_trial_rule *rule, bool failed,
                    uint64_t now_us);
/* One that had ended well has failed after all. */
void push_trial_revise(struct push_trial *t, const struct push_trial_rule *rule, uint64_t now_us);

#endif
