/* SPDX-License-Identifier: Apache-2.0 */
#include "jail/files.h"
#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than the headers that we are built with may be.  */
#define ACCESS_FS_TRUNCATE  (UINT64_C(1) << 14)
#define ACCESS_FS_IOCTL_DEV (UINT64_C(1) << 15)

/* All rights that a version of Landlock can take away: one that it does not know is refused, and
 * one that is not named stays allowed. */
static uint64_t rights_of(int version)
{
    uint64_t rights = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1; /* version 1 */
    if (version >= 2)
        rights |= LANDLOCK_ACCESS_FS_REFER;
    if (version >= 3)
        rights |= ACCESS_FS_TRUNCATE;
    if (version >= 5)
        rights |= ACCESS_FS_IOCTL_DEV;
    return rights;
}

static int allow_reading(int ruleset, const char *directory)
{
    struct landlock_path_beneath_attr rule = {
        .allowed_access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
        .parent_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC),
    };
    if (rule.parent_fd < 0)
        return ERR_SYS;
    long r = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    int saved = errno;
    close(rule.parent_fd);
    errno = saved;
    return r < 0 ? ERR_SYS : 0;
}

int files_restrict(const char *readable)
{
    int version =
        (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version < 1) /* not built in, or not switched on */
        return ERR_NOTFOUND;
    const struct landlock_ruleset_attr attr = {.handled_access_fs = rights_of(version)};
    /* The size that version 1 knows: the newer members would be zero. */
    int ruleset =
        (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr.handled_access_fs, 0);
    if (ruleset < 0)
        return ERR_SYS;
    int r = readable ? allow_reading(ruleset, readable) : 0;
    if (r == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        r = ERR_SYS;
    int saved = errno;
    close(ruleset);
    errno = saved;
    return r < 0 ? r : version;
}
