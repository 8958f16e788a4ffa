/* SPDX-License-Identifier: Apache-2.0 */
/* Control: reads the manifest, tells monitor what is wanted, finds out when instances are ready,
 * compiles the route snapshot and answers the operator. */
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

#include <stdbool.h>

/* Runs until the channel to monitor closes.
 * manifest_path  as the operator wrote it
 * data_dir       the data directory, absolute
 * return         the exit code: 0; 2 when the manifest is not valid (told on standard error) */
int control_main(int channel, const char *manifest_path, const char *data_dir);

/* Validate only; faults go to standard error.  return 0, or 2 */
int control_check(const char *manifest_path);
/* Whether the manifest, as it is now, names this directory for the app: asked in a process of its
 * own by who has more rights than control, and is not to do whatever control says.
 * return  false: told on standard error */
bool control_is_named(const char *manifest_path, const char *app, const char *directory);

#endif
