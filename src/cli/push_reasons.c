/* SPDX-License-Identifier: Apache-2.0 */
/* `portico help push-reasons`, which is also doc/push-reasons.md. */
#include "cli/push.h"
#include "push/ledger.h"

#include <stdio.h>

/* By push_against and push_weight. */
static const char *const against_texts[] = {
    [PUSH_AGAINST_BOTH] = "push and hint",
    [PUSH_AGAINST_PUSH] = "push",
    [PUSH_AGAINST_HINT] = "hint",
};
static const char *const weight_texts[] = {[PUSH_RULE] = "rule", [PUSH_CARE] = "care"};

static void print_reasons(void)
{
    printf("| reason | speaks against | as | what it means |\n|---|---|---|---|\n");
    for (unsigned i = 0; i < PUSH_REASON_COUNT; i++) {
        enum push_reason r = (enum push_reason)i;
        bool is_ok = r == PUSH_REASON_OK;
        printf("| `%s` | %s | %s | %s |\n", push_reason_code(r),
               is_ok ? "" : against_texts[push_reason_against(r)],
               is_ok ? "" : weight_texts[push_reason_weight(r)], push_reason_text(r));
    }
}

void push_reasons_print(void)
{
    printf("# Why something was pushed, or not\n\n"
           "Each promise gets a reason: the first of these that speaks against pushing, in this\n"
           "order. What is not pushed may still be hinted, and has a second one when it is not.\n"
           "A rule holds whatever the app's policy is; the policy `always` does without care.\n"
           "Counted in `portico_push_decisions_total{app=\"…\",reason=\"…\"}`; "
           "`portico push explain URL`\n"
           "tells them for each resource of a page, `portico push stats` for an app. Written by\n"
           "`portico help push-reasons` from the tables in the code (`src/push/decision.h`,\n"
           "`src/push/ledger.h`).\n\n");
    print_reasons();
    printf("\n## What is done\n\n| vehicle | what it is |\n|---|---|\n");
    for (unsigned i = 0; i < PUSH_VEHICLE_COUNT; i++)
        printf("| `%s` | %s |\n", push_vehicle_name((enum push_vehicle)i),
               push_vehicle_text((enum push_vehicle)i));
    printf("\n## What becomes of it\n\n"
           "Counted in `portico_push_fates_total{app=\"…\",fate=\"…\"}`.\n\n"
           "| fate | what it means |\n|---|---|\n");
    for (unsigned i = 0; i < PUSH_FATE_COUNT; i++)
        printf("| `%s` | %s |\n", push_fate_name((enum push_fate)i),
               push_fate_text((enum push_fate)i));
}
