/* SPDX-License-Identifier: Apache-2.0 */
/* Text for a person, beside the events of base/log.h, from processes that serve others meanwhile:
 * who has stopped to read keeps them waiting for a moment, and then not any more.  In a jail, too:
 * stdio asks some descriptors what they are, which the filter does not let pass. */
#ifndef BASE_PRINT_H
#define BASE_PRINT_H

#include <stddef.h>

/* What does not get room in time is left out.  Whole lines are not cut by what others write, as
 * long as each fits into PIPE_BUF. */
void print_text(int fd, const char *text, size_t len);
/* One message, with its newlines; of a longer one than 8 KiB the beginning. */
void print_fmt(int fd, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
