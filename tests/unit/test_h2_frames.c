/* SPDX-License-Identifier: Apache-2.0 */
/* Frames in, as text; what the engine tells its caller and what it sends back, as text.
 *
 * Each row is fed whole, and again cut at every octet: the outcome must be the same.
 *
 *   in    frames separated by "|": TYPE flags(hex) stream, then the payload as hex, as [name:
 * value] (a literal field), or as zN (N zero octets) out   events, then ">", then frames, then "!"
 * and the names of what was refused, if anything was.  SETTINGS and their ack are left out, DATA is
 * counted. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/err.h"
#include "http/h2_internal.h"
#include "http/rules.h"

/* GET https://a/ and POST https://a/ */
#define GET  "82 87 84 41 01 61"
#define POST "83 87 84 41 01 61"
#define OK   "88"

enum act {
    SILENT,
    ANSWER,       /* 200 without content, when the request is complete */
    ANSWER_EARLY, /* the same, at its head */
    PUSH,         /* promise GET / and answer both */
    RESET,        /* at the head */
    SHUTDOWN,     /* at the head */
};

struct row {
    const char *name, *in, *out;
    enum act act;
    bool bare;    /* without the peer's preface and SETTINGS */
    bool no_push; /* client role */
    bool connect; /* client role: the request is CONNECT a, not ended */
    bool large_frames;
    int why; /* what was malformed last, if anything was */
};

#define ROW(name_, in_, out_, ...)                         \
    {                                                      \
        .name = name_, .in = in_, .out = out_, __VA_ARGS__ \
    }

