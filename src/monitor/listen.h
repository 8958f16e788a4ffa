/* SPDX-License-Identifier: Apache-2.0 */
/* The sockets that clients reach.  They are bound once and live as long as monitor, so that a role
 * that dies refuses nobody: connections wait in the backlog for its successor. */
#ifndef MONITOR_LISTEN_H
#define MONITOR_LISTEN_H

#include "ipc/ipc.h"

#define LISTEN_MAX_ADDRESSES 64
#define LISTEN_BACKLOG       4096
#define LISTEN_MAX_LOOPS     64

struct listener {
    uint32_t kind;                  /* enum ipc_listen_kind */
    char wanted[ADDR_TEXT_OCTETS];  /* as control named it */
    char address[ADDR_TEXT_OCTETS]; /* with the real port */
    int fds[LISTEN_MAX_LOOPS];      /* non-blocking; one a loop, for ADMIN only one */
    uint32_t count;
};

/* Socket activation: note the sockets that whoever started us has handed over (LISTEN_FDS).  To be
 * called before any other descriptor is made; listener_open prefers them. */
void listen_take_handed(void);
/* All addresses are bound: those that nobody wanted are closed. */
void listen_drop_handed(void);
/* l->kind and l->wanted are set.
 * return  0, or ERR_USAGE or ERR_SYS: error_out says why */
int listener_open(struct listener *l, uint32_t loops, char *error_out, size_t cap);
/* Those that listen no more do again: a role that was broken into can have shut them down, and its
 * successor gets the same ones.  return  false: not all, errno says why */
bool listener_restore(const struct listener *l);
void listener_close(struct listener *l);

/* A port of 127.0.0.1 that nobody listens at, below those that the kernel hands out by itself, so
 * that no outgoing connection takes it while its worker is down.
 * is_taken  tells of ports promised to others
 * return  0 when there is none */
uint16_t listen_free_port(bool (*is_taken)(void *arg, uint16_t port), void *arg);
/* Whether somebody listens at this port of 127.0.0.1. */
bool listen_is_taken(uint16_t port);

#endif
