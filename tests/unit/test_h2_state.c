/* SPDX-License-Identifier: Apache-2.0 */
/* Every pair of state and event, against RFC 9113 5.1 written down a second time: for each event,
 * what it does to each state. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/panic.h"
#include "http/h2_state.h"

#define NO H2_ILLEGAL

static const char *const state_names[] = {"-",
#define X(name) #name,
                                          H2_STATE_TABLE(X)
#undef X
};

static const char *const event_names[] = {
#define X(name) #name,
    H2_EVENT_TABLE(X)
#undef X
};

/* IDLE, RESERVED_LOCAL, RESERVED_REMOTE, OPEN, HALF_LOCAL, HALF_REMOTE, CLOSED */
static const struct {
    enum h2_event event;
    enum h2_state after[7];
} rows[] = {
    {H2_EV_RECV_HEADERS, {H2_OPEN, NO, H2_HALF_LOCAL, H2_OPEN, H2_HALF_LOCAL, NO, NO}},
    {H2_EV_RECV_DATA, {NO, NO, NO, H2_OPEN, H2_HALF_LOCAL, NO, NO}},
    {H2_EV_RECV_END, {NO, NO, NO, H2_HALF_REMOTE, H2_CLOSED, NO, NO}},
    {H2_EV_RECV_PROMISE, {H2_RESERVED_REMOTE, NO, NO, NO, NO, NO, NO}},
    {H2_EV_RECV_RESET, {NO, H2_CLOSED, H2_CLOSED, H2_CLOSED, H2_CLOSED, H2_CLOSED, NO}},
    {H2_EV_RECV_WINDOW, {NO, H2_RESERVED_LOCAL, NO, H2_OPEN, H2_HALF_LOCAL, H2_HALF_REMOTE, NO}},
    {H2_EV_SEND_HEADERS, {H2_OPEN, H2_HALF_REMOTE, NO, H2_OPEN, NO, H2_HALF_REMOTE, NO}},
    {H2_EV_SEND_DATA, {NO, NO, NO, H2_OPEN, NO, H2_HALF_REMOTE, NO}},
    {H2_EV_SEND_END, {NO, NO, NO, H2_HALF_LOCAL, NO, H2_CLOSED, NO}},
    {H2_EV_SEND_PROMISE, {H2_RESERVED_LOCAL, NO, NO, NO, NO, NO, NO}},
    {H2_EV_SEND_RESET, {NO, H2_CLOSED, H2_CLOSED, H2_CLOSED, H2_CLOSED, H2_CLOSED, NO}},
};

static void test_every_pair(void **state)
{
    assert_int_equal(ARRAY_LEN(rows), H2_EVENTS);
    for (unsigned e = 0; e < H2_EVENTS; e++) {
        assert_int_equal(rows[e].event, e);
        for (unsigned s = H2_IDLE; s < H2_STATES; s++) {
            enum h2_state after = h2_state_next((enum h2_state)s, (enum h2_event)e);
            if (after != rows[e].after[s - H2_IDLE])
                fail_msg("%s in %s leads to %s", event_names[e], state_names[s],
                         state_names[after]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_pair)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
