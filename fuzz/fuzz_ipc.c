/* SPDX-License-Identifier: Apache-2.0 */
/* A hostile control talks to monitor: messages over a real channel, and what monitor gathers of
 * them until a commit.  What is accepted is as monitor relies on; nothing else stays, no descriptor
 * either.
 *
 * Input: messages.  An octet of type; one of how many descriptors come along (bits 0 to 2), whether
 * the size is right (bit 3: one octet less, bit 4: one more), and how many members are written
 * (bits 5 to 7); then for each an octet of where, one of length, and the octets. */
#include "base/err.h"
#include "base/panic.h"
#include "input.h"
#include "monitor/wanted.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGES_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len);

/* An honest message of that type, so that mutations start from something. */
static void fill(enum ipc_type type, unsigned number, union ipc_body *b)
{
    memset(b, 0, sizeof *b);
    switch ((unsigned)type) {
    case IPC_LISTEN:
        memcpy(b->LISTEN.address, "127.0.0.1:0", 12);
        break;
    case IPC_CERTIFICATE:
        b->CERTIFICATE.id = number;
        b->CERTIFICATE.local = 1;
        memcpy(b->CERTIFICATE.hosts, "a.test b.test", 14);
        break;
    case IPC_CERTIFICATES_KEPT:
        b->CERTIFICATES_KEPT.first = b->CERTIFICATES_KEPT.last = number;
        break;
    case IPC_APP:
        memcpy(b->APP.name, "app", 4);
        b->APP.name[3] = (char)('a' + number % 26);
        memcpy(b->APP.directory, "/srv", 5);
        memcpy(b->APP.command, "run", 4);
        b->APP.instances = 1;
        break;
    case IPC_ENV:
        memcpy(b->ENV.text, "A=b", 4);
        break;
    case IPC_COMMIT:
        b->COMMIT.loops = 1;
        b->COMMIT.counters_octets = 4096;
        b->COMMIT.site_slots = 1;
        memcpy(b->COMMIT.access_log, "off", 4);
        break;
    }
}

/* Where texts and numbers of the larger messages begin, and some places between. */
static size_t place(uint8_t which, size_t octets)
{
    static const size_t places[] = {0,
                                    4,
                                    8,
                                    12,
                                    16,
                                    20,
                                    offsetof(struct ipc_app, directory),
                                    offsetof(struct ipc_app, command),
                                    offsetof(struct ipc_app, instances),
                                    offsetof(struct ipc_app, where),
                                    offsetof(struct ipc_certificate, hosts),
                                    offsetof(struct ipc_certificate, chain),
                                    offsetof(struct ipc_certificate, key),
                                    offsetof(struct ipc_listen, address),
                                    offsetof(struct ipc_listen, where),
                                    offsetof(struct ipc_commit, access_log)};
    size_t at =
        which < 128 ? places[which % ARRAY_LEN(places)] + (which >> 4) : octets - 256 + which;
    return at < octets ? at : 0;
}

static void send_raw(int fd, uint32_t type, const void *body, size_t octets, unsigned fd_count)
{
    struct iovec iov[2] = {{&type, sizeof type}, {(void *)(uintptr_t)body, octets}};
    union {
        struct cmsghdr align;
        char octets[CMSG_SPACE(8 * sizeof(int))];
    } control = {0};
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};
    if (fd_count) {
        m.msg_control = &control;
        m.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        for (unsigned i = 0; i < fd_count; i++)
            memcpy(CMSG_DATA(c) + i * sizeof fd, &fd, sizeof fd);
    }
    ASSERT(sendmsg(fd, &m, MSG_NOSIGNAL) >= 0);
}

static void send_message(int fd, struct input *in, unsigned number)
{
    union ipc_body body;
    uint8_t type = input_u8(in), plan = input_u8(in);
    bool is_known = type > IPC_NONE && type < IPC_TYPE_COUNT;
    size_t octets = is_known ? ipc_octets((enum ipc_type)type) : 16;
    fill((enum ipc_type)type, number, &body);
    for (unsigned n = plan >> 5; n; n--) {
        size_t at = place(input_u8(in), octets);
        struct slice s = input_take(in, input_u8(in));
        size_t most = octets - at;
        memcpy((char *)&body + at, s.p, s.len < most ? s.len : most);
    }
    octets -= plan & 8 && octets ? 1 : 0;
    octets += plan & 16 && octets < sizeof body ? 1 : 0;
    send_raw(fd, type, &body, octets, plan & 7);
}

