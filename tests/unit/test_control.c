/* SPDX-License-Identifier: Apache-2.0 */
/* Control as a process of its own, with this test in monitor's place and real sockets for workers.
 */
#include "control/state.h"
#include "control/admin.h"
#include "control/control.h"
#include "base/clock.h"
#include "base/panic.h"
#include "ipc/ipc.h"
#include "route/route.h"
#include "stats/stats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* What is awaited is there in a moment, unless the machine is busy with something else. */
#define PATIENCE_MS 60000

static char dir[] = "/tmp/test-control-XXXXXX";

struct bench {
    int channel;
    pid_t control;
    struct ipc_message m;
    int admin_port;
    char out_path[256];
    const void *snapshot;
    size_t snapshot_octets;
    struct route route;
};

static void write_file(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void start(struct bench *b, const char *manifest)
{
    int pair[2];
    char path[256];
    *b = (struct bench){0};
    write_file("portico.yaml", manifest);
    snprintf(path, sizeof path, "%s/portico.yaml", dir);
    snprintf(b->out_path, sizeof b->out_path, "%s/out", dir);
    unlink(b->out_path);
    assert_int_equal(ipc_pair(pair), 0);
    fflush(NULL);
    b->control = fork();
    assert_true(b->control >= 0);
    if (b->control == 0) {
        static const int caught[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
        int out = open(b->out_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        for (size_t i = 0; i < sizeof caught / sizeof *caught; i++)
            signal(caught[i], SIG_DFL); /* or cmocka would go on with the tests in here */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(out, 1);
        dup2(out, 2);
        dup2(pair[1], IPC_CHILD_FD);
        close_range(IPC_CHILD_FD + 1, ~0u, 0);
        exit(control_main(IPC_CHILD_FD, path));
    }
    close(pair[1]);
    b->channel = pair[0];
}

static void hello(struct bench *b, bool restarted)
{
    struct ipc_hello h = {.restarted = restarted, .owner = getuid()};
    snprintf(h.data, sizeof h.data, "%s", dir);
    snprintf(h.ca_file, sizeof h.ca_file, "%s/ca.crt", dir);
    int fd = restarted ? ipc_shared_memfd("counters",
                                          stats_octets(2 * IPC_COUNTER_COPIES, CONTROL_SITE_SLOTS))
                       : -1;
    assert_int_equal(ipc_send(b->channel, IPC_HELLO, &h, &fd, fd >= 0), 0);
    if (fd >= 0)
        close(fd);
}

/* The next message; its descriptors belong to the caller. */
static bool next(struct bench *b, int wait_ms)
{
    struct pollfd p = {.fd = b->channel, .events = POLLIN};
    if (poll(&p, 1, wait_ms) <= 0)
        return false;
    return ipc_recv(b->channel, &b->m) == 0;
}

static void expect(struct bench *b, enum ipc_type type)
{
    if (!next(b, PATIENCE_MS))
        fail_msg("no %s came", ipc_type_name(type));
    if (b->m.type != (uint32_t)type)
        fail_msg("%s came instead of %s", ipc_type_name(b->m.type), ipc_type_name(type));
}

static void take_snapshot(struct bench *b)
{
    if (b->snapshot)
        munmap((void *)(uintptr_t)b->snapshot, b->snapshot_octets);
    assert_int_equal(ipc_map_sealed(b->m.fds[0], 64, &b->snapshot, &b->snapshot_octets), 0);
    close(b->m.fds[0]);
    assert_int_equal(route_open(&b->route, b->snapshot, b->snapshot_octets), 0);
    assert_int_equal(b->route.header->revision, b->m.body.SNAPSHOT.revision);
}

static void committed(struct bench *b, uint64_t octets)
{
    struct ipc_committed c = {.revision = 1};
    struct ipc_listening l = {.kind = IPC_LISTEN_ADMIN};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    b->admin_port = ntohs(a.sin_port);
    snprintf(l.address, sizeof l.address, "127.0.0.1:%d", b->admin_port);
    assert_int_equal(ipc_send(b->channel, IPC_LISTENING, &l, &fd, 1), 0);
    close(fd);
    l = (struct ipc_listening){.kind = IPC_LISTEN_HTTPS, .address = "127.0.0.1:18443"};
    assert_int_equal(ipc_send(b->channel, IPC_LISTENING, &l, NULL, 0), 0);
    fd = ipc_shared_memfd("counters", octets);
    assert_true(fd >= 0);
    assert_int_equal(ipc_send(b->channel, IPC_COMMITTED, &c, &fd, 1), 0);
    close(fd);
}

static void stop(struct bench *b, int exit_code)
{
    int status;
    close(b->channel);
    assert_int_equal(waitpid(b->control, &status, 0), b->control);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != exit_code) {
        char text[8192] = "";
        FILE *f = fopen(b->out_path, "r");
        text[f ? fread(text, 1, sizeof text - 1, f) : 0] = '\0';
        fail_msg("status %x\n%s", (unsigned)status, text);
    }
    if (b->snapshot)
        munmap((void *)(uintptr_t)b->snapshot, b->snapshot_octets);
}

static void assert_output(const struct bench *b, const char *part)
{
    char text[16384] = "";
    for (int i = 0; i < PATIENCE_MS / 50; i++) {
        FILE *f = fopen(b->out_path, "r");
        size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
        text[n] = '\0';
        if (f)
            fclose(f);
        if (strstr(text, part))
            return;
        usleep(50000);
    }
    fail_msg("\"%s\" is not in:\n%s", part, text);
}

enum speaks { SPEAKS_H2C, SPEAKS_HTTP11, SPEAKS_NOTHING };

/* A process in a session of its own that accepts at fd and answers everyone in the same way. */
static pid_t worker(int fd, enum speaks speaks)
{
    static const char settings[] = "\0\0\0\4\0\0\0\0\0";
    static const char plain[] = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
    int gate[2];
    char c = 0;
    assert_int_equal(pipe(gate), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setsid();
        listen(fd, 16); /* here: credentials are those of who listens */
        if (write(gate[1], &c, 1) != 1)
            _exit(1);
        for (;;) {
            int conn = accept(fd, NULL, NULL);
            char in[256];
            if (conn >= 0 && speaks != SPEAKS_NOTHING && read(conn, in, sizeof in) > 0 &&
                write(conn, speaks == SPEAKS_H2C ? settings : plain,
                      speaks == SPEAKS_H2C ? sizeof settings - 1 : sizeof plain - 1) > 0)
                while (read(conn, in, sizeof in) > 0)
                    continue;
            if (speaks != SPEAKS_NOTHING)
                close(conn);
        }
    }
    assert_int_equal(read(gate[0], &c, 1), 1);
    close(gate[0]);
    close(gate[1]);
    return pid;
}

static void end_worker(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static int unix_socket(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(strlen(path) < sizeof a.sun_path);
    memcpy(a.sun_path, path, strlen(path));
    unlink(path);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static int tcp_socket(uint32_t *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    *port = ntohs(a.sin_port);
    return fd;
}

static void tell(struct bench *b, struct ipc_instance *i, enum ipc_instance_state state)
{
    static uint64_t sequence;
    i->state = state;
    i->version = i->is_current = 1;
    i->sequence = ++sequence;
    assert_int_equal(ipc_send(b->channel, IPC_INSTANCE, i, NULL, 0), 0);
}

static int admin_connect(const struct bench *b)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)b->admin_port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval limit = {.tv_sec = PATIENCE_MS / 1000};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

/* One request on a connection of its own; returns the whole answer. */
static const char *ask(const struct bench *b, const char *request)
{
    static char answer[1 << 17];
    size_t len = 0;
    int fd = admin_connect(b);
    if (write(fd, request, strlen(request)) > 0)
        shutdown(fd, SHUT_WR);
    for (ssize_t n; (n = read(fd, answer + len, sizeof answer - 1 - len)) > 0;)
        len += (size_t)n;
    answer[len] = '\0';
    close(fd);
    return answer;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

static void assert_has(const char *text, const char *part)
{
    if (strstr(text, part))
        return;
    print_error("wanted: %s\n", part);
    fputs(text, stderr);
    fail();
}

static void assert_slice(struct slice s, const char *text)
{
    assert_int_equal(s.len, strlen(text));
    assert_memory_equal(s.p, text, s.len);
}

#define MANIFEST                                                 \
    "listen: {https: \"127.0.0.1:0\", admin: \"127.0.0.1:0\"}\n" \
    "loops: 2\naccessLog: off\n"                                 \
    "apps:\n"                                                    \
    "  gallery:\n    directory: .\n    command: serve\n"         \
    "    hosts: [gallery.localhost, \"*.gallery.localhost\"]\n"  \
    "    http20ProxyFlag: 1\n    env: {A: b}\n"                  \
    "  other:\n    upstreams: \"127.0.0.1:9\"\n    hosts: other.test\n"

/* From HELLO to COMMIT and its answer. */
static void commit(struct bench *b, bool restarted)
{
    start(b, MANIFEST);
    hello(b, restarted);
    expect(b, IPC_LISTEN);
    assert_int_equal(b->m.body.LISTEN.kind, IPC_LISTEN_HTTPS);
    assert_string_equal(b->m.body.LISTEN.where, "portico.yaml:1: listen.https");
    expect(b, IPC_LISTEN);
    expect(b, IPC_CERTIFICATE);
    assert_int_equal(b->m.body.CERTIFICATE.id, 0);
    assert_int_equal(b->m.body.CERTIFICATE.local, 1);
    assert_string_equal(b->m.body.CERTIFICATE.hosts, "gallery.localhost *.gallery.localhost");
    expect(b, IPC_CERTIFICATE);
    assert_int_equal(b->m.body.CERTIFICATE.id, 1);
    expect(b, IPC_APP);
    assert_string_equal(b->m.body.APP.name, "gallery");
    assert_string_equal(b->m.body.APP.command, "serve");
    assert_int_equal(b->m.body.APP.instances, 1);
    expect(b, IPC_ENV);
    assert_string_equal(b->m.body.ENV.text, "A=b");
    expect(b, IPC_COMMIT);
    assert_int_equal(b->m.body.COMMIT.loops, 2);
    assert_int_equal(b->m.body.COMMIT.site_slots, CONTROL_SITE_SLOTS);
    assert_string_equal(b->m.body.COMMIT.access_log, "off");
    uint64_t octets = b->m.body.COMMIT.counters_octets;
    assert_int_equal(octets, stats_octets(2 * IPC_COUNTER_COPIES, CONTROL_SITE_SLOTS));
    committed(b, octets);
}

static void begin(struct bench *b)
{
    commit(b, false);
    expect(b, IPC_SNAPSHOT);
    take_snapshot(b);
}

static struct ipc_instance gallery(pid_t pid, const char *socket, uint32_t port)
{
    struct ipc_instance i = {
        .app = "gallery", .generation = 1, .pid = pid, .uid = getuid(), .port = port};
    snprintf(i.socket, sizeof i.socket, "%s", socket);
    return i;
}

static void test_life_of_an_instance(void **state)
{
    struct bench b;
    char path[128], text[160];
    snprintf(path, sizeof path, "%s/w.sock", dir);
    begin(&b);
    /* nothing is known of gallery, someone else runs other */
    const struct route_site *site = route_find(&b.route, SLICE("gallery.localhost"));
    assert_non_null(site);
    assert_int_equal(site->slot, 0);
    assert_int_equal(site->instance_count, 0);
    assert_ptr_equal(route_find(&b.route, SLICE("x.gallery.localhost")), site);
    assert_ptr_equal(route_default(&b.route), site);
    site = route_find(&b.route, SLICE("other.test"));
    assert_int_equal(site->instance_count, 1);
    assert_int_equal(b.route.instances[site->first_instance].state, ROUTE_READY);
    assert_has(ask(&b, GET("/healthz")), "HTTP/1.1 503 ");

    int fd = unix_socket(path);
    pid_t pid = worker(fd, SPEAKS_H2C);
    close(fd);
    struct ipc_instance i = gallery(pid, path, 0);
    tell(&b, &i, IPC_STARTING);
    for (int got = 0; got < 2;) {
        assert_true(next(&b, PATIENCE_MS));
        if (b.m.type == IPC_INSTANCE_READY)
            got++, assert_int_equal(b.m.body.INSTANCE_READY.generation, 1);
        else if (b.m.type == IPC_SNAPSHOT)
            got++, take_snapshot(&b);
    }
    site = route_find(&b.route, SLICE("gallery.localhost"));
    assert_int_equal(site->instance_count, 1);
    const struct route_instance *in = &b.route.instances[site->first_instance];
    assert_int_equal(in->state, ROUTE_READY);
    assert_int_equal(in->protocol, ROUTE_H2C);
    assert_slice(route_text(&b.route, in->id), "gallery/0");
    snprintf(text, sizeof text, "unix:%s", path);
    assert_slice(route_text(&b.route, in->address), text);
    assert_has(ask(&b, GET("/healthz")), "\r\n\r\nok\n");
    assert_output(&b, "Portico is up.");
    assert_output(&b, "https://gallery.localhost:18443/");
    assert_output(&b, "nghttp -nv --no-verify-peer https://gallery.localhost:18443/");
    assert_output(&b, "no boundary");

    /* an exit takes it out of the routes, its address stays */
    end_worker(pid);
    i.exit_code = -1;
    i.exit_signal = SIGKILL;
    i.ran_ms = 12;
    i.pid = 0;
    tell(&b, &i, IPC_EXITED);
    expect(&b, IPC_SNAPSHOT);
    take_snapshot(&b);
    site = route_find(&b.route, SLICE("gallery.localhost"));
    assert_int_equal(b.route.instances[site->first_instance].state, ROUTE_STARTING);
    const char *apps = ask(&b, GET("/apps"));
    assert_has(apps, "\"state\": \"EXITED\"");
    assert_has(apps, "ended by signal 9");
    stop(&b, 0);
}

static void wait_ready(struct bench *b)
{
    for (bool ready = false, shot = false; !ready || !shot;) {
        assert_true(next(b, PATIENCE_MS));
        ready |= b->m.type == IPC_INSTANCE_READY;
        if (b->m.type == IPC_SNAPSHOT)
            take_snapshot(b), shot = true;
    }
}

static void test_http11_worker_at_a_port(void **state)
{
    struct bench b;
    uint32_t port;
    char text[64];
    begin(&b);
    int fd = tcp_socket(&port);
    pid_t pid = worker(fd, SPEAKS_HTTP11);
    close(fd);
    struct ipc_instance i = gallery(pid, "/nonexistent/x.sock", port);
    tell(&b, &i, IPC_STARTING);
    wait_ready(&b);
    const struct route_site *site = route_find(&b.route, SLICE("gallery.localhost"));
    const struct route_instance *in = &b.route.instances[site->first_instance];
    assert_int_equal(in->protocol, ROUTE_H1);
    snprintf(text, sizeof text, "127.0.0.1:%u", port);
    assert_slice(route_text(&b.route, in->address), text);
    assert_output(&b, "worker.no-http2 app=gallery");
    assert_output(&b, "apps.gallery.http20ProxyFlag");
    end_worker(pid);
    stop(&b, 0);
}

static void test_foreign_listener(void **state)
{
    struct bench b;
    uint32_t port;
    begin(&b);
    int fd = tcp_socket(&port);
    pid_t pid = worker(fd, SPEAKS_H2C), instance = fork();
    close(fd);
    if (instance == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setsid();
        for (;;)
            pause();
    }
    while (getsid(instance) != instance)
        usleep(1000);
    struct ipc_instance i = gallery(instance, "", port);
    tell(&b, &i, IPC_STARTING);
    assert_output(&b, "worker.foreign-listener app=gallery");
    assert_false(next(&b, 600));
    end_worker(pid);
    end_worker(instance);
    stop(&b, 0);
}

static void test_app_that_does_not_start(void **state)
{
    struct bench b;
    struct ipc_output o = {.app = "gallery", .generation = 1};
    begin(&b);
    struct ipc_instance i = gallery(0, "", 0);
    i.exit_code = 127;
    i.failures = 1;
    tell(&b, &i, IPC_BACKOFF);
    expect(&b, IPC_SNAPSHOT);
    take_snapshot(&b);
    assert_true(route_find(&b.route, SLICE("gallery.localhost"))->flags & ROUTE_FAILING);
    snprintf(o.text, sizeof o.text, "sh: 1: exec: serve:\033[2J not found\xff\n");
    assert_int_equal(ipc_send(b.channel, IPC_OUTPUT, &o, NULL, 0), 0);
    assert_output(&b, "gallery does not start: ended with status 127 (command not found)");
    assert_output(&b, "| sh: 1: exec: serve:?[2J not found");
    assert_output(&b, "Portico is up.");
    assert_has(ask(&b, GET("/apps")), "not found?\\n\""); /* not UTF-8, and JSON all the same */
    stop(&b, 0);
}

static void test_admin(void **state)
{
    struct bench b;
    begin(&b);
    assert_has(ask(&b, GET("/nothing")), "HTTP/1.1 404 ");
    assert_has(ask(&b, "POST /apps HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"),
               "HTTP/1.1 405 ");
    assert_has(ask(&b, "PUT /apps HTTP/1.1\r\nHost: localhost\r\n\r\n"), "allow: GET, HEAD");
    assert_has(ask(&b, "GET /apps HTTP/1.1\r\nHost: evil.example\r\n\r\n"), "HTTP/1.1 403 ");
    assert_has(ask(&b, "rubbish\r\n\r\n"), "HTTP/1.1 400 ");
    const char *head = ask(&b, "HEAD /metrics HTTP/1.1\r\nHost: [::1]:80\r\n\r\n");
    assert_has(head, "HTTP/1.1 200 ");
    assert_has(head, "content-length: ");
    assert_null(strstr(head, "# HELP"));
    /* two requests on one connection */
    const char *two = ask(&b, GET("/healthz") GET("/metrics?x"));
    assert_has(two, "HTTP/1.1 503 ");
    assert_has(two, "HTTP/1.1 200 ");
    assert_has(two, "portico_requests_total{app=\"gallery\"} 0\n");
    assert_has(two, "portico_request_duration_seconds_bucket{app=\"other\",le=\"+Inf\"} 0\n");
    assert_has(two, "portico_push_promises_total{app=\"gallery\",source=\"worker\"} 0\n");
    assert_has(two, "portico_push_decisions_total{app=\"gallery\",reason=\"nopush\"} 0\n");
    assert_has(two, "portico_push_fates_total{app=\"gallery\",fate=\"completed\"} 0\n");
    assert_has(two, "portico_instances{app=\"other\",state=\"READY\"} 1\n");
    assert_has(two, "portico_client_connections_total 0\n");
    stop(&b, 0);
}

/* One above the cap takes the place of the first: who holds connections keeps nobody out. */
static void test_admin_connections_are_bounded(void **state)
{
    struct bench b;
    int fds[ADMIN_MAX_CONNECTIONS + 1];
    char c;
    begin(&b);
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        fds[i] = admin_connect(&b);
        usleep(1000);
        assert_int_equal(write(fds[i], "G", 1), 1);
    }
    assert_int_equal(read(fds[0], &c, 1), 0);
    for (size_t i = ADMIN_MAX_CONNECTIONS - 1; i <= ADMIN_MAX_CONNECTIONS; i++) {
        assert_int_equal(write(fds[i], GET("/healthz") + 1, sizeof GET("/healthz") - 2),
                         sizeof GET("/healthz") - 2);
        assert_int_equal(read(fds[i], &c, 1), 1);
        assert_int_equal(c, 'H');
    }
    assert_has(ask(&b, GET("/healthz")), "HTTP/1.1 503");
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        close(fds[i]);
    stop(&b, 0);
}

static void connect_for_ever(const struct bench *b, int ahead)
{
    for (unsigned n = 1;; n++) {
        close(admin_connect(b));
        if (n == 2 * ADMIN_MAX_CONNECTIONS && write(ahead, "!", 1) != 1)
            _exit(1);
    }
}

/* Drops the answers. */
static void ask_for_ever(const struct bench *b, int ahead)
{
    static char octets[1 << 16], dropped[1 << 16];
    const size_t len = sizeof GET("/nothing") - 1, whole = sizeof octets / len * len;
    bool told = false;
    int fd = admin_connect(b);
    for (size_t at = 0; at < whole; at += len)
        memcpy(octets + at, GET("/nothing"), len);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    for (size_t at = 0, taken = 0;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};
        poll(&p, 1, -1);
        for (ssize_t n; (n = read(fd, dropped, sizeof dropped)) > 0;)
            taken += (size_t)n;
        ssize_t n = write(fd, octets + at, whole - at);
        at = n > 0 ? (at + (size_t)n) % whole : at;
        if (taken > sizeof dropped && !told)
            told = write(ahead, "!", 1) == 1;
    }
}

/* Who connects or asks as fast as it is served does not keep control from everything else. */
static void test_admin_floods(void **state)
{
    void (*const floods[])(const struct bench *, int) = {connect_for_ever, ask_for_ever};
    for (size_t i = 0; i < ARRAY_LEN(floods); i++) {
        struct bench b;
        pid_t pids[4];
        int ahead[2];
        char c;
        begin(&b);
        assert_int_equal(pipe(ahead), 0);
        for (size_t k = 0; k < ARRAY_LEN(pids); k++) {
            pids[k] = fork();
            assert_true(pids[k] >= 0);
            if (pids[k] == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                floods[i](&b, ahead[1]);
            }
        }
        for (size_t k = 0; k < ARRAY_LEN(pids); k++)
            assert_int_equal(read(ahead[0], &c, 1), 1);
        /* Who connects and is then not let run makes room for the 64th after him (make_room): such
         * a one asks again.  Control that is kept from everything answers none of these. */
        const char *answer = "";
        for (int tries = 0; tries < 50 && !*answer; tries++)
            answer = ask(&b, GET("/healthz"));
        assert_has(answer, "HTTP/1.1 503 ");
        for (size_t k = 0; k < ARRAY_LEN(pids); k++)
            end_worker(pids[k]);
        close(ahead[0]);
        close(ahead[1]);
        stop(&b, 0);
    }
}

/* While its answer is on its way, or has just left. */
static void test_admin_client_that_ends_early(void **state)
{
    struct bench b;
    begin(&b);
    for (int us = 0; us < 1000; us++) {
        char answer[4096];
        int fd = admin_connect(&b);
        assert_int_equal(write(fd, GET("/metrics"), sizeof GET("/metrics") - 1),
                         sizeof GET("/metrics") - 1);
        for (uint64_t until = clock_mono_us() + (uint64_t)us; clock_mono_us() < until;)
            ;
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        while (read(fd, answer, sizeof answer) > 0)
            ;
        close(fd);
    }
    assert_has(ask(&b, GET("/healthz")), "HTTP/1.1 503 ");
    stop(&b, 0);
}

/* The manifest again, as monitor hands it over; the listeners come first. */
static void begin_reload(struct bench *b, const char *manifest, uint32_t asked)
{
    struct ipc_reload r = {.asked = asked};
    char path[256];
    write_file("portico.yaml", manifest);
    snprintf(path, sizeof path, "%s/portico.yaml", dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(ipc_send(b->channel, IPC_RELOAD, &r, &fd, 1), 0);
    close(fd);
    expect(b, IPC_LISTEN);
    expect(b, IPC_LISTEN);
}

static void expect_certificate(struct bench *b, uint32_t id, const char *hosts)
{
    expect(b, IPC_CERTIFICATE);
    assert_int_equal(b->m.body.CERTIFICATE.id, id);
    assert_string_equal(b->m.body.CERTIFICATE.hosts, hosts);
}

static void expect_kept(struct bench *b, uint32_t first, uint32_t last)
{
    expect(b, IPC_CERTIFICATES_KEPT);
    assert_int_equal(b->m.body.CERTIFICATES_KEPT.first, first);
    assert_int_equal(b->m.body.CERTIFICATES_KEPT.last, last);
}

/* Monitor's answer to the rest of a reload. */
static void answer_commit(struct bench *b, bool refused)
{
    struct ipc_committed c = {.refused = refused};
    expect(b, IPC_APP);
    expect(b, IPC_ENV);
    expect(b, IPC_COMMIT);
    c.revision = b->m.body.COMMIT.revision;
    int fd = ipc_shared_memfd("counters", b->m.body.COMMIT.counters_octets);
    expect(b, IPC_SNAPSHOT);
    take_snapshot(b);
    assert_int_equal(ipc_send(b->channel, IPC_COMMITTED, &c, &fd, 1), 0);
    close(fd);
    expect(b, IPC_SNAPSHOT);
    take_snapshot(b);
}

/* Of the certificates only what changed, and all of them when monitor took nothing of the last. */
static void test_reload_names_what_changed(void **state)
{
    struct bench b;
    (void)state;
    begin(&b);
    begin_reload(&b, MANIFEST "  late:\n    upstreams: \"127.0.0.1:9\"\n    hosts: late.test\n", 0);
    expect_kept(&b, 0, 1);
    expect_certificate(&b, 2, "late.test");
    answer_commit(&b, false);
    begin_reload(&b,
                 MANIFEST "    httpsOnly: true\n"
                          "  late:\n    upstreams: \"127.0.0.1:9\"\n    hosts: later.test\n",
                 0);
    expect_kept(&b, 0, 1);
    expect_certificate(&b, 2, "later.test");
    answer_commit(&b, true);
    begin_reload(&b, MANIFEST, 0);
    expect_certificate(&b, 0, "gallery.localhost *.gallery.localhost");
    expect_certificate(&b, 1, "other.test");
    answer_commit(&b, false);
    begin_reload(&b, MANIFEST, 0);
    expect_kept(&b, 0, 1);
    answer_commit(&b, false);
    stop(&b, 0);
}

/* Who has asked for a reload is told of the manifest as it was then, or later. */
static void test_reload_is_answered_to_who_asked(void **state)
{
    static const char post[] =
        "POST /reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
    struct bench b;
    struct ipc_listening l = {.kind = IPC_LISTEN_LOCAL};
    struct ipc_reload r = {.error = EIO};
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    char answer[1024];
    int fds[3];
    (void)state;
    snprintf(a.sun_path, sizeof a.sun_path, "%s/admin.sock", dir);
    int fd = unix_socket(a.sun_path);
    begin(&b);
    assert_int_equal(listen(fd, ARRAY_LEN(fds)), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(ipc_send(b.channel, IPC_LISTENING, &l, &fd, 1), 0);
    close(fd);
    for (uint32_t i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fds[i], (struct sockaddr *)&a, sizeof a), 0);
        assert_int_equal(write(fds[i], post, sizeof post - 1), sizeof post - 1);
        expect(&b, IPC_RELOAD);
        assert_int_equal(b.m.body.RELOAD.asked, i + 1);
    }
    for (uint32_t asked = 0; asked < 2; asked++) { /* at a signal; for the first one */
        r.asked = asked;
        assert_int_equal(ipc_send(b.channel, IPC_RELOAD, &r, NULL, 0), 0);
    }
    ssize_t n = read(fds[0], answer, sizeof answer - 1);
    assert_true(n > 0);
    answer[n] = 0;
    assert_has(answer, "HTTP/1.1 422 ");
    /* The other one when monitor has applied it: it still compares with the file. */
    begin_reload(&b, MANIFEST, 2);
    expect_kept(&b, 0, 1);
    assert_int_equal(recv(fds[1], answer, sizeof answer, MSG_DONTWAIT), -1);
    answer_commit(&b, false);
    n = read(fds[1], answer, sizeof answer - 1);
    assert_true(n > 0);
    answer[n] = 0;
    assert_has(answer, "HTTP/1.1 200 ");
    begin_reload(&b, MANIFEST, 3);
    expect_kept(&b, 0, 1);
    answer_commit(&b, true);
    n = read(fds[2], answer, sizeof answer - 1);
    assert_true(n > 0);
    answer[n] = 0;
    assert_has(answer, "HTTP/1.1 422 ");
    assert_has(answer, "could not be applied");
    stop(&b, 0);
    for (uint32_t i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
    unlink(a.sun_path);
}

static void test_bad_manifest(void **state)
{
    struct bench b;
    start(&b, "listen: 3\n");
    hello(&b, false);
    assert_false(next(&b, PATIENCE_MS)); /* nothing but the end of the channel */
    assert_output(&b, "portico.yaml:1:9: listen: must be");
    stop(&b, 2);
}

/* As many loops as there were processors when Portico started, not when control did. */
static void test_restart_counts_no_processors(void **state)
{
    struct bench b;
    struct ipc_hello h = {.restarted = 1, .owner = getuid(), .loops = 61};
    (void)state;
    start(&b, "listen: {https: \"127.0.0.1:0\"}\nloops: auto\n"
              "apps: {a: {upstreams: \"127.0.0.1:9\", hosts: a.test}}\n");
    snprintf(h.data, sizeof h.data, "%s", dir);
    assert_int_equal(ipc_send(b.channel, IPC_HELLO, &h, NULL, 0), 0);
    do
        assert_true(next(&b, PATIENCE_MS));
    while (b.m.type != IPC_COMMIT);
    assert_int_equal(b.m.body.COMMIT.loops, 61);
    stop(&b, 0);
}

/* Control came back: no routes are published until the instances that serve are found again. */
static void test_restart(void **state)
{
    struct bench b;
    char path[128];
    snprintf(path, sizeof path, "%s/w.sock", dir);
    int fd = unix_socket(path);
    pid_t pid = worker(fd, SPEAKS_H2C);
    close(fd);
    commit(&b, true);
    assert_false(next(&b, 300));
    struct ipc_instance i = gallery(pid, path, 0);
    tell(&b, &i, IPC_READY);
    expect(&b, IPC_SNAPSHOT);
    take_snapshot(&b);
    const struct route_site *site = route_find(&b.route, SLICE("gallery.localhost"));
    assert_int_equal(site->instance_count, 1);
    assert_int_equal(b.route.instances[site->first_instance].state, ROUTE_READY);
    assert_true(b.route.header->revision > 1);
    assert_false(next(&b, 300));
    end_worker(pid);
    stop(&b, 0);
}

static void test_hosts_of_the_operator(void **state)
{
    static const struct {
        const char *host;
        bool good;
    } cases[] = {
        {"127.0.0.1", true},
        {"127.0.0.1:8081", true},
        {"[::1]", true},
        {"[::1]:8081", true},
        {"localhost", true},
        {"LOCALHOST:1", true},
        {"10.1.2.3:80", true},
        {"evil.example", false},
        {"evil.example:8081", false},
        {"127.0.0.1.evil", false},
        {"::1", false},
        {"unix:/x", false},
        {"localhost.evil", false},
        {"", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (admin_host_is_local(slice_str(cases[i].host)) != cases[i].good)
            fail_msg("%s", cases[i].host);
}

static int setup(void **state)
{
    signal(SIGPIPE, SIG_IGN);
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    static const char *const names[] = {"portico.yaml", "out", "w.sock", ""};
    char path[256];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        remove(path);
    }
    return 0;
}

#define NOBODY 65534

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts_of_the_operator),
        cmocka_unit_test(test_reload_names_what_changed),
        cmocka_unit_test(test_reload_is_answered_to_who_asked),
        cmocka_unit_test(test_bad_manifest),
        cmocka_unit_test(test_admin),
        cmocka_unit_test(test_admin_connections_are_bounded),
        cmocka_unit_test(test_admin_floods),
        cmocka_unit_test(test_admin_client_that_ends_early),
        cmocka_unit_test(test_life_of_an_instance),
        cmocka_unit_test(test_http11_worker_at_a_port),
        cmocka_unit_test(test_foreign_listener),
        cmocka_unit_test(test_app_that_does_not_start),
        cmocka_unit_test(test_restart),
        cmocka_unit_test(test_restart_counts_no_processors),
    };
    /* As whoever the roles are when nobody is root: looking into a process that has capabilities
     * would take them, and control gives them up. */
    if (getuid() == 0 && (setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
                          setresuid(NOBODY, NOBODY, NOBODY) < 0 || prctl(PR_SET_DUMPABLE, 1) < 0))
        return 1;
    return cmocka_run_group_tests(tests, setup, teardown);
}
