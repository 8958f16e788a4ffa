/* SPDX-License-Identifier: Apache-2.0 */
/* What others wrote, an app's worker say, and an operator reads at a terminal: no sequence of
 * theirs may move its cursor, set its title or fake a line.  Without sequences there is nothing to
 * know of terminals here: it is enough that none begins. */
#ifndef BASE_TERMINAL_H
#define BASE_TERMINAL_H

#include <stddef.h>

/* Control characters become "?" for each octet: C0, DEL, and C1 as UTF-8 writes it
 * (ECMA-48 5.2, 5.3), as far as the first of its two octets, where text ends. kept  those that
 * stay, "\t" say */
void terminal_mask(char *text, size_t len, const char *kept);

#endif