static void check_wanted(const struct wanted *w, const struct ipc_commit *c)
{
    ASSERT(c->loops >= 1 && c->loops <= LISTEN_MAX_LOOPS);
    ASSERT(c->site_slots <= WANTED_MAX_SITE_SLOTS && c->counters_octets <= WANTED_MAX_COUNTERS);
    ASSERT(w->listen_count <= LISTEN_MAX_ADDRESSES && w->app_count <= WANTED_MAX_APPS);
    ASSERT(strcmp(c->access_log, "off") == 0 || strcmp(c->access_log, "stdout") == 0 ||
           c->access_log[0] == '/');
    for (uint32_t i = 0; i < w->listen_count; i++) /* the address is parsed when it is bound */
        ASSERT(w->listens[i].kind <= IPC_LISTEN_ADMIN);
    for (uint32_t i = 0; i < w->app_count; i++) {
        const struct wanted_app *a = &w->apps[i];
        struct wanted_app copy;
        ASSERT(wanted_is_name(a->name) && a->directory[0] == '/' && a->command[0]);
        ASSERT(!strchr(a->name, '/') && a->name[0] != '.'); /* it becomes a part of paths */
        ASSERT(a->instances <= WANTED_MAX_INSTANCES && a->env_count <= WANTED_MAX_ENV);
        ASSERT(i == 0 || strcmp(w->apps[i - 1].name, a->name) < 0);
        for (uint32_t k = 0; k < a->env_count; k++)
            ASSERT(strchr(a->env[k], '=') && a->env[k][0] != '=');
        ASSERT(wanted_app_copy(&copy, a) == 0 && wanted_app_eq(&copy, a));
        wanted_app_fini(&copy);
    }
    for (uint32_t i = 0; i < w->certificate_count; i++) {
        const struct wanted_certificate *x = &w->certificates[i];
        ASSERT(x->local ? x->hosts[0] != 0 : x->chain[0] == '/' && x->key[0] == '/');
        for (uint32_t k = 0; k < i; k++)
            ASSERT(w->certificates[k].id != x->id);
        for (uint32_t k = 0; k < w->kept_count; k++)
            ASSERT(x->id < w->kept[k].first || x->id > w->kept[k].last);
    }
    for (uint32_t k = 0; k < w->kept_count; k++)
        ASSERT(w->kept[k].first <= w->kept[k].last &&
               (k == 0 || w->kept[k - 1].last < w->kept[k].first));
}

/* As monitor does with them.  return  false: the channel is closed */
static bool handle(struct wanted *w, struct ipc_message *m)
{
    char why[256] = "";
    int err = 0;
    for (unsigned i = 0; i < m->fd_count; i++)
        close(m->fds[i]);
    if (m->type == IPC_LISTEN || m->type == IPC_CERTIFICATE || m->type == IPC_CERTIFICATES_KEPT ||
        m->type == IPC_APP || m->type == IPC_ENV) {
        err = wanted_add(w, m, why, sizeof why);
    } else if (m->type == IPC_COMMIT) {
        err = wanted_check_commit(w, &m->body.COMMIT, why, sizeof why);
        if (err == 0)
            check_wanted(w, &m->body.COMMIT);
        wanted_fini(w);
    }
    ASSERT(err == 0 || (err == ERR_FORMAT && why[0] && strlen(why) < sizeof why));
    return err == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
    static struct ipc_message m;
    struct input in = {octets, len};
    struct wanted wanted;
    int pair[2], before = dup(STDIN_FILENO), after;
    if (before >= 0)
        close(before);
    ASSERT(ipc_pair(pair) == 0);
    wanted_init(&wanted);
    for (unsigned n = 0; n < MESSAGES_MAX && in.left; n++) {
        send_message(pair[0], &in, n);
        int err = ipc_recv(pair[1], &m);
        ASSERT(err == 0 || err == ERR_FORMAT);
        if (err)
            break;
        ASSERT(m.type > IPC_NONE && m.type < IPC_TYPE_COUNT && m.fd_count <= IPC_MAX_FDS);
        if (!handle(&wanted, &m))
            break;
    }
    wanted_fini(&wanted);
    close(pair[0]);
    close(pair[1]);
    after = dup(STDIN_FILENO); /* the lowest free number is the same: none was left open */
    ASSERT(after == before);
    if (after >= 0)
        close(after);
    return 0;
}
