/* SPDX-License-Identifier: Apache-2.0 */
#include "ipc/ipc.h"
#include "base/err.h"
#include "base/panic.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
    const char *name;
    size_t octets;
    unsigned least_fds, most_fds;
} types[IPC_TYPE_COUNT] = {[IPC_NONE] = {"NONE", 0, 0, 0},
#define X(name_, type_, least, most) [IPC_##name_] = {#name_, sizeof(struct type_), least, most},
                           IPC_TABLE(X)
#undef X
};

/* Every member that holds text: the receiver may hand it to printf without another look. */
#define TEXT_TABLE(X)                                \
    X(LISTEN, ipc_listen, address)                   \
    X(LISTEN, ipc_listen, where)                     \
    X(CERTIFICATE, ipc_certificate, hosts)           \
    X(CERTIFICATE, ipc_certificate, chain)           \
    X(CERTIFICATE, ipc_certificate, key)             \
    X(CERTIFICATE, ipc_certificate, where)           \
    X(APP, ipc_app, name)                            \
    X(APP, ipc_app, directory)                       \
    X(APP, ipc_app, command)                         \
    X(APP, ipc_app, where)                           \
    X(ENV, ipc_env, text)                            \
    X(COMMIT, ipc_commit, access_log)                \
    X(INSTANCE_READY, ipc_instance_ready, app)       \
    X(ROLL, ipc_roll, app)                           \
    X(RETIRE, ipc_retire, app)                       \
    X(HELLO, ipc_hello, data)                        \
    X(HELLO, ipc_hello, ca_file)                     \
    X(LISTENING, ipc_listening, address)             \
    X(INSTANCE, ipc_instance, app)                   \
    X(INSTANCE, ipc_instance, socket)                \
    X(OUTPUT, ipc_output, app)                       \
    X(OUTPUT, ipc_output, text)                      \
    X(EDGE_CERTIFICATE, ipc_edge_certificate, where) \
    X(EDGE_CONFIG, ipc_edge_config, root)            \
    X(EDGE_LISTENER, ipc_edge_listener, address)     \
    X(EDGE_LEAVE, ipc_edge_leave, app)

static const struct {
    uint32_t type;
    size_t at, cap;
} texts[] = {
#define X(name_, type_, member) \
    {IPC_##name_, offsetof(struct type_, member), sizeof(((struct type_ *)0)->member)},
    TEXT_TABLE(X)
#undef X
};

const char *ipc_type_name(unsigned type)
{
    return type < IPC_TYPE_COUNT ? types[type].name : "?";
}

size_t ipc_octets(enum ipc_type type)
{
    ASSERT(type < IPC_TYPE_COUNT);
    return types[type].octets;
}

int ipc_send(int channel, enum ipc_type type, const void *body, const int *fds, unsigned fd_count)
{
    ASSERT(type > IPC_NONE && type < IPC_TYPE_COUNT);
    ASSERT(fd_count >= types[type].least_fds && fd_count <= types[type].most_fds);
    uint32_t head = (uint32_t)type;
    struct iovec iov[2] = {
        {.iov_base = &head, .iov_len = sizeof head},
        /* sendmsg only reads what iov_base points to */
        {.iov_base = (void *)(uintptr_t)body, .iov_len = types[type].octets},
    };
    union {
        struct cmsghdr align;
        char octets[CMSG_SPACE(IPC_MAX_FDS * sizeof(int))];
    } control = {0};
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};
    if (fd_count) {
        m.msg_control = control.octets;
        m.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(c), fds, fd_count * sizeof(int));
    }
    while (sendmsg(channel, &m, MSG_NOSIGNAL) < 0) {
        if (errno == EINTR)
            continue;
        if (errno == EAGAIN)
            return ERR_AGAIN;
        return errno == EPIPE || errno == ECONNRESET ? ERR_CLOSED : ERR_SYS;
    }
    return 0;
}

static void close_fds(struct ipc_message *m)
{
    for (unsigned i = 0; i < m->fd_count; i++)
        close(m->fds[i]);
    m->fd_count = 0;
}

/* Takes what fits into the message and closes the rest: a sender with too many must not be able to
 * leave any open here.  return false when there were too many */
static bool take_fds(struct msghdr *m, struct ipc_message *out)
{
    bool fits = true;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
            if (out->fd_count < IPC_MAX_FDS) {
                out->fds[out->fd_count++] = fd;
            } else {
                close(fd);
                fits = false;
            }
        }
    }
    return fits;
}

