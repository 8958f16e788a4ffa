/* SPDX-License-Identifier: Apache-2.0 */
/* Control: reads the manifest, tells monitor what is wanted, finds out when instances are ready,
 * compiles the route snapshot and answers the operator. */
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

#include <stdbool.h>

/* Runs until the channel to monitor closes.
 * manifest_path  as the operator wrote it
 * return         the exit code: 0; 2 when the manifest is not valid (told on standard error) */
int control_main(int channel, const char *manifest_path);

/* Validate only; faults go to standard error.
 * certificates  whether each fits its key, too: of thousands that takes its time
 * return        0, or 2 */
int control_check(const char *manifest_path, bool certificates);
/* `portico role named`: whether the manifest, as it is now, names everything in the request.  Asked
 * in a process of its own by monitor, which is not to do whatever control says.
 * request  a file of texts that end with NUL, read from its begin:
 *          app NAME DIRECTORY COMMAND H2_ONLY_PORT(0 or 1) COUNT NAME=value ...
 *          certificate CHAIN KEY
 * return   the exit code: 0, or 1 when it does not (told on standard error) or cannot be read */
int control_named(const char *manifest_path, int request);

#endif
