/* SPDX-License-Identifier: Apache-2.0 */
/* The arguments of `portico push`. */
#include "cli/push.h"
#include "cli/options.h"

#include <string.h>

static const char verb[] = "push";

static int read_as(const char *name, enum watch_as *out)
{
    static const struct {
        const char *name;
        enum watch_as as;
    } rows[] = {{"node", WATCH_NODE}, {"browser", WATCH_BROWSER}, {"http1", WATCH_HTTP1}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(name, rows[i].name) == 0) {
            *out = rows[i].as;
            return 0;
        }
    return options_refuse(verb, "a client is node, browser or http1, not", name);
}

int push_run(int argc, char **argv)
{
    const char *what = NULL, *operand = NULL, *output = NULL, *as = NULL;
    struct push_explain e = {.as = WATCH_NODE};
    for (int i = 1; i < argc; i++) {
        const char *option = argv[i];
        int taken = options_value(argc, argv, &i, "--data", &e.data);
        if (taken == 0)
            taken = options_value(argc, argv, &i, "--as", &as);
        if (taken == 0)
            taken = options_value(argc, argv, &i, "--cacert", &e.authority);
        if (taken == 0)
            taken = options_value(argc, argv, &i, "-o", &output);
        if (taken < 0)
            return options_refuse(verb, "a value is missing after", option);
        if (taken)
            continue;
        if (option[0] == '-' || operand)
            return options_refuse(verb, option[0] == '-' ? "unknown option" : "unexpected argument",
                                  option);
        *(what ? &operand : &what) = option;
    }
    e.as_json = output != NULL;
    if (output && strcmp(output, "json") != 0)
        return options_refuse(verb, "the only other form is json, not", output);
    if (!what)
        return options_refuse(verb, "an argument is missing:", "explain or stats");
    if (strcmp(what, "stats") == 0)
        return as || e.authority
                   ? options_refuse(verb, "unexpected option", as ? "--as" : "--cacert")
                   : push_stats(e.data, operand, e.as_json);
    if (strcmp(what, "explain") != 0)
        return options_refuse(verb, "there are explain and stats, not", what);
    if (!operand)
        return options_refuse(verb, "an argument is missing:", "URL");
    e.url = operand;
    int code = as ? read_as(as, &e.as) : 0;
    return code ? code : push_explain(&e);
}
