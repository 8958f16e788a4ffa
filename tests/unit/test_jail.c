/* SPDX-License-Identifier: Apache-2.0 */
/* What is refused ends the process, what is needed works; each attempt is made outside of the jail
 * too, where it does no harm, so that none is refused for another reason. */
#include "jail/files.h"
#include "jail/jail.h"
#include "jail/sanitized.h"
#include "ipc/outbox.h"
#include "base/err.h"
#include "base/log.h"
#include "base/panic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define EDGE    (1u << JAIL_EDGE)
#define CONTROL (1u << JAIL_CONTROL)
#define BOTH    (EDGE | CONTROL)

/* Each returns; what came of it does not matter. */
static void do_open_old(void)
{
    close((int)syscall(SYS_open, "/etc/passwd", O_RDONLY));
}
static void do_stat(void)
{
    struct stat st;
    syscall(SYS_newfstatat, AT_FDCWD, "/etc/passwd", &st, 0);
}
static void do_exec(void)
{
    char *none[] = {NULL};
    execve("/nowhere/to/be/found", none, none);
}
static void do_fork(void)
{
    if (syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL) == 0)
        _exit(0);
}
static void do_packet(void)
{
    close(socket(AF_PACKET, SOCK_RAW, 0));
}
static void do_datagram(void)
{
    close(socket(AF_INET, SOCK_DGRAM, 0));
}
static void do_netlink(void)
{
    close(socket(AF_NETLINK, SOCK_RAW, 0));
}
/* Who is sent that one and closes it last, monitor say, waits. */
static void do_linger(void)
{
    const struct linger long_ = {.l_onoff = 1, .l_linger = 3600};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &long_, sizeof long_);
    close(fd);
}
static void do_tune(void)
{
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &on, sizeof on);
    close(fd);
}
/* What a listening socket has been told, its next owner finds. */
static void do_tune_listener(void)
{
    const int s = 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &s, sizeof s);
    close(fd);
}
/* Without O_APPEND, lines that are there can be written over. */
static void do_set_flags(void)
{
    fcntl(-1, F_SETFL, 0);
}
static void do_duplicate(void)
{
    close(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0));
}
static void do_bind(void)
{
    bind(-1, NULL, 0);
}
static void do_ptrace(void)
{
    ptrace(PTRACE_PEEKUSER, getpid(), NULL, NULL);
}
static void do_kill(void)
{
    kill(getpid(), 0);
}
static pid_t parent; /* of the attempts; to ask for it is refused itself */
static void do_signal_parent(void)
{
    syscall(SYS_tgkill, parent, parent, 0);
}
/* Who owns a descriptor gets a signal of one's choice when something comes. */
static void do_set_owner(void)
{
    fcntl(-1, F_SETOWN, parent);
}
static void do_executable(void)
{
    mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}
static void do_make_executable(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(p, 4096, PROT_READ | PROT_EXEC);
}
static void do_memfd(void)
{
    close(memfd_create("x", 0));
}
static void do_unshare(void)
{
    unshare(0);
}
static void do_setuid(void)
{
    syscall(SYS_setuid, -1); /* nobody */
}
static void do_chroot(void)
{
    syscall(SYS_chroot, "/nowhere/to/be/found");
}
static void do_set_limit(void)
{
    struct rlimit all;
    getrlimit(RLIMIT_NOFILE, &all);
    setrlimit(RLIMIT_NOFILE, &all);
}
static void do_ioctl(void)
{
    syscall(SYS_ioctl, -1, 0, 0);
}
static void do_unlink(void)
{
    unlink("/nowhere/to/be/found");
}
static void do_bpf(void)
{
    syscall(SYS_bpf, 0, NULL, 0);
}
static void do_io_uring(void)
{
    syscall(SYS_io_uring_setup, 0, NULL);
}

static int by_octet(const void *a, const void *b)
{
    return *(const char *)a - *(const char *)b;
}
/* Beyond 1 KiB the C library first asks how much memory there is. */
static void do_sort(void)
{
    static char text[64 << 10];
    qsort(text, sizeof text, 1, by_octet);
}

