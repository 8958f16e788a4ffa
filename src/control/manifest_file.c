/* SPDX-License-Identifier: Apache-2.0 */
#include "control/manifest_file.h"
#include "net/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READER(name) \
    bool name(struct manifest *m, const struct tree_node *n, const struct key *k, void *to)

/* Errors of looking at a file that only monitor may look at are monitor's to report. */
static bool is_hidden(const struct manifest *m, int error)
{
    return m->files == MANIFEST_FILES_NAMED && error == EACCES;
}

READER(read_directory)
{
    struct slice *s = field(to, k);
    struct stat st;
    if (n->kind != TREE_TEXT || n->text.len == 0)
        return value_fault(m, n, k->allowed);
    *s = value_path(m, n, n->text);
    if (!s->p)
        return false;
    if (stat(s->p, &st) != 0)
        return is_hidden(m, errno) ||
               fault_at_value(&m->faults, n, "the directory %s: %s", s->p, strerror(errno));
    return S_ISDIR(st.st_mode) || fault_at_value(&m->faults, n, "%s is not a directory", s->p);
}

READER(read_pem)
{
    struct slice *s = field(to, k);
    struct stat st;
    bool is_key = strcmp(k->name, "key") == 0;
    if (n->kind != TREE_TEXT || n->text.len == 0)
        return value_fault(m, n, k->allowed);
    *s = value_path(m, n, n->text);
    if (!s->p)
        return false;
    if (m->files == MANIFEST_FILES_NAMED) /* edge reads it: no key comes near control */
        return stat(s->p, &st) == 0 || is_hidden(m, errno) ||
               fault_at_value(&m->faults, n, "the file %s: %s", s->p, strerror(errno));
    int fd = open(s->p, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return fault_at_value(&m->faults, n, "the file %s: %s", s->p, strerror(errno));
    char *text = arena_alloc(&m->arena, 65537);
    ssize_t len = text ? read(fd, text, 65536) : -1;
    int error = errno;
    close(fd);
    if (len < 0)
        return fault_at_value(&m->faults, n, "the file %s: %s", s->p,
                              text ? strerror(error) : "out of memory");
    text[len] = '\0';
    const char *mark = is_key ? "PRIVATE KEY-----" : "-----BEGIN CERTIFICATE-----";
    bool good = strstr(text, mark) != NULL;
    explicit_bzero(text, 65537);
    arena_shrink(&m->arena, text, 65537, 0);
    return good || fault_at_value(&m->faults, n, "%s is not %s: it has no line with \"%s\"", s->p,
                                  k->allowed, mark);
}

/* return  octets read, or -1 with errno; more than cap are not read to the end */
static ssize_t read_file(int fd, char *out, size_t cap)
{
    size_t len = 0;
    struct stat st;
    if (fstat(fd, &st) != 0)
        return -1;
    if (!S_ISREG(st.st_mode)) {
        errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
        return -1;
    }
    while (len < cap) { /* by position: who handed fd over may hand it to a successor, too */
        ssize_t n = pread(fd, out + len, cap - len, (off_t)len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    return (ssize_t)len;
}

/* The directory of path, absolute; as written if it may not be walked.  return NULL with errno */
static char *directory_of(const char *path)
{
    char *real = realpath(path, NULL);
    if (!real && path[0] == '/')
        real = strdup(path);
    if (!real)
        return NULL;
    char *slash = strrchr(real, '/');
    slash[slash == real] = '\0';
    return real;
}

#define PEM_MAX_OCTETS (1u << 20)

/* text: of PEM_MAX_OCTETS.  return  what stands there, nothing when it cannot be read */
static struct slice read_pem_file(const char *path, char *text)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    ssize_t len = fd >= 0 ? read_file(fd, text, PEM_MAX_OCTETS) : -1;
    if (fd >= 0)
        close(fd);
    return slice_of(text, len > 0 ? (size_t)len : 0);
}

bool file_pair_fits(struct manifest *m, const struct tree_node *n, struct slice chain,
                    struct slice key)
{
    const char *why = "out of memory";
    char *text = malloc(2 * PEM_MAX_OCTETS); /* not the manifest's: there may be thousands */
    struct tls_identity *id = NULL;
    if (text) {
        struct slice chain_pem = read_pem_file(chain.p, text),
                     key_pem = read_pem_file(key.p, text + PEM_MAX_OCTETS);
        why = "cannot be read";
        if (chain_pem.len && key_pem.len)
            id = tls_identity_new(chain_pem, key_pem, &why);
        explicit_bzero(text + PEM_MAX_OCTETS, key_pem.len);
        free(text);
    }
    if (!id)
        return fault_at_value(&m->faults, n, "the certificate %s with the key %s: %s", chain.p,
                              key.p, why);
    tls_identity_unref(id);
    return true;
}

struct manifest *manifest_load(const char *path, int fd, enum manifest_files files)
{
    char *text = malloc(TREE_MAX_OCTETS + 1), *directory = NULL;
    if (!text)
        return NULL;
    int own = fd >= 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    ssize_t len = -1;
    if (fd >= 0 || own >= 0)
        len = read_file(fd >= 0 ? fd : own, text, TREE_MAX_OCTETS + 1);
    if (len >= 0)
        directory = directory_of(path);
    int error = errno;
    if (own >= 0)
        close(own);
    struct manifest *m;
    if (directory) {
        m = manifest_parse(slice_of(text, (size_t)len), path, directory, files);
    } else {
        m = manifest_new(path);
        if (m)
            fault_at_value(&m->faults, NULL, "%s", strerror(error));
    }
    free(directory);
    free(text);
    return m;
}
