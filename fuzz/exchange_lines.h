/* SPDX-License-Identifier: Apache-2.0 */
/* Reads edge's access log as strictly as RFC 8259 lets it. */
#ifndef FUZZ_EXCHANGE_LINES_H
#define FUZZ_EXCHANGE_LINES_H

#include "base/slice.h"

/* Aborts unless these are whole lines, each of them an object of strings, whole numbers and true,
 * in printable ASCII. */
void exchange_lines_check(struct slice lines);

#endif