static const struct attempt {
    const char *name;
    void (*run)(void);
    unsigned refused;       /* to these roles */
    bool is_sanitizers_too; /* which builds with sanitizers may do */
} attempts[] = {
    {"open", do_open_old, BOTH, true},
    {"newfstatat with a path", do_stat, EDGE, true},
    {"execve", do_exec, BOTH, false},
    {"fork", do_fork, BOTH, true},
    {"a packet socket", do_packet, BOTH, false},
    {"a datagram socket", do_datagram, BOTH, false},
    {"a netlink socket", do_netlink, BOTH, false},
    {"a socket that lingers", do_linger, BOTH, false},
    {"a socket that is tuned", do_tune, 0, false},
    {"a listening socket that is tuned", do_tune_listener, BOTH, false},
    {"a log that is not only added to", do_set_flags, BOTH, true},
    {"a duplicate that is closed on exec", do_duplicate, EDGE, true},
    {"bind", do_bind, BOTH, false},
    {"ptrace", do_ptrace, BOTH, true},
    {"kill", do_kill, BOTH, true},
    {"tgkill of another", do_signal_parent, BOTH, false},
    {"a signal by way of a descriptor", do_set_owner, BOTH, true},
    {"memory that is executable", do_executable, BOTH, false},
    {"memory that becomes executable", do_make_executable, BOTH, false},
    {"memfd_create", do_memfd, EDGE, false},
    {"unshare", do_unshare, BOTH, false},
    {"setuid", do_setuid, BOTH, false},
    {"chroot", do_chroot, BOTH, false},
    {"setrlimit", do_set_limit, BOTH, false},
    {"ioctl", do_ioctl, BOTH, true},
    {"unlink", do_unlink, BOTH, false},
    {"bpf", do_bpf, BOTH, false},
    {"io_uring", do_io_uring, BOTH, false},
    {"a large sort", do_sort, 0, false},
};

/* return  the signal that ended it, 0 after a good exit, -1 after another one */
static int in_child(void (*run)(void), const struct jail *j)
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        bool root;
        int quiet = open("/dev/null", O_WRONLY);
        if (j && (dup2(quiet, STDERR_FILENO) < 0 || jail_enter(j, &root) < 0))
            _exit(9);
        run();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status) ? -1 : 0;
}

/* An error, not an end: see use_heap. */
static void try_open(void)
{
    if (syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY) >= 0)
        _exit(1);
    if (errno != EACCES)
        _exit(2);
}

static void test_edge_opens_nothing(void **state)
{
    const struct jail j = {.role = JAIL_EDGE, .has_secrets = true};
    (void)state;
    if (!JAIL_IS_SANITIZED) /* those may, for their reports */
        assert_int_equal(in_child(try_open, &j), 0);
}

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(attempts); i++) {
        const struct attempt *a = &attempts[i];
        if (in_child(a->run, NULL) != 0)
            fail_msg("%s does harm without a jail, too", a->name);
        for (unsigned role = 0; role < 2; role++) {
            const struct jail j = {.role = role, .has_secrets = role == JAIL_EDGE};
            if (JAIL_IS_SANITIZED && a->is_sanitizers_too)
                continue;
            int expected = a->refused & (1u << role) ? SIGSYS : 0;
            int got = in_child(a->run, &j);
            if (got != expected)
                fail_msg("%s as role %u: %d instead of %d", a->name, role, got, expected);
        }
    }
}

static void *thread(void *arg)
{
    return arg;
}

#define MUST(condition)   \
    do {                  \
        if (!(condition)) \
            _exit(1);     \
    } while (0)

/* What a thread gives back makes glibc look into /proc, whether it may shrink the thread's heap. */
static void *use_heap(void *arg)
{
    static char *blocks[3000];
    for (size_t i = 0; i < ARRAY_LEN(blocks); i++)
        MUST((blocks[i] = malloc(60000)));
    for (size_t i = ARRAY_LEN(blocks); i > 0; i--)
        free(blocks[i - 1]);
    return arg;
}

static int listener;
static char socket_name[64]; /* as it is named in there */

static void connect_inside(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    memcpy(a.sun_path, socket_name, strlen(socket_name));
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    MUST(s >= 0 && connect(s, (struct sockaddr *)&a, sizeof a) == 0);
    int other = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    char octet = 'x';
    MUST(other >= 0 && send(s, &octet, 1, MSG_NOSIGNAL) == 1 && recv(other, &octet, 1, 0) == 1);
}

