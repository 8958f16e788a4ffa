/* SPDX-License-Identifier: Apache-2.0 */
/* What an old monitor hands to a new binary, read as `portico role check-resume` reads it, which
 * runs as root.  It is refused, or a state that is written and read again without a difference;
 * and nothing that it describes is touched.
 *
 * Input: the state without the magic number and version before it and the number behind it, which
 * are taken from an empty state that is written here, so that seeds outlive a RESUME_VERSION. */
#include "base/buf.h"
#include "base/err.h"
#include "base/panic.h"
#include "monitor/resume.h"
#include "monitor/state.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define BEFORE 16u /* octets: magic number, version */
#define BEHIND 8u

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len);

/* Takes the descriptor. */
static void read_all(int fd, struct buf *out)
{
    const void *base;
    size_t len;
    ASSERT(fd >= 0 && ipc_map_sealed(fd, BEFORE + BEHIND, &base, &len) == 0);
    ASSERT(buf_add(out, base, len) == 0);
    ASSERT(munmap((void *)(uintptr_t)base, len) == 0);
    close(fd);
}

static int look(struct monitor *m, struct slice state)
{
    int fd = ipc_sealed_memfd("fuzz-resume", state.p, state.len);
    ASSERT(fd >= 0);
    memset(m, 0, sizeof *m);
    int r = resume_look(m, fd);
    close(fd);
    ASSERT(r == 0 || r == ERR_FORMAT);
    return r;
}

/* return  the flags of the standard descriptors, which inputs name as monitor's */
static int flags(void)
{
    return fcntl(0, F_GETFD) << 2 | fcntl(1, F_GETFD) << 1 | fcntl(2, F_GETFD);
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
    static struct monitor m; /* large */
    struct pool pool;
    struct buf empty, state, again;
    int before = flags();
    pool_init(&pool);
    buf_init(&empty, &pool);
    buf_init(&state, &pool);
    buf_init(&again, &pool);
    memset(&m, 0, sizeof m);
    list_init(&m.apps);
    list_init(&m.edges);
    read_all(resume_write(&m), &empty);
    struct slice e = buf_slice(&empty);
    ASSERT(buf_add(&state, e.p, BEFORE) == 0 && buf_add(&state, octets, len) == 0 &&
           buf_add(&state, e.p + e.len - BEHIND, BEHIND) == 0);
    if (look(&m, buf_slice(&state)) == 0) {
        /* The first time numbers become as wide as they are, and edges, of which only those that
         * run are written, go. */
        buf_consume(&state, buf_len(&state));
        read_all(resume_write(&m), &state);
        resume_forget(&m);
        ASSERT(look(&m, buf_slice(&state)) == 0);
        read_all(resume_write(&m), &again);
        ASSERT(slice_eq(buf_slice(&state), buf_slice(&again)));
    }
    resume_forget(&m);
    ASSERT(flags() == before);
    buf_fini(&empty);
    buf_fini(&state);
    buf_fini(&again);
    ASSERT(pool.live == 0);
    pool_fini(&pool);
    return 0;
}