static const struct row server_rows[] = {
    /* RFC 9113 3.4 */
    ROW("wrong preface", "RAW 5052492058", "> GOAWAY 0 PROTOCOL_ERROR ! preface", .bare = true),
    ROW("no SETTINGS first",
        "RAW " /* the preface */
        "505249202a20485454502f322e300d0a0d0a534d0d0a0d0a|PING 0 0 0000000000000000",
        "> GOAWAY 0 PROTOCOL_ERROR ! preface.settings", .bare = true),
    ROW("an acknowledgement first",
        "RAW 505249202a20485454502f322e300d0a0d0a534d0d0a0d0a|SETTINGS 1 0",
        "> GOAWAY 0 PROTOCOL_ERROR ! preface.settings", .bare = true),
    /* 4.1, 4.2, 5.5 */
    ROW("unknown type", "TYPE22 ff 0 0102|TYPE22 0 9 z100|PING 0 0 0102030405060708",
        "> PING+ACK 0"),
    ROW("unknown flags", "PING 16 0 0102030405060708", "> PING+ACK 0"),
    ROW("reserved bit", "HEADERS 5 2147483649 " GET, "head 1 end > HEADERS+END 1", .act = ANSWER),
    ROW("DATA too large", "HEADERS 4 1 " POST "|DATA 0 1 z16385",
        "head 1, close 1 FRAME_SIZE_ERROR > GOAWAY 1 FRAME_SIZE_ERROR ! frame.size"),
    ROW("largest DATA", "HEADERS 4 1 " POST "|DATA 1 1 z16384", "head 1, end 1 16384 >"),
    ROW("HEADERS too large", "HEADERS 5 1 z16385", "> GOAWAY 0 FRAME_SIZE_ERROR ! frame.size"),
    ROW("unknown type too large", "TYPE22 0 0 z16385", "> GOAWAY 0 FRAME_SIZE_ERROR ! frame.size"),
    /* 4.3 */
    ROW("block cannot be decoded", "HEADERS 5 1 " GET " c0",
        "> GOAWAY 1 COMPRESSION_ERROR ! hpack"),
    ROW("index 0", "HEADERS 5 1 80", "> GOAWAY 1 COMPRESSION_ERROR ! hpack"),
    ROW("table size update at the end", "HEADERS 5 1 " GET " 20",
        "> GOAWAY 1 COMPRESSION_ERROR ! hpack"),
    ROW("table size above the limit", "HEADERS 5 1 3fffff03" GET,
        "> GOAWAY 1 COMPRESSION_ERROR ! hpack"),
    ROW("block in three parts", "HEADERS 1 1 82 87|CONTINUATION 0 1 84|CONTINUATION 4 1 41 01 61",
        "head 1 end > HEADERS+END 1", .act = ANSWER),
    ROW("empty parts", "HEADERS 1 1|CONTINUATION 0 1|CONTINUATION 4 1 " GET,
        "head 1 end > HEADERS+END 1", .act = ANSWER),
    ROW("another frame within a block", "HEADERS 1 1 82|PING 0 0 0000000000000000",
        "> GOAWAY 0 PROTOCOL_ERROR ! frame.continuation"),
    ROW("an unknown frame within a block", "HEADERS 1 1 82|TYPE22 0 0 00",
        "> GOAWAY 0 PROTOCOL_ERROR ! frame.continuation"),
    ROW("another block within a block", "HEADERS 1 1 82|HEADERS 5 3 " GET,
        "> GOAWAY 0 PROTOCOL_ERROR ! frame.continuation"),
    ROW("CONTINUATION of another stream", "HEADERS 1 1 82|CONTINUATION 4 3 87 84",
        "> GOAWAY 0 PROTOCOL_ERROR ! frame.continuation"),
    ROW("CONTINUATION of nothing", "CONTINUATION 4 1 " GET,
        "> GOAWAY 0 PROTOCOL_ERROR ! frame.continuation"),
    ROW("CONTINUATION after the end", "HEADERS 4 1 " POST "|CONTINUATION 4 1 82",
        "head 1, close 1 PROTOCOL_ERROR > GOAWAY 1 PROTOCOL_ERROR ! frame.continuation"),
    /* 5.1 idle */
    ROW("DATA on idle", "DATA 1 1 61", "> GOAWAY 0 PROTOCOL_ERROR ! stream.idle"),
    ROW("RST_STREAM on idle", "RST_STREAM 0 1 00000008", "> GOAWAY 0 PROTOCOL_ERROR ! stream.idle"),
    ROW("WINDOW_UPDATE on idle", "WINDOW_UPDATE 0 1 00000001",
        "> GOAWAY 0 PROTOCOL_ERROR ! stream.idle"),
    ROW("PRIORITY on idle", "PRIORITY 0 1 0000000010", ">"),
    ROW("DATA on an idle stream of ours", "DATA 1 2 61", "> GOAWAY 0 PROTOCOL_ERROR ! stream.idle"),
    /* 5.1 half-closed (remote) */
    ROW("DATA after END_STREAM", "HEADERS 5 1 " GET "|DATA 1 1 61",
        "head 1 end, close 1 STREAM_CLOSED > RST_STREAM 1 STREAM_CLOSED ! stream.late"),
    ROW("HEADERS after END_STREAM", "HEADERS 5 1 " GET "|HEADERS 5 1 " GET,
        "head 1 end, close 1 STREAM_CLOSED > RST_STREAM 1 STREAM_CLOSED ! stream.late"),
    ROW("WINDOW_UPDATE after END_STREAM",
        "HEADERS 5 1 " GET "|WINDOW_UPDATE 0 1 00000001|RST_STREAM 0 1 00000008",
        "head 1 end, close 1 CANCEL >"),
    /* 5.1 closed */
    ROW("DATA on a finished stream", "HEADERS 5 1 " GET "|DATA 1 1 61",
        "head 1 end, close 1 NO_ERROR > HEADERS+END 1, RST_STREAM 1 STREAM_CLOSED ! stream.late",
        .act = ANSWER),
    ROW("HEADERS on a finished stream", "HEADERS 5 1 " GET "|HEADERS 5 1 " GET,
        "head 1 end, close 1 NO_ERROR > HEADERS+END 1, GOAWAY 1 STREAM_CLOSED ! stream.closed",
        .act = ANSWER),
    ROW("late RST_STREAM and WINDOW_UPDATE",
        "HEADERS 5 1 " GET "|RST_STREAM 0 1 00000008|WINDOW_UPDATE 0 1 00000001",
        "head 1 end, close 1 NO_ERROR > HEADERS+END 1", .act = ANSWER),
    ROW("DATA after the peer's RST_STREAM",
        "HEADERS 4 1 " POST "|RST_STREAM 0 1 00000008|DATA 1 1 61",
        "head 1, close 1 CANCEL > RST_STREAM 1 STREAM_CLOSED ! stream.late"),
    ROW("DATA after our RST_STREAM", "HEADERS 4 1 " POST "|DATA 0 1 61|DATA 1 1 61",
        "head 1 > RST_STREAM 1 CANCEL", .act = RESET),
    ROW("trailers after our RST_STREAM keep HPACK right",
        "HEADERS 4 1 " POST "|HEADERS 5 1 40 01 78 01 79|HEADERS 5 3 " GET " bf",
        "head 1, head 3 end > RST_STREAM 1 CANCEL, RST_STREAM 3 CANCEL", .act = RESET),
    /* 5.1.1 */
    ROW("even id", "HEADERS 5 2 " GET, "> GOAWAY 0 PROTOCOL_ERROR ! stream.idle"),
    ROW("lower id", "HEADERS 5 5 " GET "|HEADERS 5 3 " GET,
        "head 5 end, close 5 PROTOCOL_ERROR > GOAWAY 5 PROTOCOL_ERROR ! stream.id_order"),
    ROW("stream 0", "HEADERS 5 0 " GET, "> GOAWAY 0 PROTOCOL_ERROR ! frame.stream_id"),
    /* 5.1.2: the test allows three */
    ROW("one stream too many",
        "HEADERS 5 1 " GET "|HEADERS 5 3 " GET "|HEADERS 5 5 " GET "|HEADERS 5 7 " GET
        " 40 01 78 01 79|RST_STREAM 0 1 00000008|HEADERS 5 9 " GET " bf",
        "head 1 end, head 3 end, head 5 end, close 1 CANCEL, head 9 end > "
        "RST_STREAM 7 REFUSED_STREAM ! streams"),
    /* 5.3, 6.3 */
    ROW("HEADERS that depends on itself", "HEADERS 25 1 00000001 10 " GET,
        "> RST_STREAM 1 PROTOCOL_ERROR ! stream.priority_self"),
    ROW("HEADERS with priority", "HEADERS 25 1 80000003 10 " GET, "head 1 end > HEADERS+END 1",
        .act = ANSWER),
    ROW("HEADERS too short for its priority", "HEADERS 25 1 000000",
        "> GOAWAY 0 FRAME_SIZE_ERROR ! frame.size"),
    ROW("PRIORITY that depends on itself", "HEADERS 4 1 " POST "|PRIORITY 0 1 0000000110",
        "head 1, close 1 PROTOCOL_ERROR > RST_STREAM 1 PROTOCOL_ERROR ! stream.priority_self"),
    ROW("PRIORITY of an idle stream that depends on itself", "PRIORITY 0 1 0000000110",
        "> GOAWAY 0 PROTOCOL_ERROR ! priority.self"),
    ROW("PRIORITY of a wrong size", "HEADERS 4 1 " POST "|PRIORITY 0 1 00000000",
        "head 1, close 1 FRAME_SIZE_ERROR > RST_STREAM 1 FRAME_SIZE_ERROR ! stream.frame_size"),
    ROW("PRIORITY on stream 0", "PRIORITY 0 0 0000000110",
        "> GOAWAY 0 PROTOCOL_ERROR ! frame.stream_id"),
    /* 6.1 */
    ROW("DATA on stream 0", "DATA 0 0 61", "> GOAWAY 0 PROTOCOL_ERROR ! frame.stream_id"),
    ROW("padding is cut off", "HEADERS 4 1 " POST "|DATA 9 1 03 6161 000000",
        "head 1, end 1 2 > HEADERS+END 1", .act = ANSWER),
    ROW("nothing but padding", "HEADERS 4 1 " POST "|DATA 9 1 03 000000",
        "head 1, end 1 0 > HEADERS+END 1", .act = ANSWER),
    ROW("more padding than payload", "HEADERS 4 1 " POST "|DATA 9 1 04 616161",
        "head 1, close 1 PROTOCOL_ERROR > GOAWAY 1 PROTOCOL_ERROR ! frame.padding"),
    ROW("padded and empty", "HEADERS 4 1 " POST "|DATA 9 1",
        "head 1, close 1 FRAME_SIZE_ERROR > GOAWAY 1 FRAME_SIZE_ERROR ! frame.size"),
    /* 6.2 */
    ROW("padded HEADERS", "HEADERS d 1 02 " GET " 0000", "head 1 end > HEADERS+END 1",
        .act = ANSWER),
    ROW("HEADERS with too much padding", "HEADERS d 1 ff " GET,
        "> GOAWAY 0 PROTOCOL_ERROR ! frame.padding"),
    /* 6.4 */
    ROW("RST_STREAM on stream 0", "RST_STREAM 0 0 00000008",
        "> GOAWAY 0 PROTOCOL_ERROR ! frame.stream_id"),
    ROW("RST_STREAM of a wrong size", "HEADERS 4 1 " POST "|RST_STREAM 0 1 000008",
        "head 1, close 1 FRAME_SIZE_ERROR > GOAWAY 1 FRAME_SIZE_ERROR ! frame.size"),
    ROW("RST_STREAM with NO_ERROR is a cancel", "HEADERS 4 1 " POST "|RST_STREAM 0 1 00000000",
        "head 1, close 1 CANCEL >"),
    /* 6.5 */
    ROW("SETTINGS ack with a payload", "SETTINGS 1 0 00",
        "> GOAWAY 0 FRAME_SIZE_ERROR ! frame.size"),
    ROW("SETTINGS on a stream", "SETTINGS 0 1", "> GOAWAY 0 PROTOCOL_ERROR ! frame.stream_id"),
    ROW("SETTINGS of five octets", "SETTINGS 0 0 0003000000",
        "> GOAWAY 0 FRAME_SIZE_ERROR ! frame.size"),
    ROW("ENABLE_PUSH 2", "SETTINGS 0 0 0002 00000002",
        "> GOAWAY 0 PROTOCOL_ERROR ! settings.value"),
    ROW("window of 2^31", "SETTINGS 0 0 0004 80000000",
        "> GOAWAY 0 FLOW_CONTROL_ERROR ! settings.window"),
    ROW("frames below 16384", "SETTINGS 0 0 0005 00003fff",
        "> GOAWAY 0 PROTOCOL_ERROR ! settings.value"),
    ROW("frames above 2^24-1", "SETTINGS 0 0 0005 01000000",
        "> GOAWAY 0 PROTOCOL_ERROR ! settings.value"),
    ROW("unknown setting", "SETTINGS 0 0 00ff 00000001", ">"),
    ROW("CONNECT twice enabled, then taken back",
        "SETTINGS 0 0 0008 00000001 0008 00000001|SETTINGS 0 0 0008 00000000",
        "> GOAWAY 0 PROTOCOL_ERROR ! settings.value"),
    ROW("RFC 7540 priorities change their mind", "SETTINGS 0 0 0009 00000001",
        "> GOAWAY 0 PROTOCOL_ERROR ! settings.value"),
    /* 6.6, 8.4 */
    ROW("PUSH_PROMISE from a client", "HEADERS 4 1 " POST "|PUSH_PROMISE 4 1 00000002 " GET,
        "head 1, close 1 PROTOCOL_ERROR > GOAWAY 1 PROTOCOL_ERROR ! promise.not_enabled"),
    ROW("a push", "HEADERS 5 1 " GET,
        "head 1 end, close 2 NO_ERROR, close 1 NO_ERROR > PUSH_PROMISE 1, HEADERS+END 2, "
        "HEADERS+END 1",
        .act = PUSH),
    ROW("a pushed response is refused when it has left",
        "HEADERS 5 1 " GET "|RST_STREAM 0 2 00000008|RST_STREAM 0 2 00000000|"
        "RST_STREAM 0 1 00000008",
        "head 1 end, close 2 NO_ERROR, close 1 NO_ERROR, late 2 CANCEL, late 2 NO_ERROR > "
        "PUSH_PROMISE 1, HEADERS+END 2, HEADERS+END 1",
        .act = PUSH),
    ROW("a promise that was never made is refused", "HEADERS 5 1 " GET "|RST_STREAM 0 4 00000008",
        "head 1 end, close 2 NO_ERROR, close 1 NO_ERROR > PUSH_PROMISE 1, HEADERS+END 2, "
        "HEADERS+END 1, GOAWAY 1 PROTOCOL_ERROR ! stream.idle",
        .act = PUSH),
    ROW("a push that is not wanted", "SETTINGS 0 0 0002 00000000|HEADERS 5 1 " GET,
        "head 1 end, close 1 NO_ERROR > HEADERS+END 1", .act = PUSH),
    ROW("no pushed stream may open", "SETTINGS 0 0 0003 00000000|HEADERS 5 1 " GET,
        "head 1 end, close 1 NO_ERROR > HEADERS+END 1", .act = PUSH),
    /* 6.7 */
    ROW("PING", "PING 0 0 0102030405060708", "> PING+ACK 0"),
    ROW("PING ack", "PING 1 0 0102030405060708", ">"),
    ROW("PING on a stream", "PING 0 1 0102030405060708",
        "> GOAWAY 0 PROTOCOL_ERROR ! frame.stream_id"),
    ROW("PING of six octets", "PING 0 0 010203040506", "> GOAWAY 0 FRAME_SIZE_ERROR ! frame.size"),
    /* 6.8 */
    ROW("GOAWAY on a stream", "GOAWAY 0 1 0000000000000000",
        "> GOAWAY 0 PROTOCOL_ERROR ! frame.stream_id"),
    ROW("GOAWAY too short", "GOAWAY 0 0 00000000000000",
        "> GOAWAY 0 FRAME_SIZE_ERROR ! frame.size"),
    ROW("GOAWAY with debug octets", "GOAWAY 0 0 00000000 00000000 616263", "goaway 0 NO_ERROR >"),
    ROW("GOAWAY that grows", "GOAWAY 0 0 00000000 00000000|GOAWAY 0 0 00000002 00000000",
        "goaway 0 NO_ERROR > GOAWAY 0 PROTOCOL_ERROR ! goaway.grew"),
    ROW("shutdown in two steps",
        "HEADERS 5 1 " GET "|HEADERS 5 3 " GET "|PING 1 0 73687574646f776e|HEADERS 5 5 " GET,
        "head 1 end, head 3 end > GOAWAY 2147483647 NO_ERROR, PING 0, GOAWAY 3 NO_ERROR",
        .act = SHUTDOWN),
    /* 6.9 */
    ROW("WINDOW_UPDATE 0", "WINDOW_UPDATE 0 0 00000000", "> GOAWAY 0 PROTOCOL_ERROR ! flow.zero"),
    ROW("WINDOW_UPDATE 0 on a stream", "HEADERS 4 1 " POST "|WINDOW_UPDATE 0 1 00000000",
        "head 1, close 1 PROTOCOL_ERROR > RST_STREAM 1 PROTOCOL_ERROR ! stream.flow_zero"),
    ROW("WINDOW_UPDATE of a wrong size", "WINDOW_UPDATE 0 0 000001",
        "> GOAWAY 0 FRAME_SIZE_ERROR ! frame.size"),
    ROW("the connection's window overflows",
        "WINDOW_UPDATE 0 0 7fffffff|WINDOW_UPDATE 0 0 7fffffff",
        "> GOAWAY 0 FLOW_CONTROL_ERROR ! flow.overflow"),
    ROW("a stream's window overflows", "HEADERS 4 1 " POST "|WINDOW_UPDATE 0 1 7fffffff",
        "head 1, close 1 FLOW_CONTROL_ERROR > RST_STREAM 1 FLOW_CONTROL_ERROR ! "
        "stream.flow_overflow"),
    ROW("the largest window", "HEADERS 4 1 " POST "|WINDOW_UPDATE 0 1 7fff0000", "head 1 >"),
    ROW("a new initial window overflows a stream's",
        "HEADERS 4 1 " POST "|WINDOW_UPDATE 0 1 7fff0000|SETTINGS 0 0 0004 00010000",
        "head 1, close 1 FLOW_CONTROL_ERROR > GOAWAY 1 FLOW_CONTROL_ERROR ! flow.overflow"),
    ROW("more DATA than the connection's window", "HEADERS 4 1 " POST "|DATA 0 1 z65536",
        "head 1, close 1 FLOW_CONTROL_ERROR > GOAWAY 1 FLOW_CONTROL_ERROR ! flow.conn",
        .large_frames = true),
    ROW("more DATA than the stream's window",
        "HEADERS 4 1 " POST "|DATA 0 1 z16384|DATA 0 1 z16384|DATA 0 1 z16384|DATA 0 1 z16384",
        "head 1, close 1 FLOW_CONTROL_ERROR > WINDOW_UPDATE 0, WINDOW_UPDATE 0, "
        "RST_STREAM 1 FLOW_CONTROL_ERROR ! stream.flow"),
    /* 8.1 */
    ROW("trailers", "HEADERS 4 1 " POST "|DATA 0 1 6161|HEADERS 5 1 [x: y]",
        "head 1, trailers 1 2 > HEADERS+END 1", .act = ANSWER),
    ROW("a second head without END_STREAM", "HEADERS 4 1 " POST "|HEADERS 4 1 [x: y]",
        "head 1, close 1 PROTOCOL_ERROR > RST_STREAM 1 PROTOCOL_ERROR ! message.order"),
    ROW("fields that are none for trailers", /* RFC 9110 6.5.1: on_trailers does not see them */
        "HEADERS 4 1 " POST "|HEADERS 5 1 [content-length: 5, 5][cookie: a=b][x: y]",
        "head 1, trailers 1 0 > HEADERS+END 1", .act = ANSWER),
    /* What is known of an entry of HPACK's table is no more than was looked at. */
    ROW("malformed by its index as well",
        "HEADERS 5 1 " GET " 40 01 78 01 00|HEADERS 5 3 " GET " bf|HEADERS 5 5 " GET " c0",
        "> RST_STREAM 1 PROTOCOL_ERROR, RST_STREAM 3 PROTOCOL_ERROR, RST_STREAM 5 PROTOCOL_ERROR ! "
        "message, message, message",
        .why = ERR_BAD_VALUE),
    ROW("a pseudo-header field that is malformed by its index as well",
        "HEADERS 5 1 82 87 44 01 61 41 01 61|HEADERS 5 3 82 87 bf be",
        "> RST_STREAM 1 PROTOCOL_ERROR, RST_STREAM 3 PROTOCOL_ERROR ! message, message",
        .why = ERR_BAD_PSEUDO),
    ROW("a trailer's Host says nothing of a request's",
        "HEADERS 4 1 " POST "|HEADERS 5 1 66 03 612f62|HEADERS 5 3 82 87 84 be",
        "head 1, trailers 1 0 > RST_STREAM 3 PROTOCOL_ERROR ! message", .why = ERR_BAD_HOST),
    ROW("pseudo-header field in trailers", "HEADERS 4 1 " POST "|HEADERS 5 1 [:path: /]",
        "head 1, close 1 PROTOCOL_ERROR > RST_STREAM 1 PROTOCOL_ERROR ! message",
        .why = ERR_BAD_PSEUDO),
    ROW("response before the request has ended", "HEADERS 4 1 " POST,
        "head 1, close 1 NO_ERROR > HEADERS+END 1, RST_STREAM 1 NO_ERROR", .act = ANSWER_EARLY),
    /* 8.2 */
    ROW("upper case", "HEADERS 5 1 " GET "[X: y]", "> RST_STREAM 1 PROTOCOL_ERROR ! message",
        .why = ERR_BAD_NAME),
    ROW("a space in a name", "HEADERS 5 1 " GET "[x y: z]",
        "> RST_STREAM 1 PROTOCOL_ERROR ! message", .why = ERR_BAD_NAME),
    ROW("NUL in a value", "HEADERS 5 1 " GET "00 01 78 01 00",
        "> RST_STREAM 1 PROTOCOL_ERROR ! message", .why = ERR_BAD_VALUE),
    ROW("line feed in a value", "HEADERS 5 1 " GET "00 01 78 03 610a61",
        "> RST_STREAM 1 PROTOCOL_ERROR ! message", .why = ERR_BAD_VALUE),
    ROW("space before a value", "HEADERS 5 1 " GET "00 01 78 02 2061",
        "> RST_STREAM 1 PROTOCOL_ERROR ! message", .why = ERR_BAD_VALUE),
    ROW("connection", "HEADERS 5 1 " GET "[connection: close]",
        "> RST_STREAM 1 PROTOCOL_ERROR ! message", .why = ERR_BAD_HOP),
    ROW("transfer-encoding", "HEADERS 5 1 " GET "[transfer-encoding: chunked]",
        "> RST_STREAM 1 PROTOCOL_ERROR ! message", .why = ERR_BAD_HOP),
    ROW("te: gzip", "HEADERS 5 1 " GET "[te: gzip]", "> RST_STREAM 1 PROTOCOL_ERROR ! message",
        .why = ERR_BAD_HOP),
    ROW("te: trailers", "HEADERS 5 1 " GET "[te: trailers]", "head 1 end > HEADERS+END 1",
        .act = ANSWER),
    ROW("cookie crumbs", "HEADERS 5 1 " GET "[cookie: a=1][x: y][cookie: b=2][cookie: c=3]",
        "head 1 end cookie a=1; b=2; c=3 >"),
    ROW("cookie crumbs, the last empty", "HEADERS 5 1 " GET "[cookie: a=1][cookie: ]",
        "head 1 end cookie a=1; >"),
    ROW("cookie crumbs, the first empty", "HEADERS 5 1 " GET "[cookie: ][cookie: a=1]",
        "head 1 end cookie ; a=1 >"),
    ROW("cookie crumbs, all empty", "HEADERS 5 1 " GET "[cookie: ][cookie: ]",
        "head 1 end cookie ; >"),
    /* 8.3 */
    ROW("unknown pseudo-header field", "HEADERS 5 1 " GET "[:x: y]",
        "> RST_STREAM 1 PROTOCOL_ERROR ! message", .why = ERR_BAD_PSEUDO),
    ROW("a response's pseudo-header field", "HEADERS 5 1 " GET "[:status: 200]",
        "> RST_STREAM 1 PROTOCOL_ERROR ! message", .why = ERR_BAD_PSEUDO),
    ROW("pseudo-header field after others", "HEADERS 5 1 82 87 41 01 61 [x: y] 84",
        "> RST_STREAM 1 PROTOCOL_ERROR ! message", .why = ERR_BAD_PSEUDO),
    ROW("no :method", "HEADERS 5 1 87 84 41 01 61", "> RST_STREAM 1 PROTOCOL_ERROR ! message",
        .why = ERR_BAD_PSEUDO),
    ROW("no :scheme", "HEADERS 5 1 82 84 41 01 61", "> RST_STREAM 1 PROTOCOL_ERROR ! message",
        .why = ERR_BAD_PSEUDO),
    ROW("no :path", "HEADERS 5 1 82 87 41 01 61", "> RST_STREAM 1 PROTOCOL_ERROR ! message",
        .why = ERR_BAD_PSEUDO),
    ROW("empty :path", "HEADERS 5 1 82 87 41 01 61 [:path: ]",
        "> RST_STREAM 1 PROTOCOL_ERROR ! message", .why = ERR_BAD_PSEUDO),
    ROW(":path without a slash", "HEADERS 5 1 82 87 41 01 61 [:path: x]",
        "> RST_STREAM 1 PROTOCOL_ERROR ! message", .why = ERR_BAD_PSEUDO),
    ROW("GET *", "HEADERS 5 1 82 87 41 01 61 [:path: *]", "> RST_STREAM 1 PROTOCOL_ERROR ! message",
        .why = ERR_BAD_PSEUDO),
    ROW("OPTIONS *", "HEADERS 5 1 [:method: OPTIONS] 87 41 01 61 [:path: *]",
        "head 1 end > HEADERS+END 1", .act = ANSWER),
    ROW(":method twice", "HEADERS 5 1 82 82 87 84 41 01 61",
        "> RST_STREAM 1 PROTOCOL_ERROR ! message", .why = ERR_BAD_PSEUDO),
    ROW(":scheme twice", "HEADERS 5 1 82 87 87 84 41 01 61",
        "> RST_STREAM 1 PROTOCOL_ERROR ! message"),
    ROW(":path twice", "HEADERS 5 1 82 87 84 84 41 01 61",
        "> RST_STREAM 1 PROTOCOL_ERROR ! message"),
    ROW(":authority twice", "HEADERS 5 1 " GET "41 01 61",
        "> RST_STREAM 1 PROTOCOL_ERROR ! message", .why = ERR_BAD_PSEUDO),
    ROW("Host alone", "HEADERS 5 1 82 87 84 [host: b]", "head 1 end host b >"),
    ROW("Host that agrees", "HEADERS 5 1 " GET "[host: A]", "head 1 end > HEADERS+END 1",
        .act = ANSWER),
    ROW("Host that disagrees", "HEADERS 5 1 " GET "[host: b]",
        "> RST_STREAM 1 PROTOCOL_ERROR ! message", .why = ERR_BAD_HOST),
    ROW("Host twice", "HEADERS 5 1 " GET "[host: a][host: a]",
        "> RST_STREAM 1 PROTOCOL_ERROR ! message", .why = ERR_BAD_HOST),
    ROW("user information", "HEADERS 5 1 82 87 84 [:authority: u@a]",
        "> RST_STREAM 1 PROTOCOL_ERROR ! message", .why = ERR_BAD_PSEUDO),
    /* 8.1.1 */
    ROW("content-length with END_STREAM", "HEADERS 5 1 " POST "[content-length: 1]",
        "> RST_STREAM 1 PROTOCOL_ERROR ! message", .why = ERR_BAD_LENGTH),
    ROW("more than content-length", "HEADERS 4 1 " POST "[content-length: 1]|DATA 0 1 6161",
        "head 1, close 1 PROTOCOL_ERROR > RST_STREAM 1 PROTOCOL_ERROR ! message.length"),
    ROW("less than content-length",
        "HEADERS 4 1 " POST "[content-length: 3]|DATA 0 1 61|DATA 1 1 61",
        "head 1, close 1 PROTOCOL_ERROR > RST_STREAM 1 PROTOCOL_ERROR ! message.length"),
    ROW("less than content-length, then trailers",
        "HEADERS 4 1 " POST "[content-length: 3]|DATA 0 1 61|HEADERS 5 1 [x: y]",
        "head 1, close 1 PROTOCOL_ERROR > RST_STREAM 1 PROTOCOL_ERROR ! message.length"),
    ROW("content-length that is right",
        "HEADERS 4 1 " POST "[content-length: 3]|DATA 0 1 6161|DATA 1 1 61",
        "head 1, end 1 3 > HEADERS+END 1", .act = ANSWER),
    ROW("content-length that is no number", "HEADERS 4 1 " POST "[content-length: +3]",
        "> RST_STREAM 1 PROTOCOL_ERROR ! message", .why = ERR_BAD_LENGTH),
    /* 8.5, RFC 8441 4 */
    ROW("CONNECT", "HEADERS 4 1 [:method: CONNECT][:authority: a:443]", "head 1 >"),
    ROW("CONNECT with :path", "HEADERS 4 1 [:method: CONNECT][:authority: a:443] 84",
        "> RST_STREAM 1 PROTOCOL_ERROR ! message", .why = ERR_BAD_PSEUDO),
    ROW("CONNECT to nowhere", "HEADERS 4 1 [:method: CONNECT]",
        "> RST_STREAM 1 PROTOCOL_ERROR ! message", .why = ERR_BAD_PSEUDO),
    ROW("extended CONNECT", "HEADERS 4 1 [:method: CONNECT][:protocol: websocket] 87 84 41 01 61",
        "head 1 >"),
    ROW("a tunnel that we end first", "HEADERS 4 1 [:method: CONNECT][:authority: a:443]",
        "head 1 > HEADERS+END 1", .act = ANSWER_EARLY),
    ROW("trailers in a tunnel",
        "HEADERS 4 1 [:method: CONNECT][:authority: a:443]|HEADERS 5 1 [x: y]",
        "head 1, close 1 PROTOCOL_ERROR > RST_STREAM 1 PROTOCOL_ERROR ! message.order"),
    ROW("extended CONNECT without :path",
        "HEADERS 4 1 [:method: CONNECT][:protocol: websocket] 87 41 01 61",
        "> RST_STREAM 1 PROTOCOL_ERROR ! message"),
    ROW("extended CONNECT, :path *",
        "HEADERS 4 1 [:method: CONNECT][:protocol: websocket] 87 41 01 61 [:path: *]",
        "> RST_STREAM 1 PROTOCOL_ERROR ! message"),
    ROW("extended CONNECT, Host alone",
        "HEADERS 4 1 [:method: CONNECT][:protocol: websocket] 87 84 [host: b]", "head 1 host b >"),
    ROW("extended CONNECT without authority",
        "HEADERS 4 1 [:method: CONNECT][:protocol: websocket] 87 84",
        "> RST_STREAM 1 PROTOCOL_ERROR ! message"),
    ROW(":protocol without CONNECT", "HEADERS 5 1 " GET "[:protocol: websocket]",
        "> RST_STREAM 1 PROTOCOL_ERROR ! message"),
    /* RFC 6585 5: the test allows 2000 octets */
    ROW("section too large", "HEADERS 5 1 " GET "00 01 78 7fd10e z2000|HEADERS 5 3 " GET,
        "head 3 end, close 3 NO_ERROR > HEADERS+END 1, HEADERS+END 3 ! fields.large",
        .act = ANSWER),
    ROW("section too large, content to come",
        "HEADERS 4 1 " POST "00 01 78 7fd10e z2000|DATA 1 1 61",
        "> HEADERS+END 1, RST_STREAM 1 NO_ERROR ! fields.large"),
    /* RFC 9218 7.1 */
    ROW("PRIORITY_UPDATE on a stream", "PRIORITY_UPDATE 0 1 00000001 753d31",
        "> GOAWAY 0 PROTOCOL_ERROR ! frame.stream_id"),
    ROW("PRIORITY_UPDATE of stream 0", "PRIORITY_UPDATE 0 0 00000000 753d31",
        "> GOAWAY 0 PROTOCOL_ERROR ! priority_update.stream"),
    ROW("PRIORITY_UPDATE of an idle push", "PRIORITY_UPDATE 0 0 00000002 753d31",
        "> GOAWAY 0 PROTOCOL_ERROR ! priority_update.stream"),
    ROW("PRIORITY_UPDATE too short", "PRIORITY_UPDATE 0 0 000001",
        "> GOAWAY 0 FRAME_SIZE_ERROR ! frame.size"),
    ROW("PRIORITY_UPDATE before its stream",
        "PRIORITY_UPDATE 0 0 00000001 753d31|HEADERS 5 1 " GET "[priority: u=6]",
        "head 1 end urgency 1 >"),
    ROW("PRIORITY_UPDATE after its stream",
        "HEADERS 5 1 " GET "[priority: u=6]|PRIORITY_UPDATE 0 0 00000001 753d32",
        "head 1 end urgency 6 >"),
};

