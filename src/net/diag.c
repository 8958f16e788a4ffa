/* SPDX-License-Identifier: Apache-2.0 */
#include "net/diag.h"
#include "base/err.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <string.h>
#include <unistd.h>

struct question {
    struct nlmsghdr head;
    struct inet_diag_req_v2 ask;
};

static void put_address(const struct addr *a, __be32 octets[4], __be16 *port)
{
    if (a->u.sa.sa_family == AF_INET6) {
        memcpy(octets, &a->u.in6.sin6_addr, 16);
        *port = a->u.in6.sin6_port;
    } else {
        memcpy(octets, &a->u.in.sin_addr, 4);
        *port = a->u.in.sin_port;
    }
}

/* One question has one answer, and the kernel has it ready when the question was sent.  What a
 * question before it left unread is passed over. */
static int answer(int diag, uint32_t number, struct diag_socket *out)
{
    union {
        struct nlmsghdr head;
        char octets[1024];
    } in;
    for (;;) {
        ssize_t n = recv(diag, &in, sizeof in, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < (ssize_t)sizeof in.head)
            return ERR_SYS;
        if (in.head.nlmsg_seq != number)
            continue;
        if (in.head.nlmsg_type == NLMSG_ERROR &&
            (size_t)n >= NLMSG_LENGTH(sizeof(struct nlmsgerr))) {
            const struct nlmsgerr *e = NLMSG_DATA(&in.head);
            return e->error == -ENOENT ? ERR_NOTFOUND : ERR_SYS;
        }
        if (in.head.nlmsg_type != SOCK_DIAG_BY_FAMILY ||
            (size_t)n < NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
            return ERR_SYS;
        const struct inet_diag_msg *found = NLMSG_DATA(&in.head);
        *out = (struct diag_socket){found->idiag_uid, found->idiag_inode};
        return 0;
    }
}

int diag_find(int diag, const struct addr *local, const struct addr *remote,
              struct diag_socket *out)
{
    static _Thread_local uint32_t number;
    struct question q = {
        .head = {.nlmsg_len = sizeof q,
                 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                 .nlmsg_flags = NLM_F_REQUEST,
                 .nlmsg_seq = ++number},
        .ask = {.sdiag_family = (uint8_t)local->u.sa.sa_family,
                .sdiag_protocol = IPPROTO_TCP,
                .id.idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}},
    };
    put_address(local, q.ask.id.idiag_src, &q.ask.id.idiag_sport);
    if (remote)
        put_address(remote, q.ask.id.idiag_dst, &q.ask.id.idiag_dport);
    if (send(diag, &q, sizeof q, 0) != (ssize_t)sizeof q)
        return ERR_SYS;
    return answer(diag, number, out);
}

int diag_open(void)
{
    struct addr nowhere = {.u.in.sin_family = AF_INET};
    struct diag_socket nobody;
    int diag = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (diag >= 0 && diag_find(diag, &nowhere, NULL, &nobody) == ERR_SYS) {
        close(diag);
        return ERR_SYS;
    }
    return diag < 0 ? ERR_SYS : diag;
}
