/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Says what the answer says is wrong.  return  the exit code */
static int complain(const struct ask_answer *a)
{
    json_t *j = json_loadb(a->body, a->len, 0, NULL);
    const json_t *error = json_object_get(j, "error"), *line;
    const char *message = json_string_value(json_object_get(error, "message"));
    size_t i;
    json_array_foreach(json_object_get(error, "faults"), i, line)
        fprintf(stderr, "%s\n", json_string_value(line));
    fprintf(stderr, "portico: %s\n",
            error ? message ? message : "-" : "the answer cannot be understood");
    json_decref(j);
    return a->status == 422 || a->status == 404 || a->status == 400 ? 2 : 1;
}

int ask_json(const char *data, const char *method, const char *path, const char *body,
             json_t **json_out)
{
    struct ask_answer a;
    int code = ask_portico(data, method, path, body, &a);
    if (code)
        return code;
    if (a.status / 100 != 2) {
        code = complain(&a);
    } else if (!(*json_out = json_loadb(a.body, a.len, 0, NULL))) {
        fprintf(stderr, "portico: the answer cannot be understood\n");
        code = 1;
    }
    free(a.body);
    return code;
}

int ask_app_path(char *out, size_t cap, const char *app, const char *action)
{
    size_t n = strspn(app, "abcdefghijklmnopqrstuvwxyz0123456789-");
    if (app[n] || n == 0 || n > 60) {
        fprintf(stderr, "portico: no app can be named %s\n", app);
        return 2;
    }
    snprintf(out, cap, "/apps/%s%s", app, action);
    return 0;
}
