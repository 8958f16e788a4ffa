/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/users.h"
#include "base/err.h"
#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct user {
    uid_t uid;
    bool is_saved;
    char name[];
};

static int add(struct users *u, const char *name, uid_t uid, bool is_saved)
{
    size_t len = strlen(name);
    struct user *user = malloc(sizeof *user + len + 1);
    if (!user)
        return ERR_NOMEM;
    user->uid = uid;
    user->is_saved = is_saved;
    memcpy(user->name, name, len + 1);
    if (map_put(&u->by_name, slice_of(user->name, len), user) < 0) {
        free(user);
        return ERR_NOMEM;
    }
    u->count++;
    if (uid >= u->next)
        u->next = uid + 1;
    return 0;
}

/* 65534 is nobody, 65535 stands for "no change" in 16 bits. */
static bool is_reserved(uid_t uid)
{
    return uid >= 65500 && uid < 65600;
}

/* Only the file: other sources of users may ask the network, which monitor never does. */
static bool is_in_passwd(uid_t uid)
{
    bool found = false;
    FILE *f = fopen("/etc/passwd", "re");
    if (!f)
        return false;
    for (struct passwd *p; !found && (p = fgetpwent(f));)
        found = p->pw_uid == uid || p->pw_gid == uid;
    fclose(f);
    return found;
}

/* Where a new data directory begins.  Another one of this machine shall have other ids, since its
 * apps' files are as private to these. */
static uid_t somewhere(void)
{
    struct hash_key key;
    hash_key_random(&key);
    return (uid_t)(USERS_START + key.k[0] % USERS_STARTS);
}

int users_open(struct users *u, const char *path)
{
    char name[128], line[256];
    unsigned uid;
    int r = 0, end;
    map_init(&u->by_name);
    u->next = USERS_FIRST;
    u->count = 0;
    if (snprintf(u->path, sizeof u->path, "%s", path) >= (int)sizeof u->path)
        return ERR_USAGE;
    FILE *f = fopen(path, "re");
    if (!f && errno == ENOENT) {
        u->next = somewhere();
        return 0;
    }
    if (!f)
        return ERR_SYS;
    while (r == 0 && fgets(line, sizeof line, f)) {
        end = 0;
        if (sscanf(line, "%127s %u\n%n", name, &uid, &end) != 2 || line[end] || uid < USERS_FIRST ||
            uid >= USERS_FIRST + USERS_SPAN || map_get(&u->by_name, slice_str(name)))
            r = ERR_FORMAT;
        else
            r = add(u, name, uid, true);
    }
    fclose(f);
    if (r < 0) {
        users_close(u);
        u->path[0] = 0;
    }
    return r;
}

void users_close(struct users *u)
{
    size_t it = 0;
    for (struct user *user; (user = map_next(&u->by_name, &it));)
        free(user);
    map_fini(&u->by_name);
}

static int save(struct users *u)
{
    char temporary[sizeof u->path + 8];
    snprintf(temporary, sizeof temporary, "%s.new", u->path);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    if (!f) {
        if (fd >= 0)
            close(fd);
        return ERR_SYS;
    }
    size_t it = 0;
    for (const struct user *user; (user = map_next(&u->by_name, &it));)
        fprintf(f, "%s %u\n", user->name, (unsigned)user->uid);
    bool ok = fflush(f) == 0 && fsync(fd) == 0;
    ok = fclose(f) == 0 && ok;
    if (!ok || rename(temporary, u->path) < 0)
        return ERR_SYS;
    it = 0;
    for (struct user *user; (user = map_next(&u->by_name, &it));)
        user->is_saved = true;
    return 0;
}

void users_expect(struct users *u, const char *name)
{
    if (u->count >= USERS_MAX || map_get(&u->by_name, slice_str(name)))
        return;
    uid_t uid = u->next;
    while (is_reserved(uid) || is_in_passwd(uid))
        uid++;
    add(u, name, uid, false); /* or it gets none */
}

uid_t users_get(struct users *u, const char *name)
{
    users_expect(u, name);
    struct user *user = map_get(&u->by_name, slice_str(name));
    if (user && !user->is_saved && save(u) < 0) {
        /* An id that is not on disk would be given to another app by the next monitor. */
        int error = errno;
        free(map_del(&u->by_name, slice_str(name)));
        u->count--;
        errno = error;
        return 0;
    }
    if (!user)
        errno = u->count >= USERS_MAX ? 0 : ENOMEM;
    return user ? user->uid : 0;
}
