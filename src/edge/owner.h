/* SPDX-License-Identifier: Apache-2.0 */
/* Whose listener took a connection.  Control asks before an instance is READY; but when a worker
 * has died, and until the routes say so, its port is anybody's, and a link in its directory can
 * lead to the socket of another app: so edge asks, too, before a request goes out. */
#ifndef EDGE_OWNER_H
#define EDGE_OWNER_H

#include "edge/backend.h"

/* Of a new connection to the backend: does it lead to its owner? */
bool owner_fits(const struct backend *b, int fd);

#endif
