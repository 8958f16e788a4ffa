/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a listening socket belongs to an instance, as far as the kernel tells. */
#ifndef CONTROL_OWNER_H
#define CONTROL_OWNER_H

#include "base/addr.h"

#include <sys/types.h>

struct owner {
    pid_t group; /* the instance's process group, session and first process */
    uid_t uid;
    int diag; /* to ask whose a TCP socket is (net/diag.h), -1: the kernel does not tell */
};

enum owner_answer {
    OWNER_YES,
    OWNER_NO,
    OWNER_GONE, /* nobody listens there (any more) */
};

/* fd: a connected unix socket.  The peer's credentials are those of who called listen(). */
enum owner_answer owner_of_unix(int fd, const struct owner *o);
/* The listener that a connection to this TCP address reaches. */
enum owner_answer owner_of_port(const struct addr *a, const struct owner *o);

/* One line of /proc/net/tcp or tcp6.
 * return  true: it is a listener; port in host order, address in network order (4 or 16 octets) */
struct owner_socket {
    unsigned char address[16];
    uint16_t port;
    uid_t uid;
    unsigned long inode;
};
bool owner_parse_line(const char *line, bool six, struct owner_socket *out);
/* How well a listener fits a connection to a: 0 not at all; more is more specific. */
unsigned owner_fit(const struct owner_socket *s, bool six, const struct addr *a);

#endif