/* The request GET https://a/ went out on stream 1 already. */
static const struct row client_rows[] = {
    ROW("a response", "HEADERS 4 1 " OK "|DATA 1 1 6161", "head 1, end 1 2, close 1 NO_ERROR >"),
    ROW("a tunnel", "HEADERS 4 1 " OK "|DATA 1 1 6161", "head 1, end 1 2 >", .connect = true),
    ROW("trailers in a tunnel", "HEADERS 4 1 " OK "|HEADERS 5 1 [x: y]",
        "head 1, close 1 PROTOCOL_ERROR > RST_STREAM 1 PROTOCOL_ERROR ! message.order",
        .connect = true),
    ROW("a tunnel by 204", "HEADERS 4 1 89|DATA 1 1 6161", "head 1 status 204, end 1 2 >",
        .connect = true),
    ROW("trailers of a tunnel that was refused",
        "HEADERS 4 1 [:status: 403]|DATA 0 1 6161|HEADERS 5 1 [x: y]",
        "head 1 status 403, trailers 1 2 >", .connect = true),
    ROW("no SETTINGS first", "HEADERS 5 1 " OK,
        "close 1 PROTOCOL_ERROR > GOAWAY 0 PROTOCOL_ERROR ! preface.settings", .bare = true),
    ROW("103, then a response", "HEADERS 4 1 [:status: 103]|HEADERS 5 1 " OK,
        "head 1 status 103, head 1 end, close 1 NO_ERROR >"),
    ROW("103 that ends", "HEADERS 5 1 [:status: 103]",
        "close 1 PROTOCOL_ERROR > RST_STREAM 1 PROTOCOL_ERROR ! message",
        .why = ERR_BAD_INFORMATIONAL),
    ROW("101", "HEADERS 4 1 [:status: 101]",
        "close 1 PROTOCOL_ERROR > RST_STREAM 1 PROTOCOL_ERROR ! message", .why = ERR_BAD_PSEUDO),
    ROW("two digits", "HEADERS 4 1 [:status: 20]",
        "close 1 PROTOCOL_ERROR > RST_STREAM 1 PROTOCOL_ERROR ! message"),
    ROW("no :status", "HEADERS 4 1 [x: y]",
        "close 1 PROTOCOL_ERROR > RST_STREAM 1 PROTOCOL_ERROR ! message", .why = ERR_BAD_PSEUDO),
    ROW("a request's pseudo-header field", "HEADERS 4 1 " OK "84",
        "close 1 PROTOCOL_ERROR > RST_STREAM 1 PROTOCOL_ERROR ! message", .why = ERR_BAD_PSEUDO),
    ROW("DATA before the head", "DATA 1 1 61",
        "close 1 PROTOCOL_ERROR > RST_STREAM 1 PROTOCOL_ERROR ! message.order"),
    ROW("DATA of nothing before the head", "HEADERS 4 1 [:status: 103]|DATA 0 1|HEADERS 5 1 " OK,
        "head 1 status 103, close 1 PROTOCOL_ERROR > RST_STREAM 1 PROTOCOL_ERROR ! message.order"),
    ROW("status 600", "HEADERS 5 1 [:status: 600]",
        "close 1 PROTOCOL_ERROR > RST_STREAM 1 PROTOCOL_ERROR ! message"),
    ROW("trailers", "HEADERS 4 1 " OK "|DATA 0 1 61|HEADERS 5 1 [x: y]",
        "head 1, trailers 1 1, close 1 NO_ERROR >"),
    ROW("content behind the end of a response", "HEADERS 5 1 " OK "|DATA 1 1 61",
        "head 1 end, close 1 NO_ERROR > GOAWAY 0 STREAM_CLOSED ! stream.closed"),
    ROW("304 with the length of what is not sent", "HEADERS 5 1 [:status: 304][content-length: 9]",
        "head 1 end status 304, close 1 NO_ERROR >"),
    ROW("304 with content", "HEADERS 4 1 [:status: 304]|DATA 1 1 61",
        "head 1 status 304, close 1 PROTOCOL_ERROR > RST_STREAM 1 PROTOCOL_ERROR ! message.length"),
    ROW("ENABLE_PUSH from a server", "SETTINGS 0 0 0002 00000001",
        "close 1 PROTOCOL_ERROR > GOAWAY 0 PROTOCOL_ERROR ! settings.value"),
    ROW("a stream that the server opens", "HEADERS 4 2 " OK,
        "close 1 PROTOCOL_ERROR > GOAWAY 0 PROTOCOL_ERROR ! stream.idle"),
    ROW("a stream that we never opened", "HEADERS 4 3 " OK,
        "close 1 PROTOCOL_ERROR > GOAWAY 0 PROTOCOL_ERROR ! stream.idle"),
    ROW("PRIORITY_UPDATE from a server", "PRIORITY_UPDATE 0 0 00000001 753d31",
        "close 1 PROTOCOL_ERROR > GOAWAY 0 PROTOCOL_ERROR ! priority_update.stream"),
    ROW("refused", "RST_STREAM 0 1 00000007", "close 1 REFUSED_STREAM unprocessed >"),
    ROW("GOAWAY below our stream", "GOAWAY 0 0 00000000 00000000",
        "close 1 REFUSED_STREAM unprocessed, goaway 0 NO_ERROR >"),
    ROW("GOAWAY at our stream", "GOAWAY 0 0 00000001 00000000|HEADERS 5 1 " OK,
        "goaway 1 NO_ERROR, head 1 end, close 1 NO_ERROR >"),
    /* 8.4 */
    ROW("a push",
        "PUSH_PROMISE 4 1 00000002 " GET "|HEADERS 5 1 " OK "|HEADERS 4 2 " OK "|DATA 1 2 61",
        "promise 2 of 1, head 1 end, close 1 NO_ERROR, head 2, end 2 1, close 2 NO_ERROR >"),
    ROW("a push in two parts", "PUSH_PROMISE 0 1 00000002 82 87|CONTINUATION 4 1 84 41 01 61",
        "promise 2 of 1 >"),
    ROW("a padded push", "PUSH_PROMISE c 1 01 00000002 " GET "00", "promise 2 of 1 >"),
    ROW("a push that was not allowed", "PUSH_PROMISE 4 1 00000002 " GET,
        "close 1 PROTOCOL_ERROR > GOAWAY 0 PROTOCOL_ERROR ! promise.not_enabled", .no_push = true),
    ROW("a push that is refused",
        "PUSH_PROMISE 4 1 00000002 " GET "|HEADERS 4 2 " OK "|DATA 1 2 61",
        "promise 2 of 1 > RST_STREAM 2 CANCEL", .act = RESET),
    ROW("a push without an authority", "PUSH_PROMISE 4 1 00000002 82 87 84",
        "> RST_STREAM 2 PROTOCOL_ERROR ! message", .why = ERR_BAD_PROMISE),
    ROW("a push of POST", "PUSH_PROMISE 4 1 00000002 " POST,
        "> RST_STREAM 2 PROTOCOL_ERROR ! message", .why = ERR_BAD_PROMISE),
    ROW("a push with content", "PUSH_PROMISE 4 1 00000002 " GET "[content-length: 1]",
        "> RST_STREAM 2 PROTOCOL_ERROR ! message", .why = ERR_BAD_LENGTH),
    ROW("a push with an odd id", "PUSH_PROMISE 4 1 00000003 " GET,
        "close 1 PROTOCOL_ERROR > GOAWAY 0 PROTOCOL_ERROR ! promise.id"),
    ROW("a push with a lower id",
        "PUSH_PROMISE 4 1 00000004 " GET "|PUSH_PROMISE 4 1 00000002 " GET,
        "promise 4 of 1, close 1 PROTOCOL_ERROR, close 4 PROTOCOL_ERROR > GOAWAY 4 PROTOCOL_ERROR "
        "! promise.id"),
    ROW("a push on an idle stream", "PUSH_PROMISE 4 3 00000002 " GET,
        "close 1 PROTOCOL_ERROR > GOAWAY 0 PROTOCOL_ERROR ! promise.parent"),
    ROW("a push on a pushed stream",
        "PUSH_PROMISE 4 1 00000002 " GET "|PUSH_PROMISE 4 2 00000004 " GET,
        "promise 2 of 1, close 1 PROTOCOL_ERROR, close 2 PROTOCOL_ERROR > GOAWAY 2 PROTOCOL_ERROR "
        "! promise.parent"),
    ROW("a push on a finished stream", "HEADERS 5 1 " OK "|PUSH_PROMISE 4 1 00000002 " GET,
        "head 1 end, close 1 NO_ERROR > GOAWAY 0 PROTOCOL_ERROR ! promise.parent"),
    ROW("DATA before a pushed head", "PUSH_PROMISE 4 1 00000002 " GET "|DATA 0 2 61",
        "promise 2 of 1, close 1 PROTOCOL_ERROR, close 2 PROTOCOL_ERROR > GOAWAY 2 PROTOCOL_ERROR "
        "! stream.reserved"),
    ROW("WINDOW_UPDATE on a promise",
        "PUSH_PROMISE 4 1 00000002 " GET "|WINDOW_UPDATE 0 2 00000001",
        "promise 2 of 1, close 1 PROTOCOL_ERROR, close 2 PROTOCOL_ERROR > GOAWAY 2 PROTOCOL_ERROR "
        "! stream.reserved"),
    ROW("a push taken back", "PUSH_PROMISE 4 1 00000002 " GET "|RST_STREAM 0 2 00000008",
        "promise 2 of 1, close 2 CANCEL >"),
    ROW("one push too many",
        "PUSH_PROMISE 4 1 00000002 " GET "|PUSH_PROMISE 4 1 00000004 " GET
        "|PUSH_PROMISE 4 1 00000006 " GET "|PUSH_PROMISE 4 1 00000008 " GET "|HEADERS 5 8 " OK,
        "promise 2 of 1, promise 4 of 1, promise 6 of 1 > RST_STREAM 8 REFUSED_STREAM ! streams"),
};

