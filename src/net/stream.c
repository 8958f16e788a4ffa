/* SPDX-License-Identifier: Apache-2.0 */
#include "net/stream.h"
#include "base/chain.h"
#include "base/err.h"
#include "base/panic.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <unistd.h>

/* One recv. */
#define STREAM_MIN_RECV_OCTETS 4096
#define STREAM_MAX_RECV_OCTETS (64u << 10)
/* Of one message, SCM_MAX_FD. */
#define STREAM_MOST_FILES 253
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* Linux 6.16 */
#endif
/* One slice of plaintext. */
#define STREAM_SLICE_OCTETS STREAM_BURST_MOST
_Static_assert(TLS_WIRE_BOUND(STREAM_SLICE_OCTETS) <= LOOP_SCRATCH_OCTETS,
               "a slice and what its records add fit into a scratch");

/* Whoever closes a socket last waits for its peer, if its owner has set SO_LINGER so, and that is
 * us when it was sent beside octets: as soon as they are read, or never will be.  A worker could
 * hold its loop for days.  return  false: the peer may send any, this kernel cannot tell it not to
 */
static bool refuse_files(int fd)
{
    static const int off = 0;
    return setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof off) == 0;
}

/* As recvmsg(), but that what comes beside octets is taken, and an error; it stays open. */
static ssize_t receive_warily(struct stream *s, const struct iovec *to, unsigned count)
{
    union {
        struct cmsghdr align;
        char octets[CMSG_SPACE(STREAM_MOST_FILES * sizeof(int))];
    } files;
    struct msghdr into = {.msg_iov = (struct iovec *)(uintptr_t)to,
                          .msg_iovlen = count,
                          .msg_control = files.octets,
                          .msg_controllen = sizeof files.octets};
    ssize_t n = recvmsg(s->source.fd, &into, MSG_CMSG_CLOEXEC);
    if (n < 0 || (into.msg_controllen == 0 && !(into.msg_flags & MSG_CTRUNC)))
        return n;
    s->has_got_files = true;
    errno = EPROTO;
    return -1;
}

/* Nothing may be left in it when it is closed. */
static void close_warily(struct stream *s)
{
    char octets[4096];
    shutdown(s->source.fd, SHUT_RDWR);
    while (!s->has_got_files && receive_warily(s, &(struct iovec){octets, sizeof octets}, 1) > 0)
        ;
    if (!s->has_got_files)
        close(s->source.fd);
}

static bool is_readable(const struct stream *s)
{
    return s->in_kernel || s->wire_in_len || (s->tls && tls_has_pending(s->tls));
}

