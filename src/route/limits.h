/* SPDX-License-Identifier: Apache-2.0 */
/* The limits that hold for clients whatever app they ask: one table, from which come the settings
 * of the manifest (`limits`), their defaults, what the snapshot carries and doc/limits.md. */
#ifndef ROUTE_LIMITS_H
#define ROUTE_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

/* So many at once, and then so many a second: a token bucket. */
struct limit_rate {
    uint32_t burst, per_second;
};

/* kind, symbol, key, default (two numbers of a RATE), least, most, what it bounds and why so much.
 * COUNT; OCTETS; SIZE, octets beyond 32 bits; MS, in milliseconds; RATE.  Of HTTP/2: for each
 * connection. */
#define LIMIT_TABLE(X)                                                                             \
    X(SIZE, memory_octets, memory, 0, 0, 0, 1125899906842624,                                      \
      "What all connections and requests may hold of edge's memory, over all loops; 0: half of "   \
      "what the machine has, or edge's control group. Beyond it what workers promised and "        \
      "nobody has asked for is dropped, then the clients that have edge hold most are let "        \
      "go, and nobody new is taken: else the kernel would choose, and all would go.")              \
    X(COUNT, connections_per_address, connectionsPerAddress, 4096, 0, 0, 10000000,                 \
      "Connections open at once from one IPv4 address or IPv6 /64, over all loops; 0: no limit. "  \
      "Trusted proxies are not counted. Enough for a large office behind one address.")            \
    X(RATE, abuses_per_address, abusesPerAddress, 10, 1, 1, 1000000,                               \
      "HTTP/2 connections of one address that are ended by ENHANCE_YOUR_CALM, and what those "     \
      "that the client ends have used of http2Resets, open requests counted in; a TLS handshake "  \
      "that begins and does not end is a tenth of one. Beyond it new ones get a quarter of each "  \
      "rate below, "                                                                               \
      "and are heard up to a second later: others behind the same address can bear it, who comes " \
      "back at once gets little. Trusted proxies are not counted.")                                \
    X(MS, handshake_ms, handshake, 10000, 0, 100, 600000,                                          \
      "From accept to the end of the TLS handshake: three round trips over the worst link, and "   \
      "some loss.")                                                                                \
    X(COUNT, key_updates, keyUpdates, 100, 0, 1, 1000000,                                          \
      "TLS 1.3 KeyUpdates of one connection. Ciphers need one after millions of records; each "    \
      "costs two key derivations and an answer.")                                                  \
    X(MS, request_head_ms, requestHead, 15000, 0, 100, 600000,                                     \
      "On a new connection, until a request's head is whole.")                                     \
    X(OCTETS, request_line, requestLine, 16384, 0, 1024, 1048576,                                  \
      "An HTTP/1.1 request line. Longer targets break other software on the way.")                 \
    X(OCTETS, field_section, fieldSection, 65536, 0, 4096, 1048576,                                \
      "The field section of a request, trailers likewise; over HTTP/2 uncompressed, with 32 a "    \
      "field (RFC 9113 6.5.2). Browsers stop at a few KiB of cookies a site.")                     \
    X(OCTETS, chunk_line, chunkLine, 256, 0, 32, 16384,                                            \
      "Size and extensions of one chunk. Nobody uses extensions, but some proxies pass them.")     \
    X(COUNT, hops, hops, 10, 0, 1, 255,                                                            \
      "Times that a request has come through a Portico, as its Via tells: an app that asks "       \
      "itself would go on for ever.")                                                              \
    X(COUNT, h2_streams, http2Streams, 100, 0, 1, 100000,                                          \
      "Requests open at once (SETTINGS_MAX_CONCURRENT_STREAMS); RFC 9113 6.5.2 recommends no "     \
      "less "                                                                                      \
      "than 100.")                                                                                 \
    X(OCTETS, h2_sections, http2FieldSections, 16384, 0, 1024, 1048576,                            \
      "Field sections of the requests open at once, on average when there are http2Streams of "    \
      "them: HPACK makes kilobytes of an octet, and a client that takes no answer holds them. "    \
      "A page of a hundred images asks for each with all its cookies, of which a login may be 12 " \
      "KiB; many workers take no more than 16 KiB in a head.")                                     \
    X(OCTETS, h2_stream_window, http2StreamWindow, 131072, 0, 16384, 16777216,                     \
      "Content of one request that may wait for its worker; of one that its worker takes as it "   \
      "comes, http2ConnectionWindow.")                                                             \
    X(OCTETS, h2_conn_window, http2ConnectionWindow, 1048576, 0, 65535, 268435456,                 \
      "Content on its way on one connection: a round trip of 80 ms at 100 Mbit/s.")                \
    X(OCTETS, h2_queued, http2Queued, 1048576, 0, 65536, 67108864,                                 \
      "Answers to SETTINGS, PING and the like that wait because the client does not read.")        \
    X(OCTETS, h2_unsent, http2Unsent, 1048576, 0, 65536, 268435456,                                \
      "Content of responses that waits for the client on one connection. Beyond it each response " \
      "has only 16 KiB and what one read brings (64 KiB) waiting; from an h2c worker, 64 KiB, "    \
      "and "                                                                                       \
      "256 KiB where the client takes it, as long as so many octets are enough for that. In "      \
      "memory it is up to four times as much: what waits stays in the buffer that it was read "    \
      "into.")                                                                                     \
    X(RATE, h2_resets, http2Resets, 500, 50, 1, 1000000,                                           \
      "Streams that the client resets before their response is whole, or makes us reset. A page "  \
      "that is left cancels a hundred at once, some times over.")                                  \
    X(RATE, h2_settings, http2Settings, 50, 5, 1, 1000000, "SETTINGS and GOAWAY frames.")          \
    X(RATE, h2_pings, http2Pings, 1000, 100, 1, 1000000,                                           \
      "PING frames beyond one for each DATA frame of ours, by which gRPC measures its bandwidth.") \
    X(RATE, h2_empty, http2Empty, 200, 20, 1, 1000000,                                             \
      "DATA and CONTINUATION that carry nothing and end nothing.")                                 \
    X(RATE, h2_priority, http2Priority, 1000, 200, 1, 1000000,                                     \
      "PRIORITY, PRIORITY_UPDATE and frames of unknown types. Browsers send one or two a "         \
      "request.")                                                                                  \
    X(RATE, h2_window, http2WindowUpdates, 1000, 100, 1, 1000000,                                  \
      "WINDOW_UPDATE frames beyond those that answer our DATA.")

#define LIMIT_TYPE_COUNT  uint32_t
#define LIMIT_TYPE_OCTETS uint32_t
#define LIMIT_TYPE_SIZE   uint64_t
#define LIMIT_TYPE_MS     uint32_t
#define LIMIT_TYPE_RATE   struct limit_rate

struct limits {
#define X(kind, symbol, key, first, second, least, most, reason) LIMIT_TYPE_##kind symbol;
    LIMIT_TABLE(X)
#undef X
};

extern const struct limits limits_default;

/* Whether each lies in its range. */
bool limits_valid(const struct limits *l);

#endif
