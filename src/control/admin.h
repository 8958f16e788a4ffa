/* SPDX-License-Identifier: Apache-2.0 */
/* The operator's HTTP/1.1 listeners: /healthz, /metrics, /apps to read, everywhere; what changes
 * something, and what tells of what clients ask for, only at admin.sock, where the kernel says who
 * asks: root, or who started Portico.
 *
 * The TCP listener never hands out anything to a
 * page of another origin: a Host that is neither an address nor localhost is refused, since a name
 * may have been pointed here by whoever runs that page (DNS rebinding). */
#ifndef CONTROL_ADMIN_H
#define CONTROL_ADMIN_H

#include "base/buf.h"
#include "base/slice.h"

#include <stdbool.h>

#define ADMIN_MAX_CONNECTIONS 64 /* at admin.sock, and as many at the listener */
#define ADMIN_MAX_TENANTS     8  /* of apps, which only hear that it is not for them */
#define ADMIN_IDLE_MS         30000u
#define ADMIN_MAX_BODY_OCTETS 4096u /* of a request */

struct control;
struct admin;
struct admin *admin_new(struct control *c);
void admin_free(struct admin *a); /* NULL allowed */
/* fd: a bound, non-blocking socket, given on success.  return 0 or ERR_SYS, ERR_LIMIT */
int admin_listen(struct admin *a, int fd, bool is_local);
/* Those who asked for a reload get their answer.  faults: NULL: it is done */
struct tree_faults;
void admin_reload_done(struct admin *a, struct tree_faults *faults);
void admin_reload_failed(struct admin *a, const char *why);

/* "127.0.0.1", "[::1]:8081", "localhost:8081" */
bool admin_host_is_local(struct slice authority);

/* What may be asked for; path without a query.  Everything about HTTP stays in admin.c. */
enum admin_verdict { ADMIN_ANSWERED, ADMIN_RELOAD /* the answer comes later */ };
struct admin_answer {
    unsigned status;
    const char *type;
    const char *allow; /* or NULL */
    struct buf body;
    bool close;
};
/* return  0 or ERR_NOMEM */
int admin_error(struct admin_answer *a, unsigned status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
int admin_act(struct control *c, struct slice method, struct slice path, struct slice body,
              bool is_local, struct admin_answer *a, enum admin_verdict *verdict_out);

/* Writers of what the endpoints answer.  return 0 or ERR_NOMEM */
int metrics_write(const struct control *c, struct buf *out);
int apps_write(const struct control *c, struct buf *out);
struct control_app;
int app_write(const struct control *c, const struct control_app *app, struct buf *out);
/* What became of promises: of all apps in short, of one in full. */
int push_write(const struct control *c, struct buf *out);
int push_app_write(const struct control *c, const struct control_app *app, struct buf *out);
struct tree_faults;
int reload_faults_write(const struct tree_faults *faults, struct buf *out);
int health_write(const struct control *c, struct buf *out, bool *well_out);

#endif