/* Text to octets. */

static void add_octet(struct buf *b, unsigned octet)
{
    uint8_t o = (uint8_t)octet;
    assert_int_equal(buf_add(b, &o, 1), 0);
}

static unsigned digit(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a') + 10;
}

static void write_payload(struct buf *b, struct slice text)
{
    for (size_t i = 0; i < text.len;) {
        char c = text.p[i];
        if (c == ' ') {
            i++;
        } else if (c == 'z') {
            for (unsigned long n = strtoul(text.p + i + 1, NULL, 10); n; n--)
                add_octet(b, 0);
            while (i < text.len && text.p[i] != ' ')
                i++;
        } else if (c == '[') {
            const char *end = memchr(text.p + i, ']', text.len - i), *at = text.p + i + 1;
            const char *colon = memchr(at + 1, ':', (size_t)(end - at - 1));
            struct slice name = slice_of(at, (size_t)(colon - at));
            struct slice value = slice_of(colon + 2, (size_t)(end - colon - 2));
            add_octet(b, 0);
            add_octet(b, (unsigned)name.len);
            buf_add(b, name.p, name.len);
            add_octet(b, (unsigned)value.len);
            buf_add(b, value.p, value.len);
            i = (size_t)(end + 1 - text.p);
        } else {
            add_octet(b, digit(c) << 4 | digit(text.p[i + 1]));
            i += 2;
        }
    }
}

