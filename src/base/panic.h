/* SPDX-License-Identifier: Apache-2.0 */
/* Assertions that stay in release builds.  They state what cannot be, never what a peer may send.
 */
#ifndef BASE_PANIC_H
#define BASE_PANIC_H

#include <stdint.h>

/* Prints where and why to standard error and aborts. */
_Noreturn void panic(const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4), cold));

#define PANIC(...)   panic(__FILE__, __LINE__, __VA_ARGS__)
#define ASSERT(cond) ((cond) ? (void)0 : PANIC("assertion failed: %s", #cond))
/* A place that no path reaches. */
#define UNREACHABLE() PANIC("unreachable")

/* The first member of a long-lived object is `uint32_t magic`; a cast from void * checks it. */
#define CHECK_MAGIC(p, m)        \
    ((p)->magic == (m) ? (void)0 \
                       : PANIC("%s: magic %08x is not %08x", #p, (p)->magic, (uint32_t)(m)))

#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define ARRAY_LEN(a)                    (sizeof(a) / sizeof((a)[0]))

#endif
