/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "base/panic.h"
#include "net/loop.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MAILBOX_MAGIC 0x6d61696cu

struct letter {
    struct letter *next;
    unsigned type;
    void *message;
};

/* Many threads post, one takes.  Posters push onto a stack; whoever finds it empty wakes the loop.
 * The loop takes the whole stack at once and turns it round, so the order of each poster is kept.
 */
struct mailbox {
    uint32_t magic;
    struct loop_source source;
    struct loop *loop;
    mailbox_fn on_message;
    void *user;
    bool delivering, freed;
    _Atomic(struct letter *) newest;
};

static void drop(struct letter *l)
{
    while (l) {
        struct letter *next = l->next;
        free(l);
        l = next;
    }
}

static void destroy(struct mailbox *m)
{
    drop(atomic_exchange_explicit(&m->newest, NULL, memory_order_acquire));
    m->magic = 0;
    free(m);
}

/* The counter of the eventfd is never read: each write is an edge of its own, and 2^64 posts do not
 * happen. */
static void on_event(struct loop_source *s, unsigned events)
{
    struct mailbox *m = CONTAINER_OF(s, struct mailbox, source);
    CHECK_MAGIC(m, MAILBOX_MAGIC);
    struct letter *l = atomic_exchange_explicit(&m->newest, NULL, memory_order_acquire);
    struct letter *oldest = NULL;
    while (l) {
        struct letter *next = l->next;
        l->next = oldest;
        oldest = l;
        l = next;
    }
    m->delivering = true;
    while (oldest && !m->freed) {
        l = oldest;
        oldest = l->next;
        unsigned type = l->type;
        void *message = l->message;
        free(l);
        m->on_message(m->user, type, message);
    }
    m->delivering = false;
    if (m->freed) {
        drop(oldest);
        destroy(m);
    }
}

struct mailbox *mailbox_new(struct loop *l, mailbox_fn on_message, void *user)
{
    struct mailbox *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    m->magic = MAILBOX_MAGIC;
    m->loop = l;
    m->on_message = on_message;
    m->user = user;
    atomic_init(&m->newest, NULL);
    m->source = (struct loop_source){on_event, eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    if (m->source.fd < 0 || loop_add(l, &m->source) != 0) {
        if (m->source.fd >= 0)
            close(m->source.fd);
        free(m);
        return NULL;
    }
    return m;
}

void mailbox_free(struct mailbox *m)
{
    if (!m)
        return;
    CHECK_MAGIC(m, MAILBOX_MAGIC);
    loop_forget(m->loop, &m->source);
    close(m->source.fd);
    if (m->delivering)
        m->freed = true;
    else
        destroy(m);
}

int mailbox_post(struct mailbox *m, unsigned type, void *message)
{
    static const uint64_t one = 1;
    struct letter *l = malloc(sizeof *l);
    if (!l)
        return ERR_NOMEM;
    *l = (struct letter){.type = type, .message = message};
    struct letter *top = atomic_load_explicit(&m->newest, memory_order_relaxed);
    do {
        l->next = top;
    } while (!atomic_compare_exchange_weak_explicit(&m->newest, &top, l, memory_order_release,
                                                    memory_order_relaxed));
    if (!top) {
        /* Fails only when the counter is full, and then the loop has been woken already. */
        ssize_t n = write(m->source.fd, &one, sizeof one);
        (void)n;
    }
    return 0;
}
