/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs that talk to a Portico that runs.  data: NULL means the default data directory.
 * Each returns the process' exit code: 0; 1 it could not be done; 2 what was asked for is wrong, or
 * nothing runs there.  What went wrong is told on standard error. */
#ifndef CLI_OPERATE_H
#define CLI_OPERATE_H

#include <stdbool.h>

int operate_status(const char *data, const char *app, bool as_json); /* app NULL: all */
int operate_reload(const char *data);
int operate_restart(const char *data, const char *app); /* waits until it is done */
int operate_scale(const char *data, const char *app, const char *count);
/* What its instances wrote; app NULL: all.  follow: go on until interrupted */
int operate_logs(const char *data, const char *app, bool follow);

#endif
