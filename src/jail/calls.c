/* SPDX-License-Identifier: Apache-2.0 */
/* The tables below are the whole policy.  A call without conditions costs the kernel one bit to
 * look up (Linux 5.11 on), so those of the request path have none. */
#include "jail/calls.h"
#include "jail/sanitized.h"
#include "base/err.h"
#include "base/panic.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* Linux 6.16 */
#endif

#define EDGE    (1u << JAIL_EDGE)
#define CONTROL (1u << JAIL_CONTROL)
#define BOTH    (EDGE | CONTROL)

struct call {
    int number;
    unsigned roles;
};

/* return, exit and panic; memory; threads; the clock; the loop; sockets that are there; logs */
static const struct call calls[] = {
    {SCMP_SYS(read), BOTH},
    {SCMP_SYS(write), BOTH},
    {SCMP_SYS(writev), BOTH},
    {SCMP_SYS(pread64), BOTH},
    {SCMP_SYS(lseek), BOTH},
    {SCMP_SYS(close), BOTH},
    {SCMP_SYS(dup), BOTH},
    {SCMP_SYS(fstat), BOTH},
    {SCMP_SYS(poll), BOTH},
    {SCMP_SYS(ppoll), BOTH},
    {SCMP_SYS(munmap), BOTH},
    {SCMP_SYS(mremap), BOTH},
    {SCMP_SYS(madvise), BOTH},
    {SCMP_SYS(brk), BOTH},
    {SCMP_SYS(futex), BOTH},
    {SCMP_SYS(set_robust_list), BOTH},
    {SCMP_SYS(rseq), BOTH},
    {SCMP_SYS(sched_yield), BOTH},
    {SCMP_SYS(sched_getaffinity), BOTH},
    {SCMP_SYS(getpid), BOTH},
    {SCMP_SYS(gettid), BOTH},
    {SCMP_SYS(rt_sigaction), BOTH},
    {SCMP_SYS(rt_sigprocmask), BOTH},
    {SCMP_SYS(rt_sigreturn), BOTH},
    {SCMP_SYS(sigaltstack), BOTH},
    {SCMP_SYS(restart_syscall), BOTH},
    {SCMP_SYS(exit), BOTH},
    {SCMP_SYS(exit_group), BOTH},
    {SCMP_SYS(clock_gettime), BOTH},
    {SCMP_SYS(clock_nanosleep), BOTH},
    {SCMP_SYS(gettimeofday), BOTH},
    {SCMP_SYS(time), BOTH},
    {SCMP_SYS(getrandom), BOTH},
    {SCMP_SYS(epoll_ctl), BOTH},
    {SCMP_SYS(epoll_wait), BOTH},
    {SCMP_SYS(epoll_pwait), BOTH},
    {SCMP_SYS(eventfd2), BOTH},
    {SCMP_SYS(sysinfo), BOTH}, /* qsort() of more than 1 KiB, ours or a library's */
    {SCMP_SYS(listen), CONTROL},
    {SCMP_SYS(accept4), BOTH},
    {SCMP_SYS(connect), BOTH},
    {SCMP_SYS(shutdown), BOTH},
    {SCMP_SYS(recvfrom), BOTH},
    {SCMP_SYS(recvmsg), BOTH},
    {SCMP_SYS(sendto), BOTH},
    {SCMP_SYS(sendmsg), BOTH},
    {SCMP_SYS(getsockopt), BOTH},
    {SCMP_SYS(getsockname), BOTH},
    {SCMP_SYS(getpeername), BOTH},
    /* the manifest's files are looked at; whose listener it is stands in /proc; routes are made */
    {SCMP_SYS(openat), CONTROL},
    {SCMP_SYS(getdents64), CONTROL},
    {SCMP_SYS(stat), CONTROL},
    {SCMP_SYS(lstat), CONTROL},
    {SCMP_SYS(newfstatat), CONTROL},
    {SCMP_SYS(readlink), CONTROL},
    {SCMP_SYS(readlinkat), CONTROL},
    {SCMP_SYS(getcwd), CONTROL},
    {SCMP_SYS(getpgid), CONTROL},
    {SCMP_SYS(getsid), CONTROL},
    {SCMP_SYS(memfd_create), CONTROL},
};

/* Allowed when each condition holds. */
#define MAX_CONDITIONS 2
struct conditional {
    int number;
    unsigned roles, count;
    struct scmp_arg_cmp when[MAX_CONDITIONS];
};
#define MASKED(arg, mask, value) SCMP_CMP64(arg, SCMP_CMP_MASKED_EQ, (mask), (value))
#define IS(arg, value)           SCMP_CMP64(arg, SCMP_CMP_EQ, (value))
#define SOCKET(family)                                                                             \
    {                                                                                              \
        SCMP_SYS(socket), BOTH, 2,                                                                 \
        {                                                                                          \
            IS(0, (family)), MASKED(1, ~(scmp_datum_t)(SOCK_NONBLOCK | SOCK_CLOEXEC), SOCK_STREAM) \
        }                                                                                          \
    }

