/* SPDX-License-Identifier: Apache-2.0 */
/* The one table of errors.  Functions return 0 (or a count) on success and one of these negative
 * codes otherwise.  A code says whose fault it is, and what each kind of peer is told about it. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

/* Whose fault it is decides what happens next. */
enum err_class {
    ERR_CLASS_RETRY,  /* try again later */
    ERR_CLASS_STREAM, /* the peer's fault, one stream or message of it */
    ERR_CLASS_CONN,   /* the peer's fault, the whole connection */
    ERR_CLASS_ENV,    /* the environment: kernel, disk, a dead worker */
    ERR_CLASS_OURS,   /* a limit or a mistake of ours */
};

/*  name, class, HTTP status, HTTP/2 error code, exit code, text */
#define ERR_TABLE(X)                                                             \
    X(AGAIN, RETRY, 503, 0x0, 75, "would block")                                 \
    X(SYS, ENV, 500, 0x2, 71, "a system call failed")                            \
    X(NOMEM, ENV, 503, 0xb, 71, "out of memory")                                 \
    X(LIMIT, OURS, 503, 0xb, 71, "a limit of ours is reached")                   \
    X(CLOSED, ENV, 502, 0x8, 69, "the connection is closed")                     \
    X(TIMEOUT, ENV, 504, 0x8, 69, "time is up")                                  \
    X(USAGE, OURS, 500, 0x2, 2, "not a valid request or setting")                \
    X(NOTFOUND, OURS, 404, 0x2, 66, "there is no such thing")                    \
    X(FORMAT, ENV, 500, 0x2, 65, "malformed octets")                             \
    X(TLS, CONN, 400, 0x1, 69, "TLS failed")                                     \
    X(BAD_MESSAGE, CONN, 400, 0x1, 65, "malformed message")                      \
    X(BAD_VERSION, CONN, 505, 0x1, 65, "HTTP version not supported")             \
    X(BAD_CODING, CONN, 501, 0x1, 65, "transfer coding not known here")          \
    X(URI_TOO_LONG, CONN, 414, 0x1, 65, "request target too long")               \
    X(FIELDS_TOO_LARGE, CONN, 431, 0xb, 65, "field section too large")           \
    X(CONTENT_TOO_LARGE, STREAM, 413, 0x8, 65, "content too large")              \
    X(TRUNCATED, CONN, 502, 0x2, 65, "the message ended before its content did") \
    X(HPACK, CONN, 400, 0x9, 65, "field section cannot be decompressed")         \
    X(H2_STREAM, STREAM, 400, 0x1, 65, "HTTP/2 stream error")                    \
    X(H2_CONN, CONN, 400, 0x1, 65, "HTTP/2 connection error")

enum err {
    ERR_OK = 0,
#define X(name, class_, status, h2, exit, text) ERR_POS_##name,
    ERR_TABLE(X)
#undef X
        ERR_POS_COUNT,
#define X(name, class_, status, h2, exit, text) ERR_##name = -ERR_POS_##name,
    ERR_TABLE(X)
#undef X
};

struct err_row {
    const char *name;
    const char *text;
    enum err_class class_;
    int http_status;
    unsigned h2_code;
    int exit_code;
};

/* The row of a code returned anywhere in the project; an unknown code is a mistake of ours. */
const struct err_row *err_row(long code);
static inline const char *err_text(long code)
{
    return err_row(code)->text;
}

#endif
