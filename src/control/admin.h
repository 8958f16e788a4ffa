/* SPDX-License-Identifier: Apache-2.0 */
/* The operator's HTTP/1.1 listener: /healthz, /metrics, /apps.  It never hands out anything to a
 * page of another origin: a Host that is neither an address nor localhost is refused, since a name
 * may have been pointed here by whoever runs that page (DNS rebinding). */
#ifndef CONTROL_ADMIN_H
#define CONTROL_ADMIN_H

#include "base/buf.h"
#include "base/slice.h"

#include <stdbool.h>

#define ADMIN_MAX_CONNECTIONS 64
#define ADMIN_IDLE_MS         30000u
#define ADMIN_MAX_BODY_OCTETS 65536u /* of a request; nothing here wants one */

struct control;
struct admin;
struct admin *admin_new(struct control *c);
void admin_free(struct admin *a); /* NULL allowed */
/* fd: a bound socket, given on success.  return 0 or ERR_SYS, ERR_LIMIT */
int admin_listen(struct admin *a, int fd);

/* "127.0.0.1", "[::1]:8081", "localhost:8081" */
bool admin_host_is_local(struct slice authority);

/* Writers of what the endpoints answer.  return 0 or ERR_NOMEM */
int metrics_write(const struct control *c, struct buf *out);
int apps_write(const struct control *c, struct buf *out);
int health_write(const struct control *c, struct buf *out, bool *well_out);

#endif