/* return  octets taken by the socket, or ERR_CLOSED (the stream has then failed) */
static ssize_t send_once(struct stream *s, const void *p, size_t len)
{
    ssize_t n;
    do {
        loop_calls(s->loop)->writes++;
        n = send(s->source.fd, p, len, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n >= 0) {
        s->octets_out += (uint64_t)n;
        return n;
    }
    if (errno == EAGAIN)
        return 0;
    s->failed = true;
    return ERR_CLOSED;
}

static void watch_room(struct stream *s, bool watch)
{
    if (s->watches_room != watch)
        loop_watch_room(s->loop, &s->source, watch);
    s->watches_room = watch;
}

/* One burst goes into the empty buffer of any socket; that it takes another says that it sends. */
static void adapt_burst(struct stream *s, size_t sent, size_t len)
{
    if (sent < len) {
        s->burst_octets = STREAM_BURST_LEAST;
        s->bursts_taken = 0;
    } else if (len >= s->burst_octets && s->burst_octets < STREAM_BURST_MOST &&
               ++s->bursts_taken == 2) {
        s->burst_octets *= 2;
        s->bursts_taken = 0;
    }
}

/* Remember what the socket did not take. */
static int keep(struct stream *s, const void *p, size_t len)
{
    s->blocked = true;
    watch_room(s, true);
    if (buf_add(&s->wire, p, len) == 0)
        return 0;
    s->failed = true;
    return ERR_NOMEM;
}

/* One send of what waits. */
static int send_wire(struct stream *s)
{
    if (buf_len(&s->wire)) {
        ssize_t n = send_once(s, buf_at(&s->wire), buf_len(&s->wire));
        if (n < 0)
            return (int)n;
        buf_consume(&s->wire, (size_t)n);
    }
    s->blocked = buf_len(&s->wire) != 0;
    if (s->blocked)
        watch_room(s, true);
    if (!s->blocked && s->shut) {
        loop_calls(s->loop)->other++;
        shutdown(s->source.fd, SHUT_WR);
    }
    return 0;
}

static void send_later(struct loop_task *t)
{
    struct stream *s = CONTAINER_OF(t, struct stream, later);
    if (!s->blocked && !s->failed && buf_len(&s->wire))
        send_wire(s);
}

/* return  whether there is a connection now and s is still open */
static bool end_connect(struct stream *s, unsigned events)
{
    int err = 0;
    if (events & LOOP_HUP) {
        socklen_t len = sizeof err;
        loop_calls(s->loop)->other++;
        if (getsockopt(s->source.fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0)
            err = errno;
    } else if (!(events & LOOP_OUT)) {
        return false;
    }
    s->connecting = false;
    if (err)
        s->failed = true;
    else if (s->is_local && !buf_len(&s->wire))
        watch_room(s, false);
    s->events->on_connected(s, err == 0 ? 0 : err == ETIMEDOUT ? ERR_TIMEOUT : ERR_CLOSED);
    return err == 0 && stream_is_open(s);
}

static void on_event(struct loop_source *source, unsigned events)
{
    struct stream *s = CONTAINER_OF(source, struct stream, source);
    if (s->connecting && !end_connect(s, events))
        return;
    bool was_blocked = s->blocked, had_failed = s->failed;
    bool readable = (events & (LOOP_IN | LOOP_RDHUP | LOOP_HUP)) != 0;
    if (events & (LOOP_RDHUP | LOOP_HUP))
        s->saw_hup = true;
    if (readable)
        s->in_kernel = s->can_read = true;
    if ((events & LOOP_HUP) && !s->shut)
        s->lost = true;
    if (s->lost && s->ended) /* half-closed by the peer, now dead */
        s->failed = true;
    if ((events & (LOOP_OUT | LOOP_HUP)) && buf_len(&s->wire) && !s->failed)
        send_wire(s);
    if (was_blocked && !s->blocked && s->is_local)
        watch_room(s, false);
    if (s->failed && !had_failed) /* reading tells the owner */
        s->in_kernel = s->can_read = readable = true;
    if (readable && (!s->ended || s->failed))
        s->events->on_readable(s);
    if (was_blocked && stream_is_open(s) && !s->blocked)
        s->events->on_writable(s);
}

static void prepare(struct stream *s, struct loop *l, int fd, const struct stream_events *events)
{
    *s = (struct stream){
        .source = {on_event, fd}, .loop = l, .events = events, .burst_octets = STREAM_BURST_LEAST};
    buf_init(&s->wire, loop_pool(l));
    loop_task_init(&s->later, send_later);
}

int stream_open(struct stream *s, struct loop *l, int fd, struct tls_conn *tls,
                const struct stream_events *events)
{
    prepare(s, l, fd, events);
    if (loop_add_reader(l, &s->source) != 0) {
        s->source.fd = -1;
        return ERR_SYS;
    }
    s->tls = tls;
    return 0;
}

/* What went wrong: ours, the peer's refusal, or that the backlog of its unix socket is full. */
static int connect_error(int err)
{
    switch (err) {
    case EAGAIN:
        return ERR_AGAIN;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EADDRNOTAVAIL:
        return ERR_SYS;
    default:
        return ERR_CLOSED;
    }
}

int stream_connect(struct stream *s, struct loop *l, const struct addr *to,
                   const struct stream_events *events)
{
    prepare(s, l, -1, events);
    loop_calls(l)->other++;
    int fd =
        loop_admit(l, socket(to->u.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (fd < 0)
        return ERR_SYS;
    s->is_local = to->u.sa.sa_family == AF_UNIX;
    loop_calls(l)->other += s->is_local;
    s->may_get_files = s->is_local && !refuse_files(fd);
    loop_calls(l)->connects++;
    int err =
        connect(fd, &to->u.sa, to->len) == 0 || errno == EINPROGRESS ? 0 : connect_error(errno);
    s->source.fd = fd;
    /* When it succeeded at once, registering gives an event for a writable socket in the next turn,
     * so both cases go on in the same way. */
    s->connecting = s->watches_room = true;
    if (err == 0)
        err = loop_add(l, &s->source);
    if (err) {
        close(fd);
        s->source.fd = -1;
    }
    return err;
}

void stream_close(struct stream *s)
{
    if (!stream_is_open(s))
        return;
    if (s->may_get_files) { /* it may stay open */
        loop_remove(s->loop, &s->source);
        close_warily(s);
    } else {
        loop_forget(s->loop, &s->source);
        close(s->source.fd);
    }
    loop_task_cancel(&s->later);
    loop_calls(s->loop)->other++;
    s->source.fd = -1;
    if (s->tls)
        tls_conn_free(s->tls);
    s->tls = NULL;
    chunk_unref(s->wire_in);
    s->wire_in = NULL;
    s->wire_in_len = 0;
    buf_fini(&s->wire);
    s->can_read = s->in_kernel = s->blocked = false;
}

static ssize_t receive(struct stream *s, const struct iovec *to, unsigned count)
{
    if (s->may_get_files)
        return receive_warily(s, to, count);
    if (count == 1)
        return recv(s->source.fd, to->iov_base, to->iov_len, 0);
    struct msghdr into = {.msg_iov = (struct iovec *)(uintptr_t)to, .msg_iovlen = count};
    return recvmsg(s->source.fd, &into, 0);
}

/* One call.  A short one has drained the kernel; after a FIN no further edge comes, so then it is
 * read to the end. */
static ssize_t recv_once(struct stream *s, const struct iovec *to, unsigned count)
{
    size_t cap = 0;
    for (unsigned i = 0; i < count; i++)
        cap += to[i].iov_len;
    loop_calls(s->loop)->reads++;
    ssize_t n = receive(s, to, count);
    if (n > 0) {
        s->octets_in += (uint64_t)n;
        s->ready_octets = (s->filled ? s->ready_octets : 0) + (uint64_t)n;
        s->filled = (size_t)n == cap;
        s->in_kernel = s->filled || s->saw_hup;
        return n;
    }
    if (n < 0 && errno == EINTR)
        return ERR_AGAIN;
    s->in_kernel = s->filled = false;
    if (n < 0 && errno == EAGAIN)
        return ERR_AGAIN;
    /* A send that failed has swallowed the error that would have told this end from a clean one. */
    if (n == 0 && !s->failed)
        return 0;
    s->failed = true;
    return ERR_CLOSED;
}

static int keep_wire_in(struct stream *s, const char *p, size_t len)
{
    ASSERT(!s->wire_in);
    s->wire_in = chunk_new(loop_pool(s->loop), (uint32_t)len);
    if (!s->wire_in) {
        s->failed = true;
        return ERR_NOMEM;
    }
    memcpy(s->wire_in->octets, p, len);
    s->wire_in_at = 0;
    s->wire_in_len = (uint32_t)len;
    return 0;
}

/* Send what decrypting made.  What belongs to the handshake goes at once, as must an alert, since
 * the owner will close; a session ticket waits for the first octets that the owner writes. */
static void send_handshake(struct stream *s, bool at_once)
{
    if (buf_len(&s->wire) == 0 || s->blocked || s->failed)
        return;
    if (at_once || !tls_is_established(s->tls))
        send_wire(s);
    else
        loop_reap(s->loop, &s->later);
}

static ssize_t decrypt(struct stream *s, const char *in, size_t in_len, size_t *taken_out,
                       void *buf, size_t cap)
{
    ssize_t n = tls_decrypt(s->tls, in, in_len, taken_out, buf, cap, &s->wire);
    send_handshake(s, n < 0);
    if (n != ERR_CLOSED)
        return n;
    s->ended = true;
    s->in_kernel = false;
    return n;
}

static ssize_t read_tls(struct stream *s, void *buf, size_t cap)
{
    size_t taken;
    if (s->wire_in_len || tls_has_pending(s->tls)) {
        const char *in = s->wire_in_len ? s->wire_in->octets + s->wire_in_at : "";
        ssize_t n = decrypt(s, in, s->wire_in_len, &taken, buf, cap);
        s->wire_in_at += (uint32_t)taken;
        s->wire_in_len -= (uint32_t)taken;
        if (s->wire_in_len == 0) {
            chunk_unref(s->wire_in);
            s->wire_in = NULL;
        }
        if (n != 0)
            return n;
    }
    if (!s->in_kernel)
        return ERR_AGAIN;
    char *in = loop_scratch(s->loop, 0);
    size_t want = cap < STREAM_MIN_RECV_OCTETS   ? STREAM_MIN_RECV_OCTETS
                  : cap > STREAM_MAX_RECV_OCTETS ? STREAM_MAX_RECV_OCTETS
                                                 : cap;
    ssize_t got = recv_once(s, &(struct iovec){in, want}, 1);
    if (got < 0)
        return got;
    if (got == 0) { /* no close_notify came before the FIN: RFC 8446 6.1 */
        s->failed = true;
        return ERR_CLOSED;
    }
    ssize_t n = decrypt(s, in, (size_t)got, &taken, buf, cap);
    if (n > 0 && taken < (size_t)got && keep_wire_in(s, in + taken, (size_t)got - taken) != 0)
        return ERR_CLOSED;
    return n;
}

ssize_t stream_readv(struct stream *s, const struct iovec *to, unsigned count)
{
    if (!stream_is_open(s))
        return ERR_CLOSED;
    if (s->ended) {
        s->can_read = s->in_kernel = false;
        return s->failed ? ERR_CLOSED : 0;
    }
    if (s->connecting || !s->can_read || to->iov_len == 0)
        return ERR_AGAIN;
    ssize_t n = s->tls ? read_tls(s, to->iov_base, to->iov_len) : recv_once(s, to, count);
    if (n == 0 && !s->tls)
        s->ended = true;
    /* close_notify may still be read from a connection that a send has just found dead: no event
     * comes any more, so this is the last time to say it. */
    if (s->tls && n == ERR_CLOSED && s->ended)
        n = s->failed ? ERR_CLOSED : 0;
    else if (s->tls && n == 0)
        n = ERR_AGAIN;
    s->can_read = n > 0 || n == ERR_AGAIN ? is_readable(s) : false;
    return n;
}

ssize_t stream_read(struct stream *s, void *buf, size_t cap)
{
    return stream_readv(s, &(struct iovec){buf, cap}, 1);
}

static ssize_t encrypt(struct stream *s, const char *in, size_t len, char *out, size_t cap)
{
    ssize_t n = tls_encrypt(s->tls, in, len, out, cap);
    if (n < 0)
        s->failed = true;
    return n;
}

static int write_tls(struct stream *s, const char *in, size_t len)
{
    size_t at = 0;
    while (at < len && buf_len(&s->wire) == 0) {
        size_t slice = len - at < STREAM_SLICE_OCTETS ? len - at : STREAM_SLICE_OCTETS;
        char *out = loop_scratch(s->loop, 1);
        ssize_t n = encrypt(s, in + at, slice, out, LOOP_SCRATCH_OCTETS);
        if (n < 0)
            return (int)n;
        at += slice;
        ssize_t sent = send_once(s, out, (size_t)n);
        if (sent < 0)
            return (int)sent;
        adapt_burst(s, (size_t)sent, (size_t)n);
        if (sent < n && keep(s, out + sent, (size_t)(n - sent)) != 0)
            return ERR_NOMEM;
    }
    while (at < len) {
        size_t slice = len - at < STREAM_SLICE_OCTETS ? len - at : STREAM_SLICE_OCTETS;
        size_t room = TLS_WIRE_BOUND(slice);
        char *out = buf_reserve(&s->wire, room);
        ssize_t n = out ? encrypt(s, in + at, slice, out, room) : ERR_NOMEM;
        if (n < 0) {
            s->failed = true;
            return (int)n;
        }
        buf_added(&s->wire, (size_t)n);
        at += slice;
    }
    if (!s->blocked && buf_len(&s->wire))
        return send_wire(s);
    return 0;
}

int stream_write(struct stream *s, const void *in, size_t len)
{
    if (!stream_is_open(s) || s->failed || s->shut)
        return ERR_CLOSED;
    if (len == 0)
        return 0;
    if (s->tls)
        return write_tls(s, in, len);
    if (s->connecting || buf_len(&s->wire))
        return keep(s, in, len);
    ssize_t n = send_once(s, in, len);
    if (n < 0)
        return (int)n;
    adapt_burst(s, (size_t)n, len);
    return (size_t)n < len ? keep(s, (const char *)in + n, len - (size_t)n) : 0;
}

void stream_shutdown(struct stream *s)
{
    if (!stream_is_open(s) || s->failed || s->shut)
        return;
    s->shut = true;
    if (s->tls)
        tls_close_notify(s->tls, &s->wire);
    if (!s->connecting && !s->blocked)
        send_wire(s);
}

bool stream_is_established(const struct stream *s)
{
    return stream_is_open(s) && !s->connecting && (!s->tls || tls_is_established(s->tls));
}

void stream_tune_fd(int fd, unsigned notsent_lowat_octets)
{
    int on = 1;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 && notsent_lowat_octets)
        setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &notsent_lowat_octets,
                   sizeof notsent_lowat_octets);
}

void stream_tune(struct stream *s, unsigned notsent_lowat_octets)
{
    if (s->is_local)
        return;
    loop_calls(s->loop)->other += notsent_lowat_octets ? 2 : 1;
    stream_tune_fd(s->source.fd, notsent_lowat_octets);
}