static bool is_valid(const struct ipc_message *m, size_t body_octets)
{
    if (m->type <= IPC_NONE || m->type >= IPC_TYPE_COUNT || body_octets != types[m->type].octets ||
        m->fd_count < types[m->type].least_fds || m->fd_count > types[m->type].most_fds)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (texts[i].type == m->type &&
            !memchr((const char *)&m->body + texts[i].at, 0, texts[i].cap))
            return false;
    return true;
}

int ipc_recv(int channel, struct ipc_message *out)
{
    struct iovec iov[2] = {
        {.iov_base = &out->type, .iov_len = sizeof out->type},
        {.iov_base = &out->body, .iov_len = sizeof out->body},
    };
    union {
        struct cmsghdr align;
        char octets[CMSG_SPACE((IPC_MAX_FDS + 1) * sizeof(int))];
    } control;
    struct msghdr m;
    ssize_t n;
    bool was_reset = false;
    out->fd_count = 0;
    out->type = IPC_NONE;
    for (;;) {
        m = (struct msghdr){.msg_iov = iov,
                            .msg_iovlen = 2,
                            .msg_control = control.octets,
                            .msg_controllen = sizeof control.octets};
        n = recvmsg(channel, &m, MSG_CMSG_CLOEXEC);
        if (n >= 0)
            break;
        if (errno == EINTR)
            continue;
        /* A peer that closed without having read everything: Linux reports that once, before
         * what the peer sent while it lived.  Its last words are still in the queue. */
        if (errno == ECONNRESET && !was_reset) {
            was_reset = true;
            continue;
        }
        if (errno == EAGAIN)
            return ERR_AGAIN;
        return errno == ECONNRESET ? ERR_CLOSED : ERR_SYS;
    }
    bool fits = take_fds(&m, out);
    if (n == 0 && out->fd_count == 0 && !(m.msg_flags & MSG_CTRUNC))
        return ERR_CLOSED;
    if (!fits || (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || (size_t)n < sizeof out->type ||
        !is_valid(out, (size_t)n - sizeof out->type)) {
        close_fds(out);
        return ERR_FORMAT;
    }
    return 0;
}

int ipc_pair(int fds_out[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds_out) < 0 ? ERR_SYS : 0;
}

bool ipc_text(char *to, size_t cap, struct slice text)
{
    if (text.len >= cap || (text.len && memchr(text.p, 0, text.len)))
        return false;
    if (text.len)
        memcpy(to, text.p, text.len);
    memset(to + text.len, 0, cap - text.len);
    return true;
}

static int write_all(int fd, const char *p, size_t len)
{
    while (len) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return ERR_SYS;
        p += n, len -= (size_t)n;
    }
    return 0;
}

int ipc_sealed_memfd(const char *name, const void *octets, size_t len)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return ERR_SYS;
    if (write_all(fd, octets, len) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0) {
        close(fd);
        return ERR_SYS;
    }
    return fd;
}

static int map(int fd, int seals, size_t min, int prot, int flags, void **base_out, size_t *len_out)
{
    struct stat st;
    int have = fcntl(fd, F_GET_SEALS);
    if (have < 0) /* EINVAL: no memfd at all */
        return errno == EINVAL ? ERR_FORMAT : ERR_SYS;
    if ((have & seals) != seals)
        return ERR_FORMAT;
    if (fstat(fd, &st) < 0)
        return ERR_SYS;
    if (st.st_size <= 0 || (uintmax_t)st.st_size < min || (uintmax_t)st.st_size > SIZE_MAX)
        return ERR_FORMAT;
    void *base = mmap(NULL, (size_t)st.st_size, prot, flags, fd, 0);
    if (base == MAP_FAILED)
        return ERR_SYS;
    *base_out = base;
    *len_out = (size_t)st.st_size;
    return 0;
}

int ipc_map_sealed(int fd, size_t min, const void **base_out, size_t *len_out)
{
    void *base;
    /* private: kernels before 6.7 refuse a shared mapping of a write-sealed memfd */
    int r = map(fd, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK, min, PROT_READ, MAP_PRIVATE, &base,
                len_out);
    if (r == 0)
        *base_out = base;
    return r;
}

int ipc_shared_memfd(const char *name, size_t len)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return ERR_SYS;
    /* A role that shrank it would kill the others by SIGBUS. */
    if (ftruncate(fd, (off_t)len) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0) {
        close(fd);
        return ERR_SYS;
    }
    return fd;
}

int ipc_map_shared(int fd, void **base_out, size_t *len_out)
{
    return map(fd, F_SEAL_GROW | F_SEAL_SHRINK, 1, PROT_READ | PROT_WRITE, MAP_SHARED, base_out,
               len_out);
}
