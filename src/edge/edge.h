/* SPDX-License-Identifier: Apache-2.0 */
/* The role that speaks HTTP to clients and workers, and nothing else.  It is started by monitor
 * with one channel, reads no file, and serves from what the channel gives it: listening sockets,
 * certificates, the route snapshot, the shared counters and the access log's descriptor. */
#ifndef EDGE_EDGE_H
#define EDGE_EDGE_H

/* Runs until it is told to drain, or the channel closes.  return  the process' exit code */
int edge_main(int channel);

#endif
