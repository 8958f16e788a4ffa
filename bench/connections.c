/* SPDX-License-Identifier: Apache-2.0 */
/* TLS connections to 127.0.0.1, for what they cost: TLS 1.3, AES-128-GCM, X25519; certificates are
 * not checked.
 *
 *   connections new PORT COUNT       open, ask once over HTTP/2, close: COUNT in all by four
 *   connections resume PORT COUNT    processes; each offers its last ticket.  Prints
 *                                    "done GOOD RESUMED"
 *   connections hold PORT COUNT      open COUNT, ask once on each, print "ready GOOD", and keep
 * them until standard input ends connections socket PORT COUNT    open COUNT WebSockets over
 * HTTP/1.1, print "ready GOOD"; for each line "N" of standard input send a message of 128 octets on
 *                                    each and wait for its answer, N times, and print "done
 *                                    MESSAGES", both ways counted; until standard input ends */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESSES       4
#define PER_SOURCE      10000 /* connections from 127.0.0.1, 127.0.0.2 ...: ports are 28,000 */
#define PATIENCE_S      20
#define MESSAGE_OCTETS  128
#define FRAME_OUT       (2 + 2 + 4 + MESSAGE_OCTETS)
#define FRAME_IN        (2 + 2 + MESSAGE_OCTETS)
#define FRAME_HEAD      9
#define TYPE_DATA       0
#define TYPE_HEADERS    1
#define TYPE_RST_STREAM 3
#define TYPE_SETTINGS   4
#define TYPE_GOAWAY     7
#define FLAG_END_STREAM 1
#define FLAG_ACK        1

static SSL_CTX *context;
static SSL_SESSION *ticket;
static uint16_t port;

static int keep_ticket(SSL *s, SSL_SESSION *session)
{
    SSL_SESSION_free(ticket);
    ticket = session;
    return 1;
}

static SSL *open_tls(size_t serial)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct timeval patience = {.tv_sec = PATIENCE_S};
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_addr.s_addr =
                                   htonl(INADDR_LOOPBACK + (uint32_t)(serial / PER_SOURCE))};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    SSL *s = SSL_new(context);
    if (s && fd >= 0 && bind(fd, (struct sockaddr *)&from, sizeof from) == 0 &&
        connect(fd, (struct sockaddr *)&to, sizeof to) == 0) {
        SSL_set_fd(s, fd);
        SSL_set_tlsext_host_name(s, "localhost");
        if (ticket)
            SSL_set_session(s, ticket);
        if (SSL_connect(s) == 1)
            return s;
    }
    SSL_free(s);
    close(fd);
    return NULL;
}

static void close_tls(SSL *s)
{
    int fd = SSL_get_fd(s);
    SSL_shutdown(s);
    SSL_free(s);
    close(fd);
}

/* The preface, SETTINGS without push, and a request on stream 1.  RFC 9113 3.4, RFC 7541 6 */
static const uint8_t ask_octets[] =
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    "\0\0\x06\x04\0\0\0\0\0\0\x02\0\0\0\0"
    "\0\0\x12\x01\x05\0\0\0\x01\x82\x87\x04\x03/1k\x01\x09localhost";

/* return  whether stream 1 was answered whole */
static bool await_answer(SSL *s)
{
    static uint8_t in[1 << 16];
    size_t have = 0;
    for (;;) {
        int n = SSL_read(s, in + have, (int)(sizeof in - have));
        if (n <= 0)
            return false;
        have += (size_t)n;
        size_t at = 0, octets;
        for (; have - at >= FRAME_HEAD; at += octets) {
            const uint8_t *f = in + at;
            octets = FRAME_HEAD + ((size_t)f[0] << 16 | (size_t)f[1] << 8 | f[2]);
            if (have - at < octets)
                break;
            static const uint8_t ack[FRAME_HEAD] = {0, 0, 0, TYPE_SETTINGS, FLAG_ACK};
            if (f[3] == TYPE_SETTINGS && !(f[4] & FLAG_ACK) && SSL_write(s, ack, sizeof ack) <= 0)
                return false;
            if (f[3] == TYPE_RST_STREAM || f[3] == TYPE_GOAWAY)
                return false;
            if ((f[3] == TYPE_HEADERS || f[3] == TYPE_DATA) && f[8] == 1 && f[4] & FLAG_END_STREAM)
                return true;
        }
        memmove(in, in + at, have - at);
        have -= at;
    }
}