static void work(void)
{
    struct stat st;
    char octets[16];
    pthread_t t;
    int v = eventfd(0, EFD_CLOEXEC);
    MUST(v >= 0 && fstat(v, &st) == 0 && fcntl(v, F_GETFL) >= 0);
    MUST(getrandom(octets, sizeof octets, 0) == (ssize_t)sizeof octets);
    MUST(pthread_create(&t, NULL, thread, NULL) == 0 && pthread_join(t, NULL) == 0);
    MUST(pthread_create(&t, NULL, use_heap, NULL) == 0 && pthread_join(t, NULL) == 0);
    char *big = malloc(8u << 20);
    MUST(big);
    memset(big, 1, 8u << 20);
    free(big);
    MUST(socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0) >= 0 || errno == EAFNOSUPPORT);
    connect_inside();
}

static void in_directory(void (*run)(const char *directory))
{
    char directory[] = "/tmp/portico-jail-XXXXXX";
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    assert_non_null(mkdtemp(directory));
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(a.sun_path, sizeof a.sun_path, "%s/s", directory);
    assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(listener, 5), 0);
    run(directory);
    close(listener);
    unlink(a.sun_path);
    rmdir(directory);
}

static void work_in(const char *directory)
{
    const struct jail plain = {.role = JAIL_EDGE, .has_secrets = true};
    struct jail with_root = plain;
    snprintf(socket_name, sizeof socket_name, "%s/s", directory);
    assert_int_equal(in_child(work, NULL), 0);
    assert_int_equal(in_child(work, &plain), 0);
    with_root.root = directory;
    if (JAIL_IS_SANITIZED)
        return;
    assert_int_equal(in_child(work, &with_root), -1); /* there is no such path any more */
    snprintf(socket_name, sizeof socket_name, "/s");
    assert_int_equal(in_child(work, &with_root), 0);
}

static void test_work(void **state)
{
    (void)state;
    in_directory(work_in);
}

/* Monitor reads nothing: what control says, routes among it, waits and then goes out. */
static int monitors_end, controls_end;

static void speak(void)
{
    static const struct ipc_instance_ready ready;
    static const struct ipc_snapshot snapshot;
    static struct ipc_message got;
    struct ipc_outbox o;
    ipc_outbox_init(&o, UINT32_MAX);
    int routes = memfd_create("routes", MFD_CLOEXEC);
    MUST(routes >= 0);
    while (o.count == 0)
        MUST(ipc_outbox_send(&o, controls_end, IPC_INSTANCE_READY, &ready, NULL, 0) == 0);
    MUST(ipc_outbox_send(&o, controls_end, IPC_SNAPSHOT, &snapshot, &routes, 1) == 0);
    close(routes);
    do {
        MUST(ipc_recv(monitors_end, &got) == 0);
        MUST(got.fd_count == (got.type == IPC_SNAPSHOT));
        MUST(ipc_outbox_flush(&o, controls_end) == 0);
    } while (got.type != IPC_SNAPSHOT);
}

static void test_outbox(void **state)
{
    const struct jail j = {.role = JAIL_CONTROL};
    int pair[2];
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
                     0);
    monitors_end = pair[0];
    controls_end = pair[1];
    assert_int_equal(in_child(speak, NULL), 0);
    assert_int_equal(in_child(speak, &j), 0);
    close(pair[0]);
    close(pair[1]);
}

static void panics(void)
{
    PANIC("as it should");
}

/* The end that a panic makes is told from one that the filter makes. */
static void test_panic(void **state)
{
    const struct jail j = {.role = JAIL_EDGE, .has_secrets = true};
    (void)state;
    assert_int_equal(in_child(panics, &j), SIGABRT);
}

/* Without system calls being refused: only what Landlock does. */
static void read_little(void)
{
    MUST(open("/proc/self/stat", O_RDONLY) >= 0);
    MUST(open("/tmp/portico-jail-made", O_WRONLY | O_CREAT, 0600) < 0 && errno == EACCES);
    MUST(open("/etc/passwd", O_RDONLY) < 0 && errno == EACCES);
}

static void restrict_and_read(void)
{
    MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    int version = files_restrict("/proc");
    MUST(version > 0 || version == ERR_NOTFOUND);
    if (version > 0)
        read_little();
}

static void test_files(void **state)
{
    (void)state;
    assert_int_equal(in_child(restrict_and_read, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_edge_opens_nothing),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_work),
        cmocka_unit_test(test_outbox),
        cmocka_unit_test(test_panic),
        cmocka_unit_test(test_files),
    };
    parent = getpid();
    log_setup("test", LOG_ERROR);
    return cmocka_run_group_tests_name("jail", tests, NULL, NULL);
}
