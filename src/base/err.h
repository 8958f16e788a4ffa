/* SPDX-License-Identifier: Apache-2.0 */
/* The one table of errors.  Functions return 0 (or a count) on success and one of these negative
 * codes otherwise, and who asked is told by the code's row. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

/*  name, HTTP status, exit code, text */
#define ERR_TABLE(X)                                                                              \
    X(AGAIN, 503, 75, "would block")                                                              \
    X(SYS, 500, 71, "a system call failed")                                                       \
    X(NOMEM, 503, 71, "out of memory")                                                            \
    X(LIMIT, 503, 71, "a limit of ours is reached")                                               \
    X(CLOSED, 502, 69, "the connection is closed")                                                \
    X(TIMEOUT, 504, 69, "time is up")                                                             \
    X(USAGE, 500, 2, "not a valid request or setting")                                            \
    X(NOTFOUND, 404, 66, "there is no such thing")                                                \
    X(FORMAT, 500, 65, "malformed octets")                                                        \
    X(TLS, 400, 69, "TLS failed")                                                                 \
    X(BAD_START_LINE, 400, 65, "the first line is not in its form, or too long")                  \
    X(BAD_LINE, 400, 65, "a line does not end with CR LF, or begins with CR")                     \
    X(BAD_TARGET, 400, 65, "the request target is not in a form that goes with the method")       \
    X(BAD_HOST, 400, 65, "Host is missing, there twice, not a host, or not what :authority says") \
    X(BAD_NAME, 400, 65,                                                                          \
      "a field name is no token, has no colon right behind it, or is in upper case (HTTP/2)")     \
    X(BAD_VALUE, 400, 65,                                                                         \
      "a control character in a field value, or white space around it (HTTP/2)")                  \
    X(BAD_LENGTH, 400, 65, "Content-Length is not one number, or not that of the content")        \
    X(BAD_FRAMING, 400, 65,                                                                       \
      "Transfer-Encoding is not chunked alone, or beside Content-Length, or in HTTP/1.0")         \
    X(BAD_CHUNK, 400, 65,                                                                         \
      "a chunk's line is not in its form, or too long, or its octets do not end with CR LF")      \
    X(BAD_CONTENT, 400, 65, "content in a message that has none")                                 \
    X(BAD_OPTIONS, 400, 65, "Connection has too many options")                                    \
    X(BAD_HOP, 400, 65,                                                                           \
      "a field of HTTP/1.1's connections (Connection, Transfer-Encoding, TE) in HTTP/2")          \
    X(BAD_PSEUDO, 400, 65,                                                                        \
      "a pseudo-header field is missing, unknown, there twice, out of place or malformed")        \
    X(BAD_PROMISE, 400, 65, "a promised request is not GET or HEAD, or has no authority")         \
    X(BAD_INFORMATIONAL, 400, 65,                                                                 \
      "a 1xx response too many, one that ends the message, or 101 that was not asked for")        \
    X(UNASKED, 400, 65, "a response that answers no request")                                     \
    X(BAD_VERSION, 505, 65, "HTTP version not supported")                                         \
    X(BAD_CODING, 501, 65, "transfer coding not known here")                                      \
    X(URI_TOO_LONG, 414, 65, "request target too long")                                           \
    X(FIELDS_TOO_LARGE, 431, 65, "field section too large")                                       \
    X(TRUNCATED, 502, 65, "the message ended before its content did")                             \
    X(HPACK, 400, 65, "field section cannot be decompressed")                                     \
    X(H2_STREAM, 400, 65, "HTTP/2 stream error")                                                  \
    X(H2_CONN, 400, 65, "HTTP/2 connection error")

enum err {
    ERR_OK = 0,
#define X(name, status, exit, text) ERR_POS_##name,
    ERR_TABLE(X)
#undef X
        ERR_POS_COUNT,
#define X(name, status, exit, text) ERR_##name = -ERR_POS_##name,
    ERR_TABLE(X)
#undef X
};

struct err_row {
    const char *text;
    int http_status, exit_code;
};

/* The row of a code returned anywhere in the project; an unknown code is a mistake of ours. */
const struct err_row *err_row(long code);
static inline const char *err_text(long code)
{
    return err_row(code)->text;
}

#endif
