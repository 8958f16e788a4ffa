/* SPDX-License-Identifier: Apache-2.0 */
/* `portico push stats`. */
#include "cli/ask.h"
#include "cli/push.h"

#include <stdio.h>

int push_stats(const char *data, const char *app, bool as_json)
{
    char path[128] = "/push";
    json_t *j;
    int code = app ? ask_app_path(path, sizeof path, app, "/push") : 0;
    if (code == 0)
        code = ask_json(data, "GET", path, NULL, &j);
    if (code)
        return code;
    json_dumpf(j, stdout, JSON_INDENT(2));
    printf("\n");
    json_decref(j);
    return 0;
}
