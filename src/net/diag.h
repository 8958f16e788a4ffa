/* SPDX-License-Identifier: Apache-2.0 */
/* Whose a TCP socket of this machine is, by the kernel's word (sock_diag(7)).  Anybody may ask;
 * open it before a jail closes that door. */
#ifndef NET_DIAG_H
#define NET_DIAG_H

#include "base/addr.h"

/* return  a descriptor, or ERR_SYS: this kernel does not answer such questions */
int diag_open(void);
struct diag_socket {
    uid_t uid;
    uint32_t inode; /* as in /proc/PID/fd */
};
/* The socket whose own address is local; remote: of its other end, NULL for a listener (one at the
 * wildcard address counts for all).
 * return  0, ERR_NOTFOUND: there is no such socket, or ERR_SYS */
int diag_find(int diag, const struct addr *local, const struct addr *remote,
              struct diag_socket *out);

#endif