static const struct {
    const char *name;
    enum h2_frame_type type;
} types[] = {
#define X(name, value) {#name, H2_FRAME_##name},
    H2_FRAME_TABLE(X)
#undef X
        {"TYPE22", (enum h2_frame_type)0x22},
};

static void write_frame(struct buf *b, struct pool *pool, struct slice text)
{
    char name[32];
    unsigned flags, id;
    int at = 0;
    char line[512];
    snprintf(line, sizeof line, "%.*s", SLICE_FMT(text));
    if (strncmp(line, "RAW ", 4) == 0) {
        write_payload(b, slice_str(line + 4));
        return;
    }
    assert_int_equal(sscanf(line, "%31s %x %u%n", name, &flags, &id, &at), 3);
    struct buf payload;
    buf_init(&payload, pool);
    write_payload(&payload, slice_str(line + at));
    uint8_t head[H2_FRAME_HEAD_OCTETS];
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (strcmp(types[i].name, name) == 0) {
            h2_frame_head_write(head, (uint32_t)buf_len(&payload), types[i].type, flags, id);
            buf_add(b, head, sizeof head);
            buf_add(b, buf_at(&payload), buf_len(&payload));
            buf_fini(&payload);
            return;
        }
    fail_msg("no frame type %s", name);
}

/* Events and frames to text. */

