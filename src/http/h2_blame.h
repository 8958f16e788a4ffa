/* SPDX-License-Identifier: Apache-2.0 */
/* Every way in which a peer's HTTP/2 is refused, a row each: what is counted, logged and documented
 * comes from here.
 *
 * symbol, name, scope, error code, section of RFC 9113, text.  CONN: the connection ends with
 * GOAWAY; STREAM: one stream with RST_STREAM, or with a status that the text names. */
#ifndef HTTP_H2_BLAME_H
#define HTTP_H2_BLAME_H

#define H2_BLAME_TABLE(X)                                                                          \
    X(NONE, "none", CONN, NO_ERROR, "", "Nothing was wrong.")                                      \
    X(PREFACE, "preface", CONN, PROTOCOL_ERROR, "3.4", "The connection begins otherwise.")         \
    X(PREFACE_SETTINGS, "preface.settings", CONN, PROTOCOL_ERROR, "3.4",                           \
      "The first frame is not SETTINGS.")                                                          \
    X(FRAME_SIZE, "frame.size", CONN, FRAME_SIZE_ERROR, "4.2",                                     \
      "A frame is larger than allowed, or not of the size that its type has.")                     \
    X(FRAME_STREAM_ID, "frame.stream_id", CONN, PROTOCOL_ERROR, "6",                               \
      "A frame of a stream came for the connection, or the other way round.")                      \
    X(FRAME_PADDING, "frame.padding", CONN, PROTOCOL_ERROR, "6.1", "More padding than payload.")   \
    X(FRAME_CONTINUATION, "frame.continuation", CONN, PROTOCOL_ERROR, "6.10",                      \
      "CONTINUATION without a field block, or another frame inside one.")                          \
    X(BLOCK_SIZE, "block.size", CONN, ENHANCE_YOUR_CALM, "10.5.1",                                 \
      "A field block is much larger than the field section allowed, packed or unpacked, or in "    \
      "too many frames.")                                                                          \
    X(HPACK, "hpack", CONN, COMPRESSION_ERROR, "4.3", "A field block cannot be decompressed.")     \
    X(SETTINGS_VALUE, "settings.value", CONN, PROTOCOL_ERROR, "6.5.2",                             \
      "A setting has a value that it cannot have.")                                                \
    X(SETTINGS_WINDOW, "settings.window", CONN, FLOW_CONTROL_ERROR, "6.5.2",                       \
      "SETTINGS_INITIAL_WINDOW_SIZE is larger than a window can be.")                              \
    X(GOAWAY_GREW, "goaway.grew", CONN, PROTOCOL_ERROR, "6.8",                                     \
      "A second GOAWAY names a larger stream.")                                                    \
    X(FLOW_CONN, "flow.conn", CONN, FLOW_CONTROL_ERROR, "6.9.1",                                   \
      "More DATA than the connection's window allows.")                                            \
    X(FLOW_ZERO, "flow.zero", CONN, PROTOCOL_ERROR, "6.9",                                         \
      "WINDOW_UPDATE of the connection by 0.")                                                     \
    X(FLOW_OVERFLOW, "flow.overflow", CONN, FLOW_CONTROL_ERROR, "6.9.1",                           \
      "A window grows past 2^31-1 octets.")                                                        \
    X(STREAM_IDLE, "stream.idle", CONN, PROTOCOL_ERROR, "5.1", "A frame for a stream not opened.") \
    X(STREAM_RESERVED, "stream.reserved", CONN, PROTOCOL_ERROR, "5.1",                             \
      "A frame that a promised stream cannot get.")                                                \
    X(STREAM_ID_ORDER, "stream.id_order", CONN, PROTOCOL_ERROR, "5.1.1",                           \
      "A new stream's id is below an earlier one's.")                                              \
    X(STREAM_CLOSED, "stream.closed", CONN, STREAM_CLOSED, "5.1",                                  \
      "HEADERS for a closed stream; of a worker, content behind the end of its response.")         \
    X(PRIORITY_SELF, "priority.self", CONN, PROTOCOL_ERROR, "5.3.1",                               \
      "An idle stream depends on itself.")                                                         \
    X(PRIORITY_UPDATE_STREAM, "priority_update.stream", CONN, PROTOCOL_ERROR, "RFC 9218 7.1",      \
      "PRIORITY_UPDATE for a stream that cannot have one.")                                        \
    X(PROMISE_NOT_ENABLED, "promise.not_enabled", CONN, PROTOCOL_ERROR, "6.6",                     \
      "PUSH_PROMISE where push is disabled.")                                                      \
    X(PROMISE_ID, "promise.id", CONN, PROTOCOL_ERROR, "6.6",                                       \
      "PUSH_PROMISE of a stream that cannot be promised.")                                         \
    X(PROMISE_PARENT, "promise.parent", CONN, PROTOCOL_ERROR, "6.6",                               \
      "PUSH_PROMISE on a stream that cannot carry one.")                                           \
    X(QUEUE, "queue", CONN, ENHANCE_YOUR_CALM, "10.5",                                             \
      "Too many answers wait to be read: the peer asks and does not read.")                        \
    X(BUDGET_RESETS, "budget.resets", CONN, ENHANCE_YOUR_CALM, "10.5",                             \
      "Too many streams reset, or made to be reset (Rapid Reset, MadeYouReset).")                  \
    X(BUDGET_SETTINGS, "budget.settings", CONN, ENHANCE_YOUR_CALM, "10.5",                         \
      "Too many SETTINGS or GOAWAY.")                                                              \
    X(BUDGET_PINGS, "budget.pings", CONN, ENHANCE_YOUR_CALM, "10.5", "Too many PING.")             \
    X(BUDGET_EMPTY, "budget.empty", CONN, ENHANCE_YOUR_CALM, "10.5",                               \
      "Too many DATA or CONTINUATION that carry nothing.")                                         \
    X(BUDGET_PRIORITY, "budget.priority", CONN, ENHANCE_YOUR_CALM, "10.5",                         \
      "Too many PRIORITY, PRIORITY_UPDATE or frames of unknown types.")                            \
    X(BUDGET_WINDOW, "budget.window", CONN, ENHANCE_YOUR_CALM, "10.5",                             \
      "Too many WINDOW_UPDATE for the DATA that was sent.")                                        \
    X(MEMORY, "memory", CONN, INTERNAL_ERROR, "5.4.1", "Memory is out.")                           \
    X(STREAMS, "streams", STREAM, REFUSED_STREAM, "5.1.2", "More streams at once than allowed.")   \
    X(SECTIONS, "sections", STREAM, REFUSED_STREAM, "10.5.1",                                      \
      "The field sections of all open requests together are larger than allowed.")                 \
    X(MESSAGE, "message", STREAM, PROTOCOL_ERROR, "8.1.1", "A field section is malformed.")        \
    X(MESSAGE_LENGTH, "message.length", STREAM, PROTOCOL_ERROR, "8.1.1",                           \
      "The content is not as long as content-length says.")                                        \
    X(MESSAGE_ORDER, "message.order", STREAM, PROTOCOL_ERROR, "8.1",                               \
      "Content before the head, a second head that does not end the message, or one in a tunnel.") \
    X(FIELDS_LARGE, "fields.large", STREAM, ENHANCE_YOUR_CALM, "10.5.1",                           \
      "A field section is larger than allowed; a request is answered 431. Counts as ten resets.")  \
    X(INFORMATIONAL, "informational", STREAM, ENHANCE_YOUR_CALM, "8.1",                            \
      "Too many informational responses before a final one, or too large ones together.")          \
    X(STREAM_LATE, "stream.late", STREAM, STREAM_CLOSED, "5.1",                                    \
      "A frame for a stream that has ended.")                                                      \
    X(STREAM_FRAME_SIZE, "stream.frame_size", STREAM, FRAME_SIZE_ERROR, "6.3",                     \
      "PRIORITY of another size than 5 octets.")                                                   \
    X(STREAM_FLOW, "stream.flow", STREAM, FLOW_CONTROL_ERROR, "6.9.1",                             \
      "More DATA than the stream's window allows.")                                                \
    X(STREAM_FLOW_ZERO, "stream.flow_zero", STREAM, PROTOCOL_ERROR, "6.9",                         \
      "WINDOW_UPDATE of a stream by 0.")                                                           \
    X(STREAM_FLOW_OVERFLOW, "stream.flow_overflow", STREAM, FLOW_CONTROL_ERROR, "6.9.1",           \
      "A stream's window grows past 2^31-1 octets.")                                               \
    X(STREAM_PRIORITY_SELF, "stream.priority_self", STREAM, PROTOCOL_ERROR, "5.3.1",               \
      "A stream depends on itself.")

enum h2_blame {
#define X(symbol, name, scope, code, section, text) H2_BLAME_##symbol,
    H2_BLAME_TABLE(X)
#undef X
        H2_BLAME_COUNT
};

enum h2_scope { H2_SCOPE_CONN, H2_SCOPE_STREAM };

struct h2_blame_row {
    const char *name; /* "budget.resets" */
    enum h2_scope scope;
    unsigned code;       /* enum h2_code */
    const char *section; /* of RFC 9113, where it names no other */
    const char *text;
};

const struct h2_blame_row *h2_blame_row(enum h2_blame b);

#endif
