/* SPDX-License-Identifier: Apache-2.0 */
/* Every message in every phase: what is not written here is refused. */
#include "monitor/say.h"
#include "base/panic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

static const char *const allowed[SAY_PHASES] = {
    [SAY_CONTROL_BEGINS] = " LISTEN CERTIFICATE APP ENV COMMIT STOP ",
    [SAY_CONTROL_IN_STEP] = " LISTEN CERTIFICATE CERTIFICATES_KEPT APP ENV COMMIT STOP "
                            "SNAPSHOT INSTANCE_READY ROLL RETIRE RELOAD ",
    [SAY_EDGE_SERVES] = " EDGE_UP EDGE_LEFT ",
    [SAY_EDGE_MUST_LEAVE] = " EDGE_UP EDGE_LEFT EDGE_DRAINED ",
};

static void test_every_pair(void **state)
{
    char name[64];
    (void)state;
    for (unsigned phase = 0; phase < SAY_PHASES; phase++)
        for (unsigned type = 0; type < IPC_TYPE_COUNT + 2; type++) {
            snprintf(name, sizeof name, " %s ", ipc_type_name(type));
            bool expected = strstr(allowed[phase], name) != NULL;
            if (say_is_allowed((enum say_phase)phase, type) != expected)
                fail_msg("phase %u:%s", phase, name);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_pair)};
    return cmocka_run_group_tests_name("monitor_say", tests, NULL, NULL);
}
