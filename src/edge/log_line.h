/* SPDX-License-Identifier: Apache-2.0 */
/* One line of the access log: JSON, an object a line.  The query is left out, since people put
 * tokens there; so are cookies, tokens and bodies. */
#ifndef EDGE_LOG_LINE_H
#define EDGE_LOG_LINE_H

#include "edge/exchange.h"

/* Adds the line of an exchange that has ended to the shard's lines of this turn. */
void log_line_write(struct exchange *x);

#endif