static SSL *ask_once(size_t serial)
{
    SSL *s = open_tls(serial);
    if (!s)
        return NULL;
    int octets = (int)sizeof ask_octets - 1;
    if (SSL_write(s, ask_octets, octets) == octets && await_answer(s))
        return s;
    close_tls(s);
    return NULL;
}

static int churn(size_t count)
{
    int tell[2];
    size_t done[2], good = 0, resumed = 0;
    if (pipe(tell) < 0)
        return 1;
    for (size_t p = 0; p < PROCESSES; p++) {
        if (fork() != 0)
            continue;
        memset(done, 0, sizeof done);
        for (size_t i = p; i < count; i += PROCESSES) {
            SSL *s = ask_once(0);
            if (!s)
                continue;
            done[0]++;
            done[1] += (size_t)SSL_session_reused(s);
            close_tls(s);
        }
        _exit(write(tell[1], done, sizeof done) != sizeof done);
    }
    close(tell[1]);
    while (read(tell[0], done, sizeof done) == sizeof done) {
        good += done[0];
        resumed += done[1];
    }
    while (wait(NULL) > 0) {
    }
    printf("done %zu %zu\n", good, resumed);
    return 0;
}

static int hold(size_t count)
{
    size_t good = 0;
    char c;
    for (size_t i = 0; i < count; i++)
        good += ask_once(i) != NULL;
    printf("ready %zu\n", good);
    fflush(stdout);
    while (read(STDIN_FILENO, &c, 1) > 0) {
    }
    return 0;
}

static SSL *open_socket(size_t serial)
{
    static const char head[] =
        "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    char in[4096];
    SSL *s = open_tls(serial);
    if (!s)
        return NULL;
    int have = 0, n;
    SSL_write(s, head, sizeof head - 1);
    while ((n = SSL_read(s, in + have, (int)sizeof in - have)) > 0) {
        have += n;
        if (memmem(in, (size_t)have, "\r\n\r\n", 4))
            break;
    }
    if (have > 12 && memcmp(in, "HTTP/1.1 101", 12) == 0)
        return s;
    close_tls(s);
    return NULL;
}

static bool send_message(SSL *s)
{
    uint8_t frame[FRAME_OUT] = {0x82, 0x80 | 126, 0, MESSAGE_OCTETS}; /* RFC 6455 5.2 */
    memset(frame + 4, 'm', sizeof frame - 4);
    return SSL_write(s, frame, sizeof frame) == sizeof frame;
}

static bool await_message(SSL *s)
{
    uint8_t frame[FRAME_IN];
    int have = 0, n;
    while (have < FRAME_IN && (n = SSL_read(s, frame + have, FRAME_IN - have)) > 0)
        have += n;
    return have == FRAME_IN;
}

static int converse(size_t count)
{
    SSL **sockets = calloc(count, sizeof *sockets);
    size_t open = 0;
    char line[32];
    if (!sockets)
        return 1;
    for (size_t i = 0; i < count; i++)
        if ((sockets[open] = open_socket(i)))
            open++;
    printf("ready %zu\n", open);
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        size_t messages = 0;
        for (size_t rounds = strtoul(line, NULL, 10); rounds; rounds--) {
            for (size_t i = 0; i < open; i++)
                messages += send_message(sockets[i]);
            for (size_t i = 0; i < open; i++)
                messages += await_message(sockets[i]);
        }
        printf("done %zu\n", messages);
        fflush(stdout);
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const char usage[] = "usage: connections new|resume|hold|socket PORT COUNT\n";
    if (argc != 4) {
        fputs(usage, stderr);
        return 2;
    }
    bool is_http1 = strcmp(argv[1], "socket") == 0;
    port = (uint16_t)strtoul(argv[2], NULL, 10);
    size_t count = strtoul(argv[3], NULL, 10);
    signal(SIGPIPE, SIG_IGN);
    context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256");
    SSL_CTX_set1_groups_list(context, "X25519");
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY);
    if (is_http1)
        SSL_CTX_set_alpn_protos(context, (const unsigned char *)"\x08http/1.1", 9);
    else
        SSL_CTX_set_alpn_protos(context, (const unsigned char *)"\x02h2", 3);
    if (strcmp(argv[1], "resume") == 0) {
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(context, keep_ticket);
        return churn(count);
    }
    if (strcmp(argv[1], "new") == 0)
        return churn(count);
    if (strcmp(argv[1], "hold") == 0)
        return hold(count);
    if (is_http1)
        return converse(count);
    fputs(usage, stderr);
    return 2;
}