struct test {
    const struct row *row;
    enum h2_role role;
    struct h2_conn *conn;
    struct buf text, refused;
    size_t received[16];
    bool started;
};

static bool blamed[H2_BLAME_COUNT]; /* by any row */

static void say(struct test *t, const char *fmt, ...)
{
    char line[200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (t->started)
        buf_add(&t->text, ", ", 2);
    buf_add(&t->text, line, strlen(line));
    t->started = true;
}

static void answer(struct h2_stream *s)
{
    const struct http_head head = {.status = 200};
    h2_stream_respond(s, &head, true);
}

static void act_on_request(struct test *t, struct h2_stream *s, bool end)
{
    struct http_head push = {.method = SLICE("GET"),
                             .scheme = SLICE("https"),
                             .authority = SLICE("a"),
                             .path = SLICE("/")};
    int err;
    switch (t->row->act) {
    case SILENT:
        break;
    case ANSWER:
        if (end)
            answer(s);
        break;
    case ANSWER_EARLY:
        answer(s);
        break;
    case PUSH: {
        struct h2_stream *p = h2_stream_promise(s, &push, NULL, &err);
        if (p)
            answer(p);
        answer(s);
        break;
    }
    case RESET:
        h2_stream_reset(s, H2_CANCEL);
        break;
    case SHUTDOWN:
        h2_conn_shutdown(t->conn);
        break;
    }
}

static void on_head(void *user, struct h2_stream *s, const struct http_head *head, bool end)
{
    struct test *t = user;
    char more[100] = "";
    const struct field *cookie = fields_find(&head->fields, TOKEN_COOKIE);
    if (cookie)
        snprintf(more, sizeof more, " cookie %.*s", SLICE_FMT(cookie->value));
    else if (fields_find(&head->fields, TOKEN_PRIORITY))
        snprintf(more, sizeof more, " urgency %u", h2_stream_priority(s).urgency);
    else if (t->role == H2_SERVER && slice_eq(head->authority, SLICE("b")))
        snprintf(more, sizeof more, " host b");
    else if (t->role == H2_CLIENT && head->status != 200)
        snprintf(more, sizeof more, " status %u", head->status);
    assert_null(fields_find(&head->fields, TOKEN_HOST));
    say(t, "head %u%s%s", h2_stream_id(s), end ? " end" : "", more);
    if (t->role == H2_SERVER)
        act_on_request(t, s, end);
}

static void on_body(void *user, struct h2_stream *s, struct slice octets, bool end)
{
    struct test *t = user;
    uint32_t id = h2_stream_id(s);
    t->received[id] += octets.len;
    if (end) {
        say(t, "end %u %zu", id, t->received[id]);
        if (t->row->act == ANSWER)
            answer(s);
    }
}

static void on_trailers(void *user, struct h2_stream *s, const struct fields *trailers)
{
    struct test *t = user;
    uint32_t id = h2_stream_id(s);
    for (uint32_t i = 0; i < trailers->count; i++)
        assert_true(rules_is_trailer((enum token)trailers->at[i].token));
    say(t, "trailers %u %zu", id, t->received[id]);
    if (t->row->act == ANSWER)
        answer(s);
}

static void on_promise(void *user, struct h2_stream *parent, struct h2_stream *promised,
                       const struct http_head *head)
{
    struct test *t = user;
    assert_true(slice_eq(head->path, SLICE("/")));
    say(t, "promise %u of %u", h2_stream_id(promised), h2_stream_id(parent));
    if (t->row->act == RESET)
        h2_stream_reset(promised, H2_CANCEL);
}

static void on_close(void *user, struct h2_stream *s, uint32_t code)
{
    struct test *t = user;
    /* A clean end is told only where it is what the row is about. */
    if (code == H2_NO_ERROR && t->row->act == ANSWER && !strstr(t->row->out, "close"))
        return;
    say(t, "close %u %s%s", h2_stream_id(s), h2_code_name(code),
        h2_stream_unprocessed(s) ? " unprocessed" : "");
}

static void on_goaway(void *user, uint32_t last_stream_id, uint32_t code)
{
    say(user, "goaway %u %s", last_stream_id, h2_code_name(code));
}

static void on_late_reset(void *user, uint32_t stream_id, uint32_t code)
{
    say(user, "late %u %s", stream_id, h2_code_name(code));
}

static void on_refuse(void *user, enum h2_blame blame, const char *why)
{
    struct test *t = user;
    const struct h2_blame_row *row = h2_blame_row(blame);
    assert_string_not_equal(why, "");
    blamed[blame] = true;
    buf_add(&t->refused, buf_len(&t->refused) ? ", " : " ! ", buf_len(&t->refused) ? 2 : 3);
    buf_add(&t->refused, row->name, strlen(row->name));
}

static const struct h2_events events = {
    .on_head = on_head,
    .on_body = on_body,
    .on_trailers = on_trailers,
    .on_promise = on_promise,
    .on_close = on_close,
    .on_late_reset = on_late_reset,
    .on_goaway = on_goaway,
    .on_refuse = on_refuse,
};

static void say_frame(struct test *t, const struct h2_frame *f)
{
    const char *name = NULL;
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (types[i].type == f->type)
            name = types[i].name;
    switch ((enum h2_frame_type)f->type) {
    case H2_FRAME_SETTINGS:
        break;
    case H2_FRAME_GOAWAY:
        say(t, "GOAWAY %u %s", h2_get_u32(f->payload), h2_code_name(h2_get_u32(f->payload + 4)));
        break;
    case H2_FRAME_RST_STREAM:
        say(t, "RST_STREAM %u %s", f->stream_id, h2_code_name(h2_get_u32(f->payload)));
        break;
    case H2_FRAME_PING:
        say(t, "PING%s 0", f->flags & H2_FLAG_ACK ? "+ACK" : "");
        break;
    case H2_FRAME_DATA:
    case H2_FRAME_HEADERS:
    case H2_FRAME_PRIORITY:
    case H2_FRAME_PUSH_PROMISE:
    case H2_FRAME_WINDOW_UPDATE:
    case H2_FRAME_CONTINUATION:
    case H2_FRAME_PRIORITY_UPDATE:
    case H2_FRAME_TYPES:
        say(t, "%s%s %u", name, f->flags & H2_FLAG_END_STREAM ? "+END" : "", f->stream_id);
        break;
    }
}

static size_t draw(struct test *t, char *out, size_t cap)
{
    size_t n = h2_conn_output(t->conn, out, cap, 1);
    assert_true(n < cap);
    return n;
}

static void run(const struct row *row, enum h2_role role, bool cut)
{
    struct pool pool;
    struct h2_settings settings;
    struct test t = {.row = row, .role = role};
    struct buf in;
    char out[8192];
    pool_init(&pool);
    buf_init(&in, &pool);
    buf_init(&t.text, &pool);
    buf_init(&t.refused, &pool);
    h2_settings_default(&settings, role);
    settings.max_concurrent_streams = 3;
    settings.stream_window = settings.conn_window = 65535;
    settings.max_field_section_octets = 2000;
    settings.enable_push = !row->no_push;
    settings.max_frame_octets = row->large_frames ? 65536 : settings.max_frame_octets;
    t.conn = h2_conn_new(role, &settings, &events, &t, &pool, 1);
    if (role == H2_CLIENT) {
        const struct http_head get = {.method = row->connect ? SLICE("CONNECT") : SLICE("GET"),
                                      .scheme = SLICE("https"),
                                      .authority = SLICE("a"),
                                      .path = SLICE("/")};
        int err;
        assert_non_null(h2_conn_request(t.conn, &get, !row->connect, NULL, &err));
    }
    draw(&t, out, sizeof out);
    if (role == H2_SERVER && !row->bare)
        buf_add(&in, H2_PREFACE, H2_PREFACE_OCTETS);
    if (!row->bare)
        write_frame(&in, &pool, SLICE("SETTINGS 0 0"));
    for (const char *at = row->in; at;) {
        const char *bar = strchr(at, '|');
        write_frame(&in, &pool, bar ? slice_of(at, (size_t)(bar - at)) : slice_str(at));
        at = bar ? bar + 1 : NULL;
    }
    size_t piece = cut ? 1 : buf_len(&in);
    while (buf_len(&in)) {
        h2_conn_feed(t.conn, buf_at(&in), piece, 1);
        buf_consume(&in, piece);
    }
    /* Streams in their last moments: what output has to say comes with the events. */
    size_t n = draw(&t, out, sizeof out);
    buf_add(&t.text, t.started ? " >" : ">", t.started ? 2 : 1);
    t.started = false;
    size_t mark = buf_len(&t.text);
    for (size_t at = 0; at < n;) {
        struct h2_frame f;
        h2_frame_head_read(&f, (uint8_t *)out + at);
        f.payload = (uint8_t *)out + at + H2_FRAME_HEAD_OCTETS;
        at += H2_FRAME_HEAD_OCTETS + f.len;
        size_t before = buf_len(&t.text);
        say_frame(&t, &f);
        if (before == mark && buf_len(&t.text) > mark) {
            char first[200];
            int len = snprintf(first, sizeof first, " %.*s", (int)(buf_len(&t.text) - mark),
                               buf_at(&t.text) + mark);
            t.text.end = t.text.start + mark;
            buf_add(&t.text, first, (size_t)len);
        }
    }
    buf_add(&t.text, buf_at(&t.refused), buf_len(&t.refused));
    if (!slice_eq(buf_slice(&t.text), slice_str(row->out)))
        fail_msg("%s%s:\n     %.*s\nnot: %s", row->name, cut ? ", cut" : "",
                 SLICE_FMT(buf_slice(&t.text)), row->out);
    assert_int_equal(h2_conn_blame(t.conn) == H2_BLAME_NONE, t.conn->error == 0);
    if (row->why && strcmp(h2_conn_why(t.conn), err_text(row->why)) != 0)
        fail_msg("%s: %s\nnot: %s", row->name, h2_conn_why(t.conn), err_text(row->why));
    h2_conn_free(t.conn);
    buf_fini(&in);
    buf_fini(&t.text);
    buf_fini(&t.refused);
    assert_int_equal(pool.live, 0);
    pool_fini(&pool);
}

static void test_server(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(server_rows); i++) {
        run(&server_rows[i], H2_SERVER, false);
        run(&server_rows[i], H2_SERVER, true);
    }
}

