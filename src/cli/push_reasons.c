/* SPDX-License-Identifier: Apache-2.0 */
/* `portico help push-reasons`, which is also doc/push-reasons.md. */
#include "cli/push.h"
#include "push/ledger.h"

#include <stdio.h>

void push_reasons_print(void)
{
    printf(
        "# Why something was pushed, or not\n\n"
        "Each promise gets one reason: the first of these that holds, in this order. Counted in\n"
        "`portico_push_decisions_total{app=\"…\",reason=\"…\"}`; `portico push explain URL` "
        "tells it for\n"
        "each resource of a page, `portico push stats` for an app. Written by\n"
        "`portico help push-reasons` from the table in the code (`src/push/decision.h`).\n\n"
        "| reason | what it means |\n|---|---|\n");
    for (unsigned i = 0; i < PUSH_REASON_COUNT; i++)
        printf("| `%s` | %s |\n", push_reason_code((enum push_reason)i),
               push_reason_text((enum push_reason)i));
    printf("\n## What became of it\n\n"
           "Counted in `portico_push_fates_total{app=\"…\",fate=\"…\"}`.\n\n"
           "| fate | what it means |\n|---|---|\n");
    for (unsigned i = 0; i < PUSH_FATE_COUNT; i++)
        printf("| `%s` | %s |\n", push_fate_name((enum push_fate)i),
               push_fate_text((enum push_fate)i));
}
