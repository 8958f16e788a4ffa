/* SPDX-License-Identifier: Apache-2.0 */
/* The states of a stream as a table: RFC 9113 5.1. */
#ifndef HTTP_H2_STATE_H
#define HTTP_H2_STATE_H

#define H2_STATE_TABLE(X)                        \
    X(IDLE)                                      \
    X(RESERVED_LOCAL)                            \
    X(RESERVED_REMOTE)                           \
    X(OPEN)                                      \
    X(HALF_LOCAL)  /* we have sent END_STREAM */ \
    X(HALF_REMOTE) /* the peer has */            \
    X(CLOSED)

enum h2_state {
    H2_ILLEGAL, /* what the table holds where no step is written */
#define X(name) H2_##name,
    H2_STATE_TABLE(X)
#undef X
        H2_STATES
};

/* END_STREAM is an event of its own, after the frame that carries it.  SEND_PROMISE and
 * RECV_PROMISE are the promised stream's events. */
#define H2_EVENT_TABLE(X) \
    X(RECV_HEADERS)       \
    X(RECV_DATA)          \
    X(RECV_END)           \
    X(RECV_PROMISE)       \
    X(RECV_RESET)         \
    X(RECV_WINDOW)        \
    X(SEND_HEADERS)       \
    X(SEND_DATA)          \
    X(SEND_END)           \
    X(SEND_PROMISE)       \
    X(SEND_RESET)

enum h2_event {
#define X(name) H2_EV_##name,
    H2_EVENT_TABLE(X)
#undef X
        H2_EVENTS
};

/* return  the state after event, or H2_ILLEGAL */
enum h2_state h2_state_next(enum h2_state state, enum h2_event event);

#endif