static void test_client(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(client_rows); i++) {
        run(&client_rows[i], H2_CLIENT, false);
        run(&client_rows[i], H2_CLIENT, true);
    }
}

/* No reason to refuse is without a row; those that take more than a row are of test_h2_budget and
 * test_h2_memory. */
static void test_every_reason(void **state)
{
    static const enum h2_blame elsewhere[] = {
        H2_BLAME_BLOCK_SIZE,      H2_BLAME_QUEUE,         H2_BLAME_BUDGET_RESETS,
        H2_BLAME_BUDGET_SETTINGS, H2_BLAME_BUDGET_PINGS,  H2_BLAME_BUDGET_EMPTY,
        H2_BLAME_BUDGET_PRIORITY, H2_BLAME_BUDGET_WINDOW, H2_BLAME_MEMORY,
        H2_BLAME_SECTIONS,        H2_BLAME_INFORMATIONAL,
    };
    for (size_t i = 0; i < ARRAY_LEN(elsewhere); i++)
        blamed[elsewhere[i]] = true;
    for (unsigned b = H2_BLAME_NONE + 1; b < H2_BLAME_COUNT; b++)
        if (!blamed[b])
            fail_msg("no row is refused as %s", h2_blame_row((enum h2_blame)b)->name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_server),
        cmocka_unit_test(test_client),
        cmocka_unit_test(test_every_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
