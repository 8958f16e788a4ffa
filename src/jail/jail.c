/* SPDX-License-Identifier: Apache-2.0 */
#include "jail/jail.h"
#include "jail/calls.h"
#include "jail/files.h"
#include "jail/sanitized.h"
#include "base/err.h"
#include "base/log.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CAPABILITY_SETS 2 /* of 32 bits: _LINUX_CAPABILITY_VERSION_3 */

struct report {
    char missing[512]; /* "; "-separated */
    size_t len;
};

static void miss(struct report *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void miss(struct report *r, const char *fmt, ...)
{
    va_list ap;
    int n = snprintf(r->missing + r->len, sizeof r->missing - r->len, "%s", r->len ? "; " : "");
    va_start(ap, fmt);
    int m = vsnprintf(r->missing + r->len + n, sizeof r->missing - r->len - (size_t)n, fmt, ap);
    va_end(ap);
    r->len += (size_t)n + (m > 0 ? (size_t)m : 0);
    if (r->len >= sizeof r->missing)
        r->len = sizeof r->missing - 1;
}

#define BIT(cap) (1u << (cap))

void jail_drop_bounding(bool may_chroot)
{
    for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if (!may_chroot || cap != CAP_SYS_CHROOT)
            prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
}

/* Exactly these, of the first 32. */
static int set_capabilities(uint32_t held, uint32_t inheritable)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[CAPABILITY_SETS] = {
        {.effective = held, .permitted = held, .inheritable = inheritable}};
    return syscall(SYS_capset, &head, sets) < 0 ? ERR_SYS : 0;
}

/* What is not in the bounding set cannot become inheritable, so it leaves that last. */
void jail_keep_chroot(void)
{
    const uint32_t kept = BIT(CAP_SYS_CHROOT);
    bool ok = set_capabilities(kept | BIT(CAP_SETPCAP), kept) == 0 &&
              prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_CHROOT, 0, 0) == 0 &&
              prctl(PR_CAPBSET_DROP, CAP_SYS_CHROOT, 0, 0, 0) == 0 &&
              set_capabilities(kept, kept) == 0;
    if (!ok)
        set_capabilities(0, 0);
}

/* An ordinary user may have a root of its own in a user namespace of its own.  To the rest of the
 * machine the user stays the same. */
static bool change_root(const struct jail *j, struct report *r)
{
    if (JAIL_IS_SANITIZED) {
        miss(r, "root: the sanitizers of this build read /proc");
        return false;
    }
    bool ok = chroot(j->root) == 0 || (errno == EPERM && j->may_unshare &&
                                       unshare(CLONE_NEWUSER) == 0 && chroot(j->root) == 0);
    if (!ok)
        miss(r, "root: %s", strerror(errno));
    return ok;
}

static int restrict_files(const struct jail *j, struct report *r)
{
    int version = files_restrict(JAIL_IS_SANITIZED ? "/" : j->readable);
    if (version == ERR_NOTFOUND)
        miss(r, "files: this kernel has no Landlock");
    else if (version < 0)
        return ERR_SYS;
    return 0;
}

static int drop_capabilities(void)
{
    jail_drop_bounding(false);
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    return set_capabilities(0, 0);
}

static int hide(void)
{
    const struct rlimit none = {0, 0};
    return setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? ERR_SYS
                                                                                       : 0;
}

int jail_enter(const struct jail *j, bool *root_out)
{
    struct report missing = {.len = 0};
    const char *step = "no new privileges";
    *root_out = false;
    bool ok = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
    if (ok && j->has_secrets) {
        step = "secrets";
        ok = hide() == 0;
    }
    if (ok && !j->is_open) {
        step = "files"; /* before the root, as readable is named from here */
        ok = restrict_files(j, &missing) == 0;
    } else if (ok) {
        miss(&missing, "files: %s", j->why_open);
    }
    if (ok && j->root && change_root(j, &missing)) {
        step = "root";
        ok = chdir("/") == 0;
        *root_out = ok;
    }
    if (ok) {
        step = "capabilities";
        ok = drop_capabilities() == 0;
    }
    if (ok) {
        step = "system calls";
        int err = calls_restrict(j->role);
        ok = err == 0 || err == ERR_NOTFOUND;
        if (err == ERR_NOTFOUND)
            miss(&missing, "system calls: this kernel has no seccomp filters");
    }
    if (!ok) {
        log_event(LOG_ERROR, "jail.enter", "step=\"%s\" error=\"%s\"", step, strerror(errno));
        return ERR_SYS;
    }
    if (missing.len)
        log_event(LOG_WARN, "jail.enter", "not_enforced=\"%s\"", missing.missing);
    else
        log_event(LOG_INFO, "jail.enter", "root=\"%s\"", j->root ? j->root : "/");
    return 0;
}