static const struct conditional conditionals[] = {
    SOCKET(AF_UNIX),
    SOCKET(AF_INET),
    SOCKET(AF_INET6),
    /* memory is never executable that was not so at the start */
    {SCMP_SYS(mmap), BOTH, 1, {MASKED(2, PROT_EXEC, 0)}},
    {SCMP_SYS(mprotect), BOTH, 1, {MASKED(2, PROT_EXEC, 0)}},
    /* SO_LINGER would hold who is sent the socket and closes it last, monitor; what a listening
     * socket is told, its successor finds */
    {SCMP_SYS(setsockopt), BOTH, 2, {IS(1, IPPROTO_TCP), IS(2, TCP_NODELAY)}},
    {SCMP_SYS(setsockopt), BOTH, 2, {IS(1, IPPROTO_TCP), IS(2, TCP_NOTSENT_LOWAT)}},
    {SCMP_SYS(setsockopt), BOTH, 2, {IS(1, SOL_SOCKET), IS(2, SO_PASSRIGHTS)}},
    /* F_SETOWN would send signals, which kill() and tgkill() may not; F_SETFL would take O_APPEND
     * from logs, and O_NONBLOCK from what is shared */
    {SCMP_SYS(fcntl), BOTH, 1, {IS(1, F_GETFL)}},
    {SCMP_SYS(fcntl), BOTH, 1, {IS(1, F_GET_SEALS)}},
    {SCMP_SYS(fcntl), CONTROL, 1, {IS(1, F_ADD_SEALS)}},
    {SCMP_SYS(fcntl), CONTROL, 1, {IS(1, F_DUPFD_CLOEXEC)}}, /* a message with one waits */
    {SCMP_SYS(clone), EDGE, 1, {MASKED(0, CLONE_THREAD | CLONE_NEWUSER, CLONE_THREAD)}},
    {SCMP_SYS(prctl), BOTH, 1, {IS(0, PR_SET_NAME)}},
    {SCMP_SYS(prlimit64), BOTH, 1, {IS(2, 0)}}, /* look, not set */
    /* glibc's fstat, which names no path */
    {SCMP_SYS(newfstatat), EDGE, 1, {IS(3, AT_EMPTY_PATH)}},
};

/* Only in builds with sanitizers: they look at files and /proc when they report, and stop all
 * threads with ptrace to look for leaks. */
#if JAIL_IS_SANITIZED
static const int of_sanitizers[] = {
    SCMP_SYS(open),
    SCMP_SYS(fcntl),
    SCMP_SYS(openat),
    SCMP_SYS(stat),
    SCMP_SYS(lstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(getdents64),
    SCMP_SYS(getdents),
    SCMP_SYS(access),
    SCMP_SYS(clone),
    SCMP_SYS(ptrace),
    SCMP_SYS(wait4),
    SCMP_SYS(prctl),
    SCMP_SYS(getppid),
    SCMP_SYS(kill),
    SCMP_SYS(pipe),
    SCMP_SYS(pipe2),
    SCMP_SYS(uname),
    SCMP_SYS(getrlimit),
    SCMP_SYS(getrusage),
    SCMP_SYS(membarrier),
    SCMP_SYS(nanosleep),
    SCMP_SYS(geteuid),
    SCMP_SYS(getuid),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(get_robust_list),
    SCMP_SYS(ioctl),
    SCMP_SYS(getcwd),
};
#endif

static int allow(scmp_filter_ctx ctx, int number, unsigned count, const struct scmp_arg_cmp *when)
{
    return seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, number, count, when);
}

static int add_all(scmp_filter_ctx ctx, unsigned role)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(calls); i++)
        if (calls[i].roles & role)
            r = allow(ctx, calls[i].number, 0, NULL);
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(conditionals); i++)
        if (conditionals[i].roles & role)
            r = allow(ctx, conditionals[i].number, conditionals[i].count, conditionals[i].when);
    /* abort() and panic signal ourselves, and nobody else */
    const struct scmp_arg_cmp self = IS(0, (scmp_datum_t)getpid());
    if (r == 0)
        r = allow(ctx, SCMP_SYS(tgkill), 1, &self);
    /* Its flags lie in memory, where a filter cannot look: glibc then takes clone(). */
    if (r == 0)
        r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
#if !JAIL_IS_SANITIZED
    /* glibc's free() looks into /proc before it shrinks a thread's heap, and can do without. */
    if (r == 0 && role == EDGE)
        r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(openat), 0);
#else
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(of_sanitizers); i++)
        r = allow(ctx, of_sanitizers[i], 0, NULL);
#endif
    return r;
}

#if JAIL_IS_SANITIZED
/* A build for tests says which call it was, and then ends as any other. */
static void on_refused(int signal_, siginfo_t *info, void *context)
{
    static const char digits[] = "0123456789";
    char line[] = "jail: refused system call ....\n";
    char *at = line + sizeof line - 3;
    int number = info->si_syscall;
    (void)context;
    for (int i = 0; i < 4; i++, number /= 10)
        *at-- = number || i == 0 ? digits[number % 10] : ' ';
    ssize_t n = write(STDERR_FILENO, line, sizeof line - 1);
    (void)n;
    signal(signal_, SIG_DFL);
    raise(signal_);
}
#endif

/* A release build is killed: a handler is what an intruder would replace first. */
static uint32_t refusal(void)
{
#if JAIL_IS_SANITIZED
    struct sigaction action = {.sa_sigaction = on_refused, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGSYS, &action, NULL);
    return SCMP_ACT_TRAP;
#else
    return SCMP_ACT_KILL_PROCESS;
#endif
}

int calls_restrict(enum jail_role role)
{
    scmp_filter_ctx ctx = seccomp_init(refusal());
    if (!ctx)
        return ERR_SYS;
    int r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (r == 0)
        r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
    if (r == 0)
        r = add_all(ctx, 1u << role);
    if (r == 0)
        r = seccomp_load(ctx);
    seccomp_release(ctx);
    errno = -r;
    return r == 0 ? 0 : r == -EINVAL || r == -ENOSYS ? ERR_NOTFOUND : ERR_SYS;
}
