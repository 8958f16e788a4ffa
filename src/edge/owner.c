/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/owner.h"
#include "base/log.h"
#include "net/diag.h"

#define TELL_US 10000000u

static bool user_of(const struct backend *b, int fd, uid_t *uid_out)
{
    struct shard *s = b->shard;
    if (b->address.u.sa.sa_family == AF_UNIX) {
        struct ucred cred; /* of who called listen() */
        socklen_t len = sizeof cred;
        loop_calls(s->loop)->other++;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
            return false;
        *uid_out = cred.uid;
        return true;
    }
    /* The listener, not the other end: that has no user before it was accepted. */
    struct diag_socket found;
    loop_calls(s->loop)->other += 2;
    if (diag_find(s->diag, &b->address, NULL, &found) < 0)
        return false;
    *uid_out = found.uid;
    return true;
}

bool owner_fits(const struct backend *b, int fd)
{
    struct shard *s = b->shard;
    uid_t uid = ROUTE_ANYBODY;
    if (b->is_foul)
        return false;
    if (b->owner == ROUTE_ANYBODY || (s->diag < 0 && b->address.u.sa.sa_family != AF_UNIX))
        return true;
    if (!user_of(b, fd, &uid)) /* its listener has gone meanwhile */
        return false;
    if (uid == b->owner)
        return true;
    stats_add(&s->stats->worker_foreign, 1);
    uint64_t now_us = shard_now_us(s);
    if (now_us >= s->tell_foreign_us) {
        s->tell_foreign_us = now_us + TELL_US;
        log_event(LOG_WARN, "worker.foreign",
                  "backend=\"%.*s\" uid=%u expected=%u text=\"another user listens there; it gets "
                  "no request\"",
                  SLICE_FMT(b->key), (unsigned)uid, (unsigned)b->owner);
    }
    return false;
}
