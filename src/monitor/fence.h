/* SPDX-License-Identifier: Apache-2.0 */
/* TCP ports that only some users' processes may connect to over loopback, at any address of the
 * machine's own.  Whoever else tries is answered with a reset, as if nobody listened.
 *
 * It knows ports and users, nothing else.  The rules are a table of nftables that belongs to the
 * socket here (NFT_TABLE_F_OWNER, Linux 5.12): nobody else can change it, it goes with the socket,
 * however the process ends, and the socket may be handed on through exec.  Rules look at the first
 * packet of a connection (SYN): answers, and what is established, are not touched.  Until there is
 * a port to guard the table has no rules, which every packet of the machine would come by. */
#ifndef MONITOR_FENCE_H
#define MONITOR_FENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FENCE_MAX_PORTS 2u /* a call */
#define FENCE_MAX_USERS 4u

struct fence {
    int fd; /* netlink; -1: none, and no call but fence_open and fence_adopt may be made */
    uint32_t sequence;
    bool has_rules; /* as far as is known here */
    char table[24]; /* of the inet family; no two sockets have one name */
};

/* Who may connect where; a port of 0 is none. */
struct fence_gate {
    uint16_t ports[FENCE_MAX_PORTS];
    uid_t users[FENCE_MAX_USERS]; /* each once */
    unsigned user_count;
};

/* return  0, or ERR_SYS: errno says why; EPERM without CAP_NET_ADMIN over the network namespace */
int fence_open(struct fence *f);
/* Go on with a socket and its table that an earlier program in our place has made.
 * fd      given
 * return  0, or ERR_SYS: it is none, f has none and fd is closed */
int fence_adopt(struct fence *f, int fd);
/* The table goes, and everything is open. */
void fence_close(struct fence *f);
/* Each is one transaction: all of it, or nothing.
 * fence_release wants exactly what fence_guard was given.
 * return  0, or ERR_SYS: errno says why */
int fence_guard(struct fence *f, const struct fence_gate *g);
int fence_release(struct fence *f, const struct fence_gate *g);

#endif
